"""Evidence of an edge once more: every cluster in a loop, signs by all the ways there are.

A twin takes a dict of lists of dicts (one dict a row) and returns a number, or None where the
number does not exist.
"""

import runpy
from collections.abc import Callable
from itertools import product
from math import ceil, sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any

Plain = dict[str, Any]
Number = int | float | None

NAIVE = runpy.run_path(str(Path(__file__).with_name("naive_trading.py")))
trade_clusters, settlements = NAIVE["trade_clusters"], NAIVE["settlements"]


def in_order(book: Plain) -> list[list[Plain]]:
    at = settlements(book)

    def end(group: list[Plain]) -> tuple[Any, str]:
        ends = [
            at.get(
                trade["ticker"],
                max(
                    t["exit_time"] for t in book["trades_closed"] if t["ticker"] == trade["ticker"]
                ),
            )
            for trade in group
        ]
        return max(ends), min(trade["event"] for trade in group)

    return sorted(trade_clusters(book), key=end)


def wealth(book: Plain) -> list[float]:
    backs = []
    for group in in_order(book):
        cost = sum(trade["stake"] + trade["fees"] for trade in group)
        backs.append(max(0.0, 1 + sum(trade["pnl"] for trade in group) / cost))
    path = []
    for i in range(1, len(backs) + 1):
        total = 0.0
        for n in range(20):
            held = 1.0
            for back in backs[:i]:
                held *= 1 + 0.05 * n * (back - 1)
            total += held
        path.append(total / 20)
    return path


def permutation_p(book: Plain) -> Number:
    results = [sum(trade["pnl"] for trade in group) for group in trade_clusters(book)]
    if len(results) < 5 or not any(results):
        return None
    observed = sum(results)
    ways = list(product((-1, 1), repeat=len(results)))
    as_high = 0
    for signs in ways:
        as_high += sum(s * r for s, r in zip(signs, results, strict=True)) >= observed
    return as_high / len(ways)


def power_trades(book: Plain) -> Number:
    groups = trade_clusters(book)
    n = sum(len(group) for group in groups)
    mean = sum(trade["pnl"] for trade in book["trades_closed"]) / n if n else 0
    if len(groups) < 5 or mean <= 0:
        return None
    square = 0.0
    for group in groups:
        square += sum(trade["pnl"] - mean for trade in group) ** 2
    error = sqrt(square * len(groups) / (len(groups) - 1)) / n
    z = NormalDist().inv_cdf(0.95) + NormalDist().inv_cdf(0.80)
    return ceil(n * (z * error / mean) ** 2)


def of_wealth(last: Callable[[list[float]], float]) -> Callable[[Plain], Number]:
    def twin(book: Plain) -> Number:
        path = wealth(book)
        return last(path) if path else None

    return twin


def as_lucky(book: Plain, column: str) -> Number:
    """How many of the runs of luck and the run itself make as much as the run."""
    if not book["trades_closed"] or not book["controls"]:
        return None
    own, as_high = sum(trade["pnl"] for trade in book["trades_closed"]), 1
    for row in book["controls"]:
        as_high += row[column] >= own
    return as_high / (1 + len(book["controls"]))


def luck_makes(book: Plain) -> Number:
    if not book["trades_closed"] or not book["controls"]:
        return None
    return round(sum(row["random_entry"] for row in book["controls"]) / len(book["controls"]))


TWINS = {
    "random_entry_p": lambda b: as_lucky(b, "random_entry"),
    "random_entry_mean": luck_makes,
    "random_side_p": lambda b: as_lucky(b, "random_side"),
    "e_value": of_wealth(lambda path: path[-1]),
    "e_process_p": of_wealth(lambda path: 1 / max(1.0, *path)),
    "permutation_p": permutation_p,
    "power_trades": power_trades,
}
