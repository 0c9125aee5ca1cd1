"""Markets of a series are found while it trades, whatever the exchange's REST half does."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from papered import planned

from kalshi_bt.data.kalshi.auth import Credentials
from kalshi_bt.data.kalshi.client import Client, Retry
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError
from live_adapter import listing
from live_adapter.bars import Bars
from live_adapter.clock import StreamClock, SystemClock
from live_adapter.connecting import Patience
from live_adapter.exchange import archive, life
from live_adapter.feed import SocketFeed
from live_adapter.listing import Lookout, RestListing, aside
from live_adapter.moments import Moment, Resumed
from live_adapter.sandbox import Exchange
from live_adapter.sources import Source, connected

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SERIES = "SYNBTC15M"
ONCE = Retry(attempts=3, first=0.001, longest=0.002, jitter=0)


def market(ticker: str, opens: int, **more: object) -> dict[str, object]:
    """A market as the exchange tells of it, a quarter of an hour long."""
    times = {"open_time": NOON + opens * MINUTE, "close_time": NOON + (opens + 15) * MINUTE}
    return {"ticker": ticker, **{name: t.isoformat() for name, t in times.items()}, **more}


def news(kind: str, ticker: str) -> dict[str, object]:
    return {"type": "market_lifecycle_v2", "msg": {"event_type": kind, "market_ticker": ticker}}


def test_the_next_look_is_when_a_window_opens_or_closes_and_a_minute_later_at_most() -> None:
    look = Lookout(["S"])
    assert look.due < NOON
    assert look.learn([{"markets": [market("S-A", -14), market("S-B", 1)]}], NOON) == ["S-A", "S-B"]
    assert look.due == NOON + MINUTE  # both windows change a second after that
    half = NOON + timedelta(seconds=30)
    look.learn([{"markets": [market("S-A", -14), market("S-B", 1)]}], half)
    assert look.due == NOON + timedelta(seconds=61)
    assert look.learn([{"events": []}], NOON + 2 * MINUTE) == []
    assert look.due == NOON + 3 * MINUTE


def test_waits_after_failures_double_up_to_a_minute_and_begin_anew_after_an_answer() -> None:
    look = Lookout(["S"])
    waits = []
    for tried in range(1, 9):
        assert look.failed(NOON) == tried
        waits.append((look.due - NOON).total_seconds())
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]
    look.learn([], NOON)
    assert look.failed(NOON) == 1
    assert look.due == NOON + timedelta(seconds=2)


def test_news_of_a_market_are_a_reason_to_look_and_of_another_series_none() -> None:
    look = Lookout(["S"])
    look.learn([], NOON)
    assert look.news(news("created", "T-A"), NOON) is None
    assert look.news({"type": "trade", "msg": {"market_ticker": "S-A"}}, NOON) is None
    assert look.due == NOON + MINUTE
    assert look.news(news("created", "S-A"), NOON) == "S-A"
    assert look.due == NOON + timedelta(seconds=1)
    assert look.news(news("activated", "S-A"), NOON) is None
    assert list(look.known) == ["S-A"]


def test_a_settled_market_is_asked_for_until_its_payout_was_told() -> None:
    """The message that told the result may have been lost: then it is known nowhere."""
    look = Lookout(["S"])
    look.learn([{"markets": [market("S-A", -14), market("S-B", -14)]}], NOON)
    assert look.unpaid(NOON) == []
    look.news(news("settled", "S-A"), NOON)
    look.news(news("settled", "S-C"), NOON)  # nobody knows that one
    assert look.due == NOON + timedelta(seconds=1)
    assert look.unpaid(NOON) == ["S-A"]
    look.over(["S-A"])
    assert look.unpaid(NOON) == []
    assert list(look.known) == ["S-B"]


class Saying:
    """A client that is told one answer to all questions."""

    base_url = "http://exchange"
    requests = throttled = failed = 0

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def get(self, *_path: object, **_more: object) -> object:
        return self._answer


@pytest.mark.parametrize("answer", [{"markets": None, "events": None, "cursor": None}, {}])
def test_no_rows_may_be_null_or_absent(answer: object) -> None:
    told = RestListing(Saying(answer), ["S"]).markets()  # type: ignore[arg-type]
    assert found(told) == set()
    look = Lookout(["S"])
    bars = Bars(60)
    for page in (*told, {"markets": None}, {"events": None}):
        assert look.learn([page], NOON) == []
        assert list(bars.describe(NOON, page)) == []


def test_of_a_page_only_its_rows_are_kept() -> None:
    told = RestListing(Saying({"events": [], "markets": [], "more": 7}), ["S"]).markets()  # type: ignore[arg-type]
    assert [page.keys() - {"cursor"} for page in told] == [{"events"}] * 2 + [{"markets"}] * 2


@pytest.mark.parametrize("answer", [[], "maintenance", 7, None, {"events": 7}, {"events": [None]}])
def test_an_answer_of_another_shape_is_an_error_that_a_session_survives(answer: object) -> None:
    with pytest.raises(DataError, match="http://exchange/events was answered without a list"):
        RestListing(Saying(answer), ["S"]).markets()  # type: ignore[arg-type]


FEES = {"fee_type": "quadratic", "fee_multiplier": 1}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([], "has no list 'series'"),
        ("maintenance", "has no list 'series'"),
        ({"series": None}, "has no list 'series'"),
        ({"series": {"ticker": "S"}}, "fee_type is absent"),
        ({"series": {"ticker": "S", **FEES, "fee_multiplier": None}}, "fee_multiplier is null"),
        ({"series": {"ticker": "S", **FEES, "fee_type": "flat"}}, "unknown fee type 'flat'"),
    ],
)
def test_a_series_without_fees_that_can_be_read_is_not_traded(answer: object, words: str) -> None:
    with pytest.raises(DataError, match=f"http://exchange/series/S.*{words}"):
        RestListing(Saying(answer), ["S"]).series()  # type: ignore[arg-type]
    free = {"series": {"ticker": "S", **FEES, "fee_multiplier": 0}}  # 0 is a value
    assert RestListing(Saying(free), ["S"]).series() == [free]  # type: ignore[arg-type]


@pytest.mark.parametrize("close", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+05:00", "soon", 7])
def test_a_close_that_is_no_time_or_never_comes_is_no_reason_to_look(close: object) -> None:
    look = Lookout(["S"])
    assert look.learn([{"markets": [market("S-A", -14, close_time=close)]}], NOON) == ["S-A"]
    assert look.due == NOON + MINUTE
    assert look.unpaid(NOON) == []


def test_results_are_asked_for_until_they_are_paid() -> None:
    look = Lookout(["S"])
    look.learn([{"markets": [market("S-A", -15), market("S-B", -14)]}], NOON)
    assert look.unpaid(NOON) == []
    assert look.unpaid(NOON + 2 * MINUTE) == ["S-A"]
    look.learn([{"markets": [market("S-A", -15, status="determined")]}], NOON)
    assert look.unpaid(NOON + 2 * MINUTE) == ["S-A"]
    look.learn([{"markets": [market("S-A", -15, status="finalized")]}], NOON)
    assert look.unpaid(NOON + 2 * MINUTE) == []
    assert list(look.known) == ["S-B"]


@pytest.fixture(scope="module")
def stored(one_day: Path) -> Store:
    return Store.open(one_day)


def found(told: list[listing.Answer]) -> set[str]:
    return {m["ticker"] for answer in told for m in answer.get("markets") or ()}


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows are made five minutes before they open, as rolling ones."""
    monkeypatch.setattr(archive, "LISTED_BEFORE", 5 * MINUTE)
    monkeypatch.setattr(life, "LISTED_BEFORE", 5 * MINUTE)


