"""Exact and semantic cache in one pipeline, asked by many at once: no answer crosses.

The process of the semantic cache is the real one, on its socket, but within this loop, and with the
stand-in as the verifier. The provider says in each answer who asked for what. The exact cache keeps
workspaces apart by itself, so that an answer of another one is not given even where the index names
its key; that the index never does is looked at on the line.
"""

import asyncio
import json
import socket
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import Scripted, asked, body, model, target, whole
from streams import DONE, Fed, chunk, usage
from test_pipeline import Sent, plane_of

from local.conftest import minilm as minilm
from local.conftest import wheel as wheel
from modelyard.auth.keys import UNLIMITED, Key
from modelyard.inference.call import Call, Terms
from modelyard.inference.local.engine import Embedder
from modelyard.inference.local.models import MINILM, folder_of
from modelyard.inference.pipeline import infer
from modelyard.inference.plane import Plane
from modelyard.inference.providers.provider import Reply
from modelyard.inference.semantic.cache import SemanticCache
from modelyard.inference.semantic.client import Line
from modelyard.inference.semantic.frames import Ask, Gone, Setup
from modelyard.inference.semantic.places import address_of, file_of
from modelyard.inference.semantic.process import Process
from modelyard.inference.semantic.recheck import Rechecker, said
from modelyard.inference.semantic.service import Service
from modelyard.inference.semantic.store import Store
from modelyard.inference.series import LevelCounts
from modelyard.inference.transport.wire import Deadlines
from modelyard.settings import SemanticSettings
from modelyard.storage.ledger.file import LedgerFile
from semantic.standin import StandIn, words


@dataclass(frozen=True)
class Asked:
    """A request: by whom, of which worker, in which context, and in which wave."""

    wave: int
    worker: int
    workspace: str
    namespace: str
    system: str
    text: str
    stream: bool

    def call(self, number: int) -> Call:
        turns = [("system", self.system), ("user", self.text)]
        return asked(
            key=Key(id=self.workspace, workspace=self.workspace, scopes=(), limits=UNLIMITED),
            body={"messages": [{"role": role, "content": said} for role, said in turns]},
            stream=self.stream,
            terms=Terms(namespace=self.namespace),
            share=True,
            record_id=f"r{number}",
        )


def wanted(workspace: str, namespace: str | None, system: str, text: str) -> str:
    """The answer's text: all that may not differ between two requests that share it."""
    return json.dumps([workspace, namespace, system, words(text)])


TEXTS = (
    "capital of France", "What is the capital of France?", "the capital, France?",
    "capital of Spain", "please tell me the capital of Spain", "Does a cat bark?",
)  # fmt: skip
ASKED = st.builds(
    Asked, st.integers(0, 2), st.integers(0, 1), st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["n", "m"]), st.sampled_from(["S", "T"]), st.sampled_from(TEXTS),
    st.booleans(),
)  # fmt: skip


class Echo(Scripted):
    """Answers, a little later, with who asked for what."""

    async def call(self, call: Call, model: str, deadlines: Deadlines, attempt: str) -> Reply:
        system, user = (turn["content"] for turn in call.body["messages"])
        text = wanted(call.key.workspace, call.terms.namespace, system, user)
        await asyncio.sleep(0.001)
        if not call.stream:
            return whole(body(text))
        fed, loop = Fed(), asyncio.get_running_loop()

        def feed() -> None:
            fed.piece(chunk(text[:9]))
            fed.piece(chunk(text[9:], "stop") + usage(10, 5) + DONE)
            fed.end(None)

        loop.call_later(0.001, feed)
        return fed


class Watched(Line):
    """Notes what the index named and the exact cache of the workspace did not have."""

    def __init__(self, home: Path, setup: Setup, counts: LevelCounts) -> None:
        super().__init__(home, setup, counts)
        self.foreign: list[Gone] = []

    def post(self, message: Ask) -> None:
        if isinstance(message, Gone):
            self.foreign.append(message)
        super().post(message)


@pytest.fixture(scope="module")
def embedder(minilm: Path) -> Embedder:
    return Embedder(folder_of(minilm, MINILM), MINILM.longest)


