"""Is there a longshot bias, and where? By category, horizon, role and season, with intervals.

    python research/longshot.py DATASET [--table FILE.csv] [--figure FILE.html]

Question. Do sides bought for 20 cents or less pay back less than they cost, do those bought for 80
cents or more pay back more, and does the second survive the fee?

Test, stated before the data were looked at. One of them: over all settled markets of a dataset, the
mean of payout less price of sides that takers bought at 1-20 cents is below zero at the 5 % level,
one-sided (t < -1.645). Everything else is a description: intervals are of 95 %, and `adjusted` is
the two-sided p-value of a row after Holm's correction for all rows of takers, so that no category
or quarter is singled out because it happened to look best. Makers hold the other sides of the same
visits: their rows are mirror images and no further tests.

What counts. Each market counts once per role, side and cent, the first time it is there. Nothing of
the outcome is known at that moment, so that fair prices give zero whatever makes them linger;
averages over all trades, or all bars, of a market do not. Markets of one event share its outcome,
and events that end at the same instant often share what decides them (six coins, one quarter hour;
five cities, one day): all of them are one cluster. Errors are clustered so; with fewer than 30
clusters (`few`) they are too small. Clusters were events alone until the first tables were seen;
the wider ones changed no answer.

Roles. With trades: the taker at the price of the side bought, the maker at that of the other side.
Without: a taker at the quotes, and a maker who is taken to be filled at the other one, always,
which no maker is. `net` takes the usual taker fee of 0.07 p(1 - p) off; makers pay none here.

Horizon: hours to the scheduled close; where no schedule is known, to when trading ended, which was
known only afterwards. Season: the quarter of the year in New York. A breakdown with one value only
says no more than all rows together and is left out.
"""

import argparse
import math
import sys
from pathlib import Path

import polars as pl

from kalshi_bt.data.panel import panel
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError
from kalshi_bt.signals.longshot import Longshot

BANDS = {"longshot": (1, 20), "middle": (21, 79), "favourite": (80, 99)}
HORIZONS = {"up to 1 h": 1, "1 h to 1 day": 24, "1 day to 1 week": 168, "over 1 week": math.inf}
MIRROR = {"longshot": "favourite", "middle": "middle", "favourite": "longshot"}
FEE = {"taker": 0.07, "maker": 0.0}
LEVEL = -1.645  # one-sided 5 % of a normal distribution
WIDTH = 1.96
FEW = 30
BREAKDOWNS = ("all", "category", "horizon", "season")
FIRST = Longshot(group="all", unit="market", bandwidth=0, min_price=0.005, max_price=0.995)


