"""What a run leaves: a folder named after all it depends on, with tables, metrics and a report."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import polars as pl

from kalshi_bt import report, run_folder, trials
from kalshi_bt.data.manifest import one_line
from kalshi_bt.data.store import Store
from kalshi_bt.errors import DataError
from kalshi_bt.metrics import METRICS, to_json
from kalshi_bt.pipeline import Backtest, market_bars
from kalshi_bt.plan import Plan
from kalshi_bt.rendering import save
from kalshi_bt.report.model import Run
from kalshi_bt.reproduction import command
from kalshi_bt.settings import plain
from kalshi_bt.terminal import uninterrupted
from kalshi_bt.trial_days import rows_of
from kalshi_bt.units import dollars

_LIBRARIES = ("polars", "numpy", "numba", "plotly")
_CHARTED = 1_000, 250_000  # markets and bars kept for charts, the page shows what it has room for
_WHY = {
    "fills": "how far the quotes and trades of a bar are believed",
    "latency": "from a decision to its arrival at the exchange",
    "participation": "largest share of a bar's volume taken",
    "assumed_volume": "contracts a bar traded where volume was not recorded",
    "refit": "how often a signal that learns is fitted anew",
    "quotes": "what bids and asks are made of",
    "quote_max_age": "how long a quote told by a trade is believed",
    "half_spread": "dollars either side of a trade where quotes were not recorded",
    "fee_rounding": "auto: by cents per order before 2026-03-04, by balance steps after",
    "balance_precision": "dollars a balance aligns to; auto: 0.01 before 2026-05-28, then 0.0001",
    "touch_share": "share of a bar's volume that trades at a price it touches, for passive fills",
    "exchange": "how the random exchange draws",
    "pauses": "nothing trades on Thursdays from 03:00 to 05:00 in New York",
    "audit": "whether the signal is audited for look-ahead on a sample of markets",
    "sensitivity": "whether the intents are walked again under other fees and latency",
    "controls": "whether the trades are held against runs of luck: random entries, random sides",
    "collateral": "what the positions of an event cannot lose together is returned",
    "fractions": "markets begun on 2026-04-17 or later trade in steps of 0.01 contracts",
    "breaker_reset": "what clears a tripped loss breaker",
    "drawdown_reset": "what clears a tripped drawdown breaker",
    "cash": "dollars at the start",
}


def code_version() -> str:
    """Return a hash of the package's source files, whatever version control says."""
    digest = hashlib.sha256()
    home = Path(__file__).parent
    for path in sorted(home.rglob("*")):
        if path.suffix in {".py", ".j2", ".css", ".js"} and path.is_file():
            digest.update(path.relative_to(home).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def run_id(plan: Plan, fingerprint: str, code: str) -> str:
    """Return the name of a run: the strategy and a hash of settings, data and code."""
    digest = hashlib.sha256(f"{plan.digest()} {fingerprint} {code}".encode()).hexdigest()
    return f"{plan.name}-{digest[:12]}"


def trial(plan: Plan, store: Store) -> trials.Trial:
    """Return the trial that a run is, before anything came out of it."""
    fingerprint = store.fingerprint()
    whole = hashlib.sha256(f"{plan.digest()} {fingerprint}".encode()).hexdigest()
    name = run_id(plan, fingerprint, code_version())
    return trials.Trial(trial=whole, strategy=plan.name, data=fingerprint, run_id=name)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def require_writable(out: Path) -> None:
    """Refuse a folder that cannot be written to, before the work and not after it.

    Raises
    ------
    DataError
        If a file stands in its way, the nearest folder that exists is closed to this user, or the
        ledger of its trials is damaged.
    """
    try:
        found = next(path for path in (out, *out.absolute().parents) if path.exists())
        why = "" if found.is_dir() else f"{found} is a file"
    except OSError as error:
        found, why = out, str(error.strerror)
    if not why and not os.access(found, os.W_OK):
        why = f"{found} is closed to this user"
    if why:
        raise DataError(f"{out} cannot be written to ({why}); choose another --out")
    trials.read(out)


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Yield a folder that takes the place of `target` once it is complete."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        desk = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise DataError(
            f"{target.parent} cannot be written to ({error.strerror}); choose another --out"
        ) from None
    fresh, old = desk / "new", desk / "old"
    try:
        fresh.mkdir()
        yield fresh
        if target.exists():
            target.replace(old)
        fresh.replace(target)
    except (OSError, pl.exceptions.ComputeError) as error:
        if old.exists() and not target.exists():
            old.replace(target)
        why = getattr(error, "strerror", None) or one_line(error)
        raise DataError(f"{target} cannot be written ({why}); choose another --out") from None
    finally:
        shutil.rmtree(desk, ignore_errors=True)


