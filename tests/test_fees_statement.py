"""One fee explained: every number of the steps, and what cannot be explained."""

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_bt.errors import UsageError
from kalshi_bt.fee_schedule import Schedule
from kalshi_bt.fee_statement import MOST, explain, parse_date


def test_every_step_of_a_fee_under_the_newest_rules() -> None:
    """By hand: 0.07 x 10 x 0.42 x 0.58 = 0.17052; 4.37052 is aligned to 4.3706."""
    found = explain("0.42", "10", "taker", series="KXBTC15M").json()
    assert found == {
        "series": "KXBTC15M",
        "date": None,
        "role": "taker",
        "price": "0.42",
        "count": "10.00",
        "fee_type": "quadratic",
        "multiplier": "1",
        "since": "2022-09-01T00:00:00Z",
        "source": "built-in table",
        "rate": "0.07",
        "exact": "0.17052",
        "rounding": "exchange",
        "step": "0.000001",
        "precision": "0.0001",
        "trade_fee": "0.17052",
        "balance_change": "-4.3706",
        "alignment": "0.00008",
        "rebate": "0.00",
        "carried": "0.00008",
        "total": "0.1706",
        "per_contract": "0.017060",
        "percent_of_price": "4.0619",
    }


def test_the_text_says_the_steps_in_order() -> None:
    lines = explain("0.42", "10", "taker", series="KXBTC15M").text().splitlines()
    assert lines[0] == "10.00 contracts at 0.42 in KXBTC15M, taker, under the newest rules"
    assert [line.split("  ")[1] for line in lines[1:]] == [
        "terms", "rate", "exact", "trade fee", "balance", "alignment", "carried",
        "total", "per contract", "of the price",
    ]  # fmt: skip
    assert lines[3].endswith("0.07 x 10.00 x 0.42 x (1 - 0.42) = 0.17052")
    assert lines[5].endswith("-4.20 - 0.17052 = -4.37052, down to a multiple of 0.0001: -4.3706")
    assert lines[8].split() == ["total", "0.1706", "dollars"]
    assert lines[10].split() == ["of", "the", "price", "4.06", "%"]


