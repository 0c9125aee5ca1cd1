"""Intents as the walk reads them: whole numbers, and the bar on which each was decided."""

from typing import Any

import numpy as np
import polars as pl

from kalshi_bt.errors import DataError
from kalshi_bt.simulator.hours import outside
from kalshi_bt.simulator.state import NEVER, Ints
from kalshi_bt.simulator.tape import Tape, frozen, ints, times


def _check_levels(intents: pl.DataFrame) -> None:
    """Refuse prices outside 0 to 1 dollar and negative quantities: -1 means missing to a kernel."""
    price = pl.col("limit", "stop", "target")
    outside = intents.select(
        price.is_between(0, 10_000).not_().any(), (pl.col("quantity") < 0).any()
    ).row(0)
    for name, bad in zip(("limit", "stop", "target", "quantity"), outside, strict=True):
        if bad:
            wrong = ~pl.col(name).is_between(0, 10_000) if name != "quantity" else pl.col(name) < 0
            row = intents.filter(wrong).row(0, named=True)
            raise DataError(
                f"intents.{name} is {row[name]} at market {row['market']}, {row['time']}; "
                + (
                    "expected 0 or more"
                    if name == "quantity"
                    else "expected 0 to 10000 centi-cents"
                )
            )


def asked_of(tape: Tape, intents: pl.DataFrame, hours: str | None) -> Any:
    """Return intents as INTENT records, each with the bar on which it was decided.

    Raises
    ------
    DataError
        If a price or quantity is none, or an intent stands where its market has no bar.
    """
    from kalshi_bt.simulator.slices import find_bars, latest_bars

    market, time = ints(intents["market"]), times(intents["time"], NEVER)
    begin = frozen(tape.markets["begin"])
    find = find_bars if tape.depth is None else latest_bars
    bar = find(tape.time, begin, frozen(market), frozen(time))
    named = pl.lit(tape.table["ticker"].cast(pl.String)).gather(pl.col("market"))
    check_decidable(intents.with_columns(ticker=named), bar < 0, deep=tape.depth is not None)
    return with_bars(intents, bar, hours)


def check_decidable(intents: pl.DataFrame, late: Any, *, deep: bool) -> None:
    """Refuse intents of markets without a bar at their times, or of which nothing was recorded.

    Parameters
    ----------
    intents : frame of schema.INTENTS with `ticker`
    late : bool (intents,)
        Which of them there are.
    deep : bool
        Whether the bars are rows of recorded books.
    """
    if not late.any():
        return
    row = intents.row(int(np.flatnonzero(late)[0]), named=True)
    ticker, time = row["ticker"], row["time"]
    if deep:
        raise DataError(f"intents: nothing of {ticker} was recorded by {time}")
    raise DataError(
        f"intents: {ticker} has no bar at {time}; an intent is decided at a bar's close"
    )


def with_bars(intents: pl.DataFrame, bar: Ints, hours: str | None) -> Any:
    """Return intents as INTENT records; `bar` Int64 (intents,) is where each was decided.

    Raises
    ------
    DataError
        If a price or quantity is none.
    """
    from kalshi_bt.simulator.slices import packed

    _check_levels(intents)
    market, time = ints(intents["market"]), times(intents["time"], NEVER)
    whole = intents.select(
        pl.col("limit", "stop", "target", "reward", "quantity").cast(pl.Int64).fill_null(-1)
    )
    exact = (
        ints(intents["side"], 0),
        ints(intents["kind"].to_physical()),
        *(column.to_numpy() for column in whole),
        ints(intents["valid_bars"], 0),
        times(intents["exit_time"], NEVER),
        outside(intents["time"], hours),
    )
    exact = tuple(frozen(column) for column in exact)
    numbers = intents.select(pl.col("stake", "risk", "fair", "confidence").fill_null(np.nan))
    shares = tuple(frozen(column.to_numpy()) for column in numbers)
    return frozen(packed((frozen(market), frozen(bar), frozen(time)), exact, shares))
