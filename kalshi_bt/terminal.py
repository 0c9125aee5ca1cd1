"""Commands on a terminal: one clear line for what went wrong, and an exit code."""

import sys
from collections.abc import Sequence

import typer
from typer.exceptions import TyperException

from kalshi_bt.errors import KalshiBtError


def application(summary: str) -> typer.Typer:
    """Return an empty command line application whose help is plain text."""
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


def invoke(app: typer.Typer, arguments: Sequence[str] | None = None) -> int:
    """Run an application and return its exit code.

    Returns
    -------
    int
        0 done, 1 a gate failed, 2 bad usage or bad input, 130 interrupted.
    """
    try:
        code = app(args=None if arguments is None else list(arguments), standalone_mode=False)
    except KalshiBtError as error:
        say(f"error: {_one_line(str(error))}")
        return error.exit_code
    except typer.Abort:
        say("interrupted; nothing was left half-written")
        return 130
    except KeyboardInterrupt:
        say("interrupted; nothing was left half-written")
        return 130
    except TyperException as error:
        message = str(getattr(error, "message", "") or error)
        parameter = getattr(error, "param", None)
        names = "/".join(getattr(parameter, "opts", [])) if parameter is not None else ""
        say(f"error: {_one_line(f'{names}: {message}' if names else message)}")
        return 2
    return code if isinstance(code, int) else 0


def _one_line(text: str) -> str:
    return " ".join(text.split())
