"""Datasets at ``/v1/catalog/datasets``: tables with versions that never change."""

from modelyard.catalog.datasets.schema import Dataset
from modelyard.kernel.resource import CREATE, DELETE, GET, LIST, UPDATE, Resource

datasets = Resource(
    "/catalog/datasets",
    Dataset,
    tag="Datasets",
    camel=True,
    soft_delete=True,
    standard=(LIST, GET, CREATE, UPDATE, DELETE),
    filterable=(
        "name",
        "description",
        "type",
        "format",
        "size",
        "record_count",
        "version",
        "status",
        "metadata.source",
        "metadata.tags",
    ),
    sortable=("name", "type", "size", "record_count", "status"),
    searchable=("name", "description"),
    examples={
        "request": {"name": "Churn of a bank's customers", "metadata": {"tags": ["churn"]}},
    },
)
