"""What the relay takes from clients, what it refuses, and how it says so."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json

import openai
import pytest

from relay_svc import record
from relay_svc.line_budget import LineBudget
from relay_svc.upstream_http1.dialling import Dialler
from tests.harness.ports import free_port
from tests.harness.waiting import PATIENCE, eventually_async
from tests.integration.relay_svc.conftest import CHAT, HEADERS, OWN, Bench, open_bench
from tests.integration.relay_svc.routers import candidate
from tests.integration.relay_svc.upstreams import Call, answers, streams
from trunkline import descriptors
from trunkline.errors import (
    AddressNotAllowed,
    ApiKeyDisabled,
    Cause,
    ModelNotAllowed,
    ModelNotInGroup,
    NoChannel,
    Refused,
    Unverified,
)
from trunkline.v1 import router_pb2 as pb

HEAD = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: {HEADERS['authorization']}\r\n".encode()
SMALL = {"TRUNKLINE_RELAY_MAX_BODY_BYTES": "1000"}


async def raw(bench: Bench, *parts: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes as they are, and read one answer: status, headers, body."""
    reader, writer = await bench.relay.connect()
    for part in parts:
        writer.write(part)
    async with asyncio.timeout(PATIENCE):
        answer = await _read(reader)
    writer.close()
    return answer


async def _read(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in fields)}
    return int(line.split()[1]), headers, await reader.readexactly(int(headers.get("content-length", "0")))


async def test_a_body_said_to_be_too_large_is_refused_unread() -> None:
    """413 by Content-Length, before a byte of it has come."""
    async with open_bench(**SMALL) as bench:
        status, headers, body = await raw(bench, HEAD + b"content-length: 1001\r\n\r\n")
        assert (status, json.loads(body)["error"]["reason"]) == (413, "BODY_TOO_LARGE")
        assert headers["x-request-id"]


async def test_a_body_that_turns_out_too_large_is_refused() -> None:
    """413 by counting, when it comes in chunks; and the client gets to read it while it still sends."""
    async with open_bench(**SMALL) as bench:
        await bench.plan(answers())
        reader, writer = await bench.relay.connect()
        writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(200):
            writer.write(b"2000\r\n" + b" " * 0x2000 + b"\r\n")
            await writer.drain()
        status, _, body = await _read(reader)
        assert (status, json.loads(body)["error"]["code"]) == (413, "request_too_large")
        writer.write(b"0\r\n\r\n" + HEAD + b"content-length: 13\r\n\r\n" + b'{"model":"m"}')
        assert (await _read(reader))[0] == 200  # the connection is in step again
        writer.close()


async def test_a_body_within_the_bound_is_taken_in_chunks_too() -> None:
    """To the byte."""
    async with open_bench(**SMALL) as bench:
        (upstream,) = await bench.plan(answers())
        body = b'{"model":"m"}'.ljust(1000)
        chunked = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
        assert (await raw(bench, HEAD + b"transfer-encoding: chunked\r\n\r\n", chunked))[0] == 200
        assert upstream.calls[0].body == body


async def test_a_client_that_waits_for_leave_is_given_it_only_for_a_body_that_will_be_read() -> None:
    """`Expect: 100-continue` and a body too large: 413 instead of 100, and the connection closes."""
    async with open_bench(**SMALL) as bench:
        await bench.plan(answers())
        expecting = HEAD + b"expect: 100-continue\r\ncontent-length: "
        status, headers, _ = await raw(bench, expecting + b"5000\r\n\r\n")
        assert (status, headers["connection"]) == (413, "close")
        reader, writer = await bench.relay.connect()
        writer.write(expecting + b"13\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b'{"model":"m"}')
        assert (await _read(reader))[0] == 200
        writer.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"model":7}',
        b"{}",
        b'{"model":"m","model":"n"}',
        b'{"model":"m","Model":"n"}',
        b'{"model":"\xff"}',
    ],
)
async def test_a_body_that_cannot_be_routed_is_the_clients_fault(bench: Bench, body: bytes) -> None:
    """400 in OpenAI's shape, and no router is asked."""
    answer = await bench.chat(body)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["reason"]) == (400, "invalid_request_error", "INVALID_BODY")
    assert not bench.router.picks


