"""The documented longshot chain: equal to a slow one, and to the documented numbers by hand."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt import schema
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.longshot_chain import Chain, ChainRules, backtest, decide, settle, win_rates
from kalshi_bt.longshot_chain_files import TRADES, book, files, objects, of_run
from kalshi_bt.longshot_chain_rules import later_stake, paper_contracts
from tests import naive_longshot_chain as naive

NOW = datetime(2025, 11, 8, 3, tzinfo=UTC)
Tables = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]


def tables(rows: list[tuple[str, str, list[tuple[int, int]]]]) -> Tables:
    """Stored tables from (ticker, result, [(price in centi-cents, taker side), ...])."""
    markets, settlements, trades = [], [], []
    for i, (ticker, result, prints) in enumerate(rows):
        parts = ticker.split("-")
        close = NOW + timedelta(hours=i)
        markets.append(
            {"ticker": ticker, "event": "-".join(parts[:2]), "series": parts[0], "title": "T"}
        )
        payout = {"yes": 10_000, "no": 0}.get(result, 5_000)
        ended = {"time": close + timedelta(hours=1), "close_time": close, "payout": payout}
        settlements.append({"ticker": ticker, "result": result} | ended)
        trades += [
            {
                "ticker": ticker,
                "time": close - timedelta(minutes=len(prints) - k),
                "trade_id": f"{k:04}",
                "price": price,
                "quantity": 100,
                "taker_side": side,
            }
            for k, (price, side) in enumerate(prints)
        ]
    made = []
    pairs = ((schema.MARKETS, markets), (schema.SETTLEMENTS, settlements), (schema.TRADES, trades))
    for table, found in pairs:
        kinds = {name: table.columns[name] for name in (found[0] if found else ())}
        made.append(table.filled(pl.DataFrame(found, schema=kinds or table.columns)))
    return made[0], made[1], made[2]


def lazily(made: Tables) -> tuple[pl.DataFrame, pl.DataFrame, pl.LazyFrame]:
    markets, settlements, trades = made
    return markets, settlements, trades.lazy()


def random_tables(seed: int, count: int = 60) -> Tables:
    rng = np.random.Generator(np.random.Philox(key=[seed, 21]))
    rows: list[tuple[str, str, list[tuple[int, int]]]] = []
    likely = [0.06, 0.9, 0.04] if seed % 2 else [0.9, 0.06, 0.04]
    series = ("KXNBAGAME", "KXNBAGAME", "KXWNBAGAME", "KXNFLGAME")
    for i in range(count):
        ticker = f"{series[i % 4]}-25NOV{i // 2:02}-{'AB'[i % 2]}"
        result = ("yes", "no", "scalar")[int(rng.choice(3, p=likely))]
        prints = [
            (100 * int(rng.choice([3, 10, 15, 20, 21, 80, 85, 90])), int(rng.choice([-1, 1])))
            for _ in range(int(rng.integers(0, 30)))
        ]
        rows.append((ticker, result, prints))
    return tables(rows)


def random_candles(seed: int, settlements: pl.DataFrame) -> pl.DataFrame:
    """Open interest before closes, at them and after; of some markets none at all."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 22]))
    rows = [
        {"ticker": ticker, "time": close + timedelta(minutes=minutes), "period": 60}
        | {"open_interest": [None, 0, 49_901, 50_000, 90_000][int(rng.integers(5))]}
        for ticker, close in settlements.select("ticker", "close_time").iter_rows()
        for minutes in (-60, -1, 0, 1)
        if rng.random() < 0.5
    ]
    kinds = {name: schema.CANDLES.columns[name] for name in rows[0]}
    return pl.DataFrame(rows, schema=kinds)


LOW = ChainRules(weak_sample=10, confirmed_sample=20, min_sample=12)


@pytest.mark.parametrize("seed", range(8))
def test_the_chain_is_the_slow_one(seed: int) -> None:
    markets, settlements, trades = random_tables(seed)
    candles = random_candles(seed, settlements)
    options = {"n": 45, "bankroll": 1_000_000_000, "stake": 10_000_000}
    stored = [table.to_dicts() for table in (markets, settlements, trades)]
    decisions, made = naive.walk(*stored, LOW, options, candles.to_dicts())
    done = backtest(
        markets, settlements, trades.lazy(), candles=candles.lazy(), rules=LOW, **options
    )
    assert [d["ticker"] for d in decisions] == done.decisions["ticker"].to_list()
    for expected, row in zip(decisions, done.decisions.iter_rows(named=True), strict=True):
        for name, value in expected.items():
            found = row[name]
            if name == "sample_size":
                found = found or 0
            assert found == (pytest.approx(value) if isinstance(value, float) else value), name
    kept = done.trades.select("ticker", "quantity", "pnl", "cash").to_dicts()
    assert kept == made
    states = [d["status"] for d in decisions]
    assert len(set(states)) >= 3
    assert done.counters == {
        "processed": len(states),
        "bounced": states.count("BOUNCED"),
        "passed": states.count("PASS"),
        "vetoed": states.count("VETOED"),
        "approved": states.count("APPROVED"),
        "settled": len(made),
    }


