"""T13 breakers and exposure, T22 orders of one moment, T23 cash that nobody has."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pytest

from kalshi_bt.simulator.assumptions import FILLS, Limit, Risk, Rules
from kalshi_bt.simulator.ledger import closed_trades, equity_curve
from kalshi_bt.simulator.simulate import Simulation
from tests.one_market import Row, at, bars, ends, intent, paid, run

DOLLAR = 1_000_000


def rules(dollars: int = 10_000, **risk: object) -> Rules:
    return Rules(fee_rounding="order_cent", cash=dollars * DOLLAR, risk=Risk(**risk))  # type: ignore[arg-type]


# --- T13 ------------------------------------------------------------------------------------------

FALLING = [{"bid": 9_400 - 100 * n, "ask": 9_600 - 100 * n, "price": None} for n in range(60)]


@dataclass
class NaiveBreaker:
    """Measures losses against an equity that nobody ever tells it."""

    starting_equity: float = 0.0
    lost: float = 0.0

    def book(self, pnl: float) -> None:
        self.lost += max(-pnl, 0.0)

    def tripped(self, share: float) -> bool:
        return self.starting_equity > 0 and self.lost / self.starting_equity >= share


def losing(limit: Rules) -> Simulation:
    """Seven trades, one after the other, each of which loses four to five cents a contract."""
    orders = [intent(time=at(n), exit_time=at(n + 3), quantity=2_000) for n in range(0, 42, 6)]
    return run(bars(*FALLING), orders, limit)


@pytest.mark.parametrize(
    ("risk", "reason"),
    [
        ({"daily_loss": Limit(fraction=0.02)}, "breaker_daily_loss"),
        ({"max_drawdown": 0.02}, "breaker_drawdown"),
        ({"max_losses": 3}, "breaker_losses"),
    ],
)
def test_t13_a_breaker_fires_on_a_path_of_losses(risk: dict[str, object], reason: str) -> None:
    """Each trade loses more than a dollar of a hundred."""
    result = losing(rules(100, **risk))
    trades = closed_trades(result.tape, result)
    assert (trades["pnl"] < -DOLLAR).all()
    accepted = [status != "rejected" for status, _, _ in ends(result)]
    assert accepted[0]
    assert not accepted[-1]
    assert accepted == sorted(accepted, reverse=True)  # once latched, latched
    assert all(reason == why for status, why, _ in ends(result) if status == "rejected")
    naive = NaiveBreaker()
    for pnl in trades["pnl"]:
        naive.book(pnl / DOLLAR)
    assert naive.lost > 2
    assert not naive.tripped(0.02)


def test_t13_exposure_is_given_back_when_a_position_ends() -> None:
    """Room for one position at a time; there are seven in a row, by exit and by settlement."""
    limit = rules(max_exposure=Limit(dollars=20 * DOLLAR))
    result = losing(limit)
    filled = [count for _, _, count in ends(result)]
    assert all(count > 1_900 for count in filled)
    naive, sent = 0.0, 0
    for fill in result.fills.filter(pl.col("quantity") > 0).iter_rows(named=True):
        cost = fill["quantity"] * fill["price"] / DOLLAR
        sent += naive + cost <= 20
        naive += cost  # grows, and is never given back
    assert sent == 1
    two = [intent(), intent(time=at(8), market=1)]
    tape = pl.concat([bars(*[{}] * 10), bars(*[{}] * 14, market=1)])
    tight = rules(max_exposure=Limit(dollars=6 * DOLLAR))
    settled = run(tape, two, tight, outcomes=[paid(7, 0)])
    assert [count for _, _, count in ends(settled)] == [1_000, 1_000]


def test_t13_money_is_conserved_along_the_path() -> None:
    result = losing(rules(100))
    trades = closed_trades(result.tape, result)
    curve = equity_curve(result.tape, result, 100 * DOLLAR).equity
    assert (curve["equity"] == curve["cash"] + curve["marked"]).all()
    assert (curve["cash"] >= 0).all()
    assert curve["equity"][-1] - 100 * DOLLAR == trades["pnl"].sum()
    assert curve["locked"][-1] == 0
    naive_cash_only = curve["cash"]  # shows a fall as soon as anything is bought
    held = curve["locked"] > 0
    assert (naive_cash_only.filter(held) < curve["equity"].filter(held)).all()


# --- T22 ------------------------------------------------------------------------------------------

PAIR = pl.concat([bars({}, {}, {}), bars({}, {}, {}, market=1)])
SIX = Limit(dollars=6 * DOLLAR)


@dataclass
class NaiveRisk:
    """Holds every order of a batch against the same snapshot, and lets sides cancel."""

    cap: float
    positions: dict[str, float] = field(default_factory=dict)

    def batch(self, costs: list[float]) -> list[bool]:
        used = sum(self.positions.values())
        return [used + cost <= self.cap for cost in costs]

    def signed(self, costs: list[float]) -> bool:
        return abs(sum(costs)) <= self.cap


@pytest.mark.parametrize("name", ["max_event", "max_exposure", "max_cycle"])
def test_t22_orders_of_one_moment_are_checked_one_after_the_other(name: str) -> None:
    """Two of 5.10 dollars each under a cap of six: the second gets what is left, one contract."""
    result = run(PAIR, [intent(), intent(market=1)], rules(10_000, **{name: SIX}))
    assert [count for _, _, count in ends(result)] == [1_000, 100]
    assert NaiveRisk(6.0).batch([5.1, 5.1]) == [True, True]


def test_t22_outcomes_that_exclude_each_other_do_not_cancel() -> None:
    """YES of one outcome and NO of another can both be lost."""
    result = run(PAIR, [intent(), intent(market=1, side=-1)], rules(max_event=SIX))
    assert [count for _, _, count in ends(result)] == [1_000, 100]
    assert NaiveRisk(6.0).signed([5.1, -5.1])


# --- T23 ------------------------------------------------------------------------------------------


@dataclass
class NaiveExchange:
    """Reserves nothing for a resting order, pays at the fill, and refunds every cancel."""

    cash: float
    least: float = 0.0

    def place(self, price: int, count: float) -> bool:
        return count * price / 10_000 <= self.cash

    def fill(self, price: int, count: float) -> None:
        self.cash -= count * price / 10_000
        self.least = min(self.least, self.cash)

    def cancel(self, price: int, count: float) -> None:
        self.cash += count * price / 10_000


def random_flow(seed: int) -> tuple[pl.DataFrame, list[Row]]:
    """Six markets of random quotes, and bids that rest below them, some of which are hit."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 23]))
    tapes, orders = [], []
    for market in range(6):
        middle = np.clip(5_000 + 100 * rng.integers(-4, 5, 50).cumsum(), 1_000, 9_000)
        told: list[Row] = [
            {"bid": int(m) - 100, "ask": int(m) + 100, "price": int(m)} for m in middle
        ]
        tapes.append(bars(*told, market=market))
        for n in range(market, 40, 7):
            limit = int(middle[n]) - 100 * int(rng.integers(0, 5))
            orders.append(
                intent(
                    market=market, time=at(n), kind="limit", limit=limit, exit_time=at(n + 5),
                    valid_bars=int(rng.integers(1, 5)), quantity=int(rng.integers(5, 20)) * 100,
                )
            )  # fmt: skip
    orders.sort(key=lambda order: (order["time"], order["market"]))
    return pl.concat(tapes), orders


