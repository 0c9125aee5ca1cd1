"""Each rule of the audit, broken by one change of a dataset that is sound."""

import polars as pl
import pytest
from soundness_cases import BARS, EVER
from soundness_cases_more import OTHERS
from soundness_cases_results import RESULTS
from soundness_dataset import SECOND, Change, Memory, Tables, clean, copy

from kalshi_bt import schema
from kalshi_bt.data.soundness import RULES, audit

pytestmark = pytest.mark.slow

CASES = BARS | OTHERS | RESULTS


def after(change: Change) -> Tables:
    tables = clean()
    change(tables)
    return tables


def test_nothing_is_wrong_before_the_change() -> None:
    found = audit(Memory(clean()))
    assert found.sound
    assert found.findings == ()


def test_every_rule_has_a_case() -> None:
    assert {f"{rule.table} {rule.name}" for rule in RULES} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_change_is_found_by_its_rule_and_by_no_other(name: str) -> None:
    case = CASES[name]
    found = {f"{f.table} {f.rule}": f for f in audit(Memory(after(case.change))).findings}
    assert set(found) == {name, *case.companions}
    finding = found[name]
    assert finding.count == case.count
    assert finding.of >= case.count
    assert finding.examples[0].ticker == case.subject
    assert len(finding.examples) == min(case.count, 5)


# --- tables as such -------------------------------------------------------------------------------


def filled() -> Tables:
    """The dataset with at least two rows in each table."""
    tables = clean()
    for table, column in (
        ("event_fees", "event"),
        ("coverage", "subject"),
        ("revisions", "ticker"),
    ):
        copy(table, EVER, **{column: SECOND})(tables)
    aside = {"table": "candles", "source": "a.csv", "reason": "crossed", "found": "bid=2, ask=1"}
    rows = [{**aside, "row": row} for row in (3, 7)]
    tables["quarantine"] = pl.DataFrame(rows, schema=schema.QUARANTINE.columns)
    return tables


@pytest.mark.parametrize("name", schema.STORED)
def test_a_table_in_the_opposite_order_is_unsorted_but_unique(name: str) -> None:
    tables = filled()
    rows = tables[name].height
    tables[name] = tables[name].reverse()
    found = {f.rule: f for f in audit(Memory(tables)).findings if f.table == name}
    assert found["key_order"].count == rows - 1
    assert "key_twice" not in found


@pytest.mark.parametrize("name", schema.STORED)
def test_a_table_stored_twice_over_has_every_key_twice(name: str) -> None:
    tables = filled()
    rows = tables[name].height
    copy_all = pl.concat([tables[name], tables[name]])
    tables[name] = copy_all.sort(schema.STORED[name].key)
    found = {f.rule: f for f in audit(Memory(tables)).findings if f.table == name}
    assert found["key_twice"].count == rows
    assert "key_order" not in found


@pytest.mark.parametrize("name", schema.STORED)
def test_absent_and_mistyped_columns_are_found_and_stop_nothing(name: str) -> None:
    tables = filled()
    first, *_, last = tables[name].columns
    tables[name] = tables[name].drop(last).with_columns(pl.col(first).cast(pl.Binary))
    found = [f for f in audit(Memory(tables)).findings if f.rule == "columns"]
    assert [(f.table, f.count, f.of) for f in found] == [
        (name, 2, len(schema.STORED[name].columns))
    ]
    assert [e.ticker for e in found[0].examples] == [first, last]
