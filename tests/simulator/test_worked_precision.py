"""The step of a balance by date, worked by hand: $0.01 before 2026-05-28, $0.0001 from then on.

Quiet bars quote 0.49 to 0.51: ten contracts at 0.51 cost 5.10 and a fee of 0.07 x 10 x 0.2499 =
0.17493, up to 0.1750. That is 5.275, in whole cents 5.28.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from one_market import bars, fills, intent, run

from kalshi_bt.errors import UsageError
from kalshi_bt.simulator.assumptions import FillModel, Rules

CHANGE = datetime(2026, 5, 28, tzinfo=UTC)
MINUTE, MOMENT = timedelta(minutes=1), timedelta(microseconds=1)
DEEP = FillModel(participation=None)
RULES = Rules(latency=0, fill=DEEP, pauses=False)


def stepped(precision: int | None, **values: Any) -> Rules:
    return Rules(latency=0, fill=DEEP, pauses=False, balance_precision=precision, **values)


def bought(end: datetime, rules: Rules, row: dict[str, Any] | None = None, **order: Any) -> int:
    """The fee of a purchase in the bar that ends at `end`."""
    start = end - MINUTE
    result = run(bars({}, row or {}, start=start), [intent(time=start, **order)], rules)
    assert result.fills["time"].to_list() == [end]
    return int(result.fills["fee"][0])


@pytest.mark.parametrize(
    ("end", "precision", "fee"),
    [
        (CHANGE - MOMENT, None, 180_000),
        (CHANGE, None, 175_000),
        (CHANGE + MINUTE, None, 175_000),
        # What is given holds for all times.
        (CHANGE - MOMENT, 100, 175_000),
        (CHANGE, 100, 175_000),
        (CHANGE - MOMENT, 10_000, 180_000),
        (CHANGE, 10_000, 180_000),
    ],
)
@pytest.mark.parametrize("side", [1, -1])
def test_a_fill_is_aligned_to_the_step_of_its_own_time(
    end: datetime, precision: int | None, fee: int, side: int
) -> None:
    assert bought(end, stepped(precision), side=side) == fee


@pytest.mark.parametrize(("end", "fee"), [(CHANGE - MOMENT, 180_000), (CHANGE, 175_000)])
def test_a_sale_is_aligned_too(end: datetime, fee: int) -> None:
    # 4.90 less 0.175 are 4.725: 4.72 in whole cents.
    start = end - 3 * MINUTE
    orders = [intent(time=start), intent(time=end - MINUTE, side=0, quantity=None)]
    result = run(bars({}, {}, {}, {}, start=start), orders, RULES)
    assert fills(result, "reason", "fee")[1] == ("signal", fee)


def test_an_order_that_outlives_the_change_keeps_what_it_gathered() -> None:
    """0.10 at 0.45 cost 0.045 and 0.0175 x 0.1 x 0.2475 = 0.00043, up to 0.0005: 0.05 in cents.

    Each takes 0.0045 and is charged 0.0050, less than the cent that could be handed back. Three
    gather 0.0135. Ten on the 28th are charged 0.0175 x 10 x 0.2475 = 0.0434 and need no alignment:
    a cent of that comes back, and the 0.0035 left bring nothing to the next ten.
    """
    low = {"ask": (4_700, 4_700, 4_400, 4_700), "bid": 4_300}
    few, many = low | {"volume": 100}, low | {"volume": 10_000}
    start = CHANGE - 4 * MINUTE
    rules = Rules(latency=0, lot=1, fill=FillModel(participation=0.1), pauses=False)
    order = intent(time=start, kind="limit", limit=4_500, quantity=2_030, valid_bars=9)
    result = run(bars({}, few, few, few, many, many, start=start), [order], rules, maker=17_500)
    assert fills(result, "quantity", "fee") == [
        (10, 5_000),
        (10, 5_000),
        (10, 5_000),
        (1_000, 33_400),
        (1_000, 43_400),
    ]
    assert result.fills["time"][3] == CHANGE


def in_a_row(start: datetime, rate: int, quantity: int, count: int) -> list[int]:
    """Fees of a resting order for YES at 0.25 that gets so much of each bar."""
    low = {"ask": (2_700, 2_700, 2_400, 2_700), "bid": 2_300, "volume": 10 * quantity}
    order = intent(time=start, kind="limit", limit=2_500, quantity=count * quantity, valid_bars=9)
    quiet = {"ask": 2_700, "bid": 2_300}
    rules = Rules(latency=0, fill=FillModel(participation=0.1), pauses=False)
    tape = bars(quiet, *[low] * count, start=start)
    return [fee for (fee,) in fills(run(tape, [order], rules, maker=rate), "fee")]


def test_rebates_come_in_whole_cents_until_september() -> None:
    """0.25 and 0.07 x 0.1875 = 0.013125, up to 0.0132 before September 2026, whole from then on."""
    # In April 0.2632 is 0.27: 0.0068 each, of two of them a cent comes back and 0.0036 stay, of the
    # third 0.0104 make another.
    april = datetime(2026, 4, 6, 12, tzinfo=UTC)
    assert in_a_row(april, 70_000, 100, 3) == [20_000, 10_000, 10_000]
    # In June 0.2632 needs no alignment: nothing is gathered.
    june = datetime(2026, 6, 1, 12, tzinfo=UTC)
    assert in_a_row(june, 70_000, 100, 3) == [13_200] * 3
    # In October 0.263125 is 0.2632: 0.000075 each. The second makes 0.00015 and the third 0.000125,
    # the fourth 0.0001: a centicent of each comes back.
    october = datetime(2026, 10, 5, 12, tzinfo=UTC)
    assert in_a_row(october, 70_000, 100, 4) == [13_200, 13_100, 13_100, 13_100]


def test_fees_by_the_cent_of_an_order_do_not_depend_on_it() -> None:
    # Five at 0.515 cost 2.575 and 0.07 x 5 x 0.249775 = 0.08742: by the order's cent 0.09. Aligned,
    # 2.575 and 0.0875 are 2.6625: 2.67 in whole cents, of which 0.095 are the fee.
    early, row = datetime(2026, 2, 2, 12, tzinfo=UTC), {"ask": 5_150}
    for precision in (None, 100, 10_000):
        assert bought(early, stepped(precision), row, quantity=500) == 90_000
    asked = {"fee_rounding": "exchange"}
    for precision, fee in ((None, 95_000), (100, 87_500), (10_000, 95_000)):
        assert bought(early, stepped(precision, **asked), row, quantity=500) == fee
    late = {"fee_rounding": "order_cent"}
    for precision in (None, 100, 10_000):
        assert bought(CHANGE, stepped(precision, **late), row, quantity=500) == 90_000


@pytest.mark.parametrize(
    ("time", "payout", "fee"),
    [
        # 10.60 contracts at 0.597 are 6.3282, at 0.5971 6.32926.
        (CHANGE - MOMENT, 5_970, 8_200),
        (CHANGE - MOMENT, 5_971, 9_260),
        (CHANGE, 5_970, 0),
        (CHANGE, 5_971, 60),
        (CHANGE + timedelta(days=200), 5_971, 60),
        # Cents as well before the exchange rounded fees that way.
        (datetime(2025, 12, 1, tzinfo=UTC), 5_971, 9_260),
        (CHANGE - MOMENT, 10_000, 0),
    ],
)
@pytest.mark.parametrize("side", [1, -1])
def test_a_payout_is_cut_to_the_step_of_its_own_time(
    time: datetime, payout: int, fee: int, side: int
) -> None:
    # Bought days before: what counts is when it is paid.
    start = time - timedelta(days=3)
    of_yes = payout if side == 1 else 10_000 - payout
    outcome = {"ticker": "M0", "payout": of_yes, "result": "scalar", "value": None}
    outcome |= {"time": time, "close_time": time}
    rules = Rules(latency=0, lot=1, fill=DEEP, pauses=False)
    order = intent(time=start, side=side, quantity=1_060)
    result = run(bars({}, {}, start=start), [order], rules, outcomes=[outcome])
    assert fills(result, "reason", "price", "fee")[1] == ("settlement", of_yes, fee)


@pytest.mark.parametrize("precision", [0, -1])
def test_a_step_is_at_least_a_micro_dollar(precision: int) -> None:
    with pytest.raises(UsageError, match="balance_precision is"):
        Rules(balance_precision=precision)
