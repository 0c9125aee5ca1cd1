"""Notebooks run from top to bottom in an empty folder, and are kept without what they showed."""

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs_and_in_the_readme(path: Path) -> None:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert f"`notebooks/{path.name}`" in (ROOT / "README.md").read_text("utf-8")


def shown(cells: list[dict[str, Any]]) -> list[set[str]]:
    """The kinds of what each cell of code shows as its last value."""
    return [
        {kind for out in cell["outputs"] for kind in out.get("data", ())}
        for cell in cells
        if cell["cell_type"] == "code"
    ]


EXECUTED = """
import sys, nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
place = {"metadata": {"path": sys.argv[2]}}
NotebookClient(notebook, kernel_name="python3", timeout=600, resources=place).execute()
nbformat.write(notebook, sys.argv[2] + "/executed.ipynb")
"""


@pytest.mark.slow
def test_the_quickstart_goes_from_the_sample_to_a_report(tmp_path: Path, command: Any) -> None:
    done = command("-c", EXECUTED, ROOT / "notebooks" / "01_quickstart.ipynb", tmp_path)
    assert done.returncode == 0, done.stderr
    notebook = json.loads((tmp_path / "executed.ipynb").read_text("utf-8"))
    kinds = shown(notebook["cells"])
    assert "text/html" in kinds[0]  # the table
    (ran,) = (c for c in notebook["cells"] if "kalshi_bt.backtest(" in "".join(c["source"]))
    (cell,) = (out["data"]["text/html"] for out in ran["outputs"] if "data" in out)
    assert "On generated data" in "".join(cell)
    assert sum("application/vnd.plotly.v1+json" in found for found in kinds) == 4
    assert (tmp_path / "quickstart.html").stat().st_size > 1_000_000
    (paper,) = tmp_path.glob("reports/*/by_price.pdf")
    assert paper.read_bytes().startswith(b"%PDF-")
    assert (tmp_path / "datasets" / "sample" / "dataset.json").is_file()
