"""T4 prices nobody offered, T5 the signal's own bar, T6 stops, T7 gaps, T8 two sides."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt.signals.bollinger import Bollinger
from kalshi_bt.simulator.assumptions import FILLS, Rules
from kalshi_bt.simulator.ledger import closed_trades, equity_curve
from kalshi_bt.simulator.simulate import Simulation
from tests.one_market import START, Row, at, bars, ends, fills, intent, paid, run
from tests.quotes_random import flat, quotes

RULES = Rules(fee_rounding="order_cent")


def stroll(seed: int, count: int) -> list[Row]:
    """Bars of a market whose quotes move within and between them; a trade in each."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 4]))
    middle, rows = 5_000, []
    for _ in range(count):
        path = middle + 100 * rng.integers(-6, 7, 4).cumsum()
        path = np.clip(path, 1_000, 9_000)
        middle = int(path[-1])
        four = (int(path[0]), int(path.max()), int(path.min()), int(path[-1]))
        rows.append({
            "price": four,
            "bid": tuple(p - 200 for p in four),
            "ask": tuple(p + 200 for p in four),
        })  # fmt: skip
    return rows


# --- T4 -------------------------------------------------------------------------------------------


def test_t04_no_fill_is_better_than_the_next_price_on_offer() -> None:
    rows = stroll(1, 400)
    when = range(0, 396, 4)
    orders = [intent(time=at(n), side=1 if n % 8 else -1, exit_time=at(n + 2)) for n in when]
    found = run(bars(*rows), orders, RULES).fills
    entries = found.filter(pl.col("leg").cast(pl.String) == "entry")
    assert entries.height > 90
    naive = dict.fromkeys(("trigger", "mid", "low"), 0)
    for fill in entries.iter_rows(named=True):
        n = int((fill["time"] - START) / timedelta(minutes=1)) - 1  # decided a bar before
        signal, following = rows[n], rows[n + 1]
        long = fill["quantity"] > 0
        offered = following["ask"][0] if long else following["bid"][0]
        assert fill["price"] == offered  # the first one after the decision, neither better
        thought = {
            "trigger": signal["price"][3],
            "mid": (signal["bid"][3] + signal["ask"][3]) // 2,
            "low": signal["price"][2 if long else 1],
        }
        for name, price in thought.items():
            naive[name] += price < offered if long else price > offered
    assert min(naive.values()) > entries.height / 2


# --- T5 -------------------------------------------------------------------------------------------

DIP = [5_500, 5_000, 4_000, 4_600, 6_100, 6_000]  # cents times 100, in the order of its trades
BACK = [6_000, 6_100, 4_600, 4_000, 5_000, 5_500]
LEVELS = {"limit": 4_000, "stop": 2_000, "target": 6_000}


def as_bar(path: list[int]) -> Row:
    four = (path[0], max(path), min(path), path[-1])
    return {"price": four, "bid": four, "ask": tuple(p + 100 for p in four)}


def naive_same_bar(path: list[int]) -> int:
    """Buys the low of the signal's bar, and leaves at the target if that bar still reaches it."""
    low = path.index(LEVELS["limit"])
    sold = [p for p in path[low:] if p >= LEVELS["target"]]
    return (LEVELS["target"] if sold else path[-1]) - LEVELS["limit"]


def test_t05_nothing_happens_in_the_bar_of_the_signal() -> None:
    """Reversed in time, the bar has the same range and body: nobody could trade the difference."""
    later = [{"price": 3_950, "bid": 3_900, "ask": 3_950}, {"price": 6_200, "bid": 6_200}]
    results = [
        run(
            bars(as_bar(path), *later),
            [intent(kind="limit", valid_bars=1, **LEVELS)],
            RULES,
        )
        for path in (DIP, BACK)
    ]
    pnl = [closed_trades(result.tape, result)["pnl"].to_list() for result in results]
    assert pnl[0] == pnl[1]
    assert len(pnl[0]) == 1
    assert min(results[0].fills["time"]) > START
    assert naive_same_bar(DIP) == 2_000
    assert naive_same_bar(BACK) == 1_500


def test_t05_the_signal_does_not_know_the_path_inside_its_bar() -> None:
    calm = [(0.80, 0.82, 0.78, 0.80), (0.81, 0.82, 0.79, 0.79)] * 15
    signal = Bollinger(include_signal_bar=False, min_time_to_close=0, min_rr=0.0)
    said = []
    for path in (DIP, BACK):
        four = (path[0] / 1e4, max(path) / 1e4, min(path) / 1e4, path[-1] / 1e4)
        last = signal(flat([*calm, four]).lazy()).collect()
        said.append(last.row(-1, named=True))
    levels = ("side", "entry", "stop", "target")
    assert said[0]["side"] == 1
    assert [said[0][name] for name in levels] == [said[1][name] for name in levels]


# --- T6 -------------------------------------------------------------------------------------------


