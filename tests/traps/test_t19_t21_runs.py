"""T19 runs that cannot be repeated, T20 replays that believe themselves, T21 a year and a peak."""

import math
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import kalshi_bt
from kalshi_bt.data.synthetic import sample
from kalshi_bt.metrics import Book, score
from kalshi_bt.schema import EQUITY, FILLS, ORDERS, TRADES_CLOSED
from kalshi_bt.simulator.assumptions import FILLS as MODELS
from kalshi_bt.simulator.assumptions import Rules
from kalshi_bt.simulator.ledger import equity_curve
from kalshi_bt.simulator.simulate import Simulation
from kalshi_bt.sizing import Kelly
from tests.control_strategies import NET, World, mean
from tests.one_market import at, bars, intent
from tests.one_market import run as walk
from tests.run_folder import contents

# --- T19 ------------------------------------------------------------------------------------------

COUNT = 40


def naive_order_id() -> str:
    return str(uuid.uuid4())


def naive_generator(seed: int) -> np.random.Generator:
    """Takes a seed of 0 for none."""
    return np.random.default_rng(seed or None)


def random_fills(seed: int) -> Simulation:
    orders = [intent(time=at(n), exit_time=at(n + 1)) for n in range(0, 2 * COUNT, 2)]
    return walk(bars(*[{}] * (2 * COUNT + 2)), orders, Rules(fill=MODELS["random"], seed=seed))


def test_t19_draws_come_from_the_seed_and_nought_is_one() -> None:
    first, again, other = (random_fills(seed) for seed in (0, 0, 1))
    assert first.fills.equals(again.fills)
    assert first.orders.equals(again.orders)
    assert first.fills["price"].n_unique() > 2
    assert not first.fills.equals(other.fills)
    draws = [naive_generator(0).random(COUNT).tolist() for _ in range(2)]
    assert draws[0] != draws[1]
    assert len({naive_order_id() for _ in range(2)}) == 2


def test_t19_the_draws_of_an_order_do_not_depend_on_other_orders() -> None:
    """A generator that is passed along gives every order after an added one other draws."""
    tape = bars(*[{}] * (2 * COUNT + 2))
    orders = [intent(time=at(n), exit_time=at(n + 1)) for n in range(0, 2 * COUNT, 2)]
    beside = pl.concat([tape, tape.with_columns(market=pl.lit(1, dtype=pl.UInt32))])
    rules = Rules(fill=MODELS["random"], cash=10**12)
    alone = walk(beside, orders, rules).fills
    added = walk(beside, [intent(market=1), *orders[1:]], rules)
    kept = walk(beside, orders[1:], rules)
    columns = ("ticker", "time", "price", "quantity")
    assert alone.height > COUNT
    own = added.fills.filter(pl.col("ticker").cast(pl.String) == "M0").select(columns)
    assert own.rows() == kept.fills.select(columns).rows()
    naive = [naive_passed_along(10)[1:], naive_passed_along(9)]
    assert naive[0] != naive[1]


def naive_passed_along(orders: int) -> list[float]:
    stream = np.random.default_rng(7)
    return [float(stream.uniform(1, 3)) for _ in range(orders)]


@pytest.mark.slow
@pytest.mark.usefixtures("settings_only_from_here")
def test_t19_two_runs_leave_the_same_bytes(one_day: Path, tmp_path: Path) -> None:
    left = []
    for name in ("one", "two"):
        done = kalshi_bt.backtest("bollinger", one_day, out=tmp_path / name, fills="random", seed=0)
        left.append(contents(done.run_dir))
    assert left[0] == left[1]
    naive = [naive_report(name) for name in ("one", "two")]
    assert naive[0] != naive[1]


def naive_report(name: str) -> str:
    """Names its orders at random, and itself by the clock of the wall."""
    assert name
    return f"{naive_order_id()} {datetime.now(UTC).isoformat()}"  # noqa: TID251 - the trap


# --- T20 ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guesses() -> tuple[World, pl.DataFrame]:
    """Fair markets, and fair values that are guesses: the mid and any error."""
    made = World.stored(sample(3, days=2))
    rng = np.random.Generator(np.random.Philox(20))
    told = made.bars.with_columns(
        bid=pl.col("bid") / 10_000, ask=pl.col("ask") / 10_000, event=pl.lit("E"),
        taker=pl.lit(70_000, dtype=pl.Int64),
    )  # fmt: skip
    mid = (pl.col("bid") + pl.col("ask")) / 2
    error = pl.Series("error", rng.normal(0, 0.15, told.height))
    said = told.with_columns(error).with_columns(fair=(mid + pl.col("error")).clip(0.02, 0.98))
    chosen = said.filter(pl.Series(rng.random(said.height) < 0.15))
    return made, chosen


