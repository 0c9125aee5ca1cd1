"""Tables in, tables out: bars and intents become orders and fills."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.errors import DataError
from kalshi_bt.simulator.assumptions import Risk, Rules
from kalshi_bt.simulator.state import (
    ACCOUNT,
    CONTEXT,
    EVENT,
    EXIT_REASONS,
    FILL,
    INTENT,
    MARKET,
    NEVER,
    ORDER,
    RATE,
    REASONS,
    SLOT,
    STATUS,
    TERMS,
    Floats,
    Ints,
    Prices,
)

_ENDS = {"open": 0, "friendly": 1, "hostile": 2}
_ROUNDING = {"auto": -1, "order_cent": 0, "exchange": 1}
_ROLES = ("taker", "maker", "none")


@dataclass(frozen=True)
class Tape:
    """Bars and facts of the markets in the form the walk reads; made once, used by every run.

    Attributes
    ----------
    table : frame
        Row i is market i of the bars: ticker, event, series.
    time : Int64 (bars,)
        Ends of the bars, microseconds.
    prices : Int16 (bars, 11)
        Columns as in `state`; missing is -1.
    volume : Int64 (bars,)
        Centi-contracts; -1 where not recorded.
    markets : records of state.MARKET
        Slices, last executable bars, settlements.
    rates : records of state.RATE
        Dated fee rates.
    """

    table: pl.DataFrame
    time: Ints
    prices: Prices
    volume: Ints
    markets: Any
    rates: Any


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
    """

    tape: Tape
    intents: pl.DataFrame
    placed_orders: Any
    placed: Any

    @cached_property
    def orders(self) -> pl.DataFrame:
        """One row an intent, in order: frame of `schema.ORDERS`."""
        return _orders(self.tape, self.intents, self.placed_orders)

    @cached_property
    def fills(self) -> pl.DataFrame:
        """Frame of `schema.FILLS`, sorted by (order_id, seq)."""
        placed = self.placed
        return _fills(self.tape, placed[np.lexsort((placed["seq"], placed["order"]))])


def _times(column: pl.Series, missing: int) -> Ints:
    return column.dt.timestamp("us").fill_null(missing).to_numpy()


def _ints(column: pl.Series, missing: int = -1) -> Ints:
    return column.cast(pl.Int64).fill_null(missing).to_numpy()


def _floats(column: pl.Series) -> Floats:
    return column.fill_null(np.nan).to_numpy()


def _frozen(array: Any) -> Any:
    """Make an array contiguous and read-only, so that a kernel compiles for one type."""
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array


def _records(dtype: np.dtype[Any], columns: Mapping[str, Any], count: int) -> Any:
    rows = np.empty(count, dtype)
    for name, values in columns.items():
        rows[name] = values
    return _frozen(rows)


_PRICES = (
    *(f"price_{part}" for part in ("high", "low", "close")),
    *(f"{side}_{part}" for side in ("bid", "ask") for part in schema.OHLC),
)


def prepare(
    bars: pl.DataFrame, markets: pl.DataFrame, settlements: pl.DataFrame, rates: pl.DataFrame
) -> Tape:
    """Return the tape of a panel.

    Parameters
    ----------
    bars : frame of schema.BARS
        Sorted by (market, time).
    markets : frame
        Row i is market i: ticker, event, series, close_time (scheduled; null = not known).
    settlements : frame of schema.SETTLEMENTS
        Results; markets without one are never settled.
    rates : frame (market, from_time, taker, maker)
        See `kalshi_bt.fees.market_rates`.

    Raises
    ------
    DataError
        If a market has no fee rate in force at its first bar.
    """
    from kalshi_bt.simulator.slices import interleaved, last_bars

    count = markets.height
    begin = np.searchsorted(bars["market"].to_numpy(), np.arange(count + 1)).astype(np.int64)
    known = markets.select("ticker", "event", "close_time").join(
        settlements.select("ticker", "time", "payout", actual="close_time"),
        on="ticker",
        how="left",
        maintain_order="left",
    )
    settle = _times(known["time"], NEVER)
    close = np.minimum(_times(known["actual"].fill_null(known["close_time"]), NEVER), settle)
    time = _frozen(_times(bars["time"], NEVER))
    prices = interleaved(*(_frozen(bars[name].fill_null(-1).to_numpy()) for name in _PRICES))
    rate_begin = np.searchsorted(rates["market"].to_numpy(), np.arange(count + 1)).astype(np.int64)
    since = _times(rates["from_time"], NEVER)
    _check_rates(markets, begin, time, rate_begin, since)
    facts = {
        "begin": begin[:-1],
        "last": last_bars(time, _frozen(begin), _frozen(close)),
        "close": close,
        "event": _ints(known["event"].rank("dense")) - 1,
        "settle": settle,
        "payout": _ints(known["payout"]),
        "rate_begin": rate_begin[:-1],
        "rate_end": rate_begin[1:],
    }
    dated = {"since": since, "taker": _ints(rates["taker"]), "maker": _ints(rates["maker"])}
    return Tape(
        table=markets,
        time=time,
        prices=_frozen(prices),
        volume=_frozen(_ints(bars["volume"])),
        markets=_records(MARKET, facts, count),
        rates=_records(RATE, dated, rates.height),
    )


def _check_rates(
    markets: pl.DataFrame, begin: Ints, time: Ints, rate_begin: Ints, rate_from: Ints
) -> None:
    """Refuse a market whose first bar comes before its first fee rate."""
    traded = np.flatnonzero(begin[1:] > begin[:-1])
    has_rate = rate_begin[traded + 1] > rate_begin[traded]
    bad = ~has_rate
    first = traded[has_rate]
    bad[has_rate] = rate_from[rate_begin[first]] > time[begin[first]]
    if bad.any():
        row = markets.row(int(traded[bad][0]), named=True)
        raise DataError(
            f"series {row['series']!r} has no fee rate in force when {row['ticker']} starts; "
            "add an earlier effective_from to the table 'series'"
        )


