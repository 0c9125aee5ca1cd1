"""Boards of a leaderboard as references."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from kalshi_bt import schema

START = datetime(2026, 2, 1, 3, tzinfo=UTC)
NAMES = {"a-1": "Anthropic", "g-1": "Google", "g-2": "Google", "x-1": "xAI"}
CALM = {"a-1": 1500.0, "g-1": 1490.0, "g-2": 1480.0, "x-1": 1470.0}


def boards(*scores: dict[str, float], width: float = 2.0) -> pl.DataFrame:
    """Return a board each twelve hours as references."""
    rows: list[tuple[Any, ...]] = []
    for number, board in enumerate(scores):
        time = START + timedelta(hours=12 * number)
        for model, score in board.items():
            numbers = {"score": score, "low": score - width, "high": score + width, "rank_ub": 1.0}
            highest = max(board.values())
            numbers["rank_ub"] = 1.0 + (highest - width > score + width)
            rows += [("arena/text", model, f, time, value, None) for f, value in numbers.items()]
            maker = NAMES.get(model, "Zhipu AI")
            rows.append(("arena/text", model, "organization", time, None, maker))
    frame = pl.DataFrame(rows, schema=schema.REFERENCES.columns, orient="row")
    return schema.REFERENCES.filled(frame)
