"""A source before another one: of all but moments it says what that one says."""

from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from live_adapter.journal import Entry
from live_adapter.moments import Moment, Resumed

if TYPE_CHECKING:
    from live_adapter.desk import Pulse
    from live_adapter.sources import Source


class Beside:
    """A source of the moments of another one.

    Parameters
    ----------
    source : Source
    """

    def __init__(self, source: "Source") -> None:
        self._source = source
        self.name, self.period, self.listens = source.name, source.period, source.listens
        self.sources: Sequence[str] = source.sources

    def moments(self, after: datetime | None) -> AsyncGenerator[Moment, None]:
        """Yield its moments."""
        return self._source.moments(after)

    def pulse(self, time: datetime) -> "Pulse":
        """Return how its feed is at a moment of that time."""
        return self._source.pulse(time)

    def health(self) -> dict[str, Any]:
        """Return what a screen shows of its feed."""
        return self._source.health()

    def adopt(self, resumed: Resumed) -> None:
        """Let it learn what a session has that goes on."""
        self._source.adopt(resumed)

    @property
    def came(self) -> tuple[datetime, datetime]:
        """When its newest bars came."""
        return self._source.came

    @property
    def heard(self) -> datetime | None:
        """When its last message came."""
        return self._source.heard

    @property
    def tell(self) -> Callable[[list[Entry]], object]:
        """What is given what the journal is told of its feed."""
        return self._source.tell

    @tell.setter
    def tell(self, tell: Callable[[list[Entry]], object]) -> None:
        self._source.tell = tell
