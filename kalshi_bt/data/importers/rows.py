"""What a file leaves unsaid about its rows: ends of bars, empty sides, payouts, settlement times.

Each function takes the typed cells of one table and returns them with what follows from the
mapping, and the checks on what had to be looked up.
"""

from collections.abc import Callable

import polars as pl

from kalshi_bt.data.importers.cells import LESS
from kalshi_bt.data.importers.mapping import SIDES, Entry
from kalshi_bt.data.validate import Check, show
from kalshi_bt.schema import STORED
from kalshi_bt.units import PRICE_SCALE, PRICE_UNITS, parse_duration

Known = Callable[..., pl.DataFrame]  # (table, *columns) -> rows stored and read so far
Finished = tuple[pl.DataFrame, list[Check]]

_FOREVER = pl.lit(0).cast(pl.Datetime("us", "UTC"))


def finish(frame: pl.DataFrame, entry: Entry, known: Known) -> Finished:
    """Return the rows of an entry with every column of its table.

    Parameters
    ----------
    frame : frame
        Typed cells of the mapped columns.
    entry : Entry
        What the file says beside its cells.
    known : callable
        Returns columns of the rows of another table, those of this import first.

    Returns
    -------
    frame, checks
        The rows, none missing, and the checks that need what was looked up.
    """
    frame, asked = _FINISH.get(entry.into, _as_it_is)(frame, entry, known)
    absent = {n: t for n, t in STORED[entry.into].columns.items() if n not in frame.columns}
    return frame.with_columns(pl.lit(None, dtype=t).alias(n) for n, t in absent.items()), asked


def _as_it_is(frame: pl.DataFrame, _entry: Entry, _known: Known) -> Finished:
    return frame, []


def _series(frame: pl.DataFrame, entry: Entry, _known: Known) -> Finished:
    start = pl.col("effective_from") if "effective_from" in entry.columns else _FOREVER
    return frame.with_columns(effective_from=start), []


def _markets(frame: pl.DataFrame, entry: Entry, _known: Known) -> Finished:
    return frame.with_columns(price_ranges=entry.ranges().first()), []


def _trades(frame: pl.DataFrame, entry: Entry, known: Known) -> Finished:
    return _before_close(frame, entry, known)


def _candles(frame: pl.DataFrame, entry: Entry, known: Known) -> Finished:
    frame, asked = _before_close(frame, entry, known)
    if entry.columns["time"].label == "start":
        frame = frame.with_columns(pl.col("time") + pl.duration(seconds="period"))
    if entry.quotes == "snapshot":
        frame = frame.with_columns(_span(entry))
    scale = PRICE_UNITS[entry.price_unit or "dollars"]
    for side, given, usual in (
        ("bid", entry.empty_bid, 0),
        ("ask", entry.empty_ask, PRICE_SCALE),
    ):
        empty = usual if given is None else round(given * scale)
        quotes = [pl.col(n) for n in SIDES[side] if n in frame.columns]
        frame = frame.with_columns(pl.when(quote != empty).then(quote) for quote in quotes)
    return frame.with_columns(quote_source=pl.lit(entry.quotes)), asked


def _before_close(frame: pl.DataFrame, entry: Entry, known: Known) -> Finished:
    """Turn a distance from the market's close into a time."""
    if entry.columns["time"].close_less is None:
        return frame, []
    closes = known("markets", "ticker", "close_time").unique("ticker", keep="first")
    frame = frame.join(closes, on="ticker", how="left", maintain_order="left")
    less = pl.col(LESS + "time")
    time = pl.col("close_time") - pl.duration(microseconds=less)
    lost = Check(
        "no_close_time", pl.col("close_time").is_null() & less.is_not_null(), show("ticker")
    )
    return frame.with_columns(time=time), [lost]


def _span(entry: Entry) -> list[pl.Expr]:
    """Return the parts of a snapshot's quotes that were not seen, from those that were."""
    made = []
    for side, names in SIDES.items():
        seen = [pl.col(name) for name in names if name in entry.columns]
        guess = {
            f"{side}_open": pl.col(f"{side}_close"),
            f"{side}_high": pl.max_horizontal(seen),
            f"{side}_low": pl.min_horizontal(seen),
        }
        made += [expr.alias(name) for name, expr in guess.items() if name not in entry.columns]
    return made


def _settlements(frame: pl.DataFrame, entry: Entry, known: Known) -> Finished:
    result = pl.col("result").str.to_lowercase()
    usual = pl.when(result == "yes").then(PRICE_SCALE).when(result == "no").then(0)
    payout = pl.coalesce("payout", usual) if "payout" in entry.columns else usual
    frame = frame.with_columns(result=result, payout=payout.cast(pl.Int64))
    asked = []
    if entry.columns["close_time"].last_candle:
        last = known("candles", "ticker", "time").group_by("ticker").agg(close_time=pl.max("time"))
        frame = frame.join(last, on="ticker", how="left", maintain_order="left")
        asked.append(Check("no_candle", pl.col("close_time").is_null(), show("ticker")))
    if "time" not in entry.columns:
        lag = pl.duration(microseconds=parse_duration(entry.settlement_lag))
        frame = frame.with_columns(time=pl.col("close_time") + lag)
    return frame, asked


_FINISH: dict[str, Callable[[pl.DataFrame, Entry, Known], Finished]] = {
    "series": _series,
    "markets": _markets,
    "candles": _candles,
    "trades": _trades,
    "settlements": _settlements,
}
