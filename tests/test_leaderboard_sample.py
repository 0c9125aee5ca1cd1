"""Invented quotes on given boards: no future in them, and outcomes by the rule alone."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from board_rows import CALM, START, boards

from kalshi_bt import cli, schema
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.leaderboard_events import MAKERS, MODELS
from kalshi_bt.leaderboard_sample import quoted_boards
from kalshi_bt.terminal import invoke


def paid(tables: dict[str, pl.DataFrame], series: str, day: str) -> list[str]:
    """Return what the winning contracts of an event are about."""
    won = tables["settlements"].filter(pl.col("result") == "yes")
    both = tables["markets"].join(won, on="ticker").filter(event=f"{series}-{day}")
    return sorted(both["subtitle"])


def test_tables_are_whole_and_every_title_says_synthetic() -> None:
    tables = quoted_boards(boards(*[CALM] * 7), seed=1)
    for name, frame in tables.items():
        assert schema.STORED[name].check(frame).height
    markets = tables["markets"]
    assert markets["title"].str.contains(r"\(synthetic\)$").all()
    assert markets["series"].str.starts_with("SYN").all()
    assert set(markets["event"]) == {f"{s}-26FEB0{d}" for s in (MODELS, MAKERS)
                                     for d in (2, 3)}  # fmt: skip
    bars = tables["candles"].join(markets, on="ticker")
    assert (bars["bid_close"].fill_null(0) < bars["ask_close"].fill_null(10_000)).all()
    assert (bars["time"] > bars["open_time"]).all()
    assert (bars["time"] <= bars["close_time"]).all()
    assert bars.group_by("ticker").len()["len"].unique().to_list() == [24]


def test_the_leader_at_the_check_wins_and_only_then() -> None:
    """Checks are at 15:00 UTC; at the first of them the fourth board has just come."""
    swapped = CALM | {"x-1": 1510.0}
    told = quoted_boards(boards(*[CALM] * 3, swapped, *[CALM] * 3))
    assert paid(told, MODELS, "26FEB02") == ["x-1"]
    assert paid(told, MAKERS, "26FEB02") == ["grok"]
    assert paid(told, MODELS, "26FEB03") == ["a-1"]
    assert paid(told, MAKERS, "26FEB03") == ["claude"]


def test_a_leader_who_was_not_listed_is_other() -> None:
    entered = CALM | {"z-9": 1520.0}
    told = quoted_boards(boards(*[CALM] * 3, *[entered] * 4))
    assert paid(told, MODELS, "26FEB02") == ["Other"]
    assert paid(told, MAKERS, "26FEB02") == ["Other"]
    assert paid(told, MODELS, "26FEB03") == ["z-9"]
    assert paid(told, MAKERS, "26FEB03") == ["glm"]


def test_the_rule_decides_what_a_tie_pays() -> None:
    """Two of one organisation whose intervals overlap."""
    tied = {"g-1": 1500.0, "g-2": 1499.0, "a-1": 1400.0}
    told = {rule: quoted_boards(boards(*[tied] * 5), rule=rule) for rule in
            ("cascade", "alone", "organization", "ties_win")}  # fmt: skip
    models = {rule: paid(tables, MODELS, "26FEB02") for rule, tables in told.items()}
    assert models == {
        "cascade": ["g-1"],
        "alone": [],
        "organization": ["g-1", "g-2"],
        "ties_win": ["g-1", "g-2"],
    }
    makers = {rule: paid(tables, MAKERS, "26FEB02") for rule, tables in told.items()}
    assert makers == {rule: ["gemini"] if rule != "alone" else [] for rule in told}
    exclusive = told["ties_win"]["markets"]["mutually_exclusive"]
    assert not exclusive.any()
    assert told["cascade"]["markets"]["mutually_exclusive"].all()


@pytest.mark.parametrize("hours", [20, 30, 44])
def test_no_quote_knows_a_board_to_come(hours: int) -> None:
    known = 1 + hours // 12
    change = {"a-1": 1400.0, "g-1": 1590.0, "g-2": 1480.0, "x-1": 1550.0}
    one, other = (
        quoted_boards(boards(*[CALM] * known, *[later] * (7 - known)))
        for later in (CALM, change)
    )  # fmt: skip
    end = START + timedelta(hours=12 * known)
    early = [t["candles"].filter(pl.col("time") < end) for t in (one, other)]
    assert early[0].height
    assert early[0].equals(early[1])
    assert not one["candles"].equals(other["candles"])


def test_more_boards_leave_earlier_events_as_they_were() -> None:
    short, long = (quoted_boards(boards(*[CALM] * count), seed=3) for count in (5, 9))
    for name in ("candles", "markets", "settlements"):
        own = pl.Series(short["markets"]["ticker"]).implode()
        assert short[name].equals(long[name].filter(pl.col("ticker").is_in(own)))


def test_rows_follow_from_the_seed_alone() -> None:
    one, again, other = (quoted_boards(boards(*[CALM] * 5), seed=s)["candles"] for s in (1, 1, 2))
    assert one.equals(again)
    assert not one.equals(other)


def test_quotes_of_an_event_are_about_one_dollar() -> None:
    """Beliefs sum to one and lie between bid and ask, four cents apart at most."""
    bars = quoted_boards(boards(*[CALM] * 5))["candles"]
    sides = (pl.col("bid_close").fill_null(0), pl.col("ask_close").fill_null(10_000))
    whole = bars.with_columns(event=pl.col("ticker").str.extract("^(.+)-[^-]+$", 1)).filter(
        (pl.col("bid_close").is_not_null() | (pl.col("ask_close") <= 400))
        .all()
        .over("event", "time")
        & pl.col("ask_close").is_not_null().all().over("event", "time")
    )
    sums = whole.group_by("event", "time").agg(*(s.cast(pl.Int64).sum().alias(n)
        for s, n in zip(sides, ("bid", "ask"), strict=True)))  # fmt: skip
    assert sums.height > 20
    assert (sums["bid"] <= 10_000).all()
    assert (sums["ask"] >= 10_000).all()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"days": 0}, "days is 0"),
        ({"listed": 1}, "listed is 1"),
        ({"rule": "cascades"}, "cascade"),
        ({"rule": "any_day"}, "one that counts one"),
    ],
)
def test_what_cannot_be_made_is_refused(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        quoted_boards(boards(*[CALM] * 5), **asked)


def test_boards_that_are_too_few_are_named() -> None:
    with pytest.raises(DataError, match="cover more days"):
        quoted_boards(boards(CALM, CALM))
    with pytest.raises(DataError, match="arena/text"):
        quoted_boards(schema.REFERENCES.empty())


@pytest.mark.slow
def test_the_command_makes_a_dataset_on_which_the_strategy_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.create(tmp_path / "boards", name="boards")
    store.commit({"references": boards(*[CALM] * 7)})
    words = ["sample", "--boards", str(tmp_path / "boards"), "--into", str(tmp_path / "quoted")]
    assert invoke(cli.app, [*words, "--seed", "4"]) == 0
    assert Store.open(tmp_path / "quoted").synthetic
    assert invoke(cli.app, words) == 2
    assert "already holds a dataset" in capsys.readouterr().err
    run = ["run", "--strategy", "leaderboard", "--data", str(tmp_path / "quoted")]
    assert invoke(cli.app, [*run, "--out", str(tmp_path / "out"), "--json"]) == 0
    assert "SYNTHETIC" in next((tmp_path / "out").glob("*/report.txt")).read_text("utf-8")
