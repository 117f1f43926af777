"""Forms with files: the model is found once, or the form is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay_svc.multipart import MOST_PARTS, FormFault, FormReader, parse

TYPE = b"multipart/form-data; boundary=xYz"


def part(name: str, value: bytes, more: str = "") -> bytes:
    """One part as the SDKs write it."""
    return f'--xYz\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


SOUND = bytes(range(256))
FILE = part("file", SOUND, '; filename="a; b.wav"\r\nContent-Type: audio/wav')
END = b"--xYz--\r\n"
FORM = FILE + part("model", b"whisper-1") + part("stream", b"true") + END


def test_the_model_is_found_and_a_mapped_one_is_spliced_in() -> None:
    """The file stays byte for byte."""
    form = parse(FORM, TYPE)
    assert (form.model, form.stream) == ("whisper-1", True)
    assert form.addressed_to("whisper-1") is FORM
    assert form.addressed_to("other") == FORM.replace(b"whisper-1", b"other")
    assert parse(form.addressed_to("a/b:ü"), TYPE).model == "a/b:ü"
    with pytest.raises(ValueError, match="stand in a form"):
        form.addressed_to("a\r\n--xYz")


@pytest.mark.parametrize(
    "content_type",
    [b'multipart/form-data; boundary="xYz"', b"Multipart/Form-Data;charset=utf-8; boundary=xYz", TYPE + b" ; x=y"],
)
def test_the_boundary_is_read_as_clients_write_it(content_type: bytes) -> None:
    """Quoted or not, first or last."""
    assert parse(FORM, content_type).model == "whisper-1"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (END, "model"),
        (FILE + END, "model"),
        (part("model", b"") + END, "model"),
        (part("model", b"\xff") + END, "model"),
        (part("model", b"a\nb") + END, "model"),
        (part("model", b"x" * 999) + END, "model"),
        (part("model", b"a") + part("model", b"b") + END, "model"),
        (part("model", b"a"), None),
        (part("model", b"a") + END + part("model", b"b") + END, None),
        (part("model", b"a").replace(b"\r\n", b"\n") + END, None),
        (part("model", b"a") + part("x", b"\n" + part("model", b"b").replace(b"\r\n", b"\n")) + END, None),
        (part("x", part("model", b"b")) + END, None),
        (part("model", b"a", '; name="x"') + END, None),
        (part("model", b"a", "; name*=utf-8''x") + END, None),
        (part("x", b"a", "\nContent-Disposition: form-data; name=model") + END, None),
        (part("x", b"a", '\r\nContent-Disposition: form-data; name="model"') + END, None),
        (b"--xYz\r\nx: y\r\n\r\na\r\n" + END, None),
        (b"--xYz\r\n" + b"x" * 5000 + END, None),
        (part("x", b"") * (MOST_PARTS + 1) + END, None),
        (b"preamble\r\n" + FORM, None),
    ],
)
def test_what_two_parsers_could_read_differently_is_refused(body: bytes, param: str | None) -> None:
    """It could show one model to the allow-list and another to the upstream."""
    with pytest.raises(FormFault) as fault:
        parse(body, TYPE)
    assert fault.value.param == param


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b"application/json",
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        TYPE + b"; boundary=a",
        b"multipart/form-data;" + b" a;" * 20_000,
    ],
)
def test_a_form_without_a_boundary_is_none(content_type: bytes) -> None:
    """Whatever its body; and a long type costs no more than its length."""
    with pytest.raises(FormFault):
        parse(FORM, content_type)


@given(st.binary(max_size=80), st.binary(max_size=60))
def test_nothing_makes_it_raise_anything_else(body: bytes, content_type: bytes) -> None:
    """And what is read is what stands there."""
    for form in (body, b"--xYz" + body, part("x", body) + part("model", b"m") + END):
        for kind in (content_type, TYPE):
            try:
                read = parse(form, kind)
            except FormFault:
                continue
            start, end = read.span
            assert form[start:end].decode() == read.model


@given(st.data(), st.sampled_from([FORM, part("model", b"a") + FILE + END, FILE * 3 + END, FORM + b"x", FORM[:-9]]))
def test_a_form_reads_the_same_however_it_is_cut(data: st.DataObject, form: bytes) -> None:
    """Bit by bit it is the form that it is at once, or at fault as it is."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(form)), max_size=8)))
    pieces = [form[start:end] for start, end in zip([0, *cuts], [*cuts, len(form)], strict=True)]
    assert read(pieces) == read([form])


def read(pieces: list[bytes]) -> object:
    """What a form is, or its fault."""
    reader = FormReader(TYPE)
    try:
        for piece in pieces:
            reader.feed(piece)
        reader.end()
    except FormFault as fault:
        return str(fault), fault.param
    return reader.model, reader.span, reader.stream
