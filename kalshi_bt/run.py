"""One backtest from a command line or a notebook: ``python -m kalshi_bt.run --strategy bollinger``."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kalshi_bt.terminal import application, invoke, say

if TYPE_CHECKING:
    import polars as pl

    from kalshi_bt.config import Plan

SAMPLE = "datasets/sample"
app = application("Backtest a strategy on a dataset and leave a report.")


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes
    ----------
    metrics : dict
        What ``metrics.json`` holds: name to value, unit, weight and, for a null value, the reason.
    orders, fills, trades, equity : frame
        As `schema.ORDERS`, `schema.FILLS`, `schema.TRADES_CLOSED`, `schema.EQUITY`.
    run_dir : Path
        Folder with the tables, the report and the manifest.
    summary : str
        A screenful of text.
    """

    metrics: dict[str, dict[str, Any]]
    orders: "pl.DataFrame"
    fills: "pl.DataFrame"
    trades: "pl.DataFrame"
    equity: "pl.DataFrame"
    run_dir: Path
    summary: str


def backtest(
    strategy: str, data: str | Path = SAMPLE, *, out: str | Path = "reports", **overrides: Any
) -> Result:
    """Return a finished run of a registered strategy on a dataset.

    Parameters
    ----------
    strategy : str
        Name in the registry, such as ``bollinger``.
    data : path
        A dataset folder; ``datasets/sample`` is made on first use.
    out : path
        Folder that receives ``<run_id>/``.
    **overrides
        The flags of the command by name (`fills`, `mode`, `cash`, `start`, `end`, `series`,
        `seed`, `bar`), and any parameter that ``--set`` knows, such as ``period=20``; write
        ``risk.max_losses`` as ``risk={"max_losses": 5}``.

    Raises
    ------
    UsageError
        If a name or value does not exist or does not fit.
    DataError
        If the dataset cannot be used as it is.

    Examples
    --------
    >>> import kalshi_bt, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> run = kalshi_bt.backtest("bollinger", data=folder / "sample", out=folder, period=20)
    >>> run.metrics["n_trades"]["unit"]
    'trades'
    """
    from kalshi_bt.config import layered, plan

    flags = {k: overrides.pop(k) for k in list(overrides) if k in _FLAGS}
    sections = {k: v for k, v in overrides.items() if isinstance(v, dict)}
    sets = [f"{k}={v}" for k, v in overrides.items() if k not in sections]
    given = {"strategy": strategy, "data": str(data), **flags, **sections}
    return execute(plan(layered(None, {}, given, sets)), Path(out), tell=lambda _: None)


_FLAGS = ("fills", "mode", "cash", "start", "end", "series", "seed", "bar")


def execute(plan: "Plan", out: Path, tell: Any = say) -> Result:
    """Run a plan, leave its folder in `out`, and return what it found."""
    from time import perf_counter

    from kalshi_bt.artifacts import leave
    from kalshi_bt.data.store import Store
    from kalshi_bt.pipeline import compute
    from kalshi_bt.report import summary
    from kalshi_bt.simulator.compiling import is_compiled

    started = perf_counter()
    root = Path(plan.config.data)
    if plan.config.data == SAMPLE or root.name == "sample":
        make_sample(root, tell=tell)
    store = Store.open(root)
    tell(f"{plan.config.strategy} on {store.name}")
    if not is_compiled():
        tell("compiling the simulator once for this machine; later runs start at once")
    done = compute(store, plan)
    folder, shown = leave(done, plan, store, out, perf_counter() - started)
    return Result(
        metrics=dict(shown.scores),  # type: ignore[arg-type]
        orders=done.base.orders,
        fills=done.base.fills,
        trades=done.base.trades_closed,
        equity=done.base.equity,
        run_dir=folder,
        summary=summary(shown),
    )


def make_sample(into: Path, seed: int = 0, tell: Any = say) -> bool:
    """Make the synthetic sample dataset unless a dataset is there already; tell whether it was made."""
    from kalshi_bt.data.store import MANIFEST, Store
    from kalshi_bt.data.synthetic import sample

    if (into / MANIFEST).exists():
        return False
    tell(f"making the synthetic sample dataset in {into}")
    store = Store.create(into, name="sample", synthetic=True, note=f"synthetic, seed {seed}")
    store.commit(sample(seed))
    return True


@app.command()
def run(
    strategy: Annotated[str, typer.Option(help="Registered strategy, such as bollinger.")] = "",
    data: Annotated[str | None, typer.Option(help=f"Dataset folder [{SAMPLE}].")] = None,
    out: Annotated[Path, typer.Option(help="Folder that receives <run_id>/.")] = Path("reports"),
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="Parameter as KEY=VALUE; may be repeated.")
    ] = None,
    fills: Annotated[
        str | None, typer.Option(help="cross, optimistic, pessimistic or naive [cross].")
    ] = None,
    mode: Annotated[str | None, typer.Option(help="corrected or reference [corrected].")] = None,
    cash: Annotated[str | None, typer.Option(help="Dollars at the start [10000].")] = None,
    start: Annotated[str | None, typer.Option("--from", help="First day or UTC time.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last day or UTC time.")] = None,
    series: Annotated[str | None, typer.Option(help="Only these, comma separated.")] = None,
    bar: Annotated[str | None, typer.Option(help="Bar length where several are stored.")] = None,
    seed: Annotated[str | None, typer.Option(help="Of every random stream [0].")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of settings.")] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Metrics as JSON, nothing else.")] = False,
) -> None:
    """Backtest a strategy on a dataset and leave a report."""
    from kalshi_bt.config import environment, layered, plan

    flags = {
        "strategy": strategy or None,
        "data": data,
        "fills": fills,
        "mode": mode,
        "cash": cash,
        "start": start,
        "end": end,
        "series": series,
        "bar": bar,
        "seed": seed,
    }
    result = execute(plan(layered(config, environment(), flags, sets or [])), out)
    if json:
        sys.stdout.write((result.run_dir / "metrics.json").read_text())
    else:
        sys.stdout.write(f"{result.summary}\nreport: {result.run_dir / 'report.html'}\n")


if __name__ == "__main__":
    sys.exit(invoke(app))
