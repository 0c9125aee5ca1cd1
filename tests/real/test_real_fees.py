"""The fees the exchange really charged: every fill recorded of one account in July 2026, exactly.

The recordings tell four things. The balance of this account is aligned to $0.0001, not to the cent.
The trade fee is rounded up to $0.0001: that step was still in force in July 2026. Makers pay
nothing in most series, yet a fraction of a contract can cost them part of a centicent, by the
alignment of the balance. And what the alignment took is not handed back by centicents.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kalshi_bt.fees import EXCHANGE_ROUNDING_FROM, MICRO_FEE_FROM, rates
from kalshi_bt.simulator.rules import EXCHANGE, ORDER_CENT, fill_fee

pytestmark = pytest.mark.real

CENT, CENTICENT, MICRO = 10_000, 100, 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Series whose makers were charged, by what their makers were charged; all others: `quadratic`.
# The baseball games are those in play: their multiplier is 1 from the first pitch.
WITH_MAKER_FEES = {"KXATPMATCH", "KXMLBGAME", "KXWNBAGAME", "KXWTAMATCH"}


@dataclass(frozen=True)
class Fill:
    """A recorded fill: centi-contracts, centi-cents, micro-dollars, microseconds."""

    order: str
    series: str
    time: int
    taker: bool
    quantity: int
    price: int
    revenue: int
    fee: int

    @property
    def rate(self) -> int:
        kind = "quadratic_with_maker_fees" if self.series in WITH_MAKER_FEES else "quadratic"
        return rates(kind, 1_000_000)[0 if self.taker else 1]


def whole(text: str, scale: int) -> int:
    value = Decimal(text) * scale
    assert value == int(value)
    return int(value)


def read(row: Mapping[str, Any]) -> Fill:
    yes, no = (whole(row[f"{side}_price_dollars"], 10_000) for side in ("yes", "no"))
    assert yes + no == 10_000
    quantity = whole(row["count_fp"], 100)
    time = datetime.fromisoformat(row["created_time"])
    # An account that asks sells YES, or buys NO with its complement: a whole cent apart a lot.
    revenue = -quantity * (yes if row["book_side"] == "bid" else no)
    return Fill(
        order=row["order_id"],
        series=row["ticker"].split("-")[0],
        time=(time - EPOCH) // timedelta(microseconds=1),
        taker=row["is_taker"],
        quantity=quantity,
        price=yes,
        revenue=revenue,
        fee=whole(row["fee_cost"], 1_000_000),
    )


@pytest.fixture(scope="module")
def fills(real_data: Path) -> list[Fill]:
    """In time order."""
    raw = pl.read_parquet(real_data / "crypto15m-2026" / "fills_with_fees.parquet")
    return sorted((read(row) for row in raw.to_dicts()), key=lambda fill: fill.time)


def engine(fills: list[Fill], rounding: int = EXCHANGE, precision: int = CENTICENT) -> list[int]:
    """The fee of each fill by the rules of its time, order by order."""
    states: dict[str, tuple[int, int]] = {}
    fees = []
    for f in fills:
        quantum = CENTICENT if f.time < MICRO_FEE_FROM else MICRO
        fee, *left = fill_fee(
            rounding,
            quantum,
            precision,
            f.rate,
            f.quantity,
            f.price,
            f.revenue,
            *states.get(f.order, (0, 0)),
        )
        states[f.order] = (left[0], left[1])
        fees.append(fee)
    return fees


def plain(fills: list[Fill], quantum: int, precision: int, step: int) -> list[int]:
    """The same once more in fractions, with what is handed back in whole multiples of `step`."""
    gathered: dict[str, int] = {}
    fees = []
    for f in fills:
        exact = Fraction(f.rate * f.quantity * f.price * (10_000 - f.price), 10**10)
        trade_fee = ceil(exact / quantum) * quantum
        rounding = (f.revenue - trade_fee) % precision
        have = gathered.get(f.order, 0) + rounding
        rebate = min(have, trade_fee + rounding) // step * step
        gathered[f.order] = have - rebate
        fees.append(trade_fee + rounding - rebate)
    return fees


def agreeing(found: list[int], fills: list[Fill]) -> int:
    return sum(fee == f.fee for fee, f in zip(found, fills, strict=True))


def test_the_recording_is_of_one_regime_and_has_all_that_makes_fees_hard(fills: list[Fill]) -> None:
    assert len(fills) == 1_679
    assert all(EXCHANGE_ROUNDING_FROM < f.time < MICRO_FEE_FROM for f in fills)
    assert sum(f.taker for f in fills) == 360
    assert sum(f.quantity % 100 != 0 for f in fills) == 491
    assert sum(f.price % 100 != 0 for f in fills) > 100
    assert sum(not f.taker and f.rate == 0 and f.fee > 0 for f in fills) > 20
    assert sum(not f.taker and f.rate > 0 for f in fills) > 15
    orders = [f.order for f in fills]
    assert sum(orders.count(order) > 1 for order in set(orders)) == 197


def test_every_fee_is_the_rule_with_rebates_in_whole_cents(fills: list[Fill]) -> None:
    found = plain(fills, CENTICENT, CENTICENT, CENT)
    wrong = [(f, fee) for f, fee in zip(fills, found, strict=True) if f.fee != fee]
    assert wrong == []


def test_every_fee_equals_the_engine(fills: list[Fill]) -> None:
    wrong = {
        (f.series, f.quantity, f.price): (f.fee, fee)
        for f, fee in zip(fills, engine(fills), strict=True)
        if f.fee != fee
    }
    assert wrong == {}


def test_no_other_rounding_explains_the_fees(fills: list[Fill]) -> None:
    every = len(fills)
    assert agreeing(plain(fills, CENTICENT, CENTICENT, CENTICENT), fills) == every - 3
    # The finer trade fee of September shows where a fraction of a contract is charged.
    assert agreeing(plain(fills, MICRO, CENTICENT, CENT), fills) == every - 9
    assert agreeing(plain(fills, MICRO, CENTICENT, CENTICENT), fills) == every - 44
    assert agreeing(plain(fills, CENTICENT, CENT, CENT), fills) < every // 2
    assert agreeing(engine(fills, precision=CENT), fills) < every // 2
    takers = [f for f in fills if f.taker]
    assert agreeing(engine(takers, ORDER_CENT), takers) < len(takers) // 10


def test_makers_of_quadratic_series_pay_only_the_alignment_of_a_fraction(fills: list[Fill]) -> None:
    for f in fills:
        if not f.taker and f.rate == 0:
            assert f.fee == f.revenue % CENTICENT
            assert f.fee == 0 or f.quantity % 100


def test_fees_of_an_order_are_those_of_its_fills(fills: list[Fill], real_data: Path) -> None:
    """Nothing is handed back beside the fills either."""
    raw = pl.read_parquet(real_data / "crypto15m-2026" / "orders_history.parquet")
    booked = {
        row["order_id"]: tuple(
            whole(row[f"{role}_fees_dollars"], 1_000_000) for role in ("maker", "taker")
        )
        for row in raw.to_dicts()
    }
    sums = dict.fromkeys((f.order for f in fills), (0, 0))
    for f in fills:
        maker, taker = sums[f.order]
        sums[f.order] = (maker, taker + f.fee) if f.taker else (maker + f.fee, taker)
    assert len(sums) == 1_359
    assert {order: booked[order] for order in sums} == sums
