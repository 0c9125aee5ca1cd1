"""The exchange's weekly maintenance: Thursday 03:00 to 05:00 in New York, when nothing trades."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from kalshi_bt.simulator.state import Ints
from kalshi_bt.units import DAY, SECOND

ZONE = ZoneInfo("America/New_York")
BEGIN, END = time(3), time(5)
HOUR = DAY // 24
WEEK = 7 * DAY
# Of a week from Thursday midnight UTC on: when a pause can begin at first and end at last.
EARLIEST, LATEST = 7 * HOUR, 10 * HOUR
_ORIGIN = date(1970, 1, 1)  # a Thursday


def pauses(first: int, last: int) -> Ints:
    """Return the pauses that overlap first ... last, at most a week more at either end.

    Parameters
    ----------
    first, last : int
        Microseconds since 1970.

    Returns
    -------
    Int64 (n, 2)
        First moment and end of each, microseconds since 1970, rising.

    Examples
    --------
    New York is four hours behind UTC in summer:

    >>> from datetime import UTC, datetime
    >>> noon = int(datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000
    >>> [str(datetime.fromtimestamp(t / 1e6, UTC)) for t in pauses(noon, noon)[-1]]
    ['2026-07-02 07:00:00+00:00', '2026-07-02 09:00:00+00:00']
    """
    weeks = range(first // WEEK, last // WEEK + 2)
    days = (_ORIGIN + timedelta(weeks=week) for week in weeks)
    rows = [[_moment(day, clock) for clock in (BEGIN, END)] for day in days]
    return np.array(rows, np.int64).reshape(-1, 2)


def _moment(day: date, clock: time) -> int:
    """Return the UTC microseconds of a time of a day in New York."""
    moment = datetime.combine(day, clock, ZONE).astimezone(UTC)
    return int(moment.timestamp()) * SECOND
