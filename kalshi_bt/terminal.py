"""Commands on a terminal: one clear line for what went wrong, and an exit code."""

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from kalshi_bt.errors import NO_ROOM, KalshiBtError

if TYPE_CHECKING:  # typer takes longer to import than all else here
    import typer
    from typer.exceptions import TyperException

INTERRUPTED = 130
_FAREWELL = "interrupted; nothing was left half-written"


def application(summary: str) -> "typer.Typer":
    """Return an empty command line application whose help is plain text."""
    import typer  # noqa: PLC0415 - slow

    return typer.Typer(
        help=summary,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


def say(text: str) -> None:
    """Write a line of progress to the standard error stream."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def leave_on_interrupt() -> None:
    """Let Ctrl-C end this process at once, with one line and exit code 130.

    An exception raised within a compiler or a query can get lost on its way. Nothing has to be put
    in order on the way out, because files only ever appear complete.
    """
    signal.signal(signal.SIGINT, _leave)


@contextmanager
def tidied(first: Callable[[], object]) -> Iterator[None]:
    """Let Ctrl-C and a request to end call `first` while the block lasts, where this is a program.

    A second Ctrl-C does not wait for that.
    """
    if signal.getsignal(signal.SIGINT) is not _leave:
        yield
        return

    def leave(number: int, frame: object) -> None:
        leave_on_interrupt()
        first()
        _leave(number, frame)

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def program(app: "typer.Typer") -> NoReturn:
    """Run an application as the whole of a process, and exit with its code."""
    _fill_streams()
    leave_on_interrupt()
    code = invoke(app)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done but the exit itself
    sys.exit(code)


def _fill_streams() -> None:
    """Let standard streams that were closed lead nowhere: the next files would get their place."""
    for place, (name, way) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            if handle != place:
                os.dup2(handle, place)
                os.close(handle)
            setattr(sys, name, open(place, way, closefd=False))  # noqa: SIM115 - a number


def _leave(_number: int, _frame: object) -> None:
    os.write(2, f"{_FAREWELL}\n".encode())
    os._exit(INTERRUPTED)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends; only the main thread ever gets it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held and callable(before):
        before(held[0], None)


def invoke(app: "typer.Typer", arguments: Sequence[str] | None = None) -> int:
    """Run an application and return its exit code.

    Returns
    -------
    int
        0 done, 1 a gate failed, 2 bad usage or bad input, 130 interrupted.
    """
    import typer  # noqa: PLC0415 - slow
    from typer.exceptions import TyperException  # noqa: PLC0415 - slow

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # where a terminal knows only some letters
    try:
        code = app(args=None if arguments is None else list(arguments), standalone_mode=False)
    except KalshiBtError as error:
        say(f"error: {_one_line(str(error))}")
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        say(f"error: nothing more can be written ({error.strerror}); make room, and try again")
        return 2
    except TyperException as error:
        say(_usage(error))
        return 2
    if code == INTERRUPTED:  # also what typer makes of Ctrl-C inside a command
        say(_FAREWELL)
    return code if isinstance(code, int) else 0


def _usage(error: "TyperException") -> str:
    """Return what was wrong with a command line; the help itself where no verb was given."""
    near = getattr(error, "possibilities", None)
    message = f"{error.message}; did you mean {near[0]}?" if near else error.format_message()
    return message if message.startswith("Usage:") else f"error: {_one_line(message)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
