"""Bollinger bands on contract prices: fade or follow a bar whose body lies outside them."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Self

import polars as pl

from kalshi_bt.errors import UsageError
from kalshi_bt.schema import SIGNALS, Time
from kalshi_bt.signals import check_parameters, parameter
from kalshi_bt.signals.bollinger_rows import (
    NEEDED,
    UNIT,
    band_columns,
    exact_ratio,
    of_rows,
    setup_columns,
)
from kalshi_bt.signals.bollinger_underlying import band_needs, setups_of_underlying
from kalshi_bt.signals.expr import require
from kalshi_bt.signals.needs import Need
from kalshi_bt.signals.underlying import SOURCES, SYMBOLS
from kalshi_bt.units import RATE_SCALE

ADDED = ("side", "entry", "stop", "target", "confidence", "entry_stop", "exit_time")

# With prices of at most UNIT and a width of p/q, the two sides of the comparison are at most
# (n·UNIT·q)² and (n·UNIT·p/2)², which stay below 2^63 while n·max(2q, p) is at most this.
_EXACT = 303_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bollinger:
    """A set-up wherever the body of a finished bar lies wholly outside the bands.

    The bands are the mean of the last `period` closes and `width` population standard deviations to
    each side. A body below them is a long set-up, one above them a short one (sell YES, which is to
    buy NO). Wicks do not matter, and a body that ends on a band is inside: comparisons are exact.
    With R the range of the bar, and the short side the mirror image of the long one:

    * ``fade_limit``: buy at the low, stop R below it, target `reward` R above it;
    * ``reversal_break``: buy when the high is reached (a stop order), stop at the low, target
      `reward` R above the high;
    * ``literal``: entry at the low and stop at the high, as documented and impossible.

    Stop and target are clipped to the price grid, then the target is capped a tick inside the far
    band. A set-up whose reward is then less than `min_rr` times its risk is dropped.

    Parameters
    ----------
    period, width, include_signal_bar, empty_bar, bar_seconds, reach, price
        What the bands are made of.
    on, source, symbols, field, spot_seconds
        Whether the bands are those of the contract's price or of its underlying, see the notes.
    geometry, reward, target_band_cap, min_rr, fee_aware, fee_rate, tick
        Where the levels lie, and which are worth taking.
    rsi, rsi_period, rsi_level, adx, adx_period, adx_level, wilder_bars
        Which indices must confirm a set-up, see the notes; none by default.
    min_time_to_close, min_exit_before_close
        How near to the scheduled close a set-up may come, and be held.

    Raises
    ------
    UsageError
        If a parameter is out of range, or the bands could not be compared exactly.

    Notes
    -----
    A set-up needs a trade in its bar. A bar without one is left out of the bands (``skip``),
    repeats the last close (``ffill``) or voids the windows it is in (``nan``). Bars absent from the
    table count as bars without a trade if `bar_seconds` says how long a bar is, as in every run. A
    close more than ``reach * period`` bars back is stale and its window has no bands: no value
    depends on more than `lookback` bars.

    With `fee_aware` the taker fees of entry and exit come off the reward and on the risk. No target
    `reward` R away is then worth `reward` times the risk, unless its stop was clipped, so that the
    documented 2 R target and ratio of 2 leave nothing to trade: choose a `reward` above `min_rr`
    with it. The gate is therefore off by default; fees are charged either way. The literal levels
    are judged without fees, as documented. A market whose scheduled close is not known passes the
    time filter.

    The documented strategy knows confirmations by RSI and by ADX (threshold 20), off by default,
    and does not say which side confirms. Here `rsi` confirms a long where the index of the bars up
    to the set-up's own is at most `rsi_level` (oversold), a short where it is at least 100 less
    that (overbought), the same thing in prices of NO. ``adx="below"`` keeps set-ups without a
    trend, an index less than `adx_level`, in which a fade can hope for the mean; ``above`` keeps
    the others. Bars without a trade count as for the bands, where they are not void: under ``nan``
    the averages begin anew after one. An index with too few bars confirms nothing.

    A quarter hour is too short for the bands of its own price. With ``on="underlying"`` they are
    those of the recorded prices of the underlying, in bars of `spot_seconds` that begin long before
    the market does; an interval without a price repeats the last close, RSI and ADX are the
    underlying's, and `empty_bar` and `bar_seconds` say nothing. A bar of the underlying below its
    bands is a long set-up of a market that pays for a high price (``greater``), a short one of a
    market that pays for a low one (``less``), and none of others. Entry, stop and target follow
    from the contract's bar in which that bar ended, without a cap: the contract has no bands. The
    documented confidence is a distance in dollars of a contract, so none is stated.

    References
    ----------
    J. Bollinger, Bollinger on Bollinger Bands, McGraw-Hill, 2001.

    J. W. Wilder, New Concepts in Technical Trading Systems, Trend Research, 1978: sections IV and
    VI; see `kalshi_bt.signals.wilder`.

    Examples
    --------
    >>> Bollinger(period=20).lookback
    41
    >>> Bollinger.reference().geometry
    'literal'
    """

    period: int = parameter(25, "closes in a window", 2, 5_000)
    width: float = parameter(2.0, "standard deviations from the mean to a band", 0, 10)
    include_signal_bar: bool = parameter(True, "whether the window ends with the signal bar")
    empty_bar: Literal["skip", "ffill", "nan"] = parameter("ffill", "what a bar without a trade is")
    bar_seconds: int | None = parameter(
        None,
        "length of a bar if some are absent; none: in a run that of its bars, else none is",
        1,
        86_400,
    )
    reach: int = parameter(2, "periods back beyond which a close is stale", 1, 1_000)
    price: Literal["trade", "mid"] = parameter(
        "trade", "what bars are made of; where trades were not recorded, the mid"
    )
    on: Literal["price", "underlying"] = parameter("price", "whose bands")
    source: str = parameter(
        SOURCES, "where the references have the underlying from; the first by commas that is there"
    )
    symbols: str = parameter(SYMBOLS, "symbol of each series, SERIES=SYMBOL, by commas")
    field: str = parameter("close", "field of the underlying among the references")
    spot_seconds: int = parameter(60, "length of a bar of the underlying", 1, 86_400)
    geometry: Literal["fade_limit", "reversal_break", "literal"] = parameter(
        "fade_limit", "where entry, stop and target lie"
    )
    reward: float = parameter(2.0, "distance of the target, in ranges of the signal bar", 0.1, 10)
    target_band_cap: bool = parameter(True, "whether the target stays a tick inside the far band")
    min_rr: float = parameter(2.0, "least reward over risk", 0, 10)
    fee_aware: bool = parameter(False, "whether reward and risk are net of fees")
    fee_rate: float = parameter(0.07, "fee of a contract at price p is this times p(1 - p)", 0, 1)
    rsi: bool = parameter(default=False, doc="whether Wilder's RSI must confirm a set-up")
    rsi_period: int = parameter(14, "changes in an average of the RSI", 1, 1_000)
    rsi_level: float = parameter(
        30.0, "most RSI of a long; 100 less it the least of a short", 0, 50
    )
    adx: Literal["off", "below", "above"] = parameter(
        "off", "on which side of its level Wilder's ADX must be"
    )
    adx_period: int = parameter(14, "bars in an average of the ADX", 1, 1_000)
    adx_level: float = parameter(20.0, "ADX that parts a trend from none", 0, 100)
    wilder_bars: int = parameter(200, "bars back with which RSI and ADX begin", 2, 5_000)
    tick: float = parameter(0.01, "price step, dollars", 0.0001, 0.1)
    min_time_to_close: int = parameter(480, "least seconds to the scheduled close", 0)
    min_exit_before_close: int = parameter(0, "seconds before the close to leave; 0 to stay", 0)

    def __post_init__(self) -> None:
        check_parameters(self)
        p, q = exact_ratio("width", self.width, 1_000)
        if self.period * max(2 * q, p) > _EXACT:
            raise UsageError(
                f"Bollinger.width is {self.width!r} = {p}/{q} with period {self.period}; expected "
                f"period * max(2 * {q}, {p}) <= {_EXACT}: give the width fewer decimals"
            )
        exact_ratio("reward", self.reward, 1_000)
        exact_ratio("min_rr", self.min_rr, 1_000)
        exact_ratio("fee_rate", self.fee_rate, RATE_SCALE)
        for asked, needed in (
            (self.rsi, self.rsi_period + 1),
            (self.adx != "off", 2 * self.adx_period),
        ):
            if asked and self.wilder_bars + 1 < needed:
                raise UsageError(
                    f"Bollinger.wilder_bars is {self.wilder_bars}; expected at least {needed - 1} "
                    "for these periods of RSI and ADX"
                )
        steps = 1 / Fraction(str(self.tick))
        if steps.denominator > 1 or UNIT % steps:
            raise UsageError(
                f"Bollinger.tick is {self.tick!r}; expected a whole part of a dollar, such as 0.01"
            )
        _ = self.references
        if self.min_exit_before_close and self.min_exit_before_close >= self.min_time_to_close:
            raise UsageError(
                f"Bollinger.min_exit_before_close is {self.min_exit_before_close} s; expected less "
                f"than min_time_to_close, {self.min_time_to_close} s, or nothing could be held"
            )

    @classmethod
    def reference(cls) -> Self:
        """Return the strategy as it is documented, whose levels cannot be traded."""
        return cls(geometry="literal", empty_bar="skip", reach=40)

    @property
    def lookback(self) -> int:
        """Bars per market that suffice for the newest value."""
        banded = self.reach * self.period + 1
        return max(banded, self.wilder_bars + 1) if self.rsi or self.adx != "off" else banded

    @property
    def max_age(self) -> int:
        """Seconds after which a bar of the underlying is too old."""
        return self.spot_seconds

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of quotes that it looks at."""
        return (*NEEDED, *(("strike_type",) if self.on == "underlying" else ()))

    @property
    def references(self) -> tuple[Need, ...]:
        """The place of the underlying in its bands, and its indices, if they are asked."""
        return band_needs(self) if self.on == "underlying" else ()

    @property
    def untradable(self) -> str | None:
        """Why no set-up of this signal can ever be executed; None if it can."""
        if self.geometry != "literal":
            return None
        return (
            "are short with the stop on the side of their profit, where no order can have it; a "
            "long has its stop above its entry, a negative reward over risk, and is never proposed"
        )

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        """Return `quotes` with side, levels, confidence, entry_stop and exit_time added.

        All are null where there is no set-up; exit_time also where the scheduled close is not known
        or `min_exit_before_close` is 0.

        Parameters
        ----------
        quotes : polars.LazyFrame
            Rows of `schema.QUOTES`, in any order.

        Raises
        ------
        DataError
            If a column is missing.
        """
        needed = [*self.reads, *(name for need in self.references for name in need.columns)]
        schema = {**require(quotes, needed, "bollinger"), **{c: SIGNALS[c] for c in ADDED}}
        return quotes.map_batches(lambda frame: _with_setups(frame, self), schema=schema)


