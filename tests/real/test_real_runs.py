"""Whole runs on recorded data, every fill held against the raw files by plain arithmetic.

Each fill of a run must follow from the bar it happened in, as the raw files have it. Prices are
centi-cents, seen from the side held: a holder of NO sees one less the other side of the book.
Quantities are centi-contracts, money is in micro-dollars.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import groupby, pairwise
from math import ceil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from real_books import BOOKS, Book

import kalshi_bt
from kalshi_bt import schema
from kalshi_bt.data.importers.table import import_tables
from kalshi_bt.run import Result

pytestmark = [pytest.mark.real, pytest.mark.slow]

MAPPINGS = Path(__file__).parents[2] / "research" / "mappings"
FOLDERS = {
    "weather": "weather",
    "nba_minute": "nba",
    "nba_hourly": "nba",
    "analytics_aug2025": "kalshi-analytics-aug2025",
    "crypto15m": "crypto15m-2026",
}
EXCHANGE_ROUNDING = datetime(2026, 3, 4, tzinfo=UTC)
OHLC = schema.OHLC
Row = dict[str, Any]
Run = Callable[..., Result]


@pytest.fixture(scope="session")
def run(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Import a dataset once, and run `bollinger` on it once for each set of parameters."""
    root = tmp_path_factory.mktemp("runs")
    done: dict[str, Result] = {}

    def run_once(name: str, **parameters: Any) -> Result:
        key = f"{name} {sorted(parameters.items())}"
        if key not in done:
            if not (root / name).exists():
                import_tables(MAPPINGS / f"{name}.toml", [real_data / FOLDERS[name]], root / name)
            out = root / "reports"
            done[key] = kalshi_bt.backtest("bollinger", data=root / name, out=out, **parameters)
        return done[key]

    return run_once


# Runs with trades; the bars of crypto15m end before 25 of them make a band.
TRADED: dict[str, Row] = {
    "weather": {},
    "nba_minute": {},
    "nba_hourly": {},
    "analytics_aug2025": {},
    "crypto15m": {"period": 6},
}


DIRECT = datetime(2026, 5, 28, tzinfo=UTC)  # balances are told in $0.0001 from then on


def taken_of_a_sale(time: datetime, size: int, price: int) -> int:
    """What the first sale of a position costs a taker."""
    if time < EXCHANGE_ROUNDING:
        return fee(70_000, size, price, 10_000)
    trade_fee = fee(70_000, size, price, 100)
    return trade_fee + (size * price - trade_fee) % (10_000 if time < DIRECT else 100)


# --- tracing fills --------------------------------------------------------------------------------


def least(*prices: int | None) -> int | None:
    return min((p for p in prices if p is not None), default=None)


def first_known(*prices: int | None) -> int | None:
    return next((p for p in prices if p is not None), None)


@dataclass(frozen=True)
class Side:
    """One raw bar as the holder of one side sees it."""

    row: Row
    side: int

    def see(self, name: str, part: str) -> int | None:
        if self.side < 0:
            name = {"bid": "ask", "ask": "bid"}.get(name, name)
            part = {"high": "low", "low": "high"}.get(part, part)
        price = self.row[f"{name}_{part}"]
        return price if price is None or self.side > 0 else 10_000 - price

    def ask(self, part: str) -> int | None:
        return self.see("ask", part)

    def bid(self, part: str) -> int | None:
        return self.see("bid", part)

    @property
    def lowest_ask(self) -> int | None:
        return least(*(self.ask(part) for part in ("open", "low", "close")))

    @property
    def lowest_bid(self) -> int | None:
        return least(*(self.bid(part) for part in ("open", "low", "close")))

    def offers_below(self, level: int) -> bool:
        """Whether a resting buy at `level` was traded through, by a quote or by a trade."""
        found = least(self.lowest_ask, self.see("price", "low"))
        return found is not None and found < level

    def bids_above(self, level: int, *, at_the_end: bool) -> bool:
        if at_the_end:  # what came before the entry in the same bar proves nothing
            seen = [self.bid("close")]
        else:
            seen = [self.bid(part) for part in ("open", "high", "close")]
            seen.append(self.see("price", "high"))
        return any(p is not None and p > level for p in seen)

    def room(self) -> int:
        volume = 10_000 if self.row["volume"] is None else self.row["volume"]
        return volume // 10 // 100 * 100  # a tenth of the volume, in whole contracts


