"""Answers page by page, with what must hold of every one of them."""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from kalshi_bt.data.kalshi.client import Client
from kalshi_bt.data.kalshi.parse import Page, Parse, Unusable
from kalshi_bt.data.kalshi.parse_routes import Route
from kalshi_bt.errors import DataError

MOST_EMPTY = 3  # pages without a row one after the other


@dataclass(frozen=True)
class Lost:
    """Rows of one answer that were set aside."""

    table: str
    source: str
    rows: list[Unusable]


class Reader:
    """Asks, parses, and stops where the exchange no longer speaks the format.

    Parameters
    ----------
    client : Client
        The connection.

    Attributes
    ----------
    unknown : set of str
        Fields nobody knows that were met.
    skipped : Counter
        Rows that are not wanted, by table.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.unknown: set[str] = set()
        self.skipped: Counter[str] = Counter()
        self._readable: set[str] = set()
        self._lock = threading.Lock()

    def page(
        self, table: str, route: Route, parse: Parse, lost: list[Lost], *, absent_ok: bool = False
    ) -> Page | None:
        """Return one answer; None if there is no such thing and `absent_ok`.

        Parameters
        ----------
        table : str
            Where its rows go.
        route : Route
            The question.
        parse : callable
            Reads the answer.
        lost : list of Lost
            Unusable rows are added to it.
        absent_ok : bool
            Whether there may be no such thing.

        Raises
        ------
        DataError
            If the answer is none, or not one row of it can be read.
        """
        payload = self.client.get(route.path, route.params, absent_ok=absent_ok)
        return None if payload is None else self._checked(table, route, parse(payload), lost, 0)

    def pages(self, table: str, route: Route, parse: Parse, lost: list[Lost]) -> Iterator[Page]:
        """Yield every page of a list, following its cursor to the end.

        Raises
        ------
        DataError
            As `page`; or if a page comes twice, or a cursor leads back.
        """
        cursors: set[str] = set()
        seen: set[tuple[int, str, str]] = set()
        read = empty = 0
        params = dict(route.params)
        while True:
            page = parse(self.client.get(route.path, params))
            yield self._checked(table, route, page, lost, read)
            read += len(page.items)
            empty = 0 if page.items else empty + 1
            if page.items:
                print_ = (len(page.items), repr(page.items[0]), repr(page.items[-1]))
                if print_ in seen:
                    raise DataError(
                        f"GET {route}: a page came twice after {read:,} rows; try again"
                    )
                seen.add(print_)
            if not page.cursor:
                return
            if page.cursor in cursors or empty > MOST_EMPTY:
                raise DataError(
                    f"GET {route}: the cursor leads nowhere after {read:,} rows; try again"
                )
            cursors.add(page.cursor)
            params["cursor"] = page.cursor

    def _checked(self, table: str, route: Route, page: Page, lost: list[Lost], before: int) -> Page:
        """Note what is new or unusable in a page; stop if nothing of it could be read."""
        bad = page.unusable
        page.before = before
        with self._lock:
            self.unknown |= page.unknown
            self.skipped[table] += page.skipped
            # One bad row alone is that row's fault, once another one of its kind was read.
            alone = len(bad) == 1 and table in self._readable
            if bad and len(bad) == len(page.items) and not alone:
                raise DataError(
                    f"GET {route}: no row of {len(bad):,} can be read ({bad[0].reason}: "
                    f"{bad[0].found}); the exchange changed its format, update this package"
                )
            if page.rows:
                self._readable.add(table)
        if bad:
            rows = [Unusable(before + row.row, row.reason, row.found) for row in bad]
            lost.append(Lost(table, str(route), rows))
        return page
