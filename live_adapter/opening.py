"""Where a session of the command gets its moments, once it is clear that they can be had."""

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from kalshi_bt.data.kalshi.auth import Credentials
from kalshi_bt.data.kalshi.client import HOSTS, Client
from kalshi_bt.data.store import Store
from kalshi_bt.errors import UsageError
from kalshi_bt.plan import Plan
from kalshi_bt.run import make_sample
from live_adapter.clock import Clock, StreamClock
from live_adapter.connecting import SOCKETS, Patience, probe
from live_adapter.feed import SocketFeed
from live_adapter.keys import preflight
from live_adapter.listing import RestListing, nothing_open
from live_adapter.record import Recorder
from live_adapter.settings import Settings
from live_adapter.sitting import Asked, Recorded
from live_adapter.sources import Source, Stored, connected, played

_SAMPLE = Path("datasets/sample")


def replayed(path: Path, plan: Plan, clock: StreamClock, own: Settings) -> Source:
    """Return a dataset or a recording as a source; the sample is made on first use."""
    if path == _SAMPLE:
        make_sample(path)
    if Store.exists(path):
        return Stored(path, plan, clock)
    by_exchange, depth = own.clock == "exchange", own.levels()
    return played(path, plan, clock, by_exchange=by_exchange, depth=depth)


def exchange(
    plan: Plan,
    own: Settings,
    environ: Mapping[str, str],
    record: Path | None,
    clocks: tuple[Clock, Clock],
    kept: ExitStack,
    *,
    begins: bool,
) -> Source:
    """Return an exchange as a source; nothing is written unless all answers were good.

    Of the clocks one is this machine's, for signatures and waiting, the other that of the session.
    One that begins wants a market that is open or will be; one that goes on may wait for results.

    Raises
    ------
    DataError
        If the exchange does not answer, the key is refused, or nothing can be recorded.
    UsageError
        If there is no key, no series of a name or no market of it, or the clocks are too far apart.
    """
    key = Credentials.from_environment(environ)
    if key is None:
        raise UsageError(
            "the exchange's WebSocket needs a key, also to look on: set KALSHI_API_KEY_ID and "
            "KALSHI_PRIVATE_KEY_FILE (a local exchange takes any key), or --replay a dataset"
        )
    if not plan.config.series:
        raise UsageError("no series given; name what is to be watched, such as --series KXBTC15M")
    here, clock = clocks
    url, socket = own.base_url or HOSTS[own.env], own.ws_url or SOCKETS[own.env]
    client = Client(url, credentials=key)
    if record is not None:
        client = Asked(url, here, credentials=key)
    kept.enter_context(client)
    preflight(client, here)
    listing = RestListing(client, plan.config.series)
    listing.series()
    asyncio.run(probe(socket, key, here, Patience()))
    if begins and not any(page.get("markets") for page in listing.markets()):
        raise nothing_open(plan.config.series, own.base_url or own.env)
    recorder = None if record is None else kept.enter_context(Recorder(record))
    feed = SocketFeed(socket, key, here, recorder=recorder)
    source = connected(
        own.base_url or own.env, feed, clock, plan, listing, here, depth=own.levels()
    )
    if recorder is None or not isinstance(client, Asked):
        return source
    return Recorded(source, client, recorder, here, by_exchange=clock is not here)
