"""The documented longshot files on request: of the documented agents, and of a run."""

import csv
import json
import tomllib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kalshi_bt import cli, run
from kalshi_bt.data.store import Store
from kalshi_bt.longshot_csv import COUNTERS
from kalshi_bt.terminal import invoke
from tests.test_longshot_chain import tables

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

REF = [
    *("trade_n", "timestamp", "market_ticker", "action", "side", "yes_price", "entry_price_cents"),
    *("qty", "cost", "result", "payout", "pnl", "cash", "note"),
]
FIX = ["fee", "fill_time", "settle_time", "event"]
LONGSHOT = ["--strategy", "longshot", "--format", "longshot-csv", "--data"]
# A rule that trades in a day of the sample: every cell speaks, whatever it has seen.
TALKATIVE = [word for key in ("refit=3h", "kappa=0", "z=0", "gate=none") for word in ("--set", key)]
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def games(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Twelve games, each 15 c at its end and taken by NO 30 times; the first ends YES."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PAPER_DATA_DIR", raising=False)
    rows = [
        (f"KXNBAGAME-25NOV{i:02}AB-A", "no" if i > 1 else "yes", [(1500, -1)] * 30)
        for i in range(1, 13)
    ]
    markets, settlements, trades = tables([*rows, ("KXNFLGAME-1-A", "no", [(1500, -1)])])
    store = Store.create(tmp_path / "games", name="games")
    store.commit({"markets": markets, "settlements": settlements, "trades": trades})
    return "games"


def told(capsys: Captured, *words: str) -> dict[str, Any]:
    assert invoke(run.app, [*LONGSHOT, *words, "--json"]) == 0, capsys.readouterr().err
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert tuple(found["counters"]) == COUNTERS
    return found


