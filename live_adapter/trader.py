"""From moments to intents: signal, sizing and fits of a backtest, on the newest bars."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from kalshi_bt import schema
from kalshi_bt.fees import market_rates
from kalshi_bt.forecasting import faults_named, forecasts, read_of_bars, references, weighed
from kalshi_bt.plan import Plan
from live_adapter.learning import History, Learning
from live_adapter.moments import INTENTS, NO_INTENTS, Moment
from live_adapter.outside import Outside
from live_adapter.windows import Windows

_PARTS = ("_outside", "_windows", "_learning", "_fees")
_ORDERED: schema.Schema = {"ticker": pl.String, "close_time": schema.Time, "stake": pl.Float64}


class Fees:
    """Fee rows as they become known, and the rates of markets that follow from them."""

    def __init__(self) -> None:
        self._series, self._events = schema.SERIES.empty(), schema.EVENT_FEES.empty()
        self._listed: set[str] = set()  # events that were traded when it was asked to forget last

    def learn(self, moment: Moment) -> bool:
        """Take the rows of a moment, the newest of each key; return whether there were any."""
        if not moment.series.height and not moment.event_fees.height:
            return False
        self._series = told_fees(self._series, moment)
        self._events = _newest(self._events, moment.event_fees, schema.EVENT_FEES)
        return True

    def keep(self, events: pl.Series) -> None:
        """Forget what was told of events in which nothing is traded any more.

        Fees of an event may be told before its markets are: those stay.
        """
        gone = self._listed - set(events)
        self._events = self._events.filter(~pl.col("event").is_in(list(gone)))
        self._listed = set(events)

    def state(self) -> dict[str, Any]:
        """Return what it knows; `restore` takes it back."""
        return {"series": self._series, "events": self._events, "listed": sorted(self._listed)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self._series, self._events = state["series"], state["events"]
        self._listed = set(state["listed"])

    def rates(self, markets: pl.DataFrame) -> pl.DataFrame:
        """Return the dated rates of markets, see `kalshi_bt.fees.market_rates`."""
        return market_rates(markets, self._series, self._events)


def told_fees(known: pl.DataFrame, moment: Moment) -> pl.DataFrame:
    """Return the fees of series that are known with a moment: frame of schema.SERIES.

    Of a series that was told before, as after a restart, fees that are others than its newest hold
    from the moment on: what was charged until then stays.
    """
    fee = ["series", "fee_type", "fee_multiplier"]
    newest = known.group_by("series", maintain_order=True).last()
    again = moment.series.join(known, on="series", how="semi")
    changed = again.join(newest, on=fee, how="anti").with_columns(
        effective_from=pl.lit(moment.time, schema.Time)
    )
    new = moment.series.join(known, on="series", how="anti")
    return _newest(known, pl.concat([new, changed]), schema.SERIES)


def _newest(old: pl.DataFrame, new: pl.DataFrame, table: schema.Table) -> pl.DataFrame:
    both = pl.concat([old, new.select(old.columns)])
    return both.unique(table.key, keep="last", maintain_order=True).sort(table.key)


class Trader:
    """What a plan decides, moment by moment, knowing the last bars of each market alone.

    Markets are taken up when they are listed and dropped once they are settled, so a series of
    markets that follow each other goes on by itself.

    Parameters
    ----------
    plan : Plan
    period : int
        Seconds of a bar.
    sources : sequence of str
        Whose references will come.
    history : callable, optional
        See `learning.Learning`.
    """

    def __init__(
        self,
        plan: Plan,
        period: int,
        *,
        sources: Sequence[str] = (),
        history: History | None = None,
    ) -> None:
        self._plan = plan
        self._outside = Outside(references(plan.signal), sources)
        self._windows = Windows(
            plan.signal.lookback, period, self._outside.columns, read_of_bars(plan)
        )
        self._learning = Learning(plan, period, history)
        self._fees = Fees()
        self._rates: pl.DataFrame | None = None
        self._settled: set[str] = set()
        self._ordered = pl.DataFrame(schema=dict(_ORDERED))

    @property
    def closes(self) -> dict[str, datetime | None]:
        """The markets that are not dropped yet, and when they close."""
        return dict(self._windows.markets.select("ticker", "close_time").iter_rows())

    def take(self, moment: Moment) -> None:
        """Learn what became known; `decide` says what follows."""
        if self._fees.learn(moment):
            self._rates = None
        if moment.listed.height:
            self._windows.list_markets(moment.listed)
            self._rates = None
        self._outside.learn(moment.references)
        self._learning.settle(moment.settled)
        if moment.bars.height:
            self._add(moment)
        self._settled |= set(moment.settled["ticker"])

    def decide(self, now: datetime) -> pl.DataFrame:
        """Return the intents of the bars that end now: schema.INTENTS with `ticker`.

        Asked once for each moment; say with `ordered` what of it was ordered.
        """
        learned = self._learning.speaks(now)
        made = self._windows.panel(now, self._learning.since)
        if made.bars.is_empty():
            return NO_INTENTS
        nothing = schema.SETTLEMENTS.empty()
        setups, _ = forecasts(made, self._plan, nothing, learned, newest=True)
        setups = setups.filter(pl.col("time") == now)
        if "last" in setups.columns:
            last = self._windows.last_traded()
            setups = setups.drop("last").join(last, on="market", how="left", maintain_order="left")
        with faults_named(self._plan, "what it sizes"):
            rows = weighed(setups, self._known_rates() if "fair" in setups.columns else setups)
            found = schema.INTENTS.check(self._sizing()(rows).collect())
        self._learning.see(made, now)
        tickers = pl.lit(self._windows.markets["ticker"]).gather(pl.col("market"))
        return found.with_columns(ticker=tickers).select(list(INTENTS))

    def ordered(self, intents: pl.DataFrame, now: datetime) -> None:
        """Count intents of a moment as ordered, for a sizing that wants to know."""
        if not hasattr(self._plan.sizing, "after"):
            return
        markets = self._windows.markets
        closes = markets.select("ticker", "close_time")
        new = intents.select("ticker", "stake").join(closes, on="ticker", how="left")
        both = pl.concat([self._ordered, new.select(list(_ORDERED))])
        largest = both.group_by("ticker", "close_time").agg(pl.col("stake").max())
        # Of an instant that is past only what is still traded may be asked about.
        instant = pl.col("close_time")
        asked = (instant > now) | instant.is_in(markets["close_time"].implode())
        alone = instant.is_null() & pl.col("ticker").is_in(markets["ticker"].implode())
        self._ordered = largest.filter(asked.fill_null(value=False) | alone).sort("ticker")

    def recall(self, intents: pl.DataFrame, now: datetime) -> None:
        """Go on from what was ordered at a moment before a restart, instead of deciding."""
        self._learning.speaks(now)
        if self._learning.learns:
            self._learning.see(self._windows.panel(now), now)
        self.ordered(intents, now)

    @property
    def tickers(self) -> pl.Series:
        """Markets that it may still ask for."""
        return self._windows.markets["ticker"]

    def forget(self) -> None:
        """Forget what was told of events in which nothing is traded any more."""
        self._fees.keep(self._windows.markets["event"])

    def state(self) -> dict[str, Any]:
        """Return what it knows; `restore` takes it back."""
        parts = {name: getattr(self, name).state() for name in _PARTS}
        return {**parts, "_settled": sorted(self._settled), "_ordered": self._ordered}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        for name in _PARTS:
            getattr(self, name).restore(state[name])
        self._settled, self._ordered = set(state["_settled"]), state["_ordered"]

    def _add(self, moment: Moment) -> None:
        """Take the bars of a moment, the outside series beside them."""
        if self._settled:
            self._windows.drop(sorted(self._settled))
            self._settled.clear()
            self._rates = None
        bars = self._windows.numbered(moment.bars)
        beside = self._outside.beside(bars, self._windows.markets, moment.time)
        self._windows.add(pl.concat([bars, beside], how="horizontal"))

    def _known_rates(self) -> pl.DataFrame:
        if self._rates is None:
            self._rates = self._fees.rates(self._windows.markets)
        return self._rates

    def _sizing(self) -> Any:
        """Return the sizing, told what it ordered before if it wants to know."""
        sizing: Any = self._plan.sizing
        if not hasattr(sizing, "after"):
            return sizing
        number = self._windows.markets.select("ticker").with_row_index("market")
        known = self._ordered.join(number, on="ticker", how="left", maintain_order="left")
        gone = -1 - pl.int_range(pl.len(), dtype=pl.Int64)  # of markets that are over
        numbers = pl.coalesce(pl.col("market").cast(pl.Int64), gone)
        return sizing.after(known.select("close_time", "stake", market=numbers))
