"""Bollinger bands on contract prices: fade or follow a bar whose body lies outside them."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt.errors import UsageError
from kalshi_bt.schema import OHLC, SIGNALS, Time
from kalshi_bt.signals import check_parameters, parameter
from kalshi_bt.signals.expr import market_slices, mid_bar, require
from kalshi_bt.units import PRICE_SCALE, RATE_SCALE, SECOND

if TYPE_CHECKING:
    from kalshi_bt.signals.kernels import Bracket, Window

ADDED = ("side", "entry", "stop", "target", "confidence", "entry_stop", "exit_time")
NEEDED = (
    *("ticker", "time", "close_time", "quote_source", "volume", *OHLC),
    *("bid", "ask", "bid_open", "ask_open", "bid_high", "ask_low"),
)

# As the kernels number them.
_EMPTY_BARS = ("skip", "ffill", "nan")
_GEOMETRIES = ("fade_limit", "reversal_break", "literal")
_UNIT = 2 * PRICE_SCALE
# With prices of at most _UNIT and a width of p/q, the two sides of the comparison are at most
# (n·_UNIT·q)² and (n·_UNIT·p/2)², which stay below 2^63 while n·max(2q, p) is at most this.
_EXACT = 303_000
_SHARE = 250_000  # bars that are worth a thread

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Hits = tuple[Ints, Ints, Ints, Ints]
Result = TypeVar("Result")
Columns = dict[str, NDArray[Any]]
Look = Callable[[pl.DataFrame, Ints, "Bollinger"], Columns]


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
    geometry, reward, target_band_cap, min_rr, fee_aware, fee_rate, tick
        Where the levels lie, and which are worth taking.
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
    table count as bars without a trade if `bar_seconds` says how long a bar is. A close more than
    ``reach * period`` bars back is stale and its window has no bands: no value depends on more than
    `lookback` bars.

    With `fee_aware` the taker fees of entry and exit come off the reward and on the risk. No target
    `reward` R away is then worth `reward` times the risk, unless its stop was clipped, so that the
    documented 2 R target and ratio of 2 leave nothing to trade: choose a `reward` above `min_rr`
    with it. The gate is therefore off by default; fees are charged either way. The literal levels
    are judged without fees, as documented. A market whose scheduled close is not known passes the
    time filter.

    References
    ----------
    J. Bollinger, Bollinger on Bollinger Bands, McGraw-Hill, 2001.

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
        None, "length of a bar if some are absent from the table; none if no bar is", 1, 86_400
    )
    reach: int = parameter(2, "periods back beyond which a close is stale", 1, 1_000)
    price: Literal["trade", "mid"] = parameter(
        "trade", "what bars are made of; where trades were not recorded, the mid"
    )
    geometry: Literal["fade_limit", "reversal_break", "literal"] = parameter(
        "fade_limit", "where entry, stop and target lie"
    )
    reward: float = parameter(2.0, "distance of the target, in ranges of the signal bar", 0.1, 10)
    target_band_cap: bool = parameter(True, "whether the target stays a tick inside the far band")
    min_rr: float = parameter(2.0, "least reward over risk", 0, 10)
    fee_aware: bool = parameter(False, "whether reward and risk are net of fees")
    fee_rate: float = parameter(0.07, "fee of a contract at price p is this times p(1 - p)", 0, 1)
    tick: float = parameter(0.01, "price step, dollars", 0.0001, 0.1)
    min_time_to_close: int = parameter(480, "least seconds to the scheduled close", 0)
    min_exit_before_close: int = parameter(0, "seconds before the close to leave; 0 to stay", 0)

    def __post_init__(self) -> None:
        check_parameters(self)
        p, q = _ratio("width", self.width, 1_000)
        if self.period * max(2 * q, p) > _EXACT:
            raise UsageError(
                f"Bollinger.width is {self.width!r} = {p}/{q} with period {self.period}; expected "
                f"period * max(2 * {q}, {p}) <= {_EXACT}: give the width fewer decimals"
            )
        _ratio("reward", self.reward, 1_000)
        _ratio("min_rr", self.min_rr, 1_000)
        _ratio("fee_rate", self.fee_rate, RATE_SCALE)
        steps = 1 / Fraction(str(self.tick))
        if steps.denominator > 1 or _UNIT % steps:
            raise UsageError(
                f"Bollinger.tick is {self.tick!r}; expected a whole part of a dollar, such as 0.01"
            )
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
        return self.reach * self.period + 1

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
        schema = {**require(quotes, NEEDED, "bollinger"), **{c: SIGNALS[c] for c in ADDED}}
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
        the window is not full, or holds a missing or stale close.

    Raises
    ------
    DataError
        If a column is missing.
    """
    names = ("band_middle", "band_lower", "band_upper")
    schema = {**require(quotes, NEEDED, "bollinger"), **dict.fromkeys(names, pl.Float64())}
    return quotes.map_batches(lambda frame: _with_bands(frame, signal), schema=schema)


