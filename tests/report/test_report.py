"""The report: every output, every section, with full, empty and hostile content."""

import json
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_island import chart_of, told_of, unpacked

from kalshi_bt.report import Run, render_html, render_text, summary
from kalshi_bt.report.figures import (
    equity_figure,
    packed,
    plain,
    thin,
    waterfall_figure,
)
from kalshi_bt.report.sections import SECTIONS
from kalshi_bt.report.sections.markets import market_charts
from kalshi_bt.report.verdict import verdict
from kalshi_bt.report.wording import LABELS, duration, money, shown

HOSTILE = "<script>window.pwned=1</script><img src=x onerror=alert(1)>\"'&</script>{{ 7*7 }}"
FETCHING = {"src", "srcset", "data", "action", "formaction", "poster", "background", "ping"}


class Page(HTMLParser):
    """Tags, attributes, scripts by id or order, and the text a reader sees."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self.inside = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002  the base class names it
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts.append(data)
        elif self.inside != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    @property
    def island(self) -> dict[str, Any]:
        found = next(s for s in self.scripts if s.startswith('{"figures"'))
        return dict(json.loads(found))


@pytest.fixture(scope="module")
def page_text(full_run: Run) -> str:
    return render_html(full_run)


@pytest.fixture(scope="module")
def page(page_text: str) -> Page:
    return Page(page_text)


@pytest.fixture(scope="module")
def hostile_run(full_run: Run) -> Run:
    """A run in which every text that can come from outside is an attack."""

    def attack(frame: pl.DataFrame, *names: str) -> pl.DataFrame:
        return frame.with_columns(
            pl.concat_str(pl.lit(HOSTILE), name).alias(name) for name in names
        )

    return replace(
        full_run,
        run_id=HOSTILE,
        strategy=HOSTILE,
        dataset=HOSTILE,
        title_lines=[HOSTILE],
        assumptions=[(HOSTILE, HOSTILE, HOSTILE)],
        notes=[HOSTILE],
        command=HOSTILE,
        config={HOSTILE: HOSTILE},
        metric_docs={"net_pnl": HOSTILE, "sharpe": HOSTILE},
        orders=attack(full_run.orders, "ticker", "reason"),
        fills=attack(full_run.fills, "ticker", "source"),
        trades_closed=attack(full_run.trades_closed, "ticker", "event", "series", "exit_reason"),
        context=attack(full_run.context, "category"),
        forecasts=attack(full_run.forecasts, "ticker", "event", "series", "category"),
        sensitivity=attack(full_run.sensitivity, "what"),
        trials=[{**trial, "run_id": HOSTILE} for trial in full_run.trials],
        audit=HOSTILE,
        audit_details=[HOSTILE],
        markets=attack(full_run.markets, "ticker", "title", "event", "series"),
        charts={HOSTILE + ticker: chart for ticker, chart in full_run.charts.items()},
        payouts={HOSTILE + ticker: payout for ticker, payout in full_run.payouts.items()},
        rejections=attack(full_run.rejections, "reason"),
        quarantine=attack(full_run.quarantine, "reason"),
    )


# --- the page ---


def test_the_page_has_every_section_once_and_links_to_it(page: Page) -> None:
    ids = [attrs["id"] for tag, attrs in page.tags if tag == "section"]
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a" and attrs.get("href")]
    assert len(ids) == len(set(ids)) == len(SECTIONS)
    assert {f"#{anchor}" for anchor in ids} <= set(links)


def test_the_page_is_the_same_text_for_the_same_run(
    page_text: str, build_run: Callable[..., Run]
) -> None:
    assert render_html(build_run()) == page_text


def test_the_page_asks_no_network_for_anything(page: Page, page_text: str) -> None:
    for tag, attrs in page.tags:
        assert not FETCHING & set(attrs), tag
        assert (attrs.get("href") or "#").startswith(("#", "data:")), tag
        assert tag not in {"iframe", "object", "embed", "audio", "video", "base"}
    own = [script for script in page.scripts if "plotly.js v" not in script]
    assert len(own) == len(page.scripts) - 1
    for script in own:
        assert not re.search(r"\bfetch\(|XMLHttpRequest|import\(|https?://|sendBeacon", script)
    style = page_text[page_text.index("<style>") : page_text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_allows_exactly_the_scripts_of_the_page(page: Page) -> None:
    policy = next(
        str(attrs["content"])
        for tag, attrs in page.tags
        if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    running = [script for script in page.scripts if not script.startswith('{"figures"')]
    hashes = {b64encode(sha256(script.encode()).digest()).decode() for script in running}
    assert len(running) == 3
    assert set(re.findall(r"'sha256-([^']+)'", policy)) == hashes
    assert policy.startswith("default-src 'none'; script-src 'sha256-")


def test_no_text_of_the_run_becomes_markup(hostile_run: Run, full_run: Run) -> None:
    text = render_html(hostile_run)
    hostile, friendly = Page(text), Page(render_html(full_run))
    assert "<script>window.pwned" not in text
    assert not any(tag == "img" for tag, _ in hostile.tags)
    assert not any(name.startswith("on") for _, attrs in hostile.tags for name in attrs)
    assert len(hostile.scripts) == len(friendly.scripts)
    assert [tag for tag, _ in hostile.tags if tag == "section"] == ["section"] * len(SECTIONS)
    assert HOSTILE in hostile.words  # shown as text, and templates are not evaluated
    assert HOSTILE in hostile.island["tables"]["trades"]["tickers"][0]


def test_no_text_of_the_run_becomes_markup_in_a_figure(hostile_run: Run) -> None:
    island = Page(render_html(hostile_run)).island
    charts = island["tables"]["charts"]
    figures = [*island["figures"].values(), *(chart_of(charts, t) for t in charts["tickers"])]
    assert len(figures) > 10
    for figure in figures:
        assert "<script" not in json.dumps(figure)
        assert "<img" not in json.dumps(figure)


def test_a_synthetic_run_says_so_wherever_it_states_a_result(full_run: Run) -> None:
    real = replace(full_run, synthetic=False)
    assert Page(render_html(full_run)).words.count("SYNTHETIC") >= 2
    for output in (render_text, summary):
        assert "SYNTHETIC" in output(full_run)
        assert "SYNTHETIC" not in output(real)
    assert "SYNTHETIC" not in Page(render_html(real)).words


def test_the_assumptions_cite_the_study_they_were_measured_by(page_text: str) -> None:
    """A reader who doubts what bars are worth can run it: the file exists under the name cited."""
    cited = re.findall(r"research/\w+\.py", page_text)
    assert cited == ["research/fill_model.py"]
    assert (Path(__file__).parents[2] / cited[0]).is_file()


def test_every_metric_is_shown_with_its_value_and_its_definition(page: Page, full_run: Run) -> None:
    for name in full_run.scores:
        assert shown(full_run.scores, name) in page.words, name
        assert full_run.metric_docs[name] in page.words, name


@pytest.fixture(scope="module")
def crowded_run(build_run: Callable[..., Run]) -> Run:
    """A thousand markets with charts, titles that are long, and 20,000 trades."""
    run = build_run(trades=20, markets=40, bars=250, compared=False)
    copies = pl.DataFrame({"copy": range(25)}, schema={"copy": pl.Int64})

    def many(frame: pl.DataFrame, *numbers: str) -> pl.DataFrame:
        named = pl.format("{}-{}", "ticker", "copy").alias("ticker")
        moved = (pl.col(name) + pl.col("copy") * 100_000 for name in numbers)
        return frame.join(copies, how="cross").with_columns(named, *moved).drop("copy")

    titles = pl.format("{} {}", pl.lit("A title that takes its time" * 4), "title").alias("title")
    charts = {f"{t}-{n}": chart for t, chart in run.charts.items() for n in copies["copy"]}
    return replace(
        run,
        markets=many(run.markets).with_columns(titles),
        trades_closed=many(run.trades_closed, "trade_id"),
        fills=many(run.fills, "trade_id", "order_id"),
        charts=charts,
        payouts=dict.fromkeys(charts, 1.0),
    )


@pytest.mark.slow
def test_the_page_stays_below_six_megabytes_with_too_much_of_everything(crowded_run: Run) -> None:
    text = render_html(crowded_run)
    page, total = Page(text), crowded_run.trades_closed.height
    assert 5_500_000 < len(text.encode()) < 6_000_000  # and uses the room
    charts = page.island["tables"]["charts"]["tickers"]
    assert 100 < len(charts) < 1_000
    assert f"{len(charts)} of 1,000 traded markets" in page.words
    kept = unpacked(page.island["tables"]["trades"]["columns"]["pnl"])
    assert 1_000 < len(kept) < total == 20_000
    assert f"The {len(kept):,} of {total:,} trades that won or lost most" in page.words
    largest = crowded_run.trades_closed["pnl"].abs().sort(descending=True)
    assert sum(abs(pnl or 0) for pnl in kept) == largest[: len(kept)].sum()


def test_the_list_of_trades_holds_the_table(page: Page, full_run: Run) -> None:
    table = page.island["tables"]["trades"]
    rows = full_run.trades_closed.sort("exit_time", "trade_id")
    found = {name: unpacked(column) for name, column in table["columns"].items()}
    for name, column in {"id": "trade_id", "side": "side", "fees": "fees", "pnl": "pnl"}.items():
        assert found[name] == rows[column].to_list()
    assert [table["tickers"][int(i or 0)] for i in found["ticker"]] == rows["ticker"].to_list()
    assert [table["reasons"][int(i or 0)] for i in found["reason"]] == rows["exit_reason"].to_list()
    assert [(p or 0) / 1e4 for p in found["paid"]] == rows["entry_price"].to_list()
    assert found["entry"] == [time.timestamp() for time in rows["entry_time"]]


def test_markets_are_ranked_by_their_largest_gain_or_loss(page: Page, full_run: Run) -> None:
    largest: dict[str, int] = {}
    for ticker, pnl in full_run.trades_closed.select("ticker", "pnl").iter_rows():
        largest[ticker] = max(largest.get(ticker, 0), abs(pnl))
    charts = page.island["tables"]["charts"]
    assert charts["tickers"] == sorted(largest, key=lambda t: (-largest[t], t))
    for ticker in charts["tickers"]:
        trades = full_run.trades_closed.filter(pl.col("ticker") == ticker)
        fills = full_run.fills.filter(pl.col("ticker") == ticker)
        told = told_of(charts, ticker)
        assert (told["trades"], told["fills"]) == (trades.height, fills.height)
        assert told["pnl"] == trades["pnl"].sum()
        assert told["payout"] == round(10_000 * (full_run.payouts[ticker] or 0))


def test_charts_are_cut_where_the_page_is_full_and_say_where_the_rest_lies(
    full_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = market_charts(full_run)["tickers"]
    monkeypatch.setattr("kalshi_bt.report.sections.markets.ROOM", 30_000)
    page = Page(render_html(full_run))
    shown_ones = page.island["tables"]["charts"]["tickers"]
    size = len(json.dumps(page.island["tables"]["charts"]))
    assert 0 < len(shown_ones) < len(everything)
    assert size < 34_000  # the figure itself stands there once
    assert f"{len(shown_ones)} of {full_run.fills['ticker'].n_unique()} traded" in page.words
    assert f"kalshi-bt report {full_run.run_id} --format csv --table charts" in page.words


# --- runs with little in them ---


def test_a_run_without_orders_says_so_instead_of_drawing(idle_run: Run) -> None:
    page = Page(render_html(idle_run))
    assert page.words.count("No trade: the strategy asked for no order.") >= 4
    assert page.island["figures"] == {}
    assert not [attrs for _, attrs in page.tags if attrs.get("class") == "plot"]
    assert not any("plotly.js v" in script for script in page.scripts)  # nothing to draw with it
    assert "No trade: the strategy asked for no order." in render_text(idle_run)


def test_a_run_without_fills_names_what_blocked_most_orders(full_run: Run) -> None:
    refused = full_run.orders.filter(pl.col("status") == "rejected").with_columns(
        reason=pl.lit("edge")
    )
    run = replace(
        full_run,
        orders=refused,
        fills=full_run.fills.clear(),
        trades_closed=full_run.trades_closed.clear(),
    )
    count = refused.height
    assert verdict(run).headline == (
        f"No trade: of {count} orders {count} were rejected (edge after fees too small)."
    )
    assert "edge after fees too small" in Page(render_html(run)).words


def test_a_run_with_only_open_positions_renders(full_run: Run) -> None:
    held = full_run.fills.filter(pl.col("leg") == "entry")
    run = replace(full_run, fills=held, trades_closed=full_run.trades_closed.clear())
    page = Page(render_html(run))
    assert "No trade was closed: every position is still open at the end." in page.words
    assert "plot-equity" in page.island["figures"]
    charts = page.island["tables"]["charts"]
    assert told_of(charts, charts["tickers"][0])["pnl"] is None


def test_a_run_that_was_not_compared_says_so(full_run: Run) -> None:
    run = replace(full_run, bands={})
    assert verdict(run).headline == "Loses money under one fill model; no other was tried."
    assert "Net P&L by fill model" not in Page(render_html(run)).words
    assert "not compared" in render_text(run)


def test_missing_descriptions_are_no_error(full_run: Run) -> None:
    run = replace(
        full_run,
        metric_docs={},
        assumptions=(),
        config={},
        notes=(),
        command="",
        title_lines=(),
        payouts={},
        markets=full_run.markets.clear(),
        rejections=full_run.rejections.clear(),
        quarantine=full_run.quarantine.clear(),
    )
    page = Page(render_html(run))
    assert "No assumption was recorded." in page.words
    charts = page.island["tables"]["charts"]
    told = told_of(charts, charts["tickers"][0])
    assert told["payout"] is told["close"] is None
    assert "not recorded" in render_text(run)


# --- the verdict ---


@pytest.mark.parametrize(
    ("optimistic", "base", "pessimistic", "words", "tone"),
    [
        ("3.00", "2.00", "1.00", "Makes money even in the pessimistic case.", "gain"),
        ("-1.00", "-2.00", "-3.00", "Loses money even in the optimistic case.", "loss"),
        ("0.00", "-2.00", "-3.00", "Loses money even in the optimistic case.", "loss"),
        (
            "3.00",
            "2.00",
            "-1.00",
            "Makes money in the optimistic and base case, not in the pessimistic one.",
            "gain",
        ),
        (
            "3.00",
            "-2.00",
            "-5.00",
            "Makes money in the optimistic case, not in the base and pessimistic one.",
            "loss",
        ),
        # a friendlier fill model fills more, and may so end worse: no case is the expected extreme
        ("1.00", "2.00", "3.00", "Makes money under every fill model.", "gain"),
        ("-9.00", "-5.00", "-1.00", "Loses money under every fill model.", "loss"),
    ],
)
def test_the_verdict_follows_the_fill_models(
    full_run: Run, optimistic: str, base: str, pessimistic: str, words: str, tone: str
) -> None:
    nets = {"pessimistic": pessimistic, "cross": base, "optimistic": optimistic}
    bands = {name: {"net_pnl": {"value": net, "unit": "dollars"}} for name, net in nets.items()}
    found = verdict(replace(full_run, bands=bands))
    assert (found.headline, found.tone) == (words, tone)


# --- text ---


def test_the_text_has_its_blocks_in_order(full_run: Run) -> None:
    text = render_text(full_run)
    titles = (
        "bollinger on made-up coins",
        "TRADE STATISTICS",
        "P&L STATISTICS",
        "RATIOS",
        "CONSECUTIVE TRADES",
        "FILL MODELS",
        "ASSUMPTIONS",
        "REJECTED ORDERS",
        "DATA QUALITY",
        "REPRODUCE",
    )
    places = [text.index(f"{title}\n") for title in titles]
    assert places == sorted(places)


def test_the_text_states_every_metric(full_run: Run) -> None:
    text = render_text(full_run)
    defined = {name for name, score in full_run.scores.items() if score["value"] is not None}
    for name in defined - {"n_fills", "unsettled_value"}:
        value = shown(full_run.scores, name).replace("\N{MINUS SIGN}", "-")
        assert re.search(
            rf"^  {re.escape(LABELS[name])} +{re.escape(value)}", text, re.MULTILINE
        ), name


def test_the_text_says_once_in_a_block_why_numbers_are_missing(
    idle_run: Run, full_run: Run
) -> None:
    for run in (idle_run, full_run):
        text = render_text(run).replace("\n      ", " ")
        named = {
            label: why
            for why, labels in re.findall(r"^  n/a \((.*?)\): (.*)$", text, re.MULTILINE)
            for label in labels.split("; ")
        }
        for name in set(run.scores) - {"n_fills", "unsettled_value"}:
            row = re.search(rf"^  {re.escape(LABELS[name])}  +", text, re.MULTILINE)
            assert bool(row) != (LABELS[name] in named), name
            if not row:
                assert named[LABELS[name]] == run.scores[name]["reason"]
    for block in render_text(idle_run).split("\n\n"):
        rows = re.findall(r"n/a   \((.*)\)$", block, re.MULTILINE)
        assert len(rows) <= 6, block  # the documented rows, and what stands alone


def test_the_text_counts_wins_and_losses(full_run: Run) -> None:
    pnl = full_run.trades_closed["pnl"].to_list()
    won = [p for p in pnl if p > 0]
    text = render_text(full_run)
    assert re.search(rf"Winning trades +{len(won)}\n", text)
    assert re.search(rf"Losing trades +{len(pnl) - len(won)}\n", text)
    profit = money(Decimal(sum(won)) / 1_000_000, signed=True)
    assert re.search(rf"Gross profit \(wins\) +{re.escape(profit)}\n", text)


def test_the_summary_fits_a_screen(full_run: Run, idle_run: Run) -> None:
    for run in (full_run, idle_run, replace(full_run, notes=["a note"] * 50)):
        lines = summary(run).splitlines()
        assert 15 <= len(lines) <= 27
        assert max(map(len, lines)) <= 110


def test_a_missing_number_is_shown_with_its_reason(idle_run: Run) -> None:
    assert re.search(r"Win rate +n/a +\(no trade won or lost\)", render_text(idle_run))
    assert "Not defined here: no trade won or lost." in Page(render_html(idle_run)).words


# --- words and numbers ---


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [
        ("dollars", "-1234.565", "−$1,234.56"),  # half to even
        ("fraction", 0.5, "50.00%"),
        ("percent", 12.345, "12.35%"),
        ("ratio", -1.5, "−1.50"),
        ("days", 2.25, "2.2 days"),
        ("days", 0.0, "0.0 days"),
        ("days", 0.25, "6h"),
        ("score", 4e-5, "4e−05"),
        ("score", 6e-31, "0.0000"),  # what rounding left of a zero
        ("score", -6e-31, "0.0000"),
        ("seconds", 7260, "2h 1m"),
        ("trades", 12345, "12,345"),
        ("ratio", None, "n/a"),
        ("ratio", 0.00123, "0.0012"),
        ("fraction", -0.0000456, "−0.0046%"),
    ],
)
def test_a_score_is_shown_by_its_unit(unit: str, value: Any, expected: str) -> None:
    assert shown({"x": {"value": value, "unit": unit}}, "x") == expected


def test_a_zero_has_no_sign() -> None:
    assert money("0", signed=True) == money("-0.001", signed=True) == "$0.00"
    assert shown({"roi": {"value": 0.0, "unit": "fraction"}}, "roi") == "0.00%"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0s"), (60, "1m"), (86_400, "1d"), (90_061, "1d 1h"), (86_460, "1d"), (3_599.6, "1h")],
)
def test_a_duration_shows_its_two_largest_units(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


# --- figures ---


def drawn(figure: dict[str, Any]) -> go.Figure:
    """Build the figure with Plotly's own checks of every name and value."""
    text = re.sub(r'"--[a-z-]+"', '"#123456"', json.dumps(figure))
    plain_figure = json.loads(text)
    for trace in plain_figure["data"]:
        trace.pop("between", None)
        for axis in ("x", "y", "text"):
            if isinstance(trace.get(axis), str):
                column = figure["columns"][trace[axis].removeprefix("$")]
                trace[axis] = column if isinstance(column, list) else unpacked(column)
    return go.Figure({"data": plain_figure["data"], "layout": plain_figure["layout"]})


