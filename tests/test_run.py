"""One backtest: what it returns and leaves, what it depends on, and that it can be repeated."""

import hashlib
import json
import re
import shlex
import shutil
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import polars as pl
import pytest
from panel_rows import candle, made_store
from run_folder import contents

import kalshi_bt
from kalshi_bt import artifacts, pipeline, run, run_schema, schema
from kalshi_bt.config import RunConfig
from kalshi_bt.data.panel import panel
from kalshi_bt.data.store import Store
from kalshi_bt.data.synthetic import sample
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.metrics import METRICS
from kalshi_bt.plan import plan
from kalshi_bt.simulator.assumptions import FILLS, Limit
from kalshi_bt.terminal import invoke

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
TABLES = {
    "orders.parquet": schema.ORDERS,
    "fills.parquet": schema.FILLS,
    "trades_closed.parquet": schema.TRADES_CLOSED,
    "settlements.parquet": schema.SETTLEMENTS,
    "equity.parquet": schema.EQUITY,
    "forecasts.parquet": run_schema.FORECASTS,
    "context.parquet": run_schema.CONTEXT,
    "fill_quality.parquet": run_schema.FILL_QUALITY,
    "sensitivity.parquet": run_schema.SENSITIVITY,
}
SHOWN = ["charts", "markets", "quarantine", "rejections", "tables-controls", "tables-drawdowns",
         "tables-evidence", "tables-forecast_scores", "tables-groups", "tables-reliability",
         "tables-trial_days"]  # fmt: skip
TEXTS = ["metrics.json", "manifest.json", "config.toml", "report.txt", "report.html", "run.json"]
FILES = sorted([*TABLES, *TEXTS, *(f"{name}.parquet" for name in SHOWN)])
ASKED = [  # by the issue that started the project
    "net_pnl",
    "fees",
    "gross_pnl",
    "n_trades",
    "n_orders",
    "n_fills",
    "win_rate",
    "max_drawdown",
    "sharpe",
    "final_equity",
    "initial_cash",
    "unsettled",
    "quarantined_rows",
]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def done(one_day: Path, out: Path) -> run.Result:
    """A run with the defaults, which tests only read."""
    return kalshi_bt.backtest("bollinger", data=one_day, out=out)


@pytest.mark.slow
def test_every_market_that_traded_has_its_title_and_its_bars(
    done: run.Result, one_day: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    traded = set(done.fills["ticker"])
    assert len(traded) > 1
    assert set(done.run.markets["ticker"]) == set(done.run.charts) == traded
    monkeypatch.setattr("kalshi_bt.artifacts._CHARTED", (1_000, 1))  # room for no market
    fewer = kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path).run
    largest = max(done.trades.iter_rows(named=True), key=lambda t: (abs(t["pnl"]), -t["trade_id"]))
    assert list(fewer.charts) == [largest["ticker"]]
    assert set(fewer.markets["ticker"]) == traded


def strict(text: str) -> Any:
    """JSON without the constants that JSON does not have."""

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


# --- what a run leaves ----------------------------------------------------------------------------


def test_the_folder_holds_what_the_readme_lists_and_nothing_else(
    done: run.Result, out: Path
) -> None:
    assert done.run_dir.parent == out
    assert sorted(path.name for path in done.run_dir.iterdir()) == FILES
    told = README.partition("## What a run leaves")[2]
    for file in FILES:
        assert f"`{file.removesuffix('.parquet')}`" in told, file


@pytest.mark.parametrize(("file", "table"), TABLES.items(), ids=list(TABLES))
def test_every_table_is_as_declared(done: run.Result, file: str, table: schema.Table) -> None:
    stored = pl.read_parquet(done.run_dir / file)
    assert table.check(stored).equals(stored)
    assert stored.height > 0


def test_the_result_is_what_was_written(done: run.Result) -> None:
    for frame, file in (
        (done.orders, "orders"),
        (done.fills, "fills"),
        (done.trades, "trades_closed"),
        (done.equity, "equity"),
    ):
        assert frame.equals(pl.read_parquet(done.run_dir / f"{file}.parquet"))
    assert done.metrics == strict((done.run_dir / "metrics.json").read_text("utf-8"))
    assert done.run_dir.name in done.summary