@dataclass
class Trace:
    """The raw bars of the markets that a run had orders in, while they traded."""

    book: Book
    bars: dict[str, list[Row]]

    @classmethod
    def of(cls, book: Book, tickers: set[str]) -> "Trace":
        kept = book.bars.filter(pl.col("ticker").is_in(pl.Series(list(tickers)).implode()))
        found = defaultdict(list)
        for row in kept.sort("ticker", "time").to_dicts():
            end = book.closes.get(row["ticker"])
            if end is None or row["time"] <= end:
                found[row["ticker"]].append(row)
        return cls(book, found)

    def in_time(self, order: Row) -> list[Row]:
        """Bars after a decision that end while its order, good for one interval, is alive."""
        times = [row["time"] for row in self.bars[order["ticker"]]]
        interval = min(after - before for before, after in pairwise(times))
        over = order["time"] + timedelta(seconds=1) + interval
        return [row for row in self.later(order) if row["time"] <= over]

    def later(self, order: Row) -> list[Row]:
        """Bars after a decision, the first of which is the first that can fill it."""
        bars = self.bars[order["ticker"]]
        assert any(row["time"] == order["time"] for row in bars)
        return [row for row in bars if row["time"] > order["time"]]

    def entry(self, order: Row, fill: Row) -> Side:
        """Hold an entry fill against the bar after the decision."""
        bar = Side(self.later(order)[0], order["side"])
        limit = own(order["limit"], order["side"])
        price = own(fill["price"], order["side"])
        assert fill["time"] == bar.row["time"]
        assert self.in_time(order)[0] is bar.row
        start = bar.ask("open")
        if fill["role"] == "taker":
            assert start is not None
            assert price == start <= limit
        else:
            assert start is None or start > limit
            assert price == limit
            assert bar.offers_below(limit)
        assert order["filled"] == min(order["quantity"], bar.room())
        return bar

    def exits(self, order: Row, entry: Row, fills: list[Row]) -> None:
        """Hold the exits of one position against the bars it was held in."""
        side, ticker = order["side"], order["ticker"]
        stop, target = own(order["stop"], side), own(order["target"], side)
        fills, left, leaving = list(fills), order["filled"], False
        for row in self.later(order):
            bar = Side(row, side)
            first = row["time"] == entry["time"]
            resting = first and not (entry["role"] == "taker" and bar.ask("open") is not None)
            room = bar.room() - (order["filled"] if first else 0)
            low = bar.lowest_bid
            reason, price = None, None
            if leaving:
                reason, price = "stop", first_known(bar.bid("open"), bar.bid("close"))
            elif low is not None and low <= stop:
                leaving, reason = True, "stop"
                price = least(stop, first_known(bar.bid("open"), bar.bid("close"), low))
            elif bar.bids_above(target, at_the_end=resting):
                reason, price = "target", target
            size = min(left, room)
            if reason is None or price is None or size == 0:
                continue
            if reason == "stop" and size * price <= taken_of_a_sale(row["time"], size, price):
                continue  # the fee would take all of it
            fill = fills.pop(0)
            found = (fill["time"], fill["reason"], own(fill["price"], side), -fill["quantity"])
            assert found == (row["time"], reason, price, side * size)
            left -= size
            if left == 0:
                break
        self.settled(ticker, fills, side * left)

    def settled(self, ticker: str, fills: list[Row], left: int) -> None:
        """What no bar took is paid out, where there is a result, or stays."""
        if left == 0 or ticker not in self.book.payouts:
            assert fills == []
            return
        (fill,) = fills
        assert (fill["kind"], fill["role"], fill["fee"]) == ("settlement", "none", 0)
        assert fill["price"] == self.book.payouts[ticker]
        assert fill["time"] == self.book.paid[ticker]
        assert fill["quantity"] == -left


