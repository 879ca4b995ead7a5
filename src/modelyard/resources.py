"""Every declared resource of the server, with its custom methods."""

from typing import Any

import modelyard.artifacts.methods
import modelyard.catalog.datasets.methods
import modelyard.governance.audit.verification
import modelyard.identity.keys.methods
import modelyard.identity.workspaces.methods
import modelyard.predictions.methods
import modelyard.spending.prices.methods
import modelyard.webhooks.methods  # noqa: F401 (they declare custom methods)
from modelyard.artifacts import INTERNAL, artifacts, uploads
from modelyard.catalog.datasets import datasets
from modelyard.catalog.datasets.validating import validations
from modelyard.catalog.datasets.versions import versions
from modelyard.identity.keys import keys
from modelyard.identity.policies import policies
from modelyard.identity.users import users
from modelyard.identity.workspaces import workspaces
from modelyard.jobs.operations import operations
from modelyard.kernel.resource import Resource
from modelyard.predictions import predictions
from modelyard.spending.prices import prices
from modelyard.webhooks import webhooks
from modelyard.webhooks.deliveries import deliveries

RESOURCES: tuple[Resource[Any], ...] = (
    keys,
    users,
    workspaces,
    policies,
    prices,
    artifacts,
    uploads,
    operations,
    predictions,
    webhooks,
    deliveries,
    datasets,
    versions,
    validations,
)
BY_KIND: dict[str, Resource[Any]] = {one.kind: one for one in (*RESOURCES, *INTERNAL)}
