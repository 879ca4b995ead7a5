"""What a type alone cannot tell of a valid document, by the kind of its resource."""

from collections.abc import Callable
from typing import Any

LEFT_OUT = object()  # the suite sends no such field

Sample = Callable[[int], dict[str, Any]]


def _key(number: int) -> dict[str, Any]:
    return {
        "scopes": ["model:read", f"area{number}:read"],
        "signing_key": LEFT_OUT,
        "limits": {"requests_per_minute": 1 + number},
    }


def _user(number: int) -> dict[str, Any]:
    return {
        "kind": "user",
        "password": f"correct horse battery {number}",
        "signing_key": LEFT_OUT,
    }


def _policy(number: int) -> dict[str, Any]:
    return {"policy": f'forbid (principal, action == Action::"area{number}:read", resource);'}


def _webhook(number: int) -> dict[str, Any]:
    areas = ("key", "user", "policy", "workspace")
    return {
        "url": f"https://hooks.example.com/{number}",
        "events": [f"{areas[number % 4]}.a{number}"],
    }


# Methods that a resource as it was made is not ready for: it has no data, or is not deleted.
# Their own tests call them (tests/catalog, tests/artifacts).
NOT_READY = {("catalog/datasets", verb) for verb in ("upload", "download", "split", "undelete")}
NOT_READY |= {("catalog/datasets", verb) for verb in ("scan", "anonymise", "purge")}
NOT_READY |= {
    ("catalog/datasets", verb) for verb in ("analyze", "statistics", "profile", "quality")
}
NOT_READY |= {("catalog/datasets", verb) for verb in ("transform", "preview", "validate")}
NOT_READY |= {("catalog/datasets", verb) for verb in ("card", "croissant", "file", "rows")}
NOT_READY |= {("artifacts/uploads", verb) for verb in ("parts", "complete")}


def _upload(number: int) -> dict[str, Any]:
    return {"media_type": f"text/x{number}", "sha256": f"{number:064x}"}


def _dataset(number: int) -> dict[str, Any]:
    """What the server decides of privacy and storage is sent as it decides it."""
    said = {"containsPII": True, "declared": True, "anonymized": False, "encryptionType": None}
    kept = {"check": "not_null", "column": f"c{number}", "threshold": 0.5}
    return {
        "constraints": [kept],
        "privacy": said | {"compliance": [f"ACT-{number}"], "clearanceLevel": number % 100},
        "storage": {
            "location": None,
            "compression": "zstd",
            "partitioning": f"by_{number}",
            "retention": f"{number + 2} days",
        },
    }


SAMPLES: dict[str, Sample] = {
    "catalog/datasets": _dataset,
    "artifacts/uploads": _upload,
    "auth/keys": _key,
    "auth/users": _user,
    "auth/policies": _policy,
    "webhooks": _webhook,
}


def sample(kind: str, number: int) -> dict[str, Any]:
    """The fields whose values are no matter of their type."""
    return SAMPLES[kind](number) if kind in SAMPLES else {}
