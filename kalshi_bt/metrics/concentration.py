"""How much of the result hangs on one event, one day or one market."""

import polars as pl

from kalshi_bt.metrics.book import Metric, Undefined, Value
from kalshi_bt.metrics.clusters import by_day, by_event, trade_clusters, traded_markets
from kalshi_bt.metrics.trading import NO_TRADE


def _share(amounts: pl.Series, all_zero: str) -> Value:
    if amounts.is_empty():
        return Undefined(NO_TRADE)
    sizes = amounts.abs()
    whole = int(sizes.sum())
    return int(sizes.max()) / whole if whole else Undefined(all_zero)  # type: ignore[arg-type]


def _without_best(amounts: pl.Series, one: str) -> Value:
    if amounts.is_empty():
        return Undefined(NO_TRADE)
    if amounts.len() == 1:
        return Undefined(f"all trades are of one {one}")
    return int(amounts.sum()) - int(amounts.max())  # type: ignore[arg-type]


CONCENTRATION: dict[str, Metric] = {
    "n_markets": Metric(
        lambda b: b.once(traded_markets).height, "markets", "market", "Markets with closed trades."
    ),
    "n_events": Metric(
        lambda b: b.once(by_event).height, "events", "event", "Events with closed trades."
    ),
    "n_clusters": Metric(
        lambda b: b.once(trade_clusters).sums.height,
        "clusters",
        "cluster",
        "Groups of closed trades that share neither event nor settlement instant with another: "
        "what is taken to be independent.",
    ),
    "top_event_share": Metric(
        lambda b: _share(b.once(by_event)["pnl"], "every event ended at zero"),
        "fraction",
        "event",
        "Largest gain or loss of an event over the gains and losses of all, signs dropped.",
    ),
    "top_day_share": Metric(
        lambda b: _share(b.once(by_day)["pnl"], "every day ended at zero"),
        "fraction",
        "day",
        "Largest gain or loss of a UTC day of exit over those of all days, signs dropped.",
    ),
    "top_market_share": Metric(
        lambda b: _share(b.once(traded_markets)["pnl"], "every market ended at zero"),
        "fraction",
        "market",
        "Largest gain or loss of a market over the gains and losses of all, signs dropped.",
    ),
    "top_event_stake": Metric(
        lambda b: _share(b.once(by_event)["stake"], "nothing was staked"),
        "fraction",
        "event",
        "Largest stake in one event over all stakes of closed trades.",
    ),
    "net_without_best_event": Metric(
        lambda b: _without_best(b.once(by_event)["pnl"], "event"),
        "dollars",
        "event",
        "P&L of closed trades without the event that gained most.",
    ),
    "net_without_best_day": Metric(
        lambda b: _without_best(b.once(by_day)["pnl"], "day"),
        "dollars",
        "day",
        "P&L of closed trades without the UTC day of exit that gained most.",
    ),
}
