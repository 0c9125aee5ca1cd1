"""A strategy finds what was planted in the sample, and nothing where nothing was."""

import math
from pathlib import Path

import polars as pl
import pytest

from kalshi_bt.config import layered
from kalshi_bt.data.store import Store
from kalshi_bt.data.synthetic import FAIR, Planted, sample, truth
from kalshi_bt.pipeline import Outcome, compute
from kalshi_bt.plan import plan

OFF = {"max_losses": "none", "max_positions": "none", "daily_loss": "none", "max_exposure": "none"}


def fades(folder: Path, planted: Planted, seed: int) -> dict[str, Outcome]:
    """The fade under all fill models on one sample, its breakers switched off."""
    store = Store.create(folder / f"{seed}", name="planted", synthetic=True)
    store.commit(sample(seed, planted=planted))
    flags = {"strategy": "bollinger", "data": str(store.root), "risk": OFF}
    done = compute(store, plan(layered(None, {}, flags, ["width=1.5"])))
    return dict(done.band)


def per_contract(outcome: Outcome) -> tuple[float, float]:
    """Mean gross result of a contract in dollars and its standard error, clustered by event."""
    trades = outcome.trades_closed.with_columns(
        result=pl.col("gross_pnl") / pl.col("quantity") / 10_000
    )
    mean = trades["result"].mean()
    assert isinstance(mean, float)
    spread = trades.group_by("event").agg(left=(pl.col("result") - mean).sum())["left"]
    return mean, math.sqrt((spread**2).sum()) / trades.height


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_fading_a_fair_market_earns_nothing_before_fees_and_loses_after(
    tmp_path: Path, seed: int
) -> None:
    band = fades(tmp_path, FAIR, seed)
    mean, error = per_contract(band["optimistic"])
    assert mean < 2 * error
    for outcome in band.values():
        assert float(str(outcome.scores["net_pnl"].value)) < 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_fading_finds_a_planted_reversion(tmp_path: Path, seed: int) -> None:
    mean, error = per_contract(fades(tmp_path, Planted(mean_reversion=0.10), seed)["optimistic"])
    assert mean > 3 * error


SPOT = ("source=synthetic", "symbols=SYNBTC15M=SYNBTC", "decimals=SYNBTC15M=2")


@pytest.fixture(scope="module")
def fair(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store.create(tmp_path_factory.mktemp("fair") / "data", name="fair", synthetic=True)
    store.commit(sample(5))
    return store


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sets"),
    [
        ("kelly_volatility", SPOT),
        ("kelly_volatility", (*SPOT, "preset=high_conviction")),
        ("mean_reversion", SPOT),
        ("mean_reversion", ("on=price",)),
    ],
)
def test_on_a_fair_market_no_entry_is_bought_below_what_it_was_worth(
    fair: Store, name: str, sets: tuple[str, ...]
) -> None:
    """Whatever a run of a few dozen trades ends with, its expected result is a loss: `truth` says.

    Entries pay the quote that stood at the decision, and the true probability of that moment lies
    between bid and ask.
    """
    found = edges(fair, name, *sets)
    assert len(found) > (1 if "preset=high_conviction" in sets else 8)
    assert found.max() <= 1e-9  # type: ignore[operator]
    assert found.mean() < -0.002  # type: ignore[operator]


def edges(store: Store, name: str, *sets: str) -> pl.Series:
    """What each entry was worth at the decision, less its price, dollars a contract."""
    flags = {"strategy": name, "data": str(store.root)}
    fills = compute(store, plan(layered(None, {}, flags, sets))).base.fills
    known = truth(5).with_columns(time=pl.col("time") + pl.duration(seconds=60))
    entries = fills.filter(pl.col("leg").cast(pl.String) == "entry").join(
        known, on=["ticker", "time"]
    )
    side = pl.col("quantity").sign()
    edge = side * (pl.col("probability") - pl.col("price") / 10_000)
    return entries.select(edge.alias("edge"))["edge"]


@pytest.mark.slow
def test_quotes_that_lag_the_spot_are_found_by_who_watches_it(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "stale", name="stale", synthetic=True)
    store.commit(sample(5, planted=Planted(stale_lag=1)))
    found = edges(store, "kelly_volatility", *SPOT)
    assert len(found) > 50
    error = found.std() / math.sqrt(len(found))  # type: ignore[operator]
    assert found.mean() > 0.03  # type: ignore[operator]
    assert found.mean() > 5 * error  # type: ignore[operator]
