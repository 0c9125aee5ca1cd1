"""What a run assumes about fills, costs and limits: frozen values, every one of them printed."""

from dataclasses import dataclass, field
from typing import Literal

from kalshi_bt.errors import UsageError
from kalshi_bt.simulator.hours import parse
from kalshi_bt.units import MONEY_SCALE, PRICE_SCALE, QUANTITY_SCALE, SECOND


@dataclass(frozen=True, kw_only=True)
class RandomExchange:
    """A seeded exchange that answers late, fills worse than quoted and at times only in part.

    Attributes
    ----------
    latency_ms : tuple of int
        Least and most milliseconds between a decision and its arrival.
    stress : float
        Chance that a taker meets a stressed book.
    slip_ticks, stress_ticks : tuple of int
        Least and most ticks a taker loses, in a calm and in a stressed book.
    tick : int
        Centi-cents.
    partial : float
        Chance that an order is filled in part on the first bar it fills on.
    ratio : tuple of float
        Least and most of it that is filled then.
    slip_bps : int or None
        If given, a taker loses a part of the price instead of ticks: anything from minus to plus
        this many basis points, where a gain is not granted.
    ratios : tuple of float
        If given, one of these is what an order gets on the first bar it fills on, each as likely.
    """

    latency_ms: tuple[int, int] = (100, 500)
    stress: float = 0.15
    slip_ticks: tuple[int, int] = (1, 3)
    stress_ticks: tuple[int, int] = (5, 10)
    tick: int = 100
    partial: float = 0.05
    ratio: tuple[float, float] = (0.3, 1.0)
    slip_bps: int | None = None
    ratios: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("latency_ms", "slip_ticks", "stress_ticks", "ratio"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise UsageError(f"{name} is {(low, high)}; expected two rising values from 0 on")
        for name in ("stress", "partial"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} is {getattr(self, name)}; expected 0 to 1")
        if any(not 0 <= share <= 1 for share in (*self.ratio, *self.ratios)):
            raise UsageError(f"shares {(*self.ratio, *self.ratios)}; expected 0 to 1 each")
        if self.slip_bps is not None and not 0 <= self.slip_bps <= PRICE_SCALE:
            raise UsageError(f"slip_bps is {self.slip_bps}; expected 0 to {PRICE_SCALE}")

    @classmethod
    def hashed(cls) -> "RandomExchange":
        """Return the exchange that draws share, slippage and latency evenly, order by order."""
        return cls(latency_ms=(40, 219), slip_bps=35, ratios=(0.0, 0.35, 0.65, 1.0))


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
    queue : bool
        Whether limit orders only make, and at the touch wait for the queue ahead of them.
    touch_share : float
        Share of a bar's volume taken to have traded at the price that was touched.
    exchange : RandomExchange or None
        Draws that make takers pay more, later and in part.
    book : bool
        Whether takers walk recorded depth, see `books.prepare_books`.
    """

    end: Literal["open", "friendly", "hostile"] = "open"
    touch: bool = False
    prints: bool = True
    stop_first: bool = True
    participation: float | None = 0.10
    naive: bool = False
    queue: bool = False
    touch_share: float = 0.5
    exchange: RandomExchange | None = None
    book: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.touch_share <= 1:
            raise UsageError(f"touch_share is {self.touch_share}; expected 0 to 1")
        if self.participation is not None and not 0 < self.participation <= 1:
            raise UsageError(f"participation is {self.participation}; expected above 0, at most 1")


FILLS = {
    "cross": FillModel(),
    "optimistic": FillModel(end="friendly", touch=True, stop_first=False, participation=1.0),
    "pessimistic": FillModel(end="hostile", prints=False, participation=0.025),
    "naive": FillModel(participation=None, naive=True),
    "passive": FillModel(queue=True),
    "random": FillModel(exchange=RandomExchange()),
    "book": FillModel(book=True, queue=True, touch_share=1.0, participation=None),
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
    weekly_loss : Limit
        Realised loss since Monday, 00:00 UTC, that latches the breaker until the next one.
    session_loss : Limit
        Realised loss since the start of the run that latches the breaker for good.
    max_drawdown : float or None
        Fall from the peak of equity, as a fraction of it, that latches the breaker.
    max_losses : int or None
        Losing trades in a row that latch the breaker.
    max_order_rate : int or None
        Orders within 60 seconds.
    breaker_reset : {"day", "never"}
        Whether a new UTC day (of the weekly loss: a new week) clears the breakers of a day's and a
        week's loss and of losses in a row, as an operator would, or nothing does.
    drawdown_reset : {"never", "day"}
        Whether a new UTC day clears the breaker of the drawdown and lets the peak start anew at the
        equity then, or nothing does.
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
    weekly_loss: Limit = field(default_factory=Limit)
    session_loss: Limit = field(default_factory=Limit)
    max_drawdown: float | None = None
    max_losses: int | None = None
    max_order_rate: int | None = None
    breaker_reset: Literal["day", "never"] = "day"
    drawdown_reset: Literal["never", "day"] = "never"

    def __post_init__(self) -> None:
        for name in ("max_contracts", "max_positions", "max_losses", "max_order_rate"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise UsageError(f"{name} is {value}; expected 0 or more, or none")
        for name in ("breaker_reset", "drawdown_reset"):
            if getattr(self, name) not in {"day", "never"}:
                raise UsageError(f"{name} is {getattr(self, name)!r}; expected day or never")
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
    fractions : bool
        Whether markets whose first bar ends on 2026-04-17 or later, from when on all of them allow
        it, trade in steps of 0.01 contracts instead.
    assumed_volume : int
        Centi-contracts a bar is taken to have traded where its volume was not recorded.
    fee_rounding : {"auto", "order_cent", "exchange"}
        ``auto`` takes the rule in force at the time of the fill.
    balance_precision : int or None
        Micro-dollars to which the exchange aligns a balance: 100 (direct) or 10 000. None: by
        date, 10 000 before 2026-05-28 and 100 from then on.
    bar : int
        Microseconds of a bar: an order is good for `valid_bars` times this, whether or not bars
        were recorded meanwhile. 0 counts recorded bars instead.
    pauses : bool
        Whether the exchange stands still in its weekly maintenance, see `pauses`.
    seed : int
        Of the draws of a random exchange.
    collateral : bool
        Whether the exchange gives back what the positions of an event cannot lose together.
    risk : Risk
        Portfolio limits.
    """

    cash: int = 10_000 * MONEY_SCALE
    latency: int = SECOND
    fill: FillModel = FILLS["cross"]
    lot: int = QUANTITY_SCALE
    fractions: bool = False
    assumed_volume: int = 100 * QUANTITY_SCALE
    fee_rounding: Literal["auto", "order_cent", "exchange"] = "auto"
    balance_precision: int | None = None
    bar: int = 0
    pauses: bool = True
    seed: int = 0
    collateral: bool = False
    risk: Risk = field(default_factory=Risk)

    def __post_init__(self) -> None:
        if self.cash < 0:
            raise UsageError(f"initial cash is {self.cash} micro-dollars; expected 0 or more")
        if self.latency < 0:
            raise UsageError(f"latency is {self.latency} us; expected 0 or more")
        if self.lot < 1:
            raise UsageError(f"lot is {self.lot}; expected at least 1 centi-contract")
        if self.balance_precision is not None and self.balance_precision < 1:
            raise UsageError(
                f"balance_precision is {self.balance_precision}; expected at least 1 micro-dollar"
            )