def own(price: int, side: int) -> int:
    return price if side > 0 else 10_000 - price


def fee(rate: int, quantity: int, price: int, step: int) -> int:
    exact = Fraction(rate * abs(quantity) * price * (10_000 - price), 10**10)
    return ceil(exact / step) * step


def traced(result: Result, book: Book) -> int:
    """Hold every fill of a run against the raw bars; return how many there were."""
    texts = pl.selectors.enum().cast(pl.String)
    orders = {row["order_id"]: row for row in result.orders.with_columns(texts).to_dicts()}
    fills = result.fills.with_columns(texts).to_dicts()
    trace = Trace.of(book, {order["ticker"] for order in orders.values()})
    count = 0
    for number, group in groupby(fills, key=lambda fill: fill["order_id"]):
        entry, *exits = group
        assert entry["leg"] == "entry"
        assert all(fill["leg"] == "exit" for fill in exits)
        trace.entry(orders[number], entry)
        trace.exits(orders[number], entry, exits)
        count += 1 + len(exits)
    unfilled = [
        o for o in orders.values() if (o["status"], o["reason"]) == ("expired", "not_reached")
    ]
    for order in unfilled:
        for bar in trace.in_time(order):
            assert not Side(bar, order["side"]).offers_below(own(order["limit"], order["side"]))
    for (ticker, time), quantity in taken(fills).items():
        (row,) = [r for r in trace.bars[ticker] if r["time"] == time]
        assert quantity <= Side(row, 1).room()
    assert count == result.fills.height
    return count


def taken(fills: list[Row]) -> Counter[tuple[str, datetime]]:
    total: Counter[tuple[str, datetime]] = Counter()
    for fill in fills:
        if fill["kind"] == "trade":
            total[fill["ticker"], fill["time"]] += abs(fill["quantity"])
    return total


# --- every run ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FOLDERS)
def test_a_run_leaves_a_report_and_whole_tables(run: Run, name: str) -> None:
    result = run(name)
    page = (result.run_dir / "report.html").read_text(encoding="utf-8")
    assert f"bollinger on {name}" in page
    assert "NaN" not in (result.run_dir / "report.txt").read_text(encoding="utf-8")

    def refuse(word: str) -> None:
        pytest.fail(f"{word} in metrics.json")

    text = (result.run_dir / "metrics.json").read_text(encoding="utf-8")
    metrics = json.loads(text, parse_constant=refuse)
    assert metrics == result.metrics
    assert all(m["value"] is not None or m["reason"] for m in metrics.values())
    tables = {
        "orders": (schema.ORDERS, result.orders),
        "fills": (schema.FILLS, result.fills),
        "trades_closed": (schema.TRADES_CLOSED, result.trades),
        "equity": (schema.EQUITY, result.equity),
    }
    for file, (table, frame) in tables.items():
        assert table.check(pl.read_parquet(result.run_dir / f"{file}.parquet")).equals(frame)


@pytest.mark.parametrize("name", TRADED)
def test_every_fill_follows_from_the_raw_bars(run: Run, real_data: Path, name: str) -> None:
    book = BOOKS[name](real_data / FOLDERS[name])
    assert traced(run(name, **TRADED[name]), book) > 30


RATES = {  # taker and maker
    "weather": (70_000, 0),
    "nba_minute": (70_000, 17_500),
    "nba_hourly": (70_000, 17_500),
    "analytics_aug2025": (70_000, 0),
    "crypto15m": (70_000, 0),
}


