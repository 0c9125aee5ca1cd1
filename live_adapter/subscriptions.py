"""What is wanted of the exchange's WebSocket, what it was asked, and what is still to be asked.

Nothing here sends or waits: `take` is told every message, `commands` returns what to send next.
Asking again after an error, a gap or a new connection is no case of its own: it is what is wanted
and not yet asked.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from kalshi_bt.data.fold import Numbers
from kalshi_bt.data.wire import order
from kalshi_bt.errors import UsageError
from live_adapter.frames import Frame
from live_adapter.logs import note, warn

BOOKS = "orderbook_delta"
HOLD = timedelta(seconds=1)
_UNFILTERED = {"market_lifecycle_v2", "multivariate_market_lifecycle"}
_TERMINAL = {10, 25}  # channel error, buffer overflow: the subscription is over
_UNKNOWN_SID = 7
_LATER = {17, 18, 27}  # internal error, timeout, too many commands: another time it may work

Command = dict[str, Any]
Loss = tuple[int | None, str]  # the subscription (None: all) and why its books are lost


@dataclass(slots=True)
class _Channel:
    """A channel that is wanted; of all markets if no tickers are named."""

    wanted: dict[str, None] = field(default_factory=dict)
    asked: dict[str, None] = field(default_factory=dict)
    sid: int | None = None
    known: bool = False  # the exchange once agreed
    pending: bool = False
    hold: datetime | None = None
    ended: datetime | None = None
    due: dict[str, None] = field(default_factory=dict)  # books to ask for
    missing: set[str] = field(default_factory=set)  # books that were asked for
    looked: dict[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Asked:
    kind: str
    channel: str
    tickers: tuple[str, ...]
    time: datetime


class Subscriptions:
    """The subscriptions of one connection after the other.

    Parameters
    ----------
    counts : Counter
        Where errors, gaps and repetitions are counted.
    hold : timedelta
        Between two tries of what was refused or ended, and two questions for one book.

    Examples
    --------
    >>> from datetime import UTC
    >>> noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
    >>> wanted = Subscriptions(Counter())
    >>> wanted.want(["trade"], ["S-E-A"])
    >>> [command] = wanted.commands(noon)
    >>> command["cmd"], command["params"]
    ('subscribe', {'channels': ['trade'], 'market_tickers': ['S-E-A']})
    >>> answer = {"id": 1, "type": "subscribed", "msg": {"channel": "trade", "sid": 7}}
    >>> wanted.take(answer, noon), wanted.take({"type": "trade", "sid": 7, "seq": 1}, noon)
    ((), ())
    >>> wanted.take({"type": "trade", "sid": 7, "seq": 3}, noon)
    ((7, 'gap'),)
    """

    def __init__(self, counts: Counter[str], hold: timedelta = HOLD) -> None:
        self._counts, self._hold = counts, hold
        self._channels: dict[str, _Channel] = {}
        self._sids: dict[int, str] = {}
        self._pending: dict[int, _Asked] = {}
        self._ids = itertools.count(1)
        self._numbers = Numbers()
        self._leaving: list[int] = []
        self._now: datetime | None = None  # of the last message
        self._hole: datetime | None = None  # since when books are not known

    # --- what is wanted ---------------------------------------------------------------------------

    def want(self, channels: Iterable[str], tickers: Iterable[str] = ()) -> None:
        """Want channels of markets, beside what is wanted already; without tickers of all.

        The life of markets is told of all of them, whatever the tickers.

        Raises
        ------
        UsageError
            If books are wanted of all markets, or a channel of all that is wanted of some.
        """
        given = dict.fromkeys(tickers)
        for name in channels:
            named, channel = {} if name in _UNFILTERED else given, self._channels.get(name)
            if name == BOOKS and not named:
                raise UsageError(f"channel {BOOKS} is of named markets only; give their tickers")
            if channel is None:
                self._channels[name] = _Channel(dict(named))
            elif named and channel.wanted:
                channel.wanted.update(named)
            elif channel.wanted:
                raise UsageError(f"channel {name} is wanted of named markets; unsubscribe first")

    def unwant(self, channels: Iterable[str], tickers: Iterable[str] = ()) -> None:
        """Want markets of channels no longer; without tickers, or with the last, the channels."""
        named = set(tickers)
        for name in channels:
            channel = self._channels.get(name)
            if channel is None or (named and not channel.wanted):
                continue
            for ticker in named & channel.wanted.keys():
                del channel.wanted[ticker]
            if not named or not channel.wanted:
                self._leave(channel)
                del self._channels[name]

    @property
    def books(self) -> int | None:
        """The subscription to books; None if there is none."""
        channel = self._channels.get(BOOKS)
        return None if channel is None else channel.sid

    def refresh(self, tickers: Iterable[str]) -> None:
        """Ask for books anew, but for those that are on their way."""
        channel = self._channels.get(BOOKS)
        if channel is not None:
            wanted = (t for t in tickers if t in channel.asked and t not in channel.missing)
            channel.due.update(dict.fromkeys(wanted))

    def lost(self, sid: int | None) -> None:
        """Ask for all books of a subscription anew, or of all, though some are on their way."""
        channel = self._channels.get(BOOKS)
        if channel is not None and (sid is None or sid == channel.sid):
            channel.due.update(channel.asked)
            self._hole = self._hole or self._now

    def down(self) -> None:
        """Begin anew: the connection is over, and with it all that was asked."""
        self._numbers.forget()
        self._pending.clear()
        self._sids.clear()
        self._leaving.clear()
        self._hole = self._hole or self._now
        for channel in self._channels.values():
            _forget(channel)
            channel.hold = None

    # --- what to send -----------------------------------------------------------------------------

    def commands(self, now: datetime) -> list[Command]:
        """Return what to send so that what is wanted is asked for; each is returned once."""
        found = [self._unsubscribe(sid, now) for sid in self._leaving]
        self._leaving.clear()
        for name, channel in self._channels.items():
            if channel.pending or (channel.hold is not None and now < channel.hold):
                continue
            channel.hold = None
            if channel.sid is None:
                found.append(self._subscribe(name, channel, now))
            else:
                found += self._updates(name, channel, channel.sid, now)
        return found

    def ask(self, now: datetime) -> Command:
        """Return a question whose answer shows that somebody listens."""
        return self._command("list_subscriptions", None, _Asked("list", "", (), now))

    def overdue(self, since: datetime) -> str | None:
        """Return what was asked before `since` and not answered; None if nothing."""
        for asked in self._pending.values():
            if asked.time < since:
                return f"{asked.kind} {asked.channel}".strip()
        return None

    def _subscribe(self, name: str, channel: _Channel, now: datetime) -> Command:
        channel.pending, channel.asked = True, dict(channel.wanted)
        params: dict[str, Any] = {"channels": [name]}
        if channel.asked:
            params["market_tickers"] = list(channel.asked)
        if name == BOOKS:
            # Recordings are read with NO prices on the NO side; the default is to change.
            params["use_yes_price"] = False
            channel.missing, channel.due = set(channel.asked), {}
        return self._command("subscribe", params, _Asked("subscribe", name, (), now))

    def _updates(self, name: str, channel: _Channel, sid: int, now: datetime) -> list[Command]:
        found = []
        new = [t for t in channel.wanted if t not in channel.asked]
        old = [t for t in channel.asked if t not in channel.wanted]
        due = [t for t in channel.due if t not in old and self._waited(channel.looked.get(t), now)]
        for action, tickers in (
            ("add_markets", new),
            ("delete_markets", old),
            ("get_snapshot", due),
        ):
            if tickers:
                params = {"sids": [sid], "action": action, "market_tickers": tickers}
                asked = _Asked(action, name, tuple(tickers), now)
                found.append(self._command("update_subscription", params, asked))
        channel.asked = dict(channel.wanted)
        if name == BOOKS:
            channel.missing = (channel.missing | {*new, *due}) - {*old}
            channel.looked |= dict.fromkeys(due, now)
            for ticker in (*due, *old):
                channel.due.pop(ticker, None)
        return found

    def _waited(self, since: datetime | None, now: datetime) -> bool:
        return since is None or now - since >= self._hold

    def _unsubscribe(self, sid: int, now: datetime) -> Command:
        return self._command("unsubscribe", {"sids": [sid]}, _Asked("unsubscribe", "", (), now))

    def _command(self, cmd: str, params: Command | None, asked: _Asked) -> Command:
        number = next(self._ids)
        self._pending[number] = asked
        command: Command = {"id": number, "cmd": cmd}
        return command if params is None else {**command, "params": params}

    def _leave(self, channel: _Channel) -> None:
        """Give up a subscription; the server forgets it before it reads what is sent next."""
        if channel.sid is not None:
            self._leaving.append(channel.sid)
            self._sids.pop(channel.sid, None)
        _forget(channel)

    # --- what came --------------------------------------------------------------------------------

    def take(self, frame: Frame, now: datetime) -> Sequence[Loss]:
        """Note a message; return the subscriptions whose books it shows to be lost, and why.

        Raises
        ------
        UsageError
            If the exchange refuses a channel that it never agreed to.
        """
        losses: tuple[Loss, ...] = ()
        self._now = now
        numbered = order(frame)
        last = None if numbered is None else self._numbers.last(numbered[0])
        if numbered is not None and (wrong := self._numbers.take(*numbered)) is not None:
            self._counts[wrong] += 1
            if wrong != "repeated":
                self._missed(wrong, numbered, last)
                losses = ((numbered[0] if wrong == "gap" else None, wrong),)
        kind = frame.get("type")
        if kind == "orderbook_snapshot":
            self._came(frame, now)
        if "id" in frame or kind == "error":
            losses += self._answer(str(kind), frame, now)
        for sid, _ in losses:
            self.lost(sid)
        return losses

    def _missed(self, wrong: str, numbered: tuple[int, int], last: int | None) -> None:
        """Log that a number is not the one that was due."""
        sid, got = numbered
        due = None if last is None else last + 1
        words = f"subscription {sid}: number {got} came for {due}"
        warn(wrong, words, sid=sid, channel=self._sids.get(sid), expected=due, got=got)

    def _came(self, frame: Frame, now: datetime) -> None:
        channel, inner = self._channels.get(BOOKS), frame.get("msg")
        if channel is not None and isinstance(inner, dict):
            ticker = str(inner.get("market_ticker"))
            channel.missing.discard(ticker)
            channel.due.pop(ticker, None)
            if self._hole is not None and not channel.missing and not channel.due:
                lasted = round((now - self._hole).total_seconds(), 3)
                words = f"all {len(channel.asked)} books are known again after {lasted} s"
                note("books_back", words, seconds=lasted, markets=len(channel.asked))
                self._hole = None

    def _answer(self, kind: str, frame: Frame, now: datetime) -> tuple[Loss, ...]:
        number, inner = frame.get("id"), frame.get("msg")
        asked = self._pending.pop(number, None) if isinstance(number, int) else None
        said = inner if isinstance(inner, dict) else {}
        if kind == "error":
            return self._error(asked, said, frame.get("sid"), now)
        if asked is None:
            return ()
        if asked.kind == "subscribe":  # "ok" where the exchange had the channel already
            sid = said.get("sid") if kind == "subscribed" else frame.get("sid")
            self._subscribed(asked.channel, sid, anew=kind == "subscribed")
        elif kind == "unsubscribed" and isinstance(sid := frame.get("sid"), int):
            self._numbers.forget(sid)
        elif asked.kind == "list" and isinstance(inner, list):
            return self._listed(inner, now)
        return ()

    def _listed(self, rows: list[Any], now: datetime) -> tuple[Loss, ...]:
        """Notice subscriptions that are over though nobody said so."""
        there = [row.get("sid") for row in rows if isinstance(row, dict)]
        gone = [name for sid, name in self._sids.items() if sid not in there]
        return sum((self._ended(self._channels[name], now) for name in gone), ())

    def _subscribed(self, name: str, sid: Any, *, anew: bool) -> None:
        if not isinstance(sid, int):
            return
        if anew:
            self._numbers.forget(sid)
        channel = self._channels.get(name)
        if channel is None:  # no longer wanted
            self._leaving.append(sid)
            return
        channel.sid, channel.known, channel.pending = sid, True, False
        markets = len(channel.asked) or "all"
        note("subscribed", f"{name} of {markets} markets", channel=name, sid=sid, markets=markets)
        self._sids[sid] = name

    def _error(
        self, asked: _Asked | None, said: Frame, sid: Any, now: datetime
    ) -> tuple[Loss, ...]:
        code = said.get("code") if isinstance(said.get("code"), int) else None
        self._counts[f"error:{code}"] += 1
        words = " ".join(str(said.get("msg", "")).split())[:160]
        if asked is not None:
            name = asked.channel
        else:
            name = self._sids.get(sid, "") if isinstance(sid, int) else ""
        channel = self._channels.get(name)
        what = f"the exchange refuses {'' if asked is None else asked.kind + ' '}{name}"
        kind = None if asked is None else asked.kind
        said_so = f"{what.rstrip()}: {code} {words}"
        warn("exchange_error", said_so, code=code, channel=name, command=kind, sid=sid)
        if channel is None:
            return ()
        if asked is None or code == _UNKNOWN_SID:
            return self._ended(channel, now) if code in {*_TERMINAL, _UNKNOWN_SID} else ()
        if asked.kind == "subscribe":
            if not channel.known and code not in {*_LATER, *_TERMINAL}:
                raise UsageError(f"{what}: {code} {words}; check its name, tickers and the key")
            _forget(channel)
            channel.hold = now + self._hold
        elif code in _LATER:
            self._put_back(channel, asked, now)
        elif asked.kind == "get_snapshot":  # a new subscription brings what cannot be asked for
            self._leave(channel)
        else:
            channel.missing -= {*asked.tickers}
        return ()

    def _ended(self, channel: _Channel, now: datetime) -> tuple[Loss, ...]:
        """Forget a subscription that is over; the first time it is asked for again at once."""
        sid, channel.hold = (
            channel.sid,
            None if channel.ended is None else channel.ended + self._hold,
        )
        channel.ended = now
        if sid is not None:
            self._numbers.forget(sid)
            self._sids.pop(sid, None)
        _forget(channel)
        return ((sid, "terminal"),)

    def _put_back(self, channel: _Channel, asked: _Asked, now: datetime) -> None:
        """Ask another time."""
        channel.hold = now + self._hold
        for ticker in asked.tickers:
            if asked.kind == "add_markets":
                channel.asked.pop(ticker, None)
            elif asked.kind == "delete_markets":
                channel.asked[ticker] = None
            else:
                channel.due[ticker] = None
                channel.looked.pop(ticker, None)


def _forget(channel: _Channel) -> None:
    channel.sid, channel.pending = None, False
    channel.asked, channel.due, channel.missing, channel.looked = {}, {}, set(), {}
