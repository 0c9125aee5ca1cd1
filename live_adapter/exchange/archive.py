"""What the exchange knew at one moment, from the rows of a dataset.

Nothing later than `now` is shown: no result, no actual close, no bar that has not ended, and no
strike of a market that has not opened (that of a 15-minute market is measured at its opening).
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from threading import RLock
from typing import Any

import polars as pl

from kalshi_bt.data.store import Store
from kalshi_bt.errors import UsageError
from kalshi_bt.units import PRICE_SCALE
from live_adapter.exchange.bars import bars
from live_adapter.exchange.wire import LATEST_AFTER

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LISTED_BEFORE = timedelta(days=1)  # a market is listed a day before it opens
DAY = timedelta(days=1)
KEPT = 512  # markets whose candles and trades are held in memory
COMBO = "KXMVE"

Row = dict[str, Any]


class Archive:
    """A dataset at one moment.

    Parameters
    ----------
    store : Store
        Read when asked; its small tables are kept.
    now : datetime
        The moment, UTC. May be set again.
    cutoff : datetime
        Markets settled before it, and trades before it, are in the historical tier only.
    overlap : timedelta
        How far before the cutoff the live tier still reaches.

    Raises
    ------
    UsageError
        If a time has no zone, or the cutoff is after `now`.
    """

    def __init__(
        self,
        store: Store,
        *,
        now: datetime,
        cutoff: datetime = EPOCH,
        overlap: timedelta = timedelta(0),
    ) -> None:
        for name, time in (("now", now), ("cutoff", cutoff)):
            if time.tzinfo is None:
                raise UsageError(f"{name} is {time}, which has no time zone; append Z for UTC")
        if cutoff > now:
            raise UsageError(f"cutoff {cutoff} is after now, {now}; choose one before it")
        self._store, self._now, self.cutoff = store, now, cutoff
        self._live_from = max(cutoff, EPOCH + overlap) - overlap
        self._lock = RLock()
        self._state: pl.DataFrame | None = None
        self.stored_candles = lru_cache(KEPT)(self._stored_candles)
        self.stored_trades = lru_cache(KEPT)(self._stored_trades)

    @property
    def now(self) -> datetime:
        """The moment."""
        return self._now

    @now.setter
    def now(self, time: datetime) -> None:
        with self._lock:
            self._now, self._state = time, None

    @property
    def store(self) -> Store:
        """The dataset."""
        return self._store

    def reload(self) -> None:
        """Read the dataset again, with what has been committed since."""
        with self._lock:
            self._store, self._state = Store.open(self._store.root), None
            self.stored_candles.cache_clear()
            self.stored_trades.cache_clear()

    def markets(self) -> pl.DataFrame:
        """Return the markets listed by now: the stored columns, their state, and their tier.

        Returns
        -------
        DataFrame
            By ticker; besides the stored columns (strikes, subtitle and rules null before the
            opening): created, close (as known now), status (as the wire says it), updated,
            settled, value (null before settlement), payout, result (null before determination),
            live, historical, combo.
        """
        with self._lock:
            if self._state is None:
                self._state = self._listed()
            return self._state

    def _listed(self) -> pl.DataFrame:
        """Return the markets as they stood at the moment."""
        settlements = self._store.read("settlements")
        known = (
            pl.concat([self._store.read("revisions"), settlements])
            .filter(pl.col("time") <= self._now)
            .sort("time", maintain_order=True)
            .unique("ticker", keep="last", maintain_order=True)
            .select("ticker", "payout", "result", "value", settled="time", ended="close_time")
        )
        ends = settlements.select("ticker", end="close_time")
        frame = self._store.read("markets").join(known, on="ticker", how="left")
        frame = frame.join(ends, on="ticker", how="left")
        frame = frame.join(self._said(), on="ticker", how="left").with_columns(_unpaid())
        created = pl.col("open_time") - LISTED_BEFORE
        frame = frame.with_columns(created=created, close=_close(self._now)).filter(
            (created <= self._now).fill_null(value=True)
        )
        frame = frame.with_columns(_status(self._now), *_withheld(self._now))
        passed = pl.when(pl.col("close") <= self._now).then("close")
        settled = pl.col("settled")
        return frame.with_columns(
            updated=pl.max_horizontal("created", passed, "settled", "said"),
            live=settled.is_null() | (settled >= self._live_from),
            historical=(settled < self.cutoff).fill_null(value=False),
            combo=pl.col("ticker").str.starts_with(COMBO),
        ).sort("ticker")

    def _said(self) -> pl.DataFrame:
        """Return what was last said of each result: state, since first and last, payout stated."""
        known = self._store.read("determinations").filter(pl.col("time") <= self._now)
        return known.group_by("ticker").agg(
            first=pl.col("time").first(),
            said=pl.col("time").last(),
            state=pl.col("status").last().cast(pl.String),
            stated=pl.col("payout").drop_nulls().last(),  # a dispute leaves it as it was
        )

    def market(self, ticker: str, tier: str) -> Row | None:
        """Return a market of a tier, None if it is not there."""
        found = self.markets().filter((pl.col("ticker") == ticker) & pl.col(tier))
        return found.row(0, named=True) if found.height else None

    def quotes(self, tickers: Sequence[str]) -> dict[str, Row]:
        """Return what traded and was quoted in each market by now, and a day before.

        Returns
        -------
        dict of str to dict
            ticker to bid, ask, bid_size, ask_size, price, volume, volume_24h, open_interest,
            previous_price, previous_bid, previous_ask; null where not known.
        """
        recent = pl.col("time") > self._now - DAY
        shortest = pl.col("period") == pl.col("period").min().over("ticker")
        candles = self._scan("candles", tickers).filter(shortest).sort("ticker", "time")
        price, before = pl.col("price_close"), ~recent
        of_bars = candles.group_by("ticker").agg(
            pl.col("bid_close").last().alias("bid"),
            pl.col("ask_close").last().alias("ask"),
            pl.col("bid_size", "ask_size").last(),
            price.drop_nulls().last().alias("price"),
            pl.col("volume").sum(),
            pl.col("volume").filter(recent).sum().alias("volume_24h"),
            pl.col("open_interest").drop_nulls().last(),
            price.filter(before).drop_nulls().last().alias("previous_price"),
            pl.col("bid_close").filter(before).last().alias("previous_bid"),
            pl.col("ask_close").filter(before).last().alias("previous_ask"),
        )
        trades = self._scan("trades", tickers).sort("ticker", "time", "trade_id")
        of_trades = trades.group_by("ticker").agg(
            pl.col("price").last(),
            pl.col("quantity").sum().alias("volume"),
            pl.col("quantity").filter(recent).sum().alias("volume_24h"),
            pl.col("price").filter(before).last().alias("previous_price"),
        )
        both = of_bars.join(of_trades, on="ticker", how="full", coalesce=True, suffix=" traded")
        shared = ("price", "volume", "volume_24h", "previous_price")
        found = both.with_columns(
            pl.coalesce("price traded", "price").alias("price"),
            *(pl.coalesce(name, f"{name} traded").alias(name) for name in shared[1:]),
        ).collect()
        return {row["ticker"]: row for row in found.iter_rows(named=True)}

    def bars(self, ticker: str, seconds: int) -> pl.DataFrame:
        """Return the bars of a market that have ended by now, as `exchange.bars` makes them."""
        return bars(self.stored_candles(ticker), seconds).filter(pl.col("time") <= self._now)

    def trades(self, ticker: str | None, tier: str) -> pl.LazyFrame:
        """Return the trades of one market, or of all, that are in a tier."""
        one = None if ticker is None else self.stored_trades(ticker).lazy()
        time = pl.col("time")
        here = time < self.cutoff if tier == "historical" else time >= self._live_from
        return (self._store.scan("trades", ordered=False) if one is None else one).filter(
            here & (time <= self._now)
        )

    def series(self) -> pl.DataFrame:
        """Return the dated rows of all series that hold by now."""
        return self._store.read("series").filter(pl.col("effective_from") <= self._now)

    def event_fees(self) -> pl.DataFrame:
        """Return the dated fee overrides that hold by now, with the series of their events."""
        events = self.markets().select("event", "series").unique("event")
        fees = self._store.read("event_fees").filter(pl.col("effective_from") <= self._now)
        return fees.join(events, on="event", how="inner")

    def book(self, ticker: str) -> Row:
        """Return the levels of a market's book now, `bids` and `asks` of YES, best first."""
        books = self._scan("books", [ticker]).sort("time").tail(1).collect()
        if books.height:
            return books.select("bids", "asks").row(0, named=True)
        top = self.quotes([ticker]).get(ticker, {})
        return {
            f"{side}s": [{"price": top[side], "size": top[f"{side}_size"]}]
            if top.get(side) is not None and top.get(f"{side}_size")
            else []
            for side in ("bid", "ask")
        }

    def _scan(self, table: str, tickers: Sequence[str]) -> pl.LazyFrame:
        """Return rows of some markets that were known by now."""
        return self._of(table, tickers).filter(pl.col("time") <= self._now)

    def _of(self, table: str, tickers: Sequence[str]) -> pl.LazyFrame:
        """Return all stored rows of some markets, in the order of the files."""
        series = sorted({series_of_ticker(ticker) for ticker in tickers})
        frame = self._store.scan(table, ordered=False, series=series)
        return frame.filter(pl.col("ticker").is_in(list(tickers)))

    def _stored_candles(self, ticker: str) -> pl.DataFrame:
        return self._of("candles", [ticker]).collect()

    def _stored_trades(self, ticker: str) -> pl.DataFrame:
        return self._of("trades", [ticker]).collect()


