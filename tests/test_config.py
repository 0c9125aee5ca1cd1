"""The configuration: four layers, the later the stronger, and a file that gives it all back."""

import dataclasses
import re
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_bt.config import RunConfig, layered
from kalshi_bt.errors import DataError, KalshiBtError, UsageError
from kalshi_bt.plan import Plan, plan
from kalshi_bt.signals.kelly_volatility import KellyVolatility
from kalshi_bt.simulator.assumptions import FILLS, Limit, RandomExchange, Risk
from kalshi_bt.sizing import Kelly, WinRate
from kalshi_bt.strategies import STRATEGIES, strategy

NAMED = {"strategy": "bollinger"}


def config(*sets: str, **flags: Any) -> RunConfig:
    return layered(None, {}, {**NAMED, **flags}, sets)


def planned(*sets: str, **flags: Any) -> Plan:
    return plan(config(*sets, **flags))


def from_file(folder: Path, text: str, **flags: Any) -> RunConfig:
    file = folder / "run.toml"
    file.write_text(text, encoding="utf-8")
    return layered(file, {}, {**NAMED, **flags}, ())


# Key of a file, its value there, in the environment, as a flag, and by default.
LAYERED = [
    ("fills", '"naive"', "optimistic", "pessimistic", "cross"),
    ("mode", '"reference"', "reference", "corrected", "corrected"),
    ("cash", "100", "200", "300.50", "10000.00"),
    ("from", "2026-01-01", "2026-01-02", "2026-01-03", None),
    ("to", "2026-01-01", "2026-01-02T03:00Z", "2026-01-03", None),
    ("series", '["A", "B"]', "C", "D,E", ()),
    ("seed", "1", "2", "3", 0),
    ("bar", '"1m"', "5m", "1h", None),
    ("data", '"a"', "b", "c", "datasets/sample"),
]
FIELD = {"from": "start", "to": "end"}
MEANING = {
    "100": "100.00",
    "200": "200.00",
    "300.50": "300.50",
    "2026-01-01": datetime(2026, 1, 1, tzinfo=UTC),
    "2026-01-02": datetime(2026, 1, 2, tzinfo=UTC),
    "2026-01-02T03:00Z": datetime(2026, 1, 2, 3, tzinfo=UTC),
    "2026-01-03": datetime(2026, 1, 3, tzinfo=UTC),
    '["A", "B"]': ("A", "B"),
    "C": ("C",),
    "D,E": ("D", "E"),
    "1": 1,
    "2": 2,
    "3": 3,
}


@pytest.mark.parametrize(("key", "file", "variable", "flag", "default"), LAYERED)
def test_flags_beat_the_environment_beats_the_file_beats_the_default(
    key: str, file: str, variable: str, flag: str, default: Any, tmp_path: Path
) -> None:
    path = tmp_path / "run.toml"
    path.write_text(f"{key} = {file}\n", encoding="utf-8")
    name = FIELD.get(key, key)
    environment = {f"KALSHI_BT_{key.upper()}": variable, "PATH": "kept out"}
    layers: list[tuple[Any, Any]] = [
        ((None, {}, NAMED), default),
        ((path, {}, NAMED), file),
        ((path, environment, NAMED), variable),
        ((path, environment, {**NAMED, name: flag}), flag),
        ((None, environment, NAMED), variable),
        ((path, {}, {**NAMED, name: flag}), flag),
        ((path, environment, {**NAMED, name: None}), variable),
    ]
    for arguments, given_text in layers:
        expected = given_text
        if isinstance(given_text, str):
            expected = MEANING.get(given_text, given_text.strip('"'))
        assert getattr(layered(*arguments, ()), name) == expected, arguments


