"""Leaderboards of language models as reference values, and the markets that ask about them.

A snapshot becomes one row for each model and field, known at the time it was taken:

==========================  ==================================================================
source                      the board
==========================  ==================================================================
``arena/text``              text, overall, style control removed: what the markets settle on
``arena/text-style-control``  the same with style control
==========================  ==================================================================

Fields are score, low and high (95 % interval), rank, rank_ub, rank_lb, votes and preliminary (0 or
1), with a value, and organization and license, with a text. What a file does not state is absent.
Files are known by their columns; a file without the time of its snapshot goes into the quarantine.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from kalshi_bt.data.importers.account import ImportReport, TableReport
from kalshi_bt.data.manifest import BROKEN, one_line
from kalshi_bt.data.store import Store
from kalshi_bt.data.validate import checks, duplicates, sift
from kalshi_bt.errors import DataError
from kalshi_bt.schema import MARKETS, QUARANTINE, REFERENCES, SERIES, STORED, Time

TEXT, STYLED = "arena/text", "arena/text-style-control"
_BOARDS = {"text": TEXT, "text(old file)": TEXT, "text_style_control": STYLED}
_NUMBERS = ("score", "low", "high", "rank", "rank_ub", "rank_lb", "votes", "preliminary")
_WORDS = ("organization", "license")
_MAKERS = ("KXLLM1",)  # series that charge makers too
_DAY = pl.duration(days=1)


def import_arena(sources: Sequence[Path], into: Path) -> ImportReport:
    r"""Read leaderboard snapshots and their markets into a dataset, all or nothing.

    Parameters
    ----------
    sources : sequence of Path
        Parquet or CSV files, or folders of them.
    into : Path
        The dataset's folder; made if it is absent or empty.

    Raises
    ------
    DataError
        If a source cannot be read, none is of a known kind, or the dataset cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "old.csv").write_text("date,model,rating\n20240101,m-1,1200.5\n")
    ...     _ = import_arena([Path(folder, "old.csv")], Path(folder, "dataset"))
    ...     rows = Store.open(Path(folder, "dataset")).read("references")
    >>> rows.drop("time").row(0)
    ('arena/text', 'm-1', 'score', 1200.5, None)
    """
    work = _Work()
    for path, name in _files(sources):
        work.add(path, name)
    return work.commit(into)


@dataclass
class _Work:
    """Rows on their way into a dataset."""

    rows: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    bad: list[tuple[str, str, int, str, str]] = field(default_factory=list)
    files: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, path: Path, name: str) -> None:
        """Read one file of whatever kind."""
        frame = _open(path).with_row_index("row").rechunk()
        fits = [kind for kind in _KINDS if kind[0] <= set(frame.columns)]
        if not fits:
            self.warnings.append(f"{name} is no leaderboard and no list of markets; not read")
            return
        _, table, shape = fits[0]
        self.files.append((table, name))
        made = shape(frame)
        good, bad = sift(made, [*checks(table), *duplicates(table, STORED[table].key)])
        bad = bad.unique(["row", "reason"], keep="first", maintain_order=True)  # one a file's row
        self.bad += [
            (table, name, row, reason, found)
            for row, reason, found in bad.select("row", "reason", "found").iter_rows()
        ]
        self.rows.setdefault(table, []).append(good.select(list(STORED[table].columns)))

    def commit(self, into: Path) -> ImportReport:
        """Store all and return the account."""
        if not self.files:
            raise DataError("none of the files is a leaderboard or a list of markets")
        store = Store.create(into, name=into.resolve().name, exist_ok=True)
        given, twice = {}, Counter[str]()
        for name, frames in self.rows.items():
            declared = STORED[name]
            every = pl.concat(frames)
            given[name] = every.unique(declared.key, keep="first", maintain_order=True)
            twice[name] = every.height - given[name].height
        if "markets" in given:
            given["series"] = _fees(given["markets"], store)
        lost = pl.DataFrame(self.bad, schema=QUARANTINE.columns, orient="row")
        pairs = pl.DataFrame(self.files, schema=["table", "source"], orient="row")
        counts = store.commit({**given, "quarantine": lost}, drop={"quarantine": pairs})
        report = {}
        for name in given:
            done = counts[name]
            reasons = Counter(bad[3] for bad in self.bad if bad[0] == name)
            skipped = {"repeated": twice[name]} if twice[name] else {}
            stored = (done.added, done.updated, done.unchanged)
            read = sum(stored) + twice[name] + reasons.total()
            report[name] = TableReport(read, *stored, skipped, dict(sorted(reasons.items())))
        return ImportReport(report, tuple(self.warnings), store.fingerprint())


def _files(sources: Sequence[Path]) -> list[tuple[Path, str]]:
    """Return the tables among files and folders, with their short names."""
    found = []
    for given in sources:
        if not given.exists():
            raise DataError(f"source {given} does not exist")
        root = given if given.is_dir() else given.parent
        paths = sorted(p for p in given.rglob("*") if p.is_file()) if given.is_dir() else [given]
        tables = [path for path in paths if path.suffix in {".parquet", ".csv"}]
        if not tables:
            raise DataError(f"{given} holds no parquet or CSV file")
        found += [(path, path.relative_to(root).as_posix()) for path in tables]
    return found


def _open(path: Path) -> pl.DataFrame:
    try:
        if path.suffix == ".csv":
            return pl.read_csv(path, infer_schema=False, glob=False)
        return pl.read_parquet(path, glob=False)
    except BROKEN as error:
        raise DataError(f"{path} cannot be read ({one_line(error)})") from None


def _utc(name: str, form: str) -> pl.Expr:
    text = pl.col(name).cast(pl.String)
    return text.str.strptime(pl.Datetime("us"), form, strict=False).dt.replace_time_zone("UTC")


def _long(frame: pl.DataFrame) -> pl.DataFrame:
    """Return one row a field from one row a model: row, source, symbol, time and the fields."""
    key = ["row", "source", "symbol", "time"]
    numbers = [name for name in _NUMBERS if name in frame.columns]
    words = [name for name in _WORDS if name in frame.columns]
    values = frame.with_columns(pl.col(numbers).cast(pl.Float64, strict=False)).unpivot(
        numbers, index=key, variable_name="field", value_name="value"
    )
    texts = frame.unpivot(words, index=key, variable_name="field", value_name="text")
    both = pl.concat([values, texts], how="diagonal") if words else values
    kinds = REFERENCES.columns
    absent = [pl.lit(None, dtype=kinds[n]).alias(n) for n in ("text",) if n not in both.columns]
    said = pl.col("value").is_not_null() | pl.col("text").is_not_null()
    return both.with_columns(absent).filter(said).select("row", *kinds).rechunk()


def _polled(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the fields of a board that was looked at, hour by hour."""
    score, around = (pl.col(name).cast(pl.Float64, strict=False) for name in ("score", "ci95"))
    return _long(
        frame.with_columns(
            source=pl.lit(TEXT),
            symbol=pl.col("model"),
            time=_utc("fetched_at", "%Y-%m-%dT%H:%M:%SZ"),
            low=score - around,
            high=score + around,
            preliminary=pl.col("is_preliminary"),
        )
    )


