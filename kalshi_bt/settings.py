"""Reading one setting: text or number in, the type of the field it is meant for out."""

import dataclasses
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from kalshi_bt.errors import UsageError
from kalshi_bt.simulator.assumptions import Limit
from kalshi_bt.units import MONEY_SCALE, format_money, parse_money

LARGEST = 10**9  # whole number or dollars: far beyond it the simulator's integers would overflow
_TRUE, _FALSE = ("true", "yes", "1", "on"), ("false", "no", "0", "off")


def fields_of(value: Any) -> dict[str, Any]:
    """Return name -> type of the fields of a dataclass instance.

    Examples
    --------
    >>> fields_of(Limit())
    {'fraction': float | None, 'dollars': int | None}
    """
    hints = get_type_hints(type(value))
    return {f.name: hints[f.name] for f in dataclasses.fields(value) if f.init}


def read(name: str, given: Any, kind: Any) -> Any:
    """Return `given` as a value of type `kind`.

    Parameters
    ----------
    name : str
        The setting, for messages.
    given : object
        Text from a command line, or a value from a TOML file.
    kind : type
        int, float, bool, str, a Literal, an Optional of these, one of these or a Literal, a tuple
        of str (``a,b``), or Limit (``0.2`` is a fraction of equity, ``$50`` an amount,
        ``0.2,$50`` whichever is tighter).

    Raises
    ------
    UsageError
        If it cannot be read so.

    Examples
    --------
    >>> read("period", "20", int), read("max_exposure", "$50", Limit).dollars
    (20, 50000000)
    """
    options = get_args(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return _either(name, given, options)
    if get_origin(kind) is Literal:
        if str(given) not in options:
            raise UsageError.unknown(name, str(given), [str(o) for o in options])
        return str(given)
    if kind is Limit or get_origin(kind) is tuple:
        return _limit(name, given) if kind is Limit else _words(given)
    text = str(given).strip()
    if kind is bool:
        if text.lower() not in _TRUE + _FALSE:
            raise UsageError(f"{name} is {given!r}; expected true or false")
        return text.lower() in _TRUE
    try:
        value = kind(text)
    except ValueError:
        want = {"int": "a whole number", "float": "a number"}.get(kind.__name__, kind.__name__)
        raise UsageError(f"{name} is {given!r}; expected {want}") from None
    if kind is float and not math.isfinite(value):
        raise UsageError(f"{name} is {given!r}; expected a finite number")
    return value


def _either(name: str, given: Any, options: tuple[Any, ...]) -> Any:
    """Return `given` as none or a word of the options, else as the kind that is left of them."""
    if type(None) in options and (given is None or str(given).strip().lower() == "none"):
        return None
    words = [word for k in options if get_origin(k) is Literal for word in get_args(k)]
    if str(given) in words:
        return str(given)
    kinds = (k for k in options if k is not type(None) and get_origin(k) is not Literal)
    try:
        return read(name, given, next(kinds))
    except UsageError as error:
        raise UsageError(", or ".join((str(error), *words))) from None


def amount(name: str, given: Any) -> int:
    """Return micro-dollars from a setting in dollars.

    Raises
    ------
    UsageError
        If it is no exact amount, or above a billion dollars either side of 0.

    Examples
    --------
    >>> amount("cash", "99.50")
    99500000
    """
    try:
        value = parse_money(given)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None
    if abs(value) > LARGEST * MONEY_SCALE:
        raise UsageError(f"{name} is {given} dollars; expected at most {LARGEST:,}")
    return value


def _words(given: Any) -> tuple[str, ...]:
    words = given if isinstance(given, list | tuple) else str(given).split(",")
    return tuple(str(word).strip() for word in words if str(word).strip())


def _limit(name: str, given: Any) -> Limit:
    if isinstance(given, Limit):
        return given
    fraction, dollars = None, None
    for word in str(given).split(","):
        if word.strip().startswith("$"):
            dollars = amount(name, word.strip()[1:])
        else:
            fraction = read(name, word, float | None)
    try:
        return Limit(fraction, dollars)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None


def replaced(value: Any, given: Mapping[str, Any], what: str) -> Any:
    """Return a copy of the dataclass `value` with the `given` settings read into its fields.

    Raises
    ------
    UsageError
        If a name is no field of it, or a value does not fit.
    """
    kinds = fields_of(value)
    for name in given:
        if name not in kinds:
            raise UsageError.unknown(f"{what} parameter", name, kinds)
    fitting = {k: read(k, v, kinds[k]) for k, v in given.items()}
    for name, number in fitting.items():
        if isinstance(number, int) and abs(number) > LARGEST:
            raise UsageError(f"{name} is {number}; expected at most {LARGEST:,}")
    return dataclasses.replace(value, **fitting)


def plain(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as TOML values; None and empty limits as ``none``.

    Examples
    --------
    >>> from kalshi_bt.simulator.assumptions import Risk
    >>> limits = plain(Risk(max_exposure=Limit(fraction=0.2), daily_loss=Limit(dollars=5_000_000)))
    >>> limits["max_exposure"], limits["daily_loss"], limits["max_event"]
    (0.2, '$5.00', 'none')
    """
    result: dict[str, Any] = {}
    for name, kind in fields_of(value).items():
        item = getattr(value, name)
        if type(item) is int and float in {kind, *get_args(kind)}:
            item = float(item)  # as it is read back
        if isinstance(item, Limit):
            item = _limit_text(item)
        result[name] = "none" if item is None else item
    return result


def _limit_text(limit: Limit) -> Any:
    """Return a limit as `read` takes it back."""
    if limit.dollars is None:
        return limit.fraction
    dollars = f"${format_money(limit.dollars)}"
    return dollars if limit.fraction is None else f"{limit.fraction},{dollars}"
