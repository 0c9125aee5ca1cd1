"""A configuration made concrete: the signal, the sizing, the limits and rules of one run."""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import tomli_w

from kalshi_bt.config import METHOD, REVISION, Assumptions, RunConfig
from kalshi_bt.data.store import Store
from kalshi_bt.errors import UsageError
from kalshi_bt.longshot_chain_rules import REVISIONS, ChainRules
from kalshi_bt.own_strategy import HANDED, find
from kalshi_bt.settings import amount, plain, replaced
from kalshi_bt.signals import Signal, check_parameters
from kalshi_bt.simulator.assumptions import FILLS, FillModel, RandomExchange, Risk, Rules
from kalshi_bt.strategies import Sizing, Strategy, method_of, sizing_named
from kalshi_bt.units import (
    DAY,
    MONEY_SCALE,
    PRICE_SCALE,
    QUANTITY_SCALE,
    SECOND,
    parse_duration,
)


@dataclass(frozen=True)
class Plan:
    """A configuration made concrete: objects that can run, and the settings in full."""

    config: RunConfig
    chosen: Strategy
    signal: Signal
    sizing: Sizing
    risk: Risk
    rules: Rules
    half_spread: int
    period: int | None
    refit: timedelta
    chain: ChainRules | None = None

    @property
    def name(self) -> str:
        """What the strategy is called: of one from a file, its class."""
        own = self.chosen.source is not None
        return self.config.strategy.rpartition(":")[2] if own else self.config.strategy

    def on(self, store: Store) -> "Plan":
        """Return the plan with the rules that a dataset decides on where the settings do not."""
        if self.config.assumptions.collateral != "auto":
            return self
        return replace(self, rules=replace(self.rules, collateral=store.collateral))

    @property
    def handed_over(self) -> bool:
        """Whether the signal came as an object, so that no name leads to it again."""
        return self.config.strategy.startswith(HANDED)

    def settings(self) -> dict[str, Any]:
        """Return every setting in force, as TOML values; None is left out or written ``none``.

        A preset does not appear: what it set does.
        """
        c = self.config
        return {
            "strategy": c.strategy,
            **({"strategy_sha256": self.chosen.source} if self.chosen.source else {}),
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
            "sizing": {METHOD: method_of(self.sizing), **plain(self.sizing)},
            "risk": plain(self.risk),
            **self._files(),
        }

    def _files(self) -> dict[str, Any]:
        """Return the settings of the files that are left besides the usual ones."""
        c = self.config
        if c.format is None:
            return {}
        found = {"format": c.format, "n": c.n, "stake": c.stake}
        rules = {"chain": plain(self.chain)} if self.chain is not None else {}
        return {k: v for k, v in found.items() if v is not None} | rules

    def toml(self) -> str:
        """Return the settings as a TOML file that reproduces the run through ``--config``."""
        return tomli_w.dumps(self.settings())

    def digest(self) -> str:
        """Return a hash of the settings; where the data and the strategy's file lie is left out."""
        settings = {k: v for k, v in self.settings().items() if k != "data"}
        settings["strategy"] = self.name
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _half_spread(text: str) -> int:
    """Return the assumed half spread in centi-cents."""
    step = MONEY_SCALE // PRICE_SCALE
    whole, rest = divmod(amount("half_spread", text), step)
    if rest or not 0 <= whole <= PRICE_SCALE // 2:
        raise UsageError(f"half_spread is {text}; expected 0 to 0.5 dollars in steps of 0.0001")
    return whole


def _duration(name: str, text: str) -> int:
    try:
        return parse_duration(text)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None


def _bar(text: str | None) -> int | None:
    """Return the seconds of a bar."""
    if text is None:
        return None
    seconds, rest = divmod(_duration("bar", text), SECOND)
    if rest or not seconds:
        raise UsageError(f"bar is {text}; expected whole seconds, such as 60s or 1h")
    return seconds


def plan(config: RunConfig, chosen: Strategy | None = None) -> Plan:
    """Return the objects a configuration describes.

    Parameters
    ----------
    config : RunConfig
    chosen : Strategy, optional
        The strategy itself, where its name does not lead to it.

    Raises
    ------
    UsageError
        If a strategy, parameter or value does not exist or does not fit.
    DataError
        If the strategy's file cannot be read or run.
    """
    chosen = chosen or find(config.strategy)
    if config.strategy_sha256 not in {None, chosen.source}:
        raise UsageError(
            f"{config.strategy} is not what it was when strategy_sha256 was written: "
            f"{config.strategy_sha256[:12]} then, {(chosen.source or 'none')[:12]} now; "
            "leave strategy_sha256 out to run it as it is"
        )
    reference = config.mode == "reference"
    signal = replaced(
        chosen.reference if reference else chosen.signal, config.signal, config.strategy
    )
    check_parameters(signal)
    own = {name: value for name, value in config.sizing.items() if name != METHOD}
    usual = sizing_named(chosen, config.sizing.get(METHOD), reference=reference)
    sizing = replaced(usual, own, "sizing")
    risk = replaced(chosen.reference_risk if reference else chosen.risk, config.risk, "risk")
    a = config.assumptions
    step = a.balance_precision
    cash, latency = amount("cash", config.cash), _duration("latency", a.latency)
    if cash <= 0:
        raise UsageError(f"cash is {config.cash} dollars; expected above 0")
    if a.assumed_volume < 0:
        raise UsageError(f"assumed_volume is {a.assumed_volume}; expected 0 or more contracts")
    if latency > DAY:
        raise UsageError(f"latency is {a.latency}; expected at most a day")
    for name in ("cross", "passive"):  # whatever model is chosen, what is assumed must fit
        fill_model(name, a)
    rules = Rules(
        cash=cash,
        latency=latency,
        fill=fill_model(config.fills, a),
        assumed_volume=a.assumed_volume * QUANTITY_SCALE,
        fee_rounding=a.fee_rounding,
        balance_precision=None if step == "auto" else amount("balance_precision", step),
        pauses=a.pauses,
        seed=config.seed,
        collateral=a.collateral is True,
        fractions=a.fractions,
        risk=risk,
    )
    half = _half_spread(a.half_spread)
    if not _duration("quote_max_age", a.quote_max_age):
        raise UsageError("quote_max_age is 0; expected a duration such as 1h")
    refit = _duration("refit", a.refit)
    if not refit:
        raise UsageError("refit is 0; expected a duration such as 7d")
    every = timedelta(microseconds=refit)
    agents = _agents(config) if reference and config.format is not None else None
    return Plan(config, chosen, signal, sizing, risk, rules, half, _bar(config.bar), every, agents)


def _agents(config: RunConfig) -> ChainRules:
    """Return the rules of the documented longshot agents."""
    revision = str(config.chain.get(REVISION, "first"))
    if revision not in REVISIONS:
        raise UsageError.unknown("revision of the chain", revision, REVISIONS)
    own = {name: value for name, value in config.chain.items() if name != REVISION}
    rules: ChainRules = replaced(REVISIONS[revision], own, "chain")
    return rules


def fill_model(name: str, assumptions: Assumptions) -> FillModel:
    """Return a fill model by name, with what is assumed where the name leaves it open."""
    model, share = FILLS[name], assumptions.participation
    if name == "cross":
        return replace(model, participation=share)
    if name == "passive":
        return replace(model, participation=share, touch_share=assumptions.touch_share)
    if name == "random":
        drawn = RandomExchange() if assumptions.exchange == "ticks" else RandomExchange.hashed()
        return replace(model, participation=share, exchange=drawn)
    return model
