"""Reading one setting: text or number in, the type of the field it is meant for out."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from kalshi_bt.errors import UsageError
from kalshi_bt.simulator.assumptions import Limit
from kalshi_bt.units import parse_money

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
        int, float, bool, str, a Literal, an Optional of these, or Limit (``0.2`` is a fraction of
        equity, ``$50`` an amount).

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
        if given is None or str(given).lower() == "none":
            return None
        return read(name, given, next(k for k in options if k is not type(None)))
    if get_origin(kind) is Literal:
        if str(given) not in options:
            raise UsageError.unknown(f"value of {name}", str(given), [str(o) for o in options])
        return str(given)
    if kind is Limit:
        return _limit(name, given)
    text = str(given).strip()
    if kind is bool:
        if text.lower() not in _TRUE + _FALSE:
            raise UsageError(f"{name} is {given!r}; expected true or false")
        return text.lower() in _TRUE
    try:
        return kind(text)
    except ValueError:
        want = {"int": "a whole number", "float": "a number"}.get(kind.__name__, kind.__name__)
        raise UsageError(f"{name} is {given!r}; expected {want}") from None


def _limit(name: str, given: Any) -> Limit:
    if isinstance(given, Mapping):
        return Limit(**given)
    text = str(given).strip()
    if text.lower() == "none":
        return Limit()
    if text.startswith("$"):
        return Limit(dollars=parse_money(text[1:]))
    return Limit(fraction=read(name, text, float))


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
    return dataclasses.replace(value, **{k: read(k, v, kinds[k]) for k, v in given.items()})


def plain(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as TOML values; None and empty limits as ``none``.

    Examples
    --------
    >>> from kalshi_bt.simulator.assumptions import Risk
    >>> plain(Risk(max_exposure=Limit(fraction=0.2)))["max_exposure"]
    0.2
    """
    result: dict[str, Any] = {}
    for name in fields_of(value):
        item = getattr(value, name)
        if isinstance(item, Limit):
            parts = {k: v for k, v in dataclasses.asdict(item).items() if v is not None}
            item = parts.get("fraction") if set(parts) == {"fraction"} else (parts or None)
        result[name] = "none" if item is None else item
    return result
