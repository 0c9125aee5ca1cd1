"""Showing how far a long job is: bars on a terminal, a line now and then in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded by whoever reports progress, and only then
    from kalshi_bt.data.progress import OnProgress, Progress

EVERY = 10.0  # seconds between two lines of a log


@contextmanager
def shown() -> "Iterator[OnProgress]":
    """Give a callback that shows progress on the standard error stream, with rate and time left."""
    from rich.console import Console  # noqa: PLC0415 - slow

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lines(lambda text: console.print(text, soft_wrap=True))
        return
    from rich import progress as rich  # noqa: PLC0415 - slow

    form = "{task.description}", "{task.completed:,}/{task.total:,}", "{task.fields[said]}"
    texts = [rich.TextColumn(part) for part in form]
    with rich.Progress(texts[0], rich.BarColumn(), *texts[1:], console=console) as bars:
        tasks: dict[str, tuple[rich.TaskID, float]] = {}

        def show(step: "Progress") -> None:
            now = time.monotonic()
            if step.label not in tasks:
                tasks[step.label] = bars.add_task(step.label, said=""), now
            task, began = tasks[step.label]
            total = step.done if step.total is None else step.total
            said = pace(step, now - began)
            bars.update(task, completed=step.done, total=total, said=said)

        yield show


def lines(
    write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
) -> "OnProgress":
    """Return a callback that writes a line at the start and end of a job and now and then between.

    Parameters
    ----------
    write : callable
        Takes one line.
    clock : callable
        Seconds.
    """
    began: dict[str, float] = {}
    last: dict[str, float] = {}

    def show(step: "Progress") -> None:
        now = clock()
        first = began.setdefault(step.label, now)
        if step.done != step.total and now - last.get(step.label, -EVERY) < EVERY:
            return
        last[step.label] = now
        total = "" if step.total is None else f" of {step.total:,}"
        write(f"{step.label}: {step.done:,}{total}, {pace(step, now - first)}")

    return show


def pace(step: "Progress", seconds: float) -> str:
    """Return rows, steps a second, and the time that is left at that rate.

    Parameters
    ----------
    step : Progress
        How far the job is.
    seconds : float
        Since it began.

    Examples
    --------
    >>> from kalshi_bt.data.progress import Progress
    >>> pace(Progress("candles", done=50, total=200, rows=12_000), 10.0)
    '12,000 rows, 5.0/s, 30 s left'
    """
    parts = [f"{step.rows:,} rows"]
    if step.done and seconds > 0:
        rate = step.done / seconds
        parts.append(f"{rate:,.1f}/s")
        if step.total is not None and step.total > step.done:
            parts.append(f"{(step.total - step.done) / rate:,.0f} s left")
    return ", ".join(parts)
