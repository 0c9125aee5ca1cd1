"""Snapshots, what changes between them, and the columns made of them."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt.schema import MARKETS, REFERENCES
from kalshi_bt.signals.leaderboard_board import (
    CHANGES,
    changes,
    contracts,
    named,
    rank_differences,
    ranked,
    snapshots,
)
from kalshi_bt.signals.leaderboard_names import code
from tests.quotes_random import START
from tests.signals.naive_leaderboard import changed

FIELDS = {
    "organization": pl.String,
    **dict.fromkeys(
        ("rank", "rank_ub", "score", "low", "high", "votes", "preliminary"), pl.Float64
    ),
}
Row = dict[str, Any]


def board(*hours: list[Row]) -> pl.DataFrame:
    rows = [
        {"time": START + timedelta(hours=h), "organization": "A", "votes": 900.0, **row}
        for h, snapshot in enumerate(hours)
        for row in snapshot
    ]
    schema: Any = {"time": pl.Datetime("us", "UTC"), "model": pl.String, **FIELDS}
    extra = {"win_rate": pl.Float64, "battles": pl.Float64, "release_date": pl.String}
    return pl.DataFrame(rows, schema=schema | {k: v for k, v in extra.items() if k in rows[0]})


def at(model: str, rank: float, score: float, **more: Any) -> Row:
    return {"model": model, "rank": rank, "rank_ub": rank, "score": score} | more


def types(found: pl.DataFrame) -> list[tuple[str, str, str]]:
    return list(found.select("event_type", "model", "urgency").iter_rows())


def test_the_first_snapshot_says_nothing() -> None:
    assert changes(board([at("a", 1, 1500)])).height == 0
    assert changes(board([at("a", 1, 1500)]).clear()).schema == pl.Schema(CHANGES)


def test_changes_by_hand() -> None:
    old = [at("a", 1, 1500), at("b", 2, 1490), at("c", 3, 1480), at("d", 4, 1470)]
    new = [at("a", 2, 1497), at("b", 1, 1498), at("c", 3, 1482.9), at("e", 1, 1469)]
    found = changes(board(old, new))
    assert types(found) == [
        ("new_leader", "b", "HIGH"),
        ("ranking_change", "a", "HIGH"),
        ("ranking_change", "b", "HIGH"),
        ("score_shift", "a", "MEDIUM"),
        ("score_shift", "b", "MEDIUM"),
        ("new_model", "e", "HIGH"),
        ("model_removed", "d", "LOW"),
    ]
    leader = found.row(0, named=True)
    assert (leader["previous"], leader["organization"], leader["source"]) == (
        "a",
        "A",
        "arena/text",
    )
    moved = found.row(2, named=True)
    assert (moved["old_rank_ub"], moved["rank_ub"], moved["old_score"]) == (2, 1, 1490)
    assert found["time"].unique().to_list() == [START + timedelta(hours=1)]


def test_a_removed_leader_stays_no_leader() -> None:
    """T18: the whole state is replaced, so that who is gone leads no more."""
    found = changes(board([at("a", 1, 1500), at("b", 2, 1490)], [at("b", 2, 1490)]))
    assert types(found) == [("new_leader", "b", "HIGH"), ("model_removed", "a", "LOW")]


def test_thresholds_of_shifts() -> None:
    old = [at("a", 1, 1500, win_rate=0.50, battles=100.0)]
    cases = [
        (at("a", 1, 1503.0, win_rate=0.50, battles=100.0), ["score_shift"]),
        (at("a", 1, 1502.9, win_rate=0.51, battles=100.0), ["pairwise_shift"]),
        (at("a", 1, 1500.0, win_rate=0.509, battles=100.0), []),
        (at("a", 1, 1500.0, win_rate=0.50, battles=101.0), ["pairwise_shift"]),
    ]
    for new, expected in cases:
        assert changes(board(old, [new]))["event_type"].to_list() == expected


def test_a_cutoff_leaves_lower_ranks_out() -> None:
    old = [at("a", 1, 1500), at("b", 20, 1300), at("c", 12, 1400)]
    new = [at("a", 1, 1500), at("b", 21, 1310), at("c", 9, 1410)]
    assert {m for _, m, _ in types(changes(board(old, new), cutoff=10))} == {"c"}


@pytest.mark.parametrize("seed", range(5))
def test_changes_equal_their_twin(seed: int) -> None:
    rng = np.random.Generator(np.random.Philox(key=[seed, 8]))
    hours = [
        [
            at(chr(97 + i), float(rng.integers(1, 4)), float(rng.integers(1490, 1500)), votes=5.0)
            for i in range(7)
            if rng.random() < 0.8
        ]
        for _ in range(6)
    ]
    found = changes(board(*hours))
    for h in range(1, 6):
        own = found.filter(time=START + timedelta(hours=h))
        expected = changed(hours[h - 1], hours[h])
        assert list(own.select("event_type", "model").iter_rows()) == expected


def references(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a board as rows of the references table."""
    numbers = [name for name in FIELDS if name != "organization"]
    long = [
        frame.select(
            "time", "model", field=pl.lit(n), value=pl.col(n), text=pl.lit(None, pl.String)
        )
        for n in numbers
    ]
    words = frame.select(
        "time",
        "model",
        field=pl.lit("organization"),
        value=pl.lit(None, pl.Float64),
        text="organization",
    )
    made = pl.concat([*long, words]).rename({"model": "symbol"})
    return REFERENCES.filled(
        made.filter(pl.col("value").is_not_null() | pl.col("text").is_not_null())
        .with_columns(source=pl.lit("arena/text"))
        .select(list(REFERENCES.columns))
    )


