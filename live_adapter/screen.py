"""The live table: markets with quotes, signals, positions and results, the limits, the feed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kalshi_bt.units import MONEY_SCALE, PRICE_SCALE, QUANTITY_SCALE
from live_adapter.desk import Desk
from live_adapter.paper import Step

_ROWS = 20
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

    def draw(self, desk: Desk, health: Mapping[str, Any]) -> RenderableType:
        """Return the table, with what the account has and how the feed is."""
        broker, blotter = desk.session.broker, desk.blotter
        held = {row["ticker"]: row for row in broker.held.iter_rows(named=True)}
        table = Table(title=self._title, expand=False)
        table.add_column("market")
        for name in ("bid", "ask", "position", "P&L"):
            table.add_column(name, justify="right")
        table.add_column("signal")
        # What is held comes first, then what was said something of, then the newest.
        order = sorted(
            self._quotes.items(),
            key=lambda item: (item[0] not in held, item[0] not in self._signals, item[0]),
        )
        for ticker, (_, bid, ask) in order[:_ROWS]:
            position, result = _held(held.get(ticker), bid, ask)
            signal = self._signals.get(ticker, "")
            table.add_row(Text(ticker), _cents(bid), _cents(ask), position, result, Text(signal))
        if len(order) > _ROWS:
            table.caption = f"and {len(order) - _ROWS} more markets"
        equity, began = broker.equity, desk.blotter.equity_before(self._now) if self._now else 0
        lines = [
            f"{self._now}  cash {_money(broker.cash)}  equity {_money(equity)}"
            + (f"  today {_money(equity - began)}" if self._now else ""),
            f"orders {blotter.ordered}  fills {blotter.filled}",
            *(f"STOPPED {n}: {s['reason']}" for n, s in desk.safety.stops.items()),
        ]
        told = "  ".join(f"{name} {value}" for name, value in health.items())
        return Group(table, *(Text(line) for line in (*lines, *([told] if told else []))))


@contextmanager
def shown(console: Console | None) -> Iterator[Any]:
    """Give a function that shows a drawing; without a terminal it shows nothing."""
    if console is None or not console.is_terminal:
        yield None
        return
    with Live(console=console, auto_refresh=False, transient=False) as live:
        yield lambda drawing: live.update(drawing, refresh=True)


def _held(row: Mapping[str, Any] | None, bid: int | None, ask: int | None) -> tuple[str, str]:
    if row is None:
        return "", ""
    out = bid if row["side"] > 0 else None if ask is None else PRICE_SCALE - ask
    worth = 0 if out is None else row["quantity"] * out
    side = "YES" if row["side"] > 0 else "NO"
    return f"{row['quantity'] / QUANTITY_SCALE:g} {side}", _money(worth - row["cost"])


def _cents(price: int | None) -> str:
    return "-" if price is None else f"{price / 100:g}"


def _money(micro: int) -> str:
    return f"{micro / MONEY_SCALE:,.2f}"
