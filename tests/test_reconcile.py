"""An account's fees computed again: files of every kind and age, wrong rows, rules by date."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.fee_schedule import Schedule
from kalshi_bt.reconcile import Reconciliation, reconcile

Row = dict[str, Any]
Write = Callable[[Sequence[Row]], Path]


def fill(**values: Any) -> Row:
    """A taker's purchase of one contract in July 2026: 0.07 x 0.427 x 0.573 = 0.0171 and a bit."""
    return {
        "fill_id": "f1",
        "order_id": "o1",
        "ticker": "KXBTC15M-26JUL091015-15",
        "created_time": "2026-07-09T14:04:13.68878Z",
        "is_taker": True,
        "side": "yes",
        "outcome_side": "yes",
        "action": "buy",
        "count_fp": "1.00",
        "yes_price_dollars": "0.4270",
        "no_price_dollars": "0.5730",
        "fee_cost": "0.0172",
    } | values


# Two fills of one order, the newer first, as the exchange lists them: 0.0175 each after rounding.
PAIR = [
    fill(fill_id="f2", created_time="2026-07-09T14:05:00Z", yes_price_dollars="0.5000",
         no_price_dollars="0.5000", fee_cost="0.017500"),
    fill(),
]  # fmt: skip


@pytest.fixture
def saved(tmp_path: Path) -> Write:
    def save(rows: Sequence[Row]) -> Path:
        path = tmp_path / "fills.json"
        path.write_text(json.dumps(list(rows)), encoding="utf-8")
        return path

    return save


def in_json(rows: Sequence[Row], folder: Path) -> Path:
    path = folder / "fills.json"
    path.write_text(json.dumps({"fills": rows, "cursor": ""}), encoding="utf-8")
    return path


def in_csv(rows: Sequence[Row], folder: Path) -> Path:
    pl.DataFrame(rows).write_csv(folder / "fills.csv")
    return folder / "fills.csv"


def in_parquet(rows: Sequence[Row], folder: Path) -> Path:
    pl.DataFrame(rows).write_parquet(folder / "fills.PARQUET")
    return folder / "fills.PARQUET"


def in_typed_parquet(rows: Sequence[Row], folder: Path) -> Path:
    """As somebody keeps it who has parsed it: times and numbers, one of the prices left out."""
    frame = pl.DataFrame(rows).drop("no_price_dollars")
    frame.with_columns(
        pl.col("created_time").str.to_datetime(time_unit="us", time_zone="UTC"),
        pl.col("count_fp").cast(pl.Float64),
        pl.col("yes_price_dollars").cast(pl.Float64),
        pl.col("fee_cost").cast(pl.Decimal(18, 6)),
    ).write_parquet(folder / "fills.parquet")
    return folder / "fills.parquet"


@pytest.mark.parametrize("write", [in_json, in_csv, in_parquet, in_typed_parquet])
def test_files_of_every_kind_are_read(write: Any, tmp_path: Path) -> None:
    found = reconcile(write(PAIR, tmp_path))
    assert found.json() == {"rows": 2, "equal": 2, "differences": []}
    assert found.exit_code == 0
    assert found.text().startswith("2 of 2 fees are equal to the last digit\n")
    assert json.loads(json.dumps(found.json())) == found.json()


def test_a_wrong_fee_is_a_difference_and_fails(saved: Write) -> None:
    found = reconcile(saved([PAIR[0], fill(fee_cost="0.0173")]))
    assert (found.rows, found.equal, found.exit_code) == (2, 1, 1)
    (difference,) = found.json()["differences"]
    assert difference == {
        "row": 1,
        "fill_id": "f1",
        "order_id": "o1",
        "ticker": "KXBTC15M-26JUL091015-15",
        "time": "2026-07-09T14:04:13.688780Z",
        "role": "taker",
        "price": "0.4270",
        "count": "1.00",
        "charged": "0.0173",
        "expected": "0.0172",
        "reason": "charged 0.0173, expected 0.0172 by quadratic x 1 (built-in table); "
        "--data DIR looks up the terms of a dataset",
    }
    assert "row 1 2026-07-09T14:04:13.688780Z KXBTC15M-26JUL091015-15 o1: charged" in found.text()


