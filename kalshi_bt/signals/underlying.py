"""What markets on the price of something else ask, and what each bar knew of that price.

A crypto market settles on the mean of 60 one-second values of an index. The quarter-hour series ask
whether it is at least the same mean at the open, both rounded to the decimals of the index; the
ladders compare with a fixed strike, without rounding. The price that a bar knows is that of a venue
near the index, never the index by which it settles.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt.errors import UsageError
from kalshi_bt.pricing import values_left
from kalshi_bt.signals.expr import market_slices
from kalshi_bt.signals.needs import Derivation, Need
from kalshi_bt.units import SECOND

__all__ = [
    "DECIMALS",
    "NEEDED",
    "SOURCES",
    "SYMBOLS",
    "Seen",
    "bounds",
    "known_values",
    "pairs",
    "places",
    "seen",
    "spot_need",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_COINS = ("BTC", "ETH", "SOL", "XRP", "DOGE", "HYPE", "BNB", "NEAR", "ZEC")
_LADDERS = ("BTC", "ETH", "SOL", "XRP", "DOGE")
# Decimals of the settlement value, as settled markets of mid 2026 print it.
_DECIMALS = dict(zip(_COINS, (2, 2, 4, 4, 7, 4, 2, 4, 4), strict=True))

# The invented series has an invented price: whoever tries the sample need not name it.
SOURCES: Final = "proxy:coinbase,synthetic"
SYMBOLS: Final = ",".join(
    [
        *(f"KX{coin}15M={coin}-USD" for coin in _COINS),
        *(f"KX{coin}{kind}={coin}-USD" for coin in _LADDERS for kind in ("D", "")),
        "SYNBTC15M=SYNBTC",
    ]
)
DECIMALS: Final = ",".join(
    [*(f"KX{coin}15M={places}" for coin, places in _DECIMALS.items()), "SYNBTC15M=2"]
)

NEEDED = (
    *("ticker", "time", "series", "open_time", "close_time"),
    *("strike_type", "floor_strike", "cap_strike", "close", "bid", "ask"),
    *("spot", "spot_age"),
)


class Spot(Protocol):
    """Where the price of the underlying comes from, as signals say it."""

    @property
    def source(self) -> str:
        """Source of the references; of several, by commas, the first that a dataset has."""

    @property
    def symbols(self) -> str:
        """Symbol of each series, ``SERIES=SYMBOL,…``."""

    @property
    def field(self) -> str:
        """Field of the references."""

    @property
    def max_age(self) -> int:
        """Seconds after which a price is too old."""


def pairs(text: str, name: str) -> dict[str, str]:
    """Return ``A=x,B=y`` as a mapping.

    Raises
    ------
    UsageError
        If a part is not of this form, or a name occurs twice; `name` says whose.

    Examples
    --------
    >>> pairs("KXBTC15M=BTC-USD, KXETH15M=ETH-USD", "symbols")
    {'KXBTC15M': 'BTC-USD', 'KXETH15M': 'ETH-USD'}
    """
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, sign, value = (word.strip() for word in part.partition("="))
        if not (key and sign and value):
            raise UsageError(f"{name} has {part!r}; expected SERIES=VALUE, separated by commas")
        if key in found:
            raise UsageError(f"{name} names {key} twice; give each series once")
        found[key] = value
    return found


def places(text: str, name: str) -> dict[str, int]:
    """Return ``A=2,B=4`` as a mapping to decimals.

    Raises
    ------
    UsageError
        If a part is not of this form, or not a whole number from 0 to 12.
    """
    found = {}
    for series, value in pairs(text, name).items():
        if not value.isdecimal() or int(value) > 12:
            raise UsageError(f"{name} has {series}={value!r}; expected decimals from 0 to 12")
        found[series] = int(value)
    return found


def spot_need(
    spot: Spot,
    column: str = "spot",
    field: str | None = None,
    derive: Derivation | None = None,
    *,
    with_age: bool = False,
) -> Need:
    """Return what a signal needs to know of the price: its value and its age, or what it makes."""
    return Need(
        column=column,
        source=spot.source,
        symbol=tuple(pairs(spot.symbols, "symbols").items()),
        field=field or spot.field,
        max_age_seconds=spot.max_age,
        with_age=with_age or (field is None and derive is None),
        derive=derive,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What each bar knew, market by market in time order; arrays (n,).

    Attributes
    ----------
    bars : frame
        `NEEDED` and what else was asked for.
    order : Int64 or None
        The rows of the frame that the bars are; None if they are in place.
    starts : Int64 (markets + 1,)
    at, close : Int64
        When the price of the underlying was seen, and the close: microseconds.
    spot : Float64
        NaN for none.
    left : Float64
        Seconds from then to the close; NaN where one of them is not known.
    lower, upper : Float64
        YES pays if the settlement average is at least `lower` and below `upper`; NaN where the
        market asks something else.
    open : Boolean
        Whether the market has opened, and with it every strike is known.
    """

    bars: pl.DataFrame
    order: Ints | None
    starts: Ints
    at: Ints
    close: Ints
    spot: Floats
    left: Floats
    lower: Floats
    upper: Floats
    open: Flags

    def column(self, name: str) -> Floats:
        """Return a column of the bars as Float64, NaN for null."""
        return floats(self.bars[name])

    def at_end(self) -> Floats:
        """Return the seconds from the end of each bar to the close; NaN where not known."""
        time = self.bars["time"].to_physical().to_numpy()
        known = self.bars["close_time"].is_not_null().to_numpy()
        return np.where(known, (self.close - time) / SECOND, np.nan)

    def last(self, name: str, reach: int) -> Floats:
        """Return the newest value of a column in the last `reach` rows and the row itself."""
        values = self.column(name)
        rows = np.arange(len(values))
        first = np.repeat(self.starts[:-1], np.diff(self.starts))
        newest = np.maximum.accumulate(np.where(np.isnan(values), -1, rows))
        known = newest >= np.maximum(first, rows - reach)
        return np.where(known, values[np.maximum(newest, 0)], np.nan)

    def added(self, frame: pl.DataFrame, **columns: Floats) -> pl.DataFrame:
        """Return `frame` with arrays over the bars as columns, NaN as null."""
        made = {}
        for name, values in columns.items():
            whole = values
            if self.order is not None:
                whole = np.empty(len(values))
                whole[self.order] = values
            made[name] = pl.Series(name, whole, dtype=pl.Float64).fill_nan(None)
        return frame.with_columns(**made)


