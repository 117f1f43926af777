"""Every refusal this system can utter, as one tree of exceptions that carry values, not prose.

    Refused
    ├── ApiKeyUnknown · ApiKeyDisabled · ApiKeyExpired                     UNAUTHENTICATED
    ├── ModelNotAllowed · AddressNotAllowed                                PERMISSION_DENIED
    ├── ModelUnknown · ModelNotInGroup                                     NOT_FOUND
    ├── NoChannel · LostBranch                                             FAILED_PRECONDITION
    ├── Unverified · NotReady · Stale                                      UNAVAILABLE, retryable
    ├── TokenInvalid · TooManyWrongTokens · ScopeMissing                   the caller's fault
    ├── DeadlineMissing · InvalidFields                                    the caller's fault
    ├── Draining · Overloaded · InternalFault                              the service's own
    ├── NotFound · AlreadyExists · EtagMismatch · GroupInUse
    ├── MassChangeRefused · RequestIdReused · SecretAlreadyShown           the admin's
    └── CatalogLocked · DatabaseUnavailable · CommitUnknown                UNAVAILABLE, retryable

The law: a message is made from the values in one place, and everything that varies in it is in `metadata` too. No gRPC and
no protobuf here, so that pure code may raise and tests may compare; `trunkline.rpc` puts a refusal on the wire.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import ClassVar

DOMAIN = "trunkline"
"""The `domain` of every ErrorInfo."""


class Code(IntEnum):
    """The canonical gRPC codes that refusals use (google/rpc/code.proto)."""

    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class Reason(StrEnum):
    """The names of `trunkline.v1.ErrorReason` without their prefix: the `reason` of an ErrorInfo."""

    API_KEY_UNKNOWN = "API_KEY_UNKNOWN"
    API_KEY_DISABLED = "API_KEY_DISABLED"
    API_KEY_EXPIRED = "API_KEY_EXPIRED"
    MODEL_NOT_ALLOWED = "MODEL_NOT_ALLOWED"
    ADDRESS_NOT_ALLOWED = "ADDRESS_NOT_ALLOWED"
    MODEL_UNKNOWN = "MODEL_UNKNOWN"
    MODEL_NOT_IN_GROUP = "MODEL_NOT_IN_GROUP"
    NO_CHANNEL = "NO_CHANNEL"
    UNVERIFIED = "UNVERIFIED"
    NOT_READY = "NOT_READY"
    STALE = "STALE"
    LOST_BRANCH = "LOST_BRANCH"
    TOKEN_INVALID = "TOKEN_INVALID"  # noqa: S105 - a reason's name, not a token
    SCOPE_MISSING = "SCOPE_MISSING"
    TOO_MANY_WRONG_TOKENS = "TOO_MANY_WRONG_TOKENS"
    DEADLINE_MISSING = "DEADLINE_MISSING"
    INVALID_FIELDS = "INVALID_FIELDS"
    DRAINING = "DRAINING"
    OVERLOADED = "OVERLOADED"
    INTERNAL = "INTERNAL"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    ETAG_MISMATCH = "ETAG_MISMATCH"
    GROUP_IN_USE = "GROUP_IN_USE"
    MASS_CHANGE_REFUSED = "MASS_CHANGE_REFUSED"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    SECRET_ALREADY_SHOWN = "SECRET_ALREADY_SHOWN"  # noqa: S105 - a reason's name, not a secret
    CATALOG_LOCKED = "CATALOG_LOCKED"
    DATABASE_UNAVAILABLE = "DATABASE_UNAVAILABLE"
    COMMIT_UNKNOWN = "COMMIT_UNKNOWN"


RETRY_DELAY = 1.0
"""Seconds after which a retryable refusal may be asked again."""


TEXT_LIMIT = 256
"""Characters of a caller's text that a refusal repeats."""


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One fault of one field: its path in the request (`channel.base_url`) and what is wrong with it."""

    field: str
    description: str


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not an error
    """A refusal with its reason and values.

    `metadata` holds the values as strings, `retry_delay` the seconds after which asking again makes sense (None: never),
    `faults` the fields at fault.
    """

    reason: ClassVar[Reason]
    code: ClassVar[Code]
    template: ClassVar[str]
    retry_delay: ClassVar[float | None] = None
    detail: str = ""
    """What the log is told of it besides, under the request id; it is never sent."""
    written: bytes = b""
    """What a writer made of it, kept here so that it lives as long as it: the same refusal may answer thousands."""

    def __init__(self, *, faults: Sequence[FieldFault] = (), **values: object) -> None:
        """Keep the values; the message is made from the class's template."""
        self.faults = tuple(faults)
        self.metadata: Mapping[str, str] = {
            name: bounded(str(value)) for name, value in values.items() if value is not None
        }
        super().__init__(self.template.format_map({name: _shown(name, value) for name, value in values.items()}))

    @property
    def message(self) -> str:
        """The sentence for people."""
        return str(self)


