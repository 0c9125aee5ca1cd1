"""Runs side by side: exact differences, what a reader must know, and a page that runs no data."""

import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

import kalshi_bt
from kalshi_bt import cli, run_folder
from kalshi_bt.comparison import as_json, compare, text
from kalshi_bt.errors import UsageError
from kalshi_bt.report.comparison import Comparison, names, render_comparison
from kalshi_bt.report.figures.overlay import overlay_figure
from kalshi_bt.run_schema import CONTEXT
from kalshi_bt.terminal import invoke

_BYTES = io.BytesIO()
CONTEXT.empty().write_parquet(_BYTES)
CONTEXT_EMPTY = _BYTES.getvalue()
Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="session")
def three(finished: Path, named: dict[str, str]) -> Comparison:
    return compare([finished / named[name] for name in ("usual", "wide", "idle")])


def test_every_metric_of_every_run_and_its_difference_stand_there(three: Comparison) -> None:
    told = as_json(three)
    first, *others = three.runs
    assert list(told["metrics"]) == list(first.scores)
    for name, row in told["metrics"].items():
        assert row["values"] == [run.scores[name]["value"] for run in three.runs]
        for run, cell in zip(others, row["differences"], strict=True):
            mine, theirs = run.scores[name]["value"], first.scores[name]["value"]
            if mine is None or theirs is None:
                assert cell["value"] is None
            elif isinstance(mine, str):
                assert Decimal(cell["value"]) == Decimal(mine) - Decimal(theirs)
            else:
                assert cell["value"] == mine - theirs
    json.dumps(told, allow_nan=False)


def test_a_difference_of_paired_numbers_has_an_interval_or_a_reason(three: Comparison) -> None:
    for name in ("net_pnl", "expectancy", "win_rate", "roi_stake"):
        for cell in three.differences[name]:
            assert (cell.interval is None) == bool(cell.reason), name
            if cell.interval is not None and cell.value is not None:
                low, high = (Decimal(str(cell.interval[end])) for end in ("low", "high"))
                assert low <= Decimal(str(cell.value)) <= high
    assert all(cell.interval is None for cell in three.differences["fees"])


@pytest.mark.slow
def test_intervals_are_shown_where_enough_events_were_traded(
    finished: Path, named: dict[str, str], tmp_path: Path
) -> None:
    folders = []
    for name in ("usual", "wide"):  # as if every trade were a market and event of its own
        folder = Path(shutil.copytree(finished / named[name], tmp_path / named[name]))
        trades = pl.read_parquet(folder / "trades_closed.parquet")
        own = pl.lit(f"{name}-") + pl.col("trade_id").cast(pl.String)
        trades = trades.with_columns(ticker=own, event=own, exit_reason=pl.lit("stop"))
        trades.write_parquet(folder / "trades_closed.parquet")
        (folder / "context.parquet").write_bytes(CONTEXT_EMPTY)
        told = json.loads((folder / "manifest.json").read_text())
        told["files"] = run_folder.hashes(folder)
        (folder / "manifest.json").write_text(json.dumps(told))
        folders.append(folder)
    found = compare(folders)
    (cell,) = found.differences["net_pnl"]
    assert cell.interval is not None
    assert cell.interval["n_clusters"] == sum(run.trades_closed.height for run in found.runs)
    assert float(cell.interval["low"]) < float(str(cell.value)) < float(cell.interval["high"])
    page = render_comparison(found)
    for where in (text(found), page):
        assert re.search(r"[+−]\$[\d.]+ to [+−]\$[\d.]+", where)
    assert f"B: {cell.interval['n_clusters']} events, paired bootstrap of whole clusters" in page


def test_only_settings_that_differ_are_listed(three: Comparison) -> None:
    assert three.settings == {"signal.width": ["2.0", "1.5", "4.5"]}


def test_the_place_among_all_trials_to_date_is_told(three: Comparison) -> None:
    assert [place["trial"] for place in three.standings] == [1, 2, 3]
    assert {place["trials"] for place in three.standings} == {4}


def test_other_data_spans_code_and_open_positions_are_noted(
    finished: Path, named: dict[str, str], tmp_path: Path
) -> None:
    folders = [finished / named["usual"]]
    other = Path(shutil.copytree(folders[0], tmp_path / "other"))
    told = json.loads((other / "manifest.json").read_text())
    rest = json.loads((other / "run.json").read_text())
    scores = json.loads((other / "metrics.json").read_text())
    rest["run_id"], scores["unsettled"]["value"] = "bollinger-other", 3
    told["span"][0] = "2020-01-01T00:00:00+00:00"
    told["hashed"]["data"] |= {"fingerprint": "f" * 64, "name": "elsewhere"}
    told["hashed"]["code"]["sources"] = "0"
    told["hashed"]["libraries"]["polars"] = "0"
    (other / "run.json").write_text(json.dumps(rest))
    (other / "metrics.json").write_text(json.dumps(scores))
    told["files"] = run_folder.hashes(other)
    (other / "manifest.json").write_text(json.dumps(told))
    found = compare([*folders, other])
    notes = "\n".join(found.notes)
    for said in (
        "bollinger-other ran on other data than bollinger-",
        "elsewhere (ffffffffffff), not one-day",
        "bollinger-other saw another span",
        "2020-01-01T00:00 to",
        "made with other code",
        "made with other libraries",
        "bollinger-other ends with 3 open positions",
        "synthetic",
    ):
        assert said in notes
    assert found.differences["net_pnl"][0].reason == "positions were open at the end"
    assert found.standings[1]["trial"] is None
    for said in found.notes:
        assert said in text(found)


def test_runs_of_the_same_data_and_code_have_no_such_note(three: Comparison) -> None:
    assert len(three.notes) == 1
    assert "synthetic" in three.notes[0]