def naive_replay(intents: pl.DataFrame) -> float:
    """Dollars a contract, if every fair value is true: what is bought is worth what one said."""
    price = pl.col("limit") / 10_000
    long = pl.col("side") > 0
    won = pl.when(long).then("fair").otherwise(1 - pl.col("fair"))
    cost = pl.when(long).then(price).otherwise(1 - price)
    fee = 0.07 * price * (1 - price)
    return float(intents.select((won - cost - fee).mean()).item())


def test_t20_guesses_lose_what_trading_costs(guesses: tuple[World, pl.DataFrame]) -> None:
    made, chosen = guesses
    intents = Kelly()(chosen.lazy()).collect()
    ten = intents.with_columns(
        stake=pl.lit(None, dtype=pl.Float64), quantity=pl.lit(1_000, dtype=pl.Int64),
        exit_time=pl.col("time") + timedelta(minutes=10),
    )  # fmt: skip
    trades = made.trades(ten)
    assert trades.height > 300
    earned = mean(trades, NET)
    assert earned.z < -5
    costs = trades.select((pl.col("fees") + pl.col("spread_paid")).mean() / 1e6).item()
    assert earned.value == pytest.approx(-costs, rel=0.3)
    assert naive_replay(intents) > 0.05


def test_t20_no_metric_counts_an_expected_profit_as_earned() -> None:
    """A position that was never settled is worth what it can be sold for, whatever was expected."""
    flat = walk(bars({}, {}, {}), [intent(fair=0.99)], Rules(fee_rounding="order_cent"))
    assert flat.fills["quantity"].sum() == 1_000
    end = equity_curve(flat.tape, flat, Rules().cash).equity["equity"][-1]
    naive = 10 * (0.99 - 0.51)
    assert end - Rules().cash == -10 * (5_100 - 4_900) * 100 - 180_000
    assert naive > 4


# --- T21 ------------------------------------------------------------------------------------------

RETURNS = (0.01, -0.02, 0.03, 0.00, -0.01)  # of whole days
DAY = timedelta(days=1)
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def book(equity: list[int], step: timedelta = DAY, start: datetime = NOON) -> Book:
    rows = [(start + step * n, value, 0, 0, value) for n, value in enumerate(equity)]
    return Book(
        orders=ORDERS.empty(), fills=FILLS.empty(), trades_closed=TRADES_CLOSED.empty(),
        equity=pl.DataFrame(rows, schema=EQUITY.columns, orient="row"), initial_cash=equity[0],
    )  # fmt: skip


def compounded(returns: tuple[float, ...]) -> list[int]:
    values = [10_000_000_000]
    for r in returns:
        values.append(round(values[-1] * (1 + r)))
    return values


def naive_sharpe(equity: list[int], periods: float) -> float:
    """Every snapshot is a day, or a year has 96 x 250 of them."""
    x = np.diff(equity) / np.asarray(equity[:-1])
    return float(x.mean() / x.std(ddof=1) * math.sqrt(periods))


def test_t21_a_year_has_365_days_however_often_equity_is_looked_at() -> None:
    """Mean 0.002, squared deviations 0.00148 / 4: Sharpe 0.002 / 0.0192354 x sqrt 365."""
    by_hand = 0.002 / math.sqrt(0.00148 / 4) * math.sqrt(365)
    days = compounded(RETURNS)
    # Rows at midnight, and the same path with each day looked at 96 times.
    midnight = NOON.replace(hour=0)
    quarters = [days[0], *(value for value in days[1:] for _ in range(96))]
    often = book(quarters, DAY / 96, midnight)
    for told in (book(days, DAY, midnight), often):
        assert score(told)["sharpe"].value == pytest.approx(by_hand, abs=1e-6)
    assert naive_sharpe(days, 96 * 250) > 8 * by_hand
    assert naive_sharpe(quarters, 252) != pytest.approx(by_hand, rel=0.1)


def test_t21_a_smaller_drawdown_is_a_better_one() -> None:
    """A signed drawdown that is minimised chooses the worst of all runs."""
    mild, hard = [100, 95, 110], [100, 40, 120]
    falls: dict[str, float] = {}
    for name, path in (("mild", mild), ("hard", hard)):
        falls[name] = score(book([value * 1_000_000 for value in path]))["max_drawdown_pct"].value  # type: ignore[assignment]
    assert falls == {"mild": pytest.approx(5.0), "hard": pytest.approx(60.0)}
    signed = {name: -value for name, value in falls.items()}
    assert min(falls, key=falls.__getitem__) == "mild"
    assert min(signed, key=signed.__getitem__) == "hard"
