"""What children inherit, and what the environment may say of where to listen."""

from __future__ import annotations

import pytest

from operator_cli.errors import OperatorError
from operator_cli.options import UpOptions, parse
from operator_cli.settings import check_plaintext, inherited_environment

SERVICES = ("admin", "router", "relay")


def up_options(arguments: list[str]) -> UpOptions:
    """The options of `trunkline up`."""
    options = parse(arguments)
    assert isinstance(options, UpOptions)
    return options


@pytest.mark.parametrize("service", SERVICES)
def test_settings_pass_through_except_those_decided_here(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    """A log level reaches every service; a stray pepper, DSN or PGHOSTADDR reaches none."""
    stray = ("TRUNKLINE_PEPPER", "TRUNKLINE_PEPPER_FILE", "TRUNKLINE_RELAY_RUN_SECRET", "TRUNKLINE_DSN", "PGHOSTADDR")
    for name in ("TRUNKLINE_LOG_LEVEL", *stray):
        monkeypatch.setenv(name, "x")
    environment = inherited_environment(service)
    assert environment["TRUNKLINE_LOG_LEVEL"] == "x"
    assert environment["PATH"]
    assert not {*stray} & set(environment)


def test_a_service_inherits_its_own_settings_and_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay gets no token of others."""
    for service in SERVICES:
        monkeypatch.setenv(f"TRUNKLINE_{service.upper()}_SOMETHING", "x")
    monkeypatch.setenv("TRUNKLINE_TOKENS", "read:a-token-that-reads")
    for service in SERVICES:
        names = set(inherited_environment(service))
        assert {f"TRUNKLINE_{other.upper()}_SOMETHING" for other in SERVICES} & names == {
            f"TRUNKLINE_{service.upper()}_SOMETHING"
        }
        assert ("TRUNKLINE_TOKENS" in names) is (service != "relay")


@pytest.mark.parametrize(
    ("name", "text", "field", "honoured"),
    [
        ("TRUNKLINE_RELAY_LISTEN", "0.0.0.0:3100", "relay_port", 3100),
        ("TRUNKLINE_RELAY_LISTEN", "[::1]:3100", "relay_port", 3100),
        ("TRUNKLINE_ADMIN_HTTP_LISTEN", "127.0.0.1:3101", "admin_port", 3101),
        ("TRUNKLINE_ADMIN_LISTEN", "127.0.0.1:3102", "admin_grpc_port", 3102),
        ("TRUNKLINE_ROUTER_LISTEN", "127.0.0.1:3103", "router_port", 3103),
        ("TRUNKLINE_RELAY_LISTEN", "fd:3", "", None),
        ("TRUNKLINE_RELAY_LISTEN", "nowhere", "", None),
        ("TRUNKLINE_ADMIN_HTTP_LISTEN", "0.0.0.0:3001", "", None),
        ("TRUNKLINE_ADMIN_LISTEN", "10.0.0.1:50061", "", None),
        ("TRUNKLINE_ROUTER_LISTEN", "[::]:50051", "", None),
        ("TRUNKLINE_ROUTER_HTTP_LISTEN", "127.0.0.1:1", "", None),
        ("TRUNKLINE_RELAY_OPERATIONS_LISTEN", "127.0.0.1:1", "", None),
        ("TRUNKLINE_ROUTER_ADVERTISE", "10.0.0.1:50051", "", None),
        ("TRUNKLINE_RELAY_ROUTERS", "10.0.0.1:50051", "", None),
        ("TRUNKLINE_TLS_CERT", "/x", "", None),
        ("TRUNKLINE_RELAY_HTTPS_CERT", "/x", "", None),
    ],
)
def test_an_address_is_honoured_or_refused_and_never_dropped(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, field: str, honoured: int | None
) -> None:
    """Whoever sets where to listen is listened to, or told why not."""
    monkeypatch.setenv(name, text)
    if honoured is None:
        with pytest.raises(OperatorError, match=name):
            up_options(["up"])
        return
    options = up_options(["up"])
    assert getattr(options, field) == honoured
    if name == "TRUNKLINE_RELAY_LISTEN":
        assert options.host == text.rpartition(":")[0].strip("[]")
    assert (
        getattr(up_options(["up", f"--{field.replace('_', '-')}", "4000"]), field) == 4000
    )  # a flag outdoes a variable


@pytest.mark.parametrize(
    ("host", "open_to_others"), [("127.0.0.1", False), ("::1", False), ("::", True), ("10.1.2.3", True)]
)
def test_clients_are_served_in_the_clear_off_loopback_only_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, host: str, open_to_others: bool
) -> None:
    """As for every listener."""
    if open_to_others:
        with pytest.raises(OperatorError, match="TRUNKLINE_ALLOW_PLAINTEXT"):
            check_plaintext(host, 3000)
    monkeypatch.setenv("TRUNKLINE_ALLOW_PLAINTEXT", "true")
    check_plaintext(host, 3000)
