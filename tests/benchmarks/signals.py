"""Print what each registered signal costs, and how that compares with a Polars rolling mean.

    python tests/benchmarks/signals.py [--markets 1000] [--bars 1000] [--seconds 15] [NAME ...]

Two lines of work on the same panel: all of its rows, told for a million of them, and the newest bar
of every market from its last `lookback` rows, which is what a live trader asks. How many these are
depends on how long a bar is. The mean is one window of 25 bars of every market on the same rows.
Signal and mean are run in turn, and of each the fastest run counts, so that a busy machine slows
both. Last comes how many of the newest bars the signal spoke of.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import polars as pl
from panels import measured, newest, quotes_of, rolling_mean, spoken

from kalshi_bt import signals
from kalshi_bt.strategies import STRATEGIES

Pass = Callable[[pl.LazyFrame], pl.LazyFrame]


def seconds(run: Pass, quotes: pl.DataFrame) -> float:
    """Return what one pass takes."""
    started = time.perf_counter()
    run(quotes.lazy()).collect(engine="in-memory")
    return time.perf_counter() - started


def fastest(signal: Pass, quotes: pl.DataFrame, repeat: int) -> tuple[float, float]:
    """Return the seconds of a signal and of the mean, after one pass that compiles."""
    seconds(signal, quotes)
    times = [(seconds(signal, quotes), seconds(rolling_mean, quotes)) for _ in range(repeat)]
    own, mean = zip(*times, strict=True)
    return min(own), min(mean)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(STRATEGIES))
    parser.add_argument("--markets", type=int, default=1_000)
    parser.add_argument("--bars", type=int, default=1_000)
    parser.add_argument("--seconds", type=int, help="length of a bar; usual for each by default")
    parser.add_argument("--repeat", type=int, default=7)
    given = parser.parse_args()
    last_bar = f"newest bar of {given.markets:,} markets"
    print(f"{'':18}{'a million rows':^26}  {last_bar:^43}")
    columns = f"{'ms':>9}{'mean':>8}{'ratio':>9}"
    print(f"{'signal':18}{columns}  {'rows':>9}{'ms':>9}{'mean':>9}{'ratio':>9}{'spoke':>7}")
    for name in given.names:
        signal = measured(name, given.seconds)
        quotes = quotes_of(name, given.markets, given.bars, given.seconds)
        tail = newest(quotes, signal)
        asked = partial(signals.newest, signal)
        whole = [1e9 * t / quotes.height for t in fastest(signal, quotes, given.repeat)]
        last = [1e3 * t for t in fastest(asked, tail, given.repeat)]
        print(
            f"{name:18}{whole[0]:9.1f}{whole[1]:8.1f}{whole[0] / whole[1]:9.2f}  "
            f"{tail.height:9,}{last[0]:9.2f}{last[1]:9.2f}{last[0] / last[1]:9.2f}"
            f"{spoken(asked(tail.lazy()).collect()):7}",
            flush=True,
        )


if __name__ == "__main__":
    main()