@pytest.mark.parametrize("model", ["cross", "passive", "random"])
@pytest.mark.parametrize("seed", range(4))
def test_t23_no_order_flow_creates_money(seed: int, model: str) -> None:
    tape, orders = random_flow(seed)
    start = 20 * DOLLAR
    result = run(
        tape, orders, Rules(fee_rounding="order_cent", cash=start, fill=FILLS[model]), maker=17_500
    )
    curve = equity_curve(result.tape, result, start)
    trades = closed_trades(result.tape, result)
    paid_out = sum(
        -fill["quantity"] * fill["price"] - fill["fee"] for fill in result.fills.to_dicts()
    )
    assert curve.equity["cash"][-1] == start + paid_out
    assert (curve.equity["cash"] >= 0).all()
    if not curve.unsettled:
        assert curve.equity["equity"][-1] - start == trades["pnl"].sum()
    statuses = [status for status, _, _ in ends(result)]
    assert {"expired", "rejected"} & set(statuses)


def test_t23_a_refund_of_what_was_not_reserved_is_money_from_nowhere() -> None:
    exchange = NaiveExchange(20.0)
    for _ in range(3):
        assert exchange.place(5_000, 30)
    exchange.cancel(5_000, 30)
    assert exchange.cash == 35.0
    broke = NaiveExchange(20.0)
    for _ in range(3):
        assert broke.place(5_000, 30)  # each could be paid, all of them cannot
    for _ in range(3):
        broke.fill(5_000, 30)
    assert broke.least < 0
    resting = [
        intent(market=m, kind="limit", limit=5_000, valid_bars=3, quantity=3_000) for m in range(3)
    ]
    quiet = pl.concat([bars(*[{}] * 6, market=m) for m in range(3)])
    start = 20 * DOLLAR
    result = run(quiet, resting, Rules(fee_rounding="order_cent", cash=start))
    assert equity_curve(result.tape, result, start).equity["cash"].unique().to_list() == [start]
    assert sum(n for n in result.orders["quantity"]) * 5_000 <= start
