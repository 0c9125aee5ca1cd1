"""Metrics against plain-Python twins, against numbers worked out by hand, and where none exists."""

import json
import math
import re
import runpy
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metric_rows import (
    DOLLAR,
    Plain,
    Row,
    book,
    equity,
    fill,
    order,
    random_rows,
    rows,
    trade,
    values,
)

from kalshi_bt.metrics import METRICS, Score, daily_equity, score, to_json
from kalshi_bt.units import format_money

TWINS = {
    name: twin
    for family in ("trading", "forecast", "track_record", "selection", "inference")
    for name, twin in runpy.run_path(str(Path(__file__).with_name(f"naive_{family}.py")))[
        "TWINS"
    ].items()
}
# Numbers that are drawn, or found in steps: how far from the truth they may be.
NEAR = {
    "permutation_p": {"abs": 0.02},
    "spa_p": {"abs": 0.1},
    **{
        f"cox_{part}{of}": {"abs": 1e-7} for part in ("intercept", "slope") for of in ("", "_price")
    },
}
REQUIRED = {
    *("net_pnl", "fees", "gross_pnl", "n_trades", "n_orders", "n_fills", "win_rate"),
    *("max_drawdown", "sharpe", "final_equity", "initial_cash", "unsettled", "quarantined_rows"),
    *("max_drawdown_pct", "drawdown_days", "profit_factor", "expectancy", "average_win"),
    *("average_loss", "largest_win", "largest_loss", "max_wins", "max_losses", "pushes", "roi"),
    *("roi_stake", "turnover", "holding_time", "fill_rate", "spread_paid", "fee_drag", "sortino"),
    *("n_rejected", "exposure_max"),
}


@cache
def random_run(seed: int) -> tuple[Plain, dict[str, Score]]:
    plain = random_rows(seed)
    return plain, score(book(plain))


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_metric_equals_its_slow_twin(name: str) -> None:
    defined = 0
    for seed in range(40):
        plain, scores = random_run(seed)
        found, expected = scores[name], TWINS[name](plain)
        if expected is None:
            assert found.value is None, seed
            assert found.reason, seed
            continue
        defined += 1
        if found.unit == "dollars":
            assert found.value == format_money(expected), seed
        else:
            close = NEAR.get(name, {"rel": 1e-9, "abs": 1e-12})
            assert found.value == pytest.approx(expected, **close), seed
            assert isinstance(found.value, int) == isinstance(expected, int), seed
    assert defined > 10  # the comparison above was not vacuous


def test_every_metric_has_a_twin_and_every_required_one_exists() -> None:
    assert set(TWINS) == set(METRICS)
    assert set(METRICS) >= REQUIRED


def test_every_metric_states_unit_weight_and_definition() -> None:
    units = {"dollars", "fraction", "percent", "ratio", "days", "seconds", "score", "probability"}
    units |= {"log odds"}
    counts = {"trades", "orders", "fills", "positions", "rows", "markets", "events", "clusters"}
    counts |= {"trials"}
    for name, metric in METRICS.items():
        assert metric.unit in units | counts, name
        assert metric.weight in {
            "dollar", "contract", "trade", "order", "fill", "day", "position", "row", "market",
            "event", "cluster", "trial",
        }, name  # fmt: skip
        assert metric.doc.endswith("."), name
        assert re.fullmatch(r"arithmetic|doi:10\.\d{4,}/\S+|https://\S+", metric.reference), name


