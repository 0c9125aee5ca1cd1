"""A local exchange that serves a dataset: ``python -m live_adapter.sandbox --data DIR``.

Its answers have the shapes of Kalshi's API, and nothing later than a chosen moment. With `--speed`
that moment moves, and a WebSocket tells what happens: in a dataset, in a recording (raw frames as
`kalshi-bt import` reads them) or, with `--synthetic`, in a load that is made up. Examples for tests
stand at `Exchange`; `--fault` is explained at `live_adapter.exchange.faults.Fault`.
"""

import json
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Self

from kalshi_bt.terminal import application, leave_on_interrupt, program, tidied

if __name__ == "__main__":  # the next imports take a moment in which Ctrl-C may come
    leave_on_interrupt()

import typer

from kalshi_bt.data.store import Store
from kalshi_bt.errors import UsageError
from kalshi_bt.units import parse_duration
from live_adapter.exchange.archive import EPOCH, Archive, last_moment
from live_adapter.exchange.asked import Limits
from live_adapter.exchange.faults import Fault
from live_adapter.exchange.happenings import Tape
from live_adapter.exchange.server import Server
from live_adapter.exchange.service import ROOT, Service, parse_time
from live_adapter.exchange.signatures import PublicKey, read_key
from live_adapter.exchange.sources import opened, speed_of
from live_adapter.exchange.stored import Stored
from live_adapter.exchange.stream import Setting, Stream

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Exchange", "Fault", "Limits"]


class Exchange:
    """An exchange at a local port, while its context lasts.

    Parameters
    ----------
    store : Store
        The dataset to serve.
    now : datetime, optional
        The moment it is there, UTC; that of the newest stored row by default.
    cutoff : datetime, optional
        Markets settled before it, and trades before it, are in the historical tier only.
    overlap : timedelta
        How far before the cutoff the live tier still reaches.
    faults : iterable of Fault or str
        What goes wrong, such as ``"500:every=3"``.
    key : public key, optional
        What signatures are checked with; without one any is accepted.
    shape : str
        `dollars`, or an older one: `both` (cents beside dollars), `cents`.
    limits : Limits, optional
        What the account is told of its limits.
    host, port, ws_port : str, int, int
        Where to listen; any free ports by default.
    tape : callable, optional
        Returns what the WebSocket plays; the dataset itself by default.
    speed : float, optional
        Simulated seconds in a real one, once somebody has subscribed; infinity is as fast as
        clients take it. By default time only moves with `play_until`.
    beat : float
        Seconds between two heartbeats of the WebSocket.

    Attributes
    ----------
    url, ws : str
        Root of the API, and its WebSocket.
    origin : str
        Root of the server, above `/sandbox` too.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from urllib.request import urlopen
    >>> from kalshi_bt.data.synthetic import sample
    >>> with TemporaryDirectory() as folder:
    ...     store = Store.create(folder, name="sample")
    ...     _ = store.commit(sample(days=1))
    ...     with Exchange(store) as exchange:
    ...         with urlopen(f"{exchange.url}/series") as answer:
    ...             found = json.load(answer)
    >>> [series["ticker"] for series in found["series"]]
    ['SYNBTC15M', 'SYNGAME', 'SYNHIGH']

    The WebSocket tells what happens up to a moment, step by step:

    >>> from websockets.sync.client import connect
    >>> from live_adapter.exchange.walk import BEGIN, Walk
    >>> names = ("KALSHI-ACCESS-KEY", "KALSHI-ACCESS-TIMESTAMP", "KALSHI-ACCESS-SIGNATURE")
    >>> command = {"id": 1, "cmd": "subscribe", "params": {"channels": ["trade"]}}
    >>> load = Walk(markets=1, rate=20)  # of twenty messages one is a trade
    >>> with (
    ...     TemporaryDirectory() as folder,
    ...     Exchange(load.store(Path(folder, "load")), now=BEGIN, tape=lambda: load) as exchange,
    ...     connect(exchange.ws, additional_headers=dict.fromkeys(names, "1234")) as socket,
    ... ):
    ...     socket.send(json.dumps(command))
    ...     answer = json.loads(socket.recv())
    ...     exchange.play_until(BEGIN + timedelta(seconds=1))
    ...     told = json.loads(socket.recv())
    >>> answer["type"], told["type"], told["msg"]["yes_price_dollars"]
    ('subscribed', 'trade', '0.5100')
    """

    _running = False

    def __init__(
        self,
        store: Store,
        *,
        now: datetime | None = None,
        cutoff: datetime | None = None,
        overlap: timedelta = timedelta(0),
        faults: Iterable[Fault | str] = (),
        key: PublicKey | None = None,
        shape: str = "dollars",
        limits: Limits | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        ws_port: int = 0,
        tape: Callable[[], Tape] | None = None,
        speed: float | None = None,
        beat: float = 10.0,
    ) -> None:
        self._archive = Archive(
            store, now=now or last_moment(store), cutoff=cutoff or EPOCH, overlap=overlap
        )
        self._service = Service(self._archive, faults=faults, key=key, shape=shape, limits=limits)
        self._host, self._port = host, port
        setting = Setting(speed, key, shape, host, ws_port, beat)
        played = tape or (lambda: Stored(self._archive.store))
        self._stream = Stream(played, self._archive, self._service.faults, setting)
        self._service.streamed = self._stream.counts
        self._service.move = self._move

    def __enter__(self) -> Self:
        self._server = Server(self._service, self._host, self._port)
        try:
            self._stream.start()
        except UsageError:
            self._server.server_close()
            raise
        self.origin, self.ws = self._server.url, self._stream.url
        self.url = f"{self.origin}{ROOT}"
        self._server.start()
        self._running = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: "TracebackType | None",
    ) -> None:
        self._running = False
        self._stream.stop()
        self._server.stop()

    @property
    def now(self) -> datetime:
        """The moment it is there; may be set, which ends the connections of the WebSocket."""
        return self._archive.now

    @now.setter
    def now(self, time: datetime) -> None:
        self._move(time)

    def _move(self, time: datetime) -> None:
        if self._running:
            self._stream.drop(time)
        else:
            self._archive.now = time

    def play_until(self, time: datetime) -> None:
        """Let everything up to a moment happen: clients of the WebSocket are told, then it is.

        Ten thousand messages may wait for a client; then it must take some before more happens.

        Raises
        ------
        UsageError
            If the clock runs by itself, or the moment is past.
        """
        self._stream.play_until(time)

    def streamed(self) -> dict[str, int | bool]:
        """Return clients of the WebSocket, messages sent, waiting, and whether the tape is over."""
        return self._stream.counts()

    def reload(self) -> None:
        """Serve what has been committed to the dataset since."""
        self._archive.reload()
        self._move(self._archive.now)

    def set_faults(self, *faults: Fault | str) -> None:
        """Replace all faults; without any, nothing goes wrong."""
        self._service.faults.set(faults)

    def requests(self) -> dict[str, int]:
        """Return how often each path was asked, such as ``{"/markets": 2}``."""
        return self._service.requests()

    def forget_requests(self) -> None:
        """Count requests anew."""
        self._service.forget_requests()


