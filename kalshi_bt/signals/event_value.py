"""Fair values from recorded opinions on events, where they are far enough from the book."""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt.signals import check_parameters, parameter
from kalshi_bt.signals.event_providers import needs_of, valued
from kalshi_bt.signals.event_threshold import REFERENCE_COST, Threshold, net_edges
from kalshi_bt.signals.expr import require, slices_of
from kalshi_bt.signals.needs import Need

Ints = NDArray[np.int64]

ADDED = ("fair", "confidence")
_SLACK = 1e-12
_HUNDREDTHS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class EventValue:
    """A fair value wherever a recorded opinion beats the price that can be traded.

    A market is looked at if it trades enough and its spread is known and narrow. It is a candidate
    if the better side, bought at the ask (NO: at the complement of the bid) with the taker's fee,
    is worth at least the threshold less than the opinion says. Of other markets nothing is said.

    Parameters
    ----------
    providers
        Who is asked, see `event_providers`.
    edge
        What an opinion is held against: the executable price with the fee, or as documented the
        mid with 0.35 cents.
    min_edge, adaptive, adaptive_floor, liquid_volume, wide_spread
        The threshold, see `threshold`.
    confidence_weight, volume_weight, spread_weight
        What lowers an adaptive threshold.
    min_volume, volume_bars, max_spread
        Which markets are looked at.
    fee_rate
        Of the taker.
    valuation_age, forecast_age, signal_age
        How long an opinion holds.

    Raises
    ------
    UsageError
        If a parameter is out of range.

    Notes
    -----
    The threshold here is the only gate: whatever this signal says can be traded. Which candidates
    of a decision time are, and how much of each, `kalshi_bt.allocation.Allocation` decides, since
    it takes other events to know. For the same reason no market is dropped for being the 1001st by
    volume. The volume is that of the last `volume_bars` bars, which a market that trades reaches
    and a dead one with a busy past does not.

    Examples
    --------
    >>> EventValue(min_edge=0.05).threshold.base
    0.05
    >>> [need.column for need in EventValue(providers="weather").references]
    ['temperature_mean', 'temperature_sd']
    """

    reads: ClassVar[tuple[str, ...]] = (  # of quotes
        *("ticker", "time", "series", "strike_type", "floor_strike", "cap_strike"),
        *("bid", "ask", "mid", "volume"),
    )

    providers: Literal["recorded", "any", "model", "weather", "heuristic"] = parameter(
        "recorded", "who is asked; recorded: a model, then the weather"
    )
    edge: Literal["net", "mid"] = parameter("net", "what an opinion is held against")
    min_edge: float = parameter(0.08, "least edge of a candidate, dollars of payout", 0, 1)
    adaptive: bool = parameter(False, "whether good markets have a lower threshold")
    adaptive_floor: float = parameter(0.01, "least adaptive threshold, dollars", 0, 1)
    liquid_volume: float = parameter(50_000.0, "contracts of a fully liquid market", 1)
    wide_spread: float = parameter(0.12, "spread that counts as no quote, dollars", 0.001, 1)
    confidence_weight: float = parameter(0.20, "what confidence counts for", 0, 1)
    volume_weight: float = parameter(0.55, "what volume counts for", 0, 1)
    spread_weight: float = parameter(0.25, "what a narrow spread counts for", 0, 1)
    min_volume: float = parameter(1_000.0, "contracts traded lately, at least; 0: any", 0)
    volume_bars: int = parameter(240, "bars in which volume is counted", 1, 5_000)
    max_spread: float = parameter(0.08, "widest spread, dollars", 0, 1)
    fee_rate: float = parameter(0.07, "fee of a contract at price p is this times p(1 - p)", 0, 1)
    valuation_age: int = parameter(600, "seconds for which a model's opinion holds", 0)
    forecast_age: int = parameter(43_200, "seconds for which a forecast holds", 0)
    signal_age: int = parameter(300, "seconds for which a signal of the heuristic holds", 0)

    def __post_init__(self) -> None:
        check_parameters(self)

    @classmethod
    def reference(cls) -> Self:
        """Return the strategy as it is documented, whose rule of thumb never trades."""
        return cls(providers="heuristic", edge="mid", volume_bars=1_440)

    @property
    def lookback(self) -> int:
        """Bars per market that suffice for the newest value."""
        return self.volume_bars if self.min_volume > 0 or self.adaptive else 1

    @property
    def references(self) -> tuple[Need, ...]:
        """The recorded columns that are read."""
        ages = {
            "model": self.valuation_age,
            "weather": self.forecast_age,
            "heuristic": self.signal_age,
        }
        return needs_of(self.providers, ages)

    @property
    def threshold(self) -> Threshold:
        """The one threshold that says what is worth trading."""
        return Threshold(
            base=self.min_edge,
            adaptive=self.adaptive,
            floor=self.adaptive_floor,
            liquid_volume=self.liquid_volume,
            wide_spread=self.wide_spread,
            confidence_weight=self.confidence_weight,
            volume_weight=self.volume_weight,
            spread_weight=self.spread_weight,
        )

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        """Return `quotes` with fair and confidence added, both null where there is no candidate.

        Parameters
        ----------
        quotes : polars.LazyFrame
            Rows of `schema.QUOTES` with the columns of `references`, in any order.

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
        columns = (*self.reads, *(need.column for need in self.references))
        schema = {**require(quotes, columns, "event_value"), "__volume": pl.Float64()}
        counted = quotes.map_batches(
            lambda frame: _with_volume(frame, self, newest=newest), schema=schema
        )
        told = valued(counted, self.providers)
        marked = told.with_columns(__candidate=self._candidate().fill_null(value=False))
        said = pl.col("__candidate")
        return marked.with_columns(
            fair=pl.when(said).then("fair"), confidence=pl.when(said).then("confidence")
        ).drop("__candidate", "__volume")

    def _candidate(self) -> pl.Expr:
        fair, spread = pl.col("fair"), pl.col("ask") - pl.col("bid")
        seen = spread.is_between(0, self.max_spread + _SLACK)
        if self.min_volume > 0:
            seen &= pl.col("__volume") >= self.min_volume
        if self.edge == "mid":
            best = (fair - pl.col("mid")).abs() - REFERENCE_COST
        else:
            best = pl.max_horizontal(*net_edges(fair, self.fee_rate))
        least = self.threshold.least(pl.col("__volume"), spread, pl.col("confidence"))
        return seen & (best + _SLACK >= least)


def _with_volume(frame: pl.DataFrame, signal: EventValue, *, newest: bool) -> pl.DataFrame:
    """Return bars with the contracts traded of late, summed as whole hundredths, hence exactly."""
    order, starts, rows, asked, place = slices_of(frame, newest=newest)
    if signal.min_volume == 0 and not signal.adaptive:
        return asked.with_columns(__volume=pl.lit(None, pl.Float64))
    hundredths = (frame["volume"] * _HUNDREDTHS).round().cast(pl.Int64)
    hundredths = hundredths if order is None else hundredths[order]
    market = np.searchsorted(starts, rows, side="right") - 1
    low = np.maximum(starts[market], rows - signal.volume_bars + 1)
    total, known = (
        _summed(part.to_numpy(), low, rows)
        for part in (hundredths.fill_null(0), hundredths.is_not_null())
    )
    volume = np.empty(len(rows))
    volume[slice(None) if place is None else place] = np.where(known > 0, total, np.nan)
    return asked.with_columns(__volume=pl.Series(volume / _HUNDREDTHS).fill_nan(None))


def _summed(values: Ints, first: Ints, last: Ints) -> Ints:
    """Return the sums of whole values from `first` to `last`."""
    running = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    found: Ints = running[last + 1] - running[first]
    return found
