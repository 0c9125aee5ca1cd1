"""Which fee terms a series has at a time: as the exchange published them, or as a dataset has them.

A run reads its terms from its dataset. Where there is none, to explain a single fee or to reconcile
an account, the few series stand in for it whose terms are known.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from types import MappingProxyType
from typing import Final

import polars as pl

from kalshi_bt.errors import UsageError
from kalshi_bt.fees import rates
from kalshi_bt.units import RATE_SCALE

ROLES: Final = ("taker", "maker")
Row = tuple[datetime, str | None, int | None]  # from when, fee type, multiplier (parts per million)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = datetime(2022, 9, 1, tzinfo=UTC)  # the month of the first schedule filed with the CFTC
_INDEX_UNTIL = datetime(2026, 7, 3, 17, tzinfo=UTC)
_SEEN = datetime(2026, 10, 9, tzinfo=UTC)  # all series as the public API listed them
# Before, makers of the listed series paid a flat quarter of a cent a contract.
MAKER_RATES_FROM: Final = datetime(2025, 7, 1, tzinfo=UTC)

_FREE, _MAKERS = "quadratic", "quadratic_with_maker_fees"
_HALF = RATE_SCALE // 2
_USUAL: tuple[Row, ...] = ((_FIRST, _FREE, RATE_SCALE),)
_WITH_MAKERS: tuple[Row, ...] = ((_FIRST, _MAKERS, RATE_SCALE),)
_INDEX: tuple[Row, ...] = ((_FIRST, _FREE, _HALF), (_INDEX_UNTIL, _FREE, RATE_SCALE))
_INDEX_YEAR: tuple[Row, ...] = ((_FIRST, _MAKERS, _HALF), (_INDEX_UNTIL, _MAKERS, RATE_SCALE))
_NOTHING: tuple[Row, ...] = ((_SEEN, _FREE, 0),)
# July 2026: charged at 1 days before a game as well; halved until the first pitch when seen again.
_BASEBALL: tuple[Row, ...] = ((_FIRST, _MAKERS, RATE_SCALE), (_SEEN, _MAKERS, _HALF))
_COINS = ("BTC", "ETH", "SOL", "XRP", "DOGE", "BNB", "HYPE", "ZEC", "NEAR")


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms in force.

    Attributes
    ----------
    fee_type : str
        As the exchange names it.
    multiplier : int
        Parts per million; 0 is a value.
    since : datetime or None
        When they began; None if they were given and not looked up.
    source : str
        Where they were found, in words.
    """

    fee_type: str
    multiplier: int
    since: datetime | None
    source: str

    def rate(self, role: str, time: datetime | None) -> int:
        """Return the rate of a role, parts per million.

        Raises
        ------
        UsageError
            If the role is unknown, or makers paid a flat fee at that time.

        Examples
        --------
        >>> Terms("quadratic_with_maker_fees", 500_000, None, "as given").rate("maker", None)
        8750
        """
        if role not in ROLES:
            raise UsageError.unknown("role", role, ROLES)
        rate = rates(self.fee_type, self.multiplier)[ROLES.index(role)]
        if role == "maker" and rate and time is not None and time < MAKER_RATES_FROM:
            raise UsageError(
                "makers paid a flat fee per contract until 2025-06-30, on dates and series that "
                "were not recorded; only fees from 2025-07-01 on can be computed"
            )
        return rate


@dataclass(frozen=True, slots=True)
class Schedule:
    """Dated terms of series, and of the events that differ from theirs.

    Attributes
    ----------
    series, events : mapping of str to tuple of (datetime, fee type, multiplier)
        By name, each in order of time. In the row of an event None is what the series has.
    source : str
        Where they come from, in words.
    """

    series: Mapping[str, tuple[Row, ...]]
    events: Mapping[str, tuple[Row, ...]] = field(default_factory=lambda: MappingProxyType({}))
    source: str = "built-in table"

    @classmethod
    def of_dataset(cls, series: pl.DataFrame, event_fees: pl.DataFrame | None = None) -> "Schedule":
        """Return the schedule of the tables of a dataset.

        Parameters
        ----------
        series : frame of schema.SERIES
            The first row of a series also holds for all time before it.
        event_fees : frame of schema.EVENT_FEES, optional
        """
        known = _rows(series, "series")
        known = {name: ((_EPOCH, *rows[0][1:]), *rows[1:]) for name, rows in known.items()}
        own = {} if event_fees is None else _rows(event_fees, "event")
        return cls(known, own, "dataset")

    def at(self, series: str, time: datetime | None, event: str | None = None) -> Terms:
        """Return the terms of a series, or of one of its events, at a time.

        Parameters
        ----------
        time : datetime or None
            None: the newest there are.

        Raises
        ------
        UsageError
            If the series is not known, or not yet at that time.

        Examples
        --------
        >>> PUBLISHED.at("KXINX", datetime(2026, 7, 3, 16, tzinfo=UTC)).multiplier
        500000
        >>> PUBLISHED.at("KXINX", None).multiplier
        1000000
        """
        cure = (
            "give its fee type and multiplier (--fee-type quadratic --multiplier 1), "
            "or a dataset whose table 'series' has it"
        )
        rows = self.series.get(series)
        if rows is None:
            raise UsageError(f"the fee terms of series {series!r} are not known; {cure}")
        row = _latest(rows, time)
        if row is None:
            day = f"{rows[0][0]:%Y-%m-%d}"
            raise UsageError(f"the fee terms of {series!r} are not known before {day}; {cure}")
        since, fee_type, multiplier = row
        own = _latest(self.events.get(event or "", ()), time)
        if own is not None and own[1:] != (None, None):
            since = max(since, own[0])
            fee_type = fee_type if own[1] is None else own[1]
            multiplier = multiplier if own[2] is None else own[2]
        if fee_type is None or multiplier is None:
            raise UsageError(f"the fee row of series {series!r} at {since} is not complete")
        return Terms(fee_type, multiplier, since, self.source)


