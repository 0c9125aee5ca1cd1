"""What makes a row unusable, said once: the importers sift with it, and so may any later audit.

A check is a Polars expression that is true where a row fails; null never fails. The checks work on
the stored types and on wider integers alike, so a value can be judged before it is narrowed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from kalshi_bt.schema import OHLC, STORED, Table
from kalshi_bt.units import PRICE_SCALE

FEE_TYPES = ("quadratic", "quadratic_with_maker_fees", "quadratic_with_combo_maker_fees")
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

REASONS = {
    "null_key": "a column of the key is null",
    "null_value": "a column is null where null has no meaning",
    "unparsable_number": "the text is no finite number",
    "unparsable_time": "the text is no time, or the zone's clock skips or repeats it",
    "unmapped": "the value is none of those the mapping translates",
    "no_match": "the value does not match the mapping's pattern",
    "off_grid": "a price is no multiple of 0.0001 dollars, or a quantity none of 0.01 contracts",
    "price_range": "a price is below 0 or above 1 dollar",
    "trade_at_limit": "a trade at 0 or 1 dollar, where nothing can trade",
    "quote_at_limit": "a bid of 1 dollar or an ask of 0, which nobody can make",
    "partial_price": "some, but not all, of open, high, low and close are known",
    "ohlc_disorder": "the high is below, or the low above, another price of its bar",
    "crossed": "the bid is above the ask (see `crossed`)",
    "negative_quantity": "a quantity is negative, or a trade has none",
    "bad_period": "the period of a bar is not positive, or longer than a year",
    "time_range": "a time before 2000 or after 2199: its unit is probably another",
    "close_before_open": "a market closes before it opens",
    "unknown_ticker": "the ticker is not in the table of markets",
    "no_close_time": "the close of the market is needed and not known",
    "no_candle": "the last candle of the market is needed and there is none",
    "unknown_result": "the result is none of yes, no and scalar",
    "payout_conflict": "the payout is not that of the result",
    "settled_before_close": "a market is paid before it closes",
    "unknown_status": "the status is none of determined, disputed, amended and finalized",
    "impossible_step": "a result cannot go from its state to this one (see `lifecycle`)",
    "unknown_side": "the taker's side is neither yes nor no",
    "unknown_fee_type": "the fee type is none of those the exchange has",
    "sub_contract": "less than one contract, which a collector stored as 0",
    "price_sum": "the prices of YES and NO add up to neither 100 nor 99 cents",
    "unreadable_line": "a line of a recording that is no message",
    "duplicate": "an earlier row says exactly the same",
    "duplicate_key": "an earlier row with the same key says something else",
}


@dataclass(frozen=True)
class Check:
    """One way for a row to be unusable.

    Attributes
    ----------
    reason : str
        A name of `REASONS`.
    fails : expression
        True where the row fails.
    found : expression
        What is wrong with it, as text.
    """

    reason: str
    fails: pl.Expr
    found: pl.Expr


def checks(table: str) -> tuple[Check, ...]:
    """Return the checks of one table, in the order in which they are to be asked.

    Parameters
    ----------
    table : str
        A name of `schema.STORED`.

    Examples
    --------
    >>> [check.reason for check in checks("references")]
    ['null_key', 'time_range', 'unparsable_number']
    """
    declared = STORED[table]
    return (*_declared(declared), *_TABLES.get(table, ()))


def sift(frame: pl.DataFrame, asked: Sequence[Check]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows that pass every check, and the others with their first reason.

    Parameters
    ----------
    frame : frame
        Rows with the columns the checks read.
    asked : sequence of Check
        Asked in order; a row is given the reason of the first it fails.

    Returns
    -------
    good, bad : frame
        `good` as `frame`; `bad` with the columns reason and found (text) added.

    Examples
    --------
    >>> check = Check("bad_period", pl.col("period") <= 0, show("period"))
    >>> _, bad = sift(pl.DataFrame({"period": [60, 0]}), [check])
    >>> bad.rows()
    [(0, 'bad_period', 'period=0')]
    """
    # Asked of all rows at once: whether a row repeats another cannot be asked of the failed alone.
    answers = frame.select(check.fails.alias(str(n)) for n, check in enumerate(asked))
    failed = answers.select(pl.any_horizontal(pl.all()).fill_null(False)).to_series()
    first = [(pl.col(str(n)), check) for n, check in enumerate(asked)]
    bad = pl.concat([frame.filter(failed), answers.filter(failed)], how="horizontal").select(
        pl.col(frame.columns),
        reason=pl.coalesce(pl.when(fails).then(pl.lit(check.reason)) for fails, check in first),
        found=pl.coalesce(pl.when(fails).then(check.found) for fails, check in first),
    )
    return frame.filter(~failed), bad


def show(*names: str) -> pl.Expr:
    """Return columns as text such as ``bid_high=7600, ask_high=null``."""
    texts = (pl.format(f"{n}={{}}", pl.col(n).cast(pl.String).fill_null("null")) for n in names)
    return pl.concat_str(*texts, separator=", ")


def unknown_ticker(known: pl.Series) -> Check:
    """Return the check that a row's ticker is among those known."""
    tickers = known.unique()
    return Check("unknown_ticker", ~pl.col("ticker").is_in(tickers.implode()), show("ticker"))


def duplicates(table: str, names: Sequence[str]) -> tuple[Check, ...]:
    """Return the checks that a row's key did not occur in an earlier row of the frame.

    Parameters
    ----------
    table : str
        A name of `schema.STORED`.
    names : sequence of str
        Columns that decide whether a later row says the same.
    """
    key = STORED[table].key
    again = ~pl.struct(key).is_first_distinct()
    same = ~pl.struct(names).is_first_distinct()
    return Check("duplicate", same, show(*key)), Check("duplicate_key", again, show(*key))


