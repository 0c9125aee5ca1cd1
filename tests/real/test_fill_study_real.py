"""The study of fill models on the recorded gold markets: its shape, its truth, its order."""

import sys
from bisect import bisect_right
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from kalshi_bt.data.importers.ws import import_ws
from kalshi_bt.data.store import Store
from kalshi_bt.simulator.assumptions import FILLS, Rules

pytestmark = [pytest.mark.real, pytest.mark.slow]

DRAWS = 5
GROUPS = ("take", "stop", "rest")
STYLES = ("any", "quote", "plus", "inside", "best", "outside")  # those that are no group as well


@pytest.fixture(scope="module")
def study() -> Iterator[ModuleType]:
    folder = str(Path(__file__).parents[2] / "research")
    sys.path.insert(0, folder)
    yield import_module("fill_model")
    sys.path.remove(folder)
    for name in ("fill_model_orders", "fill_model"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def store(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    into = tmp_path_factory.mktemp("fills") / "gold"
    import_ws([real_data / "gold15m-ws"], into, bar_seconds=15)
    return Store.open(into)


@pytest.fixture(scope="module")
def of(study: ModuleType, store: Store) -> Any:
    return study.recording(store)


@pytest.fixture(scope="module")
def tables(study: ModuleType, of: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    return study.study(of, DRAWS)


def value(table: pl.DataFrame, column: str, measure: str, **keys: Any) -> float:
    wanted = [pl.col(name) == key for name, key in (keys | {"measure": measure}).items()]
    return table.filter(wanted)[column].item()


def test_every_bar_latency_model_label_and_measure_has_its_row(
    tables: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    table, shares = tables
    keys = ["bar", "latency", "model", "orders", "measure"]
    assert table.select(pl.struct(keys).is_duplicated().any()).item() is False
    # Each alone and by four sizes; of `passive` only what rests: the group and its three styles.
    labels = 5 * (3 * (len(GROUPS) + len(STYLES)) + 1 + 3)
    assert table.height == 2 * 2 * labels * 6
    assert shares.height == 2 * 2 * 5 * (1 + 3)
    takers = table.filter(pl.col("orders") == "any 10")
    assert takers["count"].unique().to_list() == [9 * DRAWS]


def test_intervals_hold_their_value_and_what_is_called_shown_leaves_zero_out(
    tables: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    table = tables[0].drop_nans("value")
    neutral = pl.when(pl.col("measure") == "quantity").then(1.0).otherwise(0.0)
    assert table.select((pl.col("low") <= pl.col("high")).all()).item()
    said = table.with_columns(neutral=neutral).filter(pl.col("says") != "")
    kind, hard = said.filter(pl.col("says") == "kind"), said.filter(pl.col("says") == "hard")
    assert kind.height > 0
    assert hard.height > 0
    assert kind.select((pl.col("low") > pl.col("neutral")).all()).item()
    assert hard.select((pl.col("high") < pl.col("neutral")).all()).item()
    assert said.select((pl.col("same") >= 6).all()).item()


@pytest.mark.parametrize("bar", [15, 60])
@pytest.mark.parametrize("orders", GROUPS)
def test_the_band_is_in_order_and_holds_the_book(
    tables: tuple[pl.DataFrame, pl.DataFrame], bar: int, orders: str
) -> None:
    keys = {"bar": bar, "latency": "1 s", "orders": orders}
    models = ("optimistic", "cross", "pessimistic")
    profit = [value(tables[0], "value", "pnl", model=model, **keys) for model in models]
    assert profit == sorted(profit, reverse=True)
    assert profit[0] > 0 > profit[2]
    share = [value(tables[0], "share", "pnl", model=model, **keys) for model in models]
    assert share == sorted(share, reverse=True)


def test_the_book_fills_what_a_plain_walk_of_the_recorded_levels_fills(
    study: ModuleType, store: Store, of: Any
) -> None:
    asked = study.orders(study.decisions(of.quotes, DRAWS))
    rules = Rules(fill=FILLS["book"])
    takers = asked.filter(pl.col("style") == "any")
    found = {row["order"]: row for row in study.legs(of.books, takers, rules, 60).to_dicts()}
    books = store.read("books").partition_by("ticker", as_dict=True)
    compared = 0
    for order in takers.to_dicts():
        book = books[order["ticker"],]
        row = bisect_right(book["time"].to_list(), order["time"] + timedelta(seconds=1)) - 1
        side = book["asks" if order["side"] > 0 else "bids"][row].to_list()
        left, paid = 100 * order["size"], 0
        for level in side:
            price = level["price"] if order["side"] > 0 else 10_000 - level["price"]
            taken = min(left, level["size"] // 100 * 100)
            left, paid = left - taken, paid + taken * price
        bought = 100 * order["size"] - left
        assert found[order["order"]]["filled"] == bought / 100
        assert found[order["order"]]["entry"] == pytest.approx(paid / bought / 100, abs=1e-9)
        compared += 1
    assert compared == 9 * DRAWS * 4


def test_the_same_recording_tells_the_same(study: ModuleType, of: Any) -> None:
    asked = study.orders(study.decisions(of.quotes, 2))
    rules = Rules(fill=FILLS["cross"])
    once, again = (study.legs(of.bars[15], asked, rules, 15) for _ in range(2))
    assert once.equals(again)


def test_the_text_states_the_events_and_the_rules_answers(
    study: ModuleType, tables: tuple[pl.DataFrame, pl.DataFrame]
) -> None:
    text = "\n".join(study.told(*tables, 9))
    assert text.startswith("9 events, which is few")
    assert "participation: today 0.1, by the stated rule" in text
    assert text.splitlines()[-1].startswith("slippage: today 0 half ticks")
