"""Every trade of settled markets, cent by cent and by role: the tape behind the longshot study.

The sign of an average over trades may depend on what counts once, so each line names its weight:
``trade`` (a trade of one contract as much as one of a thousand), ``contract``, ``dollar`` (the
return on what was paid), and ``event`` (the mean per contract of each event, however much was
traded in it). Trades of one event share its outcome: errors are clustered by event.
"""

import polars as pl
from longshot_rates import each_cent

from kalshi_bt.metrics import cluster_standard_error

BANDS = {"longshots": (1, 20), "middle": (21, 79), "favourites": (80, 99)}
ROLES = {"taker": 1, "maker": -1}
WEIGHTS = ("trade", "contract", "dollar", "event")
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
    With weight W_e and gain X_e in event e the estimate is r = sum(X) / sum(W), its error that of
    `metrics.cluster_standard_error`. Where events count, X_e is the mean of the event and W_e is 1.
    """
    rows = []
    for role in ROLES:
        seen = positions(cells, role)
        for band, (low, high) in BANDS.items():
            if band == "middle":
                continue
            inside = seen.filter(pl.col("cents").is_between(low, high))
            events = inside.group_by(e="event").agg(*_weighed(weight)).sort("e")
            total = float(events["w"].sum())
            mean = float(events["x"].sum()) / total if total else float("nan")
            error = float("nan")
            if events.height > 1:
                error = cluster_standard_error(*(events[name].to_numpy() for name in "xew"))
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


def rates_by_cent(cells: pl.DataFrame) -> pl.DataFrame:
    """Return win rate, excess and mispricing of every role and cent, each trade counted once.

    Parameters
    ----------
    cells : frame
        As for `positions`, with `event`.

    Returns
    -------
    frame
        As `longshot_rates.each_cent`, for 1 to 99 cents, with contracts, volume and pnl of
        `by_cent`.
    """
    n, paid, cost = (pl.col(name) for name in ("trades", "paid", "cost"))
    groups = pl.concat(
        positions(cells, role)
        .filter(pl.col("cents").is_between(1, 99))
        .group_by(role=pl.lit(role), cent="cents", cluster="event")
        .agg(w=n.sum(), x=(n * (paid - cost)).sum() / DOLLAR, c=(n * cost).sum() / DOLLAR)
        .sort("cent", "cluster")
        for role in ROLES
    )
    sums = by_cent(cells).select("role", "contracts", "volume", "pnl", cent="cents")
    return each_cent(groups).join(sums, on=["role", "cent"], how="left", maintain_order="left")
