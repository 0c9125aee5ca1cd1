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
from kalshi_bt.signals.expr import slices_of
from kalshi_bt.signals.needs import Derivation, Need
from kalshi_bt.units import SECOND

__all__ = [
    "DECIMALS",
    "NEEDED",
    "SOURCES",
    "SPOT",
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
)
SPOT = ("spot", "spot_age")


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
    """What some bars, in time order within each market, and those before them knew.

    Arrays are of the m bars that are asked about, or of all n bars of their markets: the history.

    Attributes
    ----------
    frame : frame
        The asked bars in the order in which they were given.
    place : Int64 (m,) or None
        Where in `frame` each of them is; None if they are in place.
    bars : frame (m,)
        `NEEDED` and what else was asked for.
    rows : Int64 (m,)
        Where in the history they are, rising.
    starts : Int64 (markets + 1,)
        Where in the history each market begins, and the end of the last.
    history : mapping
        Columns that are looked back on: Float64 (n,), NaN for null.
    time, at : Int64 (n,)
        The end of each bar, and when the price of the underlying was seen: microseconds.
    spot : Float64 (n,)
        NaN for none.
    close : Int64 (m,)
        Microseconds.
    left : Float64 (m,)
        Seconds from the sample to the close; NaN where one of them is not known.
    lower, upper : Float64 (m,)
        YES pays if the settlement average is at least `lower` and below `upper`; NaN where the
        market asks something else.
    open : Boolean (m,)
        Whether the market has opened, and with it every strike is known.
    """

    frame: pl.DataFrame
    place: Ints | None
    bars: pl.DataFrame
    rows: Ints
    starts: Ints
    history: Mapping[str, Floats]
    time: Ints
    at: Ints
    spot: Floats
    close: Ints
    left: Floats
    lower: Floats
    upper: Floats
    open: Flags

    def column(self, name: str) -> Floats:
        """Return a column of the asked bars as Float64, NaN for null."""
        return floats(self.bars[name])

    def at_end(self) -> Floats:
        """Return the seconds from the end of each bar to the close; NaN where not known."""
        known = self.bars["close_time"].is_not_null().to_numpy()
        return np.where(known, (self.close - self.time[self.rows]) / SECOND, np.nan)

    def since(self, seconds: float, asked: Ints) -> Ints:
        """Return the oldest row of the history within some seconds before each of `asked`."""
        from kalshi_bt.signals import volatility_kernels as kernels  # noqa: PLC0415  # loads Numba

        low = np.empty(len(asked), np.int64)
        span = math.floor(seconds * SECOND)
        kernels.oldest_within(self.starts, self.time, self.rows[asked], span, low)
        return low

    def last(self, name: str, asked: Ints, low: Ints) -> Floats:
        """Return the newest value of the history from the row `low` to each of `asked`."""
        from kalshi_bt.signals import volatility_kernels as kernels  # noqa: PLC0415  # loads Numba

        found = np.empty(len(asked))
        kernels.newest_known(self.rows[asked], low, self.history[name], found)
        return found

    def said(self, asked: Ints, **columns: Floats) -> pl.DataFrame:
        """Return `frame` with what is said of `asked` as columns: null elsewhere, and for NaN."""
        place = asked if self.place is None else self.place[asked]
        made = {}
        for name, values in columns.items():
            whole = np.full(self.frame.height, np.nan)
            whole[place] = values
            made[name] = pl.Series(name, whole, dtype=pl.Float64).fill_nan(None)
        return self.frame.with_columns(**made)


def floats(column: pl.Series) -> Floats:
    """Return a column as Float64 with NaN for null."""
    found: Floats = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return found


def seen(
    frame: pl.DataFrame,
    extra: tuple[str, ...],
    decimals: Mapping[str, int],
    looked_back: tuple[str, ...] = (),
    *,
    spot: bool = True,
    newest: bool = False,
) -> Seen:
    """Return what the bars of `frame`, in any order, knew of the underlying.

    Parameters
    ----------
    frame : frame
        With `NEEDED`, `extra`, `looked_back` and, if the spot is looked at, `SPOT`.
    extra : tuple of str
        More columns to keep.
    decimals : mapping
        Of the settlement average, by series; no rounding where there is none.
    looked_back : tuple of str
        More columns of the history.
    spot : bool
        Whether to look at the spot; there is none otherwise.
    newest : bool
        Whether only the newest bar of each market is asked about.
    """
    from kalshi_bt.signals import volatility_kernels as kernels  # noqa: PLC0415  # loads Numba

    order, starts, rows, asked, place = slices_of(frame, newest=newest)
    looked = frame.select("time", *(SPOT if spot else ()), *looked_back).rechunk()
    looked = looked if order is None else looked[order]
    time = _moments(looked["time"])
    at, price = time, np.full(len(time), np.nan)
    if spot:
        at = np.empty(len(time), np.int64)
        value, age = (floats(looked[name]) for name in SPOT)
        kernels.sampled(time, value, age, at, price)
    bars = asked.select(*NEEDED, *extra).rechunk()
    bars = bars if place is None else bars[place]
    close = _moments(bars["close_time"])
    dated = ~np.isnan(price[rows]) & bars["close_time"].is_not_null().to_numpy()
    opened = bars.select((pl.col("open_time") <= pl.col("time")).fill_null(value=True))
    lower, upper = bounds(bars, decimals)
    return Seen(
        frame=asked,
        place=place,
        bars=bars,
        rows=rows,
        starts=starts,
        history={name: floats(looked[name]) for name in looked_back},
        time=time,
        at=at,
        spot=price,
        close=close,
        left=np.where(dated, (close - at[rows]) / SECOND, np.nan),
        lower=lower,
        upper=upper,
        open=opened.to_series().to_numpy(),
    )


def known_values(
    view: Seen, asked: Ints, low: Ints, window: int, max_gap: float
) -> tuple[Floats, Floats]:
    """Return what is known of the settlement average, and how much that leaves open.

    Parameters
    ----------
    view : Seen
    asked : Int64 (k,)
        Which of its bars.
    low : Int64 (k,)
        The oldest row of the history that counts for each.
    window : int
        One-second values in the average.
    max_gap : float
        Seconds between two samples, beyond which what lies between is not known.

    Returns
    -------
    mean : Float64 (k,)
        Of the values so far: 0 before the first of them, NaN where samples do not tell.
    blur : Float64 (k,)
        What samples further apart than a second leave open, as a share of the walk's variance a
        second that is to be added to that of the mean of the values to come.
    """
    from kalshi_bt.signals import volatility_kernels as kernels  # noqa: PLC0415  # loads Numba

    rows, close = view.rows[asked], view.close[asked]
    mean, unsure = np.empty(len(asked)), np.empty(len(asked))
    kernels.counted(rows, low, view.at, view.spot, close, window, max_gap, mean, unsure)
    count, _ = values_left(view.left[asked], window)
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
    found: Ints = column.to_physical().fill_null(0).to_numpy().astype(np.int64, copy=False)
    return found