def _limits(risk: Risk) -> tuple[Floats, Ints]:
    rows = (risk.max_market, risk.max_event, risk.max_cycle, risk.max_exposure, risk.daily_loss)
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
        "reset_daily": risk.breaker_reset == "day",
        "participation": share,
        "lot": rules.lot,
        "assumed_volume": rules.assumed_volume,
        "rounding": _ROUNDING[rules.fee_rounding],
        "precision": rules.balance_precision,
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
    return _records(TERMS, row, 1)


def _check_levels(intents: pl.DataFrame) -> None:
    """Refuse prices outside 0 to 1 dollar and negative quantities: -1 means missing to a kernel."""
    price = pl.col("limit", "stop", "target")
    outside = intents.select(
        price.is_between(0, 10_000).not_().any(), (pl.col("quantity") < 0).any()
    ).row(0)
    for name, bad in zip(("limit", "stop", "target", "quantity"), outside, strict=True):
        if bad:
            wrong = ~pl.col(name).is_between(0, 10_000) if name != "quantity" else pl.col(name) < 0
            row = intents.filter(wrong).row(0, named=True)
            raise DataError(
                f"intents.{name} is {row[name]} at market {row['market']}, {row['time']}; "
                + (
                    "expected 0 or more"
                    if name == "quantity"
                    else "expected 0 to 10000 centi-cents"
                )
            )


def _intents(tape: Tape, intents: pl.DataFrame) -> Any:
    from kalshi_bt.simulator.slices import find_bars

    _check_levels(intents)
    market, time = _ints(intents["market"]), _times(intents["time"], NEVER)
    begin = _frozen(tape.markets["begin"])
    bar = find_bars(tape.time, begin, _frozen(market), _frozen(time))
    if (bar < 0).any():
        row = intents.row(int(np.flatnonzero(bar < 0)[0]), named=True)
        ticker = tape.table["ticker"][row["market"]]
        raise DataError(
            f"intents: {ticker} has no bar at {row['time']}; an intent is decided at a bar's close"
        )
    columns = {
        "market": market,
        "bar": bar,
        "time": time,
        "side": _ints(intents["side"], 0),
        "kind": _ints(intents["kind"].to_physical()),
        "valid_bars": _ints(intents["valid_bars"], 0),
        "exit_time": _times(intents["exit_time"], NEVER),
        **{n: _ints(intents[n]) for n in ("limit", "stop", "target", "reward", "quantity")},
        **{n: _floats(intents[n]) for n in ("stake", "risk", "fair", "confidence")},
    }
    return _records(INTENT, columns, intents.height)


def _walked(tape: Tape, intents: pl.DataFrame, terms_row: Any, room: int = 0) -> tuple[Any, Any]:
    """Run the walk on fresh arrays; return the ORDER and the FILL records."""
    from kalshi_bt.simulator.kernels import walk

    count, markets = intents.height, len(tape.markets)
    asked = _intents(tape, intents)
    account, orders = np.zeros(1, ACCOUNT), np.zeros(count, ORDER)
    account["cycle_time"] = -NEVER
    slots = np.zeros(intents["market"].n_unique(), SLOT)
    fills = np.empty(max(room, 3 * count + 16), FILL)
    memory = {
        "time": tape.time,
        "prices": tape.prices,
        "volume": tape.volume,
        "market": tape.markets,
        "rates": tape.rates,
        "terms": terms_row,
        "slots": slots,
        "slot_of": np.full(markets, -1, np.int64),
        "event_cost": np.zeros(markets, np.int64),
        "account": account,
        "orders": orders,
        "accepted_times": np.empty(count, np.int64),
        "fills": fills,
        "free": np.empty(len(slots), np.int64),
        # One event a slot, and one voided for each intent that came while another was pending.
        "queue": np.empty(len(slots) + count + 1, EVENT),
    }
    lengths = {
        "bars": len(tape.time),
        "markets": markets,
        "rates_count": len(tape.rates),
        "slots_count": len(slots),
        "intents": count,
        "room": len(fills),
        "queue_room": len(slots) + count + 1,
    }
    context = np.zeros(1, CONTEXT)
    for name, array in memory.items():
        context[name] = array.ctypes.data
    for name, length in lengths.items():
        context[name] = length
    written = walk(_frozen(context), asked)
    if written > len(fills):
        return _walked(tape, intents, terms_row, written)
    return orders, fills[:written]


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
        If an intent stands at a time at which its market has no bar.
    """
    sized = intents["stake"].null_count() + intents["risk"].null_count() < 2 * intents.height
    orders, placed = _walked(tape, intents, terms(rules, sized_by_equity=sized))
    return Simulation(tape, intents, orders, placed)


def _words(codes: Ints, words: tuple[str, ...], dtype: pl.DataType) -> pl.Series:
    lookup = pl.Series(words, dtype=dtype)
    return lookup.gather(pl.Series(codes, dtype=pl.UInt32))


def _tickers(tape: Tape, market: Ints) -> pl.Series:
    return tape.table["ticker"].cast(pl.String).gather(pl.Series(market, dtype=pl.UInt32))


def _orders(tape: Tape, intents: pl.DataFrame, orders: Any) -> pl.DataFrame:
    reason = _words(orders["reason"], REASONS, pl.String())
    frame = intents.select("time", "side", "kind", "limit", "stop", "target").with_columns(
        order_id=pl.int_range(pl.len(), dtype=pl.Int64),
        ticker=_tickers(tape, _ints(intents["market"])),
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
