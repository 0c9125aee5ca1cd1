"""The files of an account: what they say, and that no stop at any write changes them."""

import csv
import json
import os
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
import pytest
from strategies_random import Case, seeded
from told_sessions import Killed, Killer, told, traded_case

from kalshi_bt.errors import DataError
from kalshi_bt.simulator.ledger import closed_trades
from kalshi_bt.simulator.session import Session
from kalshi_bt.simulator.simulate import Simulation
from kalshi_bt.simulator.state import Ints
from live_adapter.account import Fill, Names, trade_row
from live_adapter.blotter import EQUITY, Blotter
from live_adapter.state import pretty
from live_adapter.summary import summary

NAMES = Names("one", "random")
FILES = ("book.json", "trades.csv", "equity.csv", "journal.jsonl", "state.json")


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here ends the machine, so nothing waits for its disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def noted(folder: Path, case: Case) -> Session:
    """Note every moment of a case, and go on after every kill."""
    blotter: Blotter | None = None
    for session, time, asked in told(case):
        while True:
            try:
                blotter = blotter or Blotter(folder, NAMES, case.rules.cash)
                blotter.note(session, time, asked=asked)
                break
            except Killed:
                blotter = None
    return session


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def killed_again_and_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, case: Case, seed: int
) -> None:
    noted(folder / "whole", case)
    with monkeypatch.context() as patch:
        killer = Killer(patch, seeded(seed))
        killer.odds = 0.3
        noted(folder / "killed", case)
        killer.odds = 0.0
    assert content(folder / "killed") == content(folder / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("feature", [None, "netting", "passive"])
def test_a_session_killed_again_and_again_leaves_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, feature: str | None
) -> None:
    killed_again_and_again(tmp_path, monkeypatch, traded_case(5, feature), 1)


@pytest.mark.slow
@pytest.mark.parametrize("feature", [None, "netting"])
def test_a_kill_at_each_single_write_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, feature: str | None
) -> None:
    case = traded_case(40, feature, bars=4)
    killer = Killer(monkeypatch, seeded(2))
    noted(tmp_path / "whole", case)
    whole, writes = content(tmp_path / "whole"), killer.count
    for only in range(writes):
        killer.count, killer.only = 0, only
        noted(tmp_path / str(only), case)
        killer.only = -1
        assert content(tmp_path / str(only)) == whole, only


@pytest.mark.parametrize("feature", [None, "netting", "settlement"])
def test_trades_and_equity_replay_to_the_account(tmp_path: Path, feature: str | None) -> None:
    case = traded_case(23, feature)
    session = noted(tmp_path, case)
    run = session.so_far()
    rows = table(tmp_path / "trades.csv")
    assert len(rows) == run.fills.height
    cash, start = Fraction(case.rules.cash), Fraction(case.rules.cash)
    fees = dict(zip(run.fills.select("order_id", "seq").rows(), run.fills["fee"], strict=True))
    for row, order, seq in zip(rows, run.placed["order"], run.placed["seq"], strict=True):
        fee = fees[int(order), int(seq)]
        amount = Fraction(row["price"]) * Fraction(row["contracts"]) * 10_000
        cash += (-amount if row["action"].startswith("BET") else amount) - fee
        assert abs(Fraction(row["cash_after"]) * 1_000_000 - cash) <= 50
        assert abs(Fraction(row["notional"]) * 1_000_000 - amount) <= 50
        assert row["action"].partition("_")[2] in {row["side"], ""}
    assert cash == session.cash
    book = json.loads((tmp_path / "book.json").read_text())
    last = table(tmp_path / "equity.csv")[-1]
    held = session.held
    assert set(book["positions"]) == set(held["ticker"])
    assert book["cash"] == session.cash / 1e6
    paid = sum(
        Fraction(str(p["contracts"])) * Fraction(p["avg_price"]) / 100
        for p in book["positions"].values()
    )
    realized = Fraction(session.cash) - start + round(paid * 1_000_000)
    assert abs(Fraction(book["realized_pnl"]) * 1_000_000 - realized) < 2
    assert float(last["equity"]) == pytest.approx(session.equity / 1e6, abs=1e-4)
    parts = sum(float(last[name]) for name in ("realized_pnl", "unrealized_pnl"))
    assert parts == pytest.approx(float(last["equity"]) - case.rules.cash / 1e6, abs=3e-4)
    reports_are_what_a_plain_count_of_the_fills_says(tmp_path, run)


