"""How the capital of one decision time is shared among all that is worth buying at that time.

`sizing.Kelly` looks at one market at a time. Here the markets compete: for a share of the capital,
for a place among few trades, and within an event, of which one outcome at most comes true.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from kalshi_bt import schema
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.kelly import kelly, kelly_exclusive, kelly_program
from kalshi_bt.units import PRICE_SCALE, RATE_SCALE, over

__all__ = ["Allocation", "JointKelly", "allocate"]

_NEEDED = ("market", "time", "event", "fair", "bid", "ask", "taker")
_REFERENCE_COST = 0.0035  # 15 + 20 basis points, whatever the price
_NOTHING = 1e-12  # what sums of fractions may miss
_DIGITS = 12  # by which ranks compare: YES of one outcome and NO of the other are worth the same

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """The best few candidates of a decision time share its capital, at most one an event.

    Candidates are ranked by edge times confidence, ties by market. Each in turn gets the smallest
    of its Kelly fraction, `max_fraction` and what is left of `max_cycle`, times its confidence. One
    that would get less than `min_fraction` is passed over, and takes nobody's place.

    Parameters
    ----------
    max_trades : int
        Trades of one decision time, at least 1.
    max_fraction, max_cycle, min_fraction : float
        Most of the equity in one trade and in one decision time; least in one trade.
    mutex : bool
        Whether an event is traded once at most in a decision time.
    preferred_edge : float or None
        Candidates below it only fill up a decision time in which fewer than `min_candidates` reach
        it, best edge first. It ranks; what may be traded at all the signal's threshold decides.
    min_candidates : int
        How many candidates a decision time should have, if `preferred_edge` is given.
    price : {"executable", "mid"}
        What the edge is measured against: ask and bid with the taker's fee, or as documented the
        mid with 0.35 cents.
    cut : {"after", "before"}
        Whether the first `max_trades` are counted after passing over, or as documented before it.
    passes : int
        1, or 2 for the documented mistake: of its share an order spends the Kelly fraction again.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Examples
    --------
    >>> Allocation().max_cycle
    0.2
    """

    weighs: ClassVar[str] = "fair"

    max_trades: int = 5
    max_fraction: float = 0.06
    max_cycle: float = 0.20
    min_fraction: float = 0.005
    mutex: bool = True
    preferred_edge: float | None = None
    min_candidates: int = 0
    price: Literal["executable", "mid"] = "executable"
    cut: Literal["after", "before"] = "after"
    passes: int = 1

    def __post_init__(self) -> None:
        for name in ("max_fraction", "max_cycle"):
            if not 0 < getattr(self, name) <= 1:
                value = getattr(self, name)
                raise UsageError(f"{name} is {value}; expected above 0, at most 1")
        if not 0 <= self.min_fraction <= self.max_fraction:
            raise UsageError(
                f"min_fraction is {self.min_fraction}; expected 0 to {self.max_fraction}"
            )
        if self.max_trades < 1 or self.min_candidates < 0:
            raise UsageError(
                f"max_trades is {self.max_trades} and min_candidates {self.min_candidates}; "
                "expected at least 1 and at least 0"
            )
        if self.passes not in {1, 2}:
            raise UsageError(f"passes is {self.passes}; expected 1 or 2")

    @classmethod
    def reference(cls) -> Self:
        """Return the allocator as it is documented, with its mistakes."""
        return cls(price="mid", cut="before", passes=2)

    def __call__(self, setups: pl.LazyFrame) -> pl.LazyFrame:
        """Return one intent (`schema.INTENTS`) for each candidate that gets a share.

        Parameters
        ----------
        setups : frame
            `market`, `time`, `event`, `fair` (null: no candidate), `confidence` (null: 1), and of
            the decision `bid`, `ask` (dollars; null: nobody quotes) and `taker` (fee rate, parts
            per million).

        Raises
        ------
        DataError
            If a column is missing.
        """
        sided = _sides(setups, mid=self.price == "mid")
        offers = self._preferred(sided.filter(pl.col("edge") > 0)).sort("time", "market").collect()
        spent = allocate(
            offers["time"].to_physical().to_numpy(),
            _codes(offers["event"]),
            offers["p"].to_numpy(),
            offers["cost"].to_numpy(),
            offers["edge"].to_numpy(),
            offers["confidence"].fill_null(1.0).to_numpy(),
            self,
        )
        made = offers.with_columns(pl.Series("stake", spent, pl.Float64))
        step = 0.01 if self.price == "mid" else 0.0  # as documented: a cent above the mid
        limit = pl.col("entry") + pl.col("side") * step
        return _intents(made.lazy().with_columns(entry=limit.clip(0.01, 0.99)))

    def _preferred(self, offers: pl.LazyFrame) -> pl.LazyFrame:
        """Keep those of preferred edge, and the best others where they are too few."""
        if self.preferred_edge is None:
            return offers
        strict = pl.col("edge") >= self.preferred_edge
        ranked = offers.with_columns(strict=strict).sort(
            "time", pl.col("edge").round(_DIGITS).neg(), "market"
        )  # hence the strict ones of a time come first
        place = pl.int_range(pl.len()).over("time")
        return ranked.filter(pl.col("strict") | (place < self.min_candidates)).drop("strict")


def allocate(
    time: ArrayLike,
    event: ArrayLike,
    p: ArrayLike,
    cost: ArrayLike,
    edge: ArrayLike,
    confidence: ArrayLike,
    rules: Allocation,
) -> Floats:
    """Return the fraction of equity that each candidate gets.

    Parameters
    ----------
    time, event : Int64 (n,)
        What decides together, and what excludes each other within it; any numbers.
    p, cost : float (n,)
        Probability that the side bought wins, and what it costs, all in, dollars.
    edge, confidence : float (n,)
        Their product, to twelve digits, ranks; ties keep the order given. Confidence is taken
        within [0.2, 1] where it scales a stake.
    rules : Allocation

    Returns
    -------
    Float64 (n,)
        0 for those passed over; at most ``rules.max_cycle`` in sum for each time.

    Examples
    --------
    >>> allocate([0, 0], [7, 7], [0.62, 0.60], [0.53, 0.53], [0.09, 0.07], [0.62, 0.9],
    ...          Allocation()).round(4)
    array([0.   , 0.054])
    """
    moment, group = np.asarray(time, np.int64), np.asarray(event, np.int64)
    weight = np.asarray(edge, np.float64) * np.asarray(confidence, np.float64)
    sure = np.asarray(np.clip(np.asarray(confidence, np.float64), 0.2, 1.0))
    most = np.minimum(kelly(p, cost), rules.max_fraction)
    order = np.lexsort((-np.round(weight, _DIGITS), moment))
    _, first, size = np.unique(moment[order], return_index=True, return_counts=True)
    if rules.cut == "before":
        size = np.minimum(size, rules.max_trades)
    left = np.full(len(first), rules.max_cycle)
    taken = np.zeros(len(first), np.int64)
    held = np.full((len(first), rules.max_trades), -1, np.int64)
    stake = np.zeros(len(moment))
    for turn in range(int(size.max(initial=0))):  # the candidates of one rank, at all times at once
        open_ = (size > turn) & (left > _NOTHING) & (taken < rules.max_trades)
        at = np.flatnonzero(open_)
        if not len(at):
            break
        row = order[first[at] + turn]
        whole = np.minimum(most[row], left[at])
        part = whole * sure[row]
        blocked = (held[at] == group[row, None]).any(1) & rules.mutex
        takes = ~blocked & (part >= rules.min_fraction - _NOTHING) & (part > 0)
        stake[row[takes]] = part[takes]
        left[at[takes]] -= part[takes]
        # As documented, one that is too small to be traded still keeps its event from others.
        counts = takes if rules.cut == "after" else ~blocked
        held[at[counts], taken[at[counts]]] = group[row[counts]]
        taken[at[counts]] += 1
    return stake * most if rules.passes == 2 else stake


@dataclass(frozen=True, slots=True, kw_only=True)
class JointKelly:
    """A part of the Kelly stakes on all outcomes of an event at once, YES and NO together.

    The outcomes of an event exclude each other; what their probabilities leave of 1 is the chance
    that none of them comes true. Only contracts with an edge of `min_edge` are bought, and never
    both sides of a market.

    Parameters
    ----------
    scale : float
        Part of the Kelly stakes, above 0, at most 1.
    max_event : float
        Most of the equity in one event at one time; larger sets of stakes shrink to it together.
    min_edge : float
        Least probability beyond the cost with its fee, dollars of payout.

    Notes
    -----
    Where the probabilities of an event sum to more than 1 they are scaled down to 1. Stakes on YES
    alone, or on one contract, have a closed form; a mix of both sides is a concave program.

    References
    ----------
    T. M. Cover, An Algorithm for Maximizing Expected Log Investment Return, IEEE Transactions on
    Information Theory 30, 1984, doi:10.1109/TIT.1984.1056869.

    Examples
    --------
    >>> JointKelly(min_edge=0.03).scale
    0.25
    """

    weighs: ClassVar[str] = "fair"

    scale: float = 0.25
    max_event: float = 0.10
    min_edge: float = 0.03

    def __post_init__(self) -> None:
        for name in ("scale", "max_event"):
            if not 0 < getattr(self, name) <= 1:
                value = getattr(self, name)
                raise UsageError(f"{name} is {value}; expected above 0, at most 1")
        if not 0 <= self.min_edge < 1:
            raise UsageError(f"min_edge is {self.min_edge}; expected 0 to 1")

    def __call__(self, setups: pl.LazyFrame) -> pl.LazyFrame:
        """Return one intent (`schema.INTENTS`) for each contract bought.

        Parameters
        ----------
        setups : frame
            As for `Allocation`; rows of one event at one time decide together.

        Raises
        ------
        DataError
            If a column is missing.
        """
        sided = _sides(setups, mid=False).sort("time", "event", "market")
        worth = pl.col("edge") >= self.min_edge - _NOTHING
        legs = (
            sided.with_columns(worth=worth.fill_null(value=False))
            .filter(pl.col("worth").any().over("time", "event"))
            .collect()
        )
        known: dict[bytes, Floats] = {}
        stake = np.zeros(legs.height)
        start = 0
        told = legs.select("fair", "cost", "side", "worth").to_numpy().astype(np.float64)
        for count in legs.select(pl.struct("time", "event").rle().struct.field("len")).to_series():
            facts = told[start : start + count]
            key = facts.tobytes()
            if key not in known:
                known[key] = self._stakes(facts)
            stake[start : start + count] = known[key]
            start += count
        return _intents(legs.with_columns(pl.Series("stake", stake, pl.Float64)).lazy())

    def _stakes(self, facts: Floats) -> Floats:
        """Return stakes from rows of fair, cost, side and whether it is worth buying."""
        fair, cost, side, worth = facts.T
        p = fair / max(float(fair.sum()), 1.0)
        states = np.append(p, max(1.0 - float(p.sum()), 0.0))
        wins = np.eye(len(p), len(states))
        legs = np.flatnonzero(worth)
        pays = np.where(side[legs, None] > 0, wins[legs], 1 - wins[legs])
        if (side[legs] > 0).all():
            full = kelly_exclusive(p[legs], cost[legs])
        elif len(legs) == 1:
            full = kelly(1 - p[legs], cost[legs])
        else:
            full = kelly_program(states / states.sum(), pays, cost[legs])
        found = self.scale * full
        total = float(found.sum())
        stakes = np.zeros(len(p))
        stakes[legs] = found * min(1.0, self.max_event / total) if total > 0 else 0.0
        return stakes


def _sides(setups: pl.LazyFrame, *, mid: bool) -> pl.LazyFrame:
    """Return the rows with a probability and their better side: side, entry, p, cost and edge."""
    found = setups.collect_schema().names()
    for name in _NEEDED:
        if name not in found:
            raise DataError(f"setups lacks {name!r}, which shares of capital depend on")
    if "confidence" not in found:
        setups = setups.with_columns(confidence=pl.lit(None, dtype=pl.Float64))
    fair = pl.col("fair")
    middle = (pl.col("bid") + pl.col("ask")) / 2
    ask, bid = (middle, middle) if mid else (pl.col("ask"), pl.col("bid"))
    quoted = {1: ask > 0, -1: bid < 1}
    rate = over(pl.col("taker"), RATE_SCALE)
    yes = {"p": fair, "cost": _cost(ask, rate, mid=mid)}
    no = {"p": 1 - fair, "cost": _cost(1 - bid, rate, mid=mid)}
    spare = _REFERENCE_COST if mid else 0.0
    edges = {
        side: pl.when(quoted[side] & (leg["cost"] < 1)).then(leg["p"] - leg["cost"] - spare)
        for side, leg in ((1, yes), (-1, no))
    }
    long = edges[1].fill_null(-1.0) >= edges[-1].fill_null(-1.0)
    pick = pl.when(long)
    return setups.filter(fair.is_not_null()).select(
        *("market", "time", "event", "fair", "confidence"),
        side=pick.then(1).otherwise(-1).cast(pl.Int8),
        entry=pick.then(ask).otherwise(bid),
        p=pick.then(yes["p"]).otherwise(no["p"]),
        cost=pick.then(yes["cost"]).otherwise(no["cost"]),
        edge=pick.then(edges[1]).otherwise(edges[-1]),
    )


def _cost(price: pl.Expr, rate: pl.Expr, *, mid: bool) -> pl.Expr:
    return price.clip(0.01, 0.99) if mid else price + rate * price * (1 - price)


def _codes(events: pl.Series) -> Ints:
    return events.rank("dense").fill_null(0).to_numpy().astype(np.int64)


def _intents(sided: pl.LazyFrame) -> pl.LazyFrame:
    """Return one intent for each row with a stake: at once, at its price or better, and held."""
    made = {
        "kind": pl.lit("ioc"),
        "limit": (pl.col("entry") * PRICE_SCALE).round(),
        "valid_bars": pl.lit(0),
    }
    kept = ("market", "time", "side", "stake", "fair", "confidence")
    return (
        sided.filter(pl.col("stake") > 0)
        .select(
            made.get(name, pl.col(name) if name in kept else pl.lit(None)).cast(dtype).alias(name)
            for name, dtype in schema.INTENTS.columns.items()
        )
        .sort("time", "market")
    )
