"""Rules on tables as they are stored: declared columns, keys that are unique and sorted.

Each file must be sorted by the key, and no key may stand twice in the files of a part; rows of
different parts cannot have the same key.
"""

from collections.abc import Iterator

import polars as pl

from kalshi_bt.data.reading import lazily
from kalshi_bt.data.soundness.rows import Rows
from kalshi_bt.data.soundness.rule import EXAMPLES, Answer, Example, Rule, View, count
from kalshi_bt.data.store import Store
from kalshi_bt.schema import STORED, Table

_FILE = "file of the row"


def answers(rows: Rows) -> list[Answer]:
    """Return what is wrong with the columns and keys of each stored table."""
    found = []
    for table in STORED.values():
        columns = _columns(rows, table)
        order, twice = (Answer(rule) for rule in _rules(table))
        if rows.has(table.name) and not columns.count:
            count(_with_the_one_before(table, _files(rows, table)), [order, twice])
            for part in _cut_parts(rows, table):
                count(_with_the_one_before(table, part), [twice])
            twice.rows = order.rows
        found += [columns, order, twice]
    return found


def unusable(found: list[Answer]) -> frozenset[str]:
    """Return the tables whose columns are not as declared."""
    return frozenset(a.rule.table for a in found if a.rule.name == "columns" and a.count)


def _columns(rows: Rows, table: Table) -> Answer:
    """Return the answer whether every declared column is there, with its type."""
    meaning = "a column is absent or of another type than declared"
    answer = Answer(_rule("columns", table, meaning, pl.lit(value=False), pl.lit("")))
    if rows.has(table.name):
        found = rows.scan(table.name).collect_schema()
        wrong = {n: t for n, t in table.columns.items() if found.get(n) != t}
        answer.rows, answer.count = len(table.columns), len(wrong)
        answer.examples = [
            Example(name, None, f"{found.get(name, 'absent')}, expected {dtype}")
            for name, dtype in list(wrong.items())[:EXAMPLES]
        ]
    return answer


def _files(rows: Rows, table: Table) -> pl.LazyFrame:
    """Return the rows of all files as they lie there, with the file of each."""
    store = rows.store
    if not isinstance(store, Store):
        return rows.scan(table.name).with_columns(pl.lit("").alias(_FILE))
    return pl.scan_parquet(
        [store.place.uri(file.path) for file in store.manifest.files(table.name)],
        glob=False,
        schema=table.columns,
        storage_options=store.place.options,
        include_file_paths=_FILE,
    )


def _cut_parts(rows: Rows, table: Table) -> Iterator[pl.LazyFrame]:
    """Return the sorted rows of each part that has several files."""
    store = rows.store
    if isinstance(store, Store):
        for part in store.manifest.parts(table.name):
            if len(part.files) > 1:
                frame = lazily(store.place, table, part.files, ordered=True)
                yield frame.with_columns(pl.lit("").alias(_FILE))


def _with_the_one_before(table: Table, frame: pl.LazyFrame) -> pl.LazyFrame:
    names = (*table.key, _FILE)
    before = (pl.col(name).shift().alias(f"{name} before") for name in names)
    return frame.select(names).with_row_index().with_columns(before)


def _rules(table: Table) -> tuple[Rule, Rule]:
    """Return the rules on a table's key, asked of each row and the one before it."""
    same, falls = pl.lit(value=True), pl.lit(value=False)
    for name in reversed(table.key):
        last = pl.col(f"{name} before")
        equal = pl.col(name).eq_missing(last)
        falls = (pl.col(name) < last).fill_null(value=False) | (equal & falls)
        same &= equal
    in_one_file = (pl.col("index") > 0) & (pl.col(_FILE) == pl.col(f"{_FILE} before"))
    shown = pl.concat_str(
        (pl.format(f"{n}={{}}", pl.col(n).cast(pl.String)) for n in table.key), separator=", "
    )
    return (
        _rule("key_order", table, "rows are not sorted by their key", in_one_file & falls, shown),
        _rule("key_twice", table, "a key stands in two rows", in_one_file & same, shown),
    )


def _rule(name: str, table: Table, meaning: str, fails: pl.Expr, found: pl.Expr) -> Rule:
    view = View((table.name,), lambda rows: rows.scan(table.name), batched=False)
    time = "time" if "time" in table.key else None
    subject = table.key[0]
    return Rule(name, "error", table.name, meaning, view, fails, found, None, subject, time)
