"""Reversion of the spot, or of the contract price, to its recent mean."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt.errors import UsageError
from kalshi_bt.pricing import averaged_seconds, digital_probability, reverting_probability
from kalshi_bt.schema import SIGNALS
from kalshi_bt.signals import check_parameters, parameter
from kalshi_bt.signals.expr import require
from kalshi_bt.signals.needs import Need
from kalshi_bt.signals.random_walks import null_scores, variance_ratio, walk_remark
from kalshi_bt.signals.reversion import Fit, fit_before
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
from kalshi_bt.signals.volatility import variance_of_rows

__all__ = ["MeanReversion", "null_scores", "variance_ratio"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_GRADES = ((2.0, 0.9), (1.5, 0.75), (1.0, 0.6))  # least |z|, strict, and how sure that is
_LIMIT = 0.01  # dollars inside the quote at which the documented order rests


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanReversion:
    """Fair value where a price is far from its mean and its samples show that it comes back.

    What is watched is the log of the spot, or the log odds of the contract's mid (`on`). Its mean m
    and spread are those of the samples before the bar, within `lookback_seconds`; z is the bar's
    distance from the mean in spreads. A least-squares fit of each sample on the one before gives
    the speed k at which distances shrink; a fit whose bias-corrected coefficient is not `min_t`
    standard errors below one shows no reversion.

    With a spot, fair value is the probability that the settlement average pays when the log spot
    is drawn to m at speed k. With the contract price it is the price itself, moved to where it is
    drawn by the close. Nothing is stated for |z| up to `min_z`; and, with `agree`, where the price
    to trade at is so far off that fair value asks for the side that z speaks against.

    ``documented`` is the model as it was documented: z of price levels, a probability that depends
    on z alone, and `side`, which is the side of z even where the probability asks for the other.

    Parameters
    ----------
    source, symbols, field, max_age, basis, decimals, average
        What the spot is, and how markets settle on it.
    on, model, lookback_seconds, coverage, least, min_samples
        What is compared with what.
    reach_seconds, bar_seconds
        Which bars count: those that ended within the last `reach_seconds`. The lookback ends at the
        sample before the bar, which may be some time ago.
    min_z, min_t, fallback, agree
        When it counts.
    half_life, max_gap, eta
        How the variance of the spot is estimated.
    min_left, max_left, min_gap, clamp
        Which probabilities are stated.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Notes
    -----
    The distance from a mean of its own past is large for a random walk too: `null_scores` draws how
    large, and `variance_ratio` tests whether a sample is one. The t of a walk is not that of a
    normal sample either: with the usual bias removed it is above 2 in six windows of a hundred at
    60 samples, in ten at 15.

    References
    ----------
    M. G. Kendall, Note on bias in the estimation of autocorrelation, Biometrika 41, 1954,
    doi:10.1093/biomet/41.3-4.403.

    Examples
    --------
    >>> MeanReversion().lookback, MeanReversion(bar_seconds=60).lookback
    (1201, 21)
    >>> MeanReversion(on="price").references
    ()
    """

    reads: ClassVar[tuple[str, ...]] = NEEDED  # of quotes

    source: str = parameter(
        SOURCES, "where the references have the spot from; the first by commas that is there"
    )
    symbols: str = parameter(SYMBOLS, "symbol of each series, SERIES=SYMBOL, by commas")
    field: str = parameter("close", "field of the spot among the references")
    max_age: int = parameter(90, "seconds after which a spot is too old", 0)
    basis: float = parameter(0.0, "log of the settlement index over the spot", -0.1, 0.1)
    decimals: str = parameter(DECIMALS, "decimals settlement is rounded to, SERIES=N, by commas")
    average: int = parameter(60, "one-second values that are averaged at settlement", 1, 3_600)
    on: Literal["spot", "price"] = parameter("spot", "what reverts")
    model: Literal["ou", "documented"] = parameter("ou", "where the probability comes from")
    lookback_seconds: float = parameter(900.0, "seconds of samples that make the mean", 1, 1e7)
    coverage: float = parameter(0.6, "least share of the lookback that samples span", 0, 1)
    least: int = parameter(8, "least samples in the lookback", 1, 100_000)
    min_samples: int = parameter(1, "least samples before the bar", 1, 100_000)
    reach_seconds: float | None = parameter(
        None, "seconds back in which bars count; none: the lookback and one gap", 1, 1e6
    )
    bar_seconds: int | None = parameter(
        None,
        "length of a bar, for how many are in that time; none: in a run its own, else 1",
        1,
        86_400,
    )
    min_z: float = parameter(1.0, "distance from the mean above which to speak, spreads", 0, 100)
    min_t: float = parameter(2.0, "least t of the reversion", 0, 100)
    fallback: bool = parameter(False, "whether to state a plain walk's price where t is less")
    agree: bool = parameter(True, "whether fair value and z must point the same way")
    half_life: float = parameter(120.0, "seconds after which a return counts half", 0.1, 1e7)
    max_gap: float = parameter(300.0, "longest return that counts, seconds", 0.001, 1e7)
    eta: float = parameter(0.0007, "standard deviation added to the rest of the log move", 0, 0.1)
    min_left: float = parameter(60.0, "least seconds to the close", 0)
    max_left: float | None = parameter(None, "most seconds to the close; none for any", 0)
    min_gap: float = parameter(0.0, "least distance of fair from the last trade, dollars", 0, 1)
    clamp: float = parameter(0.01, "least probability of either side", 0, 0.5)

    def __post_init__(self) -> None:
        check_parameters(self)
        places(self.decimals, "MeanReversion.decimals")
        _ = self.references
        if self.model == "documented" and self.on != "spot":
            raise UsageError(
                "MeanReversion.model is 'documented', which is about the spot: on=spot"
            )
        if max(self.least, self.min_samples) > self.reach:
            raise UsageError(
                f"MeanReversion.least and min_samples are {self.least} and {self.min_samples}; "
                f"expected at most one a second of the {self.reach} s back that count"
            )

    @classmethod
    def reference(cls) -> Self:
        """Return the strategy as documented, whose direction and edge can disagree."""
        return cls(
            model="documented",
            decimals="",
            average=1,
            lookback_seconds=300.0,
            coverage=0.0,
            least=5,
            min_samples=10,
            reach_seconds=900.0,
            agree=False,
            min_gap=0.03,
        )

    @property
    def reach(self) -> float:
        """Seconds back in which bars count."""
        return self.reach_seconds or self.lookback_seconds + self.max_gap

    @property
    def lookback(self) -> int:
        """Bars per market that suffice for the newest value."""
        return int(self.reach // (self.bar_seconds or 1)) + 1

    @property
    def references(self) -> tuple[Need, ...]:
        """The spot with its age, unless it is the contract price that reverts."""
        return (spot_need(self),) if self.on == "spot" else ()

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        """Return `quotes` with fair and confidence added; null where nothing is stated.

        The documented model adds `side` and `entry`, the limit of its order, too. The confidence
        grades z: 0.6 above 1, 0.75 above 1.5, 0.9 above 2.

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
        needed = (*self.reads, *(SPOT if self.on == "spot" else ()))
        found = require(quotes, needed, "mean_reversion")
        documented = self.model == "documented"
        added = ("fair", "confidence", *(("side", "entry") if documented else ()))
        schema = {**found, **{name: SIGNALS[name] for name in added}}
        return quotes.map_batches(
            lambda frame: _with_opinions(frame, self, newest=newest), schema=schema
        )

    def remarks(self, quotes: pl.LazyFrame) -> tuple[str, ...]:
        """Return how these quotes differ from a random walk, in a sentence; none if none is known.

        Parameters
        ----------
        quotes : polars.LazyFrame
            As for a call.
        """
        frame = quotes.collect(engine="in-memory")
        view = _looked_at(frame, self, ("event",))
        rows, (at, level) = view.rows, _level(view, self)
        fit = _fit(view, self, rows, view.since(self.reach, rows))
        z = fit.z
        usual = 2.0
        if np.isfinite(fit.step).any():
            usual = self.lookback_seconds / float(np.nanmedian(fit.step))
        event = view.bars["event"].rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
        text = walk_remark(view.starts, at, level, z, self.min_z, usual, event[view.starts[:-1]])
        return (text,) if text else ()


