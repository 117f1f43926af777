"""Finds the models that a body names beside the one that it is routed by, and what in it stands for one.

Law: pure, by the table of `model_naming`. Upstreams differ in which of two members they read, so each must stand once. A body
that holds nothing of the table costs a look at its own keys.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from relay_svc.model_member import TooManyMentions, keys_spelled
from relay_svc.model_naming import BODY, COMMON, COMMON_BESIDE_MODEL, GEMINI, Rule, Table, plain_name

MOST_NAMED: Final = 16
"""Models that one request may name beside its own."""
_DEEPEST: Final = 12
_LARGEST: Final = 64 << 10
"""Bytes of a value that names models, and characters of one name."""
_LONGEST_MODEL: Final = 1024
_MOST_ITEMS: Final = 2048
"""Objects of one list that are looked into."""
_MOST_MEMBERS: Final = 512
"""Members of one object that are looked at, but for those of nearly every body."""
_LONGEST_SHOWN: Final = 64
"""Characters of a member that is one too many."""
_LARGEST_READ: Final = 1 << 20
"""Bytes of an object that is read whole to count its keys."""


class Beside(msgspec.Struct, frozen=True):
    """A model named beside the routed one: where, and which; no name where it cannot be told."""

    member: str
    model: str


_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
_PREFIX: Final = "models/"


def names_beside(
    body: bytes, members: Mapping[str, msgspec.Raw], table: Table = BODY, *, tools: bool = True
) -> tuple[Beside, ...]:
    """Find what a body names, given its members; `tools` tells whether those can name any."""
    common = COMMON_BESIDE_MODEL if table is BODY else COMMON
    if common.issuperset(members):  # nearly always, but for tools
        return ()
    found = _Found()
    looked_at = {name: value for name, value in members.items() if name not in common}
    if "tools" in looked_at and not (
        tools and (_may_hold_models(looked_at["tools"]) or _repeated(body, "tools", found.keys_of))
    ):
        del looked_at["tools"]
    _look_at(body, looked_at, table, "", found, _DEEPEST)
    return tuple(found)


def names_beside_path(body: bytes, members: Mapping[str, msgspec.Raw], routed: str) -> tuple[Beside, ...]:
    """Find what a body names whose path routes it. What repeats the path's name where it is renamed with it names nothing."""
    return tuple(
        Beside(named.member, named.model.removeprefix(_PREFIX))
        for named in names_beside(body, members, GEMINI)
        if not (named.model.removeprefix(_PREFIX) == routed and _RENAMED.fullmatch(named.member))
    )


_RENAMED: Final = re.compile(r"(?:generateContentRequest\.|requests\.)?model")
"""Where a body repeats its path's model, as `inbound.Unnamed` knows it."""


class _Tool(msgspec.Struct):
    model: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_TOOLS: Final = msgspec.json.Decoder(list[_Tool])


def _may_hold_models(tools: msgspec.Raw) -> bool:
    """Whether some tool has a member `model`, under any case; what their schemas say of models is nothing."""
    try:
        return any(tool.model is not msgspec.UNSET for tool in _TOOLS.decode(bytes(tools).lower()))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return True


class _Found(dict[Beside, None]):
    """What a body names, in order."""

    def __init__(self) -> None:
        super().__init__()
        self._keys: dict[int, tuple[bytes, Counter[str]]] = {}

    def keys_of(self, whole: bytes) -> Counter[str]:
        """How often each key stands in an object, whatever its case; read once, however many keys are asked for."""
        kept = self._keys.get(id(whole))
        if kept is None:
            kept = self._keys[id(whole)] = whole, _keys_of(whole)  # the object stays, so that its id is no other's
        return kept[1]


def _look_at(
    whole: bytes, members: Mapping[str, msgspec.Raw], table: Table, path: str, found: _Found, depth: int
) -> None:
    """Apply a table to some members of an object, given as `whole`. No more of them are looked at than requests have."""
    hits = 0
    for count, (name, value) in enumerate(members.items()):
        plain = plain_name(name)
        rule = table.get(plain) if plain else None
        hits += rule is not None
        if count >= _MOST_MEMBERS or hits > MOST_NAMED or len(found) > MOST_NAMED:
            found[Beside(f"{path}{name[:_LONGEST_SHOWN]}", "")] = None
            return
        if rule is not None:
            _look(whole, name, value, rule, path, found, depth)


