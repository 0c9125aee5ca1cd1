"""What a run assumes about fills, costs and limits: frozen values, every one of them printed."""

from dataclasses import dataclass, field
from typing import Literal

from kalshi_bt.errors import UsageError
from kalshi_bt.simulator.hours import parse
from kalshi_bt.units import CENT, MONEY_SCALE, QUANTITY_SCALE, SECOND


@dataclass(frozen=True, kw_only=True)
class FillModel:
    """How far the quotes and trades of a bar are believed.

    Attributes
    ----------
    end : {"open", "friendly", "hostile"}
        Which end of the bar's quote range a taker gets.
    touch : bool
        Whether reaching a resting price fills it; otherwise it must be traded through.
    prints : bool
        Whether a trade beyond a resting price proves a fill; otherwise only the quote does.
    stop_first : bool
        Which exit a bar that holds stop and target takes.
    participation : float or None
        Largest share of a bar's volume this run may take; None for no bound.
    naive : bool
        Whole size at the decision price, no fee: what too many published backtests do.
    """

    end: Literal["open", "friendly", "hostile"] = "open"
    touch: bool = False
    prints: bool = True
    stop_first: bool = True
    participation: float | None = 0.10
    naive: bool = False

    def __post_init__(self) -> None:
        if self.participation is not None and not 0 < self.participation <= 1:
            raise UsageError(f"participation is {self.participation}; expected above 0, at most 1")


FILLS = {
    "cross": FillModel(),
    "optimistic": FillModel(end="friendly", touch=True, stop_first=False, participation=1.0),
    "pessimistic": FillModel(end="hostile", prints=False, participation=0.025),
    "naive": FillModel(participation=None, naive=True),
}
BAND = ("optimistic", "cross", "pessimistic")


@dataclass(frozen=True)
class Limit:
    """A cap as a fraction of equity, in micro-dollars, or both: the tighter holds."""

    fraction: float | None = None
    dollars: int | None = None

    def __post_init__(self) -> None:
        if self.fraction is not None and not self.fraction > 0:
            raise UsageError(f"a limit of {self.fraction} of equity; expected above 0")
        if self.dollars is not None and not self.dollars > 0:
            raise UsageError(f"a limit of ${self.dollars / MONEY_SCALE:.2f}; expected above 0")


@dataclass(frozen=True, kw_only=True)
class Risk:
    """Portfolio limits in the order in which they are asked; None switches one off.

    Attributes
    ----------
    trading_hours : str or None
        When entries may be decided, such as ``09:30-16:00 America/New_York``; closing is always
        allowed.
    min_confidence, min_reward_risk, min_edge : float or None
        Least stated confidence, reward over risk, and edge net of the taker fee (dollars).
    max_contracts : int or None
        Contracts of one order.
    max_market, max_event, max_cycle, max_exposure : Limit
        Cost of one market, one event, one decision time, everything open.
    max_positions : int or None
        Markets held or bid for at once.
    daily_loss : Limit
        Realised loss since UTC midnight that latches the breaker.
    max_drawdown : float or None
        Fall from the peak, as a fraction of it, that latches the breaker for good.
    max_losses : int or None
        Losing trades in a row that latch the breaker.
    max_order_rate : int or None
        Orders within 60 seconds.
    breaker_reset : {"day", "never"}
        Whether a new UTC day clears the loss breakers, as an operator would, or nothing does.
    """

    trading_hours: str | None = None
    min_confidence: float | None = None
    min_reward_risk: float | None = None
    min_edge: float | None = None
    max_contracts: int | None = None
    max_market: Limit = field(default_factory=Limit)
    max_event: Limit = field(default_factory=Limit)
    max_cycle: Limit = field(default_factory=Limit)
    max_exposure: Limit = field(default_factory=Limit)
    max_positions: int | None = None
    daily_loss: Limit = field(default_factory=Limit)
    max_drawdown: float | None = None
    max_losses: int | None = None
    max_order_rate: int | None = None
    breaker_reset: Literal["day", "never"] = "day"

    def __post_init__(self) -> None:
        for name in ("max_contracts", "max_positions", "max_losses", "max_order_rate"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise UsageError(f"{name} is {value}; expected 0 or more, or none")
        if self.trading_hours is not None:
            parse(self.trading_hours)
        if self.max_drawdown is not None and self.max_drawdown < 0:
            raise UsageError(f"max_drawdown is {self.max_drawdown}; expected 0 or more, or none")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Everything the simulator takes for granted in one run.

    Attributes
    ----------
    cash : int
        Micro-dollars at the start.
    latency : int
        Microseconds between a decision and its arrival at the exchange.
    fill : FillModel
        How bars are believed.
    lot : int
        Smallest step of a quantity, centi-contracts.
    assumed_volume : int
        Centi-contracts a bar is taken to have traded where its volume was not recorded.
    fee_rounding : {"auto", "order_cent", "exchange"}
        ``auto`` takes the rule in force at the time of the fill.
    balance_precision : int
        Micro-dollars to which the exchange aligns a balance: 100 (direct) or 10 000.
    bar : int
        Microseconds of a bar: an order is good for `valid_bars` times this, whether or not bars
        were recorded meanwhile. 0 counts recorded bars instead.
    risk : Risk
        Portfolio limits.
    """

    cash: int = 10_000 * MONEY_SCALE
    latency: int = SECOND
    fill: FillModel = FILLS["cross"]
    lot: int = QUANTITY_SCALE
    assumed_volume: int = 100 * QUANTITY_SCALE
    fee_rounding: Literal["auto", "order_cent", "exchange"] = "auto"
    balance_precision: int = CENT // 100
    bar: int = 0
    risk: Risk = field(default_factory=Risk)

    def __post_init__(self) -> None:
        if self.cash < 0:
            raise UsageError(f"initial cash is {self.cash} micro-dollars; expected 0 or more")
        if self.latency < 0:
            raise UsageError(f"latency is {self.latency} us; expected 0 or more")
        if self.lot < 1:
            raise UsageError(f"lot is {self.lot}; expected at least 1 centi-contract")
