"""The event strategy against its slow twin, sums done by hand, and the traps it must avoid."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.signals import contract
from kalshi_bt.signals.event_providers import ORDERS, bracket_probability
from kalshi_bt.signals.event_reference import enrichment, reference_vertical, vertical
from kalshi_bt.signals.event_threshold import Threshold, candidates
from kalshi_bt.signals.event_value import EventValue
from tests.quotes_random import START, flat, quotes
from tests.signals.naive_event_value import bracket, said

COLUMNS = (
    *("model_fair", "model_confidence", "model_cutoff"),
    *("temperature_mean", "temperature_sd", "event_signal"),
)
EAGER: dict[str, Any] = {"min_edge": 0.03, "min_volume": 300.0, "volume_bars": 5, "max_spread": 0.1}
SIGNALS = {
    "default": EventValue(volume_bars=20),
    "reference": EventValue.reference(),
    "eager": EventValue(**EAGER),
    "any": EventValue(**EAGER, providers="any", adaptive=True, liquid_volume=2_000.0),
    "weather": EventValue(**EAGER | {"min_volume": 0.0}, providers="weather"),
    "heuristic": EventValue(**EAGER | {"min_edge": 0.01}, providers="heuristic", edge="mid"),
}


def told(seed: int, **shape: Any) -> pl.DataFrame:
    """Return random quotes of temperature brackets, with random opinions on them."""
    frame = quotes(seed, events=3, markets=3, **shape)
    rng = np.random.Generator(np.random.Philox(key=[seed, 99]))
    n = frame.height
    kinds = np.array(["greater", "less", "between", "greater_or_equal", "less_or_equal"])
    epoch = int(START.timestamp())
    made = {
        "model_fair": rng.uniform(-0.05, 1.05, n),
        "model_confidence": rng.uniform(-0.2, 1.2, n),
        "model_cutoff": rng.integers(epoch - 9_000, epoch + 2_400, n).astype(float),
        "temperature_mean": rng.uniform(95, 107, n).round(1),
        "temperature_sd": rng.uniform(-0.2, 3, n),
        "event_signal": rng.uniform(-1.5, 1.5, n),
    }
    columns = [
        pl.Series(name, np.where(rng.random(n) < 0.4, np.nan, values)).fill_nan(None)
        for name, values in made.items()
    ]
    return frame.with_columns(
        *columns,
        series=pl.lit("KXHIGHNY"),
        strike_type=pl.Series(kinds[rng.integers(0, 5, n)]),
        cap_strike=pl.col("floor_strike") + 1,
    )


def one(**fields: Any) -> pl.DataFrame:
    """Return one row of one market with opinions, all null but those given."""
    row: dict[str, Any] = {
        "series": "KXHIGHNY",
        "bid": 0.40,
        "ask": 0.42,
        "mid": 0.41,
        "volume": 5_000.0,
    }
    frame = flat([None], **row | {k: v for k, v in fields.items() if k not in COLUMNS})
    return frame.with_columns(
        pl.lit(fields.get(name), dtype=pl.Float64).alias(name) for name in COLUMNS
    )


def opinion(signal: EventValue, frame: pl.DataFrame) -> tuple[float | None, float | None]:
    found = signal(frame.lazy()).collect().row(0, named=True)
    return found["fair"], found["confidence"]


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", SIGNALS)
def test_signal_holds_to_the_contract(name: str, check: contract.Check) -> None:
    bars = 40 + SIGNALS[name].lookback * 3 // 2 if SIGNALS[name].lookback < 100 else 80
    check(SIGNALS[name], told(1, bars=bars, absent=0.1, snapshots=0.1))


@pytest.mark.parametrize("name", [n for n in SIGNALS if n != "reference"])
@pytest.mark.parametrize("seed", range(4))
def test_equals_its_twin(name: str, seed: int) -> None:
    signal, frame = SIGNALS[name], told(seed, bars=50, absent=0.1)
    found = signal(frame.lazy()).collect().drop_nulls("fair")
    got = {(r["ticker"], r["time"]): (r["fair"], r["confidence"]) for r in found.to_dicts()}
    options = {n: getattr(signal, n) for n in signal.__dataclass_fields__}
    expected = said(frame.to_dicts(), ORDERS[signal.providers], **options)
    assert got.keys() == expected.keys()
    assert name == "default" or got
    for key, pair in expected.items():
        assert got[key] == pytest.approx(pair, abs=1e-9)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="quotes lacks 'model_fair', needed by event_value"):
        EventValue()(one().drop("model_fair").lazy())
    EventValue(providers="weather")(one().drop("model_fair").lazy())


def test_nothing_recorded_is_no_opinion() -> None:
    assert opinion(EventValue(), one()) == (None, None)


def test_a_model_trained_after_the_bar_is_not_heard() -> None:
    """It may know how the event ended. The bar of `one` ends a minute after START."""
    bar = (START + timedelta(minutes=1)).timestamp()
    fact = {"model_fair": 0.6, "model_confidence": 0.9}
    assert opinion(EventValue(), one(**fact, model_cutoff=bar - 1)) == (0.6, 0.9)
    assert opinion(EventValue(), one(**fact, model_cutoff=bar)) == (None, None)
    assert opinion(EventValue(), one(**fact)) == (None, None)  # a cut-off nobody stated


def test_edge_is_net_of_fee_at_the_executable_price() -> None:
    """Ask 0.42: fee 0.07 x 0.42 x 0.58 = 0.017052, so that 0.50 is worth 0.062948 and no 0.08.

    Against the mid of 0.41 it would seem to be worth 0.0865.
    """
    fact = {"model_fair": 0.50, "model_cutoff": 0.0}
    assert opinion(EventValue(min_edge=0.0629), one(**fact)) == (0.50, 0.45)
    assert opinion(EventValue(min_edge=0.0630), one(**fact)) == (None, None)
    assert opinion(EventValue(min_edge=0.08, edge="mid"), one(**fact)) == (0.50, 0.45)
    # NO at 0.60 pays 1 - 0.30 = 0.70, less 0.07 x 0.6 x 0.4 = 0.0168: 0.0832.
    fact["model_fair"] = 0.30
    assert opinion(EventValue(min_edge=0.0832), one(**fact)) == (0.30, 0.45)
    assert opinion(EventValue(min_edge=0.0833), one(**fact)) == (None, None)


@pytest.mark.parametrize(
    "unseen",
    [
        {"ask": None},
        {"bid": None},
        {"ask": 0.49},
        {"bid": 0.43},
        {"volume": 999.99},
        {"volume": None},
    ],
)
def test_the_scan_passes_over(unseen: dict[str, Any]) -> None:
    fact = {"model_fair": 0.9, "model_cutoff": 0.0}
    assert opinion(EventValue(), one(**fact)) == (0.9, 0.45)
    assert opinion(EventValue(), one(**fact | unseen)) == (None, None)


def test_the_heuristic_of_the_reference_never_makes_a_candidate() -> None:
    """A bias of at most 0.08 less 0.0035 is 0.0765, below the threshold of 0.08 (T11)."""
    for signal in (-1.0, 1.0, 50.0):
        assert opinion(EventValue.reference(), one(event_signal=signal)) == (None, None)
        eager = EventValue(providers="heuristic", edge="mid", min_edge=0.0765)
        assert opinion(eager, one(event_signal=signal))[0] == pytest.approx(
            0.41 + 0.08 * np.sign(signal)
        )


def test_the_heuristic_stands_in_only_when_it_is_called_for() -> None:
    fact = {"event_signal": 1.0}
    for order, expected in (("recorded", None), ("any", 0.49), ("heuristic", 0.49)):
        signal = EventValue(providers=order, min_edge=0.0)  # type: ignore[arg-type]
        assert opinion(signal, one(**fact))[0] == (expected and pytest.approx(expected))


def test_a_value_that_is_no_probability_is_not_clamped_into_one() -> None:
    assert opinion(EventValue(), one(model_fair=60.0, model_cutoff=0.0)) == (None, None)


def test_brackets_without_gap_sum_to_one() -> None:
    rows: list[Any] = [
        ("less", None, 70.0),
        *(("between", 70.0 + 2 * i, 71.0 + 2 * i) for i in range(5)),
    ]
    rows.append(("greater", 79.0, None))
    market = pl.DataFrame(rows, schema=["strike_type", "floor_strike", "cap_strike"], orient="row")
    for mean, sd in ((74.2, 2.5), (60.0, 1.0), (79.5, 0.1)):
        p = market.select(p=bracket_probability(pl.lit(mean), pl.lit(sd)))["p"]
        assert p.sum() == pytest.approx(1, abs=1e-12)
        for row, found in zip(market.to_dicts(), p, strict=True):
            assert found == pytest.approx(bracket(row, mean, sd), abs=1e-12)


def test_bracket_by_hand() -> None:
    """Mean 80, sd 2: 80 or more is Phi(0.25) = 0.598706; 78 or 79 is Phi(-.25) - Phi(-1.25)."""
    market = pl.DataFrame(
        {
            "strike_type": ["greater", "between"],
            "floor_strike": [79.0, 78.0],
            "cap_strike": [None, 79.0],
        }
    )
    p = market.select(p=bracket_probability(pl.lit(80.0), pl.lit(2.0)))["p"]
    assert p[0] == pytest.approx(0.5987063, abs=1e-7)
    assert p[1] == pytest.approx(0.4012937 - 0.1056498, abs=1e-7)


@pytest.mark.parametrize(
    ("volume", "spread", "sure", "quality", "least"),
    [
        (120_000, 0.02, 0.85, 0.928333, 0.015017),
        (10_000, 0.04, 0.45, 0.366667, 0.054333),
        (1_000, 0.08, 0.62, 0.218333, 0.064717),
        (50_000, None, 0.62, 0.799000, 0.024070),
    ],
)
def test_adaptive_threshold_vectors(
    volume: float, spread: float | None, sure: float, quality: float, least: float
) -> None:
    rule = Threshold(adaptive=True)
    told = (pl.lit(float(volume)), pl.lit(spread, dtype=pl.Float64), pl.lit(sure))
    assert pl.select(rule.quality(*told)).item() == pytest.approx(quality, abs=5e-7)
    assert pl.select(rule.least(*told)).item() == pytest.approx(least, abs=5e-7)


def table(*edges: float, **fields: Any) -> pl.LazyFrame:
    """Return valued markets A, B ... at one time, whose adjusted edges are those given."""
    rows = [
        {"time": START, "ticker": chr(65 + i), "fair": 0.5 + edge + 0.0035, "mid": 0.5}
        | {"volume": 5_000.0, "spread": 0.02, "confidence": 0.6}
        | {k: v[i] for k, v in fields.items()}
        for i, edge in enumerate(edges)
    ]
    return pl.DataFrame(rows).lazy()


def test_backfill_adds_the_best_of_the_others_and_marks_them() -> None:
    rule = Threshold(min_candidates=3)
    found = candidates(table(0.03, 0.09, 0.05, 0.019, 0.04), rule).collect()
    assert found["ticker"].to_list() == ["B", "C", "E"]
    assert found["relaxed"].to_list() == [False, True, True]
    assert candidates(table(0.03, 0.09), Threshold()).collect()["ticker"].to_list() == ["B"]
    enough = candidates(table(0.09, 0.10, 0.05), Threshold(min_candidates=1)).collect()
    assert enough["ticker"].to_list() == ["B", "A"]  # strict ones are never cut


def test_a_candidate_below_the_mid_buys_no() -> None:
    found = candidates(table(0.0, fair=[0.30], mid=[0.45]), Threshold()).collect()
    row = found.row(0, named=True)
    assert (row["side"], row["p"], row["price"]) == (-1, pytest.approx(0.7), pytest.approx(0.55))
    assert row["edge"] == pytest.approx(0.1465)


def test_later_volume_changes_nothing() -> None:
    """Poison volume and quotes after t (T2): what was said until t stays."""
    frame = told(3, bars=40)
    now = frame["time"].unique().sort()[20]
    signal = SIGNALS["eager"]
    later = pl.col("time") > now
    poisoned = frame.with_columns(
        volume=pl.when(later).then(1e9).otherwise("volume"),
        bid=pl.when(later).then(0.01).otherwise("bid"),
        ask=pl.when(later).then(0.02).otherwise("ask"),
    )
    before = signal(frame.lazy()).filter(~later).select("fair").collect()
    assert signal(poisoned.lazy()).filter(~later).select("fair").collect().equals(before)


def test_substring_verticals_misfire_and_series_do_not() -> None:
    """T25: words inside words."""
    naive = {"method": "crypto", "solar": "crypto", "train": "weather", "attempt": "weather"}
    text = pl.DataFrame({"t": list(naive)})
    assert text.select(v=reference_vertical(pl.col("t")))["v"].to_list() == list(naive.values())
    named = {
        "KXHIGHNY": "weather",
        "HIGHCHI": "weather",
        "KXBTC15M": "crypto",
        "KXETHD": "crypto",
        "KXNBAGAME": "sports",
        "KXMETHOD": "other",
        "KXSOLAR": "other",
        "KXTRAINDELAY": "other",
        "KXATTEMPT": "other",
    }
    frame = pl.DataFrame({"series": list(named)})
    assert frame.select(v=vertical(pl.col("series")))["v"].to_list() == list(named.values())


def test_enrichment_scales() -> None:
    frame = pl.DataFrame(
        {
            "k": ["weather", "weather", "crypto", "sports", "other"],
            "x": [55.0, 130.0, 90.0, -2.0, 1.0],
        }
    )
    found = frame.select(v=enrichment(pl.col("k"), pl.col("x")))["v"].to_list()
    assert found == [0.55, 1.0, pytest.approx(0.8), -1.0, None]


def test_thresholds_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="fallback is 2; expected 0 to 1"):
        Threshold(fallback=2)
    with pytest.raises(UsageError, match="expected above 0"):
        Threshold(liquid_volume=0)
    with pytest.raises(UsageError, match="min_edge"):
        EventValue(min_edge=1.5)


def test_needs_carry_the_ages_of_their_provider() -> None:
    ages = {n.column: n.max_age_seconds for n in EventValue(providers="any").references}
    assert ages["model_fair"] == 600
    assert ages["temperature_mean"] == 43_200
    assert ages["event_signal"] == 300
    assert datetime.fromtimestamp(0, UTC) < START


def test_an_adaptive_threshold_is_never_above_the_one_it_lowers() -> None:
    rule = Threshold(base=0.02, floor=0.05, adaptive=True)
    bad = (pl.lit(0.0), pl.lit(0.5), pl.lit(0.0))
    good = (pl.lit(1e6), pl.lit(0.0), pl.lit(1.0))
    assert pl.select(a=rule.least(*bad), b=rule.least(*good)).row(0) == (0.02, 0.02)


def test_an_empty_side_of_the_book_is_no_bargain() -> None:
    """An ask of 0 is nobody's offer, and a bid of 1 nobody's."""
    fact = {"model_fair": 0.9, "model_cutoff": 0.0, "bid": 0.0, "ask": 0.0}
    assert opinion(EventValue(), one(**fact)) == (None, None)
    fact = {"model_fair": 0.1, "model_cutoff": 0.0, "bid": 1.0, "ask": 1.0}
    assert opinion(EventValue(), one(**fact)) == (None, None)
