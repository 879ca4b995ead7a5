"""The commands of declared resources: ``modelyard users list`` and so on, from the declaration."""

from collections.abc import Callable, Sequence
from inspect import Parameter, Signature
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from modelyard.cli.asking import given, options, short
from modelyard.cli.client import Client
from modelyard.cli.options import Json, Key, Url, Workspace, connect
from modelyard.cli.output import console, print_json, print_table
from modelyard.cli.problem import Problem
from modelyard.cli.progress import listing
from modelyard.kernel.custom import Singleton
from modelyard.kernel.fields import About
from modelyard.kernel.resource import CREATE, DELETE, GET, LIST, UPDATE, Resource
from modelyard.protocol import shape

_PAGE = 1000
Values = dict[str, Any]
Run = Callable[[Client, Values], Any]

_ID = typer.Argument(help="Its id, as 'list' shows it.", metavar="ID")
_FILTER = typer.Option(help="An AIP-160 filter; bare words search the texts.", metavar="FILTER")
_ORDER = typer.Option(help="Fields to order by, such as 'name desc'.", metavar="FIELDS")
_MOST = typer.Option(min=1, help="No more than so many.", metavar="NUMBER")
_LABELS = typer.Option(help="A label; repeatable.", metavar="KEY=VALUE")


def noun(
    resource: Resource[Any], columns: Sequence[str] = (), *, listed: bool = False
) -> typer.Typer:
    """The commands of a resource; ``columns`` are those of its table.

    ``listed`` says that it can be listed and read though its declaration does not.
    """
    return _Noun(resource, columns, listed).app


