"""What the fills add up to: round trips and the equity curve."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.simulator.simulate import Simulation, Tape
from kalshi_bt.simulator.state import AC, AO, BC, BO, EXIT_REASONS, Ints
from kalshi_bt.units import DAY, PRICE_SCALE, SECOND

_STEPS = tuple(60 * SECOND * k for k in (1, 5, 15, 60, 360, 1440))
_POINTS = 4_000


def spread_paid(tape: Tape, placed: Any) -> Ints:
    """Return what each fill paid against the mid of its bar, micro-dollars (n,).

    The mid is that of the bar's opening quotes, else of its closing quotes; 0 where a side was
    empty, and for settlements. Negative where a resting order earned the spread.
    """
    bar = np.where(placed["bar"] >= 0, placed["bar"], 0)
    twice = np.zeros(len(bar), np.int64)
    for bid, ask in ((BC, AC), (BO, AO)):
        if len(tape.time):
            b, a = (tape.prices[row, bar].astype(np.int64) for row in (bid, ask))
            twice = np.where((b >= 0) & (a >= 0), b + a, twice)
    known = (placed["bar"] >= 0) & (twice > 0)
    paid: Ints = np.where(known, placed["quantity"] * (2 * placed["price"] - twice) // 2, 0)
    return paid


def closed_trades(tape: Tape, run: Simulation) -> pl.DataFrame:
    """Return one row a round trip that ended flat: frame of `schema.TRADES_CLOSED`.

    A round trip is everything one entry order led to. Positions still open are not in it.
    """
    placed = run.placed
    side = pl.col("quantity").first().sign()
    own = (
        pl.when(pl.col("quantity").first() > 0)
        .then(pl.col("price"))
        .otherwise(PRICE_SCALE - pl.col("price"))
    )
    entry, size = pl.col("reason") == 0, pl.col("quantity").abs()
    bought = size.filter(entry).sum()
    fills = pl.LazyFrame(
        {
            name: placed[name]
            for name in ("order", "market", "time", "reason", "quantity", "price", "fee")
        }
    ).with_columns(spread=pl.Series(spread_paid(tape, placed)))
    trips = (
        fills.group_by("order", maintain_order=True)
        .agg(
            pl.col("market").first(),
            side=side.cast(pl.Int8),
            left=pl.col("quantity").sum(),
            entry_time=pl.col("time").first(),
            exit_time=pl.col("time").last(),
            quantity=bought,
            stake=(own * size).filter(entry).sum(),
            proceeds=(own * size).filter(~entry).sum(),
            reason=pl.col("reason").last(),
            fees=pl.col("fee").sum(),
            spread_paid=pl.col("spread").sum(),
        )
        .filter(pl.col("left") == 0)
        .collect()
    )
    market = trips["market"].cast(pl.UInt32)
    return trips.select(
        trade_id="order",
        ticker=tape.table["ticker"].cast(pl.String).gather(market),
        event=tape.table["event"].cast(pl.String).gather(market),
        series=tape.table["series"].cast(pl.String).gather(market),
        side="side",
        entry_time=pl.col("entry_time").cast(schema.Time),
        exit_time=pl.col("exit_time").cast(schema.Time),
        quantity="quantity",
        entry_price=pl.col("stake") / pl.col("quantity") / PRICE_SCALE,
        exit_price=pl.col("proceeds") / pl.col("quantity") / PRICE_SCALE,
        exit_reason=pl.lit(pl.Series(EXIT_REASONS)).gather(pl.col("reason").cast(pl.UInt32)),
        stake="stake",
        gross_pnl=pl.col("proceeds") - pl.col("stake"),
        fees="fees",
        pnl=pl.col("proceeds") - pl.col("stake") - pl.col("fees"),
        spread_paid="spread_paid",
    )


def grid(first: int, last: int) -> Ints:
    """Return the times of an equity curve: whole steps that cover `first` to `last`.

    The step is the smallest of 1, 5, 15 minutes, 1, 6, 24 hours that needs few enough points.
    """
    for step in _STEPS:
        begin, end = first // step * step, -(-last // step) * step
        if (end - begin) // step < _POINTS or step == DAY:
            break
    return np.arange(begin, end + 1, step, dtype=np.int64)


@dataclass(frozen=True)
class Curve:
    """The equity curve and what is still held at its end.

    Attributes
    ----------
    equity : frame of schema.EQUITY
    unsettled : int
        Positions still open at the end.
    unsettled_value : int
        What they could be sold for, micro-dollars.
    """

    equity: pl.DataFrame
    unsettled: int
    unsettled_value: int


def equity_curve(tape: Tape, run: Simulation, cash: int) -> Curve:
    """Return cash, cost and marked value over the whole run.

    A position is marked at the bid of the side held at its market's latest executable bar: nothing
    where nobody bids.
    """
    from kalshi_bt.simulator.marks import mark_positions

    times = tape.time
    placed = run.placed
    last_fill = int(placed["time"].max()) if len(placed) else 0
    points = grid(int(times.min()), max(int(times.max()), last_fill))
    order = np.lexsort((placed["seq"], placed["order"], placed["time"], placed["market"]))
    by_market = placed[order]
    flows = np.zeros(len(points), np.int64)
    marked, locked = np.zeros(len(points), np.int64), np.zeros(len(points), np.int64)
    unsettled = mark_positions(
        tape.time, tape.prices, tape.markets, by_market, points, flows, locked, marked
    )
    money = cash + np.cumsum(flows)
    frame = pl.DataFrame(
        {
            "time": pl.Series(points).cast(schema.Time),
            "cash": money,
            "locked": locked,
            "marked": marked,
            "equity": money + marked,
        },
        schema=schema.EQUITY.columns,
    )
    return Curve(frame, int(unsettled), int(marked[-1]))
