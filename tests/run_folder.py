"""What two runs of the same settings must have in common: every byte but the wall time."""

import json
from pathlib import Path
from typing import Any


def contents(folder: Path) -> dict[str, Any]:
    """The files of a run, with the wall time taken out of the manifest."""
    files: dict[str, Any] = {path.name: path.read_bytes() for path in folder.iterdir()}
    files["manifest.json"] = json.loads(files["manifest.json"])
    assert files["manifest.json"].pop("wall_time_seconds") >= 0
    return files