def test_a_fee_off_by_the_last_digit_is_a_difference(saved: Write) -> None:
    assert reconcile(saved([fill(fee_cost="0.017201")])).equal == 0


# Three fills of 0.30 at 0.50 at balances of a cent: the third gets a cent back (September 2026).
THIRDS = [
    fill(fill_id=f"f{i}", count_fp="0.30", yes_price_dollars="0.5000", no_price_dollars="0.5000",
         created_time=f"2026-09-13T14:04:0{i}Z", fee_cost=fee)
    for i, fee in ((3, "0.000000"), (2, "0.010000"), (1, "0.010000"))
]  # fmt: skip


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_fills_of_an_order_are_taken_in_order_of_time(saved: Write, order: tuple[int, ...]) -> None:
    found = reconcile(saved([THIRDS[i] for i in order]))
    assert (found.equal, found.precision) == (3, "0.01")


def test_fills_of_one_moment_are_taken_as_the_file_runs(saved: Write) -> None:
    moment = "2026-09-13T14:04:02Z"
    newest_first = [*(row | {"created_time": moment} for row in THIRDS[:2]), THIRDS[2]]
    assert reconcile(saved(newest_first)).equal == 3
    assert reconcile(saved(newest_first[::-1])).equal == 3


def test_each_order_gathers_for_itself(saved: Write) -> None:
    apart = [row | {"order_id": row["fill_id"], "fee_cost": "0.01"} for row in THIRDS]
    assert reconcile(saved(apart)).equal == 3
    assert reconcile(saved([row | {"fee_cost": "0.01"} for row in THIRDS])).equal == 2


def test_the_step_of_the_balance_is_found_or_given(saved: Write) -> None:
    assert reconcile(saved(PAIR)).precision == "auto"
    assert "balance step that of each date\n" in reconcile(saved(PAIR)).text()
    cleared = saved(THIRDS)
    assert reconcile(cleared, precision="0.01").equal == 3
    assert reconcile(cleared, precision="0.0001").equal == 0
    assert "balance step 0.01 dollars" in reconcile(cleared).text()
    free = saved([fill(is_taker=False, fee_cost="0")])
    assert reconcile(free).precision == "auto"  # all explain it
    with pytest.raises(UsageError, match="unknown precision '1'"):
        reconcile(cleared, precision="1")


def test_the_step_of_the_balance_is_that_of_each_date(saved: Write) -> None:
    """0.25 and 0.0132 are 0.2632: 0.27 in cents before 2026-05-28, 0.02 of it the fee."""
    one = {"yes_price_dollars": "0.25", "no_price_dollars": "0.75"}
    rows = [
        fill(fill_id=fee, order_id=fee, created_time=time, fee_cost=fee, **one)
        for time, fee in (("2026-05-27T23:59:59Z", "0.02"), ("2026-05-28T00:00:00Z", "0.0132"))
    ]
    found = reconcile(saved(rows))
    assert (found.equal, found.precision) == (2, "auto")
    assert [reconcile(saved(rows), precision=p).equal for p in ("auto", "0.0001", "0.01")] == [
        2, 1, 1,
    ]  # fmt: skip
    # An account in centicents since March is recognised by its fees.
    early = rows[0] | {"fee_cost": "0.0132"}
    assert reconcile(saved([early, rows[1]])).precision == "0.0001"


def test_older_fills_have_cents_whole_contracts_and_fees_by_the_cent_of_an_order(
    saved: Write,
) -> None:
    """0.07 x 3 x 0.29 x 0.71 = 0.0432 and 0.0288 more: 0.05 first, then 0.0721 is 0.08."""
    old = {
        "trade_id": "t1", "order_id": "o", "ticker": "KXBTCD-25NOV0217-T110000",
        "created_time": "2025-11-02T10:00:00Z", "is_taker": True, "side": "no", "action": "buy",
        "count": 3, "yes_price": 29, "no_price": 71, "fee_cost": "0.05",
    }  # fmt: skip
    later = old | {"trade_id": "t2", "count": 2, "fee_cost": "0.03"}
    later["created_time"] = "2025-11-02T10:00:01Z"
    found = reconcile(saved([old, later]))
    assert found.json() == {"rows": 2, "equal": 2, "differences": []}


