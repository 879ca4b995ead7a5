"""Write ``docs/reference/endpoints.md`` from ``api/openapi.json``. ``--check`` compares instead."""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from page import ROOT, row, write_or_check

METHODS = ("get", "post", "put", "patch", "delete")

HEAD = """# Endpoints

Written by `make docs` from [`api/openapi.json`](../../api/openapi.json); a running server shows the
same at `/docs`, where it can be tried, and as `/openapi.json`. Every path below `/v1/` is also
served below `/api/v1/`. [Headers](headers.md) and [errors](errors/README.md) have pages of their
own.
"""


class Operation(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    spec: dict[str, Any]

    @property
    def name(self) -> str:
        """As it is asked for."""
        return f"{self.method.upper()} {self.path}"


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    """Every operation, in the order of the tags, then of the paths."""
    for tag in document["tags"]:
        for path, item in document["paths"].items():
            for method in METHODS:
                if method in item and item[method]["tags"][0] == tag["name"]:
                    yield Operation(method, path, item[method])


def anchor(title: str) -> str:
    """The anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def overview(document: dict[str, Any]) -> Iterator[str]:
    """A table of all operations by tag."""
    for tag in document["tags"]:
        yield from ("", f"## {tag['name']}", "")
        yield from (row("endpoint", "does", "permission"), row("---", "---", "---"))
        for each in operations(document):
            if each.spec["tags"][0] == tag["name"]:
                permission = each.spec.get("x-permission")
                link = f"[`{each.name}`](#{anchor(each.name)})"
                yield row(link, each.spec["summary"], f"`{permission}`" if permission else "none")


def section(each: Operation) -> Iterator[str]:
    """One operation: what it does, what it takes, what it answers."""
    spec = each.spec
    yield from ("", f"### {each.name}", "", f"{spec['summary']}.", "")
    if spec.get("description"):
        yield from (spec["description"].replace("``", "`"), "")
    yield from parameters(spec)
    body = spec.get("requestBody")
    if body:
        yield from (f"Request: {content(body['content'])}", "")
        yield from example(body["content"])
    for status, answer in spec["responses"].items():
        if status.startswith("2"):
            yield from (f"Answer {status}: {content(answer.get('content', {}))}", "")
    codes = sorted({code for answer in spec["responses"].values() for code in errors(answer)})
    if codes:
        yield from ("Errors: " + ", ".join(f"[{code}](errors/{code}.md)" for code in codes), "")


def parameters(spec: dict[str, Any]) -> Iterator[str]:
    """The parameters of its own, those of every operation left out."""
    own = [each for each in spec.get("parameters", ()) if "$ref" not in each]
    if not own:
        return
    yield from (row("parameter", "in", "type", "meaning"), row(*["---"] * 4))
    for each in own:
        meaning = described(each.get("description", ""), each["schema"], False)
        yield row(f"`{each['name']}`", each["in"], type_of(each["schema"]), meaning)
    yield ""


def content(found: dict[str, Any]) -> str:
    """The media types of a body and what they hold."""
    parts = []
    for media, spec in found.items():
        schema = spec.get("schema", {})
        shown = type_of(schema) if schema else "text"
        parts.append(shown if media == "application/json" else f"{shown} as `{media}`")
    return ", or ".join(parts) or "no body"


def example(found: dict[str, Any]) -> Iterator[str]:
    """The example of a request."""
    value = found.get("application/json", {}).get("example")
    if value is not None:
        yield from ("```json", json.dumps(value, ensure_ascii=False), "```", "")


def errors(answer: dict[str, Any]) -> list[str]:
    """The error codes of one response."""
    return re.findall(r"`([A-Z][A-Z_]+)`", answer.get("description", ""))


def asked(document: dict[str, Any]) -> set[str]:
    """The names of the schemas that requests are made of."""
    schemas = document["components"]["schemas"]
    bodies = [each.spec.get("requestBody", {}) for each in operations(document)]
    found: set[str] = set()
    ahead = re.findall(r'schemas/(\w+)"', json.dumps(bodies))
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += re.findall(r'schemas/(\w+)"', json.dumps(schemas[name]))
    return found


def objects(document: dict[str, Any]) -> Iterator[str]:
    """Every schema, with its fields."""
    sent = asked(document)
    yield from ("", "## Objects")
    for name, schema in document["components"]["schemas"].items():
        about = schema.get("description", "").replace("``", "`")
        yield from ("", f"### {name}", "", *([about, ""] if about else []))
        if not schema.get("properties"):
            continue
        yield from (row("field", "type", "meaning"), row("---", "---", "---"))
        for field, spec in schema["properties"].items():
            required = name in sent and field in schema.get("required", ())
            meaning = described(text_of(spec), spec, required)
            yield row(f"`{field}`", type_of(spec), meaning)


def text_of(spec: dict[str, Any]) -> str:
    """The description of a field, its own or that of one of its alternatives."""
    found = [spec, *spec.get("anyOf", ()), spec.get("items", {})]
    found += [inner.get("items", {}) for inner in spec.get("anyOf", ())]
    return next((each["description"] for each in found if each.get("description")), "")


def described(text: str, schema: dict[str, Any], required: bool) -> str:
    """What a field means, and what it is when it is left out."""
    parts = [text.replace("``", "`").rstrip(".") + "." if text else ""]
    default = schema.get("default")
    if required and "default" not in schema:
        parts.append("Required.")
    elif default not in (None, "", {}, []):
        parts.append(f"Default `{json.dumps(default, ensure_ascii=False)}`.")
    return " ".join(part for part in parts if part)


def type_of(schema: dict[str, Any]) -> str:
    """A schema in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{anchor(name)})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(type_of(each) for each in schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    return str(schema.get("type", "anything")) + bounds(schema)


def bounds(schema: dict[str, Any]) -> str:
    """The range of a number or of a length."""
    low, high = schema.get("minimum"), schema.get("maximum")
    over, longest = schema.get("exclusiveMinimum"), schema.get("maxLength")
    if high is not None and high >= 2**53 - 1:
        high = None  # what JSON can count to is no bound worth telling
    if over is not None:
        return f" above {number(over)}" + (f", at most {number(high)}" if high else "")
    if low is not None:
        return f", {number(low)} to {number(high)}" if high else f", at least {number(low)}"
    return f", at most {number(longest)} characters" if longest else ""


def number(value: float) -> str:
    """A number with separators, without a needless fraction."""
    return f"{int(value):,}" if value == int(value) else f"{value:,}"


def page(document: dict[str, Any]) -> str:
    """The whole page."""
    lines = list(overview(document))
    lines += ["", "## In detail"]
    for each in operations(document):
        lines += section(each)
    lines += objects(document)
    return re.sub(r"\n{3,}", "\n\n", HEAD + "\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    text = (ROOT / "api/openapi.json").read_text(encoding="utf-8")
    sys.exit(write_or_check("docs/reference/endpoints.md", page(json.loads(text))))
