"""The folder of a run holds all its report shows, and says when it does not."""

import json
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
from finished_runs import RUNS

import kalshi_bt
from kalshi_bt import run_folder
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.report import Run, render_html, render_text

Copy = Callable[[str], Path]


def sealed(folder: Path) -> None:
    """Write the manifest anew, as if the run had written the files as they are."""
    told = json.loads((folder / "manifest.json").read_text())
    told["files"] = run_folder.hashes(folder)
    (folder / "manifest.json").write_text(json.dumps(told))


@pytest.mark.parametrize("name", RUNS)
def test_a_loaded_run_renders_to_the_very_bytes_of_its_folder(
    name: str, finished: Path, named: dict[str, str]
) -> None:
    folder = finished / named[name]
    run = run_folder.load(folder)
    assert render_text(run).encode() == (folder / "report.txt").read_bytes()
    assert render_html(run).encode() == (folder / "report.html").read_bytes()
    assert run_folder.metrics_text(run.scores).encode() == (folder / "metrics.json").read_bytes()


def test_a_loaded_result_is_the_result_that_was_returned(one_day: Path, tmp_path: Path) -> None:
    first = kalshi_bt.backtest("bollinger", data=one_day, out=tmp_path, width=1.5)
    again = kalshi_bt.load(first.run_dir)
    assert again.metrics == first.metrics
    assert (again.summary, again.run_dir) == (first.summary, first.run_dir)
    for name in ("orders", "fills", "trades", "equity"):
        assert getattr(again, name).equals(getattr(first, name)), name
        assert getattr(again, name).schema == getattr(first, name).schema, name
    for field in fields(Run):
        one, other = (getattr(result.run, field.name) for result in (first, again))
        if isinstance(one, pl.DataFrame):
            assert one.equals(other), field.name
            assert one.schema == other.schema, field.name
        elif field.name in {"charts", "tables"}:
            assert list(one) == list(other)
            assert all(one[name].equals(other[name]) for name in one)
        else:
            assert json.dumps(one) == json.dumps(other), field.name
    assert again._repr_html_() == first._repr_html_()
    assert again.plot.equity().to_json() == first.plot.equity().to_json()
    drawn = []
    for result in (first, again):
        page = BytesIO()
        result.plot.equity(static=True).savefig(page, format="svg")
        drawn.append(page.getvalue())
    assert drawn[0] == drawn[1]


def test_a_run_of_odd_texts_and_frames_comes_back(usual: kalshi_bt.Result, tmp_path: Path) -> None:
    ticker, chart = next(iter(usual.run.charts.items()))
    odd = replace(
        usual.run,
        strategy='</script>\u2028"é\\',
        charts={"empty": chart.clear(), ticker: chart},
        payouts={"empty": None, ticker: 0.1 + 0.2},
        rejections=pl.DataFrame({"reason": [None, "a\nb"], "count": [2**40, 1]}),
        notes=[],
        trials=[],
    )
    run_folder.write(odd, tmp_path)
    (tmp_path / "manifest.json").write_text('{"run_id": "x"}')
    sealed(tmp_path)
    back = run_folder.load(tmp_path)
    assert (back.strategy, back.payouts) == (odd.strategy, odd.payouts)
    assert list(back.charts) == ["empty", ticker]
    assert back.charts["empty"].equals(chart.clear())
    assert back.charts[ticker].equals(chart)
    assert back.rejections.equals(odd.rejections)


@pytest.mark.parametrize("suffix", ["html", "txt", "json"])
def test_a_result_writes_its_report_in_the_form_the_name_says(
    suffix: str, usual: kalshi_bt.Result, tmp_path: Path
) -> None:
    twin = {"html": "report.html", "txt": "report.txt", "json": "metrics.json"}[suffix]
    written = usual.report(tmp_path / "new" / f"mine.{suffix}")
    assert written.read_bytes() == (usual.run_dir / twin).read_bytes()