def test_set_beats_every_other_layer(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("[signal]\nperiod = 30\nwidth = 3.0\n[risk]\nmax_losses = 4\n")
    flags = {**NAMED, "signal": {"period": 31}}
    by_flags = plan(layered(file, {}, flags, ()))
    assert (by_flags.signal.period, by_flags.signal.width) == (31, 3.0)
    by_set = plan(layered(file, {}, flags, ["period=32", "risk.max_losses=5", "period=33"]))
    assert (by_set.signal.period, by_set.signal.width, by_set.risk.max_losses) == (33, 3.0, 5)


@pytest.mark.parametrize(
    ("text", "section", "name", "value"),
    [
        ("period=30", "signal", "period", 30),
        ("signal.period=30", "signal", "period", 30),
        (" period = 30", "signal", "period", 30),
        ("bar_seconds=none", "signal", "bar_seconds", None),
        ("risk=0.05", "sizing", "risk", 0.05),
        ("sizing.valid_bars=3", "sizing", "valid_bars", 3),
        ("risk.max_losses=5", "risk", "max_losses", 5),
        ("risk.max_losses=none", "risk", "max_losses", None),
        ("risk.daily_loss=$250", "risk", "daily_loss", Limit(dollars=250_000_000)),
        ("risk.breaker_reset=never", "risk", "breaker_reset", "never"),
    ],
)
def test_set_reaches_signal_sizing_and_limits(
    text: str, section: str, name: str, value: Any
) -> None:
    assert getattr(getattr(planned(text), section), name) == value


SMALL = {
    "max_positions": 2,
    "max_exposure": Limit(dollars=50_000_000),
    "daily_loss": Limit(dollars=5_000_000),
    "max_losses": 3,
}


@pytest.mark.parametrize("mode", ["corrected", "reference"])
def test_a_preset_replaces_the_limits_it_names_and_no_others(mode: str) -> None:
    own, made = planned(mode=mode), planned("preset=small_account", mode=mode)
    assert made.rules.cash == 50_000_000
    assert {name: getattr(made.risk, name) for name in SMALL} == SMALL  # dollars, no fractions
    assert dataclasses.replace(own.risk, **SMALL) == made.risk
    assert (made.signal, made.sizing) == (own.signal, own.sizing)


def test_the_high_conviction_variant_has_its_signal_its_stake_and_its_limits() -> None:
    made = plan(layered(None, {}, {"strategy": "kelly_volatility"}, ["preset=high_conviction"]))
    signal, risk = made.signal, made.risk
    assert signal == KellyVolatility.high_conviction()
    assert (signal.conviction, signal.min_left, signal.max_left, signal.spike) == (0.9, 30, 600, 2)
    assert made.sizing == Kelly(
        scale=0.15, min_fraction=0.005, max_fraction=0.02, halve_odds=5.0, likelier=True,
        min_edge=0.05,
    )  # fmt: skip
    assert (risk.max_market, risk.max_exposure) == (Limit(0.02), Limit(0.10))
    losses = (risk.daily_loss, risk.weekly_loss, risk.session_loss)
    assert losses == (Limit(0.05), Limit(0.10), Limit(0.15))
    assert risk.breaker_reset == "day"
    assert (risk.max_drawdown, risk.max_positions) == (None, 5)


@pytest.mark.parametrize("name", ["kelly_volatility", "mean_reversion"])
def test_strategies_on_a_spot_lose_a_fifth_a_day_or_fall_by_15_per_cent_until_the_next(
    name: str,
) -> None:
    made = {m: plan(RunConfig(strategy=name, mode=m)).risk for m in ("corrected", "reference")}
    assert made["corrected"].daily_loss == Limit(0.20)
    assert made["reference"].daily_loss == Limit(0.20, 500_000_000)  # whichever is tighter
    for risk in made.values():
        assert (risk.max_drawdown, risk.max_positions) == (0.15, 5)
        assert (risk.breaker_reset, risk.drawdown_reset) == ("day", "day")
        assert (risk.session_loss, risk.weekly_loss, risk.max_losses) == (Limit(), Limit(), None)


@pytest.mark.parametrize(
    ("name", "mode", "limits"),
    [
        # A tenth of the balance a day and three losses in a row, until someone resets it; a
        # backtest has nobody, the documented behaviour waits.
        ("bollinger", "corrected", {"daily_loss": Limit(0.10), "max_losses": 3}),
        (
            "bollinger",
            "reference",
            {"daily_loss": Limit(0.10), "max_losses": 3, "breaker_reset": "never"},
        ),
        ("longshot", "corrected", {}),
        ("longshot", "reference", {}),
        ("event_value", "corrected", {"daily_loss": Limit(None, 500_000_000)}),
        ("event_value", "reference", {"daily_loss": Limit(None, 500_000_000)}),
        ("leaderboard", "corrected", {"daily_loss": Limit(None, 200_000_000)}),
        ("leaderboard", "reference", {"daily_loss": Limit(None, 200_000_000)}),
    ],
)
def test_strategies_have_the_breakers_they_are_documented_with(
    name: str, mode: Literal["corrected", "reference"], limits: dict[str, Any]
) -> None:
    risk, breakers = plan(RunConfig(strategy=name, mode=mode)).risk, Risk(**limits)
    for part in (
        *("daily_loss", "weekly_loss", "session_loss", "max_drawdown", "max_losses"),
        *("breaker_reset", "drawdown_reset"),
    ):
        assert getattr(risk, part) == getattr(breakers, part), part


def test_a_preset_is_the_lowest_layer_wherever_it_is_named(tmp_path: Path) -> None:
    by_set = planned("risk.daily_loss=$7", "preset=small_account", "risk.max_losses=9", cash="70")
    assert (by_set.rules.cash, by_set.risk.max_losses) == (70_000_000, 9)
    assert by_set.risk.daily_loss == Limit(dollars=7_000_000)
    assert by_set.risk.max_exposure == Limit(dollars=50_000_000)
    text = 'preset = "small_account"\n[risk]\nmax_losses = 9\ndaily_loss = "$7"\n'
    by_file = plan(from_file(tmp_path, text, cash="70"))
    by_variable = plan(layered(None, {"KALSHI_BT_PRESET": "small_account"}, NAMED, ()))
    assert by_file.settings() == by_set.settings()
    assert by_variable.settings() == planned("preset=small_account").settings()


def test_the_settings_of_a_preset_give_it_back_without_its_name(tmp_path: Path) -> None:
    made = planned("preset=small_account")
    again = plan(from_file(tmp_path, made.toml()))
    assert again.digest() == made.digest()
    assert "preset" not in made.settings()


@pytest.mark.parametrize(
    ("name", "preset"), [(n, p) for n, each in STRATEGIES.items() for p in each.presets]
)
def test_every_preset_can_be_chosen_and_says_what_it_is(name: str, preset: str) -> None:
    assert STRATEGIES[name].presets[preset].idea.endswith(".")
    made, own = (plan(layered(None, {}, {"strategy": name}, s)) for s in ([f"preset={preset}"], []))
    assert made.settings() != own.settings()


def test_set_reaches_what_is_assumed() -> None:
    made = planned("latency=250ms", "participation=0.2", "assumed_volume=7", "half_spread=0.015")
    assert made.rules.latency == 250_000
    assert made.rules.fill.participation == 0.2
    assert made.rules.assumed_volume == 700
    assert made.half_spread == 150
    assert planned().rules.balance_precision is None
    cents = planned("fee_rounding=order_cent", "assumptions.balance_precision=0.01").rules
    assert (cents.fee_rounding, cents.balance_precision) == ("order_cent", 10_000)


@pytest.mark.parametrize("mode", ["corrected", "reference"])
def test_the_mode_chooses_signal_and_limits(mode: str) -> None:
    chosen, made = STRATEGIES["bollinger"], planned(mode=mode)
    reference = mode == "reference"
    assert made.signal == (chosen.reference if reference else chosen.signal)
    assert made.risk == (chosen.reference_risk if reference else chosen.risk)


@pytest.mark.parametrize("name", FILLS)
def test_every_fill_model_can_be_chosen(name: str) -> None:
    made = planned("participation=0.3", fills=name)
    expected = 0.3 if name in {"cross", "passive", "random"} else FILLS[name].participation
    assert made.rules.fill.participation == expected


def test_what_is_assumed_reaches_the_rules() -> None:
    made = planned("touch_share=0.25", "pauses=false", "collateral=true", fills="passive", seed=7)
    assert made.rules.fill.touch_share == 0.25
    assert (made.rules.pauses, made.rules.collateral, made.rules.seed) == (False, True, 7)
    assert planned("fractions=true").rules.fractions
    assert not planned().rules.fractions
    drawn = planned("exchange=hashed", fills="random").rules.fill.exchange
    assert drawn == RandomExchange.hashed() != planned(fills="random").rules.fill.exchange


@pytest.mark.parametrize(
    ("given_start", "expected"),
    [
        ("2026-05-06", datetime(2026, 5, 6, tzinfo=UTC)),
        ("2026-05-06T07:30Z", datetime(2026, 5, 6, 7, 30, tzinfo=UTC)),
        ("2026-05-06 07:30:00+02:00", datetime(2026, 5, 6, 5, 30, tzinfo=UTC)),
        (date(2026, 5, 6), datetime(2026, 5, 6, tzinfo=UTC)),
        (
            datetime(2026, 5, 6, 7, tzinfo=timezone(timedelta(hours=-4))),
            datetime(2026, 5, 6, 11, tzinfo=UTC),
        ),
    ],
    ids=repr,
)
def test_a_day_or_a_time_with_a_zone_is_a_moment(given_start: Any, expected: datetime) -> None:
    found = config(start=given_start).start
    assert found == expected
    assert found is not None
    assert found.utcoffset() == timedelta(0)


WRONG: list[tuple[tuple[str, ...], dict[str, Any], list[str]]] = [
    ((), {"strategy": "bolinger"}, ["unknown strategy 'bolinger'", "'bollinger'"]),
    ((), {"strategy": ""}, ["strategy"]),
    ((), {"strategy": 3}, ["strategy", "3"]),
    (("perod=3",), {}, ["unknown parameter of bollinger 'perod'", "'period'"]),
    (("risk.max_loses=3",), {}, ["'risk.max_loses'", "'risk.max_losses'"]),
    (("=3",), {}, ["unknown parameter"]),
    (("period",), {}, ["'period'", "KEY=VALUE"]),
    (("period=",), {}, ["period", "whole number"]),
    (("period=ten",), {}, ["period", "'ten'", "whole number"]),
    (("period=1",), {}, ["period is 1", "from 2 to 5000"]),
    (("width=nan",), {}, ["width", "finite"]),
    (("geometry=literall",), {}, ["geometry", "'literal'"]),
    (("risk=2",), {}, ["risk is 2.0", "at most 1"]),
    (("valid_bars=0",), {}, ["valid_bars is 0", "at least 1"]),
    (("risk.max_losses=1000000000000",), {}, ["max_losses", "1,000,000,000"]),
    (("risk.max_exposure=-0.1",), {}, ["max_exposure", "above 0"]),
    (("latency=5",), {}, ["latency", "'5'", "duration"]),
    (("latency=2d",), {}, ["latency is 2d", "a day"]),
    (("participation=0",), {}, ["participation is 0.0", "above 0"]),
    (("participation=1.5",), {}, ["participation is 1.5", "at most 1"]),
    (("participation=1.5",), {"fills": "naive"}, ["participation is 1.5"]),
    ((), {"fills": "naive", "mode": "corrected"}, ["naive", "--mode reference"]),
    (("preset=small",), {}, ["unknown preset of bollinger 'small'", "small_account"]),
    (("preset=small_account",), {"strategy": "longshot"}, ["unknown preset of longshot", "none"]),
    (("presets=small_account",), {}, ["'presets'", "'preset'"]),
    (("sizing=kely",), {}, ["unknown sizing 'kely'", "'kelly'"]),
    (("sizing=win_rate", "win_rate=1"), {}, ["win_rate is 1.0", "below 1"]),
    (("win_rate=0.5",), {}, ["'win_rate'"]),
    (("risk.trading_hours=9-16",), {}, ["trading_hours", "America/New_York"]),
    (("assumed_volume=-1",), {}, ["assumed_volume is -1", "0 or more"]),
    (("half_spread=0.6",), {}, ["half_spread is 0.6", "0.5"]),
    (("half_spread=0.00001",), {}, ["half_spread", "steps of 0.0001"]),
    (("half_spread=wide",), {}, ["half_spread", "'wide'"]),
    (("balance_precision=0.001",), {}, ["balance_precision", "'0.0001'"]),
    (("fee_rounding=up",), {}, ["fee_rounding", "order_cent"]),
    ((), {"fills": "cros"}, ["unknown fill model 'cros'", "'cross'"]),
    ((), {"mode": "corected"}, ["unknown mode 'corected'", "'corrected'"]),
    ((), {"cash": "lots"}, ["cash", "'lots'", "dollars"]),
    ((), {"cash": "nan"}, ["cash", "'nan'"]),
    ((), {"cash": "0"}, ["cash is 0.00", "above 0"]),
    ((), {"cash": "-5"}, ["cash is -5.00", "above 0"]),
    ((), {"cash": "1e400"}, ["cash is 1e400", "1,000,000,000"]),
    ((), {"cash": "0.0000001"}, ["cash", "six decimals"]),
    ((), {"start": "May"}, ["--from is 'May'", "2026-03-01"]),
    ((), {"start": ""}, ["--from is ''"]),
    ((), {"start": "2026-02-30"}, ["--from is '2026-02-30'"]),
    ((), {"end": "2026-05-06T00:00:00"}, ["--to", "without a zone"]),
    ((), {"end": datetime(2026, 5, 6)}, ["--to", "without a zone"]),  # noqa: DTZ001 - the point
    ((), {"start": "9999-12-31T23:59:59-12:00"}, ["--from", "UTC has no such time"]),
    ((), {"start": "2026-05-06", "end": "2026-05-05"}, ["--to 2026-05-05", "not after --from"]),
    ((), {"start": "2026-05-06", "end": "2026-05-06"}, ["not after --from"]),
    ((), {"series": ""}, ["series is ''"]),
    ((), {"series": "A,,B"}, ["series is 'A,,B'"]),
    ((), {"series": 3}, ["series is 3"]),
    ((), {"series": [3]}, ["series is [3]"]),
    ((), {"seed": "x"}, ["seed is 'x'", "whole number"]),
    ((), {"seed": "-1"}, ["seed is -1", "0 or more"]),
    ((), {"seed": 2**63}, ["seed", "2^63"]),
    ((), {"bar": "7x"}, ["bar", "'7x'", "duration"]),
    ((), {"bar": "0s"}, ["bar is 0s", "whole seconds"]),
    ((), {"bar": "1500ms"}, ["bar is 1500ms", "whole seconds"]),
    ((), {"data": ""}, ["data is ''"]),
    ((), {"sed": 3}, ["unknown setting 'sed'", "'seed'"]),
    ((), {"signal": 3}, ["signal is 3", "table"]),
]


@pytest.mark.parametrize(("sets", "flags", "words"), WRONG, ids=repr)
def test_what_does_not_exist_or_fit_is_refused_in_one_line(
    sets: tuple[str, ...], flags: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(UsageError) as caught:
        planned(*sets, **flags)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sed = 3", ["run.toml", "unknown setting", "'sed'", "'seed'"]),
        ("start = 2026-01-01", ["run.toml", "'start'"]),
        ("[asumptions]\nlatency = '1s'", ["'asumptions'", "'assumptions'"]),
        ("[assumptions]\nlatncy = '1s'", ["'latncy'", "'latency'"]),
        ("[signal]\nperod = 3", ["'perod'", "'period'"]),
        ("[sizing]\nrsk = 0.1", ["'rsk'", "'risk'"]),
        ("[risk]\nmax_loses = 3", ["'max_loses'", "'max_losses'"]),
        ("risk = 0.1", ["risk is 0.1", "table"]),
        ("[signal]\nperiod = 2.5", ["period is 2.5", "whole number"]),
        ("[signal]\nperiod = [2]", ["period is [2]", "whole number"]),
        ("from = 2026-01-01T00:00:00", ["--from", "without a zone"]),
        ("from = 07:00:00", ["--from is '07:00:00'"]),
        ("fills = 3", ["fills is 3"]),
        ("strategy = 3", ["strategy is 3"]),
        ("[cash]\na = 1", ["cash"]),
        ("cash = nan", ["cash"]),
        ("cash = ", ["run.toml", "TOML"]),
    ],
    ids=repr,
)
def test_a_wrong_file_is_refused_in_one_line(text: str, words: list[str], tmp_path: Path) -> None:
    flags = {} if "strategy" not in text else {"strategy": None}
    with pytest.raises(KalshiBtError) as caught:
        plan(from_file(tmp_path, text, **flags))
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    for file in (tmp_path / "absent.toml", tmp_path, binary):
        with pytest.raises(DataError, match=re.escape(str(file))):
            layered(file, {}, NAMED, ())


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("KALSHI_BT_CSH", "KALSHI_BT_CASH"),
        ("KALSHI_BT_FRM", "KALSHI_BT_FROM"),
        ("KALSHI_BT_START", "did you mean"),
        ("KALSHI_BT_", "did you mean"),
        ("KALSHI_BT_SIGNAL", "did you mean"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"unknown environment variable '{name}'.*{hint}"):
        layered(None, {name: "1"}, NAMED, ())


