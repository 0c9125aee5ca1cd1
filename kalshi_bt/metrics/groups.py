"""Whether a group of trades stands out, when as many groups were looked at as a report shows."""

from typing import Any, Final

import numpy as np
import polars as pl

from kalshi_bt.metrics.arrays import Floats
from kalshi_bt.metrics.book import Book
from kalshi_bt.metrics.clusters import trade_clusters
from kalshi_bt.metrics.intervals import LEAST
from kalshi_bt.metrics.overfitting import false_discovery
from kalshi_bt.schema import Schema
from kalshi_bt.trade_groups import GROUPS
from kalshi_bt.units import MONEY_SCALE

_STILL: Final = 1e-12  # errors smaller than this, in parts of the mean, are none
_COLUMNS: Final[Schema] = {
    "by": pl.String,
    "group": pl.String,
    **dict.fromkeys(("n", "n_clusters", "pnl"), pl.Int64),
    **dict.fromkeys(("mean", "error", "p", "q"), pl.Float64),
}


def grouped(book: Book) -> pl.DataFrame:
    """Return the result of each group of closed trades, and whether it may be luck.

    Parameters
    ----------
    book : Book

    Returns
    -------
    polars.DataFrame
        by (a name of `trade_groups.GROUPS`), group, n (trades), n_clusters, pnl (micro-dollars),
        mean (dollars a trade), error (its standard error by cluster, CR1), p (two-sided, that the
        mean is zero: Student's t with one degree less than clusters), q (p adjusted for all groups
        of the table: among those below a level no larger a share is false on average, whatever the
        groups have to do with each other). Error, p and q are null with fewer than `LEAST` clusters
        or where these do not differ.

    References
    ----------
    Y. Benjamini and D. Yekutieli, Annals of Statistics 29, 2001, doi:10.1214/aos/1013699998; for
    the degrees of freedom A. C. Cameron and D. L. Miller, Journal of Human Resources 50, 2015,
    doi:10.3368/jhr.50.2.317.

    Examples
    --------
    >>> from kalshi_bt.schema import EQUITY, FILLS, ORDERS, TRADES_CLOSED
    >>> idle = Book(orders=ORDERS.empty(), fills=FILLS.empty(), equity=EQUITY.empty(),
    ...             trades_closed=TRADES_CLOSED.empty(), initial_cash=0)
    >>> grouped(idle).is_empty()
    True
    """
    trades = book.trades_closed.join(
        book.context.select("trade_id", "decided", "category", "close_time"),
        on="trade_id",
        how="left",
    ).join(book.once(trade_clusters).markets, on="ticker", how="left")
    made = [pl.DataFrame(schema=_COLUMNS)]
    for name, by in GROUPS.items():
        cells = (
            trades.group_by(by.fill_null("not known").alias("group"), "cluster")
            .agg(pl.len().cast(pl.Int64).alias("n"), pl.col("pnl").sum())
            .sort("group", "cluster")
        )
        rows = [{"by": name, "group": part[0, "group"]} | _judged(part)
                for part in cells.partition_by("group", maintain_order=True)]  # fmt: skip
        made.append(pl.DataFrame(rows, schema=_COLUMNS))
    found = pl.concat(made)
    known = found["p"].is_not_null()
    if not known.any():
        return found
    q = np.full(found.height, np.nan)
    q[known.to_numpy()] = false_discovery(found["p"].drop_nulls().to_numpy(), "by")
    return found.with_columns(q=pl.Series(q).fill_nan(None))


def _judged(cells: pl.DataFrame) -> dict[str, Any]:
    """Return the numbers of a group from its sums by cluster."""
    n, pnl = (cells[name].to_numpy().astype(np.float64) for name in ("n", "pnl"))
    trades, total = int(cells["n"].sum()), int(cells["pnl"].sum())
    mean = total / trades / MONEY_SCALE
    found = {"n": trades, "n_clusters": cells.height, "pnl": total, "mean": mean}
    if cells.height < LEAST:
        return found
    error = _error(pnl / MONEY_SCALE, n, mean)
    if error <= _STILL * abs(mean):
        return found
    from scipy.special import stdtr  # noqa: PLC0415  slow to import

    p = 2 * float(stdtr(cells.height - 1, -abs(mean) / error))
    return found | {"error": error, "p": min(1.0, p)}


def _error(pnl: Floats, n: Floats, mean: float) -> float:
    """Return the standard error of a mean over trades from sums by cluster, CR1."""
    left, count = pnl - mean * n, len(n)
    return float(np.sqrt(left @ left * count / (count - 1)) / n.sum())
