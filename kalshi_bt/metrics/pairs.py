"""Where the difference between two runs lies: what is independent is resampled for both at once.

Two runs on the same markets win and lose together, so their difference is known better than either.
A cluster that only one of them traded counts as nothing for the other.
"""

from statistics import NormalDist

import numpy as np
import polars as pl

from kalshi_bt.metrics.arrays import Floats
from kalshi_bt.metrics.book import Book, Interval, Undefined
from kalshi_bt.metrics.clustering import FEW
from kalshi_bt.metrics.clusters import coarser, traded_markets
from kalshi_bt.metrics.intervals import LEAST, LEVEL, MANY, RESAMPLES, SEED
from kalshi_bt.metrics.resampling import bca_ends, resampled_sums
from kalshi_bt.units import format_money

__all__ = ["PAIRED", "paired_differences", "paired_sums"]

_SUMS = ("pnl", "n", "wins", "decided", "stake")
_ONE = "one"  # the sum of it is one in every resample: a total, not a mean
PAIRED = {  # of the closed trades: sum over sum
    "net_pnl": ("pnl", _ONE),
    "expectancy": ("pnl", "n"),
    "win_rate": ("wins", "decided"),
    "roi_stake": ("pnl", "stake"),
}
_MONEY = {"net_pnl", "expectancy"}
_SAME = 1e-12  # numbers closer than this, in parts, do not vary


def paired_sums(first: Book, second: Book) -> tuple[pl.DataFrame, str]:
    """Return sums over the closed trades of two runs, a row a cluster that either traded.

    Returns
    -------
    sums : polars.DataFrame
        pnl, n, wins, decided, stake of the first run, and of the second with the suffix ``_2``;
        zero where a run did not trade.
    kind : str
        What makes a cluster: event, settlement instant or either.
    """
    both = pl.concat(
        book.once(traded_markets).select("event", "settled", *_SUMS, run=pl.lit(run))
        for run, book in enumerate((first, second))
    )
    cluster, kind = coarser(both["event"], both["settled"])
    sums = [
        pl.col(name).filter(pl.col("run") == run).sum().alias(name if run == 0 else f"{name}_2")
        for run in (0, 1)
        for name in _SUMS
    ]
    grouped = both.with_columns(cluster=cluster).group_by("cluster").agg(sums).sort("cluster")
    return grouped.drop("cluster"), kind


def paired_differences(first: Book, second: Book) -> dict[str, Interval | Undefined]:
    """Return where the second run less the first lies, by what is independent.

    Parameters
    ----------
    first, second : Book
        Of their closed trades and, where known, the times of settlement.

    Returns
    -------
    dict of str to Interval or Undefined
        Of net P&L (of closed trades: with open positions it says nothing of them), expectancy, win
        rate and return on stake. BCa ends of resamples of whole clusters up to 2,000 clusters, the
        normal limit with errors by cluster (CR1) beyond; a reason where there are fewer than 5
        clusters, they do not differ, or a resample has no such number.

    References
    ----------
    As for `resampling.paired_bootstrap`.
    """
    sums, kind = paired_sums(first, second)
    if sums.height < LEAST:
        few = Undefined(f"{sums.height} independent clusters ({kind}): an interval needs {LEAST}")
        return dict.fromkeys(PAIRED, few)
    table = sums.to_numpy().astype(np.float64)
    names = dict(zip(sums.columns, range(sums.width), strict=True))
    drawn = resampled_sums(table, RESAMPLES, SEED) if sums.height <= MANY else None
    return {metric: _difference(metric, table, drawn, names, kind) for metric in PAIRED}


def _difference(
    metric: str, table: Floats, drawn: Floats | None, names: dict[str, int], kind: str
) -> Interval | Undefined:
    whole = table.sum(axis=0)
    count = len(table)
    if drawn is None:
        found = _by_normal(metric, table, names)
    else:
        every = [_at(metric, sums, names) for sums in (whole[None], whole - table, drawn)]
        if not all(np.isfinite(values).all() for values in every):
            return Undefined("some resamples of the clusters have no such number")
        estimate, left_out, resampled = every
        same = np.ptp(resampled) <= _SAME * np.abs(resampled).max()
        found = None if same else bca_ends(resampled, float(estimate[0]), left_out, LEVEL)
    if found is None:
        return Undefined("the clusters do not differ: resampling cannot say where it lies")
    low, high = (format_money(round(end)) if metric in _MONEY else end for end in found)
    method = f"normal limit, errors by cluster (CR1), as there are more than {MANY:,}"
    if drawn is not None:
        method = f"paired bootstrap of whole clusters (BCa), {RESAMPLES:,} resamples"
        method += f"; fewer than {FEW} clusters: may be too short" if count < FEW else ""
    return Interval(low, high, LEVEL, method, kind, count)


def _at(metric: str, sums: Floats, names: dict[str, int]) -> Floats:
    """Return the second run less the first at sums (rows, columns)."""
    top, bottom = PAIRED[metric]
    with np.errstate(divide="ignore", invalid="ignore"):
        values = [
            sums[:, names[top + run]] / (1.0 if bottom == _ONE else sums[:, names[bottom + run]])
            for run in ("", "_2")
        ]
        found: Floats = values[1] - values[0]
    return found


def _by_normal(metric: str, table: Floats, names: dict[str, int]) -> tuple[float, float] | None:
    """Return the ends by the delta method; None where clusters do not differ."""
    top, bottom = PAIRED[metric]
    count, middle, pull = len(table), 0.0, np.zeros(len(table))
    for sign, run in ((-1, ""), (1, "_2")):
        values = table[:, names[top + run]]
        if bottom == _ONE:
            pull += sign * (values - values.mean())
            middle += sign * float(values.sum())
            continue
        weights = table[:, names[bottom + run]]
        if not weights.any():
            return None
        ratio = float(values.sum() / weights.sum())
        pull += sign * (values - ratio * weights) / weights.sum()
        middle += sign * ratio
    error = float(np.sqrt(count / (count - 1) * (pull @ pull)))
    if error <= _SAME * abs(middle):
        return None
    reach = NormalDist().inv_cdf((1 + LEVEL) / 2) * error
    return middle - reach, middle + reach