class _Noun:
    """From a declaration to commands."""

    def __init__(self, resource: Resource[Any], columns: Sequence[str], listed: bool) -> None:
        self.one = resource
        self.path = "/v1" + resource.path
        words = resource.plural.replace("_", " ")
        self.word = resource.singular.replace("_", " ")
        self.a_word = shape.article(self.word)
        self.settable = [about for about in resource.about if about.behavior in ("", "input_only")]
        self.initial = [
            about for about in resource.about if about.behavior not in ("hidden", "output_only")
        ]
        shown = [
            about.wire
            for about in resource.about
            if about.behavior not in ("hidden", "input_only") and short(about)
        ]
        self.columns = [*columns] or ["id", *shown, "createdAt" if resource.camel else "created_at"]
        self.app = typer.Typer(no_args_is_help=True, help=f"{words.capitalize()} of a server.")
        verbs = {*resource.standard, *((LIST, GET) if listed else ())}
        self._add(verbs)
        for name, part in resource.singletons.items():
            self._singleton(name, part)

    def _add(self, verbs: set[str]) -> None:
        one, own = (
            self.one,
            Parameter("own_id", Parameter.KEYWORD_ONLY, annotation=Annotated[str, _ID]),
        )
        if LIST in verbs:
            asked = [_optional("filter", str, _FILTER), _optional("most", int, _MOST)]
            if LIST in one.standard:
                asked.insert(1, _optional("order_by", str, _ORDER))
            self._command("list", f"List {one.plural.replace('_', ' ')}.", asked, self._list)
        if GET in verbs:
            self._command("get", f"Show one {self.word}.", [own], self._get)
        if CREATE in verbs:
            self._create()
        if UPDATE in verbs and one.upsert:
            self._write("set", "PUT", f"Set {self.a_word}, new or not.", self.initial, own)
        elif UPDATE in verbs:
            self._write(
                "update", "PATCH", f"Change some fields of {self.a_word}.", self.settable, own
            )
        if DELETE in verbs:
            self._command("delete", f"Delete {self.a_word}.", [own], self._delete)

    def _list(self, client: Client, values: Values) -> Any:
        spell = shape.camel if self.one.camel else shape.snake
        query = {spell(name): values.get(name) for name in ("filter", "order_by", "workspace")}
        found: list[Any] = []
        most, token = values["most"], ""
        with listing(self.one.plural.replace("_", " ")) as bar:
            while True:
                size = min(most - len(found), _PAGE) if most else _PAGE
                turn = {spell("page_size"): size, spell("page_token"): token}
                page = client.call("GET", _target(self.path, **query, **turn))
                found += page[self.one.plural]
                bar.at(len(found))
                token = page[spell("next_page_token")]
                if not token or (most and len(found) >= most):
                    return {self.one.plural: found}

    def _get(self, client: Client, values: Values) -> Any:
        return client.call("GET", self._item(values))

    def _delete(self, client: Client, values: Values) -> Any:
        client.call("DELETE", self._item(values))
        return {"id": values["own_id"], "deleted": True}

    def _create(self) -> None:
        asked = options(self.initial, required=True)
        params = [one.param for one in asked]
        if self.one.own_ids:
            chosen = typer.Argument(help="Its id; one is made where it is left out.", metavar="ID")
            params.insert(0, _optional("own_id", str, chosen))

        def run(client: Client, values: Values) -> Any:
            body = given(asked, values) | _labels(values)
            if values.get("own_id"):
                body["id"] = values["own_id"]
            return client.call("POST", _target(self.path, workspace=values["workspace"]), body)

        self._command("create", f"Make {self.a_word}.", [*params, _labelled()], run)

    def _write(
        self, name: str, method: str, text: str, fields: list[About], own: Parameter
    ) -> None:
        asked = options(fields, required=method == "PUT")

        def run(client: Client, values: Values) -> Any:
            body = given(asked, values) | _labels(values)
            if not body:
                raise Problem("nothing to change: name a field (--help lists them)", status=2)
            return client.call(method, self._item(values), body)

        self._command(name, text, [own, *(one.param for one in asked), _labelled()], run)

    def _singleton(self, name: str, part: Singleton) -> None:
        fields = [about for about in self.one.about if about.name in part.fields]
        asked = options(fields, required=False)
        own = Parameter("own_id", Parameter.KEYWORD_ONLY, annotation=Annotated[str, _ID])

        def run(client: Client, values: Values) -> Any:
            target = self._item(values, f"/{name}")
            change = given(asked, values)
            if not change:
                return client.call("GET", target)
            now = client.call("GET", target)
            return client.call("PUT", target, _merged(now, change))

        text = f"Show the {name} of {self.a_word}, or set those that are given."
        self._command(name, text, [own, *(one.param for one in asked)], run)

    def _command(self, name: str, text: str, params: Sequence[Parameter], run: Run) -> None:
        """Add a command: its own parameters, then those that all have."""

        def command(**values: Any) -> None:
            client = connect(values.pop("url"), values.pop("key"))
            as_json = values.pop("as_json")
            answer = run(client, values)
            if as_json:
                print_json(answer)
            else:
                self._show(answer)

        shared = [
            _optional("workspace", None, Workspace),
            _optional("url", None, Url),
            _optional("key", None, Key),
            Parameter("as_json", Parameter.KEYWORD_ONLY, default=False, annotation=Json),
        ]
        every = [*params, *shared]
        command.__doc__ = text
        command.__signature__ = Signature(every)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in every}
        self.app.command(name)(command)

    def _show(self, answer: Any) -> None:
        if self.one.plural in answer:
            rows = ([_dig(item, name) for name in self.columns] for item in answer[self.one.plural])
            print_table([name.rpartition(".")[2] for name in self.columns], rows)
        elif answer.get("deleted") is True:
            console().print(f"Deleted {answer['id']}.", markup=False)
        else:
            print_table(("", ""), [(name, value) for name, value in answer.items()])

    def _item(self, values: Values, below: str = "") -> str:
        own_id = quote(values["own_id"], safe="/" if "/" in self.one.own_ids else "")
        return _target(f"{self.path}/{own_id}{below}", workspace=values["workspace"])


def _optional(name: str, kind: Any, info: Any) -> Parameter:
    annotation = info if kind is None else Annotated[kind | None, info]
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _labelled() -> Parameter:
    return _optional("label", list[str], _LABELS)


def _labels(values: Values) -> Values:
    """``--label team=x`` as the document has it."""
    found = {}
    for text in values.pop("label") or ():
        name, sign, value = text.partition("=")
        if not (name and sign):
            raise Problem(f"--label '{text}' is none: write KEY=VALUE", status=2)
        found[name] = value
    return {"labels": found} if found else {}


def _target(path: str, **query: Any) -> str:
    sent = {name: value for name, value in query.items() if value}
    return path + (f"?{urlencode(sent)}" if sent else "")


def _merged(now: Values, change: Values) -> Values:
    """What is there with what is given, field by field; without its etag."""
    after = {name: value for name, value in now.items() if name != "etag"}
    for name, value in change.items():
        inner = after.get(name)
        after[name] = inner | value if isinstance(inner, dict) else value
    return after


def _dig(item: Any, path: str) -> Any:
    for step in path.split("."):
        item = item.get(step) if isinstance(item, dict) else None
    return item
