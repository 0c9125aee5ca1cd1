"""The configuration of a run, in layers: defaults < preset < TOML file < environment < flags.

Whatever a layer names that does not exist is an error.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.longshot_chain_rules import ChainRules
from kalshi_bt.own_strategy import find
from kalshi_bt.settings import amount, fields_of, read, replaced
from kalshi_bt.simulator.assumptions import FILLS
from kalshi_bt.strategies import Strategy, preset_settings, sizing_named
from kalshi_bt.units import (
    format_money,
)

ENVIRONMENT = "KALSHI_BT_"
NAIVE = "naive"
METHOD = "method"  # which sizing, among its parameters
REVISION = "revision"  # which rules of the documented chain, among its parameters
PRESET = "preset"
_CHAIN = {"chain", f"chain.{REVISION}"}
_METHOD = {"sizing", f"sizing.{METHOD}"}  # as --set names it, before any parameter of the sizing
_TESTS_ONLY = {"KALSHI_BT_REAL_DATA", "KALSHI_BT_SPECS", "KALSHI_BT_VECTORBT"}
_SECTIONS = ("assumptions", "signal", "sizing", "risk", "chain")
LONGSHOT_CSV = "longshot-csv"
FORMATS = (LONGSHOT_CSV,)
_DOCUMENTED: dict[str, Any] = {"n": 2_000, "cash": "1000"}  # of the documented longshot backtest
_OUTSIDE = {"start": "from", "end": "to"}  # what Python reserves, files and flags need not
_SEEDS = 2**63


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
    refit : str
        How often a signal that learns from outcomes is fitted anew, such as 7d.
    quotes : {"auto", "candles", "trades", "books"}
        What bids and asks are made of; ``auto`` takes the best that was recorded.
    quote_max_age : str
        How long a quote told by a trade is believed, such as 1h.
    half_spread : str
        Dollars between a trade and either side of the book where quotes were not recorded.
    fee_rounding : {"auto", "order_cent", "exchange"}
    balance_precision : {"auto", "0.0001", "0.01"}
        Dollars to which the exchange aligns a balance; ``auto`` takes the step of the date.
    touch_share : float
        Share of a bar's volume that `passive` fills take to have traded at the price touched.
    exchange : {"ticks", "hashed"}
        How the `random` exchange draws: slippage in ticks with a stressed state, or evenly.
    pauses : bool
        Whether nothing trades in the exchange's weekly pause.
    collateral : bool or "auto"
        Whether the exchange returns what the positions of an event cannot lose together; ``auto``
        takes what the dataset says.
    fractions : bool
        Whether markets that allow it, all that began on 2026-04-17 or later, trade in steps of
        0.01 contracts.
    audit : bool
        Whether the signal is audited for look-ahead on a sample of markets.
    sensitivity : bool
        Whether the same intents are walked again under one changed assumption each.
    controls : bool
        Whether the closed trades are held against runs of luck, with random entries and sides.
    """

    latency: str = "1s"
    participation: float = 0.10
    assumed_volume: int = 100
    refit: str = "7d"
    quotes: Literal["auto", "candles", "trades", "books"] = "auto"
    quote_max_age: str = "1h"
    half_spread: str = "0.02"
    fee_rounding: Literal["auto", "order_cent", "exchange"] = "auto"
    balance_precision: Literal["auto", "0.0001", "0.01"] = "auto"
    touch_share: float = 0.5
    exchange: Literal["ticks", "hashed"] = "ticks"
    pauses: bool = True
    collateral: bool | Literal["auto"] = "auto"
    fractions: bool = False
    audit: bool = True
    sensitivity: bool = True
    controls: bool = True


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything a run depends on besides the data and the code.

    Attributes
    ----------
    strategy, data, fills, mode : str
        A strategy is a registered name or ``FILE.py:CLASS``.
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
    preset : str or None
        Name of settings that the strategy offers together. They are part of the others by now.
    assumptions : Assumptions
    signal, sizing, risk : dict
        Parameters that differ from the strategy's own.
    format : str or None
        Files to leave besides: ``longshot-csv``, the documented ones of the longshot strategy.
    n : int or None
        Settled markets, by their closes, after which such a run ends.
    stake : str or None
        Dollars of each of its trades; None leaves it to the sizing.
    chain : dict
        Parameters of the documented agents that differ from their first revision.
    strategy_sha256 : str or None
        What the strategy's file must be, where a configuration was written for one state of it.
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
    preset: str | None = None
    assumptions: Assumptions = field(default_factory=Assumptions)
    signal: Mapping[str, Any] = field(default_factory=dict)
    sizing: Mapping[str, Any] = field(default_factory=dict)
    risk: Mapping[str, Any] = field(default_factory=dict)
    format: str | None = None
    n: int | None = None
    stake: str | None = None
    chain: Mapping[str, Any] = field(default_factory=dict)
    strategy_sha256: str | None = None


