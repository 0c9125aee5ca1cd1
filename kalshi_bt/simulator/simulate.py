"""Tables in, tables out: bars and intents become orders and fills."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.errors import UsageError
from kalshi_bt.simulator.asked import asked_of
from kalshi_bt.simulator.assumptions import Risk, Rules
from kalshi_bt.simulator.memory import (
    Memory,
    accounts,
    drawn,
    is_random,
    paused,
    recorded,
    written,
)
from kalshi_bt.simulator.state import (
    EXIT_REASONS,
    REASONS,
    STATUS,
    TERMS,
    Floats,
    Ints,
)
from kalshi_bt.simulator.tape import (
    Tape,
    ints,
    records,
)

_ENDS = {"open": 0, "friendly": 1, "hostile": 2}
_ROUNDING = {"auto": -1, "order_cent": 0, "exchange": 1}
_ROLES = ("taker", "maker", "none")


@dataclass(frozen=True)
class Simulation:
    """Orders and fills of one walk.

    Attributes
    ----------
    tape : Tape
    intents : frame of schema.INTENTS
    placed_orders : records of state.ORDER
        One an intent.
    placed : records of state.FILL
        In the order in which they happened.
    numbers : Int64 (orders,) or None
        Of the orders, where a session let earlier ones go; None: they count from 0.
    gone : int
        How many earlier fills were let go.
    """

    tape: Tape
    intents: pl.DataFrame
    placed_orders: Any
    placed: Any
    numbers: Ints | None = None
    gone: int = 0

    def numbered(self, orders: Ints) -> pl.Series:
        """Return the numbers of orders by their rows."""
        return pl.Series(orders if self.numbers is None else self.numbers[orders])

    def rows_of(self, numbers: Ints) -> Ints:
        """Return the rows of orders by their numbers: what `numbered` takes."""
        return numbers if self.numbers is None else np.searchsorted(self.numbers, numbers)

    @cached_property
    def orders(self) -> pl.DataFrame:
        """One row an intent, in order: frame of `schema.ORDERS`."""
        return self.orders_of(np.arange(self.intents.height))

    def orders_of(self, rows: Ints) -> pl.DataFrame:
        """Return some rows of `orders`, without making the others."""
        intents, placed = self.intents[rows], self.placed_orders[rows]
        return _orders(self.tape, intents, placed, self.numbered(rows))

    @cached_property
    def fills(self) -> pl.DataFrame:
        """Frame of `schema.FILLS`, sorted by (order_id, seq)."""
        placed = self.placed
        placed = placed[np.lexsort((placed["seq"], placed["order"]))]
        trade, order = (self.numbered(placed[name]) for name in ("trade", "order"))
        return _fills(self.tape, placed).with_columns(order_id=order, trade_id=trade)


def _limits(risk: Risk) -> tuple[Floats, Ints]:
    caps = (risk.max_market, risk.max_event, risk.max_cycle, risk.max_exposure)
    rows = (*caps, risk.daily_loss, risk.weekly_loss, risk.session_loss)
    fractions = np.array([np.nan if x.fraction is None else x.fraction for x in rows])
    dollars = np.array([-1 if x.dollars is None else x.dollars for x in rows], np.int64)
    return fractions, dollars


def _off(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _none(value: int | None) -> int:
    return -1 if value is None else value


def terms(rules: Rules, *, sized_by_equity: bool) -> Any:
    """Return the rules as one TERMS record for the walk."""
    fill, risk = rules.fill, rules.risk
    fractions, dollars = _limits(risk)
    bounded = fill.participation is not None and not fill.naive
    share = round((fill.participation or 0) * 10_000) if bounded else -1
    capped = bool(np.isfinite(fractions).any()) or risk.max_drawdown is not None
    row = {
        "cash": rules.cash,
        "latency": rules.latency,
        "end": _ENDS[fill.end],
        "touch": fill.touch,
        "prints": fill.prints,
        "stop_first": fill.stop_first,
        "naive": fill.naive,
        "needs_equity": sized_by_equity or capped,
        "queue": (fill.queue or fill.book) and not fill.naive,
        "book": fill.book and not fill.naive,
        "collateral": rules.collateral,
        "random": is_random(rules),
        "in_bps": fill.exchange is not None and fill.exchange.slip_bps is not None,
        "reset_daily": risk.breaker_reset == "day",
        "renew_peak": risk.drawdown_reset == "day",
        "participation": share,
        "touch_share": round(fill.touch_share * 10_000),
        "lot": rules.lot,
        "fractional": rules.fractions,
        "assumed_volume": rules.assumed_volume,
        "rounding": _ROUNDING[rules.fee_rounding],
        "precision": _none(rules.balance_precision),
        "bar": rules.bar,
        "max_contracts": _none(risk.max_contracts),
        "max_positions": _none(risk.max_positions),
        "max_losses": _none(risk.max_losses),
        "max_order_rate": _none(risk.max_order_rate),
        "max_drawdown": _off(risk.max_drawdown),
        "min_edge": _off(risk.min_edge),
        "min_confidence": _off(risk.min_confidence),
        "min_reward_risk": _off(risk.min_reward_risk),
        "fractions": fractions,
        "dollars": dollars,
    }
    return records(TERMS, row, 1)


def _walked(
    tape: Tape, intents: pl.DataFrame, asked: Any, rules: Rules, terms_row: Any, room: int = 0
) -> tuple[Any, Any]:
    """Run the walk on fresh arrays; return the ORDER and the FILL records."""
    from kalshi_bt.simulator.kernels import walk

    count, markets = intents.height, len(tape.markets)
    slots = min(count, 2 * markets)
    luck = drawn(tape, ints(intents["market"]), rules)
    memory = recorded(tape)
    memory.hold(_pauses(tape, asked, rules, int(luck[:, 0].max(initial=rules.latency))))
    memory.hold(accounts(tape, rules, slots))
    # One event a slot, one more where both of a pair act on one bar, two voided an intent, and the
    # results of the events held.
    queue = 2 * slots + 2 * count + (markets if rules.collateral else 0) + 1
    memory.hold(written(count, max(room, 3 * count + 16), queue))
    memory.hold(Memory({"terms": terms_row, "draws": luck}, {}))
    made = walk(memory.context(), asked)
    if made > memory.lengths["room"]:
        return _walked(tape, intents, asked, rules, terms_row, made)
    return memory.arrays["orders"], memory.arrays["fills"][:made]


def _pauses(tape: Tape, asked: Any, rules: Rules, delay: int) -> Memory:
    """Return the pauses from the first intent on."""
    if not len(asked):
        return paused(replace(rules, pauses=False), 0, 0)
    ends = np.append(tape.markets["begin"][1:], len(tape.time)) - 1
    last = max(int(tape.time[ends].max()), int(asked["time"][-1]) + delay)
    return paused(rules, int(asked["time"][0]), last)


def simulate(tape: Tape, intents: pl.DataFrame, rules: Rules) -> Simulation:
    """Return the orders and fills that a table of intents leads to under `rules`.

    Parameters
    ----------
    tape : Tape
        See `prepare`.
    intents : frame of schema.INTENTS
        Sorted by (time, market); each `time` is the end of a bar of that market.
    rules : Rules
        Fill model, latency, fees, limits.

    Returns
    -------
    Simulation
        Orders, one an intent, and fills.

    Raises
    ------
    DataError
        If an intent stands at a time at which its market has no bar, or with recorded depth before
        its first row.
    UsageError
        If the fill model walks depth that the tape does not have, or collateral is to be returned
        and the tape does not know which markets exclude each other.
    """
    if rules.fill.book and not rules.fill.naive and tape.depth is None:
        raise UsageError("fills by book need recorded depth, and these bars have none; use cross")
    if rules.collateral and tape.groups is None:
        raise UsageError(
            "collateral return needs markets with mutually_exclusive, strike_type and floor_strike"
        )
    sized = intents["stake"].null_count() + intents["risk"].null_count() < 2 * intents.height
    asked = asked_of(tape, intents, rules.risk.trading_hours)
    row = terms(rules, sized_by_equity=sized)
    orders, placed = _walked(tape, intents, asked, rules, row)
    return Simulation(tape, intents, orders, placed)


def _words(
    codes: Ints, words: tuple[str, ...], dtype: pl.DataType | type[pl.DataType]
) -> pl.Series:
    lookup = pl.Series(words, dtype=dtype)
    return lookup[pl.Series(codes, dtype=pl.UInt32)]


def _tickers(tape: Tape, market: Ints) -> pl.Series:
    return tape.table["ticker"].cast(pl.String)[pl.Series(market, dtype=pl.UInt32)]


def _orders(tape: Tape, intents: pl.DataFrame, orders: Any, numbers: pl.Series) -> pl.DataFrame:
    reason = _words(orders["reason"], REASONS, pl.String())
    frame = intents.select("time", "side", "kind", "limit", "stop", "target").with_columns(
        order_id=numbers,
        ticker=_tickers(tape, ints(intents["market"])),
        wanted=pl.Series(orders["wanted"]),
        quantity=pl.Series(orders["quantity"]),
        filled=pl.Series(orders["filled"]),
        status=_words(orders["status"], STATUS, schema.OrderStatus),
        reason=pl.when(reason == "").then(None).otherwise(reason),
    )
    return frame.select(list(schema.ORDERS.columns))


def _fills(tape: Tape, placed: Any) -> pl.DataFrame:
    from kalshi_bt.simulator.rules import SOURCES

    columns = schema.FILLS.columns
    return pl.DataFrame(
        {
            "order_id": placed["order"],
            "trade_id": placed["trade"],
            "seq": pl.Series(placed["seq"]).cast(pl.Int32),
            "ticker": _tickers(tape, placed["market"]),
            "time": pl.Series(placed["time"]).cast(schema.Time),
            "kind": _words((placed["bar"] < 0) * 1, ("trade", "settlement"), columns["kind"]),
            "role": _words(placed["role"], _ROLES, columns["role"]),
            "leg": _words((placed["reason"] > 0) * 1, ("entry", "exit"), columns["leg"]),
            "reason": _words(placed["reason"], EXIT_REASONS, columns["reason"]),
            "quantity": placed["quantity"],
            "price": pl.Series(placed["price"]).cast(schema.Price),
            "fee": placed["fee"],
            "source": _words(placed["source"], SOURCES, pl.String()),
        },
        schema=columns,
    )
