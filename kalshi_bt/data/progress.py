"""What a long job says of itself while it runs; whoever shows it has the clock."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes
    ----------
    label : str
        What is being done, in a word or two.
    done : int
        Steps that are done.
    total : int, optional
        Steps there are; null while that is not known.
    rows : int
        Rows read so far.
    """

    label: str
    done: int
    total: int | None = None
    rows: int = 0


OnProgress = Callable[[Progress], None]


def silent(_progress: Progress) -> None:
    """Show nothing."""