def test_a_note_looks_at_what_changed_and_not_at_all_that_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, whole = [], Simulation.orders_of

    def some(run: Simulation, rows: Ints) -> pl.DataFrame:
        looked.append(len(rows))
        return whole(run, rows)

    monkeypatch.setattr(Simulation, "orders_of", some)
    session = noted(tmp_path, traded_case(5))
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert sum(looked) < 2 * len(lines)
    monkeypatch.undo()
    orders = session.so_far().orders.height
    assert orders > 20
    assert len(table(tmp_path / "equity.csv")) * orders > 10 * len(lines)  # it would have been seen


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"positions": {}, "open_orders": [], "deep": {"a": [{}, [], {"b": [1]}]}},
        {"cash": 1e16, "small": 1e-07, "zero": -0.0, "whole": 10**20, "half": 0.5, "no": None},
        {"é": '\u2028 "quoted" \\ / \n', "yes": True},
    ],
)
def test_files_of_a_state_are_as_json_would_write_them(told: dict[str, Any]) -> None:
    assert pretty(told) == (json.dumps(told, indent=1) + "\n").encode()


def test_a_day_begins_with_the_same_equity_after_a_restart(tmp_path: Path) -> None:
    """Marks of parts of a contract have more decimals than the file."""
    time, session = next((t, s) for s, t, _ in told(traded_case(23)))
    account = mock.Mock(cash=session.cash, held=session.held, equity=1_000_000_049)
    account.so_far = session.so_far
    blotter, tomorrow = Blotter(tmp_path, NAMES, 1_000_000_000), time + timedelta(days=1)
    blotter.note(account, time)
    again = Blotter(tmp_path, NAMES, 1_000_000_000)
    assert blotter.equity_before(tomorrow) == again.equity_before(tomorrow) == 1_000_000_000
    assert blotter.equity_before(time) == again.equity_before(time) == 1_000_000_000


@pytest.mark.parametrize("row", ["noon,1,1,1,1,0", "2026-06-01T12:00:00+00:00,1,1,1,much,0"])
def test_a_line_of_equity_without_time_or_equity_is_damaged(tmp_path: Path, row: str) -> None:
    (tmp_path / "equity.csv").write_text(f"{EQUITY}\n{row}\n")
    with pytest.raises(DataError, match=r"equity.csv has no equity in .*: damaged"):
        Blotter(tmp_path, NAMES, 1_000_000)


@pytest.mark.slow
def test_the_state_is_what_a_plain_count_says(tmp_path: Path) -> None:
    case = traded_case(61)
    blotter = Blotter(tmp_path, NAMES, case.rules.cash)
    for session, time, asked in told(case):
        blotter.note(session, time, asked=asked)
        found = json.loads((tmp_path / "state.json").read_text())
        orders = session.so_far().orders.rows(named=True)
        names = [NAMES.order(o["ticker"], o["side"], o["time"]) for o in orders]
        assert found["day"] == f"{time:%Y-%m-%d}"
        waiting = [
            n for n, o in zip(names, orders, strict=True)
            if o["status"] == "rejected" and o["reason"] is None
        ]  # fmt: skip
        assert [row["client_order_id"] for row in found["open_orders"]] == waiting
        assert found["seen_client_order_ids"] == [
            n for n, o in zip(names, orders, strict=True)
            if n in waiting or o["time"].date() == time.date()
        ]  # fmt: skip
        exposure = session.held["cost"].sum() / 1e6 + sum(
            r["notional"] for r in found["open_orders"]
        )
        assert found["open_exposure_notional"] == pytest.approx(exposure)
    assert found["daily_realized_pnl"] == pytest.approx(realized(session, found["day"]) / 1e6)


def reports_are_what_a_plain_count_of_the_fills_says(folder: Path, run: Simulation) -> None:
    lines = map(json.loads, (folder / "journal.jsonl").read_text().splitlines())
    told = [line["payload"]["report"] for line in lines if line["event"] == "order_report"]
    last = {report["order_id"]: report for report in told}
    assert sorted(last) == run.orders["order_id"].to_list()
    for order in run.orders.iter_rows(named=True):
        paid = size = fee = 0
        for fill in run.fills.filter(pl.col("order_id") == order["order_id"]).iter_rows(named=True):
            if fill["leg"] == "entry" or fill["reason"] == "netting":
                own = fill["price"] if order["side"] > 0 else 10_000 - fill["price"]
                size += abs(fill["quantity"])
                paid += abs(fill["quantity"]) * own
                fee += fill["fee"]
        found = last[order["order_id"]]
        assert (found["filled_qty"], found["fee_paid"]) == (size / 100, fee / 1e6)
        assert found["avg_fill_price"] == (paid / size / 10_000 if size else None)


