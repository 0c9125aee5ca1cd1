"""Sums of the closed trades by market, event, day and by what is taken to be independent.

What settles at one instant is one bet, and so are the markets of an event: a cluster holds all that
hangs together by either. Trades are grouped once, by market; the rest is summed from those sums.
"""

from dataclasses import dataclass

import polars as pl

from kalshi_bt.metrics.book import Book
from kalshi_bt.metrics.trading import by_exit, paid_prices

_SUMS = ("n", "wins", "decided", "pnl", "won", "stake", "cost", "paid", "held")


def traded_markets(book: Book) -> pl.DataFrame:
    """Return the sums over the closed trades of each market, in order of first appearance.

    Returns
    -------
    polars.DataFrame
        ticker, event (of its first trade: a market has one), n, wins, decided (wins and losses),
        pnl, won (pnl of the wins), stake, cost (stake and fees), paid (all-in prices of the
        decided, in `PAID_SCALE`), held (milliseconds), settled (null: not known), last (time of the
        last exit).
    """
    pnl = pl.col("pnl")
    whole = book.trades_closed.select(
        *("ticker", "event", "stake", "pnl"),
        wins=pnl > 0,
        decided=pnl != 0,
        won=pnl.clip(lower_bound=0),
        held=pl.col("exit_time") - pl.col("entry_time"),
        cost=pl.col("stake") + pl.col("fees"),
        paid=pl.when(pnl != 0).then(book.once(paid_prices)).otherwise(0),
        settled=_settled(book),
        last="exit_time",
    )
    counts = (pl.len().alias("n"), pl.col("wins", "decided").sum())
    return whole.group_by("ticker", maintain_order=True).agg(
        pl.col("event").first(),
        *(count.cast(pl.Int64) for count in counts),
        pl.col("pnl", "won", "stake", "cost", "paid").sum(),
        pl.col("held").sum().dt.total_milliseconds(),
        pl.col("settled", "last").max(),
    )


def _settled(book: Book) -> pl.Series:
    """Return when the market of each closed trade settled, as recorded or as its exit shows."""
    trades, known = book.trades_closed, book.context.select("trade_id", "settled")
    if known["trade_id"].equals(trades["trade_id"]):  # in the same order, as a run leaves them
        settled = known["settled"]
    else:
        wanted = trades.select("trade_id")
        settled = wanted.join(known, on="trade_id", how="left", maintain_order="left")["settled"]
    if not settled.null_count():
        return settled
    at_settlement = pl.when(pl.col("exit_reason") == "settlement").then("exit_time")
    return trades.select(settled=pl.coalesce(settled, at_settlement))["settled"]


def by_event(book: Book) -> pl.DataFrame:
    """Return pnl and stake of the closed trades of each event."""
    markets = book.once(traded_markets)
    return markets.group_by("event", maintain_order=True).agg(pl.col("pnl", "stake").sum())


def by_day(book: Book) -> pl.DataFrame:
    """Return pnl of the closed trades of each UTC day, by time of exit."""
    day = pl.col("exit_time").dt.date().alias("day")  # sorted: one pass groups them
    return book.once(by_exit).group_by(day).agg(pl.col("pnl").sum()).sort("day")


@dataclass(frozen=True)
class Clusters:
    """Sums of what is taken to be independent.

    Attributes
    ----------
    sums : polars.DataFrame
        The sums of `traded_markets`, one row a cluster, by time of its end (`last`).
    kind : str
        What makes a cluster: ``event``, ``settlement instant`` or either.
    markets : polars.DataFrame
        ticker, cluster (its number): which cluster a market is in.
    """

    sums: pl.DataFrame
    kind: str
    markets: pl.DataFrame


def trade_clusters(book: Book) -> Clusters:
    """Return the closed trades by cluster."""
    markets = book.once(traded_markets)
    cluster, kind = coarser(markets["event"], markets["settled"])
    ends = pl.coalesce(pl.col("settled"), pl.col("last")).max().alias("last")
    grouped = markets.with_columns(cluster=cluster).group_by("cluster")
    sums = grouped.agg(pl.col(_SUMS).sum(), ends).sort("last", "cluster")
    return Clusters(sums.select(*_SUMS, "last"), kind, markets.select("ticker", cluster=cluster))


def coarser(event: pl.Series, settled: pl.Series) -> tuple[pl.Series, str]:
    """Return which rows hang together by event or by settlement instant, and what made the groups.

    Parameters
    ----------
    event : String (n,)
    settled : Time (n,)
        Null where not known: such a row hangs together by event only.

    Returns
    -------
    cluster : Int64 (n,)
        Numbered from 0.
    kind : str
        ``event`` if no instant joined two events, ``settlement instant`` if each instant is one
        cluster, else ``event or settlement instant``.

    Examples
    --------
    >>> coarser(pl.Series(["A", "A", "B", "C"]), pl.Series([1, 2, 2, 3]))[0].to_list()
    [0, 0, 0, 1]
    """
    if event.is_empty():
        return pl.Series("cluster", [], dtype=pl.Int64), "event"
    from scipy.sparse import coo_array  # noqa: PLC0415  slow to import
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    place = event.rank("dense").cast(pl.Int64) - 1
    instant = (settled.rank("dense").cast(pl.Int64) - 1).fill_null(0)
    events, instants = event.n_unique(), settled.drop_nulls().n_unique()
    linked = settled.is_not_null().to_numpy()
    ends = place.to_numpy()[linked], instant.to_numpy()[linked] + events
    size = events + instants
    graph = coo_array((linked[linked], ends), shape=(size, size))
    _, component = connected_components(graph, directed=False)
    cluster = pl.Series("cluster", component[place.to_numpy()].astype("int64"))
    found = cluster.n_unique()
    if found == events:
        kind = "event"
    else:
        whole = found == instants and bool(linked.all())
        kind = "settlement instant" if whole else "event or settlement instant"
    return cluster, kind