def _catalog(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the fields of the published catalogue, known when it was committed."""
    names = {"model": "symbol", "rating": "score", "rating_q025": "low", "rating_q975": "high"}
    board = pl.col("board").replace_strict(_BOARDS, default=None, return_dtype=pl.String)
    return _long(
        frame.rename(names).with_columns(source=board, time=_utc("commit_ts", "%Y%m%dT%H%M%S"))
    )


def _history(frame: pl.DataFrame) -> pl.DataFrame:
    """Return daily scores; of a day it is only certain that they were known at its end."""
    time = _utc("date", "%Y%m%d") + _DAY
    named = frame.rename({"model": "symbol", "rating": "score"})
    return _long(named.with_columns(source=pl.lit(TEXT), time=time))


def _undated(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a board that does not say when it was seen: without a time no row is usable."""
    return _long(
        frame.rename({"model": "symbol", "arena_score": "score"}).with_columns(
            source=pl.lit(TEXT), time=pl.lit(None, dtype=Time)
        )
    )


def _markets(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the markets; their quotes are those of an unknown hour and not read."""
    form = "%Y-%m-%dT%H:%M:%SZ"
    made = frame.with_columns(
        event=pl.col("event_ticker"),
        series=pl.col("ticker").str.extract("^([^-]+)", 1),
        subtitle=pl.col("yes_sub_title"),
        rules=pl.col("rules_primary"),
        open_time=_utc("open_time", form),
        close_time=_utc("close_time", form),
    )
    absent = {n: t for n, t in MARKETS.columns.items() if n not in made.columns}
    made = made.with_columns(pl.lit(None, dtype=t).alias(n) for n, t in absent.items())
    return made.select("row", *MARKETS.columns).rechunk()


_KINDS: list[tuple[set[str], str, Callable[[pl.DataFrame], pl.DataFrame]]] = [
    ({"fetched_at", "model", "score", "ci95", "is_preliminary"}, "references", _polled),
    ({"commit_ts", "board", "model", "rating", "rating_q025"}, "references", _catalog),
    ({"date", "model", "rating"}, "references", _history),
    ({"rank", "model", "arena_score"}, "references", _undated),
    ({"ticker", "event_ticker", "rules_primary", "close_time"}, "markets", _markets),
]


def _fees(markets: pl.DataFrame, store: Store) -> pl.DataFrame:
    """Return fees of the series that have none yet."""
    new = set(markets["series"]) - set(store.read("series", ["series"])["series"])
    rows = [
        {
            "series": name,
            "effective_from": None,
            "fee_type": "quadratic_with_maker_fees" if name in _MAKERS else "quadratic",
            "fee_multiplier": 1_000_000,
        }
        for name in sorted(new)
    ]
    kinds = {n: t for n, t in SERIES.columns.items() if n not in SERIES.nullable}
    frame = pl.DataFrame(rows, schema=kinds)
    return SERIES.filled(frame.with_columns(effective_from=pl.lit(0).cast(Time)))
