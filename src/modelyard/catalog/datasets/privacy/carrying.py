"""What is known of a new version's privacy, and what its dataset tells from then on."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from modelyard.catalog.datasets.privacy.schema import Finding, VersionPrivacy
from modelyard.catalog.datasets.schema import DatasetPrivacy, TableSchema
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.kernel.context import Context

CIPHER = "AES-256"  # of the artifacts' parts: GCM, under keys of the installation


async def carried(
    context: Context, said: DatasetPrivacy, spec: Version
) -> tuple[Version, DatasetPrivacy]:
    """A new version with how it is encrypted, and what the dataset says of its privacy."""
    own = spec.privacy
    refs = [one for one in (spec.data, spec.original) if one]
    sealed = [await context.artifacts.encrypted(one) for one in refs]
    cipher = CIPHER if all(sealed) else None
    if own is not None:
        spec = structs.replace(spec, privacy=structs.replace(own, encryption_type=cipher))
    made = structs.replace(after(said, own), encryption_type=cipher)
    return discreet(spec, made), made


def discreet(spec: Version, said: DatasetPrivacy) -> Version:
    """A version as everybody may read of it: where it holds personal data, without any."""
    if said.anonymized or not said.contains_pii:
        return spec
    findings = spec.privacy.findings if spec.privacy else []
    if said.declared:  # of whatever there is
        fields = [structs.replace(one, values=None) for one in spec.schema.fields]
        schema = TableSchema(fields=fields)
    else:
        schema = untold(spec.schema, findings)
    first = [structs.replace(one, sample="") for one in spec.faults.first]
    return structs.replace(spec, schema=schema, faults=structs.replace(spec.faults, first=first))


def after(said: DatasetPrivacy, own: VersionPrivacy | None) -> DatasetPrivacy:
    """What a dataset says with a version whose scan is ``own``.

    Who declared that there is nothing did not know of what is found now. A version that nobody
    could scan is taken for what the dataset was.
    """
    if own is None:
        return structs.replace(said, anonymized=False)
    declared = None if own.contains_pii and said.declared is False else said.declared
    contains = own.contains_pii if declared is None else declared
    if own.anonymized:  # of what held some: said so, as it is out of this version alone
        contains = True
    return structs.replace(
        said, contains_pii=contains, anonymized=own.anonymized, declared=declared
    )


def untold(schema: TableSchema, findings: Sequence[Finding]) -> TableSchema:
    """The columns without the values of those that hold personal data: everybody reads it."""
    held = {one.column for one in findings}
    return TableSchema(
        fields=[
            structs.replace(one, values=None) if one.name in held else one for one in schema.fields
        ]
    )