async def test_a_compressed_body_is_not_taken(bench: Bench) -> None:
    """415: what cannot be read cannot be routed."""
    assert (await bench.chat(b"\x1f\x8b", {"content-encoding": "gzip"})).status_code == 415


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    """408, and the connection closes."""
    async with open_bench(TRUNKLINE_RELAY_CLIENT_TIMEOUT="200ms") as bench:
        status, headers, _ = await raw(bench, HEAD + b'content-length: 100\r\n\r\n{"mod')
        assert (status, headers["connection"]) == (408, "close")


async def test_a_head_that_does_not_end_is_not_waited_for() -> None:
    """408; and a connection on which nothing comes is closed."""
    async with open_bench(TRUNKLINE_RELAY_CLIENT_TIMEOUT="200ms") as bench:
        assert (await raw(bench, b"POST / HTTP/1.1\r\nx-slow: "))[0] == 408
        reader, writer = await bench.relay.connect()
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
        writer.close()


HEAD_BOMBS = {
    "many headers": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200,
    "large headers": b"GET / HTTP/1.1\r\n" + (b"a: " + b"b" * 8000 + b"\r\n") * 10,
    "one endless header": b"GET / HTTP/1.1\r\na: " + b"b" * 500_000,
    "an endless name": b"GET / HTTP/1.1\r\n" + b"b" * 500_000,
}


@pytest.mark.parametrize("bomb", HEAD_BOMBS.values(), ids=HEAD_BOMBS.keys())
async def test_a_head_too_large_is_refused_before_it_ends(bench: Bench, bomb: bytes) -> None:
    """431, though the head never ends; the relay serves on."""
    status, _, body = await raw(bench, bomb)
    assert (status, json.loads(body)["error"]["code"]) == (431, "headers_too_large")
    assert (await bench.chat(b'{"model":"x"}')).status_code == 404


@pytest.mark.parametrize(
    ("path", "member", "said"),
    [
        (b"/v1/messages", "type", "error"),
        (b"/v1beta/models/m:generateContent", "error", 431),
        (b"/v1/chat/completions", "error", "headers_too_large"),
    ],
)
async def test_a_head_is_refused_in_the_words_of_its_paths_family(
    bench: Bench, path: bytes, member: str, said: object
) -> None:
    """The path is known before the rest is whole."""
    status, _, body = await raw(bench, b"POST " + path + b" HTTP/1.1\r\n" + b"a: b\r\n" * 200)
    told = json.loads(body)[member]
    assert (status, told["code"] if isinstance(told, dict) else told) == (431, said)


async def test_large_headers_within_the_bound_are_taken_again_and_again_on_one_connection(bench: Bench) -> None:
    """The bound is a request's, not a connection's."""
    reader, writer = await bench.relay.connect()
    for _ in range(5):
        writer.write(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-large: " + b"y" * 40_000 + b"\r\n\r\n")
        assert (await _read(reader))[0] == 401
    writer.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"NONSENSE\r\n\r\n",
        HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
        HEAD + b"transfer-encoding: chunked\r\n\r\nZZ\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n",
    ],
    ids=["tls", "no http", "two framings", "two lengths", "bad chunk", "connect"],
)
async def test_what_is_no_http_is_refused(bench: Bench, garbage: bytes) -> None:
    """400; framing that can be read in two ways included."""
    assert (await raw(bench, garbage))[0] == 400


async def test_trailers_are_no_headers(bench: Bench) -> None:
    """What comes after the body is not forwarded as if it had been checked."""
    (upstream,) = await bench.plan(answers())
    trailed = b'd\r\n{"model":"m"}\r\n0\r\nx-late: 1\r\nauthorization: Bearer other\r\n\r\n'
    assert (await raw(bench, HEAD + b"transfer-encoding: chunked\r\n\r\n" + trailed))[0] == 200
    assert "x-late" not in upstream.calls[0].headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/v1/images/edits", 404),
        ("POST", "/v1/chat/completions/", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models/m", 405),
    ],
)
async def test_other_paths_and_methods_are_refused_in_openais_shape(
    bench: Bench, method: str, path: str, status: int
) -> None:
    """An SDK pointed at the wrong path can say so."""
    async with bench.relay.http() as client:
        answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic c2s6", "sk-client", "Bearer " + "k" * 300],
    ids=["empty", "no token", "blank", "basic", "bare", "too long"],
)
async def test_a_request_without_a_key_is_not_read(bench: Bench, authorization: str) -> None:
    """401 with its scheme, before the body."""
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\ncontent-length: 10\r\n\r\n"
    status, headers, body = await raw(bench, head.encode())
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    assert json.loads(body)["error"]["code"] == "invalid_api_key"


