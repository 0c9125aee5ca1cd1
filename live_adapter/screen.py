"""The live table: markets with quotes, signals, positions and results, the limits, the feed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kalshi_bt.units import MONEY_SCALE, PRICE_SCALE, QUANTITY_SCALE
from live_adapter.clock import Clock
from live_adapter.desk import Desk
from live_adapter.paper import Step
from live_adapter.safety import explained

Draw = Callable[[], RenderableType]
Show = Callable[[Draw], None]
Spans = Mapping[str, float] | None
_STATE = ("feed", "heard", "markets", "depth", "peak")
_PAUSE = timedelta(milliseconds=250)
_ROWS, _WIDEST = 20, 28  # markets, and letters of a ticker
_SIDES = {1: "buy YES", -1: "buy NO", 0: "close"}


class Board:
    """What there is to see of a session.

    Parameters
    ----------
    title : str
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._quotes: dict[str, tuple[datetime, int | None, int | None]] = {}
        self._signals: dict[str, str] = {}
        self._now: datetime | None = None

    def learn(self, step: Step) -> None:
        """Take the quotes, decisions and ends of a moment."""
        moment = step.moment
        self._now = moment.time
        rows = moment.bars.select("ticker", "bid_close", "ask_close").iter_rows()
        for ticker, bid, ask in rows:
            self._quotes[ticker] = moment.time, bid, ask
        asked = set(step.asked["ticker"])
        for row in step.decided.iter_rows(named=True):
            fair = "" if row["fair"] is None else f" at {row['fair']:.2f}"
            held_back = "" if row["ticker"] in asked else ", not sent"
            said = f"{_SIDES[row['side']]}{fair}{held_back}"
            self._signals[row["ticker"]] = f"{moment.time:%H:%M} {said}"
        for ticker in moment.settled["ticker"]:
            self._quotes.pop(ticker, None)
            self._signals.pop(ticker, None)

    def draw(
        self, desk: Desk, health: Mapping[str, Any], *, rows: int = _ROWS, work: Spans = None
    ) -> RenderableType:
        """Return the table, with what the account has, its limits, and how the feed is.

        Parameters
        ----------
        desk : Desk
        health : mapping
            As of `sources.Source.health`; numbers by kind of message and of fault.
        rows : int
            Markets that are shown.
        work : mapping, optional
            How long decisions take, as of `latency.Latency.summary`.
        """
        held = {}
        if self._quotes:  # an account without a market cannot be asked what it holds
            held = {row["ticker"]: row for row in desk.session.broker.held.iter_rows(named=True)}
        table = Table(title=Text(self._title, overflow="ellipsis", no_wrap=True), expand=False)
        table.add_column("market", max_width=_WIDEST)
        for name in ("bid", "ask", "position", "P&L"):
            table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
        table.add_column("signal", min_width=10)
        # What is held comes first, then what was said something of, then by name.
        order = sorted(
            self._quotes.items(),
            key=lambda item: (item[0] not in held, item[0] not in self._signals, item[0]),
        )
        for ticker, (_, bid, ask) in order[:rows]:
            position, result = _held(held.get(ticker), bid, ask)
            signal = self._signals.get(ticker, "")
            quotes = _cents(bid), _cents(ask)
            table.add_row(_cut(ticker), *quotes, position, result, _cut(signal))
        if len(order) > rows:
            table.caption = f"and {len(order) - rows:,} more markets"
        lines = [*self._account(desk), *_limits(desk), *_feed(health, work)]
        return Group(table, *(Text(line) for line in lines))

    def _account(self, desk: Desk) -> list[str]:
        broker, blotter = desk.session.broker, desk.blotter
        if self._now is None:
            return ["nothing came yet"]
        equity = broker.equity
        today = equity - blotter.equity_before(self._now)
        money = {"cash": broker.cash, "equity": equity, "today": today}
        told = [f"{self._now:%Y-%m-%d %H:%M:%S} UTC"]
        told += [f"{name} {_money(micro)}" for name, micro in money.items()]
        told += [f"orders {blotter.ordered:,}", f"fills {blotter.filled:,}"]
        return ["  ".join(told)]


def _limits(desk: Desk) -> list[str]:
    """Return what stops the session, and what would."""
    limits, recent = desk.safety.limits, len(desk.blotter.recent)
    most = limits.max_orders_minute
    told = [f"orders a minute {recent}" + ("" if most is None else f" of {most}")]
    if limits.daily_loss is not None:
        told.append(f"daily loss at most {_money(limits.daily_loss)}")
    told.append(f"silence at most {limits.max_silence.total_seconds():g} s")
    if limits.kill_switch is not None:
        told.append(f"kill switch {limits.kill_switch}")
    stops = [f"STOPPED {name}: {explained(name, s)}" for name, s in desk.safety.stops.items()]
    if breaker := desk.session.broker.breaker:
        stops.append(f"STOPPED {breaker}")
    return [*stops, "limits: " + "  ".join(told)]


def _feed(health: Mapping[str, Any], work: Spans) -> list[str]:
    """Return how the feed is: its state, then messages by kind, then what went wrong."""
    if not health:
        return []
    kinds = {n.removeprefix("type:"): c for n, c in health.items() if n.startswith("type:")}
    faults = {n: c for n, c in health.items() if n not in _STATE and f"type:{n}" not in health}
    faults = {n: c for n, c in faults.items() if not n.startswith("type:") and c}
    state = [f"{name} {health[name]}" for name in _STATE if health.get(name) is not None]
    if work is not None:
        state.append(f"decisions p50 {work['p50']:.0f} ms, p99 {work['p99']:.0f} ms")
    counted = [", ".join(f"{n} {c:,}" for n, c in part.items()) for part in (kinds, faults)]
    named = zip(("messages: ", "counts: "), counted, strict=True)
    return ["  ".join(state), *(name + told for name, told in named if told)]


@contextmanager
def shown(console: Console | None, clock: Clock) -> Iterator[Show]:
    """Give a function that shows what another draws, a few times a second at most, and at the end.

    Without a terminal it shows nothing.
    """
    if console is None or not console.is_terminal:
        yield lambda _: None
        return
    last: Draw | None = None
    next_time = clock.now()

    def show(draw: Draw) -> None:
        nonlocal last, next_time
        last = draw
        if clock.now() >= next_time:
            live.update(draw(), refresh=True)
            next_time = clock.now() + _PAUSE

    with Live(console=console, auto_refresh=False, transient=False) as live:
        yield show
        if last is not None:
            live.update(last(), refresh=True)


def _held(row: Mapping[str, Any] | None, bid: int | None, ask: int | None) -> tuple[str, str]:
    if row is None:
        return "", ""
    out = bid if row["side"] > 0 else None if ask is None else PRICE_SCALE - ask
    worth = 0 if out is None else row["quantity"] * out
    side = "YES" if row["side"] > 0 else "NO"
    return f"{row['quantity'] / QUANTITY_SCALE:.15g} {side}", _money(worth - row["cost"])


def _cut(words: str) -> Text:
    """Return words that give way where the terminal is narrow."""
    return Text(words, no_wrap=True, overflow="ellipsis")


def _cents(price: int | None) -> str:
    return "-" if price is None else f"{price / 100:g}"


def _money(micro: int) -> str:
    return f"{micro / MONEY_SCALE:,.2f}"
