"""One account over time: the walk of `simulate`, continued as bars, results and intents come in.

Fed with the rows of a panel in the order of their times it does what `simulate` does to the whole
of it, order for order and fill for fill. Nothing is written: whoever keeps what was fed can feed it
again after a restart, or keep its `state` and feed what came later. It keeps all that it did until
it is told to `let_go` of what is over.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.errors import UsageError
from kalshi_bt.simulator.asked import check_decidable, with_bars
from kalshi_bt.simulator.assumptions import Rules
from kalshi_bt.simulator.depth_room import DepthRoom
from kalshi_bt.simulator.holdings import held, latched
from kalshi_bt.simulator.known import Known, Rates
from kalshi_bt.simulator.leaving import Gone, first_bars, gone, needed, over
from kalshi_bt.simulator.memory import (
    Memory,
    accounts,
    drawn,
    is_random,
    make_room,
    paused,
    recorded,
    written,
)
from kalshi_bt.simulator.pauses import WEEK
from kalshi_bt.simulator.renumbering import (
    drop_events,
    events_in,
    move_bars,
    moved,
    numbers_in,
    renumber_markets,
    renumber_orders,
    void_events,
)
from kalshi_bt.simulator.room import Room
from kalshi_bt.simulator.simulate import Simulation, terms
from kalshi_bt.simulator.state import NEVER
from kalshi_bt.simulator.tape import Tape, frozen, ints, times
from kalshi_bt.units import SECOND

_STATE = ("_intents", "_ids", "_asked", "_orders", "_gone", "_clock", "_now", "_still")


def _microseconds(time: datetime) -> int:
    return round(time.timestamp() * SECOND)


class Session:
    """An account that trades on what it is told, moment by moment.

    Each moment is told in this order: `list_markets`, `add_bars`, `close`, `determine`, `settle`
    in any order, then `advance`, then `ask`. Times never fall. Where recorded depth is walked
    `close` and `settle` come first, then `add_books`, then `add_bars`.

    Parameters
    ----------
    rules : Rules
    rates : callable
        Given the markets by ticker, returns their dated fee rates as `fees.market_rates` does.

    Examples
    --------
    >>> from datetime import UTC, timedelta
    >>> from kalshi_bt.fees import market_rates
    >>> at = datetime(2026, 6, 1, 12, tzinfo=UTC)
    >>> series = pl.DataFrame({"series": ["S"], "effective_from": [at],
    ...     "fee_type": ["quadratic"], "fee_multiplier": [1_000_000]})
    >>> session = Session(Rules(), lambda markets: market_rates(markets, series))
    >>> session.list_markets(pl.DataFrame({"ticker": ["S-E-A"], "event": ["S-E"], "series": ["S"],
    ...     "close_time": [at + timedelta(hours=1)]}, schema_overrides={"close_time": schema.Time}))
    >>> session.advance(at)
    >>> session.cash
    10000000000
    """

    def __init__(self, rules: Rules, rates: Rates) -> None:
        self._rules, self._known = rules, Known(rates)
        self._terms = terms(rules, sized_by_equity=True)
        self._intents = schema.INTENTS.empty().with_columns(ticker=pl.lit("", pl.String))
        self._ids = np.empty(0, np.int64)  # of the orders that it still has
        self._asked = np.empty(0, np.int64)  # intents of each market so far
        self._orders, self._gone = 0, 0  # orders so far, fills that were let go
        self._deep = rules.fill.book and not rules.fill.naive
        self._room, self._memory = Room(0, deep=self._deep), Memory({}, {})
        self._depth = DepthRoom(self._room)
        self._tape: Tape  # of what is known beside bars; none before the first market
        self._clock, self._now, self._still = 0, -NEVER, -NEVER  # pauses are known until then

    def list_markets(self, markets: pl.DataFrame) -> None:
        """Take up markets: ticker, event, series, close_time, and what collateral needs.

        Those that are known stay as they are. Ties of one moment are broken by ticker, whenever a
        market was listed.
        """
        more = self._known.with_more(markets)
        if more is not None:
            self._renumber(more)

    def set_rates(self, rates: Rates) -> None:
        """Take over changed fees; what was charged before stays, whatever they are dated."""
        self._known.rates = rates
        if self._known.markets is not None:
            self._renumber(self._known.markets)

    def add_bars(self, bars: pl.DataFrame) -> None:
        """Take bars that end at one moment: `schema.BARS` with `ticker` instead of `market`.

        Where recorded depth is walked, all they say is that their markets may be decided on.
        """
        if bars.is_empty():
            return
        bars = bars.sort("ticker")
        market = self._known.numbers(bars["ticker"])
        if self._deep:
            heard = bars.select(pl.Series("market", market, pl.UInt32), "time")
            self._room.hear(_microseconds(bars["time"][0]))
            self._add_rows(further=heard.filter(self._room.count[market] == 0))
            return
        for m, far in self._room.add(market, bars, self._market["close"][market]).items():
            move_bars(self._memory, m, far)
        self._hold_bars()
        self._call("add_bars", frozen(market))

    def add_books(self, books: pl.DataFrame, trades: pl.DataFrame) -> None:
        """Take what was recorded since the moment before.

        Parameters
        ----------
        books : frame of schema.BOOKS
        trades : frame of schema.TRADES

        Raises
        ------
        DataError
            If a row is not later than what was told of its market.
        UsageError
            If the rules do not walk recorded depth.
        """
        if not self._deep:
            raise UsageError("these fills are of bars; recorded depth needs fills by book")
        self._known.numbers(pl.concat([books["ticker"], trades["ticker"]]).unique())
        self._add_rows(books=books, trades=trades)

    def close(self, closes: Mapping[str, datetime]) -> None:
        """Learn when trading in some markets really ended."""
        if not closes:
            return
        self._known.closes |= closes
        market = self._known.numbers(pl.Series(list(closes), dtype=pl.String))
        ends = np.array([_microseconds(time) for time in closes.values()], np.int64)
        self._market["close"][market] = np.minimum(ends, self._market["settle"][market])
        self._call("add_ends", frozen(market))

    def determine(self, rows: pl.DataFrame) -> None:
        """Learn what was said of results: frame of schema.DETERMINATIONS."""
        if rows.is_empty():
            return
        self._known.determine(rows)
        told = self._known.facts().said
        self._tape = replace(self._tape, said=told)
        if told is not None:
            more = {"said": told.rows, "said_start": told.start}
            self._memory.hold(Memory(more, {"said_count": len(told.rows)}))

    def settle(self, rows: pl.DataFrame) -> None:
        """Learn what was paid: frame of schema.SETTLEMENTS; the first payout of a market stands."""
        rows = self._known.settle(rows)
        if rows.is_empty():
            return
        market = self._known.numbers(rows["ticker"])
        paid, ended = times(rows["time"], NEVER), times(rows["close_time"], NEVER)
        self._market["settle"][market] = paid
        self._market["close"][market] = np.minimum(ended, paid)
        self._market["payout"][market] = ints(rows["payout"])
        self._call("add_ends", frozen(market))

    def advance(self, time: datetime) -> None:
        """Let everything up to and including a moment happen."""
        self._now = _microseconds(time)
        if self._known.markets is not None:
            if self._deep:  # closes have a row of their own
                self._add_rows(further=self._depth.ended(self._market["close"], self._now))
            self._call("advance", self._now)

    def ask(self, intents: pl.DataFrame) -> None:
        """Decide intents of the moment that was advanced to.

        Parameters
        ----------
        intents : frame of schema.INTENTS with `ticker` instead of `market`

        Raises
        ------
        DataError
            If a market has no bar that ends at that moment, or nothing of it was recorded by then.
        """
        if intents.is_empty():
            return
        numbered = self._known.numbered(intents)
        market, first = ints(numbered["market"]), self._intents.height
        self._room.keep(market)
        self._hold_bars()
        bar = self._room.newest(market)
        early = self._room.time[bar] != times(numbered["time"], NEVER)
        check_decidable(numbered, (bar < 0) | (early & (not self._deep)), deep=self._deep)
        self._note(numbered)
        self._call("ask_all", with_bars(numbered, bar, self._rules.risk.trading_hours), first)

    def let_go(self, kept: pl.Series | None = None) -> Gone:
        """Forget what is over, and return it.

        Orders that ended, with the round trips that did; markets that were paid and are flat; bars
        that nobody looks at again. What follows is the same with it as without it, but what is told
        of a forgotten market is an error.

        Parameters
        ----------
        kept : Series of str, optional
            Tickers of which more may be told or asked.
        """
        if self._known.markets is None:
            return Gone.nothing()
        memory, run = self._memory, self.so_far()
        orders, fills = needed(memory, self._intents.height)
        left = gone(run, orders, fills)
        renumber_orders(memory, orders, fills)
        self._intents, self._ids = self._intents.filter(orders), self._ids[orders]
        self._gone += int((~fills).sum())
        drop_events(memory, void_events(memory))
        if self._deep:
            self._call("bring_forward")
        far = self._depth.pack(first_bars(memory), memory.arrays["taken_row"])
        for m in np.flatnonzero(memory.arrays["slot_of"] >= 0):
            move_bars(memory, int(m), int(far[m]))
        memory.arrays["account"]["made_row"] = -1  # the rows that there were are looked at
        slot_of = memory.arrays["slot_of"]
        paid = over(self._market, slot_of, self._now, by_event=self._rules.collateral)
        tickers = self._known.table()["ticker"]
        named = tickers.is_in([] if kept is None else kept.implode())
        self._renumber(self._known.forget(tickers.filter(~pl.Series(paid) | named)))
        return left

    def state(self) -> dict[str, Any]:
        """Return all there is of it by name, as it holds it: to be kept before more is told."""
        return {
            **{name: getattr(self, name) for name in _STATE},
            "_known": self._known.state(),
            "_room": dict(vars(self._room)),
            "_depth": self._depth.state(),
            "_memory": {"arrays": self._memory.arrays, "lengths": self._memory.lengths},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from the `state` of a session of the same rules."""
        for name in _STATE:
            setattr(self, name, state[name])
        self._known.restore(state["_known"])
        vars(self._room).update(state["_room"])
        self._depth.restore(state["_depth"])
        self._memory = Memory(dict(state["_memory"]["arrays"]), dict(state["_memory"]["lengths"]))
        if self._known.markets is not None:
            self._market, self._tape = self._memory.arrays["market"], self._known.facts()
            self._memory.hold(Memory({"terms": self._terms}, {}))
            self._hold_bars()

    def end(self) -> Simulation:
        """Let all that is pending happen and return the orders and fills; nothing can follow."""
        if self._deep and self._known.markets is not None:
            self._add_rows(further=self._depth.ended(self._market["close"], NEVER - 1))
        self._call("end_all")
        return self.so_far()

    @property
    def tickers(self) -> pl.Series:
        """Which markets it knows: those that were listed and not let go."""
        return self._known.column("ticker")

    @property
    def events(self) -> pl.Series:
        """The events of those markets."""
        return self._known.column("event")

    @property
    def cash(self) -> int:
        """Micro-dollars."""
        if self._known.markets is None:
            return self._rules.cash
        return int(self._memory.arrays["account"]["cash"][0])

    @property
    def equity(self) -> int:
        """Cash and what is held, marked at the moment that was advanced to, micro-dollars."""
        from kalshi_bt.simulator.continued import equity_now

        if self._known.markets is None:
            return self._rules.cash
        return int(equity_now(self._memory.context(), self._now))

    @property
    def latched(self) -> tuple[str, date] | None:
        """As `holdings.latched`."""
        return latched(self._memory)

    @property
    def held(self) -> pl.DataFrame:
        """What is held: ticker, side, quantity, cost (micro-dollars, before fees), trade_id."""
        return held(self._memory, self._known.table()["ticker"], self._ids)

    @property
    def booked(self) -> list[str]:
        """The markets whose recorded book is known, by ticker."""
        return self._depth.standing.drop_nulls("bids")["ticker"].sort().to_list()

    def so_far(self) -> Simulation:
        """Return the orders and fills up to now, on a tape of the bars that they concern."""
        tape = self._room.laid(self._tape, self._market)
        orders = self._memory.arrays["orders"][: self._intents.height].copy()
        made = int(self._memory.arrays["account"]["fills"][0])
        fills = self._memory.arrays["fills"][:made].copy()
        intents = self._known.numbered(self._intents)
        return Simulation(tape, intents, orders, fills, self._ids, self._gone)

    def _renumber(self, markets: pl.DataFrame) -> None:
        """Give the markets numbers in the order of tickers; those that are left out are gone."""
        from kalshi_bt.simulator.continued import begin_account, list_in_events

        before, self._known.markets = self._known.markets, markets
        self._tape = tape = self._known.facts()
        count = markets.height
        if before is None:
            self._room, self._asked = Room(count, deep=self._deep), np.zeros(count, np.int64)
            self._depth = DepthRoom(self._room)
            self._memory = recorded(tape)
            self._memory.hold(accounts(tape, self._rules, 2 * count))
            self._memory.hold(written(0, 0, 0))
            self._memory.hold(self._depth.nothing_taken())
            self._memory.hold(paused(replace(self._rules, pauses=False), 0, 0))
            self._memory.hold(Memory({"terms": self._terms}, {}))
        else:
            numbers = numbers_in(markets, before)
            events = events_in(tape.markets["event"], self._market["event"], numbers)
            self._room.renumber(numbers, count)
            self._depth.renumber(numbers, markets)
            self._asked = moved(self._asked, numbers, count, 0)
            renumber_markets(self._memory, numbers, events, count)
            self._memory.hold(recorded(tape))
        self._market = np.array(tape.markets)
        self._memory.hold(Memory({"market": self._market}, {}))
        self._hold_bars()
        if before is None:
            self._note(self._intents.clear())
            begin_account(self._memory.context())
        elif self._rules.collateral:
            came = np.delete(np.arange(count), numbers[numbers >= 0])
            list_in_events(self._memory.context(), frozen(np.unique(self._market["event"][came])))

    def _hold_bars(self) -> None:
        self._memory.hold(self._room.memory(self._market))
        self._memory.hold(self._depth.memory())

    def _add_rows(self, **rows: pl.DataFrame) -> None:
        """Take rows of recorded depth."""
        if any(frame.height for frame in rows.values()):
            table, close = self._known.table(), self._market["close"]
            market = self._depth.add(self._memory, table, close, **rows)
            self._hold_bars()
            self._call("add_bars", frozen(market))

    def _note(self, numbered: pl.DataFrame) -> None:
        """Take up intents of one moment: their numbers, their luck, and the pauses by then."""
        market, count = ints(numbered["market"]), numbered.height
        numbers = np.arange(self._orders, self._orders + count)
        self._ids, self._orders = np.append(self._ids, numbers), self._orders + count
        self._intents = pl.concat([self._intents, numbered.select(self._intents.columns)])
        if is_random(self._rules) or "draws" not in self._memory.arrays:
            new = drawn(self._tape, market, self._rules, self._asked)
            self._memory.hold(Memory({"draws": self._memory.after("draws", new)}, {}))
        np.add.at(self._asked, market, 1)
        if count and self._now > self._still - WEEK:
            self._still = self._now + 53 * WEEK
            self._memory.hold(paused(self._rules, self._now, self._still))

    def _call(self, name: str, *what: Any) -> None:
        """Call a kernel of `continued` on the memory."""
        from kalshi_bt.simulator import continued

        make_room(self._memory, self._intents.height, self._depth.fills)
        done = getattr(continued, name)(self._memory.context(), *what, self._clock)
        if name != "end_all":
            self._clock = int(done)
