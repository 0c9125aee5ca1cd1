"""What is wanted is asked for, again after every error, gap and new connection, and never twice."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kalshi_bt.errors import UsageError
from live_adapter.subscriptions import BOOKS, HOLD, Command, Subscriptions

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
AB = ["S-E-A", "S-E-B"]


class Scene:
    """Subscriptions, and the numbers of what they sent."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.all = Subscriptions(self.counts)
        self.now = NOON

    def sent(self) -> list[Command]:
        return self.all.commands(self.now)

    def actions(self) -> list[tuple[str, Any]]:
        """What was sent, in short: the action and what it is about."""
        found = []
        for command in self.sent():
            told = command["params"]
            about = told.get("market_tickers", told.get("sids") or told.get("channels"))
            found.append((told.get("action", command["cmd"]), about))
        return found

    def took(self, **frame: Any) -> list[tuple[int | None, str]]:
        return list(self.all.take(frame, self.now))

    def agreed(self, command: Command, sid: int) -> None:
        told = {"channel": command["params"]["channels"][0], "sid": sid}
        assert self.took(id=command["id"], type="subscribed", msg=told) == []

    def error(self, code: int, number: int | None = None, **more: Any) -> Any:
        numbers = {} if number is None else {"id": number}
        return self.took(type="error", msg={"code": code, "msg": "no"}, **numbers, **more)

    def snapshot(self, seq: int, ticker: str, sid: int = 1) -> Any:
        told = {"market_ticker": ticker}
        return self.took(type="orderbook_snapshot", sid=sid, seq=seq, msg=told)


@pytest.fixture
def scene() -> Scene:
    """Books of two markets are subscribed to as number 1, and came."""
    made = Scene()
    made.all.want([BOOKS], AB)
    [command] = made.sent()
    made.agreed(command, 1)
    assert made.snapshot(1, "S-E-A") == made.snapshot(2, "S-E-B") == []
    assert made.sent() == []
    return made


def test_each_channel_is_asked_for_once_and_books_in_prices_of_their_side() -> None:
    scene = Scene()
    scene.all.want([BOOKS, "trade", "market_lifecycle_v2"], AB)
    books, trade, life = scene.sent()
    assert books["params"] == {"channels": [BOOKS], "market_tickers": AB, "use_yes_price": False}
    assert trade["params"] == {"channels": ["trade"], "market_tickers": AB}
    assert life["params"] == {"channels": ["market_lifecycle_v2"]}
    assert len({c["id"] for c in (books, trade, life)}) == 3
    assert scene.sent() == []


def test_what_is_wanted_later_is_added_and_removed_once_the_subscription_stands() -> None:
    scene = Scene()
    scene.all.want([BOOKS], ["A", "B"])
    [command] = scene.sent()
    scene.all.want([BOOKS], ["C"])
    assert scene.sent() == []  # it has no number yet
    scene.agreed(command, 4)
    scene.all.unwant([BOOKS], ["A"])
    assert scene.actions() == [("add_markets", ["C"]), ("delete_markets", ["A"])]
    scene.all.unwant([BOOKS], ["B", "C"])
    assert scene.actions() == [("unsubscribe", [4])]
    assert scene.sent() == []


def test_a_subscription_nobody_wants_any_more_is_given_up_when_it_is_agreed_to() -> None:
    scene = Scene()
    scene.all.want(["trade"])
    [command] = scene.sent()
    scene.all.unwant(["trade"])
    assert scene.sent() == []
    scene.agreed(command, 9)
    assert scene.actions() == [("unsubscribe", [9])]


def test_a_channel_the_exchange_has_already_keeps_its_number_and_its_sequence() -> None:
    scene = Scene()
    scene.all.want([BOOKS], ["A"])
    [command] = scene.sent()
    scene.took(type="orderbook_delta", sid=3, seq=7)
    assert scene.took(id=command["id"], sid=3, seq=8, type="ok", msg={}) == []
    scene.all.want([BOOKS], ["B"])
    assert [c["params"]["sids"] for c in scene.sent()] == [[3]]
    assert scene.took(type="orderbook_delta", sid=3, seq=10) == [(3, "gap")]


def test_wants_that_contradict_each_other_are_errors() -> None:
    wanted = Subscriptions(Counter())
    with pytest.raises(UsageError, match="named markets only"):
        wanted.want([BOOKS])
    wanted.want(["trade"], ["A"])
    with pytest.raises(UsageError, match="unsubscribe first"):
        wanted.want(["trade"])
    wanted.want(["ticker"])
    wanted.want(["ticker"], ["A"])  # is among all
    wanted.unwant(["ticker"], ["A"])
    assert [c["params"]["channels"] for c in wanted.commands(NOON)] == [["trade"], ["ticker"]]


# --- gaps -----------------------------------------------------------------------------------------


def test_a_gap_loses_the_books_of_its_subscription_and_asks_for_them(scene: Scene) -> None:
    assert scene.took(type="orderbook_delta", sid=1, seq=4) == [(1, "gap")]
    assert scene.actions() == [("get_snapshot", AB)]
    # A second gap before they came asks again, but not for what came after it, and not at once.
    assert scene.snapshot(5, "S-E-A") == []
    assert scene.took(type="orderbook_delta", sid=1, seq=9) == [(1, "gap")]
    assert scene.snapshot(10, "S-E-B") == []
    assert scene.sent() == []
    scene.now += HOLD
    assert scene.actions() == [("get_snapshot", ["S-E-A"])]


def test_a_gap_of_another_subscription_is_told_and_asks_for_nothing(scene: Scene) -> None:
    assert scene.took(type="trade", sid=2, seq=4) == []
    assert scene.took(type="trade", sid=2, seq=6) == [(2, "gap")]
    assert scene.sent() == []
    assert scene.counts == {"gap": 1}


