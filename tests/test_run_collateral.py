"""Whether collateral is returned: what a dataset says of its account, and what settings say."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import kalshi_bt
from kalshi_bt import cli
from kalshi_bt.config import layered
from kalshi_bt.data.store import Store
from kalshi_bt.data.synthetic import sample
from kalshi_bt.errors import UsageError
from kalshi_bt.plan import plan
from kalshi_bt.run import Result
from kalshi_bt.simulator.assumptions import Risk
from kalshi_bt.sizing import FixedStake
from kalshi_bt.strategies import STRATEGIES, Strategy
from kalshi_bt.terminal import invoke

pytestmark = pytest.mark.usefixtures("settings_only_from_here")
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def games(one_day: Path, tmp_path: Path) -> Path:
    """The first day of the sample, whose games are two markets each of which one pays."""
    shutil.copytree(one_day, tmp_path / "games")
    return tmp_path / "games"


# --- what a dataset says --------------------------------------------------------------------------


def of_rows(folder: Path) -> str:
    """The fingerprint of the stored rows, from the manifest as it is written."""
    tables = json.loads((folder / "dataset.json").read_text("utf-8"))["tables"]
    rows = [
        [name, part["series"], part["month"], sum(f["rows"] for f in part["files"]), part["digest"]]
        for name in sorted(tables)
        if name != "coverage"
        for part in tables[name]
    ]
    return hashlib.sha256(json.dumps(["rows", rows]).encode()).hexdigest()


def test_a_dataset_is_marked_and_the_mark_taken_back(games: Path) -> None:
    store, before = Store.open(games), (games / "dataset.json").read_bytes()
    assert (store.collateral, store.fingerprint()) == (False, of_rows(games))
    assert b"collateral" not in before
    store.mark(collateral=True)
    found = Store.open(games)
    assert (store.collateral, found.collateral) == (True, True)
    assert found.fingerprint() == store.fingerprint() != of_rows(games)
    assert found.read("candles").equals(store.read("candles"))
    # It stays through a change of the rows, and the rows through a change of it.
    marked = found.fingerprint()
    markets = found.read("markets")
    found.commit({"markets": markets}, drop={"markets": markets.head(1)})
    assert Store.open(games).collateral
    assert Store.open(games).fingerprint() == marked
    found.mark(collateral=False)
    assert not Store.open(games).collateral
    assert Store.open(games).fingerprint() == of_rows(games)
    assert b"collateral" not in (games / "dataset.json").read_bytes()


def test_a_dataset_is_made_with_the_mark(tmp_path: Path) -> None:
    for on in (True, False):
        made = Store.create(tmp_path / str(on), name="x", collateral=on)
        assert made.collateral is Store.open(tmp_path / str(on)).collateral is on


def said(capsys: Captured, *words: object) -> str:
    assert invoke(cli.app, [str(word) for word in words]) == 0
    return capsys.readouterr()[0]


def test_the_verb_marks_and_info_tells(games: Path, capsys: Captured) -> None:
    plain = Store.open(games).fingerprint()
    assert "collateral" not in said(capsys, "info", games)
    assert json.loads(said(capsys, "info", games, "--json"))["collateral"] is False
    assert said(capsys, "mark", games, "--collateral").startswith("collateral is returned; ")
    assert "\ncollateral is returned\n" in said(capsys, "info", games)
    facts = json.loads(said(capsys, "info", games, "--json"))
    assert facts["collateral"] is True
    assert facts["fingerprint"] != plain
    found = json.loads(said(capsys, "mark", games, "--no-collateral", "--json"))
    assert found == {"collateral": False, "fingerprint": plain}
    assert invoke(cli.app, ["mark", str(games)]) == 2
    assert "--collateral or --no-collateral" in capsys.readouterr()[1]


def test_what_makes_a_dataset_can_mark_it(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalshi_bt.data.synthetic.sample", lambda seed: sample(seed, days=1))
    said(capsys, "sample", "--into", tmp_path / "sample", "--collateral")
    assert Store.open(tmp_path / "sample").collateral
    prices = tmp_path / "btc.csv"
    prices.write_text("time,open,high,low,close,volume\n1767614400,1,1,1,1,1\n")
    words = ["import", "--layout", "spot", "--symbol", "BTC-USD", prices, "--into"]
    said(capsys, *words, tmp_path / "plain")
    said(capsys, *words, tmp_path / "spot", "--collateral")
    assert not Store.open(tmp_path / "plain").collateral
    assert Store.open(tmp_path / "spot").collateral
    # Once marked it stays so, whatever is added.
    said(capsys, *words, tmp_path / "spot")
    assert Store.open(tmp_path / "spot").collateral


# --- what a run makes of it -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "marked", "returned"),
    [
        ("auto", True, True),
        ("auto", False, False),
        ("true", False, True),
        ("false", True, False),
        (True, False, True),
        (False, True, False),
        (None, True, True),
    ],
)
def test_settings_win_over_the_dataset(
    tmp_path: Path,
    given: Any,
    marked: bool,  # noqa: FBT001
    returned: bool,  # noqa: FBT001
) -> None:
    store = Store.create(tmp_path / "x", name="x", collateral=marked)
    asked = {} if given is None else {"assumptions": {"collateral": given}}
    made = plan(layered(None, {}, {"strategy": "bollinger", **asked}, []))
    assert made.on(store).rules.collateral is returned
    assert made.on(store).on(store) == made.on(store)
    assert made.on(store).settings() == made.settings()


def test_a_setting_that_is_neither_is_refused() -> None:
    with pytest.raises(UsageError, match="'maybe'; expected true or false, or auto"):
        layered(None, {}, {"strategy": "bollinger"}, ["collateral=maybe"])


@dataclass(frozen=True)
class Doubter:
    """YES is worth ten cents at any time."""

    lookback: int = 1

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        return quotes.with_columns(fair=pl.lit(0.1))


def run(data: Path, out: Path, **given: Any) -> Result:
    """Buy NO of both sides of every game, with too little money for all, until one ends."""
    markets = Store.open(data).read("settlements").filter(pl.col("ticker").str.starts_with("SYNG"))
    end = markets["time"].min().isoformat()  # type: ignore[union-attr]
    games = {"series": "SYNGAME", "cash": "30", "end": end}
    return kalshi_bt.backtest("doubter", data, out=out, **games, **given)


@pytest.mark.slow
def test_a_run_returns_what_the_dataset_says(
    games: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idea = Strategy(
        idea="Doubt.",
        signal=Doubter(),
        reference=Doubter(),
        sizing=FixedStake(dollars=10.0),
        risk=Risk(),
        reference_risk=Risk(),
    )
    monkeypatch.setitem(STRATEGIES, "doubter", idea)
    locked = run(games, tmp_path)
    asked = run(games, tmp_path, collateral=True)
    Store.open(games).mark(collateral=True)
    marked = run(games, tmp_path)
    refused = run(games, tmp_path, collateral=False)
    assert marked.fills.equals(asked.fills)
    assert refused.fills.equals(locked.fills)
    # A pair of NO pays a dollar for sure: without it no more than the cash can be at work.
    most = [float(r.metrics["exposure_max"]["value"]) for r in (locked, marked)]
    assert most[0] <= 30 < most[1], most
    for result, returned in ((locked, False), (asked, True), (marked, True), (refused, False)):
        manifest = json.loads((result.run_dir / "manifest.json").read_text("utf-8"))
        assert manifest["hashed"]["collateral"] is returned
        lines = (result.run_dir / "report.txt").read_text("utf-8").splitlines()
        (line,) = (line for line in lines if line.split()[:1] == ["collateral"])
        assert line.split()[1] == str(returned)
    assert len({r.run_dir for r in (locked, asked, marked, refused)}) == 4
