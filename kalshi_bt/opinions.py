"""What a signal said of each market at stated moments, what was quoted, and what it came to."""

from datetime import timedelta

import polars as pl

from kalshi_bt.quoted import Facts, Quoted
from kalshi_bt.run_schema import FIRST, FORECASTS, HORIZONS
from kalshi_bt.units import dollars


def opinions(quoted: Quoted, facts: Facts, said: pl.DataFrame, period: int) -> pl.DataFrame:
    """Return one opinion a market and moment: frame of `run_schema.FORECASTS`.

    Parameters
    ----------
    quoted : Quoted
    facts : Facts
    said : frame
        Row i is bar i: `fair`, null where the signal says nothing; without that column it states
        no probability.
    period : int
        Seconds of a bar.

    Notes
    -----
    The first opinion is that of the first bar with both sides quoted on which the signal spoke, of
    one that states no probability the first with both sides quoted. That of a horizon is what was
    said on the last bar that ended by then, measured back from the scheduled close, unless it is
    older than two bars and than a quarter of the horizon. No row is of a bar after trading ended,
    which is the actual close, of a market not settled in this data the scheduled one. A market
    whose schedule is not known has the first alone.
    """
    fair = said["fair"].fill_nan(None) if "fair" in said.columns else None
    chosen = [_first(quoted, fair)]
    listed = facts.markets.select("close_time").with_row_index("market")
    listed = listed.filter(pl.col("close_time").is_not_null())
    chosen += [
        _before(quoted, listed, name, timedelta(seconds=seconds), timedelta(seconds=period))
        for name, seconds in HORIZONS.items()
    ]
    rows = pl.concat(chosen)
    rows = rows.hstack(quoted.at(rows["row"]))
    spoken = pl.lit(None, pl.Float64) if fair is None else fair.gather(rows["row"])
    table = facts.of(rows.with_columns(fair=spoken)).with_columns(
        outcome=dollars("payout"),
        mid=(dollars("bid") + dollars("ask")) / 2,
        bid=dollars("bid"),
        ask=dollars("ask"),
    )
    return FORECASTS.check(table.sort(FORECASTS.key))


def _first(quoted: Quoted, fair: pl.Series | None) -> pl.DataFrame:
    """Return market, row and point of the first opinions."""
    last = pl.Series(quoted.tape.markets["last"]).cast(pl.UInt32)
    known = pl.col("bid_close").is_not_null() & pl.col("ask_close").is_not_null()
    if fair is not None:
        known &= fair.is_not_null()
    bars = quoted.bars.lazy().select("market", "bid_close", "ask_close").with_row_index("row")
    found = bars.filter(known, pl.col("row") < pl.lit(last).gather("market"))
    first = found.group_by("market", maintain_order=True).agg(pl.col("row").first()).collect()
    return first.select("market", "row", point=pl.lit(FIRST))


def _before(
    quoted: Quoted, listed: pl.DataFrame, name: str, horizon: timedelta, bar: timedelta
) -> pl.DataFrame:
    """Return market, row and point of the last bars by a time before the scheduled close."""
    moment = listed["close_time"] - horizon
    row = quoted.last(listed["market"], moment)
    age = moment - quoted.at(row)["time"]
    found = pl.DataFrame({"market": listed["market"], "row": row, "age": age})
    fresh = pl.col("age") <= max(2 * bar, horizon / 4)
    return found.filter(fresh).select("market", "row", point=pl.lit(name))
