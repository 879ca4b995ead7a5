"""Versions at ``/v1/catalog/datasets/{dataset_id}/versions``."""

from modelyard.catalog.datasets.schema import VERSION
from modelyard.catalog.datasets.sharing.rules import visible
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.kernel.resource import GET, LIST, Resource

versions = Resource(
    "/catalog/datasets/{dataset_id}/versions",
    Version,
    tag="Datasets",
    area="dataset",
    camel=True,
    own_ids=VERSION,
    standard=(LIST, GET),
    filterable=(
        "origin",
        "file_name",
        "record_count",
        "data",
        "original",
        "parent",
        "part",
        "shared_with",
    ),
    sortable=("record_count", "size"),
    searchable=("description", "file_name"),
    visible=visible,
)
