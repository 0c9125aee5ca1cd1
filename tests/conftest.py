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
