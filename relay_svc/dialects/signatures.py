"""Carries a provider's opaque proofs of reasoning through clients of other dialects.

The law: a proof reaches only the provider that made it. Shown to a client of another dialect it is marked with its home, and
is known again by that mark when the client sends it back; another provider would refuse it, so it is never sent one.
"""

import base64
import binascii
from typing import Final

from relay_svc.dialects.form import Dialect, Signature
from relay_svc.dialects.media import standard_base64

_MARK: Final = "trunkline/"
_HOMES: Final = {dialect.value: dialect for dialect in Dialect}
UNSIGNED: Final = _MARK + "unsigned/"
"""Stands where a dialect insists on a proof and there is none."""
SKIP: Final = "skip_thought_signature_validator"
"""Google's own word for a call that another model made, where its newer models insist on a proof."""
_MARK_IN_BASE64: Final = base64.b64encode(_MARK[:9].encode()).decode()
_PLAIN: Final = b'"' + _MARK.encode()
_ENCODED: Final = b'"' + _MARK_IN_BASE64.encode()


def shown(signature: Signature | None, dialect: Dialect) -> str:
    """Give a proof as a client of a dialect gets it; empty when there is none."""
    if signature is None:
        return ""
    if signature.home is dialect:
        return signature.value
    text = f"{_MARK}{signature.home.value}/{signature.value}"
    return base64.b64encode(text.encode()).decode() if dialect is Dialect.GEMINI else text


def known(text: str, dialect: Dialect) -> Signature | None:
    """Know a proof again that came from a client of a dialect; None for an empty one."""
    if not text:
        return None
    mark, _, rest = _plain(text, dialect).partition("/")
    home, _, value = rest.partition("/")
    if mark + "/" == _MARK:
        return Signature(_HOMES[home], value) if home in _HOMES else None
    return Signature(dialect, text)


def has_foreign(body: bytes) -> bool:
    """Tell whether a request's bytes may hold marked proofs: even its own dialect's upstream would refuse them."""
    return _PLAIN in body or _ENCODED in body


def _plain(text: str, dialect: Dialect) -> str:
    if dialect is not Dialect.GEMINI:
        return text
    if not text.startswith(_MARK_IN_BASE64):
        return ""
    try:
        return base64.b64decode(standard_base64(text), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
