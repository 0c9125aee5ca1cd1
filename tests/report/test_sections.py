"""The sections of the page: their order, what each shows, and what it says when it has nothing."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from kalshi_bt.metrics import METRICS, Book, tables
from kalshi_bt.report import Run, render_html, render_text
from kalshi_bt.report.certainty import between, grounds
from kalshi_bt.report.sections import SECTIONS
from kalshi_bt.report.sections.collateral import LIMITS
from kalshi_bt.report.sections.headline import FIRST
from kalshi_bt.report.sections.uncertainty import uncertainty
from kalshi_bt.report.wording import REASONS, micro, shown
from kalshi_bt.schema import EQUITY, FILLS, ORDERS, TRADES_CLOSED
from kalshi_bt.simulator.state import REASONS as SIMULATED

ORDER = [
    "headline", "assumptions", "equity", "calendar", "calibration", "prices", "breakdown",
    "timing", "costs", "fills", "collateral", "uncertainty", "trades", "run",
]  # fmt: skip
NO_TABLE = {"forecasts", "context", "fill_quality", "sensitivity"}


def section(page: str, anchor: str) -> str:
    """Return the words of one section, tags dropped."""
    found = re.search(rf'<section id="{anchor}".*?</section>', page, re.DOTALL)
    assert found
    words = re.sub(r"<[^>]*>", " ", found[0]).replace("&amp;", "&").replace("&#39;", "'")
    return " ".join(words.split())


def bare(run: Run, *names: str) -> Run:
    """Return a run that kept none of some tables, nor what was computed from them."""
    none = {name: getattr(run, name).clear() for name in names or NO_TABLE}
    return replace(run, **none, tables={})


def tables_of(forecasts: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return the tables behind the scores of a run that opined and never traded."""
    none = {"orders": ORDERS, "fills": FILLS, "trades_closed": TRADES_CLOSED, "equity": EQUITY}
    frames = {name: table.empty() for name, table in none.items()}
    return tables(Book(**frames, initial_cash=0, forecasts=forecasts))


@pytest.fixture(scope="module")
def full_page(full_run: Run) -> str:
    return render_html(full_run)


def test_the_sections_stand_in_their_order(full_page: str) -> None:
    assert re.findall(r'<section id="([a-z]+)"', full_page) == ORDER
    links = re.findall(r'<li><a href="#([a-z]+)">([^<]+)</a>', full_page)
    assert [anchor for anchor, _ in links] == ORDER
    assert len({name for _, name in links}) == len(ORDER)


def test_every_plot_of_the_page_has_a_figure_and_every_figure_a_plot(full_page: str) -> None:
    island = re.search(r'<script type="application/json" id="island">(.*?)</script>', full_page)
    assert island
    figures = set(json.loads(island[1])["figures"])
    plots = set(re.findall(r'<div class="plot" id="([a-z-]+)"', full_page))
    assert plots == figures | {"plot-reliability", "plot-market"}


# --- a run with little in it: the reason, never an empty plot ---


def test_an_idle_run_gives_the_reason_in_every_section(idle_run: Run) -> None:
    page = render_html(idle_run)
    assert 'class="plot"' not in page
    for anchor in ORDER[2:]:
        if anchor != "run":
            found = re.search(rf'<section id="{anchor}".*?</section>', page, re.DOTALL)
            assert found
            assert 'class="empty"' in found[0], anchor
    assert "the strategy asked for no order" in section(page, "assumptions")


def test_a_run_without_the_new_tables_says_what_is_missing(full_run: Run) -> None:
    page = render_html(bare(full_run))
    assert "sensitivity=false" in section(page, "assumptions")
    assert "Nothing to judge" in section(page, "calibration")
    assert "no edge was expected" in section(page, "prices")
    assert "kept no quotes for its fills" in section(page, "fills")
    assert "not known" in section(page, "breakdown")  # the category
    plots = set(re.findall(r'<div class="plot" id="([a-z-]+)"', page))
    assert plots == {"plot-equity", "plot-calendar", "plot-prices", "plot-left", "plot-hours",
                     "plot-costs", "plot-locked", "plot-market"}  # fmt: skip


def test_a_run_of_one_trade_renders_every_section(build_run: Callable[..., Run]) -> None:
    run = build_run(trades=1, markets=1)
    assert run.trades_closed.height == 1
    page = render_html(run)
    assert re.findall(r'<section id="([a-z]+)"', page) == ORDER
    assert "NaN" not in section(page, "calibration") + section(page, "fills")
    assert "[" not in section(page, "fills")  # one event: no interval


def test_unsettled_markets_are_no_calibration(full_run: Run) -> None:
    open_ended = full_run.forecasts.with_columns(outcome=pl.lit(None, dtype=pl.Float64))
    run = replace(full_run, forecasts=open_ended, tables=tables_of(open_ended))
    assert "no market was settled" in section(render_html(run), "calibration")