def test_variables_of_others_are_left_alone() -> None:
    others = {"HOME": "x", "KALSHI_API_KEY": "x", "KALSHI_BT_REAL_DATA": "x", "CASH": "1"}
    assert layered(None, others, NAMED, ()) == config()


def test_a_strategy_must_be_named() -> None:
    with pytest.raises(UsageError, match="--strategy"):
        layered(None, {}, {}, ())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"cash": "10000"}, {"cash": "10000.000"}),
        ({"cash": 10_000}, {}),
        ({"series": "B,A"}, {"series": ["A", "B", "A"]}),
        ({"start": "2026-05-06"}, {"start": "2026-05-06T02:00+02:00"}),
        ({"seed": "07"}, {"seed": 7}),
        ({"signal": {"period": "30"}}, {"signal": {"period": 30}}),
        ({"signal": {"period": 25}}, {}),
        ({"risk": {"daily_loss": "$5"}}, {"risk": {"daily_loss": Limit(dollars=5_000_000)}}),
        ({"data": "here"}, {"data": "there"}),
    ],
    ids=repr,
)
def test_the_same_run_written_otherwise_has_the_same_name(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert planned(**one).digest() == planned(**other).digest()


@pytest.mark.parametrize(
    "change",
    [
        {"cash": "10000.01"},
        {"fills": "naive"},
        {"mode": "reference"},
        {"start": "2026-05-06"},
        {"end": "2026-05-06"},
        {"series": "A"},
        {"seed": 1},
        {"bar": "1m"},
        {"signal": {"period": 26}},
        {"sizing": {"risk": 0.03}},
        {"sizing": {"method": "win_rate"}},
        {"risk": {"max_losses": None}},
        {"assumptions": {"latency": "2s"}},
    ],
    ids=repr,
)
def test_every_setting_counts_in_the_name(change: dict[str, Any]) -> None:
    assert planned(**change).digest() != planned().digest()


days = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is added
texts = st.text(st.characters(codec="utf-8", exclude_characters=",\x00"), min_size=1).filter(
    lambda text: text.strip()
)


@settings(max_examples=50)
@given(
    flags=st.fixed_dictionaries(
        {
            "fills": st.sampled_from(list(FILLS)),
            "mode": st.sampled_from(["corrected", "reference"]),
            "cash": st.decimals("0.01", "1000000", places=6).map(str),
            "data": texts,
            "seed": st.integers(0, 2**63 - 1),
        },
        optional={
            "start": days,
            "series": st.lists(texts, min_size=1),
            "bar": st.integers(1, 90).map(lambda n: f"{n}m"),
            "signal": st.fixed_dictionaries({"period": st.integers(2, 5000)}),
            "sizing": st.fixed_dictionaries({"risk": st.floats(0.001, 1)})
            | st.fixed_dictionaries(
                {"method": st.just("win_rate"), "win_rate": st.floats(0.01, 0.99)}
            ),
            "risk": st.fixed_dictionaries(
                {"max_losses": st.none() | st.integers(0, 9), "max_event": st.just("0.1,$7")}
            ),
            "assumptions": st.fixed_dictionaries({"participation": st.floats(0.01, 1)}),
        },
    )
)
def test_the_settings_of_a_run_give_the_same_run_back(
    flags: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    if flags["fills"] == "naive":
        flags["mode"] = "reference"
    first = planned(**flags)
    file = tmp_path_factory.getbasetemp() / "again.toml"
    file.write_bytes(first.toml().encode())
    again = plan(layered(file, {}, {}, ()))
    assert again.digest() == first.digest()
    assert again.settings() == first.settings()
    assert (again.signal, again.sizing, again.risk, again.rules) == (
        first.signal,
        first.sizing,
        first.risk,
        first.rules,
    )


def test_the_files_of_two_sections_are_merged_key_by_key(tmp_path: Path) -> None:
    made = from_file(tmp_path, "[signal]\nperiod = 30\nwidth = 3.0\n", signal={"width": 2.5})
    assert made.signal == {"period": 30, "width": 2.5}


def test_naive_fills_bring_the_documented_behaviour_with_them() -> None:
    made = planned(fills="naive")
    assert made.config.mode == "reference"
    assert made.signal == strategy("bollinger").reference


def test_another_sizing_takes_its_own_parameters() -> None:
    made = planned("sizing=win_rate", "win_rate=0.45", "sizing.scale=0.25")
    assert made.sizing == WinRate(win_rate=0.45, scale=0.25)
    assert made.settings()["sizing"]["method"] == "win_rate"
