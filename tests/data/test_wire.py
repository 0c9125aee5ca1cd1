"""Messages of every year read in stored units, and books that are known or lost, never guessed."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_bt.data.fold import Book, Fold, Side
from kalshi_bt.data.kalshi.parse_cells import UnreadableError
from kalshi_bt.data.wire import (
    Control,
    Delta,
    EventNews,
    FeeNews,
    Frame,
    MarketNews,
    Quote,
    Snapshot,
    Trade,
    Unknown,
    moment,
    order,
    read,
)

T = "S-E-A"
TAKEN = {"yes_price": 3, "count": 1, "taker_side": "yes"}


def frame(kind: str, sid: int | None = None, seq: int | None = None, **msg: Any) -> dict[str, Any]:
    numbers = {} if sid is None else {"sid": sid, "seq": seq}
    return {"type": kind, **numbers, "msg": {"market_ticker": T, **msg}}


def snapshot(seq: int, yes: Any = (), no: Any = (), ticker: str = T, sid: int = 1) -> Frame:
    sides = {"yes_dollars_fp": list(yes), "no_dollars_fp": list(no)}
    told = {name: levels for name, levels in sides.items() if levels}
    return frame("orderbook_snapshot", sid, seq, **{"market_ticker": ticker, **told})


def delta(seq: int, side: str, price: str, change: str, ticker: str = T, sid: int = 1) -> Frame:
    told = {"price_dollars": price, "delta_fp": change, "side": side, "market_ticker": ticker}
    return frame("orderbook_delta", sid, seq, **told)


# --- reading --------------------------------------------------------------------------------------

SNAPSHOTS = [
    {"yes": [[8, 300], [22, 333]], "no": [[54, 20]]},
    {
        "yes": [[8, 300], [22, 333]],
        "yes_dollars": [["0.080", 300], ["0.220", 333]],
        "no": [[54, 20]],
        "no_dollars": [["0.540", 20]],
    },
    {
        "yes": [[1, 1]],  # leftovers beside the exact names do not count
        "yes_dollars": [["0.080", 300], ["0.220", 333]],
        "yes_dollars_fp": [["0.0800", "300.00"], ["0.2200", "333.00"]],
        "no_dollars_fp": [["0.5400", "20.00"]],
    },
]


@pytest.mark.parametrize("told", SNAPSHOTS)
def test_a_snapshot_reads_the_same_in_every_shape(told: dict[str, Any]) -> None:
    found = read(frame("orderbook_snapshot", **told))
    assert found == Snapshot(T, {800: 30_000, 2200: 33_300}, {4600: 2_000})


def test_a_side_without_a_key_is_empty_and_levels_of_nothing_are_none() -> None:
    assert read(frame("orderbook_snapshot")) == Snapshot(T, {}, {})
    told = {"yes_dollars_fp": [["0.0800", "0.00"]], "no_dollars_fp": None}
    assert read(frame("orderbook_snapshot", **told)) == Snapshot(T, {}, {})


@pytest.mark.parametrize(
    "told",
    [
        {"price": 30, "delta": -5},
        {"price": 30, "price_dollars": "0.300", "delta": -5},
        {"price": 0, "price_dollars": "0.3000", "delta": 0, "delta_fp": "-5.00"},
    ],
)
def test_a_change_reads_the_same_in_every_shape(told: dict[str, Any]) -> None:
    assert read(frame("orderbook_delta", side="yes", **told)) == Delta(T, 1, 3000, -500)
    assert read(frame("orderbook_delta", side="no", **told)) == Delta(T, -1, 7000, -500)


def test_prices_of_yes_on_both_sides_are_not_mirrored() -> None:
    told = {"yes_dollars_fp": [["0.3000", "1.00"]], "no_dollars_fp": [["0.7000", "2.00"]]}
    assert read(frame("orderbook_snapshot", **told), yes_prices=True) == Snapshot(
        T, {3000: 100}, {7000: 200}
    )
    change = frame("orderbook_delta", side="no", price_dollars="0.7000", delta_fp="1")
    assert read(change, yes_prices=True) == Delta(T, -1, 7000, 100)


@pytest.mark.parametrize(
    "told",
    [
        {"yes_price": 36, "no_price": 64, "count": 136, "taker_side": "no", "ts": 1669149841},
        {"no_price": 64, "count": 136, "taker_side": "no", "ts": 1669149841},
        {
            "yes_price_dollars": "0.3600",
            "count_fp": "136.00",
            "taker_side": "yes",  # older names lose against newer ones
            "taker_outcome_side": "no",
            "taker_book_side": "ask",
            "is_block_trade": False,
            "ts": 1669149841,
            "ts_ms": 1669149841000,
        },
        {
            "yes_price_dollars": "0.36",
            "count_fp": "136",
            "taker_book_side": "ask",
            "ts": "2022-11-22T20:44:01Z",
        },
    ],
)
def test_a_trade_reads_the_same_in_every_shape(told: dict[str, Any]) -> None:
    found = read(frame("trade", trade_id="t", **told))
    assert found == Trade(T, "t", 3600, 13_600, -1, 1_669_149_841_000_000)


def test_a_ticker_message_gives_quotes_and_totals_and_no_quote_at_the_ends() -> None:
    told = {
        "price_dollars": "0.4800",
        "yes_bid_dollars": "0.4500",
        "yes_ask_dollars": "1.0000",
        "yes_bid_size_fp": "300.00",
        "yes_ask_size_fp": "0.00",
        "volume_fp": "33896.00",
        "open_interest_fp": "20422.00",
        "ts_ms": 1669149841250,
    }
    found = read(frame("ticker", **told))
    expected = (T, 4500, None, 30_000, None, 4800, 3_389_600, 2_042_200, 1_669_149_841_250_000)
    assert found == Quote(*expected)
    old = {"price": 48, "yes_bid": 45, "yes_ask": 53, "volume": 2, "open_interest": 1}
    assert read(frame("ticker", **old)) == Quote(T, 4500, 5300, None, None, 4800, 200, 100, None)


def test_the_life_of_a_market_is_told_under_the_names_of_the_schema() -> None:
    made = {
        "event_type": "created",
        "open_ts": 1694635200,
        "close_ts": 1694721600,
        "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0010"}],
        "additional_metadata": {
            "title": "Up?",
            "yes_sub_title": "0.02% or more",
            "rules_primary": "As the index says.",
            "rules_secondary": "",
            "can_close_early": True,
            "event_ticker": "S-E",
            "strike_type": "greater",
            "floor_strike": 4487,
        },
    }
    found = read(frame("market_lifecycle_v2", **made))
    assert isinstance(found, MarketNews)
    assert (found.ticker, found.kind) == (T, "created")
    told = dict(found.told)
    assert told.pop("open_time").timestamp() == 1694635200
    assert told.pop("close_time").timestamp() == 1694721600
    assert told == {
        "price_ranges": [{"start": 0, "end": 10_000, "step": 10}],
        "title": "Up?",
        "subtitle": "0.02% or more",
        "rules": "As the index says.",
        "can_close_early": True,
        "event": "S-E",
        "strike_type": "greater",
        "floor_strike": 4487.0,
    }
    over = {"event_type": "determined", "result": "scalar", "settlement_value": "0.5000"}
    found = read(frame("market_lifecycle_v2", **over))
    assert found == MarketNews(T, "determined", {"result": "scalar", "payout": 5000})


def test_events_and_their_fees_are_read() -> None:
    told = {"event_ticker": "S-E", "series_ticker": "S", "title": "What?"}
    made = {"type": "event_lifecycle", "msg": {**told, "collateral_return_type": "MECNET"}}
    assert read(made) == EventNews("S-E", "S", "What?", mutually_exclusive=True)
    fees = {"event_ticker": "S-E", "fee_type_override": "quadratic", "fee_multiplier_override": 2}
    assert read({"type": "event_fee_update", "msg": fees}) == FeeNews("S-E", "quadratic", 2_000_000)
    cleared = dict.fromkeys(("fee_type_override", "fee_multiplier_override"))
    cleared = {"type": "event_fee_update", "msg": {"event_ticker": "S-E", **cleared}}
    assert read(cleared) == FeeNews("S-E", None, None)


def test_answers_and_unknown_types_are_never_fatal() -> None:
    told = {"type": "subscribed", "id": 1, "msg": {"channel": "trade", "sid": 2}}
    assert read(told) == Control("subscribed", "trade")
    assert read({"type": "error", "msg": {"code": 8, "msg": "Unknown channel name"}}) == Control(
        "error", None, 8, "Unknown channel name"
    )
    assert read({"type": "ok", "id": 4, "msg": [{"sid": 2}]}) == Control("ok")
    assert read({"type": "fill", "msg": 7}) == Unknown("fill")
    assert read({"type": "z" * 5_000_000}) == Unknown("z" * 40)  # it is told in a warning


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({}, "null_value"),
        ({"type": "trade"}, "null_value"),
        ({"type": "trade", "msg": []}, "null_value"),
        (frame("orderbook_delta", side="yes", price_dollars="0.3"), "null_value"),
        (frame("orderbook_delta", side="up", price=30, delta=1), "unknown_side"),
        (frame("orderbook_delta", side="yes", price=130, delta=1), "price_range"),
        (frame("orderbook_delta", side="yes", price="0.30005", delta=1), "off_grid"),
        (frame("orderbook_delta", side="yes", price_dollars="0.0000", delta=1), "price_range"),
        (frame("orderbook_delta", side="no", price=100, delta=1), "price_range"),
        (frame("orderbook_snapshot", yes="none"), "unparsable_number"),
        (frame("orderbook_snapshot", yes=[[8, -1]]), "negative_quantity"),
        (frame("trade", trade_id="t", yes_price=3, count=1, taker_side=None), "null_value"),
        (frame("trade", trade_id="t", yes_price=3, count_fp="-1.00"), "negative_quantity"),
        (frame("trade", trade_id="t", yes_price=3, count=0), "negative_quantity"),
        (frame("trade", trade_id="t", yes_price_dollars="1.0000", count=1), "trade_at_limit"),
        (frame("trade", trade_id="t", **TAKEN, ts_ms=10**18), "time_range"),  # nanoseconds
        (frame("trade", trade_id="t", **TAKEN, ts=-1), "time_range"),
        (frame("trade", trade_id="t", **TAKEN, ts="2026-01-05T12:00:00"), "unparsable_time"),
        (frame("trade", trade_id="t", **TAKEN, ts="0001-01-01T00:00:00+05:00"), "time_range"),
        (frame("market_lifecycle_v2", event_type="a", floor_strike=10**400), "unparsable_number"),
        (frame("trade", trade_id="t", yes_price=3, count=1, taker_side="a", ts=1), "unknown_side"),
    ],
)
def test_what_cannot_be_read_says_why(told: Frame, reason: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        read(told)
    assert caught.value.reason == reason


def test_numbers_and_times_are_found_where_they_are() -> None:
    assert order({"sid": 1, "seq": 2}) == (1, 2)
    assert order({"sid": 1}) is None
    assert moment({"type": "ok"}) is None
    assert moment(frame("orderbook_delta", ts="2026-01-05T12:00:00.25Z")) == 1_767_614_400_250_000
    with pytest.raises(UnreadableError):
        moment(frame("orderbook_delta", ts="noon"))


# --- one side -------------------------------------------------------------------------------------


def test_levels_come_best_first_and_go_when_nothing_is_left() -> None:
    bids, asks = Side(1, {4000: 10, 4500: 20}), Side(-1, {6000: 10, 5500: 20})
    assert bids.levels() == [(4500, 20), (4000, 10)]
    assert asks.levels() == [(5500, 20), (6000, 10)]
    assert (bids.best(), asks.best()) == (4500, 5500)
    assert bids.change(4400, 5) == 1  # one level is better
    assert asks.change(5000, 5) == 0
    assert bids.change(4500, -20) == 0
    assert bids.levels(1) == [(4400, 5)]
    assert asks.levels(2) == [(5000, 5), (5500, 20)]
    assert Side(1, {}).best() is None


def test_less_than_nothing_is_refused_and_changes_nothing() -> None:
    side = Side(1, {4000: 10})
    for price in (4000, 3000):
        with pytest.raises(UnreadableError):
            side.change(price, -11)
    assert side.levels() == [(4000, 10)]


# --- the fold -------------------------------------------------------------------------------------


def started(**options: Any) -> Fold:
    fold = Fold(**options)
    fold.apply(snapshot(1, [["0.40", "10"]], [["0.50", "10"]]))
    fold.apply(snapshot(2, [["0.20", "5"]], ticker="B"))
    return fold


def best(book: Book) -> tuple[int | None, int | None]:
    return book.bids.best(), book.asks.best()


def test_changes_follow_the_snapshot() -> None:
    fold = started()
    news = fold.apply(delta(3, "no", "0.55", "3"))
    assert (news.changed, news.better, news.lost) == (T, 0, ())
    assert best(fold.books[T]) == (4000, 4500)
    assert fold.apply(delta(4, "yes", "0.30", "3")).better == 1
    assert fold.counts == {}


def test_a_missing_number_loses_the_books_of_that_subscription_only() -> None:
    fold = started()
    fold.apply(snapshot(7, [["0.30", "1"]], ticker="C", sid=2))
    news = fold.apply(delta(4, "yes", "0.41", "1"))
    assert set(news.lost) == {T, "B"}
    assert news.changed is None
    assert set(fold.books) == {"C"}
    assert fold.counts == {"gap": 1, "before_snapshot": 1}
    assert fold.apply(snapshot(5, [["0.20", "1"]])).changed == T
    assert best(fold.books[T]) == (2000, None)


def test_a_snapshot_after_a_gap_loses_the_book_it_brings_back() -> None:
    news = started().apply(snapshot(9, [["0.20", "1"]]))
    assert (news.changed, set(news.lost)) == (T, {T, "B"})


def test_every_numbered_message_counts_whatever_it_says() -> None:
    fold = started()
    assert fold.apply({"type": "ok", "sid": 1, "seq": 3, "msg": {}}).lost == ()
    assert fold.apply({"type": "error", "sid": 1, "seq": 4, "msg": {}}).lost == ()
    assert fold.apply({"type": "news", "sid": 1, "seq": 6}).lost == (T, "B")


@pytest.mark.parametrize("seq", [1, 1_000])
def test_a_number_that_falls_or_begins_anew_is_a_new_connection(seq: int) -> None:
    fold = started()
    fold.apply(snapshot(1_001, [["0.30", "1"]], ticker="C", sid=2))
    news = fold.apply(snapshot(seq, [["0.20", "1"]], ticker="D", sid=2))
    assert set(news.lost) == {T, "B", "C"}
    assert set(fold.books) == {"D"}
    assert fold.counts["restart"] == 1


def test_a_note_of_whoever_recorded_loses_the_books_of_a_subscription_or_all() -> None:
    fold = started()
    fold.apply(snapshot(7, [["0.30", "1"]], ticker="C", sid=2))
    assert fold.apply({"type": "feed_lost", "sid": 2}).lost == ("C",)
    assert set(fold.books) == {T, "B"}
    assert set(fold.apply({"type": "feed_lost"}).lost) == {T, "B"}
    assert fold.counts == {"feed_lost": 1, "restart": 1}
    # Numbers of the connection that is over say nothing about the next one.
    assert fold.apply(snapshot(1, [["0.20", "1"]])).lost == ()
    assert fold.apply({"type": "subscribed", "msg": {"sid": 2}}).lost == ()


def test_a_repeated_message_is_passed_over() -> None:
    fold = started()
    fold.apply(delta(3, "yes", "0.41", "1"))
    assert fold.apply(delta(3, "yes", "0.41", "1")).body is None
    assert fold.books[T].bids.levels() == [(4100, 100), (4000, 1000)]
    assert fold.counts == {"repeated": 1}


def test_of_a_recording_cut_by_market_missing_numbers_say_nothing() -> None:
    fold = Fold(whole=False)
    fold.apply(snapshot(10, [["0.40", "10"]]))
    assert fold.apply(delta(50, "yes", "0.41", "1")).lost == ()
    assert fold.apply(delta(49, "yes", "0.41", "1")).lost == (T,)


@pytest.mark.parametrize(
    ("change", "why"),
    [(("yes", "0.40", "-10.01"), "impossible"), (("yes", "0.50", "1"), "crossed")],
)
def test_an_impossible_book_is_dropped_until_the_next_snapshot(
    change: tuple[str, str, str], why: str
) -> None:
    fold = started()
    news = fold.apply(delta(3, *change))
    assert (news.changed, news.lost) == (None, (T,))
    assert fold.apply(delta(4, "yes", "0.30", "1")).changed is None
    assert fold.counts == {why: 1, "before_snapshot": 1}
    assert set(fold.books) == {"B"}
    fold.apply(snapshot(5, [["0.30", "1"]]))
    assert best(fold.books[T]) == (3000, None)


def test_a_snapshot_that_differs_is_counted_and_wins() -> None:
    fold = started()
    fold.apply(snapshot(3, [["0.40", "10"]], [["0.50", "10"]]))
    assert fold.counts == {}
    fold.apply(snapshot(4, [["0.40", "11"]], [["0.50", "10"]]))
    assert fold.counts == {"rebased": 1}
    assert fold.books[T].bids.levels() == [(4000, 1100)]


def test_subscribing_again_begins_and_unsubscribing_ends_the_books() -> None:
    fold = started()
    assert fold.apply({"type": "subscribed", "msg": {"channel": "trade", "sid": 2}}).lost == ()
    again = {"type": "subscribed", "msg": {"channel": "orderbook_delta", "sid": 1}}
    assert set(fold.apply(again).lost) == {T, "B"}
    fold = started()
    assert set(fold.apply({"type": "unsubscribed", "sid": 1, "seq": 3}).lost) == {T, "B"}
    assert fold.apply(snapshot(1, [["0.20", "1"]])).lost == ()


def test_what_cannot_be_read_loses_the_book_it_was_about() -> None:
    fold = started()
    bad = delta(3, "yes", "much", "1")
    with pytest.raises(UnreadableError):
        fold.apply(bad)
    assert fold.unreadable(bad) == (T,)
    nameless = {"type": "orderbook_delta", "sid": 1, "seq": 4, "msg": None}
    with pytest.raises(UnreadableError):
        fold.apply(nameless)
    assert fold.unreadable(nameless) == ("B",)
    assert fold.unreadable({"type": "trade", "msg": {"market_ticker": T}}) == ()
    assert fold.counts["unreadable"] == 3


class Slow:
    """Whole books in plain dictionaries, looked through from end to end every time."""

    def __init__(self) -> None:
        self.levels: dict[str, dict[tuple[str, int], int]] = {}
        self.last = 0

    def apply(self, message: Frame) -> None:
        said, seq = message["msg"], message["seq"]
        if seq != self.last + 1:
            self.levels = {}
        self.last = seq
        ticker = said["market_ticker"]
        if message["type"] == "orderbook_snapshot":
            self.levels[ticker] = {
                (side, round(float(p) * 10_000)): round(float(s) * 100)
                for side in ("yes", "no")
                for p, s in said.get(f"{side}_dollars_fp", [])
            }
        elif ticker in self.levels:
            key = said["side"], round(float(said["price_dollars"]) * 10_000)
            book = self.levels[ticker]
            book[key] = book.get(key, 0) + round(float(said["delta_fp"]) * 100)
        book = self.levels.get(ticker, {})
        bids = [p for (side, p), size in book.items() if side == "yes" and size]
        noes = [p for (side, p), size in book.items() if side == "no" and size]
        if any(size < 0 for size in book.values()) or (
            bids and noes and max(bids) + max(noes) > 9999
        ):
            del self.levels[ticker]

    def book(self, ticker: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]] | None:
        if ticker not in self.levels:
            return None
        levels = [(s, p, size) for (s, p), size in self.levels[ticker].items() if size]
        bids = sorted(((p, size) for s, p, size in levels if s == "yes"), reverse=True)
        asks = sorted((10_000 - p, size) for s, p, size in levels if s == "no")
        return bids, asks


PRICES = st.integers(1, 6).map(lambda n: f"{n / 10:.4f}")
SIZES = st.integers(1, 300).map(lambda n: f"{n / 100:.2f}")
SIDES = st.lists(st.tuples(PRICES, SIZES), max_size=3, unique_by=lambda level: level[0])


@st.composite
def messages(draw: st.DrawFn) -> list[Frame]:
    made, seq = [], 0
    for _ in range(draw(st.integers(1, 40))):
        seq += draw(st.sampled_from([1] * 12 + [2]))
        ticker = draw(st.sampled_from([T, T, "B"]))
        if draw(st.integers(0, 6)) == 0:
            sides = [[list(level) for level in draw(SIDES)] for _ in range(2)]
            made.append(snapshot(seq, *sides, ticker=ticker))
        else:
            side, sign = draw(st.sampled_from(["yes", "no"])), draw(st.sampled_from(["", "", "-"]))
            made.append(delta(seq, side, draw(PRICES), sign + draw(SIZES), ticker=ticker))
    return made


@pytest.mark.slow
@given(messages())
@settings(deadline=None, max_examples=200)
def test_the_fold_equals_a_slow_one_after_every_message(made: list[Frame]) -> None:
    fold, slow = Fold(), Slow()
    known: set[str] = set()
    for message in made:
        before = {t: (b.bids.levels(3), b.asks.levels(3)) for t, b in fold.books.items()}
        news = fold.apply(message)
        slow.apply(message)
        for ticker in (T, "B"):
            book = fold.books.get(ticker)
            found = None if book is None else (book.bids.levels(), book.asks.levels())
            assert found == slow.book(ticker)
            if book is not None and (book.bids.levels(3), book.asks.levels(3)) != before.get(
                ticker
            ):
                assert news.changed == ticker
                assert news.better < 3
        assert known - set(fold.books) <= set(news.lost) <= known
        known = set(fold.books)
