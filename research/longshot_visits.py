"""First visits of settled markets to each price: what the study of the longshot bias counts.

Each market counts once per role, side and cent, the first time it is there. With trades: the taker
at the price of the side bought, the maker at that of the other side. Without: a taker at the
quotes, and a maker who is taken to be filled at the other one, always, which no maker is.
"""

import math

import polars as pl

from kalshi_bt.data.panel import panel
from kalshi_bt.data.store import Store
from kalshi_bt.signals.longshot import Longshot

BANDS = {"longshot": (1, 20), "middle": (21, 79), "favourite": (80, 99)}
HORIZONS = {
    "up to 5 min": 1 / 12,
    "5 min to 1 h": 1,
    "1 h to 1 day": 24,
    "1 day to 1 week": 168,
    "over 1 week": math.inf,
}
FEE = {"taker": 0.07, "maker": 0.0, "price": 0.0}
WIDEST = 0.10  # dollars from bid to ask; the middle of more is nobody's price
BREAKDOWNS = ("all", "category", "horizon", "season")
FIRST = Longshot(group="all", unit="market", bandwidth=0, min_price=0.005, max_price=0.995)


def of_trades(store: Store) -> pl.DataFrame:
    """Return the first visit of each market, role, side and cent among its trades.

    Returns
    -------
    frame
        ticker, time, role, side (+1 YES), cent, cost (dollars).
    """
    seen = store.scan("trades", ordered=False)
    settled = store.scan("settlements", ordered=False).select("ticker")
    seen = seen.join(settled, on="ticker", how="semi")
    parts = []
    taken, each = pl.col("taker_side"), pl.lit(1, pl.Int8)
    for role, side in (("taker", taken), ("maker", -taken), ("price", each), ("price", -each)):
        price = pl.col("price").cast(pl.Int64)
        cost = pl.when(side > 0).then(price).otherwise(10_000 - price)
        made = seen.select("ticker", "time", "trade_id", role=pl.lit(role), side=side, cost=cost)
        cell = ["ticker", "role", "side", "cent"]
        first = made.with_columns(cent=(pl.col("cost") + 50) // 100).group_by(cell)
        parts.append(first.agg(pl.col("time", "cost").sort_by("time", "trade_id").first()))
    found = pl.concat(parts).filter(pl.col("cent").is_between(1, 99)).collect()
    return found.with_columns(pl.col("cost") / 10_000)


def of_quotes(store: Store) -> pl.DataFrame:
    """Return the same of quotes: a taker pays the ask, a maker the bid, the price is the middle."""
    quotes = panel(store).quotes()
    swapped = quotes.with_columns(bid=pl.col("ask"), ask=pl.col("bid"))
    near = pl.when(pl.col("ask") - pl.col("bid") <= WIDEST).then("mid")
    middle = quotes.with_columns(bid=near, ask=near)
    parts = [
        FIRST.samples(frame).select("ticker", "time", "side", "cent", "cost", role=pl.lit(role))
        for role, frame in (("taker", quotes), ("maker", swapped), ("price", middle))
    ]
    return pl.concat(parts).collect()


def of_first_prices(store: Store) -> pl.DataFrame:
    """Return the first price of each market, of both sides, where nothing else was recorded."""
    first = store.scan("references", ordered=False).filter(pl.col("field") == "first_price")
    seen = first.sort("time").group_by("symbol").agg(pl.col("time", "value").first())
    parts = [
        seen.select(
            "time",
            ticker="symbol",
            role=pl.lit("price"),
            side=pl.lit(sign, pl.Int8),
            cost="value" if sign > 0 else 1 - pl.col("value"),
        )
        for sign in (1, -1)
    ]
    found = pl.concat(parts).with_columns(cent=(pl.col("cost") * 100 + 0.5).floor().cast(pl.Int64))
    return found.filter(pl.col("cent").is_between(1, 99)).collect()


def recorded(store: Store) -> pl.DataFrame:
    """Return the visits of the best that a dataset has: trades, quotes, or first prices."""
    if store.scan("trades").head(1).collect().height:
        return of_trades(store)
    if any(store.scan(table).head(1).collect().height for table in ("candles", "books")):
        return of_quotes(store)
    return of_first_prices(store)


def visits(store: Store) -> pl.DataFrame:
    """Return the visits of settled markets with what describes them and what they paid.

    Returns
    -------
    frame
        cluster, time, role, cent, band, all, category, horizon, season, cost, excess (dollars a
        contract), net.
    """
    markets = store.read("markets", ["ticker", "event", "series", "close_time"])
    ended = store.read("settlements", ["ticker", "close_time", "payout"])
    kinds = store.read("series", ["series", "category"]).unique("series", keep="last")
    told = (
        recorded(store)
        .select("ticker", "time", "role", "side", "cent", "cost")
        .join(markets, on="ticker")
        .join(ended.rename({"close_time": "ended"}), on="ticker")
        .join(kinds, on="series", how="left")
        .filter(pl.col("time") <= pl.col("ended"))  # a later row may know the outcome
    )
    left = (pl.coalesce("close_time", "ended") - pl.col("time")).dt.total_seconds() / 3_600
    local = pl.col("time").dt.convert_time_zone("America/New_York")
    cent, paid = pl.col("cent"), pl.col("payout") / 10_000
    band = pl.coalesce(
        pl.when(cent.is_between(low, high)).then(pl.lit(name))
        for name, (low, high) in BANDS.items()
    )
    fee = pl.col("role").replace_strict(FEE) * pl.col("cost") * (1 - pl.col("cost"))
    return (
        told.with_columns(
            cluster=pl.col("ended").max().over("event"),
            all=pl.lit("all"),
            band=band,
            category=pl.col("category").fill_null("not known"),
            horizon=pl.coalesce(
                pl.when(left <= most).then(pl.lit(name)) for name, most in HORIZONS.items()
            ),
            season=pl.format("{}Q{}", local.dt.year(), local.dt.quarter()),
            excess=pl.when(pl.col("side") > 0).then(paid).otherwise(1 - paid) - pl.col("cost"),
        )
        .with_columns(net=pl.col("excess") - fee)
        .sort("ticker", "role", "side", "cent")  # floats are added in one order
        .select("cluster", "time", "role", "cent", "band", *BREAKDOWNS, "cost", "excess", "net")
    )
