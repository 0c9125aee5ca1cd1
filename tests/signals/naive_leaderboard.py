"""Who is on top of a leaderboard, by counting; borrows nothing."""

import math
from typing import Any

import numpy as np

Row = dict[str, Any]


def rank_ub(low: list[float], high: list[float]) -> list[int]:
    return [1 + sum(other > own for other in low) for own in high]


def winners(score: list[float], width: list[float], group: list[int], ties: str) -> set[int]:
    """Return the groups that win one board, by computing every rank."""
    low = [s - w for s, w in zip(score, width, strict=True)]
    high = [s + w for s, w in zip(score, width, strict=True)]
    first = [i for i, rank in enumerate(rank_ub(low, high)) if rank == 1]
    if ties == "cascade":
        return {group[max(first, key=lambda i: score[i])]}
    groups = {group[i] for i in first}
    if ties == "ties_win":
        return groups
    return groups if len(groups) == 1 else set()


def frequencies(
    score: list[float],
    sd: list[float],
    width: list[float],
    group: list[int],
    ties: str,
    draws: int,
    entrant: tuple[float, float, float, float] | None = None,
) -> list[float]:
    """Return how often the group of each model wins over random boards.

    `entrant` is the chance of one, its gap, its sd and the share that belong to nobody; the others
    join the group of a random model of the board.
    """
    rng = np.random.Generator(np.random.Philox(key=[1, 2]))
    wins = [0] * len(score)
    for _ in range(draws):
        drawn = [float(rng.normal(m, s)) for m, s in zip(score, sd, strict=True)]
        board, widths, owners = drawn, width, group
        if entrant is not None and rng.random() < entrant[0]:
            new = float(rng.normal(max(score) + entrant[1], entrant[2]))
            own = -1 if rng.random() < entrant[3] else group[int(rng.integers(0, len(group)))]
            board, widths, owners = [*drawn, new], [*width, max(width)], [*group, own]
        won = winners(board, widths, owners, ties)
        for i, own in enumerate(group):
            wins[i] += own in won
    return [count / draws for count in wins]


def table_fair(rank: int, *, wins: bool, preliminary: bool) -> float:
    table = {1: 0.65, 2: 0.22, 3: 0.10, 4: 0.06, 5: 0.04}
    p = table[rank] if rank in table else max(0.01, 0.04 * math.exp(-0.3 * (rank - 5)))
    if wins:
        p = min(0.95, p + 0.05)
    if preliminary:
        p *= 0.7
    return min(max(round(100 * p), 1), 99) / 100


def changed(old: list[Row], new: list[Row]) -> list[tuple[str, str]]:
    """Return (event type, model) of what two snapshots differ by, in order."""
    before, after = ({row["model"]: row for row in rows} for rows in (old, new))

    def top(rows: list[Row]) -> str:
        first = min(rows, key=lambda r: (r["rank_ub"], -r["score"], -r["votes"], r["model"]))
        return str(first["model"])

    found = []
    if top(old) != top(new):
        found.append(("new_leader", top(new)))
    both = sorted(before.keys() & after.keys())
    found += [
        ("ranking_change", name)
        for name in both
        if any(before[name][k] != after[name][k] for k in ("rank_ub", "rank"))
    ]
    found += [
        ("score_shift", name)
        for name in both
        if abs(after[name]["score"] - before[name]["score"]) >= 3 - 1e-9
    ]
    found += [("new_model", name) for name in sorted(after.keys() - before.keys())]
    found += [("model_removed", name) for name in sorted(before.keys() - after.keys())]
    return found
