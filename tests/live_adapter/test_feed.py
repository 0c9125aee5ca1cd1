"""A feed over real sockets: everything that goes wrong is told, and then made good."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from scripted_socket import PATH, Script, Wire, honest, quiet, scripted, turn
from websockets.asyncio.server import Request, Response, ServerConnection

from kalshi_bt.data.fold import Fold
from kalshi_bt.data.importers.ws import import_ws
from kalshi_bt.data.kalshi.auth import Credentials
from kalshi_bt.data.kalshi.parse_cells import UnreadableError
from kalshi_bt.errors import DataError, UsageError
from live_adapter.clock import StreamClock, SystemClock
from live_adapter.connecting import Patience
from live_adapter.exchange.signatures import check
from live_adapter.feed import SocketFeed
from live_adapter.frames import Down, FeedEvent, Lost, Received, Up
from live_adapter.record import Recorder
from live_adapter.replay import RecordingFeed
from live_adapter.subscriptions import BOOKS

T = "S-E-A"
QUICK = Patience(first=0.01, longest=0.02, hold=0.05, answer=5, silence=60, heartbeat=30)
Seen = list[FeedEvent]


async def watched(
    feed: SocketFeed, until: Callable[[Seen], object], seen: Seen | None = None
) -> Seen:
    """Read a feed until something is true of what was seen."""
    seen = [] if seen is None else seen
    async with asyncio.timeout(20), aclosing(feed.events()) as events:
        async for event in events:
            seen.append(event)
            if until(seen):
                break
    return seen


def kinds(seen: Seen) -> list[str]:
    """Events in a word each."""
    words = []
    for event in seen:
        if isinstance(event, Received):
            words.append(str(event.frame.get("type")))
        else:
            words.append(f"{type(event).__name__} {getattr(event, 'why', '')}".strip())
    return words


def folded(seen: Seen) -> Fold:
    """The books a reader has who does as it is told."""
    fold = Fold()
    for event in seen:
        if isinstance(event, Received):
            try:
                fold.apply(event.frame)
            except UnreadableError:
                fold.unreadable(event.frame)
        elif isinstance(event, Lost):
            fold.lose(event.sid)
        elif isinstance(event, Down):
            fold.restart()
    return fold


def truth(wire: Wire, ticker: str = T) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The exchange's own book, in stored units."""
    book = wire.books[ticker]
    bids = [(round(float(p) * 10_000), n * 100) for p, n in book["yes"].items() if n]
    asks = [(10_000 - round(float(p) * 10_000), n * 100) for p, n in book["no"].items() if n]
    return sorted(bids, reverse=True), sorted(asks)


def has(fold: Fold, ticker: str = T) -> tuple[list[tuple[int, int]], list[tuple[int, int]]] | None:
    book = fold.books.get(ticker)
    return None if book is None else (book.bids.levels(), book.asks.levels())


def last(kind: str) -> Callable[[Seen], bool]:
    return lambda seen: kinds(seen)[-1] == kind


def play(
    script: Script, act: Callable[[SocketFeed], Awaitable[Seen]], **options: Any
) -> tuple[Seen, SocketFeed, list[Wire]]:
    """Run a feed of the books of one market against a script."""

    async def scene() -> tuple[Seen, SocketFeed, list[Wire]]:
        async with scripted(script) as server:
            told = {"patience": QUICK, **options}
            feed = SocketFeed(server.url, None, SystemClock(), **told)
            await feed.subscribe([BOOKS], [T])
            seen = await act(feed)
        return seen, feed, server.wires

    return asyncio.run(scene())


# --- the usual ------------------------------------------------------------------------------------


