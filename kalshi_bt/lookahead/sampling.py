"""Which markets are audited, and at which moments the future is cut off.

A leak shows where the signal speaks, just before prices jump, where a day ends in UTC or in New
York, near the end of a market, and where what is said changes most; so that is where the cuts lie.
All of it is a plain function of the panel and of what the signal says.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt import schema
from kalshi_bt.data.panel import Panel

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
_GOLDEN = 0.6180339887498949
_JUMPS = 4  # the largest moves of an event that a cut is put before
_ZONES = ("UTC", "America/New_York")  # whose days signals and the exchange count


@dataclass(frozen=True)
class Size:
    """How much is audited.

    Attributes
    ----------
    markets, bars : int
        About so many: an event is taken whole, and while there is room one of each series. Of
        markets with too many bars the newest are audited.
    cuts : int
        Moments of each event at which the future is cut off.
    thorough : bool
        Whether every order of rows is tried, or one.
    """

    markets: int
    bars: int
    cuts: int
    thorough: bool


IN_A_RUN = Size(markets=10, bars=12_000, cuts=8, thorough=False)
COMPLETE = Size(markets=600, bars=400_000, cuts=24, thorough=True)


def spread(count: int) -> list[int]:
    """Return 0 … count - 1 so that the first ones lie far apart.

    Examples
    --------
    >>> spread(5)
    [0, 2, 4, 1, 3]
    """
    return sorted(range(count), key=lambda n: n * _GOLDEN % 1)


def chosen(made: Panel, spoken: pl.DataFrame, size: Size) -> pl.Series:
    """Return the markets to audit: of every series, and rather those of which something is said.

    Parameters
    ----------
    made : Panel
    spoken : frame (market, count)
        In how many bars of each market the signal says something; a market not in it is silent.
    size : Size

    Returns
    -------
    UInt32 (markets,)
        Rows of ``made.markets``, rising.
    """
    numbers = made.markets.select("event", "series").with_row_index("market")
    counts = made.bars.group_by("market").agg(bars=pl.len(), first=pl.col("time").min())
    events = (
        numbers.join(counts, on="market")
        .join(spoken, on="market", how="left")
        .group_by("series", "event")
        .agg(
            pl.col("market"),
            pl.col("bars").sum(),
            pl.col("first").min(),
            told=pl.col("count").sum() > 0,
        )
        .sort("series", "first", "event")
    )
    taken: list[int] = []
    bars = 0
    for turn, row in _turns(events):
        fits = len(taken) + len(row["market"]) <= size.markets and bars + row["bars"] <= size.bars
        if fits or (turn == 0 and len(taken) < size.markets):
            taken += row["market"]
            bars += row["bars"]
    return pl.Series("market", sorted(taken), dtype=pl.UInt32)


def _turns(events: pl.DataFrame) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (turn, event): each series in turn, three that are spoken of to a silent one."""
    queues = []
    for own in events.partition_by("series", maintain_order=True):
        told, silent = own.filter("told").to_dicts(), own.filter(~pl.col("told")).to_dicts()
        told, silent = ([rows[n] for n in spread(len(rows))] for rows in (told, silent))
        triples = [told[n : n + 3] for n in range(0, len(told), 3)]
        ones = [[row] for row in silent]
        none: list[dict[str, Any]] = []
        pairs = zip_longest(triples, ones, fillvalue=none)
        queues.append(list(chain.from_iterable(a + b for a, b in pairs)))
    # The series of which most is said come first: there may be no room for all of them.
    queues.sort(key=lambda rows: -sum(bool(row["told"]) for row in rows))
    for turn, rows in enumerate(zip_longest(*queues)):
        yield from ((turn, row) for row in rows if row is not None)


def speaks(said: pl.DataFrame) -> Mask:
    """Return in which bars a signal says something."""
    columns = [c for c in said.columns if c in schema.SIGNALS]
    told = said.select(pl.any_horizontal(pl.col(c).is_not_null() for c in columns))
    return told.to_series().to_numpy()


