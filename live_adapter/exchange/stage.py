"""A tape being played: how far it is, and what is told on the way."""

import math
from collections.abc import Iterator

from live_adapter.exchange.floor import Floor, Message
from live_adapter.exchange.happenings import Happening, Tape


class Stage:
    """A tape from a moment on.

    Parameters
    ----------
    tape : Tape
        Where happenings come from.
    floor : Floor
        The markets, empty.
    now : int
        The moment, microseconds.

    Attributes
    ----------
    floor : Floor
        The markets as they stand.
    time : int
        How far it is.
    """

    def __init__(self, tape: Tape, floor: Floor, now: int) -> None:
        for said in tape.standing(now):
            floor.stand(said)
        self.floor, self.time = floor, now
        self._coming = tape.after(now)
        self._next: Happening | None = next(self._coming, None)

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self._next is None

    def until(self, limit: float) -> Iterator[list[Message]]:
        """Play up to a moment, that included; yield what is told of each thing that happens.

        Without an end (infinity) the time stays at that of the last one.
        """
        while self._next is not None and self._next.time <= limit:
            said = self._next
            self.time = max(self.time, said.time)
            yield list(self.floor.apply(said))
            self._next = next(self._coming, None)
        if limit != math.inf:
            self.time = max(self.time, int(limit))
