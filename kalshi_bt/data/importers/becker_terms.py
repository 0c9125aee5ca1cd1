"""Terms of a market read from its ticker and subtitle: the scheduled close and the strikes.

The layout has neither. Both are known at listing, except the strike of a fifteen-minute market,
which is known at its open.
"""

import polars as pl

from kalshi_bt.data.parts import series_of

EASTERN = "America/New_York"
# The date of the event, and its hour (22, H1600) or hour and minute (0330): 26FEB150330
_CLOCK = r"^[A-Za-z0-9]+-(\d{2}[A-Z]{3}\d{2})H?(\d{2})(\d{2})?(?:-|$)"
_QUARTER = r"15M$"
_SUFFIX = r"-([TB])(-?\d+(?:\.\d+)?)$"
_NUMBER = r"(-?\d[\d,]*(?:\.\d+)?)"
_RANGE = _NUMBER + r"\D*? to \D*?" + _NUMBER


def scheduled(ended: pl.Expr) -> pl.Expr:
    """Return the close that the ticker states, in UTC; null where it states none.

    Parameters
    ----------
    ended : expression
        When trading ended, as the archive has it. In most series only a ticker whose clock agrees
        with it is believed: the clock may also be the start of a game. The clock of a
        fifteen-minute market is its close, whatever else is known.

    Examples
    --------
    >>> frame = pl.DataFrame({"event": ["KXBTC15M-26FEB150330"], "ended": [None]})
    >>> end = pl.col("ended").cast(pl.Datetime("us", "UTC"))
    >>> frame.select(scheduled(end)).item().isoformat()
    '2026-02-15T08:30:00+00:00'
    """
    event = pl.col("event")
    parts = [event.str.extract(_CLOCK, n) for n in (1, 2, 3)]
    text = pl.concat_str(parts[0], parts[1], parts[2].fill_null("00"))
    wall = text.str.to_titlecase().str.to_datetime("%y%b%d%H%M", strict=False, time_unit="us")
    # In the hour that autumn repeats a clock means two times; the market tells which.
    first, last = (
        wall.dt.replace_time_zone(
            EASTERN, ambiguous=which, non_existent="null"
        ).dt.convert_time_zone("UTC")
        for which in ("earliest", "latest")
    )
    quarter = series_of("event").str.contains(_QUARTER) & (first == last)
    agrees = (ended == first) | (ended == last)
    return pl.when(agrees).then(ended).when(quarter).then(first)


def strikes() -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """Return strike_type, floor_strike and cap_strike, from the columns ticker, event and subtitle.

    Notes
    -----
    ``-T72`` is a threshold; whether YES is above or below it, and whether it belongs to YES, only
    the subtitle says ("71° or below"). ``-B74.5`` is the middle of a range whose ends are in the
    subtitle ("74° to 75°"). The last number of a fifteen-minute ticker is a minute; the strike
    stands in the subtitle ("Target Price: $77,314.22"), once it is known. Where the two do not fit
    there is no strike.
    """
    kind, mark = (pl.col("ticker").str.extract(_SUFFIX, n) for n in (1, 2))
    at = mark.cast(pl.Float64, strict=False)
    said = pl.col("subtitle").str.to_lowercase()
    one, low, high = _number(_NUMBER, 1), _number(_RANGE, 1), _number(_RANGE, 2)
    quarter = series_of("event").str.contains(_QUARTER)
    target = pl.when(quarter & said.str.contains("target price|price to beat")).then(one)
    threshold = (kind == "T") & ~quarter
    up = said.str.contains("above|more|over|greater|higher|at least")
    down = ~up & said.str.contains("below|less|under|fewer|lower|at most")
    above = threshold & up & (one.is_null() | (one >= at))
    below = threshold & down & (one.is_null() | (one <= at))
    within = said.str.contains("or above|or more|or greater|or higher|at least") & (one == at)
    until = said.str.contains("or below|or less|or fewer|or lower|at most") & (one == at)
    between = (kind == "B") & ~quarter & at.is_between(low, high)
    strike_type = (
        pl.when(target.is_not_null() | (above & within))
        .then(pl.lit("greater_or_equal"))
        .when(above)
        .then(pl.lit("greater"))
        .when(below & until)
        .then(pl.lit("less_or_equal"))
        .when(below)
        .then(pl.lit("less"))
        .when(between)
        .then(pl.lit("between"))
    )
    floor = pl.coalesce(target, pl.when(above).then(at), pl.when(between).then(low))
    cap = pl.coalesce(pl.when(below).then(at), pl.when(between).then(high))
    return strike_type, floor, cap


def _number(pattern: str, group: int) -> pl.Expr:
    """Return a number of the subtitle."""
    text = pl.col("subtitle").str.extract(pattern, group)
    return text.str.replace_all(",", "").cast(pl.Float64, strict=False)
