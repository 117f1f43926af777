"""Objects as protobuf's JSON has them: each member may be spelled in camel case or with underscores.

The law: reading brings every name to camel case; what is a caller's own JSON (arguments, schemas) is not touched.
"""

from typing import Any

from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.members import Members


class ProtoMembers(Members):
    """One object, its names in camel case."""

    __slots__ = ()

    def __init__(self, value: Any, at: str) -> None:
        """Take a value found at a path. Raises DialectFault when it is no object."""
        if type(value) is dict and "_" in "".join(value):
            value = {_camel(name): inner for name, inner in value.items()}
        super().__init__(value, at)

    def json_object(self, name: str) -> dict[str, Any]:
        """Take an object as it is; empty when it is missing."""
        value = self.take(name)
        if value is None:
            return {}
        if type(value) is not dict:
            raise DialectFault(self.path(name), "must be an object")
        return value


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)
