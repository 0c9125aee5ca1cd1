"""The longshot signal: its table equals a slow one, and it says what the formulas say by hand."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.signals import contract
from kalshi_bt.signals.longshot import Longshot
from kalshi_bt.signals.longshot_table import TABLE
from tests.quotes_random import START, flat, quotes
from tests.signals import naive_longshot as naive

EVERY = Longshot(min_price=0.005, max_price=0.995, kappa=0)
Cells = dict[tuple[str, int, int, int], tuple[float, ...]]


def fitted(signal: Longshot, rows: list[tuple[Any, ...]]) -> Longshot:
    """The signal with a table given as (group, band, side, cent, visits, events, gap, error)."""
    return replace(signal, calibration=json.dumps(rows))


def arbitrary(signal: Longshot, group: str, bands: int = 1) -> Longshot:
    """The signal with a table of some gap in every cell."""
    rng = np.random.Generator(np.random.Philox(key=[3, bands]))
    cells = [(b, s, c) for b in range(bands) for s in (-1, 1) for c in range(1, 100)]
    gaps = rng.normal(0.02, 0.05, len(cells))
    return fitted(
        signal,
        [(group, *cell, 300, 250.0, gap, 0.01) for cell, gap in zip(cells, gaps, strict=True)],
    )


def settled(sample: pl.DataFrame, seed: int = 0) -> tuple[dict[str, float], dict[str, datetime]]:
    """Payouts of markets, one of them in between, and when each was known."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 77]))
    tickers = sample["ticker"].unique().sort().to_list()
    payouts = {ticker: float(rng.integers(0, 2)) for ticker in tickers}
    payouts[tickers[0]] = 0.37
    known = {ticker: START + timedelta(hours=int(rng.integers(2, 9))) for ticker in tickers}
    return payouts, known


def history_of(signal: Longshot, sample: pl.DataFrame, seed: int = 0) -> pl.LazyFrame:
    payouts, known = settled(sample, seed)
    ended = pl.LazyFrame(
        {"ticker": list(payouts), "payout": list(payouts.values()), "known_at": known.values()},
        schema_overrides={"known_at": pl.Datetime("us", "UTC")},
    )
    return signal.samples(sample.lazy()).join(ended, on="ticker")


def as_cells(table: pl.DataFrame) -> Cells:
    return {row[:4]: row[4:] for row in table.iter_rows()}


CHATTY = {
    "corrected": arbitrary(replace(EVERY, kappa=50.0), "KXRANDOM"),
    "bound": arbitrary(replace(EVERY, stated="bound"), "KXRANDOM"),
    "bands": arbitrary(
        replace(EVERY, hours="0.1,0.5", interest="100,2000", group="all", gate="none"), "all", 16
    ),
    "strikes": arbitrary(replace(EVERY, group="strike_type", series="^KXR"), "greater"),
    "documented": arbitrary(replace(Longshot.reference(), series="RANDOM", min_price=0.5), "all"),
}


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ["unfitted", "reference", *CHATTY])
def test_signal_holds_to_the_contract(name: str, check: contract.Check) -> None:
    plain = {"unfitted": Longshot(), "reference": Longshot.reference()}
    check({**plain, **CHATTY}[name], quotes(2, bars=40, absent=0.1, snapshots=0.1))


@pytest.mark.parametrize("name", CHATTY)
def test_the_contract_is_not_checked_on_silence(name: str) -> None:
    said = CHATTY[name](quotes(2, bars=40).lazy()).collect()
    assert said["fair"].drop_nulls().len() > 10


def test_unfitted_has_no_opinion() -> None:
    said = Longshot()(quotes(1, bars=20).lazy()).collect()
    assert said["fair"].null_count() == said["confidence"].null_count() == said.height


