"""A run on a dataset whose results are known and not paid: open, marked, counted, and no wins."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from one_life import Market, said, settled

import kalshi_bt
from kalshi_bt.run import Result
from kalshi_bt.simulator.assumptions import Risk
from kalshi_bt.sizing import FixedStake
from kalshi_bt.strategies import STRATEGIES, Strategy

pytestmark = pytest.mark.usefixtures("settings_only_from_here")


@dataclass(frozen=True)
class Believer:
    """YES is worth ninety cents at any time."""

    lookback: int = 1

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        return quotes.with_columns(fair=pl.lit(0.9))


def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """Buy ten dollars of YES in the first minutes, and keep it."""
    idea = Strategy(
        idea="Believe.",
        signal=Believer(),
        reference=Believer(),
        sizing=FixedStake(dollars=10.0),
        risk=Risk(),
        reference_risk=Risk(),
    )
    monkeypatch.setitem(STRATEGIES, "believer", idea)
    return kalshi_bt.backtest("believer", data=folder / "data", out=folder / "out")


NEVER = "1 positions were never settled in this data and kept their place to the end"


@pytest.mark.parametrize(
    ("result", "counts", "note"),
    [
        ([], (1, 0), NEVER),
        (
            [(30, "determined", 10_000)],
            (1, 1),
            f"{NEVER}: 1 with a result that was determined and not paid, 0 without one",
        ),
        ([(30, "determined", 10_000), (50, "finalized", 10_000)], (0, 0), None),
    ],
)
def test_what_is_left_open_is_told_in_two_kinds(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    result: list[tuple[float, str, int]],
    counts: tuple[int, int],
    note: str | None,
) -> None:
    market = Market(tmp_path / "data")
    if result:
        market.put(determinations=said(*result))
    if result[1:]:
        market.put(settlements=[settled(50, 10_000, close=25)])
    done = run(tmp_path, monkeypatch)
    assert tuple(done.metrics[n]["value"] for n in ("unsettled", "determined")) == counts
    bought = done.fills.filter(pl.col("quantity") > 0)["quantity"].sum()
    assert bought > 0
    assert done.metrics["n_trades"]["value"] == (0 if note else 1)
    paid = {None: 0, NEVER: 3_300}.get(note, 10_000)  # nothing left, the bid, the result
    assert done.metrics["unsettled_value"]["value"] == f"{bought * paid / 1e6:.2f}"
    text = " ".join((done.run_dir / "report.txt").read_text("utf-8").split())
    assert ("never settled in this data" in text) == (note is not None)
    assert (note or "") in text
