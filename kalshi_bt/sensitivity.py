"""What the same intents come to when one assumption is changed."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from kalshi_bt import schema
from kalshi_bt.data.proxy import neighbours
from kalshi_bt.metrics import METRICS, Book, Undefined
from kalshi_bt.run_schema import SENSITIVITY
from kalshi_bt.simulator.assumptions import Rules
from kalshi_bt.simulator.rules import EXACT, TAKER
from kalshi_bt.simulator.state import Floats, Ints
from kalshi_bt.simulator.tape import Tape, frozen
from kalshi_bt.units import PRICE_SCALE, SECOND
from kalshi_bt.walks import Walk, added_up, walk

Case = tuple[str, str, Walk]  # its name, what is changed in words, and what came of it

_MILLISECONDS = 1_000  # in a second
_ENDS = ("optimistic", "pessimistic")
_METRICS = {
    "net_pnl": "net_pnl",
    "trades": "n_trades",
    "win_rate": "win_rate",
    "max_drawdown": "max_drawdown",
}


def sensitivity(
    base: Walk, band: Mapping[str, Walk], markets: pl.DataFrame, period: int
) -> pl.DataFrame:
    """Return the results of a run under one changed assumption each: `run_schema.SENSITIVITY`.

    Parameters
    ----------
    base : Walk
        Under the chosen fill model.
    band : mapping of str to Walk
        The same intents under ``optimistic`` and ``pessimistic``.
    markets : frame with `price_ranges`
        Row i is market i.
    period : int
        Seconds of a bar.

    Notes
    -----
    Under another fee rate and under one bar more latency the intents are walked again: what an
    order may spend, and whether it is filled at all, follows. A tick is taken from the fills
    instead: each that is a trade, of a taker or of a resting order, is moved to the next price of
    its market's grid, against or in favour of who filled it, and stays where there is none inside
    0 to 1 dollar. Quotes are not moved below the orders: one with its limit at the quote, as most
    are, would not fill a tick away from it, and what a tick costs would be hidden by what is not
    traded. So the same fills happen; their fees follow the new prices without being rounded anew,
    and neither limits nor cash are asked again.

    Where fills are naive no fee is charged and nothing takes time: these cases are left out.
    """
    cases = [("base", "as assumed", base)]
    cases += [(n, f"the same intents under {n} fills", band[n]) for n in _ENDS]
    cases += _ticks(base, markets)
    if not base.rules.fill.naive:
        cases += _walked(base, period)
    rows = [{"case": case, "what": what} | _result(each) for case, what, each in cases]
    return SENSITIVITY.check(pl.DataFrame(rows, SENSITIVITY.columns).sort("case"))


def _result(each: Walk) -> dict[str, Any]:
    """Return the numbers of one case."""
    book = Book(
        orders=schema.ORDERS.empty(),
        fills=schema.FILLS.empty(),  # nothing that is asked here reads them
        trades_closed=each.trades,
        equity=each.curve.equity,
        initial_cash=each.rules.cash,
    )
    values = {name: METRICS[metric].function(book) for name, metric in _METRICS.items()}
    known = {n: None if isinstance(v, Undefined) else v for n, v in values.items()}
    fees, contracts = int(each.run.placed["fee"].sum()), int(each.trades["quantity"].sum())
    return known | {"fees": fees, "contracts": contracts}


def _walked(base: Walk, period: int) -> Iterator[Case]:
    """Walk the intents of a run again under other fees and a longer latency."""
    intents, rules = base.run.intents, base.rules
    dearer, free = _charged(base.tape, 3, 2), _charged(base.tape, 0, 1)
    yield "fees_1_5", "fee rates times 1.5", walk(dearer, intents, rules)
    # Without a step of the balance nothing is kept by rounding either.
    yield "fees_0", "no fees", walk(free, intents, replace(rules, balance_precision=1))
    late = walk(base.tape, intents, _delayed(rules, period))
    yield "latency_bar", f"one bar ({period} s) more from decision to exchange", late


def _charged(tape: Tape, times: int, over: int) -> Tape:
    """Return the tape with its fee rates times a fraction, rounded up."""
    rates = tape.rates.copy()
    for role in ("taker", "maker"):
        rates[role] = -(-rates[role] * times // over)
    return replace(tape, rates=frozen(rates))


def _delayed(rules: Rules, period: int) -> Rules:
    """Return the rules with one bar more latency, that of a random exchange included."""
    exchange = rules.fill.exchange
    if exchange is not None:
        low, high = (drawn + period * _MILLISECONDS for drawn in exchange.latency_ms)
        late = replace(rules.fill, exchange=replace(exchange, latency_ms=(low, high)))
        rules = replace(rules, fill=late)
    return replace(rules, latency=rules.latency + period * SECOND)


def _ticks(base: Walk, markets: pl.DataFrame) -> Iterator[Case]:
    """Move every fill of a run that is a trade one tick against it, and one in its favour."""
    steps, grid = _steps(markets)
    placed = base.run.placed
    bought = placed["quantity"] > 0
    number = grid[placed["market"]]
    for case, what, dearer in (
        ("tick_worse", "every fill one tick worse", bought),
        ("tick_better", "every fill one tick better", ~bought),
    ):
        price = steps[number, dearer.astype(np.int64), placed["price"]]
        price = np.where(placed["bar"] < 0, placed["price"], price)
        moved = placed.copy()
        moved["price"] = price
        if not base.rules.fill.naive:
            worth = _fee_weight(price) - _fee_weight(placed["price"])
            charged = _rates(base) * np.abs(placed["quantity"]) * worth / EXACT
            moved["fee"] += np.rint(charged).astype(np.int64)
        yield case, what, added_up(base.tape, replace(base.run, placed=moved), base.rules)


def _fee_weight(price: Ints) -> Floats:
    return price.astype(np.float64) * (PRICE_SCALE - price)


def _steps(markets: pl.DataFrame) -> tuple[Ints, Ints]:
    """Return the next lower and higher price of each grid, (grids, 2, 10 001), and whose is which.

    Beyond its ends a price stays what it is.
    """
    grids = markets.select("price_ranges").unique(maintain_order=True).with_row_index("grid")
    own = markets.select("price_ranges").join(
        grids, on="price_ranges", how="left", nulls_equal=True, maintain_order="left"
    )
    same = np.arange(PRICE_SCALE + 1)
    steps = [
        [side.cast(pl.Int64).fill_null(-1).to_numpy() for side in neighbours(ranges)]
        for ranges in grids["price_ranges"].to_list()
    ]
    found = np.array(steps, np.int64)
    return np.where(found < 0, same, found), own["grid"].cast(pl.Int64).to_numpy()


def _rates(base: Walk) -> Floats:
    """Return the fee rate that was in force for each fill, parts per million."""
    facts, rates, placed = base.tape.markets, base.tape.rates, base.run.placed
    market = np.repeat(np.arange(len(facts)), facts["rate_end"] - facts["rate_begin"])
    dated = pl.DataFrame({"market": market, "time": rates["since"]}).with_columns(
        taker=pl.Series(rates["taker"]), maker=pl.Series(rates["maker"])
    )
    fills = pl.DataFrame({name: placed[name] for name in ("market", "time", "role")})
    found = (
        fills.with_row_index("row")
        .sort("time")
        .join_asof(dated.sort("time"), on="time", by="market", check_sortedness=False)
        .sort("row")
    )
    rate = pl.when(pl.col("role") == TAKER).then("taker").otherwise("maker")
    return found.select(rate.cast(pl.Float64)).to_series().to_numpy()
