"""The fee schedule: which rate holds for a market at a time, and what a whole order costs.

Fee = multiplier x k x contracts x price x (1 - price) with k = 0.07 for takers; makers pay nothing,
a quarter or half of that, by the series' fee type. Rates are whole parts per million. Type and
multiplier are dated rows of the `series` table; a market without a row is an error, never free.
"""

from datetime import UTC, datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.schema import Time
from kalshi_bt.units import CENT, RATE_SCALE

Ints = NDArray[np.int64]

# fee type -> (taker, maker) in parts per million at multiplier 1
FEE_TYPES: Final = {
    "quadratic": (70_000, 0),
    "quadratic_with_maker_fees": (70_000, 17_500),
    "quadratic_with_combo_maker_fees": (70_000, 35_000),
}
# Fees were rounded up to the cent per order before, to the exchange's balance steps after; and the
# exchange's own step of a trade fee became finer later, as did its step of a balance (direct
# members'). Microseconds since the epoch, UTC.
EXCHANGE_ROUNDING_FROM: Final = 1_772_582_400_000_000  # 2026-03-04
MICRO_FEE_FROM: Final = 1_788_220_800_000_000  # 2026-09-01
FINE_BALANCE_FROM: Final = 1_779_926_400_000_000  # 2026-05-28
CENTICENT: Final = 100
MOST: Final = 3 * 10**9  # contracts, for which the product of a fee is exact
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


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


