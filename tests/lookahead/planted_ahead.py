"""Signals that see later rows, each as somebody might write it unawares.

Without fields of their own they are frozen dataclasses as `Base` is: a file is run anew for every
audit, and to make each a dataclass once more took most of that.
"""

from dataclasses import dataclass

import polars as pl

MARKET = "ticker"
CLOSE = pl.col("mid").forward_fill().over(MARKET, order_by="time").fill_null(0.5)


@dataclass(frozen=True)
class Base:
    """A moving average, which is honest; what is planted overrides it."""

    window: int = 5

    @property
    def lookback(self) -> int:
        return 1500

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        return quotes.with_columns(price=CLOSE).with_columns(fair=self.fair()).drop("price")

    def fair(self) -> pl.Expr:
        return pl.col("price").rolling_mean(self.window).over(MARKET, order_by="time").clip(0, 1)


PRICE = pl.col("price")


class NegativeShift(Base):
    def fair(self) -> pl.Expr:
        return PRICE.shift(-1).over(MARKET)


class CentredWindow(Base):
    def fair(self) -> pl.Expr:
        return PRICE.rolling_mean(self.window, center=True).over(MARKET).clip(0, 1)


class FullMean(Base):
    def fair(self) -> pl.Expr:
        return PRICE.mean().over(MARKET)


class FullZScore(Base):
    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        z = (pl.col("mid") - pl.col("mid").mean().over(MARKET)) / pl.col("mid").std().over(MARKET)
        side = pl.when(z > 2).then(-1).when(z < -2).then(1)
        return quotes.with_columns(z=z).with_columns(side=side.cast(pl.Int8)).drop("z")


class MinMaxScaling(Base):
    def fair(self) -> pl.Expr:
        low, high = PRICE.min().over(MARKET), PRICE.max().over(MARKET)
        return ((PRICE - low) / (high - low)).fill_nan(0.5)


class RankOverLife(Base):
    def fair(self) -> pl.Expr:
        return (PRICE.rank() / pl.len()).over(MARKET)


class BackwardFill(Base):
    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        filled = pl.col("close").fill_null(strategy="backward").over(MARKET)
        return quotes.with_columns(fair=filled)


class Interpolation(Base):
    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        return quotes.with_columns(fair=pl.col("close").interpolate().over(MARKET))


class ForwardJoin(Base):
    """The nearest trade at or after the bar, where the one before it was meant."""

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        frame = quotes.collect().with_row_index("row")
        trades = frame.drop_nulls("close").select(MARKET, "time", fair="close").sort("time")
        found = frame.sort("time").join_asof(
            trades, on="time", by=MARKET, strategy="forward", check_sortedness=False
        )
        return found.sort("row").drop("row").lazy()


class CountOfBars(Base):
    """Leaves before the last bars of a market, of which only the end can tell the number."""

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        left = pl.len().over(MARKET) - pl.int_range(pl.len()).over(MARKET)
        return quotes.with_columns(side=pl.when(left <= 5).then(0).cast(pl.Int8))


class LastBarsTime(Base):
    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        left = (pl.col("time").last().over(MARKET) - pl.col("time")).dt.total_seconds()
        return quotes.with_columns(fair=1 / (1 + left / 60))


class ReversedSum(Base):
    def fair(self) -> pl.Expr:
        moves = PRICE.diff().fill_null(0).cum_sum(reverse=True).over(MARKET)
        return (0.5 + moves / 2).clip(0, 1)


class ReversedEwm(Base):
    """An average that was meant to weigh the newest most, on a series turned round."""

    def fair(self) -> pl.Expr:
        return PRICE.reverse().ewm_mean(half_life=self.window).reverse().over(MARKET).clip(0, 1)


class SameBarFill(Base):
    """Buys at what the next bar opens with, so that every order fills."""

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        entry = pl.col("ask_open").shift(-1).over(MARKET)
        told = pl.col("ask").is_not_null() & (pl.col("ask") < 0.5)
        side = pl.when(told).then(1).cast(pl.Int8)
        stop = pl.when(told).then(pl.col("ask") - 0.02).clip(0, 1)
        return quotes.with_columns(side=side, entry=pl.when(told).then(entry), stop=stop)


class StopOnly(Base):
    """A stop just below what the price is going to fall to."""

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        low = pl.col("bid").fill_null(0.0).reverse().rolling_min(10, min_samples=1).reverse()
        told = pl.col("ask").is_not_null()
        return quotes.with_columns(
            side=pl.when(told).then(1).cast(pl.Int8),
            stop=pl.when(told).then(low.over(MARKET) - 0.01).clip(0, 1),
        )


class ConfidenceOnly(Base):
    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        ahead = (PRICE.shift(-3) - PRICE).abs().over(MARKET)
        honest = quotes.with_columns(price=CLOSE).with_columns(fair=self.fair())
        return honest.with_columns(confidence=0.5 + ahead.fill_null(0) / 2).drop("price")


class OneInAMillion(Base):
    """A leak of a millionth of a dollar."""

    def fair(self) -> pl.Expr:
        return (super().fair() * 0.99 + 1e-6 * PRICE.shift(-1).over(MARKET)).clip(0, 1)


class BeforeBigMoves(Base):
    """Speaks only where a large move comes next."""

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        ahead = pl.col("mid").shift(-1).over(MARKET) - pl.col("mid")
        side = pl.when(ahead > 0.12).then(1).when(ahead < -0.12).then(-1)
        return quotes.with_columns(side=side.cast(pl.Int8))


class NearTheEnd(Base):
    """Honest but for the last minutes before the scheduled close."""

    def fair(self) -> pl.Expr:
        left = (pl.col("close_time") - pl.col("time")).dt.total_seconds()
        return pl.when(left < 300).then(PRICE.last().over(MARKET)).otherwise(super().fair())


class FewMarkets(Base):
    """Honest but for the markets of one kind."""

    def fair(self) -> pl.Expr:
        odd = pl.col("series") == "SYNHIGH"
        return pl.when(odd).then(PRICE.shift(-1).over(MARKET)).otherwise(super().fair())


class LongWarmUp(Base):
    """Speaks late: after 200 bars, and then of the next one."""

    def fair(self) -> pl.Expr:
        place = pl.int_range(pl.len()).over(MARKET)
        return pl.when(place >= 200).then(PRICE.shift(-1).over(MARKET))


@dataclass(frozen=True)
class LastOfTheDay(Base):
    """Speaks everywhere, and says the next day's first price in the last bar of each."""

    zone: str = "UTC"

    def fair(self) -> pl.Expr:
        day = pl.col("time").dt.convert_time_zone(self.zone).dt.date()
        last = (day != day.shift(-1)).over(MARKET)
        return pl.when(last).then(PRICE.shift(-1).over(MARKET)).otherwise(PRICE)
