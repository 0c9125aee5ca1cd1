"""The simulator once more: slow, plain, bar by bar, sharing no logic with the package.

Walks every distinct time in order. At each: bars (entry part, exit part), closes, settlements,
intents, each by market index. The parts: `naive_rules` (what one side sees of a bar, fees),
`naive_collateral`, `naive_liquidity`, `naive_state` (cash, marks, pauses, queues), `naive_entries`,
`naive_exits`, `naive_intents`; `naive_depth` makes rows of recorded books.
"""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import polars as pl
from naive_intents import Acceptance
from naive_liquidity import look
from naive_rules import (
    FRACTIONS_FROM,
    Bar,
    Determination,
    Luck,
    Market,
    Ohlc,
    Row,
    View,
)
from naive_state import bar_is_paused

from kalshi_bt.simulator.assumptions import Rules
from kalshi_bt.simulator.draws import draws

# --- tables in, lists out -----------------------------------------------------------------------


def rows(frame: pl.DataFrame) -> list[Row]:
    """Rows with times as microseconds since 1970."""
    return frame.with_columns(pl.col(pl.Datetime).dt.epoch("us")).rows(named=True)


def read_bars(bars: pl.DataFrame) -> dict[int, list[Bar]]:
    tapes: dict[int, list[Bar]] = defaultdict(list)
    for row in rows(bars):
        quotes = (Ohlc(*(row[f"{name}_{part}"] for part in Ohlc._fields)) for name in View._fields)
        sizes = {name: row[name] for name in ("volume", "bid_size", "ask_size")}
        tapes[row["market"]].append(Bar(row["time"], View(*quotes), **sizes))
    return tapes


def read_markets(
    tapes: dict[int, list[Bar]],
    markets: pl.DataFrame,
    settlements: pl.DataFrame,
    rates: pl.DataFrame,
    determinations: pl.DataFrame | None,
    rules: Rules,
) -> list[Market]:
    heard: dict[str, list[Determination]] = defaultdict(list)
    for row in rows(determinations) if determinations is not None else ():
        heard[row["ticker"]].append(Determination(row["time"], row["status"], row["payout"]))
    schedule: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for row in rows(rates):
        schedule[row["market"]].append((row["from_time"], row["taker"], row["maker"]))
    outcomes = {row["ticker"]: row for row in rows(settlements)}
    listed = []
    for m, row in enumerate(rows(markets)):
        outcome = outcomes.get(row["ticker"])
        stands = rules.pauses and not rules.fill.naive
        tape = [
            bar._replace(paused=stands and bar_is_paused(bar.time, rules.bar))
            for bar in tapes.get(m, [])
        ]
        end = row["close_time"] if outcome is None else min(outcome["close_time"], outcome["time"])
        executable = [bar for bar in tape if end is None or bar.time <= end]
        fine = rules.fractions and bool(tape) and tape[0].time >= FRACTIONS_FROM
        listed.append(
            Market(
                ticker=row["ticker"],
                event=row["event"],
                bars=tape,
                index={bar.time: j for j, bar in enumerate(tape)},
                last=len(executable),
                closed=end,
                settled=outcome and outcome["time"],
                payout=outcome and outcome["payout"],
                rates=schedule[m],
                exclusive=row["mutually_exclusive"],
                strike=(row["strike_type"], row["floor_strike"]),
                lot=1 if fine else rules.lot,
                determinations=heard[row["ticker"]],
            )
        )
    return listed


