"""What would go wrong soon is one clear line before anything starts, and no secret is in any."""

import asyncio
import io
import logging
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from local_exchange import QUICK, Local, Raw, local
from scripted_socket import Wire, scripted
from websockets.asyncio.server import Request, Response, ServerConnection

from kalshi_bt.data.kalshi.auth import Credentials
from kalshi_bt.data.kalshi.client import Client
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, KalshiBtError, UsageError
from live_adapter.clock import StreamClock, SystemClock
from live_adapter.connecting import Patience
from live_adapter.exchange.signatures import read_key
from live_adapter.feed import SocketFeed
from live_adapter.frames import Received
from live_adapter.keys import preflight
from live_adapter.logs import kept
from live_adapter.record import Recorder
from live_adapter.sandbox import Exchange
from live_adapter.subscriptions import BOOKS

__all__ = ["local"]  # a fixture

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
KEY = rsa.generate_private_key(65_537, 2_048)
PASSWORD = "open-sesame-4711"  # noqa: S105


def pem(password: str | None = None) -> bytes:
    locked = serialization.BestAvailableEncryption(password.encode()) if password else None
    return KEY.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        locked or serialization.NoEncryption(),
    )


@pytest.fixture
def there(local: Local) -> Local:
    """An exchange whose clock says noon, with one market and one event of two."""
    local.date = format_datetime(NOON, usegmt=True)
    local.answers |= {
        "/exchange/status": {"exchange_active": True},
        "/account/limits": {},
        "/markets/S-E-A": {"market": {"ticker": "S-E-A"}},
        "/events/S-E": {"event": {}, "markets": [{"ticker": "S-E-A"}, {"ticker": "S-E-B"}]},
    }
    return local


def asked(there: Local, seconds: float = 0, *tickers: str, key: bool = False) -> None:
    credentials = Credentials("a-key", KEY) if key else None
    clock = StreamClock(NOON + timedelta(seconds=seconds))
    with Client(there.url, retry=QUICK, credentials=credentials) as client:
        preflight(client, clock, tickers)


@pytest.mark.parametrize("seconds", [-5, 0, 5.9])
def test_clocks_that_may_agree_are_good_enough(there: Local, seconds: float) -> None:
    asked(there, seconds, "S-E-A")
    assert there.paths() == ["/exchange/status", "/markets/S-E-A"]  # no key, nothing to try


@pytest.mark.parametrize(("seconds", "told"), [(-38, "38 s behind"), (39, "38 s ahead of")])
@pytest.mark.parametrize("refused", [False, True])
def test_a_wrong_clock_is_named_even_where_it_is_why_the_key_is_refused(
    there: Local, seconds: float, told: str, *, refused: bool
) -> None:
    if refused:
        there.answers["/exchange/status"] = Raw(401, b"{}")
    with pytest.raises(UsageError, match=f"clock is {told}"):
        asked(there, seconds, key=True)


def test_an_answer_of_an_hour_ago_does_not_tell_the_time(
    there: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: str) -> None:
        raise DataError("nobody is there any more")

    with Client(there.url, retry=QUICK) as client:
        client.get("/exchange/status")
        monkeypatch.setattr(client, "get", gone)
        with pytest.raises(DataError, match="nobody is there"):
            preflight(client, StreamClock(NOON + timedelta(hours=1)))


def test_a_key_that_is_refused_an_address_without_an_exchange_and_an_unknown_market(
    there: Local,
) -> None:
    with pytest.raises(UsageError, match="has no market 'S-E-C'"):
        asked(there, 0, "S-E-A", "S-E-C")
    with pytest.raises(UsageError, match="S-E is an event, no market; its markets: S-E-A, S-E-B"):
        asked(there, 0, "S-E")
    there.answers["/account/limits"] = Raw(401, b'{"error":{"message":"invalid signature"}}')
    with pytest.raises(DataError, match="401 invalid signature; check the key"):
        asked(there, key=True)
    there.answers["/exchange/status"] = Raw(403, b"no")
    with pytest.raises(DataError, match="403 no"):
        asked(there)
    there.url = "http://127.0.0.1:1"
    with pytest.raises(DataError, match="check the address and the network"):
        asked(there)


def test_the_sandbox_passes(dataset: Store, tmp_path: Path) -> None:
    shape = serialization.PublicFormat.SubjectPublicKeyInfo
    public = tmp_path / "public.pem"
    public.write_bytes(KEY.public_key().public_bytes(serialization.Encoding.PEM, shape))
    [ticker] = dataset.read("markets")["ticker"].head(1)
    with Exchange(dataset, key=read_key(public)) as exchange:
        with Client(exchange.url, retry=QUICK) as nobody:
            nobody.get("/series")
        assert nobody.time is not None
        clock = StreamClock(nobody.time)
        known = Credentials("a-key", KEY)
        with Client(exchange.url, retry=QUICK, credentials=known) as client:
            preflight(client, clock, [ticker])
        other = Credentials("a-key", rsa.generate_private_key(65_537, 2_048))
        with (
            Client(exchange.url, retry=QUICK, credentials=other) as client,
            pytest.raises(DataError, match="check the key"),
        ):
            preflight(client, clock, [ticker])


