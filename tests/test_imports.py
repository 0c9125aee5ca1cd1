"""Imports: one way only, a fixed list of public names, and nothing heavy before it is needed."""

import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import kalshi_bt
from kalshi_bt import metrics

ROOT = Path(__file__).parents[1]
PUBLIC = ["DataError", "KalshiBtError", "Result", "Store", "UsageError", "backtest", "load"]
HEAVY = {
    "arch",
    "cryptography",
    "duckdb",
    "httpx",
    "jinja2",
    "llvmlite",
    "matplotlib",
    "numba",
    "numpy",
    "plotly",
    "polars",
    "pyarrow",
    "pydantic",
    "scipy",
}

LOADED = f"""
import runpy, sys
module, sys.argv = sys.argv[1], sys.argv[1:]
try:
    runpy.run_module(module, run_name="__main__")
except SystemExit as end:
    assert end.code == 0, end.code
print(sorted({HEAVY!r} & {{name.partition(".")[0] for name in sys.modules}}), file=sys.stderr)
"""
IMPORTED = f"""
import importlib, sys
importlib.import_module(sys.argv[1])
print(sorted({HEAVY!r} & {{name.partition(".")[0] for name in sys.modules}}), file=sys.stderr)
"""
MODULES = sorted(
    info.name for info in pkgutil.walk_packages(kalshi_bt.__path__, prefix="kalshi_bt.")
)


def test_the_layers_hold(command: Any) -> None:
    lint = "from importlinter.cli import lint_imports_command as lint; lint()"
    done = command("-c", lint, "--no-cache", "--config", ROOT / "pyproject.toml")
    assert "0 broken" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


def test_the_public_names_are_these() -> None:
    assert kalshi_bt.__all__ == PUBLIC
    assert dir(kalshi_bt) == PUBLIC
    for name in PUBLIC:
        assert getattr(kalshi_bt, name).__name__ == name
        assert getattr(kalshi_bt, name).__module__.startswith("kalshi_bt.")


def test_metrics_have_a_home_each() -> None:
    assert sorted(metrics.__all__) == sorted(metrics._HOME) == dir(metrics)
    for name in metrics.__all__:
        assert getattr(metrics, name) is getattr(import_module(metrics._HOME[name]), name)
    with pytest.raises(AttributeError, match="no attribute 'wilsn'"):
        metrics.wilsn  # noqa: B018 - the access is the test


def test_a_name_that_is_not_public_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'backtets'"):
        kalshi_bt.backtets  # noqa: B018 - the access is the test


@pytest.mark.parametrize("module", MODULES)
def test_every_module_imports_and_has_the_names_it_promises(module: str) -> None:
    loaded = import_module(module)
    for name in getattr(loaded, "__all__", ()):
        assert hasattr(loaded, name), name
    assert (loaded.__doc__ or "").strip() or Path(str(loaded.__file__)).stat().st_size == 0


@pytest.mark.parametrize("module", ["kalshi_bt.run", "kalshi_bt.cli"])
def test_help_loads_nothing_heavy(module: str, command: Any) -> None:
    done = command("-c", LOADED, module, "--help")
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert "Usage:" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "verb",
    [
        "run",
        "import",
        "info",
        "sample",
        "list",
        "new-strategy",
        "report",
        "runs",
        "compare",
        "verify",
    ],
)
def test_help_of_a_verb_loads_no_tables(verb: str, command: Any) -> None:
    done = command("-c", LOADED, "kalshi_bt.cli", verb, "--help")
    assert done.returncode == 0
    assert done.stderr in {"[]\n", "['pydantic']\n"}  # which typer may load by itself


@pytest.mark.parametrize(
    "module", ["kalshi_bt", "kalshi_bt.run", "kalshi_bt.cli", "kalshi_bt.metrics"]
)
def test_importing_loads_nothing_heavy(module: str, command: Any) -> None:
    done = command("-c", IMPORTED, module)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "[]\n")


def test_statistics_load_slow_libraries_only_when_they_are_asked(command: Any) -> None:
    code = """
import importlib, sys
for module in sys.argv[1:]:
    importlib.import_module(module)
    found = {"arch", "llvmlite", "matplotlib", "scipy"} & set(sys.modules)
    assert not found, (module, found)
"""
    modules = [name for name in MODULES if ".metrics." in name]
    assert len(modules) > 20
    done = command("-c", code, *modules)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_public_name_is_loaded_on_first_use(command: Any) -> None:
    code = """
import sys, kalshi_bt
before = "polars" in sys.modules
kalshi_bt.Store
print(before, "polars" in sys.modules, "numba" in sys.modules)
"""
    done = command("-c", code)
    assert (done.stdout, done.stderr) == ("False True False\n", "")