def leave(
    done: Backtest,
    plan: Plan,
    store: Store,
    out: Path,
    seconds: float,
    more: Mapping[str, bytes] | None = None,
) -> tuple[Path, Run]:
    """Write the folder of a run and return it with what its report shows.

    Parameters
    ----------
    done : Backtest
        What was computed.
    plan : Plan
        The settings in force.
    store : Store
        The dataset, for its name and fingerprint.
    out : Path
        Folder that receives ``<run_id>/``.
    seconds : float
        Wall time of the computation; kept out of the hashed part of the manifest.
    more : mapping, optional
        File name to content of what else belongs to the run.

    Raises
    ------
    DataError
        If the folder cannot be written to.
    """
    plan = plan.on(store)
    code, fingerprint = code_version(), store.fingerprint()
    name = run_id(plan, fingerprint, code)
    shown = _shown(done, plan, store, name, code, fingerprint)
    told = _manifest(plan, store, name, code, seconds)
    told |= {"audit": done.audit.json(), "span": [t.isoformat() for t in _span(done)]}
    texts = {
        "config.toml": plan.toml(),
        "report.txt": report.render_text(shown),
        "report.html": report.render_html(shown),
    }
    with uninterrupted(), _replacing(out / name) as folder:
        run_folder.write(shown, folder)
        _touched(done).write_parquet(folder / "settlements.parquet", compression="zstd")
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8", newline="\n")
        _seal(folder, more or {}, told)
    return out / name, shown


def _seal(folder: Path, more: Mapping[str, bytes], told: Mapping[str, Any]) -> None:
    """Add files to a folder, and the manifest with the hash of every file of it."""
    for file, content in more.items():
        (folder / file).write_bytes(content)
    manifest = {**told, "files": run_folder.hashes(folder)}
    text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    (folder / run_folder.MANIFEST).write_text(text, encoding="utf-8", newline="\n")


def leave_files(
    files: Mapping[str, bytes], plan: Plan, store: Store, out: Path, seconds: float
) -> Path:
    """Write the folder of a run that has no simulation, and return it.

    Parameters
    ----------
    files : mapping
        File name to content.
    plan, store, out, seconds
        As for `leave`.

    Raises
    ------
    DataError
        If the folder cannot be written to.
    """
    plan, code = plan.on(store), code_version()
    name = run_id(plan, store.fingerprint(), code)
    told = _manifest(plan, store, name, code, seconds)
    own = {"config.toml": plan.toml().encode()}
    with uninterrupted(), _replacing(out / name) as folder:
        _seal(folder, {**files, **own}, told)
    return out / name


def copy_files(files: Mapping[str, bytes], into: Path) -> None:
    """Write files into a folder that others use, too, each complete or not at all.

    Raises
    ------
    DataError
        If the folder cannot be written to.
    """
    for name, content in files.items():
        save(content, into / name)


def _manifest(plan: Plan, store: Store, name: str, code: str, seconds: float) -> dict[str, Any]:
    """Return what the manifest says of any run; `audit` is null where no signal was asked."""
    hashed = {
        "config": plan.settings(),
        "data": {
            "name": store.name,
            "fingerprint": store.fingerprint(),
            "synthetic": store.synthetic,
        },
        "collateral": plan.rules.collateral,
        "code": {"version": _version("kalshi-bt"), "sources": code},
        "libraries": {library: _version(library) for library in _LIBRARIES},
        "seed": plan.config.seed,
    }
    return {
        "run_id": name,
        "hashed": hashed,
        "audit": None,
        "wall_time_seconds": round(seconds, 3),
    }


def _touched(done: Backtest) -> pl.DataFrame:
    """Return the settlements of the markets in which something filled."""
    return done.settlements.join(done.base.fills.select("ticker"), on="ticker", how="semi")