def test_every_figure_is_valid_plotly(page: Page) -> None:
    charts = page.island["tables"]["charts"]
    figures = page.island["figures"] | {t: chart_of(charts, t) for t in charts["tickers"]}
    assert {"plot-equity", "plot-prices", "plot-costs"} <= set(figures)
    assert len(charts["tickers"]) >= 10
    for figure in figures.values():
        assert drawn(figure).data


def test_every_colour_of_a_figure_is_one_of_the_page(page: Page, page_text: str) -> None:
    used = set(re.findall(r'"(--[a-z-]+)"', json.dumps(page.island)))
    light, dark = (
        set(re.findall(r"(--[a-z-]+):", block))
        for block in re.findall(
            r":root(?:\[data-theme=\"dark\"\])? \{(.*?)\}", page_text, re.DOTALL
        )[:2]
    )
    assert used
    assert used <= light == dark


@given(st.lists(st.one_of(st.none(), st.integers(-(10**12), 10**12)), max_size=30))
def test_packed_numbers_are_read_back_exactly(values: list[int | None]) -> None:
    assert unpacked(packed(pl.Series(values, dtype=pl.Int64))) == values


@given(
    st.lists(st.one_of(st.none(), st.integers(-9, 9)), min_size=1, max_size=300),
    st.integers(3, 60),
)
def test_thinning_keeps_extremes_ends_and_order(values: list[int | None], points: int) -> None:
    frame = pl.DataFrame({"row": range(len(values)), "y": values}, schema_overrides={"y": pl.Int64})
    kept = thin(frame, ["y"], points)
    assert kept.height <= max(points + 2, 5)
    assert kept["row"].is_sorted()
    assert (kept["row"][0], kept["row"][-1]) == (0, len(values) - 1)
    assert (kept["y"].min(), kept["y"].max()) == (frame["y"].min(), frame["y"].max())
    assert kept["y"].has_nulls() == frame["y"].has_nulls()
    assert kept.join(frame, on=["row", "y"], nulls_equal=True).height == kept.height


