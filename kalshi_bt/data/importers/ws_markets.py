"""What a recording tells of its markets: documents of the exchange beside it, and news of them."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from operator import itemgetter
from pathlib import Path
from typing import Any

import polars as pl

from kalshi_bt.data.kalshi import parse
from kalshi_bt.data.kalshi.parse_cells import EPOCH
from kalshi_bt.data.lifecycle import payouts
from kalshi_bt.data.manifest import one_line
from kalshi_bt.data.wire import EventNews, FeeNews, MarketNews
from kalshi_bt.errors import DataError
from kalshi_bt.schema import (
    CANDLES,
    DETERMINATIONS,
    EVENT_FEES,
    MARKETS,
    SERIES,
    SETTLEMENTS,
    TRADES,
    Table,
)
from kalshi_bt.units import PRICE_SCALE

Row = dict[str, Any]
_USUAL = {"fee_type": "quadratic", "fee_multiplier": 1_000_000}
_FEE = tuple(_USUAL)
_PAYOUT = {"yes": PRICE_SCALE, "no": 0}
_WORDS = {payout: result for result, payout in _PAYOUT.items()}


class Registry:
    """Markets, events, results and fees as they become known.

    Attributes
    ----------
    flaws : list of (table, source, row, reason, found)
        What could not be read.
    skipped : dict of table to Counter
        What is fine and not wanted: combo, block, not_final, other_document.
    """

    def __init__(self) -> None:
        self.flaws: list[tuple[str, str, int, str, str]] = []
        self.skipped: dict[str, Counter[str]] = {}
        self._events: dict[str, Row] = {}
        self._markets: dict[str, Row] = {}
        self._news: dict[str, Row] = {}
        self._settled: dict[str, Row] = {}
        self._closes: dict[str, datetime] = {}  # as they were told last
        self._told: dict[str, datetime] = {}
        self._results: dict[str, list[Row]] = {}
        self._series: dict[str, list[Row]] = {}  # fees, the first undated
        self._fees: list[Row] = []
        self._trades: dict[tuple[str, str], Row] = {}
        self._candles: list[Row] = []

    def document(self, path: Path, name: str) -> None:
        """Read a JSON document of the exchange: what it holds of markets is kept.

        Raises
        ------
        DataError
            If it cannot be read at all.
        """
        try:
            whole = json.loads(path.read_text("utf-8"), parse_float=Decimal)
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read ({one_line(error)})") from None
        if not isinstance(whole, dict) or not self.answer(whole, name):
            self._skip("markets", "other_document")

    def answer(self, whole: Row, name: str, time: int | None = None) -> bool:
        """Keep what an answer of the exchange holds of markets; return whether that is anything.

        Recorders put the answer itself under ``response``. Fees of a series that are others than
        before hold from `time` on, microseconds, if the answer has one.
        """
        said = whole.get("response", whole)
        if not isinstance(said, dict):
            return False
        found = self._held(said, whole, name)
        if said.get("series"):
            listed = said["series"] if isinstance(said["series"], list) else [said["series"]]
            for row in self._page(parse.series({"series": listed}), "series", name):
                self._fee(row, time)
            found = True
        return found

    def _fee(self, row: Row, time: int | None) -> None:
        known = self._series.get(row["series"])
        if known is None or time is None:
            self._series[row["series"]] = [{**row, "effective_from": EPOCH}]
        elif any(known[-1][name] != row[name] for name in _FEE):
            since = EPOCH + timedelta(microseconds=time)
            known.append({**row, "effective_from": since})

    def paid(self, tickers: Iterable[str], time: int) -> None:
        """Note that whoever listened knew of payouts no earlier than that, microseconds."""
        for ticker in tickers:
            known = self._told.setdefault(ticker, EPOCH + timedelta(microseconds=time))
            if ticker in self._settled and self._settled[ticker]["time"] < known:
                self._settled[ticker] = {**self._settled[ticker], "time": known}

    def forget(self, tickers: set[str]) -> None:
        """Forget markets of which nothing more will come."""
        kinds = (self._markets, self._news, self._settled, self._told, self._results)
        for kept in (*kinds, self._closes):
            for ticker in tickers & kept.keys():
                del kept[ticker]

    def _held(self, said: Row, whole: Row, name: str) -> bool:
        """Keep what an answer holds; return whether that is anything."""
        found = False
        events = said.get("events", [said["event"]] if "event" in said else []) or []
        if events and all("event_ticker" in e and "series_ticker" in e for e in events):
            nested = [m for e in events for m in e.get("markets") or ()]
            said = {**said, "markets": [*(said.get("markets") or ()), *nested]}
            page = self._page(parse.events({"events": events}), "markets", name)
            self._events |= {row["event"]: row for row in page}
            found = True
        markets = said.get("markets", [said["market"]] if "market" in said else []) or []
        if any("candlesticks" in m for m in markets):
            return self._bars(markets, whole, name) or found
        if markets:
            for row in self._page(parse.markets({"markets": markets}), "markets", name):
                self._market(row)
            found = True
        if "trades" in said:
            for row in self._page(parse.trades(said), "trades", name):
                self._trades[row["ticker"], row["trade_id"]] = row
            found = True
        if "candlesticks" in said:
            ticker = whole.get("_metadata", {}).get("ticker")
            one = [{"market_ticker": ticker, **said}] if ticker else []
            return self._bars(one, whole, name) or found
        return found

    def _bars(self, markets: Iterable[Row], whole: Row, name: str) -> bool:
        minutes = whole.get("_metadata", {}).get("period_interval")
        if not isinstance(minutes, int):
            return False
        found = False
        for market in markets:
            rows = self._page(parse.candles(market), "candles", name)
            more = {"ticker": market["market_ticker"], "period": minutes * 60}
            self._candles += [{**more, **row, "quote_source": "candle"} for row in rows]
            found = True
        return found

    def _page(self, page: parse.Page, table: str, name: str) -> list[Row]:
        self.flaws += [(table, name, bad.row, bad.reason, bad.found) for bad in page.unusable]
        if page.skipped:
            self._skip(table, "block", page.skipped)
        return page.rows

    def _skip(self, table: str, why: str, count: int = 1) -> None:
        self.skipped.setdefault(table, Counter())[why] += count

    def _market(self, row: Row) -> None:
        if row["combo"]:
            self._skip("markets", "combo")
            return
        ticker = row["ticker"]
        before = self._markets.get(ticker, {}).get("close_time")
        self._markets[ticker] = {**row, "close_time": _scheduled(row) or before}
        self._closes[ticker] = row["close_time"]
        if row["result"] is None:
            return
        time = row["settled_time"]
        if row["status"] not in parse.PAID or time is None:
            self._skip("settlements", "not_final")
            return
        self._settled[ticker] = {
            "ticker": ticker,
            "time": max(time, self._told.get(ticker, time)),
            "close_time": min(row["close_time"], time),
            "payout": row["payout"],
            "result": row["result"],
            "value": row["value"],
        }

    def learn(self, news: MarketNews, time: int) -> None:
        """Keep what a life-cycle message says; `time` is when it came."""
        known = self._news.setdefault(news.ticker, {})
        told = dict(news.told)
        close = told.pop("close_time", None)
        if close is not None:
            self._closes[news.ticker] = close
            if news.kind == "created":  # later ones follow from the outcome
                known["close_time"] = close
        if news.kind in {"determined", "settled"}:
            said = {"time": EPOCH + timedelta(microseconds=time), "kind": news.kind, **told}
            self._results.setdefault(news.ticker, []).append(said)
        known |= told

    def event(self, news: EventNews) -> None:
        """Keep that an event was made."""
        row = {"event": news.event, "series": news.series, "title": news.title}
        self._events[news.event] = {**row, "mutually_exclusive": news.mutually_exclusive}

    def fees(self, news: FeeNews, time: int) -> None:
        """Keep that an event has fees of its own from now on, or no longer."""
        self._fees.append(
            {
                "event": news.event,
                "effective_from": EPOCH + timedelta(microseconds=time),
                "fee_type": news.fee_type,
                "fee_multiplier": news.fee_multiplier,
            }
        )

    def closes(self) -> dict[str, datetime]:
        """Return when each market closed, or is to close, as far as that is known."""
        return self._closes | {ticker: row["close_time"] for ticker, row in self._settled.items()}

    def markets(self, traded: Iterable[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the markets that are described, and those of `traded` that are not."""
        made = [self._row(t) for t in sorted(self._markets.keys() | self._news.keys())]
        described = {row["ticker"] for row in made}
        others = [self._row(ticker) for ticker in sorted(set(traded) - described)]
        return _table(MARKETS, made), _table(MARKETS, others)

    def _row(self, ticker: str) -> Row:
        known = self._markets.get(ticker, {}) | self._news.get(ticker, {})
        event = known.get("event") or ticker.rpartition("-")[0] or ticker
        of_event = self._events.get(event, {})
        return known | {
            "ticker": ticker,
            "event": event,
            "series": of_event.get("series") or ticker.partition("-")[0],
            "title": known.get("title") or of_event.get("title"),
            "mutually_exclusive": of_event.get("mutually_exclusive"),
        }

    def determinations(self) -> pl.DataFrame:
        """Return what was said of results, and that they were paid."""
        rows = [row for ticker in self._results for row in self._said(ticker)]
        paid = {row["ticker"] for row in rows if row["status"] == "finalized"}
        documented = self._settled.keys() - paid
        rows += [{**self._settled[ticker], "status": "finalized"} for ticker in documented]
        return _table(DETERMINATIONS, {(r["ticker"], r["time"]): r for r in rows}.values())

    def _said(self, ticker: str) -> list[Row]:
        """Return what messages said of one result, in the order of time; the last of one time.

        They do not tell of disputes: a result that is determined anew was amended.
        """
        last: Row = {}
        rows = {}
        for news in sorted(self._results[ticker], key=itemgetter("time")):
            if news["kind"] == "determined":
                result = news.get("result")
                payout = news.get("payout", _PAYOUT.get(result or ""))
                anew = bool(last) and last["payout"] != payout
                last = {"payout": payout, "result": result}
                status = "amended" if anew else "determined"
            else:
                status = "finalized"
            if last:
                row = {"ticker": ticker, "time": news["time"], "status": status, **last}
                rows[news["time"]] = row
        return list(rows.values())

    def settlements(self) -> pl.DataFrame:
        """Return what was paid, and when that was known; life-cycle news come before documents.

        A result that was only determined is none of them.
        """
        rows = dict(self._settled)
        for ticker in self._results:
            said = self._said(ticker)
            for _, time, payout in payouts(_table(DETERMINATIONS, said)).iter_rows():
                result = next(row["result"] for row in reversed(said) if row["time"] == time)
                paid = {"ticker": ticker, "time": time, "payout": payout, "result": result}
                close = {"close_time": self._ended(ticker, time)}
                rows[ticker] = {"value": rows.get(ticker, {}).get("value"), **paid, **close}
        for row in rows.values():
            if row["payout"] is None:
                row["payout"] = _PAYOUT.get(row["result"])
            if row["result"] is None and row["payout"] is not None:  # the message may lack it
                row["result"] = _WORDS.get(row["payout"], "scalar")
        lost = [t for t, row in rows.items() if row["payout"] is None]
        for ticker in lost:
            found = f"ticker={ticker}, result={rows.pop(ticker)['result']}, payout=null"
            self.flaws.append(("settlements", ticker, 0, "null_value", found))
        return _table(SETTLEMENTS, rows.values())

    def _ended(self, ticker: str, paid: datetime) -> datetime:
        """Return when trading ended: as it was told last, and not after the first determination."""
        news = [self._closes.get(ticker), paid]
        news += [said.get("determined_time") for said in self._results[ticker]]
        return min(time for time in news if time is not None)

    def series(self, needed: Iterable[str]) -> tuple[pl.DataFrame, list[str]]:
        """Return fees of series, and which of `needed` are taken to have the usual ones."""
        rows = [row for told in self._series.values() for row in told]
        assumed = sorted(set(needed) - self._series.keys())
        rows += [{"series": name, "effective_from": EPOCH, **_USUAL} for name in assumed]
        return _table(SERIES, rows), assumed

    def event_fees(self) -> pl.DataFrame:
        """Return the fees of events."""
        return _table(
            EVENT_FEES, {(r["event"], r["effective_from"]): r for r in self._fees}.values()
        )

    def trades(self) -> pl.DataFrame:
        """Return the trades in documents."""
        return _table(TRADES, self._trades.values())

    def candles(self) -> pl.DataFrame:
        """Return the bars in documents."""
        rows = {(r["ticker"], r["period"], r["time"]): r for r in self._candles}
        return _table(CANDLES, rows.values())


def _scheduled(row: Row) -> datetime | None:
    """Return when a market was to close; None where its close followed from the outcome.

    A close that is moved when the outcome is known falls anywhere in a minute, a scheduled one on
    a whole minute.
    """
    close: datetime = row["close_time"]
    over = row["status"] not in parse.OPEN and row["can_close_early"] is not False
    return None if over and (close.second or close.microsecond) else close


def _table(table: Table, rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Return rows as a declared table; what they lack is null."""
    data = {name: [row.get(name) for row in rows] for name in table.columns}
    return table.filled(pl.DataFrame(data, schema=table.columns))