def bands(quotes: pl.LazyFrame, signal: Bollinger) -> pl.LazyFrame:
    """Return `quotes` with the bands of `signal` added, for a chart.

    Parameters
    ----------
    quotes : polars.LazyFrame
        Rows of `schema.QUOTES`, in any order.
    signal : Bollinger
        Whose bands.

    Returns
    -------
    polars.LazyFrame
        With band_middle, band_lower and band_upper (Float64, YES dollars, not clipped); null where
        the window is not full, or holds a missing or stale close, and everywhere if the bands are
        those of an underlying.

    Raises
    ------
    DataError
        If a column is missing.
    """
    names = ("band_middle", "band_lower", "band_upper")
    schema = {**require(quotes, NEEDED, "bollinger"), **dict.fromkeys(names, pl.Float64())}
    return quotes.map_batches(lambda frame: _with_bands(frame, signal), schema=schema)


def _with_setups(frame: pl.DataFrame, signal: Bollinger) -> pl.DataFrame:
    if signal.on == "underlying":
        setups = setups_of_underlying(frame, signal)
    else:
        setups = of_rows(frame, signal, setup_columns)
    leave = pl.lit(None, Time)
    if signal.min_exit_before_close:
        left = pl.duration(seconds=signal.min_exit_before_close)
        leave = pl.when(setups["side"].is_not_null()).then(frame["close_time"] - left)
    return frame.hstack(setups.with_columns(exit_time=leave).select(ADDED))


def _with_bands(frame: pl.DataFrame, signal: Bollinger) -> pl.DataFrame:
    if signal.on == "underlying":
        names = ("band_middle", "band_lower", "band_upper")
        return frame.with_columns(pl.lit(None, pl.Float64).alias(name) for name in names)
    return frame.hstack(of_rows(frame, signal, band_columns))
