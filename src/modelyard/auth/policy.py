"""Who may do what: Cedar policies over roles, scopes, attributes and resources.

A permission ``dataset:split`` is the action of that name, within ``dataset:write``, ``dataset:*``,
``*:split``, ``*:write`` and ``*:*``. What no policy permits is denied; a forbid beats any permit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property, lru_cache
from typing import Any

from modelyard.auth.callers import (
    RESOURCE,
    Caller,
    Known,
    attributes,
    caller_of,
    entities,
    granted,
    grants,
    read,
    seen,
)
from modelyard.auth.parts import as_filter, either, every, negate
from modelyard.auth.residual import Scene, residual
from modelyard.auth.statements import Statement, Step, builtin, document, parse, roles
from modelyard.kernel.ports import Row
from modelyard.kernel.principal import Principal
from modelyard.protocol.errors import Failure
from modelyard.protocol.filtering import NOTHING, Fields, Filter

# Added policies do not decide about policies: a wrong one could shut out whoever can mend it.
REPAIR = "policy:"
# Nor do they open what lies beyond their workspace, or everything: a permit is one workspace's own.
BEYOND = ("workspace:", "*:")
_REMEMBERED = 10_000  # decisions, and as many filters

FieldsOf = Callable[[str], Fields]  # of a kind
Resource = tuple[str, tuple[Known, ...]]  # its kind, and what policies look at


def no_fields(_kind: str) -> Fields:
    """No kind declares anything."""
    return {}


class PolicySet:
    """The policies in force, parsed once: a new set takes this one's place when one changes.

    ``added`` is the text of each added policy by its id; ``auth.validation.validate`` has admitted
    them. ``fields_of`` gives the fields that a resource's kind declares. Implements
    ``kernel.ports.Policies``.
    """

    def __init__(
        self, added: Mapping[str, str] | None = None, fields_of: FieldsOf = no_fields
    ) -> None:
        self._added = added or {}
        self._fields_of = fields_of
        # The built-in ones are permits alone; Cedar is needed when scopes do not decide.
        self._permits_only = not added or self._in_force.permits_only
        self._filters: dict[tuple[Caller, str, str], Filter | None] = {}

    @cached_property
    def _in_force(self) -> _InForce:
        return _InForce(self._added, self._fields_of)

    @property
    def ready(self) -> bool:
        """Whether a decision waits for nothing."""
        return "_in_force" in vars(self)

    def prepare(self) -> None:
        """Load Cedar and what it decides by: 0.1 s for a process's first, so in a thread."""
        self._permits_only = self._in_force.permits_only

    def check(self, principal: Principal, permission: str, row: Row | None = None) -> None:
        """Raise ``PERMISSION_DENIED``, naming the permission, unless it is allowed.

        Without ``row`` only policies that look at no resource count: one that permits something
        for certain resources does not permit it in general, nor does such a forbid hinder it. So
        whoever has found a resource checks with it, and a list is filtered by ``visible``.
        """
        if principal.narrowed is not None and principal.withheld(permission):
            raise _too_narrow(principal, permission)
        # Permits alone cannot take away what a scope grants.
        if self._permits_only and not grants(permission).isdisjoint(principal.scopes):
            return
        if row is None and not self._added and principal.kind == "key":
            raise refusal(principal, permission, "")  # the built-in ones give a key its scopes
        if self._added and permission.startswith(REPAIR):
            built_in().check(principal, permission)
            return
        if self._added and permission.startswith(BEYOND):
            built_in().check(principal, permission)
        caller = caller_of(principal)
        denied = self._in_force.denied(caller, permission, row)
        if denied is not None:
            raise refusal(principal, permission, denied)

    def visible(
        self, principal: Principal, permission: str, kind: str, fields: Fields
    ) -> Filter | None:
        """What a list may show: the policies about resources as a filter. None shows all.

        ``fields`` are the kind's own: the filter is remembered by kind.
        """
        if principal.narrowed is not None and principal.withheld(permission):
            return NOTHING
        if self._permits_only and not grants(permission).isdisjoint(principal.scopes):
            return None
        if self._added and permission.startswith(REPAIR):
            return built_in().visible(principal, permission, kind, fields)
        mark = (caller_of(principal), permission, kind)
        if mark not in self._filters:
            if len(self._filters) >= _REMEMBERED:
                self._filters.clear()
            self._filters[mark] = self._in_force.shown(*mark, fields)
        return self._filters[mark]