def began(store: Store) -> datetime:
    opens: datetime | None = store.read("markets").filter(series=SERIES)["open_time"].min()  # type: ignore[assignment]
    assert opens is not None
    return opens


@pytest.mark.usefixtures("early")
def test_all_pages_are_read_through_refusals_and_what_was_asked_for_by_name(
    stored: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_PAGE", 1)
    now = began(stored) + timedelta(minutes=11)
    rows = stored.read("markets").filter(series=SERIES)
    there = rows.filter((rows["open_time"] <= now + 5 * MINUTE) & (rows["close_time"] > now))
    assert there.height > 1
    with Exchange(stored, now=now) as exchange, Client(exchange.url, retry=ONCE) as client:
        exchange.set_faults("429:every=3,retry_after=0", "503:every=4,first=8")
        told = RestListing(client, [SERIES])
        assert found(told.markets()) == set(there["ticker"])
        assert told.counts["rest:429"] > 0
        assert told.counts["rest:5xx"] > 0
        exchange.set_faults("loop")
        assert found(told.markets()) <= set(there["ticker"])  # it ends
        exchange.set_faults()
        exchange.now = now + timedelta(hours=1)
        states = [m["status"] for a in told.named(sorted(there["ticker"])) for m in a["markets"]]
        assert states == ["finalized"] * there.height
        with pytest.raises(UsageError, match="has no series KXNONE; check --series"):
            RestListing(client, ["KXNONE"]).series()
        with pytest.raises(UsageError, match="give a series, such as SYNHIGH"):
            RestListing(client, ["SYNHIGH-26MAY04-B65.5"]).series()
        exchange.set_faults("500")
        with pytest.raises(DataError, match="failed 3 times"):
            told.markets()


class Scene:
    """A session's source while the exchange's time goes by in steps."""

    def __init__(self, exchange: Exchange, source: Source) -> None:
        self.exchange, self.source = exchange, source
        self.moments: list[Moment] = []

    async def run(self) -> None:
        async with aclosing(self.source.moments(None)) as moments:
            async for moment in moments:
                self.moments.append(moment)

    async def until(self, true: Callable[[], object], step: timedelta = MINUTE) -> None:
        """Let time go by until something is true."""
        for _ in range(60):
            for _ in range(6):
                if true():
                    return
                await asyncio.sleep(0.01)
            await asyncio.to_thread(self.exchange.play_until, self.exchange.now + step)
        raise AssertionError(self.source.health())

    def listed(self) -> set[str]:
        return {ticker for moment in self.moments for ticker in moment.listed["ticker"]}

    def settled(self) -> set[str]:
        return {ticker for moment in self.moments for ticker in moment.settled["ticker"]}


def events(caplog: pytest.LogCaptureFixture) -> set[str]:
    """What was logged, by its one word."""
    return {getattr(record, "told_event", "") for record in caplog.records}


def played(store: Store, data: Path, act: Callable[[Scene], object], *, now: datetime) -> None:
    """Let a session watch an exchange while `act` moves it."""
    plan = planned("bollinger", data, series=SERIES, bar="60s")
    key = Credentials("a-key", Ed25519PrivateKey.generate())

    async def scene() -> None:
        with Exchange(store, now=now) as exchange, Client(exchange.url, retry=ONCE) as client:
            here = SystemClock()
            quick = Patience(first=0.01, longest=0.05, hold=0.05)
            feed = SocketFeed(exchange.ws, key, here, patience=quick)
            listing = RestListing(client, plan.config.series)
            told = Scene(exchange, connected("x", feed, StreamClock(), plan, listing, here))
            running = asyncio.create_task(told.run())
            try:
                await act(told)  # type: ignore[misc]
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scene())


