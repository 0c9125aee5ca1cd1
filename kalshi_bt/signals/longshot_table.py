"""The calibration behind `longshot`: what sides paid beyond their price, cell by cell.

A cell is (group, band, side, cent): which markets, in which situation, which side, at which price.
A visit is a decision row of a market in a cell. Prices of one market, and markets of one event,
share one outcome: errors are clustered by event, and every unit but the two that count as the
naive study does takes first visits only. Those are stopping times, so that in a fair market the
mean error is zero whatever made prices move or linger. The mean over all visits of a market is
not: how long it stays at a price depends on how it ends.
"""

import math
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt.schema import Schema, Time
from kalshi_bt.units import over

CELL = ("group", "band", "side", "cent")
TABLE: Schema = {
    "group": pl.String,
    "band": pl.Int32,
    "side": pl.Int8,  # +1 bought YES, -1 bought NO
    "cent": pl.Int32,  # price of that side
    "visits": pl.Int64,
    "events": pl.Float64,  # effective number: (sum of weights)^2 / sum of squared event weights
    "gap": pl.Float64,  # mean payout less mean price, dollars
    "error": pl.Float64,  # standard error of the gap
}
VISITS: Schema = {
    "ticker": pl.String,
    "time": Time,
    "event": pl.String,
    **{name: TABLE[name] for name in CELL},
    "cost": pl.Float64,  # dollars paid for the side
    "weight": pl.Float64,
}
_SUMS = ("visits", "clusters", "m", "x", "mm", "mx", "xx")

Floats = NDArray[np.float64]


def first_visits(visits: pl.LazyFrame, unit: str) -> pl.LazyFrame:
    """Return the visits that count, with their weights.

    Parameters
    ----------
    visits : frame of VISITS without weight
        With `volume` (contracts of the bar; null counts as 0).
    unit : {"event", "market", "trade", "contract"}
        ``event``: the first visit of an event to a cell, markets that come at the same time share
        the weight 1. ``market``: the first visit of each market, weight 1. ``trade``: every row.
        ``contract``: every row by its volume.
    """
    if unit == "trade":
        return visits.with_columns(weight=pl.lit(1.0)).select(list(VISITS))
    if unit == "contract":
        volume = pl.col("volume").fill_null(0.0)
        return visits.with_columns(weight=volume).filter(volume > 0).select(list(VISITS))
    return _first(visits, unit)


def both(earlier: pl.DataFrame, later: pl.DataFrame, unit: str) -> pl.DataFrame:
    """Return the visits that count of two parts of a history, none of the later one before.

    Parameters
    ----------
    earlier, later : frames of VISITS
        As `first_visits` returns them.
    unit : {"event", "market", "trade", "contract"}
        As for `first_visits`.
    """
    visits = pl.concat([earlier, later])
    return visits if unit in {"trade", "contract"} else _first(visits.lazy(), unit).collect()


def _first(visits: pl.LazyFrame, unit: str) -> pl.LazyFrame:
    """Return the visits of each event, or of each market, that came first to their cells."""
    who = "event" if unit == "event" else "ticker"
    came = visits.filter(pl.col("time") == pl.col("time").min().over(who, *CELL))
    return came.with_columns(weight=1 / pl.len().over(who, *CELL)).select(list(VISITS))


def tables(
    history: pl.DataFrame, bandwidth: int, times: Sequence[datetime] | None = None
) -> list[pl.DataFrame]:
    """Return the calibration at each of some times, all in one pass over the history.

    Parameters
    ----------
    history : frame of VISITS
        With `payout` (of one YES, dollars) and, if there are times, `known_at`.
    bandwidth : int
        Cents to either side that count towards a cell, with weights that fall linearly to 0 one
        cent further; 0 for exact cents.
    times : sequence of datetime, rising, optional
        A table uses the visits whose payout was known before its time. Without any, one table of
        the whole history.

    Returns
    -------
    list of frame of TABLE
        Sorted by cell, cents 1 to 99.

    Notes
    -----
    With weight M_e and weighted error X_e of event e in a cell, gap = ΣX/ΣM, and its variance is
    G/(G - 1) Σ(X_e - gap·M_e)²/(ΣM)² over G events, not less than that of independent draws at the
    price, p(1 - p)/events: a cell whose few events ended alike is not known exactly. The sums over
    events of squares are kept up to date as the payouts of an event become known one by one.

    References
    ----------
    K.-Y. Liang and S. L. Zeger, Longitudinal Data Analysis Using Generalized Linear Models,
    Biometrika 73, 1986, doi:10.1093/biomet/73.1.13.
    """
    slots = 1 if times is None else len(times)
    errors = _spread(_errors(history, times).filter(pl.col("slot") < slots), bandwidth)
    sums = _running(errors)
    return [_table(sums.filter(pl.col("slot") <= slot)) for slot in range(slots)]