def test_the_handshake_is_signed_for_its_path_at_the_time_of_the_clock() -> None:
    key = Ed25519PrivateKey.generate()
    checked: list[datetime] = []

    def verify(_: ServerConnection, request: Request) -> Response | None:
        headers = {name.upper(): value for name, value in request.headers.raw_items()}
        check(key.public_key(), "GET", PATH, headers, needed=True)
        milliseconds = int(headers["KALSHI-ACCESS-TIMESTAMP"])
        checked.append(datetime.fromtimestamp(milliseconds / 1_000, UTC))
        return None

    async def scene() -> Seen:
        async with scripted(honest, verify) as server:
            feed = SocketFeed(f"{server.url}?a=b", Credentials("a", key), SystemClock())
            await feed.subscribe(["trade"])
            return await watched(feed, last("subscribed"))

    [up, _] = asyncio.run(scene())
    assert isinstance(up, Up)
    assert abs(up.time - checked[0]) < timedelta(seconds=10)


def test_messages_come_as_they_were_sent_with_decimals_and_times_that_do_not_go_back() -> None:
    texts = [
        '{"type":"news","msg":{"fee":0.10,"n":1e-3,"big":123456789012345678901}}',
        '{"type":"trade","sid":9,"seq":1,"msg":{"title":"n\u00e4her \u2192"}}',
    ]

    async def script(wire: Wire) -> None:
        await wire.command()
        for text in texts:
            await wire.socket.send(text)
        await wire.serve()

    seen, feed, _ = play(script, lambda feed: watched(feed, last("trade")))
    assert kinds(seen) == ["Up", "news", "trade"]
    first, second = seen[1:]
    assert isinstance(first, Received)
    assert isinstance(second, Received)
    assert [first.raw.decode(), second.raw.decode()] == texts
    big = 123456789012345678901
    assert first.frame["msg"] == {"fee": Decimal("0.10"), "n": Decimal("0.001"), "big": big}
    assert isinstance(first.frame["msg"]["fee"], Decimal)
    times = [event.time for event in seen]
    assert times == sorted(times)
    assert feed.counts == {"up": 1, "unknown:news": 1, "type:trade": 1}


def test_what_is_subscribed_to_later_comes_too() -> None:
    async def act(feed: SocketFeed) -> Seen:
        seen: Seen = []

        def until(_: Seen) -> bool:
            if kinds(seen).count("orderbook_snapshot") == 1 and "later" not in waiting:
                waiting["later"] = asyncio.create_task(feed.subscribe([BOOKS, "trade"], ["B"]))
            return set(folded(seen).books) == {T, "B"} and "subscribed" in kinds(seen)[3:]

        waiting: dict[str, asyncio.Task[None]] = {}
        return await watched(feed, until, seen)

    _, _, [wire] = play(honest, act)
    sent = [(c["cmd"], c["params"].get("action")) for c in wire.commands]
    assert sent[0] == ("subscribe", None)
    assert sorted(map(str, sent[1:])) == [
        "('subscribe', None)",
        "('update_subscription', 'add_markets')",
    ]


# --- gaps and errors ------------------------------------------------------------------------------


def test_a_gap_is_told_before_the_message_that_shows_it_and_the_book_is_asked_for() -> None:
    async def script(wire: Wire) -> None:
        await wire.answer(await wire.command())
        await wire.delta(T, 2)
        wire.books[T]["yes"]["0.4000"] += 5  # nobody hears of it
        wire.skip(BOOKS)
        await wire.delta(T, 3)
        await wire.answer(await wire.command())
        await wire.delta(T, 1, side="no")
        await wire.send("done")
        await wire.serve()

    seen, feed, [wire] = play(script, lambda feed: watched(feed, last("done")))
    assert kinds(seen)[3:] == [
        "orderbook_delta",
        "Lost gap",
        "orderbook_delta",
        "orderbook_snapshot",
        "orderbook_delta",
        "done",
    ]
    assert has(folded(seen[:6])) is None
    assert has(folded(seen)) == truth(wire) == ([(4_000, 2_000)], [(5_000, 1_100)])
    assert wire.commands[1]["params"]["action"] == "get_snapshot"
    assert feed.counts["gap"] == 1


