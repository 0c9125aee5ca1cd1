"""What a rule of the audit is, and how many rules are asked of a dataset in few passes.

A rule looks at the rows of a view: a lazy frame with one row for each thing that can be wrong. All
rules of a view are counted in one pass over it; examples are read only of rules that failed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Literal

import polars as pl

from kalshi_bt.data.soundness.rows import Rows

Severity = Literal["error", "warning", "note"]
EXAMPLES = 5
_ONE = pl.lit(1, dtype=pl.Int64)


@dataclass(frozen=True)
class View:
    """Rows that rules look at.

    Attributes
    ----------
    tables : tuple of str
        The view has no rows where one of these has none.
    rows : callable
        Returns the rows, lazily, from the tables of a dataset or of one batch of its tickers.
    batched : bool
        Whether the rows of one ticker depend on no other ticker.
    """

    tables: tuple[str, ...]
    rows: Callable[[Rows], pl.LazyFrame]
    batched: bool = True


@dataclass(frozen=True)
class Rule:
    """One way for a dataset to be wrong.

    Attributes
    ----------
    name : str
        What is wrong, in a word or three; unique within its table.
    severity : str
        error: the dataset cannot be trusted for a backtest; warning: a careless study trips over
        it; note: good to know.
    table : str
        Where the fault lies.
    meaning : str
        The fault in a sentence.
    view : View
        The rows to look at.
    fails : expression
        True where a row is at fault; null is no fault.
    found : expression
        What stands there, as text.
    asked : expression, optional
        Where the rule can be asked at all; everywhere without it.
    subject, time : str
        The columns of the view that say which row it is.
    rows, surplus : expression, optional
        How many stored rows a row of the view stands for, and how many of them are at fault if it
        is; one of one without them.
    """

    name: str
    severity: Severity
    table: str
    meaning: str
    view: View
    fails: pl.Expr
    found: pl.Expr
    asked: pl.Expr | None = None
    subject: str = "ticker"
    time: str | None = "time"
    rows: pl.Expr | None = None
    surplus: pl.Expr | None = None


@dataclass(frozen=True)
class Example:
    """A row at fault: its ticker (or series, event, symbol), its time if any, what stands there."""

    ticker: str
    time: datetime | None
    found: str


@dataclass
class Answer:
    """What a rule found: rows it was asked of, rows at fault, the first of them."""

    rule: Rule
    rows: int = 0
    count: int = 0
    examples: list[Example] = field(default_factory=list)


def ask(rules: Sequence[Rule], batches: Sequence[Rows]) -> list[Answer]:
    """Return the answer of each rule, in their order.

    Parameters
    ----------
    rules : sequence of Rule
        What to ask.
    batches : sequence of Rows
        The dataset, cut by tickers; rules whose view is not batched are asked of the whole.
    """
    answers = [Answer(rule) for rule in rules]
    views = list(_by_view(answers))
    for batch in batches:
        rows = batch.loaded()
        for view, chosen in views:
            if view.batched or len(batches) == 1:
                _look(view, rows, chosen)
    if len(batches) > 1:
        whole = batches[0].whole()
        for view, chosen in views:
            if not view.batched:
                _look(view, whole, chosen)
    return answers


def _look(view: View, rows: Rows, answers: list[Answer]) -> None:
    if all(rows.has(table) for table in view.tables):
        count(view.rows(rows), answers)


def _by_view(answers: list[Answer]) -> Iterator[tuple[View, list[Answer]]]:
    order: dict[int, int] = {}
    for answer in answers:
        order.setdefault(id(answer.rule.view), len(order))
    found = sorted(answers, key=lambda answer: order[id(answer.rule.view)])
    for _, same in groupby(found, key=lambda answer: id(answer.rule.view)):
        chosen = list(same)
        yield chosen[0].rule.view, chosen


def _fault(rule: Rule) -> pl.Expr:
    fails = rule.fails.fill_null(value=False)
    return fails if rule.asked is None else rule.asked.fill_null(value=False) & fails


def count(frame: pl.LazyFrame, answers: Sequence[Answer]) -> None:
    """Add the rows of a view, and those at fault, to the answers of its rules."""
    sums = []
    for number, answer in enumerate(answers):
        rule = answer.rule
        seen = pl.len() if rule.rows is None else rule.rows.sum()
        if rule.asked is not None:
            asked = rule.asked.fill_null(value=False)
            seen = pl.when(asked).then(_ONE if rule.rows is None else rule.rows).sum()
        lost = pl.when(_fault(rule)).then(_ONE if rule.surplus is None else rule.surplus)
        sums += [seen.alias(f"rows {number}"), lost.sum().alias(f"count {number}")]
    counts = frame.select(sums).collect(engine="streaming").row(0, named=True)
    wanted = []
    for number, answer in enumerate(answers):
        answer.rows += counts[f"rows {number}"]
        answer.count += counts[f"count {number}"]
        if counts[f"count {number}"] and len(answer.examples) < EXAMPLES:
            wanted.append(answer)
    queries = [_first(frame, answer.rule) for answer in wanted]
    for answer, found in zip(wanted, pl.collect_all(queries), strict=True):
        room = EXAMPLES - len(answer.examples)
        answer.examples += [Example(*row) for row in found.head(room).iter_rows()]


def _first(frame: pl.LazyFrame, rule: Rule) -> pl.LazyFrame:
    """Return the first rows at fault, in an order that does not depend on how they were read."""
    time = pl.lit(None, dtype=pl.Datetime("us", "UTC")) if rule.time is None else pl.col(rule.time)
    columns = (pl.col(rule.subject).alias("ticker"), time.alias("time"), rule.found.alias("found"))
    return frame.filter(_fault(rule)).select(columns).sort("ticker", "time", "found").head(EXAMPLES)