app = application("A local exchange that serves a dataset in the shapes of Kalshi's API.")
Now = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="The moment it is; by default that of the newest row, with --speed or --synthetic "
        "of the first.",
    ),
]
Speed = Annotated[
    str | None,
    typer.Option(
        metavar="X|max",
        help="Simulated seconds in a real one, once a client has subscribed; max: as fast as "
        "clients take it. Without it time stands still.",
    ),
]
Faulty = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND[:OPTION=VALUE,...]",
        help="What goes wrong, such as 500:every=3,path=/markets; may be repeated.",
    ),
]


@app.command()
def serve(
    data: Annotated[
        Path | None, typer.Option(metavar="DIR|RECORDING", help="Dataset or raw frames to serve.")
    ] = None,
    port: Annotated[int, typer.Option(metavar="N", help="0 takes any that is free.")] = 0,
    ws_port: Annotated[int, typer.Option(metavar="N", help="Of the WebSocket.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    now: Now = None,
    speed: Speed = None,
    synthetic: Annotated[
        str | None,
        typer.Option(metavar="markets=N,rate=N", help="A made-up load instead of data."),
    ] = None,
    cutoff: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="What settled before it is in the historical tier only."),
    ] = None,
    overlap: Annotated[
        str, typer.Option(metavar="DURATION", help="How far the live tier reaches before it.")
    ] = "0s",
    fault: Faulty = None,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Public key that signatures must fit.")
    ] = None,
    shape: Annotated[str, typer.Option(help="dollars, or an older one: both, cents.")] = "dollars",
) -> None:
    """Serve a dataset until Ctrl-C; the first line says where, as JSON."""
    pace = None if speed is None else speed_of(speed)
    moment = None if now is None else parse_time(now)
    with ExitStack() as kept, tidied(kept.close):
        source = opened(data, synthetic, kept)
        if moment is None and (pace is not None or synthetic is not None):
            moment = source.begin()
        exchange = Exchange(
            source.store,
            now=moment,
            cutoff=None if cutoff is None else parse_time(cutoff),
            overlap=timedelta(microseconds=parse_duration(overlap)),
            faults=fault or (),
            key=None if key is None else read_key(key),
            shape=shape,
            host=host,
            port=port,
            ws_port=ws_port,
            tape=source.tape,
            speed=pace,
        )
        kept.enter_context(exchange)
        sys.stdout.write(json.dumps({"rest": exchange.url, "ws": exchange.ws}) + "\n")
        sys.stdout.flush()
        Event().wait()


if __name__ == "__main__":
    program(app)