def test_where_a_book_cannot_be_asked_for_the_subscription_is_made_anew() -> None:
    async def script(wire: Wire) -> None:
        await wire.answer(await wire.command())
        wire.skip(BOOKS)
        await wire.delta(T)
        refused = await wire.command()
        error = {"code": 13, "msg": "Unsupported action"}
        await wire.send("error", id=refused["id"], msg=error)
        await wire.serve()

    def until(seen: Seen) -> bool:
        return kinds(seen).count("orderbook_snapshot") == 2

    patience = Patience(hold=60, answer=400, silence=400)  # at once: nothing here is held back
    seen, feed, [wire] = play(script, lambda feed: watched(feed, until), patience=patience)
    assert [c["cmd"] for c in wire.commands[1:]] == [
        "update_subscription",
        "unsubscribe",
        "subscribe",
    ]
    assert has(folded(seen)) == truth(wire)
    assert feed.counts["error:13"] == 1


@pytest.mark.parametrize("code", [10, 25])
def test_a_subscription_the_exchange_ends_is_made_anew(code: int) -> None:
    async def script(wire: Wire) -> None:
        await wire.answer(await wire.command())
        await wire.send("error", BOOKS, msg={"code": code, "msg": "over"})
        await wire.serve()

    def until(seen: Seen) -> bool:
        return kinds(seen).count("orderbook_snapshot") == 2

    seen, _, [wire] = play(script, lambda feed: watched(feed, until))
    assert "Lost terminal" in kinds(seen)
    assert [c["cmd"] for c in wire.commands] == ["subscribe", "subscribe"]
    assert has(folded(seen)) == truth(wire)


def test_repetitions_unknown_types_and_nonsense_are_counted_and_end_nothing() -> None:
    nonsense = ["no JSON", "[1]", '"text"', '{"a":', '{"a": NaN}', "[" * 100_000, '{"type": ["x"]}']

    async def script(wire: Wire) -> None:
        await wire.answer(await wire.command())
        for text in nonsense:
            await wire.socket.send(text)
        wire.socket.transport.write(b"\x81\x02\xff\xfe")  # a text of bytes that are no text
        await wire.delta(T)
        again = {"type": "orderbook_delta", "sid": 1, "seq": 2, "msg": {}}
        await wire.socket.send(json.dumps(again))
        await wire.send("fill", msg={})
        await wire.send("done")
        await wire.serve()

    seen, feed, [wire] = play(script, lambda feed: watched(feed, last("done")))
    assert has(folded(seen)) == truth(wire)
    assert feed.counts["malformed"] == len(nonsense)  # but for the last one, and with the bytes
    assert feed.counts["repeated"] == feed.counts["unknown:fill"] == 1


def test_a_huge_message_is_read() -> None:
    async def script(wire: Wire) -> None:
        await wire.command()
        await wire.send("big", msg={"title": "x" * 4_000_000})
        await wire.serve()

    seen, _, _ = play(script, lambda feed: watched(feed, last("big")))
    assert isinstance(seen[-1], Received)
    assert len(seen[-1].frame["msg"]["title"]) == 4_000_000


def test_a_channel_the_exchange_does_not_have_is_an_error() -> None:
    async def script(wire: Wire) -> None:
        command = await wire.command()
        error = {"code": 8, "msg": "Unknown channel name"}
        await wire.send("error", id=command["id"], msg=error)
        await wire.serve()

    with pytest.raises(UsageError, match="refuses subscribe orderbook_delta: 8 Unknown channel"):
        play(script, lambda feed: watched(feed, last("never")))


def test_frames_of_former_years_give_the_same_book() -> None:
    old = {"market_ticker": T, "yes": [[8, 300], [40, 10]], "no": [[54, 20]]}

    async def script(wire: Wire) -> None:
        command = await wire.command()
        await wire.send("subscribed", id=command["id"], msg={"channel": BOOKS, "sid": 1})
        wire.sids[BOOKS] = 1
        await wire.send("orderbook_snapshot", BOOKS, msg=old)
        told = {"market_ticker": T, "price": 40, "delta": 5, "side": "yes"}
        await wire.send("orderbook_delta", BOOKS, msg=told)
        await wire.serve()

    seen, _, _ = play(script, lambda feed: watched(feed, last("orderbook_delta")))
    assert has(folded(seen)) == ([(4_000, 1_500), (800, 30_000)], [(4_600, 2_000)])


