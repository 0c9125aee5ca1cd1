"""Sizing: one intent for each set-up, with levels on the price grid."""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_bt import schema
from kalshi_bt.errors import UsageError
from kalshi_bt.sizing import FixedStake, Kelly, RiskToStop, WinRate
from kalshi_bt.strategies import SIZINGS, method_of

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
KEYS = {"market": pl.UInt32, "time": schema.Time}
LEVELS = ("side", "entry", "stop", "target")


def at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


def setups(*rows: dict[str, Any], columns: tuple[str, ...] = LEVELS) -> pl.LazyFrame:
    types = KEYS | {name: schema.SIGNALS[name] for name in columns}
    base = {"market": 0, "time": NOON, "side": 1, "entry": 0.5, "stop": 0.4, "target": 0.7}
    records = [{**dict.fromkeys(types), **base, **row} for row in rows]
    return pl.LazyFrame([{n: r[n] for n in types} for r in records], schema=types)


def sized(*rows: dict[str, Any], columns: tuple[str, ...] = LEVELS) -> pl.DataFrame:
    return schema.INTENTS.check(RiskToStop()(setups(*rows, columns=columns)).collect())


def test_a_set_up_becomes_a_limit_order_at_risk_to_its_stop() -> None:
    sizing = RiskToStop(risk=0.01, valid_bars=3)
    (row,) = schema.INTENTS.check(sizing(setups({"market": 7})).collect()).to_dicts()
    assert row == {
        **dict.fromkeys(schema.INTENTS.columns),
        "market": 7,
        "time": NOON,
        "side": 1,
        "kind": "limit",
        "limit": 5_000,
        "stop": 4_000,
        "target": 7_000,
        "risk": 0.01,
        "valid_bars": 3,
    }


OFFERED = (*LEVELS, "entry_stop")


def test_a_row_without_an_entry_is_bought_at_what_is_offered() -> None:
    """YES at the ask and NO at the bid, as without the column; a stop needs its trigger."""
    rows = [
        {"entry": 0.47},
        {"entry": None},
        {"entry": None, "side": -1, "stop": 0.6, "target": 0.3},
        {"entry": None, "entry_stop": True},
    ]
    frame = setups(*({"time": at(n)} | row for n, row in enumerate(rows)), columns=OFFERED)
    quoted = frame.with_columns(bid=pl.lit(0.48), ask=pl.lit(0.52))
    for sizing in (RiskToStop(), FixedStake()):
        made = schema.INTENTS.check(sizing(quoted).collect())
        assert made["limit"].to_list() == [4_700, 5_200, 4_800, None]
    without = quoted.drop("entry", "entry_stop")
    assert FixedStake()(without).collect()["limit"].to_list() == [5_200, 5_200, 4_800, 5_200]


def test_a_row_without_a_side_is_no_intent() -> None:
    found = sized({"side": None}, {"time": at(1), "side": -1}, {"time": at(2), "side": None})
    assert found.select("time", "side").rows() == [(at(1), -1)]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"side": 1}, "limit"),
        ({"side": 1, "entry_stop": False}, "limit"),
        ({"side": -1, "entry_stop": True}, "stop"),
        ({"side": 1, "entry_stop": True}, "stop"),
        ({"side": 0}, "ioc"),
        ({"side": 0, "entry_stop": True}, "ioc"),
    ],
)
def test_the_kind_follows_from_side_and_entry_stop(row: dict[str, Any], kind: str) -> None:
    assert sized(row, columns=(*LEVELS, "entry_stop"))["kind"].to_list() == [kind]


def test_without_a_column_entry_stop_every_entry_rests() -> None:
    assert sized({}, {"time": at(1), "side": -1})["kind"].to_list() == ["limit", "limit"]


def test_a_close_needs_no_levels() -> None:
    (row,) = sized({"side": 0, "entry": None, "stop": None, "target": None}).to_dicts()
    assert (row["side"], row["kind"], row["limit"], row["stop"]) == (0, "ioc", None, None)


def test_what_a_signal_adds_beside_the_levels_is_carried_over() -> None:
    extra = {"exit_time": at(9), "fair": 0.61, "confidence": 0.7}
    (row,) = sized(extra, columns=(*LEVELS, *extra)).to_dicts()
    assert {name: row[name] for name in extra} == extra


def test_what_it_does_not_add_is_null() -> None:
    (row,) = sized({}).to_dicts()
    names = ("exit_time", "fair", "confidence", "reward", "quantity", "stake")
    assert {name: row[name] for name in names} == dict.fromkeys(names)


def test_an_absent_level_stays_absent() -> None:
    found = sized({"target": None})
    assert found.select("limit", "stop", "target").row(0) == (5_000, 4_000, None)


