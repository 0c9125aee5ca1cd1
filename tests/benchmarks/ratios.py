"""Print how the band workload compares with other engines, in one run on one machine.

    python tests/benchmarks/ratios.py [--bench DIR] [--data DIR] [--vectorbt PYTHON]

`--bench` is a folder with `gen.py` and `peers.py` (default ../shared/bench beside the repository),
`--vectorbt` an interpreter with vectorbt (the `bench` extra). Each peer is a process of its own;
the fastest warm run counts, after one that compiles. Data are generated where `--data` has none.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent


def ours(data: Path, repeat: int) -> dict[str, object]:
    """Return times and memory of signal, simulation and closed trades on a panel in memory."""
    from workload import load, run

    work = load(data)
    times = []
    for _ in range(repeat + 1):
        started = time.perf_counter()
        _, trades = run(work)
        times.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    pnl = trades["pnl"].sum() / 10_000
    return {"peer": "kalshi_bt", "run_s": times, "rss_mb": peak, "n": trades.height, "pnl": pnl}


def prepare(data: Path, panel: Path) -> None:
    """Lay the data out as a panel, in a process of its own: making one is not what is measured."""
    code = "import sys; from pathlib import Path; import workload as w; "
    code += "w.save(w.workload(*w.read(Path(sys.argv[1]))), Path(sys.argv[2]))"
    subprocess.run([sys.executable, "-c", code, str(data), str(panel)], check=True, cwd=HERE)


def measured(command: list[str]) -> dict[str, object]:
    """Return the JSON line a process prints last."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    line: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return line


def main() -> None:
    """Run every peer and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    beside = HERE.parents[2] / "shared" / "bench"
    parser.add_argument("--bench", type=Path, default=beside)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--vectorbt", default=sys.executable)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--rows", action="store_true", help="the slow peer that iterates rows too")
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    sys.path.insert(0, str(HERE))
    if given.ours:
        print(json.dumps(ours(given.data, given.repeat)))
        return
    with tempfile.TemporaryDirectory() as folder:
        data = given.data or Path(folder)
        if not (data / "candles.parquet").exists():
            make = [sys.executable, str(given.bench / "gen.py"), "--size", "medium"]
            subprocess.run([*make, "--out", str(data)], check=True, stdout=sys.stderr)
        panel = Path(folder) / "panel"
        panel.mkdir()
        prepare(data, panel)
        repeat = str(given.repeat)
        peers = str(given.bench / "peers.py")
        asked = ["--work", "w1", "--data", str(data), "--repeat"]
        rows = [
            measured(
                [sys.executable, __file__, "--ours", "--data", str(panel), "--repeat", repeat]
            ),
            measured([given.vectorbt, peers, "--peer", "vectorbt", *asked, repeat]),
            measured([sys.executable, peers, "--peer", "pyloop", *asked, "1"]),
            *(
                [measured([sys.executable, peers, "--peer", "iterrows", *asked, "1"])]
                if given.rows
                else []
            ),
        ]
    best = min(rows[0]["run_s"])  # type: ignore[call-overload]
    print(f"{'peer':12}{'warm s':>9}{'x ours':>8}{'peak MB':>9}{'trades':>8}{'P&L cents':>13}")
    for row in rows:
        warm = min(row["run_s"])  # type: ignore[call-overload]
        print(
            f"{row['peer']:12}{warm:9.3f}{warm / best:8.1f}{row['rss_mb']:9.0f}"
            f"{row['n']:8}{row['pnl']:13.0f}"
        )


if __name__ == "__main__":
    main()