# --- connections ----------------------------------------------------------------------------------


def end_at_once(wire: Wire) -> None:
    wire.socket.transport.abort()


def end_within_a_message(wire: Wire) -> None:
    wire.socket.transport.write(b'\x81\x7e\x01\x00{"type":"orderbook_')
    wire.socket.transport.close()


@pytest.mark.parametrize(
    ("end", "why"), [(end_at_once, "broken"), (end_within_a_message, "broken"), (None, "closed")]
)
def test_a_connection_that_ends_loses_all_and_the_next_one_gets_it_back(
    end: Callable[[Wire], None] | None, why: str
) -> None:
    async def script(wire: Wire) -> None:
        await wire.answer(await wire.command())
        if wire.number == 1 and end is not None:
            await turn()
            end(wire)
        elif wire.number == 1:
            await wire.socket.close(1001, "going away")
        await wire.serve()

    def until(seen: Seen) -> bool:
        return kinds(seen).count("orderbook_snapshot") == 2

    seen, feed, [_, wire] = play(script, lambda feed: watched(feed, until))
    [down] = [event for event in seen if isinstance(event, Down)]
    assert why in down.why
    assert kinds(seen)[seen.index(down) + 1 :][:2] == ["Up", "subscribed"]
    assert has(folded(seen[: seen.index(down) + 1])) is None
    assert has(folded(seen)) == truth(wire)
    assert (feed.counts["up"], feed.counts["down"]) == (2, 1)


@pytest.mark.parametrize("script", [quiet, honest])
def test_silence_is_asked_about_and_only_ends_a_connection_when_nobody_answers(
    script: Script,
) -> None:
    patience = Patience(first=0.01, answer=0.3, silence=0.05)

    def until(seen: Seen) -> bool:
        return kinds(seen).count("ok") == 2 if script is honest else "Down" in kinds(seen)[-1]

    seen, feed, wires = play(script, lambda feed: watched(feed, until), patience=patience)
    if script is honest:
        assert [c["cmd"] for c in wires[0].commands[1:]] == ["list_subscriptions"] * 2
        assert feed.counts["down"] == 0
    else:
        assert kinds(seen) == ["Up", "Down no answer to subscribe orderbook_delta"]


def test_a_dead_connection_is_noticed_by_its_pings() -> None:
    async def script(wire: Wire) -> None:
        await wire.answer(await wire.command())
        wire.socket.transport.pause_reading()  # no more pongs
        await asyncio.sleep(0.5)
        wire.socket.transport.resume_reading()

    patience = Patience(first=9, heartbeat=0.1)
    seen, _, _ = play(
        script,
        lambda feed: watched(feed, lambda seen: "Down" in kinds(seen)[-1]),
        patience=patience,
    )
    assert "keepalive" in kinds(seen)[-1]


class Impatient:
    """A clock that never waits and notes what it was asked to."""

    def __init__(self) -> None:
        self.time, self.waits = datetime(2026, 1, 5, 12, tzinfo=UTC), []

    def now(self) -> datetime:
        return self.time

    async def sleep_until(self, time: datetime) -> None:
        await asyncio.sleep(0)
        self.waits.append((time - self.time).total_seconds())
        self.time = max(self.time, time)


def answers(*statuses: int, **headers: str) -> Callable[[ServerConnection, Request], Any]:
    """Refuse the first handshakes with these."""
    left = list(statuses)

    def refuse(connection: ServerConnection, _: Request) -> Response | None:
        if not left:
            return None
        found: Response = connection.respond(HTTPStatus(left.pop(0)), "no\n")
        found.headers.update(headers)
        return found

    return refuse


async def tried(url: str, clock: Any, until: Callable[[Seen], object], **more: Any) -> Seen:
    feed = SocketFeed(url, None, clock, **more)
    await feed.subscribe(["trade"])
    return await watched(feed, until)


