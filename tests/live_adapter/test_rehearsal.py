"""A plan is tried on invented bars before a session listens."""

import polars as pl
import pytest

from kalshi_bt.config import layered
from kalshi_bt.plan import plan
from kalshi_bt.simulator.simulate import Simulation
from kalshi_bt.strategies import STRATEGIES
from live_adapter.rehearsal import rehearse

pytestmark = pytest.mark.usefixtures("settings_only_from_here")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_can_be_rehearsed(strategy: str) -> None:
    rehearse(plan(layered(None, {}, {"strategy": strategy, "bar": "60s"}, [])), 60)


def test_decisions_an_order_and_its_end_are_among_what_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from live_adapter.broker import PaperBroker

    asked, fills = [], []
    submit, so_far = PaperBroker.submit, PaperBroker.so_far

    def submitted(broker: PaperBroker, intents: pl.DataFrame) -> None:
        asked.append(intents.height)
        submit(broker, intents)

    def told(broker: PaperBroker) -> Simulation:
        run = so_far(broker)
        fills.extend(run.fills["kind"].to_list())
        return run

    monkeypatch.setattr(PaperBroker, "submit", submitted)
    monkeypatch.setattr(PaperBroker, "so_far", told)
    rehearse(plan(layered(None, {}, {"strategy": "bollinger", "bar": "60s"}, [])), 60)
    assert asked == [0, 1, 0, 0]
    assert len(fills) == 2  # bought, and paid