def _look(
    whole: bytes, name: str, value: msgspec.Raw, rule: "Rule | Table", path: str, found: _Found, depth: int
) -> None:
    """Apply a rule to one member of an object, given as `whole`."""
    member = f"{path}{name}"
    repeated = _repeated(whole, name, found.keys_of)
    if rule is Rule.STORED_OBJECT and not bytes(value).startswith(b"{") and not repeated:
        return  # a prompt in words, and perhaps a long one
    if repeated:
        found[Beside(member, "")] = None
    elif isinstance(rule, Rule):
        found.update(dict.fromkeys(_by_rule(rule, member, bytes(value))))
    else:
        _into(bytes(value), rule, member, found, depth - 1)


def _into(value: bytes, table: Table, path: str, found: _Found, depth: int) -> None:
    """Apply a table to an object, or to each of a list."""
    first = value.lstrip()[:1]
    if not depth:
        found[Beside(path, "")] = None
    elif first == b"{":
        _look_at(value, _OBJECT.decode(value), table, f"{path}.", found, depth)
    elif first == b"[":
        items = _LIST.decode(value)
        if len(items) > _MOST_ITEMS:
            found[Beside(path, "")] = None
            return
        for item in items:
            if len(found) > MOST_NAMED:
                return
            _into(bytes(item), table, path, found, depth - 1)
    elif "" in table and msgspec.json.decode(value):
        found[Beside(path, "")] = None


def _by_rule(rule: Rule, member: str, value: bytes) -> Iterable[Beside]:
    if len(value) > _LARGEST:
        return (Beside(member, ""),)
    said: Any = json.loads(value, object_pairs_hook=_Pairs)
    if not said or (rule is Rule.ROUTE and said == "fallback"):
        return ()
    if rule is not Rule.MODELS:
        return (Beside(member, ""),)
    return [Beside(member, model if _can_be_asked_for(model) else "") for model in _models_in(said)]


class _Pairs(list[tuple[str, Any]]):
    """An object's members, each as often as it stands there."""


def _can_be_asked_for(model: str) -> bool:
    try:
        return len(model.encode()) <= _LONGEST_MODEL
    except UnicodeEncodeError:
        return False


def _models_in(value: Any, depth: int = 3) -> Iterable[str]:
    """Name the models that a value names, "" for what cannot be told."""
    if isinstance(value, str):
        return (value,)
    if not depth or not isinstance(value, list):
        return ("",)
    inner = value
    if isinstance(value, _Pairs):
        # An object without such a member is a map of a model to others.
        inner = [each for name, each in value if "model" in plain_name(name)] or [each for _, each in value]
    return [model for each in inner for model in _models_in(each, depth - 1)]


def _repeated(whole: bytes, name: str, keys_of: Callable[[bytes], Counter[str]]) -> bool:
    """Whether a member stands more than once in an object, under any spelling: readers differ in which one they take."""
    if whole.count(f'"{name}"'.encode()) == 1 and b"\\u00" not in whole:
        return False
    if len(whole) <= _LARGEST_READ:
        try:
            return keys_of(whole)[name.casefold()] != 1
        except (ValueError, RecursionError):
            return True
    try:
        keys = keys_spelled(whole, _spelling(name))
        return next(keys, None) is None or next(keys, None) is not None
    except TooManyMentions:
        return True


def _keys_of(whole: bytes) -> Counter[str]:
    """Read an object whole, in C: finding its keys one by one took seconds where there were thousands of one name."""
    pairs = json.loads(whole, object_pairs_hook=tuple, parse_int=len, parse_float=len)
    return Counter(name.casefold() for name, _ in pairs)


@lru_cache(maxsize=256)
def _spelling(name: str) -> re.Pattern[bytes]:
    """Make a pattern of all ways to spell a name in JSON."""
    letters = []
    for letter in name:
        ways = {way for way in (letter, letter.lower(), letter.upper()) if len(way) == 1}
        plain = [re.escape(way.encode()) for way in ways]
        escaped = [re.escape(rb"\u") + f"(?i:{ord(way):04x})".encode() for way in ways if ord(way) <= 0xFFFF]  # noqa: PLR2004
        letters.append(b"(?:" + b"|".join(plain + escaped) + b")")
    return re.compile(b'"' + b"".join(letters) + b'"')
