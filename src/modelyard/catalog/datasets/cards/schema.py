"""What clients ask of cards."""

from typing import Annotated

from msgspec import Meta

from modelyard.catalog.datasets.schema import VersionId
from modelyard.kernel.methods import Scope


class CardQuery(Scope, frozen=True, kw_only=True):
    """Query parameters of a card, and of Croissant."""

    version: Annotated[VersionId | None, Meta(description="The newest where left out.")] = None