def test_snapshots_come_back_from_references() -> None:
    rows = [at("b", 2, 1490, low=1480.0, high=1500.0), at("a", 1, 1500)]
    frame = board(rows, rows[:1])
    found = snapshots(references(frame))
    assert found.select(frame.columns).equals(frame.sort("time", "model"))


def test_places_of_a_board() -> None:
    rows = [at("b", 2, 1490, low=1480.0, high=1500.0, organization="Moonshot AI"), at("a", 1, 1500)]
    made = ranked(board(rows, rows[:1]), 3)
    now = START + timedelta(hours=1)
    told = {
        (r["time"] == now, r["symbol"], r["field"]): r["value"] for r in made.iter_rows(named=True)
    }
    assert told[False, "1", "model"] == code("a")
    assert told[False, "2", "organization"] == code("moonshot")
    assert (told[False, "2", "low"], told[False, "1", "low"]) == (1480, 1500)
    # The later board has one model: the places it leaves are empty, not the old ones.
    assert told[True, "1", "model"] == code("b")
    assert told[True, "2", "score"] is None
    assert told[True, "3", "model"] is None


def test_whose_a_model_is_follows_from_its_name_where_it_is_not_stated() -> None:
    rows = [at("claude-x", 1, 1500, organization=None), at("nobodys", 2, 1490, organization=None)]
    made = ranked(board(rows), 2).filter(field="organization").sort("symbol")
    assert made["value"].to_list() == [code("anthropic"), None]
    stated = ranked(board([at("claude-x", 1, 1500, organization="Some Lab")]), 1)
    assert stated.filter(field="organization")["value"].to_list() == [code("some")]


def test_equal_scores_are_placed_by_name() -> None:
    made = ranked(board([at("b", 1, 1500), at("a", 1, 1500)]), 2)
    first = made.filter(field="model", symbol="1")["value"][0]
    assert first == code("a")


def test_displayed_ranks_that_are_another_number_are_flagged() -> None:
    """T18: a spread 1-3 read as its worst rank, 3, where the intervals give 1."""
    rows = [
        at("a", 1, 1506, low=1500.0, high=1512.0),
        at("b", 3, 1502, low=1495.0, high=1509.0),
        at("c", 3, 1486, low=1480.0, high=1492.0),
        at("d", 2, 1484, low=1470.0, high=1499.0),
    ]
    found = rank_differences(board(rows))
    assert found.select("model", "rank_ub", "computed").rows() == [("b", 3.0, 1)]
    assert rank_differences(board(rows).clear()).height == 0


def test_the_places_that_other_is_not_are_named() -> None:
    """A snapshot an hour, of which the second turns the board over; one contract comes later."""
    hour = timedelta(hours=1)
    order = ("a-1", "b-1", "c-1")
    snapshot = [
        [at(model, k + 1, 1_500 - 10 * k, organization=model[0]) for k, model in enumerate(models)]
        for models in (order, order[::-1], order)
    ]
    boards = board(*snapshot)
    facts = [
        ("KXTOPMODEL-E-A", "KXTOPMODEL", "a-1", START),
        ("KXTOPMODEL-E-C", "KXTOPMODEL", "c-1", START + hour / 2),
        ("KXTOPMODEL-E-O", "KXTOPMODEL", "Other", START),
        ("KXLLM1-E-B", "KXLLM1", "B", START),
        ("KXLLM1-E-O", "KXLLM1", "Other", START),
        ("KXLLM1-F-O", "KXLLM1", "Other", START),
    ]
    markets = pl.DataFrame(
        [
            {"ticker": t, "event": t[:-2], "series": s, "subtitle": n, "open_time": since}
            | {"close_time": START + hour * 1.5}
            for t, s, n, since in facts
        ],
        schema=MARKETS.columns,
    )
    found = named(ranked(boards, 3), markets).sort("symbol", "time")
    assert found.select("source", "field").unique().rows() == [("contract", "named")]
    told = {
        ticker: [((t - START) / hour, v) for t, v in own.select("time", "value").iter_rows()]
        for (ticker,), own in found.partition_by("symbol", as_dict=True).items()
    }
    assert told == {
        # a is first, then c is listed, which is third; then they change places.
        "KXTOPMODEL-E-O": [(0, 1), (0.5, 5), (1, 5)],
        "KXLLM1-E-O": [(0, 2), (1, 2)],
        "KXLLM1-F-O": [(0, 0), (1, 0)],
    }


def test_contracts_name_models_and_organisations() -> None:
    facts = [
        ("KXTOPMODEL-25AUG-GPT5H", "KXTOPMODEL", "gpt-5-high"),
        ("KXLLM1-25AUG31-A", "KXLLM1", "Claude"),
        ("KXLLM1-25AUG31-O", "KXLLM1", "Other"),
        ("KXTOPAI-26-JAN01-Z", "KXTOPAI", "Zhipu AI"),
    ]
    markets = pl.DataFrame(
        [{"ticker": t, "series": s, "subtitle": n, "open_time": START} for t, s, n in facts],
        schema=MARKETS.columns,
    )
    found = contracts(markets)
    assert dict(found.select("symbol", "value").iter_rows()) == {
        "KXTOPMODEL-25AUG-GPT5H": code("gpt-5-high"),
        "KXLLM1-25AUG31-A": code("anthropic"),
        "KXLLM1-25AUG31-O": 0.0,
    }
    assert found["time"].unique().to_list() == [START]