def _shown(done: Backtest, plan: Plan, store: Store, name: str, code: str, fingerprint: str) -> Run:
    """Gather what a report shows."""
    orders = done.base.orders
    rejected = orders.filter(pl.col("status") == "rejected").group_by("reason")
    markets, bars = done.panel.markets, done.panel.bars
    first, last = (f"{t:%Y-%m-%d %H:%M}" for t in _span(done))
    payouts = dict(done.settlements.select("ticker", dollars("payout")).iter_rows())
    charts = market_bars(done, plan, _tickers(done))
    run_info = {
        "run": name,
        "dataset": f"{store.name} ({fingerprint[:12]})",
        "code": f"kalshi-bt {_version('kalshi-bt')} ({code[:12]})",
        **{library: _version(library) for library in _LIBRARIES},
        **_flat(plan.settings()),
    }
    return Run(
        run_id=name,
        strategy=plan.name,
        dataset=store.name,
        synthetic=store.synthetic,
        orders=orders,
        fills=done.base.fills,
        trades_closed=done.base.trades_closed,
        equity=done.base.equity,
        scores=json.loads(to_json(done.base.scores)),
        bands={m: json.loads(to_json(o.scores)) for m, o in done.band.items()},
        metric_docs={n: m.doc for n, m in METRICS.items()},
        title_lines=(
            plan.chosen.idea,
            f"{_counted(markets, 'market')}, {_counted(bars, 'bar')} of {done.panel.period} s",
            f"{first} to {last} UTC",
        ),
        assumptions=_assumptions(plan),
        config=run_info,
        notes=done.notes,
        command=command(plan),
        charts=charts,
        markets=markets.join(done.base.fills, on="ticker", how="semi").select(
            "ticker", "title", "event", "series", "close_time"
        ),
        payouts={t: payouts.get(t) for t in charts},
        rejections=rejected.agg(count=pl.len().cast(pl.Int64)).sort(
            ["count", "reason"], descending=[True, False]
        ),
        quarantine=done.quarantine.with_columns(pl.col("count").cast(pl.Int64)),
        audit=done.audit.headline,
        audit_tone=done.audit.tone,
        audit_details=done.audit.details,
        trials=rows_of(done.base.trials),
        forecasts=done.forecasts,
        context=done.base.context,
        fill_quality=done.base.fill_quality,
        sensitivity=done.sensitivity,
        tables=done.base.tables,
    )


def _counted(rows: pl.DataFrame, name: str) -> str:
    """Return how many there are: 1 market, 2 markets."""
    return f"{rows.height:,} {name}{'s' * (rows.height != 1)}"


def _span(done: Backtest) -> tuple[datetime, datetime]:
    """Return the times of the first and the last bar."""
    times = done.panel.bars.select(first=pl.col("time").min(), last=pl.col("time").max())
    first, last = times.row(0)
    return first, last


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as dotted names."""
    rows: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            rows.update(_flat(value, f"{prefix}{key}."))
        else:
            rows[f"{prefix}{key}"] = ", ".join(value) if isinstance(value, list) else str(value)
    return rows


def _assumptions(plan: Plan) -> list[tuple[str, str, str]]:
    values = {
        "fills": plan.config.fills,
        "cash": plan.config.cash,
        **{k: str(v) for k, v in plain(plan.config.assumptions).items()},
        "collateral": str(plan.rules.collateral),
        "breaker_reset": plan.risk.breaker_reset,
        "drawdown_reset": plan.risk.drawdown_reset,
    }
    return [(name, value, _WHY[name]) for name, value in values.items()]


def _tickers(done: Backtest) -> list[str]:
    """Return the markets whose bars are kept: of the largest trades by result, then of any fill."""
    by_size = done.base.trades_closed.sort(
        pl.col("pnl").abs(), "trade_id", descending=[True, False]
    )
    names = pl.concat([by_size["ticker"], done.base.fills["ticker"]]).unique(maintain_order=True)
    ranked = names.head(_CHARTED[0]).to_frame()
    heights = done.panel.bars["market"].value_counts()
    listed = done.panel.markets.select("ticker").with_row_index("market")
    sizes = ranked.join(listed, on="ticker", how="left", maintain_order="left").join(
        heights, on="market", how="left", maintain_order="left"
    )
    fitting = int((sizes["count"].fill_null(0).cum_sum() <= _CHARTED[1]).sum())
    return ranked["ticker"].head(max(1, fitting)).to_list()
