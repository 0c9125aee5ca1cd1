"""How far fills by bars are from fills by recorded depth: in quantity, price and profit.

    python research/fill_model.py DATASET [--draws N] [--table FILE.csv] [--shares FILE.csv]
                                 [--figure FILE.html]

Question. The same orders are filled by `book` (the truth: recorded depth when they arrive) and by
`cross`, `optimistic`, `pessimistic` and `passive` on bars of 15 seconds and of one minute made of
the same recording. Which bar model is too kind to the trader, which too hard, and by how much?

Test, stated before the data were looked at. A model is called kind (hard) in a measure if two
things hold: the 95 % interval of a bootstrap over events leaves out "no difference", and so many
events agree in sign that a two-sided sign test is at most at 5 % (8 of 9 do, 7 of 9 do not). Else
the difference is not shown. No correction for the number of rows: a single row proves little.

What becomes of the defaults, stated before too, so that a few events are not fitted.
Participation: the share of a bar's volume at which `cross` fills as much as `book` is solved for
takers of 10 and 50 contracts on both bar lengths. Only if all four, whichever event is left out,
lie on one side of today's default, it moves one step of the ladder 2.5, 5, 10, 25, 50, 100 % that
way. Slippage: the price that orders without a limit lose to `book` in half ticks, for the same
four; only if all four are called kind, it becomes their mean, rounded to a half tick.

Orders. Of each market N decisions are drawn (counter-based): a minute's close at which both sides
are quoted and at least six minutes are left, a side, a holding time of three or five minutes, a
stop 2 to 8 ticks below the bid. Each decision leads to orders of 1, 10, 50 and 200 contracts in
seven styles. Takers, out by time: `any` price, at the `quote`, at the quote `plus` a tick. `stop`:
any price, out at the stop or by time. Resting for two minutes, out by time: a tick `inside` the
best bid (if that does not cross), at the `best` bid, a tick `outside` it. Each is walked alone, so
that no two orders meet. Nothing in the decisions predicts anything: what an order earns is cost.

Numbers. Every order counts alike, whatever its size. Signs say what flatters the trader: + is a
model that is kinder than the book. `share` and `truth` are the mean shares filled by model and
book, `quantity` their ratio. `entry`, `exit`, `fee` and `pnl` are cents per contract of orders that
both filled; `own_pnl` compares all that the model filled with all that the book filled, whose
difference to `pnl` is which orders were filled. For resting orders the truth is itself a model: an
order moves up its queue when others trade, not when they cancel, which real orders do too.

Latency: 1 s and 0.25 s for the book; a bar model fills on the bar that ends after the arrival, so
that both are one to it. In particular `cross` takes the quote of the decision itself, and `passive`
cannot fill in its first bar, which is half of the two minutes where bars are of one minute. Nobody
reacts to these orders: at 200 contracts the book too is kind, and it ends at the last level stored.
"""

import argparse
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from fill_model_orders import SEED, SIZES, Recording, decisions, legs, orders, recording

from kalshi_bt.data.store import Store
from kalshi_bt.simulator.assumptions import FILLS, Rules
from kalshi_bt.simulator.tape import Tape
from kalshi_bt.units import SECOND