def test_waits_between_tries_double_up_to_the_longest_and_a_seed_repeats_them() -> None:
    async def scene(seed: int) -> list[float]:
        async with scripted(honest, answers(503, 500, 502, 504, 503)) as server:
            clock = Impatient()
            patience = Patience(first=1, longest=6, jitter=0.5)
            await tried(server.url, clock, last("Up"), patience=patience, seed=seed)
            return clock.waits[:5]

    first, again, other = (asyncio.run(scene(seed)) for seed in (1, 1, 2))
    assert first == again != other
    for wait, whole in zip(first, (1, 2, 4, 6, 6), strict=True):
        assert whole / 2 <= wait <= whole
    assert len({wait / whole for wait, whole in zip(first, (1, 2, 4, 6, 6), strict=True)}) == 5


def test_an_exchange_that_names_a_wait_gets_it() -> None:
    async def scene() -> list[float]:
        async with scripted(honest, answers(429, **{"Retry-After": "17"})) as server:
            clock = Impatient()
            await tried(server.url, clock, last("Up"))
            return clock.waits[:1]

    assert asyncio.run(scene()) == [17.0]


@pytest.mark.parametrize(
    ("status", "told"),
    [(401, "refuses the key"), (403, "refuses the key"), (404, "answers HTTP 404"), (301, "301")],
)
def test_a_refusal_that_will_stay_is_an_error_of_one_line(status: int, told: str) -> None:
    async def scene() -> None:
        elsewhere = {"Location": "ws://127.0.0.1:1/elsewhere"}
        async with scripted(honest, answers(*[status] * 9, **elsewhere)) as server:
            await tried(server.url, Impatient(), last("Up"))

    with pytest.raises(UsageError, match=told) as error:
        asyncio.run(scene())
    assert "\n" not in str(error.value)


def test_a_key_that_worked_is_tried_again_when_it_is_refused_later() -> None:
    refusals = answers(401, 401)

    async def script(wire: Wire) -> None:
        await wire.answer(await wire.command())
        if wire.number == 1:
            await wire.socket.close()
        await wire.serve()

    def check_later(connection: ServerConnection, request: Request) -> Response | None:
        found: Response | None = refusals(connection, request) if wires else None
        return found

    async def scene() -> Seen:
        async with scripted(script, check_later) as server:
            nonlocal wires
            wires = server.wires
            return await tried(
                server.url,
                SystemClock(),
                lambda seen: kinds(seen).count("subscribed") == 2,
                patience=QUICK,
            )

    wires: list[Wire] = []
    assert kinds(asyncio.run(scene())).count("Up") == 2


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ws://127.0.0.1:1/trade-api/ws/v2", "cannot be reached"),
        ("http://127.0.0.1:1/", "no address of a WebSocket"),
        ("nonsense", "no address of a WebSocket"),
    ],
)
def test_an_address_nobody_is_at_is_an_error_of_one_line(url: str, told: str) -> None:
    with pytest.raises((DataError, UsageError), match=told) as error:
        asyncio.run(tried(url, Impatient(), last("Up")))
    assert "\n" not in str(error.value)


def test_whoever_stops_reading_leaves_nothing_behind() -> None:
    ended: list[int | None] = []

    async def script(wire: Wire) -> None:
        await wire.answer(await wire.command())
        await wire.socket.wait_closed()
        ended.append(wire.socket.close_code)

    async def act(feed: SocketFeed) -> Seen:
        before = asyncio.all_tasks()
        await watched(feed, last("orderbook_snapshot"))
        seen = await watched(feed, last("orderbook_snapshot"))  # it can be read again
        reader = asyncio.create_task(watched(feed, last("never")))
        await turn(50)
        reader.cancel()
        await asyncio.wait([reader])
        left = {t.get_coro().__qualname__ for t in asyncio.all_tasks() - before}  # type: ignore[union-attr]
        assert not {name for name in left if name.startswith("SocketFeed")}
        return seen

    play(script, act)
    assert ended == [1000, 1000, 1000]


# --- a slow reader, a recording -------------------------------------------------------------------


