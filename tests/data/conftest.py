"""What imports are given."""

from pathlib import Path

import pytest
from outside_files import EPOCH, Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    made.put(markets=[{"ticker": "S-E-A", "close": EPOCH + 86_400}])
    return made