def _with_opinions(frame: pl.DataFrame, signal: MeanReversion, *, newest: bool) -> pl.DataFrame:
    view = _looked_at(frame, signal, newest=newest)
    at = np.flatnonzero(_asked(view, signal))
    low = view.since(signal.reach, at)
    fit = _fit(view, signal, at, low)
    with np.errstate(invalid="ignore"):
        far = np.abs(fit.z) > signal.min_z
    at, low, fit = at[far], low[far], fit[far]
    fair = {"documented": _documented, "spot": _on_spot, "price": _on_price}[
        signal.model if signal.model == "documented" else signal.on
    ](view, signal, at, low, fit)
    fair = np.clip(fair, signal.clamp, 1 - signal.clamp)
    last = view.last("close", at, low)
    stated = _stated(view, signal, at, last, fit.z, fair)
    at, fair, last, z = at[stated], fair[stated], last[stated], fit.z[stated]
    sure = np.select([np.abs(z) > least for least, _ in _GRADES], [g for _, g in _GRADES], np.nan)
    if signal.model != "documented":
        return view.said(at, fair=fair, confidence=sure)
    bid, ask = view.column("bid")[at], view.column("ask")[at]
    buy = np.where(np.isnan(ask), last, np.maximum(ask - _LIMIT, 0.01))
    sell = np.where(np.isnan(bid), last, np.minimum(bid + _LIMIT, 0.99))
    entry = np.where(z < 0, buy, sell)
    done = view.said(at, fair=fair, confidence=sure, side=-np.sign(z), entry=entry)
    return done.cast({"side": SIGNALS["side"]})


