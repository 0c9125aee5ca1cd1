"""Digital options on an average: fair value from the spot and the volatility a market has seen."""

from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt.errors import UsageError
from kalshi_bt.pricing import averaged_seconds, digital_probability
from kalshi_bt.schema import SIGNALS
from kalshi_bt.signals import check_parameters, parameter
from kalshi_bt.signals.expr import require
from kalshi_bt.signals.needs import Need
from kalshi_bt.signals.underlying import (
    DECIMALS,
    NEEDED,
    SOURCES,
    SPOT,
    SYMBOLS,
    Seen,
    known_values,
    places,
    seen,
    spot_need,
)
from kalshi_bt.signals.volatility import VarianceOf, variance_of_rows

__all__ = ["YEAR", "KellyVolatility", "digital_probability", "strength"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

YEAR: Final = 31_557_600  # seconds of a year of 365.25 days
ADDED = ("fair", "confidence")
_WEAK, _MEDIUM, _HIGH = 0.03, 0.05, 0.10  # distances from the market, and how they are graded
_CALM, _SAMPLES = 300.0, 20  # seconds of returns, and samples, in which a spike is looked for
_DRIFT = 60.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class KellyVolatility:
    """Fair value is the probability that the settlement average lies where YES pays.

    The spot is a driftless lognormal walk; its variance per second is an exponentially weighted
    mean of squared returns: between all recorded prices of the spot, which are finer than the bars
    and reach back before a market opened, or between those that its bars saw (`estimate`), or one
    that comes with the data (`volatility`). A market that settles on an average of `average`
    seconds has less variance left than one that settles on the last value, and inside that window
    part of the average is known already: see `kalshi_bt.pricing`. Which values pay follows from the
    market's strikes, `decimals` from its series. Markets of other series, and bars before the
    market opened, have no fair value: the strike of a quarter hour is only known from then on.

    Parameters
    ----------
    source, symbols, field, max_age, basis
        What the spot is.
    half_life, recursion, step, max_gap, min_returns, estimate, volatility
        How the variance is estimated.
    lookback_seconds, bar_seconds
        Which bars count: those that ended within the last `lookback_seconds`.
    eta, eta_mode, average, decimals, form, nu, drift
        How a probability follows from it.
    min_left, max_left, conviction, spike, min_gap, confidence_of, clamp
        Which probabilities are stated, and how surely.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Notes
    -----
    A price seen some seconds before the end of its bar is used as of when it was seen: the walk
    goes on from there. A price seen twice is one sample.

    `eta` is a standard deviation of the move to the close that volatility does not explain, above
    all of the venue against the index. Added (``add``) the variance is sigma²·V + eta², V as in
    `pricing.averaged_seconds`; as a floor (``max``) it is the larger of the two.

    The confidence is one less the relative standard error of the volatility, 1/√(2n) with n the
    effective number of returns (``precision``; null where the volatility came with the data), or a
    grade of the distance from the last trade (``strength``).

    Quotes without what `estimate` asks for, and bars before the second recorded price, fall back on
    the prices that the bars of the market saw.

    Examples
    --------
    >>> KellyVolatility().lookback, KellyVolatility(bar_seconds=60).lookback
    (901, 16)
    >>> KellyVolatility.reference().average
    1
    """

    reads: ClassVar[tuple[str, ...]] = NEEDED  # of quotes

    source: str = parameter(
        SOURCES, "where the references have the spot from; the first by commas that is there"
    )
    symbols: str = parameter(SYMBOLS, "symbol of each series, SERIES=SYMBOL, by commas")
    field: str = parameter("close", "field of the spot among the references")
    max_age: int = parameter(90, "seconds after which a spot is too old", 0)
    basis: float = parameter(0.0, "log of the settlement index over the spot", -0.1, 0.1)
    half_life: float = parameter(120.0, "seconds after which a return counts half", 0.1, 1e7)
    recursion: Literal["elapsed", "unbiased", "seeded", "zero", "reversed"] = parameter(
        "elapsed", "how returns are weighted"
    )
    step: float = parameter(1.0, "seconds a sample stands for; not for elapsed", 0.001, 86_400)
    max_gap: float = parameter(300.0, "longest return that counts, seconds", 0.001, 1e7)
    lookback_seconds: float = parameter(900.0, "seconds back in which bars count", 1, 1e6)
    bar_seconds: int | None = parameter(
        None,
        "length of a bar, for how many are in that time; none: in a run its own, else 1",
        1,
        86_400,
    )
    min_returns: int = parameter(4, "least returns", 1, 100_000)
    estimate: Literal["references", "bars"] = parameter(
        "references", "whose returns: of all recorded prices (elapsed only), or of what bars saw"
    )
    volatility: str | None = parameter(
        None, "field of the references with the standard deviation of a one-second log return"
    )
    eta: float = parameter(0.0007, "standard deviation of the rest of the log move", 0, 0.1)
    eta_mode: Literal["add", "max"] = parameter("add", "whether eta adds or is a floor")
    average: int = parameter(60, "one-second values that are averaged at settlement", 1, 3_600)
    decimals: str = parameter(DECIMALS, "decimals settlement is rounded to, SERIES=N, by commas")
    form: Literal["lognormal", "arithmetic"] = parameter("lognormal", "what kind of walk")
    nu: float | None = parameter(None, "degrees of freedom of a Student t; none for normal", 2.01)
    drift: float = parameter(0.0, "share of the last minute's return that goes on", -1, 1)
    drift_least: float = parameter(0.0015, "least size of that return, log", 0, 1)
    min_left: float = parameter(0.0, "least seconds to the close", 0)
    max_left: float = parameter(3_600.0, "most seconds to the close", 0)
    conviction: float = parameter(0.5, "least probability of the likelier side", 0.5, 1)
    spike: float | None = parameter(
        None, "newest returns over the others, in standard deviations, above which to be silent", 0
    )
    min_gap: float = parameter(0.0, "least distance of fair from the last trade, dollars", 0, 1)
    confidence_of: Literal["precision", "strength"] = parameter("precision", "what it measures")
    clamp: float = parameter(0.001, "least probability of either side", 0, 0.5)

    def __post_init__(self) -> None:
        check_parameters(self)
        places(self.decimals, "KellyVolatility.decimals")
        _ = self.references
        if self.max_left < self.min_left:
            raise UsageError(
                f"KellyVolatility.max_left is {self.max_left} s; expected at least min_left, "
                f"{self.min_left} s"
            )
        if self.min_returns > self.lookback_seconds:
            raise UsageError(
                f"KellyVolatility.min_returns is {self.min_returns}; expected at most one a second "
                f"of lookback_seconds, {self.lookback_seconds} s"
            )

    @classmethod
    def reference(cls) -> Self:
        """Return the strategy as documented: a point digital and a reversed recursion."""
        return cls(
            half_life=float(np.log(0.5) / np.log(0.94)),
            recursion="reversed",
            estimate="bars",
            max_gap=1e7,
            eta_mode="max",
            average=1,
            decimals="",
            min_left=60.0,
            max_left=840.0,
            min_gap=_WEAK,
            confidence_of="strength",
        )

    @classmethod
    def high_conviction(cls) -> Self:
        """Return the variant for near certainties, with a shrunk drift and no volatility spike."""
        return cls(conviction=0.90, min_left=30.0, max_left=600.0, spike=2.0, drift=0.5)

    @property
    def lookback(self) -> int:
        """Bars per market that suffice for the newest value."""
        return int(self.lookback_seconds // (self.bar_seconds or 1)) + 1

    @property
    def references(self) -> tuple[Need, ...]:
        """The spot with its age, and the volatility that comes with the data or is made of it."""
        spot = spot_need(self)
        if self.volatility is not None:
            return (spot, spot_need(self, "spot_volatility", self.volatility))
        if self.estimate == "bars" or self.recursion != "elapsed":
            return (spot,)
        made = (
            VarianceOf(self.half_life, self.max_gap, said) for said in ("volatility", "returns")
        )
        return (spot, *(spot_need(self, f"spot_{each.said}", derive=each) for each in made))

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        """Return `quotes` with fair and confidence added; null where nothing is stated.

        Parameters
        ----------
        quotes : polars.LazyFrame
            Rows of `schema.QUOTES` and the columns of `references`, in any order.

        Raises
        ------
        DataError
            If a column is missing.
        """
        return self._told(quotes, newest=False)

    def newest(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        """Return the newest bar of each market with what a call says of it."""
        return self._told(quotes, newest=True)

    def _told(self, quotes: pl.LazyFrame, *, newest: bool) -> pl.LazyFrame:
        extra = tuple(need.column for need in self.references[1:])
        found = require(quotes, (*self.reads, *SPOT), "kelly_volatility")
        if self.volatility is not None:
            require(quotes, extra, "kelly_volatility")
        extra = tuple(name for name in extra if name in found)
        schema = {**found, **{name: SIGNALS[name] for name in ADDED}}
        return quotes.map_batches(
            lambda frame: _with_fair(frame, self, extra, newest=newest), schema=schema
        )


def strength(gap: Floats) -> Floats:
    """Return the documented grade of a distance between fair value and market.

    Examples
    --------
    >>> strength(np.array([0.12, -0.06, 0.03, 0.01])).tolist()
    [0.9, 0.75, 0.6, nan]
    """
    size = np.round(np.abs(gap), 9)
    grades = [np.full(size.shape, grade) for grade in (0.9, 0.75, 0.6)]
    return np.select([size >= _HIGH, size >= _MEDIUM, size >= _WEAK], grades, np.nan)


def _with_fair(
    frame: pl.DataFrame, signal: KellyVolatility, extra: tuple[str, ...], *, newest: bool
) -> pl.DataFrame:
    view = seen(frame, extra, places(signal.decimals, "decimals"), ("close",), newest=newest)
    end = view.at_end()
    asked = view.open & (view.left > 0) & (end >= signal.min_left) & (end <= signal.max_left)
    at = np.flatnonzero(asked & ~np.isnan(view.lower + view.upper))
    low = view.since(signal.lookback_seconds, at)
    variance, sure = _variance(view, signal, at, low)
    some = ~np.isnan(variance)
    at, low, variance, sure = at[some], low[some], variance[some], sure[some]
    fair = np.clip(_probability(view, signal, at, low, variance), signal.clamp, 1 - signal.clamp)
    stated = np.maximum(fair, 1 - fair) >= signal.conviction
    if signal.min_gap > 0 or signal.confidence_of == "strength":
        last = view.last("close", at, low)
        gap = fair - last
        sure = sure if signal.confidence_of == "precision" else strength(gap)
        if signal.min_gap > 0:
            stated &= (last > 0) & (last < 1) & (np.round(np.abs(gap), 9) >= signal.min_gap)
    if signal.spike is not None:
        stated &= ~(_recent(view, at, low)[1] > signal.spike)
    return view.said(at[stated], fair=fair[stated], confidence=sure[stated])


def _variance(view: Seen, signal: KellyVolatility, at: Ints, low: Ints) -> tuple[Floats, Floats]:
    """Return the variance per second, NaN where too little is known, and its precision."""
    found, sure = np.full(len(at), np.nan), np.full(len(at), np.nan)
    if "spot_volatility" in view.bars.columns:
        found = view.column("spot_volatility")[at] ** 2
    if "spot_returns" in view.bars.columns:
        sure = _precision(view.column("spot_returns")[at])
    own = np.flatnonzero(np.isnan(found))  # where the data do not say
    if not len(own):
        return found, sure
    variance, effective, number = variance_of_rows(
        view.starts,
        view.rows[at[own]],
        low[own],
        view.at,
        np.log(view.spot),
        signal.half_life,
        signal.max_gap,
        signal.recursion,
        signal.step,
        signal.min_returns,
    )
    found[own] = np.where(number >= signal.min_returns, variance, np.nan)
    sure[own] = np.maximum(_precision(effective), 0.0)
    return found, sure


def _precision(returns: Floats) -> Floats:
    """Return one less the relative standard error of a volatility made of so many returns."""
    found: Floats = 1 - 1 / np.sqrt(2 * np.fmax(returns, 0.5))
    return found


def _probability(
    view: Seen, signal: KellyVolatility, at: Ints, low: Ints, variance: Floats
) -> Floats:
    """Return P(the average is at least the lower and below the upper bound) of some bars."""
    basis = np.exp(signal.basis)
    known, blur = known_values(view, at, low, signal.average, signal.max_gap)
    left, spot = view.left[at], view.spot[view.rows[at]] * basis
    if signal.drift:
        gone = _recent(view, at, low)[0]
        large = np.abs(gone) > signal.drift_least  # no return is no drift
        spot = spot * np.exp(np.where(large, signal.drift * gone, 0.0))
    span = averaged_seconds(left, signal.average)
    walk, rest = variance * (span + blur), signal.eta**2
    total = np.maximum(walk, rest) if signal.eta_mode == "max" else walk + rest
    sigma = np.sqrt(total / span)
    found = np.zeros(len(at))
    for bound, sign in ((view.lower[at], 1.0), (view.upper[at], -1.0)):
        finite = np.flatnonzero(np.isfinite(bound))
        found += np.where(bound == -np.inf, sign, 0.0)
        found[finite] += sign * digital_probability(
            spot[finite],
            bound[finite],
            left[finite],
            sigma[finite],
            window=signal.average,
            known_mean=known[finite] * basis,
            form=signal.form,
            nu=signal.nu,
        )
    return found


def _recent(view: Seen, at: Ints, low: Ints) -> tuple[Floats, Floats]:
    """Return the return of the last minute, and the newest returns over those before them."""
    from kalshi_bt.signals import volatility_kernels as kernels  # noqa: PLC0415  # loads Numba

    gone, ratio = np.empty(len(at)), np.empty(len(at))
    log_price = np.log(view.spot)
    kernels.recent(view.rows[at], low, view.at, log_price, _DRIFT, _CALM, _SAMPLES, gone, ratio)
    return gone, ratio