def bounded(text: str) -> str:
    """Cut a stranger's text to what a message, a header or a log line may carry."""
    return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 1] + "…"


_OUR_WORDS = frozenset({"cause", "chain", "kind", "queue", "request_id", "scope"})


def _shown(name: str, value: object) -> str:
    """Show a value in a message: a stranger's text bounded and quoted, our own words bare."""
    return repr(bounded(value)) if isinstance(value, str) and name not in _OUR_WORDS else str(value)


class ApiKeyUnknown(Refused):
    """No API key has this secret; its values never hold the secret."""

    reason, code = Reason.API_KEY_UNKNOWN, Code.UNAUTHENTICATED
    template = "no such API key at revision {revision}"


class ApiKeyDisabled(Refused):
    """The API key is switched off."""

    reason, code = Reason.API_KEY_DISABLED, Code.UNAUTHENTICATED
    template = "API key {api_key_id} is disabled at revision {revision}"


class ApiKeyExpired(Refused):
    """The API key's expiry has passed."""

    reason, code = Reason.API_KEY_EXPIRED, Code.UNAUTHENTICATED
    template = "API key {api_key_id} expired at {expire_time}"


class ModelNotAllowed(Refused):
    """The API key's allow-list does not hold the model."""

    reason, code = Reason.MODEL_NOT_ALLOWED, Code.PERMISSION_DENIED
    template = "API key {api_key_id} may not use model {model} at revision {revision}"


class AddressNotAllowed(Refused):
    """The API key's allow-list does not hold the client's address."""

    reason, code = Reason.ADDRESS_NOT_ALLOWED, Code.PERMISSION_DENIED
    template = "API key {api_key_id} may not be used from {address} at revision {revision}"


class ModelUnknown(Refused):
    """No ability of any group is for this model."""

    reason, code = Reason.MODEL_UNKNOWN, Code.NOT_FOUND
    template = "no channel serves model {model} at revision {revision}"


class ModelNotInGroup(Refused):
    """Abilities exist for the model, none of them in a group this caller has."""

    reason, code = Reason.MODEL_NOT_IN_GROUP, Code.NOT_FOUND
    template = "model {model} is not served for group {group} at revision {revision}"


class NoChannel(Refused):
    """Abilities exist for the model and the group, and every channel is out."""

    reason, code = Reason.NO_CHANNEL, Code.FAILED_PRECONDITION
    template = (
        "every channel for model {model} in group {group} is off at revision {revision} ({considered} considered)"
    )


class Cause(StrEnum):
    """Why something cannot be proven now; all that a caller who may not read is told."""

    DATABASE_UNREACHABLE = "DATABASE_UNREACHABLE"
    DATABASE_SLOW = "DATABASE_SLOW"
    DATABASE_READ_ONLY = "DATABASE_READ_ONLY"
    DATABASE_CONFLICT = "DATABASE_CONFLICT"
    DATABASE_FAULT = "DATABASE_FAULT"
    STARTING = "STARTING"
    HEAD_MOVING = "HEAD_MOVING"
    HEAD_UNSOUND = "HEAD_UNSOUND"
    ROW_UNREADABLE = "ROW_UNREADABLE"
    KEY_NOT_OPENED = "KEY_NOT_OPENED"
    TOO_MANY_WAITING = "TOO_MANY_WAITING"
    SECRETS_DIFFER = "SECRETS_DIFFER"
    SECRET_MISSING = "SECRET_MISSING"  # noqa: S105 - a cause's name, not a secret


class Unverified(Refused):
    """A negative answer could not be proven fresh in time; `cause` is a `Cause`, since anybody may read it."""

    reason, code, retry_delay = Reason.UNVERIFIED, Code.UNAVAILABLE, RETRY_DELAY
    template = "cannot be proven now: {cause}"

    def __init__(self, *, cause: Cause, revision: int | None = None) -> None:
        """Keep the code of the cause: what exactly failed is in the log."""
        super().__init__(cause=cause, revision=revision)


class NotReady(Refused):
    """The router has no snapshot yet."""

    reason, code, retry_delay = Reason.NOT_READY, Code.UNAVAILABLE, RETRY_DELAY
    template = "no catalog loaded yet"


class Stale(Refused):
    """The wanted revision was not reached in time."""

    reason, code, retry_delay = Reason.STALE, Code.UNAVAILABLE, RETRY_DELAY
    template = "revision {wanted} was not reached in time: at {revision}"


class LostBranch(Refused):
    """The token belongs to a branch of history that is gone."""

    reason, code = Reason.LOST_BRANCH, Code.FAILED_PRECONDITION
    template = "revision {wanted} with chain {chain} is not in this catalog's history: read again and use the new token"