def charged(fills: list[Row], trade_fees: list[int]) -> list[int]:
    """Fees of the fills of one leg in turn, each with what the cut of the balance takes."""
    carried, found = 0, []
    for f, trade_fee in zip(fills, trade_fees, strict=True):
        buys = f["leg"] == "entry"
        side = 1 if (f["quantity"] > 0) == buys else -1
        value = abs(f["quantity"]) * own(f["price"], side)
        balance = (-value if buys else value) - trade_fee
        lost = balance % (10_000 if f["time"] < DIRECT else 100)
        carried += lost
        back = min(carried, trade_fee + lost) // 10_000 * 10_000
        carried -= back
        found.append(trade_fee + lost - back)
    return found


@pytest.mark.parametrize("name", TRADED)
def test_every_fee_follows_from_the_schedule(run: Run, name: str) -> None:
    """Until 2026-03-04 a leg of an order is rounded up to the cent as a whole, then each fill.

    Until 2026-05-28 the balance is then cut to whole cents, and whole cents that this took from an
    order come back.
    """
    result = run(name, **TRADED[name])
    texts = pl.selectors.enum().cast(pl.String)
    by_leg = defaultdict(list)
    for f in result.fills.with_columns(texts).to_dicts():
        by_leg[f["order_id"], f["reason"]].append(f)
    for fills in by_leg.values():
        rate = dict(zip(("taker", "maker", "none"), (*RATES[name], 0), strict=True))
        amounts = [(rate[f["role"]], f["quantity"], f["price"]) for f in fills]
        if fills[-1]["time"] < EXCHANGE_ROUNDING:
            exact = sum(Fraction(fee(*amount, 1)) for amount in amounts)
            paid = sum(f["fee"] for f in fills)
            assert paid % 10_000 == 0
            assert 0 <= paid - exact + len(fills) < 10_000 + len(fills)
        else:
            assert [f["fee"] for f in fills] == charged(fills, [fee(*a, 100) for a in amounts])


@pytest.mark.parametrize("name", TRADED)
def test_cash_positions_and_results_add_up(run: Run, name: str) -> None:
    result = run(name, **TRADED[name])
    sides = dict(result.orders.select("order_id", "side").iter_rows())
    cash, held = 10_000_000_000, Counter[str]()
    names = ("order_id", "ticker", "quantity", "price", "fee")
    for number, ticker, quantity, price, paid in result.fills.select(names).iter_rows():
        cash -= quantity * sides[number] * own(price, sides[number]) + paid
        held[ticker] += quantity
    assert result.equity["cash"][-1] == cash
    assert result.metrics["unsettled"]["value"] == sum(map(bool, held.values()))
    marked = result.equity["marked"][-1]
    assert result.equity["equity"][-1] == cash + marked
    for metric, value in {"final_equity": cash + marked, "unsettled_value": marked}.items():
        assert Decimal(result.metrics[metric]["value"]) * 1_000_000 == value
    assert int(result.trades["pnl"].sum()) == cash - 10_000_000_000 + cost_of_open(result, sides)


def cost_of_open(result: Result, sides: Mapping[int, int]) -> int:
    """What positions that are still open have cost so far, net of what was sold of them."""
    still = result.fills.join(result.trades.select(order_id="trade_id"), on="order_id", how="anti")
    names = ("order_id", "quantity", "price", "fee")
    return sum(
        quantity * sides[number] * own(price, sides[number]) + paid
        for number, quantity, price, paid in still.select(names).iter_rows()
    )


# --- one by one -----------------------------------------------------------------------------------


