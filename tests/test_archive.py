"""The verbs that make a dataset and keep it, as a user meets them."""

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kalshi_bt import archive, cli, schema
from kalshi_bt.data.store import Store
from kalshi_bt.terminal import invoke
from live_adapter.sandbox import Exchange

pytestmark = pytest.mark.usefixtures("settings_only_from_here")
Captured = pytest.CaptureFixture[str]
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def answer(capsys: Captured, *words: object, code: int = 0) -> str:
    """What a command prints."""
    found = invoke(cli.app, [str(word) for word in words])
    out, err = capsys.readouterr()
    assert found == code, err
    return out


def complaint(capsys: Captured, *words: object) -> str:
    """The one line of a command that fails."""
    assert invoke(cli.app, [str(word) for word in words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1, err
    return err


@pytest.fixture
def spot(tmp_path: Path) -> Path:
    """A dataset of two prices."""
    rows = {
        "source": ["x", "x"],
        "symbol": ["BTC", "BTC"],
        "field": ["close", "close"],
        "time": [NOON, NOON.replace(minute=1)],
        "value": [61_000.5, 61_001.0],
    }
    types = {name: schema.REFERENCES.columns[name] for name in rows}
    store = Store.create(tmp_path / "spot", name="spot")
    store.commit({"references": schema.REFERENCES.filled(pl.DataFrame(rows, schema=types))})
    return tmp_path / "spot"


# --- sql ------------------------------------------------------------------------------------------


def test_sql_prints_a_table_json_or_csv(spot: Path, capsys: Captured) -> None:
    query = 'select time, value, [1, 2] as pair from "references" order by time'
    assert json.loads(answer(capsys, "sql", spot, query, "--json")) == [
        {"time": "2026-01-05T12:00:00Z", "value": 61000.5, "pair": [1, 2]},
        {"time": "2026-01-05T12:01:00Z", "value": 61001.0, "pair": [1, 2]},
    ]
    rows = list(csv.DictReader(io.StringIO(answer(capsys, "sql", spot, query, "--csv"))))
    assert [row["pair"] for row in rows] == ["[1, 2]", "[1, 2]"]
    assert [float(row["value"]) for row in rows] == [61000.5, 61001.0]
    lines = answer(capsys, "sql", spot, query).splitlines()
    assert lines[0].split() == ["time", "value", "pair"]
    assert lines[1].split()[:2] == ["2026-01-05T12:00:00Z", "61000.5"]


def test_json_has_no_number_that_json_lacks(spot: Path, capsys: Captured) -> None:
    query = "select 'nan'::double as a, 'inf'::double as b, 1.25::decimal(9, 2) as c, null as d"
    (row,) = json.loads(answer(capsys, "sql", spot, query, "--json"))
    assert (row["a"], row["b"], Decimal(str(row["c"])), row["d"]) == (
        None,
        None,
        Decimal("1.25"),
        None,
    )


def test_a_long_answer_says_how_much_is_not_shown(spot: Path, capsys: Captured) -> None:
    text = answer(capsys, "sql", spot, "select * from range(1000)")
    assert f"{1000 - archive.SHOWN:,} more rows" in text
    assert len(answer(capsys, "sql", spot, "select * from range(1000)", "--csv").split()) == 1_001


@pytest.mark.parametrize("query", ["select nothing from markets", "selec 1", "drop view markets"])
def test_a_wrong_query_is_answered_in_one_line(spot: Path, capsys: Captured, query: str) -> None:
    assert complaint(capsys, "sql", spot, query).startswith("error: ")


# --- validate, compact ----------------------------------------------------------------------------


def test_a_sound_dataset_passes_and_a_broken_one_does_not(
    one_day: Path, tmp_path: Path, capsys: Captured
) -> None:
    assert answer(capsys, "validate", one_day).startswith("one-day: sound")
    tables = {name: Store.open(one_day).read(name) for name in ("series", "markets", "settlements")}
    paid = pl.when(pl.col("result") == "yes").then(pl.lit("no")).otherwise(pl.lit("yes"))
    wrong = tables["settlements"].with_columns(result=paid)
    Store.create(tmp_path / "broken", name="broken").commit({**tables, "settlements": wrong})
    found = json.loads(answer(capsys, "validate", tmp_path / "broken", "--json", code=1))
    assert not found["sound"]
    assert any(f["rule"] == "payout_conflict" for f in found["findings"])
    assert "payout_conflict" in answer(capsys, "validate", tmp_path / "broken", code=1)


def test_validate_names_every_rule_if_asked(one_day: Path, capsys: Captured) -> None:
    few, all_ = (answer(capsys, "validate", one_day, *more) for more in ((), ("--rules",)))
    assert len(all_.splitlines()) > len(few.splitlines()) + 20


def test_compact_says_what_it_merged(spot: Path, capsys: Captured) -> None:
    before = Store.open(spot).fingerprint()
    found = json.loads(answer(capsys, "compact", spot, "--json"))
    assert found["references"]["after"] == 1
    assert Store.open(spot).fingerprint() == before
    assert "references" in answer(capsys, "compact", spot)


# --- download, import -----------------------------------------------------------------------------


@pytest.mark.slow
def test_download_fetches_once_and_tells_what(
    one_day: Path, tmp_path: Path, capsys: Captured
) -> None:
    with Exchange(Store.open(one_day)) as exchange:
        words = [
            "download",
            "--series",
            "SYNGAME",
            "--from",
            "2026-05-01",
            "--into",
            tmp_path / "d",
        ]
        words += ["--base-url", exchange.url, "--what", "markets,candles", "--json"]
        first = json.loads(answer(capsys, *words))
        second = json.loads(answer(capsys, *words, "--collateral"))
    assert Store.open(tmp_path / "d").collateral
    stored, served = (Store.open(p).read("candles") for p in (tmp_path / "d", one_day))
    assert stored.height == first["tables"]["candles"]["added"] > 0
    assert stored.height == served.filter(pl.col("ticker").str.starts_with("SYNGAME")).height
    assert sum(counts["added"] for counts in second["tables"].values()) == 0
    assert second["requests"] < first["requests"] / 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--series", "A", "--period", "2m"], ["unknown period '2m'", "1m"]),
        (["--series", "A", "--from", "May"], ["--from is 'May'", "a date"]),
        (["--series", "A", "--from", "2026-01-01T10:00"], ["--from", "2026-01-01T12:00Z"]),
        (["--series", "A", "--what", "candels"], ["'candels'", "candles"]),
        (["--series", "A", "--env", "prood"], ["'prood'"]),
        ([], ["series"]),
        (["--spot", "coinbase", "--symbols", "BTC-USD"], ["--from is missing"]),
        (["--spot", "coinbse", "--from", "2026-01-01"], ["unknown venue 'coinbse'", "'coinbase'"]),
        (
            ["--spot", "kraken", "--symbols", "X", "--from", "2026-01-01", "--period", "1h"],
            ["'1h'"],
        ),
    ],
)
def test_a_wrong_download_is_answered_in_one_line(
    tmp_path: Path, capsys: Captured, words: list[str], said: list[str]
) -> None:
    line = complaint(capsys, "download", *words, "--into", tmp_path / "d")
    assert all(part in line for part in said), line
    assert not (tmp_path / "d").exists()