@pytest.mark.parametrize("bandwidth", [0, 2, 5])
@pytest.mark.parametrize("unit", ["event", "market", "trade"])
@pytest.mark.parametrize("seed", [0, 1])
def test_table_is_that_of_the_slow_twin(unit: str, bandwidth: int, seed: int) -> None:
    sample = quotes(seed, bars=50, events=5, markets=3)
    signal = replace(EVERY, unit=unit, bandwidth=bandwidth)
    payouts, _ = settled(sample, seed)
    rows = sample.to_dicts()
    expected = naive.table(naive.visits(rows, lambda row: row["series"], unit), payouts, bandwidth)
    found = as_cells(signal.fit(history_of(signal, sample, seed)).table)
    assert found.keys() == expected.keys()
    assert len(found) > 50
    for cell, values in expected.items():
        assert found[cell] == pytest.approx(values, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("method", ["cell", "logit"])
def test_a_refit_is_a_fit_of_what_was_known_before_its_time(method: str) -> None:
    sample = quotes(4, bars=60, events=6, markets=3)
    signal = replace(EVERY, method=method)
    history = history_of(signal, sample).collect()
    times = [START + timedelta(hours=h) for h in (1, 3, 4, 6, 20)]
    for time, refit in signal.refits(history.lazy(), times):
        known = history.filter(pl.col("known_at") < time)
        expected = signal.fit(known.lazy()).table
        assert_frame_equal(refit.table, expected, rel_tol=1e-9, abs_tol=1e-12)
        ((_, alone),) = signal.refits(known.lazy(), [time])
        assert alone == refit  # to the last bit, whatever was fitted before
    first, last = (refit for _, refit in signal.refits(history.lazy(), [times[0], times[-1]]))
    assert first.calibration == ""
    assert last.table.height > 50


def test_a_table_does_not_depend_on_the_order_of_its_history() -> None:
    history = history_of(EVERY, quotes(4, bars=60, events=6, markets=3)).collect()
    shuffled = history.sample(fraction=1, shuffle=True, seed=1)
    assert EVERY.fit(history.lazy()) == EVERY.fit(shuffled.lazy())


def test_a_payout_known_at_the_time_of_the_fit_is_not_known_before_it() -> None:
    history = made([("A", 0.85, 1.0)] * 3).with_columns(known_at=pl.lit(START))
    early, late = Longshot(bandwidth=0).refits(
        history.lazy(), [START, START + timedelta(microseconds=1)]
    )
    assert early[1].table.is_empty()
    assert late[1].table.height == 1


def made(visits: list[tuple[str, float, float]], side: int = 1) -> pl.DataFrame:
    """A history from (event, cost, payout), one market a visit."""
    rows = [
        ("T" + str(i), START, event, "S", 0, side, round(cost * 100), cost, 1.0, payout)
        for i, (event, cost, payout) in enumerate(visits)
    ]
    names = ["ticker", "time", "event", "group", "band", "side", "cent", "cost", "weight", "payout"]
    kinds = {"band": pl.Int32, "side": pl.Int8, "cent": pl.Int32}
    return pl.DataFrame(rows, schema=names, orient="row", schema_overrides=kinds)


def test_gap_and_error_of_a_cell_by_hand() -> None:
    # Event A wins twice, B loses, C wins: gaps .15 .15 -.85 .15; r = -.4/4 = -.1.
    # Left over by event: A .3+.2 = .5, B -.85+.1 = -.75, C .15+.1 = .25; squares sum to .875.
    # Variance .875·3/2/16 = .08203125, error .2864; alone .85·.15/(16/6) = .0478 -> .2187.
    table = (
        Longshot(bandwidth=0)
        .fit(made([("A", 0.85, 1), ("A", 0.85, 1), ("B", 0.85, 0), ("C", 0.85, 1)]).lazy())
        .table
    )
    row = table.row(0, named=True)
    assert (row["visits"], row["cent"], row["side"]) == (4, 85, 1)
    assert row["events"] == pytest.approx(16 / 6)
    assert row["gap"] == pytest.approx(-0.1)
    assert row["error"] == pytest.approx(math.sqrt(0.08203125))


def test_a_cell_whose_events_ended_alike_is_not_known_exactly() -> None:
    table = Longshot(bandwidth=0).fit(made([(e, 0.9, 1) for e in "ABCD"]).lazy()).table
    assert table["gap"][0] == pytest.approx(0.1)
    assert table["error"][0] == pytest.approx(math.sqrt(0.09 / 4))


def test_the_no_side_is_paid_when_yes_is_not() -> None:
    table = Longshot(bandwidth=0).fit(made([("A", 0.9, 0), ("B", 0.9, 0.25)], side=-1).lazy()).table
    assert table["gap"][0] == pytest.approx((0.1 - 0.15) / 2)


def at(bid: float | None, ask: float | None, **more: Any) -> pl.LazyFrame:
    close = bid if bid is not None else ask or 0.5
    return flat([(close,) * 4], bid=bid, ask=ask, **more).lazy()


CELL = ("S", 0, 1, 85, 300, 200.0, 0.06, 0.01)


def test_fair_is_shrunk_to_the_price_and_stated_where_it_pays_after_fee_and_error() -> None:
    signal = fitted(Longshot(), [CELL])
    # p = .85 + .06·200/400 = .88; fee .07·.85·.15 = .008925; edge .021075. Its error is .01·√.5.
    said = signal(at(0.83, 0.85)).collect().row(0, named=True)
    assert said["fair"] == pytest.approx(0.88)
    assert said["confidence"] == pytest.approx(0.998561, abs=1e-6)  # Φ(2.98046)
    assert replace(signal, z=2.99)(at(0.83, 0.85)).collect()["fair"][0] is None
    assert replace(signal, z=2.97)(at(0.83, 0.85)).collect()["fair"][0] is not None
    bound = replace(signal, stated="bound")(at(0.83, 0.85)).collect()
    assert bound["fair"][0] == pytest.approx(0.88 - 0.0070710678)


def test_the_fee_alone_can_close_the_gate() -> None:
    # An edge of .008 at 85 c is less than the fee of .0089 and more than none.
    signal = fitted(Longshot(z=0.0), [("S", 0, 1, 85, 300, 200.0, 0.016, 0.01)])
    assert signal(at(0.83, 0.85)).collect()["fair"][0] is None
    free = replace(signal, fee_rate=0.0)(at(0.83, 0.85)).collect()
    assert free["fair"][0] == pytest.approx(0.858)


def test_no_is_priced_at_what_it_costs_and_fair_is_of_yes() -> None:
    signal = fitted(Longshot(), [("S", 0, -1, 85, 300, 200.0, 0.06, 0.01)])
    # NO costs 1 - bid = .85, is worth .88: YES is worth .12. The YES ask of 18 c plays no part.
    assert signal(at(0.15, 0.18)).collect()["fair"][0] == pytest.approx(0.12)
    assert signal(at(0.85, 0.86)).collect()["fair"][0] is None


def test_the_better_side_speaks() -> None:
    cheap = Longshot(min_price=0.3)
    rows = [
        ("S", 0, 1, 50, 300, 200.0, 0.10, 0.01),
        ("S", 0, -1, 51, 300, 200.0, 0.14, 0.01),
    ]
    # YES: .05 - .0175 - .0071; NO at 1 - .49 = .51: .07 - .017493 - .0071, the larger.
    assert fitted(cheap, rows)(at(0.49, 0.50)).collect()["fair"][0] == pytest.approx(1 - 0.58)
    assert fitted(cheap, rows[:1])(at(0.49, 0.50)).collect()["fair"][0] == pytest.approx(0.55)


@pytest.mark.parametrize(
    ("more", "speaks"),
    [
        ({"ask_size": 0.0}, False),
        ({"ask_size": 1.0}, True),
        ({"ask_size": None, "bid_size": 0.0}, True),
    ],
)
def test_nothing_is_said_where_nobody_offers_anything(
    more: dict[str, float | None],
    speaks: bool,  # noqa: FBT001 - a case
) -> None:
    said = fitted(Longshot(), [CELL])(at(0.83, 0.85, **more)).collect()
    assert (said["fair"][0] is not None) == speaks


def test_documented_gate_wants_a_sample_and_a_gap() -> None:
    def says(visits: int, gap: float) -> bool:
        row = ("all", 0, 1, 85, visits, 3.0, gap, 0.5)
        signal = fitted(replace(Longshot.reference(), series=None), [row])
        return signal(at(0.83, 0.85, close=0.85)).collect()["fair"][0] is not None

    assert says(200, 0.0081)
    assert not says(199, 0.0081)
    assert not says(200, 0.008)


def test_series_are_told_apart_by_their_own_name() -> None:
    men = replace(Longshot(), series="^KXNBA")
    row = ("KXNBAGAME", *CELL[1:])
    both = fitted(men, [row, ("KXWNBAGAME", *CELL[1:])])
    frame = pl.concat(
        [at(0.83, 0.85, series="KXNBAGAME"), at(0.83, 0.85, series="KXWNBAGAME", ticker="B")]
    )
    assert both(frame).collect()["fair"].is_null().to_list() == [False, True]
    loose = replace(both, series="NBA")
    assert loose(frame).collect()["fair"].null_count() == 0


def test_bands_have_their_own_tables() -> None:
    signal = fitted(
        replace(Longshot(), hours="1,24", interest="100"),
        # hours bands 0 1 2 and 3 = unknown; interest 0 1 and 2 = unknown: band = h·3 + i
        [("S", 1 * 3 + 0, *CELL[2:]), ("S", 3 * 3 + 2, *CELL[2:])],
    )

    def says(hours: float | None, interest: float | None) -> bool:
        close = None if hours is None else START + timedelta(seconds=60, hours=hours)
        frame = at(0.83, 0.85, close_time=close, open_interest=interest)
        return signal(frame).collect()["fair"][0] is not None

    assert says(1.0, 99.0)
    assert says(None, None)
    assert not says(0.99, 99.0)
    assert not says(24.0, 99.0)
    assert not says(2.0, 100.0)
    assert not says(None, 99.0)


@pytest.mark.parametrize(
    ("cost", "cent"), [(0.29, 29), (0.57, 57), (0.58, 58), (0.854, 85), (0.855, 86), (0.145, 15)]
)
def test_cents_are_not_cut_off(cost: float, cent: int) -> None:  # T24
    found = EVERY.samples(at(None, cost)).collect()
    assert found["cent"].to_list() == [cent]
    mirrored = EVERY.samples(at(round(1 - cost, 4), None)).collect()
    assert (mirrored["side"][0], mirrored["cent"][0]) == (-1, cent)


@pytest.mark.parametrize("cost", [0.003, 0.995, 0.999])
def test_prices_that_round_to_no_cent_have_no_cell(cost: float) -> None:
    rows = [("S", 0, side, cent, 300, 200.0, 0.5, 0.01) for side in (-1, 1) for cent in (1, 99)]
    said = fitted(EVERY, rows)(at(None, cost)).collect()
    assert said["fair"].to_list() == [None]
    assert EVERY.samples(at(None, cost)).collect().is_empty()


# --- traps ----------------------------------------------------------------------------------------


def test_shuffling_later_outcomes_changes_no_earlier_table() -> None:  # T1
    sample = quotes(5, bars=60, events=8, markets=3)
    history = history_of(EVERY, sample).collect()
    now = START + timedelta(hours=5)
    later = pl.col("known_at") >= now
    other = history.with_columns(
        pl.when(later).then(1 - pl.col("payout")).otherwise("payout").alias("payout")
    )
    assert history.filter(later).height > 50
    ((_, told),) = EVERY.refits(history.lazy(), [now])
    ((_, again),) = EVERY.refits(other.lazy(), [now])
    assert told == again
    ((_, all_told),) = EVERY.refits(other.lazy(), [now + timedelta(days=1)])
    assert all_told != EVERY.refits(history.lazy(), [now + timedelta(days=1)])[0][1]


def test_last_trade_and_open_interest_play_no_part_by_default() -> None:  # T2
    signal = CHATTY["corrected"]
    sample = quotes(6, bars=40)
    poison = {name: pl.lit(0.5) for name in ("open", "high", "low", "close", "open_interest")}
    poisoned = sample.with_columns(**poison)
    columns = ["fair", "confidence"]
    told = signal(sample.lazy()).select(columns).collect()
    assert_frame_equal(told, signal(poisoned.lazy()).select(columns).collect())
    assert_frame_equal(
        signal.samples(sample.lazy()).collect(), signal.samples(poisoned.lazy()).collect(),
        check_row_order=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["event", "market"])
def test_repeating_one_market_a_thousand_times_adds_no_sample(unit: str) -> None:  # T3
    signal = replace(EVERY, unit=unit)
    one = at(0.83, 0.85, ticker="A", event="A")
    others = [at(0.83, 0.85, ticker=t, event=t) for t in "BCD"]
    again = pl.concat(
        [one.with_columns(time=pl.col("time") + timedelta(seconds=i)) for i in range(1, 1001)]
    )

    def table(*frames: pl.LazyFrame, unit: Longshot = signal) -> pl.DataFrame:
        paid = pl.col("ticker").is_in(["A", "B"]).cast(pl.Float64)
        return unit.fit(unit.samples(pl.concat(frames)).with_columns(payout=paid)).table

    assert_frame_equal(table(one, *others), table(one, *others, again))
    naively = replace(EVERY, unit="trade")
    assert table(one, *others, again, unit=naively)["visits"].max() == 1004
    assert table(one, *others, again, unit=naively)["events"].max() < 1.01


def lingering(count: int, seed: int) -> pl.DataFrame:
    """Fair markets that stand at 50 c once, or twice if YES will win, and jump elsewhere between.

    From 50 a market goes to 70 (5/7) or straight to 0 (2/7). From 70 it comes back to 50 or goes to
    100, so that E[payout] is the price at every step.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, 9]))
    rows: list[dict[str, Any]] = []
    for i in range(count):
        price, path = 0.5, []
        while 0 < price < 1:
            path.append(price)
            if price == 0.5:
                price = 0.7 if rng.random() < 5 / 7 else 0.0
            else:
                price = 1.0 if rng.random() < 2 / 5 else 0.5
        rows += [{"i": i, "step": step, "price": p, "payout": price} for step, p in enumerate(path)]
    return pl.DataFrame(rows)


def test_first_visits_are_fair_where_the_mean_of_each_market_over_its_visits_is_not() -> None:
    walks = lingering(4000, 1)
    frames = (
        flat([(0.5,) * 4] * walks.height)
        .lazy()
        .collect()
        .with_columns(
            ticker=pl.Series(walks["i"].cast(pl.String)),
            event=pl.Series(walks["i"].cast(pl.String)),
            time=pl.lit(START) + pl.duration(seconds=pl.Series(walks["step"])),
            ask=pl.Series(walks["price"]),
        )
    )
    signal = replace(EVERY, bandwidth=0)
    payouts = walks.select(ticker=pl.col("i").cast(pl.String), payout="payout").unique()
    history = signal.samples(frames.lazy()).join(payouts.lazy(), on="ticker")
    for row in signal.fit(history).table.iter_rows(named=True):
        assert abs(row["gap"]) < 3 * row["error"]
        assert row["error"] < 0.02
    # Each market once, by the time it spends at the price: the share of bars above 50 tells a lot.
    spent = walks.group_by("i").agg(off=(pl.col("payout") - pl.col("price")).mean(), n=pl.len())
    mean, error = spent["off"].mean(), spent["off"].std()
    assert isinstance(mean, float)
    assert isinstance(error, float)
    assert abs(mean) > 5 * error / math.sqrt(spent.height)


def test_markets_of_an_event_that_come_together_share_its_weight() -> None:
    both = pl.concat([at(None, 0.85, ticker="A"), at(None, 0.85, ticker="B")])
    later = at(None, 0.85, ticker="C").with_columns(time=pl.col("time") + timedelta(seconds=60))
    found = EVERY.samples(pl.concat([both, later])).sort("ticker").collect()
    assert found.select("ticker", "weight").rows() == [("A", 0.5), ("B", 0.5)]
    each = replace(EVERY, unit="market").samples(pl.concat([both, later])).sort("ticker").collect()
    assert each.select("ticker", "weight").rows() == [("A", 1.0), ("B", 1.0), ("C", 1.0)]


def test_contracts_count_by_volume_and_unknown_volume_counts_nothing() -> None:
    signal = replace(EVERY, unit="contract", bandwidth=0)
    frame = pl.concat(
        [
            at(None, 0.85, ticker=t, event=t, volume=v)
            for t, v in (("A", 30.0), ("B", 10.0), ("C", None))
        ]
    )
    payout = (pl.col("ticker") == "A").cast(pl.Float64)
    row = signal.fit(signal.samples(frame).with_columns(payout=payout)).table.row(0, named=True)
    assert row["gap"] == pytest.approx(0.75 - 0.85)
    assert row["visits"] == 2


def test_logistic_curve_finds_the_slope_it_was_drawn_with() -> None:
    rng = np.random.Generator(np.random.Philox(key=[8, 8]))
    cost = rng.integers(3, 98, 40_000) / 100
    slope = 1.3
    chance = 1 / (1 + ((1 - cost) / cost) ** slope)
    payout = (rng.random(cost.size) < chance).astype(float)
    rows = [(str(i), float(c), float(y)) for i, (c, y) in enumerate(zip(cost, payout, strict=True))]
    signal = replace(EVERY, method="logit")
    table = signal.fit(made(rows).lazy()).table
    expected = 1 / (1 + ((1 - table["cent"] / 100) / (table["cent"] / 100)) ** slope)
    off = (table["gap"] + table["cent"] / 100 - expected).abs()
    assert table.height == 99
    assert (off < 4 * table["error"]).all()
    assert float(table["error"].max()) < 0.01  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hours": "24,1"}, "rising"),
        ({"interest": "many"}, "rising"),
        ({"series": "("}, "Longshot.series"),
        ({"min_price": 0.9, "max_price": 0.8}, "min_price"),
        ({"unit": "day"}, "unit"),
    ],
)
def test_a_wrong_parameter_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Longshot(**given)


def test_a_history_without_payouts_is_refused() -> None:
    whole = made([("A", 0.85, 1.0)])
    with pytest.raises(DataError, match="payout"):
        Longshot().fit(whole.drop("payout").lazy())
    with pytest.raises(DataError, match=r"payout 2\.0 for T0"):
        Longshot().fit(whole.with_columns(payout=pl.lit(2.0)).lazy())
    with pytest.raises(DataError, match="known_at"):
        Longshot().refits(whole.lazy(), [datetime(2026, 1, 1, tzinfo=UTC)])
    with pytest.raises(DataError, match="quotes lacks 'bid_size'"):
        Longshot()(quotes(1, bars=2).drop("bid_size").lazy())


def test_refits_out_of_order_are_refused() -> None:
    with pytest.raises(UsageError, match="do not rise"):
        Longshot().refits(made([("A", 0.85, 1.0)]).lazy(), [START, START])


def test_the_table_survives_its_text() -> None:
    sample = quotes(3, bars=30, events=4)
    signal = EVERY.fit(history_of(EVERY, sample))
    assert dict(signal.table.schema) == TABLE
    assert hash(signal) == hash(replace(signal))
    assert signal != EVERY
    assert eval(repr(signal), {"Longshot": Longshot}) == signal  # noqa: S307 - our own repr


@pytest.mark.parametrize("unit", ["event", "market", "trade", "contract"])
def test_visits_of_bars_that_come_in_are_those_of_all_bars(unit: Any) -> None:
    """Taken one time after the other they make the same history."""
    sample = quotes(seed=9, markets=3, bars=40)
    signal = replace(EVERY, unit=unit, bandwidth=1)
    whole = signal.samples(sample.lazy()).collect()
    found = whole.clear()
    for time in sample["time"].unique().sort():
        now = signal.samples(sample.lazy().filter(pl.col("time") == time)).collect()
        found = signal.together(found, now)
    key = ["ticker", "time", "side", "cent"]
    assert whole.height
    assert_frame_equal(found.sort(key), whole.sort(key), check_exact=True)
