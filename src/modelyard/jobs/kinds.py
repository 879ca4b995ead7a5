"""What can be done as an operation: a declared method whose function runs in a worker.

::

    @operation(datasets, "split")
    async def split(job: Job, item: Item[Dataset], ask: SplitRequest) -> SplitResult:
        \"\"\"Split a version reproducibly.\"\"\"

The request for it is checked and answered like any method's: the operation is stored in one commit
with the event that workers follow, so nothing is lost between the two. What the function stages in
``job.context`` is committed together with its result.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, get_type_hints

from msgspec import Struct

from modelyard.jobs import compute as machine
from modelyard.jobs.operations import operations
from modelyard.jobs.schema import USUAL, Compute, Metadata, Operation, Priority
from modelyard.kernel import fields
from modelyard.kernel.context import Context, Item
from modelyard.kernel.methods import Change
from modelyard.kernel.principal import Principal
from modelyard.kernel.resource import Resource

Function = Callable[..., Awaitable[Any]]
Check = Callable[..., Awaitable[None]]  # context, and ``item`` and ``ask`` where the function has


class Kind(Struct, frozen=True):
    """One kind of operation. ``ask`` is the type of what is asked for, None without.

    ``needs`` are the fields of the ask that refer to artifacts, ``memory`` is the one by which
    whoever asks may give it more memory; "" for none. ``outlives`` says that its function removes
    the item: another attempt, of one that died behind that, gets None for it.
    """

    name: str
    function: Function
    ask: Any
    resource: Resource[Any] | None
    permission: str
    compute: Compute
    priority: int
    needs: tuple[str, ...] = ()
    memory: str = ""
    outlives: bool = False


ORDINARY = Compute()
KINDS: dict[str, Kind] = {}


class Submit(Change, frozen=True, kw_only=True):
    """Query parameters of every method that answers with an operation."""

    priority: Priority | None = None


def kind(
    name: str,
    function: Function,
    *,
    resource: Resource[Any] | None = None,
    permission: str = "",
    compute: Compute = ORDINARY,
    priority: int = USUAL,
    memory: str | None = None,
    outlives: bool = False,
) -> Kind:
    """Declare a kind of operation; ``start`` begins one. Raises ValueError for a name twice.

    ``memory`` names the request's field for it, where that is not ``compute``; ``outlives`` is as
    in ``Kind``.
    """
    if name in KINDS and KINDS[name].function is not function:
        raise ValueError(f"{name} is declared twice")
    hints = get_type_hints(function, include_extras=True)
    ask = hints.get("ask")
    if memory is None:
        memory = "compute.memory_bytes" if "compute" in _fields(ask) else ""
    of = (name, function, ask, resource, permission, compute, priority)
    made = Kind(*of, _needs(ask), memory, outlives)
    KINDS[name] = made
    return made


def _fields(ask: Any) -> tuple[str, ...]:
    return ask.__struct_fields__ if isinstance(ask, type) and issubclass(ask, Struct) else ()


def _needs(ask: Any) -> tuple[str, ...]:
    if not _fields(ask):
        return ()
    return tuple(one.name for one in fields.describe(ask) if one.refers == "artifacts")


def operation(
    resource: Resource[Any],
    verb: str,
    *,
    compute: Compute = ORDINARY,
    priority: int = USUAL,
    check: Check | None = None,
    outlives: bool = False,
    **more: Any,
) -> Callable[[Function], Function]:
    """Declare a custom method that is answered with an operation (202).

    The function gets a ``job``, and ``item`` and ``ask`` where it has such parameters. ``check``
    may refuse the request, or stage changes that are committed with the operation. A field
    ``compute`` of the ask takes the place of ``compute``.
    """

    def declare(function: Function) -> Function:
        permission = more.get("permission", f"{resource.area}:{verb}")
        made = kind(
            f"{resource.area}.{verb}",
            function,
            resource=resource,
            permission=permission,
            compute=compute,
            priority=priority,
            outlives=outlives,
        )
        errors = (*more.pop("errors", ()), "INSUFFICIENT_RESOURCES", "GPU_UNAVAILABLE")
        answers = {"response": operations.types.view, "status": 202, "errors": errors}
        resource.post(verb, **(more | answers))(_starter(made, check))
        return function

    return declare


def _starter(made: Kind, check: Check | None) -> Function:
    """The function of the route: it only stages the operation."""
    takes = inspect.signature(made.function).parameters

    async def begin(context: Context, query: Submit, **given: Any) -> dict[str, Any]:
        if check is not None:
            await check(context, **given)
        item, ask = given.get("item"), given.get("ask")
        started = await start(context, made, ask, item=item, priority=query.priority)
        return operations.show(started.row)

    wanted: dict[str, Any] = {"context": Context, "query": Submit}
    if "item" in takes:
        wanted["item"] = Item
    if made.ask is not None:
        wanted["ask"] = made.ask
    begin.__annotations__ = wanted | {"return": operations.types.view}
    params = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in wanted]
    begin.__signature__ = inspect.Signature(params)  # type: ignore[attr-defined]
    begin.__doc__ = inspect.getdoc(made.function)
    return begin


async def start(
    context: Context,
    made: Kind,
    ask: Any = None,
    *,
    item: Item[Any] | None = None,
    priority: int | None = None,
    own_id: str = "",
    labels: dict[str, str] | None = None,
) -> Item[Operation]:
    """Stage an operation; the caller's rights have been checked.

    It is begun once the commit is made. Artifacts that the ask refers to, by fields with
    ``refers("artifacts")``, are kept until it has ended. Raises ``INSUFFICIENT_RESOURCES`` and
    ``GPU_UNAVAILABLE`` for what no worker could give it.
    """
    wanted: Compute = getattr(ask, "compute", None) or made.compute
    await machine.refuse_impossible(context, wanted)
    own_id = own_id or operations.new_id()
    spec = Operation(
        name=f"{operations.kind}/{own_id}",
        metadata=Metadata(
            kind=made.name,
            target="" if item is None else item.name,
            priority=made.priority if priority is None else priority,
            compute=wanted,
        ),
        asked=fields.stored(ask),
        caller=plain(context.principal),
        request_id=context.request_id,
        place=None if item is None else item.row.address,
        needs=[ref for name in made.needs if (ref := getattr(ask, name))],
    )
    staged = await context.create(operations, spec, own_id=own_id, labels=labels, unchecked=True)
    if item is not None:
        context.edge(staged.name, "used", item.name)
    return staged


def plain(principal: Principal) -> Principal:
    """A caller without what is only of its credential."""
    return Principal(**{name: getattr(principal, name) for name in Principal.__struct_fields__})
