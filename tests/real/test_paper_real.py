"""Paper sessions on recorded boards: names and scores as they became known, row for row."""

from pathlib import Path

import pytest
from papered import agree, compared, planned

from kalshi_bt import cli
from kalshi_bt.terminal import invoke

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.usefixtures("settings_only_from_here"),
]


@pytest.fixture(scope="module")
def boards(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("boards")
    source = str(real_data / "arena" / "arena_text_hourly_feb2026.parquet")
    words = ["import", "--layout", "arena", source, "--into", str(root / "boards")]
    assert invoke(cli.app, words) == 0
    made = ["sample", "--boards", str(root / "boards"), "--into", str(root / "quoted")]
    assert invoke(cli.app, made) == 0
    return root / "quoted"


@pytest.mark.parametrize("mode", ["corrected", "reference"])
def test_boards_on_paper_equal_the_backtest(boards: Path, mode: str, tmp_path: Path) -> None:
    whole, piecewise = compared(tmp_path, planned("leaderboard", boards, mode=mode))
    assert whole.fills.height
    agree(whole, piecewise)
