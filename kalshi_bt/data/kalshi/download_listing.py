"""Which markets a series has, when they were to close, and how they ended.

The schedule
    A market's `close_time` at the exchange moves to the end of trading once the outcome is known;
    of a market that is over it may be an outcome. `markets.close_time` is what could be known at
    listing, and `settlements.close_time` is what happened:

    1. what was stored when the market was first seen stays;
    2. of an open market it is the close_time;
    3. the last possible expiration never moves, and lies a usual time after the scheduled close in
       each series. Of a market where that distance is usual (another event has it too), the close
       is on schedule; otherwise it is the last expiration less the most usual distance;
    4. where nothing is usual, a close on a whole minute is on schedule (3,809 of 3,815 open markets
       of August 2025 were to close on one, 396 of 400 settled sports markets of November 2025 did
       not), and of any other the last possible expiration stands for it.

    `expected_expiration_time` is no guide: it is before the close in sports, after it elsewhere.

The result
    A market that is determined, disputed or amended has a result and has not paid: that was known
    when the exchange said so, by its own clock. When it paid is told with the payment.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from kalshi_bt.data.kalshi import parse, parse_routes
from kalshi_bt.data.kalshi.download_pages import Lost, Reader
from kalshi_bt.data.kalshi.download_rows import Span, usable
from kalshi_bt.data.kalshi.parse import Unusable
from kalshi_bt.data.kalshi.parse_routes import MOST_TICKERS, Route
from kalshi_bt.data.lifecycle import sift_steps
from kalshi_bt.schema import DeterminationStatus, Time
from kalshi_bt.units import PRICE_SCALE

OVERLAP = timedelta(days=1)  # by which a later run looks back
PAID_AFTER = timedelta(hours=24)  # the close, where the exchange does not say when it paid

Row = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What a run is to fetch.

    Attributes
    ----------
    start, end : datetime, optional
        Of markets that traded in between; None: from the first, to the last.
    now : datetime
        At the exchange.
    markets_cutoff, trades_cutoff : datetime
        What settled, or traded, before them is in the historical tier.
    combos : bool
        Whether markets made of several others count.
    """

    start: datetime | None
    end: datetime | None
    now: datetime
    markets_cutoff: datetime
    trades_cutoff: datetime
    combos: bool = False


@dataclass
class Listing:
    """Markets of a series as the exchange tells of them now, by ticker, and its events."""

    rows: dict[str, Row] = field(default_factory=dict)
    events: dict[str, Row] = field(default_factory=dict)
    lost: list[Lost] = field(default_factory=list)

    def newest(self) -> datetime | None:
        """Return the time of the newest thing told."""
        return max(
            (r["updated_time"] for r in self.rows.values() if r["updated_time"]), default=None
        )


def listing(
    reader: Reader, series: str, wanted: Wanted, span: Span | None, stored: pl.DataFrame
) -> Listing:
    """Return the markets of a series that are new or may have changed.

    Parameters
    ----------
    reader : Reader
        Of the exchange.
    series : str
        Its name.
    wanted : Wanted
        What is asked for.
    span : Span, optional
        What an earlier run has listed.
    stored : frame
        ticker, event, mutually_exclusive and settled (Boolean) of the markets stored.
    """
    found = Listing()
    whole = span is None or not span.reaches(wanted.start)
    since = wanted.start if span is None or whole else span.end - OVERLAP
    routes = _routes(series, wanted, span, since, whole=whole)
    for route in routes:
        _gather(reader, route, found)
    known = set(stored["ticker"])
    found.rows = {t: r for t, r in found.rows.items() if t in known or _overlaps(r, wanted)}
    open_ = [t for t in stored.filter(~pl.col("settled"))["ticker"] if t not in found.rows]
    for archived in (False, True):
        left = [ticker for ticker in open_ if ticker not in found.rows]
        for names in _batches(left):
            _gather(reader, parse_routes.some_markets(names, archived=archived), found)
    _gather_events(reader, series, wanted, since, found, stored)
    return found


