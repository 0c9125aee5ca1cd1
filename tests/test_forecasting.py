"""A signal that learns: fitted as outcomes become known, and by nothing later."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from kalshi_bt import schema
from kalshi_bt.config import layered
from kalshi_bt.data.panel import outcomes, panel
from kalshi_bt.data.store import Store
from kalshi_bt.data.synthetic import Planted, sample
from kalshi_bt.errors import UsageError
from kalshi_bt.forecasting import forecasts, read_of_bars, references, weighed
from kalshi_bt.plan import plan
from kalshi_bt.signals.kelly_volatility import KellyVolatility

LEARN = ("group=all", "bandwidth=9", "min_price=0.5", "z=0", "kappa=1", "min_depth=0", "refit=1d")


@pytest.fixture(scope="module")
def biased(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Four days on which favourites are cheap."""
    store = Store.create(tmp_path_factory.mktemp("biased") / "data", name="biased", synthetic=True)
    tables = sample(days=4, planted=Planted(longshot_bias=0.4))
    store.commit(tables)
    return store


def said(
    store: Store, settlements: pl.DataFrame, *sets: str, mode: str = "corrected"
) -> pl.DataFrame:
    made = panel(store)
    chosen = plan(layered(None, {}, {"strategy": "longshot", "mode": mode}, sets))
    found, _ = forecasts(made, chosen, settlements)
    return found


def results(store: Store) -> pl.DataFrame:
    return outcomes(store, panel(store).markets)


def test_nothing_is_said_before_the_first_fit_and_something_after(biased: Store) -> None:
    found = said(biased, results(biased), *LEARN)
    first = found["time"].min() + timedelta(days=1)  # type: ignore[operator]
    assert (
        found.filter(pl.col("time") <= first)["fair"].null_count()
        == found.filter(pl.col("time") <= first).height
    )
    assert found.filter(pl.col("time") > first)["fair"].drop_nulls().len() > 100


@pytest.mark.slow
def test_outcomes_known_later_change_nothing_that_was_said_before(biased: Store) -> None:
    settled = results(biased)
    start: datetime = panel(biased).bars["time"].min()  # type: ignore[assignment]
    cut = start + timedelta(days=2)  # the moment of the second fit
    late = pl.col("time") >= cut
    swapped = settled.with_columns(
        payout=pl.when(late).then(10_000 - pl.col("payout")).otherwise("payout").cast(pl.Int16)
    )
    assert settled.filter(late).height > 10
    until = pl.col("time") <= cut + timedelta(days=1)
    before, after = (said(biased, frame, *LEARN).filter(until) for frame in (settled, swapped))
    assert before["fair"].drop_nulls().len() > 100
    assert before.equals(after)
    assert not said(biased, settled, *LEARN).equals(said(biased, swapped, *LEARN))


@pytest.mark.slow
def test_a_result_that_is_only_determined_teaches_nothing(biased: Store, tmp_path: Path) -> None:
    tables = {name: biased.read(name) for name in ("series", "markets", "candles", "settlements")}
    paid = tables["settlements"].filter(pl.col("ticker").hash(7) % 2 == 0)
    waiting = tables["settlements"].join(paid, on="ticker", how="anti")
    assert min(paid.height, waiting.height) > 50
    half = Store.create(tmp_path / "half", name="half")
    half.commit(tables | {"settlements": paid})
    before = said(half, results(half), *LEARN)
    status = pl.lit("determined", dtype=schema.DeterminationStatus)
    half.commit({"determinations": waiting.select("ticker", "time", "payout", status=status)})
    assert said(half, results(half), *LEARN).equals(before)
    assert not said(biased, results(biased), *LEARN).equals(before)  # paid, they do teach


def test_the_documented_fit_sees_every_outcome(biased: Store) -> None:
    sets = ("series=none", "min_visits=20")
    found = said(biased, results(biased), *sets, mode="reference")
    first = found["time"].min() + timedelta(days=1)  # type: ignore[operator]
    assert found.filter(pl.col("time") <= first)["fair"].drop_nulls().len() > 0


def test_rows_keep_the_order_of_the_panel(biased: Store) -> None:
    bars = panel(biased).bars
    found = said(biased, results(biased), *LEARN)
    assert found["market"].equals(bars["market"])
    assert found["time"].equals(bars["time"])


def test_an_opinion_is_weighed_at_the_fee_of_its_time() -> None:
    noon = datetime(2026, 5, 4, 12, tzinfo=UTC)
    hours = [noon + timedelta(hours=n) for n in range(3)]
    setups = pl.DataFrame({"market": [0, 0, 0], "time": hours, "fair": [0.5, None, 0.5]})
    dated = {"market": [0, 0], "from_time": [hours[0], hours[2]], "taker": [70_000, 35_000]}
    types = {
        "market": pl.UInt32,
        "time": pl.Datetime("us", "UTC"),
        "from_time": pl.Datetime("us", "UTC"),
    }
    rates = pl.DataFrame(dated).cast({k: v for k, v in types.items() if k in dated})
    found = weighed(setups.cast({"market": pl.UInt32, "time": types["time"]}), rates).collect()
    assert found.select("time", "taker").rows() == [(hours[0], 70_000), (hours[2], 35_000)]


