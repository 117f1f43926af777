"""What can be typed after `trunkline up`."""

from __future__ import annotations

from pathlib import Path

import pytest

from operator_cli.options import UpOptions, parse


def up_options(arguments: list[str]) -> UpOptions:
    """The options of `trunkline up`."""
    options = parse(arguments)
    assert isinstance(options, UpOptions)
    return options


def test_the_defaults_are_the_documented_ones() -> None:
    """Two routers, one relay, and ports that scripts rely on."""
    options = up_options(["up"])
    assert (options.routers, options.relays) == (2, 1)
    assert (options.relay_port, options.admin_port, options.admin_grpc_port) == (3000, 3001, 50061)
    assert options.router_ports() == [50051, 50052]
    assert not options.demo


def test_port_zero_is_zero_for_every_router() -> None:
    """A free port for the first is a free port for all."""
    assert up_options(["up", "--router-port", "0", "--routers", "3"]).router_ports() == [0, 0, 0]


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        (["--relay-port", "65536"], "--relay-port: '65536'"),
        (["--admin-port", "-1"], "--admin-port"),
        (["--routers", "0"], "--routers: '0'"),
        (["--relays", "two"], "--relays: 'two'"),
        (["--router-port", "65535", "--routers", "2"], "no room for 2 routers"),
        (["--data-dir", ""], "--data-dir"),
        (["--rout", "2"], "--rout"),
        (["--host", "everywhere"], "--host: 'everywhere'"),
    ],
    ids=str,
)
def test_a_wrong_flag_is_named(capsys: pytest.CaptureFixture[str], typed: list[str], complaint: str) -> None:
    """A fault of the command line names its flag and exits with 2; abbreviations are none of ours."""
    with pytest.raises(SystemExit) as leaving:
        up_options(["up", *typed])
    assert leaving.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("uid", "home", "expected"),
    [
        (0, "/data", "/var/lib/trunkline"),
        (1000, "/data", "/data/trunkline"),
        (1000, "relative", "/home/a/.local/share/trunkline"),
        (1000, "", "/home/a/.local/share/trunkline"),
    ],
    ids=["root", "XDG_DATA_HOME", "a relative one is ignored", "none"],
)
def test_data_goes_where_the_system_keeps_such_things(
    monkeypatch: pytest.MonkeyPatch, uid: int, home: str, expected: str
) -> None:
    """/var/lib for root, the XDG data home for people."""
    monkeypatch.setattr("os.geteuid", lambda: uid)
    monkeypatch.setenv("XDG_DATA_HOME", home)
    monkeypatch.setenv("HOME", "/home/a")
    assert up_options(["up"]).data_dir == Path(expected)


def test_a_password_in_the_dsn_is_not_in_the_repr() -> None:
    """Options may be logged; what is secret in them may not."""
    assert "hunter2" not in repr(up_options(["up", "--dsn", "postgresql://a:hunter2@b/c"]))
