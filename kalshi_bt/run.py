"""One backtest from a command line: ``python -m kalshi_bt.run --strategy bollinger``.

`backtest` is the same from Python.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from kalshi_bt.errors import UsageError
from kalshi_bt.result import Result
from kalshi_bt.terminal import application, leave_on_interrupt, program, say

if __name__ == "__main__":  # the next import takes a moment in which Ctrl-C may come
    leave_on_interrupt()

import typer

if TYPE_CHECKING:
    from kalshi_bt.data.store import Store
    from kalshi_bt.pipeline import Backtest
    from kalshi_bt.plan import Plan
    from kalshi_bt.signals import Signal
    from kalshi_bt.trials import Tried

    More = Callable[[Backtest], Mapping[str, bytes]]  # file name to content

SAMPLE = "datasets/sample"
app = application("Backtest a strategy on a dataset and leave a report.")


def backtest(
    strategy: "str | Signal | type[Signal]",
    data: str | Path = SAMPLE,
    *,
    out: str | Path = "reports",
    **overrides: Any,
) -> Result:
    """Return a finished run of a strategy on a dataset.

    Parameters
    ----------
    strategy : str, Signal, or class of a Signal
        Name in the registry, such as ``bollinger``; ``FILE.py:CLASS``; or the signal itself. See
        `own_strategy.strategy_of` for how a signal of your own is sized.
    data : path
        A dataset folder; ``datasets/sample`` is made on first use.
    out : path
        Folder that receives ``<run_id>/``.
    **overrides
        The flags of the command by name (`fills`, `mode`, `cash`, `start`, `end`, `series`,
        `seed`, `bar`), `preset`, and any parameter that ``--set`` knows, such as ``period=20``;
        write ``risk.max_losses`` as ``risk={"max_losses": 5}``.

    Raises
    ------
    UsageError
        If a name or value does not exist or does not fit.
    DataError
        If the dataset cannot be used as it is, or a signal of your own raises.

    Examples
    --------
    >>> import kalshi_bt
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     data = Path(folder, "invented")
    ...     made = make_sample(data, tell=lambda _: None)
    ...     run = kalshi_bt.backtest("bollinger", data=data, out=folder, period=20)
    >>> run.metrics["n_trades"]["unit"]
    'trades'
    """
    from kalshi_bt.config import layered
    from kalshi_bt.own_strategy import handed_over
    from kalshi_bt.plan import plan

    flags = {k: overrides.pop(k) for k in list(overrides) if k in _FLAGS}
    sections = {k: v for k, v in overrides.items() if isinstance(v, dict)}
    sets = [f"{k}={v}" for k, v in overrides.items() if k not in sections]
    name, chosen, own = (strategy, None, {}) if isinstance(strategy, str) else handed_over(strategy)
    sections["signal"] = {**own, **sections.get("signal", {})}
    given = {"strategy": name, "data": str(data), **flags, **sections}
    config = layered(None, {}, given, sets, chosen)
    return execute(plan(config, chosen), Path(out), tell=lambda _: None)


_FLAGS = ("fills", "mode", "cash", "start", "end", "series", "seed", "bar", "preset")


def _opened(plan: "Plan", out: Path, tell: Any, root: Path | None) -> "Store":
    """Return the dataset of a plan, once it is clear that its result can be written."""
    from kalshi_bt.artifacts import require_writable
    from kalshi_bt.data.store import Store

    root = root or Path(plan.config.data)
    require_writable(out)
    if root == Path(SAMPLE):
        make_sample(root, tell=tell)
    return Store.open(root)


def execute(
    plan: "Plan",
    out: Path,
    tell: Any = say,
    more: "More | None" = None,
    tried: "Tried | None" = None,
    root: Path | None = None,
) -> Result:
    """Run a plan, leave its folder in `out`, with `more` files, and return what it found.

    It is registered as a trial among the runs of `out`, unless `tried` tells the trials. Its data
    lie in `root`, if that is not where the plan says.
    """
    from time import perf_counter

    from kalshi_bt.artifacts import leave, trial
    from kalshi_bt.pipeline import compute
    from kalshi_bt.simulator.compiling import is_compiled
    from kalshi_bt.trials import registering

    started = perf_counter()
    store = _opened(plan, out, tell, root)
    if not is_compiled():
        tell("compiling the simulator once for this machine; later runs start at once")
    with damage_named(store):
        # A flipped byte can decode to another price without any error.
        told = ("settlements", "revisions", "determinations")
        store.verify("series", "markets", *told, "candles")
        done = compute(store, plan, tried or registering(out, trial(plan, store)))
    files = more(done) if more else {}
    folder, shown = leave(done, plan, store, out, perf_counter() - started, files)
    return Result.of(shown, folder)


def execute_longshot(
    plan: "Plan",
    out: Path,
    place: Path | None = None,
    tell: Any = say,
    tried: "Tried | None" = None,
    root: Path | None = None,
) -> dict[str, Any]:
    """Run a plan whose format is ``longshot-csv``, or in reference mode the documented agents.

    Returns
    -------
    dict
        ``counters``, ``book``, ``folder`` (the run's own, or `place`, which gets its files too) and
        ``report`` where there is one.
    """
    from time import perf_counter

    from kalshi_bt.artifacts import copy_files, leave_files, require_writable, trial
    from kalshi_bt.longshot_csv import documented, horizon, of_backtest
    from kalshi_bt.trials import register

    started = perf_counter()
    require_writable(place or out)
    store = _opened(plan, out, tell, root)
    if plan.chain is not None:
        with damage_named(store):
            store.verify("markets", "settlements", "trades")
            files, told = documented(store, plan)
        if tried is None:
            register(out, trial(plan, store))
        folder = leave_files(files, plan, store, out, perf_counter() - started)
    else:
        plan = replace(plan, config=replace(plan.config, end=horizon(store, plan)))
        found: list[Any] = []

        def more(done: "Backtest") -> dict[str, bytes]:
            found.extend(of_backtest(done, plan))
            return dict(found[0])

        folder = execute(plan, out, tell, more, tried, root).run_dir
        files, told = found[0], found[1] | {"report": str(folder / "report.html")}
    if place is not None:
        copy_files(files, place)
    return told | {"folder": str(place or folder)}


@contextmanager
def damage_named(store: "Store") -> Iterator[None]:
    """Say which file of a dataset is damaged where a library fails on its tables."""
    from kalshi_bt.data.manifest import BROKEN

    try:
        yield
    except BROKEN:
        store.verify()
        raise  # every file is as committed: the error is about something else


def make_sample(into: Path, seed: int = 0, tell: Any = say) -> bool:
    """Make the synthetic sample unless a dataset is there already; return whether it was made.

    An empty dataset marked as synthetic is what an interrupted call leaves, and is filled.
    """
    from kalshi_bt.data.store import Store
    from kalshi_bt.data.synthetic import sample

    if Store.exists(into):
        found = Store.open(into)
        if found.sizes() or not found.synthetic:
            return False
    tables = sample(seed)
    store = Store.create(into, name="sample", synthetic=True, exist_ok=True)
    store.commit(tables, note=f"synthetic, seed {seed}")
    tell(f"made the synthetic sample dataset in {into}")
    return True


@app.command()
def run(
    strategy: Annotated[
        str, typer.Option(metavar="NAME", help="Such as bollinger, or my_signal.py:MySignal.")
    ] = "",
    data: Annotated[
        str | None, typer.Option(metavar="DIR", help=f"Dataset folder [{SAMPLE}].")
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder that receives <run_id>/.")
    ] = Path("reports"),
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A parameter; may be repeated."),
    ] = None,
    fills: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="How orders fill, such as cross or passive [cross]."),
    ] = None,
    mode: Annotated[
        str | None, typer.Option(metavar="MODE", help="corrected or reference [corrected].")
    ] = None,
    cash: Annotated[
        str | None, typer.Option(metavar="DOLLARS", help="At the start [10000].")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="Bars that end after it, UTC.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="Bars that end by it, UTC.")
    ] = None,
    series: Annotated[str | None, typer.Option(metavar="A,B", help="Only these series.")] = None,
    bar: Annotated[
        str | None, typer.Option(metavar="1m", help="Bar length, if several are stored.")
    ] = None,
    seed: Annotated[
        str | None, typer.Option(metavar="N", help="Of every random stream [0].")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file of settings.")
    ] = None,
    files: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="longshot-csv: its documented files, too."),
    ] = None,
    n: Annotated[
        str | None, typer.Option(metavar="N", help="longshot-csv: settled markets [2000].")
    ] = None,
    bankroll: Annotated[
        str | None, typer.Option(metavar="DOLLARS", help="longshot-csv: --cash [1000].")
    ] = None,
    stake: Annotated[
        str | None, typer.Option(metavar="DOLLARS", help="longshot-csv: of each trade.")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="longshot-csv: folder of its files [PAPER_DATA_DIR]."),
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Metrics as JSON, nothing else.")] = False,
) -> None:
    """Backtest a strategy on a dataset and leave a report."""
    from kalshi_bt.config import environment, layered
    from kalshi_bt.plan import plan

    if None not in {cash, bankroll}:
        raise UsageError("--bankroll is --cash under another name; give one of them")
    flags = {
        "strategy": strategy or None,
        "data": data,
        "fills": fills,
        "mode": mode,
        "cash": cash if bankroll is None else bankroll,
        "start": start,
        "end": end,
        "series": series,
        "bar": bar,
        "seed": seed,
        "format": files,
        "n": n,
        "stake": stake,
    }
    made = plan(layered(config, environment(), flags, sets or []))
    if made.config.format is not None:
        _tell_longshot(made, out, data_dir, json=json)
        return
    if not {bankroll, data_dir} <= {None}:
        raise UsageError("--bankroll and --data-dir need --format longshot-csv")
    result = execute(made, out)
    if json:
        sys.stdout.write((result.run_dir / "metrics.json").read_text("utf-8"))
    else:
        sys.stdout.write(f"{result.summary}\nreport: {result.run_dir / 'report.html'}\n")


def _tell_longshot(plan: "Plan", out: Path, place: Path | None, *, json: bool) -> None:
    """Run a plan that leaves the documented longshot files, and print its counters and book."""
    from json import dumps

    from kalshi_bt.config import paper_folder
    from kalshi_bt.longshot_csv import shown

    told = execute_longshot(plan, out, place or paper_folder())
    sys.stdout.write((dumps(told, indent=2) if json else shown(told)) + "\n")


if __name__ == "__main__":
    program(app)
