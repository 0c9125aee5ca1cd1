"""The page in a driven browser: phone, keys, paper, the network, and a run of any size."""

import base64
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from one_tab import Tab, browser

from kalshi_bt.report import Run, render_html
from kalshi_bt.schema import EQUITY

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(browser() is None, reason="no Chromium is on the PATH"),
]

PHONE = 390
# What has the focus: its name for a reader, its place in the page, whether it can be seen.
FOCUSED = """(() => {
  const at = document.activeElement;
  if (!at || at === document.body) return null;
  const label = at.labels && at.labels.length ? at.labels[0].textContent : "";
  const box = at.getBoundingClientRect();
  const every = [...document.querySelectorAll("*")];
  return {
    tag: at.tagName, id: at.id, place: every.indexOf(at), seen: box.width > 0 && box.height > 0,
    name: (at.getAttribute("aria-label") || label || at.textContent || at.title
           || at.getAttribute("data-title") || "").trim(),
    section: (at.closest("section") || {id: ""}).id,
  };
})()"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with Tab(tmp_path_factory.mktemp("tab")) as opened:
        yield opened


@pytest.fixture(scope="module")
def full_page(full_run: Run) -> str:
    return render_html(full_run)


# --- screens ---


@pytest.mark.parametrize("width", [PHONE, 768, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_never_scrolls_sideways(tab: Tab, full_page: str, width: int, dark: bool) -> None:  # noqa: FBT001
    tab.open(full_page, width=width, dark=dark)
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.run("document.documentElement.dataset.theme") == ("dark" if dark else "light")
    assert tab.run("document.documentElement.dataset.errors") == "0"


def test_a_long_title_stays_on_a_phone(tab: Tab, full_run: Run) -> None:
    long = replace(full_run, strategy="x" * 200, dataset="d" * 200, command="c" * 500,
                   notes=["n" * 300], config={"k" * 60: "v" * 200})  # fmt: skip
    tab.open(render_html(long), width=PHONE)
    assert tab.run("document.documentElement.scrollWidth") <= PHONE


def test_an_idle_page_stays_on_a_phone(tab: Tab, idle_run: Run) -> None:
    tab.open(render_html(idle_run), width=PHONE)
    assert tab.run("document.documentElement.scrollWidth") <= PHONE


def test_nothing_is_asked_of_a_network(tab: Tab, full_page: str) -> None:
    tab.events.clear()
    tab.open(full_page)
    asked = [e["params"]["request"]["url"] for e in tab.events
             if e["method"] == "Network.requestWillBeSent"]  # fmt: skip
    assert asked
    assert all(url.startswith(("file:", "data:", "about:", "blob:")) for url in asked)
    said = {"Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"}
    assert not [event for event in tab.events if event["method"] in said]


# --- keys ---


def test_tab_walks_the_page_in_order_and_out_of_it(tab: Tab, full_page: str) -> None:
    tab.open(full_page)
    stops: list[dict[str, Any]] = []
    for _ in range(400):
        tab.press("Tab")
        stop = tab.run(FOCUSED)
        if stop is None or (stops and stop["place"] == stops[0]["place"]):
            break
        stops.append(stop)
    else:
        pytest.fail("the keys never left the page")
    places = [stop["place"] for stop in stops]
    assert places == sorted(places)
    assert all(stop["name"] for stop in stops), [s for s in stops if not s["name"]]
    assert stops[0]["name"] == "Skip to the result"
    links = [stop["name"] for stop in stops if stop["tag"] == "A"][1:]
    assert links[0] == "Result"
    assert links[-1] == "Run"
    ids = [stop["id"] for stop in stops]
    wanted = [
        "theme",
        "moment-choice",
        "trade-filter",
        "trade-side",
        "market-choice",
        "market-next",
    ]
    assert [name for name in ids if name in wanted] == wanted


def test_the_explorer_works_without_a_mouse(tab: Tab, full_page: str, full_run: Run) -> None:
    tab.open(full_page)
    tab.run("document.getElementById('trade-reason').focus()")
    pressed = 0
    while tab.run(FOCUSED)["name"] != "P&L":
        tab.press("Tab")
        pressed += 1
        assert pressed < 30
    tab.press("Enter", text="\r")
    cell = "document.querySelector('#trade-list tbody tr td:last-child').textContent"
    assert tab.run("document.activeElement.parentElement.getAttribute('aria-sort')") == "descending"
    best = full_run.trades_closed["pnl"].max()
    assert isinstance(best, int)
    assert tab.run(cell) == f"+${best / 1e6:.2f}"
    tab.press("Tab")  # the next stop is the chart of that trade's market
    assert tab.run(FOCUSED)["name"].startswith("Show the chart of ")
    ticker = tab.run("document.activeElement.textContent")
    tab.press("Enter", text="\r")
    assert tab.run("document.activeElement.id") == "market-choice"
    assert ticker in tab.run("document.getElementById('market-about').textContent")


# --- paper ---


def test_paper_shows_everything_but_the_controls(tab: Tab, full_page: str) -> None:
    tab.open(full_page, dark=True)
    pdf = base64.b64decode(tab.send("Page.printToPDF", printBackground=True)["data"])
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") >= 3
    tab.send("Emulation.setEmulatedMedia", media="print")
    for chosen in ("nav.sections", ".tools", ".control"):
        style = f"getComputedStyle(document.querySelector('{chosen}')).display"
        assert tab.run(style) == "none", chosen
    assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    tab.send("Emulation.setEmulatedMedia", media="")


# --- any size ---


def repeated(frame: pl.DataFrame, times: int, **stride: int) -> pl.DataFrame:
    """Return a table many times over, some integer columns moved on by a stride each time."""
    turns = pl.DataFrame({"turn": range(times)}, schema={"turn": pl.Int64})
    moved = ((pl.col(name) + pl.col("turn") * step).alias(name) for name, step in stride.items())
    return turns.join(frame, how="cross").with_columns(moved).drop("turn")


@pytest.fixture(scope="module")
def vast_run(build_run: Callable[..., Run]) -> Run:
    """200,000 closed trades and a million points of equity, one of them the deepest by far."""
    small = build_run(trades=40, markets=50, bars=400, compared=False)
    times, step = 200_000 // small.trades_closed.height, small.orders.height
    rng = np.random.Generator(np.random.Philox(key=9))
    equity = 10_000_000_000 + np.cumsum(rng.integers(-40_000, 40_000, 1_000_000))
    equity[654_321] = 1_000_000_000
    begin = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1e6)
    path = pl.DataFrame({"time": begin + 60_000_000 * np.arange(1_000_000), "equity": equity})
    path = path.with_columns(
        pl.col("time").cast(EQUITY.columns["time"]),
        cash=pl.col("equity"), locked=pl.lit(0, pl.Int64), marked=pl.lit(0, pl.Int64),
    ).select(list(EQUITY.columns))  # fmt: skip
    markets = repeated(small.markets, times)
    markets = markets.with_columns(
        pl.concat_str("ticker", pl.lit("-"), pl.int_range(pl.len())).alias("ticker"),
        title=pl.concat_str(pl.lit("A question that takes its time " * 6), "title"),
    )
    tickers = markets["ticker"].sample(200_000, with_replacement=True, seed=1)
    closed = repeated(small.trades_closed, times, trade_id=step).with_columns(tickers)
    return replace(
        small,
        markets=pl.concat([small.markets, markets]),
        equity=path,
        orders=repeated(small.orders, times, order_id=step),
        fills=repeated(small.fills, times, order_id=step, trade_id=step),
        trades_closed=closed,
        context=repeated(small.context, times, trade_id=step),
        fill_quality=repeated(small.fill_quality, times, order_id=step),
    )


def opened(tab: Tab, page: str) -> tuple[float, float]:
    """Open a page in a browser just begun: seconds of processor until it answers, until all stands.

    They are those of the page's thread, so that what else the machine does is not in them.
    """
    tab.send("Performance.enable", timeDomain="threadTicks")

    def work() -> float:
        found = tab.send("Performance.getMetrics")["metrics"]
        return float(next(m["value"] for m in found if m["name"] == "TaskDuration"))

    marks: list[float] = []
    tab.open(page, when_ready=lambda: marks.append(work()))
    return marks[0], work()


def test_a_vast_run_stays_small_and_keeps_its_extremes(vast_run: Run, tmp_path: Path) -> None:
    assert vast_run.trades_closed.height == 200_000
    page = render_html(vast_run)
    assert len(page.encode()) < 6_000_000
    with Tab(tmp_path) as tab:
        ready, drawn = opened(tab, page)
        lowest = tab.run("Math.min(...document.getElementById('plot-equity').data[0].y)")
        errors = tab.run("document.documentElement.dataset.errors")
    sys.stdout.write(f"{len(page) / 1e6:.2f} MB, answers after {ready:.2f} s, drawn {drawn:.2f}\n")
    assert (lowest, errors) == (1_000, "0")
    assert 0 < ready < 2


def test_a_page_opens(full_page: str, tmp_path: Path) -> None:
    with Tab(tmp_path) as tab:
        ready, drawn = opened(tab, full_page)
        tab.picture(tmp_path / "page.png")
    sys.stdout.write(f"answers after {ready:.2f} s, drawn after {drawn:.2f} s\n")
    assert 0 < ready < 2
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