def test_hand_computed_trades() -> None:
    # pnl in order of exit: +3, 0, +1, -2, -2, -4, +6
    results = [3, 0, 1, -2, -2, -4, 6]
    trades = [trade(i, pnl * DOLLAR, hours=2, spread=DOLLAR // 4) for i, pnl in enumerate(results)]
    found = values(rows(trades=trades))
    assert found["n_trades"] == 7
    assert found["pushes"] == 1
    assert found["win_rate"] == 0.5  # 3 wins, 3 losses
    assert found["profit_factor"] == 10 / 8
    assert found["expectancy"] == "0.285714"  # 2 / 7
    assert found["average_win"] == "3.333333"
    assert found["average_loss"] == "-2.666667"
    assert found["break_even_rate"] == pytest.approx(8 / 18)  # (8/3) / (10/3 + 8/3)
    assert found["largest_win"] == "6.00"
    assert found["largest_loss"] == "-4.00"
    assert found["max_wins"] == 2  # 3 and 1: the push between them does not break the row
    assert found["max_losses"] == 3
    assert found["roi_stake"] == pytest.approx(2 / 70)
    assert found["holding_time"] == 7200
    assert found["spread_paid"] == "1.75"


def test_streaks_follow_the_time_of_exit_not_the_number_of_the_trade() -> None:
    trades = [trade(i, pnl, exit_hour=h) for i, (pnl, h) in enumerate([(1, 3), (-1, 2), (1, 4)])]
    assert values(rows(trades=trades))["max_wins"] == 2


def test_hand_computed_costs() -> None:
    fills = [
        fill(0, 0, 1000, 4000, fee=170_000),  # buys 10 YES at 0.40: pays 4.00
        fill(0, 1, -1000, 5000, fee=180_000, leg="exit"),  # sells them at 0.50: gets 5.00
        fill(1, 0, -500, 9000, fee=40_000),  # buys 5 NO at 0.10: pays 0.50
        fill(1, 1, 500, 10_000, leg="exit", kind="settlement"),  # worthless, not traded
    ]
    found = values(rows(fills=fills, path=[equity(1, 100 * DOLLAR + 110_000, locked=4 * DOLLAR)]))
    assert found["fees"] == "0.39"
    assert found["net_pnl"] == "0.11"
    assert found["gross_pnl"] == "0.50"
    assert found["turnover"] == pytest.approx(0.095)  # (4.00 + 5.00 + 0.50) / 100
    assert found["fee_drag"] == pytest.approx(0.0039)
    assert found["roi"] == pytest.approx(0.0011)
    assert found["n_fills"] == 4
    assert found["exposure_max"] == "4.00"
    assert found["final_equity"] == "100.11"


def test_fill_rate_counts_contracts_of_sent_entries_only() -> None:
    orders = [
        order(0, quantity=1000, filled=1000),
        order(1, "partial", quantity=3000, filled=1000),
        order(2, "rejected", quantity=9000, filled=0),
        order(3, side=0, quantity=1000, filled=0),  # a close is not an entry
    ]
    found = values(rows(orders))
    assert found["fill_rate"] == 0.5
    assert found["n_orders"] == 4
    assert found["n_rejected"] == 1


def test_hand_computed_drawdown() -> None:
    # 100 -> 120 -> 90 -> 110 -> 120 -> 119: 30 below 120 is 25 %; five days until 120 is regained
    path = [(0, 100), (24, 120), (48, 90), (96, 110), (144, 120), (150, 119)]
    found = values(rows(path=[equity(h, v * DOLLAR) for h, v in path]))
    assert found["max_drawdown"] == "30.00"
    assert found["max_drawdown_pct"] == 25.0
    assert found["drawdown_days"] == 5.0


def test_drawdown_starts_from_the_initial_cash() -> None:
    found = values(rows(path=[equity(0, 90 * DOLLAR), equity(12, 95 * DOLLAR)]))
    assert found["max_drawdown"] == "10.00"
    assert found["max_drawdown_pct"] == 10.0
    assert found["drawdown_days"] == 0.5  # not regained: until the last row


def test_hand_computed_sharpe_counts_idle_days_and_a_year_of_365() -> None:
    # midnights: 100, 110, 110 (idle), 99 -> returns +0.1, 0, -0.1
    path = [equity(1, 110 * DOLLAR), equity(14.5 + 24 + 3, 99 * DOLLAR)]
    plain = rows(path=path)
    assert daily_equity(book(plain))["equity"].to_list() == [
        100 * DOLLAR, 110 * DOLLAR, 110 * DOLLAR, 99 * DOLLAR,
    ]  # fmt: skip
    assert values(plain)["sharpe"] == pytest.approx(0, abs=1e-12)
    # 100, 101, 103.02: returns 0.01 and 0.02, mean 0.015, sd (n - 1) 0.01 / sqrt 2
    path = [equity(1, 101 * DOLLAR), equity(24, 103_020_000)]
    assert values(rows(path=path))["sharpe"] == pytest.approx(1.5 * math.sqrt(2) * math.sqrt(365))


def test_hand_computed_sortino_divides_by_all_days() -> None:
    # returns -0.1 and 0: mean -0.05, downside sqrt(0.01 / 2)
    path = [equity(1, 90 * DOLLAR), equity(24, 90 * DOLLAR)]
    expected = -0.05 / math.sqrt(0.005) * math.sqrt(365)
    assert values(rows(path=path))["sortino"] == pytest.approx(expected)


def test_hand_computed_return_on_locked_money() -> None:
    # 10 dollars locked for 30 days, none for 10: 7.50 on average, 10 while any was; 3 dollars won
    path = [
        equity(0, 100 * DOLLAR, locked=10 * DOLLAR),
        equity(720, 103 * DOLLAR),
        equity(960, 103 * DOLLAR),
    ]
    found = values(rows(path=path))
    assert found["exposure_mean"] == "7.50"
    assert found["return_locked"] == 0.3
    assert found["return_locked_annual"] == pytest.approx(0.3 * 365 / 40)
    short = score(book(rows(path=path[:2])))  # 3 on 10, of 30 days to the hour
    assert short["return_locked_annual"].value == pytest.approx(0.3 * 365 / 30)
    # 20 dollars for one day of two, 10 for the other: 15
    two = [equity(0, 100 * DOLLAR, locked=20 * DOLLAR), equity(24, 100 * DOLLAR),
           equity(600, 100 * DOLLAR, locked=10 * DOLLAR), equity(624, 103 * DOLLAR)]  # fmt: skip
    assert values(rows(path=two))["return_locked"] == pytest.approx(3 / 15)
    less = score(book(rows(path=[path[0], equity(719, 103 * DOLLAR)])))
    assert "30 days" in (less["return_locked_annual"].reason or "")


def test_hand_computed_concentration() -> None:
    # events: A +6 -1 = 5, B -3, C +2; days of exit: 1st +6, 2nd -1 -3 = -4, 3rd +2
    dealt = [("A", 6, 0), ("A", -1, 24), ("B", -3, 24), ("C", 2, 48)]
    trades = [
        trade(i, pnl * DOLLAR, ticker=f"{event}-{i}", event=event, exit_hour=hour)
        for i, (event, pnl, hour) in enumerate(dealt)
    ]
    found = values(rows(trades=trades))
    assert (found["n_markets"], found["n_events"], found["n_clusters"]) == (4, 3, 3)
    assert found["top_event_share"] == 0.5
    assert found["top_day_share"] == 0.5
    assert found["top_market_share"] == 0.5
    assert found["top_event_stake"] == 0.5
    assert found["net_without_best_event"] == "-1.00"
    assert found["net_without_best_day"] == "-2.00"


def test_hand_computed_price_paid() -> None:
    # 40 cents and 2 of fee for one contract, 50 for two contracts without: 42 and 50 a contract
    trades = [
        trade(0, DOLLAR, stake=400_000, fees=20_000, quantity=100),
        trade(1, -DOLLAR, stake=DOLLAR, fees=0, quantity=200),
        trade(2, 0, stake=900_000, fees=0, quantity=100),  # a push is in neither
    ]
    found = values(rows(trades=trades))
    assert found["price_paid"] == "0.46"
    assert found["win_rate_excess"] == pytest.approx(0.04)


def test_a_row_at_midnight_belongs_to_the_day_that_ends() -> None:
    path = [equity(14.5, 110 * DOLLAR), equity(15, 120 * DOLLAR)]
    grid = daily_equity(book(rows(path=path)))["equity"].to_list()
    assert grid == [100 * DOLLAR, 120 * DOLLAR]


def test_more_rows_within_the_days_change_no_daily_number() -> None:
    sparse = [equity(h, v * DOLLAR) for h, v in [(14, 105), (38, 95), (62, 130)]]
    noise = [equity(h, v * DOLLAR) for h, v in [(1, 60), (20, 190), (50, 101)]]
    dense = sorted(sparse + noise, key=lambda row: row["time"])
    for name in ("sharpe", "sortino", "net_pnl"):
        assert values(rows(path=sparse))[name] == values(rows(path=dense))[name]


def test_scaling_all_money_leaves_every_ratio() -> None:
    plain = random_rows(7)
    factor = 3
    money = {"pnl", "stake", "spread_paid", "cash", "locked", "equity", "fee", "quantity", "filled"}
    money |= {"fees", "gross_mid", "spread", "slippage"}

    def scaled(part: list[Row]) -> list[Row]:
        return [
            {k: v * factor if k in money and v is not None else v for k, v in row.items()}
            for row in part
        ]

    told = {k: v for k, v in plain.items() if k not in {"trials", "trial_days"}}
    bigger = plain | {k: scaled(v) for k, v in told.items() if isinstance(v, list)}
    bigger["initial_cash"] *= factor
    before, after = score(book(plain)), score(book(bigger))
    compared = 0
    for name, s in before.items():
        if s.unit in {"ratio", "fraction", "percent"} and s.value is not None:
            assert after[name].value == pytest.approx(s.value), name
            compared += 1
    assert compared >= 8


# --- where a number does not exist ---


def test_an_empty_run_has_zeros_and_reasons() -> None:
    found = score(book(rows(cash=50 * DOLLAR)))
    assert found["final_equity"].value == found["initial_cash"].value == "50.00"
    assert found["net_pnl"].value == found["max_drawdown"].value == "0.00"
    assert found["n_trades"].value == found["max_wins"].value == 0
    assert {name for name, s in found.items() if s.value is not None} == {
        "net_pnl", "gross_pnl", "fees", "spread_paid", "initial_cash", "final_equity", "roi",
        "fee_drag", "turnover", "exposure_max", "max_drawdown", "max_drawdown_pct", "drawdown_days",
        "n_days", "n_trades", "n_wins", "n_losses", "pushes", "gross_profit", "gross_loss",
        "max_wins", "max_losses", "n_orders", "n_rejected", "n_fills", "one_sided", "unsettled",
        "unsettled_value", "determined", "quarantined_rows", "n_markets", "n_events", "n_clusters",
        "n_forecasts", "forecasts_scalar", "forecasts_unsettled", "n_trials", "n_compared",
    }  # fmt: skip
    assert all(s.reason for s in found.values() if s.value is None)


def test_one_trade_has_no_sharpe_and_no_profit_factor() -> None:
    path = [equity(0, 100 * DOLLAR), equity(2, 103 * DOLLAR)]
    found = score(book(rows(trades=[trade(0, 3 * DOLLAR)], path=path)))
    assert found["win_rate"].value == 1
    assert found["expectancy"].value == "3.00"
    assert found["sharpe"].reason == "fewer than 2 daily returns"
    assert found["profit_factor"].reason == "no losing trade"


def test_all_wins_and_all_losses_mirror() -> None:
    won = score(book(rows(trades=[trade(i, DOLLAR) for i in range(3)])))
    lost = score(book(rows(trades=[trade(i, -DOLLAR) for i in range(3)])))
    assert (won["win_rate"].value, lost["win_rate"].value) == (1, 0)
    assert (won["max_wins"].value, won["max_losses"].value) == (3, 0)
    assert (lost["max_wins"].value, lost["max_losses"].value) == (0, 3)
    assert won["profit_factor"].value is None
    assert lost["profit_factor"].value == 0
    assert won["average_loss"].reason == won["largest_loss"].reason == "no losing trade"
    assert lost["average_win"].reason == lost["largest_win"].reason == "no winning trade"


def test_constant_equity_has_no_sharpe_sortino_or_drawdown() -> None:
    found = score(book(rows(path=[equity(24 * d, 100 * DOLLAR) for d in range(9)])))
    assert found["sharpe"].reason == "the daily returns do not vary"
    assert found["sortino"].reason == "no day with a loss"
    assert found["max_drawdown"].value == "0.00"
    assert found["drawdown_days"].value == 0


def test_steady_growth_does_not_divide_by_rounding_noise() -> None:
    path = [equity(24 * d, 10 ** (6 - d) * 11 ** (d + 1)) for d in range(5)]
    assert score(book(rows(path=path, cash=10**7)))["sharpe"].value is None


def test_only_unsettled_positions_are_no_trades_but_count_in_equity() -> None:
    fills = [fill(0, 0, 1000, 4000, fee=170_000)]
    path = [equity(0, 100 * DOLLAR), equity(1, 99_330_000, locked=4 * DOLLAR)]
    plain = rows([order(0)], fills, (), path, unsettled=1, unsettled_value=3_500_000, determined=1)
    found = score(book(plain))
    assert found["unsettled"].value == found["determined"].value == 1
    assert found["unsettled_value"].value == "3.50"
    assert found["n_trades"].value == 0
    assert found["win_rate"].value is None
    assert found["net_pnl"].value == "-0.67"


def test_no_cash_and_lost_equity_give_reasons_not_infinities() -> None:
    broke = score(book(rows(cash=0, path=[equity(h, 0) for h in (0, 24, 48)])))
    assert broke["roi"].reason == broke["turnover"].reason == "initial cash is zero"
    assert broke["max_drawdown_pct"].reason == "the peak of equity is zero"
    assert "zero" in (broke["sharpe"].reason or "")


def test_a_number_that_is_not_finite_is_null_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = METRICS["roi"]
    endless = type(metric)(lambda _: math.inf, metric.unit, metric.weight, metric.doc)
    monkeypatch.setitem(METRICS, "roi", endless)
    found = score(book(rows()))["roi"]
    assert (found.value, found.reason) == (None, "not a finite number")


@pytest.mark.slow
@given(st.lists(st.integers(-(10**12), 10**12), max_size=12), st.integers(0, 10**12))
def test_any_trades_and_path_give_valid_json(results: list[int], cash: int) -> None:
    trades = [trade(i, pnl) for i, pnl in enumerate(results)]
    path = [equity(24 * i, cash + total) for i, total in enumerate(np.cumsum(results).tolist())]
    text = to_json(score(book(rows(trades=trades, path=path, cash=cash))))
    parsed = json.loads(text, parse_constant=pytest.fail)
    for row in parsed.values():
        told = set(row) - {"interval", "interval_reason"}
        assert told == {"value", "unit", "weight"} | ({"reason"} if row["value"] is None else set())
        assert ("interval_reason" in row) == ("interval" in row and row["interval"] is None)


def test_metrics_do_not_change_their_tables() -> None:
    given_book = book(random_rows(3))
    before = {name: getattr(given_book, name).clone() for name in ("orders", "fills", "equity")}
    score(given_book)
    assert all(getattr(given_book, name).equals(frame) for name, frame in before.items())


def test_the_same_book_gives_the_same_bytes() -> None:
    texts = {to_json(score(book(random_rows(5)))) for _ in range(3)}
    assert len(texts) == 1
