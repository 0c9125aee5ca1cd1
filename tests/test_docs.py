"""The documents: their commands run, they leave nothing out, and they name no machine."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer

from kalshi_bt import artifacts, cli, run
from kalshi_bt.config import RunConfig
from kalshi_bt.data.importers.mapping import read_mapping
from kalshi_bt.data.store import Store
from kalshi_bt.metrics import METRICS
from kalshi_bt.plan import plan
from kalshi_bt.signals import parameters
from kalshi_bt.simulator.assumptions import BAND, FILLS
from kalshi_bt.strategies import STRATEGIES
from kalshi_bt.terminal import invoke
from live_adapter import run as paper
from live_adapter.summary import summary

pytestmark = pytest.mark.usefixtures("settings_only_from_here")

ROOT = Path(__file__).parents[1]
README, DESIGN = ((ROOT / name).read_text("utf-8") for name in ("README.md", "DESIGN.md"))


def blocks(text: str, language: str = "") -> list[str]:
    """The fenced blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def lines() -> Iterator[str]:
    """Every command of the README, one at a time."""
    for block in blocks(README):
        if "──" in block:  # a drawing
            continue
        for line in block.splitlines():
            yield from (part.strip() for part in line.split("&&"))


PROGRAMS = {
    ("python", "-m", "kalshi_bt.run"): run.app,
    ("python", "-m", "live_adapter.run"): paper.app,
    ("kalshi-bt",): cli.app,
}
TOOLS = ("pip install -e", "pytest")  # what the gate runs


def weather_files() -> None:
    """Make the files that the mapping of the README names: one invented market of two days."""
    opened = datetime(2026, 2, 1, 15, tzinfo=UTC)
    times = [opened + timedelta(hours=hour) for hour in range(49)]
    market = {
        "ticker": "KXHIGHNY-26FEB02-B31.5",
        "event_ticker": "KXHIGHNY-26FEB02",
        "_series_ticker": "KXHIGHNY",
        "yes_sub_title": "31 to 32",
        "rules_primary": "An invented market.",
        "open_time": times[0],
        "close_time": times[-1],
        "expected_expiration_time": times[-1] + timedelta(hours=9),
        "strike_type": "between",
        "floor_strike": 31,
        "cap_strike": 32,
        "result": "yes",
    }
    parts = ("open", "high", "low", "close")
    ends = times[1:]
    bars = {
        "ticker": [market["ticker"]] * len(ends),
        "end_ts": [int(time.timestamp()) for time in ends],
        **{f"price_{part}": [0.45] * len(ends) for part in parts},
        **{f"yes_bid_{part}": [0.44] * len(ends) for part in parts},
        **{f"yes_ask_{part}": [0.46] * len(ends) for part in parts},
        "volume": [10] * len(ends),
        "open_interest": [20] * len(ends),
    }
    rules = read_mapping(Path("research/mappings/weather.toml"))
    files = {entry.into: entry.source for entry in rules.table}
    pl.DataFrame([market]).write_parquet(files["markets"])
    pl.DataFrame(bars).write_parquet(files["candles"])


@pytest.mark.slow
def test_the_commands_of_the_readme_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "research").symlink_to(ROOT / "research")
    weather_files()
    ran = []
    for line in lines():
        if line.startswith(TOOLS):
            continue
        words = shlex.split(line)
        head, app = next((h, a) for h, a in PROGRAMS.items() if tuple(words[: len(h)]) == h)
        ran.append(words[len(head)])
        assert invoke(app, words[len(head) :]) == 0, (line, capsys.readouterr().err)
    assert {"import", "info", "--strategy"} <= set(ran)
    assert Store.open("datasets/sample").synthetic
    weather = Store.open("datasets/weather")
    assert (weather.name, weather.read("candles").height) == ("weather", 48)
    assert weather.read("quarantine").is_empty()
    [session] = Path("data", "paper").iterdir()
    told = summary(session)
    assert told["trades_closed"] > 0
    shown = re.findall(r"`([a-z]+_[a-z]+) (-?\d[\d.]*)`", README)
    assert len(shown) > 4
    assert [(name, str(told[name])) for name, _ in shown] == shown
    runs = ran.count("--strategy") + ran.count("run")
    assert len(list(Path("reports").rglob("report.html"))) == runs


def test_the_python_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_day: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "sample").symlink_to(one_day)
    (code,) = blocks(README, "python")
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - the README's own lines
    assert names["run"].run_dir.is_dir()


# --- nothing left out -----------------------------------------------------------------------------


def verbs() -> list[str]:
    command = typer.main.get_command(cli.app)
    return [
        f"{name} {sub}" if sub else name
        for name, group in command.commands.items()  # type: ignore[attr-defined]
        for sub in getattr(group, "commands", {"": None})
    ]


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_is_in_the_readme(verb: str) -> None:
    assert f"`kalshi-bt {verb}" in README


def options(app: typer.Typer, *verb: str) -> set[str]:
    """The options of a command."""
    command: Any = typer.main.get_command(app)
    for name in verb:
        command = command.commands[name]
    return {option for p in command.params for option in p.opts if option.startswith("--")}


