"""Do cheap contracts pay less than they cost? Every trade of a dataset, cent by cent and by role.

    python research/longshot_by_cent.py DATASET [--table FILE.csv] [--figure FILE.html]

Question. Those who bought a side for 20 cents or less: did they get back less than they paid?

Test, stated before the data were looked at. For takers at 1-20 cents the mean of payout less price
per contract, over all settled contracts, is below zero at the 5 % level, one-sided (t < -1.645).
Trades of one event share its outcome and are no independent samples: the standard error is
clustered by event. Favourites (80-99 cents) and makers are shown for comparison and decide nothing.

Weights. The sign of such an average may depend on what counts once, so each line names its weight:
``trade`` (a trade of one contract as much as one of a thousand), ``contract`` (the test),
``dollar`` (the return on what was paid), and ``event`` (the mean per contract of each event,
however much was traded in it). Expected: the same sign where there is a bias worth the name; where
signs differ there is none to speak of.

Found, on the two recorded datasets with tapes. Three days of sports (79 events with longshots):
-0.030 ± 0.033 a trade, -0.028 ± 0.037 a contract, -0.35 ± 0.44 a dollar, +0.008 ± 0.015 an event.
Index closes (26 events): -0.007 ± 0.028, +0.019 ± 0.061, +0.19 ± 0.60, +0.004 ± 0.036. Signs differ
and no interval excludes 0: not shown. The sports file holds markets that were over when it was
made, among them three of YES for each NO where a market stands alone, so that it could not have
shown one either way; the strikes of the index were chosen with hindsight.
"""

import argparse
import sys
from pathlib import Path

import polars as pl

from kalshi_bt.data.store import Store

BANDS = {"longshots": (1, 20), "middle": (21, 79), "favourites": (80, 99)}
ROLES = {"taker": 1, "maker": -1}
WEIGHTS = ("trade", "contract", "dollar", "event")
LEVEL = -1.645  # one-sided 5 % of a normal distribution
DOLLAR = 10_000  # centi-cents; times a centi-contract it is a micro-dollar

# Everything by cent follows from how often each price met each payout, so that the trades are read
# once and joined by ticker once.
CELLS = """
    SELECT t.price, t.taker_side, s.payout, count(*) AS trades, sum(t.quantity)::BIGINT AS quantity
    FROM trades t JOIN settlements s ON t.ticker = s.ticker
    GROUP BY ALL
"""
EVENTS = """
    WITH ended AS (
        SELECT m.ticker, m.event, s.payout FROM markets m JOIN settlements s ON m.ticker = s.ticker
    )
    SELECT e.event, t.price, t.taker_side, e.payout, count(*) AS trades,
        sum(t.quantity)::BIGINT AS quantity
    FROM trades t JOIN ended e ON t.ticker = e.ticker
    WHERE t.price <= 2049 OR t.price >= 7950
    GROUP BY ALL
"""


