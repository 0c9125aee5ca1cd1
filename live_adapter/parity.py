"""Whether a paper session did what the backtest of what it saw does, and where not, why."""

import tomllib
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import tomli_w

from kalshi_bt import schema
from kalshi_bt.config import layered
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.pipeline import compute
from kalshi_bt.plan import Plan
from kalshi_bt.plan import plan as planned
from kalshi_bt.simulator.simulate import Simulation
from kalshi_bt.units import QUANTITY_SCALE
from live_adapter.broker import PaperBroker
from live_adapter.history import read_past
from live_adapter.journal import read
from live_adapter.log import MomentLog
from live_adapter.moments import INTENTS, TABLES, Moment
from live_adapter.windows import taken_up

__all__ = ["SETTINGS", "Difference", "explained", "of_session", "parity", "seen"]

SETTINGS = "session.toml"

_NOTHING = "nothing"
_KEY = ["time", "ticker"]
_WRITTEN: schema.Schema = {
    "time": schema.Time,
    "ticker": pl.String,
    "price": pl.Float64,
    "contracts": pl.Float64,
}


@dataclass(frozen=True)
class Difference:
    """The first thing that differs.

    Attributes
    ----------
    what : str
        ``decision``, ``order``, ``fill``, or ``written fill``: one of ``trades.csv``.
    time : datetime
    ticker : str
    session, batch : str
        What either has there; ``nothing`` if only the other has something.
    cause : str
        In words.
    """

    what: str
    time: datetime
    ticker: str
    session: str
    batch: str
    cause: str

    def json(self) -> dict[str, str]:
        """Return it as JSON has it."""
        return {name: str(value) for name, value in asdict(self).items()}

    def __str__(self) -> str:
        """Return the difference as one line."""
        return (
            f"first different {self.what}: {self.ticker} at {self.time}: {self.cause} "
            f"(session: {self.session}; backtest: {self.batch})"
        )


def parity(folder: Path, plan: Plan, period: int) -> Difference | None:
    """Return where a session differs from the backtest of what it saw; None: nowhere.

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
    UsageError
        If the session saw no bar.
    """
    moments, asked = [], [pl.DataFrame(schema=dict(INTENTS))]
    broker = PaperBroker(plan, period)
    for moment, intents in MomentLog(folder):
        moments.append(moment)
        broker.take(moment)
        if intents is not None and intents.height:
            asked.append(intents)
            broker.submit(intents)
    if not any(moment.bars.height for moment in moments):
        raise UsageError(f"the session in {folder} saw no bar; there is nothing to compare")
    with TemporaryDirectory() as place:
        dataset = seen(moments, Path(place), period)
        done = compute(dataset, _quiet(plan, period), past=read_past(folder))
    tickers = pl.lit(done.panel.markets["ticker"]).gather(pl.col("market"))
    intents = done.intents.with_columns(ticker=tickers).select(list(INTENTS))
    run = broker.end()
    wrote = written(folder)
    return (
        _first("decision", pl.concat(asked), intents)
        or _first("order", run.orders, done.base.orders)
        or _first("fill", run.fills, done.base.fills)
        or _first("written fill", wrote, as_written(run).head(wrote.height))
    )