@pytest.mark.slow
def test_a_dataset_without_outcomes_says_nothing(biased: Store, tmp_path: Path) -> None:
    tables = {name: biased.read(name) for name in ("series", "markets", "candles")}
    bare = Store.create(tmp_path / "bare", name="bare")
    bare.commit(tables)
    assert said(bare, results(bare), *LEARN)["fair"].null_count() == tables["candles"].height


SPOT = ("source=synthetic", "symbols=SYNBTC15M=SYNBTC", "decimals=SYNBTC15M=2")


def on_spot(store: Store, *sets: str, mode: str = "corrected") -> pl.DataFrame:
    """What `kelly_volatility` says of the quarter hours of a dataset."""
    chosen = plan(layered(None, {}, {"strategy": "kelly_volatility", "mode": mode}, [*SPOT, *sets]))
    made = panel(store, series=["SYNBTC15M"], references=references(chosen.signal))
    return forecasts(made, chosen, outcomes(store, made.markets))[0]


def test_a_sizing_gets_the_columns_it_asks_for(biased: Store) -> None:
    bars = panel(biased, series=["SYNBTC15M"])
    found = on_spot(biased, mode="reference")
    last: list[float | None] = []
    market = price = None
    for row in bars.bars.select("market", "price_close").iter_rows():
        price = None if row[0] != market else price
        market, price = row[0], price if row[1] is None else row[1] / 10_000
        last.append(price)
    assert found["last"].to_list() == last
    assert {"close_time", "strike_type"} < set(on_spot(biased).columns)
    assert not {"last", "close_time"} & set(on_spot(biased, "sizing=kelly").columns)


def test_volatility_is_known_from_the_first_bar_of_a_market_on(biased: Store) -> None:
    first = pl.col("time") == pl.col("time").min().over("market")
    made, own = (
        on_spot(biased, *sets, "min_left=0").filter(first)["fair"]
        for sets in ((), ("estimate=bars",))
    )
    assert made.null_count() == 0
    assert own.null_count() == len(own) > 50


@pytest.mark.parametrize(
    ("name", "sizing", "words"),
    [
        ("bollinger", "kelly", ["a stated probability", "bollinger", "risk_to_stop, win_rate"]),
        ("bollinger", "group_kelly", ["group_kelly weighs"]),
        ("bollinger", "allocation", ["allocation weighs"]),
        ("kelly_volatility", "win_rate", ["distance to a stop", "fixed_stake", "group_kelly"]),
    ],
)
def test_a_sizing_that_weighs_what_is_not_said_is_refused(
    biased: Store, name: str, sizing: str, words: list[str]
) -> None:
    chosen = plan(layered(None, {}, {"strategy": name}, [f"sizing={sizing}"]))
    made = panel(biased, series=["SYNBTC15M"], references=references(chosen.signal))
    with pytest.raises(UsageError) as caught:
        forecasts(made, chosen, outcomes(biased, made.markets))
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("newest", [False, True])
def test_a_signal_is_handed_what_it_declares_to_read_and_no_more(
    biased: Store, monkeypatch: pytest.MonkeyPatch, *, newest: bool
) -> None:
    told = {"strategy": "kelly_volatility"}
    chosen = plan(layered(None, {}, told, [*SPOT, "sizing=kelly", "estimate=bars"]))
    made = panel(biased, series=["SYNBTC15M"], references=references(chosen.signal))
    early = pl.col("time") < pl.col("time").max().over("market") - timedelta(minutes=5)
    made = replace(made, bars=made.bars.filter(early))
    whole, _ = forecasts(made, chosen, schema.SETTLEMENTS.empty(), newest=newest)
    kept = made.bars.select("market", *read_of_bars(chosen), *made.references)
    assert kept.width < made.bars.width / 2
    found, _ = forecasts(
        replace(made, bars=kept), chosen, schema.SETTLEMENTS.empty(), newest=newest
    )
    assert found.equals(whole)
    assert found["fair"].drop_nulls().len() > 10
    monkeypatch.setattr(KellyVolatility, "reads", ("series", "close"))
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="open_time"):
        forecasts(made, chosen, schema.SETTLEMENTS.empty(), newest=newest)


@pytest.mark.parametrize("strategy", ["bollinger", "kelly_volatility", "mean_reversion"])
def test_of_the_newest_bars_alone_the_same_is_said(biased: Store, strategy: str) -> None:
    chosen = plan(layered(None, {}, {"strategy": strategy, "data": str(biased.root)}, []))
    made = panel(biased, series=("SYNBTC15M",), references=references(chosen.signal))
    whole, _ = forecasts(made, chosen, schema.SETTLEMENTS.empty())
    newest, _ = forecasts(made, chosen, schema.SETTLEMENTS.empty(), newest=True)
    plain = whole.group_by("market", maintain_order=True).last().select(newest.columns)
    assert newest.height == made.bars["market"].n_unique() > 10
    assert newest.drop("last", strict=False).equals(plain.drop("last", strict=False))