def turns(said: pl.DataFrame) -> Floats:
    """Return how far each opinion is from that at the bar before; one that comes or goes, one.

    Parameters
    ----------
    said : frame
        As `Subject.says` returns it, of quotes sorted by (ticker, time).

    Returns
    -------
    Float64 (n,)
        The sum over all columns of the signal.
    """
    moves = [
        (pl.col(c) - pl.col(c).shift().over("ticker"))
        .cast(pl.Float64)
        .abs()
        .fill_null((pl.col(c).is_null() != pl.col(c).is_null().shift().over("ticker")).cast(int))
        for c, kind in said.schema.items()
        if c in schema.SIGNALS and kind.is_numeric()
    ]
    none = pl.repeat(0.0, pl.len())
    total = said.select(pl.sum_horizontal(*moves, none).fill_nan(0.0))
    return total.to_series().to_numpy()


def cuts(
    quotes: pl.DataFrame,
    told: Mask,
    count: int,
    *,
    warm: Mask | None = None,
    turned: Floats | None = None,
) -> Sequence[Ints]:
    """Return moments, one for each event and round, after which the future begins.

    Parameters
    ----------
    quotes : frame of schema.QUOTES
        Sorted by (ticker, time).
    told : bool (n,)
        Where the signal says something.
    count : int
        Rounds.
    warm : bool (n,), optional
        Bars at whose time a cut may lie; any but the last of an event without.
    turned : Float64 (n,), optional
        See `turns`.

    Returns
    -------
    sequence of Int64 (n,)
        For each round the moment (microseconds) of each bar's event; before all bars of an event
        in which there is no place for a cut.
    """
    price = pl.coalesce("mid", "close").forward_fill().over("ticker")
    rows = quotes.select("event", "ticker", "time", at=pl.col("time").to_physical(), price=price)
    rows = rows.with_columns(
        told=pl.Series(told),
        warm=pl.Series(np.ones(len(told), dtype=bool) if warm is None else warm),
        jump=(pl.col("price").shift(-1) - pl.col("price")).abs().over("ticker").fill_null(0.0),
        turn=pl.Series(np.zeros(len(told)) if turned is None else turned),
    )
    moments: dict[str, list[int]] = {}
    for (event,), own in rows.partition_by("event", as_dict=True).items():
        found = _moments(own)
        moments[str(event)] = [found[n % len(found)] for n in range(count)] if found else []
    never = rows["at"].to_numpy().min(initial=0) - 1
    return [
        rows["event"]
        .cast(pl.String)
        .replace_strict(
            {event: found[n] if found else never for event, found in moments.items()},
            return_dtype=pl.Int64,
        )
        .to_numpy()
        for n in range(count)
    ]


def _moments(own: pl.DataFrame) -> list[int]:
    """Return the times of one event at which to cut, the most telling first."""
    last = own["at"].max()
    times = own["at"].unique().sort()
    fit = set(own.filter("warm")["at"].to_list()) - {last}
    told = own.filter("told")["at"].unique().sort().to_list()
    count = len(times)
    near = [count - 2, count // 2, count - 3, 0, count // 4, count - 5]
    groups = (
        [told[n] for n in spread(len(told))],
        _largest(own, "jump"),
        [times[n] for n in near if 0 <= n < count],
        _largest(own, "turn"),
        *_days_ends(own["time"]),
    )
    found = (t for turn in zip_longest(*groups) for t in turn if t in fit)
    return list(dict.fromkeys(found))


def _largest(own: pl.DataFrame, name: str) -> list[int]:
    """Return the times of the largest values of a column, those above zero."""
    moved = own.filter(pl.col(name) > 0).sort([name, "at"], descending=[True, False])
    return moved["at"].unique(maintain_order=True).head(_JUMPS).to_list()


def _days_ends(times: pl.Series) -> Iterator[list[int]]:
    """Yield the last times of days: by their time or, as a bar of midnight is, by their trades."""
    moments = times.unique().sort()
    for zone in _ZONES:
        for early in (timedelta(0), timedelta(microseconds=1)):
            days = (moments - early).dt.convert_time_zone(zone).dt.date()
            ends = moments.to_physical().filter((days != days.shift(-1)).fill_null(value=False))
            yield [ends[n] for n in spread(len(ends))]


def bars_of(quotes: pl.DataFrame) -> tuple[Ints, Ints]:
    """Return for each bar its place in its market, and the row at which its market begins."""
    count = pl.int_range(pl.len(), dtype=pl.Int64)
    place = quotes.select(count.over("ticker")).to_series().to_numpy()
    return place, np.arange(quotes.height) - place
