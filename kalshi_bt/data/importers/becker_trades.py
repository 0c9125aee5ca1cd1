"""Trades of the layout: whole cents, some of them cut down from dollars given as text.

A newer collector made cents with ``int(float(dollars) * 100)``, which turns 29, 57 and 58 into 28,
56 and 57. The other side comes out right, so the two add up to 99 and the one of {28, 56, 57} lacks
a cent. Where prices have parts of a cent both sides are cut down and also add up to 99: there
nothing is repaired, and the price stays the whole cents of YES, which is up to a cent too low.
"""

import polars as pl

from kalshi_bt.data.validate import Check, checks, show
from kalshi_bt.schema import TRADES
from kalshi_bt.units import PRICE_UNITS, QUANTITY_SCALE

LOOKED_AT = ("ticker", "yes_price", "no_price")  # by `fine`
FINE = "fine"  # prices of this market have parts of a cent
REPAIRED, CUT = "repaired", "cut"
SUB_CONTRACT, SUM = "sub_contract", "price_sum"
REASONS = {
    SUB_CONTRACT: "less than one contract, which the collector stored as 0",
    SUM: "the prices of YES and NO add up to neither 100 nor 99 cents",
}
_WRONG = (28, 56, 57)
_YES, _NO = pl.col("yes_price"), pl.col("no_price")
_LACKS = _YES + _NO == 99
_YES_LACKS, _NO_LACKS = _LACKS & _YES.is_in(_WRONG), _LACKS & _NO.is_in(_WRONG)


def fine(frame: pl.DataFrame) -> list[str]:
    """Return the tickers of a chunk that show prices with parts of a cent.

    Notes
    -----
    A sum of 99 that no lost cent explains shows such parts. Many markets have them below 10 and
    above 90 cents only, so what is seen there says nothing of {28, 56, 57}.
    """
    seen = _LACKS & _YES.is_between(10, 89) & ~(_YES_LACKS | _NO_LACKS)
    return frame.filter(seen)["ticker"].drop_nulls().unique().to_list()


def typed(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a chunk as rows of the table, repaired, beside what was read.

    Parameters
    ----------
    frame : frame
        Columns of the files, and `fine`.

    Returns
    -------
    frame
        `schema.TRADES` in wide integers, `repaired` and `cut` (sums of 99 left as they are).
    """
    sure = ~pl.col(FINE).fill_null(False)
    yes = _YES + (_YES_LACKS & sure).fill_null(False).cast(pl.Int64)
    side = pl.col("taker_side").str.to_lowercase()
    mended = (sure & (_YES_LACKS | _NO_LACKS)).fill_null(False)
    return frame.with_columns(
        time="created_time",
        price=yes * PRICE_UNITS["cents"],
        quantity=pl.col("count") * QUANTITY_SCALE,
        taker=pl.when(side == "yes").then(1).when(side == "no").then(-1).cast(pl.Int8),
        repaired=mended,
        cut=_LACKS.fill_null(False) & ~mended,
    ).rename({"taker_side": "side", "taker": "taker_side"})


def asked() -> list[Check]:
    """Return the checks of a typed chunk, in order."""
    return [
        Check("unknown_side", pl.col("side").is_not_null() & pl.col("taker_side").is_null(),
              pl.format("taker_side={}", pl.col("side"))),
        Check(SUB_CONTRACT, pl.col("count") == 0, show("count")),
        Check(SUM, ~(_YES + _NO).is_in([99, 100]), show("yes_price", "no_price")),
        *checks("trades"),
    ]  # fmt: skip


def stored(frame: pl.DataFrame) -> pl.DataFrame:
    """Return typed rows that passed as they are stored; of several with one key the last."""
    rows = frame.select(pl.col(name).cast(dtype) for name, dtype in TRADES.columns.items())
    rows = rows.sort(TRADES.key, maintain_order=True)
    replaced = pl.all_horizontal(pl.col(name) == pl.col(name).shift(-1) for name in TRADES.key)
    return rows.filter(~replaced.fill_null(False))