def crossed() -> Check:
    """Return the check that the bid is never above the ask.

    Notes
    -----
    At every moment bid <= ask, hence max bid <= max ask and min bid <= min ask: in a recorded bar
    all four pairs (open, high, low, close) must be in order. Of a snapshot only the close is a
    pair that was seen together. An empty side counts as a bid of 0 and an ask of 1 dollar.
    """
    recorded = pl.any_horizontal(_side("bid", part) > _side("ask", part) for part in OHLC)
    closed = _side("bid", "close") > _side("ask", "close")
    snapshot = pl.col("quote_source") == "snapshot"
    names = [f"{side}_{part}" for part in OHLC for side in ("bid", "ask")]
    return Check("crossed", pl.when(snapshot).then(closed).otherwise(recorded), show(*names))


def _declared(table: Table) -> list[Check]:
    """Return the checks that follow from the declaration of a table."""
    others = [n for n in table.columns if n not in table.key and n not in table.nullable]
    times = [n for n, dtype in table.columns.items() if isinstance(dtype, pl.Datetime)]
    found = [Check("null_key", _any_null(table.key), show(*table.key))]
    if others:
        found.append(Check("null_value", _any_null(others), show(*table.key, *others)))
    if times and table.name != "series":  # a fee may hold from the beginning of time
        outside = pl.any_horizontal(~pl.col(n).is_between(EARLIEST, LATEST) for n in times)
        found.append(Check("time_range", outside, show(*times)))
    return found


def _any_null(names: Sequence[str]) -> pl.Expr:
    return pl.any_horizontal(pl.col(n).is_null() for n in names)


def _side(side: str, part: str) -> pl.Expr:
    """Return a quote with an empty side at the end of the range."""
    return pl.col(f"{side}_{part}").fill_null(0 if side == "bid" else PRICE_SCALE)


def _outside(names: Sequence[str]) -> Check:
    fails = pl.any_horizontal(~pl.col(n).is_between(0, PRICE_SCALE) for n in names)
    return Check("price_range", fails, show(*names))


def _disorder(prefix: str) -> Check:
    """Return the check that low <= open, close <= high."""
    cells = {p: pl.col(f"price_{p}") if prefix == "price" else _side(prefix, p) for p in OHLC}
    others = (cells["open"], cells["close"])
    fails = pl.any_horizontal(
        cells["high"] < cells["low"],
        *(cells["high"] < other for other in others),
        *(cells["low"] > other for other in others),
    )
    return Check("ohlc_disorder", fails, show(*(f"{prefix}_{p}" for p in OHLC)))


def _negative(*names: str) -> Check:
    return Check("negative_quantity", pl.any_horizontal(pl.col(n) < 0 for n in names), show(*names))


_PRICE = [f"price_{part}" for part in OHLC]
_BID = [f"bid_{part}" for part in OHLC]
_ASK = [f"ask_{part}" for part in OHLC]
_KNOWN = pl.sum_horizontal(pl.col(n).is_not_null() for n in _PRICE)

_TABLES = {
    "candles": (
        Check("bad_period", ~pl.col("period").is_between(1, 366 * 86_400), show("period")),
        _outside([*_PRICE, *_BID, *_ASK]),
        Check(
            "trade_at_limit",
            pl.any_horizontal(pl.col(n).is_in([0, PRICE_SCALE]) for n in _PRICE),
            show(*_PRICE),
        ),
        Check(
            "quote_at_limit",
            pl.any_horizontal(
                *(pl.col(n) == PRICE_SCALE for n in _BID), *(pl.col(n) == 0 for n in _ASK)
            ),
            show(*_BID, *_ASK),
        ),
        Check("partial_price", _KNOWN.is_between(1, 3), show(*_PRICE)),
        _disorder("price"),
        _disorder("bid"),
        _disorder("ask"),
        crossed(),
        _negative("volume", "open_interest"),
    ),
    "markets": (
        Check(
            "close_before_open",
            pl.col("close_time") <= pl.col("open_time"),
            show("open_time", "close_time"),
        ),
    ),
    "settlements": (
        Check("unknown_result", ~pl.col("result").is_in(["yes", "no", "scalar"]), show("result")),
        _outside(["payout"]),
        Check(
            "payout_conflict",
            pl.when(pl.col("result") == "yes")
            .then(pl.col("payout") != PRICE_SCALE)
            .when(pl.col("result") == "no")
            .then(pl.col("payout") != 0),
            show("result", "payout"),
        ),
        Check(
            "settled_before_close",
            pl.col("time") < pl.col("close_time"),
            show("close_time", "time"),
        ),
    ),
    "determinations": (
        Check(
            "null_value",
            pl.col("payout").is_null() & (pl.col("status").cast(pl.String) != "disputed"),
            show("status", "payout"),
        ),
        _outside(["payout"]),
    ),
    "trades": (
        _outside(["price"]),
        Check("trade_at_limit", pl.col("price").is_in([0, PRICE_SCALE]), show("price")),
        Check("negative_quantity", pl.col("quantity") <= 0, show("quantity")),
        Check("unknown_side", ~pl.col("taker_side").is_in([-1, 1]), show("taker_side")),
    ),
    "series": (
        Check("unknown_fee_type", ~pl.col("fee_type").is_in(FEE_TYPES), show("fee_type")),
        _negative("fee_multiplier"),
    ),
    "references": (Check("unparsable_number", ~pl.col("value").is_finite(), show("value")),),
}