def realized(session: Session, day: str) -> int:
    """What the exits of a day brought beyond their share of the cost, less all its fees."""
    run, total = session.so_far(), 0
    held: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for fill in run.fills.sort("time", "order_id", "seq").iter_rows(named=True):
        entry = fill["leg"] == "entry"
        side = 1 if (fill["quantity"] > 0) == entry else -1
        price = fill["price"] if side > 0 else 10_000 - fill["price"]
        have, amount = held[fill["trade_id"]], abs(fill["quantity"])
        made = -fill["fee"]
        if entry:
            have[0], have[1] = have[0] + amount, have[1] + amount * price
        else:
            made += amount * price - have[1] * amount // have[0]
            have[1] -= have[1] * amount // have[0]
            have[0] -= amount
        if f"{fill['time']:%Y-%m-%d}" == day:
            total += made
    return total


@pytest.mark.parametrize("seed", [3, 100])
def test_the_summary_is_what_a_slow_count_of_the_session_says(tmp_path: Path, seed: int) -> None:
    case = traded_case(seed, "netting" if seed > 50 else None)
    session = noted(tmp_path, case)
    run = session.so_far()
    found = summary(tmp_path)
    assert found["decision_latency_ms"] is None  # nothing was listened to
    assert found["feed"] == {"up": 0, "down": 0, "hole": 0}
    twin: dict[str, Any] = defaultdict(Fraction)
    fees = traded = Fraction(0)
    for fill in run.fills.iter_rows(named=True):
        buys = fill["leg"] == "entry" or fill["reason"] == "netting"
        side = run.orders["side"][fill["order_id"]]
        price = fill["price"] if side > 0 else 10_000 - fill["price"]
        traded += abs(fill["quantity"]) * price if buys else 0
    closed = closed_trades(run.tape, run)
    ended = set(closed["trade_id"])
    for fill in run.fills.iter_rows(named=True):
        buys = fill["leg"] == "entry" or fill["reason"] == "netting"
        fees += fill["fee"] if buys or fill["trade_id"] in ended else 0
    words = {"filled": "filled", "partial": "partial", "rejected": "rejected"}
    for order in run.orders.iter_rows(named=True):
        pending = order["status"] == "rejected" and order["reason"] is None
        word = words.get(order["status"], "canceled")
        if pending:
            word = "partial" if order["filled"] else "new"
        twin[f"{word}_orders"] += 1
    assert found["orders_reported"] == run.orders.height
    assert sum(found["rejected"].values()) == twin["rejected_orders"]
    for word in ("filled", "partial", "canceled", "rejected"):
        assert found[f"{word}_orders"] == twin[f"{word}_orders"]
    assert found["traded_notional"] == pytest.approx(float(traded) / 1e6, abs=1e-4)
    assert found["fees_paid"] == pytest.approx(float(fees) / 1e6, abs=1e-6)
    assert found["realized_pnl"] == pytest.approx(closed["pnl"].sum() / 1e6, abs=1e-6)
    for name in ("orders_reported", "filled_orders", "traded_notional", "fees_paid"):
        days = sum(day[name] for day in found["by_day"].values())
        assert days == pytest.approx(found[name], abs=1e-5)


@pytest.mark.parametrize(
    ("quantity", "price", "contracts", "cents"),
    [
        (123_456_789, 2_705, "1234567.89", "27.05"),
        (100_000_000, 100, "1000000", "1"),
        (50, 9_990, "0.5", "99.9"),
        (1, 1, "0.01", "0.01"),
        (0, 0, "0", "0"),
    ],
)
def test_contracts_and_cents_are_written_in_full(
    quantity: int, price: int, contracts: str, cents: str
) -> None:
    row = {"time": datetime(2026, 6, 1, tzinfo=UTC), "ticker": "S-E-A", "reason": "entry"}
    row |= {"quantity": quantity, "leg": "entry", "kind": "trade"}
    written = trade_row(Fill(row, 1, price, 0, 0, 0), NAMES, row["time"], 1).split(",")
    assert written[4:6] == [cents, contracts]
    assert written[6] == f"{Decimal(quantity) * price / 10**6:.4f}"
