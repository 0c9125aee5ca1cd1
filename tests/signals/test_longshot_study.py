"""The study of the longshot bias finds a planted one, and no other."""

import math
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from kalshi_bt.data.store import Store
from kalshi_bt.data.synthetic import FAIR, Planted, sample


@pytest.fixture(scope="module")
def study() -> ModuleType:
    return import_module("longshot_bias")


@pytest.mark.slow
@pytest.mark.parametrize("source", ["quotes", "trades"])
@pytest.mark.parametrize(
    ("planted", "answer"), [(FAIR, "not shown"), (Planted(longshot_bias=0.4), "yes")]
)
def test_a_planted_bias_is_found_in_trades_and_in_quotes(
    study: ModuleType, tmp_path: Path, planted: Planted, answer: str, source: str
) -> None:
    tables = sample(3, planted=planted, days=15)
    if source == "quotes":
        del tables["trades"]
    if planted is FAIR and source == "quotes":
        # A taker at the quotes pays half the spread, which is a loss of longshots too.
        shift = {
            f"{side}_close": pl.mean_horizontal("bid_close", "ask_close") for side in ("bid", "ask")
        }
        candles = tables["candles"].drop_nulls(list(shift))
        kind = candles.schema["bid_close"]
        tables["candles"] = candles.with_columns(
            mid.round().cast(kind).alias(name) for name, mid in shift.items()
        ).with_columns(
            pl.lit(None, kind).alias(f"{side}_{end}")
            for side in ("bid", "ask")
            for end in ("open", "high", "low")
        )
    store = Store.create(tmp_path / "d", name="sample", synthetic=True)
    store.commit(tables)
    table = study.study(study.visits(store))
    assert study.verdict(table).startswith(f"longshot bias of takers: {answer}")
    assert set(table["by"]) == {"all", "category", "horizon"}
    assert set(table.filter(by="category")["value"]) == {
        "Crypto", "Sports", "Climate and Weather"
    }  # fmt: skip
    whole = table.filter(by="all").sort("role", "band")
    parts = table.filter(by="category").group_by("role", "band").agg(pl.col("visits").sum())
    assert whole.select("role", "band", "visits").equals(parts.sort("role", "band"))


def test_numbers_of_a_row_by_hand(study: ModuleType) -> None:
    # Cluster A: two visits that gain -.1 and .3, B one that gains -.5. Mean -.1; left over:
    # A .2 + .2 = .4, B -.4; variance (.16 + .16)·2/9.
    seen = pl.DataFrame(
        {
            "cluster": ["A", "A", "B", "A", "A", "B"],
            "time": [2, 1, 3, 2, 1, 3],
            "role": ["taker"] * 3 + ["maker"] * 3,
            "band": ["longshot"] * 3 + ["favourite"] * 3,
            "cost": [0.1, 0.1, 0.5, 0.9, 0.9, 0.5],
            "excess": [-0.1, 0.3, -0.5, 0.1, -0.3, 0.5],
            "net": [-0.2, 0.2, -0.6, 0.1, -0.3, 0.5],
            **{name: ["x"] * 6 for name in study.BREAKDOWNS},
        }
    )
    table = study.study(seen)
    row = table.filter(role="taker").row(0, named=True)
    error = math.sqrt(0.32 * 2 / 9)
    assert (row["clusters"], row["visits"], row["few"]) == (2, 3, True)
    assert row["excess"] == pytest.approx(-0.1)
    assert row["net"] == pytest.approx(-0.2)
    assert row["error"] == pytest.approx(error)
    assert row["low"] == pytest.approx(-0.1 - 1.96 * error)
    # A paid .2 and gained .2, B paid .5 and gained -.5: -.3/.7 a dollar.
    assert row["mispricing"] == pytest.approx(-0.3 / 0.7)
    spread = math.sqrt(2 * ((0.2 + 0.2 * 0.3 / 0.7) ** 2 + (-0.5 + 0.5 * 0.3 / 0.7) ** 2)) / 0.7
    assert row["mispricing_high"] == pytest.approx((-0.3 / 0.7) + 1.96 * spread)
    # A got .4 for its two visits, B 0: .4 of three.
    assert row["win_rate"] == pytest.approx(0.4 / 3)
    won = math.sqrt(2 * ((0.4 - 0.8 / 3) ** 2 + (0.4 / 3) ** 2)) / 3
    assert row["win_rate_low"] == pytest.approx(0.4 / 3 - 1.96 * won)
    # Of each cluster the first visit: .3 and -.5.
    assert row["each"] == pytest.approx(-0.1)
    assert row["each_error"] == pytest.approx(0.4)
    assert row["each_high"] == pytest.approx(-0.1 + 1.96 * 0.4)
    other = table.filter(role="maker").row(0, named=True)
    assert other["t"] == pytest.approx(-row["t"])
    assert other["adjusted"] == row["adjusted"] > 0.5
    assert (
        study.verdict(table)
        == "longshot bias of takers: not shown, t -0.38 (fewer than 30 clusters)"
    )


