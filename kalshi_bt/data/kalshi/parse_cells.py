"""Single values as the exchange writes them, exactly: text and numbers to integers and times.

Today prices and counts are decimal strings; before March 2026 they were whole cents and whole
contracts. The type tells them apart: text is dollars or contracts, an integer cents or contracts.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, TypeVar

from kalshi_bt.units import PRICE_SCALE, QUANTITY_SCALE, RATE_SCALE

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNSET = datetime(1, 1, 1, tzinfo=UTC)  # how the exchange's language writes "no time"
_LARGEST = 2**62
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")

T = TypeVar("T")


class UnreadableError(Exception):
    """A value that cannot be used.

    Attributes
    ----------
    reason : str
        A name of `kalshi_bt.data.validate.REASONS`.
    found : str
        Where and what.
    """

    def __init__(self, reason: str, found: object) -> None:
        super().__init__(f"{reason}: {found}")
        self.reason = reason
        self.found = str(found)


class Cells:
    """The cells of one object, read by name; every name asked for counts as known.

    Parameters
    ----------
    values : mapping
        A JSON object.
    where : str
        Its place, before the names in messages.
    """

    def __init__(self, values: Any, where: str = "") -> None:
        if not isinstance(values, Mapping):
            raise UnreadableError("null_value", f"{where or 'row'} is {_short(values)}, no object")
        self.values: Mapping[str, Any] = values
        self._where = where

    def may(self, read: Callable[[Any], T], *names: str) -> T | None:
        """Return the first of the named cells that is not null; None if there is none."""
        for name in names:
            cell = self.values.get(name)
            if cell is None:
                continue
            try:
                return read(cell)
            except UnreadableError as error:
                found = f"{self._where}{name}={_short(cell)}"
                raise UnreadableError(error.reason, found) from None
        return None

    def need(self, read: Callable[[Any], T | None], *names: str) -> T:
        """Return the first of the named cells that is not null.

        Raises
        ------
        UnreadableError
            If there is none.
        """
        found = self.may(read, *names)
        if found is None:
            state = "null" if any(name in self.values for name in names) else "absent"
            raise UnreadableError("null_value", f"{self._where}{'|'.join(names)} is {state}")
        return found

    def within(self, name: str) -> "Cells":
        """Return the cells of an object inside this one."""
        inner = self.values.get(name)
        if inner is None:
            state = "null" if name in self.values else "absent"
            raise UnreadableError("null_value", f"{self._where}{name} is {state}")
        return Cells(inner, f"{self._where}{name}.")


def text(cell: Any) -> str | None:
    """Return words; None for none."""
    if not isinstance(cell, str):
        raise UnreadableError("unmapped", cell)
    if not cell.isascii():  # JSON can have halves of letters, a table cannot
        cell = cell.encode("utf-8", "replace").decode()
    return cell.strip() or None


def listed(cell: Any) -> list[Any]:
    """Return a list."""
    if not isinstance(cell, list):
        raise UnreadableError("unmapped", cell)
    return cell


def flag(cell: Any) -> bool:
    """Return a truth value."""
    if not isinstance(cell, bool):
        raise UnreadableError("unmapped", cell)
    return cell


def price(cell: Any) -> int:
    """Return centi-cents: of text in dollars, of an integer in cents.

    Examples
    --------
    >>> price("0.5600"), price(56), price("0.0690")
    (5600, 5600, 690)
    """
    if isinstance(cell, str):
        found = _scaled(cell, PRICE_SCALE)
    elif isinstance(cell, int) and not isinstance(cell, bool):
        found = cell * 100
    else:
        raise UnreadableError("unparsable_number", cell)
    if not 0 <= found <= PRICE_SCALE:
        raise UnreadableError("price_range", cell)
    return found


def price_number(cell: Any) -> int:
    """Return centi-cents of a JSON number in dollars, as trades had it until March 2026."""
    if isinstance(cell, bool) or not isinstance(cell, Decimal | int):
        raise UnreadableError("unparsable_number", cell)
    return price(str(cell))


def traded(cell: Any) -> int | None:
    """Return a price at which something traded; leftover zeros in cents mean there was none."""
    return None if cell == 0 and isinstance(cell, int) else price(cell)


def quantity(cell: Any) -> int:
    """Return centi-contracts: of text or a number in contracts.

    Examples
    --------
    >>> quantity("8.94"), quantity(3)
    (894, 300)
    """
    if isinstance(cell, bool) or not isinstance(cell, str | int | Decimal):
        raise UnreadableError("unparsable_number", cell)
    return _scaled(str(cell), QUANTITY_SCALE)


def rate(cell: Any) -> int:
    """Return parts per million of a multiplier; 0 is a value."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | Decimal):
        raise UnreadableError("unparsable_number", cell)
    return _scaled(str(cell), RATE_SCALE)


def number(cell: Any) -> float:
    """Return a number that is no money: a strike."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | Decimal):
        raise UnreadableError("unparsable_number", cell)
    try:
        found = float(cell)
    except (ValueError, OverflowError):
        raise UnreadableError("unparsable_number", cell) from None
    if not math.isfinite(found):
        raise UnreadableError("unparsable_number", cell)
    return found


def stated(cell: Any) -> float | None:
    """Return the number a market settled on; None where words stand for it."""
    plain = str(cell).strip().lstrip("$").removesuffix("%").replace(",", "")
    return float(plain) if _DECIMAL.fullmatch(plain) else None


def time(cell: Any) -> datetime | None:
    """Return a time, UTC; None for the exchange's "no time".

    Examples
    --------
    >>> time("2026-01-12T14:59:36.37315Z").microsecond
    373150
    """
    if isinstance(cell, str):
        found = _moment(cell)
        return None if found == _UNSET else found
    return seconds(cell)


def seconds(cell: Any) -> datetime:
    """Return a time of whole seconds since 1970."""
    if isinstance(cell, bool) or not isinstance(cell, int):
        raise UnreadableError("unparsable_time", cell)
    try:
        return EPOCH + timedelta(seconds=cell)
    except OverflowError:
        raise UnreadableError("time_range", cell) from None


@lru_cache(maxsize=2**16)
def _scaled(text: str, scale: int) -> int:
    """Return `text` times `scale`, which must be whole."""
    if not _DECIMAL.fullmatch(text.strip()):
        raise UnreadableError("unparsable_number", text)
    try:
        value = Decimal(text.strip()) * scale
    except InvalidOperation:
        raise UnreadableError("unparsable_number", text) from None
    if value != (whole := int(value)):
        raise UnreadableError("off_grid", text)
    if abs(whole) > _LARGEST:
        raise UnreadableError("unparsable_number", text)
    return whole


@lru_cache(maxsize=2**12)
def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UnreadableError("unparsable_time", text) from None
    if found.tzinfo is None:
        raise UnreadableError("unparsable_time", text)
    try:
        return found.astimezone(UTC)
    except OverflowError:  # the first hours of the year 1, or the last of 9999, elsewhere
        raise UnreadableError("time_range", text) from None


def _short(cell: Any) -> str:
    shown = "null" if cell is None else str(cell)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
