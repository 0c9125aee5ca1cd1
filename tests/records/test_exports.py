"""The CSV of a run says what its tables say, money to the last micro-dollar."""

import csv as csvlib
import io
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

import kalshi_bt
from kalshi_bt import cli, exports
from kalshi_bt.errors import UsageError
from kalshi_bt.exports import TABLES, csv
from kalshi_bt.terminal import invoke


def rows(text: str) -> list[dict[str, str]]:
    return list(csvlib.DictReader(io.StringIO(text)))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_trades_have_the_documented_columns_and_every_trade(usual: kalshi_bt.Result) -> None:
    text = csv(usual.run, "trades")
    assert text.splitlines()[0] == (
        "timestamp,ticker,side,entry_price,exit_price,contracts,pnl,exit_reason"
    )
    told = rows(text)
    closed = usual.trades.sort("exit_time", "trade_id").to_dicts()
    assert len(told) == len(closed) > 3
    for row, trade in zip(told, closed, strict=True):
        assert moment(row["timestamp"]) == trade["exit_time"]
        assert (row["ticker"], row["exit_reason"]) == (trade["ticker"], trade["exit_reason"])
        assert row["side"] == {1: "yes", -1: "no"}[trade["side"]]
        assert float(row["entry_price"]) == trade["entry_price"]
        assert float(row["exit_price"]) == trade["exit_price"]
        assert Decimal(row["contracts"]) * 100 == trade["quantity"]
        assert Decimal(row["pnl"]) * 1_000_000 == trade["pnl"]


def test_days_add_up_to_the_trades(usual: kalshi_bt.Result) -> None:
    text = csv(usual.run, "daily")
    assert text.splitlines()[0] == "date,total_pnl,total_trades,winning_trades,win_rate"
    days: dict[str, list[int]] = defaultdict(list)
    for trade in usual.trades.to_dicts():
        days[trade["exit_time"].astimezone(UTC).date().isoformat()].append(trade["pnl"])
    told = rows(text)
    assert [row["date"] for row in told] == sorted(days)
    for row in told:
        pnl = days[row["date"]]
        wins, losses = sum(p > 0 for p in pnl), sum(p < 0 for p in pnl)
        assert Decimal(row["total_pnl"]) * 1_000_000 == sum(pnl)
        assert (int(row["total_trades"]), int(row["winning_trades"])) == (len(pnl), wins)
        assert float(row["win_rate"]) == pytest.approx(wins / (wins + losses))


def test_a_day_of_pushes_has_no_win_rate(usual: kalshi_bt.Result) -> None:
    trades = usual.trades.with_columns(pnl=pl.lit(0, dtype=pl.Int64))
    told = rows(csv(replace(usual.run, trades_closed=trades), "daily"))
    assert {row["win_rate"] for row in told} == {""}
    assert {row["total_pnl"] for row in told} == {"0.00"}


NUMBERS = [0, 1, -1, 10, 999_999, 1_000_000, -1_500_000, 123_456_789_012_345, 2**62, -(2**62), None]


@pytest.mark.parametrize(
    ("name", "scale", "places"),
    [("pnl", 1_000_000, 2), ("price", 10_000, 2), ("quantity", 100, 0)],
)
def test_integers_become_exact_decimals(name: str, scale: int, places: int) -> None:
    written = pl.DataFrame({name: NUMBERS}).select(exports._written(name, pl.Int64()))[name]
    for text, number in zip(written, NUMBERS, strict=True):
        if number is None:
            assert text is None
            continue
        assert Decimal(text) * scale == number
        _, _, decimals = text.partition(".")
        assert len(decimals) >= places
        assert len(decimals) == places or not decimals.endswith("0")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", ["usual", "idle", "files"])
def test_every_table_of_every_run_can_be_written(
    table: str, name: str, finished: Path, named: dict[str, str]
) -> None:
    run = kalshi_bt.load(named[name], finished).run
    frame = TABLES[table](run)
    told = rows(csv(run, table))
    assert len(told) == frame.height
    for column, kind in frame.schema.items():
        for text, value in zip((row[column] for row in told), frame[column], strict=True):
            if value is None:
                assert text == ""
            elif isinstance(kind, pl.Datetime):
                assert moment(text) == value
            elif kind.is_integer() and column not in exports.MONEY | exports.PRICES:
                assert Decimal(text) in (value, Decimal(value) / 100)