def written(folder: Path) -> pl.DataFrame:
    """Return the fills that a session wrote down, as `as_written`; none where it keeps no files.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    path = folder / "trades.csv"
    if not path.exists():
        return pl.DataFrame(schema=dict(_WRITTEN))
    text = path.read_bytes()
    try:
        rows = pl.read_csv(text[: text.rfind(b"\n") + 1], infer_schema=False)
        price = pl.col("price").cast(pl.Float64)
        return rows.select(
            pl.col("timestamp")
            .str.to_datetime("%+", time_unit="us", time_zone="UTC")
            .alias("time"),
            ticker="market_ticker",
            price=pl.when(pl.col("side") == "YES").then(price).otherwise(100 - price).round(2),
            contracts=pl.col("contracts").cast(pl.Float64),
        )
    except pl.exceptions.PolarsError:
        raise DataError(f"{path} cannot be read; it was changed") from None


def as_written(run: Simulation) -> pl.DataFrame:
    """Return fills in the order in which they happened: time, ticker, price (cents), contracts."""
    fills = pl.DataFrame({name: run.placed[name].copy() for name in ("time", "market", "price")})
    names = pl.lit(run.tape.table["ticker"].cast(pl.String))
    return fills.select(
        time=pl.col("time").cast(schema.Time),
        ticker=names.gather(pl.col("market").cast(pl.UInt32)),
        price=(pl.col("price") / 100).round(2),
        contracts=pl.Series(abs(run.placed["quantity"]) / QUANTITY_SCALE),
    )


def of_session(folder: Path) -> Difference | None:
    """Return `parity` of a session by the settings that its folder keeps.

    Raises
    ------
    DataError
        If it is no session, or its settings cannot be read.
    UsageError
        If the session saw no bar, or its strategy is not what it was.
    """
    path = folder / SETTINGS
    try:
        told = tomllib.loads(path.read_text("utf-8"))
        settings, period = told["settings"], int(told["bar_seconds"])
    except FileNotFoundError:
        raise DataError(f"{folder} is no paper session: it has no {SETTINGS}") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{path} is damaged; restore it") from None
    with TemporaryDirectory() as place:
        file = Path(place, "config.toml")
        file.write_text(tomli_w.dumps(settings), "utf-8")
        found = parity(folder, planned(layered(file, {}, {}, [])), period)
    return found and explained(found, folder / "journal.jsonl", timedelta(seconds=period))


def explained(found: Difference, journal: Path, bar: timedelta) -> Difference:
    """Return a difference with the reason that the journal has for it, if it has one.

    Parameters
    ----------
    found : Difference
    journal : Path
        Of the session; it may be absent.
    bar : timedelta
        How long after a decision its refusal was written at most.

    Raises
    ------
    DataError
        If the journal cannot be read.
    """
    if found.what != "decision" or found.session != _NOTHING or not journal.exists():
        return found
    for entry in read(journal):
        if entry.event == "refusal" and entry.payload.get("market_id") == found.ticker:
            waited = datetime.fromisoformat(entry.ts) - found.time
            if timedelta(0) <= waited < bar:
                return replace(found, cause=f"the session refused it: {entry.payload['reason']}")
    return found


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
        "series": told["series"],
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


def _first(what: str, session: pl.DataFrame, batch: pl.DataFrame) -> Difference | None:
    """Return the first row in which two tables differ."""
    if session.equals(batch):
        return None
    keyed = [
        frame.with_columns(nth=pl.int_range(pl.len()).over(_KEY)) for frame in (session, batch)
    ]
    rows = [{tuple(row[k] for k in (*_KEY, "nth")): row for row in f.iter_rows(named=True)}
            for f in keyed]  # fmt: skip
    for key in sorted(rows[0].keys() | rows[1].keys()):
        one, other = (found.get(key) for found in rows)
        if one == other:
            continue
        if one is None:
            cause = f"the session has no such {what}: refused, or not decided at the time"
        elif other is None:
            cause = f"the backtest has no such {what}"
        else:
            names = [name for name in one if one[name] != other[name]]
            cause = f"they differ in {', '.join(names)}"
        return Difference(what, key[0], key[1], _told(one, other), _told(other, one), cause)
    return None


def _told(row: dict[str, object] | None, beside: dict[str, object] | None) -> str:
    """Return what a row says that the other does not."""
    if row is None:
        return _NOTHING
    own = {k: v for k, v in row.items() if k not in (*_KEY, "nth") and v is not None}
    if beside is not None:
        own = {k: v for k, v in own.items() if beside[k] != v}
    return ", ".join(f"{name} {value}" for name, value in own.items()) or _NOTHING