@pytest.mark.slow
def test_a_dead_address_is_answered_in_one_line(tmp_path: Path, capsys: Captured) -> None:
    words = ["download", "--series", "A", "--into", tmp_path / "d", "--base-url"]
    assert "127.0.0.1:9" in complaint(capsys, *words, "http://127.0.0.1:9")


def test_prices_are_read_from_a_file(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "btc.csv"
    file.write_text("time,open,high,low,close\n1767614400,1,3,0.5,2\n")
    words: list[Any] = ["import", "--layout", "spot", file, "--into", tmp_path / "d"]
    assert "--symbol" in complaint(capsys, *words)
    answer(capsys, *words, "--symbol", "BTC-USD")
    rows = Store.open(tmp_path / "d").read("references").select("field", "value").rows()
    assert rows == [("close", 2.0), ("high", 3.0), ("low", 0.5), ("open", 1.0)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--layout", "tabel"], ["unknown layout 'tabel'", "'table'"]),
        (["--layout", "table"], ["needs --mapping"]),
        (["--layout", "ws", "--mapping", "m.toml"], ["takes no --mapping"]),
        (["--layout", "ws", "--bar", "250ms"], ["whole seconds"]),
        (["--layout", "ws"], ["absent"]),
        (["--layout", "becker"], ["absent"]),
        (["--layout", "arena"], ["absent"]),
    ],
)
def test_a_wrong_import_is_answered_in_one_line(
    tmp_path: Path, capsys: Captured, words: list[str], said: list[str]
) -> None:
    line = complaint(capsys, "import", tmp_path / "absent", *words, "--into", tmp_path / "d")
    assert all(part in line for part in said), line
    assert not (tmp_path / "d").exists()