def test_a_form_no_report_has_is_refused(usual: kalshi_bt.Result, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown form of a report 'pdf'"):
        usual.report(tmp_path / "mine.pdf")
    assert not list(tmp_path.iterdir())


# --- folders that are not as a run left them ------------------------------------------------------

READ = sorted(
    [f"{f.name}.parquet" for f in fields(Run) if f.type is pl.DataFrame]
    + ["charts.parquet", "metrics.json", "run.json", "tables-drawdowns.parquet"]
)


@pytest.mark.parametrize("file", READ)
@pytest.mark.parametrize("how", ["gone", "flipped", "cut", "empty"])
def test_damage_of_any_file_it_reads_is_said(file: str, how: str, copy: Copy) -> None:
    path = copy("usual") / file
    content = path.read_bytes()
    half = len(content) // 2
    match how:
        case "gone":
            path.unlink()
        case "flipped":
            path.write_bytes(content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :])
        case "cut":
            path.write_bytes(content[:half])
        case "empty":
            path.write_bytes(b"")
    with pytest.raises(
        DataError, match=rf"{file}.* (is missing|is not what the run wrote)"
    ) as told:
        run_folder.load(path.parent)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run_id": 3}', "\x00", '{"run_id"'])
def test_a_damaged_manifest_is_said(text: str, copy: Copy) -> None:
    folder = copy("usual")
    (folder / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest.json.*damaged"):
        run_folder.load(folder)


def test_a_folder_of_another_version_is_said(copy: Copy) -> None:
    folder = copy("usual")
    rest = json.loads((folder / "run.json").read_text())
    for changed in (rest | {"format": 0}, rest | {"more": 1}, {"format": 1, "charts": []}):
        (folder / "run.json").write_text(json.dumps(changed))
        sealed(folder)
        with pytest.raises(DataError, match="left by another version"):
            run_folder.load(folder)
    told = json.loads((folder / "manifest.json").read_text())
    del told["files"]  # as before folders could be read back
    (folder / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(DataError, match="left by another version"):
        run_folder.load(folder)


def test_what_is_no_run_is_said(tmp_path: Path, copy: Copy) -> None:
    for made in (tmp_path / "mine", tmp_path / "file"):
        made.write_text("") if made.name == "file" else made.mkdir()
    with pytest.raises(DataError, match=r"not the folder of a run: it has no manifest\.json"):
        run_folder.load(tmp_path / "mine")
    for absent in ("file", "absent"):
        with pytest.raises(DataError, match="is no folder"):
            run_folder.load(tmp_path / absent)
    with pytest.raises(DataError, match="has no simulation"):
        run_folder.load(copy("agents"))


def test_a_moved_and_renamed_run_is_the_same(copy: Copy, tmp_path: Path) -> None:
    folder = copy("usual")
    moved = Path(shutil.move(folder, tmp_path / "elsewhere"))
    assert run_folder.load(moved).run_id == folder.name


# --- names ----------------------------------------------------------------------------------------


@pytest.fixture
def three(tmp_path: Path) -> Path:
    for name in ("bollinger-1a", "bollinger-1b", "longshot-2", ".bollinger-desk"):
        (tmp_path / name).mkdir()
    (tmp_path / "bollinger-file").write_text("")
    return tmp_path


def test_a_run_is_found_by_folder_by_id_and_by_the_beginning_of_one(three: Path) -> None:
    assert run_folder.find("bollinger-1a", three).name == "bollinger-1a"
    assert run_folder.find("l", three).name == "longshot-2"
    assert run_folder.find(str(three / "longshot-2"), Path("nowhere")) == three / "longshot-2"


def test_an_id_that_begins_another_is_meant_itself(three: Path) -> None:
    (three / "bollinger-1").mkdir()
    assert run_folder.find("bollinger-1", three).name == "bollinger-1"


def test_names_of_no_run_or_of_several_are_refused(three: Path) -> None:
    with pytest.raises(UsageError, match=r"begins 2 runs in .*: bollinger-1a, bollinger-1b"):
        run_folder.find("bollinger-1", three)
    with pytest.raises(
        UsageError, match=r"unknown run in .* 'longshto-2'.*did you mean 'longshot-2'"
    ):
        run_folder.find("longshto-2", three)
    with pytest.raises(UsageError, match="known: none"):
        run_folder.find("x", three / "absent")
    with pytest.raises(UsageError, match="empty name"):
        run_folder.find(" ", three)
