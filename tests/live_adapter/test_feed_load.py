"""Hundreds of markets and thousands of messages a second, for as long as it lasts."""

import pytest
from feed import measure


@pytest.mark.slow
def test_five_thousand_messages_a_second_of_five_hundred_markets_are_all_read() -> None:
    found = measure(seconds=12, rate=5_000, markets=500, bar=2)
    # Nothing was missed: no gap, no overflow, no second connection, no change without a book.
    told = {name for name in found.counts if not name.startswith("type:")}
    assert told == {"up", "unknown:done"}
    assert found.messages == sum(
        found.counts[f"type:{kind}"] for kind in ("orderbook_delta", "trade", "ticker")
    )
    assert found.messages > 50_000
    # Processor time, unlike time on the wall, is not shared with whatever else runs here.
    assert found.cpu / found.messages < 1 / 5_000
    assert max(found.memory[2:]) - found.memory[1] < 40
