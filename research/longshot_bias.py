"""Is there a longshot bias, and where? By category, horizon, role and season, with intervals.

    python research/longshot_bias.py DATASET... [--out DIR] [--published]

Question. Do sides bought for 20 cents or less pay back less than they cost, do those bought for 80
cents or more pay back more, and does the second survive the fee?

Test, stated before the data were looked at: over all settled markets of a dataset, the mean of
payout less price of sides that takers bought at 1-20 cents is below zero at the 5 % level,
one-sided (t < -1.645), each first visit counted once. Where there is a tape, the same is asked of
every trade, each contract counted once. Everything else is a description: intervals are of 95 %,
and `adjusted` is the two-sided p-value of a row after Holm's correction for all rows of takers (and
of prices), so that no category or quarter is singled out because it happened to look best. Rows by
cent are a description without p-values: the win rate, its excess over the price, and the
mispricing, which is the excess over what was paid. Makers hold the other sides of the same visits:
their rows are mirror images and no further tests. Expected: a bias in temperature brackets when
they open; nothing left after fees in quarter hours of coins.

What counts. Weight *visit*: each market counts once per role, side and cent, the first time it is
there. Weight *event* (`each`): each cluster once per role and band, by what is first there. Nothing
of the outcome is known at either moment, so that fair prices give zero whatever makes them linger;
averages over all trades, or all bars, of a market do not. Those of all trades are shown by trade,
contract, dollar and event (`longshot_trades.py`); expected is one sign where there is a bias worth
the name. Markets of one event share its outcome, and events that end at the same instant often
share what decides them (six coins, one quarter hour; five cities, one day): all of them are one
cluster (of every trade: the event). Errors are clustered so; with fewer than 30 clusters (`few`)
they are too small. Clusters were events alone until the first tables were seen; the wider ones
changed no answer.

Published. An archive in the layout of Jon-Becker/prediction-market-analysis (``markets/``,
``trades/``) is imported for the moment, and its rates by trade stand beside the published ones, as
`--published` has it for any tape. What was published has errors as if trades were independent;
expected is the published number inside nearly every interval of the same archive.

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
Every trade, takers of longshots: in the sports -0.030 ± 0.033 a trade, -0.028 ± 0.037 a contract,
-0.35 ± 0.44 a dollar, +0.008 ± 0.015 an event; at index closes -0.007 ± 0.028, +0.019 ± 0.063,
+0.19 ± 0.62, +0.004 ± 0.037 (dollars, standard errors). Signs differ: not shown.
The published archive itself was not at hand: the comparison has run on invented ones only.
"""

import argparse
import math
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from longshot_figures import draw_breakdown, draw_cents
from longshot_rates import FEW, WIDTH, each_cent, rates
from longshot_trades import EVENTS, WEIGHTS, rates_by_cent, tested
from longshot_visits import BREAKDOWNS, visits

from kalshi_bt.data.importers.becker import import_becker
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, KalshiBtError

LEVEL = -1.645  # one-sided 5 % of a normal distribution
PUBLISHED = Path(__file__).with_name("longshot_published.csv")
SHOWN = (1, 2, 5, 10, 20, 50, 80, 90, 95, 98, 99)  # cents on the screen; all are in the file
MIRROR = {"longshot": "favourite", "middle": "middle", "favourite": "longshot"}