def test_every_integer_of_a_table_is_known_for_what_it_is(usual: kalshi_bt.Result) -> None:
    counts = {"count", "trades", "total_trades", "winning_trades", "n", "n_clusters", "scalar"}
    other = {"order_id", "trade_id", "seq", "side", "unsettled", "draw", "trial", *counts}
    known = exports.MONEY | exports.CONTRACTS | exports.PRICES | other
    frames = [*(table(usual.run) for table in TABLES.values()), *usual.run.tables.values()]
    for frame in frames:
        for column, kind in frame.schema.items():
            assert not kind.is_integer() or column in known, column


def test_the_tables_behind_the_scores_can_be_written(usual: kalshi_bt.Result) -> None:
    assert not set(usual.run.tables) & set(TABLES)
    for name, frame in usual.run.tables.items():
        assert csv(usual.run, name).splitlines()[0] == ",".join(frame.columns)
        assert len(rows(csv(usual.run, name))) == frame.height
    depths = [Decimal(row["depth"]) * 1_000_000 for row in rows(csv(usual.run, "drawdowns"))]
    assert depths == usual.run.tables["drawdowns"]["depth"].to_list() != []


def test_a_text_of_the_data_stays_in_its_field(usual: kalshi_bt.Result) -> None:
    odd = 'a,"b"\nc'
    markets = usual.run.markets.head(1).with_columns(title=pl.lit(odd))
    assert rows(csv(replace(usual.run, markets=markets), "markets"))[0]["title"] == odd


def test_a_table_no_run_has_is_refused(usual: kalshi_bt.Result) -> None:
    with pytest.raises(UsageError, match=r"unknown table of a run 'trade'.*did you mean 'trades'"):
        csv(usual.run, "trade")


# --- the command ----------------------------------------------------------------------------------

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def told(finished: Path, capsys: Captured) -> Callable[..., tuple[int, str, str]]:
    """Run ``kalshi-bt report`` on the runs that are done."""

    def call(*words: object) -> tuple[int, str, str]:
        code = invoke(cli.app, ["report", *map(str, words), "--in", str(finished)])
        return code, *capsys.readouterr()

    return call


Told = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(("form", "file"), [("text", "report.txt"), ("json", "metrics.json")])
def test_text_and_json_are_the_files_of_the_folder(
    form: str, file: str, told: Told, usual: kalshi_bt.Result
) -> None:
    code, out, err = told(usual.run_dir.name, "--format", form)
    assert (code, out, err) == (0, (usual.run_dir / file).read_text("utf-8"), "")


def test_the_page_is_written_beside_the_folder_or_where_it_is_asked(
    told: Told, usual: kalshi_bt.Result, tmp_path: Path
) -> None:
    page = (usual.run_dir / "report.html").read_bytes()
    mine = tmp_path / "new" / "mine.html"
    assert told(usual.run_dir.name, "--format", "html", "--out", mine)[:2] == (0, f"wrote {mine}\n")
    assert mine.read_bytes() == page
    code, out, _ = told(usual.run_dir.name, "--format", "html")
    beside = usual.run_dir.with_name(f"{usual.run_dir.name}.html")
    assert (code, out) == (0, f"wrote {beside}\n")
    assert beside.read_bytes() == page
    beside.unlink()


def test_csv_is_that_of_the_table_asked(
    told: Told, usual: kalshi_bt.Result, tmp_path: Path
) -> None:
    name = usual.run_dir.name
    assert told(name, "--format", "csv")[1] == csv(usual.run, "trades")
    assert told(name, "--format", "csv", "--table", "equity")[1] == csv(usual.run, "equity")
    told(name, "--format", "csv", "--out", tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == csv(usual.run, "trades")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent"], "unknown run in"),
        (["b"], "begins 4 runs in"),
        (["", "--format", "text"], "empty name"),
        (["usual", "--format", "pdf"], "unknown format 'pdf'"),
        (["usual", "--format", "csv", "--table", "x"], "unknown table of a run 'x'"),
        (["usual", "--table", "fills"], "--table fills is a table of --format csv, not of text"),
        (["agents"], "has no simulation"),
        (["usual", "--out", "FILE/report.txt"], "cannot be written"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(
    words: list[str], message: str, told: Told, named: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "FILE").write_text("")
    filled = [named.get(w, w).replace("FILE", str(tmp_path / "FILE")) for w in words]
    code, out, err = told(*filled)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
