"""What a signal is, and how it declares its parameters.

A signal is a frozen dataclass. Its fields are its parameters, each declared with `parameter`, so
that they can be listed, range-checked and swept by anyone who knows nothing else about it.
"""

import math
from dataclasses import MISSING, dataclass, field, fields
from types import NoneType, UnionType
from typing import Any, Literal, Protocol, Union, get_args, get_origin, get_type_hints

import polars as pl

from kalshi_bt.errors import UsageError
from kalshi_bt.schema import QUOTES
from kalshi_bt.signals.expr import slices_of

__all__ = [
    "Parameter",
    "Signal",
    "check_parameters",
    "newest",
    "parameter",
    "parameters",
    "reads",
]


class Signal(Protocol):
    """A pure function of quotes with hashable parameters."""

    @property
    def lookback(self) -> int:
        """Bars per market, gaps not counted, that suffice for the newest value."""

    def __call__(self, quotes: pl.LazyFrame) -> pl.LazyFrame:
        """Return `quotes`, same rows and order, with columns of `schema.SIGNALS` added."""


def newest(signal: Signal, quotes: pl.LazyFrame) -> pl.LazyFrame:
    """Return the newest bar of each market, in the order of `quotes`, with what the signal says.

    It is what `signal(quotes)` says of these rows, to the last bit; a signal that looks far back
    may have a method `newest` that says it without working out the other rows.

    Parameters
    ----------
    signal : Signal
    quotes : polars.LazyFrame
        As for a call; the last `lookback` bars of each market suffice.

    Examples
    --------
    >>> from kalshi_bt.signals.bollinger import Bollinger
    >>> from kalshi_bt.signals.random_quotes import sample_quotes
    >>> frame = sample_quotes(Bollinger(period=8))
    >>> newest(Bollinger(period=8), frame.lazy()).collect().height, frame["ticker"].n_unique()
    (4, 4)
    """
    own: Signal | None = getattr(signal, "newest", None)
    if own is not None:
        return own(quotes)
    return signal(quotes).map_batches(lambda said: slices_of(said, newest=True).frame)


def reads(signal: Signal) -> tuple[str, ...] | None:
    """Return the columns of `schema.QUOTES` that a signal reads; None if it does not say.

    A signal says it by an attribute `reads`, and is then handed these alone, beside ticker, time
    and the columns of its `references`: of the past, a trader keeps no more.

    Raises
    ------
    UsageError
        If one that it names is no column of quotes.

    Examples
    --------
    >>> from kalshi_bt.signals.longshot import Longshot
    >>> "volume" in reads(Longshot()), "bid_open" in reads(Longshot())
    (True, False)
    """
    named: tuple[str, ...] | None = getattr(signal, "reads", None)
    for name in named or ():
        if name not in QUOTES:
            raise UsageError.unknown(f"column in {type(signal).__name__}.reads", name, QUOTES)
    return None if named is None else tuple(dict.fromkeys(("ticker", "time", *named)))


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a signal, as a user meets it.

    Attributes
    ----------
    name, kind, doc : str
        Its name, its type in words, and what it does, with the unit.
    default : object
        Its value if none is given.
    low, high : float or None
        Inclusive range; None for unbounded.
    choices : tuple of str
        The values allowed; empty where any within the range is.
    """

    name: str
    kind: str
    default: Any
    doc: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]

    @property
    def expected(self) -> str:
        """The type and the values allowed, in words."""
        if self.choices:
            return " or ".join(repr(choice) for choice in self.choices)
        if self.low is None and self.high is None:
            return self.kind
        if self.high is None:
            return f"{self.kind}, at least {self.low}"
        if self.low is None:
            return f"{self.kind}, at most {self.high}"
        return f"{self.kind} from {self.low} to {self.high}"


def parameter(
    default: Any,
    doc: str,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """Return a dataclass field that carries its documentation and inclusive range.

    Parameters
    ----------
    default : object
        Value if none is given.
    doc : str
        What it does, with the unit.
    low, high : float, optional
        Inclusive range.
    choices : tuple of str, optional
        The values allowed; those of a ``Literal`` annotation need not be repeated.
    """
    facts = {"doc": doc, "low": low, "high": high, "choices": choices}
    return field(default=default, metadata=facts)


def parameters(signal: object) -> tuple[Parameter, ...]:
    """Return the parameters of a signal or of its class, in declared order.

    Examples
    --------
    >>> from kalshi_bt.signals.bollinger import Bollinger
    >>> first = parameters(Bollinger)[0]
    >>> first.name, first.default, first.expected
    ('period', 25, 'int from 2 to 5000')
    """
    cls: Any = signal if isinstance(signal, type) else type(signal)
    hints = get_type_hints(cls)
    return tuple(
        Parameter(
            name=f.name,
            kind=_kind(hints[f.name]),
            default=None if f.default is MISSING else f.default,
            doc=f.metadata.get("doc", ""),
            low=f.metadata.get("low"),
            high=f.metadata.get("high"),
            choices=f.metadata.get("choices") or _literals(hints[f.name]),
        )
        for f in fields(cls)
    )


def check_parameters(signal: object) -> None:
    """Refuse a signal with a parameter of the wrong type or outside its range.

    Raises
    ------
    UsageError
        On the first such parameter.
    """
    hints = get_type_hints(type(signal))
    for p in parameters(signal):
        value = getattr(signal, p.name)
        fits = _accepts(hints[p.name], value) and (not p.choices or value in p.choices)
        if fits and value is not None:
            fits = (p.low is None or value >= p.low) and (p.high is None or value <= p.high)
        if not fits:
            where = f"{type(signal).__name__}.{p.name}"
            raise UsageError(f"{where} is {value!r}; expected {p.expected} ({p.doc})")


def _accepts(hint: Any, value: object) -> bool:
    origin = get_origin(hint)
    if origin in {Union, UnionType}:
        return any(_accepts(part, value) for part in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if hint is float:
        return isinstance(value, float | int) and type(value) is not bool and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and type(value) is not bool
    return isinstance(value, origin or hint)


def _literals(hint: Any) -> tuple[str, ...]:
    return tuple(get_args(hint)) if get_origin(hint) is Literal else ()


def _kind(hint: Any) -> str:
    if get_origin(hint) in {Union, UnionType}:
        return " or ".join(_kind(part) for part in get_args(hint))
    if get_origin(hint) is Literal:
        return "choice"
    if hint is NoneType:
        return "none"
    return hint.__name__ if isinstance(hint, type) else str(hint)
