"""Datasets at ``/v1/catalog/datasets``: tables with versions that never change."""

from modelyard.catalog.datasets.privacy.admission import admit
from modelyard.catalog.datasets.schema import Dataset
from modelyard.catalog.datasets.sharing.keeping import changed
from modelyard.catalog.datasets.sharing.rules import Shared, visible
from modelyard.kernel.custom import Singleton
from modelyard.kernel.resource import CREATE, DELETE, GET, LIST, UPDATE

datasets = Shared(
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
        "privacy.contains_pii",
        "privacy.anonymized",
        "privacy.compliance",
        "storage.retention",
        "access.level",
        "owner",
        "shared_with",
    ),
    sortable=("name", "type", "size", "record_count", "status"),
    searchable=("name", "description"),
    singletons={"access": Singleton(fields=("access",), permission="dataset:share", check=changed)},
    admit=admit,
    visible=visible,
    examples={
        "request": {"name": "Churn of a bank's customers", "metadata": {"tags": ["churn"]}},
    },
)
