"""Outside files and their mappings: what can be read, and what is said of the rest."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest
from outside_files import BARS, EPOCH, FEES, MARKETS, NOON, Folder, bar

from kalshi_bt import schema
from kalshi_bt.data.importers.mapping import read_mapping
from kalshi_bt.data.importers.table import import_tables
from kalshi_bt.data.store import Store
from kalshi_bt.data.validate import REASONS, checks
from kalshi_bt.errors import DataError

# --- files ----------------------------------------------------------------------------------------


def test_csv_json_lines_and_parquet_say_the_same(tmp_path: Path) -> None:
    frame = pl.DataFrame([bar(c=None, o=None, h=None, l=None), bar(ts=EPOCH + 60, v=0.07)])
    lines = "".join(json.dumps(row) + "\n" for row in frame.to_dicts())
    written = {
        "bars.parquet": b"",
        "bars.csv": frame.write_csv().encode(),
        "bars.csv.gz": gzip.compress(frame.write_csv().encode()),
        "bars.tsv": frame.write_csv(separator=";").encode(),
        "bars.jsonl": lines.encode(),
        "bars.ndjson.gz": gzip.compress(lines.encode()),
        "bars.txt": b"\xef\xbb\xbf" + frame.write_csv().encode(),  # with a byte order mark
    }
    prints = set()
    for name, content in written.items():
        (tmp_path / name).mkdir()
        made = Folder(tmp_path / name)
        made.put(markets=[{"ticker": "S-E-A", "close": EPOCH}])
        if content:
            (made.files / name).write_bytes(content)
        else:
            frame.write_parquet(made.files / name)
        text = BARS.replace("quotes =", 'separator = ";"\nquotes =') if "tsv" in name else BARS
        report = made.bring(FEES + MARKETS + text)
        assert report.tables["candles"].added == 2
        prints.add(report.fingerprint)
    assert len(prints) == 1


def test_words_for_null_may_be_chosen(folder: Folder) -> None:
    frame = pl.DataFrame([bar()]).cast(pl.String).with_columns(v=pl.lit("-"), oi=pl.lit("NA"))
    frame.write_csv(folder.files / "bars.csv")
    text = BARS.replace("quotes =", 'null = ["-", "NA"]\nquotes =')
    folder.bring(FEES + MARKETS + text)
    assert folder.read("candles").select("volume", "open_interest").row(0) == (None, None)
    again = folder.bring(FEES + MARKETS + BARS)
    assert again.tables["candles"].quarantined == {"unparsable_number": 1}


def test_a_missing_column_is_answered_with_the_nearest(folder: Folder) -> None:
    folder.put(bars=pl.DataFrame([bar()]).rename({"ticker": "tickers"}))
    folder.fails(FEES + MARKETS + BARS, "bars.parquet", "'ticker'", "did you mean 'tickers'?")


@pytest.mark.parametrize("content", [True, [50], NOON])
def test_a_column_of_the_wrong_type_is_refused(folder: Folder, content: object) -> None:
    folder.put(bars=[bar(c=content)])
    folder.fails(FEES + MARKETS + BARS, "bars.parquet", "column 'c'", "expected numbers")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bars.parquet", b"PAR1 half of a file"),
        ("bars.parquet", b""),
        ("bars.csv", b""),
        ("bars.csv", b'a,b\n"1,2\n3,4,5,6\n'),
        ("bars.jsonl", b'{"a": 1}\n{"a": '),
        ("bars.csv.gz", b"no gzip"),
        ("bars.xlsx", b"PK"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(folder: Folder, name: str, content: bytes) -> None:
    (folder.files / name).write_bytes(content)
    folder.fails(FEES + MARKETS + BARS, name)


def test_a_truncated_parquet_is_named(folder: Folder) -> None:
    folder.put(bars=[bar(ts=EPOCH + 60 * k) for k in range(500)])
    path = folder.files / "bars.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    folder.fails(FEES + MARKETS + BARS, "bars.parquet", "cannot be read")


def test_sources_and_entries_must_meet(folder: Folder) -> None:
    folder.put(bars=[bar()])
    files = {name: folder.files / f"{name}.parquet" for name in ("markets", "bars")}
    text = FEES + MARKETS
    folder.fails(text, "bars.parquet", "markets.*", sources=(files["markets"], files["bars"]))
    folder.fails(text + BARS, "table 2 (candles)", "'bars.*'", sources=(files["markets"],))
    folder.fails(text, "does not exist", sources=(folder.files / "gone.parquet",))
    (folder.root / "empty").mkdir()
    folder.fails(text, "empty", "markets.*", sources=(folder.files, folder.root / "empty"))
    folder.bring(text, files["markets"], folder.files)  # the same file twice is one file


def test_a_failing_import_leaves_the_dataset_as_it_was(folder: Folder) -> None:
    before = folder.bring(FEES + MARKETS).fingerprint
    folder.put(bars=pl.DataFrame([bar()]).drop("oi"), markets=[{"ticker": "S-E-Z", "close": 1}])
    with pytest.raises(DataError, match="'oi'"):
        folder.bring(FEES + MARKETS + BARS)
    assert Store.open(folder.into).fingerprint() == before


def test_a_file_without_rows_is_read_as_none(folder: Folder) -> None:
    folder.put(bars=pl.DataFrame([bar()]).clear())
    report = folder.bring(FEES + MARKETS + BARS)
    assert (report.tables["candles"].read, report.tables["candles"].added) == (0, 0)
    assert folder.read("candles").is_empty()


def test_when_no_row_is_usable_the_reader_is_warned(folder: Folder) -> None:
    folder.put(bars=[bar(ts=EPOCH * 1_000), bar(ts=EPOCH * 1_000 + 1)])
    report = folder.bring(FEES + MARKETS + BARS)
    assert "no row of bars.parquet is usable for candles (time_range)" in report.warnings


def test_the_dataset_takes_name_and_note_of_the_mapping(folder: Folder) -> None:
    folder.bring('name = "weather"\nnote = "from hand"\n' + FEES + MARKETS)
    store = Store.open(folder.into)
    assert (store.name, store.note, store.synthetic) == ("weather", "from hand", False)


def test_without_a_name_the_dataset_is_called_as_its_folder(folder: Folder) -> None:
    folder.bring(FEES + MARKETS)
    assert Store.open(folder.into).name == "dataset"


# --- mappings -------------------------------------------------------------------------------------

GOOD = FEES + MARKETS + BARS


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('into = "candles"', 'into = "candels"', ["table 2", "into", "did you mean 'candles'?"]),
        ("quotes =", "qoutes =", ["table 2 (candles)", "'qoutes'", "did you mean 'quotes'?"]),
        ('quotes = "candle"\n', "", ["quotes is missing"]),
        ('quotes = "candle"', 'quotes = "none"', ["'none'", "bid_open"]),
        ('price_unit = "cents"\n', "", ["price_unit is missing"]),
        ('"cents"', '"cent"', ["did you mean 'cents'?"]),
        ("price_open =", "price_opne =", ["did you mean 'price_open'?"]),
        ('price_open = "o"\n', "", ["all of price_open"]),
        ('bid_low = "bl"\n', "", ["needs all of bid_open"]),
        ('period = { value = "1h" }\n', "", ["lacks period"]),
        ('unit = "s" }\nprice', 'unti = "s" }\nprice', ["columns.time", "did you mean 'unit'?"]),
        ('unit = "s" }\nprice', 'unit = "sec" }\nprice', ["'sec'"]),
        ('unit = "s" }\nprice', 'unit = "m" }\nprice', ["no known epoch"]),
        ('unit = "s" }\nprice', 'zone = "America/New_Yrok" }\nprice', ["America/New_York"]),
        ('volume = "v"', 'volume = { column = "v", unit = "s" }', ["unit is for columns of times"]),
        ('volume = "v"', "volume = { }", ["exactly one of"]),
        ('volume = "v"', 'volume = { column = "v", value = 1 }', ["exactly one of"]),
        ('volume = "v"', "volume = { last_candle = true }", ["last_candle is for"]),
        ('volume = "v"', 'volume = { column = "v", pattern = "x" }', ["group"]),
        ('volume = "v"', 'volume = { column = "v", pattern = "(" }', ["group"]),
        ('volume = "v"', "volume = 5", ["columns.volume"]),
        ('"quadratic"', '"quadratik"', ["series 1", "did you mean 'quadratic'?"]),
        ('prefix = "*"', 'prefix = "*"\nseries = "S"', ["exactly one of series and prefix"]),
        ('prefix = "*"', 'prefix = "*"\nfee_multiplier = -1', ["fee_multiplier", "0"]),
        ('prefix = "*"', 'prefix = "*"\neffective_from = 2026-01-05T12:00:00', ["no zone"]),
        ('source = "bars.*"', "", ["table 2 (candles), source is missing"]),
        ('source = "bars.*"', 'source = "/bars"', ["'/bars'"]),
        ("quotes =", 'settlement_lag = "1h"\nquotes =', ["settlement_lag is for settlements"]),
        ("quotes =", "derived = true\nquotes =", ["derived is for markets"]),
        ("[[table]]", "[table", ["is no TOML"]),
        (GOOD, "", ["table is missing"]),
        (GOOD, "table = []", ["table"]),
    ],
)
def test_a_wrong_mapping_is_answered_with_the_place_and_the_cure(
    folder: Folder, old: str, new: str, words: list[str]
) -> None:
    assert old in GOOD
    folder.put(bars=[bar()])
    folder.fails(GOOD.replace(old, new), "mapping.toml", *words)


def test_a_missing_mapping_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.toml cannot be read"):
        import_tables(tmp_path / "gone.toml", [tmp_path], tmp_path / "x")


def test_the_mappings_of_the_studies_are_sound() -> None:
    found = sorted((Path(__file__).parents[2] / "research" / "mappings").glob("*.toml"))
    assert len(found) == 20
    for path in found:
        assert read_mapping(path).name == path.stem


def test_every_reason_a_check_gives_is_explained() -> None:
    given = {check.reason for table in schema.STORED for check in checks(table)}
    assert given < set(REASONS)