@pytest.mark.slow
@pytest.mark.usefixtures("early")
def test_windows_follow_each_other_though_news_are_lost_and_nobody_answers_for_a_while(
    stored: Store, one_day: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = stored.read("markets").filter(series=SERIES).sort("open_time")
    times = dict(rows.select("ticker", "open_time").iter_rows())
    first, second, third, fourth, fifth = list(times)[:5]

    async def act(scene: Scene) -> None:
        scene.exchange.set_faults("gap:path=/ws/market_lifecycle_v2")  # nobody tells of a window
        await scene.until(lambda: second in scene.listed())
        assert scene.exchange.now < times[second]  # before it opens
        await scene.until(lambda: first in scene.settled())
        await scene.until(lambda: any(second in m.bars["ticker"].to_list() for m in scene.moments))
        # The REST half is gone: what is known goes on, and it is said.
        scene.exchange.set_faults("503")
        count = len(scene.moments)
        await scene.until(lambda: len(scene.moments) > count + 3)
        await scene.until(lambda: "listing_failed" in events(caplog))
        words = next(m for m in caplog.messages if "looked for" in m)
        assert "those that are known go on" in words
        scene.exchange.set_faults()
        await scene.until(lambda: fourth in scene.listed())
        await scene.until(lambda: {first, second, third} <= scene.settled())
        await scene.until(lambda: scene.source.health()["markets"] <= 3)

    played(stored, one_day, act, now=times[first] + MINUTE)
    assert fifth


@pytest.mark.slow
@pytest.mark.usefixtures("early")
def test_a_market_of_a_stopped_session_is_settled_when_it_goes_on(
    stored: Store, one_day: Path
) -> None:
    rows = stored.read("markets").filter(series=SERIES).sort("open_time")
    ticker, opened, close = rows.select("ticker", "open_time", "close_time").row(0)

    async def act(scene: Scene) -> None:
        scene.source.adopt(Resumed(closes={ticker: close}))
        await scene.until(lambda: ticker in scene.settled())
        assert ticker not in scene.listed()

    played(stored, one_day, act, now=opened + timedelta(hours=2))


def test_nobody_waits_for_work_aside_that_does_not_end() -> None:
    from threading import Event

    never = Event()

    async def scene() -> str:
        waiting = aside(never.wait)
        done = await aside(lambda: "done")
        with pytest.raises(DataError, match="said so"):
            await aside(failing)
        waiting.cancel()
        return done

    def failing() -> None:
        raise DataError("said so")

    assert asyncio.run(scene()) == "done"
    never.set()
