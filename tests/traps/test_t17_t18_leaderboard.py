"""T17 probabilities without sum or time, T18 who leads when models tie."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from kalshi_bt.signals.leaderboard import Leaderboard, resolve_top_model
from kalshi_bt.signals.leaderboard_board import changes, rank_differences
from kalshi_bt.signals.leaderboard_names import code
from kalshi_bt.signals.leaderboard_odds import rank_upper_bounds
from kalshi_bt.signals.leaderboard_rules import standing
from tests.panel_rows import at
from tests.quotes_random import START, flat

# --- T17 ------------------------------------------------------------------------------------------

BOARD = (("m-1", 1504.0, 9.0), ("m-2", 1501.0, 8.0), ("n-1", 1500.0, 5.0), ("o-1", 1490.0, 6.0))
RANK_TABLE = {1: 0.65, 2: 0.22, 3: 0.10, 4: 0.06, 5: 0.04}


def event(days: float) -> pl.LazyFrame:
    """A bar of a market on each model of the board, so many days before the check."""
    told: dict[str, float | None] = dict.fromkeys(
        need.column for need in Leaderboard().references[1:]
    )
    for place, (name, score, half) in enumerate(BOARD, 1):
        told |= {f"board_{place}_score": score, f"board_{place}_model": code(name)}
        told |= {f"board_{place}_low": score - half, f"board_{place}_high": score + half}
    close = START + timedelta(minutes=1, days=days)
    rows = [
        flat([None], ticker=f"T{n}", series="KXTOPMODEL", close_time=close).with_columns(
            pl.lit(value, dtype=pl.Float64).alias(column)
            for column, value in {**told, "contract_name": code(name)}.items()
        )
        for n, (name, _, _) in enumerate(BOARD)
    ]
    return pl.concat(rows).lazy()


def fairs(days: float, **options: Any) -> list[float]:
    signal = Leaderboard(hazard=0.0, **options)
    return signal(event(days)).collect()["fair"].to_list()


def naive_fairs(days: float) -> list[float]:
    """A table by best rank; what is known of the check does not enter."""
    assert days >= 0
    low = [score - half for _, score, half in BOARD]
    ranks = rank_upper_bounds(low, [score + half for _, score, half in BOARD])
    return [RANK_TABLE[int(rank)] for rank in ranks]


@pytest.mark.parametrize("days", [0.1, 1.0, 30.0, 365.0])
def test_t17_the_probabilities_of_an_event_sum_to_one(days: float) -> None:
    assert sum(fairs(days)) == pytest.approx(1, abs=1e-3)
    assert sum(naive_fairs(days)) > 1.9


def test_t17_probabilities_sharpen_as_the_check_comes_near() -> None:
    years = (365.0, 30.0, 7.0, 1.0)
    # Published errors apart, the lead of today decides at the check.
    leader = [fairs(days, error_days=10.0)[0] for days in years]
    assert leader == sorted(leader)
    assert leader[-1] > leader[0] + 0.3
    last = [fairs(days, error_days=10.0)[-1] for days in years]
    assert last == sorted(last, reverse=True)
    assert len({tuple(naive_fairs(days)) for days in years}) == 1


# --- T18 ------------------------------------------------------------------------------------------


def model(name: str, **values: Any) -> dict[str, Any]:
    return {"model": name, "rank_ub": 1, "score": 1500.0, "votes": 9_000} | values


def naive_top(rows: list[dict[str, Any]]) -> str:
    """Sorts by rank, score, votes and the words of the release date."""
    return str(min(
        rows,
        key=lambda row: (
            row["rank_ub"], -row["score"], -row["votes"],
            row.get("release_date") or "9999-12-31", row["model"],
        ),
    )["model"])  # fmt: skip


def test_t18_release_dates_are_dates() -> None:
    """As a word, 11/20/2025 comes before every year."""
    rows = [model("b", release_date="2025-02-01"), model("a", release_date="11/20/2025")]
    assert resolve_top_model(rows) == "b"
    assert naive_top(rows) == "a"


def test_t18_dates_that_may_overlap_decide_nothing() -> None:
    """March the fourth or April the third, against the middle of March; a month against a day."""
    for early, late in (("03/04/2025", "2025-03-15"), ("2025-03", "2025-03-15")):
        rows = [model("a", release_date=early), model("b", release_date=late)]
        assert resolve_top_model(rows) is None
        assert standing(rows).undecided == ("a", "b")
        assert naive_top(rows) == "a"


def test_t18_a_score_that_is_no_number_is_the_lowest() -> None:
    """Nothing compares with NaN, so that a sort leaves it where it stood."""
    rows = [model("a", score=float("nan"), votes=1), model("b", score=1400.0)]
    for order in (rows, rows[::-1]):
        assert resolve_top_model(order) == "b"
    assert naive_top(rows) != naive_top(rows[::-1])


def test_t18_votes_below_nought_are_none() -> None:
    rows = [model("a", votes=-5, release_date="2025-01-01"),
            model("b", votes=0, release_date="2025-02-01")]  # fmt: skip
    assert resolve_top_model(rows) == "a"
    assert naive_top(rows) == "b"


def snapshots(*boards: list[dict[str, Any]]) -> pl.DataFrame:
    columns = ("organization", "rank", "rank_ub", "score", "low", "high", "votes", "preliminary")
    rows = [
        dict.fromkeys(columns) | {"time": at(60 * n), "organization": "X"} | row
        for n, board in enumerate(boards)
        for row in board
    ]
    types = dict.fromkeys(columns[1:], pl.Float64)
    return pl.DataFrame(rows, schema_overrides=types).with_columns(
        pl.col("time").cast(pl.Datetime("us", "UTC"))
    )


def naive_leader(*boards: list[dict[str, Any]]) -> str:
    """Updates the rows that a snapshot has, and keeps those it has no more."""
    state: dict[str, dict[str, Any]] = {}
    for board in boards:
        state |= {row["model"]: row for row in board}
    return naive_top(list(state.values()))


def test_t18_a_model_that_is_gone_leads_no_more() -> None:
    before = [model("a", score=1510.0), model("b", rank_ub=2)]
    after = [model("b"), model("c", rank_ub=2, score=1450.0)]
    found = changes(snapshots(before, after))
    led = found.filter(pl.col("event_type") == "new_leader")
    assert "b" in led.row(0)
    assert found.filter(pl.col("event_type") == "model_removed").height == 1
    assert naive_leader(before, after) == "a"


def naive_rank_ub(displayed: str) -> int:
    """Takes the end of a spread such as 1-13 for the best rank."""
    return int(displayed.rsplit("-", maxsplit=1)[-1])


def test_t18_the_best_rank_comes_from_the_intervals() -> None:
    """A spread of 1-3 allows the first rank; read as the third, another model leads."""
    low, high = [1500.0, 1495.0, 1480.0, 1470.0], [1512.0, 1509.0, 1492.0, 1499.0]
    assert rank_upper_bounds(low, high).tolist() == [1, 1, 3, 2]
    spreads = ("1-3", "1-2", "3-4", "2-4")
    wrong = [naive_rank_ub(spread) for spread in spreads]
    assert wrong == [3, 2, 4, 4]
    names, scores = ("a", "b", "c", "d"), [(x + y) / 2 for x, y in zip(low, high, strict=True)]
    rows = [
        {"model": name, "rank_ub": float(rank), "score": score, "low": x, "high": y}
        for name, rank, score, x, y in zip(names, wrong, scores, low, high, strict=True)
    ]
    computed = rank_upper_bounds(low, high)
    right = [row | {"rank_ub": int(rank)} for row, rank in zip(rows, computed, strict=True)]
    assert resolve_top_model(right) == "a"
    assert resolve_top_model(rows) == "b"
    flagged = rank_differences(snapshots(rows))
    assert flagged["model"].to_list() == ["a", "b", "c", "d"]
    assert flagged["computed"].to_list() == [1, 1, 3, 2]
