"""The verbs that make a dataset and keep it: import, download, validate, mark, sql, compact."""

import json as jsonlib
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kalshi_bt.progress import shown

if TYPE_CHECKING:
    import polars as pl

    from kalshi_bt.data.importers.account import ImportReport
    from kalshi_bt.data.kalshi.download import DownloadReport
    from kalshi_bt.data.progress import OnProgress

LAYOUTS = ("table", "becker", "ws", "arena", "spot")
PERIODS = {"1m": 60, "1h": 3_600, "1d": 86_400}
SHOWN = 200  # rows of an answer on a terminal

Into = Annotated[Path, typer.Option(metavar="DIR", help="Dataset to create or add to.")]
Dataset = Annotated[str, typer.Argument(help="Dataset folder or s3://bucket/path.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
Collateral = Annotated[
    bool, typer.Option("--collateral", help="The exchange returns collateral to this account.")
]


def print_json(value: Any) -> None:
    """Write a value as JSON to the standard output."""
    sys.stdout.write(jsonlib.dumps(value, indent=2, sort_keys=True) + "\n")


def import_(
    sources: Annotated[list[Path], typer.Argument(help="Files or folders to read.")],
    into: Into,
    layout: Annotated[str, typer.Option(help=f"How they are laid out: {', '.join(LAYOUTS)}.")] = (
        "table"
    ),
    mapping: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML mapping of columns (table).")
    ] = None,
    bar: Annotated[
        str | None, typer.Option(help="Length of the bars to build (ws, table) [60s for ws].")
    ] = None,
    depth: Annotated[int, typer.Option(help="Levels of a book to keep (ws).")] = 10,
    symbol: Annotated[str, typer.Option(help="What the prices are of (spot).")] = "",
    *,
    collateral: Collateral = False,
    json: Json = False,
) -> None:
    """Read tables, archives or recordings into a dataset."""
    from kalshi_bt.errors import UsageError
    from kalshi_bt.tables import import_text

    if layout not in LAYOUTS:
        raise UsageError.unknown("layout", layout, LAYOUTS)
    if (mapping is None) == (layout == "table"):
        need = "needs" if layout == "table" else "takes no"
        raise UsageError(f"--layout {layout} {need} --mapping FILE.toml, which names the columns")
    with shown() as progress:
        if mapping is not None:
            from kalshi_bt.data.importers.table import import_tables

            report = import_tables(mapping, sources, into, bar_seconds=_seconds(bar))
        elif layout == "becker":
            from kalshi_bt.data.importers.becker import import_becker

            report = import_becker(sources, into, on_progress=progress)
        elif layout == "arena":
            from kalshi_bt.data.importers.arena import import_arena

            report = _with_places(import_arena(sources, into), into)
        elif layout == "spot":
            _import_spot(sources, into, symbol, collateral=collateral, json=json)
            return
        else:
            from kalshi_bt.data.importers.ws import import_ws

            report = import_ws(
                sources,
                into,
                bar_seconds=_seconds(bar) or 60,
                depth=depth,
                on_progress=progress,
            )
    if collateral:
        report = replace(report, fingerprint=marked(into, collateral=True))
    if json:
        print_json(asdict(report))
    else:
        sys.stdout.write(import_text(report.tables, report.warnings))


def marked(dataset: str | Path, *, collateral: bool) -> str:
    """Say whether collateral is returned to the account of a dataset; return its fingerprint."""
    from kalshi_bt.data.store import Store

    store = Store.open(dataset)
    store.mark(collateral=collateral)
    return store.fingerprint()


def mark(
    dataset: Dataset,
    *,
    collateral: Annotated[
        bool | None,
        typer.Option(
            "--collateral/--no-collateral",
            help="Whether the exchange returns to this account what an event cannot lose.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Say what the rows of a dataset cannot tell: whether its account has collateral return."""
    from kalshi_bt.errors import UsageError

    if collateral is None:
        raise UsageError("nothing to mark; give --collateral or --no-collateral")
    fingerprint = marked(dataset, collateral=collateral)
    if json:
        print_json({"collateral": collateral, "fingerprint": fingerprint})
    else:
        said = "is returned" if collateral else "is not returned"
        sys.stdout.write(f"collateral {said}; fingerprint {fingerprint[:12]}\n")


def _seconds(bar: str | None) -> int | None:
    """Return the seconds of a bar."""
    from kalshi_bt.errors import UsageError
    from kalshi_bt.units import SECOND, parse_duration

    if bar is None:
        return None
    seconds, rest = divmod(parse_duration(bar), SECOND)
    if rest or not seconds:
        raise UsageError(f"bar is {bar}; expected whole seconds, such as 15s or 1m")
    return seconds


def _with_places(report: "ImportReport", into: Path) -> "ImportReport":
    """Store beside boards who is in which place of them: what the leaderboard signal reads."""
    from kalshi_bt.data.store import Store
    from kalshi_bt.signals.leaderboard_board import derived

    store = Store.open(into)
    store.commit({"references": derived(store.read("references"), store.read("markets"))})
    return replace(report, fingerprint=store.fingerprint())


def add_opinions(sample: Path, seed: int) -> None:
    """Add invented forecasts and valuations to the sample of a seed."""
    from kalshi_bt.data.store import Store
    from kalshi_bt.data.synthetic_opinions import opinions

    Store.open(sample).commit({"references": opinions(seed)}, note="invented opinions, all right")


def make_board_sample(into: Path, boards: Path, *, seed: int, days: int, rule: str) -> bool:
    """Make a dataset of invented quotes on recorded boards; return whether there was room."""
    from kalshi_bt.data.store import Store
    from kalshi_bt.leaderboard_sample import quoted_boards

    if Store.exists(into):
        return False
    recorded = Store.open(boards).read("references")
    tables = quoted_boards(recorded, seed=seed, days=days, rule=rule)
    store = Store.create(into, name=into.resolve().name, synthetic=True)
    store.commit(tables, note=f"invented quotes on recorded boards, seed {seed}, rule {rule}")
    return True


def _import_spot(
    sources: list[Path], into: Path, symbol: str, *, collateral: bool, json: bool
) -> None:
    from kalshi_bt.data.spot_csv import import_spot_csv
    from kalshi_bt.errors import UsageError
    from kalshi_bt.tables import download_text

    if len(sources) != 1 or not symbol:
        raise UsageError("--layout spot reads one CSV file and needs --symbol, such as BTC-USD")
    report = import_spot_csv(into, sources[0], symbol=symbol)
    if collateral:
        marked(into, collateral=True)
    if json:
        print_json(asdict(report))
    else:
        sys.stdout.write(download_text(report))


def _moment(name: str, text: str | None) -> datetime | None:
    """Return a UTC time from a date or a time with its zone."""
    from kalshi_bt.errors import UsageError

    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        bare = found.tzinfo is None and str(date.fromisoformat(text)) == text
    except ValueError:
        bare = False
        found = None
    if found is None or (found.tzinfo is None and not bare):
        raise UsageError(
            f"{name} is {text!r}; expected a date, or a time such as 2026-01-01T12:00Z"
        )
    return found.replace(tzinfo=UTC) if bare else found.astimezone(UTC)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def download(
    into: Into,
    series: Annotated[str, typer.Option(metavar="A,B", help="Series to fetch.")] = "",
    from_: Annotated[str | None, typer.Option("--from", help="First day, or UTC time.")] = None,
    to: Annotated[str | None, typer.Option(help="Last moment, a day or UTC time.")] = None,
    what: Annotated[str, typer.Option(help="Some of series,markets,candles,trades.")] = (
        "series,markets,candles,trades"
    ),
    period: Annotated[str, typer.Option(help="Bars of 1m, 1h or 1d; of spot also 1s.")] = "1m",
    spot: Annotated[
        str | None, typer.Option(metavar="VENUE", help="Prices from coinbase, kraken or binance.")
    ] = None,
    symbols: Annotated[str, typer.Option(metavar="A,B", help="As the venue names them.")] = "",
    env: Annotated[str, typer.Option(help="prod or demo.")] = "prod",
    base_url: Annotated[str | None, typer.Option(help="Another address of the same API.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Requests at once.")] = 8,
    *,
    combos: Annotated[bool, typer.Option(help="Also markets made of other markets.")] = False,
    collateral: Collateral = False,
    json: Json = False,
) -> None:
    """Fetch from the exchange, or prices of an underlying, what a dataset does not have yet."""
    from kalshi_bt.tables import download_text

    start, end = _moment("--from", from_), _moment("--to", to)
    with shown() as progress:
        if spot is not None:
            report = _spot(into, spot, symbols, start, end, period, base_url, progress)
        else:
            report = _exchange(
                into,
                series=_names(series),
                start=start,
                end=end,
                what=_names(what),
                period=_choice("period", period, PERIODS),
                env=env,
                base_url=base_url,
                concurrency=concurrency,
                on_progress=progress,
                combos=combos,
            )
    if collateral:
        marked(into, collateral=True)
    if json:
        print_json(asdict(report))
    else:
        sys.stdout.write(download_text(report))


def _choice(what: str, name: str, known: Mapping[str, int]) -> int:
    from kalshi_bt.errors import UsageError

    if name not in known:
        raise UsageError.unknown(what, name, known)
    return known[name]


def _exchange(into: Path, **asked: Any) -> "DownloadReport":
    from kalshi_bt.config import environment
    from kalshi_bt.data.kalshi.auth import Credentials
    from kalshi_bt.data.kalshi.download import download as fetch

    return fetch(into, credentials=Credentials.from_environment(environment()), **asked)


def _spot(
    into: Path,
    venue: str,
    symbols: str,
    start: datetime | None,
    end: datetime | None,
    period: str,
    base_url: str | None,
    progress: "OnProgress",
) -> "DownloadReport":
    from kalshi_bt.data.spot import download_spot
    from kalshi_bt.errors import UsageError

    if start is None:
        raise UsageError("--from is missing; name the first day of prices to fetch")
    return download_spot(
        into,
        venue=venue,
        symbols=_names(symbols),
        start=start,
        end=end,
        seconds=_choice("period", period, {"1s": 1, "1m": 60}),
        base_url=base_url,
        on_progress=progress,
    )


def validate(
    dataset: Dataset,
    *,
    rules: Annotated[bool, typer.Option("--rules", help="Name every rule asked.")] = False,
    json: Json = False,
) -> None:
    """Check whether a dataset can be trusted; exit code 1 if not."""
    from kalshi_bt.data.soundness import audit, text
    from kalshi_bt.data.store import Store

    found = audit(Store.open(dataset))
    if json:
        print_json(found.to_dict())
    else:
        sys.stdout.write(text(found, checked=rules) + "\n")
    if not found.sound:
        raise typer.Exit(1)


def sql(
    dataset: Dataset,
    query: Annotated[str, typer.Argument(help="A SELECT over the views of the dataset.")],
    *,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="As CSV.")] = False,
) -> None:
    """Ask a dataset in SQL."""
    from kalshi_bt.data.store import Store
    from kalshi_bt.tables import rendered

    found = Store.open(dataset).sql(query)
    if csv:
        sys.stdout.write(_flat(found).write_csv())
    elif json:
        print_json([{name: _plain(cell) for name, cell in row.items()} for row in found.to_dicts()])
    else:
        head = found.head(SHOWN)
        sys.stdout.write(rendered("", head.columns, _texts(head)))
        if found.height > SHOWN:
            sys.stdout.write(f"{found.height - SHOWN:,} more rows; --csv prints all\n")


def _plain(cell: Any) -> Any:
    """Return a cell as JSON has it: times as ISO text, decimals as text, NaN as null."""
    if isinstance(cell, datetime):
        return cell.isoformat().replace("+00:00", "Z")
    if isinstance(cell, Mapping):
        return {name: _plain(part) for name, part in cell.items()}
    if isinstance(cell, list):
        return [_plain(part) for part in cell]
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else None
    return cell if isinstance(cell, bool | int | str) or cell is None else str(cell)


def _texts(frame: "pl.DataFrame") -> Iterator[list[Any]]:
    for row in frame.iter_rows():
        yield [cell if isinstance(cell, int | float) else _plain(cell) for cell in row]


def _flat(frame: "pl.DataFrame") -> "pl.DataFrame":
    """Return lists and records as JSON text, which CSV has no other place for."""
    import polars as pl

    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    return frame.with_columns(
        pl.Series(name, [jsonlib.dumps(_plain(cell)) for cell in frame[name].to_list()])
        for name in nested
    )


def compact(dataset: Dataset, *, json: Json = False) -> None:
    """Merge the files of every part of a dataset into one."""
    from kalshi_bt.data.store import Store
    from kalshi_bt.tables import rendered

    done = Store.open(dataset).compact()
    if json:
        print_json({name: {"before": n, "after": m} for name, (n, m) in done.items()})
    else:
        rows = [(name, before, after) for name, (before, after) in done.items()]
        sys.stdout.write(rendered("files", ["table", "before", "after"], rows))
