"""Does it matter that a quarter hour settles on an average? Two digitals against real results.

    python research/averaged_digital.py FOLDER [--table FILE.csv]

FOLDER holds crypto15m-2026 and crypto15m-ticks-aug2026.

Question. A market that pays if the mean of the last 60 one-second prices reaches the strike has,
tau seconds before the close, a variance of tau - 39.5 seconds left, not tau. Is the digital that
knows this better calibrated near the close than the one for which the last price settles?

Expectation, from these variances alone: from 60 to 180 seconds before the close the averaged
digital has the lower log loss in every band of seconds, and with all of them together an interval
that excludes no difference. The gain falls with the time left; beyond five minutes it is too small
to matter. Inside the last minute nothing is compared: what part of the average is known was not
recorded.

What counts. Rows are what a recorder saw of XRP quarter hours in August 2026: seconds left, spot
over strike (to a hundredth of a percent) and the exchange's result. A window counts once in each
band, whatever rows it has there: losses are averaged within it first. Windows follow each other and
none overlaps another, so each is a cluster; intervals are of 95 %, and bands of fewer than 30
windows are marked `few`. Both digitals get the same walk, of constant volatility, in two versions:

``earlier``  the spread of the returns of the settled XRP windows of May to July 2026, all of them
             before the first row compared
``point``    that, times what makes the *point-sample* digital best from 300 to 600 seconds before
             the close on these very rows: the most that can be said for it

Found. 70 windows from 60 to 180 seconds: log loss lower by 0.037 [0.028, 0.047] with the earlier
volatility, by 0.017 [0.003, 0.032] with the other, and lower in every band with both. With the
other a band alone need not exclude 0 (60 to 90 seconds: 0.023 [-0.007, 0.053]), nor does the Brier
score. Beyond five minutes the difference is 0.003 and 0.001. Those August days were calmer than the
months before (0.41 of their spread), and under the first version any model with less variance gains
by it; the second does not share that fault, and is the one to believe.
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kalshi_bt.pricing import averaged_seconds, digital_probability

BANDS = ((60, 90), (90, 120), (120, 180), (180, 300), (300, 600), (60, 180))
FAR = (300, 600)  # seconds left, where a volatility is judged
QUARTER = 900
AVERAGE, POINT = 60, 1  # values that settle
WIDTH = 1.96
FEW = 30
CLAMP = 0.001
SCALES = np.arange(0.20, 1.505, 0.01)

Floats = NDArray[np.float64]


def rows_of(folder: Path) -> pl.DataFrame:
    """Return what was seen: ticker, left (seconds), ratio (spot over strike), yes.

    The time in the file is that of labelling, after the close; what is left follows from the share
    of the window that was over.
    """
    raw = pl.read_parquet(folder / "crypto15m-ticks-aug2026" / "labelled_rows.parquet")
    return (
        raw.select(
            "ticker",
            left=(1 - pl.col("time_norm")) * QUARTER,
            ratio="spot_ratio",
            yes=pl.col("outcome") == "yes",
        )
        .unique()
        .sort("ticker", "left", "ratio")
    )


def earlier_sigma(folder: Path) -> float:
    """Return the standard deviation of a one-second return, from settled windows of XRP.

    From one mean of 60 values to the next, 900 seconds later, a walk has the variance of the 840
    seconds between, of the later mean against its beginning, of the earlier one against its end.
    """
    raw = pl.read_parquet(folder / "crypto15m-2026" / "markets_15m.parquet").filter(
        series="KXXRP15M"
    )
    moves = (raw["expiration_value"] / raw["floor_strike"]).log().to_numpy()
    later = float(averaged_seconds(AVERAGE))
    seconds = QUARTER - AVERAGE + later + (later - 1)  # the end is itself one of the earlier values
    return float(np.sqrt(np.mean(moves**2) / seconds))


def probability(rows: pl.DataFrame, sigma: float, values: int) -> Floats:
    """Return the chance of YES if the mean of `values` last prices settles, kept off 0 and 1."""
    ratio, left = rows["ratio"].to_numpy(), rows["left"].to_numpy()
    p = digital_probability(ratio, 1.0, left, sigma, window=values)
    return np.clip(p, CLAMP, 1 - CLAMP)


def losses(p: Floats, yes: Floats) -> tuple[Floats, Floats]:
    """Return log loss and Brier score of each row."""
    return -np.log(np.where(yes > 0, p, 1 - p)), (p - yes) ** 2


def favourable_sigma(rows: pl.DataFrame, sigma: float) -> float:
    """Return the multiple of sigma with which the point-sample digital is best far from the close.

    Each window counts once.
    """
    far = rows.filter(pl.col("left").is_between(*FAR))
    yes = far["yes"].to_numpy().astype(np.float64)
    windows = far.select("ticker")
    found = [
        windows.with_columns(loss=losses(probability(far, scale * sigma, POINT), yes)[0])
        .group_by("ticker")
        .agg(pl.col("loss").mean())["loss"]
        .mean()
        for scale in SCALES
    ]
    return float(SCALES[int(np.argmin(np.array(found, np.float64)))]) * sigma


def compared(rows: pl.DataFrame, sigma: float) -> pl.DataFrame:
    """Return both digitals by seconds to the close.

    Parameters
    ----------
    rows : frame as of `rows_of`
    sigma : float
        Standard deviation of a one-second return.

    Returns
    -------
    frame
        low, high (seconds left), windows, rows, and for log_loss and brier: that of the averaged
        digital, of the point-sample one, their difference (below 0: averaged is better), and its
        interval; few.
    """
    made = []
    for low, high in BANDS:
        part = rows.filter(pl.col("left").is_between(low, high))
        if part.is_empty():
            continue
        yes = part["yes"].to_numpy().astype(np.float64)
        scores = [losses(probability(part, sigma, n), yes) for n in (AVERAGE, POINT)]
        row: dict[str, float] = {"low": low, "high": high, "rows": part.height}
        for k, name in enumerate(("log_loss", "brier")):
            windows = (
                part.select("ticker")
                .with_columns(averaged=scores[0][k], point=scores[1][k])
                .group_by("ticker", maintain_order=True)
                .mean()
            )
            count = windows.height
            off = (windows["averaged"] - windows["point"]).to_numpy()
            mean = float(off.mean())
            error = float(off.std(ddof=1)) / count**0.5 if count > 1 else float("nan")
            row |= {
                "windows": count,
                f"{name}_averaged": float(windows["averaged"].to_numpy().mean()),
                f"{name}_point": float(windows["point"].to_numpy().mean()),
                f"{name}_difference": mean,
                f"{name}_from": mean - WIDTH * error,
                f"{name}_to": mean + WIDTH * error,
            }
        made.append(row)
    return pl.DataFrame(made).with_columns(few=pl.col("windows") < FEW)


def main() -> None:
    """Print both versions; write the table where asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--table", type=Path, help="a CSV file for every row")
    given = parser.parse_args()
    rows = rows_of(given.folder)
    earlier = earlier_sigma(given.folder)
    parts = []
    for version, sigma in (("earlier", earlier), ("point", favourable_sigma(rows, earlier))):
        table = compared(rows, sigma)
        parts.append(table.with_columns(version=pl.lit(version), sigma=pl.lit(sigma)))
        print(f"volatility: {version}, {sigma * 1e4:.4f} basis points a second; weight: window")
        for row in table.iter_rows(named=True):
            print(
                f"{row['low']:>4}-{row['high']:<4} s{row['windows']:>4} windows"
                f"{row['rows']:>6} rows  log loss {row['log_loss_averaged']:.4f}"
                f" against {row['log_loss_point']:.4f}:"
                f" {row['log_loss_difference']:+.4f}"
                f" [{row['log_loss_from']:+.4f}, {row['log_loss_to']:+.4f}]"
                f"  Brier {row['brier_difference']:+.5f}"
                f" [{row['brier_from']:+.5f}, {row['brier_to']:+.5f}]"
                f"{'  few' if row['few'] else ''}"
            )
    if given.table:
        pl.concat(parts).write_csv(given.table)


if __name__ == "__main__":
    main()