def series_of_ticker(ticker: str) -> str:
    """Return the series a ticker is stored under: what stands before its first hyphen."""
    return ticker.partition("-")[0]


def last_moment(store: Store) -> datetime:
    """Return the time of the newest result, candle or trade: a `now` that shows all of it.

    Raises
    ------
    UsageError
        If the dataset has none of them.
    """
    tables = ("settlements", "determinations", "candles", "trades")
    times = (store.scan(table).select("time") for table in tables)
    newest = pl.concat([time.max() for time in times]).max().collect().item()
    if newest is None:
        raise UsageError(f"{store.root} holds no settlement, candle or trade; say what now is")
    return newest  # type: ignore[no-any-return]


def _unpaid() -> list[pl.Expr]:
    """Return what is told of a result before the settlement is known, and since when it was over.

    What was finalized without a settlement in the dataset paid when that was said.
    """
    paid, payout = pl.col("settled"), pl.coalesce("payout", "stated")
    word = pl.when(payout == PRICE_SCALE).then(pl.lit("yes")).when(payout == 0).then(pl.lit("no"))
    word = word.when(payout.is_not_null()).then(pl.lit("scalar"))
    return [
        pl.coalesce("end", "first").alias("end"),
        payout.alias("payout"),
        pl.coalesce("result", word).alias("result"),
        pl.coalesce(paid, pl.when(pl.col("state") == "finalized").then("said")).alias("settled"),
    ]


def _close(now: datetime) -> pl.Expr:
    """Return the close as known: the schedule until the end of trading, then that end.

    A market that trades on past its schedule was extended; to when, is not told before it ends.
    """
    end, scheduled = pl.coalesce("ended", "end"), pl.col("close_time")
    return (
        pl.when(end <= now)
        .then(end)
        .when(end.is_not_null() & (scheduled <= now))
        .then(scheduled + LATEST_AFTER)
        .otherwise(scheduled)
    )


def _status(now: datetime) -> pl.Expr:
    """Return the state of a market in its life."""
    return (
        pl.when(pl.col("settled").is_not_null())
        .then(pl.lit("finalized"))
        .when(pl.col("state").is_not_null())
        .then("state")
        .when(pl.col("close") <= now)
        .then(pl.lit("closed"))
        .when(pl.col("open_time") > now)
        .then(pl.lit("initialized"))
        .otherwise(pl.lit("active"))
        .alias("status")
    )


def _withheld(now: datetime) -> list[pl.Expr]:
    """Return what is only told once a market has opened."""
    opened = (pl.col("open_time") <= now).fill_null(value=True)
    names = ("floor_strike", "cap_strike", "subtitle", "rules")
    return [pl.when(opened).then(name).alias(name) for name in names]
