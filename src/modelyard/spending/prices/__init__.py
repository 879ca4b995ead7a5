"""Prices at ``/v1/ai-inference/prices``: what models cost, and what an operator says they cost.

They are the installation's, not a workspace's: who changes one needs ``workspace:write``, too.
"""

from modelyard.kernel.resource import Resource
from modelyard.spending.prices.book import ID, admit
from modelyard.spending.prices.schema import PriceOverride

prices = Resource(
    "/ai-inference/prices",
    PriceOverride,
    tag="Gateway",
    own_ids=ID,
    standard=("update", "delete"),
    upsert=True,
    installation=True,
    admit=admit,
    examples={"request": {"input": 2.0, "output": 8.0, "note": "our contract of 2026"}},
)