class _InForce:
    """The statements of a set as Cedar holds them, and what was decided by them."""

    def __init__(self, added: Mapping[str, str], fields_of: FieldsOf) -> None:
        statements = [*builtin()]
        for source, text in added.items():
            statements += parse(source, text)
        self.permits_only = not any(one.forbids for one in statements)
        self._fields_of = fields_of
        self._conditional = tuple(one for one in statements if one.conditional)
        self._steps = looked_at(self._conditional)
        # A decision follows from these arguments alone, so remembering it is exact.
        general = _Rules([one for one in statements if not one.conditional])
        self._general = lru_cache(_REMEMBERED)(general.decide)
        specific = _Rules(statements, self._steps, fields_of)
        self._specific = lru_cache(_REMEMBERED)(specific.decide)

    def denied(self, caller: Caller, permission: str, row: Row | None) -> str | None:
        """As ``_Rules.decide``; without ``row`` by what looks at no resource."""
        if row is None or not self._conditional:
            return self._general(caller, permission, None)
        return self._specific(caller, permission, self._resource(row))

    def shown(self, caller: Caller, permission: str, kind: str, fields: Fields) -> Filter | None:
        """What a list may show; None shows all."""
        denied = self._general(caller, permission, None)
        if denied:
            return NOTHING
        known, scoped = seen(caller), granted(caller, permission)
        scene = Scene(caller, permission, kind, fields, known, scoped)
        permits = [residual(one, scene) for one in self._conditional if not one.forbids]
        forbids = [residual(one, scene) for one in self._conditional if one.forbids]
        permitted = denied is None or either(permits)
        return as_filter(every([permitted, *map(negate, forbids)]))

    def _resource(self, row: Row) -> Resource:
        kind = row.address.kind
        fields = self._fields_of(kind)
        return kind, tuple([read(row, fields, step) for step in self._steps])


@cache
def built_in() -> PolicySet:
    """The policies where an admin has added none."""
    return PolicySet()


async def prepared() -> None:
    """Return once the built-in policies can decide, and policies be read, without a wait."""
    if not built_in().ready:
        await asyncio.to_thread(built_in().prepare)


def looked_at(statements: Iterable[Statement]) -> tuple[Step, ...]:
    """The paths of resources that statements read."""
    return tuple(sorted({step for one in statements for step in one.about if step}))


class _Rules:
    """Statements as Cedar holds them."""

    def __init__(
        self,
        statements: Sequence[Statement],
        steps: tuple[Step, ...] = (),
        fields_of: FieldsOf = no_fields,
    ) -> None:
        import cedarpy

        self._cedar = cedarpy
        self._handle = cedarpy.PolicySet.from_json_str(document(statements))
        self._forbids = {one.id: one.source for one in statements if one.forbids}
        self._steps = steps
        self._fields_of = fields_of

    def decide(self, caller: Caller, permission: str, resource: Resource | None) -> str | None:
        """None where it is allowed, the id of the policy that forbids it, or "" for no permit.

        Cedar passes over a policy that fails (an attribute is missing); here a forbid that fails
        forbids. Validation leaves none that can.
        """
        shown: dict[str, Any] = {}
        if resource is not None:
            kind, values = resource
            shown = attributes(self._steps, values, self._fields_of(kind))
        request = {
            "principal": {"type": caller.type, "id": caller.id},
            "action": {"type": "Action", "id": permission},
            "resource": RESOURCE,
            "context": {"granted": granted(caller, permission)},
        }
        result = self._cedar.is_authorized(
            request, self._handle, entities(caller, permission, shown)
        )
        failed = [
            name for name in self._forbids for e in result.diagnostics.errors if f"`{name}`" in e
        ]
        if result.allowed and not failed:
            return None
        deciding = {*failed, *result.diagnostics.reasons} & self._forbids.keys()
        return min((self._forbids[name] for name in deciding), default="")


def refusal(principal: Principal, permission: str, policy: str) -> Failure:
    """The failure of a caller whom ``policy`` forbids something, or nothing permits it if empty."""
    who = principal.kind.replace("_", " ")
    details: dict[str, Any] = {"permission": permission}
    if principal.scopes or principal.kind == "key":
        details["scopes"] = list(principal.scopes)
    if principal.kind != "key":
        details["roles"] = list(principal.roles)
    if policy:
        details["policy"] = policy
        text = f"The policy '{policy}' forbids this {who} '{permission}' here. "
        text += "Ask an admin, who can change it."
    elif principal.kind == "key":
        text = f"The key lacks the permission '{permission}'. Ask for a key with that scope."
    else:
        having = " or ".join(roles_with(permission))
        text = f"The {who} lacks the permission '{permission}'. Ask an admin for a role "
        text += f"that has it: {having}."
    return Failure("PERMISSION_DENIED", text, details=details)


def _too_narrow(principal: Principal, permission: str) -> Failure:
    return Failure(
        "PERMISSION_DENIED",
        f"The token was narrowed to other permissions than '{permission}'. "
        "Ask for one with that scope.",
        details={"permission": permission, "scopes": list(principal.narrowed or ())},
    )


def roles_with(permission: str) -> list[str]:
    """The built-in roles that have a permission."""
    return [role for role, has in roles().items() if not grants(permission).isdisjoint(has)]