def test_whole_cents_keep_their_cent() -> None:
    """0.29, 0.57 and 0.58 lose one when they are cut off instead of rounded."""
    rows = [{"time": at(k), "entry": k / 100, "stop": k / 100} for k in range(101)]
    found = sized(*rows)
    assert found["limit"].to_list() == found["stop"].to_list() == [k * 100 for k in range(101)]


@given(st.decimals(0, 1, places=6))
def test_levels_are_rounded_to_the_nearest_centi_cent(price: Decimal) -> None:
    found = sized({"entry": float(price)})["limit"][0]
    off = abs(Decimal(found) - price * 10_000)
    assert off <= Decimal("0.5") + Decimal("1e-9")
    if off < Decimal("0.49"):
        assert found == int((price * 10_000).quantize(Decimal(1), ROUND_HALF_EVEN))


def test_intents_come_in_order_of_time_then_market() -> None:
    rows = [{"market": m, "time": at(k)} for m, k in ((2, 1), (0, 2), (1, 1), (3, 0))]
    assert sized(*rows)["market"].to_list() == [3, 1, 2, 0]


def test_no_set_ups_make_an_empty_table() -> None:
    assert sized().height == 0
    assert sized({"side": None}).height == 0


@pytest.mark.parametrize("risk", [0, -0.1, 1.01, float("nan"), float("inf")])
def test_a_risk_that_is_no_fraction_is_an_error(risk: float) -> None:
    with pytest.raises(UsageError, match="expected above 0, at most 1"):
        RiskToStop(risk=risk)


@pytest.mark.parametrize("bars", [0, -1])
def test_an_order_that_is_never_valid_is_an_error(bars: int) -> None:
    with pytest.raises(UsageError, match=f"valid_bars is {bars}; expected at least 1"):
        RiskToStop(valid_bars=bars)


def test_a_sizing_is_a_value() -> None:
    assert RiskToStop(risk=1, valid_bars=1) == RiskToStop(risk=1.0)
    assert hash(RiskToStop()) == hash(RiskToStop())
    assert eval(repr(RiskToStop(risk=0.03))) == RiskToStop(risk=0.03)  # noqa: S307 - own repr


@pytest.mark.parametrize(
    ("row", "stake"),
    [
        # W = 0.5. Reward 0.2 over risk 0.1: f = 0.5 - 0.5 / 2 = 0.25, halved.
        ({"entry": 0.5, "stop": 0.4, "target": 0.7}, 0.125),
        # The mirror image, which sells YES.
        ({"side": -1, "entry": 0.5, "stop": 0.6, "target": 0.3}, 0.125),
        # Reward 0.4 over risk 0.1: f = 0.5 - 0.5 / 4 = 0.375, halved.
        ({"entry": 0.5, "stop": 0.4, "target": 0.9}, 0.1875),
        # Even money at even odds, less than even money, and levels on one side.
        ({"entry": 0.5, "stop": 0.4, "target": 0.6}, 0.0),
        ({"entry": 0.5, "stop": 0.3, "target": 0.6}, 0.0),
        ({"entry": 0.5, "stop": 0.4, "target": 0.3}, 0.0),
        ({"entry": 0.5, "stop": None, "target": 0.7}, 0.0),
        ({"entry": 0.5, "stop": 0.4, "target": None}, 0.0),
        ({"entry": 0.5, "stop": 0.5, "target": 0.7}, 0.0),
    ],
)
def test_a_known_win_rate_gives_the_kelly_stake(row: dict[str, Any], stake: float) -> None:
    made = schema.INTENTS.check(WinRate(win_rate=0.5)(setups(row)).collect())
    assert made["stake"].to_list() == [pytest.approx(stake)]
    assert made.select("risk", "quantity").rows() == [(None, None)]


def test_win_rate_and_risk_differ_in_size_only() -> None:
    rows = ({"side": 0}, {"time": at(1), "side": -1, "stop": 0.6, "target": 0.3}, {"market": 3})
    one, other = (
        kind()(setups(*rows)).collect().drop("risk", "stake") for kind in (RiskToStop, WinRate)
    )
    assert one.equals(other)


@pytest.mark.parametrize(
    "wrong", [{"win_rate": 0}, {"win_rate": 1}, {"scale": 0}, {"scale": 1.1}, {"valid_bars": 0}]
)
def test_a_win_rate_sizing_out_of_range_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(wrong))} is "):
        WinRate(**wrong)


def test_every_sizing_has_a_name_and_usual_values() -> None:
    assert {name: method_of(kind()) for name, kind in SIZINGS.items()} == {n: n for n in SIZINGS}


# --- Kelly ----------------------------------------------------------------------------------------