def rated(n: int, gap: float, action: str = "BET_NO", price: int = 15) -> pl.DataFrame:
    """A row of win rates with the gap asked for."""
    implied = (100 - price if action == "BET_NO" else price) / 100
    row = {"action": action, "yes_price": price, "sample_size": n, "implied_prob": implied}
    row |= {"actual_win_rate": round(implied + gap, 4), "calibration_gap": gap}
    return pl.DataFrame(
        row
        | dict.fromkeys(("no_win_rate", "taker_win_rate", "yes_no_asymmetry"), 0.5)
        | {"kinds": 1, "seasons": 1}
    )


def one(ticker: str = "KXNBAGAME-25NOV08AB-A", price: int = 15) -> pl.DataFrame:
    row = {"ticker": ticker, "event": "E", "series": ticker.split("-", maxsplit=1)[0], "time": NOW}
    return pl.DataFrame(
        row | {"settle_time": NOW, "result": "no", "yes_price": price, "title": "T"}
    )


def says(n: int, gap: float, rules: ChainRules | None = None, **more: Any) -> dict[str, Any]:
    live = pl.DataFrame([{"ticker": one()["ticker"][0], **more}]) if more else None
    return decide(one(), rated(n, gap), rules or ChainRules(), live).row(0, named=True)


@pytest.mark.parametrize(
    ("n", "gap", "verdict", "confidence", "status"),
    [
        (99, 0.05, "INSUFFICIENT_DATA", "LOW", "PASS"),
        (100, 0.05, "EDGE_WEAK", "LOW", "PASS"),  # 200 trades are asked for, and for a confidence
        (199, 0.05, "EDGE_WEAK", "LOW", "PASS"),
        (200, 0.0201, "EDGE_CONFIRMED", "HIGH", "APPROVED"),
        (200, 0.02, "EDGE_WEAK", "HIGH", "APPROVED"),  # confirmed above, confident from 0.02 on
        (200, 0.0081, "EDGE_WEAK", "MEDIUM", "APPROVED"),
        (200, 0.008, "NO_EDGE", "MEDIUM", "PASS"),
        (200, 0.0, "NO_EDGE", "LOW", "PASS"),
        (500, -0.03, "NO_EDGE", "LOW", "PASS"),
    ],
)
def test_thresholds_of_the_first_revision(
    n: int, gap: float, verdict: str, confidence: str, status: str
) -> None:
    row = says(n, gap)
    assert (row["verdict"], row["confidence"], row["status"]) == (verdict, confidence, status)
    assert row["kelly_fraction"] == max(gap, 0.0)
    if status == "APPROVED":
        assert row["risk_score"] == (3 if gap > 0.02 else 5)


def test_kelly_is_the_gap_up_to_its_cap_and_later_the_fraction_itself() -> None:
    assert says(300, 0.149)["kelly_fraction"] == 0.149
    assert decide(one(price=20), rated(300, 0.14, price=20), ChainRules()).row(0, named=True)[
        "kelly_fraction"
    ] == pytest.approx(0.14)
    # NO at 85 c that wins 88 %: (.88 - .85) / .15 = .2, capped; at 86 %: .0667
    later = ChainRules.later()
    assert says(300, 0.03, later)["kelly_fraction"] == 0.15
    assert says(300, 0.01, later)["kelly_fraction"] == pytest.approx(0.01 / 0.15)


def test_every_gap_reaches_the_later_critic() -> None:
    assert says(300, 0.0001)["status"] == "PASS"
    row = says(300, 0.0001, ChainRules.later())
    assert (row["status"], row["confidence"]) == ("APPROVED", "LOW")
    assert says(199, 0.05, ChainRules.later())["status"] == "PASS"


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({"volume": 0, "open_interest": 700, "depth": None}, "no volume"),
        ({"volume": 9, "open_interest": 499, "depth": None}, "open interest too small"),
        ({"volume": 9, "open_interest": 500, "depth": 0}, None),
        ({"volume": 9, "open_interest": None, "depth": None}, None),  # not recorded is not none
        ({"volume": 0, "open_interest": 0, "depth": None}, None),  # zero both: not known
        ({"volume": None, "open_interest": None, "depth": None}, None),
    ],
)
def test_critic_looks_at_activity_only_where_it_is_known(
    known: dict[str, int | None], reason: str | None
) -> None:
    row = says(300, 0.03, **known)
    assert row["veto_reason"] == reason
    assert row["status"] == ("VETOED" if reason else "APPROVED")
    assert row["risk_score"] == (9 if reason else 3)