def of_trades(store: Store) -> pl.DataFrame:
    """Return the first visit of each market, role, side and cent among its trades.

    Returns
    -------
    frame
        ticker, time, role, side (+1 YES), cent, cost (dollars).
    """
    seen = store.scan("trades", ordered=False)
    settled = store.scan("settlements", ordered=False).select("ticker")
    seen = seen.join(settled, on="ticker", how="semi")
    parts = []
    for role, sign in (("taker", 1), ("maker", -1)):
        side = pl.col("taker_side") * sign
        price = pl.col("price").cast(pl.Int64)
        cost = pl.when(side > 0).then(price).otherwise(10_000 - price)
        made = seen.select("ticker", "time", "trade_id", role=pl.lit(role), side=side, cost=cost)
        cell = ["ticker", "role", "side", "cent"]
        first = made.with_columns(cent=(pl.col("cost") + 50) // 100).group_by(cell)
        parts.append(first.agg(pl.col("time", "cost").sort_by("time", "trade_id").first()))
    found = pl.concat(parts).filter(pl.col("cent").is_between(1, 99)).collect()
    return found.with_columns(pl.col("cost") / 10_000)


def of_quotes(store: Store) -> pl.DataFrame:
    """Return the same of quotes: a taker pays the ask, a maker the bid of the side."""
    quotes = panel(store).quotes()
    swapped = quotes.with_columns(bid=pl.col("ask"), ask=pl.col("bid"))
    parts = [
        FIRST.samples(frame).select("ticker", "time", "side", "cent", "cost", role=pl.lit(role))
        for role, frame in (("taker", quotes), ("maker", swapped))
    ]
    return pl.concat(parts).collect()


def visits(store: Store) -> pl.DataFrame:
    """Return the visits of settled markets with what describes them and what they paid.

    Returns
    -------
    frame
        cluster, role, band, all, category, horizon, season, excess (dollars a contract) and net.
    """
    traded = store.scan("trades").head(1).collect().height > 0
    seen = of_trades(store) if traded else of_quotes(store)
    markets = store.read("markets", ["ticker", "event", "series", "close_time"])
    ended = store.read("settlements", ["ticker", "close_time", "payout"])
    kinds = store.read("series", ["series", "category"]).unique("series", keep="last")
    told = (
        seen.join(markets, on="ticker")
        .join(ended.rename({"close_time": "ended"}), on="ticker")
        .join(kinds, on="series", how="left")
        .filter(pl.col("time") <= pl.col("ended"))  # a later row may know the outcome
    )
    left = (pl.coalesce("close_time", "ended") - pl.col("time")).dt.total_seconds() / 3_600
    local = pl.col("time").dt.convert_time_zone("America/New_York")
    cent, paid = pl.col("cent"), pl.col("payout") / 10_000
    band = pl.coalesce(
        pl.when(cent.is_between(low, high)).then(pl.lit(name))
        for name, (low, high) in BANDS.items()
    )
    fee = pl.col("role").replace_strict(FEE) * pl.col("cost") * (1 - pl.col("cost"))
    return (
        told.with_columns(
            cluster=pl.col("ended").max().over("event"),
            all=pl.lit("all"),
            band=band,
            category=pl.col("category").fill_null("not known"),
            horizon=pl.coalesce(
                pl.when(left <= most).then(pl.lit(name)) for name, most in HORIZONS.items()
            ),
            season=pl.format("{}Q{}", local.dt.year(), local.dt.quarter()),
            excess=pl.when(pl.col("side") > 0).then(paid).otherwise(1 - paid) - pl.col("cost"),
        )
        .with_columns(net=pl.col("excess") - fee)
        .select("cluster", "role", "band", *BREAKDOWNS, "excess", "net")
    )


def study(seen: pl.DataFrame) -> pl.DataFrame:
    """Return mean excess and its interval for each breakdown, role and band.

    Parameters
    ----------
    seen : frame as of `visits`

    Returns
    -------
    frame
        by, value, role, band, clusters, visits, excess, error, low, high (dollars a contract), t,
        adjusted, net, few.

    Notes
    -----
    With W_g visits and gain X_g in cluster g of G: r = ΣX/ΣW, and its variance is
    G/(G - 1) Σ(X_g - r·W_g)²/(ΣW)².
    """
    rows = []
    for by in BREAKDOWNS:
        if by != "all" and seen[by].n_unique() < 2:
            continue
        for (value, role, band), part in sorted(
            seen.partition_by(by, "role", "band", as_dict=True).items()
        ):
            groups = part.group_by("cluster", maintain_order=True).agg(
                w=pl.len(), x=pl.col("excess").sum(), net=pl.col("net").sum()
            )
            weight, count = part.height, groups.height
            mean = float(groups["x"].sum()) / weight
            off = groups["x"] - mean * groups["w"]
            left = float((off * off).sum()) * count / max(count - 1, 1)
            error = math.sqrt(left) / weight if count > 1 and left > 0 else math.nan
            net = float(groups["net"].sum()) / weight
            rows.append((by, value, role, band, count, weight, mean, error, net))
    names = ["by", "value", "role", "band", "clusters", "visits", "excess", "error", "net"]
    found = pl.DataFrame(rows, schema=names, orient="row").with_columns(
        low=pl.col("excess") - WIDTH * pl.col("error"),
        high=pl.col("excess") + WIDTH * pl.col("error"),
        t=pl.col("excess") / pl.col("error"),
        few=pl.col("clusters") < FEW,
    )
    takers = found.filter(role="taker")
    p = takers.select("by", "value", "band", adjusted=pl.Series(holm(takers["t"].to_list())))
    mirrored = pl.col("band").replace_strict(MIRROR)
    found = found.with_columns(
        at=pl.when(pl.col("role") == "taker").then("band").otherwise(mirrored)
    )
    keys = {"left_on": ["by", "value", "at"], "right_on": ["by", "value", "band"]}
    return found.join(p, how="left", maintain_order="left", **keys).drop("at")


def holm(scores: list[float]) -> list[float]:
    """Return two-sided p-values of normal scores, adjusted for their number; NaN stays.

    Examples
    --------
    >>> [round(p, 4) for p in holm([-2.5758, 1.96])]
    [0.02, 0.05]
    """
    order = sorted(
        (i for i, t in enumerate(scores) if not math.isnan(t)), key=lambda i: -abs(scores[i])
    )
    found, largest = [math.nan] * len(scores), 0.0
    for rank, i in enumerate(order):
        p = math.erfc(abs(scores[i]) / math.sqrt(2)) * (len(order) - rank)
        largest = max(largest, min(p, 1.0))
        found[i] = largest
    return found


def verdict(table: pl.DataFrame) -> str:
    """Return the answer to the pre-stated test in one line."""
    row = table.filter(by="all", role="taker", band="longshot")
    if row.is_empty() or math.isnan(row["t"][0]):
        return "longshot bias of takers: not testable here"
    t, few = row["t"][0], " (fewer than 30 clusters)" if row["few"][0] else ""
    return f"longshot bias of takers: {'yes' if t < LEVEL else 'not shown'}, t {t:+.2f}{few}"


def after_fees(table: pl.DataFrame) -> str:
    """Return in one line what favourites paid takers after the fee."""
    row = table.filter(pl.col("error").is_not_nan(), by="all", role="taker", band="favourite")
    if row.is_empty():
        return "favourites after the fee: not measurable here"
    net, error = row["net"][0], row["error"][0]
    low, high = 100 * (net - WIDTH * error), 100 * (net + WIDTH * error)
    found = "a gain" if low > 0 else "a loss" if high < 0 else "neither gain nor loss shown"
    return f"favourites after the fee: {100 * net:+.2f} [{low:+.2f}, {high:+.2f}] cents: {found}"


def draw(table: pl.DataFrame, path: Path) -> None:
    """Write the intervals of longshots and favourites as a page."""
    import plotly.graph_objects as go  # noqa: PLC0415 - only where a figure is asked for

    figure = go.Figure(layout_title_text="Payout less price, 95 % intervals of clustered errors")
    for role in FEE:
        for band in ("longshot", "favourite"):
            part = table.filter(pl.col("error").is_not_nan(), role=role, band=band)
            figure.add_scatter(
                x=(part["excess"] * 100).to_list(),
                y=[f"{by}: {value}" for by, value in part.select("by", "value").iter_rows()],
                error_x={"array": (part["error"] * 100 * WIDTH).to_list()},
                mode="markers",
                name=f"{role}, {band}",
            )
    figure.update_xaxes(title="cents a contract, gross of fees")
    figure.write_html(path, include_plotlyjs=True, div_id="longshot")


def main() -> None:
    """Print the table and the answer; write table and figure where asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--table", type=Path, help="a CSV file for every row")
    parser.add_argument("--figure", type=Path, help="an HTML file")
    given = parser.parse_args()
    try:
        store = Store.open(given.dataset)
        seen = visits(store)
    except DataError as error:
        sys.exit(str(error))
    if seen.is_empty():
        sys.exit(f"{store.name} has no prices of settled markets")
    table = study(seen)
    if given.table:
        table.write_csv(given.table)
    if given.figure:
        draw(table, given.figure)
    note = " (synthetic data)" if store.synthetic else ""
    print(f"{store.name}{note}: cents a contract, first visits, clustered errors")
    for row in table.filter(pl.col("band") != "middle").iter_rows(named=True):
        low, high, mean, net = (100 * row[name] for name in ("low", "high", "excess", "net"))
        print(
            f"{row['by']:9}{row['value'][:20]:21}{row['role']:6} {row['band']:10}"
            f"{row['clusters']:>6} clusters{row['visits']:>8} visits"
            f"  {mean:+6.2f} [{low:+6.2f}, {high:+6.2f}]  net {net:+6.2f}"
            f"  p {row['adjusted']:.3f}{'  few' if row['few'] else ''}"
        )
    print(verdict(table))
    print(after_fees(table))


if __name__ == "__main__":
    main()
