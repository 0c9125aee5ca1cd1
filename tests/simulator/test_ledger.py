"""What fills add up to: the equity curve against plain marks, and round trips by hand."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies_random import Case, cases, random_case, seeded

from kalshi_bt import schema
from kalshi_bt.simulator.assumptions import FILLS, FillModel, Rules
from kalshi_bt.simulator.ledger import Curve, closed_trades, equity_curve, grid
from kalshi_bt.simulator.simulate import Simulation, simulate
from kalshi_bt.simulator.tape import Tape, prepare

MINUTE = 60_000_000
DAY = 1_440 * MINUTE
STEPS = [MINUTE * k for k in (1, 5, 15, 60, 360, 1_440)]
Row = dict[str, Any]


def walked(case: Case) -> tuple[Tape, Simulation]:
    tape = prepare(case.bars, case.markets, case.settlements, case.rates)
    return tape, simulate(tape, case.intents, case.rules)


def rows(frame: pl.DataFrame) -> list[Row]:
    return frame.with_columns(pl.col(pl.Datetime).dt.epoch("us")).to_dicts()


# --- the curve against a plain one ----------------------------------------------------------------


def executable_bars(case: Case) -> dict[str, list[Row]]:
    """Bars of each market that end while it trades: by its real close, else the scheduled one."""
    ends = {r["ticker"]: min(r["close_time"], r["time"]) for r in rows(case.settlements)}
    listed = rows(case.markets)
    found: dict[str, list[Row]] = {r["ticker"]: [] for r in listed}
    for bar in rows(case.bars):
        market = listed[bar["market"]]
        end = ends.get(market["ticker"], market["close_time"])
        if end is None or bar["time"] <= end:
            found[market["ticker"]].append(bar)
    return found


def holdings(fills: list[Row]) -> tuple[int, int, int]:
    """Signed contracts held, what they cost, and the cash of all fills of one market."""
    held, cost, cash = 0, 0, 0
    for fill in fills:
        if held == 0:
            side = 1 if fill["quantity"] > 0 else -1
        own = fill["price"] if side > 0 else 10_000 - fill["price"]
        size = fill["quantity"] * side
        cash -= size * own + fill["fee"]
        # A part sold takes its share of the cost with it, rounded down.
        cost += size * own if size > 0 else -(cost * -size // abs(held))
        held += fill["quantity"]
    return held, cost, cash


def value(held: int, bars: list[Row], time: int) -> int:
    """What could be had for a position: its size at the last bid of the side held."""
    if held == 0:
        return 0
    bar = [b for b in bars if b["time"] <= time][-1]
    if held > 0:
        return held * (bar["bid_close"] or 0)
    return 0 if bar["ask_close"] is None else -held * (10_000 - bar["ask_close"])


def plain_curve(case: Case, fills: list[Row], times: list[int]) -> Iterator[tuple[int, int, int]]:
    """Cash, cost of what is held, and its value at each time: everything anew each time."""
    bars = executable_bars(case)
    fills = sorted(fills, key=lambda f: (f["time"], f["order_id"], f["seq"]))
    for time in times:
        cash, locked, marked = case.rules.cash, 0, 0
        for ticker in bars:
            past = [f for f in fills if f["ticker"] == ticker and f["time"] <= time]
            held, cost, flow = holdings(past)
            cash += flow
            locked += cost
            marked += value(held, bars[ticker], time)
        yield cash, locked, marked


def compared(case: Case) -> Curve:
    tape, run = walked(case)
    curve = equity_curve(tape, run, case.rules.cash)
    schema.EQUITY.check(curve.equity)
    points = rows(curve.equity)
    found = [(p["cash"], p["locked"], p["marked"]) for p in points]
    slow = plain_curve(case, rows(run.fills), [p["time"] for p in points])
    assert found == list(slow)
    assert [p["equity"] for p in points] == [p["cash"] + p["marked"] for p in points]
    assert curve.unsettled_value == found[-1][2]
    return curve


@pytest.mark.slow
@settings(deadline=None)
@given(cases(markets=3, bars=8))
def test_equity_equals_marks_made_bar_by_bar(case: Case) -> None:
    compared(case)


@pytest.mark.slow
def test_equity_equals_plain_marks_where_positions_are_held_to_the_end() -> None:
    """Among enough markets some stay open, some lose their bid, and some are sold in parts."""
    unsettled = worthless = 0
    for seed in range(160):
        curve = compared(random_case(seeded(seed), markets=4, bars=8))
        unsettled += curve.unsettled
        held = curve.equity.filter(pl.col("locked") > 0)
        worthless += held.filter(pl.col("marked") == 0).height
    assert unsettled > 20
    assert worthless > 20


def test_without_a_fill_equity_is_the_cash() -> None:
    case = random_case(seeded(1))
    tape = prepare(case.bars, case.markets, case.settlements, case.rates)
    run = simulate(tape, case.intents.clear(), case.rules)
    curve = equity_curve(tape, run, 123)
    assert curve.equity["equity"].unique().to_list() == [123]
    assert (curve.unsettled, curve.unsettled_value) == (0, 0)
    assert closed_trades(tape, run).height == 0
    schema.TRADES_CLOSED.check(closed_trades(tape, run))


# --- the grid -------------------------------------------------------------------------------------

TIMES = st.integers(1_577_836_800_000_000, 1_893_456_000_000_000)  # 2020 to 2030
SPANS = st.integers(0, 20 * 365 * DAY)


@given(TIMES, st.one_of(SPANS, st.integers(0, 3 * DAY)))
def test_a_grid_covers_the_run_in_whole_steps_and_few_points(first: int, span: int) -> None:
    points = grid(first, first + span).tolist()
    assert points[0] <= first
    assert first + span <= points[-1]
    steps = {b - a for a, b in pairwise(points)}
    assert len(steps) <= 1
    step = steps.pop() if steps else MINUTE
    assert step in STEPS
    assert points[0] % step == 0
    # Neither end is more than a step away.
    assert first - points[0] < step
    assert points[-1] - first - span < step
    assert len(points) <= 4_000 or step == DAY


@given(TIMES, SPANS)
def test_a_grid_is_as_fine_as_its_points_allow(first: int, span: int) -> None:
    points = grid(first, first + span)
    if len(points) > 1 and (step := int(points[1] - points[0])) > MINUTE:
        finer = STEPS[STEPS.index(step) - 1]
        needed = -(-(first + span) // finer) - first // finer + 1
        assert needed > 4_000


@pytest.mark.parametrize(
    ("span", "step"),
    [(3_999, 1), (4_000, 5), (19_995, 5), (20_000, 15), (59_985, 15), (60_000, 60)],
)
def test_the_step_follows_from_the_span(span: int, step: int) -> None:
    """From midnight: 3,999 minutes are 4,000 points, a minute more needs steps of five."""
    points = grid(20_000 * DAY, 20_000 * DAY + span * MINUTE)
    assert int(points[1] - points[0]) == step * MINUTE


def test_a_single_moment_is_a_grid() -> None:
    assert grid(5 * MINUTE, 5 * MINUTE).tolist() == [5 * MINUTE]
    assert grid(5 * MINUTE + 1, 5 * MINUTE + 1).tolist() == [5 * MINUTE, 6 * MINUTE]


# --- round trips by hand --------------------------------------------------------------------------

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
WIDE = Rules(fill=FillModel(participation=1.0))


def bars(*quotes: Row) -> pl.DataFrame:
    """One bar a minute of a thousand contracts; quotes are open, high, low and close, or one."""
    records = []
    for minute, given_ in enumerate(quotes):
        values = {"price": None, "bid": 4_800, "ask": 5_200, **given_}
        row: Row = {"market": 0, "time": START + timedelta(minutes=minute)}
        for name in ("price", "bid", "ask"):
            parts = values[name] if isinstance(values[name], tuple) else (values[name],) * 4
            row |= {f"{name}_{p}": v for p, v in zip(schema.OHLC, parts, strict=True)}
        records.append(
            row
            | {
                "volume": values.get("volume", 100_000),
                "open_interest": 0,
                "bid_size": None,
                "ask_size": None,
            }
        )
    return pl.DataFrame(records, schema=schema.BARS.columns)


def traded(
    tape_bars: pl.DataFrame, rules: Rules = WIDE, payout: int | None = None, **intent: Any
) -> Row:
    """The one round trip of an order of ten contracts decided in the first bar."""
    listed = {"ticker": ["A-1-X"], "event": ["A-1"], "series": ["A"]}
    markets = pl.DataFrame(listed).with_columns(close_time=pl.lit(None, dtype=schema.Time))
    since = {"market": [0], "from_time": [datetime(2020, 1, 1, tzinfo=UTC)]}
    types = {"market": pl.UInt32, "from_time": schema.Time}
    rates = pl.DataFrame(since, schema=types).with_columns(taker=70_000, maker=0)
    rates = rates.cast({"taker": pl.Int64, "maker": pl.Int64})
    order = dict.fromkeys(schema.INTENTS.columns) | {"market": 0, "time": START, "kind": "ioc"}
    order |= {"side": 1, "quantity": 1_000, "valid_bars": 0} | intent
    end = START + timedelta(minutes=30)
    outcome = {"ticker": "A-1-X", "time": end, "close_time": end, "payout": payout, "result": "yes"}
    outcome["value"] = None
    settled = [] if payout is None else [outcome]
    tape = prepare(
        tape_bars, markets, pl.DataFrame(settled, schema=schema.SETTLEMENTS.columns), rates
    )
    run = simulate(tape, pl.DataFrame([order], schema=schema.INTENTS.columns), rules)
    trades = schema.TRADES_CLOSED.check(closed_trades(tape, run))
    (row,) = trades.to_dicts()
    return row


def test_a_trip_by_taker_and_to_settlement() -> None:
    """Ten YES at 0.52 and 0.07 x 10 x 0.52 x 0.48 = 0.1748: 5.3748, in cents 5.38; paid 10."""
    row = traded(bars({}, {}), payout=10_000)
    assert row == {
        "trade_id": 0,
        "ticker": "A-1-X",
        "event": "A-1",
        "series": "A",
        "side": 1,
        "entry_time": START + timedelta(minutes=1),
        "exit_time": START + timedelta(minutes=30),
        "quantity": 1_000,
        "entry_price": 0.52,
        "exit_price": 1.0,
        "exit_reason": "settlement",
        "stake": 5_200_000,
        "gross_pnl": 4_800_000,
        "fees": 180_000,
        "pnl": 4_620_000,
        # Half of 0.52 - 0.48, for ten contracts; the settlement crosses no book.
        "spread_paid": 200_000,
    }


def test_the_other_side_buys_no_at_one_less_the_bid() -> None:
    """Ten NO at 1 - 0.48 = 0.52, worthless when YES is paid 10 000."""
    row = traded(bars({}, {}), payout=10_000, side=-1)
    assert (row["side"], row["entry_price"], row["exit_price"]) == (-1, 0.52, 0.0)
    assert (row["stake"], row["gross_pnl"], row["spread_paid"]) == (5_200_000, -5_200_000, 200_000)


def test_a_taker_pays_half_the_spread_on_the_way_in_and_out() -> None:
    """In at 0.52 of 0.48 to 0.52, out at the stop's bid 0.40 of 0.40 to 0.50: 20 and 50 cents."""
    gone = {"bid": 4_000, "ask": 5_000}
    row = traded(bars({}, {}, gone), stop=4_300)
    assert (row["exit_reason"], row["exit_price"]) == ("stop", 0.4)
    assert row["spread_paid"] == 10 * (20_000 + 50_000)