def positions(cells: pl.DataFrame, role: str) -> pl.DataFrame:
    """Return cells seen from one role: what its side cost and paid.

    Parameters
    ----------
    cells : frame
        price and payout of YES in centi-cents, taker_side, and what is counted.
    role : str
        taker or maker.
    """
    yes = pl.col("taker_side") == ROLES[role]
    return cells.with_columns(
        paid=pl.when(yes)
        .then(pl.col("payout"))
        .otherwise(DOLLAR - pl.col("payout"))
        .cast(pl.Int64),
        cost=pl.when(yes).then(pl.col("price")).otherwise(DOLLAR - pl.col("price")).cast(pl.Int64),
    ).with_columns(cents=(pl.col("cost") + 50) // 100)


def by_cent(cells: pl.DataFrame) -> pl.DataFrame:
    """Return the study: one row a role and cent, sorted.

    Returns
    -------
    frame
        role, cents, trades, contracts, win_rate (mean payout of a trade, dollars), excess
        (win_rate less the mean price), variance (of the payout), volume (dollars paid), pnl
        (dollars, exact to the micro-dollar).
    """
    return pl.concat(_of_role(positions(cells, role)).with_columns(role=pl.lit(role)).select(
        "role", "cents", "trades", "contracts", "win_rate", "excess", "variance", "volume", "pnl"
    ) for role in ROLES)  # fmt: skip


def _of_role(seen: pl.DataFrame) -> pl.DataFrame:
    n, paid, cost, size = (pl.col(name) for name in ("trades", "paid", "cost", "quantity"))
    found = seen.group_by("cents").agg(
        trades=n.sum(),
        quantity=size.sum(),
        mean=(n * paid).sum() / n.sum() / DOLLAR,
        square=(n * paid * paid).sum() / n.sum() / DOLLAR**2,
        price=(n * cost).sum() / n.sum() / DOLLAR,
        volume=(size * cost).sum() / 1_000_000,
        pnl=(size * (paid - cost)).sum() / 1_000_000,
    )
    return found.sort("cents").with_columns(
        contracts=pl.col("quantity") / 100,
        win_rate="mean",
        excess=pl.col("mean") - pl.col("price"),
        variance=pl.col("square") - pl.col("mean") ** 2,
    )


def tested(cells: pl.DataFrame, weight: str) -> pl.DataFrame:
    """Return what each role and band gained, and its error clustered by event.

    Parameters
    ----------
    cells : frame
        As for `positions`, with `event`.
    weight : {"trade", "contract", "dollar", "event"}
        What counts once.

    Returns
    -------
    frame
        role, band, weight, events, contracts, excess (dollars per contract; of ``dollar`` per
        dollar paid), error, t.

    Notes
    -----
    With weight W_e and gain X_e in event e the estimate is r = sum(X) / sum(W), its variance
    sum((X_e - r W_e)^2) / sum(W)^2. Where events count, X_e is the mean of the event and W_e is 1.
    """
    rows = []
    for role in ROLES:
        seen = positions(cells, role)
        for band, (low, high) in BANDS.items():
            if band == "middle":
                continue
            inside = seen.filter(pl.col("cents").is_between(low, high))
            events = inside.group_by("event").agg(*_weighed(weight)).sort("event")
            total = float(events["w"].sum())
            mean = float(events["x"].sum()) / total if total else float("nan")
            off = events["x"] - mean * events["w"]
            error = float((off * off).sum()) ** 0.5 / total if total else float("nan")
            t = mean / error if error else float("nan")
            held = float(inside["quantity"].sum()) / 100
            rows.append((role, band, weight, events.height, held, mean, error, t))
    names = ["role", "band", "weight", "events", "contracts", "excess", "error", "t"]
    return pl.DataFrame(rows, schema=names, orient="row")


def _weighed(weight: str) -> tuple[pl.Expr, pl.Expr]:
    """Return weight w and gain x of an event."""
    gain = (pl.col("paid") - pl.col("cost")) / DOLLAR
    held = pl.col("quantity") / 100
    if weight == "event":
        return pl.lit(1.0).first().alias("w"), ((held * gain).sum() / held.sum()).alias("x")
    if weight == "trade":
        held = pl.col("trades")
    w = held * pl.col("cost") / DOLLAR if weight == "dollar" else held
    return w.sum().alias("w"), (held * gain).sum().alias("x")


def draw(table: pl.DataFrame, path: Path) -> None:
    """Write the excess return by cent of both roles as a page."""
    import plotly.graph_objects as go  # noqa: PLC0415 - only where a figure is asked for

    figure = go.Figure(layout_title_text="Payout less price, by price of the side bought")
    for role in ROLES:
        part = table.filter((pl.col("role") == role) & pl.col("cents").is_between(1, 99))
        figure.add_scatter(x=part["cents"].to_list(), y=(part["excess"] * 100).to_list(), name=role)
    figure.update_xaxes(title="price, cents").update_yaxes(title="excess return, cents")
    figure.write_html(path, include_plotlyjs=True, div_id="excess")


def main() -> None:
    """Print the test and, where asked for, write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--table", type=Path, help="a CSV file for the numbers by cent")
    parser.add_argument("--figure", type=Path, help="an HTML file")
    given = parser.parse_args()
    store = Store.open(given.dataset)
    table = by_cent(store.sql(CELLS))
    if table.is_empty():
        sys.exit(f"{store.name} has no trades of settled markets")
    if given.table:
        table.write_csv(given.table)
    if given.figure:
        draw(table, given.figure)
    cells = store.sql(EVENTS)
    note = " (synthetic data)" if store.synthetic else ""
    print(f"{store.name}{note}: dollars, gross of fees; errors clustered by event")
    for weight in WEIGHTS:
        found = tested(cells, weight)
        for row in found.iter_rows(named=True):
            print(
                f"{row['weight']:9}{row['role']:6} {row['band']:11}"
                f"{row['contracts']:>16,.2f} contracts{row['events']:>10,} events"
                f"  {row['excess']:+.5f} ± {row['error']:.5f}  t {row['t']:+.2f}"
            )
        if weight == "contract":
            taker = found.filter((pl.col("role") == "taker") & (pl.col("band") == "longshots"))
            t = taker["t"][0]
    print(f"longshot bias of takers: {'yes' if t < LEVEL else 'not shown'} (t < {LEVEL})")


if __name__ == "__main__":
    main()
