"""Data URLs and kinds of media.

The law: pure text work; what is inside the base64 is not looked at.
"""

import base64
import binascii
from typing import Final, Literal

from relay_svc.dialects.faults import DialectFault
from relay_svc.dialects.form import Media

_AUDIO: Final = {"mp3": "audio/mpeg", "wav": "audio/wav"}
_FORMATS: Final = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
}
_SUFFIXES: Final = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "pdf": "application/pdf",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
}


def kind_of(mime: str) -> Literal["image", "audio", "file"]:
    """Tell what a media type is."""
    if mime.startswith("image/"):
        return "image"
    return "audio" if mime.startswith("audio/") else "file"


def from_url(url: str, kind: Literal["image", "audio", "file"], path: str) -> Media:
    """Read an address, which may hold the data itself. Raises DialectFault."""
    if url[:5].lower() != "data:":
        return Media(kind, url=url)
    head, comma, data = url[5:].partition(",")
    mime, _, encoding = head.partition(";")
    if not comma or not encoding.lower().endswith("base64"):
        raise DialectFault(path, "must be an address, or a data URL in base64")
    return Media(kind, mime=mime.lower(), data=data)


def data_url(media: Media) -> str:
    """Write the data as an address."""
    return f"data:{media.mime or 'application/octet-stream'};base64,{media.data}"


def audio_mime(name: str) -> str:
    """Give the media type of OpenAI's name for a sound's format."""
    return _AUDIO.get(name, f"audio/{name}")


def audio_format(mime: str) -> str:
    """Give OpenAI's name for a sound's format; empty when it has none."""
    return _FORMATS.get(mime, "")


def guessed_mime(url: str) -> str:
    """Guess a media type by an address's suffix; empty when there is no telling."""
    path = url.partition("?")[0].partition("#")[0]
    return _SUFFIXES.get(path.rpartition(".")[2].lower(), "")


def standard_base64(data: str) -> str:
    """Write base64 in the standard alphabet: Google's formats and SDK know the one for URLs too, and nobody else does."""
    return data.replace("-", "+").replace("_", "/") + "=" * (-len(data) % 4)


def plain_text(media: Media) -> str | None:
    """Give the text of a plain-text file; None for any other media."""
    if media.mime != "text/plain" or not media.data:
        return None
    try:
        return base64.b64decode(media.data).decode()
    except (binascii.Error, ValueError):
        return None


def text_file(text: str, name: str = "") -> Media:
    """Make a plain-text file."""
    return Media("file", mime="text/plain", data=base64.b64encode(text.encode()).decode(), name=name)
