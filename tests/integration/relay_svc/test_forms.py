"""Forms with files through the relay: sent while they come, tried again while they can be, and never whole in memory."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from tests.harness.waiting import PATIENCE, eventually_async
from tests.integration.relay_svc.clients import Line, Manner, Peer, plain
from tests.integration.relay_svc.conftest import Bench, dead_port, open_bench
from tests.integration.relay_svc.routers import API_KEY, candidate
from trunkline.v1 import router_pb2 as pb

HELD = 1 << 20
TYPE = "multipart/form-data; boundary=xYz"
ANSWER = plain(b'{"text":"hello"}', extra=b"content-type: application/json\r\n")
END = b"--xYz--\r\n"


def part(name: str, value: bytes, more: str = "") -> bytes:
    """One part of a form."""
    return f'--xYz\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


def audio(size: int) -> bytes:
    """A file's part."""
    return part("file", random.Random(size).randbytes(size), '; filename="a.wav"')


MODEL = part("model", b"m")


@dataclass
class Heard:
    """An upstream that takes what comes, bit by bit."""

    answer: bytes = ANSWER
    bodies: list[bytearray] = field(default_factory=list)
    whole: int = 0
    """How many bodies came to their end."""

    async def __call__(self, line: Line) -> None:
        """Serve a connection."""
        while True:
            head = await line.head()
            length = next(text for text in head.lower().split(b"\r\n") if text.startswith(b"content-length: "))
            body = bytearray()
            self.bodies.append(body)
            left = int(length.partition(b" ")[2])
            while left:
                piece = await line.reader.read(min(left, 1 << 16))
                if not piece:
                    return
                body += piece
                left -= len(piece)
            self.whole += 1
            await line.send(self.answer)


@dataclass
class Sender:
    """A client that sends its form bit by bit."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Send some."""
        self.writer.write(data)
        await self.writer.drain()

    def abandon(self) -> None:
        """Leave."""
        self.writer.transport.abort()

    async def status(self) -> int:
        """The status of the answer."""
        async with asyncio.timeout(PATIENCE):
            return int((await self.reader.readuntil(b"\r\n\r\n")).split()[1])


async def swallow(line: Line) -> None:
    """Take everything and say nothing."""
    await line.until_gone()


async def begin(bench: Bench, length: int | None) -> Sender:
    """Send a form's head; without a length it comes in chunks."""
    sender = Sender(*await bench.relay.connect())
    bench.stack.callback(sender.abandon)
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    head = f"POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {API_KEY}\r\n"
    await sender.send(f"{head}content-type: {TYPE}\r\n{framing}\r\n\r\n".encode())
    return sender


async def post(bench: Bench, body: bytes) -> tuple[int, dict[str, str]]:
    """Send a form at once."""
    async with bench.relay.http() as client:
        answer = await client.post("/v1/audio/transcriptions", content=body, headers={"content-type": TYPE})
        return answer.status_code, dict(answer.headers)


async def peers(bench: Bench, *manners: Manner | None, **fields: str) -> list[Peer]:
    """Plan the model over upstreams, in order; None is a port that nobody listens on."""
    made = []
    for number, manner in enumerate(manners, 1):
        url = f"http://127.0.0.1:{dead_port()}"
        if manner is not None:
            made.append(await bench.stack.enter_async_context(Peer(manner).serving()))
            url = made[-1].url
        bench.router.plans.setdefault("m", []).append(candidate(number, url, **fields))
    return made


async def test_a_form_goes_up_while_it_comes_in(bench: Bench) -> None:
    """The upstream has its beginning before the client has sent its end; only the model is changed."""
    heard = Heard()
    await peers(bench, heard, upstream_model="whisper")
    body = MODEL + audio(4 << 20) + part("stream", b"true") + END
    sender = await begin(bench, len(body))
    await sender.send(body[: 3 << 20])
    await eventually_async(lambda: heard.bodies and len(heard.bodies[0]) > (2 << 20))
    await sender.send(body[3 << 20 :])
    assert await sender.status() == 200
    assert bytes(heard.bodies[0]) == body.replace(MODEL, part("model", b"whisper"))