def test_a_win_rate_of_exactly_one_is_vetoed() -> None:
    row = says(200, 0.15)
    assert (row["actual_win_rate"], row["status"]) == (1.0, "VETOED")
    assert "contaminated" in row["veto_reason"]


@pytest.mark.parametrize(
    ("ticker", "price", "action"),
    [
        ("KXNBAGAME-X-A", 20, "BET_NO"),
        ("KXNBAGAME-X-A", 21, None),
        ("KXNBAGAME-X-A", 79, None),
        ("KXNBAGAME-X-A", 80, "BET_YES"),
        ("KXWNBAGAME-X-A", 5, "BET_NO"),  # T25: a substring takes the women's league in
        ("kxnbagame-x-a", 5, "BET_NO"),
        ("KXNFLGAME-X-A", 5, None),
    ],
)
def test_bouncer(ticker: str, price: int, action: str | None) -> None:
    row = decide(one(ticker, price), rated(300, 0.03), ChainRules()).row(0, named=True)
    assert row["action"] == action
    assert (row["status"] == "BOUNCED") == (action is None)


def test_later_bouncer_trades_games_with_open_interest_only() -> None:
    later = ChainRules.later()
    props = decide(one("KXNBASGPROP-X-A"), rated(300, 0.03), later).row(0, named=True)
    assert (props["status"], props["category"]) == ("BOUNCED", "PLAYER_PROP")
    thin = says(300, 0.03, later, volume=5, open_interest=99, depth=None)
    assert thin["status"] == "BOUNCED"
    unknown = says(300, 0.03, later, volume=None, open_interest=None, depth=None)
    assert unknown["status"] == "APPROVED"


def test_later_critic_holds_one_position_in_a_game() -> None:
    names = [
        "KXNBAGAME-G1-A",
        "KXNBAGAME-G1-B",
        "KXNBAGAME-G1-C",
        "KXNBAGAME-G2-A",
        "KXNBAGAME-G3-A",
    ]
    seen = pl.concat(
        [one(name, 85 if name.endswith("B") else 15) for name in [*names, "KXNBAGAME-G3-B"]]
    )
    rates = pl.concat([rated(300, 0.03), rated(300, 0.03, "BET_YES", 85)])
    live = pl.DataFrame(
        {"ticker": ["KXNBAGAME-G3-A"], "volume": [5], "open_interest": [900], "depth": [0]}
    )
    rules = ChainRules.later()
    found = decide(seen, rates, rules, live)
    assert found["status"].to_list() == [
        "APPROVED", "VETOED", "VETOED", "APPROVED", "VETOED", "APPROVED"
    ]  # fmt: skip
    reasons = [text[:6] if text else None for text in found["veto_reason"]]
    assert reasons == [None, "rule A", "rule B", None, "rule D", None]
    assert decide(seen, rates, ChainRules(), live)["status"].to_list()[:5] == ["APPROVED"] * 5


def test_win_rates_count_takers_of_our_side_at_the_cent() -> None:
    rows = [
        ("KXNBAGAME-1-A", "no", [(1500, -1), (1500, -1), (1500, 1), (1000, 1), (8500, 1)]),
        ("KXNBAGAME-2-A", "yes", [(1500, -1), (1500, 1)]),
        ("KXWNBAGAME-3-A", "no", [(1500, -1)]),  # no ticker of the history
        ("KXNBAGAME-4-A", "scalar", [(1500, -1)]),
    ]
    _, settlements, trades = tables(rows)
    found = win_rates(settlements, trades.lazy(), "KXNBA")
    row = found.filter(action="BET_NO", yes_price=15).row(0, named=True)
    assert row["sample_size"] == 3
    assert row["implied_prob"] == 0.85
    assert row["actual_win_rate"] == 0.6667
    assert row["calibration_gap"] == -0.1833
    assert row["no_win_rate"] == 0.6667  # takers of YES at 10 and 15 c: no, no, yes
    assert row["taker_win_rate"] == 0.6  # at 15 c: no no (YES lost) and yes against NO, YES won
    assert row["yes_no_asymmetry"] == 0.6  # at 85 c the one taker of YES lost