def market_rates(
    markets: pl.DataFrame, series: pl.DataFrame, event_fees: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Return the dated rates of each market, sorted by (market, from_time).

    A row of `event_fees` replaces the type, the multiplier or both from its date on; what is null
    in it is that of the series again, with every later change of the series.

    Parameters
    ----------
    markets : frame with `ticker`, `series`, and `event` if there are `event_fees`
        Row i is market i.
    series : frame of schema.SERIES
        Dated fee rows; the first one of a series also holds for all time before it.
    event_fees : frame of schema.EVENT_FEES, optional
        Dated overrides; events without a market are ignored.

    Returns
    -------
    frame (market UInt32, from_time, taker Int64, maker Int64)
        Rates in parts per million.

    Raises
    ------
    DataError
        If a market's series has no row.
    UsageError
        If a fee type is unknown or a multiplier gives no whole rate.

    Examples
    --------
    >>> row = {"effective_from": [datetime(2026, 1, 1, tzinfo=UTC)], "fee_type": ["quadratic"]}
    >>> half = pl.DataFrame({"series": ["KXMLBGAME"], **row, "fee_multiplier": [500_000]})
    >>> row["effective_from"] = [datetime(2026, 7, 1, tzinfo=UTC)]
    >>> in_play = pl.DataFrame({"event": ["KXMLBGAME-A"], **row, "fee_multiplier": [1_000_000]})
    >>> game = pl.DataFrame({"event": ["KXMLBGAME-A"], "series": ["KXMLBGAME"]})
    >>> market_rates(game, half, in_play)["taker"].to_list()
    [35000, 70000]
    """
    _refuse_unknown_series(markets, series)
    dated = series.select("series", "fee_type", "fee_multiplier", from_time="effective_from")
    if event_fees is None or event_fees.is_empty():
        terms = markets.select("series").with_row_index("market").join(dated, on="series")
    else:
        named = markets.select("event", "series").with_row_index("market")
        own = named.join(event_fees, on="event", how="semi")
        terms = pl.concat(
            part.select("market", "fee_type", "fee_multiplier", "from_time")
            for part in (
                named.join(own, on="market", how="anti").join(dated, on="series"),
                own.join(
                    _overridden(own.select("event", "series").unique(), dated, event_fees),
                    on=("event", "series"),
                ),
            )
        )
    return (
        terms.join(_priced(terms), on=("fee_type", "fee_multiplier"))
        .select("market", "from_time", "taker", "maker")
        .sort("market", "from_time")
    )


def _refuse_unknown_series(markets: pl.DataFrame, series: pl.DataFrame) -> None:
    missing = markets.join(series, on="series", how="anti")
    if missing.height:
        name, ticker = missing.row(0, named=True)["series"], missing.row(0, named=True)["ticker"]
        raise DataError(
            f"series {name!r} (market {ticker}) has no fee row; add it to the table 'series', "
            "for example as [[series]] in the import mapping"
        )


def _overridden(
    events: pl.DataFrame, dated: pl.DataFrame, event_fees: pl.DataFrame
) -> pl.DataFrame:
    """Return the terms of (event, series) pairs from each date on which one of the two changes."""
    # The first row of a series holds before its date as well, so an override may come before it.
    first = pl.col("from_time") == pl.col("from_time").min().over("series")
    ever = pl.when(first).then(pl.lit(_EPOCH).cast(Time)).otherwise("from_time")
    dated = dated.with_columns(ever.alias("from_time")).sort("from_time")
    own = event_fees.select(
        "event",
        from_time="effective_from",
        own_type="fee_type",
        own_multiplier="fee_multiplier",
    ).sort("from_time")
    moments = pl.concat(
        [
            events.join(dated, on="series").select("event", "series", "from_time"),
            events.join(own, on="event").select("event", "series", "from_time"),
        ]
    )
    # Groups are sorted because the whole is; Polars cannot see that by itself.
    return (
        moments.unique()
        .sort("from_time")
        .join_asof(dated, on="from_time", by="series", check_sortedness=False)
        .join_asof(own, on="from_time", by="event", check_sortedness=False)
        .with_columns(
            fee_type=pl.coalesce("own_type", "fee_type"),
            fee_multiplier=pl.coalesce("own_multiplier", "fee_multiplier"),
        )
    )


def _priced(terms: pl.DataFrame) -> pl.DataFrame:
    """Return the rates of every (type, multiplier) that occurs."""
    kinds = terms.select("fee_type", "fee_multiplier").unique()
    pairs = [rates(kind, multiplier) for kind, multiplier in kinds.sort(pl.all()).iter_rows()]
    return kinds.sort(pl.all()).with_columns(
        taker=pl.Series([p[0] for p in pairs], dtype=pl.Int64),
        maker=pl.Series([p[1] for p in pairs], dtype=pl.Int64),
    )


def settlement_fee(payout: int, quantity: int, precision: int) -> int:
    """Return what the exchange keeps of a settlement: what does not fill a step of the balance.

    Parameters
    ----------
    payout : int
        Of one contract held, centi-cents; nothing is kept of 0 and 10 000.
    quantity : int
        Centi-contracts held, not negative.
    precision : int
        The step of the balance, micro-dollars: 100 or 10 000.

    Returns
    -------
    int
        Micro-dollars, less than `precision`.

    Examples
    --------
    10.60 contracts at 0.597 pay 6.32, not 6.3282:

    >>> settlement_fee(5_970, 1_060, 10_000)
    8200
    """
    return payout * quantity % precision


def rounding_at(time: int) -> tuple[bool, int]:
    """Return whether fees were rounded up to the cent by order, and the step of a trade fee.

    Parameters
    ----------
    time : int
        Of the fill, microseconds since the epoch.

    Returns
    -------
    tuple
        (by order and cent, step in micro-dollars where it is not by order and cent).

    Examples
    --------
    >>> rounding_at(0), rounding_at(EXCHANGE_ROUNDING_FROM), rounding_at(MICRO_FEE_FROM)
    ((True, 100), (False, 100), (False, 1))
    """
    return time < EXCHANGE_ROUNDING_FROM, CENTICENT if time < MICRO_FEE_FROM else 1


def balance_step(time: int) -> int:
    """Return the step to which the exchange aligned a balance: $0.01, and $0.0001 from 2026-05-28.

    Parameters
    ----------
    time : int
        Of the fill or the payout, microseconds since the epoch.

    Returns
    -------
    int
        Micro-dollars. The finer step is that of direct members; others keep the cent.

    Examples
    --------
    >>> balance_step(FINE_BALANCE_FROM - 1), balance_step(FINE_BALANCE_FROM)
    (10000, 100)
    """
    return CENT if time < FINE_BALANCE_FROM else CENTICENT
