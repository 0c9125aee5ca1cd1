"""A stored dataset as moments: what a recorder would have told, in the order in which it was known.

The bars are those of the panel that a backtest of the same settings reads.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.depth import recorded
from kalshi_bt.data.panel import Panel, determinations, outcomes, panel
from kalshi_bt.data.store import Store
from kalshi_bt.forecasting import references
from kalshi_bt.plan import Plan
from kalshi_bt.units import parse_duration
from live_adapter.moments import BARS, Moment, at, micros


@dataclass(frozen=True)
class Replay:
    """A dataset that can be told moment by moment.

    Attributes
    ----------
    period : int
        Seconds of a bar.
    sources : tuple of str
        Whose references there are.
    notes : tuple of str
        What a reader must know about how the bars were made.
    """

    period: int
    sources: tuple[str, ...]
    notes: tuple[str, ...]
    _told: Mapping[str, pl.DataFrame]
    _fees: Mapping[str, pl.DataFrame]

    def moments(self, after: datetime | None = None) -> Iterator[Moment]:
        """Return all moments, or those after a time.

        References come with the first moment by which they were known, fees with the very first;
        the markets of an event are listed when the first of them has a bar. A close that differs
        from the schedule is told when it happens, one that is put off when the schedule ends.
        """
        cut = {name: _by_time(rows) for name, rows in self._told.items()}
        times = sorted(set().union(*cut.values()))
        for n, time in enumerate(times):
            if after is not None and time <= micros(after):
                continue
            found: dict[str, Any] = {
                name: parts[time] for name, parts in cut.items() if time in parts
            }
            closes = dict(found.pop("closes").iter_rows()) if "closes" in found else {}
            if n == 0:
                found |= self._fees
            yield Moment(at(time), closes=closes, **found)


def replay(store: Store, plan: Plan) -> Replay:
    """Return a dataset as a paper session of a plan is told it.

    Parameters
    ----------
    store : Store
    plan : Plan
        Chooses series, span, bars and quotes, as for a backtest, and which references are told.

    Raises
    ------
    DataError
        If there is no bar in the chosen series and span, or none can be used.
    UsageError
        If a series or bar length is not in the dataset.
    """
    config = plan.config
    made = panel(
        store,
        period=plan.period,
        series=config.series,
        start=config.start,
        end=config.end,
        half_spread=plan.half_spread,
        quotes=config.assumptions.quotes,
        quote_max_age=timedelta(microseconds=parse_duration(config.assumptions.quote_max_age)),
    )
    listed = _listed(made)
    since = listed.select("ticker", listed="when")
    settled = outcomes(store, made.markets, config.end).join(since, on="ticker")
    said = determinations(store, made.markets, config.end).join(since, on="ticker")
    told = {
        "listed": listed,
        "bars": _named(made).with_columns(when="time"),
        "closes": _closes(settled.join(made.markets, on="ticker", suffix="_scheduled")),
        "determined": said.with_columns(when=pl.max_horizontal("time", "listed")).drop("listed"),
        "settled": settled.with_columns(when=pl.max_horizontal("time", "listed")).drop("listed"),
    }
    moments = pl.concat(rows.select("when") for rows in told.values()).unique().sort("when")
    told["references"] = _references(store, plan, moments)
    if plan.rules.fill.book:
        told |= _depth(recorded(store, made, config.start, config.end), moments, since)
    sources = store.scan("references", ordered=False).select(pl.col("source").unique()).collect()
    fees = {name: store.read(name) for name in ("series", "event_fees")}
    return Replay(made.period, tuple(sources["source"].sort()), made.notes, told, fees)


def _by_time(rows: pl.DataFrame) -> dict[int, pl.DataFrame]:
    parts = rows.partition_by("when", as_dict=True, include_key=False, maintain_order=True)
    return {micros(when): part for (when,), part in parts.items()}


def _named(made: Panel) -> pl.DataFrame:
    ticker = pl.lit(made.markets["ticker"].cast(pl.String)).gather(pl.col("market"))
    return made.bars.with_columns(ticker=ticker).select(list(BARS))


def _listed(made: Panel) -> pl.DataFrame:
    first = made.bars.group_by("market").agg(when=pl.col("time").min()).sort("market")
    listed = made.markets.select(list(schema.MARKETS.columns)).with_columns(first["when"])
    return listed.with_columns(pl.col("when").min().over("event"))


def _closes(settled: pl.DataFrame) -> pl.DataFrame:
    """Return when it is told that a market closes at another time than was scheduled."""
    actual, scheduled = pl.col("close_time"), pl.col("close_time_scheduled")
    differs = settled.filter(actual.ne_missing(scheduled))
    known = pl.max_horizontal("listed", pl.min_horizontal(actual, scheduled))
    return differs.select("ticker", "close_time", when=known)


def _depth(
    rows: tuple[pl.DataFrame, pl.DataFrame], moments: pl.DataFrame, since: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """Return what was recorded, with the first moment that knows it and its market.

    What came after all moments is a moment more.
    """
    ends = moments["when"]
    times = pl.concat([frame["time"] for frame in rows])
    after = times.filter(times > ends.max()).sort().tail(1)
    ends = pl.concat([ends, after])
    when = ends.alias("time").to_frame().with_columns(when="time")
    told = {}
    for name, frame in zip(("books", "trades"), rows, strict=True):
        known = frame.join(since, on="ticker").sort("time", maintain_order=True)
        dated = known.join_asof(when, on="time", strategy="forward")
        dated = dated.with_columns(when=pl.max_horizontal("when", "listed")).drop("listed")
        told[name] = dated.sort("ticker", "time", maintain_order=True)
    return told


def _references(store: Store, plan: Plan, moments: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that a plan may look at, with the first moment that knows them."""
    first, last = moments["when"].item(0), moments["when"].item(-1)
    rows = reference_rows(store, plan, first, last)
    when = moments.with_columns(time="when")
    return rows.join_asof(when, on="time", strategy="forward")


def reference_rows(store: Store, plan: Plan, first: datetime, last: datetime) -> pl.DataFrame:
    """Return the rows of outside series that a plan may look at from one time to another.

    Returns
    -------
    frame of schema.REFERENCES
        Sorted by time.
    """
    wanted = references(plan.signal)
    pairs = {(name.strip(), each.field) for each in wanted for name in each.source.split(",")}
    if not pairs:
        return schema.REFERENCES.empty()
    asked = pl.DataFrame(sorted(pairs), schema=["source", "field"], orient="row")
    ages = [each.max_age for each in wanted]
    known = [age for age in ages if age is not None]
    since = None
    if len(known) == len(ages):
        since = first - max(known) - max(each.history for each in wanted) - timedelta(seconds=1)
    named = sorted({source for source, _ in pairs})
    rows = store.scan("references", ordered=False, series=named, start=since, end=last)
    found = rows.join(asked.lazy(), on=["source", "field"], how="semi").collect().sort("time")
    return found.select(list(schema.REFERENCES.columns))