def test_metrics_have_value_unit_and_weight_and_a_reason_only_without_a_value(
    done: run.Result,
) -> None:
    assert set(done.metrics) == set(METRICS)
    assert set(ASKED) <= set(done.metrics)
    for name, entry in done.metrics.items():
        more = {"reason", "interval", "interval_reason"}
        assert set(entry) - more == {"value", "unit", "weight"}, name
        assert ("reason" in entry) == (entry["value"] is None), name
        assert entry["unit"], name
        assert entry["weight"], name


def test_money_is_a_decimal_string_and_counts_are_whole(done: run.Result) -> None:
    for name, entry in done.metrics.items():
        if entry["unit"] == "dollars" and entry["value"] is not None:
            assert re.fullmatch(r"-?\d+\.\d{2,6}", entry["value"]), name
    for name in ("n_trades", "n_orders", "n_fills", "unsettled", "quarantined_rows"):
        assert type(done.metrics[name]["value"]) is int


def test_metrics_agree_with_the_tables(done: run.Result) -> None:
    def micro(name: str) -> int:
        return round(float(done.metrics[name]["value"]) * 1e6)

    assert done.metrics["n_orders"]["value"] == done.orders.height
    assert done.metrics["n_fills"]["value"] == done.fills.height
    assert done.metrics["n_trades"]["value"] == done.trades.height > 0
    assert micro("initial_cash") == 10_000_000_000
    assert micro("fees") == done.fills["fee"].sum() > 0
    assert micro("final_equity") == done.equity["equity"][-1]
    assert micro("net_pnl") == micro("final_equity") - micro("initial_cash")
    assert micro("gross_pnl") == micro("net_pnl") + micro("fees")


def test_a_run_without_a_trade_says_why_numbers_are_absent(one_day: Path, tmp_path: Path) -> None:
    quiet = kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path, width=10, audit=False)
    assert sorted(path.name for path in quiet.run_dir.iterdir()) == FILES
    metrics = strict((quiet.run_dir / "metrics.json").read_text("utf-8"))
    assert metrics["n_trades"]["value"] == 0
    assert metrics["net_pnl"]["value"] == "0.00"
    for name in ("win_rate", "sharpe"):
        assert metrics[name]["value"] is None
        assert metrics[name]["reason"]


def test_rows_set_aside_are_counted(one_day: Path, tmp_path: Path) -> None:
    lame = shutil.copytree(one_day, tmp_path / "lame")
    row = {"table": "trades", "source": "a.csv", "reason": "price", "found": "1.2"}
    rows = pl.DataFrame([{**row, "row": n} for n in range(3)], schema=schema.QUARANTINE.columns)
    Store.open(lame).commit({"quarantine": rows})
    found = kalshi_bt.backtest("bollinger", data=lame, out=tmp_path / "out", audit=False)
    assert found.metrics["quarantined_rows"]["value"] == 3
    assert "price" in (found.run_dir / "report.txt").read_text("utf-8")


def test_the_manifest_says_what_the_run_depends_on(done: run.Result, one_day: Path) -> None:
    manifest = strict((done.run_dir / "manifest.json").read_text("utf-8"))
    hashed = manifest["hashed"]
    assert manifest["run_id"] == done.run_dir.name
    assert set(manifest) == {"run_id", "hashed", "audit", "files", "span", "wall_time_seconds"}
    times = Store.open(one_day).scan("candles").select(pl.col("time").min(), b=pl.col("time").max())
    assert [datetime.fromisoformat(t) for t in manifest["span"]] == list(times.collect().row(0))
    for file, digest in manifest["files"].items():
        assert hashlib.sha256((done.run_dir / file).read_bytes()).hexdigest() == digest, file
    assert set(manifest["files"]) == set(FILES) - {"manifest.json"}
    assert hashed["data"]["fingerprint"] == Store.open(one_day).fingerprint()
    assert hashed["data"]["synthetic"] is True
    assert hashed["code"]["sources"] == artifacts.code_version()
    assert hashed["libraries"] == {
        name: version(name) for name in ("polars", "numpy", "numba", "plotly")
    }
    assert hashed["seed"] == 0
    made = plan(RunConfig(strategy="bollinger", data=str(one_day), cash="10000.00"))
    assert hashed["config"] == made.settings()
    assert done.run_dir.name == artifacts.run_id(
        made, hashed["data"]["fingerprint"], hashed["code"]["sources"]
    )


