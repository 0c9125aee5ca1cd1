"""Settings: what is read back is what was written, and what does not fit is refused by name."""

import dataclasses
import math
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_bt.config import Assumptions
from kalshi_bt.errors import UsageError
from kalshi_bt.settings import LARGEST, amount, fields_of, plain, read, replaced
from kalshi_bt.signals.bollinger import Bollinger
from kalshi_bt.simulator.assumptions import Limit, Risk
from kalshi_bt.strategies import STRATEGIES

fractions = st.floats(0.001, 10)
limits = st.builds(
    Limit,
    fraction=st.none() | fractions,
    dollars=st.none() | st.integers(1, LARGEST * 1_000_000),
)
counts = st.none() | st.integers(0, LARGEST)
risks = st.builds(
    Risk,
    trading_hours=st.sampled_from([None, "09:30-16:00 America/New_York", "22:00-06:00 UTC"]),
    min_confidence=st.none() | fractions,
    min_reward_risk=st.none() | fractions,
    min_edge=st.none() | st.floats(-1, 1),
    max_contracts=counts,
    max_market=limits,
    max_event=limits,
    max_cycle=limits,
    max_exposure=limits,
    max_positions=counts,
    daily_loss=limits,
    weekly_loss=limits,
    session_loss=limits,
    max_drawdown=st.none() | fractions,
    max_losses=counts,
    max_order_rate=counts,
    breaker_reset=st.sampled_from(["day", "never"]),
    drawdown_reset=st.sampled_from(["day", "never"]),
)


@dataclasses.dataclass(frozen=True)
class Sample:
    """One field of each kind."""

    number: int = 1
    share: float = 0.5
    flag: bool = False
    word: str = "a"
    choice: Literal["up", "down"] = "up"
    maybe: int | None = None
    cap: Limit = dataclasses.field(default_factory=Limit)


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (int, "20", 20),
        (int, 20, 20),
        (int, " 7 ", 7),
        (float, "2", 2.0),
        (float, 1, 1.0),
        (float, "1e-3", 0.001),
        (bool, "yes", True),
        (bool, "OFF", False),
        (bool, True, True),
        (str, "x", "x"),
        (Literal["up", "down"], "down", "down"),
        (int | None, "None", None),
        (int | None, None, None),
        (int | None, "3", 3),
        (float | None, "none", None),
        (Limit, "0.2", Limit(fraction=0.2)),
        (Limit, 0.2, Limit(fraction=0.2)),
        (Limit, "$50", Limit(dollars=50_000_000)),
        (Limit, "0.2,$50", Limit(0.2, 50_000_000)),
        (Limit, "$0.01, 1", Limit(1.0, 10_000)),
        (Limit, "none", Limit()),
        (Limit, Limit(0.3), Limit(0.3)),
    ],
    ids=repr,
)
def test_a_setting_is_read_as_the_type_of_its_field(kind: Any, given: Any, expected: Any) -> None:
    found = read("it", given, kind)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (int, "x", ["it", "'x'", "whole number"]),
        (int, "1.5", ["'1.5'", "whole number"]),
        (int, "", ["''"]),
        (int, True, ["True", "whole number"]),
        (int, {"a": 1}, ["whole number"]),
        (float, "x", ["'x'", "a number"]),
        (float, "nan", ["finite"]),
        (float, "inf", ["finite"]),
        (float, "1e999", ["finite"]),
        (bool, "maybe", ["'maybe'", "true or false"]),
        (Literal["up", "down"], "upp", ["it 'upp'", "did you mean 'up'"]),
        (Literal["up", "down"], "x", ["'x'", "known: down, up"]),
        (int | None, "x", ["whole number"]),
        (Limit, "x", ["it", "a number"]),
        (Limit, "", ["it"]),
        (Limit, "$x", ["it", "'x'", "dollars"]),
        (Limit, "-1", ["it", "above 0"]),
        (Limit, "$0", ["it", "above 0"]),
        (Limit, "$1e30", ["it", "1,000,000,000"]),
    ],
    ids=repr,
)
def test_a_value_that_does_not_fit_is_refused(kind: Any, given: Any, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        read("it", given, kind)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


@given(risks)
def test_limits_written_plainly_read_back_the_same(risk: Risk) -> None:
    written = plain(risk)
    assert all(isinstance(value, str | int | float) for value in written.values())
    assert replaced(Risk(), written, "risk") == risk
    assert replaced(Risk(), {k: str(v) for k, v in written.items()}, "risk") == risk


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("part", ["signal", "reference", "sizing", "risk", "reference_risk"])
def test_every_registered_part_written_plainly_reads_back_the_same(name: str, part: str) -> None:
    value = getattr(STRATEGIES[name], part)
    assert replaced(value, plain(value), part) == value
    assert replaced(value, {k: str(v) for k, v in plain(value).items()}, part) == value
    # 0 and 0.0 are equal, but not the same text of a configuration.
    assert repr(plain(replaced(value, plain(value), part))) == repr(plain(value))


def test_dollars_are_written_as_dollars() -> None:
    assert plain(Sample(cap=Limit(dollars=50_500_000)))["cap"] == "$50.50"
    assert plain(Sample(cap=Limit(0.25, 50_000_000)))["cap"] == "0.25,$50.00"
    assert plain(Sample())["cap"] == "none"


def test_only_what_is_given_is_replaced() -> None:
    assert replaced(Sample(number=3), {"flag": "yes"}, "sample") == Sample(number=3, flag=True)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown risk parameter 'max_loses'.*'max_losses'"):
        replaced(Risk(), {"max_loses": 3}, "risk")


def test_a_whole_number_that_could_overflow_is_refused() -> None:
    assert replaced(Sample(), {"number": LARGEST}, "sample").number == LARGEST
    for value in (LARGEST + 1, -LARGEST - 1, 10**30):
        with pytest.raises(UsageError, match="number is"):
            replaced(Sample(), {"number": value}, "sample")


def test_the_range_of_a_signal_parameter_is_held() -> None:
    assert replaced(Bollinger(), {"period": "2"}, "bollinger").period == 2
    for value in ("1", "5001"):
        with pytest.raises(UsageError, match=f"period is {value}; expected int from 2 to 5000"):
            replaced(Bollinger(), {"period": value}, "bollinger")


@pytest.mark.parametrize(
    ("given", "expected"),
    [("10000", 10**10), ("99.50", 99_500_000), (0.1, 100_000), ("0.000001", 1), (-1, -(10**6))],
    ids=repr,
)
def test_an_amount_is_exact(given: Any, expected: int) -> None:
    assert amount("cash", given) == expected


@pytest.mark.parametrize(
    "given",
    ["", "x", "nan", "inf", "0.0000001", "1e10", "-1e10", math.nan, True, [1], {"a": 1}],
    ids=repr,
)
def test_what_is_no_amount_is_refused_by_name(given: Any) -> None:
    with pytest.raises(UsageError, match="cash"):
        amount("cash", given)


def test_fields_are_listed_with_their_types() -> None:
    assert list(fields_of(Assumptions())) == [
        "latency",
        "participation",
        "assumed_volume",
        "refit",
        "quotes",
        "quote_max_age",
        "half_spread",
        "fee_rounding",
        "balance_precision",
        "touch_share",
        "exchange",
        "pauses",
        "collateral",
        "fractions",
        "audit",
        "sensitivity",
        "controls",
    ]
    assert fields_of(Sample())["maybe"] == int | None
