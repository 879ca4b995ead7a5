"""Predictions at ``/v1/predictions``: results of inference jobs, until their time is over."""

from modelyard.kernel.resource import DELETE, GET, LIST, Resource
from modelyard.predictions.schema import Prediction

predictions = Resource(
    "/predictions",
    Prediction,
    tag="Predictions",
    id_prefix="pred",
    area="inference",
    standard=(LIST, GET, DELETE),
    filterable=("model", "surface", "operation", "request_id", "expires_at"),
    sortable=("model", "expires_at"),
)