REFUSALS = [
    (ApiKeyDisabled(api_key_id=1, revision=7), openai.AuthenticationError, "invalid_api_key"),
    (ModelNotAllowed(api_key_id=1, model="m", revision=7), openai.PermissionDeniedError, "model_not_allowed"),
    (AddressNotAllowed(api_key_id=1, address="a", revision=7), openai.PermissionDeniedError, "address_not_allowed"),
    (ModelNotInGroup(model="m", group="default", revision=7), openai.NotFoundError, "model_not_found"),
    (NoChannel(model="m", group="default", revision=7, considered=2), openai.InternalServerError, "no_channel"),
    (Unverified(cause=Cause.DATABASE_SLOW), openai.InternalServerError, "unverified"),
]


@pytest.mark.parametrize(("refused", "kind", "code"), REFUSALS, ids=[str(code) for *_, code in REFUSALS])
async def test_a_refused_pick_is_the_official_sdks_own_exception(
    bench: Bench, refused: Refused, kind: type[openai.APIStatusError], code: str
) -> None:
    """With the router's words, reason and revision."""
    bench.router.refuses["m"] = refused
    async with bench.relay.openai() as client:
        with pytest.raises(kind) as caught:
            await client.chat.completions.create(model="m", messages=[])
    assert caught.value.code == code
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["reason"] == refused.reason
    assert caught.value.body["message"] == refused.message
    assert caught.value.request_id
    assert caught.value.response.headers.get("retry-after") == ("1" if refused.retry_delay else None)
    if "revision" in refused.metadata:
        assert caught.value.response.headers["x-trunkline-revision"] == "7"


async def test_a_wrong_key_and_an_unknown_model_are_told_apart(bench: Bench) -> None:
    """401 and 404."""
    async with bench.relay.openai("sk-wrong") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="m", messages=[])
    async with bench.relay.openai() as client:
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="m", messages=[])


async def test_the_models_of_a_key_are_listed_as_the_official_sdk_reads_them(bench: Bench) -> None:
    """Wildcards are no names to list, and serve the names they match."""
    for name in ("b", "a/x", "gpt-*"):
        bench.router.plans[name] = [candidate(1, "http://127.0.0.1:1/v1")]
    async with bench.relay.openai() as client:
        assert [model.id async for model in client.models.list()] == ["a/x", "b"]
        assert (await client.models.retrieve("a/x")).owned_by == "openai-compatible"
        assert (await client.models.retrieve("gpt-9")).id == "gpt-9"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("c")
    async with bench.relay.openai("sk-wrong") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()


async def test_a_client_behind_a_trusted_proxy_has_its_own_address() -> None:
    """The router holds it against the key's allow-list."""
    async with open_bench(TRUNKLINE_RELAY_TRUSTED_PROXIES="127.0.0.0/8") as bench:
        await bench.chat(headers={"x-forwarded-for": "6.6.6.6, 203.0.113.9"})
        assert bench.router.picks[-1].client_address == "203.0.113.9"
    async with open_bench() as bench:
        await bench.chat(headers={"x-forwarded-for": "203.0.113.9"})
        assert bench.router.picks[-1].client_address == "127.0.0.1"


async def test_more_requests_than_the_bound_are_told_to_come_again() -> None:
    """503 with Retry-After, at once."""
    async with open_bench(TRUNKLINE_RELAY_MAX_IN_FLIGHT="1") as bench:
        arrived, go_on = asyncio.Event(), asyncio.Event()
        served = answers()

        async def waits(call: Call) -> None:
            arrived.set()
            await go_on.wait()
            await served(call)

        await bench.plan(waits)
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(bench.chat())
            await arrived.wait()
            answer = await bench.chat()
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["error"]["reason"] == "OVERLOADED"
            go_on.set()
        assert first.result().status_code == 200


