"""The registry: each strategy is one signal, one sizing and the limits it trades under."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import polars as pl

from kalshi_bt.allocation import Allocation, JointKelly
from kalshi_bt.edge_quantity import EdgeQuantity
from kalshi_bt.edge_stake import EdgeStake
from kalshi_bt.errors import UsageError
from kalshi_bt.settling import GroupKelly
from kalshi_bt.signals import Signal
from kalshi_bt.signals.bollinger import Bollinger, bands
from kalshi_bt.signals.event_value import EventValue
from kalshi_bt.signals.kelly_volatility import KellyVolatility
from kalshi_bt.signals.leaderboard import Leaderboard
from kalshi_bt.signals.longshot import Longshot
from kalshi_bt.signals.mean_reversion import MeanReversion
from kalshi_bt.simulator.assumptions import Limit, Risk
from kalshi_bt.sizing import FixedStake, Kelly, RiskToStop, WinRate
from kalshi_bt.units import MONEY_SCALE

Sizing = Callable[[pl.LazyFrame], pl.LazyFrame]


@dataclass(frozen=True)
class Preset:
    """Settings of a strategy that belong together, under a name.

    Attributes
    ----------
    idea : str
        One sentence.
    settings : mapping
        As a settings file has them: `cash`, and the tables `signal`, `sizing` and `risk`. Whatever
        a user sets beside the preset wins.
    """

    idea: str
    settings: Mapping[str, Any]


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
    reference_sizing : Sizing or None
        From set-ups to intents in the documented behaviour; None: the same.
    overlay : callable or None
        Adds band_lower and band_upper (dollars) to quotes, for a market's chart.
    presets : mapping
        Name to settings that a user can choose together.
    source : str or None
        A hash of what is not part of this package; None for a registered strategy.
    """

    idea: str
    signal: Signal
    reference: Signal
    sizing: Sizing
    risk: Risk
    reference_risk: Risk
    reference_sizing: Sizing | None = None
    overlay: Callable[[pl.LazyFrame, Any], pl.LazyFrame] | None = None
    presets: Mapping[str, Preset] = field(default_factory=dict)
    source: str | None = None


_SCALPER = Risk(
    min_confidence=0.6,
    min_reward_risk=1.5,
    max_contracts=100,
    max_exposure=Limit(fraction=0.20),
    max_positions=2,
    daily_loss=Limit(fraction=0.10),
    max_losses=3,
)
_SMALL_ACCOUNT = Preset(
    idea="Fifty dollars: two positions, all of it at work, and five dollars a day to lose.",
    settings={
        "cash": "50",
        "risk": {
            "max_positions": 2,
            "max_exposure": "$50",
            "daily_loss": "$5",
            "max_losses": 3,
        },
    },
)

_SPOT = Risk(
    max_positions=5,
    max_exposure=Limit(fraction=0.10),
    daily_loss=Limit(fraction=0.20),
    max_drawdown=0.15,
    drawdown_reset="day",
)
_SPOT_REFERENCE = Risk(
    min_confidence=0.5,
    max_market=Limit(dollars=1_000 * MONEY_SCALE),
    max_positions=5,
    max_exposure=Limit(dollars=5_000 * MONEY_SCALE),
    daily_loss=Limit(fraction=0.20, dollars=500 * MONEY_SCALE),
    max_drawdown=0.15,
    drawdown_reset="day",
)
_HIGH_CONVICTION = Preset(
    idea="Only near certainties in a calm market, at 15 % of Kelly, with breakers in layers.",
    settings={
        "signal": {
            name: value
            for name, value in asdict(KellyVolatility.high_conviction()).items()
            if value != asdict(KellyVolatility())[name]
        },
        "sizing": {
            "method": "kelly",
            "scale": 0.15,
            "min_fraction": 0.005,
            "max_fraction": 0.02,
            "halve_odds": 5.0,
            "likelier": True,
            "min_edge": 0.05,
        },
        "risk": {
            "max_market": 0.02,
            "max_positions": 5,
            "max_exposure": 0.10,
            "daily_loss": 0.05,
            "weekly_loss": 0.10,
            "session_loss": 0.15,
            "max_drawdown": "none",
        },
    },
)
_EVENTS = Risk(
    max_market=Limit(dollars=1_000 * MONEY_SCALE),
    max_exposure=Limit(dollars=15_000 * MONEY_SCALE),
    daily_loss=Limit(dollars=500 * MONEY_SCALE),
    max_order_rate=20,
)
_BOARD = Risk(
    max_contracts=100,
    max_exposure=Limit(fraction=0.60),
    daily_loss=Limit(dollars=200 * MONEY_SCALE),
)

