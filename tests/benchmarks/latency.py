"""How long a decision takes after a bar's close: socket, books, bars, signal, sizing, paper order.

``python tests/benchmarks/latency.py [--strategy bollinger] [--markets 500] [--rate 5000]
[--seconds 60] [--bar 5s] [--fills cross] [--set KEY=VALUE] [--spot]``

The local exchange and the trader are the commands, each a process; latencies are those of the
trader's summary. With `--spot` there is no socket: moments with the prices of an underlying, which
no exchange tells, go straight to a session in its folder. Where other programs want the processor,
too, run it as ``chrt -f 1 python …``: what a process waits for them is not its own.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kalshi_bt import schema
from kalshi_bt.config import layered
from kalshi_bt.plan import Plan, plan
from live_adapter.account import Names
from live_adapter.desk import Desk
from live_adapter.exchange.walk import BEGIN, SERIES, Walk
from live_adapter.moments import BARS, Moment
from live_adapter.safety import Limits

TRADES_OFTEN = {
    "bollinger": ["period=5", "width=0.5", "min_rr=0.1", "min_time_to_close=0"],
    "mean_reversion": ["on=price"],
}
CORES = ("0", "1")  # of the exchange and of the trader, where there are two


def given(sets: list[str]) -> list[str]:
    return [word for pair in sets for word in ("--set", pair)]


def pinned(place: int, *command: str) -> list[str]:
    taskset = ["taskset", "-c", CORES[place]] if (os.cpu_count() or 1) > 1 else []
    return [*taskset, sys.executable, "-m", *command]


def sockets(
    strategy: str, markets: int, rate: int, seconds: int, bar: str, fills: str, sets: list[str]
) -> None:
    """Trade a made-up load over real sockets, and print what the summary and the log say."""
    load = ["--synthetic", f"markets={markets},rate={rate}", "--speed", "1"]
    with tempfile.TemporaryDirectory() as folder:
        pem = Path(folder, "key.pem")
        key = Ed25519PrivateKey.generate()
        pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        environ = os.environ | {"KALSHI_API_KEY_ID": "a", "KALSHI_PRIVATE_KEY_FILE": str(pem)}
        exchange = pinned(0, "live_adapter.sandbox", *load)
        with subprocess.Popen(exchange, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as there:
            assert there.stdout is not None
            at = json.loads(there.stdout.readline())
            trader = pinned(1, "live_adapter.run", "--strategy", strategy, "--series", SERIES)
            trader += ["--fills", fills]
            trader += ["--bar", bar, "--json", "--cash", "1000000", "--for", f"{seconds}s"]
            trader += ["--base-url", at["rest"], "--ws-url", at["ws"], "--out", f"{folder}/session"]
            sets = ["live.clock=exchange", "live.max_orders_minute=none", *sets]
            here = subprocess.Popen([*trader, *given(sets)], stdout=subprocess.PIPE, env=environ)
            assert here.stdout is not None
            said = here.stdout.read()
            _, _, used = os.wait4(here.pid, 0)
            there.terminate()
            told = json.loads(said)
        lines = Path(folder, "session", "log.jsonl").read_text().splitlines()
    counts = [line for line in map(json.loads, lines) if line["event"] == "counts"]
    cpu = used.ru_utime + used.ru_stime
    came: dict[str, int] = {}
    for line in counts:
        for name, count in line["new"].items():
            came[name] = came.get(name, 0) + count
    print(f"{strategy}, {markets} markets, bars of {bar}, fills by {fills}")
    for name in ("decision_latency_ms", "decision_work_ms", "orders_reported", "feed"):
        print(f"  {name} {told[name]}")
    print(f"  {cpu:.1f} s of CPU in {seconds} s, start and end included; {came}")
    print(f"  waiting at the end {counts[-1]['depth']}, at most {counts[-1]['peak']}")


class Made:
    """Invented bars and prices of an underlying."""

    def __init__(self, markets: int, spot: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            store = Walk(markets=markets).store(Path(folder, "load"))
            self.listed = store.read("markets").sort("ticker")
            self.fees = store.read("series")
        strikes = np.linspace(90, 110, markets)
        ends = {"close_time": BEGIN + timedelta(hours=6), "strike_type": "greater"}
        self.listed = self.listed.with_columns(
            pl.lit(value).alias(name) for name, value in ends.items()
        ).with_columns(floor_strike=pl.Series(strikes))
        self.listed = schema.MARKETS.filled(self.listed)
        self._rng = np.random.Generator(np.random.Philox(1))
        self._mid = self._rng.integers(20, 80, markets) * 100
        self._spot, self._price = spot, 100.0

    def bars(self, time_: object) -> pl.DataFrame:
        step = self._rng.integers(-3, 4, len(self._mid)) * 100
        self._mid = np.clip(self._mid + step, 500, 9_400)
        sides = {"bid": self._mid - 100, "ask": self._mid + 100, "price": self._mid}
        reach = {"open": 0, "high": 200, "low": -200, "close": 0}
        prices = {f"{s}_{part}": at + by for s, at in sides.items() for part, by in reach.items()}
        count = len(self._mid)
        sizes = {n: np.full(count, 50_000) for n in ("volume", "bid_size", "ask_size")}
        row = {"ticker": self.listed["ticker"], "time": [time_] * count, **prices, **sizes}
        row["quote_source"] = ["book"] * count
        columns = {name: row.get(name, [None] * count) for name in BARS}
        return pl.DataFrame(columns, schema=dict(BARS))

    def references(self, time_: object) -> pl.DataFrame:
        self._price *= float(np.exp(self._rng.normal(0, 5e-4)))
        named = {"source": "synthetic", "symbol": self._spot, "field": "close"}
        return schema.REFERENCES.filled(
            pl.DataFrame([{**named, "time": time_, "value": self._price}])
        )


def planned(strategy: str, sets: list[str], spot: str, bar: str) -> Plan:
    if strategy == "mean_reversion":
        sets = [*sets, "source=synthetic", f"symbols={SERIES}={spot}"]
    given_ = {"strategy": strategy, "series": SERIES, "bar": bar, "cash": "1000000"}
    return plan(layered(None, {}, given_, sets))


def straight(strategy: str, markets: int, closes: int, bar: str, sets: list[str]) -> None:
    """Feed a session moments with a spot, and print what each close took."""
    made, what = Made(markets, "SYNBTC"), planned(strategy, sets, "SYNBTC", bar)
    assert what.period is not None
    names, wall, cpu = Names("bench", what.name), [], []
    limits = Limits(max_orders_minute=None)
    with (
        tempfile.TemporaryDirectory() as folder,
        Desk(
            *(Path(folder), what, what.period, names, "bench"),
            limits=limits,
            sources=("synthetic",),
        ) as desk,
    ):
        desk.take(Moment(BEGIN, listed=made.listed, series=made.fees))
        for number in range(1, closes + 1):
            time_ = BEGIN + timedelta(seconds=number * what.period)
            moment = Moment(time_, bars=made.bars(time_), references=made.references(time_))
            begun, used = time.perf_counter(), time.process_time()
            desk.take(moment)
            wall.append(1_000 * (time.perf_counter() - begun))
            cpu.append(1_000 * (time.process_time() - used))
        orders = desk.blotter.ordered
    print(f"{strategy} with a spot, {markets} markets, {closes} closes of {bar}, {orders} orders")
    for name, took in (("wall", wall), ("CPU", cpu)):
        later = np.percentile(took[1:], [50, 99, 100])
        words = ", ".join(
            f"{q} {ms:.1f}" for q, ms in zip(("p50", "p99", "max"), later, strict=True)
        )
        print(f"  {name}: first {took[0]:.0f} ms, then {words} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strategy", default="bollinger")
    parser.add_argument("--markets", type=int, default=500)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--bar", help="5s; with a spot 60s")
    parser.add_argument("--fills", default="cross")
    parser.add_argument("--set", action="append", dest="sets")
    parser.add_argument("--spot", action="store_true")
    parser.add_argument("--closes", type=int, default=240)
    chosen = parser.parse_args()
    mine = chosen.sets or ([] if chosen.spot else TRADES_OFTEN.get(chosen.strategy, []))
    if chosen.spot:
        bar = chosen.bar or "60s"
        straight(chosen.strategy, chosen.markets, chosen.closes, bar, mine)
    else:
        bar = chosen.bar or "5s"
        load = chosen.markets, chosen.rate, chosen.seconds
        sockets(chosen.strategy, *load, bar, chosen.fills, mine)
