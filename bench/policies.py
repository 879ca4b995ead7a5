"""``python -m bench.policies``: what a decision costs, remembered and for the first time."""

import time
from collections.abc import Callable
from itertools import count

from modelyard.auth.keys import Key, KeyRing, digest
from modelyard.auth.policy import PolicySet
from modelyard.kernel.ports import Address, Row
from modelyard.kernel.principal import Principal
from modelyard.protocol.filtering import Fields

KIND = "catalog/datasets"
FIELDS: Fields = {}
SECRECY = """forbid (principal, action, resource)
when {{ resource.labels has c{0} && resource.labels.c{0} == "secret" }}
unless {{ principal has clearance_level && principal.clearance_level >= 3 }};"""
ROW = Row(
    address=Address(KIND, "default", "", "ds_1"),
    uid="1",
    created_at=0.0,
    updated_at=0.0,
    created_by="user_1",
    updated_by="user_1",
    labels={"c0": "open"},
)
numbers = count()


def added(many: int) -> PolicySet:
    """So many policies about confidential resources, one label in ten of its own."""
    return PolicySet({f"pol_{n}": SECRECY.format(n % 10) for n in range(many)})


def user(number: int = 0) -> Principal:
    return Principal(
        id=f"user_{number}",
        workspace="default",
        scopes=(),
        kind="user",
        roles=("data_scientist",),
        attributes={"department": "research", "clearance_level": 2},
    )


def microseconds(ask: Callable[[], object], times: int) -> float:
    """The best of five rounds, a call."""
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(times):
            ask()
        best = min(best, (time.perf_counter() - begun) / times)
    return best * 1e6


def line(what: str, ask: Callable[[], object], times: int) -> None:
    print(f"{what:<58}{microseconds(ask, times):8.2f} µs")


def rows(many: int) -> None:
    """The costs with so many added policies."""
    policies, known, key = added(many), user(), Principal(id="k", workspace="w", scopes=("*:*",))
    told = f"{many} added: "
    line(told + "check, a scope grants", lambda: policies.check(key, "dataset:read"), 100_000)
    line(told + "check, remembered", lambda: policies.check(known, "dataset:read"), 100_000)
    line(told + "check, new", lambda: policies.check(user(next(numbers)), "dataset:read"), 500)
    line(
        told + "check with a resource, remembered",
        lambda: policies.check(known, "dataset:read", ROW),
        50_000,
    )
    line(
        told + "check with a resource, new",
        lambda: policies.check(user(next(numbers)), "dataset:read", ROW),
        500,
    )
    line(
        told + "a list's filter, remembered",
        lambda: policies.visible(known, "dataset:read", KIND, FIELDS),
        100_000,
    )
    line(
        told + "a list's filter, new",
        lambda: policies.visible(user(next(numbers)), "dataset:read", KIND, FIELDS),
        200,
    )


def main() -> None:
    for many in (0, 1, 101):
        rows(many)
    keys = {digest(b"p", "my-key"): Key(id="k", workspace="w", scopes=("inference:*",))}
    ring = KeyRing(b"p", keys, policies=added(101))
    line(
        "data plane: a key, remembered, 101 added",
        lambda: ring.allowed("my-key", "inference:create", 0.0),
        100_000,
    )
    begun = time.perf_counter()
    added(101)
    print(f"{'101 policies parsed and published':<58}{(time.perf_counter() - begun) * 1e3:8.2f} ms")


if __name__ == "__main__":
    main()