def _rows(frame: pl.DataFrame, key: str) -> dict[str, tuple[Row, ...]]:
    found: dict[str, tuple[Row, ...]] = {}
    columns = (key, "effective_from", "fee_type", "fee_multiplier")
    for name, *row in frame.sort(key, "effective_from").select(columns).iter_rows():
        found[name] = (*found.get(name, ()), (row[0], row[1], row[2]))
    return found


def _latest(rows: tuple[Row, ...], time: datetime | None) -> Row | None:
    """Return the last row that has begun at a time."""
    index = len(rows) if time is None else bisect_right(rows, time, key=lambda row: row[0])
    return rows[index - 1] if index else None


def parse_multiplier(text: str | float) -> int:
    """Return parts per million from a multiplier such as ``1``, ``0.5`` or ``1/2``.

    Raises
    ------
    UsageError
        If it is negative or no whole number of parts per million.

    Examples
    --------
    >>> parse_multiplier("0.5"), parse_multiplier(0)
    (500000, 0)
    """
    try:
        value = Fraction(str(text)) * RATE_SCALE
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"{text!r} is not a multiplier, such as 1 or 0.5") from None
    if value < 0 or value.denominator != 1:
        raise UsageError(f"multiplier {text} is not a whole, positive number of 0.000001")
    return int(value)


def general_terms() -> Terms:
    """Return the terms of every series for which the exchange has not published its own.

    Examples
    --------
    >>> general_terms().fee_type
    'quadratic'
    """
    return Terms(_FREE, RATE_SCALE, _FIRST, "general schedule")


# From the fee schedule (editions of 2026-02-05 and 2026-07-07), the exchange's log of fee changes,
# its list of series of 2026-10-09, and what one recorded account was charged in July 2026.
PUBLISHED: Final = Schedule(
    MappingProxyType(
        {
            **dict.fromkeys((f"KX{coin}15M" for coin in _COINS), _USUAL),
            **dict.fromkeys((f"KX{coin}D" for coin in ("BTC", "ETH", "SOL", "XRP")), _USUAL),
            **dict.fromkeys(("KXBTC", "KXBNBD", "KXHYPED", "KXHIGHNY", "KXHIGHMIA"), _USUAL),
            **dict.fromkeys(("KXNBAGAME", "KXNBASPREAD", "KXNBATOTAL", "KXLLM1"), _WITH_MAKERS),
            **dict.fromkeys(("KXATPMATCH", "KXWTAMATCH", "KXWNBAGAME"), _WITH_MAKERS),
            **dict.fromkeys(("INX", "INXU", "NASDAQ100", "NASDAQ100U"), _INDEX),
            **dict.fromkeys(("KXINX", "KXINXU", "KXNASDAQ100", "KXNASDAQ100U"), _INDEX),
            **dict.fromkeys(("KXINXY", "KXNASDAQ100Y"), _INDEX_YEAR),
            **dict.fromkeys(("KXBTCY", "KXETHY", "KXTRUMPOUT", "KXGREENLAND", "KXDOED"), _NOTHING),
            **dict.fromkeys(("KXGAMBLINGREPEAL", "KXCITRINI", "KXLAYOFFSYINFO"), _NOTHING),
            **dict.fromkeys(("KXELECTIRAN", "KXIRANDEMOCRACY", "KXGDPYEAR"), _NOTHING),
            "KXMLBGAME": _BASEBALL,
        }
    )
)
