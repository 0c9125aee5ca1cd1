"""From an opinion to an intent: how much of the equity, at which price, for how long."""

from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from kalshi_bt import schema
from kalshi_bt.errors import UsageError
from kalshi_bt.kelly import kelly, kelly_exclusive, kelly_program
from kalshi_bt.units import PRICE_SCALE, QUANTITY_SCALE, RATE_SCALE, over

__all__ = [
    "FixedStake",
    "Kelly",
    "RiskToStop",
    "WinRate",
    "better_side",
    "kelly",
    "kelly_exclusive",
    "kelly_program",
    "orders",
]


LARGEST = 10**9  # dollars or contracts: beyond it the simulator's integers would overflow


def _optional(columns: set[str], name: str) -> pl.Expr:
    return pl.col(name) if name in columns else pl.lit(None, dtype=schema.SIGNALS[name]).alias(name)


def _price(columns: set[str], name: str) -> pl.Expr:
    return (_optional(columns, name) * PRICE_SCALE).round().cast(schema.Price)


def _entered(setups: pl.LazyFrame) -> pl.LazyFrame:
    """Return `setups`, rows without an entry bought at what their side was offered at.

    A stop entry without its trigger stays without: a quote is none.
    """
    columns = set(setups.collect_schema().names())
    if "entry" in columns and not {"bid", "ask"} <= columns:
        return setups
    offered = pl.when(pl.col("side") < 0).then("bid").otherwise("ask")
    stop_entry = _optional(columns, "entry_stop").fill_null(value=False)
    own = _optional(columns, "entry")
    return setups.with_columns(
        entry=pl.when(stop_entry).then(own).otherwise(pl.coalesce(own, offered))
    )


def orders(setups: pl.LazyFrame, valid_bars: int, **size: pl.Expr) -> pl.LazyFrame:
    """Return one intent for each row that has a side, sized by one of quantity, stake and risk."""
    setups = _entered(setups)
    columns = set(setups.collect_schema().names())
    stop_entry = _optional(columns, "entry_stop").fill_null(value=False)
    kind = (
        pl.when(pl.col("side") == 0)
        .then(pl.lit("ioc"))
        .when(stop_entry)
        .then(pl.lit("stop"))
        .otherwise(pl.lit("limit"))
    )
    empty = {
        name: pl.lit(None, dtype=schema.INTENTS.columns[name])
        for name in ("reward", "quantity", "stake", "risk")
        if name not in size
    }
    return (
        setups.filter(pl.col("side").is_not_null())
        .with_columns(
            side=pl.col("side").cast(pl.Int8),
            kind=kind.cast(schema.EntryKind),
            limit=_price(columns, "entry"),
            stop=_price(columns, "stop"),
            target=_price(columns, "target"),
            valid_bars=pl.lit(valid_bars, dtype=pl.Int32),
            exit_time=_optional(columns, "exit_time"),
            fair=_optional(columns, "fair"),
            confidence=_optional(columns, "confidence"),
            **size,
            **empty,
        )
        .select(list(schema.INTENTS.columns))
        .sort("time", "market")
    )


def better_side(setups: pl.LazyFrame, max_price: float) -> pl.LazyFrame:
    """Return `setups` with the better side of `fair`: side, entry, edge net of the fee, won."""
    rate = over(pl.col("taker"), RATE_SCALE)
    sides = {1: (pl.col("fair"), pl.col("ask")), -1: (1 - pl.col("fair"), 1 - pl.col("bid"))}
    edges = {}
    for side, (p, price) in sides.items():
        edge = p - price - rate * price * (1 - price)
        edges[side] = pl.when(price.is_between(0, max_price, closed="right")).then(edge)
    chosen = pl.when(edges[1].fill_null(-1.0) >= edges[-1].fill_null(-1.0))
    return setups.with_columns(
        side=chosen.then(1).otherwise(-1).cast(pl.Int8),
        edge=chosen.then(edges[1]).otherwise(edges[-1]),
        entry=chosen.then("ask").otherwise("bid"),
        won=chosen.then("fair").otherwise(1 - pl.col("fair")),
        stop=pl.lit(None, dtype=pl.Float64),
        target=pl.lit(None, dtype=pl.Float64),
    )


