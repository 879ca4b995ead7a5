"""Images, sound and files of a canonical message, taken apart for other dialects."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, NamedTuple

from modelyard.inference.providers.parameters import unreadable

_DATA = re.compile(r"data:([^;,]*)(?:;[^;,=]+=[^;,]*)*;base64,(.*)", re.DOTALL)
_AUDIO = {"mp3": "audio/mpeg"}


class Media(NamedTuple):
    """One of: ``data`` in base64 of the type ``kind``, the address ``url``, the id ``file``."""

    kind: str = ""
    data: str = ""
    url: str = ""
    file: str = ""
    name: str = ""

    def text(self, at: str) -> str:
        """The data as text. Raises AttemptFailed."""
        try:
            return base64.b64decode(self.data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise unreadable(at, "must be UTF-8 text in base64") from None


def media(part: dict[str, Any], at: str) -> Media | None:
    """What an image, audio or file part holds; None for a part of another type.

    Raises AttemptFailed for one that holds nothing.
    """
    sort = part.get("type")
    if sort == "image_url":
        image = part.get("image_url")
        return _address(image if isinstance(image, str) else _of(image, "url"), "", at)
    if sort == "input_audio":
        audio = part.get("input_audio")
        form = _of(audio, "format") or "wav"
        return Media(_AUDIO.get(form, f"audio/{form}"), _of(audio, "data"))
    if sort == "file":
        file = part.get("file")
        name = _of(file, "filename")
        if one := _of(file, "file_id"):
            return Media(file=one, name=name)
        if url := _of(file, "file_url"):
            return Media(_of(file, "mime_type"), url=url, name=name)
        return _address(_of(file, "file_data"), name, at)
    return None


def _of(value: Any, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def _address(url: str, name: str, at: str) -> Media:
    if found := from_data_uri(url):
        return Media(*found, name=name)
    if url.startswith(("http://", "https://", "gs://", "s3://")):
        return Media(url=url, name=name)
    raise unreadable(at, "must be an http(s) address or 'data:<type>;base64,<data>'")


def data_uri(kind: str, data: str) -> str:
    """Base64 data as an address (RFC 2397)."""
    return f"data:{kind};base64,{data}"


def from_data_uri(url: str) -> tuple[str, str] | None:
    """The type and the base64 data of such an address; None for another one."""
    match = _DATA.fullmatch(url)
    return (match[1] or "text/plain", match[2]) if match else None