def _errors(history: pl.DataFrame, times: Sequence[datetime] | None) -> pl.DataFrame:
    """Return visits with what they paid beyond their price, and the first time that knows it."""
    slot = known = np.zeros(history.height, np.int64)
    if times is not None:
        moments = pl.Series(times, dtype=Time).to_physical().to_numpy()
        known = history["known_at"].cast(Time).to_physical().to_numpy()
        slot = np.searchsorted(moments, known, side="right").astype(np.int64)
    paid = pl.when(pl.col("side") > 0).then("payout").otherwise(1 - pl.col("payout"))
    when = {"slot": pl.Series(slot), "known": pl.Series(known)}
    return history.select(*CELL, "event", "weight", **when, off=paid - pl.col("cost"))


def _spread(errors: pl.DataFrame, bandwidth: int) -> pl.DataFrame:
    """Let every visit count towards the cells near its own."""
    reach = range(-bandwidth, bandwidth + 1)
    near = pl.DataFrame(
        {"by": list(reach), "share": [1 - abs(by) / (bandwidth + 1) for by in reach]},
        schema={"by": pl.Int32, "share": pl.Float64},
    )
    spread = errors.join(near, how="cross").with_columns(
        cent=pl.col("cent") + pl.col("by"),
        weight=pl.col("weight") * pl.col("share"),
        own=(pl.col("by") == 0).cast(pl.Int64),
    )
    return spread.filter(pl.col("cent").is_between(1, 99))


def _running(errors: pl.DataFrame) -> pl.DataFrame:
    """Return the sums of each cell after each slot in which one of its payouts became known.

    They are summed in the order in which payouts became known, whatever the slots: fitted at one
    time alone a table is, to the last bit, that of a fit at many.
    """
    cell, w = list(CELL), pl.col("weight")
    events = (
        errors.sort(*CELL, "known", "event", "weight", "off")
        .group_by(*CELL, "known", "event", maintain_order=True)
        .agg(
            pl.col("slot").first(),
            visits=pl.col("own").sum(),
            m=w.sum(),
            x=(w * pl.col("off")).sum(),
        )
    )
    so_far = {name: pl.col(name).cum_sum().over(*CELL, "event") for name in ("m", "x")}
    before = {name: so_far[name] - pl.col(name) for name in ("m", "x")}
    pairs = {"mm": ("m", "m"), "mx": ("m", "x"), "xx": ("x", "x")}
    grown = events.with_columns(
        *(so_far[n].alias(f"{n}_now") for n in ("m", "x")),
        *(before[n].alias(f"{n}_was") for n in ("m", "x")),
        clusters=(pl.int_range(pl.len()).over(*CELL, "event") == 0).cast(pl.Int64),
    ).with_columns(
        (pl.col(f"{a}_now") * pl.col(f"{b}_now") - pl.col(f"{a}_was") * pl.col(f"{b}_was")).alias(n)
        for n, (a, b) in pairs.items()
    )
    sums = grown.with_columns(pl.col(name).cum_sum().over(cell) for name in _SUMS)
    return sums.group_by(*CELL, "slot", maintain_order=True).agg(pl.col(_SUMS).last())


