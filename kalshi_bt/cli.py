"""The console script ``kalshi-bt``: verbs, each a thin call that imports what it needs."""

import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kalshi_bt.run import damage_named, make_sample, run
from kalshi_bt.terminal import application, program

app = application("Faithful backtests of Kalshi event contracts.")
app.command()(run)
listing = application("List what is registered.")
app.add_typer(listing, name="list")


def _print_json(value: Any) -> None:
    sys.stdout.write(jsonlib.dumps(value, indent=2, sort_keys=True) + "\n")


@app.command("import")
def import_(
    sources: Annotated[list[Path], typer.Argument(help="Files or folders to read.")],
    into: Annotated[Path, typer.Option(metavar="DIR", help="Dataset to create or add to.")],
    layout: Annotated[str, typer.Option(help="How the sources are laid out: table.")] = "table",
    mapping: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML mapping of columns.")
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Read tables of candles, markets, trades or quotes into a dataset."""
    from dataclasses import asdict

    from kalshi_bt.data.importers.table import import_tables
    from kalshi_bt.errors import UsageError
    from kalshi_bt.tables import import_text

    if layout != "table":
        raise UsageError.unknown("layout", layout, ["table"])
    if mapping is None:
        raise UsageError("--layout table needs --mapping FILE.toml, which names the columns")
    report = import_tables(mapping, sources, into)
    if json:
        _print_json(asdict(report))
    else:
        sys.stdout.write(import_text(report.tables, report.warnings))


@app.command()
def info(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder.")],
    *,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show tables, rows, markets, time span and coverage by series of a dataset."""
    from kalshi_bt.data.store import Store
    from kalshi_bt.data.store import info as describe

    store = Store.open(dataset)
    with damage_named(store):
        facts = describe(store)
    if json:
        _print_json(facts)
        return
    from kalshi_bt.tables import info_text

    sys.stdout.write(info_text(facts))


@app.command()
def sample(
    into: Annotated[Path, typer.Option(metavar="DIR", help="Dataset folder to create.")],
    seed: Annotated[int, typer.Option(metavar="N", help="Of every random stream.")] = 0,
) -> None:
    """Make the synthetic sample dataset."""
    from kalshi_bt.errors import DataError

    if not make_sample(into, seed):
        raise DataError(f"{into} already holds a dataset; choose another folder or remove it")


@listing.command("strategies")
def list_strategies(
    *,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the strategies with their parameters, defaults, ranges and idea."""
    from kalshi_bt.tables import strategies_text, strategy_facts

    facts = strategy_facts()
    if json:
        _print_json(facts)
    else:
        sys.stdout.write(strategies_text(facts))


def main() -> None:
    """Run the console script and exit with its code."""
    program(app)


if __name__ == "__main__":
    main()