def test_the_rules_of_its_date_hold_for_each_fill(saved: Write) -> None:
    """0.07 x 0.25 x 0.75 = 0.013125: by the cent, then by $0.0001, then by $0.000001 aligned."""
    rows = [
        fill(fill_id=day, order_id=day, created_time=f"{day}T12:00:00Z", fee_cost=fee,
             yes_price_dollars="0.25", no_price_dollars="0.75", count_fp=count)
        for day, count, fee in (
            ("2026-03-03", "1.00", "0.02"),
            ("2026-06-01", "1.00", "0.0132"),
            ("2026-10-01", "1.00", "0.0132"),
            # 0.01 cost 0.00013125: a fee of 0.0002 in June, 0.000132 in October; 0.0025 is aligned.
            ("2026-06-02", "0.01", "0.0002"),
            ("2026-10-02", "0.01", "0.0002"),
        )
    ]  # fmt: skip
    assert reconcile(saved(rows)).json()["differences"] == []
    index = [
        fill(fill_id=time, order_id=time, ticker="KXINX-26JUL02H1600-B6000", fee_cost=fee,
             created_time=time, yes_price_dollars="0.5", no_price_dollars="0.5")
        for time, fee in (("2026-07-03T16:59:59Z", "0.0088"), ("2026-07-03T17:00:00Z", "0.0175"))
    ]  # fmt: skip
    assert reconcile(saved(index)).json()["differences"] == []


def test_an_order_that_outlives_a_rule_starts_anew(saved: Write) -> None:
    """0.0875 of a cent would be left of 0.013125 paid by the cent: it does not go over."""
    rows = [
        fill(fill_id="a", created_time="2026-03-03T23:59:59Z", yes_price_dollars="0.25",
             no_price_dollars="0.75", fee_cost="0.02"),
        fill(fill_id="b", created_time="2026-03-04T00:00:00Z", yes_price_dollars="0.25",
             no_price_dollars="0.75", fee_cost="0.0132"),
    ]  # fmt: skip
    assert reconcile(saved(rows)).equal == 2


# --- which side was bought ------------------------------------------------------------------------

# 0.37 at 0.4301 without a fee: buying YES pays 0.159137, which takes 0.000063 of a centicent;
# buying NO at 0.5699 pays 0.210863, which takes 0.000037.
FRACTION = fill(
    is_taker=False, count_fp="0.37", yes_price_dollars="0.4301", no_price_dollars="0.5699"
)


@pytest.mark.parametrize(
    ("said", "date", "bought"),
    [
        ({"book_side": "bid", "outcome_side": "yes", "side": "no", "action": "buy"}, "07", "yes"),
        ({"book_side": "ask"}, "07", "no"),
        ({"outcome_side": "no", "side": "yes", "action": "buy"}, "07", "no"),
        # Since May 2026 `side` is what was bought, also of an order to sell.
        ({"side": "no", "action": "sell"}, "07", "no"),
        ({"side": "yes", "action": "sell"}, "07", "yes"),
        # Before, the two have to be read together.
        ({"side": "no", "action": "sell"}, "04", "yes"),
        ({"side": "yes", "action": "sell"}, "04", "no"),
        ({"side": "yes", "action": "buy"}, "04", "yes"),
        ({"side": "no", "action": "buy"}, "04", "no"),
        ({"side": "no"}, "04", "no"),
    ],
)
def test_the_side_bought_decides_on_the_alignment_of_a_fraction(
    saved: Write, said: Row, date: str, bought: str
) -> None:
    bare = {k: v for k, v in FRACTION.items() if k not in ("side", "outcome_side", "action")}
    time = f"2026-{date}-10T12:00:00Z"
    fee = {"yes": "0.000063", "no": "0.000037"}[bought]
    found = reconcile(saved([bare | said | {"created_time": time, "fee_cost": fee}]))
    assert found.json()["differences"] == []


