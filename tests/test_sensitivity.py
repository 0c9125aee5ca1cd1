"""The same intents once more under one changed assumption each."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from one_case import played, walked
from one_market import at, bars, intent, paid, run
from strategies_random import Case, random_case, seeded

import kalshi_bt
from kalshi_bt.run_schema import SENSITIVITY
from kalshi_bt.schema import PriceRanges
from kalshi_bt.sensitivity import sensitivity
from kalshi_bt.simulator.assumptions import FILLS, Rules
from kalshi_bt.simulator.simulate import Simulation
from kalshi_bt.units import SECOND, parse_money
from kalshi_bt.walks import added_up, walk

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

Row = dict[str, Any]
CASES = {
    *("base", "optimistic", "pessimistic", "tick_worse", "tick_better"),
    *("fees_1_5", "fees_0", "latency_bar"),
}
CROSS = Rules(latency=0, balance_precision=100)
TAPERED = [
    {"start": 0, "end": 1_000, "step": 10},
    {"start": 1_000, "end": 9_000, "step": 100},
    {"start": 9_000, "end": 10_000, "step": 10},
]


def compared(done: Simulation, rules: Rules, period: int = 60) -> dict[str, Row]:
    base = added_up(done.tape, done, rules)
    band = {
        name: walk(done.tape, done.intents, replace(rules, fill=FILLS[name]))
        for name in ("optimistic", "pessimistic")
    }
    table = sensitivity(base, band, done.tape.table, period)
    assert table.schema == SENSITIVITY.columns
    return {row["case"]: row for row in table.to_dicts()}


def told(
    rows: Sequence[Row],
    orders: Sequence[Row],
    outcomes: Sequence[Row] = (),
    rules: Rules = CROSS,
    grid: list[Row] | None = None,
) -> dict[str, Row]:
    listed = [{"ticker": "M0", "event": "E", "series": "S", "price_ranges": grid}]
    done = run(bars(*rows), orders, rules, outcomes=outcomes, listed=listed)
    return compared(done, rules)


# --- a tick ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, -1])
def test_a_tick_by_hand(side: int) -> None:
    """Ten contracts, entered at 0.51 of the side held and left by a stop at 0.40."""
    rows = [{}, {}, {}, {"bid": 4_000, "ask": 4_200} if side > 0 else {"bid": 5_800, "ask": 6_000}]
    found = told(rows, [intent(side=side, stop=4_500 if side > 0 else 5_500)])

    def fee(entry: float, leave: float) -> float:
        return 0.7 * (entry * (1 - entry) + leave * (1 - leave))

    for case, entry, leave in (("tick_worse", 0.52, 0.39), ("tick_better", 0.50, 0.41)):
        more = fee(entry, leave) - fee(0.51, 0.40)
        fees = found["base"]["fees"] / 1e6 + more
        assert found[case]["fees"] / 1e6 == pytest.approx(fees, abs=2e-6)
        assert found[case]["net_pnl"] / 1e6 == pytest.approx(10 * (leave - entry) - fees, abs=2e-6)
        assert found[case]["contracts"] == 1_000
        assert found[case]["trades"] == 1


@pytest.mark.parametrize(
    ("ask", "worse", "better"),
    [
        (950, 960, 940),
        (1_000, 1_100, 990),  # below a dime steps are finer
        (9_000, 9_010, 8_900),
        (4_550, 4_600, 4_500),  # a price between two of the grid
        (9_990, 9_990, 9_980),  # nobody quotes a dollar
        (10, 20, 10),  # or nothing
    ],
)
def test_a_tick_is_one_of_the_grid_of_the_market(ask: int, worse: int, better: int) -> None:
    """Ten contracts held to a settlement, which stays as it is."""
    rows: list[Row] = [{"bid": None, "ask": ask}] * 3
    found = told(rows, [intent()], [paid(50, 10_000)], grid=TAPERED)
    for case, price in (("tick_worse", worse), ("tick_better", better)):
        gross = found[case]["net_pnl"] + found[case]["fees"]
        assert gross == 1_000 * (10_000 - price)


def test_cents_are_the_grid_of_a_market_that_states_none() -> None:
    found = told([{"bid": None, "ask": 950}] * 3, [intent()], [paid(50, 0)])
    gross = {n: found[n]["net_pnl"] + found[n]["fees"] for n in ("tick_worse", "tick_better")}
    assert gross == {"tick_worse": -1_000 * 1_000, "tick_better": -1_000 * 900}


def test_a_limit_at_the_quote_fills_a_tick_away_from_it() -> None:
    """Most orders are limits at the quote: a tick is to cost them a tick, not the trade."""
    orders = [intent(kind="limit", limit=5_100, valid_bars=1)]
    found = told([{}] * 3, orders, [paid(50, 10_000)])
    assert [found[n]["trades"] for n in ("tick_worse", "base", "tick_better")] == [1, 1, 1]


def test_resting_fills_are_moved_like_those_of_takers() -> None:
    rows: list[Row] = [{}, {}, {"ask": (5_100, 5_100, 4_600, 5_100)}, {}]
    found = told(rows, [intent(kind="limit", limit=4_800, valid_bars=5)], [paid(50, 10_000)])
    assert found["tick_worse"]["net_pnl"] == 1_000 * (10_000 - 4_900)  # makers pay nothing
    assert found["tick_better"]["net_pnl"] == 1_000 * (10_000 - 4_700)


@pytest.mark.parametrize("seed", range(25))
def test_a_tick_costs_who_pays_it(seed: int) -> None:
    """By what it is times the contracts that traded, on grids of cents, fees left out of it."""
    case = random_case(seeded(400 + seed), bars=30)
    case = replace(case, markets=case.markets.with_columns(price_ranges=pl.lit(None)))
    case = replace(case, markets=case.markets.cast({"price_ranges": PriceRanges}))
    _, done = walked(case)
    found = compared(done, case.rules)
    gross = {n: found[n]["net_pnl"] + found[n]["fees"] for n in found}
    traded = done.fills.filter(pl.col("kind") == "trade").with_columns(
        pl.col("price").cast(pl.Int64), size=pl.col("quantity").abs()
    )

    def moved(*, up: bool) -> pl.Expr:
        cents = pl.col("price") // 100 + 1 if up else -(-pl.col("price") // 100) - 1
        inside = cents.is_between(1, 99)
        return pl.when(inside).then((cents * 100 - pl.col("price")).abs()).otherwise(0)

    buys = pl.col("quantity") > 0
    for name, sign in (("tick_worse", -1), ("tick_better", 1)):
        step = pl.when(buys == (sign < 0)).then(moved(up=True)).otherwise(moved(up=False))
        assert (
            gross[name] == gross["base"] + sign * traded.select((step * pl.col("size")).sum())[0, 0]
        )
        assert found[name]["contracts"] == found["base"]["contracts"]


# --- walks ----------------------------------------------------------------------------------------


def test_fees_by_hand() -> None:
    """Ten contracts at 0.50: 0.175 dollars of fee, as it is charged from March 2026 on."""
    rows: list[Row] = [{"ask": 5_000}] * 3
    found = told(rows, [intent()], [paid(50, 10_000)])
    fees = {name: found[name]["fees"] for name in ("base", "fees_1_5", "fees_0")}
    assert fees == {"base": 175_000, "fees_1_5": 262_500, "fees_0": 0}
    assert all(found[name]["net_pnl"] == 5_000_000 - fees[name] for name in fees)


def test_a_rate_times_half_more_is_rounded_up() -> None:
    """11 parts per million become 17, on 100 contracts at 0.51: 425 micro-dollars, charged 500."""
    done = run(bars(*[{}] * 3), [intent(quantity=10_000)], CROSS, taker=11)
    assert compared(done, CROSS)["fees_1_5"]["fees"] == 500


def test_without_fees_nothing_is_kept_by_rounding_either() -> None:
    """A contract at 0.5555 where balances are whole cents, settled at 0.597."""
    rules = replace(CROSS, balance_precision=10_000)
    order = intent(quantity=100)
    found = told([{"ask": 5_555}] * 3, [order], [paid(50, 5_970)], rules)
    assert found["base"]["fees"] > 0
    assert (found["fees_0"]["fees"], found["fees_0"]["net_pnl"]) == (0, 100 * (5_970 - 5_555))


def test_a_bar_of_latency_meets_the_next_bar() -> None:
    rows: list[Row] = [{}, {"ask": 5_200}, {"ask": 5_500}, {}]
    found = told(rows, [intent()], [paid(50, 10_000)])
    late, base = (found[n]["net_pnl"] + found[n]["fees"] for n in ("latency_bar", "base"))
    assert (base, late) == (1_000 * 4_800, 1_000 * 4_500)


def test_a_random_exchange_is_late_too() -> None:
    rows: list[Row] = [{}, {"ask": 3_000}, {"ask": 6_000}, {}]
    rules = Rules(fill=FILLS["random"])
    found = told(rows, [intent()], [paid(50, 10_000)], rules)
    base, late = found["base"]["net_pnl"], found["latency_bar"]["net_pnl"]
    assert base > 1_000 * 5_000 > 1_000 * 4_100 > late


def test_naive_fills_have_no_fee_and_no_latency_to_change() -> None:
    rules = Rules(fill=FILLS["naive"])
    found = told([{}] * 3, [intent()], [paid(50, 10_000)], rules)
    assert set(found) == CASES - {"fees_1_5", "fees_0", "latency_bar"}
    assert found["tick_worse"]["fees"] == 0


def test_wins_and_drawdowns_are_those_of_the_case() -> None:
    """Bought at 0.51 and sold there: a push without fees, a loss with them."""
    rows: list[Row] = [{}, {}, {"bid": 5_100, "ask": 5_300}, {"bid": 5_100, "ask": 5_300}, {}]
    found = told(rows, [intent(), intent(side=0, time=at(2), quantity=None)])
    rates = {name: found[name]["win_rate"] for name in ("fees_0", "base", "tick_better")}
    assert rates == {"fees_0": None, "base": 0.0, "tick_better": 0.0}
    assert found["fees_0"]["max_drawdown"] == 1_000 * 200  # marked at the bid of 0.49
    assert found["base"]["max_drawdown"] > found["fees_0"]["max_drawdown"]


def test_without_intents_every_case_is_nothing() -> None:
    found = told([{}] * 3, [])
    assert set(found) == CASES
    assert {row["net_pnl"] for row in found.values()} == {0}
    assert {row["win_rate"] for row in found.values()} == {None}


@pytest.mark.slow
def test_a_run_starts_from_what_it_reports(one_day: Path, tmp_path: Path) -> None:
    done = kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path)
    table = pl.read_parquet(done.run_dir / "sensitivity.parquet")
    assert set(table["case"]) == CASES
    base = table.row(by_predicate=pl.col("case") == "base", named=True)
    for name, metric in (("net_pnl", "net_pnl"), ("fees", "fees"), ("max_drawdown",) * 2):
        assert base[name] == parse_money(done.metrics[metric]["value"])
    assert base["trades"] == done.trades.height > 0
    assert base["contracts"] == done.trades["quantity"].sum()
    assert base["win_rate"] == done.metrics["win_rate"]["value"]


@pytest.mark.slow
def test_it_can_be_switched_off_and_a_run_says_so(one_day: Path, tmp_path: Path) -> None:
    done = kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path, sensitivity="false")
    assert pl.read_parquet(done.run_dir / "sensitivity.parquet").is_empty()
    text = " ".join((done.run_dir / "report.txt").read_text("utf-8").split())
    assert "sensitivity False" in text


def of_oracle(case: Case) -> tuple[int, int, int]:
    """Fees, trades and contracts as the plain simulator has them."""
    fills = played(case).fills
    held: dict[int, int] = {}
    size: dict[int, int] = {}
    for fill in fills:
        trade = fill["trade_id"]
        held[trade] = held.get(trade, 0) + fill["quantity"]
        if fill["leg"] == "entry":
            size[trade] = size.get(trade, 0) + abs(fill["quantity"])
    closed = [trade for trade, left in held.items() if left == 0]
    return sum(f["fee"] for f in fills), len(closed), sum(size[trade] for trade in closed)


@pytest.mark.parametrize("seed", range(25))
def test_the_plain_simulator_finds_the_same_walks(seed: int) -> None:
    """Whatever the fill model; that of naive fills is without these cases."""
    case = random_case(seeded(500 + seed), bars=20)
    _, done = walked(case)
    found = compared(done, case.rules, period=60)

    def at_rates(times: float) -> Case:
        each = (pl.col("taker", "maker") * times).ceil().cast(pl.Int64)
        return replace(case, rates=case.rates.with_columns(each))

    free = at_rates(0)
    changed = {
        "base": case,
        "fees_1_5": at_rates(1.5),
        "fees_0": replace(free, rules=replace(free.rules, balance_precision=1)),
        "latency_bar": replace(case, rules=later(case.rules)),
    }
    for name, other in changed.items():
        if name in found:
            row = found[name]
            assert (row["fees"], row["trades"], row["contracts"]) == of_oracle(other), name
    assert ("fees_0" in found) != case.rules.fill.naive


def later(rules: Rules) -> Rules:
    exchange = rules.fill.exchange
    if exchange is not None:
        low, high = exchange.latency_ms
        exchange = replace(exchange, latency_ms=(low + 60_000, high + 60_000))
    return replace(
        rules, latency=rules.latency + 60 * SECOND, fill=replace(rules.fill, exchange=exchange)
    )
