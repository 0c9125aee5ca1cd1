"""What a report shows: one frozen value, filled by the caller, read by every renderer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from kalshi_bt.run_schema import CONTEXT, FILL_QUALITY, FORECASTS, SENSITIVITY

Scores = Mapping[str, Mapping[str, Any]]

CHART_COLUMNS = ("bid", "ask", "close", "fair", "band_lower", "band_upper")


def _counts() -> pl.DataFrame:
    return pl.DataFrame(schema={"reason": pl.String, "count": pl.Int64})


def _markets() -> pl.DataFrame:
    names = ("ticker", "title", "event", "series")
    return pl.DataFrame(
        schema=dict.fromkeys(names, pl.String) | {"close_time": pl.Datetime("us", "UTC")}
    )


@dataclass(frozen=True, kw_only=True, repr=False)
class Run:
    """Everything a report shows of one run.

    Attributes
    ----------
    run_id, strategy, dataset : str
        Names of the run, of the strategy and of the data it ran on.
    synthetic : bool
        Whether the data were generated; a report says so wherever it states a result.
    orders, fills, trades_closed, equity : polars.DataFrame
        Tables of the schema of the same name.
    scores : mapping
        Metric name to its ``value``, ``unit``, ``weight``, where the value is null ``reason``, and
        where it is uncertain ``interval``: the fields of `metrics.book.Interval` by name.
    bands : mapping
        Fill model to the scores of the same run under it: ``optimistic``, ``base`` (or ``cross``)
        and ``pessimistic``; empty if the run was not repeated.
    metric_docs : mapping
        Metric name to its definition in one sentence.
    title_lines : sequence of str
        Lines under the name of the strategy, such as the period and the universe.
    assumptions : sequence of (name, value, why)
        What the run took for granted.
    config : mapping
        Setting to its value, flat, in the order to be shown.
    notes : sequence of str
        Warnings, one sentence each.
    command : str
        The command that reproduces the run.
    charts : mapping
        Ticker to a frame of time, bid, ask, close (dollars, null where there was none) and, where
        the strategy has them, fair (stated with an intent), band_lower and band_upper; at least
        the ten largest trades' markets.
    markets : polars.DataFrame
        ticker, title (null: not known), event, series, close_time (null: not known).
    payouts : mapping
        Ticker to the payout of one YES in dollars, None while it is not settled.
    rejections, quarantine : polars.DataFrame
        reason, count: of orders refused, and of data rows set aside.
    audit, audit_tone : str
        What the audit for look-ahead came to, in a sentence, and whether that is ``clean``,
        ``leak`` or ``open``.
    audit_details : sequence of str
        The checks that were made, and what they found.
    forecasts, context, fill_quality, sensitivity : polars.DataFrame
        Tables of `run_schema` of the same name.
    trials : sequence of mapping
        Every variant of this strategy that was run on this data up to this one, itself the last:
        ``run_id``, ``sharpe`` (daily, null where it does not exist), ``days`` and the other fields
        of `trials.Trial`, but for the results by day.
    tables : mapping
        Tables behind the scores, of the names and columns of `metrics.tables`, and ``trial_days``:
        trial (its number among `trials`, from 1), day, pnl (micro-dollars).
    """

    run_id: str
    strategy: str
    dataset: str
    synthetic: bool
    orders: pl.DataFrame
    fills: pl.DataFrame
    trades_closed: pl.DataFrame
    equity: pl.DataFrame
    scores: Scores
    bands: Mapping[str, Scores] = field(default_factory=dict)
    metric_docs: Mapping[str, str] = field(default_factory=dict)
    title_lines: Sequence[str] = ()
    assumptions: Sequence[tuple[str, str, str]] = ()
    config: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    command: str = ""
    charts: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    markets: pl.DataFrame = field(default_factory=_markets)
    payouts: Mapping[str, float | None] = field(default_factory=dict)
    rejections: pl.DataFrame = field(default_factory=_counts)
    quarantine: pl.DataFrame = field(default_factory=_counts)
    audit: str = "Look-ahead: not audited."
    audit_tone: str = "open"
    audit_details: Sequence[str] = ()
    forecasts: pl.DataFrame = field(default_factory=FORECASTS.empty)
    context: pl.DataFrame = field(default_factory=CONTEXT.empty)
    fill_quality: pl.DataFrame = field(default_factory=FILL_QUALITY.empty)
    sensitivity: pl.DataFrame = field(default_factory=SENSITIVITY.empty)
    trials: Sequence[Mapping[str, Any]] = ()
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Run({self.run_id!r})"  # its tables would fill screens
