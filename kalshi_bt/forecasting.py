"""What a signal says of a panel: given outside series, and fitted as outcomes become known."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

import numpy as np
import polars as pl

from kalshi_bt import schema, signals
from kalshi_bt.data.asof import Reference
from kalshi_bt.data.panel import Panel, read_for
from kalshi_bt.errors import DataError, KalshiBtError, UsageError
from kalshi_bt.plan import Plan
from kalshi_bt.settings import fields_of, replaced
from kalshi_bt.signal_file import where
from kalshi_bt.signals import Signal
from kalshi_bt.signals.expr import per_market
from kalshi_bt.signals.needs import Need
from kalshi_bt.strategies import SIZINGS, method_of
from kalshi_bt.units import PRICE_SCALE, over

_WEIGHED = ("event", "bid", "ask")  # what a sizing weighs an opinion against
_QUOTED = ("ticker", "time", "close")  # of these follows the price of the last trade


@dataclass(frozen=True)
class Learned:
    """A signal as it speaks over time.

    Attributes
    ----------
    steps : sequence of (datetime, Signal)
        Each speaks after its time until that of the next, the first also at its time and before.
    history : frame or None
        What it was fitted with: its samples, `payout` (dollars) and `known_at`; None: it learns
        nothing.
    notes : sequence of str
        What a reader must know about its fits.
    """

    steps: Sequence[tuple[datetime, Any]]
    history: pl.DataFrame | None = None
    notes: Sequence[str] = ()


class Past(NamedTuple):
    """What a signal that learns knows from before the first bar.

    Attributes
    ----------
    visits : frame
        Its samples of earlier bars.
    settled : frame of schema.SETTLEMENTS
        What was paid by then.
    """

    visits: pl.DataFrame
    settled: pl.DataFrame


def learn(made: Panel, plan: Plan, settlements: pl.DataFrame, past: Past | None = None) -> Learned:
    """Return the signal of a plan, fitted at stated times if it learns.

    Parameters
    ----------
    made : Panel
    plan : Plan
    settlements : frame of schema.SETTLEMENTS
        What a signal that learns is fitted with, each only after it was known.
    past : Past, optional
        What it is fitted with at the first bar.
    """
    with faults_named(plan, "the quotes"):
        return _learned(made, plan, settlements, past)


def _learned(made: Panel, plan: Plan, settlements: pl.DataFrame, past: Past | None) -> Learned:
    signal: Any = timed(plan.signal, made.period)
    first, last = made.bars.select(a=pl.col("time").min(), b=pl.col("time").max()).row(0)
    if not hasattr(signal, "fit"):
        return Learned([(first, signal)])
    visits = signal.samples(made.quotes(signals.reads(signal))).collect()
    if past is not None:
        visits = together(signal, past.visits, visits)
        settlements = known_first(past.settled, settlements)
    history = history_of(visits, settlements)
    if plan.config.mode == "reference":
        note = "fitted once with every outcome, those of the markets it judges included (reference)"
        return Learned([(first, signal.fit(history.lazy()))], history, [note])
    times = _fit_times(first, last, plan.refit)
    note = (
        f"fitted {len(times)} times, every {plan.config.assumptions.refit}, with the outcomes "
        f"known by then ({history.height:,} visits in all)"
    )
    if past is None:
        return Learned([(first, signal), *signal.refits(history.lazy(), times)], history, [note])
    note += f", and before the first bar with {past.settled.height:,} earlier outcomes"
    return Learned(signal.refits(history.lazy(), [first, *times]), history, [note])


def spoken(quotes: pl.LazyFrame, steps: Sequence[tuple[datetime, Any]]) -> pl.LazyFrame:
    """Return quotes, in their order, with what the signal of each time says of them."""
    if len(steps) == 1:
        return cast("pl.LazyFrame", steps[0][1](quotes))
    parts: list[pl.LazyFrame] = []
    for n, (since, own) in enumerate(steps):
        # What is decided at the moment of a fit is decided by the signal before it.
        inside = pl.lit(True) if n == 0 else pl.col("time") > since
        if n + 1 < len(steps):
            inside &= pl.col("time") <= steps[n + 1][0]
        parts.append(own(quotes.filter(inside)))
    order = quotes.select("ticker", "time")
    return _in_order(pl.concat(parts).sort("ticker", "time"), order)


def forecasts(
    made: Panel,
    plan: Plan,
    settlements: pl.DataFrame,
    learned: Learned | None = None,
    *,
    newest: bool = False,
) -> tuple[pl.DataFrame, list[str]]:
    """Return the signal's columns for each bar, keyed by (market, time), and notes on its fits.

    Rows are those of the panel, in its order. Where the signal states a probability, the bid and
    the ask it is weighed against come with it, and the columns that the sizing asks for; `last` is
    the price of the market's last trade.

    Parameters
    ----------
    made : Panel
    plan : Plan
    settlements : frame of schema.SETTLEMENTS
        What a signal that learns is fitted with, each only after it was known.
    learned : Learned, optional
        As `learn` returns it, if that was done already.
    newest : bool
        Whether only the newest bar of each market is asked about; by the signal that speaks last.
        Of such rows `last` is the price of a trade in the bar itself.

    Raises
    ------
    DataError
        If the signal lost, added or reordered rows, or added none of the columns of a signal.
    UsageError
        If the sizing weighs what the signal does not say.
    """
    learned = learned or learn(made, plan, settlements)
    with faults_named(plan, "the quotes"):
        asked = _newest(made) if newest else made
        result = _said(made, asked, plan, learned)
    _check_levels(result, asked, plan)
    return result.with_columns(market=asked.bars["market"]), list(learned.notes)


def _newest(made: Panel) -> Panel:
    """Return a panel with the newest bar of each market alone."""
    market = made.bars["market"].to_numpy()
    last = np.flatnonzero(np.append(market[1:] != market[:-1], [True] * bool(len(market))))
    return replace(made, bars=made.bars[last])


@contextmanager
def faults_named(plan: Plan, what: str) -> Iterator[None]:
    """Say in one line what a user's own code raises on something; the package's errors stay."""
    try:
        yield
    except KalshiBtError:
        raise
    except Exception as error:
        if plan.chosen.source is None:
            raise
        code = getattr(type(plan.signal).__call__, "__code__", None)
        told = where(error, code.co_filename if code else "")
        raise DataError(f"{plan.name} raises on {what}{told}") from error


def _said(made: Panel, asked: Panel, plan: Plan, learned: Learned) -> pl.DataFrame:
    """Return time and the columns that a signal added, a row for each bar of `asked`."""
    quotes = made.quotes(signals.reads(learned.steps[-1][1]))
    known = set(quotes.collect_schema().names())
    if asked is made:
        marked = spoken(quotes, learned.steps)
    else:
        marked = signals.newest(learned.steps[-1][1], quotes)
    added = [c for c in schema.SIGNALS if c in marked.collect_schema().names() and c not in known]
    if not added:
        raise DataError(f"{plan.name} added none of {', '.join(schema.SIGNALS)}")
    _check_sizing(added, plan)
    # The streaming engine would cut the frame into pieces that the signal has to join again.
    result = marked.select("time", *added).collect(engine="in-memory")
    if not result["time"].equals(asked.bars["time"]):
        raise DataError(f"{plan.name} did not return the rows it was given, in order")
    seen = _WEIGHED if "fair" in added or "entry" not in added else ()
    more = getattr(plan.sizing, "asks", ()) if "fair" in added else ()
    beside = asked.quotes((*_QUOTED, *seen, *more))
    if "last" in more:
        beside = beside.with_columns(last=per_market(pl.col("close").forward_fill()))
    named = dict.fromkeys(("time", *seen, *more))
    return beside.select(list(named)).collect().hstack(result.select(added))


def read_of_bars(plan: Plan) -> frozenset[str]:
    """Return the columns of bars that the forecasts of a plan can depend on."""
    told = signals.reads(plan.signal)
    asks = getattr(plan.sizing, "asks", ())
    return read_for(schema.QUOTES if told is None else (*told, *_QUOTED, *_WEIGHED, *asks))


def _check_sizing(added: list[str], plan: Plan) -> None:
    """Refuse a sizing that weighs what the signal does not say."""
    weighs = getattr(plan.sizing, "weighs", None)
    if weighs is None or weighs in added:
        return
    fits = [n for n, each in SIZINGS.items() if getattr(each, "weighs", weighs) != weighs]
    what = {"fair": "a stated probability", "stop": "the distance to a stop"}[weighs]
    raise UsageError(
        f"sizing {method_of(plan.sizing)} weighs {what}, which {plan.name} does not "
        f"say; choose fixed_stake, {', '.join(fits)}"
    )


def _check_levels(result: pl.DataFrame, made: Panel, plan: Plan) -> None:
    """Refuse a side that is none, and a level outside 0 to 1 dollar, NaN included."""
    if "side" not in result.columns:
        return
    ranges = {"side": (-1, 1, "1, -1 or 0")} | dict.fromkeys(
        ("entry", "stop", "target"), (0, 1, "0 to 1 dollar")
    )
    for name, (low, high, expected) in ranges.items():
        if name not in result.columns:
            continue
        level = pl.col(name)
        wrong = pl.col("side").is_not_null() & ~level.is_between(low, high).fill_null(value=True)
        found = result.select(wrong.arg_true()).to_series()
        if len(found):
            row = int(found[0])
            ticker = made.markets["ticker"][int(made.bars["market"][row])]
            raise DataError(
                f"{plan.name} says {name} {result[name][row]} for {ticker} at "
                f"{result['time'][row]}; expected {expected}"
            )


def weighed(setups: pl.DataFrame, rates: pl.DataFrame) -> pl.LazyFrame:
    """Return the rows in which the signal says something, with the taker's fee rate of the time.

    Parameters
    ----------
    setups : frame
        As `forecasts` returns it.
    rates : frame (market, from_time, taker)
        See `kalshi_bt.fees.market_rates`.
    """
    if "fair" not in setups.columns:
        return setups.lazy()
    spoken = pl.any_horizontal(
        pl.col(n).is_not_null() for n in ("fair", "side") if n in setups.columns
    )
    dated = rates.select("market", "taker", time="from_time").sort("time")
    rows = setups.lazy().filter(spoken).sort("time", "market")
    return rows.join_asof(dated.lazy(), on="time", by="market", check_sortedness=False)


def references(signal: Signal) -> tuple[Reference, ...]:
    """Return the outside series that a signal needs as columns."""
    needs: tuple[Need, ...] = getattr(signal, "references", ())
    return tuple(
        Reference(
            source=need.source,
            symbol=need.symbol if isinstance(need.symbol, str) else dict(need.symbol),
            field=need.field,
            column=need.column,
            max_age=_seconds(need.max_age_seconds),
            with_age=need.with_age,
            optional=True,
            derive=need.derive,
            history=timedelta(seconds=0 if need.derive is None else need.derive.history),
        )
        for need in needs
    )


def _seconds(count: int | None) -> timedelta | None:
    return None if count is None else timedelta(seconds=count)


def timed(signal: Signal, period: int) -> Signal:
    """Return the signal told how long a bar is, if it asks and was not told.

    The exchange leaves out bars in which nothing happened; a signal that counts intervals must know
    where they are missing.
    """
    if "bar_seconds" in fields_of(signal) and getattr(signal, "bar_seconds", None) is None:
        return cast("Signal", replaced(signal, {"bar_seconds": period}, "signal"))
    return signal


def _in_order(whole: pl.LazyFrame, order: pl.LazyFrame) -> pl.LazyFrame:
    """Return rows in the order of a panel, which is that of its tickers."""
    return order.join(whole, on=["ticker", "time"], how="left", maintain_order="left")


def _fit_times(first: datetime, last: datetime, every: timedelta) -> list[datetime]:
    """Return the moments of the fits: whole steps after the first bar."""
    count = int((last - first) / every)
    return [first + every * (n + 1) for n in range(count)]


def together(signal: Any, earlier: pl.DataFrame, later: pl.DataFrame) -> pl.DataFrame:
    """Return the samples of earlier and later bars, joined as the signal says, if it does."""
    joined: pl.DataFrame = getattr(signal, "together", lambda *both: pl.concat(both))(
        earlier, later
    )
    return joined


def known_first(earlier: pl.DataFrame, later: pl.DataFrame) -> pl.DataFrame:
    """Return settlements of both; of a market in both the earlier one stands."""
    new = later.join(earlier, on="ticker", how="anti", maintain_order="left")
    return pl.concat([earlier, new.select(earlier.columns)])


def history_of(visits: pl.DataFrame, settlements: pl.DataFrame) -> pl.DataFrame:
    """Return visits of markets that paid, with payouts in dollars and when they were known.

    Parameters
    ----------
    visits : frame
        What ``samples(quotes)`` of a signal returned; rows have ticker and time.
    settlements : frame of schema.SETTLEMENTS
        Of those markets; visits of others, and those after the actual close, are left out.
    """
    ended = settlements.lazy().select(
        "ticker",
        payout=over(pl.col("payout"), PRICE_SCALE),
        known_at="time",
        ended="close_time",
    )
    seen = visits.lazy().with_columns(pl.col("ticker").cast(pl.String))
    both = seen.join(ended, on="ticker").filter(pl.col("time") <= pl.col("ended"))
    return both.drop("ended").collect()
