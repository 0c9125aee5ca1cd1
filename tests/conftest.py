"""What tests of several folders need."""

import os
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import settings

# What takes long on a busy machine is no fault of the code.
settings.register_profile("any machine", settings.default, deadline=None)
settings.load_profile("any machine")


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Look for tests alone: for examples every file would be read once more, and none has any."""
    return [found for found in (yield) if type(found) is pytest.Module]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of recorded Kalshi data, which is not part of the repository."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("KALSHI_BT_REAL_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; set KALSHI_BT_REAL_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def one_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset: the first day of the synthetic sample. Tests copy it before they change it."""
    from kalshi_bt.data.store import Store
    from kalshi_bt.data.synthetic import sample

    folder = tmp_path_factory.mktemp("datasets") / "one-day"
    Store.create(folder, name="one-day", synthetic=True).commit(sample(days=1))
    return folder


@pytest.fixture
def settings_only_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings of whoever runs the tests."""
    for name in os.environ:
        if name.startswith("KALSHI_BT_"):
            monkeypatch.delenv(name)


Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def command() -> Command:
    """Run ``python -m MODULE ARGUMENTS`` in a process of its own, without the tester's settings."""
    root = Path(__file__).parents[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KALSHI_BT_")}

    def run(*words: object, **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *map(str, words)],
            env={**kept, "PYTHONPATH": str(root), "PYTHONIOENCODING": "utf-8", **variables},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )

    return run
