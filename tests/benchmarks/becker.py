"""Print what an archive of many small files costs to import, and what a study of it costs then.

    python tests/benchmarks/becker.py --data DIR [--size 1m|10m|72m] [--bench DIR] [--becker REPO]

`--bench` is a folder with `gen.py` and `peers.py` (default ../shared/bench beside the repository);
the archive is generated where `--data` has none. `--becker` is a checkout of
Jon-Becker/prediction-market-analysis, whose own script is then the first peer. Every measurement is
a process of its own; its peak memory is what the system says of it at its end. The numbers of the
study are compared, cent by cent, with those of the query that the archive's own scripts use.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
PEERS = ("duckdb-becker", "polars-becker", "duckdb", "polars", "duckdb-id", "polars-id")
ROWS = {"1m": 1_000_000, "10m": 10_000_000, "72m": 72_000_000}


def measured(command: list[str], **environment: str) -> tuple[str, float, float]:
    """Run a process; return what it printed, its seconds and its peak memory in MB."""
    with tempfile.TemporaryFile("w+") as out:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, env={**os.environ, **environment})
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{' '.join(command)} failed ({process.returncode})")
        out.seek(0)
        return out.read(), seconds, usage.ru_maxrss / 1024


def importing(source: Path, into: Path, memory: str) -> None:
    """Import the archive, with progress on stderr (what `--import` does)."""
    from kalshi_bt.data.importers.becker import import_becker
    from kalshi_bt.data.progress import Progress

    started, last = time.perf_counter(), ""

    def show(step: Progress) -> None:
        nonlocal last
        if step.label != last:
            last = step.label
            print(f"{time.perf_counter() - started:7.1f} s  {last}", file=sys.stderr)

    report = import_becker([source], into, on_progress=show, memory=memory)
    done = report.tables["trades"]
    print(json.dumps({"rows": done.read, "added": done.added, "unchanged": done.unchanged}))


def studying(dataset: Path, table: Path, repeat: int) -> None:
    """Time the study on a dataset, and leave its table (what `--study` does)."""
    sys.path.insert(0, str(HERE.parents[1] / "research"))
    import longshot_trades as study

    from kalshi_bt.data.store import Store

    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        found = study.by_cent(Store.open(dataset).sql(study.CELLS))
        times.append(time.perf_counter() - started)
    found.write_parquet(table)
    print(json.dumps({"run_s": times}))


def expected(archive: Path, table: Path) -> None:
    """Leave the study's numbers as a query over the archive's files gives them, role by role."""
    import duckdb

    mine, other = "t.yes_price", "t.no_price"
    parts = []
    for role, own, opposite, same in (("taker", mine, other, "="), ("maker", other, mine, "<>")):
        parts.append(f"""
            SELECT '{role}' AS role, price AS cents, count(*) AS trades,
                sum(contracts)::DOUBLE AS contracts, avg(won) AS win_rate,
                avg(won) - price / 100.0 AS excess, var_pop(won - price / 100.0) AS variance,
                sum(contracts * price / 100.0) AS volume,
                sum(contracts * (won - price / 100.0)) AS pnl
            FROM (SELECT CASE WHEN t.taker_side = 'yes' THEN {own} ELSE {opposite} END AS price,
                    CASE WHEN t.taker_side {same} m.result THEN 1.0 ELSE 0.0 END AS won,
                    t.count AS contracts
                FROM '{archive}/trades/*.parquet' t
                JOIN '{archive}/markets/*.parquet' m ON t.ticker = m.ticker
                WHERE m.status = 'finalized' AND m.result IN ('yes', 'no'))
            GROUP BY price""")  # noqa: S608 - paths of a benchmark
    duckdb.sql(" UNION ALL ".join(parts)).write_parquet(str(table))


def compare(ours: Path, theirs: Path) -> str:
    """Say whether two tables of the study agree in every cell."""
    import polars as pl

    keys = ["role", "cents"]
    one, two = (pl.read_parquet(path).sort(keys) for path in (ours, theirs))
    if one.select(keys).rows() != two.select(keys).rows():
        return "DIFFER in their rows"
    names = [name for name in one.columns if name not in keys]
    off = max(
        ((one[name] - two[name]).abs() / (1 + two[name].abs())).max()  # type: ignore[type-var]
        for name in names
    )
    return f"{one.height} rows x {len(names)} numbers agree to {off:.0e}"


def main() -> None:
    """Import, study, compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    beside = HERE.parents[2] / "shared" / "bench"
    parser.add_argument("--bench", type=Path, default=beside)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--size", choices=ROWS, default="1m")
    parser.add_argument("--becker", type=Path)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--import", dest="importing", nargs=2, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--study", nargs=2, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--expected", nargs=2, type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.importing:
        importing(*given.importing, given.memory)
    elif given.study:
        studying(*given.study, given.repeat)
    elif given.expected:
        expected(*given.expected)
    elif given.data is None:
        parser.error("name a folder for the archive with --data")
    else:
        report(given)


def report(given: argparse.Namespace) -> None:
    """Run every process and print what it took."""
    data, here = given.data, [sys.executable, __file__]
    if not (data / "becker").exists():
        make = [sys.executable, str(given.bench / "gen.py"), "--trades", given.size, "--becker"]
        subprocess.run([*make, "--out", str(data)], check=True, stdout=sys.stderr)
    with tempfile.TemporaryDirectory(dir=data) as folder:
        dataset, ours, theirs = (Path(folder) / name for name in ("dataset", "ours", "theirs"))
        command = [*here, "--import", str(data), str(dataset), "--memory", given.memory]
        for what in ("import", "import again"):
            line, seconds, peak = measured(command)
            rows = json.loads(line)["rows"]
            print(f"{what:15}{rows:>12,} rows{seconds:9.1f} s{peak:9.0f} MB peak   {line.strip()}")
        repeat = str(given.repeat)
        line, _, peak = measured([*here, "--study", str(dataset), str(ours), "--repeat", repeat])
        best = min(json.loads(line)["run_s"])
        print(f"\n{'study':15}{'warm s':>9}{'x ours':>8}{'peak MB':>9}")
        print(f"{'kalshi_bt':15}{best:9.3f}{1:8.1f}{peak:9.0f}")
        becker = ("becker", "becker-sql") if given.becker else ()
        for peer in (*becker, *PEERS):
            asked = ["--peer", peer, "--work", "w3", "--data", str(data), "--repeat", repeat]
            line, _, peak = measured(
                [sys.executable, str(given.bench / "peers.py"), *asked],
                BECKER_REPO=str(given.becker or ""),
            )
            warm = min(json.loads(line.splitlines()[-1])["run_s"])
            print(f"{peer:15}{warm:9.3f}{warm / best:8.1f}{peak:9.0f}")
        measured([*here, "--expected", str(data / "becker"), str(theirs)])
        print(compare(ours, theirs))


if __name__ == "__main__":
    main()