def test_fewer_than_two_and_the_same_twice_are_refused(
    finished: Path, named: dict[str, str], tmp_path: Path, capsys: Captured
) -> None:
    usual = finished / named["usual"]
    with pytest.raises(UsageError, match="needs two runs or more"):
        compare([usual])
    with pytest.raises(UsageError, match="is named twice"):
        compare([usual, Path(shutil.copytree(usual, tmp_path / "copy"))])
    for words, said in (
        ([named["usual"]], "needs two runs"),
        ([named["usual"], "absent"], "unknown run in"),
        ([named["usual"], named["agents"]], "has no simulation"),
    ):
        assert invoke(cli.app, ["compare", *words, "--in", str(finished)]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert said in err


def test_the_command_shows_text_json_and_leaves_a_page(
    finished: Path, named: dict[str, str], three: Comparison, tmp_path: Path, capsys: Captured
) -> None:
    ids = [named[name] for name in ("usual", "wide", "idle")]
    page = tmp_path / "new" / "page.html"
    words = ["compare", *ids, "--in", str(finished)]
    assert invoke(cli.app, [*words, "--out", str(page)]) == 0
    out = capsys.readouterr().out
    assert out == text(three) + f"\nwrote {page}\n"
    for word in ("Net P&L", "B - A", "C - A", "signal.width", *ids):
        assert word in out
    assert page.read_text("utf-8") == render_comparison(three)
    assert invoke(cli.app, [*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(as_json(three)))


def test_of_many_runs_no_number_is_cut_off_and_no_line_looks_like_another(
    three: Comparison,
) -> None:
    first, second, _ = three.runs
    many = replace(
        three,
        runs=[first, *(replace(second, run_id=f"bollinger-{n}") for n in range(12))],
        differences={name: [cells[0]] * 12 for name, cells in three.differences.items()},
        settings={"signal.width": ["2.0", *map(str, range(12))]},
        standings=[three.standings[0], *[three.standings[1]] * 12],
    )
    told = text(many)
    assert "…" not in told
    assert max(map(len, told.splitlines())) <= 200
    for name in names(13)[1:]:
        assert re.search(rf"^metric .* {name} - A ", told, re.MULTILINE), name
    row = re.compile(r"^Net P&L  .*", re.MULTILINE)
    amounts = [len(re.findall(r"\$", line)) for line in row.findall(told)]
    assert len(amounts) == 4  # tables, of the first run and three others
    assert len(set(amounts)) == 1
    figure = overlay_figure({f"{n}": run for n, run in enumerate(many.runs)})
    assert figure
    looks = [(t["line"]["color"], t["line"]["dash"]) for t in figure["data"]]
    assert len(set(looks)) == len(looks) == 13


def test_many_runs_have_names() -> None:
    assert names(28)[24:] == ["Y", "Z", "Run 27", "Run 28"]
    assert len(set(names(200))) == 200


# --- the page -------------------------------------------------------------------------------------

ATTACK = "<script>document.documentElement.dataset.pwned=1</script>"


def attacked(found: Comparison) -> Comparison:
    runs = [
        replace(run, strategy=ATTACK, dataset=f"{ATTACK}{n}", run_id=f"</script>{ATTACK}{n}")
        for n, run in enumerate(found.runs)
    ]
    settings = {ATTACK: [f"{ATTACK}{n}" for n in range(len(runs))]}
    return replace(found, runs=runs, settings=settings, notes=[ATTACK])


def test_no_text_of_a_run_becomes_markup(three: Comparison) -> None:
    page = render_comparison(attacked(three))
    assert ATTACK not in page
    assert page.count("<script") == render_comparison(three).count("<script") == 4
    assert "&lt;script&gt;document.documentElement.dataset.pwned=1" in page


def test_the_page_asks_for_nothing(three: Comparison) -> None:
    page = render_comparison(three)
    head = page[: page.index("<body>")]
    assert "default-src 'none'" in head
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"https?:|//", markup)
    assert len(page) < 6_000_000
    assert render_comparison(three) == page


def test_runs_without_a_trade_have_a_reason_and_no_plot(three: Comparison) -> None:
    idle = replace(three.runs[2], equity=three.runs[2].equity.clear())
    page = render_comparison(replace(three, runs=[idle, idle, idle]))
    assert "None of these runs traded." in page
    assert 'id="plot-equity"' not in page


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_browser_draws_the_page_without_an_error_or_a_request(
    theme: str, three: Comparison, tmp_path: Path
) -> None:
    known = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, known)), None)
    if browser is None:
        pytest.skip("no browser on the PATH")
    for number, found in enumerate((three, attacked(three))):
        path = tmp_path / f"{number}.html"
        path.write_text(render_comparison(found), encoding="utf-8")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--dump-dom",
                 "--enable-logging=stderr", "--v=0", "--virtual-time-budget=20000",
                 "--window-size=390,900", f"--user-data-dir={tmp_path / 'profile'}"]  # fmt: skip
        done = subprocess.run(
            [browser, *flags, f"{path.as_uri()}#{theme}"],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        root = re.search(r"<html([^>]*)>", done.stdout)
        assert root
        facts = dict(re.findall(r'data-([a-z-]+)="([^"]*)"', root[1]))
        assert (facts["ready"], facts["errors"], facts["plots"]) == ("1", "0", "1"), facts
        assert (facts["requests"], facts["theme"]) == ("0", theme)
        assert "pwned" not in facts
        assert "CONSOLE" not in done.stderr


def test_a_result_knows_its_run(usual: kalshi_bt.Result) -> None:
    assert usual.run.run_id == usual.run_dir.name