SIZINGS: Final[Mapping[str, Any]] = {
    "risk_to_stop": RiskToStop,
    "win_rate": WinRate,
    "kelly": Kelly,
    "fixed_stake": FixedStake,
    "allocation": Allocation,
    "joint_kelly": JointKelly,
    "group_kelly": GroupKelly,
    "edge_quantity": EdgeQuantity,
    "edge_stake": EdgeStake,
}

STRATEGIES: Final[dict[str, Strategy]] = {
    "bollinger": Strategy(
        idea="Fade a bar whose whole body lies outside its Bollinger band.",
        signal=Bollinger(),
        reference=Bollinger.reference(),
        sizing=RiskToStop(risk=0.02, valid_bars=1),
        risk=_SCALPER,
        reference_risk=replace(_SCALPER, breaker_reset="never"),
        overlay=bands,
        presets={"small_account": _SMALL_ACCOUNT},
    ),
    "longshot": Strategy(
        idea="Buy the favourites, and against the longshots, that past outcomes show mispriced.",
        signal=Longshot(),
        reference=Longshot.reference(),
        sizing=Kelly(scale=1.0, max_fraction=0.02),
        risk=Risk(max_contracts=20, max_event=Limit(dollars=15 * MONEY_SCALE)),
        reference_sizing=FixedStake(dollars=10.0),
        reference_risk=Risk(),
    ),
    "kelly_volatility": Strategy(
        idea="Price short crypto windows by the volatility of their underlying; size by Kelly.",
        signal=KellyVolatility(),
        reference=KellyVolatility.reference(),
        sizing=GroupKelly(scale=0.25, max_fraction=0.02, max_group=0.05, min_edge=0.05),
        risk=_SPOT,
        reference_sizing=EdgeStake(),
        reference_risk=_SPOT_REFERENCE,
        presets={"high_conviction": _HIGH_CONVICTION},
    ),
    "mean_reversion": Strategy(
        idea="Take the side to which a stretched underlying, or price, is drawn back.",
        signal=MeanReversion(),
        reference=MeanReversion.reference(),
        sizing=Kelly(scale=0.25, max_fraction=0.02, min_edge=0.05),
        risk=_SPOT,
        reference_sizing=EdgeStake(),
        reference_risk=_SPOT_REFERENCE,
    ),
    "event_value": Strategy(
        idea="Buy what recorded valuations say is worth more than it costs, best edges first.",
        signal=EventValue(),
        reference=EventValue.reference(),
        sizing=Allocation(),
        risk=replace(_EVENTS, max_event=Limit(fraction=0.06), max_cycle=Limit(fraction=0.20)),
        reference_sizing=Allocation.reference(),
        reference_risk=_EVENTS,
    ),
    "leaderboard": Strategy(
        idea="Buy the models that a leaderboard's scores and errors make likelier to lead.",
        signal=Leaderboard(),
        reference=Leaderboard.reference(),
        sizing=JointKelly(scale=0.25, max_event=0.10, min_edge=0.03),
        risk=replace(_BOARD, max_event=Limit(fraction=0.10)),
        reference_sizing=EdgeQuantity(),
        reference_risk=_BOARD,
    ),
}


def method_of(sizing: object) -> str:
    """Return the name of a sizing, that of its class if it is not registered.

    Examples
    --------
    >>> method_of(RiskToStop())
    'risk_to_stop'
    """
    names = {kind: name for name, kind in SIZINGS.items()}
    return names.get(type(sizing), type(sizing).__name__)


def sizing_named(chosen: Strategy, method: str | None, *, reference: bool = False) -> Sizing:
    """Return a strategy's own sizing, or another one with its usual values.

    Raises
    ------
    UsageError
        If there is no sizing of that name.
    """
    own = (chosen.reference_sizing if reference else None) or chosen.sizing
    if method is None or method == method_of(own):
        return own
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


def preset_settings(chosen: Strategy, name: str, preset: str) -> Mapping[str, Any]:
    """Return the settings of a preset of a strategy known as `name`.

    Raises
    ------
    UsageError
        If there is none of that name; the message names the nearest, or those there are.

    Examples
    --------
    >>> preset_settings(STRATEGIES["bollinger"], "bollinger", "small_account")["cash"]
    '50'
    """
    if preset not in chosen.presets:
        raise UsageError.unknown(f"preset of {name}", preset, chosen.presets)
    return chosen.presets[preset].settings