async def test_a_request_is_logged_once_and_without_secrets(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """One `[Distributor]` line that names what was tried; no key of either side in any line."""
    await bench.plan(None, streams)
    answer = await bench.chat(b'{"model":"m","stream":true}', {"x-request-id": "find-me"})
    assert answer.headers["x-request-id"] == "find-me"
    lines: list[str] = []

    def logged() -> bool:
        lines.extend(line for line in "".join(capfd.readouterr()).splitlines())
        return any("find-me" in line for line in lines)

    await eventually_async(logged)
    (line,) = [line for line in lines if "find-me" in line]
    assert "[Distributor]" in line
    assert "sk-" not in "".join(lines)
    async with bench.relay.http() as client:
        metrics = (await client.get("/metrics")).text
    assert 'trunkline_relay_requests_total{outcome="served",status="200"}' in metrics
    assert 'gen_ai_client_operation_duration_seconds_count{gen_ai_provider_name="openai-compatible"' in metrics
    assert "sk-" not in metrics


async def test_the_operations_paths_answer_without_a_key(bench: Bench) -> None:
    """For supervisors and scrapers."""
    async with bench.relay.http() as client:
        for path in ("/health", "/readyz", "/metrics"):
            assert (await client.get(path, headers={"authorization": ""})).status_code == 200


async def test_an_offer_to_upgrade_is_declined_by_answering(bench: Bench) -> None:
    """Some clients (Java's own) offer HTTP/2 on every plain connection; the request is served on HTTP/1.1 with its body."""
    await bench.plan(answers())
    offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAA\r\n"
    status, _, _ = await raw(bench, HEAD + offer + b"content-length: 13\r\n\r\n", b'{"model":"m"}')
    assert status == 200


async def test_requests_sent_ahead_are_answered_in_order(bench: Bench) -> None:
    """Pipelining; and a broken request behind a good one does not spoil the good one's answer."""
    await bench.plan(answers())
    good = HEAD + b'content-length: 13\r\n\r\n{"model":"m"}'
    reader, writer = await bench.relay.connect()
    writer.write(good + good)
    assert [(await _read(reader))[0] for _ in range(2)] == [200, 200]
    writer.write(good + b"GET / HTTP/1.1\r\nx: " + b"y" * 200_000)
    with contextlib.suppress(ConnectionResetError):
        assert (await reader.read())[:12] in (b"", b"HTTP/1.1 200")
    writer.close()


async def test_the_clients_address_tells_strangers_no_more_than_that_it_lives() -> None:
    """`/metrics` and `/readyz` are the operations address's alone; to clients they are no paths of the API."""
    own = f"127.0.0.1:{free_port()}"
    environ = {"TRUNKLINE_RELAY_OPERATIONS_FOR_CLIENTS": "false", OWN: own}
    async with open_bench(**environ) as bench, bench.relay.http() as client:
        paths = ("/health", "/readyz", "/metrics")
        assert [(await client.get(path)).status_code for path in paths] == [200, 404, 404]
        assert [(await client.get(f"http://{own}{path}")).status_code for path in paths] == [200, 200, 200]


async def test_running_out_of_descriptors_is_said_and_is_no_upstreams_failure(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 that may be tried again, a metric, and an outcome that blames no channel; no other candidate is asked."""

    async def dial(_self: Dialler, _connection: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    await bench.plan(answers(), answers())
    monkeypatch.setattr(Dialler, "dial", dial)
    before = descriptors.EXHAUSTED.labels("upstreams")._value.get()
    answer = await bench.chat()
    assert (answer.status_code, answer.json()["error"]["reason"]) == (503, "OUT_OF_DESCRIPTORS")
    assert answer.headers["retry-after"] == "1"
    assert descriptors.EXHAUSTED.labels("upstreams")._value.get() == before + 1
    await eventually_async(lambda: bool(bench.outcomes))
    assert [outcome.result for outcome in bench.outcomes] == [pb.OUTCOME_RESULT_ABANDONED]


async def test_a_flood_without_a_key_is_a_bounded_number_of_lines(
    bench: Bench, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is known has each of his requests logged still."""
    monkeypatch.setattr(record, "_anonymous", LineBudget(rate=0.001, burst=5))
    async with bench.relay.http() as client:
        for _ in range(40):
            assert (await client.get("/nothing", headers={"x-request-id": "stranger-1"})).status_code == 404
    await bench.plan(answers())
    await bench.chat(headers={"x-request-id": "acquaintance-1"})
    lines: list[str] = []

    def logged() -> bool:
        lines.extend("".join(capfd.readouterr()).splitlines())
        return any("acquaintance-1" in line for line in lines)

    await eventually_async(logged)
    assert sum("stranger-1" in line for line in lines) <= 6
