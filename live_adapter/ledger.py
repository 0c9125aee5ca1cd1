"""The ledger of a session: what its files say, as one DuckDB file to ask questions of.

It is made anew whenever a session ends. The journal and what was fed are the truth, not the ledger.
"""

import json
from pathlib import Path

import polars as pl

from kalshi_bt.errors import DataError
from kalshi_bt.simulator.leaving import Gone
from kalshi_bt.simulator.ledger import closed_trades
from kalshi_bt.simulator.simulate import Simulation
from kalshi_bt.units import MONEY_SCALE, PRICE_SCALE, QUANTITY_SCALE
from live_adapter import files
from live_adapter.journal import read

LEDGER = "ledger.duckdb"
_MONEY = ("fee", "fees", "stake", "gross_pnl", "pnl", "spread_paid")
_PRICES = ("limit", "stop", "target", "price")
_QUANTITIES = ("wanted", "quantity", "filled")
_VIEWS = """
create view signals as select * from journal where event = 'order_intent';
create view risk_events as select * from journal where event in ('refusal', 'stop', 'resume');
create view daily_pnl as
select exit_time::date as date, sum(pnl) as realized, sum(fees) as fees, count(*) as trades
from trades group by all order by all
"""


def write(folder: Path, run: Simulation, past: Gone | None = None) -> Path:
    """Replace the ledger of a session and return where it lies.

    Its tables are ``orders``, ``fills``, ``trades`` (round trips that ended), ``equity`` and
    ``journal``, with dollars, contracts and UTC times; views of the journal are ``signals`` and
    ``risk_events``, of the trades ``daily_pnl``.

    Parameters
    ----------
    folder : Path
        Of the session.
    run : Simulation
        What its account did.
    past : Gone, optional
        And what it did before that and let go of.

    Raises
    ------
    DataError
        If it cannot be written, or a file of the session is damaged.
    """
    import duckdb  # noqa: PLC0415  # slow to import

    draft = folder / f".{LEDGER}.new"
    remains = draft, draft.with_name(f"{draft.name}.wal")
    tables = {
        **{name: _shown(frame) for name, frame in _whole(run, past).items()},
        "equity": _equity(folder),
        "journal": _journal(folder),
    }
    try:
        for path in remains:
            path.unlink(missing_ok=True)
        with duckdb.connect(str(draft)) as base:
            base.execute("set TimeZone = 'UTC'")
            for name, frame in tables.items():
                base.from_arrow(frame.to_arrow()).create(name)
            base.execute(_VIEWS)
            base.execute("checkpoint")  # one that fails at the close is not told
        files.replace(folder / LEDGER, draft.read_bytes())
    except (OSError, duckdb.Error) as error:
        why = str(error).splitlines()[0]
        raise DataError(f"{folder / LEDGER} cannot be written ({why})") from None
    finally:
        for path in remains:
            path.unlink(missing_ok=True)
    return folder / LEDGER


def _whole(run: Simulation, past: Gone | None) -> dict[str, pl.DataFrame]:
    """Return the orders, fills and round trips of a session from its beginning."""
    found = {"orders": run.orders, "fills": run.fills, "trades": closed_trades(run.tape, run)}
    if past is None:
        return found
    both = {name: pl.concat([getattr(past, name), rows]) for name, rows in found.items()}
    keys = {"orders": ["order_id"], "fills": ["order_id", "seq"], "trades": ["trade_id"]}
    # What was let go when the session failed may still be in `run`.
    return {name: both[name].unique(key, keep="first").sort(key) for name, key in keys.items()}


def _shown(frame: pl.DataFrame) -> pl.DataFrame:
    scales = (
        *((_MONEY, MONEY_SCALE, 6), (_PRICES, PRICE_SCALE, 4), (_QUANTITIES, QUANTITY_SCALE, 2)),
    )
    for names, scale, places in scales:
        found = [name for name in names if name in frame.columns]
        # Whole numbers below 2^53: a division by the scale, rounded, is the exact decimal.
        frame = frame.with_columns(
            (pl.col(found).cast(pl.Float64) / scale).round(places).cast(pl.Decimal(18, places))
        )
    enums = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Enum)]
    return frame.with_columns(pl.col(enums).cast(pl.String))


def _equity(folder: Path) -> pl.DataFrame:
    path = folder / "equity.csv"
    try:
        rows = pl.read_csv(path, infer_schema=False)
        numbers = rows.columns[1:-1]
        return rows.with_columns(
            pl.col(rows.columns[0]).str.to_datetime("%+", time_unit="us", time_zone="UTC"),
            pl.col(numbers).cast(pl.Float64),
            pl.col(rows.columns[-1]).cast(pl.Int64),
        )
    except (OSError, pl.exceptions.PolarsError):
        raise DataError(f"{path} cannot be read; it was changed") from None


def _journal(folder: Path) -> pl.DataFrame:
    rows = [(e.ts, e.event, json.dumps(e.payload)) for e in read(folder / "journal.jsonl")]
    columns = {"ts": pl.String, "event": pl.String, "payload": pl.String}
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        pl.col("ts").str.to_datetime("%+", time_unit="us", time_zone="UTC")
    )
