"""A small dataset, written by hand, in which nothing is wrong, and the means to break it.

Two quarter hours with trades and books, five days of a temperature ladder in hourly bars (one of
its markets also in bars of two hours), and a game of two markets.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.parts import series_of

Tables = dict[str, pl.DataFrame]
Row = dict[str, Any]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FIRST, SECOND = "KXBTC15M-26JAN051015-15", "KXBTC15M-26JAN051030-30"
GAME = "KXGAME-26JAN05AAABBB"
STEPS = [
    {"start": 0, "end": 1_000, "step": 10},
    {"start": 1_000, "end": 9_000, "step": 100},
    {"start": 9_000, "end": 10_000, "step": 10},
]


def utc(day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    """A time of January 2026; Eastern time is five hours behind."""
    return datetime(2026, 1, day, hour, minute, second, tzinfo=UTC)


class Memory:
    """Tables as a dataset, as they are given."""

    name = "memory"

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def scan(
        self, table: str, *, ordered: bool = True, series: Sequence[str] | None = None
    ) -> pl.LazyFrame:
        assert ordered
        found = self.tables.get(table, schema.STORED[table].empty()).lazy()
        return found if series is None else found.filter(series_of("ticker").is_in(list(series)))


def ladder(day: int) -> str:
    return f"KXLOW-26JAN{day:02d}"


def _market(ticker: str, open_time: datetime, close_time: datetime, **more: Any) -> Row:
    event = ticker.rsplit("-", 1)[0]
    known = {"event": event, "series": ticker.split("-", maxsplit=1)[0]}
    times = {"open_time": open_time, "close_time": close_time}
    return {"ticker": ticker, **known, **times, "mutually_exclusive": True, **more}


def _markets() -> Iterator[Row]:
    for ticker, minute, strike in ((FIRST, 0, 100.25), (SECOND, 15, 100.5)):
        start = utc(5, 15, minute)
        strikes = {"strike_type": "greater_or_equal", "floor_strike": strike}
        grid = {"price_ranges": STEPS, "mutually_exclusive": False}
        yield _market(ticker, start, start + 15 * MINUTE, **strikes, **grid)
    for day in range(5, 10):
        times = utc(day - 1, 15), utc(day + 1, 5)
        event = ladder(day)
        yield _market(f"{event}-T40", *times, strike_type="less", cap_strike=40.0)
        between = {"strike_type": "between", "floor_strike": 40.0, "cap_strike": 41.0}
        yield _market(f"{event}-B40.5", *times, **between)
        yield _market(f"{event}-T41", *times, strike_type="greater", floor_strike=41.0)
    for team in ("AAA", "BBB"):
        yield _market(f"{GAME}-{team}", utc(5, 12), utc(19, 12), can_close_early=True)


def _settlement(ticker: str, close: datetime, result: str, value: float | None) -> Row:
    payout = 10_000 if result == "yes" else 0
    return {
        "ticker": ticker,
        "time": close + HOUR,
        "close_time": close,
        "payout": payout,
        "result": result,
        "value": value,
    }


def _settlements() -> Iterator[Row]:
    yield _settlement(FIRST, utc(5, 15, 15), "yes", 100.5)
    yield _settlement(SECOND, utc(5, 15, 30), "no", 100.1)
    for day in range(5, 10):
        for end, result in (("T40", "no"), ("B40.5", "no"), ("T41", "yes")):
            yield _settlement(f"{ladder(day)}-{end}", utc(day + 1, 5), result, 43.0)
    for team, result in (("AAA", "yes"), ("BBB", "no")):
        yield _settlement(f"{GAME}-{team}", utc(5, 20), result, None)


def _determinations() -> Iterator[Row]:
    """A quarter hour is determined and paid, a temperature is disputed in between."""
    usual = (1, "determined"), (60, "finalized")
    disputed = (1, "determined"), (10, "disputed"), (40, "determined"), (60, "finalized")
    for ticker, close, payout, said in (
        (SECOND, utc(5, 15, 30), 0, usual),
        (f"{ladder(9)}-T41", utc(10, 5), 10_000, disputed),
    ):
        for later, status in said:
            paid = None if status == "disputed" else payout
            time = close + later * MINUTE
            yield {"ticker": ticker, "time": time, "status": status, "payout": paid}


def _bar(ticker: str, period: int, time: datetime, price: int, spread: int = 200) -> Row:
    bid, ask = price, price + spread
    quotes = {
        f"{side}_{part}": q for side, q in (("bid", bid), ("ask", ask)) for part in schema.OHLC
    }
    return {"ticker": ticker, "period": period, "time": time, **quotes, "quote_source": "candle"}


def _traded(bar: Row, volume: int, low: int, high: int) -> Row:
    ends = {"price_open": low, "price_high": high, "price_low": low, "price_close": high}
    return bar | ends | {"volume": volume}


def _candles() -> Iterator[Row]:
    for ticker, minute in ((FIRST, 0), (SECOND, 15)):
        for n in range(1, 16):
            bar = _bar(ticker, 60, utc(5, 15, minute) + n * MINUTE, 4_000 + 100 * n)
            bar = _traded(bar, 20_000 + n, bar["bid_close"], bar["ask_close"])
            yield bar | {"open_interest": 50_000 + n}
    for day in range(5, 10):
        for end in ("T40", "B40.5", "T41"):
            ticker, start = f"{ladder(day)}-{end}", utc(day - 1, 15)
            for n in range(1, 39):
                bar = _bar(ticker, 3_600, start + n * HOUR, 2_000 + 100 * (n % 2))
                yield _traded(bar, 1_000 + n, bar["bid_close"] + 100, bar["bid_close"] + 100)
    ticker = f"{ladder(5)}-T40"
    yield _traded(_bar(ticker, 7_200, utc(4, 16), 2_000), 1_001, 2_200, 2_200)
    for n in range(2, 37, 2):  # the hours n and n + 1
        bar = _bar(ticker, 7_200, utc(4, 15) + (n + 1) * HOUR, 2_000)
        yield _traded(bar, 1_000 + n + 1_000 + n + 1, 2_100, 2_200)
    for team in ("AAA", "BBB"):
        for n in range(1, 9):
            bar = _bar(f"{GAME}-{team}", 3_600, utc(5, 12) + n * HOUR, 5_000 + 100 * (n % 3))
            yield bar | {"volume": 0}


def _trades() -> Iterator[Row]:
    for ticker, minute in ((FIRST, 0), (SECOND, 15)):
        for n in range(1, 16):
            start = utc(5, 15, minute) + (n - 1) * MINUTE
            price = 4_000 + 100 * n
            for k, side, quantity in ((0, -1, 10_000), (1, 1, 10_000 + n)):
                yield {
                    "ticker": ticker,
                    "time": start + timedelta(seconds=20 + 20 * k),
                    "trade_id": f"{n:02d}{k}",
                    "price": price + 200 * k,
                    "quantity": quantity,
                    "taker_side": side,
                }


def levels(*levels: tuple[int, int]) -> list[Row]:
    return [{"price": price, "size": size} for price, size in levels]


def _books() -> Iterator[Row]:
    for ticker, minute in ((FIRST, 0), (SECOND, 15)):
        for n in range(1, 16):
            start, bid = utc(5, 15, minute) + (n - 1) * MINUTE, 4_000 + 100 * n
            bids, asks = levels((bid, 500), (bid - 100, 700)), levels((bid + 200, 500))
            yield {
                "ticker": ticker,
                "time": start + timedelta(seconds=15),
                "bids": bids,
                "asks": asks,
            }
    yield {"ticker": SECOND, "time": utc(5, 15, 29, 59), "bids": None, "asks": None}


def _references() -> Iterator[Row]:
    known = {"source": "coinbase", "symbol": "BTC", "field": "close"}
    for n in range(200):
        yield known | {"time": utc(5, 14) + n * MINUTE, "value": 100.0 + 0.01 * n}


def frame(table: schema.Table, rows: list[Row]) -> pl.DataFrame:
    """Rows as a table, absent columns null, in the order of the key."""
    return pl.DataFrame(rows, schema=table.columns, orient="row").sort(table.key)


def clean() -> Tables:
    """The dataset."""
    series = ("KXBTC15M", "KXLOW", "KXGAME")
    fees = {"effective_from": utc(1, 0), "fee_type": "quadratic", "fee_multiplier": 1_000_000}
    rows: dict[str, list[Row]] = {
        "series": [{"series": name, **fees} for name in series],
        "event_fees": [{"event": GAME, **fees}],
        "markets": list(_markets()),
        "settlements": list(_settlements()),
        "revisions": [_settlement(FIRST, utc(5, 15, 15), "yes", 100.4)],
        "determinations": list(_determinations()),
        "candles": list(_candles()),
        "trades": list(_trades()),
        "books": list(_books()),
        "references": list(_references()),
        "coverage": [
            {
                "table": "candles",
                "subject": FIRST,
                "period": 60,
                "start": utc(5, 15),
                "end": utc(5, 16),
                "final": True,
            }
        ],
        "quarantine": [],
    }
    return {name: frame(schema.STORED[name], found) for name, found in rows.items()}


Change = Callable[[Tables], None]


def put(table: str, where: pl.Expr, **values: Any) -> Change:
    """Set columns of the rows of a table that `where` picks."""

    def change(tables: Tables) -> None:
        old = tables[table]
        cells = [
            pl.when(where)
            .then(v if isinstance(v, pl.Expr) else pl.lit(v, dtype=old.schema[name]))
            .otherwise(name)
            .cast(old.schema[name])
            .alias(name)
            for name, v in values.items()
        ]
        new = old.with_columns(cells)
        assert not new.equals(old), "the change changes nothing"
        tables[table] = new.sort(schema.STORED[table].key, maintain_order=True)

    return change


def copy(table: str, where: pl.Expr, **values: Any) -> Change:
    """Add copies of the rows that `where` picks, with other values."""

    def change(tables: Tables) -> None:
        picked = {table: tables[table].filter(where)}
        assert picked[table].height, "nothing to copy"
        put(table, pl.lit(value=True), **values)(picked)
        both = pl.concat([tables[table], picked[table]])
        tables[table] = both.sort(schema.STORED[table].key, maintain_order=True)

    return change


def without(table: str, where: pl.Expr) -> Change:
    """Remove rows."""

    def change(tables: Tables) -> None:
        kept = tables[table].filter(~where)
        assert kept.height < tables[table].height, "nothing to remove"
        tables[table] = kept

    return change


def both(*changes: Change) -> Change:
    """Make several changes."""

    def change(tables: Tables) -> None:
        for one in changes:
            one(tables)

    return change
