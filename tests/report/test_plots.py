"""Figures for notebooks and for paper: the run's own numbers, words where there are none."""

import os
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
from PIL import Image

from kalshi_bt.errors import UsageError
from kalshi_bt.report import Run
from kalshi_bt.report.inline import render_inline
from kalshi_bt.report.plots import Plots
from kalshi_bt.result import Result
from kalshi_bt.units import MONEY_SCALE

FIGURES = ("equity", "days", "by_price", "costs", "slippage", "markouts", "evidence",
           "calibration", "sensitivity")  # fmt: skip
NASTY = "<script>alert('&')</script>"


def dollars(micro: pl.Series) -> Any:
    return micro.to_numpy() / MONEY_SCALE


def test_equity_is_the_equity_of_the_run(full_run: Run) -> None:
    above, below, held = Plots(full_run).equity().data
    path = full_run.equity
    assert [above.name, below.name, held.name] == ["Equity", "Drawdown", "Locked"]
    assert (np.array(above.x) == path["time"].dt.cast_time_unit("ms").to_numpy()).all()
    assert np.array(above.y) == pytest.approx(dollars(path["equity"]), abs=0.0051)
    assert np.array(held.y) == pytest.approx(dollars(path["locked"]), abs=0.0051)
    peak = np.maximum.accumulate([10_000.0, *dollars(path["equity"])])[1:]
    assert np.array(below.y) == pytest.approx(dollars(path["equity"]) - peak, abs=0.0102)


def test_bars_add_up_to_what_the_trades_made(full_run: Run) -> None:
    plots, made = Plots(full_run), full_run.trades_closed["pnl"].sum() / MONEY_SCALE
    assert sum(plots.by_price().data[0].y) == pytest.approx(made, abs=0.1)
    assert np.nansum(np.array(plots.days().data[0].z, float)) == pytest.approx(made)
    (steps,) = plots.costs().data
    assert dict(zip(steps.x, steps.y, strict=True))["Net"] == pytest.approx(made, abs=0.0051)
    fees = full_run.trades_closed["fees"].sum() / MONEY_SCALE
    assert dict(zip(steps.x, steps.y, strict=True))["Fees"] == pytest.approx(-fees, abs=0.0051)
    (cases,) = plots.sensitivity().data
    nets = dict(full_run.sensitivity.select("case", "net_pnl").iter_rows())
    shown = dict(zip(cases.x, cases.y, strict=True))
    assert shown == pytest.approx({k: v / MONEY_SCALE for k, v in nets.items()}, abs=0.0051)


@pytest.mark.parametrize("point", ["first", "1h"])
def test_calibration_holds_the_buckets_of_its_moment(full_run: Run, point: str) -> None:
    drawn = Plots(full_run).calibration(point).data
    for source, trace in zip(("signal", "price"), drawn[1:], strict=True):
        rows = full_run.tables["reliability"].filter(point=point, source=source)
        assert trace.y == pytest.approx(rows["hit_rate"].to_list(), abs=1e-4)
        low = np.array(trace.y) - np.array(trace.error_y.arrayminus)
        assert low == pytest.approx(rows["cluster_low"].to_numpy(), abs=2e-4)
    with pytest.raises(UsageError, match="2h"):
        Plots(full_run).calibration("2h")


def test_paper_holds_the_numbers_of_the_screen(full_run: Run) -> None:
    plots = Plots(full_run)
    screen, paper = plots.equity(), plots.equity(static=True)
    for trace, axis in zip(screen.data, paper.axes, strict=True):
        assert axis.lines[0].get_ydata() == pytest.approx(np.array(trace.y))
    bars = [patch.get_height() for patch in plots.by_price(static=True).axes[0].patches]
    assert bars == pytest.approx(list(plots.by_price().data[0].y))
    (steps,) = plots.costs().data
    drawn = plots.costs(static=True).axes[0].patches
    ends = {name: bar.get_y() + bar.get_height() for name, bar in zip(steps.x, drawn, strict=True)}
    made = full_run.trades_closed["pnl"].sum() / MONEY_SCALE
    assert ends["Net"] == pytest.approx(made, abs=0.0051)
    assert ends["Fees"] == pytest.approx(made, abs=0.03)  # each step is rounded to the cent


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_both_ways_and_says_that_data_were_made_up(
    full_run: Run, name: str
) -> None:
    draw = getattr(Plots(full_run), name)
    screen, paper = draw(), draw(static=True)
    assert screen.data
    assert paper.axes
    assert "bollinger on made-up coins (generated data)" in screen.layout.title.text
    assert "bollinger on made-up coins (generated data)" in paper.texts[0].get_text()
    assert '"--' not in screen.to_json()  # every colour is a colour
    paper.savefig(BytesIO(), format="png")


