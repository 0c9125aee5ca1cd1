"""The registry: each strategy is one signal, one sizing and the limits it trades under."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl

from kalshi_bt.errors import UsageError
from kalshi_bt.signals import Signal
from kalshi_bt.signals.bollinger import Bollinger, bands
from kalshi_bt.simulator.assumptions import Limit, Risk
from kalshi_bt.sizing import SIZINGS, RiskToStop, method_of

Sizing = Callable[[pl.LazyFrame], pl.LazyFrame]


@dataclass(frozen=True)
class Strategy:
    """What is traded and how.

    Attributes
    ----------
    idea : str
        One sentence.
    signal, reference : Signal
        The corrected behaviour, and the documented one that it corrects.
    sizing : Sizing
        From set-ups to intents.
    risk : Risk
        Limits of the corrected behaviour; the reference differs by `reference_risk`.
    reference_risk : Risk
    overlay : callable or None
        Adds band_lower and band_upper (dollars) to quotes, for a market's chart.
    """

    idea: str
    signal: Signal
    reference: Signal
    sizing: Sizing
    risk: Risk
    reference_risk: Risk
    overlay: Callable[[pl.LazyFrame, Any], pl.LazyFrame] | None = None


_SCALPER = Risk(
    min_confidence=0.6,
    min_reward_risk=1.5,
    max_contracts=100,
    max_exposure=Limit(fraction=0.20),
    max_positions=2,
    daily_loss=Limit(fraction=0.10),
    max_losses=3,
)

STRATEGIES: Final[dict[str, Strategy]] = {
    "bollinger": Strategy(
        idea="Fade a bar whose whole body lies outside its Bollinger band.",
        signal=Bollinger(),
        reference=Bollinger.reference(),
        sizing=RiskToStop(risk=0.02, valid_bars=1),
        risk=_SCALPER,
        reference_risk=replace(_SCALPER, breaker_reset="never"),
        overlay=bands,
    ),
}


def sizing_named(chosen: Strategy, method: str | None) -> Sizing:
    """Return a strategy's own sizing, or another one with its usual values.

    Raises
    ------
    UsageError
        If there is no sizing of that name.
    """
    if method is None or method == method_of(chosen.sizing):
        return chosen.sizing
    if method not in SIZINGS:
        raise UsageError.unknown("sizing", method, SIZINGS)
    sizing: Sizing = SIZINGS[method]()
    return sizing


def strategy(name: str) -> Strategy:
    """Return a registered strategy.

    Raises
    ------
    UsageError
        If there is none of that name; the message names the nearest.
    """
    if name not in STRATEGIES:
        raise UsageError.unknown("strategy", name, STRATEGIES)
    return STRATEGIES[name]