def test_the_name_of_a_run_depends_on_settings_data_and_code() -> None:
    made = plan(RunConfig(strategy="bollinger"))
    other = plan(RunConfig(strategy="bollinger", seed=1))
    names = {
        artifacts.run_id(made, "data", "code"),
        artifacts.run_id(other, "data", "code"),
        artifacts.run_id(made, "other data", "code"),
        artifacts.run_id(made, "data", "other code"),
    }
    assert len(names) == 4
    assert artifacts.run_id(made, "data", "code") in names
    assert all(re.fullmatch(r"bollinger-[0-9a-f]{12}", name) for name in names)


@pytest.mark.slow
def test_every_source_counts_in_the_code_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Path(artifacts.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.typed")
    copy = shutil.copytree(package, tmp_path / "kalshi_bt", ignore=ignored)
    monkeypatch.setattr(artifacts, "__file__", str(copy / "artifacts.py"))
    before = artifacts.code_version()
    sources = sorted(path for path in copy.rglob("*") if path.is_file())
    assert len(sources) > 50
    for source in sources:
        kept = source.read_bytes()
        source.write_bytes(kept + b"\n")
        assert artifacts.code_version() != before, source.relative_to(copy)
        source.write_bytes(kept)
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "run.cpython-311.pyc").write_bytes(b"compiled")
    assert artifacts.code_version() == before


# --- again ----------------------------------------------------------------------------------------


def test_a_rerun_gives_the_same_bytes(done: run.Result, one_day: Path, tmp_path: Path) -> None:
    again = kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path)
    assert contents(again.run_dir) == contents(done.run_dir)


@pytest.mark.slow
def test_another_process_with_other_threads_gives_the_same_bytes(
    done: run.Result, one_day: Path, tmp_path: Path, command: Any
) -> None:
    threads = 1 if pl.thread_pool_size() > 1 else 4
    words = ["--strategy", "bollinger", "--data", one_day, "--out", tmp_path, "--json"]
    made = command("-m", "kalshi_bt.run", *words, POLARS_MAX_THREADS=str(threads))
    assert made.returncode == 0, made.stderr
    assert contents(tmp_path / done.run_dir.name) == contents(done.run_dir)
    assert made.stdout == (done.run_dir / "metrics.json").read_text("utf-8")


SETTINGS: list[dict[str, Any]] = [
    {"mode": "reference", "fills": "naive"},
    {"fills": "optimistic", "cash": "500.5", "seed": 7, "series": "SYNHIGH,SYNGAME"},
    {"start": "2026-05-04T12:00Z", "end": "2026-05-05", "bar": "60s", "latency": "2s"},
    {
        "period": 10,
        "width": 1,
        "bar_seconds": None,
        "risk": {"max_losses": None, "max_exposure": Limit(0.5, 10**9), "daily_loss": "$50"},
    },
    {"dollars": 25, "sizing": "fixed_stake", "valid_bars": 3},
    {"preset": "small_account", "cash": "60"},
    {"sizing": "win_rate", "win_rate": 0.55, "valid_bars": 2},
]


@pytest.mark.parametrize(
    "overrides",
    [
        SETTINGS[2],
        *(pytest.param(one, marks=pytest.mark.slow) for one in SETTINGS if one is not SETTINGS[2]),
    ],
    ids=repr,
)
def test_the_settings_and_the_command_of_a_run_give_the_same_run(
    overrides: dict[str, Any], one_day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(one_day, tmp_path / "a folder at $HOME")
    asked = {"audit": overrides is SETTINGS[0]} | overrides  # to audit one of them will do
    first = kalshi_bt.backtest("bollinger", data=data, out=tmp_path / "first", **asked)
    again = ["--config", str(first.run_dir / "config.toml"), "--out", str(tmp_path / "second")]
    assert invoke(run.app, again) == 0
    report = (first.run_dir / "report.txt").read_text("utf-8")
    words = shlex.split(report.partition("REPRODUCE\n---------\n")[2])
    assert words[:3] == ["python", "-m", "kalshi_bt.run"]
    assert invoke(run.app, [*words[3:], "--out", str(tmp_path / "third")]) == 0
    capsys.readouterr()
    for place in ("second", "third"):
        assert [path.name for path in (tmp_path / place).glob("*-*")] == [first.run_dir.name]
        assert contents(tmp_path / place / first.run_dir.name) == contents(first.run_dir)


@pytest.mark.slow
def test_the_documented_levels_of_bollinger_trade_nothing_and_the_run_says_why(
    one_day: Path, tmp_path: Path
) -> None:
    found = kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path, mode="reference")
    assert found.fills.height == found.trades.height == 0
    assert found.orders.height > 5
    assert set(found.orders["side"]) == {-1}
    assert set(found.orders["reason"]) == {"stop_side"}
    text = " ".join((found.run_dir / "report.txt").read_text("utf-8").split())
    assert f"the documented levels cannot be traded: all {found.orders.height} set-ups" in text
    corrected = kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path)
    assert "cannot be traded" not in (corrected.run_dir / "report.txt").read_text("utf-8")


