"""What an import did: the fate of every row that was read."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TableReport:
    """What became of the rows read for one table.

    Attributes
    ----------
    read : int
        Rows of the files; it is the sum of all others.
    added, updated, unchanged : int
        Rows that are stored, by what was stored under their key before.
    skipped, quarantined : mapping of reason to rows
        Rows that are not wanted (open, known, unknown_ticker), and rows that are unusable.
    """

    read: int
    added: int
    updated: int
    unchanged: int
    skipped: Mapping[str, int]
    quarantined: Mapping[str, int]


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes
    ----------
    tables : mapping of table name to TableReport
        Every table that was read.
    warnings : tuple of str
        What a user should look at; one line each.
    fingerprint : str
        Of the dataset afterwards.
    messages : mapping of str to int
        Of a recording: messages by type, and what happened to its books. Empty without one.
    """

    tables: Mapping[str, TableReport]
    warnings: tuple[str, ...]
    fingerprint: str
    messages: Mapping[str, int] = field(default_factory=dict)
