"""What the fills add up to: round trips and the equity curve."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.simulator.simulate import Simulation
from kalshi_bt.simulator.state import EXIT_REASONS, Ints
from kalshi_bt.simulator.tape import NOTHING_SAID, Tape
from kalshi_bt.units import DAY, PRICE_SCALE, SECOND

_STEPS = tuple(60 * SECOND * k for k in (1, 5, 15, 60, 360, 1440))
_POINTS = 4_000


def closed_trades(tape: Tape, run: Simulation) -> pl.DataFrame:
    """Return one row a round trip that ended flat: frame of `schema.TRADES_CLOSED`.

    A round trip is everything one entry order led to, its contracts that a later order netted
    included. Positions still open are not in it.
    """
    from kalshi_bt.simulator.trips import TRIP, round_trips

    trips = round_trips(run.placed, len(run.placed_orders))
    frame = pl.DataFrame(dict(zip(TRIP, trips, strict=True)))
    market = pl.col("market").cast(pl.UInt32)
    table = tape.table.select(pl.col("ticker", "event", "series").cast(pl.String))
    gross = pl.col("proceeds") - pl.col("stake")
    return frame.select(
        trade_id=run.numbered(trips[0]),
        **{name: pl.lit(table[name]).gather(market) for name in table.columns},
        side=pl.col("side").cast(pl.Int8),
        entry_time=pl.col("entry_time").cast(schema.Time),
        exit_time=pl.col("exit_time").cast(schema.Time),
        quantity="quantity",
        entry_price=pl.col("stake") / (pl.col("quantity") * PRICE_SCALE),
        exit_price=pl.col("proceeds") / (pl.col("quantity") * PRICE_SCALE),
        exit_reason=pl.lit(pl.Series(EXIT_REASONS)).gather(pl.col("reason").cast(pl.UInt32)),
        stake="stake",
        gross_pnl=gross,
        fees="fees",
        pnl=gross - pl.col("fees"),
        spread_paid="spread",
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
        What they are marked at, micro-dollars.
    determined : int
        Those of them of which a result had been said, and not paid.
    """

    equity: pl.DataFrame
    unsettled: int
    unsettled_value: int
    determined: int = 0


def equity_curve(tape: Tape, run: Simulation, cash: int) -> Curve:
    """Return cash, cost and marked value from the first bar to the last bar or fill.

    A position is marked at the bid of the side held at its market's latest executable bar, nothing
    where nobody bids; from when its result was determined at that, and while it is disputed at the
    lower of both.
    """
    from kalshi_bt.simulator.marks import mark_positions

    times = tape.time
    placed = run.placed
    last_fill = int(placed["time"].max()) if len(placed) else 0
    first, last = tape.span or (int(times.min()), int(times.max()))
    points = grid(first, max(last, last_fill))
    by_market = placed[np.argsort(placed["market"], kind="stable")]
    flows = np.zeros(len(points), np.int64)
    marked, locked = np.zeros(len(points), np.int64), np.zeros(len(points), np.int64)
    said = tape.said or NOTHING_SAID
    unsettled, determined = mark_positions(
        *(tape.time, tape.prices, tape.markets, said.rows, said.start),
        *(by_market, points, flows, locked, marked),
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
    return Curve(frame, int(unsettled), int(marked[-1]), int(determined))
