"""A small exchange of its own for these tests: real sockets, answers written by hand."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from kalshi_bt.data.kalshi.client import Retry

ROOT = "/trade-api/v2"
QUICK = Retry(attempts=4, first=0.01, longest=0.05, jitter=0.01)
Answer = Callable[[dict[str, str]], Any]


class Raw:
    """An answer that is not simply JSON with 200."""

    def __init__(
        self, status: int = 200, body: bytes = b"", *, cut: bool = False, **headers: str
    ) -> None:
        self.status, self.body, self.cut = status, body, cut
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Local:
    """A server: paths below the root to what they answer, and what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, Answer | Any] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.busy = self.busiest = 0
        self.lock = threading.Lock()
        self.date: str | None = None

    def paths(self, of: str = "") -> list[str]:
        return [path for path, _ in self.asked if of in path]


def _handler(local: Local) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            local.connections += 1

        def do_GET(self) -> None:
            with local.lock:
                local.busy += 1
                local.busiest = max(local.busiest, local.busy)
            try:
                self._answer()
            finally:
                with local.lock:
                    local.busy -= 1

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            path, query = parts.path.removeprefix(ROOT), dict(parse_qsl(parts.query))
            local.asked.append((path, query))
            local.headers.append({k.lower(): v for k, v in self.headers.items()})
            answer = local.answers.get(path, Raw(404, b'{"error":{"message":"not found"}}'))
            answer = answer(query) if callable(answer) else answer
            raw = answer if isinstance(answer, Raw) else Raw(200, json.dumps(answer).encode())
            self.send_response(raw.status)
            for name, value in raw.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw.body)))
            self.end_headers()
            self.wfile.write(raw.body[: len(raw.body) // 2] if raw.cut else raw.body)
            self.close_connection = raw.cut

        def date_time_string(self, timestamp: float | None = None) -> str:
            return local.date or super().date_time_string(timestamp)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def local() -> Iterator[Local]:
    """A server at `local.url`, empty at first."""
    server_of = Local()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server_of))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    server_of.url = f"http://127.0.0.1:{server.server_port}"
    yield server_of
    server.shutdown()
    thread.join()
    server.server_close()


NOW = datetime(2026, 9, 20, 12, tzinfo=UTC)


