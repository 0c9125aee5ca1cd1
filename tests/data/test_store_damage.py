"""The dataset on disk: what is damaged is named, and never used."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from store_rows import (
    data_files,
    fails,
    references,
)

from kalshi_bt import schema
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.create(tmp_path / "sample", name="sample")
    made.commit({"references": references({0: 10, 1: 11})})
    return made


# --- damage ---------------------------------------------------------------------------------------


def damaged(store: Store, change: Callable[[bytes], bytes]) -> Path:
    path = store.root / data_files(store.root)[0]
    path.write_bytes(change(path.read_bytes()))
    return path


@pytest.mark.parametrize("keep", [0, 3, 200, -1])
def test_a_truncated_file_is_named_before_any_row_is_used(store: Store, keep: int) -> None:
    path = damaged(store, lambda raw: raw[:keep])
    for action in (lambda: store.scan("references"), lambda: store.read("references")):
        fails(action, str(path), "bytes", "import it again")


def test_a_missing_file_is_named(store: Store) -> None:
    path = store.root / data_files(store.root)[0]
    path.unlink()
    fails(lambda: store.read("references"), str(path), "No such file")


@pytest.mark.parametrize("place", [-10, -200])
def test_a_damaged_end_of_the_same_size_is_named(store: Store, place: int) -> None:
    path = damaged(store, lambda raw: raw[:place] + b"\xff" * 6 + raw[place + 6 :])
    fails(lambda: store.read("references"), str(path))


def test_damaged_pages_are_named(tmp_path: Path) -> None:
    made = Store.create(tmp_path / "x", name="x")
    made.commit({"references": references({m: (m * 7919) % 1013 for m in range(5_000)})})
    path = damaged(made, lambda raw: raw[:40] + b"\xa5" * 4_000 + raw[4_040:])
    fails(lambda: made.read("references"), str(path), "damaged")


def test_verify_finds_a_single_changed_bit(store: Store) -> None:
    store.verify()
    path = damaged(store, lambda raw: raw[:30] + bytes([raw[30] ^ 1]) + raw[31:])
    fails(store.verify, str(path), "not what was committed")


def test_a_file_with_other_columns_than_declared_is_refused(store: Store) -> None:
    path = store.root / data_files(store.root)[0]
    pl.read_parquet(path).drop("symbol").write_parquet(path)
    content = json.loads((store.root / "dataset.json").read_text())
    content["tables"]["references"][0]["files"][0]["bytes"] = path.stat().st_size
    (store.root / "dataset.json").write_text(json.dumps(content))
    reopened = Store.open(store.root)
    fails(lambda: reopened.read("references"), "'symbol' is absent", "import it again")


def test_verify_reads_only_the_tables_it_is_asked_for(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "d", name="d")
    store.commit({"references": references({1: 0.5}), "series": schema.SERIES.empty()})
    victim = next((tmp_path / "d" / "references").rglob("*.parquet"))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    store.verify("series", "markets")
    with pytest.raises(DataError, match="references"):
        store.verify("references")