def test_favourites_are_judged_after_the_fee(study: ModuleType) -> None:
    row = {"by": "all", "role": "taker", "band": "favourite", "net": 0.03}
    told = [study.after_fees(pl.DataFrame(row | {"error": e})) for e in (0.01, 0.02, math.nan)]
    assert told[0] == "favourites after the fee: +3.00 [+1.04, +4.96] cents: a gain"
    assert told[1].endswith("[-0.92, +6.92] cents: neither gain nor loss shown")
    assert told[2].endswith("not measurable here")


def test_holm_multiplies_the_smallest_by_the_number_of_tests(study: ModuleType) -> None:
    nothing, small, middle, large = study.holm([math.nan, 3.0, -2.0, 0.5])
    assert math.isnan(nothing)
    assert small == pytest.approx(3 * 0.0026998, rel=1e-4)
    assert middle == pytest.approx(2 * 0.0455003, rel=1e-4)
    assert large == pytest.approx(0.6170751, rel=1e-4)


def run(study: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr("sys.argv", ["study", *map(str, words)])
    study.main()


@pytest.mark.slow
def test_the_study_runs_on_a_sample_and_leaves_tables_and_figures(
    study: ModuleType, one_day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for place in ("a", "b"):
        run(study, monkeypatch, one_day, "--out", tmp_path / place)
    told = capsys.readouterr().out
    assert "one-day (synthetic data)" in told
    assert "longshot bias of takers: " in told
    assert "every trade, by contract: " in told
    assert "published" not in told
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["breakdown.csv", "breakdown.svg", "cents.svg", "cents_by_trade.csv",
                     "cents_by_visit.csv"]  # fmt: skip
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    tape = Store.open(one_day).sql(
        "select count(*) as n from trades join settlements using (ticker)"
        " where if(taker_side > 0, trades.price, 10000 - trades.price) between 50 and 9949"
    )
    cents = pl.read_csv(tmp_path / "a" / "cents_by_trade.csv")
    assert cents.filter(role="taker")["count"].sum() == tape["n"][0]


def test_an_archive_stands_beside_what_was_published(
    study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Two events; YES is bought at 5 cents twice in each, and one of the four trades wins."""
    end = datetime(2025, 1, 10, 17, tzinfo=UTC)
    told = [("KXA-25JAN10-X", "yes"), ("KXA-25JAN10-Y", "no"), ("KXB-25JAN10-Z", "no")]
    markets = [
        {"ticker": name, "event_ticker": name.rpartition("-")[0], "market_type": "binary",
         "title": "t", "yes_sub_title": "", "no_sub_title": "", "status": "finalized",
         "result": result, "created_time": end - timedelta(days=2), "volume": 1,
         "open_time": end - timedelta(days=2), "close_time": end,
         "_fetched_at": end + timedelta(days=9)}
        for name, result in told
    ]  # fmt: skip
    trades = [
        {"trade_id": f"t{number}", "ticker": told[place][0], "count": 10, "yes_price": 5,
         "no_price": 95, "taker_side": "yes", "created_time": end - timedelta(hours=number + 1),
         "_fetched_at": end + timedelta(days=9)}
        for number, place in enumerate((0, 1, 2, 2))
    ]  # fmt: skip
    for table, rows in (("markets", markets), ("trades", trades)):
        (tmp_path / "kalshi" / table).mkdir(parents=True)
        pl.DataFrame(rows).write_parquet(tmp_path / "kalshi" / table / f"{table}_0.parquet")
    run(study, monkeypatch, tmp_path / "kalshi")
    shown = capsys.readouterr().out.splitlines()
    (row,) = (line for line in shown if line.startswith("    5 "))
    # Won .25 at .05: +20 points; A gains .9 on two trades, B loses .1 on two: left over .5 each,
    # so that the error is sqrt(2 * (.25 + .25)) / 4. Published: J. Becker 2026, 5 cents.
    low, high = (20 + sign * 196 * math.sqrt(2 * 0.5) / 4 for sign in (-1, 1))
    words = row.replace("[", " ").replace("]", " ").replace(",", " ").split()
    assert words == ["5", "+20.00", f"{low:+.2f}", f"{high:+.2f}", "-1.55",
                     "+400.00", "-30.97", "+nan", "-0.09"]  # fmt: skip
    assert shown[-1] == "published excess of takers inside the interval: 1 of 1 cents"


def test_the_published_table_is_what_it_says(study: ModuleType) -> None:
    """J. Becker 2026: takers lose at 80 of 99 prices; 1, 50 and 95 cents as in the article."""
    table = study.published()
    assert table["cents"].to_list() == list(range(1, 100))
    assert (table["taker_excess"] < 0).sum() == 80
    rows = {row[0]: row[1:] for row in table.iter_rows()}
    assert rows[1] == (-0.57, -57.48, 57.2)
    assert rows[50] == (-1.32, -2.65, 2.66)