def floats(column: pl.Series) -> Floats:
    """Return a column as Float64 with NaN for null."""
    found: Floats = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return found


def seen(frame: pl.DataFrame, extra: tuple[str, ...], decimals: Mapping[str, int]) -> Seen:
    """Return what the bars of `frame`, in any order, knew of the underlying.

    Parameters
    ----------
    frame : frame
        With `NEEDED` and `extra`.
    extra : tuple of str
        More columns to keep.
    decimals : mapping
        Of the settlement average, by series; no rounding where there is none.
    """
    order, starts = market_slices(frame)
    bars = frame.select(*NEEDED, *extra).rechunk()
    bars = bars if order is None else bars[order]
    time, close = (_moments(bars[name]) for name in ("time", "close_time"))
    age = floats(bars["spot_age"])
    value = floats(bars["spot"])
    spot = np.where((value > 0) & np.isfinite(value) & (age >= 0), value, np.nan)
    some = ~np.isnan(spot)
    at = time - np.where(some, np.rint(np.where(some, age, 0.0) * SECOND), 0).astype(np.int64)
    dated = some & bars["close_time"].is_not_null().to_numpy()
    opened = bars.select((pl.col("open_time") <= pl.col("time")).fill_null(value=True))
    lower, upper = bounds(bars, decimals)
    return Seen(
        bars=bars,
        order=order,
        starts=starts,
        at=at,
        close=close,
        spot=spot,
        left=np.where(dated, (close - at) / SECOND, np.nan),
        lower=lower,
        upper=upper,
        open=opened.to_series().to_numpy(),
    )


def known_values(
    view: Seen, price: Floats, window: int, reach: int, max_gap: float
) -> tuple[Floats, Floats]:
    """Return what is known of the settlement average, and how much that leaves open.

    Parameters
    ----------
    view : Seen
    price : Float64 (n,)
        What its bars saw, NaN for nothing.
    window : int
        One-second values in the average.
    reach : int
        Rows back that count.
    max_gap : float
        Seconds between two samples, beyond which what lies between is not known.

    Returns
    -------
    mean : Float64
        Of the values so far: 0 before the first of them, NaN where samples do not tell.
    blur : Float64
        What samples further apart than a second leave open, as a share of the walk's variance a
        second that is to be added to that of the mean of the values to come.
    """
    from kalshi_bt.signals import volatility_kernels as kernels  # noqa: PLC0415  # loads Numba

    mean, unsure = kernels.counted(view.starts, view.at, price, view.close, window, reach, max_gap)
    count, _ = values_left(view.left, window)
    return np.where(count < window, mean, 0.0), unsure / np.maximum(count, 1.0) ** 2


def bounds(bars: pl.DataFrame, decimals: Mapping[str, int]) -> tuple[Floats, Floats]:
    """Return between which averages YES pays: at least the first, below the second.

    Parameters
    ----------
    bars : frame
        series, strike_type, floor_strike and cap_strike.
    decimals : mapping
        Series to the decimals its average is rounded to, half up.

    Returns
    -------
    lower, upper : Float64
        ±inf where open, NaN where the strike is missing or of another kind. Without rounding the
        average never hits a strike exactly, and "above" is "at least".

    Examples
    --------
    >>> bars = pl.DataFrame({"series": ["A", "B"], "strike_type": "greater_or_equal",
    ...                      "floor_strike": 100.0, "cap_strike": None})
    >>> [part.tolist() for part in bounds(bars, {"A": 2})]
    [[99.995, 100.0], [inf, inf]]
    """
    floor, cap = pl.col("floor_strike"), pl.col("cap_strike")
    known: dict[str, Any] = {series: 0.5 * 10.0**-n for series, n in decimals.items()}
    series = pl.col("series").cast(pl.String)
    half = series.replace_strict(known, default=0.0, return_dtype=pl.Float64)
    kind = pl.col("strike_type").cast(pl.String)
    ends = bars.select(
        "strike_type", "floor_strike", "cap_strike", half=half if known else pl.lit(0.0)
    ).select(
        lower=pl.when(kind.is_in(["greater_or_equal", "between"]))
        .then(floor - pl.col("half"))
        .when(kind == "greater")
        .then(floor + pl.col("half"))
        .when(kind.is_in(["less", "less_or_equal"]))
        .then(-math.inf),
        upper=pl.when(kind.is_in(["less_or_equal", "between"]))
        .then(cap + pl.col("half"))
        .when(kind == "less")
        .then(cap - pl.col("half"))
        .when(kind.is_in(["greater", "greater_or_equal"]))
        .then(math.inf),
    )
    return floats(ends["lower"]), floats(ends["upper"])


def _moments(column: pl.Series) -> Ints:
    found: Ints = column.to_physical().fill_null(0).to_numpy().astype(np.int64)
    return found