def read_lucks(intents: pl.DataFrame, markets: pl.DataFrame, rules: Rules) -> list[Luck]:
    """What chance holds for each intent: drawn by the package, for draws are no logic."""
    exchange = rules.fill.exchange
    if rules.fill.naive:
        return [Luck(0)] * intents.height
    if exchange is None:
        return [Luck(rules.latency)] * intents.height
    owner = intents["market"].to_numpy().astype(np.int64)
    drawn = draws(rules.seed, markets["ticker"].to_list(), owner, exchange)
    columns = (drawn.delay, drawn.slip_in, drawn.slip_out, drawn.ratio)
    return [Luck(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]


def simulate(
    bars: pl.DataFrame | dict[int, list[Bar]],
    markets: pl.DataFrame,
    settlements: pl.DataFrame,
    rates: pl.DataFrame,
    intents: pl.DataFrame,
    rules: Rules,
    determinations: pl.DataFrame | None = None,
) -> tuple[list[Row], list[Row]]:
    """Return (orders, fills) as rows: times in microseconds, names as text, null as None.

    `bars` may be rows made of recorded books, see `naive_depth`.
    """
    run = played(bars, markets, settlements, rates, intents, rules, determinations)
    return run.orders, sorted(run.fills, key=lambda fill: (fill["order_id"], fill["seq"]))


def played(
    bars: pl.DataFrame | dict[int, list[Bar]],
    markets: pl.DataFrame,
    settlements: pl.DataFrame,
    rates: pl.DataFrame,
    intents: pl.DataFrame,
    rules: Rules,
    determinations: pl.DataFrame | None = None,
) -> Acceptance:
    """Play a run to its end."""
    tapes = bars if isinstance(bars, dict) else read_bars(bars)
    lucks = read_lucks(intents, markets, rules)
    listed = read_markets(tapes, markets, settlements, rates, determinations, rules)
    run = Acceptance(listed, rules, lucks)
    agenda: dict[int, list[tuple[int, Row]]] = defaultdict(list)
    for number, intent in enumerate(rows(intents)):
        agenda[intent["time"]].append((number, intent))
    times = {bar.time for market in run.markets for bar in market.bars} | set(agenda)
    times |= {market.settled for market in run.markets if market.settled is not None}
    times |= {market.closed for market in run.markets if market.closed is not None}
    if rules.bar:
        # When an order of each intent would run out, should it be accepted.
        for intent, luck in zip(rows(intents), lucks, strict=True):
            good = 1 if intent["kind"] == "ioc" else max(intent["valid_bars"], 1)
            times.add(intent["time"] + luck.delay + good * rules.bar)
    for time in sorted(times):
        step(run, time, agenda[time])
    for market in run.markets:
        run.end_of_trading(market)
    return run


def step(run: Acceptance, time: int, intents: list[tuple[int, Row]]) -> None:
    """Play one moment: bars, ends of trading, settlements, intents."""
    for market in run.markets:
        j = market.index.get(time)
        if j is not None and j < market.last:
            run.enter(market, j)
            if not market.bars[j].paused:
                run.leave(market, j)
            look(market, j)
    for market in run.markets:
        if market.closed == time or (market.order and market.order.expires == time):
            run.end_of_trading(market)
    for market in run.markets:
        if market.settled == time:
            run.settle(market)
    for number, intent in intents:
        run.decide(number, intent)


# --- what can be derived from the two tables ----------------------------------------------------


def cash_flow(fill: Row) -> int:
    """Cash a fill brings before its fee: q of YES at p costs q*p, of NO q*(10 000 - p)."""
    quantity, price = fill["quantity"], fill["price"]
    buys_yes = quantity > 0
    holds_yes = buys_yes == (fill["leg"] == "entry")  # an exit trades against what is held
    own = price if holds_yes else 10_000 - price
    return -abs(quantity) * own if fill["leg"] == "entry" else abs(quantity) * own


def replay_cash(initial: int, fills: Iterable[Row]) -> int:
    """Cash after all fills."""
    return initial + sum(cash_flow(fill) - fill["fee"] for fill in fills)


def closed_trades(orders: list[Row], fills: list[Row]) -> list[Row]:
    """Round trips from flat to flat, one per entry that opened, in the order of `trade_id`."""
    decided = {order["order_id"]: order["time"] for order in orders}

    def happened(fill: Row) -> tuple[int, int]:
        """Of one time: an opposing order before what is held; what is decided then, last."""
        netting = fill["reason"] == "netting"
        late = 2 if fill["time"] == decided[fill["order_id"]] else 0
        return fill["time"], late if netting else 1

    closed = []
    for order in orders:
        own = [fill for fill in fills if fill["trade_id"] == order["order_id"]]
        own.sort(key=happened)
        if not own or sum(fill["quantity"] for fill in own) != 0:
            continue
        entries = [fill for fill in own if fill["leg"] == "entry"]
        gross, fees = sum(map(cash_flow, own)), sum(fill["fee"] for fill in own)
        closed.append(
            {
                "trade_id": order["order_id"],
                "ticker": order["ticker"],
                "side": order["side"],
                "entry_time": own[0]["time"],
                "exit_time": own[-1]["time"],
                "quantity": sum(abs(fill["quantity"]) for fill in entries),
                "gross_pnl": gross,
                "fees": fees,
                "pnl": gross - fees,
                "exit_reason": own[-1]["reason"],  # of the fill that made it flat
                "stake": -sum(map(cash_flow, entries)),
            }
        )
    return closed
