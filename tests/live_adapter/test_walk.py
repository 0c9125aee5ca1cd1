"""The made-up load: as many messages as asked for, of books that never break."""

from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import pytest
from stream_lines import frames, micros

from kalshi_bt.data.fold import Fold
from kalshi_bt.errors import UsageError
from live_adapter.exchange.walk import BEGIN, STEPS, Walk


def test_messages_are_as_many_as_asked_for_and_evenly_spread() -> None:
    walk = Walk(markets=7, rate=50)
    told = [f for _, f in frames(walk, until=walk.first() + 2_000_000) if f["type"] != "ticker"]
    assert len(told) == 100
    stamps = [frame["sending_ts_ms"] for frame in told]
    assert {late - early for early, late in pairwise(stamps)} == {20}
    kinds = Counter(frame["type"] for frame in told)
    assert kinds == {"orderbook_delta": 95, "trade": 5}
    assert {f["msg"]["market_ticker"] for f in told} == set(walk.tickers())


@pytest.mark.parametrize("yes_prices", [False, True])
def test_books_of_a_client_never_cross_nor_lose_what_they_do_not_have(yes_prices: object) -> None:
    walk = Walk(markets=3, rate=1_000)
    fold = Fold(yes_prices=bool(yes_prices))
    for number, stood in enumerate(walk.standing(0), 1):
        assert stood.book is not None
        asks = {
            price if yes_prices else 10_000 - price: size
            for price, size in (stood.book.asks or {}).items()
        }
        sides = (("yes_dollars_fp", stood.book.bids or {}), ("no_dollars_fp", asks))
        msg = {name: [[at / 10_000, size / 100] for at, size in s.items()] for name, s in sides}
        msg = {name: [[f"{at:.4f}", f"{size:.2f}"] for at, size in s] for name, s in msg.items()}
        named = {"market_ticker": stood.ticker, **msg}
        fold.apply({"type": "orderbook_snapshot", "sid": 1, "seq": number, "msg": named})
    bests = set()
    length = STEPS * 3 * 20 // 19 + 3  # every market through all its changes, and trades
    told = (f for _, f in frames(walk, yes_prices=bool(yes_prices)) if f["type"] != "ticker")
    deltas = 0
    for frame in islice(told, 2 * length):
        if frame["type"] == "orderbook_delta":
            deltas += 1
            frame["seq"] += 3
            fold.apply(frame)
            book = fold.books[frame["msg"]["market_ticker"]]
            bests.add((book.bids.best(), book.asks.best()))
    assert fold.counts == {}
    assert len(bests) > 3
    assert deltas > 2 * STEPS


def test_the_same_walk_is_made_again() -> None:
    one, two = (list(islice(frames(Walk(markets=2, rate=10)), 200)) for _ in range(2))
    assert one == two
    other = list(islice(frames(Walk(markets=2, rate=10, seed=1)), 200))
    assert one != other


def test_its_markets_are_open_when_it_begins(tmp_path: Path) -> None:
    walk = Walk(markets=3)
    markets = walk.store(tmp_path / "load").read("markets")
    assert markets["ticker"].to_list() == walk.tickers()
    assert (markets["open_time"] < BEGIN).all()
    assert walk.first() == micros(BEGIN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("market=5", "did you mean 'markets'"),
        ("rate=fast", "rate=fast: expected a whole number of at least 1"),
        ("rate=0", "expected a whole number of at least 1"),
        ("rate", "expected a whole number of at least 1"),
    ],
)
def test_what_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Walk.parse(text)
