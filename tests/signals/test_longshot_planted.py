"""The longshot table finds what was planted in quotes, at its size, and nothing in fair ones."""

from dataclasses import replace

import polars as pl
import pytest

from kalshi_bt.data.panel import outcomes, panel
from kalshi_bt.data.store import Store
from kalshi_bt.data.synthetic import FAIR, Planted, sample, truth
from kalshi_bt.signals.longshot import Longshot

pytestmark = pytest.mark.slow

DAYS = 20
BIASED = Planted(longshot_bias=0.3)
POOLED = Longshot(group="all", bandwidth=9)  # the cell at 90 c is then the mean of 81 to 99 c
Sample = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]


@pytest.fixture(scope="module", params=[FAIR, BIASED], ids=["fair", "biased"])
def planted(request: pytest.FixtureRequest) -> Planted:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def seen(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Quotes, payouts and the true probability at the end of every bar."""
    store = Store.create(tmp_path_factory.mktemp("sample") / "d", name="sample", synthetic=True)
    store.commit(sample(0, planted=planted, days=DAYS))
    made = panel(store)
    ended = outcomes(store, made.markets)
    paid = ended.select("ticker", payout=pl.col("payout") / 10_000, known_at="time")
    return made.quotes().collect(), paid, truth(0, days=DAYS)


def history_of(signal: Longshot, seen: Sample) -> pl.DataFrame:
    quotes, paid, _ = seen
    return signal.samples(quotes.lazy()).collect().join(paid, on="ticker")


def test_gaps_are_those_of_the_truth_within_their_errors(seen: Sample) -> None:
    # Fitting the true probability in place of the payout gives the gap without the luck.
    for group in ("all", "series"):
        signal = replace(POOLED, group=group, bandwidth=3)
        history = history_of(signal, seen)
        true = history.drop("payout").join(
            seen[2].select("ticker", "time", payout="probability"), on=["ticker", "time"]
        )
        cells = ["group", "band", "side", "cent"]
        told = signal.fit(history.lazy()).table.join(signal.fit(true.lazy()).table, on=cells)
        off = (told["gap"] - told["gap_right"]).abs() / told["error"]
        assert told.height >= 40
        assert (off < 2).mean() > 0.85  # type: ignore[operator]
        assert off.max() < 4  # type: ignore[operator]


def test_the_pooled_gap_has_the_planted_sign_and_size(planted: Planted, seen: Sample) -> None:
    table = POOLED.fit(history_of(POOLED, seen).lazy()).table.filter(pl.col("cent") == 90)
    assert table.height == 2
    for row in table.iter_rows(named=True):
        low, high = (row["gap"] + z * row["error"] for z in (-2, 2))
        if planted is BIASED:
            # logit q = .7 logit p: what costs 90 c is worth 95.8 c, less a spread of 1 to 4 ticks
            assert 0 < low < 0.058 - 0.011 < high
        else:
            assert low < -0.011 < high  # half the mean spread and the rounding to a tick
            assert low < 0


def test_it_speaks_of_the_planted_bias_only_and_is_right(planted: Planted, seen: Sample) -> None:
    quotes, _, true = seen
    signal = replace(POOLED, bandwidth=3)
    middle = quotes["time"].min() + (quotes["time"].max() - quotes["time"].min()) / 2  # type: ignore[operator]
    ((_, fitted),) = signal.refits(history_of(signal, seen).lazy(), [middle])
    later = quotes.filter(pl.col("time") > middle)
    said = fitted(later.lazy()).drop_nulls("fair").collect()
    if planted is FAIR:
        assert said.is_empty()
        return
    assert said.height > 1000
    right = said.with_columns(pl.col("ticker").cast(pl.String)).join(true, on=["ticker", "time"])
    yes = right["fair"] > right["mid"].fill_null(0.5)
    cost = pl.select(pl.when(yes).then(right["ask"]).otherwise(1 - right["bid"])).to_series()
    worth = pl.select(
        pl.when(yes).then(right["probability"]).otherwise(1 - right["probability"])
    ).to_series()
    assert float((worth - cost - 0.07 * cost * (1 - cost)).mean()) > 0.01  # type: ignore[arg-type]
