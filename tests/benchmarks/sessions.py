"""What a paper session costs as it grows older: a rolling series, day after day.

``python tests/benchmarks/sessions.py [--days 7] [--windows 96] [--markets 20]``

Of each day it prints the processor's seconds, the memory at its end, the bytes of the checkpoint,
and the seconds after which a restart goes on; last, the last day beside the second: on the first
one libraries are loaded.
"""

import argparse
import gc
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from rolling_series import moments, mover  # noqa: E402

from live_adapter.account import Names  # noqa: E402
from live_adapter.checkpoint import CHECKPOINT  # noqa: E402
from live_adapter.desk import Desk  # noqa: E402
from live_adapter.safety import Limits  # noqa: E402

MINUTES = 15
LIMITS = Limits(kill_switch=None, max_orders_minute=None)


def main() -> None:
    """Trade the days and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--windows", type=int, default=96)
    parser.add_argument("--markets", type=int, default=20)
    given = parser.parse_args()
    os.fsync = lambda _: None  # the disk is not what is measured
    spent, memory = [], []
    with TemporaryDirectory() as place:
        folder, plan = Path(place, "session"), mover(Path(place))
        told = moments(given.days, given.windows, given.markets, MINUTES)
        for day in range(given.days):
            opening = time.process_time()
            desk = Desk(folder, plan, 60, Names("one", plan.name), "here", limits=LIMITS)
            begun = time.process_time()
            with desk:
                for _ in range(given.windows * MINUTES):
                    desk.take(next(told))
                spent.append(time.process_time() - begun)
                gc.collect()
                memory.append(psutil.Process().memory_info().rss / 2**20)
            print(
                f"day {day + 1}: {spent[-1]:.1f} s, {memory[-1]:.0f} MiB, checkpoint "
                f"{(folder / CHECKPOINT).stat().st_size / 2**10:.0f} KiB, opened in "
                f"{begun - opening:.2f} s, {desk.blotter.ordered:,} orders so far"
            )
    if given.days > 2:
        ratios = spent[-1] / spent[1], memory[-1] / memory[1]
        print("last / second day: {:.2f} of the time, {:.2f} of the memory".format(*ratios))


if __name__ == "__main__":
    main()