# --- fees -----------------------------------------------------------------------------------------


def test_a_fee_is_explained(capsys: Captured) -> None:
    words = ["fee", "--series", "KXBTC15M", "--price", "0.42", "--count", "10", "--role", "taker"]
    # 0.07 x 10 x 0.42 x 0.58 = 0.17052; the cash of 4.20 + 0.17052 goes up to $0.0001.
    assert "0.17052" in answer(capsys, *words)
    found = json.loads(answer(capsys, *words, "--json"))
    assert "0.1706" in json.dumps(found)
    assert "--price and --count" in complaint(capsys, "fee", "--price", "0.5")
    # In April 2026 whole cents of the balance: 4.3706 is 4.38.
    april = json.loads(answer(capsys, *words, "--date", "2026-04-01", "--json"))
    assert (april["precision"], april["total"]) == ("0.01", "0.18")
    fine = ["--date", "2026-04-01", "--precision", "0.0001", "--json"]
    assert json.loads(answer(capsys, *words, *fine))["total"] == "0.1706"


@pytest.mark.parametrize("words", [["--price", "0.5", "--count", "1"], ["--price", "0.5"]])
def test_one_fee_and_the_fees_of_an_account_are_two_questions(
    capsys: Captured, words: list[str]
) -> None:
    line = complaint(capsys, "fee", *words, "--fills", "fills.json")
    assert "--fills" in line
    assert "--price" in line


def test_the_fees_of_an_account_are_checked(tmp_path: Path, capsys: Captured) -> None:
    fill = {
        "ticker": "KXHIGHNY-26FEB02-B31.5",
        "order_id": "one",
        "count_fp": "10.00",
        "yes_price_dollars": "0.4200",
        "no_price_dollars": "0.5800",
        "side": "yes",
        "action": "buy",
        "is_taker": True,
        "created_time": "2026-02-01T12:00:00Z",
        "fee_cost": "0.18",  # 0.17052 up to the cent: the rule before 2026-03-04
    }
    file = tmp_path / "fills.json"
    file.write_text(json.dumps({"fills": [fill]}))
    found = json.loads(answer(capsys, "fee", "--fills", file, "--json"))
    assert found == {"rows": 1, "equal": 1, "differences": []}
    file.write_text(json.dumps([fill | {"fee_cost": "0.19"}]))
    found = json.loads(answer(capsys, "fee", "--fills", file, "--json", code=1))
    assert (found["rows"], found["equal"], len(found["differences"])) == (1, 0, 1)


@pytest.mark.slow
@pytest.mark.real
def test_boards_are_stored_with_who_is_in_which_place(
    real_data: Path, tmp_path: Path, capsys: Captured
) -> None:
    words = ["import", "--layout", "arena", real_data / "arena", "--into", tmp_path / "d", "--json"]
    report = json.loads(answer(capsys, *words))
    store = Store.open(tmp_path / "d")
    assert report["fingerprint"] == store.fingerprint()
    rows = store.read("references")
    board = rows.filter((pl.col("source") == "arena/text") & (pl.col("field") == "score"))
    first = rows.filter((pl.col("source") == "arena/text/places") & (pl.col("field") == "score"))
    assert not board.is_empty()
    assert first["time"].unique().is_in(board["time"].unique().implode()).all()