# --- terms ----------------------------------------------------------------------------------------


def test_a_series_of_which_nothing_is_known_has_the_general_schedule(saved: Write) -> None:
    rows = [fill(ticker="KXNEW-A-B"), fill(fill_id="f2", ticker="KXNEW-A-B", order_id="o2",
            is_taker=False, fee_cost="0.0043")]  # fmt: skip
    found = reconcile(saved(rows))
    assert found.assumed == ("KXNEW",)
    assert found.equal == 1
    assert "general schedule taken for KXNEW" in found.text()
    assert "expected 0.00 by quadratic x 1 (general schedule)" in found.differences[0]["reason"]


def test_terms_of_a_dataset_come_first(saved: Write) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    schedule = Schedule(
        {"KXNEW": ((start, "quadratic_with_maker_fees", 1_000_000),)},
        {"KXNEW-A": ((datetime(2026, 7, 9, 14, 5, tzinfo=UTC), None, 500_000),)},
        "dataset",
    )
    rows = [
        fill(ticker="KXNEW-A-B", is_taker=False, fee_cost="0.0043"),
        fill(fill_id="f2", order_id="o2", ticker="KXNEW-A-B", fee_cost="0.0086",
             created_time="2026-07-09T14:05:00Z"),
        fill(fill_id="f3", order_id="o3"),
    ]  # fmt: skip
    found = reconcile(saved(rows), schedule=schedule)
    assert found.json() == {"rows": 3, "equal": 3, "differences": []}
    assert found.assumed == ()


def test_a_fee_that_no_rate_explains_is_named(saved: Write) -> None:
    early = fill(ticker="KXNBAGAME-25MAY01-BOS", created_time="2025-05-01T00:00:00Z",
                 is_taker=False, fee_cost="0.01")  # fmt: skip
    found = reconcile(saved([early]))
    assert (found.rows, found.equal) == (1, 0)
    assert found.differences[0]["reason"].startswith("makers paid a flat fee per contract")