def test_why_nothing_was_traded_is_told_before_all_else(one_day: Path, tmp_path: Path) -> None:
    """A summary shows three notes; what a reader of an empty run wants to know is among them."""
    asked = {"source": "nowhere", "fills": "naive", "mode": "reference", "audit": False}
    done = run.backtest("kelly_volatility", data=one_day, out=tmp_path, **asked)
    assert done.orders.is_empty()
    text = " ".join((done.run_dir / "report.txt").read_text("utf-8").split())
    told = [
        "note: the signal saw no set-up in",
        "note: spot: this data says nothing of it (nowhere",
    ]
    at = [text.index(start) for start in (*told, "note: naive fills: ")]
    assert at == sorted(at)


def test_that_no_market_has_a_strike_is_told_to_who_prices_them_by_a_spot(tmp_path: Path) -> None:
    bare = panel(made_store(tmp_path, {"candles": [candle("KXBTC15M-1-A", 1, bid=10, ask=20)]}))
    struck = replace(bare, markets=bare.markets.with_columns(strike_type=pl.lit("greater")))
    for name, made, told in (
        ("kelly_volatility", bare, True),
        ("kelly_volatility", struck, False),
        ("bollinger", bare, False),
    ):
        asked = plan(RunConfig(strategy=name))
        (text,) = pipeline._silent(made, schema.INTENTS.empty(), asked)
        assert ("no market has a strike" in text) == told


@pytest.mark.parametrize(
    "fills",
    [
        "naive",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in FILLS
            if name not in {"book", "naive"}
        ),
    ],
)
def test_every_fill_model_gives_a_run_of_its_own(
    fills: str, done: run.Result, one_day: Path, tmp_path: Path
) -> None:
    found = kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path, fills=fills)
    assert (found.run_dir.name == done.run_dir.name) == (fills == "cross")
    assert fills in (found.run_dir / "report.txt").read_text("utf-8")


def test_without_recorded_books_there_is_no_depth_to_walk(one_day: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no recorded books; --fills book needs them"):
        kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path, fills="book")


@pytest.mark.slow
def test_takers_walk_recorded_books(one_day: Path, tmp_path: Path) -> None:
    """A book at each bar's end: seven contracts at the best price, the rest a cent behind."""
    into = tmp_path / "data"
    shutil.copytree(one_day, into)

    def side(name: str, step: int) -> pl.Expr:
        def level(price: pl.Expr, size: int) -> pl.Expr:
            return pl.struct(price.cast(pl.Int16).alias("price"), pl.lit(size).alias("size"))

        best = pl.col(f"{name}_close")
        two = pl.concat_list(level(best, 700), level((best + step).clip(1, 9_999), 90_000))
        return pl.when(best.is_not_null()).then(two).otherwise(pl.lit([]))

    candles = Store.open(into).scan("candles")
    books = candles.select("ticker", "time", bids=side("bid", -100), asks=side("ask", 100))
    typed = books.cast({"bids": schema.Levels, "asks": schema.Levels}).collect()
    Store.open(into).commit({"books": typed})
    chosen = {"data": into, "out": tmp_path, "fills": "book", "width": 1, "geometry": "fade_limit"}
    found = kalshi_bt.backtest("bollinger", **chosen)
    walked = found.fills.filter(pl.col("source") == "book")
    assert walked.height > 10
    assert walked.filter(pl.col("role") != "taker").is_empty()
    sizes = walked.group_by("order_id", "time").agg(pl.col("quantity").abs())
    taken = sizes.filter(pl.col("quantity").list.len() > 1)["quantity"].to_list()
    assert taken
    assert all(700 in quantities for quantities in taken)
    context = pl.read_parquet(found.run_dir / "context.parquet").join(found.trades, on="trade_id")
    parts = pl.col("gross_mid") - pl.col("spread") - pl.col("slippage")
    assert context.filter(parts.is_null()).height < context.height
    assert context.select(((parts - (pl.col("pnl") + pl.col("fees")) / 1e6).abs() < 1e-8).all())[
        0, 0
    ]
    changed = pl.read_parquet(found.run_dir / "sensitivity.parquet").rows_by_key("case", named=True)
    fees = {name: changed[name][0]["fees"] for name in ("fees_0", "base", "fees_1_5")}
    assert 0 == fees["fees_0"] < fees["base"] < fees["fees_1_5"]
    assert changed["latency_bar"][0]["net_pnl"] != changed["base"][0]["net_pnl"]


