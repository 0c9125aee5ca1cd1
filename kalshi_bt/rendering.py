"""A run in each of the forms a report has: the page, the text and the metrics."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from kalshi_bt import report, run_folder
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.report import Run
from kalshi_bt.terminal import uninterrupted

FORMS: dict[str, Callable[[Run], str]] = {
    "html": report.render_html,
    "json": lambda run: run_folder.metrics_text(run.scores),
    "txt": report.render_text,
}


def rendered(run: Run, form: str) -> bytes:
    """Return a run as the content of a file that ends in ``html``, ``txt`` or ``json``.

    Raises
    ------
    UsageError
        If it has no such form.
    """
    if form not in FORMS:
        raise UsageError.unknown("form of a report", form, FORMS)
    return FORMS[form](run).encode()


def save(content: bytes, target: Path) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    fresh = target.with_name(f".{target.name}.new")
    try:
        with uninterrupted():
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(content)
            fresh.replace(target)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        raise DataError(f"{target} cannot be written ({error.strerror})") from None