def _looked_at(
    frame: pl.DataFrame, signal: MeanReversion, more: tuple[str, ...] = (), *, newest: bool = False
) -> Seen:
    """Return what the bars knew; of the spot nothing, if it is not watched."""
    spot = signal.on == "spot"
    back = ("close",) if spot else ("close", "bid", "ask")
    decimals = places(signal.decimals, "decimals")
    return seen(frame, more, decimals, back, spot=spot, newest=newest)


def _level(view: Seen, signal: MeanReversion) -> tuple[Ints, Floats]:
    """Return when each value of what is watched was seen, and the value: of the whole history."""
    if signal.model == "documented":
        return view.at, view.spot
    if signal.on == "spot":
        return view.at, np.log(view.spot) + signal.basis
    mid = (view.history["bid"] + view.history["ask"]) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return view.time, np.where((mid > 0) & (mid < 1), np.log(mid / (1 - mid)), np.nan)


def _asked(view: Seen, signal: MeanReversion) -> NDArray[np.bool_]:
    """Tell of which bars something can be said, whatever was seen before them."""
    end = view.at_end()
    asked = view.open & ((end >= signal.min_left) | (np.isnan(end) & (signal.on == "price")))
    if signal.max_left is not None:
        asked &= ~(end > signal.max_left)
    if signal.on == "spot":
        asked &= ~np.isnan(view.lower + view.upper) & ~np.isnan(view.left)
    return asked


def _stated(
    view: Seen, signal: MeanReversion, at: Ints, last: Floats, z: Floats, fair: Floats
) -> NDArray[np.bool_]:
    """Tell where there is something to say, and all that it depends on is known."""
    stated = ~np.isnan(fair)
    if signal.min_gap > 0:
        near = np.round(np.abs(fair - last), 9) >= signal.min_gap
        stated &= (last > 0) & (last < 1) & near
    if signal.agree:
        mid = (view.column("bid")[at] + view.column("ask")[at]) / 2
        stated &= np.round(fair - mid, 9) * z < 0
    return stated