def read(folder: str, name: str = "backtest_trades.csv") -> list[dict[str, str]]:
    with (Path(folder) / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- the documented agents ------------------------------------------------------------------------


def test_without_trades_the_documented_agents_say_what_they_lack(
    games: str, capsys: Captured, tmp_path: Path
) -> None:
    whole = Store.open(Path(games))
    rest = {name: whole.read(name) for name in ("markets", "settlements")}
    Store.create(tmp_path / "bare", name="bare").commit(rest)
    assert invoke(run.app, [*LONGSHOT, "bare", "--mode", "reference"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the documented agents judge by the table trades" in line
    assert line.endswith("import or download it as well, or leave out --mode reference")


def test_the_documented_agents_leave_their_files_and_counters(games: str, capsys: Captured) -> None:
    # 11 of 12 markets end NO: .9167 against .85, over 360 trades. Eleven contracts at 85 c cost
    # 9.35 and win 1.65; the one that ends YES is the first.
    assert invoke(cli.app, ["run", *LONGSHOT, games, "--mode", "reference"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:6] == [
        "processed 13", "bounced 1", "passed 0", "vetoed 0", "approved 12", "settled 12"
    ]  # fmt: skip
    folder = lines[-1].removeprefix("files: ")
    rows = read(folder)
    assert list(rows[0]) == [*REF, *FIX]
    first, second = rows[:2]
    assert [first[name] for name in ("qty", "cost", "payout", "pnl", "cash", "note")] == [
        "11", "9.3500", "0.0000", "-9.3500", "990.6500", "lost"
    ]  # fmt: skip
    assert (second["pnl"], second["cash"], second["fee"]) == ("1.6500", "992.3000", "0.0000")
    assert second["event"] == "KXNBAGAME-25NOV02AB"
    curve = read(folder, "backtest_equity.csv")
    assert list(curve[0]) == ["trade_n", "timestamp", "cash"]
    assert [row["cash"] for row in curve] == [row["cash"] for row in rows]
    book = json.loads((Path(folder) / "backtest_book.json").read_text("utf-8"))
    assert book == {
        "bankroll": 1000.0, "final_cash": 1008.8, "total_pnl": 8.8, "n_trades": 12, "n_wins": 11,
        "win_rate": 0.9167, "roi": 0.0088, "max_drawdown": 9.35,
    }  # fmt: skip
    decisions = (Path(folder) / "backtest_decisions.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["status"] for line in decisions] == ["APPROVED"] * 12


def test_flags_set_markets_bankroll_and_stake(games: str, capsys: Captured) -> None:
    flags = ("--n", "2", "--bankroll", "500.5", "--stake", "4.25")
    found = told(capsys, games, "--mode", "reference", *flags)
    assert found["counters"] == dict(zip(COUNTERS, (2, 0, 0, 0, 2, 2), strict=True))
    # Five contracts at 85 c cost 4.25.
    assert [row["cash"] for row in read(found["folder"])] == ["496.2500", "497.0000"]
    assert found["book"]["bankroll"] == 500.5


def test_the_later_revision_and_single_rules_are_parameters(games: str, capsys: Captured) -> None:
    later = ("--mode", "reference", "--set", "chain=later")
    found = told(capsys, games, *later)
    rows = read(found["folder"])
    # Kelly .0667 / .15 = .44 is capped at .15; a thousand times that is capped at 20 dollars.
    assert {(row["qty"], row["cost"]) for row in rows} == {("23", "19.5500")}
    found = told(capsys, games, *later, "--set", "chain.kelly_cap=0.01")
    assert {row["qty"] for row in read(found["folder"])} == {"11"}  # 10 dollars
    found = told(capsys, games, *later, "--set", "chain.traded=KXNFLGAME,KXNBAWINS")
    assert found["counters"]["bounced"] == 13
    found = told(capsys, games, "--mode", "reference", "--set", "chain.min_sample=400")
    assert found["counters"]["passed"] == 12


def test_a_configuration_of_the_agents_is_taken_back(games: str, capsys: Captured) -> None:
    words = ("--mode", "reference", "--set", "chain=later", "--set", "chain.traded=A,B", "--n", "7")
    first = told(capsys, games, *words)["folder"]
    config = Path(first) / "config.toml"
    assert tomllib.loads(config.read_text("utf-8"))["chain"]["traded"] == ["A", "B"]
    assert invoke(run.app, ["--config", str(config), "--out", "again", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["folder"]
    assert Path(again).name == Path(first).name
    for name in ("config.toml", "backtest_decisions.jsonl", "backtest_trades.csv"):
        assert (Path(again) / name).read_bytes() == (Path(first) / name).read_bytes()


def test_the_folder_of_the_files_may_be_named(
    games: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = (games, "--mode", "reference")
    own = told(capsys, *reference)["folder"]
    monkeypatch.setenv("PAPER_DATA_DIR", "by variable")
    assert told(capsys, *reference)["folder"] == "by variable"
    assert told(capsys, *reference, "--data-dir", "by/flag")["folder"] == "by/flag"
    for folder in ("by variable", "by/flag"):
        assert (Path(folder) / "backtest_trades.csv").read_bytes() == (
            Path(own) / "backtest_trades.csv"
        ).read_bytes()
        assert not list(Path(folder).glob(".*"))
    told(capsys, *reference, "--data-dir", "by/flag", "--n", "1")  # fresh, not appended
    assert len(read("by/flag")) == 1


# --- a run ----------------------------------------------------------------------------------------


def test_the_files_of_a_run_tell_its_round_trips_with_fees(
    one_day: Path, tmp_path: Path, capsys: Captured
) -> None:
    found = told(capsys, str(one_day), *TALKATIVE, "--n", "60", "--out", str(tmp_path))
    counters, folder = found["counters"], Path(found["folder"])
    assert counters["processed"] == 60
    parts = ("bounced", "passed", "vetoed", "approved")
    assert sum(counters[name] for name in parts) == counters["processed"]
    assert min(counters["approved"], counters["passed"]) > 0
    closed = pl.read_parquet(folder / "trades_closed.parquet")
    rows = read(str(folder))
    assert len(rows) == closed.height > 5
    assert counters["settled"] == closed.filter(pl.col("exit_reason") == "settlement").height
    assert list(rows[0]) == [*REF, *FIX]
    assert all(row[name] for row in rows for name in FIX)
    micro = 1_000_000
    for row in rows:
        entered = pl.lit(row["fill_time"]).str.to_datetime(time_zone="UTC")
        mine = (pl.col("ticker") == row["market_ticker"]) & (pl.col("entry_time") == entered)
        own = closed.filter(mine).row(0, named=True)
        assert float(row["fee"]) * micro == pytest.approx(own["fees"], abs=51)
        assert float(row["pnl"]) * micro == pytest.approx(own["pnl"], abs=51)
        assert row["fill_time"] < row["settle_time"]
    final = found["book"]["final_cash"] * micro
    assert final == pytest.approx(1_000 * micro + int(closed["pnl"].sum()), abs=51)
    assert found["book"]["bankroll"] == 1000.0
    assert (folder / "report.html").is_file()


@pytest.mark.slow
def test_the_run_ends_when_so_many_markets_are_settled(
    one_day: Path, tmp_path: Path, capsys: Captured
) -> None:
    ended = Store.open(one_day).read("settlements").sort("close_time", "ticker")
    for n in (1, 7, 40):
        found = told(capsys, str(one_day), "--n", str(n), "--out", str(tmp_path))
        written = tomllib.loads((Path(found["folder"]) / "config.toml").read_text("utf-8"))
        moment: Any = ended.head(n)["time"].max()
        assert written["to"] == moment.isoformat()
        fills = pl.read_parquet(Path(found["folder"]) / "fills.parquet")
        assert fills.filter(pl.col("time") > moment).is_empty()
        assert found["counters"]["processed"] >= n


@pytest.mark.slow
def test_a_stake_is_the_same_dollars_for_each_order(
    one_day: Path, tmp_path: Path, capsys: Captured
) -> None:
    words = [*TALKATIVE, "--n", "60", "--set", "valid_bars=3"]
    found = told(capsys, str(one_day), *words, "--stake", "5", "--out", str(tmp_path))
    folder = Path(found["folder"])
    costs = [float(row["cost"]) for row in read(str(folder))]
    assert costs
    assert max(costs) <= 5
    sizing = tomllib.loads((folder / "config.toml").read_text("utf-8"))["sizing"]
    assert sizing == {"method": "fixed_stake", "dollars": 5.0, "valid_bars": 3}
    again = ["--config", str(folder / "config.toml"), "--out", str(tmp_path / "again"), "--json"]
    assert invoke(run.app, again) == 0
    other = Path(json.loads(capsys.readouterr().out)["folder"])
    assert other.name == folder.name
    assert read(str(other)) == read(str(folder))


WRONG: list[tuple[list[str], list[str]]] = [
    (["--format", "longshot-cvs"], ["unknown format 'longshot-cvs'", "'longshot-csv'"]),
    (["--n", "5"], ["n is given", "--format longshot-csv"]),
    (["--stake", "5"], ["stake is given", "--format longshot-csv"]),
    (["--bankroll", "5"], ["--bankroll", "need --format longshot-csv"]),
    (["--data-dir", "x"], ["--data-dir", "need --format longshot-csv"]),
    (["--format", "longshot-csv", "--strategy", "bollinger"], ["files of longshot", "bollinger"]),
    (["--format", "longshot-csv", "--n", "0"], ["n is 0", "at least 1"]),
    (["--format", "longshot-csv", "--n", "all"], ["n is 'all'"]),
    (["--format", "longshot-csv", "--stake", "0"], ["stake is 0", "above 0"]),
    (["--format", "longshot-csv", "--stake", "much"], ["stake", "'much'"]),
    (["--format", "longshot-csv", "--bankroll", "0"], ["cash is 0", "above 0"]),
    (["--format", "longshot-csv", "--bankroll", "1", "--cash", "2"], ["another name"]),
    (["--format", "longshot-csv", "--set", "chain=later"], ["need --mode reference"]),
    (
        ["--format", "longshot-csv", "--stake", "5", "--set", "sizing=kelly"],
        ["stake is given", "not kelly"],
    ),
    (
        ["--format", "longshot-csv", "--mode", "reference", "--set", "chain=third"],
        ["unknown revision of the chain 'third'"],
    ),
    (
        ["--format", "longshot-csv", "--mode", "reference", "--set", "chain.kely_cap=1"],
        ["'chain.kely_cap'", "'chain.kelly_cap'"],
    ),
    (
        ["--format", "longshot-csv", "--mode", "reference", "--data-dir", "file/x"],
        ["file/x cannot be written to"],
    ),
]


@pytest.mark.parametrize(("words", "expected"), WRONG, ids=repr)
def test_a_wrong_word_is_answered_in_one_line(
    words: list[str], expected: list[str], games: str, capsys: Captured
) -> None:
    Path("file").write_text("text", encoding="utf-8")
    strategy = [] if "--strategy" in words else ["--strategy", "longshot"]
    assert invoke(run.app, [*strategy, "--data", games, *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert all(word in line for word in expected), line
    assert not Path("reports").exists()
