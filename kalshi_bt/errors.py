"""What can go wrong, said in one line each: what, where, expected, found, cure.

KalshiBtError
├── UsageError    a wrong name, value or option           (exit code 2)
├── DataError     a table or file that cannot be used     (exit code 2)
└── GateError     a finished run that failed a gate       (exit code 1)
"""

import errno
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final, Self

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # what a full disk says


class KalshiBtError(Exception):
    """Base of every error this package raises on purpose."""

    exit_code = 2


class UsageError(KalshiBtError):
    """A wrong name, value or option was given."""

    @classmethod
    def unknown(cls, what: str, name: str, known: Iterable[str]) -> Self:
        """Build the message for a misspelt name, with the nearest known ones.

        Examples
        --------
        >>> UsageError.unknown("strategy", "bolinger", ["bollinger"])
        UsageError("unknown strategy 'bolinger'; did you mean 'bollinger'?")
        """
        names = sorted(known)
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names) or 'none'}"
        return cls(f"unknown {what} {name!r}; {hint}")


class DataError(KalshiBtError):
    """A table or file cannot be used as it is."""


class GateError(KalshiBtError):
    """A run ended, and a check on its result failed."""

    exit_code = 1