@pytest.mark.parametrize(
    ("price", "count", "role", "options", "expected"),
    [
        # The exchange's example of a cleared account: 0.003639, aligned to 0.06, 0.005 in all.
        ("0.055", 1, "taker", {"precision": "0.01"},
         {"trade_fee": "0.003639", "balance_change": "-0.06", "alignment": "0.001361",
          "carried": "0.001361", "total": "0.005"}),
        # By the cent until March 2026.
        ("0.5", 100, "taker", {"date": "2026-02-01"},
         {"rounding": "order_cent", "precision": None, "total": "1.75", "carried": "0.00"}),
        ("0.25", 1, "taker", {"date": "2026-03-03T23:59:59.999999Z"},
         {"step": "0.01", "trade_fee": "0.02", "total": "0.02", "alignment": "0.00"}),
        # By cents of the balance until 2026-05-28: 0.2632 is 0.27; the step may be given.
        ("0.25", 1, "taker", {"date": "2026-03-04"},
         {"step": "0.0001", "precision": "0.01", "trade_fee": "0.0132", "balance_change": "-0.27",
          "alignment": "0.0068", "total": "0.02"}),
        ("0.25", 1, "taker", {"date": "2026-05-27T23:59:59.999999Z"},
         {"precision": "0.01", "total": "0.02"}),
        ("0.25", 1, "taker", {"date": "2026-05-28"},
         {"step": "0.0001", "precision": "0.0001", "trade_fee": "0.0132", "total": "0.0132"}),
        ("0.25", 1, "taker", {"date": "2026-03-04", "precision": "0.0001"},
         {"precision": "0.0001", "total": "0.0132"}),
        # The index rate ended at 17:00Z.
        ("0.5", 100, "taker", {"series": "KXINX", "date": "2026-07-03T12:59:59-04:00"},
         {"multiplier": "0.5", "rate": "0.035", "total": "0.875"}),
        ("0.5", 100, "taker", {"series": "KXINX", "date": "2026-07-03T17:00Z"},
         {"multiplier": "1", "total": "1.75", "since": "2026-07-03T17:00:00Z"}),
        # A whole cent was handed back in August 2026, at steps of the balance since September.
        ("0.3301", "0.03", "taker", {"precision": "0.01", "date": "2026-06-01"},
         {"trade_fee": "0.0005", "alignment": "0.009597", "rebate": "0.00", "total": "0.010097"}),
        ("0.5", 100, "maker", {"series": "KXNBAGAME"}, {"rate": "0.0175", "total": "0.4375"}),
        ("0.5", 100, "maker", {"series": "KXBTC15M"}, {"rate": "0", "total": "0.00"}),
        ("0.5", 100, "taker", {"series": "KXBTCY"}, {"multiplier": "0", "total": "0.00"}),
        ("0.5", 100, "maker", {"fee_type": "quadratic_with_maker_fees", "multiplier": "1/2"},
         {"rate": "0.00875", "total": "0.2188", "source": "as given", "since": None}),
        ("0.5", 100, "taker", {"series": "KXNEW", "fee_type": "quadratic", "multiplier": 0},
         {"total": "0.00", "source": "as given", "since": None}),
        # One of the two replaces that of the series: a game in play, at twice the usual half.
        ("0.5", 100, "maker", {"series": "KXMLBGAME", "multiplier": 1},
         {"total": "0.4375", "source": "built-in table, multiplier as given"}),
        ("0.5", 100, "maker", {"series": "KXMLBGAME", "fee_type": "quadratic"},
         {"total": "0.00", "multiplier": "0.5", "source": "built-in table, type as given"}),
        ("0.5", 100, "taker", {"multiplier": 2},
         {"total": "3.50", "source": "general schedule, multiplier as given"}),
        ("0.5", 100, "taker", {}, {"source": "general schedule", "total": "1.75", "series": None}),
        # A maker without a fee pays the alignment of a fraction of a contract.
        ("0.4301", "0.37", "maker", {"date": "2026-07-10"},
         {"trade_fee": "0.00", "alignment": "0.000063", "total": "0.000063",
          "balance_change": "-0.1592"}),
    ],
)  # fmt: skip
def test_statements_worked_out_by_hand(
    price: str, count: str, role: str, options: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = explain(price, count, role, **options).json()
    assert {name: found[name] for name in expected} == expected


PRICES, COUNTS = st.integers(1, 9_999), st.integers(1, 10**7)
DATES = st.sampled_from(["2025-11-02", "2026-04-01", "2026-08-01", "2026-10-10", None])
ROLES, PRECISIONS = (
    st.sampled_from(["taker", "maker"]),
    st.sampled_from(["auto", "0.0001", "0.01"]),
)


@pytest.mark.slow
@given(PRICES, COUNTS, ROLES, DATES, PRECISIONS)
def test_the_steps_add_up_to_the_fee(
    price: int, count: int, role: str, date: str | None, precision: str
) -> None:
    found = explain(
        f"{price / 10_000:.4f}", f"{count / 100:.2f}", role,
        series="KXNBAGAME", date=date, precision=precision,
    )  # fmt: skip
    assert (found.price, found.quantity) == (price, count)
    rate = Fraction({"taker": "0.07", "maker": "0.0175"}[role])
    p = Fraction(price, 10_000)
    assert found.exact == rate * Fraction(count, 100) * p * (1 - p)
    assert 0 <= found.trade_fee - found.exact * 1_000_000 < found.quantum
    assert found.fee == found.trade_fee + found.alignment - found.rebate
    assert found.aligned == -price * count - found.trade_fee - found.alignment
    if not found.by_cent:
        assert found.aligned % found.precision == 0
        assert found.carried == found.alignment - found.rebate
    assert found.per_contract * count * 10_000 == found.fee
    assert Fraction(found.json()["total"]) == Fraction(found.fee, 1_000_000)
    assert Fraction(found.json()["exact"]) == found.exact
    assert found.json()["total"] + " dollars" in found.text()


def test_terms_of_a_dataset_are_taken_where_there_is_one() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    schedule = Schedule(
        {"KXNEW": ((start, "quadratic", 500_000),)},
        {"KXNEW-A": ((datetime(2026, 6, 1, tzinfo=UTC), None, 2_000_000),)},
        "dataset",
    )
    plain = explain("0.5", 100, "taker", series="KXNEW", schedule=schedule)
    assert (plain.rate, plain.json()["source"]) == (35_000, "dataset")
    own = explain("0.5", 100, "taker", series="KXNEW", event="KXNEW-A", schedule=schedule)
    assert own.rate == 140_000
    assert own.json()["since"] == "2026-06-01T00:00:00Z"


def test_zero_multipliers_are_said_to_be_zero() -> None:
    assert (
        "0 for a taker: the multiplier is zero" in explain("0.5", 1, "taker", multiplier=0).text()
    )


def test_the_rest_of_a_cent_is_said_to_be_used_up_first() -> None:
    text = explain("0.25", 1, "taker", date="2025-12-01").text()
    assert "up to a multiple of 0.01: 0.02" in text
    assert "of this order use up the rest of the cent first" in text
    assert "balance" not in text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"price": "0"}, r"price 0 is out of range; expected above 0, at most 0\.9999"),
        ({"price": "1"}, "price 1 is out of range"),
        ({"price": "42"}, "price 42 is out of range"),
        ({"price": "0.42001"}, r"price 0\.42001 has more than 4 decimals"),
        ({"price": "dear"}, "price 'dear' is not a decimal number"),
        ({"price": "nan"}, "price 'nan' is not a decimal number"),
        ({"price": "inf"}, "price 'inf' is not a decimal number"),
        ({"count": "0"}, "count 0 is out of range"),
        ({"count": "-1"}, "count -1 is out of range"),
        ({"count": "0.001"}, r"count 0\.001 has more than 2 decimals"),
        ({"count": MOST + 1}, r"count 3000000001 is out of range; .* at most 3000000000"),
        ({"role": "take"}, "unknown role 'take'; did you mean 'taker'"),
        ({"precision": "0.001"}, r"unknown precision '0\.001'; did you mean '0\.0001'"),
        ({"series": "KXNEW"}, r"series 'KXNEW' are not known; .*--fee-type"),
        ({"series": "KXNEW", "multiplier": 1}, "'KXNEW' are not known"),
        ({"series": "KXNEW", "fee_type": "quadratic"}, "'KXNEW' are not known"),
        ({"fee_type": "flat"}, "unknown fee type 'flat'"),
        ({"multiplier": "half"}, "'half' is not a multiplier"),
        ({"date": "July"}, "'July' is no date, such as 2026-07-03"),
        ({"date": "2026-02-30"}, "'2026-02-30' is no date"),
        ({"date": "2026-07-03T17:00"}, "2026-07-03T17:00:00 has no offset; write .*Z for UTC"),
        ({"series": "KXNBAGAME", "role": "maker", "date": "2025-06-30"}, "makers paid a flat fee"),
    ],
)
def test_what_cannot_be_explained_is_an_error(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        explain(**({"price": "0.5", "count": 1, "role": "taker"} | values))


def test_dates_are_days_or_times_with_an_offset() -> None:
    moment = datetime(2026, 7, 3, 17, tzinfo=UTC)
    assert parse_date("2026-07-03T13:00-04:00") == moment
    assert parse_date(moment) is not None
    assert parse_date(moment) == moment
    assert parse_date(None) is None


def test_the_largest_count_is_exact() -> None:
    found = explain("0.5", MOST, "taker")
    assert found.fee == MOST * 17_500
