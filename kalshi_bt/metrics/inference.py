"""Whether the closed trades show an edge at all, with what settles together taken as one bet."""

import math
from statistics import NormalDist

import numpy as np
import polars as pl

from kalshi_bt.metrics.book import Book, Metric, Undefined, Value
from kalshi_bt.metrics.clustering import cluster_standard_error
from kalshi_bt.metrics.clusters import trade_clusters
from kalshi_bt.metrics.controls import side_permutation
from kalshi_bt.metrics.evidence import EProcess, e_process
from kalshi_bt.metrics.intervals import LEAST, MANY
from kalshi_bt.metrics.trading import NO_TRADE

POWER, LEVEL = 0.8, 0.05

_FEW = f"fewer than {LEAST} independent clusters of trades"


def evidence(book: Book) -> EProcess | Undefined:
    """Return the evidence of an edge after costs, updated once a cluster at its settlement.

    A part of wealth is spread over the trades of a cluster as their costs were, fees included;
    nobody loses more than that.
    """
    sums = _at_cost(book)
    if sums.is_empty():
        return Undefined(NO_TRADE)
    back = (1 + sums["pnl"] / sums["cost"]).clip(lower_bound=0).to_numpy()
    cost = 1 / np.maximum(back, 1)  # only payout over cost counts, and either is a dollar at most
    return e_process(np.minimum(back * cost, 1), cost)


def evidence_path(book: Book) -> pl.DataFrame:
    """Return time and wealth of the bettor after each cluster; no row without a trade."""
    found = book.once(evidence)
    path = pl.Series([] if isinstance(found, Undefined) else found.path, dtype=pl.Float64)
    return pl.DataFrame({"time": _at_cost(book)["last"], "wealth": path})


def _at_cost(book: Book) -> pl.DataFrame:
    return book.once(trade_clusters).sums.filter(pl.col("cost") > 0)


def _evidence(part: str, book: Book) -> Value:
    found = book.once(evidence)
    return found if isinstance(found, Undefined) else float(getattr(found, part))


def _permutation_p(book: Book) -> Value:
    pnl = book.once(trade_clusters).sums["pnl"].to_numpy().astype(np.float64)
    if len(pnl) < LEAST:
        return Undefined(_FEW)
    if not pnl.any():
        return Undefined("every cluster ended at zero")
    if len(pnl) > MANY:
        return NormalDist().cdf(-float(pnl.sum()) / math.sqrt(float(pnl @ pnl)))
    return side_permutation(np.ones_like(pnl), pnl, -pnl, np.arange(len(pnl))).p_value


def _power_trades(book: Book) -> Value:
    sums = book.once(trade_clusters).sums
    if sums.height < LEAST:
        return Undefined(_FEW)
    pnl, n = (sums[name].to_numpy().astype(np.float64) for name in ("pnl", "n"))
    mean = float(pnl.sum() / n.sum())
    if mean <= 0:
        return Undefined("expectancy is not above zero")
    error = cluster_standard_error(pnl, np.arange(len(pnl)), n)
    if error <= 1e-12 * mean:
        return Undefined("the clusters do not differ: no error can be estimated")
    quantile = NormalDist().inv_cdf
    reach = quantile(1 - LEVEL) + quantile(POWER)
    return math.ceil(float(n.sum()) * (reach * error / mean) ** 2)


INFERENCE: dict[str, Metric] = {
    "e_value": Metric(
        lambda b: _evidence("final", b),
        "ratio",
        "cluster",
        "Wealth from 1 of a bettor who bets that there is an edge after costs, updated once a "
        "cluster at its settlement: 20 would be evidence at 5 %.",
        "doi:10.1111/rssa.12647",
    ),
    "e_process_p": Metric(
        lambda b: _evidence("anytime_p", b),
        "probability",
        "cluster",
        "One over the highest such wealth: a p-value that is valid whenever one stops.",
        "doi:10.1111/rssa.12647",
    ),
    "permutation_p": Metric(
        _permutation_p,
        "probability",
        "cluster",
        "How often P&L is as high when the gain or loss of each cluster has its sign drawn.",
        "doi:10.2202/1544-6115.1585",
    ),
    "power_trades": Metric(
        _power_trades,
        "trades",
        "cluster",
        "Closed trades needed to find this expectancy above zero in 80 of 100 cases at 5 %, "
        "one-sided, with errors by cluster.",
        "doi:10.3368/jhr.50.2.317",
    ),
}
