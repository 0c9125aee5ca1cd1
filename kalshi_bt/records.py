"""The verbs for runs that are done: report, runs, compare, verify."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from kalshi_bt.archive import print_json
from kalshi_bt.errors import UsageError

FORMATS = ("text", "json", "html", "csv")

Name = Annotated[
    str, typer.Argument(metavar="RUN", help="Folder of a run, its id or the beginning of it.")
]
Place = Annotated[Path, typer.Option("--in", metavar="DIR", help="Folder that holds runs.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
REPORTS = Path("reports")


def report(
    run: Name,
    form: Annotated[
        str, typer.Option("--format", metavar="NAME", help=f"One of {', '.join(FORMATS)}.")
    ] = "text",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write [standard output; html: RUN.html]."),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="csv: trades, daily, equity, fills, orders … [trades]."),
    ] = None,
    place: Place = REPORTS,
) -> None:
    """Show a run that is done, as text, JSON, HTML or CSV."""
    from kalshi_bt import run_folder
    from kalshi_bt.errors import UsageError
    from kalshi_bt.exports import csv
    from kalshi_bt.rendering import rendered, save

    if form not in FORMATS:
        raise UsageError.unknown("format", form, FORMATS)
    if table is not None and form != "csv":
        raise UsageError(f"--table {table} is a table of --format csv, not of {form}")
    folder = run_folder.find(run, place)
    found = run_folder.load(folder)
    if form == "csv":
        content = csv(found, table or "trades").encode()
    else:
        content = rendered(found, {"text": "txt"}.get(form, form))
    if out is None and form != "html":
        sys.stdout.write(content.decode())
        return
    target = out or folder.with_name(f"{folder.name}.html")
    save(content, target)
    sys.stdout.write(f"wrote {target}\n")


def runs(place: Place = REPORTS, *, json: Json = False) -> None:
    """List the runs of a folder, with their place among all trials of their strategy."""
    from kalshi_bt.listing import listed, text

    rows = listed(place)
    if json:
        print_json(rows)
    else:
        sys.stdout.write(text(rows))


def compare(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN RUN…", help="The first is compared with the others."),
    ] = None,
    parity: Annotated[
        Path | None,
        typer.Option(metavar="SESSION", help="Instead: a paper session with its backtest."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Leave a page, too.")
    ] = None,
    place: Place = REPORTS,
    *,
    json: Json = False,
) -> None:
    """Compare runs: metrics side by side, and how far their differences can be trusted.

    With --parity: exit code 1 unless a paper session did what the backtest of what it saw does.
    """
    if parity is not None:
        if names or out is not None:
            raise UsageError("--parity compares one session with its own backtest, and no runs")
        _compare_session(parity, json=json)
    from kalshi_bt import run_folder
    from kalshi_bt.comparison import as_json, text
    from kalshi_bt.comparison import compare as compared
    from kalshi_bt.rendering import save
    from kalshi_bt.report.comparison import render_comparison

    found = compared([run_folder.find(name, place) for name in names or []])
    if out is not None:
        save(render_comparison(found).encode(), out)
    if json:
        print_json(as_json(found))
    else:
        sys.stdout.write(text(found) + (f"\nwrote {out}\n" if out else ""))


def _compare_session(folder: Path, *, json: bool) -> NoReturn:
    """Print the first decision in which a paper session differs from its backtest, and exit."""
    # The adapter stands above this package, which never needs it but to answer this.
    difference = import_module("live_adapter.parity").of_session(folder)
    if json:
        told = None if difference is None else difference.json()
        print_json({"identical": difference is None, "difference": told})
    else:
        same = "identical: decisions, orders and fills are those of the backtest"
        sys.stdout.write(f"{same if difference is None else difference}\n")
    raise typer.Exit(0 if difference is None else 1)


def verify(
    run: Name,
    data: Annotated[
        str | None, typer.Option(metavar="DIR", help="Its dataset, if that has moved.")
    ] = None,
    place: Place = REPORTS,
    *,
    json: Json = False,
) -> None:
    """Run a run once more; exit code 1 unless every file comes out the same."""
    from kalshi_bt import run_folder
    from kalshi_bt.verification import verify as verified

    found = verified(run_folder.find(run, place), data)
    if json:
        print_json(found.json())
    else:
        sys.stdout.write(found.text() + "\n")
    raise typer.Exit(0 if found.identical else 1)