@pytest.mark.parametrize("cents", [29, 57, 58, 85, 99])
def test_cents_are_not_cut_off(cents: int) -> None:  # T24
    rows = [("KXNBAGAME-1-A", "yes", [(100 * cents, 1), (100 * cents + 49, 1)])]
    markets, settlements, trades = tables(rows)
    rates = win_rates(settlements, trades.lazy(), "KXNBA").filter(action="BET_YES")
    assert rates.filter(pl.col("sample_size") == 2)["yes_price"].to_list() == [cents]
    done = backtest(markets, settlements, trades.lazy())
    assert done.decisions["yes_price"].to_list() == [cents]


def traded(result: str) -> pl.DataFrame:
    seen = one().with_columns(result=pl.lit(result), action=pl.lit("BET_NO"), side=pl.lit("NO"))
    return settle(seen, 1_000_000_000, 10_000_000)


def test_stake_buys_whole_contracts_and_settles_at_once() -> None:
    won, lost = traded("no").row(0, named=True), traded("yes").row(0, named=True)
    assert (won["entry_price"], won["quantity"], won["cost"]) == (8_500, 1_100, 9_350_000)
    assert (won["payout"], won["pnl"], won["cash"]) == (11_000_000, 1_650_000, 1_001_650_000)
    assert (lost["payout"], lost["pnl"], lost["note"]) == (0, -9_350_000, "lost")


def test_one_contract_is_bought_whatever_the_stake() -> None:
    seen = one().with_columns(action=pl.lit("BET_NO"), side=pl.lit("NO"))
    assert settle(seen, 1_000_000, 10_000)["quantity"].to_list() == [100]
    assert settle(seen.with_columns(result=pl.lit("yes")), 100_000, 10_000)["cash"][0] < 0


def test_paper_size_of_the_first_and_the_later_revision() -> None:
    assert paper_contracts(1_000_000_000, 0.03, 86) == (20, "")  # 23 by the risk, capped
    assert paper_contracts(1_000_000_000, 0.01, 86) == (11, "")
    assert paper_contracts(1_000_000_000, 0.0, 86, most=99) == (23, "")  # 0 counts as 0.02
    assert paper_contracts(10_000_000, 0.01, 86) == (1, "")  # never none
    assert paper_contracts(850_000, 0.01, 86) == (0, "skipped:insufficient_cash")
    assert [later_stake(k) for k in (0.001, 0.0125, 0.15)] == [2_000_000, 12_500_000, 20_000_000]


def three() -> pl.DataFrame:
    seen = pl.concat([one(f"KXNBAGAME-{i}-A", p) for i, p in ((1, 15), (2, 90), (3, 20))])
    seen = seen.with_columns(
        result=pl.Series(["no", "no", "no"]),
        action=pl.Series(["BET_NO", "BET_YES", "BET_NO"]),
        side=pl.Series(["NO", "YES", "NO"]),
    )
    return settle(seen, 1_000_000_000, 10_000_000)


def test_files_are_as_documented() -> None:
    # 11 at 85 win 1.65, 11 at 90 lose 9.90, 12 at 80 win 2.40.
    at = "2025-11-08T03:00:00+00:00"
    names = "action,side,yes_price,entry_price_cents,qty,cost,result,payout,pnl,cash,note"
    written = files(three(), 1_000_000_000)
    assert written["backtest_trades.csv"].decode().splitlines() == [
        f"trade_n,timestamp,market_ticker,{names}",
        f"1,{at},KXNBAGAME-1-A,BET_NO,NO,15,85,11,9.3500,no,11.0000,1.6500,1001.6500,won",
        f"2,{at},KXNBAGAME-2-A,BET_YES,YES,90,90,11,9.9000,no,0.0000,-9.9000,991.7500,lost",
        f"3,{at},KXNBAGAME-3-A,BET_NO,NO,20,80,12,9.6000,no,12.0000,2.4000,994.1500,won",
    ]
    assert written["backtest_equity.csv"].decode().splitlines() == [
        "trade_n,timestamp,cash",
        "1,2025-11-08T03:00:00+00:00,1001.6500",
        "2,2025-11-08T03:00:00+00:00,991.7500",
        "3,2025-11-08T03:00:00+00:00,994.1500",
    ]
    assert json.loads(written["backtest_book.json"]) == {
        "bankroll": 1000.0, "final_cash": 994.15, "total_pnl": -5.85, "n_trades": 3, "n_wins": 2,
        "win_rate": 0.6667, "roi": -0.0058, "max_drawdown": 9.9,
    }  # fmt: skip
    more = files(three(), 1_000_000_000, more=True)["backtest_trades.csv"].decode()
    assert more.splitlines()[0].endswith(",note,fee,fill_time,settle_time,event")