RESAMPLES = 2_000
LATENCIES = {"1 s": SECOND, "0.25 s": SECOND // 4}
MODELS = ("cross", "optimistic", "pessimistic", "passive")
TODAY = FILLS["cross"].participation or 1.0
LADDER = (0.025, 0.05, 0.10, 0.25, 0.50, 1.0)
GRID = (0.005, 0.01, *LADDER[:3], 0.15, *LADDER[3:])
DECIDING = ("10", "50")  # sizes that decide on the defaults
MEASURES = ("quantity", "entry", "exit", "fee", "pnl", "own_pnl")
HALF_TICK = 0.5  # cents


def compared(asked: pl.DataFrame, model: pl.DataFrame, book: pl.DataFrame) -> pl.DataFrame:
    """Return each order as `model` and `book` filled it (see `legs`), + where the model is kinder.

    Returns
    -------
    frame
        order, event, group, style, size, share, truth, entry, exit, fee, pnl (null unless both
        filled), model_pnl, book_pnl (null where that one did not fill).
    """
    both = (
        asked.select("order", "event", "group", "style", "size")
        .join(model, on="order", how="left", maintain_order="left")
        .join(book, on="order", how="left", maintain_order="left", suffix="_book")
    )
    kinder = {"entry": -1, "exit": 1, "fee": -1, "pnl": 1}
    return both.select(
        *("order", "event", "group", "style", "size"),
        *((sign * (pl.col(n) - pl.col(f"{n}_book"))).alias(n) for n, sign in kinder.items()),
        share=pl.col("filled").fill_null(0) / pl.col("size"),
        truth=pl.col("filled_book").fill_null(0) / pl.col("size"),
        model_pnl="pnl",
        book_pnl="pnl_book",
    )


def labelled(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows once for each group, style, and either by size, named by `orders`."""
    size = pl.col("size").cast(pl.String)
    labels = [pl.col("group"), pl.col("group") + " " + size]
    labels += [pl.col("style"), pl.col("style") + " " + size]
    named = [rows.with_columns(orders=label) for label in labels]
    # A group of one style is that style.
    alone = (pl.col("style") == pl.col("group")).not_()
    return pl.concat([*named[:2], *(part.filter(alone) for part in named[2:])])


def by_event(rows: pl.DataFrame, events: list[str], columns: Iterable[str]) -> np.ndarray:
    """Return the sums of columns by event: (events, columns), in one order of adding."""
    event = rows["event"].cast(pl.Enum(events)).to_physical().to_numpy()
    values = (rows[name].cast(pl.Float64).fill_null(0).to_numpy() for name in columns)
    return np.column_stack([np.bincount(event, value, len(events)) for value in values])


def resamples(events: int, count: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """Return how often each event is drawn: (count, events), drawn with replacement."""
    generator = np.random.Generator(np.random.Philox(key=seed))
    drawn = generator.integers(0, events, (count, events))
    return (drawn[:, :, None] == np.arange(events)).sum(axis=1)


def estimate(sums: np.ndarray, weights: np.ndarray, neutral: float) -> tuple[float, ...]:
    """Return value, low, high, and how many events agree with it out of how many.

    Parameters
    ----------
    sums : array (events, 4)
        a, b, c, d of each event: the value is sum(a)/sum(b) - sum(c)/sum(d).
    weights : array (resamples, events)
    neutral : float
        The value that says: no difference.
    """

    def value(total: np.ndarray) -> np.ndarray:
        a, b, c, d = total.T
        with np.errstate(divide="ignore", invalid="ignore"):
            return a / b - c / d

    drawn = value(weights @ sums)
    drawn = drawn[~np.isnan(drawn)]
    (found,), each = value(sums.sum(axis=0)[None]), value(sums)
    each = each[~np.isnan(each)]
    if np.isnan(found):
        return math.nan, math.nan, math.nan, 0, 0
    low, high = np.quantile(drawn, (0.025, 0.975), method="nearest")
    same = int((np.sign(each - neutral) == np.sign(found - neutral)).sum())
    return float(found), float(low), float(high), same, len(each)


def verdict(low: float, high: float, same: int, events: int, neutral: float) -> str:
    """Return kind, hard, or nothing where neither is shown."""
    tail = sum(math.comb(events, k) for k in range(same, events + 1)) / 2**events
    if events == 0 or 2 * tail > 0.05 or low <= neutral <= high:
        return ""
    return "kind" if low > neutral else "hard"


def estimates(rows: pl.DataFrame, events: list[str]) -> pl.DataFrame:
    """Return one row a label and measure of what `compared` returns.

    Returns
    -------
    frame
        orders, count (orders asked), share, truth, measure, value, low, high, same, events, says.
    """
    terms = {name: (name, f"{name}_known", "none", "one") for name in MEASURES}
    terms["quantity"] = ("share", "truth", "none", "one")
    terms["own_pnl"] = ("model_pnl", "model_pnl_known", "book_pnl", "book_pnl_known")
    measured = ("entry", "exit", "fee", "pnl", "model_pnl", "book_pnl")
    known = [pl.col(name).is_not_null().alias(f"{name}_known") for name in measured]
    named = labelled(rows.with_columns(*known, none=pl.lit(0.0), one=pl.lit(1.0)))
    weights, found = resamples(len(events)), []
    for (label,), part in named.group_by("orders", maintain_order=True):
        asked, shares = part.height, part.select(pl.col("share", "truth").mean()).row(0)
        for name in MEASURES:
            neutral = 1.0 if name == "quantity" else 0.0
            numbers = estimate(by_event(part, events, terms[name]), weights, neutral)
            said = verdict(*numbers[1:], neutral)
            found.append((label, asked, *shares, name, *numbers, said))
    names = ["orders", "count", "share", "truth", "measure", "value", "low", "high", "same"]
    return pl.DataFrame(found, schema=[*names, "events", "says"], orient="row")


def unbiased(shares: np.ndarray, truth: float, grid: tuple[float, ...] = GRID) -> float:
    """Return the participation that fills `truth`, between the grid's by straight lines.

    Parameters
    ----------
    shares : array
        Mean share filled at each participation of the grid, not falling; none is filled at 0.
    truth : float

    Returns
    -------
    float
        Infinite where the whole volume is not enough.
    """
    x, y = np.append(0.0, grid), np.append(0.0, shares)
    k = int(np.searchsorted(y, truth - 1e-12))
    if k == len(y):
        return math.inf
    if k == 0:
        return 0.0
    return float(x[k - 1] + (x[k] - x[k - 1]) * (truth - y[k - 1]) / (y[k] - y[k - 1]))


def participation(rows: pl.DataFrame, events: list[str]) -> pl.DataFrame:
    """Return the participation at which takers are filled as by the book, for each label.

    Parameters
    ----------
    rows : frame
        event, group, style, size, truth, and the share filled at each participation of the grid in
        columns named by it.
    events : list of str

    Returns
    -------
    frame
        orders, truth, today (share at the default), value, low, high, least, most (whichever event
        is left out).
    """
    columns, weights = ("truth", *map(str, GRID)), resamples(len(events))
    found = []
    for (label,), part in labelled(rows).group_by("orders", maintain_order=True):
        sums = by_event(part, events, columns)
        drawn = [unbiased(row[1:], row[0]) for row in weights @ sums]
        low, high = np.quantile(drawn, (0.025, 0.975), method="nearest")
        left = [unbiased(row[1:], row[0]) for row in (1 - np.eye(len(events))) @ sums]
        truth, *shares = sums.sum(axis=0) / part.height
        value = unbiased(np.array(shares), truth)
        now = shares[GRID.index(TODAY)]
        found.append((label, truth, now, value, low, high, min(left), max(left)))
    names = ["orders", "truth", "today", "value", "low", "high", "least", "most"]
    return pl.DataFrame(found, schema=names, orient="row")


def sweep(tape: Tape, asked: pl.DataFrame, seconds: int) -> pl.DataFrame:
    """Return the share of each taker's order that `cross` fills at each participation."""
    table = asked.select("order", "event", "group", "style", "size")
    for share in GRID:
        fill = replace(FILLS["cross"], participation=share)
        made = legs(tape, asked, Rules(fill=fill), seconds).select("order", "filled")
        filled = pl.col("filled").fill_null(0) / pl.col("size")
        table = table.join(made, on="order", how="left", maintain_order="left")
        table = table.with_columns(filled.alias(str(share))).drop("filled")
    return table


def study(of: Recording, draws: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return what `estimates` and `participation` say, by bar (seconds), latency and model."""
    asked = orders(decisions(of.quotes, draws))
    events = of.quotes["event"].unique().sort().to_list()
    takers = asked.filter(pl.col("group") == "take")
    tables, solved = [], []
    for seconds, tape in of.bars.items():
        made = {name: legs(tape, asked, Rules(fill=FILLS[name]), seconds) for name in MODELS}
        swept = sweep(tape, takers, seconds)
        for latency, delay in LATENCIES.items():
            keys = {"bar": pl.lit(seconds), "latency": pl.lit(latency)}
            book = legs(of.books, asked, Rules(fill=FILLS["book"], latency=delay), seconds)
            for name, found in made.items():
                rows = compared(asked, found, book)
                if name == "passive":  # its takers and stops are those of cross
                    rows = rows.filter(pl.col("group") == "rest")
                said = estimates(rows, events)
                tables.append(said.select(**keys, model=pl.lit(name), rest=pl.struct(pl.all())))
            truth = compared(takers, book, book).select("order", "truth")
            rows = swept.join(truth, on="order", maintain_order="left")
            shares = participation(rows, events)
            solved.append(shares.select(**keys, rest=pl.struct(pl.all())))
    return pl.concat(tables).unnest("rest"), pl.concat(solved).unnest("rest")


def next_participation(shares: pl.DataFrame) -> float:
    """Return the default that follows: today's, or the next one of the ladder."""
    rows = shares.filter(pl.col("orders").is_in([f"take {size}" for size in DECIDING]))
    place = LADDER.index(TODAY)
    if (rows["least"] > TODAY).all():
        return LADDER[min(place + 1, len(LADDER) - 1)]
    if (rows["most"] < TODAY).all():
        return LADDER[max(place - 1, 0)]
    return TODAY


def next_slippage(table: pl.DataFrame) -> int:
    """Return the half ticks by which takers should pay more than the quote."""
    rows = table.filter(
        (pl.col("model") == "cross")
        & (pl.col("measure") == "entry")
        & pl.col("orders").is_in([f"any {size}" for size in DECIDING])
    )
    if not (rows["says"] == "kind").all():
        return 0
    return round(float(rows["value"].mean()) / HALF_TICK)  # type: ignore[arg-type]


def _cell(row: dict[str, Any]) -> str:
    shown, sign = "*" if row["says"] else " ", "" if row["measure"] == "quantity" else "+"
    value, low, high = (format(row[name], f"{sign}.2f") for name in ("value", "low", "high"))
    return f"{value} [{low} {high}]{shown}"


def lines(table: pl.DataFrame, labels: list[str]) -> Iterator[str]:
    """Yield the numbers of some labels as text, a line each bar, latency, model and label."""
    yield f"{'orders':8}{'bar':>4} {'latency':7} {'model':12}{'book':>6}{'model':>7}  " + "".join(
        f"{name:24}" for name in MEASURES
    )
    keys = ["latency", "orders", "bar", "model"]
    some = table.filter(pl.col("orders").is_in(labels))
    for key, rows in some.group_by(keys, maintain_order=True):
        latency, label, bar, model = key
        first = rows.row(0, named=True)
        cells = [_cell(row) for row in rows.iter_rows(named=True)]
        yield (
            f"{label:8}{bar:>4} {latency:7} {model:12}{first['truth']:6.2f}{first['share']:7.2f}  "
            + "".join(f"{cell:24}" for cell in cells)
        )


def draw(table: pl.DataFrame, path: Path) -> None:
    """Write the differences in profit of each model as a page."""
    import plotly.graph_objects as go  # noqa: PLC0415 - only where a figure is asked for

    rows = table.filter(
        (pl.col("measure") == "pnl")
        & (pl.col("latency") == "1 s")
        & pl.col("orders").is_in(["take", "stop", "rest"])
    )
    title = "Cents per contract by which a model flatters, with 95 % intervals"
    figure = go.Figure(layout_title_text=title)
    for (model, bar), part in rows.group_by("model", "bar", maintain_order=True):
        value = part["value"]
        up, down = (part["high"] - value).to_list(), (value - part["low"]).to_list()
        figure.add_scatter(
            x=part["orders"].to_list(),
            y=value.to_list(),
            error_y={"array": up, "arrayminus": down},
            mode="markers",
            name=f"{model}, {bar} s",
        )
    figure.update_layout(scattermode="group").add_hline(y=0)
    figure.update_yaxes(title="cents per contract")
    figure.write_html(path, include_plotlyjs=True, div_id="fills")


def told(table: pl.DataFrame, shares: pl.DataFrame, events: int) -> Iterator[str]:
    """Yield the report as text."""
    yield f"{events} events, which is few: an interval of so few clusters is too short as a rule,"
    yield "and other days and series were not asked. * marks a difference that the test shows;"
    yield "+ (quantity: above 1) means that the model is kinder than the book.\n"
    yield from lines(table, ["take", "stop", "rest"])
    yield "\nTakers at any price, by size\n"
    some = table.filter((pl.col("model") == "cross") & (pl.col("latency") == "1 s"))
    yield from lines(some, [f"any {size}" for size in SIZES])
    yield "\nParticipation at which cross fills as much as the book\n"
    yield "orders    bar latency  book  today  unbiased  95 %           any event left out"
    labels = ["take", *(f"take {size}" for size in SIZES)]
    for row in shares.filter(pl.col("orders").is_in(labels)).iter_rows(named=True):
        yield (
            f"{row['orders']:9}{row['bar']:>4} {row['latency']:7}{row['truth']:6.2f}"
            f"{row['today']:7.2f}{row['value']:10.3f}  [{row['low']:.3f} {row['high']:.3f}]"
            f"  [{row['least']:.3f} {row['most']:.3f}]"
        )
    first = shares.filter(pl.col("latency") == "1 s"), table.filter(pl.col("latency") == "1 s")
    yield f"\nparticipation: today {TODAY:g}, by the stated rule {next_participation(first[0]):g}"
    yield f"slippage: today 0 half ticks, by the stated rule {next_slippage(first[1])}"


def main() -> None:
    """Print the study and, where asked for, write its tables and figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path, help="a dataset with recorded books and trades")
    parser.add_argument("--draws", type=int, default=20, help="decisions of each market")
    parser.add_argument("--table", type=Path, help="a CSV file for all estimates")
    parser.add_argument("--shares", type=Path, help="a CSV file for participation")
    parser.add_argument("--figure", type=Path, help="an HTML file")
    given = parser.parse_args()
    store = Store.open(given.dataset)
    if not store.scan("books").head(1).collect().height:
        sys.exit(f"{store.name} has no recorded books")
    of = recording(store)
    table, shares = study(of, given.draws)
    for frame, path in ((table, given.table), (shares, given.shares)):
        if path:
            frame.write_csv(path)
    if given.figure:
        draw(table, given.figure)
    note = " (synthetic data)" if store.synthetic else ""
    print(f"{store.name}{note}: cents per contract, model against recorded depth")
    print("\n".join(told(table, shares, of.quotes["event"].n_unique())))


if __name__ == "__main__":
    main()
