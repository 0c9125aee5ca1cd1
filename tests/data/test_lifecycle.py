"""A result goes its way: what may follow what, what is set aside, and when a payout is known."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from kalshi_bt.data.lifecycle import judged, payouts, sift_steps
from kalshi_bt.schema import DETERMINATIONS

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
Said = tuple[str, int | None]
STATES: list[Said] = [
    ("determined", 0),
    ("determined", 10_000),
    ("disputed", None),
    ("amended", 0),
    ("amended", 10_000),
    ("finalized", 0),
    ("finalized", 10_000),
]


def path(*said: Said, ticker: str = "A", start: int = 0) -> pl.DataFrame:
    rows = [
        (ticker, NOON + timedelta(hours=start + n), status, payout)
        for n, (status, payout) in enumerate(said)
    ]
    return pl.DataFrame(rows, schema=DETERMINATIONS.columns, orient="row")


def faults(*said: Said) -> list[str | None]:
    return judged(path(*said))["fault"].to_list()


def documented(most: int) -> Iterator[list[Said]]:
    """Every way through the states as the exchange documents them, up to a number of disputes."""
    for disputes in range(most + 1):
        for turns in product(("amended", "determined"), repeat=disputes):
            said: list[Said] = [("determined", 0)]
            for n, turn in enumerate(turns):
                said += [("disputed", None), (turn, 10_000 * (n % 2 == 0))]
            yield [*said, ("finalized", said[-1][1])]


def test_every_documented_way_is_possible_from_any_place_on_it() -> None:
    for said in documented(3):
        for first in range(len(said)):
            assert faults(*said[first:]) == [None] * (len(said) - first), said[first:]


def test_a_dispute_that_nobody_saw_is_forgiven_on_the_way_forward() -> None:
    assert faults(("determined", 0), ("amended", 10_000), ("finalized", 10_000)) == [None] * 3
    assert faults(("amended", 10_000), ("amended", 0), ("finalized", 0)) == [None] * 3
    assert faults(("disputed", None), ("finalized", 0)) == [None] * 2


def test_what_contradicts_the_state_is_set_aside_and_changes_nothing() -> None:
    impossible = "impossible_step"
    assert faults(("determined", 0), ("determined", 10_000), ("finalized", 0)) == [
        None,
        impossible,
        None,
    ]
    assert faults(("amended", 0), ("determined", 0), ("amended", 0)) == [
        None,
        impossible,
        "repeated",
    ]
    for later in STATES[:5]:
        assert faults(("finalized", 0), later) == [None, impossible]
    assert faults(("finalized", 0), ("finalized", 10_000)) == [None, None]  # corrected


@given(st.lists(st.sampled_from(STATES), max_size=8))
def test_what_is_left_is_a_way_in_itself_and_ends_where_it_is_finalized(said: list[Said]) -> None:
    rows = judged(path(*said))
    left = [(s, p) for s, p, f in rows.select("status", "payout", "fault").rows() if f is None]
    assert faults(*left) == [None] * len(left)
    ends = [n for n, (status, _) in enumerate(left) if status == "finalized"]
    assert ends == list(range(len(left) - len(ends), len(left)))
    found = payouts(path(*said)).rows()
    if not ends:
        assert found == []
    else:
        (row,) = found
        assert row[2] == left[-1][1]
        assert row[1] == max(
            time
            for time, status, fault in rows.select("time", "status", "fault").rows()
            if status == "finalized" and fault is None
        )


def test_markets_do_not_know_of_each_other() -> None:
    one, two = path(("finalized", 0)), path(("determined", 0), ("finalized", 0), ticker="B")
    assert judged(pl.concat([one, two]))["fault"].to_list() == [None] * 3


def test_a_payout_is_known_when_it_is_finalized_and_not_before() -> None:
    said = path(("determined", 0), ("disputed", None), ("amended", 10_000), ("finalized", 10_000))
    assert payouts(said[:3]).is_empty()
    assert payouts(said).rows() == [("A", NOON + timedelta(hours=3), 10_000)]
    again = pl.concat([said, path(("finalized", 10_000), start=9)])
    assert payouts(again)["time"].to_list() == [NOON + timedelta(hours=3)]
    corrected = pl.concat([said, path(("finalized", 0), start=9)])
    assert payouts(corrected).rows() == [("A", NOON + timedelta(hours=9), 0)]


# --- rows that come later -------------------------------------------------------------------------


def test_new_rows_are_judged_with_those_that_are_stored() -> None:
    stored = path(("determined", 0), start=2)
    again = sift_steps(path(("determined", 0), start=5), stored)
    assert (again.good.height, again.bad.height, again.repeated) == (0, 0, 1)
    other = sift_steps(path(("determined", 10_000), start=5), stored)
    assert other.good.is_empty()
    assert other.bad.select("reason", "found").rows() == [
        ("impossible_step", "determined 10000 after determined 0")
    ]
    before = sift_steps(path(("determined", 10_000), ("disputed", None)), stored)
    assert (before.good.height, before.repeated) == (2, 0)


def test_the_same_rows_again_are_good_again() -> None:
    said = path(("determined", 0), ("finalized", 0))
    assert sift_steps(said, said).good.equals(said)


def test_other_columns_of_new_rows_stay() -> None:
    rows = path(("finalized", 0), ("determined", 0)).with_columns(place=pl.Series([7, 8]))
    found = sift_steps(rows, DETERMINATIONS.empty())
    assert found.good["place"].to_list() == [7]
    assert found.bad["place"].to_list() == [8]