def study(seen: pl.DataFrame) -> pl.DataFrame:
    """Return win rate, excess and mispricing for each breakdown, role and band.

    Parameters
    ----------
    seen : frame as of `visits`

    Returns
    -------
    frame
        by, value, role, band, visits, clusters, price, and win_rate, excess and mispricing with
        their intervals as of `longshot_rates.rates` (weight: visit), net (excess after the fee), t,
        adjusted, few, and each, each_error, each_low, each_high (excess, weight: event, of each
        cluster its first visits alone).
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
                c=pl.col("cost").sum(),
                first=pl.col("excess").filter(opened).mean(),
            )
            each, count = groups["first"].to_numpy(), groups.height
            named = {"by": by, "value": value, "role": role, "band": band, "visits": part.height}
            rows.append(
                named
                | rates(groups)
                | {"net": part["net"].mean(), "each": float(each.mean())}
                | {"each_error": each.std(ddof=1) / math.sqrt(count) if count > 1 else math.nan}
            )
    found = pl.DataFrame(rows).with_columns(
        each_low=pl.col("each") - WIDTH * pl.col("each_error"),
        each_high=pl.col("each") + WIDTH * pl.col("each_error"),
        t=pl.col("excess") / pl.col("error"),
        few=pl.col("clusters") < FEW,
    )
    return _adjusted(found)


def visits_by_cent(seen: pl.DataFrame) -> pl.DataFrame:
    """Return win rate, excess and mispricing of every role and cent, each visit counted once."""
    groups = seen.group_by("role", "cent", "cluster", maintain_order=True).agg(
        w=pl.len(), x=pl.col("excess").sum(), c=pl.col("cost").sum()
    )
    return each_cent(groups)


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


def published() -> pl.DataFrame:
    """Return what was published by cent; excess in points, mispricing in percent.

    J. Becker, The Microstructure of Wealth Transfer in Prediction Markets, 2026: all settled trades
    of the exchange from June 2021 to November 2025, each counted once, with rates rounded to 0.01.
    """
    return pl.read_csv(PUBLISHED)


def beside(cents: pl.DataFrame) -> Iterator[str]:
    """Return the published numbers beside those of a tape, a line a cent.

    Parameters
    ----------
    cents : frame as of `longshot_trades.rates_by_cent`
    """
    kept = ("excess", "low", "high", "mispricing")
    sides = {
        role: cents.filter(role=role).select(
            "cent", *(pl.col(n).alias(f"{role}_{n}") for n in kept)
        )
        for role in ("taker", "maker")
    }
    found = published().rename({"cents": "cent"})
    both = found.join(sides["taker"], on="cent", how="inner", suffix="_own")
    both = both.join(sides["maker"], on="cent", how="left", suffix="_own")
    yield "cents  excess of takers, points; told    mispricing, %: takers, told    makers, told"
    inside = 0
    for row in both.sort("cent").iter_rows(named=True):
        low, mean, high = (100 * row[f"taker_{n}"] for n in ("low", "excess_own", "high"))
        inside += low <= row["taker_excess"] <= high
        taker, maker = (100 * (row[f"{role}_mispricing_own"] or math.nan)
                        for role in ("taker", "maker"))  # fmt: skip
        yield (
            f"{row['cent']:>5}  {mean:+7.2f} [{low:+7.2f}, {high:+7.2f}]"
            f" {row['taker_excess']:+7.2f}"
            f"  {taker:+8.2f} {row['taker_mispricing']:+8.2f}"
            f"  {maker:+8.2f} {row['maker_mispricing']:+8.2f}"
        )
    yield f"published excess of takers inside the interval: {inside} of {both.height} cents"


@contextmanager
def opened(path: Path) -> Iterator[tuple[Store, bool]]:
    """Open a dataset, or an archive imported for the moment; say whether it is an archive."""
    if Store.exists(path):
        yield Store.open(path), False
        return
    with TemporaryDirectory() as folder:
        into = Path(folder, path.name)
        import_becker([path], into)
        yield Store.open(into), True


def tell_bands(table: pl.DataFrame) -> None:
    """Print every row of the first visits outside the middle, and the answers."""
    for row in table.filter(pl.col("band") != "middle").iter_rows(named=True):
        low, high, mean, net = (100 * row[name] for name in ("low", "high", "excess", "net"))
        each, least, most = (100 * row[name] for name in ("each", "each_low", "each_high"))
        print(
            f"{row['by']:9}{row['value'][:20]:21}{row['role']:6} {row['band']:10}"
            f"{row['clusters']:>6} clusters{row['visits']:>8} visits"
            f"  won {100 * row['win_rate']:5.1f} %  {mean:+6.2f} [{low:+6.2f}, {high:+6.2f}]"
            f"  {100 * row['mispricing']:+7.1f} %  net {net:+6.2f}"
            f"  each {each:+6.2f} [{least:+6.2f}, {most:+6.2f}]"
            f"  p {row['adjusted']:.3f}{'  few' if row['few'] else ''}"
        )
    print(verdict(table))
    print(of_prices(table))
    print(after_fees(table))


def tell_tape(cells: pl.DataFrame) -> None:
    """Print what every trade gained at both ends, by each weight, and the second answer."""
    print("every trade: dollars, gross of fees; errors clustered by event")
    for weight in WEIGHTS:
        found = tested(cells, weight)
        for row in found.iter_rows(named=True):
            print(
                f"{row['weight']:9}{row['role']:6} {row['band']:11}"
                f"{row['contracts']:>16,.2f} contracts{row['events']:>10,} events"
                f"  {row['excess']:+.5f} ± {row['error']:.5f}  t {row['t']:+.2f}"
            )
        if weight == "contract":
            t = found.filter(role="taker", band="longshots")["t"][0]
    print(f"every trade, by contract: {'yes' if t < LEVEL else 'not shown'} (t < {LEVEL})")


def tell_cents(cents: pl.DataFrame, weight: str) -> None:
    """Print some of the rows by cent."""
    for row in cents.filter(pl.col("cent").is_in(SHOWN)).iter_rows(named=True):
        low, mean, high = (100 * row[name] for name in ("low", "excess", "high"))
        print(
            f"{weight:6} {row['role']:6}{row['cent']:>3} cents{row['count']:>10,.0f}"
            f"{row['clusters']:>7} clusters  won {100 * row['win_rate']:5.1f} %"
            f"  {mean:+6.2f} [{low:+6.2f}, {high:+6.2f}]  {100 * row['mispricing']:+7.1f} %"
            f"{'  few' if row['few'] else ''}"
        )


def tell(stores: list[Store], out: Path | None, *, archive: bool) -> None:
    """Print the study of datasets taken together, and leave tables and figures where asked for."""
    name = " + ".join(store.name for store in stores)
    seen = pl.concat(visits(store) for store in stores)
    if seen.is_empty():
        raise DataError(f"{name} has no prices of settled markets")
    name += " (synthetic data)" if any(store.synthetic for store in stores) else ""
    print(f"{name}: cents a contract; weight: visit; each: event")
    table, cents = study(seen), visits_by_cent(seen)
    tell_bands(table)
    tell_cents(cents, "visit")
    tables = {"breakdown": table, "cents_by_visit": cents}
    cells = pl.concat(store.sql(EVENTS) for store in stores).sort(pl.all())
    if cells.height:
        tell_tape(cells)
        tables["cents_by_trade"] = cents = rates_by_cent(cells)
        tell_cents(cents, "trade")
        if archive:
            print(*beside(cents), sep="\n")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for kind, rows in tables.items():
            rows.write_csv(out / f"{kind}.csv")
        draw_breakdown(table, name, out / "breakdown.svg")
        draw_cents(cents, name, out / "cents.svg", published() if archive else None)


def main() -> None:
    """Print the study; write tables and figures where asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path, nargs="+", help="or an archive: markets/, trades/")
    parser.add_argument("--out", type=Path, help="folder for CSV tables and SVG figures")
    parser.add_argument("--published", action="store_true", help="beside the published table")
    given = parser.parse_args()
    try:
        with ExitStack() as places:
            found = [places.enter_context(opened(path)) for path in given.dataset]
            stores = [store for store, _ in found]
            tell(stores, given.out, archive=given.published or any(made for _, made in found))
    except KalshiBtError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
