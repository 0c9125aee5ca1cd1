"""When two answers differ, and where first."""

from datetime import timedelta

import polars as pl
import pytest

from kalshi_bt.lookahead.compare import first_moved, moved, rows_differ
from tests.quotes_random import START

NAN = float("nan")
INF = float("inf")


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        (0.5, 0.5, False),
        (0.5, 0.5 + 1e-12, False),
        (0.5, 0.5 + 1e-8, True),
        (None, None, False),
        (None, 0.5, True),
        (0.5, None, True),
        (NAN, NAN, False),
        (None, NAN, True),
        (NAN, 0.5, True),
        (INF, INF, False),
        (INF, -INF, True),
    ],
)
def test_floats_differ(before: float | None, after: float | None, *, differs: bool) -> None:
    a, b = (pl.Series([0.1, value, 0.2], dtype=pl.Float64) for value in (before, after))
    assert moved(a, b).tolist() == [False, differs, False]
    assert moved(b, a).tolist() == [False, differs, False]


def test_sides_flags_and_times_differ() -> None:
    assert moved(pl.Series([1, None], dtype=pl.Int8), pl.Series([1, -1], dtype=pl.Int8))[1]
    assert not moved(pl.Series([True, None]), pl.Series([True, None])).any()
    times = pl.Series([START, START])
    assert moved(times, times + timedelta(seconds=1)).all()


def answer(*fair: float | None, **columns: list[float | None]) -> pl.DataFrame:
    """Two markets whose bars are a minute apart, B's before A's."""
    n = len(fair)
    times = [START + timedelta(minutes=(i * 7) % n) for i in range(n)]
    tickers = ["A" if i < n // 2 else "B" for i in range(n)]
    kinds = dict.fromkeys(("fair", *columns), pl.Float64)
    made = {"ticker": tickers, "time": times, "fair": list(fair), **columns}
    return pl.DataFrame(made, schema_overrides=kinds)


def test_the_earliest_bar_is_named_and_all_that_moved_are_counted() -> None:
    before = answer(0.1, 0.2, 0.3, 0.4)
    after = answer(0.1, 0.9, 0.9, None)
    found = first_moved("truncate", "", before, after, ["fair"])
    assert found is not None
    moments = before["time"].to_list()
    assert found.time == min(moments[1:])
    assert found.rows == 3
    row = moments.index(found.time)
    assert (found.before, found.after) == (before["fair"][row], after["fair"][row])


def test_a_column_that_only_one_answer_has_counts_where_it_says_something() -> None:
    before = answer(0.1, 0.2, stop=[None, 0.05])
    assert first_moved("order", "", before.drop("stop"), before.drop("stop"), ["stop"]) is None
    found = first_moved("order", "", before, before.drop("stop"), ["fair", "stop"])
    assert found is not None
    assert (found.column, found.before, found.after) == ("stop", 0.05, None)


@pytest.mark.parametrize("rows", [[0, 1, 2], [0, 1, 2, 3, 3], [1, 0, 2, 3]])
def test_rows_that_are_lost_added_or_reordered_are_a_difference(rows: list[int]) -> None:
    before = answer(0.1, 0.2, 0.3, 0.4)
    found = rows_differ("rows", "", before, before[rows])
    assert found is not None
    assert found.column == "rows"
    assert found.rows == (2 if rows[0] else 1)
    assert rows_differ("rows", "", before, before) is None
