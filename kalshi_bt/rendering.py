"""A run in each of the forms a report has: the page, the text and the metrics."""

from collections.abc import Callable

from kalshi_bt import report, run_folder
from kalshi_bt.errors import UsageError
from kalshi_bt.report import Run

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