def test_a_reader_that_is_too_slow_loses_books_and_gets_them_back_but_no_trade_is_lost(
    tmp_path: Path,
) -> None:
    async def script(wire: Wire) -> None:
        await wire.answer(await wire.command())
        await wire.answer(await wire.command())
        for number in range(400):
            await wire.delta(T)
            if number % 20 == 0:
                await wire.trade(number)
        await wire.answer(await wire.command())
        await wire.delta(T)
        await wire.send("done")
        await wire.serve()

    async def act(feed: SocketFeed) -> Seen:
        await feed.subscribe(["trade"], [T])
        seen: Seen = []
        async with asyncio.timeout(20), aclosing(feed.events()) as events:
            async for event in events:
                seen.append(event)
                if kinds(seen)[-1] == "done":
                    break
                if len(seen) == 4:
                    await turn(200)
                    assert feed.depth <= 122  # books add nothing to the first 101
        return seen

    with Recorder(tmp_path) as recorder:
        seen, feed, [wire] = play(script, act, limit=100, recorder=recorder)
    assert "Lost overflow" in kinds(seen)
    numbers = [e.frame["msg"]["trade_id"] for e in seen if kinds([e]) == ["trade"]]  # type: ignore[union-attr]
    assert numbers == [str(number) for number in range(0, 400, 20)]
    assert has(folded(seen)) == truth(wire)
    assert feed.counts["shed"] > 0
    assert feed.peak <= 122
    again = RecordingFeed([tmp_path], StreamClock())

    async def played() -> Seen:
        return [event async for event in again.events()]

    # Its recording loses them at the same place, though it has all that came.
    told = [(event.time, word) for event, word in zip(seen, kinds(seen), strict=True)]
    events = asyncio.run(played())
    both = zip(events, kinds(events), strict=True)
    assert [(event.time, word) for event, word in both][: len(told) - 1] == told[1:]
    assert again.counts["shed"] == feed.counts["shed"]


def test_what_is_told_once_is_not_read_before_there_is_room_for_it() -> None:
    async def script(wire: Wire) -> None:
        await wire.answer(await wire.command())
        wire.sids["trade"] = 2
        for number in range(300):
            await wire.trade(number)
        await wire.send("done")
        await wire.serve()

    async def act(feed: SocketFeed) -> Seen:
        seen: Seen = []
        async with asyncio.timeout(20), aclosing(feed.events()) as events:
            async for event in events:
                seen.append(event)
                if kinds(seen)[-1] == "done":
                    break
                if len(seen) % 100 == 3:
                    await turn(50)
        return seen

    seen, feed, _ = play(script, act, limit=50)
    assert kinds(seen).count("trade") == 300
    assert feed.peak == 101
    assert feed.counts["overflow"] > 0


def test_a_recording_has_every_message_and_the_end_of_every_connection(tmp_path: Path) -> None:
    async def script(wire: Wire) -> None:
        await wire.answer(await wire.command())
        await wire.delta(T)
        await wire.socket.send("no JSON")
        if wire.number == 1:
            await wire.socket.close()
        await wire.serve()

    def until(seen: Seen) -> bool:
        return kinds(seen).count("orderbook_delta") == 2

    with Recorder(tmp_path / "tape") as recorder:
        seen, _, _ = play(script, lambda feed: watched(feed, until), recorder=recorder)
    [file] = (tmp_path / "tape").iterdir()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    came = [e.raw.decode() for e in seen if isinstance(e, Received)]
    raws = [line["raw"] for line in lines if "raw" in line]
    assert [raw for raw in raws if raw != "no JSON"][: len(came)] == came
    assert raws.count("no JSON") >= 1
    [down] = [e for e in seen if isinstance(e, Down)]
    [noted] = [line for line in lines if "event" in line]
    assert noted["event"] == {"type": "feed_lost", "msg": {"why": down.why}}
    report = import_ws([tmp_path / "tape"], tmp_path / "dataset")
    assert report.messages["restart"] == 1
    assert report.tables["books"].added == 5  # two snapshots, two changes, one hole
