"""What tests of several folders need."""

import os
from pathlib import Path

import pytest


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
