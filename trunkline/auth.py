"""Bearer tokens and their scopes.

The law: a token is looked up whole, by its digest, so that no prefix or timing tells. A service that dials an address which a
row of the database named shows it a *bound* token: made from a secret for one use at one address, it tells nothing of the
secret, and nobody at another address takes it.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, Self

from trunkline.secret import Secret

PICK: Final = "pick"
"""PickChannel(s), ReportOutcomes, ExplainPick, ListModels, GetRouterStatus."""
CREDENTIALS: Final = "credentials"
"""Whole channel keys inside plans."""
INVALIDATE: Final = "invalidate"
"""Invalidate."""
READ: Final = "read"
"""The admin service's reads."""
ADMIN: Final = "admin"
"""The admin service's mutations."""
SCOPES: Final = frozenset({PICK, CREDENTIALS, INVALIDATE, READ, ADMIN})

SERVICE_SCOPES: Final = frozenset({PICK, CREDENTIALS})
ADMIN_SCOPES: Final = SCOPES - {CREDENTIALS}
NO_SCOPES: Final[frozenset[str]] = frozenset()


TO_INVALIDATE: Final = "invalidate"
"""What an admin shows a router, bound by the admin token."""
TO_PICK: Final = "pick"
"""What a relay shows a router that another one named, bound by the service token."""
IS_ROUTER: Final = "router"
"""What a router shows to whoever may have credentials, bound by the service token: that it is one, at this address."""
PROOF_NAME: Final = "x-trunkline-router-proof"
"""The metadata of a router's status in which it shows that."""


def bound(secret: Secret, use: str, address: str) -> Secret:
    """A secret for one use at one address (`host:port`), as good as random to whoever lacks the one that it is made from."""
    made = hmac.new(secret.reveal().encode(), f"trunkline\n{use}\n{address}".encode(), hashlib.sha256)
    return Secret(made.hexdigest())


class TokenTable:
    """Which scopes a bearer token has."""

    __slots__ = ("_scopes",)

    def __init__(self, scopes: Mapping[Secret, frozenset[str]]) -> None:
        """Keep digests only."""
        self._scopes: dict[bytes, frozenset[str]] = {}
        for token, granted in scopes.items():
            digest = _digest(token.reveal())
            self._scopes[digest] = self._scopes.get(digest, NO_SCOPES) | granted

    @classmethod
    def of(cls, admin: Secret, service: Secret, extra: Secret | None = None) -> Self:
        """Build the table from the settings: the admin token, the service token, and `scope+scope:token,…`."""
        scopes: dict[Secret, frozenset[str]] = {}
        for token, granted in [(admin, ADMIN_SCOPES), (service, SERVICE_SCOPES), *parse_tokens(extra)]:
            if token:
                scopes[token] = scopes.get(token, NO_SCOPES) | granted
        return cls(scopes)

    def grant(self, token: Secret, scopes: frozenset[str]) -> None:
        """Know one more token."""
        self._scopes[_digest(token.reveal())] = scopes

    def scopes_of(self, token: str) -> frozenset[str]:
        """Tell a token's scopes; none when it is unknown."""
        return self._scopes.get(_digest(token), NO_SCOPES)


def parse_tokens(text: Secret | None) -> list[tuple[Secret, frozenset[str]]]:
    """Read `scope+scope:token,…`. Raises ValueError naming the fault, never the token."""
    entries = []
    for number, part in enumerate(text.reveal().split(",") if text else (), 1):
        names, colon, token = part.strip().partition(":")
        granted = frozenset(names.split("+"))
        if not colon or not token or not granted <= SCOPES:
            message = f"entry {number} is not `scope+scope:token` with scopes among {', '.join(sorted(SCOPES))}"
            raise ValueError(message)
        entries.append((Secret(token), granted))
    return entries


def bearer(header: str | bytes | None) -> str:
    """Take the token out of an `authorization` value; empty when it is no bearer token."""
    text = header.decode("latin-1") if isinstance(header, bytes) else header or ""
    scheme, _, token = text.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
