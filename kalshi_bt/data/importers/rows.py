"""What a file leaves unsaid about its rows: ends of bars, empty sides, payouts, settlement times.

Each function takes the typed cells of one table and returns them with what follows from the
mapping, and the checks on what had to be looked up.
"""

from collections.abc import Callable

import polars as pl

from kalshi_bt.data.importers.cells import LESS, RAW, SIDE
from kalshi_bt.data.importers.mapping import SIDES, Entry
from kalshi_bt.data.kalshi.parse import OPEN
from kalshi_bt.data.validate import Check, show
from kalshi_bt.schema import OHLC, STORED, DeterminationStatus, Levels
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


def _references(frame: pl.DataFrame, entry: Entry, _known: Known) -> Finished:
    field = pl.col("field") if "field" in entry.columns else pl.lit("value")
    said = [pl.col(name).is_not_null() for name in ("value", "text") if name in entry.columns]
    nothing = ~pl.any_horizontal(said) if said else pl.lit(True)
    return frame.with_columns(field=field), [Check("null_value", nothing, show("symbol"))]


def _markets(frame: pl.DataFrame, entry: Entry, _known: Known) -> Finished:
    return frame.with_columns(price_ranges=entry.ranges().first()), []


def _trades(frame: pl.DataFrame, entry: Entry, known: Known) -> Finished:
    return _before_close(frame, entry, known)


def _candles(frame: pl.DataFrame, entry: Entry, known: Known) -> Finished:
    frame, asked = _before_close(frame, entry, known)
    if entry.side is not None:
        frame, asked = _of_yes(frame), [*asked, _NO_SIDE]
    if entry.columns["time"].label == "start":
        frame = frame.with_columns(pl.col("time") + pl.duration(seconds="period"))
    if entry.quotes == "snapshot":
        frame = frame.with_columns(_span(entry))
    for side, empty in _empty(entry).items():
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


_NO_SIDE = Check("unknown_side", pl.col(SIDE).is_null(), pl.lit("no side"))
_MIRROR = {"open": "open", "high": "low", "low": "high", "close": "close"}


def _of_yes(frame: pl.DataFrame) -> pl.DataFrame:
    """Turn the prices of rows that state those of NO: a bid for NO is an ask of YES."""
    words = pl.col(SIDE).cast(pl.String).str.to_lowercase()
    no = words.replace_strict(["yes", "no"], [False, True], default=None, return_dtype=pl.Boolean)
    frame = frame.with_columns(no.alias(SIDE))
    turned = []
    for prefix, other in (("price", "price"), ("bid", "ask"), ("ask", "bid")):
        for part in OHLC:
            name, source = f"{prefix}_{part}", f"{other}_{_MIRROR[part]}"
            if source in frame.columns:
                price = pl.when(pl.col(SIDE)).then(PRICE_SCALE - pl.col(source))
                kept = pl.col(name) if name in frame.columns else None
                turned.append(price.otherwise(kept).alias(name))
    return frame.with_columns(turned)


def _books(frame: pl.DataFrame, entry: Entry, _known: Known) -> Finished:
    """Make one level of each side that was not empty, and the checks on its price."""
    empty = _empty(entry)
    for side in SIDES:
        price = pl.col(side)
        frame = frame.with_columns(pl.when(price != empty[side]).then(price))
        if f"{side}_size" not in frame.columns:
            frame = frame.with_columns(pl.lit(None, dtype=pl.Int64).alias(f"{side}_size"))
        level = pl.struct(price.alias("price"), pl.col(f"{side}_size").alias("size"))
        none = pl.lit([], dtype=Levels)
        levels = pl.when(price.is_null()).then(none).otherwise(pl.concat_list(level.cast(_LEVEL)))
        frame = frame.with_columns(levels.alias(f"{side}s"))
    bid, ask = pl.col("bid"), pl.col("ask")
    asked = [
        Check("price_range", ~(bid.is_between(0, PRICE_SCALE)), show("bid", "ask")),
        Check("price_range", ~(ask.is_between(0, PRICE_SCALE)), show("bid", "ask")),
        Check("quote_at_limit", (bid == PRICE_SCALE) | (ask == 0), show("bid", "ask")),
        Check("crossed", bid > ask, show("bid", "ask")),
        Check(
            "negative_quantity",
            pl.min_horizontal("bid_size", "ask_size") < 0,
            show("bid_size", "ask_size"),
        ),
    ]
    return frame, asked


_LEVEL = pl.Struct({"price": pl.Int64, "size": pl.Int64})


def _empty(entry: Entry) -> dict[str, int]:
    """Return the bid and the ask that mean an empty side."""
    scale = PRICE_UNITS[entry.price_unit or "dollars"]
    given = {"bid": entry.empty_bid, "ask": entry.empty_ask}
    usual = {"bid": 0, "ask": PRICE_SCALE}
    return {n: usual[n] if word is None else round(word * scale) for n, word in given.items()}


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


def _determinations(frame: pl.DataFrame, _entry: Entry, _known: Known) -> Finished:
    """Take the exchange's words; a payout that is disputed is not known."""
    status = pl.col("status").str.to_lowercase().replace("settled", "finalized")
    frame = frame.with_columns(status=status)
    if "payout" in frame.columns:
        frame = frame.with_columns(payout=pl.when(status != "disputed").then("payout"))
    else:
        frame = frame.with_columns(payout=pl.lit(None, dtype=pl.Int64))
    known = pl.col("status").is_in(DeterminationStatus.categories)
    return frame, [Check("unknown_status", ~known, show("status"))]


def unsettled(entry: Entry) -> dict[str, pl.Expr]:
    """Return which rows of an entry are markets without a result, which nobody wants."""
    if entry.into == "settlements":
        return {"open": pl.col(RAW + "result").is_null()}
    if entry.into == "determinations":
        status = pl.col("status")
        return {"open": status.is_null() | status.is_in([*OPEN, "closed"])}
    return {}


_FINISH: dict[str, Callable[[pl.DataFrame, Entry, Known], Finished]] = {
    "series": _series,
    "markets": _markets,
    "candles": _candles,
    "trades": _trades,
    "settlements": _settlements,
    "determinations": _determinations,
    "books": _books,
    "references": _references,
}