def stamp(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


class Small:
    """A small exchange on a local server; tests change what it has.

    Candles and trades are by tier and ticker; windows are inclusive at both ends and 5,000 bars at
    most; trades come newest first, `page` rows at a time.
    """

    def __init__(self, local: Local, *, now: datetime = NOW) -> None:
        self.local = local
        self.now = now
        self.page = 1000
        self.cutoff = datetime(2026, 7, 1, tzinfo=UTC)
        self.series: dict[str, dict[str, Any]] = {}
        self.fee_log: list[dict[str, Any]] = []
        self.event_fee_log: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.markets: dict[str, list[dict[str, Any]]] = {"live": [], "historical": []}
        self.candles: dict[str, dict[str, list[Any]]] = {"live": {}, "historical": {}}
        self.trades: dict[str, dict[str, list[Any]]] = {"live": {}, "historical": {}}
        answers = local.answers
        answers["/historical/cutoff"] = lambda _: {
            "market_settled_ts": stamp(self.cutoff),
            "trades_created_ts": stamp(self.cutoff),
            "orders_updated_ts": stamp(self.cutoff),
        }
        answers["/series/fee_changes"] = lambda _: {"series_fee_change_arr": self.fee_log}
        answers["/events/fee_changes"] = lambda q: self.paged(
            "event_fee_changes", self.event_fee_log, q
        )
        answers["/events"] = self._events
        answers["/markets"] = lambda q: self._markets("live", q)
        answers["/historical/markets"] = lambda q: self._markets("historical", q)
        answers["/markets/trades"] = lambda q: self._trades("live", q)
        answers["/historical/trades"] = lambda q: self._trades("historical", q)
        self.tick(now)

    def tick(self, now: datetime) -> None:
        """Set the time."""
        self.now = now
        self.local.date = format_datetime(now, usegmt=True)

    def add_series(self, name: str, **fields: Any) -> None:
        """List a series."""
        fees = {"fee_type": "quadratic", "fee_multiplier": 1}
        self.series[name] = {"ticker": name, "title": name.title(), **fees, **fields}
        self.local.answers[f"/series/{name}"] = lambda _: {"series": self.series[name]}

    def add_market(self, ticker: str, *, tier: str = "live", **fields: Any) -> dict[str, Any]:
        """List a market that was open on 2026-09-10 from 10:00 to 10:15, and settled YES."""
        event = ticker.rpartition("-")[0]
        series = ticker.partition("-")[0]
        if event not in [known["event_ticker"] for known in self.events]:
            known = {"event_ticker": event, "series_ticker": series, "mutually_exclusive": True}
            self.events.append(known)
        market = {
            "ticker": ticker,
            "event_ticker": event,
            "title": f"About {ticker}",
            "open_time": "2026-09-10T10:00:00Z",
            "close_time": "2026-09-10T10:15:00Z",
            "latest_expiration_time": "2026-09-17T10:15:00Z",
            "updated_time": "2026-09-10T10:15:06Z",
            "status": "finalized",
            "result": "yes",
            "settlement_value_dollars": "1.0000",
            "settlement_ts": "2026-09-10T10:15:06Z",
            "expiration_value": "77350.01",
            "can_close_early": True,
            **fields,
        }
        self.markets[tier].append(market)
        for kind in ("live", "historical"):
            prefix = "/historical" if kind == "historical" else f"/series/{series}"
            self.local.answers[f"{prefix}/markets/{ticker}/candlesticks"] = partial(
                self._candles, kind, ticker
            )
        return market

    def paged(self, name: str, rows: list[Any], query: dict[str, str]) -> dict[str, Any]:
        """Return a page of rows."""
        at = int(query.get("cursor", 0))
        upto = at + min(self.page, int(query.get("limit", 100)))
        return {name: rows[at:upto], "cursor": str(upto) if upto < len(rows) else ""}

    def _events(self, query: dict[str, str]) -> Any:
        names = query.get("tickers", "").split(",") if "tickers" in query else None
        series = query.get("series_ticker")
        rows = [
            event
            for event in self.events
            if (names is None or event["event_ticker"] in names)
            and series in (None, event["series_ticker"])
        ]
        return self.paged("events", rows, query)

    def _markets(self, tier: str, query: dict[str, str]) -> Any:
        names = query.get("tickers", "").split(",") if "tickers" in query else None
        series = query.get("series_ticker")
        rows = [
            market
            for market in self.markets[tier]
            if (names is None or market["ticker"] in names)
            and series in (None, market["ticker"].partition("-")[0])
            and seconds(market["close_time"]) >= int(query.get("min_close_ts", 0))
            and seconds(market["updated_time"]) >= int(query.get("min_updated_ts", 0))
        ]
        return self.paged("markets", rows, query)

    def _candles(self, tier: str, ticker: str, query: dict[str, str]) -> Any:
        rows = self.candles[tier].get(ticker)
        if rows is None:
            return Raw(404, b'{"error":{"message":"not found"}}')
        start, end = int(query["start_ts"]), int(query["end_ts"])
        if (end - start) // (60 * int(query["period_interval"])) + 1 > 5000:
            return Raw(400, b'{"error":{"message":"max candlesticks: 5000"}}')
        kept = [row for row in rows if start <= row["end_period_ts"] <= end]
        return {"ticker": ticker, "candlesticks": kept}

    def _trades(self, tier: str, query: dict[str, str]) -> Any:
        rows = self.trades[tier].get(query["ticker"], [])
        low, high = int(query.get("min_ts", 0)), int(query["max_ts"])
        kept = [row for row in rows if low <= seconds(row["created_time"]) <= high]
        kept.sort(key=lambda row: row["created_time"], reverse=True)
        return self.paged("trades", kept, query)


def seconds(text: str) -> float:
    """Return seconds since 1970 of a time as the exchange writes it."""
    return datetime.fromisoformat(text).timestamp()


def candle(time: str, close: str = "0.5000", volume: str = "1.00", **fields: Any) -> dict[str, Any]:
    """Return a bar that ends at `time` and stood still at `close`."""
    parts = ("open_dollars", "high_dollars", "low_dollars", "close_dollars")
    return {
        "end_period_ts": int(seconds(time)),
        "yes_bid": dict.fromkeys(parts, "0.4000"),
        "yes_ask": dict.fromkeys(parts, "0.6000"),
        "price": dict.fromkeys(parts, close),
        "volume_fp": volume,
        "open_interest_fp": "7.00",
        **fields,
    }


def trade(ticker: str, time: str, name: str, price: str = "0.5000") -> dict[str, Any]:
    """Return a trade of one contract."""
    return {
        "trade_id": name,
        "ticker": ticker,
        "count_fp": "1.00",
        "yes_price_dollars": price,
        "taker_outcome_side": "yes",
        "created_time": time,
        "is_block_trade": False,
    }
