"""Reliability tables: how often contracts paid, bucket by bucket, against what was forecast."""

from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from kalshi_bt.errors import UsageError
from kalshi_bt.metrics.arrays import Floats, codes, pairs
from kalshi_bt.metrics.clustering import cluster_standard_error
from kalshi_bt.metrics.proportions import wilson
from kalshi_bt.metrics.scoring import bin_of

__all__ = ["expected_calibration_error", "reliability_table"]

_COLUMNS: Final = {
    "low": pl.Float64,
    "high": pl.Float64,
    "n": pl.Int64,
    "mean_forecast": pl.Float64,
    "hit_rate": pl.Float64,
    "wilson_low": pl.Float64,
    "wilson_high": pl.Float64,
    "n_clusters": pl.Int64,
    "n_eff": pl.Float64,
    "cluster_low": pl.Float64,
    "cluster_high": pl.Float64,
}


def reliability_table(
    forecast: ArrayLike,
    outcome: ArrayLike,
    clusters: ArrayLike | Any | None = None,
    buckets: int = 10,
    level: float = 0.95,
) -> pl.DataFrame:
    """Return a row for each bucket of forecasts that is not empty, with two intervals.

    Parameters
    ----------
    forecast, outcome : float (n,)
        Probability of YES, and payout of one YES in dollars; each in [0, 1].
    clusters : (n,), optional
        Label of each row's event or settlement instant; None: rows are independent.
    buckets : int
        Equal parts of [0, 1], an edge belonging to the part above it.
    level : float
        Confidence of the intervals.

    Returns
    -------
    polars.DataFrame
        low, high (of the bucket), n, mean_forecast, hit_rate (mean outcome: compare it with the
        mean forecast, never with the middle of the bucket), wilson_low, wilson_high (as if rows
        were independent), n_clusters, n_eff, cluster_low, cluster_high.

    Raises
    ------
    UsageError
        If there is no forecast, lengths differ, one is null, NaN or outside [0, 1], or a setting is
        out of range.

    Notes
    -----
    The cluster interval is Wilson's with n_eff = n/deff rows, deff = n se^2/(q (1 - q)) with q the
    hit rate and se its clustered error (CR1), at least 1. Where a hit rate of 0 or 1, or a single
    cluster, shows no variance, each cluster counts as one row; so it does where n_eff is below 1.

    References
    ----------
    E. L. Korn and B. I. Graubard, Confidence intervals for proportions with small expected number
    of positive counts estimated from survey data, Survey Methodology 24, 1998, there with the exact
    interval; Wilson's as in C. Franco et al., Comparative study of confidence intervals for
    proportions in complex sample surveys, Journal of Survey Statistics and Methodology 7, 2019,
    pmc.ncbi.nlm.nih.gov/articles/PMC6690503. Test: ``ece_bucket_convention``.

    Examples
    --------
    >>> table = reliability_table([0.01, 0.01, 0.02, 0.04, 0.09], [0, 0, 0, 0, 1])
    >>> table.select("n", pl.col("mean_forecast").round(3), "hit_rate").row(0)
    (5, 0.034, 0.2)
    """
    p, y = pairs(forecast, outcome)
    if buckets < 1:
        raise UsageError(f"buckets is {buckets}; expected 1 or more")
    code, _ = codes(np.arange(len(p)) if clusters is None else clusters, "clusters", len(p))
    bucket = bin_of(p, buckets)
    rows = []
    for each in np.unique(bucket):
        own = bucket == each
        rate, n, events = float(y[own].mean()), int(own.sum()), len(np.unique(code[own]))
        n_eff = _effective(y[own], code[own], events)
        rows.append(
            (
                *(each / buckets, (each + 1) / buckets, n, float(p[own].mean()), rate),
                *wilson(rate * n, n, level),
                *(events, n_eff, *wilson(rate * n_eff, n_eff, level)),
            )
        )
    return pl.DataFrame(rows, schema=_COLUMNS, orient="row")


def expected_calibration_error(table: pl.DataFrame) -> float:
    """Return the mean distance of hit rates to mean forecasts, buckets weighing as their rows.

    Parameters
    ----------
    table : polars.DataFrame
        As `reliability_table` returns it.

    Returns
    -------
    float
        Dollars; never 0 by luck alone, and larger the fewer the rows of a bucket.

    Examples
    --------
    >>> table = reliability_table([0.1, 0.1, 0.9, 0.9], [0, 1, 1, 1])
    >>> round(expected_calibration_error(table), 3)
    0.25
    """
    gap = (table["hit_rate"] - table["mean_forecast"]).abs().to_numpy()
    return float(np.average(gap, weights=table["n"].to_numpy()))


def _effective(y: Floats, code: Any, events: int) -> float:
    """Return how many independent rows say as much."""
    spread, n = float(y.mean() * (1 - y.mean())), len(y)
    if events == n:
        return float(n)
    if events < 2 or spread <= 0:
        return float(events)
    effect = n * cluster_standard_error(y, code) ** 2 / spread
    found = n / max(1.0, effect)
    return found if found >= 1 else float(events)
