"""Single orders on single bars, worked by hand: prices in centi-cents, fees in micro-dollars."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from kalshi_bt import schema
from kalshi_bt.errors import DataError
from kalshi_bt.simulator.assumptions import FILLS, FillModel, Risk, Rules
from kalshi_bt.simulator.simulate import Simulation, simulate
from kalshi_bt.simulator.tape import prepare

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
QUIET = {
    "price": (None, None, None, None),
    "bid": (4_900, 4_900, 4_900, 4_900),
    "ask": (5_100, 5_100, 5_100, 5_100),
}


def at(minute: int) -> datetime:
    return START + timedelta(minutes=minute)


def bars(*rows: dict[str, tuple[int | None, ...]], volume: int | None = 100_000) -> pl.DataFrame:
    records = []
    for minute, row in enumerate(rows):
        record: dict[str, object] = {"market": 0, "time": at(minute)}
        for name, values in {**QUIET, **row}.items():
            record |= {f"{name}_{p}": v for p, v in zip(schema.OHLC, values, strict=True)}
        records.append(
            record | {"volume": volume, "open_interest": 0, "bid_size": None, "ask_size": None}
        )
    return pl.DataFrame(records, schema=schema.BARS.columns)


def intent(**values: object) -> pl.DataFrame:
    row = {
        **dict.fromkeys(schema.INTENTS.columns),
        "market": 0,
        "time": at(0),
        "side": 1,
        "kind": "ioc",
        "valid_bars": 0,
        "quantity": 1_000,
    }
    return pl.DataFrame([row | values], schema=schema.INTENTS.columns)


def settled(minute: int, payout: int) -> pl.DataFrame:
    row = {"ticker": "A-1", "time": at(minute), "close_time": at(minute), "payout": payout}
    return pl.DataFrame([row | {"result": "yes"}], schema=schema.SETTLEMENTS.columns)


def run(
    tape_bars: pl.DataFrame,
    order: pl.DataFrame,
    rules: Rules | None = None,
    outcome: pl.DataFrame | None = None,
    maker: int = 0,
) -> Simulation:
    market = {"ticker": ["A-1"], "event": ["A"], "series": ["A"]}
    markets = pl.DataFrame(market).with_columns(close_time=pl.lit(None, dtype=schema.Time))
    rates = pl.DataFrame(
        {"market": [0], "from_time": [datetime(2020, 1, 1, tzinfo=UTC)]},
        schema={"market": pl.UInt32, "from_time": schema.Time},
    ).with_columns(taker=pl.lit(70_000), maker=pl.lit(maker))
    results = schema.SETTLEMENTS.empty() if outcome is None else outcome
    return simulate(prepare(tape_bars, markets, results, rates), order, rules or Rules())


def fills(result: Simulation) -> list[tuple[object, ...]]:
    names = ("reason", "role", "quantity", "price", "fee")
    return result.fills.with_columns(pl.selectors.enum().cast(pl.String)).select(names).rows()


def status(result: Simulation) -> tuple[object, ...]:
    return result.orders.select(pl.col("status").cast(pl.String), "reason", "filled").row(0)


def test_a_taker_pays_the_next_ask_and_never_the_decision_price() -> None:
    moved = {"ask": (5_600, 5_600, 5_200, 5_500)}
    # 10 at 0.56 and 0.07 x 10 x 0.56 x 0.44 = 0.1725, up to $0.0001: 5.7725, in whole cents 5.78.
    assert fills(run(bars({}, moved), intent())) == [("entry", "taker", 1_000, 5_600, 180_000)]


def test_a_limit_below_the_next_ask_cancels() -> None:
    moved = {"ask": (5_600, 5_600, 5_200, 5_500)}
    assert status(run(bars({}, moved), intent(limit=5_500))) == ("canceled", "beyond_limit", 0)


def test_latency_of_a_bar_skips_it() -> None:
    early, late = {"ask": (5_200,) * 4}, {"ask": (5_300,) * 4}
    slow = Rules(latency=60_000_000)
    assert fills(run(bars({}, early, late), intent(), slow))[0][3] == 5_300
    assert fills(run(bars({}, early, late), intent(), Rules(latency=59_999_999)))[0][3] == 5_200


def test_an_empty_side_fills_nothing() -> None:
    empty = {"ask": (None,) * 4}
    assert status(run(bars({}, empty), intent())) == ("canceled", "no_quote", 0)


def test_size_is_a_share_of_the_bar_that_fills_in_whole_contracts() -> None:
    # 10 % of 57 contracts is 5.7: five whole ones; the rest of the order is gone.
    result = run(bars({}, {}, volume=5_700), intent())
    assert fills(result)[0][2] == 500
    assert status(result) == ("partial", "no_volume", 500)


def test_unknown_volume_uses_the_assumption() -> None:
    result = run(bars({}, {}, volume=None), intent(), Rules(assumed_volume=3_000))
    assert fills(result)[0][2] == 300


@pytest.mark.parametrize(
    ("low", "filled"), [(4_500, False), (4_499, True)], ids=["touched", "traded through"]
)
def test_a_resting_limit_fills_only_when_traded_through(low: int, filled: bool) -> None:  # noqa: FBT001
    reached = {"ask": (4_700, 5_000, low, 4_800), "bid": (4_400, 4_700, 4_300, 4_600)}
    order = intent(kind="limit", limit=4_500, valid_bars=1)
    result = run(bars({}, reached), order)
    assert fills(result) == ([("entry", "maker", 1_000, 4_500, 0)] if filled else [])
    assert status(result)[0] == ("filled" if filled else "expired")


def test_the_touch_rule_is_the_optimistic_one() -> None:
    reached = {"ask": (4_700, 5_000, 4_500, 4_800), "bid": (4_400, 4_700, 4_300, 4_600)}
    order = intent(kind="limit", limit=4_500, valid_bars=1)
    assert fills(run(bars({}, reached), order, Rules(fill=FILLS["optimistic"])))[0][3] == 4_500


def test_a_limit_gapped_through_at_its_arrival_takes_the_better_open() -> None:
    below = {"ask": (4_200, 5_000, 4_100, 4_800), "bid": (4_000, 4_700, 4_000, 4_600)}
    order = intent(kind="limit", limit=4_500, valid_bars=1)
    assert fills(run(bars({}, below), order))[0][1:4] == ("taker", 1_000, 4_200)


def test_maker_fees_follow_the_schedule() -> None:
    reached = {"ask": (4_700, 5_000, 4_400, 4_800), "bid": (4_300, 4_700, 4_300, 4_600)}
    order = intent(kind="limit", limit=4_500, valid_bars=1)
    # 4.50 and 0.0175 x 10 x 0.45 x 0.55 = 0.0434, up to $0.0001: 4.5434, in whole cents 4.55.
    assert fills(run(bars({}, reached), order, maker=17_500))[0][4] == 50_000


def bracket(model: FillModel, **bid: tuple[int, ...]) -> list[tuple[object, ...]]:
    """Buy ten at the ask, then meet one bar with a stop at 0.40 and a target at 0.60."""
    wide = Rules(fill=replace(model, participation=1.0))
    return fills(run(bars({}, {}, bid), intent(stop=4_000, target=6_000), wide))[1:]


def test_stop_and_target_in_one_bar_is_the_stop() -> None:
    both = (5_000, 6_200, 3_800, 5_500)
    assert bracket(FILLS["cross"], bid=both)[0][:4] == ("stop", "taker", -1_000, 4_000)
    assert bracket(FILLS["pessimistic"], bid=both)[0][:4] == ("stop", "taker", -1_000, 3_800)
    assert bracket(FILLS["optimistic"], bid=both)[0][:4] == ("target", "maker", -1_000, 6_000)


def test_a_stop_gapped_through_takes_the_open_below_it() -> None:
    assert bracket(FILLS["cross"], bid=(3_000, 3_500, 2_800, 3_300))[0][3] == 3_000


def test_a_stop_that_finds_no_bid_waits_for_one() -> None:
    thin = Rules(fill=replace(FILLS["cross"], participation=0.01))
    hit, gone, back = {"bid": (3_900,) * 4}, {"bid": (None,) * 4}, {"bid": (2_500,) * 4}
    tape = bars({}, {}, hit, gone, back).with_columns(
        volume=pl.Series([100_000, 100_000, 60_000, 100_000, 100_000])
    )
    result = run(tape, intent(stop=4_000), thin)
    # 1 % of 600 contracts: six at the trigger, none without a bid, four at whatever is bid next.
    assert [f[2:4] for f in fills(result)] == [(1_000, 5_100), (-600, 3_900), (-400, 2_500)]


def test_the_entry_bar_of_a_resting_fill_cannot_prove_the_target_by_its_high() -> None:
    swing = {"ask": (6_500, 6_600, 4_400, 4_900), "bid": (6_300, 6_400, 4_300, 4_800)}
    order = intent(kind="limit", limit=4_500, valid_bars=1, stop=4_000, target=6_000)
    result = run(bars({}, swing, {}), order, Rules(fill=replace(FILLS["cross"], participation=1.0)))
    assert [f[0] for f in fills(result)] == ["entry"]


def test_settlement_pays_without_a_fee_and_cash_is_locked_until_then() -> None:
    result = run(bars({}, {}), intent(), outcome=settled(30, 10_000))
    entry, payout = fills(result)
    assert payout == ("settlement", "none", -1_000, 10_000, 0)
    assert result.fills["time"][1] == at(30)
    assert entry[0] == "entry"


def test_a_scalar_payout_pays_its_value_to_no_as_the_rest() -> None:
    result = run(bars({}, {}), intent(side=-1), outcome=settled(30, 3_700))
    # NO bought at 1 - 0.49 = 0.51 receives 1 - 0.37 = 0.63: ten contracts gain $1.20 before fees.
    (entry, payout) = result.fills.select("quantity", "price").rows()
    assert entry == (-1_000, 4_900)
    assert payout == (1_000, 3_700)


def test_no_fill_after_an_early_close() -> None:
    assert status(run(bars({}, {}), intent(), outcome=settled(0, 10_000)))[1] == "market_closed"


def test_a_fee_of_many_partial_fills_is_rounded_once_per_order() -> None:
    old = Rules(fee_rounding="order_cent", fill=replace(FILLS["cross"], participation=0.001))
    reached = {"ask": (4_700, 5_000, 4_400, 4_800), "bid": (4_300, 4_700, 4_300, 4_600)}
    order = intent(kind="limit", limit=4_500, valid_bars=10, quantity=300)
    result = run(bars({}, reached, reached, reached), order, old, maker=70_000)
    # 3 x 0.07 x 0.45 x 0.55 = 0.051975: six cents in all, not three times two.
    assert [f[2] for f in fills(result)] == [100, 100, 100]
    assert sum(f[4] for f in fills(result)) == 60_000  # type: ignore[misc]


def test_a_target_relative_to_the_fill_uses_the_risk_taken() -> None:
    high = {"bid": (6_000, 7_301, 6_000, 7_301), "ask": (7_400,) * 4}
    order = intent(stop=4_000, reward=20_000)
    wide = Rules(fill=replace(FILLS["cross"], participation=1.0))
    # Filled at 0.51 with the stop at 0.40: target 0.51 + 2 x 0.11 = 0.73.
    assert fills(run(bars({}, {}, high), order, wide))[1][:4] == ("target", "maker", -1_000, 7_300)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"stop": 5_200, "limit": 5_100}, "stop_side"),
        ({"target": 5_000, "limit": 5_100}, "target_side"),
        ({"quantity": None, "risk": 0.02}, "no_stop"),
        ({"quantity": 50}, "size_zero"),
        ({"limit": 0}, "price_range"),
    ],
)
def test_a_senseless_intent_is_rejected_with_its_reason(
    values: dict[str, object], reason: str
) -> None:
    result = run(bars({}, {}), intent(**values))
    assert status(result) == ("rejected", reason, 0)


def test_a_cap_trims_and_does_not_reject() -> None:
    capped = Rules(risk=Risk(max_contracts=4))
    result = run(bars({}, {}), intent(), capped)
    assert status(result) == ("filled", "max_contracts", 400)
    assert result.orders["wanted"][0] == 1_000


def test_an_intent_without_a_bar_is_an_error_that_names_the_market() -> None:
    with pytest.raises(DataError, match="A-1 has no bar at 2026-05-04 12:00:30"):
        run(bars({}, {}), intent(time=at(0) + timedelta(seconds=30)))


def test_a_price_outside_a_dollar_is_an_error() -> None:
    with pytest.raises(DataError, match=r"intents\.stop is -100"):
        run(bars({}, {}), intent(stop=-100))


def test_an_order_of_a_market_without_another_bar_gives_its_place_back_in_time() -> None:
    alone = bars({})
    other = bars({}, {}, {}, {}).with_columns(market=pl.lit(1, dtype=pl.UInt32))
    listed = {"ticker": ["A-1", "B-1"], "event": ["A", "B"], "series": ["A", "A"]}
    markets = pl.DataFrame(listed).with_columns(close_time=pl.lit(None, dtype=schema.Time))
    rates = pl.DataFrame(
        {"market": [0, 1], "from_time": [datetime(2020, 1, 1, tzinfo=UTC)] * 2},
        schema={"market": pl.UInt32, "from_time": schema.Time},
    ).with_columns(taker=pl.lit(70_000), maker=pl.lit(0))
    first = intent(kind="limit", limit=4_500, valid_bars=1)
    later = intent(time=at(2)).with_columns(market=pl.lit(1, dtype=pl.UInt32))
    tape = prepare(pl.concat([alone, other]), markets, schema.SETTLEMENTS.empty(), rates)
    one_place = Rules(risk=Risk(max_positions=1), bar=60_000_000)
    orders = simulate(tape, pl.concat([first, later]), one_place).orders
    assert orders["reason"].to_list() == ["not_reached", None]  # that no bar will come, nobody knew
    assert orders["filled"].to_list() == [0, 1_000]