# --- rows and files that are wrong ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"order_id": None}, "order_id is missing"),
        ({"order_id": ""}, "order_id is missing"),
        ({"ticker": None}, "ticker or market_ticker is missing"),
        ({"count_fp": None}, "count_fp or count is missing"),
        ({"count_fp": "many"}, "count_fp is 'many'; expected a decimal number"),
        ({"count_fp": "NaN"}, "count_fp is 'NaN'; expected a decimal number"),
        ({"count_fp": "1.001"}, "count_fp is 1.001; expected at most 2 decimals"),
        ({"count_fp": "0.00"}, "the count is 0.0; expected above 0"),
        ({"count_fp": "-1"}, "the count is -1.0; expected above 0"),
        ({"count_fp": "3000000001"}, "the count is 3,000,000,001; expected at most 3,000,000,000"),
        ({"yes_price_dollars": "0.43"}, "the prices of yes and no do not add up to a dollar"),
        ({"yes_price_dollars": None, "no_price_dollars": None},
         "yes_price_dollars or no_price_dollars is missing"),
        ({"yes_price_dollars": "1.0", "no_price_dollars": "0"}, "the price of yes is 1.0"),
        ({"yes_price_dollars": None, "no_price_dollars": None, "yes_price": 0.42},
         "yes_price is 0.42; expected at most 0 decimals"),
        ({"is_taker": None}, "is_taker is missing"),
        ({"is_taker": "maybe"}, "is_taker is 'maybe'; expected true or false"),
        ({"fee_cost": None}, "fee_cost is missing"),
        ({"fee_cost": "0.0000001"}, "fee_cost is 0.0000001; expected at most 6 decimals"),
        ({"created_time": "noon"}, "created_time is 'noon'; expected a time with offset"),
        ({"created_time": "2026-07-09T14:04:13"}, "created_time is 2026-07-09T14:04:13, without"),
        ({"created_time": None}, "created_time or ts_ms or ts is missing"),
        ({"created_time": None, "ts": 10**18}, "expected a time in this millennium"),
        ({"book_side": "ask"}, "book_side and outcome_side contradict each other"),
        ({"outcome_side": None, "side": "both"}, "side is 'both' and action 'buy'"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_used_is_named_and_counts_as_unequal(
    saved: Write, values: Row, reason: str
) -> None:
    found = reconcile(saved([fill(fill_id="f0", order_id="o0"), fill(**values)]))
    assert (found.rows, found.equal, found.exit_code) == (2, 1, 1)
    (difference,) = found.differences
    assert difference["row"] == 1
    assert difference["fill_id"] == "f1"
    assert reason in difference["reason"]
    assert f": {difference['reason']}\n" in found.text()


def test_times_can_be_seconds_or_milliseconds(saved: Write) -> None:
    for name, value in (("ts", 1_783_605_853), ("ts_ms", 1_783_605_853_688)):
        row = {k: v for k, v in fill().items() if k != "created_time"} | {name: value}
        assert reconcile(saved([row, row | {"fill_id": "x", "fee_cost": "9"}])).equal == 1
    late = fill(fee_cost="9") | {"created_time": None, "ts": 1_783_605_853}
    assert reconcile(saved([late])).differences[0]["time"] == "2026-07-09T14:04:13Z"


def test_a_fill_that_is_there_twice_is_counted_once_and_named(saved: Write) -> None:
    """Pages of an account overlap when a fill comes in between."""
    found = reconcile(saved([*THIRDS, THIRDS[2]]))
    assert (found.rows, found.equal) == (4, 3)
    assert found.differences[0]["reason"] == "the same fill as row 2; left out"
    unnamed = [{k: v for k, v in row.items() if k != "fill_id"} for row in (fill(), fill())]
    assert reconcile(saved(unnamed)).rows == 2
    assert reconcile(saved(unnamed)).equal == 2


def test_no_fills_are_all_equal(saved: Write) -> None:
    assert reconcile(saved([])) == Reconciliation(0, 0, (), "auto", ())
    assert reconcile(saved([])).exit_code == 0


def test_a_long_list_of_differences_is_cut_in_the_text_alone(saved: Write) -> None:
    rows = [fill(fill_id=str(i), order_id=str(i), fee_cost="9") for i in range(25)]
    found = reconcile(saved(rows))
    assert len(found.json()["differences"]) == 25
    assert found.text().count("\nrow ") == 20
    assert found.text().endswith("and 5 more\n")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("fills.json", "{", r"fills\.json cannot be read: "),
        ("fills.json", "7", r"fills\.json cannot be read: expected a list of fills"),
        ("fills.json", '{"orders": []}', "expected a list of fills"),
        ("fills.json", "[1]", "expected a list of fills"),
        ("fills.json", '[{"ticker": "A"}]', "has no column order_id; expected fills as GET"),
        ("fills.csv", "", r"fills\.csv cannot be read: "),
        ("fills.csv", "ticker,order_id\nA,b\n", "has no column count_fp or count; expected"),
        ("fills.parquet", "no", r"fills\.parquet cannot be read: "),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        reconcile(tmp_path / name)


def test_a_file_that_is_not_there_or_of_no_known_kind_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        reconcile(tmp_path / "fills.json")
    (tmp_path / "fills.xlsx").touch()
    with pytest.raises(UsageError, match=r"fills\.xlsx is not a \.parquet, \.csv or \.json file"):
        reconcile(tmp_path / "fills.xlsx")


def test_prices_under_their_name_of_2025_and_files_with_a_byte_order_mark(tmp_path: Path) -> None:
    renamed = {"yes_price_fixed": "0.4270", "no_price_fixed": "0.5730"}
    row = {k: v for k, v in fill().items() if not k.endswith("_dollars")} | renamed
    (tmp_path / "fills.json").write_text(json.dumps([row]), encoding="utf-8-sig")
    assert reconcile(tmp_path / "fills.json").equal == 1


def test_numbers_in_json_are_read_as_they_are_written(tmp_path: Path) -> None:
    rows = json.dumps([fill(fee_cost=0.0172, count_fp=1.00, yes_price_dollars=0.427)])
    (tmp_path / "fills.json").write_text(rows, encoding="utf-8")
    assert reconcile(tmp_path / "fills.json").equal == 1
