"""Trading hours: the part of a day, on the clock of a place, in which entries may be decided."""

import re
from datetime import time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from kalshi_bt.errors import UsageError
from kalshi_bt.simulator.state import Ints

_FORM = re.compile(r"(\d\d:\d\d)-(\d\d:\d\d) (\S+)")


def parse(text: str) -> tuple[time, time, str]:
    """Return (first moment, end, time zone) of hours such as ``09:30-16:00 America/New_York``.

    Raises
    ------
    UsageError
        If the text has another form, a time or the zone does not exist, or both times are the same.

    Examples
    --------
    >>> parse("22:00-06:00 UTC")
    (datetime.time(22, 0), datetime.time(6, 0), 'UTC')
    """
    wrong = f"trading_hours is {text!r}; expected such as '09:30-16:00 America/New_York'"
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise UsageError(wrong)
    try:
        begin, end = (time.fromisoformat(found[k]) for k in (1, 2))
        zone = ZoneInfo(found[3]).key
    except (ValueError, ZoneInfoNotFoundError, OSError):
        raise UsageError(wrong) from None
    if begin == end:
        raise UsageError(f"trading_hours is {text!r}; the two times must differ")
    return begin, end, zone


def outside(times: pl.Series, hours: str | None) -> Ints:
    """Return 1 for each time outside the hours, 0 for the rest.

    Parameters
    ----------
    times : Series of schema.Time
        UTC.
    hours : str, optional
        As `parse` takes them: from the first moment up to, not including, the end, over midnight
        where the end comes first. Without hours nothing is outside.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> noon = pl.Series([datetime(2026, 7, 1, 12, tzinfo=UTC)], dtype=pl.Datetime("us", "UTC"))
    >>> outside(noon, "09:30-16:00 America/New_York"), outside(noon, "07:00-09:00 America/New_York")
    (array([1]), array([0]))
    """
    if hours is None:
        return pl.zeros(len(times), dtype=pl.Int64, eager=True).to_numpy()
    begin, end, zone = parse(hours)
    clock = times.dt.convert_time_zone(zone).dt.time()
    after, before = clock >= begin, clock < end
    within = (after & before) if begin < end else (after | before)
    return (~within).cast(pl.Int64).to_numpy()