def _with_setups(frame: pl.DataFrame, signal: Bollinger) -> pl.DataFrame:
    setups = _columns(frame, signal, _setups)
    leave = pl.lit(None, Time)
    if signal.min_exit_before_close:
        left = pl.duration(seconds=signal.min_exit_before_close)
        leave = pl.when(setups["side"].is_not_null()).then(frame["close_time"] - left)
    return frame.hstack(setups.with_columns(exit_time=leave))


def _with_bands(frame: pl.DataFrame, signal: Bollinger) -> pl.DataFrame:
    return frame.hstack(_columns(frame, signal, _bands))


def _setups(bars: pl.DataFrame, starts: Ints, signal: Bollinger) -> Columns:
    from kalshi_bt.signals.kernels import brackets  # loads Numba, on use only

    rows, beyond, sums, spreads = _windows(bars, starts, signal, every=False)
    left = pl.col("close_time") - pl.col("time")
    in_time = (left >= pl.duration(seconds=signal.min_time_to_close)).fill_null(value=True)
    at = bars.select(pl.col("time", "close_time", "low", "high").gather(rows))
    low, high = at.select(pl.when(in_time).then("low"), "high")
    hit, entry, stop, target, confidence = brackets(
        _window(signal), _bracket(signal), _floats(low), _floats(high), beyond, sums, spreads
    )
    return {
        "row": rows[hit],
        "side": -np.sign(beyond[hit]).astype(np.int8),
        "entry": entry,
        "stop": stop,
        "target": target,
        "confidence": confidence,
        "entry_stop": np.full(len(hit), signal.geometry == "reversal_break"),
    }


def _bands(bars: pl.DataFrame, starts: Ints, signal: Bollinger) -> Columns:
    rows, _, sums, spreads = _windows(bars, starts, signal, every=True)
    middle = sums / (signal.period * _UNIT)
    half = signal.width * np.sqrt(spreads) / (signal.period * _UNIT)
    found = {"band_middle": middle, "band_lower": middle - half, "band_upper": middle + half}
    return {"row": rows, **found}


