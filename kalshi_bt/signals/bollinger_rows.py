"""What the Bollinger signal does with rows: which bars count, what the kernels find in them."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt.errors import UsageError
from kalshi_bt.schema import OHLC
from kalshi_bt.signals.expr import market_slices, mid_bar
from kalshi_bt.units import PRICE_SCALE, RATE_SCALE, SECOND

if TYPE_CHECKING:
    from kalshi_bt.signals.bollinger import Bollinger
    from kalshi_bt.signals.kernels import Bracket, Window

__all__ = [
    "NEEDED",
    "UNIT",
    "Columns",
    "band_columns",
    "bracket_rule",
    "exact_ratio",
    "floats",
    "in_time",
    "of_rows",
    "setup_columns",
    "window_rule",
]

NEEDED = (
    *("ticker", "time", "close_time", "quote_source", "volume", *OHLC),
    *("bid", "ask", "bid_open", "ask_open", "bid_high", "ask_low"),
)
UNIT = 2 * PRICE_SCALE  # half centi-cents in a dollar

# As the kernels number them.
_EMPTY_BARS = ("skip", "ffill", "nan")
_GEOMETRIES = ("fade_limit", "reversal_break", "literal")
_SIDES = ("off", "below", "above")
_SHARE = 250_000  # bars that are worth a thread

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Hits = tuple[Ints, Ints, Ints, Ints]
Result = TypeVar("Result")
Columns = dict[str, NDArray[Any]]
Look = Callable[[pl.DataFrame, Ints, "Bollinger"], Columns]


def setup_columns(bars: pl.DataFrame, starts: Ints, signal: "Bollinger") -> Columns:
    """Return the rows with a set-up, and its columns."""
    from kalshi_bt.signals.kernels import brackets  # loads Numba, on use only

    hits = _windows(bars, starts, signal, every=False)
    if signal.rsi or signal.adx != "off":
        kept = _confirmed(bars, starts, signal, hits)
        rows, beyond, sums, spreads = (part[kept] for part in hits)
    else:
        rows, beyond, sums, spreads = hits
    at = bars.select(pl.col("time", "close_time", "low", "high").gather(rows))
    low, high = at.select(pl.when(in_time(signal)).then("low"), "high")
    hit, entry, stop, target, confidence = brackets(
        window_rule(signal), bracket_rule(signal), floats(low), floats(high), beyond, sums, spreads
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


def in_time(signal: "Bollinger") -> pl.Expr:
    """Return whether there is time left for a set-up; where the schedule is not known, there is."""
    left = pl.col("close_time") - pl.col("time")
    return (left >= pl.duration(seconds=signal.min_time_to_close)).fill_null(value=True)


def band_columns(bars: pl.DataFrame, starts: Ints, signal: "Bollinger") -> Columns:
    """Return the rows with bands, and the bands."""
    rows, _, sums, spreads = _windows(bars, starts, signal, every=True)
    middle = sums / (signal.period * UNIT)
    half = signal.width * np.sqrt(spreads) / (signal.period * UNIT)
    found = {"band_middle": middle, "band_lower": middle - half, "band_upper": middle + half}
    return {"row": rows, **found}


def _windows(bars: pl.DataFrame, starts: Ints, signal: "Bollinger", *, every: bool) -> Hits:
    """Return what the kernel finds, on as many threads as Polars has; no market is cut in two."""
    from kalshi_bt.signals.kernels import windows  # loads Numba, on use only

    rule, open_, close = window_rule(signal), floats(bars["open"]), floats(bars["close"])
    time = bars["time"].to_physical().to_numpy()
    time.setflags(write=False)
    longest = int(np.diff(starts).max(initial=0))
    count = max(1, min(pl.thread_pool_size(), bars.height // _SHARE))
    cuts = np.searchsorted(starts, np.arange(count + 1) * bars.height // count)

    def part(first: int, last: int) -> Hits:
        own = starts[first : last + 1]
        return windows(rule, own, longest, open_, close, float(UNIT), time, every)

    parts = _threads(part, cuts[:-1], cuts[1:])
    rows, beyond, sums, spreads = (np.concatenate(each) for each in zip(*parts, strict=True))
    return rows, beyond, sums, spreads


def _confirmed(bars: pl.DataFrame, starts: Ints, signal: "Bollinger", hits: Hits) -> Flags:
    """Tell which of the hits RSI and ADX confirm, as far as they are asked."""
    from kalshi_bt.signals.wilder import Confirm, confirmed  # loads Numba, on use only

    rule = Confirm(
        mode=_EMPTY_BARS.index(signal.empty_bar),
        reach=signal.wilder_bars,
        step=(signal.bar_seconds or 0) * SECOND,
        rsi_n=signal.rsi_period if signal.rsi else 0,
        rsi_level=float(signal.rsi_level),
        adx_n=signal.adx_period,
        adx_side=_SIDES.index(signal.adx),
        adx_level=float(signal.adx_level),
    )
    open_, high, low, close = (floats(bars[name]) for name in OHLC)
    time = bars["time"].to_physical().to_numpy()
    time.setflags(write=False)
    found: Flags = confirmed(rule, starts, hits[0], hits[1], open_, high, low, close, time)
    return found


def of_rows(
    frame: pl.DataFrame, signal: "Bollinger", look: Look, more: tuple[str, ...] = ()
) -> pl.DataFrame:
    """Return what `look` finds as columns of the frame, null where it finds nothing.

    It sees what the bands are made of, market by market in time order, and the columns of `more`.
    """
    bars, order, starts = _in_slices(frame, signal, more)
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


def _in_slices(
    frame: pl.DataFrame, signal: "Bollinger", more: tuple[str, ...]
) -> tuple[pl.DataFrame, Ints | None, Ints]:
    """Return what the bands are made of, market by market in time order."""
    bars = frame.select(*NEEDED, *more)
    if signal.price == "mid":
        bars = bars.with_columns(**mid_bar())
    elif (bars["quote_source"] == "snapshot").any():
        # Quotes alone were recorded: no trade there means that nobody looked, not that none was.
        unseen = (pl.col("quote_source") == "snapshot") & pl.col("volume").is_null()
        bars = bars.with_columns(
            pl.when(unseen).then(mid).otherwise(name).alias(name) for name, mid in mid_bar().items()
        )
    # A lazy frame arrives in pieces, and each look at a column would join them anew.
    bars = bars.select("ticker", "time", "close_time", *OHLC, *more).rechunk()
    order, starts = market_slices(bars)
    return (bars if order is None else bars[order]), order, starts


def window_rule(signal: "Bollinger") -> "Window":
    """Return which closes make a window, as the kernels take it."""
    from kalshi_bt.signals.kernels import Window  # loads Numba, on use only

    p, q = exact_ratio("width", signal.width, 1_000)
    return Window(
        mode=_EMPTY_BARS.index(signal.empty_bar),
        n=signal.period,
        lag=signal.period - signal.include_signal_bar,
        reach=signal.reach * signal.period,
        step=(signal.bar_seconds or 0) * SECOND,
        p=p,
        q=q,
    )


def bracket_rule(signal: "Bollinger") -> "Bracket":
    """Return how levels follow from a bar, as the kernels take it."""
    from kalshi_bt.signals.kernels import Bracket  # loads Numba, on use only

    reward, reward_unit = exact_ratio("reward", signal.reward, 1_000)
    ratio, ratio_unit = exact_ratio("min_rr", signal.min_rr, 1_000)
    return Bracket(
        geometry=_GEOMETRIES.index(signal.geometry),
        tick=int(Fraction(str(signal.tick)) * UNIT),
        capped=int(signal.target_band_cap),
        reward=reward,
        reward_unit=reward_unit,
        ratio=ratio,
        ratio_unit=ratio_unit,
        fee=int(Fraction(str(signal.fee_rate)) * RATE_SCALE) if signal.fee_aware else 0,
    )


def exact_ratio(name: str, value: float, limit: int) -> tuple[int, int]:
    """Return the decimal `value` as a fraction, exactly."""
    exact = Fraction(str(value))
    if exact.denominator > limit:
        places = len(str(limit)) - 1
        raise UsageError(f"Bollinger.{name} is {value!r}; expected at most {places} decimals")
    return exact.numerator, exact.denominator


def floats(prices: pl.Series) -> Floats:
    """Prices as the kernels take them: NaN for null, always read-only (which is a type there)."""
    array = prices.fill_null(float("nan")).to_numpy()
    array.setflags(write=False)
    return array
