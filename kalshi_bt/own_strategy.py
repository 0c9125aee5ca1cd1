"""A strategy made of a signal that is not registered: from a file, or handed over in Python.

What the signal adds decides how it is sized, unless its class says otherwise with an attribute
`sizing`, `risk` or `idea` beside its parameters.
"""

import dataclasses
import hashlib
import inspect
import sys
from types import CodeType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import polars as pl

from kalshi_bt.errors import DataError, KalshiBtError, UsageError
from kalshi_bt.schema import QUOTES
from kalshi_bt.settings import plain
from kalshi_bt.signal_file import is_signal_file, load_signal, source_hash, why_no_signal
from kalshi_bt.signals import Signal, check_parameters
from kalshi_bt.simulator.assumptions import Risk
from kalshi_bt.sizing import FixedStake, Kelly, RiskToStop
from kalshi_bt.strategies import STRATEGIES, Sizing, Strategy, strategy

__all__ = ["find", "handed_over", "strategy_of"]

HANDED = "object:"  # before the class of a signal that was handed over
_KINDS = {int, float, bool, str}


def find(name: str) -> Strategy:
    """Return a strategy by its registered name, or from ``FILE.py:CLASS``.

    Raises
    ------
    UsageError
        If there is none of that name, or what it means is no signal.
    DataError
        If the file cannot be read or run.

    Examples
    --------
    >>> find("bollinger") is STRATEGIES["bollinger"]
    True
    """
    if name.startswith(HANDED):
        cls = name.removeprefix(HANDED)
        raise UsageError(
            f"{cls} was handed over in Python; hand it over again, kalshi_bt.backtest({cls}(…)), "
            f"or name its file: --strategy FILE.py:{cls}"
        )
    return strategy_of(load_signal(name), name) if is_signal_file(name) else strategy(name)


def handed_over(signal: Any) -> tuple[str, Strategy, dict[str, Any]]:
    """Return name, strategy and parameters of a signal, or of a class with its defaults.

    A class of a registered strategy is that strategy; one from `load_signal` is that of its file.

    Raises
    ------
    UsageError
        If it is no signal.

    Examples
    --------
    >>> from kalshi_bt.signals.bollinger import Bollinger
    >>> name, _, parameters = handed_over(Bollinger(period=20))
    >>> name, parameters["period"]
    ('bollinger', 20)
    """
    cls: Any = signal if isinstance(signal, type) else type(signal)
    why = why_no_signal(cls)
    if why is not None:
        raise UsageError(f"{cls.__name__} is no strategy's name and no signal: {why}")
    parameters = {} if isinstance(signal, type) else plain(signal)
    for name, chosen in STRATEGIES.items():
        if type(chosen.signal) is cls:
            return name, chosen, parameters
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    named = f"{file}:{cls.__name__}" if source_hash(cls) else f"{HANDED}{cls.__name__}"
    return named, strategy_of(cls, named), parameters


def strategy_of(cls: Any, name: str) -> Strategy:
    """Return the strategy of a signal class.

    Parameters
    ----------
    cls : type
        A signal. Attributes that are no parameters of it count: `sizing`, from its columns to
        intents, by default `Kelly` where it adds `fair`, else `RiskToStop` where it adds `stop`,
        else `FixedStake`; `risk`, a `Risk`, by default without limits; `idea`, a sentence, by
        default the first line of its docstring; and a class method `reference`.
    name : str
        What messages call it.

    Raises
    ------
    DataError
        If it raises on quotes without rows.
    UsageError
        If it adds nothing, a parameter has a type that no setting has, or an attribute is not what
        it should be.
    """
    _check_types(cls, name)
    signal = _called(name, cls)
    check_parameters(signal)
    sizing: Any = _offered(cls, "sizing")
    if sizing is None:
        sizing = _usual(_added(signal, name), name)
    elif not callable(sizing) or isinstance(sizing, type) or not dataclasses.is_dataclass(sizing):
        raise UsageError(f"{name}.sizing is {sizing!r}; expected a sizing such as Kelly(scale=0.5)")
    risk = _offered(cls, "risk") or Risk()
    if not isinstance(risk, Risk):
        raise UsageError(f"{name}.risk is {risk!r}; expected limits such as Risk(max_positions=5)")
    return Strategy(
        idea=_idea(cls),
        signal=signal,
        reference=_called(name, getattr(cls, "reference", cls)),
        sizing=sizing,
        risk=risk,
        reference_risk=risk,
        source=source_hash(cls) or _code_hash(cls),
    )


