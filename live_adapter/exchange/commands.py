"""Commands of one connection, and its subscriptions: what the exchange answers, and why it refuses.

A connection has one subscription a channel: subscribing again adds markets to it. Channels of an
account (`fill` and others) can be subscribed to, and stay silent.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeGuard

from live_adapter.exchange.frames import LIFE, encode, envelope
from live_adapter.exchange.wire import Json

BOOK, TICKER = "orderbook_delta", "ticker"
MARKETED = (BOOK, TICKER, "trade", "fill", "market_positions", "user_orders")
SILENT = ("multivariate_market_lifecycle", "communications", "order_group_updates",
          "cfbenchmarks_value", "cfbenchmarks_value_5hz", "pyth_value")  # fmt: skip
KNOWN = frozenset({*MARKETED, LIFE, *SILENT})
WORDS = {  # errors of the exchange
    1: "Unable to process message",
    2: "Params required",
    3: "Channels required",
    4: "Subscription IDs required",
    5: "Unknown command",
    7: "Unknown subscription ID",
    8: "Unknown channel name",
    11: "Invalid parameter",
    12: "Exactly one subscription ID is required",
    13: "Unsupported action",
    14: "Market Ticker required",
    15: "Action required",
    25: "Subscription buffer overflow",
}
_FLAGS = ("use_yes_price", "skip_ticker_ack", "send_initial_snapshot")
ACTIONS = ("add_markets", "delete_markets", "get_snapshot")


class CommandError(Exception):
    """A command that is refused, with the code of the exchange."""

    def __init__(self, code: int, of: "Subscription | None" = None) -> None:
        super().__init__(WORDS[code])
        self.code, self.of = code, of


@dataclass(slots=True)
class Subscription:
    """One channel of one connection.

    Attributes
    ----------
    sid : int
        Its number.
    channel : str
        What it is told.
    tickers : dict or None
        Its markets in the order they were added; None for all.
    yes_prices : bool
        Whether books have prices of YES on both sides.
    silent_ok : bool
        Whether answers leave out the markets.
    seq : int
        Number of its last message.
    """

    sid: int
    channel: str
    tickers: dict[str, None] | None
    yes_prices: bool = False
    silent_ok: bool = False
    seq: int = 0

    def next(self) -> int:
        """Return the number of the next message."""
        self.seq += 1
        return self.seq

    def wants(self, ticker: str | None) -> bool:
        """Return whether it is told of a market."""
        return ticker is None or self.tickers is None or ticker in self.tickers


class Line(NamedTuple):
    """A message for a client, and the subscription it belongs to."""

    of: Subscription | None
    text: bytes


Body = Callable[[Subscription, str], bytes | None]


class Desk:
    """The subscriptions of one connection.

    Parameters
    ----------
    body : callable
        From a subscription and a ticker to the body of a snapshot; None if there is none.
    sent : callable
        Without arguments to the time that messages carry, microseconds; None for none.

    Attributes
    ----------
    channels : dict of str to Subscription
        By channel.
    """

    def __init__(self, body: Body, sent: Callable[[], int | None]) -> None:
        self._body, self._sent = body, sent
        self.channels: dict[str, Subscription] = {}
        self._sids: dict[int, Subscription] = {}
        self._last = 0

    def take(self, text: str | bytes) -> list[Line]:
        """Return the answers to a command."""
        said: Json = {}
        try:
            said = _object(text)
            return self._command(said)(_named(said), said)
        except CommandError as error:
            return [self._refusal(_named(said), error)]

    def end(self, subscription: Subscription, code: int) -> list[Line]:
        """End a subscription because of an error; return what its client is told."""
        self._forget(subscription)
        return [self._refusal({}, CommandError(code, subscription))]

    def snapshots(self, of: Subscription, tickers: list[str]) -> list[Line]:
        """Return snapshots of markets, of those that have one."""
        kind = "orderbook_snapshot" if of.channel == BOOK else TICKER
        found = []
        for ticker in tickers:
            body = self._body(of, ticker)
            if body is not None:
                seq = of.next() if of.channel == BOOK else None
                found.append(Line(of, envelope(kind, of.sid, seq, body, self._sent())))
        return found

    def _command(self, said: Json) -> Callable[[Json, Json], list[Line]]:
        known = {
            "subscribe": self._subscribe,
            "update_subscription": self._update,
            "unsubscribe": self._unsubscribe,
            "list_subscriptions": self._list,
        }
        if said.get("cmd") not in known:
            raise CommandError(5)
        return known[said["cmd"]]

    def _subscribe(self, name: Json, said: Json) -> list[Line]:
        params = _params(said)
        channels = params.get("channels")
        if not isinstance(channels, list) or not channels:
            raise CommandError(3)
        if not all(isinstance(channel, str) and channel in KNOWN for channel in channels):
            raise CommandError(8)
        tickers = _tickers(params)
        if BOOK in channels and not tickers:
            raise CommandError(14)
        yes_prices, silent_ok, initial = (_flag(params, name) for name in _FLAGS)
        lines: list[Line] = []
        for channel in dict.fromkeys(channels):
            mine = dict.fromkeys(tickers) if tickers and channel in MARKETED else None
            new = list(mine or ())
            known = self.channels.get(channel)
            if known is None:
                self._last += 1
                known = Subscription(self._last, channel, mine, yes_prices, silent_ok)
                self.channels[channel] = self._sids[known.sid] = known
                msg = {"channel": channel, "sid": known.sid}
                lines.append(Line(known, encode({**name, "type": "subscribed", "msg": msg})))
            else:
                new = self._add(known, mine)
                lines.append(self._ok(name, known))
            if channel == BOOK or (channel == TICKER and initial):
                lines += self.snapshots(known, new)
        return lines

    def _update(self, name: Json, said: Json) -> list[Line]:
        params = _params(said)
        given = params.get("sids", [params["sid"]] if "sid" in params else [])
        if not isinstance(given, list) or len(given) != 1 or {"sid", "sids"} <= params.keys():
            raise CommandError(12)
        of = self._found(given[0])
        action = params.get("action")
        if action is None:
            raise CommandError(15, of)
        if action not in ACTIONS or of.channel not in MARKETED:
            raise CommandError(13, of)
        tickers = _tickers(params)
        if not tickers:
            raise CommandError(14, of)
        if action == "get_snapshot":
            if of.channel != BOOK:
                raise CommandError(13, of)
            return [self._ok(name, of), *self.snapshots(of, tickers)]
        if action == "delete_markets":
            for ticker in tickers:
                if of.tickers is not None:
                    of.tickers.pop(ticker, None)
            return [self._ok(name, of)]
        new = self._add(of, dict.fromkeys(tickers))
        lines = [self._ok(name, of)]
        if of.channel == BOOK or _flag(params, "send_initial_snapshot"):
            lines += self.snapshots(of, new)
        return lines

    def _unsubscribe(self, name: Json, said: Json) -> list[Line]:
        sids = _params(said).get("sids")
        if not isinstance(sids, list) or not sids:
            raise CommandError(4)
        lines = []
        for of in {id(of): of for of in map(self._found, sids)}.values():  # each once
            told = {**name, "sid": of.sid, "seq": of.next(), "type": "unsubscribed"}
            self._forget(of)
            lines.append(Line(of, encode(told)))
        return lines

    def _list(self, name: Json, said: Json) -> list[Line]:
        del said
        msg = [{"channel": s.channel, "sid": s.sid} for s in self._sids.values()]
        return [Line(None, encode({**name, "type": "ok", "msg": msg}))]

    def _add(self, of: Subscription, tickers: Mapping[str, None] | None) -> list[str]:
        """Add markets to a subscription, all for None; return those that are new."""
        if of.tickers is None or tickers is None:
            of.tickers = None
            return []
        new = [ticker for ticker in tickers if ticker not in of.tickers]
        of.tickers |= tickers
        return new

    def _forget(self, of: Subscription) -> None:
        del self.channels[of.channel], self._sids[of.sid]

    def _found(self, sid: object) -> Subscription:
        found = self._sids.get(sid) if _whole(sid) else None
        if found is None:
            raise CommandError(7)
        return found

    def _ok(self, name: Json, of: Subscription) -> Line:
        listed = {} if of.silent_ok or of.tickers is None else {"market_tickers": list(of.tickers)}
        told = {**name, "sid": of.sid, "seq": of.next(), "type": "ok", "msg": listed}
        return Line(of, encode(told))

    def _refusal(self, name: Json, error: CommandError) -> Line:
        where: Json = {} if error.of is None else {"sid": error.of.sid, "seq": error.of.next()}
        msg = {"code": error.code, "msg": str(error)}
        return Line(error.of, encode({**name, **where, "type": "error", "msg": msg}))


def _object(text: str | bytes) -> Json:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("cmd", ""), str):
        raise CommandError(1)
    return said


def _named(said: Json) -> Json:
    """Return the name of a command, which 0 is none of."""
    name = said.get("id")
    return {"id": name} if _whole(name) and name > 0 else {}


def _whole(number: object) -> TypeGuard[int]:
    """Tell whether JSON has a whole number, which true and false are not."""
    return isinstance(number, int) and not isinstance(number, bool)


def _params(said: Json) -> Json:
    params = said.get("params")
    if not isinstance(params, dict):
        raise CommandError(2)
    return params


def _tickers(params: Json) -> list[str]:
    """Return the markets that are named; each once."""
    one, several = params.get("market_ticker"), params.get("market_tickers")
    if one is not None and several is not None:
        raise CommandError(11)
    if {"market_id", "market_ids"} & params.keys():  # by another name none is known here
        raise CommandError(11)
    given = several if one is None else [one]
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(t, str) and t for t in given):
        raise CommandError(11)
    return list(dict.fromkeys(given))


def _flag(params: Json, name: str) -> bool:
    given = params.get(name, False)
    if not isinstance(given, bool):
        raise CommandError(11)
    return given
