"""The ids of runs that go on after their answer: what a client is given to ask for one later.

The law: pure, and nothing is stored. An id holds all that a relay needs to ask (channel, workflow, execution) and whose it
is (the API key), under a signature, so any relay can be asked and none can be made to ask for anything else. Whatever is
wrong with an id (tampered with, another key's, of a secret that is gone) reads as the same: there is no such run.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import structs

from trunkline.secret import Secret

_PREFIX: Final = "run_"
_PURPOSE: Final = b"trunkline run id 2\0"
"""So that a signature made here fits nothing else that the same secret signs."""
_SIGNATURE: Final = 16  # bytes of it that are kept: 128 bits
LONGEST: Final = 512
"""Longest id that is looked at, in characters."""
_LONGEST_EXECUTION: Final = "9" * 64


class Execution(msgspec.Struct, frozen=True, array_like=True):
    """A run at its vendor, and whose it is."""

    channel_id: int
    api_key_id: int
    workflow_id: str
    execute_id: str
    model: str
    """The model that it was started by, as the client named it: who may still use that may ask."""


_DECODER: Final = msgspec.json.Decoder(Execution)


class TooLong(ValueError):  # noqa: N818 - the upstream's fault, said as it is
    """An execution whose id would be longer than any that is looked at."""


class RunIds:
    """Makes and reads ids."""

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Sequence[Secret]) -> None:
        """Take the secrets: the first signs, all are believed, so that one can be replaced while runs are going on."""
        if not secrets or not all(secrets):
            raise ValueError("a secret to sign with is needed")
        self._secrets = tuple(secret.reveal().encode() for secret in secrets)

    def sign(self, execution: Execution) -> str:
        """Make the id of an execution. Raises TooLong."""
        said = msgspec.json.encode(execution)
        made = _PREFIX + base64.urlsafe_b64encode(said + _signature(self._secrets[0], said)).decode().rstrip("=")
        if len(made) > LONGEST:
            raise TooLong
        return made

    def fits(self, execution: Execution) -> bool:
        """Tell whether an id can be made of an execution, whose own id is not known yet."""
        try:
            self.sign(structs.replace(execution, execute_id=_LONGEST_EXECUTION))
        except TooLong:
            return False
        return True

    def read(self, run_id: str) -> Execution | None:
        """Give the execution of an id that was made here; None for any other. Whose it is, is for the reader to heed."""
        encoded = run_id.removeprefix(_PREFIX)
        if encoded == run_id or len(run_id) > LONGEST or not run_id.isascii():
            return None
        try:
            raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except binascii.Error:
            return None
        said, signature = raw[:-_SIGNATURE], raw[-_SIGNATURE:]
        # Every secret is tried, whatever came of the one before: the time taken tells nothing.
        matches = [hmac.compare_digest(_signature(secret, said), signature) for secret in self._secrets]
        if not any(matches):
            return None
        try:
            return _DECODER.decode(said)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None


def _signature(secret: bytes, said: bytes) -> bytes:
    return hmac.digest(secret, _PURPOSE + said, hashlib.sha256)[:_SIGNATURE]