def _windows(bars: pl.DataFrame, starts: Ints, signal: Bollinger, *, every: bool) -> Hits:
    """Return what the kernel finds, on as many threads as Polars has; no market is cut in two."""
    from kalshi_bt.signals.kernels import windows  # loads Numba, on use only

    rule, open_, close = _window(signal), _floats(bars["open"]), _floats(bars["close"])
    time = bars["time"].to_physical().to_numpy()
    time.setflags(write=False)
    longest = int(np.diff(starts).max(initial=0))
    count = max(1, min(pl.thread_pool_size(), bars.height // _SHARE))
    cuts = np.searchsorted(starts, np.arange(count + 1) * bars.height // count)

    def part(first: int, last: int) -> Hits:
        own = starts[first : last + 1]
        return windows(rule, own, longest, open_, close, float(_UNIT), time, every)

    parts = _threads(part, cuts[:-1], cuts[1:])
    rows, beyond, sums, spreads = (np.concatenate(each) for each in zip(*parts, strict=True))
    return rows, beyond, sums, spreads


def _columns(frame: pl.DataFrame, signal: Bollinger, look: Look) -> pl.DataFrame:
    """Return what `look` finds as columns of the frame, null where it finds nothing."""
    bars, order, starts = _in_slices(frame, signal)
    found = look(bars, starts, signal)
    rows = found.pop("row")
    rows = rows if order is None else order[rows]

    def dense(values: NDArray[Any]) -> NDArray[Any]:
        column = np.zeros(frame.height, values.dtype)
        column[rows] = values
        return column

    here = np.ones(len(rows), np.bool_)
    whole = _threads(dense, [here, *found.values()])
    columns = pl.DataFrame(dict(zip(["", *found], whole, strict=True)))
    return columns.select(pl.when("").then(name).alias(name) for name in found)


def _threads(work: Callable[..., Result], *each: Iterable[Any]) -> list[Result]:
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        return list(pool.map(work, *each))


def _in_slices(frame: pl.DataFrame, signal: Bollinger) -> tuple[pl.DataFrame, Ints | None, Ints]:
    """Return what the bands are made of, market by market in time order."""
    bars = frame.select(NEEDED)
    if signal.price == "mid":
        bars = bars.with_columns(**mid_bar())
    elif (bars["quote_source"] == "snapshot").any():
        # Quotes alone were recorded: no trade there means that nobody looked, not that none was.
        unseen = (pl.col("quote_source") == "snapshot") & pl.col("volume").is_null()
        bars = bars.with_columns(
            pl.when(unseen).then(mid).otherwise(name).alias(name) for name, mid in mid_bar().items()
        )
    # A lazy frame arrives in pieces, and each look at a column would join them anew.
    bars = bars.select("ticker", "time", "close_time", *OHLC).rechunk()
    order, starts = market_slices(bars)
    return (bars if order is None else bars[order]), order, starts


def _window(signal: Bollinger) -> "Window":
    from kalshi_bt.signals.kernels import Window  # loads Numba, on use only

    p, q = _ratio("width", signal.width, 1_000)
    return Window(
        mode=_EMPTY_BARS.index(signal.empty_bar),
        n=signal.period,
        lag=signal.period - signal.include_signal_bar,
        reach=signal.reach * signal.period,
        step=(signal.bar_seconds or 0) * SECOND,
        p=p,
        q=q,
    )


def _bracket(signal: Bollinger) -> "Bracket":
    from kalshi_bt.signals.kernels import Bracket  # loads Numba, on use only

    reward, reward_unit = _ratio("reward", signal.reward, 1_000)
    ratio, ratio_unit = _ratio("min_rr", signal.min_rr, 1_000)
    return Bracket(
        geometry=_GEOMETRIES.index(signal.geometry),
        tick=int(Fraction(str(signal.tick)) * _UNIT),
        capped=int(signal.target_band_cap),
        reward=reward,
        reward_unit=reward_unit,
        ratio=ratio,
        ratio_unit=ratio_unit,
        fee=int(Fraction(str(signal.fee_rate)) * RATE_SCALE) if signal.fee_aware else 0,
    )


def _ratio(name: str, value: float, limit: int) -> tuple[int, int]:
    """Return the decimal `value` as a fraction, exactly."""
    exact = Fraction(str(value))
    if exact.denominator > limit:
        places = len(str(limit)) - 1
        raise UsageError(f"Bollinger.{name} is {value!r}; expected at most {places} decimals")
    return exact.numerator, exact.denominator


def _floats(prices: pl.Series) -> Floats:
    """Prices as the kernels take them: NaN for null, always read-only (which is a type there)."""
    array = prices.fill_null(float("nan")).to_numpy()
    array.setflags(write=False)
    return array
