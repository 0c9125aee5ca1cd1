"""The fee schedule: which rate holds for a market at a time, and what a whole order costs.

Fee = multiplier x k x contracts x price x (1 - price) with k = 0.07 for takers; makers pay nothing,
a quarter or half of that, by the series' fee type. Rates are whole parts per million. Type and
multiplier are dated rows of the `series` table; a market without a row is an error, never free.
"""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.units import CENT, RATE_SCALE

Ints = NDArray[np.int64]

# fee type -> (taker, maker) in parts per million at multiplier 1
FEE_TYPES: Final = {
    "quadratic": (70_000, 0),
    "quadratic_with_maker_fees": (70_000, 17_500),
    "quadratic_with_combo_maker_fees": (70_000, 35_000),
}
# Fees were rounded up to the cent per order before, to the exchange's balance steps after; and the
# exchange's own step of a trade fee became finer later. Microseconds since the epoch, UTC.
EXCHANGE_ROUNDING_FROM: Final = 1_772_582_400_000_000  # 2026-03-04
MICRO_FEE_FROM: Final = 1_788_220_800_000_000  # 2026-09-01
CENTICENT: Final = 100


def taker_fee(price: Ints, quantity: Ints, rate: int | Ints) -> Ints:
    """Return the fee of orders filled whole at one price, rounded up to the cent.

    Parameters
    ----------
    price : Int64 (n,)
        Centi-cents; either side, the fee is symmetric in price and 1 - price.
    quantity : Int64 (n,)
        Centi-contracts, at most 5 000 000 (50 000 contracts) each.
    rate : int or Int64 (n,)
        Parts per million.

    Returns
    -------
    Int64 (n,)
        Micro-dollars.

    Examples
    --------
    >>> taker_fee(np.array([5_000]), np.array([1_000]), 70_000)
    array([180000])
    """
    exact = np.asarray(rate, np.int64) * quantity * price * (10_000 - price)
    cents: Ints = -(-exact // (10_000_000_000 * CENT))
    return cents * CENT


def rates(fee_type: str, multiplier: int) -> tuple[int, int]:
    """Return (taker, maker) in parts per million for a fee type and its multiplier (ppm).

    Raises
    ------
    UsageError
        If the type is unknown, or the product is not a whole number of parts per million.

    Examples
    --------
    >>> rates("quadratic_with_maker_fees", 500_000)
    (35000, 8750)
    """
    if fee_type not in FEE_TYPES:
        raise UsageError.unknown("fee type", fee_type, FEE_TYPES)
    taker, maker = (k * multiplier for k in FEE_TYPES[fee_type])
    if taker % RATE_SCALE or maker % RATE_SCALE:
        raise UsageError(f"fee multiplier {multiplier} ppm gives no whole rate for {fee_type}")
    return taker // RATE_SCALE, maker // RATE_SCALE


def market_rates(markets: pl.DataFrame, series: pl.DataFrame) -> pl.DataFrame:
    """Return the dated rates of each market, sorted by (market, from_time).

    Parameters
    ----------
    markets : frame with `series`
        Row i is market i.
    series : frame of schema.SERIES
        Dated fee rows.

    Returns
    -------
    frame (market UInt32, from_time, taker Int64, maker Int64)
        Rates in parts per million.

    Raises
    ------
    DataError
        If a market's series has no row.
    """
    missing = markets.join(series, on="series", how="anti")
    if missing.height:
        name, ticker = missing.row(0, named=True)["series"], missing.row(0, named=True)["ticker"]
        raise DataError(
            f"series {name!r} (market {ticker}) has no fee row; add it to the table 'series', "
            "for example as [[series]] in the import mapping"
        )
    pairs = [
        rates(kind, multiplier)
        for kind, multiplier in series.select("fee_type", "fee_multiplier").iter_rows()
    ]
    dated = series.select("series", from_time="effective_from").with_columns(
        taker=pl.Series([p[0] for p in pairs], dtype=pl.Int64),
        maker=pl.Series([p[1] for p in pairs], dtype=pl.Int64),
    )
    return (
        markets.select("series")
        .with_row_index("market")
        .join(dated, on="series")
        .select("market", "from_time", "taker", "maker")
        .sort("market", "from_time")
    )