def test_one_trade_of_the_weather_by_hand(run: Run, real_data: Path) -> None:
    """KXHIGHNY-26MAR13-T45: will the high of 13 March in New York be at most 45 degrees?"""
    ticker = "KXHIGHNY-26MAR13-T45"
    raw = pl.read_parquet(real_data / "weather" / "kalshi_candles_nyc.parquet")
    bars = raw.filter(ticker=ticker).sort("end_ts").to_dicts()
    ends = {row["end_time"].strftime("%d %H:%M"): row for row in bars}
    # The bar that ends on the 13th at 19:00 opens at 0.70 and closes at 0.78.
    signal = ends["13 19:00"]
    assert [signal[f"price_{p}"] for p in OHLC] == [0.70, 0.80, 0.68, 0.78]
    # Its last 25 closes, its own among them, sum to 9.45: mean 0.378, deviation 0.1570.
    closes = [row["price_close"] for row in bars if row["end_ts"] <= signal["end_ts"]][-25:]
    cents = [20, 23, 23, 23, 22, 26, 24, 22, 32, 31, 31, 31, 29]
    cents += [39, 45, 44, 44, 40, 40, 45, 44, 59, 52, 78, 78]
    assert [round(100 * c) for c in closes] == cents
    assert sum(cents) == 945
    # Upper band 0.378 + 2 x 0.1570 = 0.6921 < 0.70: the whole body lies above it. In whole numbers,
    # with n = 25: 4 (n x sum of squares - sum squared) is below (n x body - sum) squared.
    assert 4 * (25 * sum(c * c for c in cents) - 945**2) < (25 * 70 - 945) ** 2
    # Short: buy NO by selling YES at the high, 0.80. The range is 0.12: stop 0.92, target 0.56.
    order = run("weather").orders.filter(ticker=ticker, time=at(13, 19)).to_dicts()[0]
    assert (order["side"], order["limit"], order["stop"], order["target"]) == (
        -1,
        8_000,
        9_200,
        5_600,
    )
    # 2 % of some $9,900 over a risk of 0.12 would be above a thousand contracts: a hundred at most.
    assert (order["quantity"], order["filled"]) == (10_000, 10_000)
    # 20:00 opens with a bid of 0.72, so the order rests; trades at 0.82 go through it. A tenth of
    # the 1,807 contracts is more than enough: filled as maker at 0.80, without a fee.
    entry = ends["13 20:00"]
    assert (entry["yes_bid_open"], entry["price_high"], entry["volume"]) == (0.72, 0.82, 1_807.0)
    # Until 02:00 nobody asks 0.92 or more, and nothing trades below 0.56.
    held = [row for row in bars if entry["end_ts"] <= row["end_ts"] < ends["14 02:00"]["end_ts"]]
    assert max(row["yes_ask_high"] for row in held) == 0.91
    assert min(row["price_low"] for row in held) == 0.64
    # In the bar of 02:00 the ask opens at 0.91 and reaches 0.96: NO at 0.08 is the stop, hit.
    stopped = ends["14 02:00"]
    assert (stopped["yes_ask_open"], stopped["yes_ask_high"]) == (0.91, 0.96)
    # Taker fee: 0.07 x 100 x 0.08 x 0.92 = 0.5152, which is whole in $0.0001. Eight dollars less
    # that are 7.4848, of which whole cents arrive in March 2026: 7.48, so 0.52 are gone.
    assert result_of(run("weather"), order["order_id"]) == {
        "side": -1,
        "entry_time": at(13, 20),
        "exit_time": at(14, 2),
        "quantity": 10_000,
        "stake": 20_000_000,  # a hundred NO at 0.20
        "exit_reason": "stop",
        "gross_pnl": -12_000_000,  # sold at 0.08
        "fees": 520_000,
        "pnl": -12_520_000,
        "spread_paid": 2_000_000,  # half of 0.91 - 0.87, on the way out
    }


def at(day: int, hour: int) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=UTC)


def result_of(result: Result, order: int) -> Row:
    names = ("side", "entry_time", "exit_time", "quantity", "stake", "exit_reason")
    names += ("gross_pnl", "fees", "pnl", "spread_paid")
    return result.trades.filter(trade_id=order).select(names).to_dicts()[0]


