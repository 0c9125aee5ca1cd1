"""Which name on a leaderboard a contract means."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher
from hashlib import blake2b
from typing import Final

from kalshi_bt.errors import DataError

__all__ = [
    "ORGANIZATIONS",
    "Contract",
    "choose_contract",
    "code",
    "contract_name",
    "match",
    "normalized",
    "organization_key",
    "organization_of",
    "similarity",
]

OTHER = 0.0  # the code of a contract on everything not listed
_OTHERS = {"other", "none-of-the-above"}

# Product names that contracts use, by the organisation's name without its suffixes.
ORGANIZATIONS: Final[Mapping[str, str]] = {
    "claude": "anthropic",
    "gemini": "google",
    "chatgpt": "openai",
    "grok": "xai",
    "llama": "meta",
    "qwen": "alibaba",
    "quen": "alibaba",  # as a ticker spells it
    "ernie": "baidu",
    "dola": "bytedance",
    "kimi": "moonshot",
    "deepseek": "deepseek",
    "mistral": "mistral",
    "glm": "zhipu",
    "z.ai": "zhipu",
    "z": "zhipu",
}
# How the names of models begin, where a board does not state whose they are.
_FAMILIES: Final[Mapping[str, str]] = {
    "claude": "anthropic",
    "gemini": "google",
    "gemma": "google",
    "bard": "google",
    "palm": "google",
    "gpt": "openai",
    "chatgpt": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "grok": "xai",
    "llama": "meta",
    "qwen": "alibaba",
    "qwq": "alibaba",
    "ernie": "baidu",
    "dola": "bytedance",
    "kimi": "moonshot",
    "deepseek": "deepseek",
    "mistral": "mistral",
    "mixtral": "mistral",
    "magistral": "mistral",
    "glm": "zhipu",
}
_SUFFIXES = (
    *("ai", "lab", "labs", "research", "deepmind", "inc", "corp", "ltd"),
    *("tech", "technology", "technologies"),
)
_QUESTION = re.compile(r"^will (.+?) (?:be|have) .*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract that may mean a model or an organisation.

    Attributes
    ----------
    ticker, event, name : str
    close_time : datetime
    """

    ticker: str
    event: str
    name: str
    close_time: datetime


def normalized(name: str) -> str:
    """Return a model's name in lower case, with hyphens for spaces and underscores.

    Examples
    --------
    >>> normalized(" Claude Opus_4.5 ")
    'claude-opus-4.5'
    """
    return re.sub(r"[\s_]+", "-", name.strip().lower())


def similarity(one: str, other: str) -> float:
    """Return how alike two names are, 0 to 1, whatever the order of their parts.

    Examples
    --------
    >>> similarity("opus-claude-4", "claude-opus-4")
    1.0
    """
    first, second = ("-".join(sorted(normalized(name).split("-"))) for name in (one, other))
    return SequenceMatcher(None, first, second, autojunk=False).ratio()


def match(
    name: str,
    candidates: Sequence[str],
    overrides: Mapping[str, str] | None = None,
    least: float | None = None,
) -> str | None:
    """Return the candidate that a name means; None if none does.

    Parameters
    ----------
    name : str
    candidates : sequence of str
    overrides : mapping, optional
        Decided by hand; keys are compared normalised.
    least : float, optional
        Least `similarity` of a candidate that is not the same name. None: only the same name will
        do, as the rules of the contracts demand: neighbouring versions are very similar (0.85 and
        more) and are not each other.

    Raises
    ------
    DataError
        If an override is not among the candidates.

    Examples
    --------
    >>> match("GPT 5 High", ["gpt-5-high", "gpt-5-low"])
    'gpt-5-high'
    >>> match("claude-opus-4-5", ["claude-opus-4-1"]) is None
    True
    """
    own = normalized(name)
    byhand = {normalized(key): value for key, value in (overrides or {}).items()}
    if own in byhand:
        if byhand[own] not in candidates:
            raise DataError(
                f"{name!r} is overridden by {byhand[own]!r}, which is not among the "
                f"{len(candidates)} names; correct the override"
            )
        return byhand[own]
    same = sorted(other for other in candidates if normalized(other) == own)
    if same:
        return same[0]
    if least is None or not candidates:
        return None
    best = min(candidates, key=lambda other: (-similarity(name, other), other))
    return best if similarity(name, best) >= least else None


def contract_name(subtitle: str | None, title: str | None) -> str | None:
    """Return what a contract says it is about; None if it does not.

    Parameters
    ----------
    subtitle : str or None
        Of YES, such as ``gpt-5-high`` or ``gpt-5-high:: OpenAI``.
    title : str or None
        Such as ``Will gpt-5-high be the top AI model this month?``

    Examples
    --------
    >>> contract_name("gpt-5-high:: OpenAI", None)
    'gpt-5-high'
    >>> contract_name(None, "Will Claude be the best AI in August?")
    'Claude'
    """
    if subtitle and subtitle.strip():
        return subtitle.split("::")[0].strip()
    found = _QUESTION.match((title or "").strip())
    return found[1].strip() if found else None


def organization_key(name: str) -> str:
    """Return one spelling for the names of an organisation and of its product.

    Examples
    --------
    >>> organization_key("Moonshot AI"), organization_key("Claude"), organization_key("xAI")
    ('moonshot', 'anthropic', 'xai')
    """
    words = [word.strip(".,") for word in name.lower().replace("_", " ").split()]
    if len(words) > 1 and words[0] in ORGANIZATIONS:
        return ORGANIZATIONS[words[0]]
    while len(words) > 1 and words[-1] in _SUFFIXES:
        words.pop()
    short = " ".join(words)
    return ORGANIZATIONS.get(short, short)


def organization_of(model: str) -> str | None:
    """Return whose a model is by how its name begins; None if that does not say.

    Examples
    --------
    >>> organization_of("o3-2025-04-16"), organization_of("Meta-Llama-3"), organization_of("yi-34b")
    ('openai', 'meta', None)
    """
    words = re.split(r"[^a-z0-9]+", normalized(model).removeprefix("meta-"))
    first = words[0]
    if first in _FAMILIES:
        return _FAMILIES[first]
    family = re.match(r"[a-z]+", first)  # qwen3, gpt4
    return _FAMILIES.get(family[0]) if family else None


def code(name: str) -> float:
    """Return a whole number that stands for a name in a table of numbers; 0 for "Other".

    Examples
    --------
    >>> code("Other"), code("gpt-5-high") == code("GPT 5 high"), code("a") == code("b")
    (0.0, True, False)
    """
    key = normalized(name)
    if key in _OTHERS:
        return OTHER
    return float(1 + int.from_bytes(blake2b(key.encode(), digest_size=6).digest(), "big"))


def choose_contract(
    name: str,
    contracts: Iterable[Contract],
    now: datetime,
    preferred: Sequence[str] = (),
    least: float = 0.90,
) -> Contract | None:
    """Return the contract to trade on a name that several events list.

    Preferred events come first, in their order, then the nearest close that is still to come, then
    the more similar name, then the ticker.

    Parameters
    ----------
    name : str
    contracts : iterable of Contract
    now : datetime
        Contracts that have closed by then do not count.
    preferred : sequence of str
        Events.
    least : float
        Least similarity of names.
    """
    ranks = {event: place for place, event in enumerate(preferred)}
    fits = [
        (ranks.get(c.event, len(ranks)), c.close_time, -similarity(name, c.name), c.ticker, c)
        for c in contracts
        if c.close_time > now and similarity(name, c.name) >= least
    ]
    return min(fits, key=lambda fit: fit[:4])[4] if fits else None