def test_a_long_path_is_drawn_with_its_deepest_fall() -> None:
    minutes = pl.datetime_range(
        pl.datetime(2025, 1, 1, time_zone="UTC"), pl.datetime(2025, 3, 1, time_zone="UTC"), "1m"
    )
    path = pl.select(time=minutes).with_columns(
        equity=pl.when(pl.int_range(pl.len()) == 54_321).then(4_000_000).otherwise(10_000_000),
        locked=pl.when(pl.int_range(pl.len()) == 1_234).then(7_000_000).otherwise(0),
    )
    figure = equity_figure(path, 10_000_000)
    falls = unpacked(figure["columns"]["fall"])
    assert len(falls) <= 4_002 < path.height
    assert min(fall for fall in falls if fall is not None) == -6.0
    moment = path["time"][54_321].timestamp() * 1000
    assert unpacked(figure["columns"]["time"])[falls.index(-6.0)] == moment
    assert max(v for v in unpacked(figure["columns"]["locked"]) if v is not None) == 7.0


def test_a_chart_shows_every_fill_at_its_price_of_yes(full_run: Run) -> None:
    charts = market_charts(full_run)
    for ticker in charts["tickers"]:
        fills = full_run.fills.filter(pl.col("ticker") == ticker)
        figure = chart_of(charts, ticker)
        marks = [t["name"] for t in figure["data"] if "text" in t]
        found = [
            row
            for kind in marks
            for row in zip(*(figure["columns"][f"{kind} {n}"] for n in ("time", "price")))  # noqa: B905  of one table
        ]
        wanted = [
            (t.timestamp() * 1_000, p / 10_000)
            for t, p in zip(fills["time"], fills["price"], strict=True)
        ]
        assert sorted(found) == sorted(wanted)


