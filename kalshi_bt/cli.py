"""The console script ``kalshi-bt``: verbs, each a thin call that imports what it needs."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kalshi_bt import archive, records
from kalshi_bt.archive import print_json
from kalshi_bt.run import damage_named, make_sample, run
from kalshi_bt.terminal import application, program

app = application("Faithful backtests of Kalshi event contracts.")
app.command()(run)
listing = application("List what is registered.")
app.add_typer(listing, name="list")


app.command("import")(archive.import_)
for verb in (archive.download, archive.validate, archive.sql, archive.compact):
    app.command()(verb)
for known in (records.report, records.runs, records.compare, records.verify):
    app.command()(known)


@app.command()
def fee(
    price: Annotated[str | None, typer.Option(help="Dollars of the side traded.")] = None,
    count: Annotated[str | None, typer.Option(help="Contracts.")] = None,
    role: Annotated[str, typer.Option(help="taker or maker.")] = "taker",
    series: Annotated[
        str | None, typer.Option(help="Series; the general schedule without.")
    ] = None,
    event: Annotated[str | None, typer.Option(help="Event, whose own fees may differ.")] = None,
    date: Annotated[str | None, typer.Option(help="Day; the newest rules without.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="Dollars a balance is aligned to: 0.0001 or 0.01.")
    ] = None,
    fee_type: Annotated[str | None, typer.Option(help="Instead of that of the series.")] = None,
    multiplier: Annotated[str | None, typer.Option(help="Instead of that of the series.")] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Take fees from this dataset.")
    ] = None,
    fills: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Recompute the fees of an account's fills.")
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Explain a fee step by step, or check the fees of an account's fills."""
    from kalshi_bt.errors import UsageError
    from kalshi_bt.fee_schedule import PUBLISHED, Schedule

    schedule = PUBLISHED
    if data is not None:
        from kalshi_bt.data.store import Store

        store = Store.open(data)
        schedule = Schedule.of_dataset(store.read("series"), store.read("event_fees"))
    if fills is not None:
        from kalshi_bt.reconcile import reconcile

        found = reconcile(fills, precision=precision, schedule=None if data is None else schedule)
        _show(found, json=json)
        raise typer.Exit(found.exit_code)
    if price is None or count is None:
        raise UsageError("give --price and --count, or --fills FILE")
    from kalshi_bt.fee_statement import explain

    statement = explain(
        price,
        count,
        role,
        series=series,
        event=event,
        date=date,
        precision=precision or "0.0001",
        schedule=schedule,
        fee_type=fee_type,
        multiplier=multiplier,
    )
    _show(statement, json=json)


def _show(found: Any, *, json: bool) -> None:
    """Print what has a text and a JSON form."""
    if json:
        print_json(found.json())
    else:
        sys.stdout.write(found.text().rstrip("\n") + "\n")


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
        print_json(facts)
        return
    from kalshi_bt.tables import info_text

    sys.stdout.write(info_text(facts))


@app.command()
def audit(
    strategy: Annotated[
        str, typer.Option(metavar="NAME", help="Registered strategy, or FILE.py:CLASS.")
    ],
    data: Annotated[Path, typer.Option(metavar="DIR", help="Dataset folder.")],
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A parameter; may be repeated."),
    ] = None,
    mode: Annotated[
        str | None, typer.Option(metavar="MODE", help="corrected or reference [corrected].")
    ] = None,
    series: Annotated[str | None, typer.Option(metavar="A,B", help="Only these series.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="Bars that end after it, UTC.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="Bars that end by it, UTC.")
    ] = None,
    bar: Annotated[
        str | None, typer.Option(metavar="1m", help="Bar length, if several are stored.")
    ] = None,
    markets: Annotated[
        int | None, typer.Option(metavar="N", help="How many markets to audit, about [600].")
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Look for look-ahead in a signal: exit code 1 where it sees what it could not have known."""
    from kalshi_bt.data.store import Store
    from kalshi_bt.lookahead.command import audited, planned

    flags = {
        "strategy": strategy,
        "data": str(data),
        "mode": mode,
        "series": series,
        "start": start,
        "end": end,
        "bar": bar,
    }
    store = Store.open(data)
    with damage_named(store):
        verdict = audited(store, planned(flags, sets or []), markets)
    _show(verdict, json=json)
    raise typer.Exit(0 if verdict.clean else 1)


@app.command()
def sample(
    into: Annotated[Path, typer.Option(metavar="DIR", help="Dataset folder to create.")],
    seed: Annotated[int, typer.Option(metavar="N", help="Of every random stream.")] = 0,
    boards: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Instead: invented quotes on its recorded leaderboards."),
    ] = None,
    days: Annotated[int, typer.Option(help="From opening to check of an event (boards).")] = 1,
    rule: Annotated[str, typer.Option(help="Who is on top (boards).")] = "cascade",
    *,
    opinions: Annotated[
        bool, typer.Option("--opinions", help="Add forecasts and valuations of its markets.")
    ] = False,
) -> None:
    """Make the synthetic sample dataset, or one of invented quotes on recorded leaderboards."""
    from kalshi_bt.errors import DataError, UsageError

    if opinions and boards is not None:
        raise UsageError("--opinions are about the markets of the sample, not about --boards")

    made = (
        make_sample(into, seed)
        if boards is None
        else archive.make_board_sample(into, boards, seed=seed, days=days, rule=rule)
    )
    if not made:
        raise DataError(f"{into} already holds a dataset; choose another folder or remove it")
    if opinions:
        archive.add_opinions(into, seed)


@app.command("new-strategy")
def new_strategy(
    name: Annotated[str, typer.Argument(help="Such as my_signal.")],
    into: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Python file to write [NAME.py].")
    ] = None,
) -> None:
    """Write the skeleton of a strategy, documented and ready to run, with its test."""
    from kalshi_bt.skeleton import write_skeleton

    signal, test, cls = write_skeleton(name, into)
    sys.stdout.write(
        f"wrote {signal} and {test}; next:\n"
        f"  kalshi-bt run --strategy {shlex.quote(f'{signal}:{cls}')}\n"
        f"  pytest {shlex.quote(str(test))}\n"
    )


@listing.command("strategies")
def list_strategies(
    *,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the strategies with their parameters, defaults, ranges and idea."""
    from kalshi_bt.tables import strategies_text, strategy_facts

    facts = strategy_facts()
    if json:
        print_json(facts)
    else:
        sys.stdout.write(strategies_text(facts))


def main() -> None:
    """Run the console script and exit with its code."""
    program(app)


if __name__ == "__main__":
    main()
