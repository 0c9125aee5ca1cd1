"""The event strategy row by row in plain Python; borrows nothing."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

Row = dict[str, Any]
Facts = tuple[float, float, float, float]


def normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def bracket(row: Row, mean: float | None, sd: float | None) -> float | None:
    """Return the chance of a bracket of whole degrees, summed degree by degree."""
    if mean is None or sd is None or sd <= 0 or row["strike_type"] is None:
        return None
    kind, floor, cap = row["strike_type"], row["floor_strike"], row["cap_strike"]
    needs = {"between": (floor, cap), "less": (cap,), "less_or_equal": (cap,)}
    if None in needs.get(kind, (floor,)):
        return None
    rules: dict[str, Callable[[int], bool]] = {
        "greater": lambda t: t > floor,
        "greater_or_equal": lambda t: t >= floor,
        "less": lambda t: t < cap,
        "less_or_equal": lambda t: t <= cap,
        "between": lambda t: floor <= t <= cap,
    }
    inside = rules[kind]
    first, last = math.floor(mean - 12 * sd) - 1, math.ceil(mean + 12 * sd) + 1
    total = 0.0
    for degree in range(first, last + 1):
        if inside(degree):
            total += normal_cdf((degree + 0.5 - mean) / sd) - normal_cdf((degree - 0.5 - mean) / sd)
    return total


def opinion(row: Row, order: tuple[str, ...]) -> tuple[float | None, float | None]:
    for name in order:
        fair, sure = ASKED[name](row)
        if fair is not None:
            return min(max(fair, 0.01), 0.99), sure
    return None, None


def _model(row: Row) -> tuple[float | None, float | None]:
    fair, cutoff, sure = row["model_fair"], row["model_cutoff"], row["model_confidence"]
    if fair is None or cutoff is None or not 0 <= fair <= 1:
        return None, None
    if row["time"].timestamp() <= cutoff:
        return None, None
    return fair, 0.45 if sure is None else min(max(sure, 0.0), 1.0)


def _weather(row: Row) -> tuple[float | None, float | None]:
    if not row["series"].startswith(("KXHIGH", "HIGH", "KXLOW", "LOW")):
        return None, None
    return bracket(row, row["temperature_mean"], row["temperature_sd"]), 0.62


def _heuristic(row: Row) -> tuple[float | None, float | None]:
    if row["mid"] is None:
        return None, None
    signal = row["event_signal"]
    if signal is None:
        return row["mid"], 0.45
    return row["mid"] + 0.08 * min(max(signal, -1.0), 1.0), 0.62


ASKED = {"model": _model, "weather": _weather, "heuristic": _heuristic}


def required(base: float, volume: float, spread: float, sure: float, options: Row) -> float:
    if not options["adaptive"]:
        return base
    floor = min(float(options["adaptive_floor"]), base)
    liquid = min(volume / options["liquid_volume"], 1.0)
    narrow = max(0.0, min(1.0, 1 - spread / options["wide_spread"]))
    weights: list[float] = [
        options[f"{name}_weight"] for name in ("confidence", "volume", "spread")
    ]
    total = max(sum(weights), 1e-9)
    quality = (weights[0] * sure + weights[1] * liquid + weights[2] * narrow) / total
    return floor + (base - floor) * (1 - float(quality))


def said(rows: list[Row], order: tuple[str, ...], **options: Any) -> dict[Any, tuple[float, float]]:
    """Return {(ticker, time): (fair, confidence)} of the candidates, from rows in any order."""
    found = {}
    history: dict[str, list[float | None]] = {}
    for row in sorted(rows, key=lambda row: row["time"]):
        past = history.setdefault(row["ticker"], [])
        past.append(row["volume"])
        window = [v for v in past[-options["volume_bars"] :] if v is not None]
        fair, sure = opinion(row, order)
        bid, ask = row["bid"], row["ask"]
        if fair is None or sure is None or bid is None or ask is None:
            continue
        if not -1e-12 <= ask - bid <= options["max_spread"] + 1e-12:
            continue
        if options["min_volume"] > 0 and (not window or sum(window) < options["min_volume"]):
            continue
        rate = options["fee_rate"]
        if options["edge"] == "mid":
            best = abs(fair - row["mid"]) - 0.0035
        else:
            edges = [fair - ask - rate * ask * (1 - ask)] if ask > 0 else []
            edges += [bid - fair - rate * bid * (1 - bid)] if bid < 1 else []
            best = max(edges, default=-1.0)
        if best + 1e-12 >= required(options["min_edge"], sum(window), ask - bid, sure, options):
            found[row["ticker"], row["time"]] = fair, sure
    return found


def allocation(rows: list[tuple[int, int, float, float, float, float]], rules: Any) -> list[float]:
    """Return the stake of each (time, event, p, cost, edge, confidence), one after the other."""
    stakes = [0.0] * len(rows)
    for now in sorted({row[0] for row in rows}):
        own = sorted(
            (i for i, row in enumerate(rows) if row[0] == now),
            key=lambda i: (-Fraction(str(rows[i][4])) * Fraction(str(rows[i][5])), i),
        )
        if rules.cut == "before":
            own = own[: rules.max_trades]
        left, taken, events = rules.max_cycle, 0, set()
        for i in own:
            _, event, p, cost, _, sure = rows[i]
            if left <= 1e-12 or taken == rules.max_trades:
                break
            if rules.mutex and event in events:
                continue
            kelly = (p - cost) / (1 - cost) if p > cost and cost < 1 else 0.0
            part = min(kelly, rules.max_fraction, left) * min(max(sure, 0.2), 1.0)
            trades = part > 0 and part >= rules.min_fraction - 1e-12
            if trades or rules.cut == "before":
                events.add(event)
            if not trades:
                continue
            taken += 1
            left -= part
            again = min(kelly, rules.max_fraction) if rules.passes == 2 else 1.0
            stakes[i] = part * again
    return stakes
