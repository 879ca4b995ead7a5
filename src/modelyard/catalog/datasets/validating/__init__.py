"""Validations at ``/v1/catalog/datasets/{dataset_id}/validations``: what was found in a version."""

from modelyard.catalog.datasets.sharing.rules import visible
from modelyard.catalog.datasets.validating.schema import Report
from modelyard.kernel.resource import GET, LIST, Resource

validations = Resource(
    "/catalog/datasets/{dataset_id}/validations",
    Report,
    tag="Datasets",
    area="dataset",
    camel=True,
    standard=(LIST, GET),
    filterable=("version", "passed", "shared_with"),
    sortable=("version",),
    visible=visible,
)