def test_every_option_of_a_run_is_in_the_readme() -> None:
    (row,) = (line for line in README.splitlines() if line.startswith("| `python -m kalshi_bt.run"))
    assert set(re.findall(r"--[a-z-]+", row)) == options(run.app) == options(cli.app, "run")


def test_every_option_of_a_paper_session_is_in_the_readme() -> None:
    (row,) = (
        line for line in README.splitlines() if line.startswith("| `python -m live_adapter.r")
    )
    assert set(re.findall(r"--[a-z-]+", row)) == options(paper.app)


@pytest.mark.parametrize("verb", ["import", "info", "sample"])
def test_the_readme_names_only_options_that_exist(verb: str) -> None:
    rows = [line for line in README.splitlines() if f"kalshi-bt {verb} " in line]
    assert rows
    named = {option for row in rows for option in re.findall(r"--[a-z]+", row)}
    assert named <= options(cli.app, verb)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_is_in_the_readme_and_explains_itself(name: str) -> None:
    assert name in README
    assert STRATEGIES[name].idea.endswith(".")
    for signal in (STRATEGIES[name].signal, STRATEGIES[name].reference):
        assert all(p.doc for p in parameters(signal))


@pytest.mark.parametrize("name", FILLS)
def test_every_fill_model_is_explained_in_the_readme(name: str) -> None:
    assert re.search(rf"^\| `{name}`.* \| .+ \|$", README, flags=re.MULTILINE)


def test_the_band_and_the_modes_are_in_the_documents() -> None:
    for word in (*BAND, "reference mode"):
        assert word in README + DESIGN


def test_every_assumption_is_explained_in_the_report() -> None:
    made = plan(RunConfig(strategy="bollinger"))
    assert all(why for _, _, why in artifacts._assumptions(made))


def test_every_metric_is_explained_in_the_report(one_day: Path, tmp_path: Path) -> None:
    words = ["--strategy", "bollinger", "--data", str(one_day), "--out", str(tmp_path), "--json"]
    assert invoke(run.app, words) == 0
    (page,) = tmp_path.glob("*/report.html")
    shown = page.read_text("utf-8")
    for name, metric in METRICS.items():
        assert metric.doc.endswith("."), name
        assert metric.doc.replace("&", "&amp;") in shown, name


@pytest.mark.parametrize("name", ["report.html", "report.txt", "metrics.json", "config.toml"])
def test_what_a_run_leaves_is_in_the_readme(name: str) -> None:
    assert f"`{name}`" in README


def test_layers_stand_in_the_design_as_the_contract_orders_them() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (contract,) = rules["tool"]["importlinter"]["contracts"]
    height = {
        module.strip().removeprefix("kalshi_bt."): number
        for number, layer in enumerate(contract["layers"])
        for module in layer.split("|")
    }
    arrows = DESIGN.partition("## Layers")[2].partition("The whole list")[0]
    named = re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", arrows)))
    told = [height[name] for name in named if name in height]
    assert len(set(told)) > len(contract["layers"]) // 2
    assert told == sorted(told)


@pytest.mark.parametrize("page", ["README.md", "DESIGN.md", "datasets/README.md"])
def test_every_file_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    named = re.findall(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|md|toml))`", text)
    homes = (ROOT, ROOT / "kalshi_bt", ROOT / page)
    own = {"my_signal.py", "test_my_signal.py"}
    written = {"config.toml", "FILE.toml", "session.toml"} | own  # by commands, and by the reader
    for name in set(named) - written:
        assert any((home / name).exists() for home in homes), name


# --- no machine -----------------------------------------------------------------------------------

SKIPPED = {"__pycache__", "reports", "build", "dist", "node_modules"}
HOSTS = r"pypi[.]org|pythonhosted[.]org|anaconda[.]org|npmjs[.]|jsdelivr[.]|unpkg[.]com"
MACHINE = r"(?<![\w.~$/*})\]-])/(?:work|home|root|tmp|Users|private/var)(?![\w-])"


def kept() -> list[Path]:
    """The files of the repository, whatever version control says."""
    found = []
    for path in sorted(ROOT.rglob("*")):
        inside = path.relative_to(ROOT).parts
        hidden = [part for part in inside if part.startswith(".") and part != ".ci"]
        data = inside[0] == "datasets" and inside != ("datasets", "README.md")
        built = any(part in SKIPPED or part.endswith(".egg-info") for part in inside)
        if path.is_file() and not (hidden or data or built):
            found.append(path)
    return found


def test_no_file_names_a_registry_or_a_place_of_a_machine() -> None:
    files = kept()
    assert len(files) > 80
    for path in files:
        text = path.read_bytes().decode("utf-8", errors="ignore")
        assert not re.search(HOSTS, text), path
        found = re.search(MACHINE, text)
        assert found is None, (path, found)


@pytest.mark.parametrize("text", ["see {}tmp/x", "'{}home/me'", "({}work/main)", "{}root"])
def test_a_place_of_a_machine_would_be_seen(text: str) -> None:
    assert re.search(MACHINE, text.format("/"))


@pytest.mark.parametrize("text", ["a{}tmp", "..{}work/x", "{}homework", "https://a{}tmp"])
def test_other_paths_are_no_places_of_a_machine(text: str) -> None:
    assert not re.search(MACHINE, text.format("/"))