def test_a_strategy_without_probabilities_is_told_from_the_price(full_run: Run) -> None:
    silent = full_run.forecasts.with_columns(fair=pl.lit(None, dtype=pl.Float64))
    run = replace(full_run, forecasts=silent, tables=tables_of(silent))
    words = section(render_html(run), "calibration")
    assert "The strategy states no probability: only the price is judged." in words
    assert not re.search(r"Signal \d", words)
    assert re.search(r"Price \d+–\d+%", words)


# --- what is shown is what the run says ---


def test_the_verdict_strip_shows_intervals_and_what_they_rest_on(
    full_run: Run, full_page: str
) -> None:
    words = section(full_page, "headline")
    interval = full_run.scores["net_pnl"]["interval"]
    assert f"[{micro(round(float(interval['low']) * 1e6), signed=True)}, " in words
    assert interval["clusters"] == "event"
    assert f"{interval['n_clusters']} events taken for independent" in words
    days = full_run.scores["sharpe"]["interval"]["n_clusters"]
    assert f"{days} days taken for independent" in words


def test_a_number_without_an_interval_shows_none(full_run: Run) -> None:
    none = {"interval": None, "interval_reason": None}
    plain = {name: {**entry, **none} for name, entry in full_run.scores.items()}
    run = replace(full_run, scores=plain)
    assert grounds(run.scores, list(run.scores)) == []
    page = render_html(run)
    assert 'class="between' not in page
    assert "No interval was computed for this run." in section(page, "uncertainty")
    assert "INTERVALS" not in render_text(run)


def test_why_there_is_no_interval_is_shown(full_run: Run) -> None:
    entry = {**full_run.scores["net_pnl"], "interval": None, "interval_reason": "3 events only"}
    run = replace(full_run, scores={**full_run.scores, "net_pnl": entry})
    page = render_html(run)
    assert "Net P&L: no interval: 3 events only." in section(page, "headline")
    assert "3 events only" in section(page, "uncertainty")
    assert "Net P&L: no interval: 3 events only." in render_text(run)


def test_every_number_of_the_first_screen_has_an_interval_or_says_why_not(
    full_run: Run, full_page: str
) -> None:
    shown = {name for card in FIRST for name in card[:2]}
    assert all(METRICS[name].headline for name in shown)
    words = section(full_page, "headline")
    for name in shown:
        entry = full_run.scores[name]
        assert (entry.get("interval") is None) != (not entry.get("interval_reason")), name
        assert between(full_run.scores, name) in words
        assert (entry.get("interval_reason") or "") in words


def test_the_run_is_shown_beside_luck(full_run: Run, full_page: str) -> None:
    own, drawn = full_run.trades_closed["pnl"].sum(), full_run.tables["controls"]
    words = section(full_page, "uncertainty")
    assert f"were held against luck {drawn.height} times" in words
    beaten = [(drawn[f"random_{kind}"] < own).sum() for kind in ("entry", "side")]
    told = f"{micro(own, signed=True)} is more than {beaten[0]} runs with random entries and "
    assert f"{told}{beaten[1]} runs with random sides." in words
    figure = uncertainty(full_run).figures["plot-luck"]
    for trace, name in zip(figure["data"], ("random_entry", "random_side"), strict=True):
        assert sum(trace["y"]) == drawn.height
        middle = np.average(trace["x"], weights=trace["y"])
        assert middle == pytest.approx(drawn[name].mean() / 1e6, abs=trace["width"] / 2)
    none = {**full_run.tables, "controls": drawn.clear()}
    assert "Beside luck" not in render_html(replace(full_run, tables=none))


def test_groups_are_shown_with_what_they_are_worth_among_all(full_run: Run, full_page: str) -> None:
    rng = np.random.Generator(np.random.Philox(key=1))
    found = full_run.tables["groups"]
    p = pl.Series(rng.uniform(0.01, 1, found.height).round(4))
    q = (p * 1.7).clip(upper_bound=1).set(found["by"] == "side", None)
    known = found.with_columns(p=p, q=q)
    run = replace(full_run, tables={**full_run.tables, "groups": known})
    page, tested = render_html(run), known.drop_nulls("q").sort("q")
    assert f"{tested.height} groups of trades were tested" in section(page, "uncertainty")
    assert "2 more have too few independent clusters" in section(page, "uncertainty")
    first = tested.row(0, named=True)
    row = f"{first['by']} {first['group']} {first['n']} {first['n_clusters']} "
    row += f"{micro(first['pnl'], signed=True)} {first['p']:.3f} {first['q']:.3f}"
    assert row in section(page, "uncertainty")
    assert f"{first['p']:.3f}   {first['q']:.3f}" in render_text(run)
    for anchor, by in (("breakdown", "category"), ("prices", "entry price")):
        for q in known.filter(by=by)["q"]:
            assert f" {q:.3f}" in section(page, anchor)
    bare = render_html(replace(full_run, tables={}))
    assert "groups of trades were tested" not in bare
    assert "adjusted for all groups" not in bare
    assert "too few independent clusters" in full_page or "has enough independent" in full_page


