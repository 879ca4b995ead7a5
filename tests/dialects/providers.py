"""What providers of each dialect answer, in ``answers/<dialect>/<case>``.

A ``.json`` is a complete answer, a ``.sse`` a stream, and each line of an ``.events`` an event of
Amazon's. The cases of a request that has no answer of its own (an image, a file, results of tools)
get the plain one.
"""

from pathlib import Path
from typing import Any

from dialects.amazon import AMAZON, message
from dialects.upstream import Scripted

FOLDER = Path(__file__).parent / "answers"
DIALECTS = ("openai", "anthropic", "gemini", "bedrock", "azure")
SPLIT = 37  # bytes of a stream in one piece, so that events arrive in parts
_SAME = {"azure": "openai"}  # in what is answered
_LATER = {"retry-after": "30"}
_REFUSED: dict[str, Any] = {
    "error": {"status": 429, "fields": _LATER},
    "error_stream": {"status": 429},
    "too_long": {"status": 400},
}


def _answers(dialect: str) -> dict[str, Scripted]:
    answers = {}
    for path in (FOLDER / _SAME.get(dialect, dialect)).iterdir():
        data = path.read_bytes()
        if path.suffix == ".json":
            told: dict[str, Any] = _REFUSED.get(path.stem, {})
            if dialect == "gemini":  # it tells when to come back in the body
                told = {name: value for name, value in told.items() if name != "fields"}
            answers[path.stem] = Scripted(data.rstrip(b"\n"), **told)
        elif path.suffix == ".sse":
            answers[path.stem] = Scripted(data, 200, "text/event-stream; charset=utf-8", SPLIT)
        else:
            events = [line.split(b" ", 1) for line in data.splitlines()]
            stream = b"".join(message(name.decode(), body) for name, body in events)
            answers[path.stem] = Scripted(stream, 200, AMAZON, SPLIT)
    return answers


PROVIDERS = {dialect: _answers(dialect) for dialect in DIALECTS}


def scripted(dialect: str, case: str) -> Scripted:
    """The answer of a case."""
    answers = PROVIDERS[dialect]
    if case in answers:
        return answers[case]
    for start in ("error", "embedding"):
        if case.startswith(start) and start in answers:
            return answers[start]
    return answers["stream" if "stream" in case else "plain"]
