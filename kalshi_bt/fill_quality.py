"""What each fill cost against the quotes at its decision, and what the market said of it later."""

from datetime import timedelta

import polars as pl

from kalshi_bt.quoted import Facts, Quoted
from kalshi_bt.run_schema import FILL_QUALITY, MARKOUTS
from kalshi_bt.units import PRICE_SCALE

_PRICE = pl.col("price").cast(pl.Int64)
_BUYS = pl.col("quantity") > 0  # of YES; who sells YES gains where who buys it loses


def _dollars(centicents: pl.Expr, parts: int = 1) -> pl.Expr:
    """Return a sum of prices in dollars, whatever its range; it was taken `parts` times."""
    return centicents / (parts * PRICE_SCALE)


def fill_quality(quoted: Quoted, facts: Facts, decided: pl.DataFrame) -> pl.DataFrame:
    """Return what each fill that is a trade was worth: frame of `run_schema.FILL_QUALITY`.

    Parameters
    ----------
    quoted : Quoted
    facts : Facts
    decided : frame
        As `decisions.decisions` returns it.

    Notes
    -----
    A mark-out is that of the last bar with both sides quoted that ended after the fill and at most
    the named time later; there is none where trading in the market ended before that time was over.
    """
    fills = facts.of(decided.filter(pl.col("kind") == "trade"))
    marks = {}
    for name, seconds in MARKOUTS.items():
        later = fills["time"] + timedelta(seconds=seconds)
        quotes = quoted.at(quoted.two_sided(fills["market"], fills["time"], later))
        mids = quotes.select(pl.col("bid").cast(pl.Int64) + pl.col("ask")).to_series()
        marks[f"markout_{name}"] = mids
    gain = {name: pl.col(name) - 2 * _PRICE for name in marks}
    gain["markout_final"] = 2 * (pl.col("payout").cast(pl.Int64) - _PRICE)
    beyond = pl.when(_BUYS).then(_PRICE - pl.col("ask")).otherwise(pl.col("bid") - _PRICE)
    table = fills.with_columns(**marks).with_columns(
        half_spread=_dollars(pl.col("ask") - pl.col("bid"), 2),
        slippage=_dollars(beyond),
        **{
            name: _dollars(pl.when(_BUYS).then(twice).otherwise(-twice), 2)
            for name, twice in gain.items()
        },
    )
    return FILL_QUALITY.check(table)
