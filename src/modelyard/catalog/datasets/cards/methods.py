"""The card of a dataset, in and out, and its description as Croissant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from msgspec import structs

from modelyard.catalog.datasets import datasets, keeping
from modelyard.catalog.datasets.cards import describing, frontmatter
from modelyard.catalog.datasets.cards.croissant import croissant as as_croissant
from modelyard.catalog.datasets.cards.frontmatter import BadCard, Card
from modelyard.catalog.datasets.cards.schema import CardQuery
from modelyard.catalog.datasets.schema import Dataset
from modelyard.kernel.context import Context, Item
from modelyard.kernel.route import Raw
from modelyard.protocol.asgi import Inflow
from modelyard.protocol.errors import Failure

MARKDOWN = "text/markdown; charset=utf-8"
MOST_BYTES = 1024 * 1024
_MOST_DESCRIPTION, _MOST_TEXTS, _MOST_TEXT = 5000, 100, 255
_KINDS = ("text/markdown", "text/plain", "application/octet-stream", "")
_NOSNIFF = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache"}
_EXAMPLE = "---\nlicense: mit\ntags: [churn]\n---\n\n# Churn\n\nCustomers of a bank.\n"


class _Held(Inflow):
    """Bytes on their way into the artifacts."""

    def __init__(self, data: bytes) -> None:
        super().__init__({}, None)
        self._data = data

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        yield self._data


@datasets.put(
    "card",
    inflow=True,
    operation="setDatasetCard",
    permission="dataset:update",
    response=datasets.types.view,
    errors=("PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "STORAGE_FULL", "QUOTA_EXCEEDED"),
)
async def set_card(context: Context, item: Item[Dataset], body: Inflow) -> Item[Dataset]:
    """Set the card: a `README.md` as Hugging Face has it, of at most 1 MiB.

    Its front matter sets the tags, languages and license; its text the description, by the
    `description` of the front matter or the first paragraph. What else it says is kept.
    """
    kind = context.header(b"content-type").partition(";")[0].strip().lower()
    if kind not in _KINDS:
        raise Failure(
            "UNSUPPORTED_MEDIA_TYPE",
            "Send the card as it is, with the header 'Content-Type: text/markdown'.",
            details={"field": "Content-Type", "supported": list(_KINDS[:2])},
        )
    data = await _read(body)
    try:
        card = await asyncio.to_thread(frontmatter.parsed, data.decode("utf-8-sig"))
    except (BadCard, UnicodeDecodeError) as error:
        told = error if isinstance(error, BadCard) else "it is no UTF-8"
        raise Failure(
            "INVALID_REQUEST",
            f"The card cannot be read: {told}.",
            details={"field": "body", "rule": "card", "reason": str(told)},
        ) from error
    held = _Held(data)
    ref = await context.artifacts.put(held, name="README.md", media_type=MARKDOWN)
    spec = structs.replace(_described(item.spec, card), card=ref)
    return await context.update(item, spec, verb="update", unchecked=True)


async def _read(body: Inflow) -> bytes:
    """The whole body, once, however often the request is decided."""
    if body.memo is None:
        found = bytearray()
        async for part in body:
            found += part
            if len(found) > MOST_BYTES:
                raise Failure(
                    "PAYLOAD_TOO_LARGE",
                    f"A card may have {MOST_BYTES} bytes.",
                    details={"limit_bytes": MOST_BYTES},
                )
        body.memo = bytes(found)
    data: bytes = body.memo
    if not data.strip():
        raise Failure(
            "INVALID_REQUEST",
            "The body is empty: send the card.",
            details={"field": "body", "rule": "required"},
        )
    return data


def _described(spec: Dataset, card: Card) -> Dataset:
    """The dataset with what its card says."""
    about = card.about
    said = about.get("description")
    text = said if isinstance(said, str) else frontmatter.description(card.text, _MOST_DESCRIPTION)
    sources = [one for one in frontmatter.texts(about.get("source_datasets")) if one != "original"]
    metadata = structs.replace(
        spec.metadata,
        tags=_few(about.get("tags")) or spec.metadata.tags,
        languages=_few(about.get("language")) or spec.metadata.languages,
        license=", ".join(_few(about.get("license")))[:_MOST_TEXT] or spec.metadata.license,
        source=spec.metadata.source or ", ".join(sources)[:_MOST_TEXT],
    )
    description = text[:_MOST_DESCRIPTION] or spec.description
    return structs.replace(spec, description=description, metadata=metadata)


def _few(value: Any) -> list[str]:
    return [one[:_MOST_TEXT] for one in frontmatter.texts(value)][:_MOST_TEXTS]


@datasets.get(
    "card",
    response=str,
    produces=MARKDOWN,
    errors=("DATASET_NOT_FOUND",),
    examples={"response": _EXAMPLE},
)
async def card(context: Context, item: Item[Dataset], query: CardQuery) -> Raw:
    """Get the card: what was set, with what is known by now.

    `dataset_info` and `size_categories` are computed of the version. Without a card, one is made.
    """
    found = await _card(context, item.spec)
    about = {"pretty_name": item.spec.name} | found.about | _current(item.spec)
    if item.spec.version is not None or query.version:
        version = await keeping.found(context, item, query.version, use=False)
        told = await describing.told(context, item, version)
        about["size_categories"] = [describing.size_category(version.spec.record_count)]
        about["dataset_info"] = describing.info(told)
    text = await asyncio.to_thread(frontmatter.written, Card(about, found.text))
    return Raw(text.encode(), MARKDOWN, headers=_NOSNIFF)


async def _card(context: Context, spec: Dataset) -> Card:
    """The card that was set, or one of the name and the description."""
    if not spec.card:
        return Card({}, f"# {spec.name}\n\n{spec.description}\n")
    data = b"".join([part async for part in context.artifacts.open(spec.card)])
    return await asyncio.to_thread(frontmatter.parsed, data.decode("utf-8-sig"))


def _current(spec: Dataset) -> dict[str, Any]:
    """What the dataset says now: it may have changed since the card was set."""
    made: dict[str, Any] = {}
    if spec.metadata.license:
        made["license"] = spec.metadata.license
    if spec.metadata.languages:
        made["language"] = spec.metadata.languages
    if spec.metadata.tags:
        made["tags"] = spec.metadata.tags
    return made


@datasets.get(
    "croissant",
    response=dict[str, Any],
    produces="application/ld+json",
    errors=("DATASET_NOT_FOUND",),
)
async def croissant(context: Context, item: Item[Dataset], query: CardQuery) -> Raw:
    """Get the metadata of a version as Croissant 1.0 (JSON-LD)."""
    version = await keeping.found(context, item, query.version, use=False)
    told = await describing.told(context, item, version)
    secure = context.header(b"x-forwarded-proto").lower() == "https"
    base = f"{'https' if secure else 'http'}://{context.header(b'host')}"
    cite = frontmatter.citation((await _card(context, item.spec)).text)
    made = as_croissant(told, base, cite)
    return Raw(msgspec.json.encode(made), "application/ld+json", headers=_NOSNIFF)
