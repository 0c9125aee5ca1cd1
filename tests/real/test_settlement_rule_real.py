"""What settles a quarter hour, on every recorded market of nine coins.

Expected before the data were asked: YES exactly where the closing average is at least the opening
one, in 99.9 % and more of the markets; ties are YES; the average that closes a window opens the
next. Markets that close at one instant are one observation: the share is counted by instant too.
"""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kalshi_bt.data.importers.table import import_tables
from kalshi_bt.data.soundness import audit
from kalshi_bt.data.store import Store
from kalshi_bt.pricing import digital_probability
from kalshi_bt.signals.underlying import DECIMALS, bounds, places

pytestmark = pytest.mark.real

MAPPING = Path(__file__).parents[2] / "research" / "mappings" / "crypto15m.toml"
YES, OPENING, CLOSING = pl.col("result") == "yes", pl.col("floor_strike"), pl.col("value")


@pytest.fixture(scope="module")
def store(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    into = tmp_path_factory.mktemp("windows") / "crypto15m"
    import_tables(MAPPING, [real_data / "crypto15m-2026"], into)
    return Store.open(into)


@pytest.fixture(scope="module")
def windows(store: Store) -> pl.DataFrame:
    """Settled windows, with the closing average of the one before where it is there."""
    ended = store.read("settlements", ["ticker", "result", "value"])
    found = store.read("markets").join(ended, on="ticker")
    before = found.select("series", open_time="close_time", before="value")
    return found.join(before, on=["series", "open_time"], how="left")


def test_yes_where_the_closing_average_is_at_least_the_opening_one(windows: pl.DataFrame) -> None:
    seen = windows.with_columns(fits=(CLOSING >= OPENING) == YES)
    assert seen.height > 40_000
    assert seen["fits"].mean() > 0.999
    instants = seen.group_by("close_time").agg(pl.col("fits").mean())["fits"]
    assert instants.len() > 5_000
    spread = float(np.std(instants.to_numpy())) / instants.len() ** 0.5
    assert float(np.mean(instants.to_numpy())) - 1.96 * spread > 0.999


@pytest.mark.slow
def test_ties_are_yes(windows: pl.DataFrame) -> None:
    ties = windows.filter(CLOSING == OPENING)
    assert ties.height > 100
    assert ties["result"].unique().to_list() == ["yes"]


def test_the_closing_average_opens_the_next_window(windows: pl.DataFrame) -> None:
    """Without exception; the strikes of one coin lack its seventh decimal, which is cut off."""
    chained = windows.drop_nulls("before")
    assert chained.height > 40_000
    cut = pl.col("series") == "KXDOGE15M"
    assert (chained.filter(~cut)["before"] == chained.filter(~cut)["floor_strike"]).all()
    seventh = (pl.col("before") * 1e7).round().cast(pl.Int64) // 10
    sixth = (OPENING * 1e6).round().cast(pl.Int64)
    assert chained.filter(cut).select((seventh == sixth).all()).item()


def test_whatever_contradicts_the_rule_is_a_digit_that_was_cut_off(windows: pl.DataFrame) -> None:
    """Against the average that really opened it, every window is settled by the rule."""
    wrong = windows.filter((CLOSING >= OPENING) != YES)
    assert wrong["series"].unique().to_list() == ["KXDOGE15M"]
    assert ((wrong["value"] - wrong["floor_strike"]).abs() < 1e-6).all()
    chained = windows.drop_nulls("before")
    assert chained.select(((pl.col("before") <= CLOSING) == YES).all()).item()


@pytest.mark.slow
def test_the_audit_finds_the_same(store: Store, windows: pl.DataFrame) -> None:
    found = {f"{f.table} {f.rule}": f for f in audit(store).findings}
    for rule in ("result_against_value", "chain_broken", "result_against_next_strike"):
        assert f"settlements {rule}" not in found
    wrong = windows.filter((CLOSING >= OPENING) != YES).height
    assert found["settlements strike_too_coarse"].count == wrong


def test_a_price_at_the_close_is_the_result(windows: pl.DataFrame) -> None:
    """With the average known nothing is left to chance: the probability is the payout."""
    low, high = bounds(windows, places(DECIMALS, "decimals"))
    known = windows["value"].to_numpy()
    p = [digital_probability(known, strike, 0.0, 1e-4, known_mean=known) for strike in (low, high)]
    fair = p[0] - np.where(np.isinf(high), 0.0, p[1])
    paid = (windows["result"] == "yes").to_numpy()
    assert set(np.unique(fair)) == {0.0, 1.0}
    off = windows.filter(pl.Series(fair != paid))
    assert off.equals(windows.filter((CLOSING >= OPENING) != YES))
