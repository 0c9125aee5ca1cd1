"""Tables behind the numbers of a run: what a report draws and a reader exports."""

from typing import Final

import polars as pl

from kalshi_bt.metrics.book import Book, Undefined
from kalshi_bt.metrics.equity import underwater
from kalshi_bt.metrics.forecast import BINS, PARTS, parts_of
from kalshi_bt.metrics.groups import grouped
from kalshi_bt.metrics.inference import evidence_path
from kalshi_bt.metrics.opinions import PRICE, SIGNAL, Opinions, opinions
from kalshi_bt.metrics.reliability import reliability_table
from kalshi_bt.run_schema import FIRST, HORIZONS
from kalshi_bt.schema import Schema

POINTS: Final = (FIRST, *HORIZONS)
_SCORES: Final = (*PARTS, "uncertainty", "log_uncertainty")
_SCORED: Final[Schema] = {
    "point": pl.String,
    "source": pl.String,
    **dict.fromkeys(("n", "n_clusters", "scalar", "unsettled"), pl.Int64),
    **dict.fromkeys(_SCORES, pl.Float64),
}


def tables(book: Book) -> dict[str, pl.DataFrame]:
    """Return the tables behind the numbers, by name.

    Parameters
    ----------
    book : Book

    Returns
    -------
    dict of str to polars.DataFrame
        ``forecast_scores``: a row for each moment at which there are forecasts, of the signal and
        of the price on the same markets: point, source, n, n_clusters, scalar and unsettled (left
        out), and the scores of the metrics of these names (null: does not exist). ``reliability``:
        the same moments, the columns of `reliability.reliability_table` for each bucket.
        ``drawdowns``: each fall from a peak of equity: start (last row at the peak), trough, end
        (row that regained it; null: never), depth (micro-dollars), depth_pct (of the peak;
        null: it was zero), days (to the end of
        the run where it was not regained), deepest first. ``evidence``: time and wealth of the
        bettor behind ``e_value``. ``groups``: as `groups.grouped` returns it.
        ``controls``: that of the book.

    Examples
    --------
    >>> from kalshi_bt.schema import EQUITY, FILLS, ORDERS, TRADES_CLOSED
    >>> idle = Book(orders=ORDERS.empty(), fills=FILLS.empty(), equity=EQUITY.empty(),
    ...             trades_closed=TRADES_CLOSED.empty(), initial_cash=0)
    >>> list(tables(idle))
    ['forecast_scores', 'reliability', 'drawdowns', 'evidence', 'groups', 'controls']
    >>> sum(table.height for table in tables(idle).values())
    0
    """
    judged = {point: opinions(book, point) for point in POINTS}
    return {
        "forecast_scores": _forecast_scores(judged),
        "reliability": _reliability(judged),
        "drawdowns": drawdowns(book),
        "evidence": evidence_path(book),
        "groups": grouped(book),
        "controls": book.controls,
    }


def _forecast_scores(judged: dict[str, Opinions]) -> pl.DataFrame:
    rows = []
    for point, found in judged.items():
        clusters = len(set(found.cluster.tolist()))
        counts = (len(found.outcome), clusters, found.scalar, found.unsettled)
        for source in (SIGNAL, PRICE):
            scores = parts_of(found, source)
            if not isinstance(scores, Undefined):
                values = (scores[name] for name in _SCORES)
                known = (None if isinstance(v, Undefined) else v for v in values)
                rows.append((point, source, *counts, *known))
    return pl.DataFrame(rows, schema=_SCORED, orient="row")


def _reliability(judged: dict[str, Opinions]) -> pl.DataFrame:
    made = [_named(reliability_table([0.5], [1.0]).clear(), "", "")]
    for point, found in judged.items():
        for source in (SIGNAL, PRICE):
            forecast = found.of(source)
            if not isinstance(forecast, Undefined):
                table = reliability_table(forecast, found.outcome, found.cluster, BINS)
                made.append(_named(table, point, source))
    return pl.concat(made)


def _named(table: pl.DataFrame, point: str, source: str) -> pl.DataFrame:
    return table.select(pl.lit(point).alias("point"), pl.lit(source).alias("source"), pl.all())


def drawdowns(book: Book) -> pl.DataFrame:
    """Return each fall from a peak of equity, deepest first, as `tables` describes it."""
    path = book.once(underwater)
    below = pl.col("fall") > 0
    steps = path.with_columns(
        below=below,
        fallen=(below & ~below.shift(1, fill_value=False)).cast(pl.Int64).cum_sum(),
        before=pl.when(~below)
        .then("time")
        .forward_fill()
        .shift(1)
        .fill_null(pl.col("time").first()),
        after=pl.when(~below).then("time").backward_fill(),
        last=pl.col("time").last(),
    )
    deepest = pl.col("fall").arg_max()
    found = (
        steps.filter("below")
        .group_by("fallen", maintain_order=True)
        .agg(
            start=pl.col("before").first(),
            trough=pl.col("time").get(deepest),
            end=pl.col("after").first(),
            depth=pl.col("fall").max(),
            depth_pct=pl.when(pl.col("peak") > 0).then(100 * pl.col("fall") / pl.col("peak")).max(),
            over=pl.coalesce(pl.col("after").first(), pl.col("last").first()),
        )
    )
    days = (pl.col("over") - pl.col("start")).dt.total_microseconds() / 86_400e6
    return (
        found.with_columns(days=days)
        .sort("depth", "start", descending=[True, False])
        .select("start", "trough", "end", "depth", "depth_pct", "days")
    )
