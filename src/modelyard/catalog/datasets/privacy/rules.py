"""Whether a version holds personal data, and who may use it: one function, called by every use."""

from __future__ import annotations

from msgspec import structs

from modelyard.catalog.datasets.schema import Dataset
from modelyard.catalog.datasets.sharing.rules import name_of, owner_of, owns
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.kernel import names
from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Address
from modelyard.ml.checks import Broken, Verdict
from modelyard.protocol.errors import Failure

USE = "dataset-pii:use"  # the permission to use personal data that is not anonymised


def personal(dataset: Item[Dataset], version: Item[Version]) -> bool:
    """Whether a version holds personal data that is not taken out.

    What the owner declared counts before what a scan found. A version that nobody scanned holds
    what the dataset is said to hold.
    """
    said, own = dataset.spec.privacy, version.spec.privacy
    if own is not None and own.anonymized:
        return False
    if said.anonymized and version.id == dataset.spec.version:
        return False
    if said.declared is not None:
        return said.declared
    return said.contains_pii if own is None else own.contains_pii


def discreet(
    dataset: Item[Dataset], version: Item[Version], verdicts: list[Verdict]
) -> list[Verdict]:
    """Verdicts as everybody may read them: which rows, without values of personal data."""
    if not personal(dataset, version):
        return verdicts
    found = version.spec.privacy.findings if version.spec.privacy else []
    held = {one.column for one in found}

    def shown(one: Broken) -> Broken:
        told = held and not dataset.spec.privacy.declared
        values = {name: value for name, value in one.values.items() if told and name not in held}
        return structs.replace(one, values=values)

    return [structs.replace(one, samples=[*map(shown, one.samples)]) for one in verdicts]


def may_use(context: Context, dataset: Item[Dataset]) -> bool:
    """Whether the caller may use personal data of a dataset as it is."""
    principal, level = context.principal, dataset.spec.privacy.clearance_level
    if owns(principal, dataset.row):
        return True
    clearance = principal.attributes.get("clearance_level")
    if level is not None and isinstance(clearance, int) and clearance >= level:
        return True
    try:
        context.check(USE, dataset.row)
    except Failure as failure:
        if failure.code.symbol != "PERMISSION_DENIED":
            raise
        return False
    return True


def check(context: Context, dataset: Item[Dataset], version: Item[Version]) -> None:
    """Raise ``DATA_PRIVACY_VIOLATION`` unless the caller may use the version's data as it is."""
    if personal(dataset, version) and not may_use(context, dataset):
        raise violation(context, dataset, f"{version.name} holds personal data")


async def reach(context: Context, ref: str) -> None:
    """Raise ``NOT_FOUND`` for an artifact that the caller neither made nor may read.

    A version of another's bytes would be the caller's own: no data is used past its privacy so.
    """
    address = Address("artifacts", context.workspace, "", ref)
    row = await context.ports.store.get(address)
    if row is None:
        raise names.missing(address)
    if row.created_by in (context.principal.id, name_of(context.principal)):
        return
    try:
        context.check("artifact:read", row)
    except Failure as failure:
        raise names.missing(address) from failure


def violation(context: Context, dataset: Item[Dataset], why: str) -> Failure:
    """The failure of a use that the data's privacy forbids, with the ways out."""
    level = dataset.spec.privacy.clearance_level
    cleared = "" if level is None else f", or a clearance_level of {level}"
    owner = owner_of(dataset.row)
    return Failure(
        "DATA_PRIVACY_VIOLATION",
        f"{why} that is not anonymised. Ask {owner} to anonymise it "
        f"(POST /v1/{dataset.name}/anonymise) and use that version, or an admin for the permission "
        f"'{USE}'{cleared}.",
        details={
            "resource": dataset.name,
            "permission": USE,
            "clearance_level": level,
            "compliance": list(dataset.spec.privacy.compliance),
        },
    )
