"""Books in which numbers do not exist: null with a reason or right, never NaN, never a crash."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metric_rows import DOLLAR, Plain, book, context, equity, fill, forecast, order, rows, trade

from kalshi_bt.metrics import METRICS, Moments, score, tables, to_json
from kalshi_bt.metrics.equity import daily_returns
from kalshi_bt.metrics.track_record import daily_moments

# --- the books every run may meet -----------------------------------------------------------------


def ended(pnl: list[int], events: list[str], **more: Any) -> Plain:
    """A run of these trades, one a day, with the equity they leave."""
    trades = [
        trade(i, p, ticker=f"M{i}", event=e, exit_hour=24 * i)
        for i, (p, e) in enumerate(zip(pnl, events, strict=True))
    ]
    path = [equity(24 * i, 100 * DOLLAR + sum(pnl[: i + 1])) for i in range(len(pnl))]
    return rows(trades=trades, path=path, **more)


APART = [f"E{i}" for i in range(40)]
BOOKS: dict[str, Plain] = {
    "empty": rows(),
    "broke": rows(cash=0, path=[equity(24 * d, 0) for d in range(20)]),
    "one trade": ended([DOLLAR], ["E"]),
    "all wins": ended([DOLLAR] * 40, APART),
    "all losses": ended([-DOLLAR] * 40, APART),
    "all pushes": ended([0] * 40, APART),
    "one event": ended([2 * DOLLAR, -DOLLAR] * 20, ["E"] * 40),
    "constant equity": rows(path=[equity(24 * d, 100 * DOLLAR) for d in range(40)]),
    "unresolved only": rows(
        [order(0)],
        [fill(0, 0, 1000, 4000, fee=170_000)],
        path=[equity(24 * d, 99 * DOLLAR, locked=4 * DOLLAR) for d in range(40)],
        forecasts=[forecast(f"M{i}", 0.4, 0.5, None) for i in range(9)],
        unsettled=1,
    ),
    "never wrong": rows(forecasts=[forecast(f"M{i}", i % 2, i % 2, i % 2) for i in range(9)]),
    "never right": rows(forecasts=[forecast(f"M{i}", 1.0, 0.0, i % 2) for i in range(9)]),
    "always yes": rows(forecasts=[forecast(f"M{i}", 0.3, 0.4, 1.0) for i in range(9)]),
    "scalar only": rows(forecasts=[forecast(f"M{i}", 0.3, 0.4, 0.25) for i in range(9)]),
    "not a probability": rows(forecasts=[forecast("M", math.nan, 1.5, 1.0)]),
}


@pytest.mark.parametrize("name", BOOKS)
def test_every_number_is_right_or_null_with_a_reason(name: str) -> None:
    sound(BOOKS[name])


def test_nothing_flatters_where_there_is_nothing() -> None:
    neutral = dict.fromkeys(("psr_2012", "psr_2025", "deflated_sharpe"), 0.5)
    neutral |= dict.fromkeys(
        ("sharpe", "sortino", "sharpe_lo", "win_rate", "win_rate_excess", "profit_factor", "roi",
         "return_locked", "return_locked_annual", "roi_stake", "e_value", "brier", "brier_skill",
         "log_loss", "cox_slope", "mincer_zarnowitz_p", "expectancy", "net_without_best_event"),
        0.0,
    )  # fmt: skip
    for name in ("empty", "broke", "constant equity", "unresolved only"):
        found = score(book(BOOKS[name]))
        for metric, level in neutral.items():
            value = found[metric].value
            assert value is None or float(value) <= level, (name, metric)


def test_wins_only_have_no_end_of_profit_and_no_certain_interval() -> None:
    found = score(book(BOOKS["all wins"]))
    assert found["profit_factor"].reason == "no losing trade"
    assert found["sortino"].reason == "no day with a loss"
    assert all(found[name].interval is None for name in ("net_pnl", "win_rate", "expectancy"))


def test_pushes_are_no_wins_and_no_losses() -> None:
    found = score(book(BOOKS["all pushes"]))
    assert (found["pushes"].value, found["n_wins"].value, found["n_losses"].value) == (40, 0, 0)
    assert found["expectancy"].value == "0.00"
    assert found["e_value"].value == pytest.approx(1)
    for name in ("win_rate", "win_rate_excess", "permutation_p", "top_event_share", "power_trades"):
        assert found[name].reason, name


def test_one_event_is_one_bet() -> None:
    found = score(book(BOOKS["one event"]))
    assert found["n_clusters"].value == found["top_event_share"].value == 1
    assert found["net_without_best_event"].reason == "all trades are of one event"
    for name in ("net_pnl", "win_rate", "expectancy"):
        assert "1 independent cluster" in (found[name].interval_reason or "")


# --- any small book -------------------------------------------------------------------------------

prices = st.sampled_from([None, 0.0, 0.01, 0.3, 0.5, 0.99, 1.0])
amounts = st.one_of(st.sampled_from([0, 1, -1, DOLLAR, -DOLLAR]), st.integers(-(10**11), 10**11))


@st.composite
def small_books(draw: st.DrawFn) -> Plain:
    trades, contexts = [], []
    for i in range(draw(st.integers(0, 12))):
        more = {
            "ticker": f"M{draw(st.integers(0, 9))}",
            "event": f"E{draw(st.integers(0, 6))}",
            "fees": draw(st.integers(0, DOLLAR)),
            "quantity": draw(st.sampled_from([1, 100, 10**6])),
            "exit_reason": draw(st.sampled_from(["target", "settlement"])),
        }
        stake, hour = draw(st.integers(0, 10**10)), draw(st.integers(0, 400))
        trades.append(trade(i, draw(amounts), stake=stake, exit_hour=hour, **more))
        if draw(st.booleans()):
            settled = draw(st.sampled_from([None, 500, 501]))
            contexts.append(context(i, settled, gross_mid=0.1, spread=0.0, slippage=-0.1))
    steps = draw(st.lists(amounts, max_size=20))
    cash = draw(st.sampled_from([0, 1, 100 * DOLLAR]))
    path = [equity(17 * i, cash + step, abs(step)) for i, step in enumerate(steps)]
    opinions = [
        forecast(
            f"F{i:02}",
            draw(prices),
            draw(prices),
            draw(st.sampled_from([None, 0.0, 1.0, 0.5])),
            f"E{draw(st.integers(0, 9))}",
            draw(st.sampled_from([None, 1, 2, 3])),
        )
        for i in range(draw(st.integers(0, 14)))
    ]
    trials = draw(st.lists(st.sampled_from([None, 0.0, 0.1, -3.0]), max_size=4))
    return rows((), (), trades, path, cash, contexts, opinions, trials=trials)


@pytest.mark.slow
@given(small_books())
def test_any_small_book_gives_numbers_or_reasons(plain: Plain) -> None:
    sound(plain)


def sound(plain: Plain) -> None:
    """Check every number, interval and table of a book, and the text they become."""
    found = score(book(plain))
    assert list(found) == list(METRICS)
    for name, s in found.items():
        assert (s.value is None) == bool(s.reason), name
        assert not isinstance(s.value, float) or math.isfinite(s.value), name
        if s.interval is not None:
            assert -math.inf < float(s.interval.low) <= float(s.interval.high) < math.inf, name
            assert s.interval.n_clusters >= 5, name
            assert s.value is not None, name
        if s.unit == "probability" or name in {"psr_2012", "psr_2025", "deflated_sharpe"}:
            assert s.value is None or 0 <= float(s.value) <= 1, name
    json.loads(to_json(found), parse_constant=pytest.fail)
    for table in tables(book(plain)).values():
        for column in table.iter_columns():
            assert not column.dtype.is_float() or column.drop_nulls().is_finite().all(), column


def test_a_sharpe_ratio_without_error_has_a_reason() -> None:
    # ten returns of two values: 1 - skew SR + (kurtosis - 1)/4 SR^2 = (1 - 4/3 SR)^2 is 0 at 3/4
    drawn = book(rows())
    shape = Moments(n=10, mean=0.75, sd=1.0, sharpe=0.75, skew=8 / 3, kurtosis=1 + 64 / 9)
    drawn._known.update({daily_moments: shape, daily_returns: [0.0] * 9 + [1.0]})
    found = score(drawn, intervals=False)
    assert "no variance" in (found["psr_2012"].reason or "")
    assert found["psr_2025"].value is not None