# --- no secret anywhere ---------------------------------------------------------------------------


def secrets() -> set[str]:
    """Every way in which the planted key could be told, cut into pieces of a line."""
    numbers = KEY.private_numbers()
    texts = [pem().decode(), pem(PASSWORD).decode()]
    pieces = {line[at : at + 24] for t in texts for line in t.splitlines()[1:-1] for at in (0, 24)}
    pieces = {piece for piece in pieces if len(piece) == 24}
    return pieces | {PASSWORD, str(numbers.d), str(numbers.p), f"{numbers.d:x}", f"{numbers.q:x}"}


def answering(status: int) -> Callable[[ServerConnection, Request], Response]:
    return lambda connection, _: connection.respond(HTTPStatus(status), "refused\n")


async def echo(wire: Wire) -> None:
    """Send back what the handshake brought, as an exchange would that shows too much."""
    assert wire.socket.request is not None
    headers = dict(wire.socket.request.headers.raw_items())
    await wire.answer(await wire.command())
    await wire.send("error", msg={"code": 1, "msg": str(headers)})
    await wire.socket.close(1011, "no")


async def failing(recorder: Recorder, said: io.StringIO) -> None:
    """Run a feed into everything that can go wrong with a connection."""

    async def read(url: str) -> None:
        clock = StreamClock(NOON)
        patience = Patience(first=0.001, longest=0.001, strange=2)

        async def tick() -> None:
            while True:
                await asyncio.sleep(0.001)
                clock.advance(clock.now() + timedelta(milliseconds=2))

        ticking = asyncio.create_task(tick())
        credentials = Credentials("a-key", KEY)
        feed = SocketFeed(url, credentials, clock, patience=patience, recorder=recorder)
        await feed.subscribe([BOOKS], ["S-E-A"])
        said.write(repr(feed) + repr(vars(feed)))
        try:
            async with asyncio.timeout(0.2):
                async for event in feed.events():
                    said.write(repr(event) if not isinstance(event, Received) else "")
        except (KalshiBtError, TimeoutError) as error:
            told = traceback.TracebackException.from_exception(error, capture_locals=True)
            said.write("".join(told.format()))
        finally:
            ticking.cancel()
            said.write(repr(feed.counts))

    for status in (401, 403, 404, 429, 503):
        async with scripted(echo, answering(status)) as server:
            await read(server.url)
    async with scripted(echo) as server:
        await read(server.url)
    for url in ("ws://127.0.0.1:1/", "nonsense", "wss://127.0.0.1:1/x"):
        await read(url)


def unreadable_keys(folder: Path) -> Iterator[dict[str, str]]:
    name, file = {"KALSHI_API_KEY_ID": "a-key"}, folder / "key.pem"
    file.write_bytes(pem())
    for text in (pem()[:900], pem().replace(b"M", b"?"), pem(PASSWORD), pem()[30:]):
        yield {**name, "KALSHI_PRIVATE_KEY": text.decode()}
    yield {**name, "KALSHI_PRIVATE_KEY": pem(PASSWORD).decode(), "KALSHI_PRIVATE_KEY_PASSWORD": "x"}
    yield {"KALSHI_PRIVATE_KEY": pem().decode(), "KALSHI_PRIVATE_KEY_PASSWORD": PASSWORD}
    yield {"KALSHI_PRIVATE_KEY_FILE": str(file)}
    yield {**name, "KALSHI_PRIVATE_KEY_FILE": str(folder)}


def test_no_log_error_text_or_recording_has_a_word_of_a_planted_key(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    there: Local,
) -> None:
    caplog.set_level(logging.DEBUG)
    said = io.StringIO()
    for environ in unreadable_keys(tmp_path):
        with pytest.raises(UsageError) as error:
            Credentials.from_environment(environ)
        said.write("".join(traceback.format_exception(error.value)))
    there.answers["/account/limits"] = Raw(401, b"{}")
    for seconds in (0, 99):
        with pytest.raises(KalshiBtError) as failed:
            asked(there, seconds, key=True)
        told = traceback.TracebackException.from_exception(failed.value, capture_locals=True)
        said.write("".join(told.format()))
    log, ours = tmp_path / "log.jsonl", logging.getLogger("live_adapter")
    with Recorder(tmp_path / "tape") as recorder, kept(log, SystemClock(), aloud=True):
        ours.addHandler(caplog.handler)
        ours.setLevel(logging.DEBUG)
        asyncio.run(failing(recorder, said))
        ours.removeHandler(caplog.handler)
    recorded = "".join(path.read_text() for path in (tmp_path / "tape").iterdir())
    whole = said.getvalue() + caplog.text + recorded + "".join(capfd.readouterr())
    assert "connection_down" in log.read_text()
    whole += log.read_text()
    assert "a-key" in whole  # the name of a key is no secret, and shows that this looked
    assert "orderbook_snapshot" in recorded
    found = {secret for secret in secrets() if secret in whole}
    assert not found
