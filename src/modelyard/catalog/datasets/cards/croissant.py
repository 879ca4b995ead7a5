"""A version as Croissant 1.0 (https://docs.mlcommons.org/croissant/docs/croissant-spec.html)."""

from __future__ import annotations

from typing import Any

from modelyard.catalog.datasets.cards.describing import Told
from modelyard.catalog.datasets.schema import Column
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.kernel.context import Item
from modelyard.protocol.errors import timestamp

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
PARQUET = "application/x-parquet"
_TYPES = {
    "integer": "sc:Integer",
    "number": "sc:Float",
    "boolean": "sc:Boolean",
    "date": "sc:Date",
    "datetime": "sc:DateTime",
}
_LICENSES = {
    "apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "mit": "https://opensource.org/license/mit",
    "cc0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "cc-by-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "cc-by-sa-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "cc-by-nc-4.0": "https://creativecommons.org/licenses/by-nc/4.0/",
}


def croissant(about: Told, base: str, cite: str = "") -> dict[str, Any]:
    """The JSON-LD document; ``base`` is the server's address. What is not known is left out."""
    spec, version = about.dataset.spec, about.version
    address = f"{base}/v1/{about.dataset.name}"
    licence = spec.metadata.license
    made = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": spec.name,
        "description": spec.description,
        "url": address,
        "version": version.id.partition("-")[0],
        "license": _LICENSES.get(licence.lower(), licence),
        "keywords": spec.metadata.tags,
        "inLanguage": spec.metadata.languages,
        "citeAs": cite,
        "dateCreated": timestamp(about.dataset.row.created_at),
        "datePublished": timestamp(version.row.created_at),
        "distribution": [_file(about, one, address) for one in (version, *about.parts)],
        "recordSet": [_records(one) for one in (version, *about.parts)],
    }
    return {name: value for name, value in made.items() if value not in ("", [])}


def _file(about: Told, version: Item[Version], address: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": f"{version.id}.parquet",
        "name": f"{version.id}.parquet",
        "description": f"{version.spec.record_count} rows",
        "contentUrl": f"{address}/download?version={version.id}&format=parquet",
        "contentSize": f"{about.bytes[version.id]} B",
        "encodingFormat": PARQUET,
        "sha256": version.spec.data,
    }


def _records(version: Item[Version]) -> dict[str, Any]:
    name = version.spec.part or "rows"
    fields = [_field(name, version, one) for one in version.spec.schema.fields]
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "field": [one for one in fields if one is not None],
    }


def _field(records: str, version: Item[Version], column: Column) -> dict[str, Any] | None:
    """A column; what is an object or bytes has no type in Croissant, and is left out."""
    if column.type in ("object", "binary"):
        return None
    made: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"{records}/{column.name}",
        "name": column.name,
        "dataType": _TYPES.get(column.type, "sc:Text"),
        "source": {
            "fileObject": {"@id": f"{version.id}.parquet"},
            "extract": {"column": column.name},
        },
    }
    return made | ({"repeated": True} if column.type == "list" else {})