@pytest.mark.parametrize("name", FIGURES)
def test_a_run_without_a_trade_says_why_in_words(idle_run: Run, name: str) -> None:
    draw = getattr(Plots(idle_run), name)
    screen, paper = draw(), draw(static=True)
    assert not screen.data
    (said,) = screen.layout.annotations
    assert said.text[:3] in {"No ", "Not"}
    assert [text.get_text() for text in paper.axes[0].texts] == [said.text]
    assert Image.open(BytesIO(paper._repr_png_())).format == "PNG"


@pytest.mark.parametrize("name", ["equity", "days", "calibration", "evidence"])
@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_a_file_opens_and_is_the_same_each_time(
    full_run: Run, tmp_path: Path, name: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = getattr(Plots(full_run), name)
    first, second = tmp_path / f"a.{form}", tmp_path / f"b.{form}"
    draw(static=True).savefig(first)
    monkeypatch.setitem(mpl.rcParams, "font.size", 30)  # the settings of someone else
    monkeypatch.setitem(mpl.rcParams, "axes.grid", True)
    monkeypatch.setitem(os.environ, "SOURCE_DATE_EPOCH", "1")
    draw(static=True).savefig(second)
    content = first.read_bytes()
    assert content == second.read_bytes()
    if form == "png":
        assert Image.open(BytesIO(content)).size[0] == 1_200
    elif form == "svg":
        assert ET.fromstring(content).tag.endswith("svg")  # noqa: S314 - our own
    else:
        assert content.startswith(b"%PDF-")
        assert b"CreationDate" not in content


def test_texts_of_the_data_are_texts(build_run: Callable[..., Run]) -> None:
    run = build_run(trades=1, markets=2, bars=60, compared=False, strategy=NASTY, dataset="$1$")
    assert "&lt;script&gt;" in Plots(run).equity().layout.title.text
    paper = Plots(run).equity(static=True)
    assert NASTY in paper.texts[0].get_text()
    paper.savefig(BytesIO(), format="svg")  # "$1$" is no formula


def test_a_cell_shows_the_verdict_the_numbers_and_a_path(full_run: Run) -> None:
    page = ET.fromstring(render_inline(full_run))  # noqa: S314 - our own
    text = "".join(page.itertext())
    assert "generated data" in text
    assert "Net P&L" in text
    interval = full_run.scores["net_pnl"]["interval"]
    assert f"{abs(float(interval['low'])):,.2f}" in text
    (line,) = page.iter("polyline")
    corners = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
    x, y = zip(*corners, strict=True)
    assert list(x) == sorted(x)
    assert (min(x), max(x)) == (0, 480)
    time, least = full_run.equity["time"], full_run.equity["equity"].arg_min()
    when = (time[least] - time[0]) / (time[-1] - time[0])
    assert x[y.index(max(y))] == pytest.approx(480 * when, abs=0.1)


def test_a_cell_runs_nothing_and_escapes_every_text(
    full_run: Run, idle_run: Run, tmp_path: Path
) -> None:
    titled = full_run.markets.with_columns(title=pl.lit(NASTY), ticker=pl.lit(NASTY))
    told = replace(full_run, strategy=NASTY, dataset=NASTY, audit=NASTY, run_id=NASTY,
                   markets=titled)  # fmt: skip
    for run in (told, replace(idle_run, strategy=NASTY)):
        page = Result.of(run, tmp_path)._repr_html_()
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        assert ET.fromstring(page).tag == "div"  # noqa: S314 - our own
    assert "polyline" not in page  # of the idle run


def test_a_result_has_these_plots(full_run: Run, tmp_path: Path) -> None:
    assert Result.of(full_run, tmp_path).plot == Plots(full_run)


def test_a_result_at_a_prompt_is_one_line_that_names_its_run(full_run: Run, tmp_path: Path) -> None:
    result = Result.of(full_run, tmp_path)
    for shown in (repr(result), repr(result.plot), repr(result.run)):
        assert full_run.run_id in shown
        assert "\n" not in shown
        assert len(shown) < 100 + len(str(tmp_path))
    assert str(tmp_path) in repr(result)
