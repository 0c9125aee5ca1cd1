"""Print what the walk of the band workload costs once its intents exist, and what it depends on.

    python tests/benchmarks/walk.py [--bench DIR] [--data DIR] [--repeat 15]

Bars a second are those of the whole panel over the time of one walk. The same intents are then
walked on a panel with twice the markets, of which the added ones are never touched; with every
second intent; and those of one market alone. Panels are walked in turn, and the fastest walk of
each counts. Data are generated where `--data` has none, see `ratios.py`.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from workload import RULES, Workload, dips, intents, read, workload

from kalshi_bt.simulator.simulate import simulate


def doubled(candles: pl.LazyFrame, listed: pl.DataFrame) -> tuple[pl.LazyFrame, pl.DataFrame]:
    """Return candles and markets with as many markets again behind them, bar for bar."""
    name = pl.format("{}-AGAIN", "ticker").alias("ticker")
    again = pl.concat([listed, listed.with_columns(name)])
    return pl.concat([candles, candles.with_columns(name)]), again


def fastest(cases: dict[str, tuple[Workload, pl.DataFrame]], repeat: int) -> dict[str, float]:
    """Return the seconds of the fastest walk of each case, after one that compiles."""
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(repeat + 1):
        for name, (work, asked) in cases.items():
            started = time.perf_counter()
            simulate(work.tape, asked, RULES)
            best[name] = min(best[name], time.perf_counter() - started)
    return best


def main() -> None:
    """Make the panels, walk them and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    beside = Path(__file__).parents[3] / "shared" / "bench"
    parser.add_argument("--bench", type=Path, default=beside)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--repeat", type=int, default=15)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = given.data or Path(folder)
        if not (data / "candles.parquet").exists():
            make = [sys.executable, str(given.bench / "gen.py"), "--size", "medium"]
            subprocess.run([*make, "--out", str(data)], check=True, stdout=sys.stderr)
        panel = read(data)
        once, twice = workload(*panel), workload(*doubled(*panel))
    asked = intents(once, dips(once))
    cases = {
        "all intents": (once, asked),
        "twice the markets": (twice, asked),
        "every second intent": (once, asked.gather_every(2)),
        "one market's intents": (once, asked.filter(market=7)),
        "and twice the markets": (twice, asked.filter(market=7)),
    }
    best = fastest(cases, given.repeat)
    whole = best["all intents"]
    print(f"{'walk':24}{'bars':>12}{'intents':>9}{'ms':>9}{'of all':>8}{'M bars/s':>10}")
    for name, (work, orders) in cases.items():
        took, bars = best[name], work.quotes.height
        print(
            f"{name:24}{bars:12,}{orders.height:9,}{1e3 * took:9.2f}{took / whole:8.3f}"
            f"{bars / took / 1e6:10.1f}"
        )


if __name__ == "__main__":
    main()
