"""Reversion of the spot, or of the contract price, to its recent mean."""

import math
from dataclasses import dataclass
from typing import Any, Literal, Self

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
from kalshi_bt.signals.underlying import (
    DECIMALS,
    NEEDED,
    SOURCES,
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

_GRADES = ((2.0, 0.9), (1.5, 0.75), (1.0, 0.6))  # least |z|, strict, and how sure that is
_FASTEST = 0.01  # least phi: a sample that forgets the one before it
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
    on, model, lookback_seconds, coverage, least, min_samples, bars
        What is compared with what.
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
    >>> MeanReversion().lookback
    901
    >>> MeanReversion(on="price").references
    ()
    """

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
    bars: int = parameter(900, "bars back that count", 1, 100_000)
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
        if max(self.least, self.min_samples) > self.bars:
            raise UsageError(
                f"MeanReversion.least and min_samples are {self.least} and {self.min_samples}; "
                f"expected at most bars, {self.bars}"
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
            agree=False,
            min_gap=0.03,
        )

    @property
    def lookback(self) -> int:
        """Bars per market that suffice for the newest value."""
        return self.bars + 1

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
        price = self.on == "price"
        needed = [name for name in NEEDED if not (price and name.startswith("spot"))]
        found = require(quotes, needed, "mean_reversion")
        documented = self.model == "documented"
        added = ("fair", "confidence", *(("side", "entry") if documented else ()))
        schema = {**found, **{name: SIGNALS[name] for name in added}}
        return quotes.map_batches(lambda frame: _with_opinions(frame, self), schema=schema)

    def remarks(self, quotes: pl.LazyFrame) -> tuple[str, ...]:
        """Return how these quotes differ from a random walk, in a sentence; none if none is known.

        Parameters
        ----------
        quotes : polars.LazyFrame
            As for a call.
        """
        frame = quotes.collect(engine="in-memory")
        view = _looked_at(frame, self, ("event",))
        at, level = _level(view, self)
        mean, spread, _, _, step = _fit(view, self, at, level)
        with np.errstate(invalid="ignore", divide="ignore"):
            z = np.where(spread > 0, (level - mean) / spread, np.nan)
        usual = self.lookback_seconds / float(np.nanmedian(step)) if np.isfinite(step).any() else 2
        event = view.bars["event"].rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
        text = walk_remark(view.starts, at, level, z, self.min_z, usual, event[view.starts[:-1]])
        return (text,) if text else ()


def _with_opinions(frame: pl.DataFrame, signal: MeanReversion) -> pl.DataFrame:
    view = _looked_at(frame, signal)
    with np.errstate(invalid="ignore", divide="ignore"):
        if signal.model == "documented":
            z, fair = _documented(view, signal)
        else:
            z, fair = _on_price(view, signal) if signal.on == "price" else _on_spot(view, signal)
        fair = np.clip(fair, signal.clamp, 1 - signal.clamp)
        stated = _stated(view, signal, z, fair)
    sure = np.select([np.abs(z) > least for least, _ in _GRADES], [g for _, g in _GRADES], np.nan)
    done = view.added(
        frame, fair=np.where(stated, fair, np.nan), confidence=np.where(stated, sure, np.nan)
    )
    if signal.model != "documented":
        return done
    long, last = z < 0, view.last("close", signal.bars)
    bid, ask = view.column("bid"), view.column("ask")
    buy = np.where(np.isnan(ask), last, np.maximum(ask - _LIMIT, 0.01))
    sell = np.where(np.isnan(bid), last, np.minimum(bid + _LIMIT, 0.99))
    side = np.where(stated, np.where(long, 1.0, -1.0), np.nan)
    entry = np.where(stated, np.where(long, buy, sell), np.nan)
    return view.added(done, side=side, entry=entry).cast({"side": SIGNALS["side"]})


def _looked_at(frame: pl.DataFrame, signal: MeanReversion, more: tuple[str, ...] = ()) -> Seen:
    """Return what the bars knew; of the spot nothing, if it is not watched."""
    empty = pl.lit(None, pl.Float64)
    looked = frame if signal.on == "spot" else frame.with_columns(spot=empty, spot_age=empty)
    return seen(looked, more, places(signal.decimals, "decimals"))


def _level(view: Seen, signal: MeanReversion) -> tuple[NDArray[np.int64], Floats]:
    """Return what is watched, and when each value was seen."""
    if signal.model == "documented":
        return view.at, view.spot
    if signal.on == "spot":
        return view.at, np.log(view.spot) + signal.basis
    time = view.bars["time"].to_physical().to_numpy().astype(np.int64)
    mid = (view.column("bid") + view.column("ask")) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return time, np.where((mid > 0) & (mid < 1), np.log(mid / (1 - mid)), np.nan)


def _stated(view: Seen, signal: MeanReversion, z: Floats, fair: Floats) -> NDArray[np.bool_]:
    """Tell where there is something to say, and all that it depends on is known."""
    end, last = view.at_end(), view.last("close", signal.bars)
    stated = view.open & ~np.isnan(fair) & (np.abs(z) > signal.min_z)
    stated &= (end >= signal.min_left) | (np.isnan(end) & (signal.on == "price"))
    if signal.max_left is not None:
        stated &= ~(end > signal.max_left)
    if signal.min_gap > 0:
        near = np.round(np.abs(fair - last), 9) >= signal.min_gap
        stated &= (last > 0) & (last < 1) & near
    if signal.agree:
        mid = (view.column("bid") + view.column("ask")) / 2
        stated &= np.round(fair - mid, 9) * z < 0
    return stated


def _documented(view: Seen, signal: MeanReversion) -> tuple[Floats, Floats]:
    """Return z of price levels, and the probability that was read off it."""
    mean, spread, *_ = _fit(view, signal, view.at, view.spot)
    z = np.where(spread > 0, (view.spot - mean) / spread, np.nan)
    _, number = _variance(view, signal, math.inf)
    z = np.where(number >= signal.min_samples, z, np.nan)
    size, spot, strike = np.abs(z), view.spot, np.where(np.isposinf(view.upper), view.lower, np.nan)
    across = np.where(z < 0, (spot < strike) & (strike <= mean), (spot > strike) & (strike >= mean))
    move = np.where(across, np.minimum(0.45, 0.15 * size), 0.10 * size)
    fair = np.where(z < 0, 0.5 + move, 0.5 - move)
    return z, np.where(np.isnan(strike) | np.isnan(z), np.nan, fair)


def _on_spot(view: Seen, signal: MeanReversion) -> tuple[Floats, Floats]:
    """Return z of the log spot, and the probability of an average drawn to its mean."""
    at, level = _level(view, signal)
    mean, spread, phi, t, step = _fit(view, signal, at, level)
    z = np.where(spread > 0, (level - mean) / spread, np.nan)
    variance, number = _variance(view, signal, signal.max_gap)
    z = np.where(number >= signal.min_samples, z, np.nan)
    spot, left, w = np.exp(level), view.left, signal.average
    known, blur = known_values(view, spot, w, signal.bars, signal.max_gap)
    speed = _speed(signal, phi, t, step)
    extra = signal.eta**2 + variance * blur
    flat = np.sqrt(variance + extra / averaged_seconds(left, w))
    asked = (np.abs(z) > signal.min_z) & (left > 0) & ~np.isnan(view.lower + view.upper)
    fair = np.full(len(z), np.nan)
    for rows, drawn in (
        (np.flatnonzero(asked & (speed > 0)), True),
        (np.flatnonzero(asked & (speed == 0) & signal.fallback), False),
    ):
        where: dict[str, Any] = {"window": w, "known_mean": known[rows]}
        ends = []
        for bound in (view.lower[rows], view.upper[rows]):
            if drawn:
                sigma = np.sqrt(variance[rows])
                aim = (spot[rows], np.exp(mean[rows]), bound, left[rows], sigma, speed[rows])
                ends.append(reverting_probability(*aim, **where, extra=extra[rows]))
            else:
                ends.append(digital_probability(spot[rows], bound, left[rows], flat[rows], **where))
        fair[rows] = ends[0] - ends[1]
    return z, fair


def _on_price(view: Seen, signal: MeanReversion) -> tuple[Floats, Floats]:
    """Return z of the log odds of the mid, and the mid moved to where it is drawn."""
    at, level = _level(view, signal)
    mean, spread, phi, t, step = _fit(view, signal, at, level)
    z = np.where(spread > 0, (level - mean) / spread, np.nan)
    left = np.where(np.isnan(view.at_end()), np.inf, view.at_end())
    speed = _speed(signal, phi, t, step)
    kept = np.where(speed > 0, np.exp(-speed * left), 1.0 if signal.fallback else np.nan)
    return z, 1 / (1 + np.exp(-(mean + (level - mean) * kept)))


def _speed(signal: MeanReversion, phi: Floats, t: Floats, step: Floats) -> Floats:
    """Return the speed of reversion a second, 0 where none is shown."""
    shown = (t > signal.min_t) & (phi < 1)
    return np.where(shown, -np.log(np.maximum(phi, _FASTEST)) / step, 0.0)


def _fit(
    view: Seen, signal: MeanReversion, at: NDArray[np.int64], level: Floats
) -> tuple[Floats, ...]:
    from kalshi_bt.signals import reversion_kernels as kernels  # noqa: PLC0415  # loads Numba

    found: tuple[Floats, ...] = kernels.autoregression(
        view.starts, at, level, signal.lookback_seconds, signal.coverage, signal.least, signal.bars
    )
    return found


def _variance(view: Seen, signal: MeanReversion, max_gap: float) -> tuple[Floats, Floats]:
    """Return the variance per second of the spot, and the samples before each row."""
    found, _, number = variance_of_rows(
        view.starts, view.at, np.log(view.spot), signal.bars, signal.half_life, max_gap,
        "elapsed", 1.0,
    )  # fmt: skip
    return found, number.astype(np.float64)
