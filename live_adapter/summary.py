"""The summary at the end of a session, from its journal and its state alone."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from kalshi_bt.errors import UsageError
from live_adapter import state
from live_adapter.journal import Entry, read
from live_adapter.latency import Latencies
from live_adapter.safety import explained

_COUNTED = {
    "Filled": "filled_orders",
    "PartiallyFilled": "partial_orders",
    "Canceled": "canceled_orders",
    "Rejected": "rejected_orders",
}
_DAY = ("orders_reported", "filled_orders", "traded_notional", "fees_paid")
_FEED = ("up", "down", "hole")
_EDGE = "expected_edge_pnl_net_fees"


def summary(folder: Path) -> dict[str, Any]:
    """Return what a session did.

    Parameters
    ----------
    folder : Path
        Of the session.

    Returns
    -------
    dict
        Counts of orders by what became of each, dollars traded (what was bought) and paid in fees;
        ``expected_edge_pnl_net_fees``: contracts times the edge that was seen, less the fees of the
        order, over those whose signal stated a probability, null if none did; ``realized_pnl`` of
        the round trips that ended; ``refused`` by reason, before an order was made, ``rejected``
        by reason, by the rules of the account; ``stops`` that hold, and what ends them; the same
        by UTC day of the last report.

    Raises
    ------
    UsageError
        If there is no session in the folder.
    DataError
        If its files are damaged.
    """
    journal, runtime = folder / "journal.jsonl", folder / "state.json"
    if not journal.exists():
        raise UsageError(f"{folder} holds no session; name one by --session or --out")
    entries = list(read(journal))
    told = state.read(runtime)
    return {
        "journal_path": str(journal),
        "state_path": str(runtime),
        **totals(entries),
        "state_day": told.get("day"),
        "state_daily_realized_pnl": told.get("daily_realized_pnl"),
        "state_open_exposure_notional": told.get("open_exposure_notional"),
        **Latencies(folder).summary(),
        "feed": {name: sum(e.event == f"feed_{name}" for e in entries) for name in _FEED},
        "by_day": _by_day(entries),
    }


def totals(entries: Iterable[Entry]) -> dict[str, Any]:
    """Return the sums over all orders of a journal."""
    entries = list(entries)
    closed = [e.payload for e in entries if e.event == "trade_closed"]
    reports = _last_reports(entries)
    found = _summed(reports, closed, _edges(entries))
    rejected = (str(r["note"]) for r in reports if r["status"] == "Rejected")
    refused: dict[str, int] = defaultdict(int)
    for entry in entries:
        if entry.event == "refusal":
            refused[str(entry.payload["reason"]).partition(":")[0]] += 1
    return {
        **found,
        "trades_closed": len(closed),
        "realized_pnl": _dollars(sum(_exact(p["pnl"]) for p in closed)),
        "refused": dict(sorted(refused.items())),
        "rejected": dict(sorted(Counter(rejected).items())),
        "stops": {name: explained(name, stop) for name, stop in _stops(entries).items()},
    }


def _stops(entries: Iterable[Entry]) -> dict[str, Mapping[str, Any]]:
    """Return the stops that were not ended."""
    found: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        if entry.event == "stop":
            found[entry.payload["name"]] = entry.payload
        elif entry.event == "resume":
            found.pop(entry.payload["name"], None)
    return found


def _by_day(entries: list[Entry]) -> dict[str, dict[str, Any]]:
    edges = _edges(entries)
    reports: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    closed: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for report in _last_reports(entries):
        reports[str(report["updated_at"])[:10]].append(report)
    for entry in entries:
        if entry.event == "trade_closed":
            closed[str(entry.payload["closed_at"])[:10]].append(entry.payload)
    days = sorted(reports.keys() | closed.keys())
    made = {day: _summed(reports[day], closed[day], edges) for day in days}
    return {day: {name: row[name] for name in (*_DAY, _EDGE)} for day, row in made.items()}


def _edges(entries: Iterable[Entry]) -> dict[str, Any]:
    return {
        e.payload["order"]["client_order_id"]: e.payload["signal_edge_pct"]
        for e in entries
        if e.event == "order_intent"
    }


def _last_reports(entries: Iterable[Entry]) -> list[Mapping[str, Any]]:
    last = {
        e.payload["report"]["client_order_id"]: e.payload["report"]
        for e in entries
        if e.event == "order_report"
    }
    return list(last.values())


def _summed(
    reports: list[Mapping[str, Any]], closed: list[Mapping[str, Any]], edges: Mapping[str, Any]
) -> dict[str, Any]:
    counts = dict.fromkeys(_COUNTED.values(), 0)
    traded = edge = Decimal(0)
    fees = sum((_exact(trade["exit_fees"]) for trade in closed), Decimal(0))
    stated = False
    for report in reports:
        if report["status"] in _COUNTED:
            counts[_COUNTED[report["status"]]] += 1
        quantity, fee = _exact(report["filled_qty"]), _exact(report["fee_paid"])
        traded += quantity * _exact(report["avg_fill_price"] or 0)
        fees += fee
        seen = edges.get(report["client_order_id"])
        if seen is not None:
            stated = True
            edge += quantity * _exact(seen) - fee
    return {
        "orders_reported": len(reports),
        **counts,
        "traded_notional": _dollars(traded),
        "fees_paid": _dollars(fees),
        _EDGE: _dollars(edge) if stated else None,
    }


def _exact(number: float) -> Decimal:
    return Decimal(str(number))


def _dollars(amount: Decimal | int) -> float:
    return round(float(amount), 6)


def shown(found: Mapping[str, Any]) -> str:
    """Return a summary as lines of text.

    Examples
    --------
    >>> print(shown({"orders_reported": 2, "fees_paid": 0.18, "refused": {}, "state_day": None}))
    orders_reported 2
    fees_paid 0.18
    refused none
    state_day none
    """
    lines = []
    for name, value in found.items():
        if name == "by_day":
            lines += [f"{day} {_in_words(row)}" for day, row in value.items()]
        elif isinstance(value, Mapping):
            lines.append(f"{name} {_in_words(value)}")
        else:
            lines.append(f"{name} {_word(value)}")
    return "\n".join(lines)


def _in_words(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_word(value)}" for name, value in row.items()) or "none"


def _word(value: Any) -> str:
    return "none" if value is None else str(value)
