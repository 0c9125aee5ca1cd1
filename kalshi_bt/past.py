"""What a dataset held before a moment: what a signal that learns knows when it begins."""

from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl

from kalshi_bt.data.panel import Panel, outcomes, panel
from kalshi_bt.data.scope import Scope
from kalshi_bt.data.store import Store
from kalshi_bt.forecasting import Past, references, timed
from kalshi_bt.plan import Plan
from kalshi_bt.signals import reads
from kalshi_bt.units import parse_duration

_QUOTED = ("candles", "books", "trades")


def past(store: Store, plan: Plan, until: datetime, first: datetime) -> Past | None:
    """Return what a signal that learns begins with; None for one that learns not, or of no bar.

    Parameters
    ----------
    store : Store
        Markets that were traded before.
    plan : Plan
        Its series, quotes and bars are read, of the series those that there are.
    until : datetime
        Bars that end later are left out.
    first : datetime
        The end of the first bar that is traded: payouts that were known later are left out.

    Raises
    ------
    DataError
        If the dataset cannot be read.
    UsageError
        If it has no bars of the plan's length.
    """
    if not hasattr(plan.signal, "fit"):
        return None
    known = store.scan("markets").select(pl.col("series").unique()).collect()["series"]
    wanted = tuple(sorted(set(plan.config.series) & set(known))) if plan.config.series else ()
    if plan.config.series and not wanted:
        return None
    assumed = plan.config.assumptions
    kinds = _QUOTED if assumed.quotes == "auto" else (assumed.quotes,)
    scope = Scope.of(store, wanted, None, until)
    if not any(scope.has(kind) for kind in kinds):
        return None
    made = panel(
        store,
        period=plan.period,
        series=wanted,
        end=until,
        half_spread=plan.half_spread,
        references=references(plan.signal),
        quotes=assumed.quotes,
        quote_max_age=timedelta(microseconds=parse_duration(assumed.quote_max_age)),
    )
    quotes = made.quotes(reads(plan.signal))
    visits = timed(plan.signal, made.period).samples(quotes).collect()  # type: ignore[attr-defined]
    return Past(visits, outcomes(store, made.markets, first))


def begun(store: Store, plan: Plan, made: Panel) -> Past | None:
    """Return the past of a backtest that leaves out the first bars of its dataset; else None."""
    start = plan.config.start
    if start is None or plan.config.mode == "reference" or not hasattr(plan.signal, "fit"):
        return None
    first = made.bars.select(pl.col("time").min()).item()
    return past(store, replace(plan, period=made.period), start, first)
