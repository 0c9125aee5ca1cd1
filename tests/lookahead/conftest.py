"""One panel of one synthetic day, and audits of signal files on it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kalshi_bt.data.panel import Panel, outcomes, panel
from kalshi_bt.data.store import Store
from kalshi_bt.forecasting import learn
from kalshi_bt.lookahead.audit import Audit
from kalshi_bt.lookahead.command import planned
from kalshi_bt.lookahead.finding import Verdict
from kalshi_bt.lookahead.sampling import IN_A_RUN, Size
from kalshi_bt.lookahead.subject import Subject

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Bench:
    """A dataset's panel, on which signal files are audited as a run would do it."""

    data: Path
    panel: Panel
    settlements: pl.DataFrame

    def verdict(self, spec: str, size: Size = IN_A_RUN) -> Verdict:
        plan = planned({"strategy": spec, "data": str(self.data)}, ["refit=6h"])
        learned = learn(self.panel, plan, self.settlements)
        return Audit(Subject(spec, learned), self.panel, size, data=str(self.data)).verdict()


@pytest.fixture(scope="session")
def bench(one_day: Path) -> Bench:
    store = Store.open(one_day)
    made = panel(store)
    return Bench(one_day, made, outcomes(store, made.markets))


@pytest.fixture(scope="session")
def audited(bench: Bench) -> Callable[[str], Verdict]:
    """Audit ``module:Class`` of this folder, once."""
    done: dict[str, Verdict] = {}

    def once(name: str) -> Verdict:
        if name not in done:
            module, _, cls = name.partition(":")
            done[name] = bench.verdict(f"{HERE / module}.py:{cls}")
        return done[name]

    return once


Audited = Callable[[str], Any]


def own(folder: Path, body: str, head: str = "") -> str:
    """A signal file whose call is `body`."""
    text = (
        "from dataclasses import dataclass\nimport polars as pl\n"
        f"{head}\n@dataclass(frozen=True)\nclass Mine:\n    depth: int = 3\n    lookback = 50\n"
        f"    def __call__(self, quotes):\n        {body}\n"
    )
    (folder / "mine.py").write_text(text, encoding="utf-8")
    return f"{folder / 'mine.py'}:Mine"