def test_games_without_quotes_say_which_spread_was_assumed(run: Run) -> None:
    text = (run("nba_minute").run_dir / "report.txt").read_text(encoding="utf-8")
    assert "488,566 of 488,566 bars have no recorded quotes" in " ".join(text.split())
    assert "assumed 0.0200 dollars either side of the last trade" in " ".join(text.split())


def test_open_markets_never_settle_and_are_no_wins(run: Run) -> None:
    result = run("analytics_aug2025")
    assert "settlement" not in result.fills["kind"].cast(pl.String).to_list()
    assert "settlement" not in result.trades["exit_reason"].to_list()
    trades, unsettled = result.metrics["n_trades"]["value"], result.metrics["unsettled"]["value"]
    entered = result.fills["order_id"].n_unique()
    assert unsettled >= 1
    assert trades == entered - unsettled == result.trades.height
    won = result.trades.filter(pl.col("pnl") > 0).height
    assert result.metrics["win_rate"]["value"] == pytest.approx(won / trades)
    text = (result.run_dir / "report.txt").read_text(encoding="utf-8")
    assert "Unsettled positions" in text


def test_games_without_a_result_stay_open(run: Run, real_data: Path) -> None:
    result = run("nba_hourly")
    known = set(pl.read_parquet(real_data / "nba" / "results_derived.parquet")["ticker"])
    closed = set(result.trades["trade_id"])
    still = result.fills.filter(~pl.col("order_id").is_in(pl.Series(list(closed)).implode()))
    assert not set(still["ticker"]) & known
    settled = result.fills.filter(pl.col("kind").cast(pl.String) == "settlement")
    assert set(settled["ticker"]) <= known


def test_snapshots_sell_no_quote_before_it_was_seen(run: Run) -> None:
    """Quotes of these bars were seen at their ends: no entry may have the price of one."""
    for name in ("nba_hourly", "crypto15m"):
        result = run(name, **TRADED[name])
        entries = result.fills.filter(pl.col("leg").cast(pl.String) == "entry")
        assert entries.height > 50
        assert set(entries["source"]) == {"limit"}
        limits = entries.join(result.orders.select("order_id", "limit"), on="order_id")
        assert (limits["price"] == limits["limit"]).all()


def test_fifteen_minutes_are_too_short_for_a_band_of_25(run: Run) -> None:
    result = run("crypto15m")
    assert result.orders.height == result.fills.height == 0
    text = " ".join((result.run_dir / "report.txt").read_text(encoding="utf-8").split())
    assert "it needs 25 bars of one market and the longest has 15" in text


def test_the_documented_levels_trade_nothing_on_recorded_markets(run: Run) -> None:
    """Set-ups there are; none is long, and none of the others can be an order."""
    for name in ("weather", "nba_minute"):
        result = run(name, mode="reference")
        assert result.orders.height > 20
        assert set(result.orders["side"]) == {-1}
        assert set(result.orders["reason"]) == {"stop_side"}
        assert result.fills.height == 0
        text = " ".join((result.run_dir / "report.txt").read_text(encoding="utf-8").split())
        assert "the documented levels cannot be traded" in text


def test_five_closes_cannot_leave_their_own_band(run: Run) -> None:
    """None of n numbers is more than sqrt(n - 1) deviations from their mean: of five, two.

    A band of six is the shortest that a close of its own can leave; one of eight is full only when
    less than eight minutes are left, which are not traded.
    """
    five, six, eight = (run("crypto15m", period=n) for n in (5, 6, 8))
    assert five.orders.height == eight.orders.height == 0
    assert six.orders.height > 100
    assert six.trades.height > 50
    left = {9, 8}  # bars end 14 to 0 minutes before the close: the sixth 9, and 8 is the last
    ends = six.orders.select("ticker", "time").join(
        six.fills.filter(pl.col("kind").cast(pl.String) == "settlement").select(
            "ticker", paid="time"
        ),
        on="ticker",
    )
    assert set((ends["paid"] - ends["time"]).dt.total_minutes() - 1) <= left
