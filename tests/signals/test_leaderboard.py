"""The leaderboard signal: contract, brute force through its columns, and what it must not say."""

import math
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.signals import contract
from kalshi_bt.signals.leaderboard import Leaderboard
from kalshi_bt.signals.leaderboard_names import code
from tests.quotes_random import START, flat, quotes
from tests.signals.naive_leaderboard import frequencies, table_fair

MODELS = ("a-1", "a-2", "b-1", "c-1", "d-1")
MAKERS = {name: code(name[0]) for name in MODELS}
SIGNALS = {
    "default": Leaderboard(places=4),
    "reference": Leaderboard.reference(),
    "alone": Leaderboard(places=4, ties="alone", error_days=20.0, step=600),
    "ties win": Leaderboard(places=2, ties="ties_win", hazard=0.0),
}
CALM: dict[str, Any] = {"places": 4, "hazard": 0.0, "volatility": 1.0}


def columns(signal: Leaderboard) -> list[str]:
    return [need.column for need in signal.references]


def told(seed: int, signal: Leaderboard) -> pl.DataFrame:
    """Return random quotes of model and organisation markets beside random boards."""
    frame = quotes(seed, events=3, markets=3, bars=40, absent=0.1)
    rng = np.random.Generator(np.random.Philox(key=[seed, 77]))
    times = frame["time"].unique().sort()
    boards: dict[str, list[Any]] = {
        name: [] for name in columns(signal) if name.startswith("board_")
    }
    for hour in range(len(times)):
        if hour % 7 == 0:
            order = [MODELS[i] for i in rng.permutation(len(MODELS))]
            scores = np.sort(rng.normal(1500, 8, signal.places))[::-1]
            width = rng.uniform(2, 12, signal.places)
            early = rng.integers(0, 2, signal.places)
        for name, values in boards.items():
            _, place, field = name.split("_", 2)
            k = int(place) - 1
            known = k < len(order) and rng.random() > 0.02
            value = {
                "score": scores[k],
                "low": scores[k] - width[k],
                "high": scores[k] + width[k],
                "model": code(order[k % 5]),
                "organization": MAKERS[order[k % 5]],
                "preliminary": float(early[k]),
            }[field]
            values.append(value if known else None)
    board = pl.DataFrame(
        {"time": times, **boards}, schema_overrides=dict.fromkeys(boards, pl.Float64)
    )
    names = {t: i for i, t in enumerate(frame["ticker"].unique().sort())}
    series = {t: ("KXTOPMODEL", "KXLLM1", "KXOTHER")[i // 3] for t, i in names.items()}
    named = {t: code(MODELS[i % 5] if i < 3 else MODELS[i % 5][0]) for t, i in names.items()}
    named |= {t: code("Other") for t, i in names.items() if i in {2, 5}}
    made = frame.join(board, on="time", how="left", maintain_order="left").with_columns(
        series=pl.col("ticker").replace_strict(series),
        contract_name=pl.col("ticker").replace_strict(named, return_dtype=pl.Float64),
    )
    return made.with_columns(contract_named=pl.when(pl.col("contract_name") == 0).then(5.0))


def event(
    rows: list[tuple[str, float, float, float, str]],
    names: list[str],
    *,
    series: str = "KXTOPMODEL",
    days: float = 9.0,
    places: int = 4,
    **fields: Any,
) -> pl.DataFrame:
    """Return a bar of the markets on `names` beside a board (model, score, low, high, maker)."""
    close = START + timedelta(minutes=1, days=days)
    board = {
        f"board_{k + 1}_{field}": float(value)
        for k, (model, score, low, high, maker) in enumerate(rows)
        for field, value in (
            *(("score", score), ("low", low), ("high", high)),
            *(("model", code(model)), ("organization", code(maker)), ("preliminary", 0.0)),
        )
    }
    what = 4 if series == "KXLLM1" else 0
    mask = sum(2.0**k for k, row in enumerate(rows) if code(row[what]) in map(code, names))
    parts = [
        flat([None], ticker=f"T{i}", series=series, close_time=close).with_columns(
            pl.lit(code(name), dtype=pl.Float64).alias("contract_name"),
            pl.lit(mask if name == "Other" else None, dtype=pl.Float64).alias("contract_named"),
            *(
                pl.lit((board | fields).get(column), dtype=pl.Float64).alias(column)
                for column in columns(Leaderboard(places=places, odds="table"))[1:]
            ),
        )
        for i, name in enumerate(names)
    ]
    return pl.concat(parts)


def fairs(signal: Leaderboard, frame: pl.DataFrame) -> list[float | None]:
    return signal(frame.lazy()).collect()["fair"].to_list()


BOARD = [
    ("m-1", 1504.0, 1495.0, 1513.0, "M"),
    ("m-2", 1501.0, 1493.0, 1509.0, "M"),
    ("n-1", 1500.0, 1496.0, 1504.0, "N"),
    ("o-1", 1490.0, 1480.0, 1500.0, "O"),
]


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", SIGNALS)
def test_signal_holds_to_the_contract(name: str, check: contract.Check) -> None:
    frame = told(1, SIGNALS[name])
    assert contract.run(SIGNALS[name], frame)["fair"].drop_nulls().len() > 0
    check(SIGNALS[name], frame)


def test_probabilities_equal_brute_force() -> None:
    score = [row[1] for row in BOARD]
    width = [(row[3] - row[2]) / 2 for row in BOARD]
    sd = [math.hypot(2 * w / 3.92, 3.0) for w in width]  # nine days at a point a day
    for series, group, names in (
        ("KXTOPMODEL", [0, 1, 2, 3], ["m-1", "m-2", "n-1", "o-1"]),
        ("KXLLM1", [0, 0, 2, 3], ["m", "M", "n", "o"]),
    ):
        found = fairs(Leaderboard(**CALM), event(BOARD, names, series=series))
        expected = frequencies(score, sd, width, group, "cascade", 4_000)
        for p, share in zip(found, expected, strict=True):
            assert p == pytest.approx(share, abs=4 * 0.5 / math.sqrt(4_000))


def test_models_sum_to_one_and_organisations_are_their_models() -> None:
    """T17."""
    signal = Leaderboard(**CALM)
    models = fairs(signal, event(BOARD, ["m-1", "m-2", "n-1", "o-1"]))
    makers = fairs(signal, event(BOARD, ["m", "n", "o"], series="KXLLM1"))
    assert sum(p or 0 for p in models) == pytest.approx(1)
    assert makers[0] == pytest.approx((models[0] or 0) + (models[1] or 0))
    assert makers[1:] == pytest.approx(models[2:])


def test_a_hazard_leaves_room_for_who_is_not_listed() -> None:
    """Sixty days at one in ten days: 1 - exp(-6) that somebody enters, half a chance to lead."""
    names = ["m-1", "m-2", "n-1", "o-1"]
    calm = Leaderboard(places=4, hazard=0.0)
    busy = Leaderboard(places=4, hazard=0.1)
    frame = event(BOARD, names, days=60)
    assert sum(p or 0 for p in fairs(calm, frame)) == pytest.approx(1)
    assert 0.4 < sum(p or 0 for p in fairs(busy, frame)) < 0.8


@pytest.mark.parametrize("hazard", [0.0, 0.08])
@pytest.mark.parametrize(
    ("series", "names"),
    [
        ("KXTOPMODEL", ["m-1", "n-1", "Other"]),
        ("KXTOPMODEL", ["m-1", "m-2", "n-1", "o-1", "Other"]),
        ("KXLLM1", ["m", "o", "Other"]),
        ("KXLLM1", ["n", "Other", "unknown"]),
        ("KXLLM1", ["Other"]),
    ],
)
def test_other_has_what_the_contracts_of_its_event_leave(
    series: str, names: list[str], hazard: float
) -> None:
    """T17: the probabilities of an event sum to one."""
    signal = Leaderboard(places=4, hazard=hazard)
    found = dict(zip(names, fairs(signal, event(BOARD, names, series=series)), strict=True))
    assert sum(p or 0 for p in found.values()) == pytest.approx(1, abs=1e-9)
    assert (found["Other"] == 0) == (hazard == 0 and len(names) == 5)
    assert found.get("unknown") is None


def test_where_nobody_may_win_other_has_no_more_than_its_own_chances() -> None:
    names = ["m-1", "m-2", "n-1", "o-1", "Other"]
    for ties in ("alone", "ties_win"):
        signal = Leaderboard(**CALM, ties=ties)  # type: ignore[arg-type]
        whole = fairs(signal, event(BOARD, names))
        part = fairs(signal, event(BOARD, ["m-1", "n-1", "o-1", "Other"]))
        assert whole[4] == 0
        assert part[3] == pytest.approx(min(whole[1] or 0, 1))  # m-2


def test_the_documented_odds_say_nothing_of_other() -> None:
    assert fairs(Leaderboard.reference(), event(BOARD, ["m-1", "Other"], places=10))[1] is None


def test_probabilities_sharpen_as_the_check_comes_near() -> None:
    """T17."""
    signal = Leaderboard(places=4)
    leads = [fairs(signal, event(BOARD, ["m-1"], days=d))[0] or 0 for d in (365, 30, 7, 1, 0)]
    assert leads == sorted(leads)
    assert len(set(leads)) == 5


def test_after_the_check_no_time_is_left() -> None:
    signal = Leaderboard(places=4)
    assert fairs(signal, event(BOARD, ["m-1"], days=-3)) == fairs(
        signal, event(BOARD, ["m-1"], days=0)
    )


def test_nothing_is_said_of_what_is_not_known() -> None:
    signal = Leaderboard(places=4)
    frame = event(BOARD, ["m-1", "unreleased", "Other"])
    assert fairs(signal, frame)[1] is None
    assert fairs(signal, frame.with_columns(contract_named=None))[2] is None
    assert fairs(signal, frame.with_columns(contract_name=None))[0] is None
    assert fairs(signal, event(BOARD, ["m-1"], board_1_score=None)) == [None]
    assert fairs(signal, event(BOARD, ["m-1"], series="KXTOPAI")) == [None]
    unscheduled = frame.with_columns(pl.lit(None, frame["close_time"].dtype).alias("close_time"))
    assert fairs(signal, unscheduled) == [None] * 3


def test_places_that_are_empty_are_nobody() -> None:
    signal = Leaderboard(**CALM)
    found = fairs(signal, event(BOARD[:2], ["m-1", "m-2", "n-1"]))
    assert found[0] is not None
    assert found[1] is not None
    assert found[0] + found[1] == pytest.approx(1)
    assert found[2] is None


def test_as_documented_two_that_overlap_have_sixty_five_each() -> None:
    """T17: best ranks 1, 1, 1 and 1 sum to 2.6 on this board, a day or a year before the check."""
    signal = Leaderboard(odds="table", places=4)
    names = ["m-1", "m-2", "n-1", "o-1"]
    near, far = (fairs(signal, event(BOARD, names, days=d)) for d in (1, 365))
    assert near == far == [0.65] * 4


def test_as_documented_ranks_and_organisations() -> None:
    rows = [
        ("m-1", 1512.0, 1510.0, 1514.0, "M"),
        ("n-1", 1500.0, 1498.0, 1502.0, "N"),
        ("m-2", 1490.0, 1488.0, 1492.0, "M"),
        ("o-1", 1489.0, 1486.0, 1492.0, "O"),
    ]
    signal = Leaderboard(odds="table", places=4)
    found = fairs(signal, event(rows, [row[0] for row in rows]))
    assert found == [table_fair(rank, wins=False, preliminary=False) for rank in (1, 2, 3, 3)]
    early = event(rows, ["n-1"], board_2_preliminary=1.0)
    assert fairs(signal, early) == [table_fair(2, wins=False, preliminary=True)]
    makers = fairs(signal, event(rows, ["m", "n", "o"], series="KXLLM1"))
    assert makers == [
        table_fair(1, wins=True, preliminary=False),
        table_fair(2, wins=False, preliminary=False),
        table_fair(3, wins=False, preliminary=False),
    ]


def test_a_missing_column_is_named() -> None:
    frame = event(BOARD, ["m-1"]).drop("board_2_low")
    with pytest.raises(DataError, match="quotes lacks 'board_2_low', needed by leaderboard"):
        Leaderboard(places=4)(frame.lazy())


def test_needs_are_one_name_and_the_places() -> None:
    needs = Leaderboard(places=3, board_age=60).references
    assert len(needs) == 1 + 3 * 5 + 1
    assert (needs[0].source, needs[0].symbol, needs[0].field) == ("contract", "{ticker}", "name")
    assert (needs[3].column, needs[3].symbol, needs[3].field) == ("board_3_score", "3", "score")
    assert {need.max_age_seconds for need in needs[1:-1]} == {60}
    assert (needs[-1].source, needs[-1].symbol, needs[-1].field) == (
        "contract",
        "{ticker}",
        "named",
    )


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="places is 1"):
        Leaderboard(places=1)
    with pytest.raises(UsageError, match="ties"):
        Leaderboard(ties="nobody")  # type: ignore[arg-type]
