"""The charts of a run's markets: what its signal said stands where it said it."""

from dataclasses import replace
from pathlib import Path

import polars as pl
from page_island import chart_of

from kalshi_bt.config import layered
from kalshi_bt.data.store import Store
from kalshi_bt.pipeline import compute, market_bars
from kalshi_bt.plan import plan
from kalshi_bt.report import Run
from kalshi_bt.report.figures import evidence_figure
from kalshi_bt.report.sections.markets import market_charts


def test_a_chart_has_the_probability_of_every_intent_and_no_other(one_day: Path) -> None:
    flags = {"strategy": "mean_reversion", "data": str(one_day)}
    made = plan(layered(None, {}, flags, ["audit=false", "sensitivity=false"]))
    done = compute(Store.open(one_day), made)
    names = done.panel.markets["ticker"].to_list()
    intents = done.intents.drop_nulls("fair")
    assert not intents.is_empty()
    tickers = [names[number] for number in intents["market"].unique().sort()[:3]]
    charts = market_bars(done, made, tickers)
    for ticker in tickers:
        own = intents.filter(pl.col("market") == names.index(ticker))
        expected = dict(own.select("time", "fair").iter_rows())
        shown = charts[ticker].drop_nulls("fair")
        assert dict(shown.select("time", "fair").iter_rows()) == expected
        assert charts[ticker].height > shown.height


def test_what_the_signal_stated_is_drawn(full_run: Run) -> None:
    ticker, chart = next(iter(full_run.charts.items()))
    chart = chart.head(3).with_columns(fair=pl.Series([None, 0.7, None]))
    figure = chart_of(market_charts(replace(full_run, charts={ticker: chart})), ticker)
    traces = {trace["name"]: trace for trace in figure["data"]}
    assert traces["Stated probability"]["y"] == "$fair"
    assert figure["columns"]["fair"] == [None, 0.7, None]


def test_evidence_is_drawn_within_the_scale_of_the_axis(full_run: Run) -> None:
    path = full_run.equity.select("time").head(4)
    path = path.with_columns(wealth=pl.Series([1.0, 0.0, 123.456, 1e30]))
    assert evidence_figure(path)["data"][0]["y"] == [1.0, 1e-6, 123.5, 1e12]