def layered(
    file: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, Any],
    sets: Iterable[str],
    chosen: Strategy | None = None,
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
        ``KEY=VALUE`` for a parameter of the signal, the sizing, an assumption, ``risk.NAME``, or
        ``preset``, which is the lowest layer wherever it is named.
    chosen : Strategy, optional
        The strategy itself, where its name does not lead to it.

    Raises
    ------
    UsageError
        If a key is unknown or a value does not fit.
    """
    given = {k: v for k, v in flags.items() if v is not None}
    pairs = [_pair(text) for text in sets]
    layers = [_from_file(file), _from_environment(environment), given]
    layers += [{PRESET: value.strip()} for key, value in pairs if key == PRESET]
    merged = _merged(*layers)
    if not merged.get("strategy"):
        raise UsageError("no strategy given; name one, such as --strategy bollinger")
    if merged.get(PRESET) is not None:
        own = chosen or find(merged["strategy"])
        merged = _merged(preset_settings(own, merged["strategy"], merged[PRESET]), *layers)
    if merged.get("fills") == NAIVE:
        merged.setdefault("mode", "reference")
    if merged.get("format") == LONGSHOT_CSV:
        merged = _DOCUMENTED | merged
        if merged.get("stake") is not None and merged.get("mode") != "reference":
            merged["sizing"].setdefault(METHOD, "fixed_stake")
    for key, value in sorted(pairs, key=lambda pair: pair[0] not in _METHOD):
        if key != PRESET:
            section, name = _place(chosen or find(merged["strategy"]), key, merged)
            merged[section][name] = value
    return _config(merged)


def _pair(text: str) -> tuple[str, str]:
    """Return the two sides of ``KEY=VALUE``."""
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text!r} is not of the form KEY=VALUE")
    return key.strip(), value


def _merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the last value given of each setting; sections are merged key by key."""
    merged: dict[str, Any] = {section: {} for section in _SECTIONS}
    for layer in layers:
        if layer.get("strategy", merged.get("strategy")) != merged.get("strategy"):
            merged.pop("strategy_sha256", None)  # it was said of another one
        for name, value in layer.items():
            if name not in _SECTIONS:
                merged[name] = value
            elif isinstance(value, Mapping):
                merged[name].update(value)
            else:
                raise UsageError(f"{name} is {value!r}; expected a table of its parameters")
    for name in ("strategy", "strategy_sha256", "data", "fills", "bar", "format", PRESET):
        value = merged.get(name)
        if value is not None and not (isinstance(value, str) and value.strip()):
            raise UsageError(f"{name} is {value!r}; expected a name")
    return merged


