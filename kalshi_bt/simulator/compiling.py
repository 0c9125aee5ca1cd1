"""Compiling kernels, and keeping machine code that is never older than the source it came from.

Numba's cache looks at the file of the function it compiled, not at the files of the functions
that one calls. Machine code is therefore kept in a folder named after a hash of all of them.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])

int64: type[int] = cast("type[int]", np.int64)  # how a kernel writes a 64-bit constant
_njit: Any = numba.njit
_config: Any = numba.config

_HERE = Path(__file__).parent
_SOURCES = (*sorted(_HERE.glob("*.py")), _HERE.parent / "fees.py")


def cache_folder() -> Path:
    """Return the folder that holds the machine code of exactly these sources.

    ``NUMBA_CACHE_DIR`` is honoured; without it the code lies beside the package, or in the user's
    cache where the package cannot be written to.
    """
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in _SOURCES)).hexdigest()[:16]
    base = Path(_config.CACHE_DIR) if _config.CACHE_DIR else _HERE / "__pycache__"
    if not os.access(base if base.exists() else base.parent, os.W_OK):
        base = Path.home() / ".cache" / "kalshi_bt"
    return base / digest


CACHE = cache_folder()


def compiled(function: F) -> F:
    """Compile to machine code on the first call of a signature, and keep it on disk."""
    before, _config.CACHE_DIR = _config.CACHE_DIR, str(CACHE)
    try:
        result: F = _njit(cache=True, nogil=True, error_model="numpy")(function)
    finally:
        _config.CACHE_DIR = before
    return result


def inner(function: F) -> F:
    """Compile for calls from compiled code only: without the wrappers that Python would need."""
    result: F = _njit(
        nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
    )(function)
    return result


def is_compiled() -> bool:
    """Tell whether the batch walk has been compiled on this machine before."""
    return any(CACHE.rglob("kernels.walk-*.nbi"))


def _pointer(typing_context: Any, address: Any) -> Any:  # noqa: ARG001 - the compiler passes it
    """Return an address as a pointer, for `numba.carray`.

    An array behind a bare pointer has no reference count. Kernels hand arrays from function to
    function at every event, and counting references there costs several times the work itself.
    Whoever borrows an array so must keep the real one alive.
    """

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


pointer: Any = intrinsic(_pointer)