def test_every_case_of_the_sensitivity_is_shown_with_its_change(
    full_run: Run, full_page: str
) -> None:
    words = section(full_page, "assumptions")
    base = full_run.sensitivity.filter(pl.col("case") == "base")["net_pnl"][0]
    for row in full_run.sensitivity.iter_rows(named=True):
        assert f"{row['what']} {micro(row['net_pnl'], signed=True)}" in words
        if row["case"] != "base":
            assert micro(row["net_pnl"] - base, signed=True) in words
    assert "make money in 0 of 8 cases" in words
    text = render_text(full_run)
    for row in full_run.sensitivity.iter_rows(named=True):
        net = micro(row["net_pnl"], signed=True).replace("\N{MINUS SIGN}", "-")
        assert re.search(rf"{re.escape(row['what'])} +{re.escape(net)}\n", text)


def test_at_most_five_drawdowns_are_listed(full_run: Run) -> None:
    falls = full_run.tables["drawdowns"].head(1)
    six = pl.concat([falls.with_columns(depth=pl.lit(d * 1_000_000)) for d in range(9, 3, -1)])
    page = render_html(replace(full_run, tables={**full_run.tables, "drawdowns": six}))
    table = re.search(r'aria-label="Worst drawdowns".*?</table>', page, re.DOTALL)
    assert table
    assert re.findall(r'class="num loss">.?\$(\d)\.00<', table[0]) == ["9", "8", "7", "6", "5"]
    assert table[0].count("not by the end") == 5


def test_a_run_that_never_fell_says_so(full_run: Run) -> None:
    none = {**full_run.tables, "drawdowns": full_run.tables["drawdowns"].clear()}
    assert "never fell" in section(render_html(replace(full_run, tables=none)), "calendar")


def test_every_bucket_is_told_as_the_table_has_it(full_run: Run, full_page: str) -> None:
    words = section(full_page, "calibration")
    for row in full_run.tables["reliability"].iter_rows(named=True):
        low, high = 100 * row["cluster_low"], 100 * row["cluster_high"]
        told = f"{row['hit_rate']:.1%} [{low:.1f}, {high:.1f}] {row['n']} {row['n_clusters']}"
        assert told in words


def test_calibration_offers_every_moment_and_counts_what_it_leaves_out(
    full_run: Run, full_page: str
) -> None:
    words = section(full_page, "calibration")
    for moment in ("first opinion", "1d before the scheduled close", "5m before"):
        assert moment in words
    scalar = full_run.forecasts.filter(pl.col("point") == "first", pl.col("outcome") == 0.5)
    assert f"{scalar.height} markets settled between yes and no" in words


def test_scores_of_forecasts_and_evidence_come_from_the_metrics(full_run: Run) -> None:
    lies = full_run.scores["expectancy"]["interval"] | {"low": -0.01, "high": 0.02}
    made = {
        "brier": {"value": 0.2034, "unit": "score", "weight": "market"},
        "brier_price": {"value": 0.1987, "unit": "score", "weight": "market"},
        "brier_difference": {"value": 0.0047, "unit": "score", "weight": "market",
                             "interval": lies},
        "psr": {"value": 0.875, "unit": "fraction", "weight": "day"},
    }  # fmt: skip
    page = render_html(replace(full_run, scores={**full_run.scores, **made}))
    words = section(page, "calibration")
    assert "0.20" in words
    assert shown(made, "brier_difference") in words
    assert shown(made, "psr") in section(page, "uncertainty")


def test_the_tries_are_counted(full_run: Run, full_page: str) -> None:
    words = section(full_page, "uncertainty")
    assert "2 variants of this strategy have been run on this data" in words
    assert full_run.trials[-1]["run_id"] in words
    first = render_html(replace(full_run, trials=full_run.trials[-1:]))
    assert "nothing to correct for yet" in section(first, "uncertainty")


def test_the_path_of_the_evidence_is_drawn_where_there_is_one(
    full_run: Run, full_page: str
) -> None:
    assert 'id="plot-evidence"' in full_page
    none = {**full_run.tables, "evidence": full_run.tables["evidence"].clear()}
    assert 'id="plot-evidence"' not in render_html(replace(full_run, tables=none))


def test_limits_and_their_counts_are_listed(full_run: Run, full_page: str) -> None:
    words = section(full_page, "collateral")
    refused = full_run.orders.filter(pl.col("status") == "rejected")["reason"].value_counts()
    counts: dict[str, Any] = dict(refused.iter_rows())
    assert f"not enough free cash cash {counts['cash']} 0 0" in words
    assert "edge after fees" not in words  # a rule of the strategy, no limit


def test_every_reason_of_the_simulator_is_said_in_words() -> None:
    assert set(filter(None, SIMULATED)) <= set(REASONS)
    assert set(LIMITS) <= set(filter(None, SIMULATED))


def test_the_command_that_reproduces_the_run_is_there(full_run: Run, full_page: str) -> None:
    assert full_run.command in section(full_page, "run")


def test_a_section_is_named_after_what_makes_it() -> None:
    assert [part.__name__ for part in SECTIONS[1:-1]] == ORDER[1:-1]
