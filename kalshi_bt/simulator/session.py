"""One account over time: the walk of `simulate`, continued as bars, results and intents come in.

Fed with the rows of a panel in the order of their times it does what `simulate` does to the whole
of it, order for order and fill for fill. Nothing is written: whoever keeps what was fed can feed it
again after a restart, which takes no longer than a backtest.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.simulator.asked import with_bars
from kalshi_bt.simulator.assumptions import Rules
from kalshi_bt.simulator.memory import (
    Memory,
    accounts,
    drawn,
    is_random,
    paused,
    recorded,
    written,
)
from kalshi_bt.simulator.pauses import WEEK
from kalshi_bt.simulator.room import Room
from kalshi_bt.simulator.simulate import Simulation, terms
from kalshi_bt.simulator.state import NEVER, Ints
from kalshi_bt.simulator.tape import Tape, frozen, ints, prepare, times
from kalshi_bt.units import SECOND

_GROWS = ("orders", "accepted_times", "fills", "queue")
_INDEXES = ("bar", "due", "first_bar", "final_bar", "close_only_bar", "mark_bar")
Moment = datetime
Rates = Callable[[pl.DataFrame], pl.DataFrame]


def _microseconds(time: Moment) -> int:
    return round(time.timestamp() * SECOND)


class Session:
    """An account that trades on what it is told, moment by moment.

    Each moment is told in this order: `list_markets`, `add_bars`, `close`, `determine`, `settle`
    in any order, then `advance`, then `ask`. Times never fall.

    Parameters
    ----------
    rules : Rules
        Recorded depth cannot be walked: `fills` by book need a whole recording.
    rates : callable
        Given the markets by ticker, returns their dated fee rates as `fees.market_rates` does.

    Raises
    ------
    UsageError
        If the rules walk recorded depth.

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
        if rules.fill.book and not rules.fill.naive:
            raise UsageError("a session has no recorded depth to walk; use cross or passive fills")
        self._rules, self._rates = rules, rates
        self._terms = terms(rules, sized_by_equity=True)
        self._markets: pl.DataFrame | None = None
        self._closes: dict[str, Moment] = {}
        self._settled = schema.SETTLEMENTS.empty()
        self._said = schema.DETERMINATIONS.empty()
        self._intents = schema.INTENTS.empty().with_columns(ticker=pl.lit("", pl.String))
        self._room = Room(0)
        self._clock, self._now = 0, -NEVER
        self._still: tuple[int, int] | None = None  # the span whose pauses are known

    # --- what it is told --------------------------------------------------------------------------

    def list_markets(self, markets: pl.DataFrame) -> None:
        """Take up markets: ticker, event, series, close_time, and what collateral needs.

        Those that are known stay as they are. Ties of one moment are broken by ticker, whenever a
        market was listed, so the account is walked anew.
        """
        if self._markets is None:
            known = markets
        else:
            new = markets.join(self._markets, on="ticker", how="anti")
            if new.is_empty():
                return
            known = pl.concat([self._markets, new.select(self._markets.columns)])
        known = known.with_columns(pl.col("ticker").cast(pl.String)).sort("ticker")
        self._renumber(known)

    def set_rates(self, rates: Rates) -> None:
        """Take over changed fees; the account is walked anew, so dated rates of the past stay."""
        self._rates = rates
        if self._markets is not None:
            self._renumber(self._markets)

    def add_bars(self, bars: pl.DataFrame) -> None:
        """Take bars that end at one moment: `schema.BARS` with `ticker` instead of `market`."""
        if bars.is_empty():
            return
        bars = bars.sort("ticker")
        market = self._numbers(bars["ticker"])
        for m, far in self._room.add(market, bars, self._market["close"][market]).items():
            self._moved(m, far)
        self._hold_bars()
        self._call("add_bars", frozen(market))

    def close(self, closes: Mapping[str, Moment]) -> None:
        """Learn when trading in some markets really ended."""
        if not closes:
            return
        self._closes |= closes
        market = self._numbers(pl.Series(list(closes), dtype=pl.String))
        ends = np.array([_microseconds(time) for time in closes.values()], np.int64)
        self._market["close"][market] = np.minimum(ends, self._market["settle"][market])
        self._call("add_ends", frozen(market))

    def determine(self, rows: pl.DataFrame) -> None:
        """Learn what was said of results: frame of schema.DETERMINATIONS."""
        if rows.is_empty():
            return
        said = pl.concat([self._said, rows]).unique(schema.DETERMINATIONS.key, keep="first")
        self._said = said.sort(schema.DETERMINATIONS.key)
        told = self._facts().said
        if told is not None:
            more = {"said": told.rows, "said_start": told.start}
            self._memory.hold(Memory(more, {"said_count": len(told.rows)}))

    def settle(self, rows: pl.DataFrame) -> None:
        """Learn what was paid: frame of schema.SETTLEMENTS; the first payout of a market stands."""
        rows = rows.join(self._settled, on="ticker", how="anti")
        if rows.is_empty():
            return
        self._settled = pl.concat([self._settled, rows]).sort("ticker")
        market = self._numbers(rows["ticker"])
        paid, ended = times(rows["time"], NEVER), times(rows["close_time"], NEVER)
        self._market["settle"][market] = paid
        self._market["close"][market] = np.minimum(ended, paid)
        self._market["payout"][market] = ints(rows["payout"])
        self._call("add_ends", frozen(market))

    def advance(self, time: Moment) -> None:
        """Let everything up to and including a moment happen."""
        self._now = _microseconds(time)
        if self._markets is not None:
            self._call("advance", self._now)

    def ask(self, intents: pl.DataFrame) -> None:
        """Decide intents of the moment that was advanced to.

        Parameters
        ----------
        intents : frame of schema.INTENTS with `ticker` instead of `market`

        Raises
        ------
        DataError
            If a market has no bar that ends at that moment.
        """
        if intents.is_empty():
            return
        numbered = self._with_numbers(intents)
        market, first = ints(numbered["market"]), self._intents.height
        self._room.keep(market)
        self._hold_bars()
        bar = self._room.newest(market)
        late = (bar < 0) | (self._room.time[bar] != times(numbered["time"], NEVER))
        if late.any():
            row = numbered.row(int(np.flatnonzero(late)[0]), named=True)
            raise DataError(
                f"intents: {row['ticker']} has no bar at {row['time']}; "
                "an intent is decided at a bar's close"
            )
        self._intents = pl.concat([self._intents, numbered.select(self._intents.columns)])
        self._make_room()
        self._draw()
        asked = with_bars(numbered, bar, self._rules.risk.trading_hours)
        self._call("ask_all", asked, first)

    def end(self) -> Simulation:
        """Let all that is pending happen and return the orders and fills; nothing can follow."""
        self._call("end_all")
        return self.so_far()

    # --- what it says -----------------------------------------------------------------------------

    @property
    def cash(self) -> int:
        """Micro-dollars."""
        if self._markets is None:
            return self._rules.cash
        return int(self._memory.arrays["account"]["cash"][0])

    @property
    def equity(self) -> int:
        """Cash and what is held, marked at the moment that was advanced to, micro-dollars."""
        from kalshi_bt.simulator.continued import equity_now

        if self._markets is None:
            return self._rules.cash
        return int(equity_now(self._memory.context(), self._now))

    @property
    def held(self) -> pl.DataFrame:
        """What is held: ticker, side, quantity, cost (micro-dollars, before fees), trade_id."""
        slots = self._memory.arrays["slots"]
        slots = slots[: int(self._memory.arrays["account"]["slots"][0])]
        slots = slots[slots["held"] > 0]
        tickers = self._table()["ticker"].gather(pl.Series(slots["market"], dtype=pl.UInt32))
        return pl.DataFrame(
            {
                "ticker": tickers,
                "side": slots["side"].astype(np.int8),
                "quantity": slots["held"].copy(),
                "cost": slots["cost"].copy(),
                "trade_id": slots["order"].copy(),
            }
        ).sort("ticker")

    def so_far(self) -> Simulation:
        """Return the orders and fills up to now, on a tape of the bars that they concern."""
        rows, begin = self._room.packed()
        markets = self._market.copy()
        markets["begin"], markets["last"] = begin[:-1], begin[:-1] + self._room.open
        bars = {n: frozen(getattr(self._room, n)[rows]) for n in ("time", "prices", "volume")}
        tape = self._facts(**bars, markets=frozen(markets), sizes=frozen(self._room.sizes[rows]))
        orders = self._memory.arrays["orders"][: self._intents.height].copy()
        made = int(self._memory.arrays["account"]["fills"][0])
        fills = self._memory.arrays["fills"][:made].copy()
        return Simulation(tape, self._with_numbers(self._intents), orders, fills)

    # --- how ------------------------------------------------------------------------------------

    def _table(self) -> pl.DataFrame:
        if self._markets is None:
            raise UsageError("a session has no market yet; list one first")
        return self._markets

    def _numbers(self, tickers: pl.Series) -> Ints:
        """Return the numbers of markets."""
        names = self._table()["ticker"]
        at = names.search_sorted(tickers.cast(pl.String))
        found = names.gather(at.clip(upper_bound=len(names) - 1))
        if (found != tickers.cast(pl.String)).any():
            raise DataError(f"{tickers.filter(found != tickers)[0]} is not listed in this session")
        return at.cast(pl.Int64).to_numpy()

    def _with_numbers(self, intents: pl.DataFrame) -> pl.DataFrame:
        market = pl.Series(self._numbers(intents["ticker"])).cast(pl.UInt32)
        return intents.with_columns(market=market).sort("time", "market", maintain_order=True)

    def _facts(self, **more: Any) -> Tape:
        """Return a tape of what is known of the markets, without bars."""
        table = self._table()
        known = pl.DataFrame(
            {"ticker": list(self._closes), "closed": list(self._closes.values())},
            schema={"ticker": pl.String, "closed": schema.Time},
        )
        listed = table.join(known, on="ticker", how="left", maintain_order="left")
        listed = listed.with_columns(close_time=pl.coalesce("closed", "close_time")).drop("closed")
        rates = self._rates(listed)
        tape = prepare(schema.BARS.empty(), listed, self._settled, rates, self._said)
        return tape if not more else Tape(**{**tape.__dict__, **more})

    def _renumber(self, markets: pl.DataFrame) -> None:
        """Give the markets numbers in the order of tickers, and walk what happened so far anew."""
        before, old = self._markets, self._room
        self._markets = markets
        self._room = Room(markets.height)
        if before is not None:
            self._room.taken_over(old, self._numbers(before["ticker"]))
        tape = self._facts()
        self._market = np.array(tape.markets)
        self._memory = recorded(tape)
        self._memory.hold(accounts(tape, self._rules, 2 * markets.height))
        self._memory.hold(written(0, 0, 0))
        self._memory.hold(Memory({"terms": self._terms, "market": self._market}, {}))
        self._hold_bars()
        self._clock = 0
        self._walk_again()

    def _walk_again(self) -> None:
        """Walk all intents so far on all bars so far."""
        from kalshi_bt.simulator.continued import begin_account
        from kalshi_bt.simulator.slices import find_bars

        self._make_room()
        self._draw()
        begin_account(self._memory.context())
        if self._intents.height:
            numbered = self._with_numbers(self._intents)
            rows, begin = self._room.packed()
            time, market = frozen(self._room.time[rows]), frozen(ints(numbered["market"]))
            bar = find_bars(
                time, frozen(begin[:-1]), market, frozen(times(numbered["time"], NEVER))
            )
            asked = with_bars(numbered, rows[bar], self._rules.risk.trading_hours)
            self._call("ask_all", asked, 0)
        self._call("advance", self._now)

    def _hold_bars(self) -> None:
        room = self._room
        self._market["begin"], self._market["last"] = room.begin, room.begin + room.open
        names = ("time", "prices", "volume", "sizes")
        self._memory.hold(Memory({n: getattr(room, n) for n in names}, {}))
        self._memory.lengths |= {"bars": len(room.time), "sized": len(room.sizes)}

    def _draw(self) -> None:
        """Draw the luck of all intents so far, and know the pauses that may concern them."""
        if is_random(self._rules):
            market = ints(self._with_numbers(self._intents)["market"])
            luck = drawn(self._facts(), market, self._rules)
        else:
            luck = np.empty((0, 4), np.int64)
        self._memory.hold(Memory({"draws": luck}, {}))
        if self._now < 0:
            still = Memory({"pauses": np.empty((0, 2), np.int64)}, {"weeks": 0, "first_week": 0})
            self._memory.hold(still)
            return
        if self._still is None or self._now > self._still[1] - WEEK:
            first = self._now if self._still is None else self._still[0]
            self._still = first, self._now + 53 * WEEK
        self._memory.hold(paused(self._rules, *self._still))

    def _make_room(self) -> None:
        """See that the next call has room for orders, fills and pending events."""
        account, arrays = self._memory.arrays["account"], self._memory.arrays
        slots, count = self._memory.lengths["slots_count"], self._intents.height
        wanted = {
            "orders": count,
            "accepted_times": count,
            "fills": int(account["fills"][0]) + 3 * count + 4 * slots + 16,
            "queue": int(account["queued"][0]) + 4 * slots + 2 * count + 16,
        }
        for name, least in wanted.items():
            if len(arrays[name]) < least:
                bigger = np.zeros(2 * least, arrays[name].dtype)
                bigger[: len(arrays[name])] = arrays[name]
                arrays[name] = bigger
        sizes = {"intents": "orders", "room": "fills", "queue_room": "queue"}
        self._memory.lengths |= {length: len(arrays[name]) for length, name in sizes.items()}

    def _moved(self, m: int, far: int) -> None:
        """Tell the slots of a market that its bars lie elsewhere."""
        k = int(self._memory.arrays["slot_of"][m])
        while k >= 0:
            slot = self._memory.arrays["slots"][k]
            for name in _INDEXES:
                if 0 <= slot[name] < NEVER:
                    slot[name] += far
            pair = int(slot["pair"])
            k = pair if pair >= 0 and k == int(self._memory.arrays["slot_of"][m]) else -1

    def _call(self, name: str, *what: Any) -> None:
        """Call a kernel of `continued` on the memory."""
        from kalshi_bt.simulator import continued

        self._make_room()
        kernel = getattr(continued, name)
        done = kernel(self._memory.context(), *what, self._clock)
        if name != "end_all":
            self._clock = int(done)