def _offered(cls: Any, name: str) -> Any:
    """Return an attribute of a class that is not a parameter of it; None without."""
    own = {field.name for field in dataclasses.fields(cls)}
    return None if name in own else getattr(cls, name, None)


def _called(name: str, make: Any) -> Signal:
    try:
        signal: Signal = make()
    except KalshiBtError:
        raise
    except Exception as error:  # noqa: BLE001 - a user's class may raise anything
        raise UsageError(f"{name} cannot be made with its defaults: {_told(error)}") from None
    return signal


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _check_types(cls: Any, name: str) -> None:
    """Refuse a parameter that neither a flag nor a file could set."""
    try:
        hints = get_type_hints(cls)
    except Exception as error:  # noqa: BLE001 - an annotation may name anything
        raise UsageError(f"{name} has an annotation without meaning: {_told(error)}") from None
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if not _settable(hint):
            raise UsageError(
                f"{name}.{field.name} is of type {hint}; a parameter is int, float, bool, str, a "
                "Literal of words, or one of these or None"
            )


def _settable(hint: Any) -> bool:
    """Tell whether `settings.read` understands a type."""
    if get_origin(hint) in {Union, UnionType}:
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
        return len(kinds) == 1 and _settable(kinds[0])
    if get_origin(hint) is Literal:
        return all(isinstance(word, str) for word in get_args(hint))
    return hint in _KINDS


def _added(signal: Signal, name: str) -> set[str]:
    """Return the columns that a signal adds to quotes, as far as they are those of a signal."""
    columns: dict[str, Any] = dict(QUOTES)
    for need in getattr(signal, "references", ()):
        columns |= {need.column: pl.Float64}
        columns |= {f"{need.column}_age": pl.Float64} if need.with_age else {}
    try:
        found = signal(pl.LazyFrame(schema=columns)).collect_schema()
    except KalshiBtError:
        raise
    except Exception as error:  # noqa: BLE001 - a user's signal may raise anything
        raise DataError(f"{name} raises on quotes without rows: {_told(error)}") from None
    return set(found.names())


def _usual(added: set[str], name: str) -> Sizing:
    if "fair" in added:
        return Kelly()
    if "side" not in added:
        raise UsageError(f"{name} adds neither 'fair' nor 'side' to the quotes; a signal says one")
    return RiskToStop() if "stop" in added else FixedStake()


def _idea(cls: Any) -> str:
    said = _offered(cls, "idea")
    text = said if isinstance(said, str) else inspect.cleandoc(cls.__doc__ or "")
    first = text.partition("\n")[0].strip()
    # Without a docstring, a dataclass is told by its signature.
    told = first and not first.startswith(f"{cls.__name__}(")
    return first if told else f"A strategy of your own, {cls.__name__}."


def _code_hash(cls: Any) -> str:
    """Return a hash of the code of a class, for want of the file it stands in."""
    digest = hashlib.sha256()
    for base in cls.__mro__:
        for name, value in sorted(vars(base).items()):
            made = getattr(value, "fget", None) or getattr(value, "__func__", value)
            code = getattr(made, "__code__", None)
            if isinstance(code, CodeType):
                digest.update(f"{base.__name__}.{name} {_code(code)}\n".encode())
    return digest.hexdigest()


def _code(code: CodeType) -> str:
    """Return what a piece of code does, without where it stands."""
    inner = (_code(c) if isinstance(c, CodeType) else _constant(c) for c in code.co_consts)
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} [{', '.join(inner)}]"


def _constant(value: object) -> str:
    """Return a constant as text; sets have no order of their own."""
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)
