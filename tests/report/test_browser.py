"""The page in a real browser: it draws, reports no error, asks no network and runs no data."""

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from kalshi_bt.report import Run, render_html

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
    "--virtual-time-budget=20000",
    "--window-size=1200,900",
    "--dump-dom",
)
ATTACK = "<script>document.documentElement.dataset.pwned=1</script>"

Visit = Callable[..., dict[str, str]]


@pytest.fixture
def visit(tmp_path: Path) -> Visit:
    """Open a page and return the data attributes of its root, with the console as ``console``."""
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(NAMES)} is on the PATH")

    def open_page(page: str, *flags: str, anchor: str = "") -> dict[str, str]:
        path = tmp_path / "report.html"
        path.write_text(page, encoding="utf-8")
        done = subprocess.run(
            [browser, *FLAGS, *flags, f"--user-data-dir={tmp_path / 'profile'}",
             path.as_uri() + anchor],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        root = re.search(r"<html([^>]*)>", done.stdout)
        assert root, done.stdout[:500]
        console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
        return dict(re.findall(r'data-([a-z-]+)="([^"]*)"', root[1])) | {"console": console}

    return open_page


def without_policy(page: str) -> str:
    """Drop the policy, so that a test can add a script, or so that escaping stands alone."""
    page, dropped = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    assert dropped == 1
    return page


def with_script(page: str, script: str) -> str:
    head, _, tail = without_policy(page).rpartition("</body>")
    return f"{head}<script>{script}</script></body>{tail}"


def assert_clean(root: dict[str, str], plots: int) -> None:
    assert (root["ready"], root["drawn"]) == ("1", "1"), root
    assert root["errors"] == "0", root
    assert root["plots"] == str(plots)
    assert root["requests"] == "0"
    assert root["console"] == ""


def test_a_full_page_draws_everything_without_an_error_or_a_request(
    visit: Visit, full_run: Run
) -> None:
    assert_clean(visit(render_html(full_run)), plots=13)


def test_an_empty_page_opens_without_an_error(visit: Visit, idle_run: Run) -> None:
    assert_clean(visit(render_html(idle_run)), plots=0)


@pytest.mark.parametrize(("flags", "theme"), [((), "light"), (("--force-dark-mode",), "dark")])
def test_the_page_follows_the_theme_of_the_system(
    visit: Visit, idle_run: Run, flags: tuple[str, ...], theme: str
) -> None:
    assert visit(render_html(idle_run), *flags)["theme"] == theme


def test_a_request_would_be_blocked_and_seen(visit: Visit, idle_run: Run) -> None:
    page = render_html(idle_run).replace("</main>", '<img src="http://127.0.0.1:9/x.png"></main>')
    assert int(visit(page)["errors"]) > 0


@pytest.mark.parametrize("policy", [True, False])
def test_no_text_of_the_data_runs(visit: Visit, full_run: Run, policy: bool) -> None:  # noqa: FBT001
    image = "<img src=x onerror=document.documentElement.dataset.pwned=1>"
    hostile = replace(
        full_run,
        strategy=ATTACK,
        dataset=image,
        notes=[ATTACK + image],
        markets=full_run.markets.with_columns(title=pl.lit(ATTACK + image)),
        trades_closed=full_run.trades_closed.with_columns(exit_reason=pl.lit(image + ATTACK)),
        config={ATTACK: image},
    )
    page = render_html(hostile)
    root = visit(page if policy else without_policy(page))
    assert "pwned" not in root
    assert_clean(root, plots=13)


def test_a_script_that_did_run_would_be_seen(visit: Visit, idle_run: Run) -> None:
    page = render_html(idle_run).replace("</main>", f"{ATTACK}</main>")
    assert visit(without_policy(page))["pwned"] == "1"
    assert "pwned" not in visit(page)  # the policy stops even what no escaping caught


DRIVER = """
const $ = (id) => document.getElementById(id);
const out = document.documentElement.dataset;
const column = (n) => [...document.querySelectorAll(`#trade-list tbody td:nth-child(${n})`)]
  .map((cell) => cell.textContent);
const header = (name) => [...document.querySelectorAll("#trade-list thead button")]
  .find((button) => button.textContent === name);
function later(check, then) { check() ? then() : setTimeout(() => later(check, then), 20); }
out.early = [out.ready, column(1).length, "Plotly" in window].join();
later(() => out.drawn === "1", () => {
  const equity = $("plot-equity").data[0];
  out.lowest = Math.min(...equity.y);
  out.opened = new Date(equity.x[0]).toISOString();
  out.rows = column(1).length;
  out.page = $("trade-page").textContent;
  header("P&L").click();
  out.sorted = header("P&L").parentElement.getAttribute("aria-sort");
  out.best = column(11)[0];
  header("P&L").click();
  out.worst = column(11)[0];
  $("trade-next").click();
  out.next = $("trade-page").textContent;
  const set = (id, value, event) => { $(id).value = value; $(id).dispatchEvent(new Event(event)); };
  set("trade-result", "1", "change");
  out.won = $("trade-count").textContent;
  set("trade-result", "", "change");
  set("trade-side", "-1", "change");
  set("trade-reason", "settlement", "change");
  set("trade-filter", "fake", "input");
  out.sides = [...new Set(column(3))].join();
  out.exits = [...new Set(column(7))].join();
  out.count = $("trade-count").textContent;
  document.querySelector("#trade-list .chart").click();
  out.market = $("market-choice").selectedIndex;
  out.chosen = column(2)[0];
  const shown = $("plot-market").layout.xaxis.range;
  out.zoomed = shown.map((at) => new Date(at > 0 ? at : at + "Z").getTime() / 1000).join();
  out.entry = column(1)[0];
  $("market-choice").selectedIndex = 0;
  $("market-choice").dispatchEvent(new Event("change"));
  $("market-next").click();
  out.second = $("market-about").textContent;
  set("moment-choice", "1h", "change");
  const shownTables = [...document.querySelectorAll(".moment:not([hidden])")];
  out.tables = shownTables.map((table) => table.dataset.point).join();
  const ink = () => getComputedStyle(document.querySelector("#plot-equity .xtick text")).fill;
  const before = ink();
  $("theme").click();
  later(() => ink() !== before, () => { out.inked = ink(); out.driven = "1"; });
});
"""


RIBBON = """
function later(check, then) { check() ? then() : setTimeout(() => later(check, then), 20); }
const out = document.documentElement.dataset;
later(() => out.drawn === "1", () => {
  const area = document.getElementById("plot-market").data[0];
  out.x = JSON.stringify(area.x.map((x) => x === null ? null : x / 60000));
  out.y = JSON.stringify(area.y);
  const marks = document.getElementById("plot-market").data.filter((trace) => trace.text);
  const told = marks.map((trace) => trace.name + ": " + trace.text.join("; "));
  out.told = told.join("|").replaceAll("<br>", " / ");
});
"""


def test_a_chart_draws_no_band_without_a_side_and_tells_fills_on_the_side_held(
    visit: Visit, full_run: Run
) -> None:
    ticker = full_run.trades_closed["ticker"][0]
    fills = pl.concat(
        [full_run.fills.filter(pl.col("leg") == leg).head(2) for leg in ("entry", "exit")]
    )
    fills = fills.with_columns(
        ticker=pl.lit(ticker),
        kind=pl.Series(["trade", "trade", "trade", "settlement"]),
        quantity=pl.Series([-120_050, 100, -100, 120_050], dtype=pl.Int64),
        price=pl.Series([7_000, 4_500, 4_625, 0], dtype=pl.Int16),
        fee=pl.Series([1_234_567, 0, 20_000, 0], dtype=pl.Int64),
        reason=pl.Series(["entry", "entry", "stop", "settlement"]),
        role=pl.Series(["taker", "maker", "taker", "none"]),
    ).cast(dict(full_run.fills.schema))  # fmt: skip
    chart = pl.DataFrame(
        {
            "time": [60_000_000 * minute for minute in range(1, 6)],
            "bid": [0.4, 0.3, None, 0.2, 0.1],
            "ask": [0.5, 0.6, 0.7, 0.4, None],
            "close": [None] * 5,
        },
        schema={
            "time": pl.Datetime("us", "UTC"),
            **dict.fromkeys(("bid", "ask", "close"), pl.Float64),
        },
    )
    page = render_html(replace(full_run, charts={ticker: chart}, fills=fills))
    root = visit(with_script(page, RIBBON))
    assert root["told"].split("|") == [
        "Buy YES: Bought 1 YES at 45¢ / entry, maker, fee $0.00",
        "Buy NO: Bought 1,200.5 NO at 30¢ / entry, taker, fee $1.23",
        "Exit: Sold 1 YES at 46.25¢ / stop, taker, fee $0.02",
        "Settlement: Settled 1,200.5 NO at 100¢ / settlement, none, fee $0.00",
    ]
    # a quote holds from its bar to the next: minutes 1 to 3, then 4 to 5
    assert root["x"] == "[1,2,2,3,3,2,2,1,null,4,5,5,4,null]"
    assert root["y"] == "[0.5,0.5,0.6,0.6,0.3,0.3,0.4,0.4,null,0.4,0.4,0.2,0.2,null]"


def test_the_controls_of_the_page_work(visit: Visit, full_run: Run) -> None:
    root = visit(with_script(render_html(full_run), DRIVER), anchor="#light")
    assert root["errors"] == "0", root
    assert root["driven"] == "1"
    assert root["early"] == "1,25,false"  # the page answers before the library of its figures runs
    trades, path = full_run.trades_closed, full_run.equity
    assert root["lowest"] == f"{path['equity'].min() / 1e6:.2f}".rstrip("0")
    assert root["opened"] == f"{path['time'][0]:%Y-%m-%dT%H:%M:%S}.000Z"
    pnl = (trades["pnl"] / 1e6).to_list()
    assert (root["rows"], root["page"], root["next"]) == ("25", "1 / 5", "2 / 5")
    assert root["sorted"] == "descending"
    assert root["best"] == f"+${max(pnl):.2f}"
    assert root["worst"] == f"−${-min(pnl):.2f}"
    wanted = trades.filter(pl.col("side") < 0, pl.col("exit_reason") == "settlement")
    assert (root["sides"], root["exits"]) == ("NO", "settlement")
    won = trades.filter(pl.col("pnl") > 0)
    assert root["won"].startswith(f"{won.height} of {trades.height} trades")
    low, high = (float(second) for second in root["zoomed"].split(","))
    entry = datetime.strptime(f"{root['entry']}+0000", "%Y-%m-%d %H:%M%z").timestamp()
    assert low < entry < high < entry + 86_400 * 30
    assert root["tables"] == "1h"
    assert root["count"].startswith(f"{wanted.height} of {trades.height} trades")
    largest = trades.group_by("ticker").agg(pl.col("pnl").abs().max())
    largest = largest.sort("pnl", "ticker", descending=[True, False])
    assert largest["ticker"][int(root["market"])] == root["chosen"]
    assert largest["ticker"][1] in root["second"]
    assert root["theme"] == "dark"
