"""What the files of a session say that it did, held to what its account did."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import zip_longest
from pathlib import Path

import polars as pl

from kalshi_bt.errors import DataError
from kalshi_bt.simulator.simulate import Simulation
from kalshi_bt.units import MONEY_SCALE
from live_adapter import journal
from live_adapter.account import Names, Tally, trade_row
from live_adapter.differing import Difference

_NONE = "nothing"


def orders(folder: Path, made: pl.DataFrame, names: Names, until: datetime) -> Difference | None:
    """Return the first order that the journal does not tell of, or that it made up.

    Parameters
    ----------
    folder : Path
        Of the session; a file that it does not have says nothing wrong.
    made : frame of schema.ORDERS
        Those of its account.
    names : Names
    until : datetime
        Orders of that time and later may not be written yet.

    Raises
    ------
    DataError
        If the file was changed so that it cannot be read.
    """
    path = folder / "journal.jsonl"
    if not path.exists():
        return None
    intents = (e.payload["order"] for e in journal.read(path) if e.event == "order_intent")
    told = {order["client_order_id"]: order for order in intents}
    for row in made.rows(named=True):
        name = names.order(row["ticker"], row["side"], row["time"])
        if told.pop(name, None) is None and row["time"] < until:
            return Difference(
                *("written order", row["time"], row["ticker"], _NONE, f"order {name}"),
                f"{path.name} does not tell of it",
            )
    for name, order in told.items():
        time = datetime.fromisoformat(order["created_at"])
        cause = f"{path.name} tells of an order that nobody decided"
        return Difference("written order", time, order["market_id"], f"order {name}", _NONE, cause)
    return None


def fills(folder: Path, run: Simulation, names: Names, cash: int, sure: int) -> Difference | None:
    """Return the first line of the fills that is not the account's.

    Parameters
    ----------
    folder : Path
    run : Simulation
        What the account did.
    names : Names
    cash : int
        Micro-dollars at the start.
    sure : int
        How many fills must have been written: a stop may have kept those of the last moment.
    """
    path = folder / "trades.csv"
    if not path.exists():
        return None
    for number, (found, own) in enumerate(zip_longest(_lines(path), _made(run, names, cash))):
        if found == own:
            continue
        if found is None and number >= sure:
            return None
        time, ticker, *_ = (own or found or ",").split(",")
        at = _time(time, path)
        cause = f"line {number + 2} of {path.name} is not what the account did"
        return Difference("written fill", at, ticker, found or _NONE, own or _NONE, cause)
    return None


def equity(folder: Path, times: Sequence[datetime], curve: pl.DataFrame) -> Difference | None:
    """Return the first moment of which the equity is missing, or another than the backtest's.

    Parameters
    ----------
    folder : Path
    times : sequence of datetime
        Of all moments; a stop may have kept the row of the last.
    curve : frame of schema.EQUITY
        Of the backtest.
    """
    path = folder / "equity.csv"
    if not path.exists():
        return None
    found = {line.partition(",")[0]: line for line in _lines(path)}
    marks = dict(curve.select("time", "equity").iter_rows())
    for time in times:
        line = found.pop(time.isoformat(), None)
        own = f"{marks[time] / MONEY_SCALE:.4f}" if time in marks else "a row"
        told = _NONE if line is None else line.split(",")[-2]
        if line is None and time == times[-1]:
            return None  # a stop kept it
        if line is None or (time in marks and told != own):
            cause = f"{path.name} does not say what the account was worth"
            return Difference("written equity", time, "", told, own, cause)
    if found:
        cause = f"{path.name} has a row of no moment that the session was fed"
        return Difference("written equity", _time(min(found), path), "", min(found), _NONE, cause)
    return None


def _time(cell: str, path: Path) -> datetime:
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        raise DataError(f"{path} cannot be read; it was changed") from None


def _lines(path: Path) -> Iterator[str]:
    """Yield the whole lines of a file without its header."""
    text = path.read_bytes()
    yield from text[: text.rfind(b"\n") + 1].decode("utf-8", "replace").splitlines()[1:]


def _made(run: Simulation, names: Names, cash: int) -> Iterator[str]:
    sent = {n: (t, side) for n, t, side in run.orders.select("order_id", "time", "side").rows()}
    for fill in Tally(cash).take(run):
        yield trade_row(fill, names, *sent[fill.row["order_id"]])
