"""What a request asks for: its parameters, checked, and the cursors of its pages.

An unknown parameter is refused, where the exchange would ignore it: a misspelt filter must not
look like one that matched everything.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import polars as pl

Key = Sequence[tuple[str, bool]]  # columns of a sort, and whether each descends
_WHOLE = re.compile(r"-?[0-9]{1,18}")


class AnswerError(Exception):
    """A request that is answered with an error.

    Attributes
    ----------
    status : int
        Of HTTP.
    code, message : str
        As in the exchange's error body.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def bad_request(message: str) -> AnswerError:
    """Return the error for input that cannot be used."""
    return AnswerError(400, "bad_request", message)


def not_found(what: str) -> AnswerError:
    """Return the error for a thing that is unknown, or not in this tier."""
    return AnswerError(404, "not_found", f"{what} not found")


class Query:
    """The parameters of a request.

    Parameters
    ----------
    text : str
        What stands behind the question mark.
    allowed : sequence of str
        The parameters the endpoint knows.

    Raises
    ------
    AnswerError
        400 for a parameter it does not know; likewise from every method for a wrong value.

    Examples
    --------
    >>> query = Query("limit=5&tickers=A,B&depth=", ("limit", "tickers", "depth"))
    >>> query.integer("limit", 1, 200), query.listed("tickers"), query.text("depth")
    (5, ['A', 'B'], None)
    """

    def __init__(self, text: str, allowed: Sequence[str]) -> None:
        self._pairs = [pair for pair in parse_qsl(text, keep_blank_values=True) if pair[1]]
        for name, _ in self._pairs:
            if name not in allowed:
                raise bad_request(f"unknown parameter {name!r}")

    def text(self, name: str) -> str | None:
        """Return a parameter, None if it is absent or empty."""
        found = self.every(name)
        if len(found) > 1:
            raise bad_request(f"{name} is given {len(found)} times")
        return found[0] if found else None

    def every(self, name: str) -> list[str]:
        """Return the values of a parameter that may be repeated."""
        return [value for given, value in self._pairs if given == name]

    def listed(self, name: str) -> list[str]:
        """Return the values of a parameter separated by commas."""
        text = self.text(name)
        return text.split(",") if text else []

    def choice(self, name: str, known: Sequence[str]) -> str | None:
        """Return a parameter that is one of some words."""
        text = self.text(name)
        if text is not None and text not in known:
            raise bad_request(f"invalid {name} filter")
        return text

    def flag(self, name: str) -> bool | None:
        """Return a parameter that is true or false."""
        text = self.choice(name, ("true", "false"))
        return None if text is None else text == "true"

    def integer(self, name: str, low: int, high: int) -> int | None:
        """Return a whole number within a range."""
        text = self.text(name)
        if text is None:
            return None
        if not _WHOLE.fullmatch(text):
            raise bad_request(f"{name} must be a whole number")
        number = int(text)
        if not low <= number <= high:
            raise bad_request(f"{name} must be from {low} to {high}")
        return number

    def seconds(self, name: str) -> int | None:
        """Return a Unix time."""
        return self.integer(name, -(2**33), 2**33)

    def needed(self, name: str) -> int:
        """Return a Unix time that must be given."""
        found = self.seconds(name)
        if found is None:
            raise bad_request(f"{name} is required")
        return found

    def time(self, name: str) -> datetime | None:
        """Return a Unix time as a moment."""
        found = self.seconds(name)
        return None if found is None else datetime.fromtimestamp(found, UTC)

    def cursor(self, kind: str, columns: Sequence[pl.DataType]) -> list[str | int] | None:
        """Return the row after which a page begins, None for the first page.

        It has words where `columns` have, and whole numbers elsewhere.
        """
        text = self.text("cursor")
        if text is None:
            return None
        try:
            name, *found = json.loads(urlsafe_b64decode(text))
        except (ValueError, TypeError):
            raise bad_request("invalid cursor") from None
        if name != kind or [_kind(value) for value in found] != [
            str if column == pl.String else int for column in columns
        ]:
            raise bad_request("invalid cursor")
        row: list[str | int] = found
        return row


def page(
    frame: pl.LazyFrame, key: Key, query: Query, kind: str, *, default: int, most: int
) -> tuple[pl.DataFrame, str]:
    """Return the rows of the page a query asks for, and the cursor of the next page.

    Parameters
    ----------
    frame : LazyFrame
        All rows.
    key : sequence of (column, descending)
        The order of the rows; unique. A cursor names the last row of its page, so that pages stay
        complete while rows are added.
    query : Query
        With `limit` and `cursor`.
    kind : str
        Name of the list; a cursor of another list is refused.
    default, most : int
        Rows of a page without `limit`, and the largest limit.

    Returns
    -------
    (DataFrame, str)
        The cursor is empty on the last page.
    """
    limit = query.integer("limit", 0, most) or default
    columns, descending = zip(*key, strict=True)
    types = frame.select(pl.col(columns).to_physical()).collect_schema().dtypes()
    after = query.cursor(kind, types)
    if after is not None:
        frame = frame.filter(_beyond(key, after))
    rows = frame.sort(columns, descending=descending).head(limit + 1).collect()
    if rows.height <= limit:
        return rows, ""
    last = rows.select(pl.col(columns).to_physical()).row(limit - 1)
    return rows.head(limit), urlsafe_b64encode(json.dumps([kind, *last]).encode()).decode()


def _kind(value: object) -> type | None:
    """Return the type of a value of a cursor, None for a number that no column has."""
    return None if isinstance(value, int) and abs(value) >= 2**63 else type(value)


def _beyond(key: Key, row: Sequence[str | int]) -> pl.Expr:
    """Return whether a row comes after another one."""
    beyond, equal = pl.lit(False), pl.lit(True)
    for (name, descending), value in zip(key, row, strict=True):
        column = pl.col(name).to_physical()
        past = column < value if descending else column > value
        beyond, equal = beyond | (equal & past), equal & (column == value)
    return beyond
