"""Whether a paper session did what the backtest of what it saw does, and where not, why."""

import tomllib
from dataclasses import replace
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import tomli_w

from kalshi_bt import schema
from kalshi_bt.config import layered
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError
from kalshi_bt.forecasting import Past
from kalshi_bt.pipeline import Outcome, compute
from kalshi_bt.plan import Plan
from kalshi_bt.plan import plan as planned
from live_adapter import journal, written
from live_adapter.account import Names
from live_adapter.broker import PaperBroker
from live_adapter.differing import Difference, first
from live_adapter.history import read_past
from live_adapter.log import MomentLog
from live_adapter.moments import EPOCH, INTENTS, TABLES, Moment
from live_adapter.trader import told_fees
from live_adapter.windows import taken_up

__all__ = ["SETTINGS", "Difference", "of_session", "parity", "seen"]

SETTINGS = "session.toml"


def parity(folder: Path, plan: Plan, period: int) -> Difference | None:
    """Return where a session differs from the backtest of what it saw; None: nowhere.

    Where its folder has the files that it wrote, they are held to it, too. One that saw no bar has
    decided nothing, and so does its backtest.

    Parameters
    ----------
    folder : Path
        Of the session.
    plan : Plan
        Its settings.
    period : int
        Seconds of its bars.

    Raises
    ------
    DataError
        If what was kept of the session cannot be read.
    """
    log = list(MomentLog(folder))
    moments = [moment for moment, _ in log]
    asked = [pl.DataFrame(schema=dict(INTENTS))]
    broker, sure = PaperBroker(plan, period), 0
    for n, (moment, intents) in enumerate(log, start=1):
        broker.take(moment)
        if intents is not None and intents.height:
            asked.append(intents)
            broker.submit(intents)
        if n == len(log) - 1:
            sure = len(broker.so_far().placed)
    names = _names(folder, plan)
    if not any(moment.bars.height for moment in moments):
        nothing = schema.ORDERS.empty()
        return None if names is None else written.orders(folder, nothing, names, EPOCH)
    intents, batch = _batch(moments, plan, period, read_past(folder))
    run = broker.end()
    found = (
        first("decision", pl.concat(asked), intents)
        or first("order", run.orders, batch.orders)
        or first("fill", run.fills, batch.fills)
    )
    if names is None:
        return found
    if found is not None:
        return _explained(found, folder, names, intents)
    times = [moment.time for moment in moments]
    return (
        written.orders(folder, run.orders, names, times[-1])
        or written.fills(folder, run, names, broker.rules.cash, sure)
        or written.equity(folder, times, batch.equity)
    )


def _batch(
    moments: list[Moment], plan: Plan, period: int, past: Past | None
) -> tuple[pl.DataFrame, Outcome]:
    """Return what the backtest of moments decides, with tickers, and what comes of it."""
    if plan.rules.fill.book and not any(moment.books.height for moment in moments):
        first_bars = next(n for n, moment in enumerate(moments) if moment.bars.height)
        unknown = schema.BOOKS.filled(moments[first_bars].bars.select("ticker", "time"))
        moments = moments.copy()  # with a word that no book is known
        moments[first_bars] = replace(moments[first_bars], books=unknown)
    with TemporaryDirectory() as place:
        dataset = seen(moments, Path(place), period)
        closes = {ticker: end for moment in moments for ticker, end in moment.closes.items()}
        done = compute(dataset, _quiet(plan, period), past=past, closes=closes)
    tickers = pl.lit(done.panel.markets["ticker"]).gather(pl.col("market"))
    return done.intents.with_columns(ticker=tickers).select(list(INTENTS)), done.base


def _names(folder: Path, plan: Plan) -> Names | None:
    """Return what the orders of a session are named after; None if it keeps no settings."""
    path = folder / SETTINGS
    if not path.exists():
        return None
    told = _settings(path)
    return Names(told["session"], plan.name, told["mode"])


def _explained(found: Difference, folder: Path, names: Names, intents: pl.DataFrame) -> Difference:
    """Say why the session did not ask for what it decided, if its files know."""
    if found.what != "decision" or found.session != "nothing":
        return found
    if names.mode != "paper":
        return replace(found, cause=f"the session was a {names.mode}: it asked for nothing")
    row = intents.filter(time=found.time, ticker=found.ticker).row(0, named=True)
    name = names.order(found.ticker, row["side"], found.time)
    for entry in journal.read(folder / "journal.jsonl"):
        if entry.event == "refusal" and entry.payload["client_order_id"] == name:
            return replace(found, cause=f"the session refused it: {entry.payload['reason']}")
    return found


def of_session(folder: Path) -> Difference | None:
    """Return `parity` of a session by the settings that its folder keeps.

    Raises
    ------
    DataError
        If it is no session, or its settings cannot be read.
    UsageError
        If its strategy is not what it was.
    """
    path = folder / SETTINGS
    if not path.exists():
        raise DataError(f"{folder} is no paper session: it has no {SETTINGS}")
    told = _settings(path)
    with TemporaryDirectory() as place:
        file = Path(place, "config.toml")
        file.write_text(tomli_w.dumps(told["settings"]), "utf-8")
        plan = planned(layered(file, {}, {}, []))
    found = parity(folder, plan, told["bar_seconds"])
    if found is None or told["digest"] == plan.digest():
        return found
    return replace(found, cause=f"{found.cause}; the settings in {SETTINGS} are not those it had")


def _settings(path: Path) -> dict[str, Any]:
    """Return what a session's settings say."""
    try:
        told = tomllib.loads(path.read_text("utf-8"))
        kinds = {"settings": dict, "bar_seconds": int, "digest": str, "session": str, "mode": str}
        if all(isinstance(told.get(name), kind) for name, kind in kinds.items()):
            return told
    except (OSError, ValueError):
        pass
    raise DataError(f"{path} is damaged; restore it")


def seen(moments: list[Moment], into: Path, period: int) -> Store:
    """Return what a session saw as a dataset.

    Parameters
    ----------
    moments : list of Moment
    into : Path
        An empty folder.
    period : int
        Seconds of the bars.
    """
    told = {name: pl.concat([getattr(m, name) for m in moments]) for name in TABLES}
    listed = (moment.listed for moment in moments if moment.listed.height)
    names = schema.QuoteSource.categories.to_list()
    source = pl.col("quote_source").cast(pl.String).replace("assumed", "none")
    bars = told["bars"].with_columns(
        period=pl.lit(period, pl.Int32), quote_source=source.cast(pl.Enum(names))
    )
    tables = {
        "series": reduce(told_fees, (m for m in moments if m.series.height), schema.SERIES.empty()),
        "event_fees": told["event_fees"],
        "markets": reduce(taken_up, listed, schema.MARKETS.empty()),
        "settlements": told["settled"],
        "determinations": told["determined"],
        "candles": bars,
        "references": told["references"],
        "books": told["books"],
        "trades": told["trades"],
    }
    store = Store.create(into, name="session")
    store.commit({name: _whole(name, rows) for name, rows in tables.items() if rows.height})
    return store


def _whole(name: str, rows: pl.DataFrame) -> pl.DataFrame:
    table = schema.STORED[name]
    return table.filled(rows.unique(table.key, keep="first", maintain_order=True))


def _quiet(plan: Plan, period: int) -> Plan:
    """Return the plan on all that was seen, without an audit."""
    assumptions = replace(plan.config.assumptions, audit=False, quotes="candles")
    config = replace(plan.config, assumptions=assumptions, start=None, end=None, series=())
    return replace(plan, config=config, period=period)