@asynccontextmanager
async def workers(home: Path, minilm: Path, embedder: Embedder) -> AsyncIterator[list[Plane]]:
    """Two workers' planes on one semantic cache."""
    setup = Setup(str(home), "", 0.05, 0.3, 4, 1000, 1000, 0.0, 0)
    place = folder_of(home, MINILM)
    place.parent.mkdir(parents=True)
    place.symlink_to(folder_of(minilm, MINILM))
    file_of(home).parent.mkdir()
    store, loop = Store(file_of(home), 1000, 1000, None), asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as pool, socket.socket(socket.AF_UNIX) as listener:
        service = Service(setup, store, StandIn(), pool, loop.call_soon_threadsafe)
        listener.bind(str(address_of(home)))
        serving = asyncio.create_task(Process(service, embedder, "stand-in").serve(listener))
        await asyncio.sleep(0)
        file = LedgerFile.open(home / "ledger")
        planes = [plane_of(model(target(Echo("a"))), file) for _ in range(2)]
        for number, plane in enumerate(planes):
            again = Rechecker(plane.router, plane.ledger)
            line = Watched(home, setup, LevelCounts())
            line.open()
            plane.semantic = SemanticCache(
                SemanticSettings(mode="on", wait=20.0), plane.cache, line, again, b"%d " % number
            )
        await greeted(planes)
        yield planes
        for plane in planes:
            assert plane.semantic is not None
            line = plane.semantic.line
            assert isinstance(line, Watched)
            assert not line.foreign, "the index named a key of another workspace"
            await plane.semantic.close()
        await serving
        file.discard(file.segment)
    store.close()


async def greeted(planes: list[Plane]) -> None:
    """Until the process has greeted every worker."""
    for _ in range(10_000):
        if all(plane.semantic is not None and plane.semantic.line.up for plane in planes):
            return
        await asyncio.sleep(0.001)
    raise TimeoutError("the process did not greet the workers")


async def answers(planes: list[Plane], load: list[Asked]) -> list[Sent]:
    """What all got; a wave begins while the last one is on its way."""
    sent = [Sent() for _ in load]
    for wave in range(3):
        for number, (one, got) in enumerate(zip(load, sent, strict=True)):
            if one.wave == wave:
                got.task = asyncio.create_task(infer(planes[one.worker], one.call(number), got))
        await asyncio.sleep(0.002)
    async with asyncio.timeout(60):
        await asyncio.gather(*[got.task for got in sent if got.task is not None])
    return sent


def test_no_answer_crosses_workspaces_or_contexts_under_load(
    minilm: Path, embedder: Embedder
) -> None:
    @settings(max_examples=20, deadline=None)
    @given(st.lists(ASKED, min_size=8, max_size=24))
    def check(load: list[Asked]) -> None:
        async def run() -> list[Sent]:
            with tempfile.TemporaryDirectory(prefix="modelyard-") as home:
                async with workers(Path(home), minilm, embedder) as planes:
                    return await answers(planes, load)

        for one, got in zip(load, asyncio.run(run()), strict=True):
            assert not got.failures, got.failures
            (answer,) = got.finished
            told = said(answer)
            assert told == wanted(one.workspace, one.namespace, one.system, one.text)

    check()


async def test_each_way_is_taken_within_a_workspace_and_none_from_another(
    minilm: Path, embedder: Embedder
) -> None:
    def asked_by(workspace: str, *texts: str) -> list[Asked]:
        return [Asked(0, 0, workspace, "n", "S", text, False) for text in texts]

    with tempfile.TemporaryDirectory(prefix="modelyard-") as home:
        async with workers(Path(home), minilm, embedder) as planes:
            for workspace in "ab":  # what the first has asked is of no use to the second
                taken = []
                for at_once in (TEXTS[:1], TEXTS[:1], TEXTS[1:2], TEXTS[3:4] * 2):
                    sent = await answers(planes, asked_by(workspace, *at_once))
                    found = [answer for got in sent for answer in got.finished]
                    taken += ["shared" if one.shared else one.cache for one in found]
                assert taken == ["miss", "l1", "semantic", "miss", "shared"]
