"""Folders of finished runs, made once; tests copy what they change."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from finished_runs import SIGNAL, lines

import kalshi_bt
from kalshi_bt.run import app
from kalshi_bt.terminal import invoke


@pytest.fixture(scope="session")
def finished(one_day: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with a ledger; ``names.txt`` beside it says which is which."""
    home = tmp_path_factory.mktemp("finished")
    out = home / "reports"
    (home / "dear.py").write_text(SIGNAL)
    data = ["--data", str(one_day), "--out", str(out), "--set", "assumptions.audit=false"]
    named, known = [], set()
    for name, words in lines(str(home)).items():
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("PAPER_DATA_DIR", raising=False)
            assert invoke(app, [*words, *data]) == 0, name
        (folder,) = set(out.glob("*-*")) - known
        known.add(folder)
        named.append(f"{name} {folder.name}")
    (home / "names.txt").write_text("\n".join(named))
    return out


@pytest.fixture(scope="session")
def named(finished: Path) -> dict[str, str]:
    """What a run is called here -> its id."""
    lines = (finished.parent / "names.txt").read_text().splitlines()
    return dict(line.split() for line in lines)  # type: ignore[misc]


@pytest.fixture
def copy(finished: Path, named: dict[str, str], tmp_path: Path) -> Callable[[str], Path]:
    """Copy a run into a folder of its own."""

    def copied(name: str) -> Path:
        return Path(shutil.copytree(finished / named[name], tmp_path / "runs" / named[name]))

    return copied


@pytest.fixture(scope="session")
def usual(finished: Path, named: dict[str, str]) -> kalshi_bt.Result:
    return kalshi_bt.load(named["usual"], finished)