@pytest.mark.parametrize("size", [10, HELD // 2, 5 << 20])
async def test_a_form_with_its_file_first_is_held_until_its_model_is_known(bench: Bench, size: int) -> None:
    """In memory or in a file, and it goes up whole."""
    heard = Heard()
    await peers(bench, heard, upstream_model="whisper")
    body = audio(size) + MODEL + part("language", b"en") + END
    assert (await post(bench, body))[0] == 200
    assert bytes(heard.bodies[0]) == body.replace(MODEL, part("model", b"whisper"))


async def test_a_second_model_breaks_the_form_off_before_its_end_is_up(bench: Bench) -> None:
    """It would show one model to the allow-list and another to the upstream."""
    heard = Heard()
    (peer,) = await peers(bench, heard)
    body = MODEL + audio(2 << 20) + part("model", b"other") + END
    assert (await post(bench, body))[0] == 400
    await eventually_async(lambda: not peer.open)
    assert heard.whole == 0
    assert b"other" not in heard.bodies[0]


async def test_a_form_is_sent_to_the_next_candidate_while_it_is_held(bench: Bench) -> None:
    """What has not been sent, and what was little, can be tried again; what was let go cannot."""
    failing, heard = Heard(plain(b"{}", "503 No")), Heard()
    await peers(bench, None, failing, heard)
    for body in (MODEL + audio(HELD // 2) + END, audio(3 << 20) + MODEL + END):
        status, headers = await post(bench, body)
        assert (status, headers["x-trunkline-attempts"]) == (200, "3")
        assert bytes(heard.bodies.pop()) == bytes(failing.bodies.pop()) == body
    status, headers = await post(bench, MODEL + audio(3 << 20) + END)
    assert (status, headers["x-trunkline-attempts"]) == (503, "2")
    assert not heard.bodies


async def test_a_client_that_leaves_takes_its_form_along(bench: Bench) -> None:
    """The upstream sees it at once."""
    heard = Heard()
    (peer,) = await peers(bench, heard)
    sender = await begin(bench, 1 << 20)
    await sender.send(MODEL + audio(1000))
    await eventually_async(lambda: heard.bodies and heard.bodies[0])
    sender.writer.transport.abort()
    await eventually_async(lambda: not peer.open)
    await eventually_async(lambda: [outcome.result for outcome in bench.outcomes] == [pb.OUTCOME_RESULT_CLIENT_LEFT])


async def test_no_more_is_taken_from_the_client_than_the_upstream_takes(bench: Bench) -> None:
    """A client is as slow as the upstream."""
    go_on = asyncio.Event()

    async def manner(line: Line) -> None:
        await line.head()
        await go_on.wait()
        await line.until_gone()

    await peers(bench, manner)
    sender = await begin(bench, 64 << 20)
    await sender.send(MODEL + audio(10)[:-2])
    sent = 0
    seen: list[int] = []
    sender.writer.transport.set_write_buffer_limits(high=0)

    async def stuck() -> bool:
        nonlocal sent
        while sender.writer.transport.get_write_buffer_size() == 0 and sent < 60 << 20:
            sender.writer.write(bytes(1 << 18))
            sent += 1 << 18
        seen.append(sent)
        return len(seen) > 5 and seen[-5] == sent

    await eventually_async(stuck)
    assert sent < 40 << 20
    go_on.set()
    sender.writer.transport.abort()


async def test_what_is_too_much_too_slow_or_no_form_is_refused(bench: Bench) -> None:
    """Whether the upstream has some of it already or not."""
    async with open_bench(TRUNKLINE_RELAY_MAX_BODY_BYTES="2000000", TRUNKLINE_RELAY_CLIENT_TIMEOUT="500ms") as small:
        await peers(small, swallow)
        sender = await begin(small, 3_000_000)
        assert await sender.status() == 413
        sender = await begin(small, None)
        for piece in (MODEL, audio(100)[:-2], *[bytes(100_000)] * 21):
            await sender.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        assert await sender.status() == 413
        for beginning in (audio(1000), MODEL + audio(1000)):
            sender = await begin(small, 1_000_000)
            await sender.send(beginning)
            assert await sender.status() == 408
    assert (await post(bench, b"nothing"))[0] == 400
    assert (await post(bench, audio(10) + END))[0] == 400