def naive_levels(row: Row) -> tuple[float, float, float, int]:
    """As documented: entry at the low, stop at the high, twice the 'risk' beyond; and the size."""
    side = row["side"]
    entry, stop = (row["low"], row["high"]) if side > 0 else (row["high"], row["low"])
    risk = (entry - stop) * side
    return entry, stop, entry + 2 * abs(risk) * side, int(10_000 * 0.02 / risk) if risk else 0


@pytest.mark.parametrize("geometry", ["fade_limit", "reversal_break"])
def test_t06_a_stop_lies_on_the_losing_side_and_a_target_on_the_winning_one(geometry: Any) -> None:
    signal = Bollinger(period=8, width=1.0, reward=3.0, geometry=geometry, min_time_to_close=0)
    sides = []
    for seed in range(4):
        said = signal(quotes(seed, bars=300).lazy()).collect()
        for row in said.filter(pl.col("side").is_not_null()).iter_rows(named=True):
            side = row["side"]
            assert side * row["stop"] < side * row["entry"] < side * row["target"]
            entry, stop, _, size = naive_levels(row)
            assert not side * stop < side * entry
            assert size <= 0  # a negative distance sizes nothing, or the other way round
            sides.append(side)
    assert sides.count(1) > 20
    assert sides.count(-1) > 20


def test_t06_an_order_with_its_stop_on_the_wrong_side_is_refused() -> None:
    long = intent(kind="limit", valid_bars=2, limit=4_000, stop=4_500, target=5_000)
    short = intent(side=-1, kind="limit", valid_bars=2, limit=6_000, stop=5_500, target=4_000)
    for order in (long, short):
        result = run(bars({}, {"bid": 3_000, "ask": 3_500}, {}), [order], RULES)
        [(status, reason, filled)] = ends(result)
        assert (status, filled) == ("rejected", 0)
        assert "stop" in reason


# --- T7 -------------------------------------------------------------------------------------------


def naive_stop(stop: int, bid: tuple[int, int, int, int]) -> int | None:
    """Leaves at the stop wherever the bar goes through it."""
    return stop if bid[2] <= stop else None


@pytest.mark.parametrize("side", [1, -1])
def test_t07_a_stop_through_a_gap_takes_what_is_there(side: int) -> None:
    """Held at 51 with a stop at 40; the next bid is 22, and 18 before the bar is over."""
    fallen = (2_200, 2_500, 1_800, 2_300)
    risen = (7_800, 8_200, 7_500, 7_700)
    long = {"bid": fallen, "ask": tuple(p + 200 for p in fallen)}
    short = {"bid": tuple(p - 200 for p in risen), "ask": risen}
    gap, stop = (long, 4_000) if side > 0 else (short, 6_000)
    result = run(bars({}, {}, gap, {}), [intent(side=side, stop=stop)], RULES)
    reason, _, _, price = fills(result)[-1]
    assert reason == "stop"
    assert price == (2_200 if side > 0 else 7_800)
    assert naive_stop(4_000, fallen) == 4_000  # eighteen cents nobody paid


def test_t07_a_stop_may_find_nobody_until_settlement() -> None:
    gone = {"price": None, "bid": None, "ask": 100}
    # A position is stopped where there is a bid; here there is none any more.
    result = run(bars({}, {}, gone, gone), [intent(stop=4_000)], RULES, outcomes=[paid(10, 0)])
    assert [(reason, price) for reason, _, _, price in fills(result)][1:] == [("settlement", 0)]


# --- T8 -------------------------------------------------------------------------------------------


def mirrored(row: Row) -> Row:
    """The same bar told of NO."""

    def flip(told: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        first, high, low, last = (10_000 - p for p in told)
        return first, low, high, last

    return {"price": flip(row["price"]), "bid": flip(row["ask"]), "ask": flip(row["bid"])}


def curve(result: Simulation) -> pl.DataFrame:
    return equity_curve(result.tape, result, RULES.cash).equity


def naive_portfolio(rows: list[Row], side: int) -> list[int]:
    """Pays the YES price for either side and marks it with the YES price."""
    cost = rows[1]["ask"][0]
    return [10 * (row["price"][3] - cost) for row in rows[1:]] if side else []


@pytest.mark.parametrize("model", ["cross", "optimistic", "pessimistic"])
def test_t08_no_at_the_complement_is_yes_in_a_mirror(model: str) -> None:
    rows = stroll(2, 60)
    rules = Rules(fee_rounding="order_cent", fill=FILLS[model])
    when = range(0, 48, 6)
    results = []
    for side, told in ((1, rows), (-1, [mirrored(row) for row in rows])):
        orders = [intent(time=at(n), side=side, exit_time=at(n + 4)) for n in when]
        results.append(run(bars(*told), orders, rules))
    assert len(fills(results[0])) >= 8
    yes, no = results
    assert fills(no) == [(why, who, -n, 10_000 - p) for why, who, n, p in fills(yes)]
    assert curve(no).equals(curve(yes))
    held = naive_portfolio(rows, 1), naive_portfolio([mirrored(row) for row in rows], -1)
    assert held[0] != held[1]