def test_charts_of_many_markets_are_each_its_own(full_run: Run) -> None:
    """Every market's rows come back as they were: time, both sides, last, to the centi-cent."""
    charts = market_charts(full_run)
    for ticker in charts["tickers"]:
        chart, columns = full_run.charts[ticker], chart_of(charts, ticker)["columns"]
        at = {time.timestamp() * 1_000: row for row, time in enumerate(chart["time"])}
        rows = [at[time] for time in columns["time"]]
        assert rows == sorted(set(rows))
        assert (rows[0], rows[-1]) == (0, chart.height - 1)
        for name in ("bid", "ask", "close"):
            stored = chart[name].to_list()
            assert columns[name] == [stored[r] and pytest.approx(stored[r], abs=5e-5) for r in rows]
            known = [value for value in stored if value is not None]
            kept = [value for value in columns[name] if value is not None]
            assert (min(kept), max(kept)) == pytest.approx((min(known), max(known)), abs=5e-5)


def test_a_chart_takes_missing_columns_and_values_that_are_no_number(full_run: Run) -> None:
    ticker, chart = next(iter(full_run.charts.items()))
    chart = chart.select("time", "close")
    chart = chart.with_columns(band_lower=float("nan"), band_upper=pl.lit(None))
    bare = replace(full_run, charts={ticker: chart}, fills=full_run.fills.clear())
    figure = chart_of(market_charts(bare), ticker)
    assert [trace["name"] for trace in figure["data"]] == ["Last trade"]