def _from_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        layer = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file} is not valid TOML: {error}") from None
    known = {_OUTSIDE.get(name, name): name for name in RunConfig.__dataclass_fields__}
    for name in layer:
        if name not in known:
            raise UsageError.unknown(f"setting in {file}", name, known)
    return {known[name]: value for name, value in layer.items()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    names = {n for n in environment if n.startswith(ENVIRONMENT)} - _TESTS_ONLY
    top = [n for n in RunConfig.__dataclass_fields__ if n not in _SECTIONS]
    known = {ENVIRONMENT + _OUTSIDE.get(name, name).upper(): name for name in top}
    for name in sorted(names):
        if name not in known:
            raise UsageError.unknown("environment variable", name, known)
    return {known[n]: environment[n] for n in sorted(names)}


def _place(chosen: Strategy, key: str, merged: Mapping[str, Any]) -> tuple[str, str]:
    """Return (section, field) that a ``--set`` key means."""
    if key in _CHAIN:
        return "chain", REVISION
    if key in _METHOD:
        return "sizing", METHOD
    reference = merged.get("mode") == "reference"
    signal = chosen.reference if reference else chosen.signal
    owners: dict[str, tuple[str, str]] = {}
    for section, value in (
        ("assumptions", Assumptions()),
        ("sizing", sizing_named(chosen, merged["sizing"].get(METHOD), reference=reference)),
        ("signal", signal),
    ):
        owners.update({n: (section, n) for n in fields_of(value)})
        owners.update({f"{section}.{n}": (section, n) for n in fields_of(value)})
    owners.update({f"risk.{n}": ("risk", n) for n in fields_of(chosen.risk)})
    if merged.get("format") == LONGSHOT_CSV and reference:
        owners.update({f"chain.{n}": ("chain", n) for n in fields_of(ChainRules())})
    if key not in owners:
        near = [k for k in (*owners, PRESET) if "." not in k or k.startswith(("risk.", "chain."))]
        raise UsageError.unknown(f"parameter of {merged['strategy']}", key, near)
    return owners[key]


def _moment(name: str, given: Any) -> datetime:
    """Return a UTC time from a date, or from a time that states its zone."""
    moment = given if isinstance(given, date) else _written(name, str(given).strip())
    if not isinstance(moment, datetime):
        return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    if moment.tzinfo is None:
        raise UsageError(f"{name} is {moment.isoformat()} without a zone; write it with Z for UTC")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise UsageError(f"{name} is {moment.isoformat()}; UTC has no such time") from None


def _written(name: str, text: str) -> date:
    """Return the date or the time that a text is."""
    for kind in (date, datetime):
        with suppress(ValueError):
            return kind.fromisoformat(text)
    raise UsageError(f"{name} is {text!r}; expected a date such as 2026-03-01 or a UTC time")


def _config(merged: Mapping[str, Any]) -> RunConfig:
    known = list(RunConfig.__dataclass_fields__)
    for name in merged:
        if name not in known:
            raise UsageError.unknown("setting", name, known)
    values = dict(merged)
    for name, flag in _OUTSIDE.items():
        if values.get(name) is not None:
            values[name] = _moment(f"--{flag}", values[name])
    values["series"] = _series(values.get("series", ()))
    values["seed"] = _seed(values.get("seed", 0))
    values["mode"] = read(
        "mode", values.get("mode", "corrected"), Literal["corrected", "reference"]
    )
    values["cash"] = format_money(amount("cash", values.get("cash", "10000")))
    values["assumptions"] = replaced(Assumptions(), values.get("assumptions", {}), "assumption")
    _check_format(values)
    config = RunConfig(**values)
    if config.fills not in FILLS:
        raise UsageError.unknown("fill model", config.fills, FILLS)
    if config.fills == NAIVE and config.mode != "reference":
        raise UsageError(
            "fills at prices nobody offered are for comparison with the documented behaviour: "
            "--fills naive needs --mode reference"
        )
    if config.start and config.end and config.end <= config.start:
        raise UsageError(
            f"--to {config.end.isoformat()} is not after --from {config.start.isoformat()}"
        )
    return config


def _check_format(values: dict[str, Any]) -> None:
    """Read what belongs to a format of files, and refuse it without one."""
    chosen, reference = values.get("format"), values["mode"] == "reference"
    if chosen is not None and chosen not in FORMATS:
        raise UsageError.unknown("format", chosen, FORMATS)
    if chosen is None:
        for name in ("n", "stake", "chain"):
            if values.get(name):
                raise UsageError(f"{name} is given; it needs --format {LONGSHOT_CSV}")
        return
    if values["strategy"] != "longshot":
        raise UsageError(
            f"--format {chosen} has the files of longshot; found --strategy {values['strategy']}"
        )
    if values.get("chain") and not reference:
        raise UsageError("chain has the documented agents' parameters; they need --mode reference")
    values["n"] = read("n", values["n"], int)
    if values["n"] < 1:
        raise UsageError(f"n is {values['n']}; expected at least 1")
    if values.get("stake") is not None:
        stake = amount("stake", values["stake"])
        if stake <= 0:
            raise UsageError(f"stake is {values['stake']} dollars; expected above 0")
        values["stake"] = format_money(stake)
        if not reference:
            given = values["sizing"].setdefault(METHOD, "fixed_stake")
            if given != "fixed_stake":
                raise UsageError(f"stake is given; it needs --set sizing=fixed_stake, not {given}")
            values["sizing"] = {**values["sizing"], "dollars": values["stake"]}


def _series(given: Any) -> tuple[str, ...]:
    """Return names of series, each once and sorted: their order changes nothing."""
    names = given.split(",") if isinstance(given, str) else given
    if not isinstance(names, list | tuple) or not all(
        isinstance(name, str) and name.strip() for name in names
    ):
        raise UsageError(f"series is {given!r}; expected names such as KXHIGHNY,KXLOWTNYC")
    return tuple(sorted({name.strip() for name in names}))


def _seed(given: Any) -> int:
    seed: int = read("seed", given, int)
    if not 0 <= seed < _SEEDS:
        raise UsageError(f"seed is {seed}; expected 0 or more, below 2^63")
    return seed


def paper_folder() -> Path | None:
    """Return where the documented longshot files go by ``PAPER_DATA_DIR``; None where it is not."""
    named = os.environ.get("PAPER_DATA_DIR", "").strip()
    return Path(named) if named else None


def environment() -> dict[str, str]:
    """Return the process environment, read in this one place."""
    return dict(os.environ)