def market_rows(
    series: str, found: Listing, stored: pl.DataFrame, lost: list[Lost]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows of `markets` and `settlements` of a listing.

    Parameters
    ----------
    series : str
        Of all of them.
    found : Listing
        What the exchange told.
    stored : frame
        ticker, event, mutually_exclusive and close_time of the markets stored.
    lost : list of Lost
        Unusable rows are added to it.
    """
    exclusive = {
        event: flag
        for event, flag in stored.select("event", "mutually_exclusive").iter_rows()
        if flag is not None
    } | {name: event["mutually_exclusive"] for name, event in found.events.items()}
    rows = [
        {**row, "series": series, "mutually_exclusive": exclusive.get(row["event"])}
        for row in found.rows.values()
    ]
    schedule = _schedule(rows, dict(stored.select("ticker", "close_time").iter_rows()))
    listed = [{**r, "close_time": close} for r, close in zip(rows, schedule, strict=True)]
    paid = [_settlement(row) for row in rows if row["status"] in parse.PAID]
    source = f"markets of {series}"
    return (
        usable("markets", listed, range(len(listed)), source, lost),
        usable("settlements", paid, range(len(paid)), source, lost),
    )


def determination_rows(
    series: str, found: Listing, stored: pl.DataFrame, lost: list[Lost]
) -> pl.DataFrame:
    """Return the rows of `determinations` of a listing that say something new.

    Parameters
    ----------
    series : str
        Of all of them.
    found : Listing
        What the exchange told.
    stored : frame of schema.DETERMINATIONS
        What is known of them.
    lost : list of Lost
        Unusable rows, and those that cannot follow on what is known, are added to it.
    """
    said = [row for row in map(_determination, found.rows.values()) if row is not None]
    source = f"markets of {series}"
    steps = sift_steps(usable("determinations", said, range(len(said)), source, lost), stored)
    if steps.bad.height:
        bad = steps.bad.select("reason", "found").iter_rows()
        lost.append(Lost("determinations", source, [Unusable(n, *b) for n, b in enumerate(bad)]))
    return steps.good


def _determination(row: Row) -> Row | None:
    """Return what a market says of its result; None without one, or if it does not say when."""
    status = "finalized" if row["status"] in parse.PAID else row["status"]
    time = row["settled_time"] if status == "finalized" else row["seen_time"]
    if status not in DeterminationStatus.categories or time is None:
        return None
    payout = None if status == "disputed" else _settlement(row)["payout"]
    return {"ticker": row["ticker"], "time": time, "status": status, "payout": payout}


def _routes(
    series: str, wanted: Wanted, span: Span | None, since: datetime | None, *, whole: bool
) -> list[Route]:
    """Return the questions that find what is new."""
    found = []
    if whole or wanted.end is None or span is None or wanted.end > span.end:
        found.append(parse_routes.markets(series, since, combos=wanted.combos))
        if since is None or since < wanted.markets_cutoff:
            found.append(parse_routes.archived_markets(series))
    if not whole and span is not None and not wanted.combos:
        found.append(parse_routes.changed_markets(series, span.end - OVERLAP))
    return found


def _gather(reader: Reader, route: Route, found: Listing) -> None:
    """Add the markets of an answer; what the live tier said first stays."""
    for page in reader.pages("markets", route, parse.markets, found.lost):
        for row in page.rows:
            found.rows.setdefault(row["ticker"], {**row, "seen_time": reader.client.time})


def _gather_events(
    reader: Reader,
    series: str,
    wanted: Wanted,
    since: datetime | None,
    found: Listing,
    stored: pl.DataFrame,
) -> None:
    """Add the events of new markets, one by one if they are few."""
    known = set(stored.filter(pl.col("mutually_exclusive").is_not_null())["event"])
    needed = {row["event"] for row in found.rows.values()} - known
    routes = [parse_routes.some_events(names) for names in _batches(sorted(needed))]
    if wanted.combos or len(routes) > 1:
        routes = [parse_routes.events(series, since, combos=wanted.combos)]
    for route in routes:
        for page in reader.pages("markets", route, parse.events, found.lost):
            found.events |= {row["event"]: row for row in page.rows}


def _overlaps(row: Row, wanted: Wanted) -> bool:
    """Tell whether a market traded, or may have, within what is wanted."""
    if row["combo"] and not wanted.combos:
        return False
    early = wanted.start is not None and row["close_time"] <= wanted.start
    opens = row["open_time"]
    late = wanted.end is not None and opens is not None and opens >= wanted.end
    return not (early or late)


def _schedule(rows: Sequence[Row], stored: dict[str, datetime | None]) -> list[datetime | None]:
    """Return when each market was to close; the module says how that is told."""
    usual, most = _usual(rows)
    return [stored.get(row["ticker"]) or _listed_close(row, usual, most) for row in rows]


def _listed_close(row: Row, usual: set[timedelta], most: timedelta | None) -> datetime | None:
    close: datetime = row["close_time"]
    latest: datetime | None = row["latest_time"]
    if row["status"] in parse.OPEN or (latest is not None and latest - close in usual):
        return close
    if latest is not None and most is not None and latest - most >= close:
        return latest - most
    return close if close.second == 0 and close.microsecond == 0 else latest


def _usual(rows: Sequence[Row]) -> tuple[set[timedelta], timedelta | None]:
    """Return the distances from close to last expiration that are usual, and the most usual one."""
    seen = [(r["latest_time"], r["close_time"], r["event"], r["status"]) for r in rows]
    names = ("latest", "close", "event", "status")
    frame = pl.DataFrame(
        seen, schema=dict(zip(names, (Time, Time, pl.String, pl.String), strict=True)), orient="row"
    )
    shared = (
        frame.with_columns(distance=pl.col("latest") - pl.col("close"))
        .drop_nulls("distance")
        .group_by("distance")
        .agg(
            pl.len().alias("markets"),
            pl.col("event").n_unique().alias("events"),
            pl.col("status").is_in(list(parse.OPEN)).any().alias("open"),
        )
        .filter((pl.col("events") > 1) | pl.col("open"))
        .sort("markets", "distance", descending=[True, False])
    )
    found = shared["distance"].to_list()
    return set(found), found[0] if found else None


def _settlement(row: Row) -> Row:
    """Return how a market ended; until January 2026 a scalar had a price and no result."""
    payout, result = row["payout"], row["result"]
    if payout is None:
        payout = {"yes": PRICE_SCALE, "no": 0}.get(result or "")
    elif result is None:
        result = "scalar"
    time = row["settled_time"] or row["close_time"] + PAID_AFTER
    return {**row, "time": time, "payout": payout, "result": result}


def _batches(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[at : at + MOST_TICKERS] for at in range(0, len(names), MOST_TICKERS))