def test_a_span_and_series_leave_out_the_rest(one_day: Path, tmp_path: Path) -> None:
    found = kalshi_bt.backtest(
        "bollinger",
        data=one_day,
        out=tmp_path,
        series="SYNGAME",
        start="2026-05-04T18:00Z",
        end="2026-05-05",
        width=1,
        audit=False,
    )
    assert found.orders.height > 0
    assert found.orders["ticker"].str.starts_with("SYNGAME").all()
    low, high = found.orders.select(a=pl.col("time").min(), b=pl.col("time").max()).row(0)
    assert low.isoformat() > "2026-05-04T18:00:00+00:00"
    assert high.isoformat() <= "2026-05-05T00:00:00+00:00"


# --- the data -------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["candles", "markets", "settlements", "series"])
def test_a_truncated_file_is_named(table: str, one_day: Path, tmp_path: Path) -> None:
    lame = shutil.copytree(one_day, tmp_path / "lame")
    file = next((lame / table).rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=f"{file.name} has .* bytes"):
        kalshi_bt.backtest("bollinger", data=lame, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("table", ["candles", "markets", "settlements", "series"])
def test_a_damaged_file_is_named(table: str, one_day: Path, tmp_path: Path) -> None:
    lame = shutil.copytree(one_day, tmp_path / "lame")
    file = next((lame / table).rglob("*.parquet"))
    content = bytearray(file.read_bytes())
    content[4 : len(content) // 2] = b"X" * (len(content) // 2 - 4)
    file.write_bytes(content)
    with pytest.raises(DataError, match=file.name) as caught:
        kalshi_bt.backtest("bollinger", data=lame, out=tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_dataset_is_refused_and_left_alone(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent", tmp_path / "sample"):
        with pytest.raises(DataError, match="is no dataset"):
            kalshi_bt.backtest("bollinger", data=folder, out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_series_that_is_not_in_the_dataset_is_refused(one_day: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'SYNGAM'.*'SYNGAME'"):
        kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path, series="SYNGAM")


def test_a_parameter_that_does_not_exist_is_refused(one_day: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'perod'.*'period'"):
        kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path, perod=20)


@pytest.fixture
def short_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the sample that commands make a day long."""
    monkeypatch.setattr("kalshi_bt.data.synthetic.sample", lambda seed: sample(seed, days=1))


@pytest.mark.slow
@pytest.mark.usefixtures("short_sample")
def test_the_sample_is_made_on_first_use_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke(run.app, ["--strategy", "bollinger", "--series", "SYNGAME"]) == 0
    first = capsys.readouterr()
    store = Store.open("datasets/sample")
    assert store.synthetic
    assert "made the synthetic sample dataset in datasets/sample" in first.err
    assert "SYNTHETIC" in first.out
    assert invoke(run.app, ["--strategy", "bollinger", "--series", "SYNGAME"]) == 0
    again = capsys.readouterr()
    assert (again.out, again.err) == (first.out, "")
    assert Store.open("datasets/sample").fingerprint() == store.fingerprint()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["datasets", "reports"]


@pytest.mark.usefixtures("short_sample")
def test_a_sample_whose_making_was_cut_short_is_made_again(tmp_path: Path, one_day: Path) -> None:
    Store.create(tmp_path / "empty", name="sample", synthetic=True)
    assert run.make_sample(tmp_path / "empty", 0, lambda _: None)
    filled = Store.open(tmp_path / "empty")
    assert filled.fingerprint() == Store.open(one_day).fingerprint()
    assert filled.note == "synthetic, seed 0"
    assert not run.make_sample(tmp_path / "empty", 0, lambda _: None)
    Store.create(tmp_path / "real", name="real")
    assert not run.make_sample(tmp_path / "real", 0, lambda _: None)
    assert Store.open(tmp_path / "real").sizes() == {}


def test_the_report_shows_the_run(done: run.Result) -> None:
    text = (done.run_dir / "report.txt").read_text("utf-8")
    page = (done.run_dir / "report.html").read_text("utf-8")
    for shown in (text, page):
        assert done.run_dir.name in shown
        assert "SYNTHETIC" in shown.upper()