def _check_valid(valid_bars: int) -> None:
    if valid_bars < 1:
        raise UsageError(f"valid_bars is {valid_bars}; expected at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskToStop:
    """A fixed fraction of equity is lost if the stop is hit at its price.

    Parameters
    ----------
    risk : float
        Fraction of equity at risk, above 0, at most 1.
    valid_bars : int
        Bars an entry rests before it expires, at least 1.

    Examples
    --------
    >>> RiskToStop(risk=0.01)
    RiskToStop(risk=0.01, valid_bars=1)
    """

    weighs: ClassVar[str] = "stop"

    risk: float = 0.02
    valid_bars: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.risk <= 1:
            raise UsageError(f"risk is {self.risk}; expected above 0, at most 1")
        _check_valid(self.valid_bars)

    def __call__(self, setups: pl.LazyFrame) -> pl.LazyFrame:
        """Return one intent (`schema.INTENTS`) for each row that has a side.

        Parameters
        ----------
        setups : frame
            `market`, `time`, and the columns of `schema.SIGNALS` that describe a set-up; a null
            `side` is no set-up. Where `entry` is missing or null they are bought at `ask`, or `bid`
            for NO.
        """
        return orders(setups, self.valid_bars, risk=pl.lit(self.risk))


@dataclass(frozen=True, slots=True, kw_only=True)
class WinRate:
    """A part of the Kelly stake of a bet that is won at a known rate.

    With W the rate and R the set-up's reward over its risk, f = W - (1 - W) / R. The order spends
    ``scale * f`` of the equity, fees included; nothing where f is not positive, or where stop or
    target is missing.

    Parameters
    ----------
    win_rate : float
        Share of trades that reach their target, above 0, below 1. Nothing estimates it here: a rate
        measured on the same data is look-ahead.
    scale : float
        Part of the Kelly stake, above 0, at most 1.
    valid_bars : int
        Bars an entry rests before it expires, at least 1.

    References
    ----------
    J. L. Kelly, A New Interpretation of Information Rate, Bell System Technical Journal 35, 1956,
    doi:10.1002/j.1538-7305.1956.tb03809.x.

    Examples
    --------
    >>> WinRate(win_rate=0.5)
    WinRate(win_rate=0.5, scale=0.5, valid_bars=1)
    """

    weighs: ClassVar[str] = "stop"

    win_rate: float = 0.40
    scale: float = 0.5
    valid_bars: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.win_rate < 1:
            raise UsageError(f"win_rate is {self.win_rate}; expected above 0, below 1")
        if not 0 < self.scale <= 1:
            raise UsageError(f"scale is {self.scale}; expected above 0, at most 1")
        _check_valid(self.valid_bars)

    def __call__(self, setups: pl.LazyFrame) -> pl.LazyFrame:
        """Return one intent (`schema.INTENTS`) for each row that has a side.

        Parameters
        ----------
        setups : frame
            As for `RiskToStop`.
        """
        setups = _entered(setups)
        target = _optional(set(setups.collect_schema().names()), "target")
        reward, lost = target - pl.col("entry"), pl.col("entry") - pl.col("stop")
        fraction = self.win_rate - (1 - self.win_rate) * lost / reward
        usable = (reward * lost > 0) & (fraction > 0)
        stake = pl.when(usable).then(self.scale * fraction).otherwise(0.0)
        return orders(setups, self.valid_bars, stake=stake)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kelly:
    """A part of the Kelly stake on the better side of a stated probability, taken at once.

    A contract costs the ask (a NO the bid's complement) and the taker's fee, k in all; with p the
    probability of the side, f = (p - k) / (1 - k). The side with the larger p - k is bought if that
    exceeds `min_edge`, with ``scale * f`` of the equity, at most `max_fraction`, at the price seen
    or better. It is held to the settlement.

    Parameters
    ----------
    scale : float
        Part of the Kelly stake, above 0, at most 1.
    max_fraction, min_fraction : float
        Largest and smallest stake, fractions of equity; the first above 0, at most 1, the other
        from 0 to the first. Where there is an edge, less than the smallest is raised to it.
    min_edge : float
        Least probability beyond the cost, dollars of payout.
    halve_odds : float or None
        Price over one less the price, of the side bought, above which the Kelly stake is halved
        before it is held between the smallest and the largest.
    likelier : bool
        Whether only the side that is likelier than not is bought: an underdog that is too cheap is
        left alone.
    shrink : float
        Standard error of the probability: the stake shrinks by e^2 / (e^2 + shrink^2), e = p - k.
    max_price : float
        Dearest contract that is bought, dollars.

    References
    ----------
    J. L. Kelly, A New Interpretation of Information Rate, Bell System Technical Journal 35, 1956,
    doi:10.1002/j.1538-7305.1956.tb03809.x.

    R. D. Baker and I. G. McHale, Optimal Betting Under Parameter Uncertainty, Decision Analysis
    10:3, 2013, doi:10.1287/deca.2013.0271.

    Examples
    --------
    >>> Kelly(scale=0.5).max_fraction
    0.05
    """

    weighs: ClassVar[str] = "fair"

    scale: float = 0.25
    max_fraction: float = 0.05
    min_fraction: float = 0.0
    min_edge: float = 0.0
    halve_odds: float | None = None
    likelier: bool = False
    shrink: float = 0.0
    max_price: float = 0.99

    def __post_init__(self) -> None:
        for name in ("scale", "max_fraction"):
            if not 0 < getattr(self, name) <= 1:
                value = getattr(self, name)
                raise UsageError(f"{name} is {value}; expected above 0, at most 1")
        if not 0 <= self.min_fraction <= self.max_fraction:
            raise UsageError(
                f"min_fraction is {self.min_fraction}; expected 0 to {self.max_fraction}"
            )
        if self.halve_odds is not None and not self.halve_odds >= 0:
            raise UsageError(f"halve_odds is {self.halve_odds}; expected 0 or more, or none")
        if not 0 <= self.shrink <= 1:
            raise UsageError(f"shrink is {self.shrink}; expected 0 to 1")
        if not 0 < self.max_price < 1:
            raise UsageError(f"max_price is {self.max_price}; expected above 0, below 1")

    def __call__(self, setups: pl.LazyFrame) -> pl.LazyFrame:
        """Return one intent (`schema.INTENTS`) for each row with an edge.

        Parameters
        ----------
        setups : frame
            `market`, `time`, `fair`, and of the decision: `bid`, `ask` (dollars; null: nobody
            quotes) and `taker` (fee rate, parts per million).
        """
        better = better_side(setups, self.max_price).filter(pl.col("edge") > self.min_edge)
        if self.likelier:
            better = better.filter(pl.col("won") > 0.5)
        made = orders(better, 0, stake=self._stake())
        return made.with_columns(kind=pl.lit("ioc").cast(schema.EntryKind))

    def _stake(self) -> pl.Expr:
        """Return the fraction of equity to spend: the cost is what the edge leaves of p."""
        edge, cost = pl.col("edge"), pl.col("won") - pl.col("edge")
        part = self.scale * edge / (1 - cost)
        if self.shrink:
            part = part * edge**2 / (edge**2 + self.shrink**2)
        if self.halve_odds is not None:
            price = pl.when(pl.col("side") > 0).then("entry").otherwise(1 - pl.col("entry"))
            part = part * pl.when(price > self.halve_odds * (1 - price)).then(0.5).otherwise(1.0)
        held = part.clip(self.min_fraction, self.max_fraction)
        return pl.when(edge > 0).then(held).otherwise(0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedStake:
    """The same dollars on every set-up, or on the side that a stated probability makes cheap.

    Whole contracts for at most `dollars`, but at least one: what a small account does by hand.

    Parameters
    ----------
    dollars : float
        Spent on an order, fees aside, above 0.
    valid_bars : int
        Bars an entry rests before it expires, at least 1.

    Examples
    --------
    >>> FixedStake(dollars=25.0)
    FixedStake(dollars=25.0, valid_bars=1)
    """

    dollars: float = 10.0
    valid_bars: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.dollars <= LARGEST:
            raise UsageError(f"dollars is {self.dollars}; expected above 0, at most {LARGEST:,}")
        _check_valid(self.valid_bars)

    def __call__(self, setups: pl.LazyFrame) -> pl.LazyFrame:
        """Return one intent (`schema.INTENTS`) for each row that has a side or an edge.

        Parameters
        ----------
        setups : frame
            As for `RiskToStop`, or as for `Kelly`.
        """
        if "side" not in setups.collect_schema().names():
            setups = better_side(setups, max_price=1.0).filter(pl.col("edge") > 0)
        setups = _entered(setups)
        paid = pl.when(pl.col("side") < 0).then(1 - pl.col("entry")).otherwise("entry")
        count = (pl.lit(self.dollars) / paid).floor().clip(1, LARGEST).cast(pl.Int64)
        return orders(setups, self.valid_bars, quantity=count * QUANTITY_SCALE)
