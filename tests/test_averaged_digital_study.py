"""The study of what settles a quarter hour: its numbers, and that it can come out either way."""

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

PATH = Path(__file__).parents[1] / "research" / "averaged_digital.py"
SIGMA = 1e-4


@pytest.fixture(scope="module")
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("averaged_digital_study", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def walks(seed: int, windows: int) -> np.ndarray:
    """Return log prices of each second of 900, from the strike on."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 5]))
    return np.cumsum(SIGMA * rng.standard_normal((windows, 900)), axis=1)


def seen(paths: np.ndarray, values: int, left: tuple[int, ...]) -> pl.DataFrame:
    """Return rows of windows that settle on the mean of the last `values` prices."""
    ends = np.exp(paths[:, -values:]).mean(1) >= 1.0
    parts = [
        pl.DataFrame(
            {
                "ticker": [f"W{i}" for i in range(len(paths))],
                "left": np.full(len(paths), float(seconds)),
                "ratio": np.exp(paths[:, -seconds - 1]),
                "yes": ends,
            }
        )
        for seconds in left
    ]
    return pl.concat(parts)


@pytest.mark.parametrize(("values", "sign"), [(60, -1), (1, 1)])
def test_the_digital_of_what_settles_is_the_better_one(
    study: ModuleType, values: int, sign: int
) -> None:
    rows = seen(walks(1, 6_000), values, (61, 75, 90, 150))
    table = study.compared(rows, SIGMA)
    row = table.filter(low=60, high=180).row(0, named=True)
    for name in ("log_loss", "brier"):
        assert sign * row[f"{name}_difference"] > 0
        assert sign * row[f"{name}_from"] > 0
        assert sign * row[f"{name}_to"] > 0
    assert row["windows"] == 6_000
    assert row["rows"] == 24_000


def test_numbers_of_a_band_by_hand(study: ModuleType) -> None:
    """Two windows, one with two rows: each counts once, and the error is that of two."""
    rows = pl.DataFrame(
        {
            "ticker": ["A", "A", "B"],
            "left": [70.0, 80.0, 85.0],
            "ratio": [1.0005, 1.0010, 0.9995],
            "yes": [True, True, True],
        }
    )
    row = study.compared(rows, SIGMA).filter(low=60, high=90).row(0, named=True)

    def loss(ratio: float, left: float, free: float) -> float:
        z = (ratio - 1) / (SIGMA * math.sqrt(left - free))
        return -math.log(0.5 * (1 + math.erf(z / math.sqrt(2))))

    each = [
        [(loss(1.0005, 70, free) + loss(1.001, 80, free)) / 2, loss(0.9995, 85, free)]
        for free in (60 - 20.502778, 0.0)
    ]
    off = [a - b for a, b in zip(*each, strict=True)]
    assert (row["windows"], row["rows"], row["few"]) == (2, 3, True)
    assert row["log_loss_averaged"] == pytest.approx(sum(each[0]) / 2, rel=2e-3)
    assert row["log_loss_point"] == pytest.approx(sum(each[1]) / 2, rel=2e-3)
    mean, half = sum(off) / 2, 1.96 * abs(off[0] - off[1]) / 2
    assert row["log_loss_difference"] == pytest.approx(mean, rel=5e-3)
    assert row["log_loss_to"] - row["log_loss_from"] == pytest.approx(2 * half, rel=5e-3)


@pytest.mark.slow
def test_the_spread_of_a_walk_is_recovered_from_its_averages(
    study: ModuleType, tmp_path: Path
) -> None:
    rng = np.random.Generator(np.random.Philox(key=[2, 5]))
    path = np.cumsum(SIGMA * rng.standard_normal((20_000, 960)), axis=1)
    first, last = (np.exp(path[:, k : k + 60]).mean(1) for k in (0, 900))
    folder = tmp_path / "crypto15m-2026"
    folder.mkdir()
    pl.DataFrame(
        {"series": "KXXRP15M", "floor_strike": first, "expiration_value": last}
    ).write_parquet(folder / "markets_15m.parquet")
    assert study.earlier_sigma(tmp_path) == pytest.approx(SIGMA, rel=0.02)


def test_a_volatility_that_favours_the_last_price_is_its_own_best(study: ModuleType) -> None:
    rows = seen(walks(3, 3_000), 1, (310, 400, 500))
    assert study.favourable_sigma(rows, 2 * SIGMA) == pytest.approx(SIGMA, rel=0.1)


@pytest.mark.real
def test_the_average_is_better_calibrated_on_recorded_windows(
    study: ModuleType, real_data: Path
) -> None:
    """As expected of the study, also with the volatility that favours the last price most."""
    rows = study.rows_of(real_data)
    earlier = study.earlier_sigma(real_data)
    for sigma in (earlier, study.favourable_sigma(rows, earlier)):
        table = study.compared(rows, sigma)
        near = table.filter(low=60, high=180).row(0, named=True)
        assert near["windows"] >= 60
        assert near["log_loss_to"] < 0
        assert (table.filter(pl.col("high") <= 180)["log_loss_difference"] < 0).all()
        far = table.filter(low=300).row(0, named=True)
        assert abs(far["log_loss_difference"]) < 0.005
