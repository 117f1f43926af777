"""Rows that cannot be read: which refusals they make doubtful."""

from __future__ import annotations

from router_svc.doubts import doubt, undoubted
from router_svc.draft import BadRow
from router_svc.picker import decide
from router_svc.plan import Ask
from router_svc.snapshot import Snapshot
from tests.unit.router_svc.builders import NOW, SECRET_HASH, api_key, channel, key, open_any, snapshot
from trunkline.errors import Cause, NoChannel, Refused, Unverified


def doubtful(held: Snapshot, ask: Ask) -> str:
    """The row that makes the refusal of a pick doubtful; empty when none does."""
    refusal = decide(held, ask, NOW, open_any)
    assert isinstance(refusal, Refused)
    row = doubt(held, ask, refusal)
    return f"{row.kind} {row.id}" if row is not None else ""


def unread(
    channel_id: int,
    *,
    off: bool = False,
    groups: tuple[str, ...] | None = None,
    models: tuple[str, ...] | None = None,
) -> BadRow:
    """A channel that cannot be read, but for its groups or models."""
    return BadRow("channel", channel_id, 1, 5, "a fault", off=off, groups=groups, models=models)


def test_a_channel_casts_doubt_on_what_it_may_serve_and_on_nothing_else() -> None:
    """Its groups and models, wildcards included, as far as they can be read."""
    held = snapshot(unread(7, groups=("default",), models=("m", "gpt-*")))
    assert doubtful(held, Ask("m", group="default")) == "channel 7"
    assert doubtful(held, Ask("gpt-4o", group="default")) == "channel 7"
    assert doubtful(held, Ask("other", group="default")) == ""
    assert doubtful(held, Ask("m", group="vip")) == ""


def test_a_channel_of_which_nothing_can_be_read_casts_doubt_on_every_lack_of_channels() -> None:
    """It may be of any group and model."""
    held = snapshot(unread(7), channel(1, ("off",), status="DISABLED"))
    assert doubtful(held, Ask("off", group="default")) == "channel 7"
    assert doubtful(held, Ask("any", group="vip")) == "channel 7"


def test_a_row_that_is_off_casts_no_doubt() -> None:
    """Whatever else it holds, it is not to be used."""
    assert doubtful(snapshot(unread(7, off=True)), Ask("m", group="default")) == ""


def test_a_newer_version_that_cannot_be_read_casts_doubt_too() -> None:
    """The last good version is off, but the unreadable one may be on."""
    before = snapshot(channel(7, status="DISABLED"))
    held = snapshot(unread(7, groups=("default",), models=("m",)), revision=2, last_good=before)
    assert doubtful(held, Ask("m", group="default")) == "channel 7"


def test_an_api_key_that_cannot_be_read_is_not_said_to_be_unknown() -> None:
    """Its own secret is; another's is unknown all the same."""
    bad = BadRow("api_key", 3, 1, 5, "a fault", off=False, hash=SECRET_HASH)
    assert doubtful(snapshot(bad), Ask("m", SECRET_HASH)) == "api_key 3"
    assert doubtful(snapshot(bad), Ask("m", b"x" * 32)) == ""
    assert doubtful(snapshot(bad._replace(hash=b"")), Ask("m", b"x" * 32)) == "api_key 3"


def test_limits_of_an_older_version_of_an_api_key_are_doubtful() -> None:
    """The version that cannot be read may have been widened."""
    before = snapshot(channel(1), api_key(3, models=("n",)))
    bad = BadRow("api_key", 3, 2, 5, "a fault", off=False, hash=SECRET_HASH)
    held = snapshot(channel(1), bad, revision=2, last_good=before)
    assert doubtful(held, Ask("m", SECRET_HASH)) == "api_key 3"


def said_of(held: Snapshot, ask: Ask) -> Refused:
    """The refusal as it may be said."""
    refusal = decide(held, ask, NOW, open_any)
    assert isinstance(refusal, Refused)
    return undoubted(held, ask, refusal)


def test_a_key_that_cannot_be_opened_is_a_doubt_and_never_an_off() -> None:
    """Another router may have the secret that this one lacks; one sound key beside it does not settle a broken one."""
    held = snapshot(channel(1, keys=[key(10, broken=True)]), channel(2, status="DISABLED"))
    said = said_of(held, Ask("m", group="default"))
    assert isinstance(said, Unverified)
    assert said.metadata["cause"] == Cause.KEY_NOT_OPENED
    assert isinstance(said_of(held, Ask("m", group="default", excluded=frozenset({1}))), NoChannel)
    assert isinstance(said_of(held, Ask("m", group="default", required=2)), NoChannel)
    assert isinstance(said_of(held, Ask("m", group="default", required=1)), Unverified)


def test_a_broken_key_that_is_off_casts_no_doubt() -> None:
    """Neither does one of a channel that is off: opening it would change nothing."""
    off = snapshot(channel(1, keys=[key(10, "DISABLED", broken=True)]))
    assert isinstance(said_of(off, Ask("m", group="default")), NoChannel)
    disabled = snapshot(channel(1, keys=[key(10, broken=True)], status="DISABLED"))
    assert isinstance(said_of(disabled, Ask("m", group="default")), NoChannel)


def test_a_refusal_names_the_kind_of_a_doubt_and_nothing_of_the_row() -> None:
    """What exactly is at fault is for the status and the log."""
    said = said_of(snapshot(unread(7)), Ask("m", group="default"))
    assert (said.metadata["cause"], "7" in said.message.partition(":")[2]) == (Cause.ROW_UNREADABLE, False)