def test_no_trade_makes_valid_files() -> None:
    empty = pl.DataFrame(schema=TRADES)
    assert book(empty, 1_000_000)["max_drawdown"] == 0.0
    assert files(empty, 1_000_000)["backtest_trades.csv"].count(b"\n") == 1


def test_two_runs_write_the_same_bytes() -> None:  # T19
    def written(order: int) -> dict[str, bytes]:
        markets, settlements, trades = random_tables(1)
        mixed = trades.sample(fraction=1, shuffle=True, seed=order)
        done = backtest(markets, settlements, mixed.lazy(), rules=LOW)
        return files(done.trades, 1_000_000_000, more=True)

    assert written(1) == written(2)


def test_cash_is_the_bankroll_and_every_result() -> None:  # T23
    done = run(2)
    assert done.trades.height > 3
    assert (done.trades["pnl"] == done.trades["payout"] - done.trades["cost"]).all()
    assert done.trades["cash"].to_list() == (1_000_000_000 + done.trades["pnl"].cum_sum()).to_list()


def run(seed: int) -> Chain:
    markets, settlements, trades = random_tables(seed)
    return backtest(markets, settlements, trades.lazy(), rules=LOW)


def test_the_reference_table_looks_ahead_and_that_shows() -> None:  # T1
    # Ten markets at 15 c that all end NO approve the eleventh; the outcomes come after its close.
    later = [(f"KXNBAGAME-{i}-A", "no", [(1500, -1)] * 30) for i in range(2, 12)]
    first = ("KXNBAGAME-1-A", "yes", [(1500, -1)] * 30)
    done = backtest(*lazily(tables([first, *later])))
    assert done.decisions.row(0, named=True)["status"] == "APPROVED"
    alone = backtest(*lazily(tables([first])))
    assert alone.decisions.row(0, named=True)["status"] == "PASS"


def test_decision_objects_carry_every_part() -> None:
    done = run(1)
    made = list(objects(done.decisions, done.trades))
    assert len(made) == done.counters["processed"] - done.counters["bounced"]
    names = "action ticker side confidence edge price kelly_fraction quant_summary timestamp status"
    for found in made:
        json.dumps(found, allow_nan=False)
        assert list(found) == [*names.split(), "reason", "critic", "execution"]
        assert (found["critic"] is None) == (found["status"] == "PASS")
        assert (found["execution"] is not None) == (found["status"] == "APPROVED")
        assert (found["action"] == "PASS") == (found["status"] != "APPROVED")
    approved = next(found for found in made if found["status"] == "APPROVED")
    assert approved["critic"]["decision"] == "APPROVE"
    assert approved["quant_summary"]["historical_edge"] == approved["edge"]
    assert approved["execution"]["qty"] >= 1


def test_round_trips_of_a_run_become_the_same_files_with_fees() -> None:
    row = {
        "trade_id": 7, "ticker": "KXNBAGAME-1-A", "event": "KXNBAGAME-1", "series": "KXNBAGAME",
        "side": -1, "entry_time": NOW, "exit_time": NOW + timedelta(hours=3), "quantity": 1_150,
        "entry_price": 0.855, "exit_price": 1.0, "exit_reason": "settlement", "stake": 9_832_500,
        "gross_pnl": 1_667_500, "fees": 100_000, "pnl": 1_567_500, "spread_paid": 0,
    }  # fmt: skip
    closed = pl.DataFrame([row], schema=schema.TRADES_CLOSED.columns)
    _, settlements, _ = tables([("KXNBAGAME-1-A", "no", [])])
    made = of_run(closed, settlements, 1_000_000_000)
    line = files(made, 1_000_000_000, more=True)["backtest_trades.csv"].decode().splitlines()[1]
    assert line == (
        "1,2025-11-08T06:00:00+00:00,KXNBAGAME-1-A,BET_NO,NO,14.5,85.5,11.5,9.8325,no,11.5000,"
        "1.5675,1001.5675,won,0.1000,2025-11-08T03:00:00+00:00,2025-11-08T06:00:00+00:00,"
        "KXNBAGAME-1"
    )


def test_nothing_to_judge_is_an_error() -> None:
    markets, settlements, trades = tables([("KXNBAGAME-1-A", "scalar", [(1500, 1)])])
    with pytest.raises(DataError, match="import or download it as well"):
        backtest(markets, settlements, trades.lazy())
    with pytest.raises(UsageError, match="n is 0"):
        backtest(markets, settlements, trades.lazy(), n=0)
