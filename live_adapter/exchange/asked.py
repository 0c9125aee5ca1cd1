"""What an endpoint is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from live_adapter.exchange.archive import Archive
from live_adapter.exchange.query import Query
from live_adapter.exchange.wire import Json


@dataclass(frozen=True)
class Limits:
    """Token buckets of the account: tokens a second, and tokens a bucket holds."""

    read: tuple[int, int] = (200, 400)
    write: tuple[int, int] = (100, 100)


@dataclass(frozen=True)
class Asked:
    """A request on its way to an answer.

    Attributes
    ----------
    archive : Archive
        What is known.
    query : Query
        Its parameters.
    names : mapping of str to str
        The parts of the path, such as `ticker`.
    limits : Limits
        Of the account.
    """

    archive: Archive
    query: Query
    names: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)


Answer = Callable[[Asked], Json]
