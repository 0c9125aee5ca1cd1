"""Every number of a run under its name: what it means, and what it comes to."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from kalshi_bt.metrics.book import Book, Interval, Metric, Score, Undefined
from kalshi_bt.metrics.concentration import CONCENTRATION
from kalshi_bt.metrics.costs import COSTS
from kalshi_bt.metrics.equity import EQUITY
from kalshi_bt.metrics.forecast import FORECAST
from kalshi_bt.metrics.headline import HEADLINE
from kalshi_bt.metrics.inference import INFERENCE
from kalshi_bt.metrics.luck import LUCK
from kalshi_bt.metrics.selection import SELECTION
from kalshi_bt.metrics.track_record import TRACK_RECORD
from kalshi_bt.metrics.trading import TRADING
from kalshi_bt.units import format_money

METRICS: dict[str, Metric] = {
    name: replace(metric, headline=name in HEADLINE)
    for group in (TRADING, EQUITY, COSTS, CONCENTRATION, FORECAST, TRACK_RECORD, SELECTION,
                  INFERENCE, LUCK)
    for name, metric in group.items()
}  # fmt: skip


def score(book: Book, *, intervals: bool = True) -> dict[str, Score]:
    """Return every registered metric of a run, in the order of the registry.

    Parameters
    ----------
    book : Book
        The run's tables.
    intervals : bool
        Whether to say where the headline numbers lie, which takes longer than all the rest.

    Returns
    -------
    dict of str to Score
        Money as a decimal string of dollars, counts as int, the rest as finite float; a value that
        does not exist is None with the reason, and so is an interval.

    Examples
    --------
    >>> from kalshi_bt.schema import EQUITY, FILLS, ORDERS, TRADES_CLOSED
    >>> idle = Book(orders=ORDERS.empty(), fills=FILLS.empty(), equity=EQUITY.empty(),
    ...             trades_closed=TRADES_CLOSED.empty(), initial_cash=10_000_000)
    >>> score(idle)["final_equity"].value, score(idle)["win_rate"].reason
    ('10.00', 'no trade won or lost')
    """
    found = {name: _scored(metric, book) for name, metric in METRICS.items()}
    if intervals:
        for name, find in HEADLINE.items():
            if found[name].value is not None:
                found[name] = _within(found[name], find(book))
    return found


def _scored(metric: Metric, book: Book) -> Score:
    value = metric.function(book)
    if isinstance(value, float) and not math.isfinite(value):
        value = Undefined("not a finite number")
    if isinstance(value, Undefined):
        return Score(None, metric.unit, metric.weight, value.reason)
    if metric.unit == "dollars":
        return Score(format_money(int(value)), metric.unit, metric.weight)
    return Score(value, metric.unit, metric.weight)


def _within(score: Score, interval: Interval | Undefined) -> Score:
    if isinstance(interval, Undefined):
        return replace(score, interval_reason=interval.reason)
    if score.unit == "dollars":
        low, high = (format_money(round(float(end))) for end in (interval.low, interval.high))
        interval = replace(interval, low=low, high=high)
    return replace(score, interval=interval)


def to_json(scores: Mapping[str, Score]) -> str:
    """Return scores as JSON text, the same bytes for the same scores.

    Examples
    --------
    >>> print(to_json({"fees": Score("1.50", "dollars", "dollar")}), end="")
    {
      "fees": {
        "value": "1.50",
        "unit": "dollars",
        "weight": "dollar"
      }
    }
    """
    rows = {name: _row(scored) for name, scored in scores.items()}
    return json.dumps(rows, indent=2, allow_nan=False) + "\n"


def _row(scored: Score) -> dict[str, Any]:
    row = {"value": scored.value, "unit": scored.unit, "weight": scored.weight}
    if scored.value is None:
        row["reason"] = scored.reason
    if scored.interval is not None:
        return {**row, "interval": asdict(scored.interval)}
    if scored.interval_reason is not None:
        return {**row, "interval": None, "interval_reason": scored.interval_reason}
    return row
