"""The study of the longshot bias finds a planted one, and no other."""

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from kalshi_bt.data.store import Store
from kalshi_bt.data.synthetic import FAIR, Planted, sample

pytestmark = pytest.mark.slow

PATH = Path(__file__).parents[2] / "research" / "longshot.py"


@pytest.fixture(scope="module")
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("longshot_study", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("source", ["quotes", "trades"])
@pytest.mark.parametrize(
    ("planted", "answer"), [(FAIR, "not shown"), (Planted(longshot_bias=0.4), "yes")]
)
def test_a_planted_bias_is_found_in_trades_and_in_quotes(
    study: ModuleType, tmp_path: Path, planted: Planted, answer: str, source: str
) -> None:
    tables = sample(3, planted=planted, days=15)
    if source == "quotes":
        del tables["trades"]
    if planted is FAIR and source == "quotes":
        # A taker at the quotes pays half the spread, which is a loss of longshots too.
        shift = {
            f"{side}_close": pl.mean_horizontal("bid_close", "ask_close") for side in ("bid", "ask")
        }
        candles = tables["candles"].drop_nulls(list(shift))
        kind = candles.schema["bid_close"]
        tables["candles"] = candles.with_columns(
            mid.round().cast(kind).alias(name) for name, mid in shift.items()
        ).with_columns(
            pl.lit(None, kind).alias(f"{side}_{end}")
            for side in ("bid", "ask")
            for end in ("open", "high", "low")
        )
    store = Store.create(tmp_path / "d", name="sample", synthetic=True)
    store.commit(tables)
    table = study.study(study.visits(store))
    assert study.verdict(table).startswith(f"longshot bias of takers: {answer}")
    assert set(table["by"]) == {"all", "category", "horizon"}
    assert set(table.filter(by="category")["value"]) == {
        "Crypto", "Sports", "Climate and Weather"
    }  # fmt: skip
    whole = table.filter(by="all").sort("role", "band")
    parts = table.filter(by="category").group_by("role", "band").agg(pl.col("visits").sum())
    assert whole.select("role", "band", "visits").equals(parts.sort("role", "band"))


def test_numbers_of_a_row_by_hand(study: ModuleType) -> None:
    # Cluster A: two visits that gain -.1 and .3, B one that gains -.5. Mean -.1; left over:
    # A .2 + .2 = .4, B -.4; variance (.16 + .16)·2/9.
    seen = pl.DataFrame(
        {
            "cluster": ["A", "A", "B", "A", "A", "B"],
            "time": [2, 1, 3, 2, 1, 3],
            "role": ["taker"] * 3 + ["maker"] * 3,
            "band": ["longshot"] * 3 + ["favourite"] * 3,
            "excess": [-0.1, 0.3, -0.5, 0.1, -0.3, 0.5],
            "net": [-0.2, 0.2, -0.6, 0.1, -0.3, 0.5],
            **{name: ["x"] * 6 for name in study.BREAKDOWNS},
        }
    )
    table = study.study(seen)
    row = table.filter(role="taker").row(0, named=True)
    error = math.sqrt(0.32 * 2 / 9)
    assert (row["clusters"], row["visits"], row["few"]) == (2, 3, True)
    assert row["excess"] == pytest.approx(-0.1)
    assert row["net"] == pytest.approx(-0.2)
    assert row["error"] == pytest.approx(error)
    assert row["low"] == pytest.approx(-0.1 - 1.96 * error)
    # Of each cluster the first visit: .3 and -.5.
    assert row["each"] == pytest.approx(-0.1)
    assert row["each_error"] == pytest.approx(0.4)
    assert row["each_high"] == pytest.approx(-0.1 + 1.96 * 0.4)
    other = table.filter(role="maker").row(0, named=True)
    assert other["t"] == pytest.approx(-row["t"])
    assert other["adjusted"] == row["adjusted"] > 0.5
    assert (
        study.verdict(table)
        == "longshot bias of takers: not shown, t -0.38 (fewer than 30 clusters)"
    )


def test_favourites_are_judged_after_the_fee(study: ModuleType) -> None:
    row = {"by": "all", "role": "taker", "band": "favourite", "net": 0.03}
    told = [study.after_fees(pl.DataFrame(row | {"error": e})) for e in (0.01, 0.02, math.nan)]
    assert told[0] == "favourites after the fee: +3.00 [+1.04, +4.96] cents: a gain"
    assert told[1].endswith("[-0.92, +6.92] cents: neither gain nor loss shown")
    assert told[2].endswith("not measurable here")


def test_holm_multiplies_the_smallest_by_the_number_of_tests(study: ModuleType) -> None:
    nothing, small, middle, large = study.holm([math.nan, 3.0, -2.0, 0.5])
    assert math.isnan(nothing)
    assert small == pytest.approx(3 * 0.0026998, rel=1e-4)
    assert middle == pytest.approx(2 * 0.0455003, rel=1e-4)
    assert large == pytest.approx(0.6170751, rel=1e-4)
