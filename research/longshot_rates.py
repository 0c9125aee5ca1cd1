"""Win rate, excess and mispricing of what hangs together in clusters."""

import math

import polars as pl

from kalshi_bt.metrics import cluster_standard_error

WIDTH = 1.96  # standard errors to either side
FEW = 30  # clusters
FLAT = 1e-12  # errors below are those of floats: nothing varied


def rates(groups: pl.DataFrame) -> dict[str, float]:
    """Return win rate, excess and mispricing with 95 % intervals of clustered errors.

    Parameters
    ----------
    groups : frame
        cluster, and summed over what is in it: w (how much counts), x (payout less price, dollars)
        and c (price, dollars).

    Returns
    -------
    dict
        clusters, price (mean, dollars), win_rate (mean payout), excess (dollars a unit of w),
        mispricing (the same a dollar of price); error, low and high of the excess, and with
        their names before them of the others; NaN where one cluster, or no spread, tells nothing.

    Examples
    --------
    >>> rows = {"cluster": ["a", "b"], "w": [1.0, 1.0], "x": [0.9, -0.1], "c": [0.1, 0.1]}
    >>> found = rates(pl.DataFrame(rows))
    >>> round(found["win_rate"], 3), round(found["mispricing"], 3), round(found["error"], 3)
    (0.5, 4.0, 0.5)
    """
    w, x, c = (groups[name].cast(pl.Float64) for name in "wxc")
    count = groups["cluster"].n_unique()
    found = {"clusters": count, "price": c.sum() / w.sum()}
    ratios = (("excess", "", x, w), ("win_rate", "win_rate_", x + c, w),
              ("mispricing", "mispricing_", x, c))  # fmt: skip
    for name, prefix, top, bottom in ratios:
        mean, error = top.sum() / bottom.sum(), 0.0
        if count > 1:
            error = cluster_standard_error(top.to_numpy(), groups["cluster"], bottom.to_numpy())
        error = error if error > FLAT else math.nan
        found |= {name: mean, f"{prefix}error": error}
        found |= {f"{prefix}low": mean - WIDTH * error, f"{prefix}high": mean + WIDTH * error}
    return found


def each_cent(groups: pl.DataFrame) -> pl.DataFrame:
    """Return the rates of each role and cent.

    Parameters
    ----------
    groups : frame
        As of `rates`, with role and cent.

    Returns
    -------
    frame
        role, cent, count (of w), what `rates` returns, few; sorted.
    """
    rows = [
        {"role": role, "cent": cent, "count": float(part["w"].sum()), **rates(part)}
        for (role, cent), part in groups.partition_by("role", "cent", as_dict=True).items()
    ]
    return pl.DataFrame(rows).sort("role", "cent").with_columns(few=pl.col("clusters") < FEW)