def opinions(
    *rows: tuple[float | None, float | None, float | None], taker: int = 0
) -> pl.LazyFrame:
    """Rows of fair, bid and ask."""
    fair, bid, ask = zip(*rows, strict=True)
    return pl.LazyFrame(
        {
            "market": range(len(rows)),
            "time": [NOON] * len(rows),
            "fair": fair,
            "bid": bid,
            "ask": ask,
            "taker": [taker] * len(rows),
        },
        schema=KEYS | {"fair": pl.Float64, "bid": pl.Float64, "ask": pl.Float64, "taker": pl.Int64},
    )


def stakes(
    kelly: Kelly, *rows: tuple[float | None, float | None, float | None], taker: int = 0
) -> Any:
    made = schema.INTENTS.check(kelly(opinions(*rows, taker=taker)).collect())
    return made.select("market", "side", "limit", pl.col("stake").round(9)).rows()


WHOLE = Kelly(scale=1.0, max_fraction=1.0)


def test_the_better_side_is_bought_with_the_kelly_stake() -> None:
    # YES at 0.40 worth 0.55: (0.55 - 0.40) / (1 - 0.40) = 0.25. NO at 0.62 worth 0.45: no edge.
    assert stakes(WHOLE, (0.55, 0.38, 0.40)) == [(0, 1, 4_000, 0.25)]
    # NO at 1 - 0.70 = 0.30 worth 0.44: (0.44 - 0.30) / 0.70 = 0.2, sold at the bid or better.
    assert stakes(WHOLE, (0.56, 0.70, 0.72)) == [(0, -1, 7_000, 0.2)]
    assert stakes(Kelly(scale=0.5, max_fraction=0.1), (0.55, 0.38, 0.40)) == [(0, 1, 4_000, 0.1)]


def test_the_fee_is_part_of_the_cost() -> None:
    # 7 % of 0.5 x 0.5 is 0.0175: k = 0.5175, f = (0.6 - 0.5175) / (1 - 0.5175) = 0.170984456.
    assert stakes(WHOLE, (0.60, 0.49, 0.50), taker=70_000) == [(0, 1, 5_000, 0.170984456)]
    assert stakes(WHOLE, (0.5175, 0.49, 0.50), taker=70_000) == []


def test_an_edge_must_exceed_the_least_one() -> None:
    assert stakes(Kelly(min_edge=0.2), (0.55, 0.38, 0.40)) == []
    assert len(stakes(Kelly(min_edge=0.14), (0.55, 0.38, 0.40))) == 1


def test_an_uncertain_probability_gets_less() -> None:
    # The edge is 0.15; with a standard error of 0.15 half of the stake is left.
    (row,) = stakes(Kelly(scale=1.0, max_fraction=1.0, shrink=0.15), (0.55, 0.38, 0.40))
    assert row[3] == 0.125


def test_without_an_opinion_or_a_quote_nothing_is_bought() -> None:
    rows = (
        (None, 0.38, 0.40),
        (0.9, None, None),
        (0.9, 0.38, None),
        (0.1, None, 0.40),
        (0.4, 0.38, 0.42),
    )
    assert stakes(WHOLE, *rows) == []


def test_a_contract_that_is_too_dear_is_left() -> None:
    assert stakes(Kelly(max_price=0.9), (0.99, 0.94, 0.95)) == []
    assert stakes(Kelly(max_price=0.9), (0.01, 0.05, 0.06)) == []


def test_a_stake_is_held_between_the_smallest_and_the_largest_where_there_is_an_edge() -> None:
    held = Kelly(scale=0.15, min_fraction=0.005, max_fraction=0.02)
    # Edges of 0.004, 0.06 and 0.15 at 0.40: 15 % of Kelly is 0.001, 0.015 and 0.0375.
    rows = ((0.404, 0.38, 0.40), (0.46, 0.38, 0.40), (0.55, 0.38, 0.40), (0.40, 0.38, 0.40))
    assert [row[3] for row in stakes(held, *rows)] == [0.005, 0.015, 0.02]


def test_long_odds_on_halve_the_kelly_stake_before_it_is_held() -> None:
    halved = Kelly(scale=0.1, max_fraction=1.0, halve_odds=5.0)
    # 0.83 / 0.17 = 4.88: (0.93 - 0.83) / 0.17 x 0.1. 0.84 / 0.16 = 5.25: half of 0.09 / 0.16 x 0.1.
    # A NO at 1 - 0.16 = 0.84 is as dear.
    rows = ((0.93, 0.82, 0.83), (0.93, 0.83, 0.84), (0.07, 0.16, 0.17))
    expected = [round(0.1 * 0.10 / 0.17, 9), 0.028125, 0.028125]
    assert [row[3] for row in stakes(halved, *rows)] == expected
    floored = Kelly(scale=0.1, max_fraction=1.0, halve_odds=5.0, min_fraction=0.04)
    assert stakes(floored, rows[1])[0][3] == 0.04