def _documented(view: Seen, signal: MeanReversion, at: Ints, low: Ints, fit: Fit) -> Floats:
    """Return the probability that was read off z of price levels."""
    _, number = _variance(view, signal, at, low, math.inf)
    size, spot, mean, below = np.abs(fit.z), fit.level, fit.mean, fit.z < 0
    strike = np.where(np.isposinf(view.upper[at]), view.lower[at], np.nan)
    across = np.where(below, (spot < strike) & (strike <= mean), (spot > strike) & (strike >= mean))
    move = np.where(across, np.minimum(0.45, 0.15 * size), 0.10 * size)
    known = (number >= signal.min_samples) & ~np.isnan(strike)
    return np.where(known, np.where(below, 0.5 + move, 0.5 - move), np.nan)


def _on_spot(view: Seen, signal: MeanReversion, at: Ints, low: Ints, fit: Fit) -> Floats:
    """Return the probability of an average drawn to the mean, or of a plain walk's."""
    fair = np.full(len(at), np.nan)
    asked = (view.left[at] > 0) & (signal.fallback | (fit.speed > 0))
    some = np.flatnonzero(asked)
    at, low, fit = at[some], low[some], fit[some]
    variance, number = _variance(view, signal, at, low, signal.max_gap)
    known, blur = known_values(view, at, low, signal.average, signal.max_gap)
    left, basis = view.left[at], math.exp(signal.basis)
    spot, extra = view.spot[view.rows[at]] * basis, signal.eta**2 + variance * blur
    flat = np.sqrt(variance + extra / averaged_seconds(left, signal.average))
    enough = number >= signal.min_samples
    for drawn in (True, False):
        k = np.flatnonzero(enough & ((fit.speed > 0) == drawn))
        where: dict[str, Any] = {"window": signal.average, "known_mean": known[k] * basis}
        ends = []
        for bound in (view.lower[at[k]], view.upper[at[k]]):
            if drawn:
                aim = (spot[k], np.exp(fit.mean[k]), bound, left[k], np.sqrt(variance[k]))
                ends.append(reverting_probability(*aim, fit.speed[k], **where, extra=extra[k]))
            else:
                ends.append(digital_probability(spot[k], bound, left[k], flat[k], **where))
        fair[some[k]] = ends[0] - ends[1]
    return fair


def _on_price(view: Seen, signal: MeanReversion, at: Ints, low: Ints, fit: Fit) -> Floats:  # noqa: ARG001  # as the others
    """Return the mid, moved to where its log odds are drawn by the close."""
    end = view.at_end()[at]
    left = np.where(np.isnan(end), np.inf, end)
    with np.errstate(invalid="ignore"):  # no speed at all, and no end of time
        drawn = np.exp(-fit.speed * left)
    kept = np.where(fit.speed > 0, drawn, 1.0 if signal.fallback else np.nan)
    return 1 / (1 + np.exp(-(fit.mean + (fit.level - fit.mean) * kept)))


def _fit(view: Seen, signal: MeanReversion, at: Ints, low: Ints) -> Fit:
    return fit_before(
        view.starts,
        view.rows[at],
        low,
        *_level(view, signal),
        signal.lookback_seconds,
        signal.coverage,
        signal.least,
        signal.min_t,
    )


def _variance(
    view: Seen, signal: MeanReversion, at: Ints, low: Ints, max_gap: float
) -> tuple[Floats, Ints]:
    """Return the variance per second of the spot, and how many returns there are to each bar."""
    found, _, number = variance_of_rows(
        view.starts,
        view.rows[at],
        low,
        view.at,
        np.log(view.spot),
        signal.half_life,
        max_gap,
        enough=signal.min_samples,
    )
    return found, number
