"""Is there a longshot bias, and where? By category, horizon, role and season, with intervals.

    python research/longshot.py DATASET... [--table FILE.csv] [--figure FILE.html]

Question. Do sides bought for 20 cents or less pay back less than they cost, do those bought for 80
cents or more pay back more, and does the second survive the fee?

Test, stated before the data were looked at. One of them: over all settled markets of a dataset, the
mean of payout less price of sides that takers bought at 1-20 cents is below zero at the 5 % level,
one-sided (t < -1.645). Everything else is a description: intervals are of 95 %, and `adjusted` is
the two-sided p-value of a row after Holm's correction for all rows of takers (and of prices), so
that no category or quarter is singled out because it happened to look best. Makers hold the other
sides of the same visits: their rows are mirror images and no further tests. Expected: a bias in
temperature brackets when they open; nothing left after fees in quarter hours of coins.

What counts. Weight *visit*: each market counts once per role, side and cent, the first time it is
there. Weight *event* (`each`): each cluster once per role and band, by what is first there. Nothing
of the outcome is known at either moment, so that fair prices give zero whatever makes them linger;
averages over all trades, or all bars, of a market do not (`longshot_by_cent.py` shows those, by
trade, contract, dollar and event). Markets of one event share its outcome, and events that end at
the same instant often share what decides them (six coins, one quarter hour; five cities, one day):
all of them are one cluster. Errors are clustered so; with fewer than 30 clusters (`few`) they are
too small. Clusters were events alone until the first tables were seen; the wider ones changed no
answer.

Roles. With trades: the taker at the price of the side bought, the maker at that of the other side.
Without: a taker at the quotes, and a maker who is taken to be filled at the other one, always,
which no maker is. `net` takes the usual taker fee of 0.07 p(1 - p) off; makers pay none here. A
taker of quotes pays half the spread at both ends, which is no bias: the role `price` is what the
price itself says, the middle of quotes at most ten cents apart, or a trade whoever took it.

Horizon: time to the scheduled close; where no schedule is known, to when trading ended, which was
known only afterwards. Season: the quarter of the year in New York. A breakdown with one value only
says no more than all rows together and is left out.

Found, on all recorded datasets with prices and results; cents a contract, prices, weight visit
unless it says event.

Temperature, first trades of 99 days: longshots -4.7 [-6.6, -2.8], favourites +4.7; by event -5.6
[-8.5, -2.7]. A bias, as expected. Hours of New York's brackets from the first bar on (94 days): 0.1
[-2.3, 2.5], and takers lose at both ends: nothing after the open.
Quarter hours of coins (2,250 closes): longshots -1.1 [-1.9, -0.3], favourites +1.2 [+0.4, +2.0]
before the spread; takers of favourites +0.1 [-0.8, +1.0], net of the fee -0.5 [-1.3, +0.4]: takers
of longshots lose (-1.9), nobody gains, as expected. By horizon: longshots -0.9 [-1.6, -0.1] in the
last five minutes, -1.4 [-2.6, -0.2] before. By quarter: -0.8 [-1.9, 0.2] in the second of 2026,
-1.8 [-3.0, -0.6] in the third; net of the fee takers of favourites gain in neither.
Basketball by the hour (268 games): 0.5 [-3.9, 4.8]. What takers of favourites lose there, -6.2
[-10.3, -2.0], is the spread, 8.7 cents on average where they bought.
Not answers: the tapes of three days of sports (longshots +8.7 [+4.4, +13.1]) and of index closes
(+2.0 [-1.7, +5.6]) hold markets that were chosen for what became of them (over by the hour of the
recording; strikes near the close). Baseball has three quotes outside 20 to 80 cents, and the table
of first prices by category is of chosen cells.
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
HORIZONS = {
    "up to 5 min": 1 / 12,
    "5 min to 1 h": 1,
    "1 h to 1 day": 24,
    "1 day to 1 week": 168,
    "over 1 week": math.inf,
}
MIRROR = {"longshot": "favourite", "middle": "middle", "favourite": "longshot"}
FEE = {"taker": 0.07, "maker": 0.0, "price": 0.0}
LEVEL = -1.645  # one-sided 5 % of a normal distribution
WIDTH = 1.96
WIDEST = 0.10  # dollars from bid to ask; the middle of more is nobody's price
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
    taken, each = pl.col("taker_side"), pl.lit(1, pl.Int8)
    for role, side in (("taker", taken), ("maker", -taken), ("price", each), ("price", -each)):
        price = pl.col("price").cast(pl.Int64)
        cost = pl.when(side > 0).then(price).otherwise(10_000 - price)
        made = seen.select("ticker", "time", "trade_id", role=pl.lit(role), side=side, cost=cost)
        cell = ["ticker", "role", "side", "cent"]
        first = made.with_columns(cent=(pl.col("cost") + 50) // 100).group_by(cell)
        parts.append(first.agg(pl.col("time", "cost").sort_by("time", "trade_id").first()))
    found = pl.concat(parts).filter(pl.col("cent").is_between(1, 99)).collect()
    return found.with_columns(pl.col("cost") / 10_000)


def of_quotes(store: Store) -> pl.DataFrame:
    """Return the same of quotes: a taker pays the ask, a maker the bid, the price is the middle."""
    quotes = panel(store).quotes()
    swapped = quotes.with_columns(bid=pl.col("ask"), ask=pl.col("bid"))
    near = pl.when(pl.col("ask") - pl.col("bid") <= WIDEST).then("mid")
    middle = quotes.with_columns(bid=near, ask=near)
    parts = [
        FIRST.samples(frame).select("ticker", "time", "side", "cent", "cost", role=pl.lit(role))
        for role, frame in (("taker", quotes), ("maker", swapped), ("price", middle))
    ]
    return pl.concat(parts).collect()


def of_first_prices(store: Store) -> pl.DataFrame:
    """Return the first price of each market, of both sides, where nothing else was recorded."""
    first = store.scan("references", ordered=False).filter(pl.col("field") == "first_price")
    seen = first.sort("time").group_by("symbol").agg(pl.col("time", "value").first())
    parts = [
        seen.select(
            "time",
            ticker="symbol",
            role=pl.lit("price"),
            side=pl.lit(sign, pl.Int8),
            cost="value" if sign > 0 else 1 - pl.col("value"),
        )
        for sign in (1, -1)
    ]
    found = pl.concat(parts).with_columns(cent=(pl.col("cost") * 100 + 0.5).floor().cast(pl.Int64))
    return found.filter(pl.col("cent").is_between(1, 99)).collect()


def recorded(store: Store) -> pl.DataFrame:
    """Return the visits of the best that a dataset has: trades, quotes, or first prices."""
    if store.scan("trades").head(1).collect().height:
        return of_trades(store)
    if any(store.scan(table).head(1).collect().height for table in ("candles", "books")):
        return of_quotes(store)
    return of_first_prices(store)


def visits(store: Store) -> pl.DataFrame:
    """Return the visits of settled markets with what describes them and what they paid.

    Returns
    -------
    frame
        cluster, time, role, band, all, category, horizon, season, excess (dollars a contract), net.
    """
    markets = store.read("markets", ["ticker", "event", "series", "close_time"])
    ended = store.read("settlements", ["ticker", "close_time", "payout"])
    kinds = store.read("series", ["series", "category"]).unique("series", keep="last")
    told = (
        recorded(store)
        .select("ticker", "time", "role", "side", "cent", "cost")
        .join(markets, on="ticker")
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
        .select("cluster", "time", "role", "band", *BREAKDOWNS, "excess", "net")
    )


def study(seen: pl.DataFrame) -> pl.DataFrame:
    """Return mean excess and its interval for each breakdown, role and band.

    Parameters
    ----------
    seen : frame as of `visits`

    Returns
    -------
    frame
        by, value, role, band, clusters, visits, excess, error, low, high (dollars a contract,
        weight: visit), t, adjusted, net, few, and each, each_error, each_low, each_high (weight:
        event, of each cluster its first visits alone).

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
            opened = pl.col("time") == pl.col("time").min()
            groups = part.group_by("cluster", maintain_order=True).agg(
                w=pl.len(),
                x=pl.col("excess").sum(),
                net=pl.col("net").sum(),
                first=pl.col("excess").filter(opened).mean(),
            )
            weight, count = part.height, groups.height
            mean = float(groups["x"].sum()) / weight
            off = groups["x"] - mean * groups["w"]
            left = float((off * off).sum()) * count / max(count - 1, 1)
            error = math.sqrt(left) / weight if count > 1 and left > 0 else math.nan
            net = float(groups["net"].sum()) / weight
            each = groups["first"].to_numpy()
            spread = float(each.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
            once = float(each.mean())
            rows.append((by, value, role, band, count, weight, mean, error, net, once, spread))
    names = ["by", "value", "role", "band", "clusters", "visits"]
    names += ["excess", "error", "net", "each", "each_error"]
    found = pl.DataFrame(rows, schema=names, orient="row").with_columns(
        low=pl.col("excess") - WIDTH * pl.col("error"),
        high=pl.col("excess") + WIDTH * pl.col("error"),
        each_low=pl.col("each") - WIDTH * pl.col("each_error"),
        each_high=pl.col("each") + WIDTH * pl.col("each_error"),
        t=pl.col("excess") / pl.col("error"),
        few=pl.col("clusters") < FEW,
    )
    return _adjusted(found)


def _adjusted(found: pl.DataFrame) -> pl.DataFrame:
    """Add p-values adjusted among the rows of takers and among those of prices, each on its own."""
    families = [found.filter(role=role) for role in ("taker", "price")]
    p = pl.concat(
        rows.select("by", "value", "role", "band", adjusted=pl.Series(holm(rows["t"].to_list())))
        for rows in families
        if rows.height
    )
    makes = pl.col("role") == "maker"
    of = found.with_columns(
        at=pl.when(makes).then(pl.col("band").replace_strict(MIRROR)).otherwise("band"),
        whose=pl.when(makes).then(pl.lit("taker")).otherwise("role"),
    )
    keys = {"left_on": ["by", "value", "whose", "at"], "right_on": ["by", "value", "role", "band"]}
    return of.join(p, how="left", maintain_order="left", **keys).drop("at", "whose")


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


def of_prices(table: pl.DataFrame) -> str:
    """Return in one line what prices themselves, with no spread paid, say of both ends."""
    parts = []
    for band in ("longshot", "favourite"):
        row = table.filter(pl.col("error").is_not_nan(), by="all", role="price", band=band)
        if row.is_empty():
            return "prices, spread aside: not measurable here"
        mean, low, high = (100 * row[name][0] for name in ("excess", "low", "high"))
        parts.append(f"{band}s {mean:+.2f} [{low:+.2f}, {high:+.2f}]")
    return f"prices, spread aside: {', '.join(parts)} cents"


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
    parser.add_argument("dataset", type=Path, nargs="+", help="several are taken together")
    parser.add_argument("--table", type=Path, help="a CSV file for every row")
    parser.add_argument("--figure", type=Path, help="an HTML file")
    given = parser.parse_args()
    try:
        stores = [Store.open(path) for path in given.dataset]
        seen = pl.concat(visits(store) for store in stores)
    except DataError as error:
        sys.exit(str(error))
    name = " + ".join(store.name for store in stores)
    if seen.is_empty():
        sys.exit(f"{name} has no prices of settled markets")
    table = study(seen)
    if given.table:
        table.write_csv(given.table)
    if given.figure:
        draw(table, given.figure)
    note = " (synthetic data)" if any(store.synthetic for store in stores) else ""
    print(f"{name}{note}: cents a contract; weight: visit; each: event")
    for row in table.filter(pl.col("band") != "middle").iter_rows(named=True):
        low, high, mean, net = (100 * row[name] for name in ("low", "high", "excess", "net"))
        each, least, most = (100 * row[name] for name in ("each", "each_low", "each_high"))
        print(
            f"{row['by']:9}{row['value'][:20]:21}{row['role']:6} {row['band']:10}"
            f"{row['clusters']:>6} clusters{row['visits']:>8} visits"
            f"  {mean:+6.2f} [{low:+6.2f}, {high:+6.2f}]  net {net:+6.2f}"
            f"  each {each:+6.2f} [{least:+6.2f}, {most:+6.2f}]"
            f"  p {row['adjusted']:.3f}{'  few' if row['few'] else ''}"
        )
    print(verdict(table))
    print(of_prices(table))
    print(after_fees(table))


if __name__ == "__main__":
    main()
