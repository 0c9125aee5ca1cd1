"""The configuration of a run: defaults < TOML file < environment < flags; unknown keys are errors."""

import hashlib
import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal

import tomli_w

from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.settings import fields_of, plain, read, replaced
from kalshi_bt.signals import Signal
from kalshi_bt.simulator.assumptions import FILLS, FillModel, Risk, Rules
from kalshi_bt.strategies import Sizing, strategy
from kalshi_bt.units import MONEY_SCALE, PRICE_SCALE, QUANTITY_SCALE, parse_duration, parse_money

ENVIRONMENT = "KALSHI_BT_"
_TESTS_ONLY = {"KALSHI_BT_REAL_DATA"}
_SECTIONS = ("assumptions", "signal", "sizing", "risk")


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What is assumed where the data are silent; every one is printed in the report.

    Attributes
    ----------
    latency : str
        From decision to exchange, such as 1s or 250ms.
    participation : float
        Share of a bar's volume that `cross` fills may take.
    assumed_volume : int
        Contracts a bar is taken to have traded where volume was not recorded.
    half_spread : str
        Dollars between a trade and either side of the book where quotes were not recorded.
    fee_rounding : {"auto", "order_cent", "exchange"}
    balance_precision : str
        Dollars to which the exchange aligns a balance: 0.0001 or 0.01.
    """

    latency: str = "1s"
    participation: float = 0.10
    assumed_volume: int = 100
    half_spread: str = "0.02"
    fee_rounding: Literal["auto", "order_cent", "exchange"] = "auto"
    balance_precision: str = "0.0001"


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything a run depends on besides the data and the code.

    Attributes
    ----------
    strategy, data, fills, mode : str
    cash : str
        Dollars at the start.
    start, end : datetime or None
        Only bars ending after `start` and not after `end`, UTC.
    series : tuple of str
        Only these; all when empty.
    seed : int
        Of every random stream.
    bar : str or None
        Bar length such as 1m; None takes what the dataset has most of.
    assumptions : Assumptions
    signal, sizing, risk : dict
        Parameters that differ from the strategy's own.
    """

    strategy: str
    data: str = "datasets/sample"
    fills: str = "cross"
    mode: Literal["corrected", "reference"] = "corrected"
    cash: str = "10000"
    start: datetime | None = None
    end: datetime | None = None
    series: tuple[str, ...] = ()
    seed: int = 0
    bar: str | None = None
    assumptions: Assumptions = field(default_factory=Assumptions)
    signal: Mapping[str, Any] = field(default_factory=dict)
    sizing: Mapping[str, Any] = field(default_factory=dict)
    risk: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A configuration made concrete: objects that can run, and the settings in full."""

    config: RunConfig
    idea: str
    signal: Signal
    sizing: Sizing
    risk: Risk
    rules: Rules
    half_spread: int
    period: int | None

    def settings(self) -> dict[str, Any]:
        """Return every setting in force, as TOML values; None is left out or written ``none``."""
        c = self.config
        return {
            "strategy": c.strategy,
            "data": c.data,
            "fills": c.fills,
            "mode": c.mode,
            "cash": c.cash,
            **({"from": c.start.isoformat()} if c.start else {}),
            **({"to": c.end.isoformat()} if c.end else {}),
            "series": list(c.series),
            "seed": c.seed,
            **({"bar": c.bar} if c.bar else {}),
            "assumptions": plain(c.assumptions),
            "signal": plain(self.signal),
            "sizing": plain(self.sizing),
            "risk": plain(self.risk),
        }

    def toml(self) -> str:
        """Return the settings as a TOML file that reproduces the run through ``--config``."""
        return tomli_w.dumps(self.settings())

    def digest(self) -> str:
        """Return a hash of the settings; where the data lie does not count."""
        settings = {k: v for k, v in self.settings().items() if k != "data"}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def layered(
    file: Path | None, environment: Mapping[str, str], flags: Mapping[str, Any], sets: Iterable[str]
) -> RunConfig:
    """Return the configuration of four layers, later ones winning.

    Parameters
    ----------
    file : Path, optional
        TOML with the names of `RunConfig` (`from` and `to` for the span) and its tables.
    environment : mapping
        ``KALSHI_BT_CASH=500`` and the like.
    flags : mapping
        Values given on the command line; None is not given.
    sets : iterable of str
        ``KEY=VALUE`` for a parameter of the signal, the sizing, an assumption, or ``risk.NAME``.

    Raises
    ------
    UsageError
        If a key is unknown or a value does not fit.
    """
    merged: dict[str, Any] = {}
    for layer in (_from_file(file), _from_environment(environment), _given(flags)):
        merged.update({k: v for k, v in layer.items() if k not in _SECTIONS})
        for section in _SECTIONS:
            merged[section] = {**merged.get(section, {}), **layer.get(section, {})}
    if not merged.get("strategy"):
        raise UsageError("no strategy given; name one, such as --strategy bollinger")
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text!r} is not of the form KEY=VALUE")
        section, name = _place(merged["strategy"], key.strip(), merged.get("mode"))
        merged[section][name] = value
    return _config(merged)


def _given(flags: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in flags.items() if v is not None}


def _from_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        layer = tomllib.loads(file.read_text())
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is not valid TOML: {error}") from None
    for old, new in (("from", "start"), ("to", "end")):
        if old in layer:
            layer[new] = layer.pop(old)
    return layer


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    names = {n for n in environment if n.startswith(ENVIRONMENT)} - _TESTS_ONLY
    known = {ENVIRONMENT + name.upper(): name for name in _top_level()}
    for name in sorted(names):
        if name not in known:
            raise UsageError.unknown("environment variable", name, known)
    return {known[n]: environment[n] for n in sorted(names)}


def _top_level() -> list[str]:
    return [n for n in RunConfig.__dataclass_fields__ if n not in _SECTIONS]


def _place(name: str, key: str, mode: str | None) -> tuple[str, str]:
    """Return (section, field) that a ``--set`` key means."""
    chosen = strategy(name)
    signal = chosen.reference if mode == "reference" else chosen.signal
    owners: dict[str, tuple[str, str]] = {}
    for section, value in (
        ("assumptions", Assumptions()),
        ("sizing", chosen.sizing),
        ("signal", signal),
    ):
        owners.update({n: (section, n) for n in fields_of(value)})
        owners.update({f"{section}.{n}": (section, n) for n in fields_of(value)})
    owners.update({f"risk.{n}": ("risk", n) for n in fields_of(chosen.risk)})
    if key not in owners:
        near = [k for k in owners if "." not in k or k.startswith("risk.")]
        raise UsageError.unknown(f"parameter of {name}", key, near)
    return owners[key]


def _moment(name: str, given: Any) -> datetime:
    """Return a UTC time from a date, or from a time that states its zone."""
    if isinstance(given, datetime):
        moment = given
    elif isinstance(given, date):
        return datetime(given.year, given.month, given.day, tzinfo=UTC)
    else:
        text = str(given).strip()
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(
                f"{name} is {text!r}; expected a date such as 2026-03-01 or a UTC time"
            ) from None
        if len(text) == len("2026-03-01"):
            return moment.replace(tzinfo=UTC)
    if moment.tzinfo is None:
        raise UsageError(f"{name} is {moment.isoformat()} without a zone; write it with Z for UTC")
    return moment.astimezone(UTC)


def _config(merged: Mapping[str, Any]) -> RunConfig:
    known = list(RunConfig.__dataclass_fields__)
    for name in merged:
        if name not in known:
            raise UsageError.unknown("setting", name, [*known, "from", "to"])
    values = dict(merged)
    for name in ("start", "end"):
        if values.get(name) not in (None, ""):
            values[name] = _moment("--from" if name == "start" else "--to", values[name])
    series = values.get("series", ())
    if isinstance(series, str):
        series = series.split(",")
    values["series"] = tuple(s.strip() for s in series if s.strip())
    values["seed"] = read("seed", values.get("seed", 0), int)
    values["mode"] = read(
        "mode", values.get("mode", "corrected"), Literal["corrected", "reference"]
    )
    values["cash"] = str(values.get("cash", "10000"))
    values["assumptions"] = replaced(Assumptions(), values.get("assumptions", {}), "assumption")
    config = RunConfig(**values)
    if config.fills not in FILLS:
        raise UsageError.unknown("fill model", config.fills, FILLS)
    if config.start and config.end and config.end <= config.start:
        raise UsageError(f"--to {config.end.isoformat()} is not after --from")
    return config


def _decimal(name: str, text: str, scale: int, low: int, high: int) -> int:
    """Return a dollar setting as a whole number of 1/scale dollars within its bounds."""
    try:
        value = Decimal(text) * scale
    except InvalidOperation:
        raise UsageError(f"{name} is {text!r}; expected dollars, such as 0.02") from None
    if value != value.to_integral_value() or not low <= value <= high:
        raise UsageError(f"{name} is {text}; expected {low / scale} to {high / scale} dollars")
    return int(value)


def plan(config: RunConfig) -> Plan:
    """Return the objects a configuration describes.

    Raises
    ------
    UsageError
        If a strategy, parameter or value does not exist or does not fit.
    """
    chosen = strategy(config.strategy)
    reference = config.mode == "reference"
    signal = replaced(
        chosen.reference if reference else chosen.signal, config.signal, config.strategy
    )
    sizing = replaced(chosen.sizing, config.sizing, "sizing")
    risk = replaced(chosen.reference_risk if reference else chosen.risk, config.risk, "risk")
    a = config.assumptions
    cash = parse_money(config.cash)
    if cash <= 0:
        raise UsageError(f"cash is {config.cash} dollars; expected above 0")
    if a.assumed_volume < 0:
        raise UsageError(f"assumed_volume is {a.assumed_volume}; expected 0 or more contracts")
    period = None if config.bar is None else parse_duration(config.bar)
    rules = Rules(
        cash=cash,
        latency=parse_duration(a.latency),
        fill=fill_model(config.fills, a),
        assumed_volume=a.assumed_volume * QUANTITY_SCALE,
        fee_rounding=a.fee_rounding,
        balance_precision=_decimal(
            "balance_precision", a.balance_precision, MONEY_SCALE, 1, MONEY_SCALE
        ),
        risk=risk,
    )
    half = _decimal("half_spread", a.half_spread, PRICE_SCALE, 0, PRICE_SCALE // 2)
    seconds = None if period is None else timedelta(microseconds=period) // timedelta(seconds=1)
    return Plan(config, chosen.idea, signal, sizing, risk, rules, half, seconds)


def fill_model(name: str, assumptions: Assumptions) -> FillModel:
    """Return a fill model by name, `cross` with the participation assumed."""
    if name != "cross":
        return FILLS[name]
    return FillModel(participation=assumptions.participation)


def environment() -> dict[str, str]:
    """Return the process environment, read in this one place."""
    return dict(os.environ)