class TokenInvalid(Refused):
    """No bearer token, or an unknown one."""

    reason, code = Reason.TOKEN_INVALID, Code.UNAUTHENTICATED
    template = "a bearer token that this service knows is needed"


class TooManyWrongTokens(Refused):
    """Somebody at this address guesses tokens; a right one is never told this."""

    reason, code = Reason.TOO_MANY_WRONG_TOKENS, Code.RESOURCE_EXHAUSTED
    template = "too many wrong tokens from this address: try again in {seconds} s"
    retry_delay = 6.0  # at the rate at which wrong tokens are answered


class ScopeMissing(Refused):
    """The bearer token lacks a scope."""

    reason, code = Reason.SCOPE_MISSING, Code.PERMISSION_DENIED
    template = "this token lacks the scope {scope}"


class DeadlineMissing(Refused):
    """A unary call came without a deadline."""

    reason, code = Reason.DEADLINE_MISSING, Code.INVALID_ARGUMENT
    template = "a unary call needs a deadline: set a timeout (grpcurl -max-time 5, buf curl --timeout 5s)"


class InvalidFields(Refused):
    """Fields are at fault; `faults` holds every one."""

    reason, code = Reason.INVALID_FIELDS, Code.INVALID_ARGUMENT
    template = "{summary}"

    def __init__(self, faults: Sequence[FieldFault]) -> None:
        """Name every fault in the message."""
        Exception.__init__(self, "; ".join(f"{fault.field}: {fault.description}" for fault in faults))
        self.faults = tuple(faults)
        self.metadata = {"fields": ",".join(fault.field for fault in faults)}


class Draining(Refused):
    """The service is going down."""

    reason, code, retry_delay = Reason.DRAINING, Code.UNAVAILABLE, RETRY_DELAY
    template = "going down: ask another"


class Overloaded(Refused):
    """More is waiting than the bound allows."""

    reason, code, retry_delay = Reason.OVERLOADED, Code.RESOURCE_EXHAUSTED, RETRY_DELAY
    template = "too much is waiting: {queue} holds {limit}"


class InternalFault(Refused):
    """An unforeseen fault; the log has it under the request id."""

    reason, code = Reason.INTERNAL, Code.INTERNAL
    template = "an internal fault, logged under request id {request_id}"


class NotFound(Refused):
    """The named thing does not exist."""

    reason, code = Reason.NOT_FOUND, Code.NOT_FOUND
    template = "{kind} {id} does not exist"


class AlreadyExists(Refused):
    """The name is taken."""

    reason, code = Reason.ALREADY_EXISTS, Code.ALREADY_EXISTS
    template = "{kind} {id} exists already"


class EtagMismatch(Refused):
    """The resource is no longer what the caller read."""

    reason, code = Reason.ETAG_MISMATCH, Code.ABORTED
    template = "{kind} {id} has changed: its etag is {current}, not {given}"


class GroupInUse(Refused):
    """API keys belong to the group."""

    reason, code = Reason.GROUP_IN_USE, Code.FAILED_PRECONDITION
    template = "group {group} is used by {api_keys} API keys"


class MassChangeRefused(Refused):
    """The change would drop over half of ten or more channels."""

    reason, code = Reason.MASS_CHANGE_REFUSED, Code.FAILED_PRECONDITION
    template = "this would drop {dropped} of {total} channels: set allow_mass_change to do it"


class RequestIdReused(Refused):
    """The request id belongs to another request."""

    reason, code = Reason.REQUEST_ID_REUSED, Code.INVALID_ARGUMENT
    template = "request id {request_id} was used for another request at revision {revision}"


class SecretAlreadyShown(Refused):
    """A repeated call made this secret before; it is shown once."""

    reason, code = Reason.SECRET_ALREADY_SHOWN, Code.ALREADY_EXISTS
    template = "request id {request_id} created API key {api_key_id}, whose secret was shown then"


class CatalogLocked(Refused):
    """Another transaction holds the catalog."""

    reason, code, retry_delay = Reason.CATALOG_LOCKED, Code.UNAVAILABLE, RETRY_DELAY
    template = "the catalog is locked by database backend {blocking_pid}"


class DatabaseUnavailable(Refused):
    """The database cannot be reached, or not be used as it is; `cause` is a `Cause`, since anybody may read it."""

    reason, code, retry_delay = Reason.DATABASE_UNAVAILABLE, Code.UNAVAILABLE, RETRY_DELAY
    template = "the database cannot be used now: {cause}"

    def __init__(self, *, cause: Cause) -> None:
        """Keep the code of the cause: what exactly failed is in the log."""
        super().__init__(cause=cause)


class CommitUnknown(Refused):
    """Whether the commit went through is not known."""

    reason, code, retry_delay = Reason.COMMIT_UNKNOWN, Code.UNAVAILABLE, RETRY_DELAY
    template = "whether request {request_id} was committed is not known: retry with the same id"