def test_resting_orders_pay_no_spread() -> None:
    """In by a limit at 0.45 that was traded through, out by a target at 0.60."""
    low = {"ask": (5_200, 5_200, 4_400, 4_600), "bid": (4_800, 4_800, 4_200, 4_400)}
    high = {"bid": (5_900, 6_100, 5_900, 6_000), "ask": 6_200}
    row = traded(bars({}, low, high), kind="limit", limit=4_500, valid_bars=1, target=6_000)
    assert (row["entry_price"], row["exit_price"], row["exit_reason"]) == (0.45, 0.6, "target")
    assert (row["spread_paid"], row["fees"]) == (0, 0)
    assert row["pnl"] == row["gross_pnl"] == 1_500_000


def test_the_spread_is_that_of_the_opening_quotes_else_of_the_closing_ones() -> None:
    moved = {"bid": (4_800, 4_800, 3_000, 3_000), "ask": (5_200, 9_000, 5_200, 9_000)}
    assert traded(bars({}, moved), payout=0)["spread_paid"] == 10 * 20_000
    no_open = {"bid": (None, 4_600, 4_600, 4_600), "ask": (None, 5_200, 5_200, 5_200)}
    assert traded(bars({}, no_open), payout=0)["spread_paid"] == 10 * 30_000
    no_bid = {"bid": None}
    assert traded(bars({}, no_bid), payout=0)["spread_paid"] == 0


def test_a_position_sold_in_parts_is_one_trip_at_average_prices() -> None:
    """Six of ten at the stop, as a bar trades six; the others a bar later, cheaper."""
    first, second = {"bid": 4_000, "volume": 600}, {"bid": 3_000}
    row = traded(bars({}, {}, first, second), stop=4_200)
    assert row["exit_time"] == START + timedelta(minutes=3)
    assert row["exit_price"] == pytest.approx((6 * 0.40 + 4 * 0.30) / 10)
    assert row["gross_pnl"] == 2_400_000 + 1_200_000 - 5_200_000
    # Spreads 0.48 to 0.52 for ten, 0.40 to 0.52 for six, 0.30 to 0.52 for four; halved.
    assert row["spread_paid"] == 10 * 20_000 + 6 * 60_000 + 4 * 110_000


def test_a_believer_in_last_prices_pays_the_decision_price_without_a_fee() -> None:
    row = traded(bars({"price": 5_000}, {}), Rules(fill=FILLS["naive"]), payout=10_000)
    assert (row["entry_price"], row["fees"]) == (0.5, 0)