def test_a_repetition_is_counted_and_a_number_that_falls_loses_all(scene: Scene) -> None:
    assert scene.took(type="orderbook_delta", sid=1, seq=2) == []
    assert scene.took(type="orderbook_delta", sid=1, seq=1) == [(None, "restart")]
    assert scene.actions() == [("get_snapshot", AB)]
    assert scene.counts == {"repeated": 1, "restart": 1}


def test_a_broken_book_is_asked_for_once_until_it_came(scene: Scene) -> None:
    for _ in range(2):
        scene.all.refresh(["S-E-A", "not wanted"])
    assert scene.actions() == [("get_snapshot", ["S-E-A"])]
    scene.all.refresh(["S-E-A"])
    scene.now += 5 * HOLD
    assert scene.sent() == []
    scene.snapshot(3, "S-E-A")
    scene.all.refresh(["S-E-A"])
    assert scene.actions() == [("get_snapshot", ["S-E-A"])]


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [10, 25])
def test_a_subscription_that_is_over_is_asked_for_again_at_once_and_then_more_slowly(
    scene: Scene, code: int
) -> None:
    assert scene.error(code, sid=1, seq=3) == [(1, "terminal")]
    [command] = scene.sent()
    assert command["params"]["market_tickers"] == AB
    scene.agreed(command, 1)
    assert scene.snapshot(1, "S-E-A") == []  # numbers begin anew
    assert scene.error(code, sid=1, seq=2) == [(1, "terminal")]
    assert scene.sent() == []
    scene.now += HOLD
    assert scene.actions() == [("subscribe", AB)]


@pytest.mark.parametrize("code", [5, 11, 13])
def test_where_books_cannot_be_asked_for_the_subscription_is_made_anew(
    scene: Scene, code: int
) -> None:
    scene.took(type="orderbook_delta", sid=1, seq=4)
    [asked] = scene.sent()
    scene.error(code, asked["id"])
    assert scene.actions() == [("unsubscribe", [1]), ("subscribe", AB)]


@pytest.mark.parametrize("code", [17, 18, 27])
def test_what_may_work_another_time_is_asked_again_later(scene: Scene, code: int) -> None:
    scene.all.refresh(["S-E-A"])
    scene.all.want([BOOKS], ["S-E-C"])
    scene.all.unwant([BOOKS], ["S-E-B"])
    first = scene.sent()
    assert len(first) == 3
    for command in first:
        scene.error(code, command["id"])
    assert scene.sent() == []
    scene.now += HOLD
    again = [{**command, "id": 0} for command in scene.sent()]
    assert again == [{**command, "id": 0} for command in first]


def test_a_channel_the_exchange_never_agreed_to_is_an_error() -> None:
    scene = Scene()
    scene.all.want(["trades"])
    [command] = scene.sent()
    with pytest.raises(UsageError, match="refuses subscribe trades: 8 no; check its name"):
        scene.error(8, command["id"])


def test_a_channel_it_agreed_to_once_is_asked_for_until_it_agrees_again(scene: Scene) -> None:
    scene.all.down()
    [command] = scene.sent()
    scene.error(8, command["id"])
    assert scene.sent() == []
    scene.now += HOLD
    assert scene.actions() == [("subscribe", AB)]
    assert scene.counts == {"error:8": 1}


def test_markets_that_cannot_be_added_are_counted_and_not_asked_for_again(scene: Scene) -> None:
    scene.all.want([BOOKS], ["S-E-C"])
    [command] = scene.sent()
    scene.error(26, command["id"])
    scene.now += 9 * HOLD
    assert scene.sent() == []
    assert scene.counts == {"error:26": 1}


# --- connections ----------------------------------------------------------------------------------


def test_a_new_connection_is_asked_for_everything(scene: Scene) -> None:
    scene.all.want([BOOKS], ["S-E-C"])
    scene.took(type="trade", sid=2, seq=4)
    scene.all.down()
    assert scene.took(type="trade", sid=2, seq=9) == []  # its numbers are others
    [command] = scene.sent()
    assert command["params"]["market_tickers"] == [*AB, "S-E-C"]
    scene.agreed(command, 1)
    assert scene.snapshot(1, "S-E-A") == []


def test_a_question_without_an_answer_is_overdue(scene: Scene) -> None:
    question = scene.all.ask(NOON)
    assert question["cmd"] == "list_subscriptions"
    assert scene.all.overdue(NOON) is None
    assert scene.all.overdue(NOON + timedelta(microseconds=1)) == "list"
    told = [{"channel": BOOKS, "sid": 1}]
    assert scene.took(id=question["id"], type="ok", msg=told) == []
    assert scene.all.overdue(NOON + timedelta(days=1)) is None


def test_a_subscription_the_exchange_does_not_list_is_over(scene: Scene) -> None:
    question = scene.all.ask(NOON)
    assert scene.took(id=question["id"], type="ok", msg=[]) == [(1, "terminal")]
    assert scene.actions() == [("subscribe", AB)]


def test_answers_of_any_other_shape_change_nothing(scene: Scene) -> None:
    for frame in (
        {"id": 77, "type": "ok", "msg": {}},
        {"id": "1", "type": "subscribed", "msg": {"sid": 3}},
        {"id": None, "type": "ok"},
        {"type": "error"},
        {"type": "error", "msg": 7, "sid": 99},
        {"type": "error", "msg": {"code": [], "msg": {}}, "sid": []},
        {"type": 5, "id": 1, "sid": "x", "seq": None},
    ):
        assert scene.took(**frame) == []
    assert scene.sent() == []
