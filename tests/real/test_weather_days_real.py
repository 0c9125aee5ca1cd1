"""Which day a recorded forecast is about, and which degrees a recorded bracket is of."""

from pathlib import Path

import polars as pl
import pytest

from kalshi_bt.data.importers.table import import_tables
from kalshi_bt.data.store import Store

pytestmark = pytest.mark.real

MAPPINGS = Path(__file__).parents[2] / "research" / "mappings"


def brought(name: str, real_data: Path, folder: Path) -> Store:
    import_tables(MAPPINGS / f"{name}.toml", [real_data / "weather"], folder / name)
    return Store.open(folder / name)


def test_the_forecast_is_of_the_day_after_its_row(real_data: Path, tmp_path: Path) -> None:
    """What the day measured lies in the bracket paid for the day forecast, not in the row's own."""
    parts = [
        part.read("markets")
        .join(part.read("settlements"), on="ticker")
        .select("event", "ticker", "strike_type", "floor_strike", "cap_strike", "payout")
        for part in (brought(name, real_data, tmp_path) for name in ("weather", "weather_highs"))
    ]
    won = pl.concat(parts).filter(
        pl.col("ticker").str.starts_with("KXHIGHNY"), payout=10_000, strike_type="between"
    )
    days = won.with_columns(day=pl.col("event").str.extract(r"-(\w+)$").str.to_date("%y%b%d"))
    paid = {
        day: (floor, cap)
        for day, floor, cap in days.select("day", "floor_strike", "cap_strike").iter_rows()
    }
    raw = pl.read_csv(real_data / "weather" / "kxhighny_mid_vs_result_apr2026.csv")
    told = (
        raw.drop_nulls("actual_high")
        .unique("target_date")
        .select(
            pl.col("target_date").str.to_date(),
            pl.col("ticker").str.extract(r"-(\d{2}[A-Z]{3}\d{2})-").str.to_date("%y%b%d"),
            "actual_high",
        )
    )
    inside = [
        [paid[day][0] <= actual <= paid[day][1] for day, actual in days if day in paid]
        for days in (
            [(target, actual) for target, _, actual in told.iter_rows()],
            [(own, actual) for _, own, actual in told.iter_rows()],
        )
    ]
    stored = brought("weather_mids", real_data, tmp_path).read("references").filter(source="nws")
    assert stored["symbol"].to_list() == sorted(raw["target_date"].unique())
    assert len(inside[0]) >= 8
    assert all(inside[0])
    assert sum(inside[1]) <= len(inside[1]) / 4


def test_a_bracket_is_of_the_two_degrees_around_its_name(real_data: Path, tmp_path: Path) -> None:
    """B59.5 is of 59 and 60; in both files, one of which states the edges otherwise."""
    for name in ("weather", "weather_highs"):
        own = brought(name, real_data, tmp_path).read("markets").filter(strike_type="between")
        middle = own["ticker"].str.extract(r"-B([\d.]+)$").cast(pl.Float64)
        assert own.height > 300
        assert (own["floor_strike"] == middle - 0.5).all()
        assert (own["cap_strike"] == middle + 0.5).all()
