"""What a method is given: who asks and where; and what it decides, staged for one commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import structs

from modelyard.kernel import names
from modelyard.kernel.events import Event
from modelyard.kernel.item import Item as Item
from modelyard.kernel.item import Just, following, living
from modelyard.kernel.ports import (
    Address,
    Artifacts,
    Commit,
    Edge,
    Query,
    Reference,
    Refused,
    Row,
    Write,
)
from modelyard.kernel.ports import Ports as Ports
from modelyard.kernel.principal import Principal
from modelyard.kernel.route import Envelope, Place
from modelyard.protocol import errors
from modelyard.protocol.errors import Failure, envelope
from modelyard.protocol.filtering import NOTHING, Filter

if TYPE_CHECKING:
    from modelyard.kernel.resource import Resource

T = TypeVar("T")
S = TypeVar("S")

WORKSPACES = "auth/workspaces"  # the kind of those whose ids are in every address


async def _known() -> None:
    """The caller of a request is known for as long as it takes."""


class Context:
    """One request on its way: gather from it, decide, and stage the changes in it.

    ``workspace`` is the one that is meant: the caller's, unless another was asked for and the
    caller may (``workspace:write``). Nothing staged is kept if the request fails.
    """

    def __init__(
        self,
        principal: Principal,
        request_id: str,
        ports: Ports | None = None,
        headers: Mapping[bytes, bytes] | None = None,
    ) -> None:
        self.principal = principal
        self.headers = headers or {}  # the last of each name, in lower case
        self.request_id = request_id
        self.workspace = principal.workspace
        self.verb = ""  # the route's ``audit``
        self.version = ""  # the ``API-Version`` that the client pinned
        self.envelope: Envelope = envelope  # the route's
        self.commit = Commit()
        self.permission = ""  # the route's
        self.kind = ""  # of the resource that the route belongs to
        self.parent: str | None = ""  # name of the resource above; None: of all of them
        self.wanted = ""  # the id in the route's path
        self.found: Row | None = None  # what is there
        self._above = Just()
        self.expected = ""  # If-Match: the etags one of which it must have
        self.unwanted = ""  # If-None-Match: those that it may not have
        self.remembered = False  # what is there was not read: it may be another by now
        self.unchanged = False  # an update would have changed nothing
        self.numbered = False  # something new has the next number, which another may take first
        self.validate_only = False
        self.renew = _known  # raises once the caller of a stream is not who it was any more
        self.afterwards: list[Callable[[], Awaitable[None]]] = []  # once the commit is made
        self._ports = ports

    @property
    def ports(self) -> Ports:
        """The store and what else there is."""
        if self._ports is None:
            raise RuntimeError("this application has no store")
        return self._ports

    def header(self, name: bytes) -> str:
        """A request header; "" without it."""
        return self.headers.get(name, b"").decode("latin-1")

    def of(self, type_: type[S]) -> S:
        """The service of a type: what the composition root put there."""
        service: S = self.ports.services[type_]
        return service

    @property
    def artifacts(self) -> Artifacts:
        """The artifacts of the workspace that is meant."""
        if self.ports.artifacts is None:
            raise RuntimeError("this application keeps no artifacts")
        return self.ports.artifacts(self)

    def check(self, permission: str, row: Row | None = None) -> None:
        """Raise ``PERMISSION_DENIED`` unless the caller may do that (to that)."""
        self.ports.policies.check(self.principal, permission, row)

    def check_some(self, permission: str, kind: str) -> None:
        """As ``check``, where it is enough that it may be allowed for some resources of a kind.

        Which ones is decided when they are found: item by item, or by a list's filter.
        """
        if self.may(permission):
            return
        fields = self.ports.resources[kind].filterable
        if self.ports.policies.visible(self.principal, permission, kind, fields) == NOTHING:
            self.check(permission)

    def may(self, permission: str) -> bool:
        """Whether the caller may do that."""
        try:
            self.check(permission)
        except Failure as failure:
            if failure.code.symbol != "PERMISSION_DENIED":
                raise
            return False
        return True

    def use(self, workspace: str | None) -> str:
        """Take ``workspace`` as the one that is meant; another than the caller's needs a right."""
        wanted = (workspace or "").strip()
        if wanted and wanted != self.principal.workspace:
            self.check("workspace:write")
        self.workspace = wanted or self.principal.workspace
        return self.workspace

    async def enter(self, place: Place, values: Mapping[str, str], permission: str) -> None:
        """Find what a route's path names. Raises ``NOT_FOUND``, ``PERMISSION_DENIED``."""
        workspace = "" if place.installation else self.workspace
        self.kind, self.permission = place.kind, permission
        if place.across and values and set(values.values()) == {"-"}:  # AIP-159: of every parent
            self.parent = None
            return
        await self._check_workspace()
        self.parent = place.parent.format_map(values)
        store, aboves = self.ports.store, [*names.above(place.parent, values, workspace)]
        adds = self.verb.endswith(".create") and not place.item and len(aboves) == 1
        for above in aboves:
            known = store.recall(above) if adds and not self._above.again else None
            self.remembered = known is not None
            one = await living(store, above, self._shown, known)
            self._above.note(one)
            self.commit.above = one if adds else None
        if not place.item:
            return
        self.wanted = values[place.item]
        address = Address(place.kind, workspace, self.parent, self.wanted)
        changes = self.verb.endswith(".update") and not self._above.again
        known = store.recall(address, whole=True) if changes else None
        self.remembered = known is not None
        row = known if known and self._shown(known) else await store.get(address)
        if row is not None and not self._shown(row):
            row = None
        if row is None or (row.deleted_at is not None) is not place.deleted:
            if not place.fresh:
                raise names.missing(address)
            row = None
        if row is not None:
            self.check(permission, row)
        self.found = row
        self.match(address.name, self.expected)

    def match(self, name: str, expected: str) -> None:
        """Raise ``ETAG_MISMATCH`` unless what was found is as the client expects it."""
        names.match(self.found, name, expected, self.unwanted)

    def forget(self) -> None:
        """Drop what was staged, to decide anew."""
        self.commit, self.afterwards, self.remembered = Commit(), [], False
        self.unchanged, self._above.again = False, True

    def _shown(self, row: Row) -> bool:
        return self.ports.resources[row.address.kind].shown(self, row)

    def item(self, resource: Resource[T]) -> Item[T]:
        """The item of the route."""
        if self.found is None:
            raise RuntimeError("this route has no item")
        return Item(resource, self.found)

    async def get(self, resource: Resource[T] | str, own_id: str, parent: str = "") -> Item[T]:
        """A resource of this workspace. Raises ``NOT_FOUND``; the caller's rights count."""
        one = self._resource(resource)
        address = Address(one.kind, self._home(one), parent, own_id)
        row = await living(self.ports.store, address, self._shown, self._above.take(address))
        self.check(f"{one.area}:read", row)
        return Item(one, row)

    async def list(
        self,
        resource: Resource[T] | str,
        where: Filter | None = None,
        parent: str | None = "",
        size: int = 1000,
    ) -> list[Item[T]]:
        """The first of a collection, the newest first, that the caller may see."""
        one = self._resource(resource)
        self.check(f"{one.area}:read")
        home, where = self._home(one), one.seen_by(self, where)
        query = Query(kind=one.kind, workspace=home, parent=parent, filter=where, size=size)
        return [Item(one, row) for row in await self.ports.store.page(query)]

    async def create(
        self,
        resource: Resource[T] | str,
        spec: T,
        *,
        own_id: str = "",
        parent: str = "",
        labels: dict[str, str] | None = None,
        unchecked: bool = False,
    ) -> Item[T]:
        """Stage a new resource with its event, references and provenance.

        The caller's rights count unless ``unchecked``: then the method has decided.
        """
        one = self._resource(resource)
        spec = await one.admitted(self, spec, None)
        place, now = Address(one.kind, self._home(one), parent, own_id), errors.now()
        if one.numbered:
            own_id, now = await following(self.ports.store, place, self._above, self.commit)
            self.numbered = True
        row = Row(
            address=structs.replace(place, id=own_id or one.new_id()),
            uid=names.new_uid(),
            created_at=now,
            updated_at=now,
            created_by=self.principal.id,
            updated_by=self.principal.id,
            labels=labels or {},
            spec=one.document(spec),
        )
        one.check_id(row.address.id)
        if not unchecked:
            self.check(self._permission(one, "create"), row)
        write, made = Write(row=row, references=self._references(one, row)), Item(one, row)
        self._stage(write, None, made, f"{one.area}.create")
        self.edge(made.name, "wasAttributedTo", self.principal.subject or self.principal.id)
        return made

    async def update(
        self,
        item: Item[T],
        spec: T,
        *,
        labels: dict[str, str] | None = None,
        verb: str = "",
        unchecked: bool = False,
    ) -> Item[T]:
        """Stage a change of a resource; stored only if nobody changed it meanwhile.

        One that changes nothing stages nothing.
        """
        one, before = item.resource, item.row
        document = one.document(await one.admitted(self, spec, item))
        labels = before.labels if labels is None else labels
        if (document, labels) == (before.spec, before.labels):
            if before.recalled:  # no commit would find out
                raise Refused("stale", before.address)
            self.unchanged = True
            return item
        after = structs.replace(
            before,
            revision=before.revision + 1,
            updated_at=errors.now(),
            updated_by=self.principal.id,
            labels=labels,
            spec=document,
        )
        if not unchecked:
            self.check(self._permission(one, "update"), after)
        references = self._references(one, after)
        write = Write(row=after, expected=before.revision, before=before, references=references)
        self._stage(write, item, made := Item(one, after), f"{one.area}.{verb or 'update'}")
        return made

    def delete(self, item: Item[T], *, verb: str = "delete") -> None:
        """Stage a deletion: soft where the resource is declared so. What is in use stays."""
        one, before = item.resource, item.row
        self.check(self._permission(one, "delete"), before)
        now = errors.now()
        gone = structs.replace(
            before,
            revision=before.revision + 1,
            updated_at=now,
            updated_by=self.principal.id,
            deleted_at=now,
            purge_at=now + one.kept_seconds if one.soft_delete else now,
        )
        remove = not one.soft_delete
        write = Write(row=gone, expected=before.revision, remove=remove, guard=True)
        self._stage(write, item, None, f"{one.area}.{verb}")

    def restore(self, item: Item[T]) -> Item[T]:
        """Stage the return of what was softly deleted."""
        one, before = item.resource, item.row
        after = structs.replace(
            before,
            revision=before.revision + 1,
            updated_at=errors.now(),
            updated_by=self.principal.id,
            deleted_at=None,
            purge_at=None,
        )
        write = Write(row=after, expected=before.revision, references=self._references(one, after))
        self._stage(write, None, made := Item(one, after), f"{one.area}.undelete")
        return made

    def edge(self, source: str, relation: str, target: str, detail: str = "") -> None:
        """Stage an arrow of the provenance graph, made by the last event staged."""
        event = self.commit.events[-1].id if self.commit.events else ""
        self.commit.edges.append(
            Edge(
                workspace=self.workspace,
                source=source,
                relation=relation,
                target=target,
                event=event,
                detail=detail,
                at=errors.now(),
            )
        )

    def event(
        self,
        resource: str,
        *,
        workspace: str | None = None,
        verb: str = "",
        kind: str = "",
        before: Any = None,
        after: Any = None,
    ) -> Event:
        """Stage the audit trail's record of a change, and return it.

        ``resource`` is the path without its version (``auth/keys/key_1f``), ``workspace`` the
        changed resource's (the one meant when left out). ``before`` and ``after`` hold no secret.
        """
        made = Event(
            workspace=self.workspace if workspace is None else workspace,
            actor=self.principal.id,
            verb=verb or self.verb,
            resource=resource,
            kind=kind,
            request_id=self.request_id,
            before=before,
            after=after,
        )
        self.commit.events.append(made)
        return made

    def _stage(self, write: Write, old: Item[Any] | None, new: Item[Any] | None, verb: str) -> None:
        self.commit.writes.append(write)
        address = write.row.address
        self.event(
            address.name,
            workspace=address.workspace,
            verb=verb,
            kind=address.kind,
            before=old and old.told(),
            after=new and new.told(),
        )

    def _permission(self, one: Resource[Any], verb: str) -> str:
        """That of the route, where it is the resource's own; else what a client would need."""
        return self.permission if one.kind == self.kind else f"{one.area}:{verb}"

    def _references(self, one: Resource[Any], row: Row) -> tuple[Reference, ...]:
        kinds = self.ports.resources if one.indexed.refers else {}
        return one.references(row, {kind for kind, each in kinds.items() if each.installation})

    async def _check_workspace(self) -> None:
        """Raise ``NOT_FOUND`` where another workspace is meant and there is none."""
        if self.workspace == self.principal.workspace or WORKSPACES not in self.ports.resources:
            return
        address = Address(WORKSPACES, "", "", self.workspace)
        if await self.ports.store.get(address) is None:
            raise names.missing(address)

    def _home(self, one: Resource[Any]) -> str:
        return "" if one.installation else self.workspace

    def _resource(self, resource: Resource[T] | str) -> Resource[T]:
        return self.ports.resources[resource] if isinstance(resource, str) else resource