def test_the_steps_of_the_costs_add_up(page: Page, full_run: Run) -> None:
    figure = page.island["figures"]["plot-costs"]
    names, measures = figure["data"][0]["x"], figure["data"][0]["measure"]
    amounts = dict(zip(names, unpacked(figure["columns"]["amount"]), strict=True))
    assert names == ["At the mid", "Spread", "Slippage", "Mid not known", "Before fees", "Fees",
                     "Net"]  # fmt: skip
    assert [m for m in measures if m == "total"] == ["total"] * 2
    steps = sum(amounts[name] or 0 for name in names[:4])
    assert steps == pytest.approx(amounts["Before fees"], abs=0.03)  # each rounded to the cent
    assert amounts["Before fees"] + amounts["Fees"] == pytest.approx(amounts["Net"], abs=0.02)
    assert money(str(amounts["Net"]), signed=True) == shown(full_run.scores, "net_pnl")


def test_a_waterfall_rounds_half_cents_alike_on_both_sides_of_zero() -> None:
    figure = waterfall_figure([("up", 12_345_600, "absolute"), ("down", -12_345_600, "relative")])
    up, down = unpacked(figure["columns"]["amount"])
    assert up == 12.35
    assert down == -12.35


def test_bars_by_entry_price_hold_every_trade_once(page: Page, full_run: Run) -> None:
    bars = unpacked(page.island["figures"]["plot-prices"]["columns"]["pnl"])
    assert len(bars) == 10
    total = full_run.trades_closed["pnl"].sum() / 1e6
    assert sum(bar for bar in bars if bar is not None) == pytest.approx(total, abs=0.06)
    cheap = full_run.trades_closed.filter(pl.col("entry_price") < 0.0999)["pnl"].sum() / 1e6
    assert bars[0] == pytest.approx(cheap, abs=0.006)


def test_text_for_plotly_cannot_be_a_tag() -> None:
    assert plain("<a href='x'>&") == "&lt;a href='x'&gt;&amp;"


# --- imports ---


def test_importing_the_report_imports_no_plotting_and_no_other_stage() -> None:
    code = (
        "import sys, kalshi_bt.report;"
        "print([m for m in sys.modules if m.split('.')[0] in ('plotly', 'jinja2', 'numba')"
        " or m.startswith(('kalshi_bt.simulator', 'kalshi_bt.metrics', 'kalshi_bt.data'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
