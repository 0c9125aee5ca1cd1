"""Dated rates of markets: series, events that override them, and the terms behind a single fee."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from kalshi_bt import schema
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.fee_schedule import (
    MAKER_RATES_FROM,
    PUBLISHED,
    Schedule,
    Terms,
    general_terms,
    parse_multiplier,
)
from kalshi_bt.fees import FEE_TYPES, market_rates, rates, rounding_at, settlement_fee
from kalshi_bt.simulator.rules import ORDER_CENT
from kalshi_bt.simulator.views import regime

FREE, MAKERS, COMBO = FEE_TYPES
ONE, HALF = 1_000_000, 500_000
DAYS = [datetime(2026, 4, 1, tzinfo=UTC) + timedelta(days=d) for d in range(40)]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Override = tuple[str, datetime, str | None, int | None]


def series(*rows: tuple[str, datetime, str, int]) -> pl.DataFrame:
    names = ("series", "effective_from", "fee_type", "fee_multiplier")
    kinds = {name: schema.SERIES.columns[name] for name in names}
    return schema.SERIES.filled(pl.DataFrame(rows, schema=kinds, orient="row"))


def overrides(*rows: Override) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=schema.EVENT_FEES.columns, orient="row")
    return schema.EVENT_FEES.filled(frame)


def games(*tickers: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ticker": tickers,
            "event": [t.rpartition("-")[0] for t in tickers],
            "series": [t.split("-")[0] for t in tickers],
        },
        schema={"ticker": pl.String, "event": pl.String, "series": pl.String},
    )


BASEBALL = series(("KXMLBGAME", EPOCH, MAKERS, HALF))


def found(
    markets: pl.DataFrame, rows: pl.DataFrame, event_fees: pl.DataFrame | None
) -> list[tuple[int, datetime, int, int]]:
    frame = market_rates(markets, rows, event_fees)
    assert frame.schema == {
        "market": pl.UInt32,
        "from_time": schema.Time,
        "taker": pl.Int64,
        "maker": pl.Int64,
    }
    return frame.rows()


def test_an_event_has_its_own_multiplier_from_its_date_on() -> None:
    """Games are at half the rate until the first pitch."""
    markets = games("KXMLBGAME-A-NYM", "KXMLBGAME-A-PHI", "KXMLBGAME-B-SDP")
    assert found(markets, BASEBALL, overrides(("KXMLBGAME-A", DAYS[3], None, ONE))) == [
        (0, EPOCH, 35_000, 8_750),
        (0, DAYS[3], 70_000, 17_500),
        (1, EPOCH, 35_000, 8_750),
        (1, DAYS[3], 70_000, 17_500),
        (2, EPOCH, 35_000, 8_750),
    ]


def test_an_event_can_change_the_type_alone() -> None:
    own = overrides(("KXMLBGAME-A", DAYS[3], FREE, None))
    assert found(games("KXMLBGAME-A-NYM"), BASEBALL, own)[1:] == [(0, DAYS[3], 35_000, 0)]


def test_a_multiplier_of_zero_of_an_event_is_a_value() -> None:
    own = overrides(("KXMLBGAME-A", DAYS[3], None, 0))
    assert found(games("KXMLBGAME-A-NYM"), BASEBALL, own)[1:] == [(0, DAYS[3], 0, 0)]


def test_a_cleared_override_is_the_series_again() -> None:
    own = overrides(("KXMLBGAME-A", DAYS[3], FREE, ONE), ("KXMLBGAME-A", DAYS[5], None, None))
    assert found(games("KXMLBGAME-A-NYM"), BASEBALL, own) == [
        (0, EPOCH, 35_000, 8_750),
        (0, DAYS[3], 70_000, 0),
        (0, DAYS[5], 35_000, 8_750),
    ]


def test_a_later_change_of_the_series_shows_where_the_override_is_null() -> None:
    rows = series(("KXMLBGAME", EPOCH, MAKERS, HALF), ("KXMLBGAME", DAYS[9], FREE, ONE))
    markets = games("KXMLBGAME-A-NYM")
    only_multiplier = overrides(("KXMLBGAME-A", DAYS[3], None, 250_000))
    assert found(markets, rows, only_multiplier)[1:] == [
        (0, DAYS[3], 17_500, 4_375),
        (0, DAYS[9], 17_500, 0),
    ]
    only_type = overrides(("KXMLBGAME-A", DAYS[3], COMBO, None))
    assert found(markets, rows, only_type)[1:] == [
        (0, DAYS[3], 35_000, 17_500),
        (0, DAYS[9], 70_000, 35_000),
    ]
    both = overrides(("KXMLBGAME-A", DAYS[3], COMBO, HALF))
    assert {row[2:] for row in found(markets, rows, both)[1:]} == {(35_000, 17_500)}


def test_an_override_before_the_first_row_of_the_series_starts_at_its_own_date() -> None:
    rows = series(("KXMLBGAME", DAYS[5], MAKERS, HALF))
    own = overrides(("KXMLBGAME-A", DAYS[1], None, ONE))
    assert found(games("KXMLBGAME-A-NYM"), rows, own) == [
        (0, EPOCH, 35_000, 8_750),
        (0, DAYS[1], 70_000, 17_500),
    ]


def test_overrides_of_other_events_change_nothing() -> None:
    markets = games("KXMLBGAME-A-NYM")
    plain = found(markets, BASEBALL, None)
    assert found(markets, BASEBALL, overrides()) == plain
    assert found(markets, BASEBALL, overrides(("KXMLBGAME-Z", DAYS[1], None, 0))) == plain
    assert found(games(), BASEBALL, overrides(("KXMLBGAME-Z", DAYS[1], None, 0))) == []


def test_an_override_is_held_to_the_same_rules_as_a_series() -> None:
    with pytest.raises(UsageError, match="unknown fee type 'flat'"):
        found(games("KXMLBGAME-A-NYM"), BASEBALL, overrides(("KXMLBGAME-A", DAYS[1], "flat", ONE)))
    with pytest.raises(DataError, match=r"series 'KXNEW' \(market KXNEW-A-B\) has no fee row"):
        found(games("KXNEW-A-B"), BASEBALL, overrides(("KXNEW-A", DAYS[1], FREE, ONE)))


def plain_terms(
    name: str,
    event: str,
    time: datetime,
    rows: Sequence[tuple[str, datetime, str, int]],
    own: Sequence[Override],
) -> tuple[str, int]:
    """The plain twin: the last row that has begun, the first where none has."""
    of_series = sorted((r for r in rows if r[0] == name), key=lambda r: r[1])
    begun = [r for r in of_series if r[1] <= time] or of_series[:1]
    last = max((o for o in own if o[0] == event and o[1] <= time), key=lambda o: o[1], default=None)
    _, _, fee_type, multiplier = begun[-1]
    if last is not None:
        fee_type = fee_type if last[2] is None else last[2]
        multiplier = multiplier if last[3] is None else last[3]
    return fee_type, multiplier


@pytest.mark.parametrize("key", range(12))
def test_random_schedules_equal_the_last_row_that_has_begun(key: int) -> None:
    rng = np.random.Generator(np.random.Philox(key))
    kinds, steps = [FREE, MAKERS, COMBO], [0, HALF, ONE, 2 * ONE]

    def days() -> list[datetime]:
        return [DAYS[i] for i in sorted(rng.choice(30, rng.integers(1, 4), replace=False))]

    rows = [
        (name, day, str(rng.choice(kinds)), int(rng.choice(steps)))
        for name in ("KXA", "KXB")
        for day in days()
    ]
    types = [*kinds, None]
    multipliers = [*steps, None]
    own: list[Override] = [
        (event, day, types[rng.integers(4)], multipliers[rng.integers(5)])
        for event in ("KXA-1", "KXA-2", "KXB-1", "KXC-9")
        for day in days()
    ]
    markets = games("KXA-1-X", "KXA-1-Y", "KXA-2-X", "KXA-3-X", "KXB-1-X", "KXB-2-X")
    frame = market_rates(markets, series(*rows), overrides(*own))
    schedule = Schedule.of_dataset(series(*rows), overrides(*own))
    for index, (_, event, name) in enumerate(markets.iter_rows()):
        dated = frame.filter(pl.col("market") == index)
        assert dated["from_time"].is_sorted()
        assert dated["from_time"].n_unique() == dated.height
        for time in (
            DAYS[0] - timedelta(days=9),
            *DAYS,
            *(d - timedelta(microseconds=1) for d in DAYS),
        ):
            begun = dated.filter(pl.col("from_time") <= time)
            row = (begun if begun.height else dated[:1])[-1 if begun.height else 0]
            expected = plain_terms(name, event, time, rows, own)
            assert row.select("taker", "maker").row(0) == rates(*expected)
            terms = schedule.at(name, time, event)
            assert (terms.fee_type, terms.multiplier) == expected


# --- terms of one fee -----------------------------------------------------------------------------


def test_index_series_were_at_half_until_july_2026() -> None:
    last = datetime(2026, 7, 3, 16, 59, 59, 999_999, tzinfo=UTC)
    change = last + timedelta(microseconds=1)
    for name in ("INX", "KXINX", "KXINXU", "KXNASDAQ100", "KXNASDAQ100U", "KXINXY"):
        assert PUBLISHED.at(name, last).rate("taker", last) == 35_000
        assert PUBLISHED.at(name, change).rate("taker", change) == 70_000
        assert PUBLISHED.at(name, None) == PUBLISHED.at(name, change)
    assert PUBLISHED.at("KXINXY", change).rate("maker", change) == 17_500
    assert PUBLISHED.at("KXINX", change).rate("maker", change) == 0


def test_every_row_of_the_table_is_a_rate_in_order_of_time() -> None:
    assert len(PUBLISHED.series) > 40
    for rows in PUBLISHED.series.values():
        assert [row[0] for row in rows] == sorted({row[0] for row in rows})
        for since, _, _ in rows:
            assert Terms(*rows[0][1:], since, "").rate("taker", since) % 5_000 == 0  # type: ignore[arg-type]


def test_free_series_are_known_to_be_free_only_since_they_were_seen() -> None:
    assert PUBLISHED.at("KXBTCY", None).multiplier == 0
    with pytest.raises(UsageError, match="'KXBTCY' are not known before 2026-10-09; give its fee"):
        PUBLISHED.at("KXBTCY", DAYS[0])


def test_an_unknown_series_is_an_error_that_names_the_way_out() -> None:
    with pytest.raises(UsageError, match=r"'KXNEW' are not known; .*--fee-type.* or a dataset"):
        PUBLISHED.at("KXNEW", None)


def test_makers_had_no_rate_before_july_2025() -> None:
    terms = PUBLISHED.at("KXNBAGAME", MAKER_RATES_FROM)
    early = MAKER_RATES_FROM - timedelta(microseconds=1)
    assert terms.rate("maker", MAKER_RATES_FROM) == 17_500
    assert terms.rate("taker", early) == 70_000
    assert general_terms().rate("maker", early) == 0
    with pytest.raises(UsageError, match="flat fee per contract until 2025-06-30"):
        terms.rate("maker", early)
    with pytest.raises(UsageError, match="unknown role 'makr'; did you mean 'maker'"):
        terms.rate("makr", None)


def test_terms_of_a_dataset_say_since_when_they_hold() -> None:
    own = overrides(("KXMLBGAME-A", DAYS[3], None, ONE), ("KXMLBGAME-A", DAYS[5], None, None))
    schedule = Schedule.of_dataset(BASEBALL, own)
    at = [schedule.at("KXMLBGAME", DAYS[d], "KXMLBGAME-A") for d in (2, 4, 6)]
    assert [(t.multiplier, t.since, t.source) for t in at] == [
        (HALF, EPOCH, "dataset"),
        (ONE, DAYS[3], "dataset"),
        (HALF, EPOCH, "dataset"),
    ]
    assert Schedule.of_dataset(BASEBALL).at("KXMLBGAME", None).multiplier == HALF


def test_an_incomplete_row_of_a_series_is_an_error() -> None:
    broken = Schedule({"KXA": ((EPOCH, None, ONE),)})
    with pytest.raises(UsageError, match=r"series 'KXA' at 1970-01-01 .* is not complete"):
        broken.at("KXA", None)


def test_multipliers_are_exact() -> None:
    assert [parse_multiplier(x) for x in ("1", "0.5", 0, 0.25, "1/2", "0.000001")] == [
        ONE, HALF, 0, 250_000, HALF, 1,
    ]  # fmt: skip
    for text in ("x", "1/0", "nan", "inf"):
        with pytest.raises(UsageError, match="is not a multiplier, such as 1 or 0"):
            parse_multiplier(text)
    for text in ("-1", "0.0000005", "1/3"):
        with pytest.raises(UsageError, match="is not a whole, positive number"):
            parse_multiplier(text)


# --- the rest of the schedule ---------------------------------------------------------------------


def test_rounding_by_date_is_that_of_the_simulator() -> None:
    class ByDate:
        rounding = -1

    for day in (datetime(2026, 3, 4, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC)):
        for offset in (-1, 0, 1):
            time = int((day - EPOCH) / timedelta(microseconds=1)) + offset
            rounding, quantum = regime.py_func(ByDate, time)  # type: ignore[attr-defined]
            assert rounding_at(time) == (rounding == ORDER_CENT, quantum)


@pytest.mark.parametrize(
    ("payout", "quantity", "precision", "kept"),
    [
        (5_970, 1_060, 10_000, 8_200),  # published in March 2026: 10.60 at 0.5970 pay 6.32
        (3_060, 10_001, 100, 60),  # told by a member: 100.01 at 0.3060 pay 30.6030
        (10_000, 1_234, 10_000, 0),
        (10_000, 1_234, 100, 0),
        (0, 1_234, 10_000, 0),
        (5_000, 100, 10_000, 0),
    ],
)
def test_settlements_keep_what_does_not_fill_a_step(
    payout: int, quantity: int, precision: int, kept: int
) -> None:
    assert settlement_fee(payout, quantity, precision) == kept
    assert (payout * quantity - kept) % precision == 0
