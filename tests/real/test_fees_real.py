"""Fees against what is recorded and published: an account's file, and the exchange's own examples.

What the fills of one account say about the rules stands in `test_real_fees.py`; here the command
for users meets the same file. The fills of an order follow each other in time and share what
rounding took; fills of different orders share nothing. The examples are read from their file, every
group of it.
"""

import csv
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt.fee_statement import PRECISIONS, explain
from kalshi_bt.fees import settlement_fee, taker_fee
from kalshi_bt.reconcile import reconcile
from kalshi_bt.simulator.rules import EXCHANGE, ceil_to, cent_fee, exact_fee, fill_fee

pytestmark = pytest.mark.real

TAKER, MAKER, COMBO = 70_000, 17_500, 35_000


@pytest.fixture(scope="module")
def published(real_data: Path) -> Path:
    folder = real_data.parent / "kalshi"
    if not folder.is_dir():
        pytest.skip(f"no published facts in {folder}")
    return folder


def micro(text: str) -> int:
    value = Decimal(text) * 1_000_000
    assert value == int(value)
    return int(value)


# --- an account -----------------------------------------------------------------------------------


def test_every_fee_of_the_account_is_reconciled(real_data: Path) -> None:
    found = reconcile(real_data / "crypto15m-2026" / "fills_with_fees.parquet")
    assert found.json() == {"rows": 1_679, "equal": 1_679, "differences": []}
    assert (found.exit_code, found.precision) == (0, "auto")
    assert reconcile(
        real_data / "crypto15m-2026" / "fills_with_fees.parquet", precision="0.0001"
    ).json() == {"rows": 1_679, "equal": 1_679, "differences": []}


def test_order_and_kind_of_the_file_do_not_matter(real_data: Path, tmp_path: Path) -> None:
    fills = pl.read_parquet(real_data / "crypto15m-2026" / "fills_with_fees.parquet")
    fills.sample(fraction=1, shuffle=True, seed=4).write_csv(tmp_path / "fills.csv")
    rows = fills.drop("book_side").reverse().to_dicts()
    (tmp_path / "fills.json").write_text(json.dumps({"fills": rows}), encoding="utf-8")
    for name in ("fills.csv", "fills.json"):
        assert reconcile(tmp_path / name).equal == 1_679


def test_orders_share_what_rounding_took_only_from_a_cent_on(
    real_data: Path, tmp_path: Path
) -> None:
    """No order of this account gathered a cent: each of its fills was charged as if alone.

    By the centicent of the balance, which is handed back since September 2026, and by the cent of a
    cleared account's balance the same fills would not have been.
    """
    path = real_data / "crypto15m-2026" / "fills_with_fees.parquet"
    fills, alone, later = pl.read_parquet(path), tmp_path / "alone.parquet", tmp_path / "l.parquet"
    assert fills["order_id"].n_unique() == 1_359
    fills.with_columns(order_id="fill_id").write_parquet(alone)
    assert reconcile(alone).equal == 1_679
    september = pl.col("created_time").str.replace("2026-07", "2026-09")
    fills.with_columns(september).write_parquet(later)
    assert reconcile(later, precision="0.0001").equal < 1_679
    by_order, by_fill = (
        {d["fill_id"]: d["expected"] for d in reconcile(file, precision="0.01").differences}
        for file in (path, alone)
    )
    assert sum(by_order.get(fill) != fee for fill, fee in by_fill.items()) > 20


def test_one_digit_of_one_fee_is_noticed(real_data: Path, tmp_path: Path) -> None:
    fills = pl.read_parquet(real_data / "crypto15m-2026" / "fills_with_fees.parquet")
    wrong = pl.when(pl.int_range(pl.len()) == 77).then(pl.lit("0.999999")).otherwise("fee_cost")
    fills.with_columns(fee_cost=wrong).write_parquet(tmp_path / "wrong.parquet")
    found = reconcile(tmp_path / "wrong.parquet")
    assert (found.equal, found.exit_code) == (1_678, 1)
    assert [d["row"] for d in found.differences] == [77]


# --- the exchange's examples ----------------------------------------------------------------------

Group = Mapping[str, Any]


def quanta(group: Group) -> tuple[int, int]:
    """The steps of a trade fee and of the balance."""
    return (100 if group["regime"] == "centicent" else 1), PRECISIONS[group["balance_precision"]]


def rate_for(trade_fee: int, quantity: int, price: int) -> int:
    """A rate whose fee, rounded up, is the one given: some examples state it and not a rate."""
    return trade_fee * 10**10 // (quantity * price * (10_000 - price))


def cleared_fill(group: Group) -> None:
    (row,) = group["expected"]
    fee, gathered, _ = fill_fee(EXCHANGE, *quanta(group), TAKER, 100, 550, -55_000, 0, 0)
    assert (fee, gathered) == (micro(row["trade_plus_rounding"]), micro(row["rounding_fee"]))
    assert fee - gathered == micro(row["trade_fee"])
    assert -55_000 - fee == micro(row["aligned_change"])


def accumulator(group: Group) -> None:
    """Any fill will do whose trade fee leaves 0.004 and allows for the rebate: 0.016 does."""
    paid = 0
    for row in group["expected"]:
        fee, after, _ = fill_fee(EXCHANGE, *quanta(group), 64_000, 100, 5_000, -500_000, paid, 0)
        assert paid + 4_000 == micro(row["before_rebate"])
        assert 20_000 - fee == micro(row["rebate"])
        assert after == micro(row["carried_forward"])
        paid = after