def _table(sums: pl.DataFrame) -> pl.DataFrame:
    """Return the table of the newest sums of each cell."""
    last = sums.group_by(CELL, maintain_order=True).last()
    m, n, r = pl.col("m"), pl.col("clusters"), pl.col("gap")
    price = over(pl.col("cent"), 100)
    left = (pl.col("xx") - 2 * r * pl.col("mx") + r * r * pl.col("mm")).clip(0)
    clustered = pl.when(n > 1).then((left * n / (n - 1)).sqrt() / m).otherwise(0.0)
    found = last.with_columns(gap=pl.col("x") / m, events=m * m / pl.col("mm")).with_columns(
        error=pl.max_horizontal(clustered, (price * (1 - price) / pl.col("events")).sqrt())
    )
    return found.select(pl.col(name).cast(kind) for name, kind in TABLE.items())


def recalibrated(history: pl.DataFrame) -> pl.DataFrame:
    """Return the table of a logistic recalibration of each group, band and side.

    Parameters
    ----------
    history : frame of VISITS
        With `payout`.

    Returns
    -------
    frame of TABLE
        Cents 1 to 99 of every group in which outcomes and prices vary.

    Notes
    -----
    logit P = a + b logit(price), fitted by weighted maximum likelihood with 1/100 of a visit at the
    price for each visit, so that groups without a win have a finite answer. The covariance is the
    sandwich with scores summed by event; the error of a cent follows by the delta method and is not
    less than that of independent draws. `events` is the effective number behind the whole curve.
    """
    found = [pl.DataFrame(schema=TABLE)]
    for key, part in sorted(history.partition_by(CELL[:3], as_dict=True).items()):
        curve = _curve(part)
        if curve is not None:
            found.append(_labelled(curve, key, part.height))
    return pl.concat(found)


def _labelled(curve: pl.DataFrame, key: tuple[object, ...], visits: int) -> pl.DataFrame:
    names = dict(zip(CELL[:3], key, strict=True))
    labels = {name: pl.lit(value) for name, value in names.items()}
    made = curve.with_columns(**labels, visits=pl.lit(visits))
    return made.select(pl.col(name).cast(kind) for name, kind in TABLE.items())


def _curve(part: pl.DataFrame) -> pl.DataFrame | None:
    """Return cent, events, gap and error of one group; None if nothing can be fitted."""
    inside = part.filter(pl.col("cost").is_between(0, 1, closed="none") & (pl.col("weight") > 0))
    if inside["cost"].n_unique() < 2:
        return None
    paid = np.where(inside["side"] > 0, inside["payout"], 1 - inside["payout"])
    cost, weight = inside["cost"].to_numpy(), inside["weight"].to_numpy()
    x = np.column_stack([np.ones_like(cost), np.log(cost / (1 - cost))])
    at, bread = _fitted(x, (paid + 0.01 * cost) / 1.01, 1.01 * weight)
    off = (weight * (paid - 1 / (1 + np.exp(-(x @ at)))))[:, None] * x
    _, of = np.unique(inside["event"].to_numpy(), return_inverse=True)
    scores, mass = np.zeros((of.max() + 1, 2)), np.zeros(of.max() + 1)
    np.add.at(scores, of, off)
    np.add.at(mass, of, weight)
    events = float(mass.sum() ** 2 / (mass**2).sum())
    meat = scores.T @ scores * len(mass) / max(len(mass) - 1, 1)
    spread = bread @ meat @ bread
    cents = np.arange(1, 100)
    price = cents / 100
    points = np.column_stack([np.ones(99), np.log(price / (1 - price))])
    p = 1 / (1 + np.exp(-(points @ at)))
    error = p * (1 - p) * np.sqrt(np.einsum("ij,jk,ik->i", points, spread, points))
    return pl.DataFrame(
        {
            "cent": cents,
            "events": np.full(99, events),
            "gap": p - price,
            "error": np.maximum(error, np.sqrt(price * (1 - price) / events)),
        }
    )


def _fitted(x: Floats, y: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Return coefficients of a logistic regression by Newton's method, and the inverse Hessian."""
    at = np.array([0.0, 1.0])
    inverse = np.eye(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ at, -35, 35)))
        inverse = np.linalg.inv((x * (weight * p * (1 - p))[:, None]).T @ x + 1e-9 * np.eye(2))
        step = inverse @ (x.T @ (weight * (y - p)))
        largest = float(np.abs(step).max())
        at = at + step * min(1.0, 2.0 / max(largest, 1e-300))
        if largest < 1e-10 or not math.isfinite(largest):
            break
    return at, inverse
