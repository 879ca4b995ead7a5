"""Write ``docs/reference/cli.md`` from the commands themselves. ``--check`` compares instead."""

import sys
from collections.abc import Iterator
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from modelyard.cli.application import application
from page import row, write_or_check

HEAD = """# Command line

`modelyard COMMAND --help` shows the same. Written by `make docs` from the commands themselves.

Commands other than `serve`, `config`, `version`, `backup`, `restore`, `migrate` and `audit verify`
are clients of a running server. Without options they talk to the server of this machine, at the
port that the settings name, as whoever signed in with `modelyard login`; else with the admin key:
`MODELYARD_ADMIN_KEY`, else the file `admin.key` in `MODELYARD_HOME`. `MODELYARD_URL` and
`MODELYARD_API_KEY` name another server and key.

`--json` prints one JSON document on standard output, also for errors (`{"error": {…}}`). The exit
status is 0 when it is done, 1 when it failed, 2 when it was asked for wrongly.
"""


def commands(command: Any, name: str) -> Iterator[str]:
    """The section of a command, or those of a group's commands."""
    if not isinstance(command, TyperGroup):
        yield from section(command, name)
        return
    for child, inner in command.commands.items():
        yield from commands(inner, f"{name} {child}")


def section(command: TyperCommand, name: str) -> Iterator[str]:
    """One command: its usage, what it does, its arguments and options."""
    arguments = [p for p in command.params if isinstance(p, TyperArgument)]
    options = [p for p in command.params if isinstance(p, TyperOption) and not p.hidden]
    words = [value(argument) for argument in arguments]
    usage = " ".join([name, *words, *(["[OPTIONS]"] if options else [])])
    yield from ("", f"## {name}", "", (command.help or "").strip(), "", "```", usage, "```", "")
    yield from (row("", "meaning"), row("---", "---"))
    for word, argument in zip(words, arguments, strict=True):
        yield row(f"`{word}`", argument.help or "")
    for option in options:
        yield row(spelled(option), described(option))


def value(param: TyperArgument | TyperOption) -> str:
    """The word that stands for a value."""
    return param.metavar or (param.name or "").upper()


def spelled(option: TyperOption) -> str:
    """The names of an option, with what follows it."""
    after = "" if option.is_flag else " " + value(option)
    return ", ".join(f"`{name}{after}`" for name in [*option.opts, *option.secondary_opts])


def described(option: TyperOption) -> str:
    """What an option does, and the variable that gives it too."""
    text = option.help or ""
    return f"{text} Also `{option.envvar}`." if isinstance(option.envvar, str) else text


def page() -> str:
    """The whole page."""
    return HEAD + "\n".join(commands(get_command(application()), "modelyard")) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check("docs/reference/cli.md", page()))
