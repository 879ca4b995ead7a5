"""Compiles the path of a request to C (mypyc) when a wheel is built: of both planes.

``MODELYARD_COMPILE``: "auto" (the default) compiles where that can be done, "1" fails where it
cannot, "0" leaves Python as it is. An editable installation is always plain: a compiled module
would hide the edited one. The sources are the same either way; see docs/adr/0005.

``MODELYARD_OPTIMIZE``: the C compiler's level, "2" by default; with "0" it is done in a fifth of
the time, for those who only ask whether what is compiled is right.
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext

ROOT = "src/modelyard/"
# All on the path of a request but what only declares: mypyc does not know msgspec's Structs. Not
# storage/postgres: compiled, the process crashed as soon as a commit was refused (mypy 2.4.1).
MODULES = [
    "auth/credentials",
    "auth/memory",
    "identity/directory",
    "identity/policies/rulebook",
    "inference/admission",
    "inference/app",
    "inference/cache/entries",
    "inference/cache/key",
    "inference/cache/level",
    "inference/cache/levels",
    "inference/cache/memory",
    "inference/eventlog",
    "inference/flights",
    "inference/framing",
    "inference/health",
    "inference/http/asgi",
    "inference/http/connection",
    "inference/http/exchange",
    "inference/ledger",
    "inference/metrics",
    "inference/mould",
    "inference/outbox",
    "inference/pipeline",
    "inference/plane",
    "inference/providers/limits",
    "inference/providers/openai",
    "inference/providers/provider",
    "inference/providers/usage",
    "inference/router",
    "inference/surfaces/delivery",
    "inference/surfaces/inbound",
    "inference/surfaces/openai",
    "inference/surfaces/terms",
    "inference/tokens",
    "inference/transport/client",
    "inference/transport/connection",
    "inference/transport/exchange",
    "inference/transport/fields",
    "inference/transport/handover",
    "inference/transport/pool",
    "inference/transport/reading",
    "kernel/context",
    "kernel/http",
    "kernel/item",
    "kernel/names",
    "kernel/resource",
    "protocol/asgi",
    "protocol/decode",
    "protocol/routing",
    "protocol/wire",
    "storage/at_once",
    "storage/commits",
    "storage/declared",
    "storage/idempotency",
    "storage/newest",
    "storage/postgres_keys",
    "storage/postgres_pool",
    "storage/recent",
    "storage/rows",
    "storage/sealing",
    "storage/sqlite",
    "storage/store",
]
# What the compiler needs to know the types; the versions that were tried.
NEEDS = ["mypy==2.4.1", "msgspec>=0.22,<1", "httptools>=0.9,<1", "certifi", "splintr-rs>=0.22,<1"]
# The modules' functions call each other directly: nobody else links to them.
FLAGS = ["-fno-semantic-interposition", "-fvisibility=hidden"] if sys.platform == "linux" else []
if os.name == "posix":
    # For this warning gcc looks each line up in the generated file of 40 MB, from its begin: four
    # fifths of the time that it takes without being asked to optimise.
    FLAGS.append("-Wno-misleading-indentation")

RELAY = Extension(
    "modelyard.inference._relay",
    [f"{ROOT}inference/_relay.c", f"{ROOT}inference/_poller.c"],
    depends=[f"{ROOT}inference/_relay.h"],
)

PLAIN = "editable_wheel" in sys.argv or "develop" in sys.argv
MODE = "0" if PLAIN else os.environ.get("MODELYARD_COMPILE", "auto")
LEVEL = os.environ.get("MODELYARD_OPTIMIZE", "2")


class Whole(build):
    """What is built now, and nothing that an earlier build left in the same folder.

    A module that is not compiled any more would be hidden by its older, compiled self.
    """

    def run(self) -> None:
        """Build, then clear away what is not of this build."""
        super().run()
        steps = [self.get_finalized_command(name) for name in self.get_sub_commands()]
        made = {Path(path).resolve() for step in steps for path in step.get_outputs()}
        for path in Path(self.build_lib).rglob("*"):
            if path.is_file() and path.resolve() not in made:
                path.unlink()


class Build(build_ext):
    """All modules or none: a module's stub cannot be imported without the shared code."""

    def run(self) -> None:
        """Build; with "auto" a failure leaves a plain package."""
        try:
            super().run()
        except (Exception, SystemExit) as error:
            if MODE == "1":
                raise
            print(f"not compiled, plain Python instead: {error}", file=sys.stderr)
            for path in self.get_outputs():
                Path(path).unlink(missing_ok=True)
            self.extensions = []


def extensions() -> list[object]:
    """The modules as extensions of one group, so that they call each other directly."""
    if MODE == "0" or "egg_info" in sys.argv or "dist_info" in sys.argv:
        return []
    try:
        from mypyc.build import mypycify

        # Of the rest of the package nothing is compiled, nor what it imports installed here.
        paths = ["--follow-imports=silent", *(f"{ROOT}{name}.py" for name in MODULES)]
        made = mypycify(paths, opt_level=LEVEL, debug_level="0")
        for one in made:
            one.extra_compile_args += FLAGS
        if os.name == "posix":
            made.append(RELAY)
        return made
    except (ImportError, SystemExit) as error:
        if MODE == "1":
            raise
        print(f"not compiled, plain Python instead: {error}", file=sys.stderr)
        return []


setup(
    ext_modules=extensions(),
    cmdclass={"build": Whole, "build_ext": Build},
    setup_requires=[] if MODE == "0" else NEEDS,
)
