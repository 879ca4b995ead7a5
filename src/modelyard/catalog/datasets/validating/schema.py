"""What clients ask of validations, and read of them. The server writes a report, once."""

from typing import Annotated

from msgspec import Meta, Struct

from modelyard.catalog.datasets.schema import Constraints, VersionId
from modelyard.jobs.schema import Compute
from modelyard.kernel.fields import OUTPUT_ONLY, UNTOLD
from modelyard.ml.checks import SAMPLES, Verdict


class ValidateRequest(
    Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What a version has to keep."""

    version: Annotated[VersionId | None, Meta(description="The newest where left out.")] = None
    constraints: Annotated[
        Constraints | None, Meta(description="The dataset's own where left out.")
    ] = None
    samples: Annotated[
        int, Meta(ge=0, le=SAMPLES, description="Rows that are shown of each that is broken.")
    ] = 10
    compute: Annotated[Compute | None, Meta(description="1 GiB of memory where left out.")] = None


class Report(Struct, frozen=True, kw_only=True, rename="camel"):
    """What came of a validation. Rows count from 1."""

    version: Annotated[VersionId, OUTPUT_ONLY]
    passed: Annotated[bool, OUTPUT_ONLY, Meta(description="Each constraint was kept.")] = False
    rows: Annotated[int, OUTPUT_ONLY] = 0
    verdicts: Annotated[
        list[Verdict],
        OUTPUT_ONLY,
        UNTOLD,
        Meta(
            description="Of each constraint, in their order, with rows that break it: of "
            "personal data without the values."
        ),
    ] = []
    operation: Annotated[str, OUTPUT_ONLY, Meta(description="What made it.")] = ""
    shared_with: Annotated[list[str], OUTPUT_ONLY, Meta(description="As the dataset has it.")] = []