def first_edition(group: Group) -> None:
    given = group["inputs"]
    price, quantity = int(micro(given["price"]) / 100), micro(given["contracts_per_fill"]) // 10_000
    rate = rate_for(micro(given["trade_fee_per_fill"]), quantity, price)
    paid = 0
    for row in group["expected"]:
        fee, after, _ = fill_fee(
            EXCHANGE, *quanta(group), rate, quantity, price, -quantity * price, paid, 0
        )
        assert ceil_to(*exact_fee(rate, quantity, price), 100) == micro(row["trade_fee"])
        assert paid + micro(row["rounding_fee"]) == micro(row["accumulator_shown"])
        assert after == micro(row["accumulator_shown"]) - micro(row["rebate"])
        assert fee == micro(row["net_fee"])
        moved = -quantity * price - fee - micro(row["rebate"])
        assert moved == micro(row["balance_change"])  # the column leaves the rebate out
        paid = after


def settlement(group: Group) -> None:
    given, row = group["inputs"], group["expected"]
    price, quantity = micro(given["settlement_value"]) // 100, micro(given["contracts"]) // 10_000
    step = 10_000 if group["regime"] == "settlement_cent" else 100
    assert price * quantity == micro(row["raw_payout"])
    assert settlement_fee(price, quantity, step) == micro(row["settlement_fee"])
    assert price * quantity - settlement_fee(price, quantity, step) == micro(row["credited"])


def measured(group: Group) -> None:
    assert len(group["expected"]) == 5
    for row in group["expected"]:
        date = row["date"] if len(row["date"]) == 10 else f"{row['date']}-01"
        found = explain(
            row["price"], row["contracts"], row["liquidity"],
            date=date, multiplier=row["multiplier"], precision=group["balance_precision"],
        )  # fmt: skip
        assert found.json()["exact"] == row["model_fee"]
        assert found.fee == micro(row["observed_total_fee"])


def single_fills(group: Group) -> None:
    kinds = {"taker": TAKER, "maker_quadratic_with_maker_fees": MAKER, "maker_combo": COMBO}
    for row in group["expected"]:
        price, quantity = micro(row["price"]) // 100, micro(row["contracts"]) // 10_000
        for kind, rate in kinds.items():
            exact, rest = exact_fee(rate, quantity, price)
            assert Decimal(row[kind]["model_fee"]) * 10**6 == exact + Decimal(rest) / 10**10
            assert ceil_to(exact, rest, 1) == micro(row[kind]["trade_fee_6dp"])
            assert cent_fee(rate, quantity, price) == micro(row[kind]["legacy_cent_ceiling"])
            for name, precision in (("direct", 100), ("non_direct", 10_000)):
                spent = -quantity * price
                fee, *_ = fill_fee(EXCHANGE, 1, precision, rate, quantity, price, spent, 0, 0)
                assert fee == micro(row[kind][f"net_fee_{name}_buy"])


def several_fills(group: Group) -> None:
    given = group["inputs"]
    price, quantity = micro(given["price"]) // 100, micro(given["contracts_per_fill"]) // 10_000
    paid = 0
    for row in group["expected"]:
        fee, after, _ = fill_fee(
            EXCHANGE, *quanta(group), TAKER, quantity, price, -quantity * price, paid, 0
        )
        assert paid + micro(row["rounding_fee"]) == micro(row["accumulator_before_rebate"])
        assert (fee, after) == (micro(row["net_fee"]), micro(row["accumulator_after"]))
        assert fee == micro(row["trade_fee"]) + micro(row["rounding_fee"]) - micro(row["rebate"])
        moved = -quantity * price - fee - micro(row["rebate"])
        assert moved == micro(row["balance_change_before_rebate"])
        paid = after


CHECKS: Mapping[str, Callable[[Group], None]] = {
    "A1": cleared_fill,
    "A2": accumulator,
    "B1": first_edition,
    "B2": first_edition,
    "B3": first_edition,
    "C1": settlement,
    "F1": settlement,
    "E1": measured,
    "X1": single_fills,
    "X2": several_fills,
}


def test_every_group_of_examples_is_reproduced(published: Path) -> None:
    path = published / "fee_rounding_vectors.json"
    groups = json.loads(path.read_text(encoding="utf-8"))["groups"]
    seen = set()
    for group in groups:
        name = group["id"][:2]
        seen.add(name)
        if name != "D1":  # the table, below
            CHECKS[name](group)
    assert seen == {*CHECKS, "D1"}


def test_every_row_of_the_fee_table_is_reproduced(published: Path) -> None:
    with (published / "fee_schedule_table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 21
    for row in rows:
        price = micro(row["price"]) // 100
        assert micro(row["price_100_contracts"]) == 10_000 * price
        for count in (1, 100):
            fee = micro(row[f"fee_{count}_contract{'s' if count > 1 else ''}"])
            assert explain(row["price"], count, "taker", date="2026-02-05").fee == fee
            assert cent_fee(TAKER, count * 100, price) == fee
            assert taker_fee(np.array([price]), np.array([count * 100]), TAKER).tolist() == [fee]
