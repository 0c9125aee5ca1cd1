"""Numbers that describe a run."""

from kalshi_bt.metrics.book import Book, Metric, Score, Undefined
from kalshi_bt.metrics.equity import daily_equity
from kalshi_bt.metrics.registry import METRICS, score, to_json

__all__ = ["METRICS", "Book", "Metric", "Score", "Undefined", "daily_equity", "score", "to_json"]
