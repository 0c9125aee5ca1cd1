"""What a series is and costs, and events that cost something else, as dated rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl

from kalshi_bt.data.kalshi import parse, parse_routes
from kalshi_bt.data.kalshi.download_pages import Lost, Reader
from kalshi_bt.data.kalshi.download_rows import Piece, usable
from kalshi_bt.data.kalshi.parse import Unusable
from kalshi_bt.data.kalshi.parse_cells import EPOCH
from kalshi_bt.data.validate import EARLIEST, FEE_TYPES
from kalshi_bt.errors import DataError

Row = dict[str, Any]
_FEES = ("fee_type", "fee_multiplier")


def fees(reader: Reader, names: Sequence[str], now: datetime) -> tuple[Piece, list[str]]:
    """Return the dated rows of some series and of their events, and what to warn of.

    Parameters
    ----------
    reader : Reader
        Of the exchange.
    names : sequence of str
        Series.
    now : datetime
        Where fees of today hold from, if the exchange's log does not say.

    Raises
    ------
    DataError
        If the exchange has no such series.
    """
    lost: list[Lost] = []
    route = parse_routes.series_fees()
    page = reader.page("series", route, parse.series_fees, lost)
    dated = [row for row in (page.rows if page else []) if row["series"] in names]
    rows, notes = [], []
    for name in names:
        today = _today(reader, name, lost)
        mine = sorted(
            (row for row in dated if row["series"] == name), key=lambda r: r["effective_from"]
        )
        more, note = _dated(name, today, mine, now)
        rows += more
        notes += note
    frame = usable("series", rows, range(len(rows)), str(route), lost)
    return Piece({"series": frame, "event_fees": _event_fees(reader, names, lost)}, {}, lost), notes


def own_fees(events: Sequence[Row], logged: pl.DataFrame) -> pl.DataFrame:
    """Return rows for events whose own fees the log does not date: they hold from the beginning.

    Parameters
    ----------
    events : sequence of dict
        Parsed events.
    logged : frame of schema.EVENT_FEES
        What the log says.
    """
    known = set(logged["event"])
    rows = [
        {**event, "effective_from": EARLIEST}
        for event in events
        if event["fee_type"] is not None and event["event"] not in known
    ]
    return usable("event_fees", rows, range(len(rows)), "events", [])


def _today(reader: Reader, name: str, lost: list[Lost]) -> Row:
    route = parse_routes.series(name)
    page = reader.page("series", route, parse.series, lost, absent_ok=True)
    if page is None or not page.rows:
        raise DataError(f"the exchange has no series {name!r}; see GET /series for their names")
    return page.rows[0]


def _dated(name: str, today: Row, log: list[Row], now: datetime) -> tuple[list[Row], list[str]]:
    """Return the rows of one series: those of its log, and what holds today where that differs."""
    told = {n: today[n] for n in ("series", "category", "title", "settlement_sources")}
    rows = [{**told, **row} for row in log]
    past = [row for row in rows if row["effective_from"] <= now]
    if not past:
        return [{**today, "effective_from": EPOCH}, *rows], []
    notes = []
    if any(past[-1][n] != today[n] for n in _FEES):
        rows.append({**today, "effective_from": now})
        notes.append(f"the fees of {name} are not those of the exchange's log; dated to this run")
    return rows, notes


def _event_fees(reader: Reader, names: Sequence[str], lost: list[Lost]) -> pl.DataFrame:
    route = parse_routes.event_fees()
    rows, places = [], []
    for page in reader.pages("event_fees", route, parse.event_fees, lost):
        for row, place in zip(page.rows, page.places, strict=True):
            if row["series"] not in names:
                continue
            if row["fee_type"] not in (None, *FEE_TYPES):
                found = f"fee_type={row['fee_type']}"
                bad = Unusable(page.before + place, "unknown_fee_type", found)
                lost.append(Lost("event_fees", str(route), [bad]))
                continue
            rows.append(row)
            places.append(page.before + place)
    return usable("event_fees", rows, places, str(route), lost)
