"""Copies of the catalog: what is written reads back, and what is damaged is known to be."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest

from router_svc import disk
from router_svc.disk_format import Heading, heading_of, put_slice, row_of, slices_of
from router_svc.draft import BadRow, Draft
from router_svc.rows import Reader
from router_svc.snapshot import Group, Item, Proxy, Shaping, Snapshot, Timeouts
from tests.unit.router_svc.builders import api_key, channel, key, plan_of, snapshot


def write(directory: Path, held: Snapshot, confirmed: float = 1_000.0) -> disk.Writing:
    """Write a copy."""
    writing = disk.Writing(directory)
    writing.add([heading_of(held, writing.generation, confirmed)])
    writing.add(list(slices_of(held)))
    writing.finish()
    return writing


def read(copy: disk.Copy) -> Snapshot:
    """Read a copy."""
    draft, reader = Draft.from_nothing(copy.heading.head), Reader()
    for frame in copy.frames():
        put_slice(draft, reader, frame)
    return draft.done(copy.heading.head)


def survey(directory: Path) -> tuple[list[tuple[Heading, Snapshot]], list[str]]:
    """The sound copies, newest first, and the faults of the others."""
    found, faults = [], []
    for slot in disk.survey(directory):
        if slot.copy is not None:
            found.append((slot.copy.heading, read(slot.copy)))
            slot.copy.close()
        elif slot.fault:
            faults.append(slot.fault)
    return found, faults


def newest_of(directory: Path) -> Path:
    """Where the newest sound copy is."""
    slots = disk.survey(directory)
    for slot in slots:
        if slot.copy is not None:
            slot.copy.close()
    return slots[0].path


def a_catalog(revision: int = 7) -> Snapshot:
    """A catalog with something of everything in it."""
    good = channel(
        3,
        {"m": None, "gpt-*": "openai/gpt-*"},
        ("default", "vip"),
        keys=[key(31), key(32, "DISABLED")],
        overrides=[("vip", "m", False, None, 4)],
        header_overrides={"x-team": "a"},
        parameter_overrides='{"temperature":0.5}',
        timeouts=Timeouts(total=900),
        shaping=Shaping(
            provider_options={"bot_id": "1"},
            removed_headers=("x-a",),
            status_mapping={429: 503},
            proxy=Proxy(b"k1:" + bytes(40)),
            strict=True,
        ),
    )
    limited = api_key(models=("m", "gpt-*"), networks=(ip_network("10.0.0.0/8"),), expire_time=5e9)
    before = snapshot(good, channel(4), limited, revision=revision - 1)
    bad = BadRow("channel", 4, 6, 77, "weight: not a number", off=False)
    lost = BadRow("api_key", 9, 6, 78, "hash: not 32 bytes", off=False)
    return snapshot(good, bad, lost, limited, Group("vip", 2, 5), revision=revision, last_good=before)


def content(held: Snapshot) -> list[object]:
    """All that a snapshot holds, in one order."""
    items: list[Item] = [*held.groups.values(), *held.channels.values(), *held.api_keys.values()]
    return [held.head, dict(held.quarantine), held.ability_count, *sorted(repr(row_of(item)) for item in items)]


def test_a_copy_reads_back_as_what_was_written(tmp_path: Path) -> None:
    """Rows, quarantine, last good versions, digest and routes; a plan is the same plan."""
    held = a_catalog()
    write(tmp_path, held, confirmed=1_234.5)
    [(heading, copied)], faults = survey(tmp_path)
    assert (content(copied), faults, heading.confirmed_time) == (content(held), [], 1_234.5)
    assert plan_of(copied, "gpt-4o", seed=5).candidates[0].upstream_model == "openai/gpt-4o"
    assert set(plan_of(copied).candidates[0].channel.models) == set(plan_of(held).candidates[0].channel.models)


def test_of_three_copies_the_newest_two_are_kept_for_the_owner_alone(tmp_path: Path) -> None:
    """Each write takes the older slot, and only the owner may read."""
    directory = tmp_path / "new" / "copies"
    for revision in (2, 3, 4):
        write(directory, a_catalog(revision))
    found, _ = survey(directory)
    assert [heading.revision for heading, _ in found] == [4, 3]
    assert [heading.generation for heading, _ in found] == [3, 2]
    files = list(directory.iterdir())
    assert len(files) == 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_any_flipped_bit_and_any_cut_is_found_and_the_older_copy_is_used(tmp_path: Path) -> None:
    """Nothing damaged is ever taken for a catalog."""
    write(tmp_path, a_catalog(2))
    write(tmp_path, a_catalog(3))
    newest = newest_of(tmp_path)
    sound = newest.read_bytes()
    damaged = [sound[:length] for length in (0, 5, 30, len(sound) // 2, len(sound) - 1)]
    damaged += [sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :] for at in range(0, len(sound), 7)]
    for data in (*damaged, sound + b"x", b"something else entirely"):
        newest.write_bytes(data)
        found, faults = survey(tmp_path)
        assert [heading.revision for heading, _ in found] == [2]
        assert len(faults) == 1
    newest.write_bytes(sound.replace(b"copy 2\n", b"copy 3\n"))
    assert survey(tmp_path)[1] == ["is of another version"]


def test_a_damaged_copy_is_the_one_that_is_written_over(tmp_path: Path) -> None:
    """The sound copy stays until there is another sound one."""
    write(tmp_path, a_catalog(2))
    write(tmp_path, a_catalog(3))
    newest = newest_of(tmp_path)
    newest.write_bytes(b"damaged")
    assert list(write(tmp_path, a_catalog(4)).faults) == [newest]
    assert [heading.revision for heading, _ in survey(tmp_path)[0]] == [4, 2]


def test_an_empty_directory_and_none_at_all_hold_no_copy(tmp_path: Path) -> None:
    """No copy is no fault."""
    assert survey(tmp_path) == survey(tmp_path / "missing") == ([], [])


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let this process write no larger file, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_fails_midway_costs_no_copy_and_leaves_no_litter(tmp_path: Path) -> None:
    """Both copies survive a disk that fills up, and the space is given back."""
    write(tmp_path, a_catalog(2))
    write(tmp_path, a_catalog(3))
    writing = disk.Writing(tmp_path)
    with files_up_to(100), pytest.raises(OSError, match="too large"):
        writing.add([os.urandom(100_000)])
    writing.abandon()
    assert [heading.revision for heading, _ in survey(tmp_path)[0]] == [3, 2]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_write_that_a_crash_cut_off_is_begun_anew(tmp_path: Path) -> None:
    """What a killed process left is written over, whoever could read it before."""
    write(tmp_path, a_catalog(2))
    left = disk.Writing(tmp_path)
    left.add([b"half"])
    left._file.close()
    [unfinished] = [path for path in tmp_path.iterdir() if path.name == "catalog.writing"]
    unfinished.chmod(0o644)
    write(tmp_path, a_catalog(3))
    assert [heading.revision for heading, _ in survey(tmp_path)[0]] == [3, 2]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_copy_holds_no_opened_channel_key(tmp_path: Path) -> None:
    """Keys are written sealed, whatever was opened meanwhile."""
    held = a_catalog()
    for one in held.channels.values():
        for each in one.keys:
            each.opened = "sk-plain-secret"
    write(tmp_path, held)
    assert all(b"sk-plain" not in path.read_bytes() for path in tmp_path.iterdir())


def test_a_copy_is_flushed_before_it_takes_its_slot_and_the_slot_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that outlives a power cut must not stand for bytes that did not."""
    told: list[str] = []
    flush, replace = os.fsync, Path.replace

    def noted_flush(descriptor: int) -> None:
        told.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        flush(descriptor)

    def noted_replace(path: Path, target: Path) -> Path:
        told.append("replace")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_flush)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write(tmp_path, snapshot(channel(1)))
    assert told == ["file", "replace", "directory"]