def test_the_likelier_side_alone_leaves_cheap_underdogs() -> None:
    # Worth 0.92 at 0.96/0.97: NO at 0.04 has an edge of 0.04, and is not what was thought likely.
    rows = ((0.92, 0.96, 0.97), (0.92, 0.80, 0.82), (0.08, 0.20, 0.22))
    assert [row[:2] for row in stakes(WHOLE, *rows)] == [(0, -1), (1, 1), (2, -1)]
    sure = Kelly(scale=1.0, max_fraction=1.0, likelier=True)
    assert [row[:2] for row in stakes(sure, *rows)] == [(1, 1), (2, -1)]


WRONG_KELLY: list[dict[str, Any]] = [
    *({"scale": 0}, {"max_fraction": 1.5}, {"shrink": -1}, {"max_price": 1}),
    *({"min_fraction": 0.06}, {"min_fraction": -0.1}, {"halve_odds": -1.0}),
]


@pytest.mark.parametrize("wrong", WRONG_KELLY)
def test_a_kelly_sizing_out_of_range_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(wrong))} is "):
        Kelly(**wrong)


def test_a_fixed_stake_buys_whole_contracts_and_at_least_one() -> None:
    def made(dollars: float, *rows: tuple[float | None, float | None, float | None]) -> Any:
        frame = FixedStake(dollars=dollars)(opinions(*rows)).collect()
        return schema.INTENTS.check(frame).select("side", "limit", "quantity").rows()

    # 10 / 0.40 = 25; a NO costs 1 - 0.70 = 0.30: 33 for 10 dollars; 0.10 buys none, hence one.
    assert made(10, (0.55, 0.38, 0.40)) == [(1, 4_000, 2_500)]
    assert made(10, (0.56, 0.70, 0.72)) == [(-1, 7_000, 3_300)]
    assert made(0.1, (0.55, 0.38, 0.40)) == [(1, 4_000, 100)]
    assert made(10, (0.39, 0.38, 0.40)) == []
    (row,) = FixedStake(dollars=1.0)(setups({"entry": 0.3})).collect().to_dicts()
    assert (row["quantity"], row["kind"]) == (300, "limit")


@pytest.mark.parametrize("said", [("side",), ("side", "entry"), ("side", "stop")])
def test_a_set_up_may_leave_out_its_levels(said: tuple[str, ...]) -> None:
    quotes = pl.LazyFrame({"bid": [0.38], "ask": [0.40]})
    rows = {1: 4_000, -1: 3_800}  # YES is offered at the ask, NO at 1 less the bid
    for side, offered in rows.items():
        made = setups({"side": side}, columns=said)
        made = pl.concat([made, quotes], how="horizontal")
        for sizing in (FixedStake(dollars=10.0), *([RiskToStop(), WinRate()] * ("stop" in said))):
            (row,) = schema.INTENTS.check(sizing(made).collect()).to_dicts()
            assert row["limit"] == (5_000 if "entry" in said else offered)
            assert (row["stop"], row["target"]) == (4_000 if "stop" in said else None, None)
    # 10 / 0.40 = 25 contracts of YES, 10 / 0.62 = 16.1 of NO.
    if said == ("side",):
        assert made.pipe(FixedStake(dollars=10.0)).collect()["quantity"].item() == 1_600


def test_a_fixed_stake_out_of_range_is_an_error() -> None:
    with pytest.raises(UsageError, match="dollars is 0"):
        FixedStake(dollars=0)


@pytest.mark.parametrize(
    "name", [name for name, sizing in SIZINGS.items() if getattr(sizing, "weighs", "") == "fair"]
)
def test_an_opinion_alone_gets_the_stake_it_gets_among_others(name: str) -> None:
    """To the last bit, as a session decides moment by moment what a backtest decides at once."""
    many = 40
    fair = [0.3 + 0.011 * n for n in range(many)]
    quotes = pl.LazyFrame(
        {
            "market": pl.Series(range(many), dtype=pl.UInt32),
            "time": pl.Series([at(n) for n in range(many)], dtype=schema.Time),
            "event": [f"E-{n}" for n in range(many)],
            "close_time": pl.Series([at(60 + n) for n in range(many)], dtype=schema.Time),
            "fair": fair,
            "bid": [round(p - 0.12, 2) for p in fair],
            "ask": [round(p - 0.1, 2) for p in fair],
            "last": [round(p - 0.11, 2) for p in fair],
            "taker": pl.Series([70_000] * many, dtype=pl.Int64),
            "strike_type": ["greater"] * many,
            "floor_strike": [float(n) for n in range(many)],
            "cap_strike": pl.Series([None] * many, dtype=pl.Float64),
            "series": ["S"] * many,
        }
    )
    whole = SIZINGS[name]()(quotes).collect()
    assert whole.height > many // 2
    alone = [SIZINGS[name]()(quotes.filter(market=n)).collect() for n in whole["market"]]
    assert pl.concat(alone).equals(whole)
