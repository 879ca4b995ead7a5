"""DBOS in a worker: the queue with its priorities, and the steps that were recorded.

It keeps both in a database of its own (a file beside ours, or a schema of PostgreSQL), so that its
polling shares no lock with the control plane. It is one per process, as DBOS is.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dbos import (
    DBOS,
    DBOSConfig,
    DBOSPortableJSONSerializer,
    EnqueueOptions,
    WorkflowStatus,
)
from dbos import _recovery as recovery  # takes over what an executor that is dead had begun
from dbos._error import DBOSException
from sqlalchemy.exc import SQLAlchemyError

from modelyard.jobs.gate import Gate
from modelyard.storage.opening import file_of, remote

QUEUE = "operations"
SCHEMA = "modelyard_jobs"  # in PostgreSQL
FILE = "jobs.db"  # beside the SQLite file of the control plane
POLL_SECONDS = 0.1
SWEPT_SECONDS = 600.0
VERSION = "1"  # of the order in which workflows call DBOS: another one would not resume ours
NAME = "modelyard"

_ENDED = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")

TROUBLE = (SQLAlchemyError, DBOSException)  # what goes wrong with its database

Work = Callable[[str, str], None]  # workspace and id of an operation; in a thread of its own


class Engine:
    """The queue of operations, as one worker sees it. ``executor`` names the worker."""

    def __init__(
        self, url: str | None, home: Path, executor: str, concurrency: int, work: Work
    ) -> None:
        self._place = _place(url, home)
        self._executor = executor
        self._concurrency = concurrency
        self._work = work
        self._begun: set[str] = set()  # ids of what this worker works at
        self.gate = Gate()
        self._dbos: DBOS

    def launch(self) -> None:
        """Make or upgrade its tables, and begin to take up work."""
        if not remote(self._place):
            _write_ahead(Path(self._place.removeprefix("sqlite:///")))
        config: DBOSConfig = {
            "name": NAME,
            "log_level": "WARNING",
            "system_database_url": self._place,
            "dbos_system_schema": SCHEMA,
            "executor_id": self._executor,
            "application_version": VERSION,
            "use_listen_notify": False,
            "sys_db_pool_size": self._concurrency + 4,
            "max_executor_threads": self._concurrency + 64,  # those that lost their work wait, too
            "notification_listener_polling_interval_sec": 30.0,
            "scheduler_polling_interval_sec": 3600.0,
            "serializer": DBOSPortableJSONSerializer(),  # nothing is pickled
        }
        _quiet()
        self._dbos = DBOS(config=config)
        _quiet()

        def operate(workspace: str, own_id: str) -> None:
            self._operate(workspace, own_id)

        DBOS.workflow(name="operate", max_recovery_attempts=None)(operate)
        self.gate.watch()
        DBOS.launch()
        DBOS.register_queue(
            QUEUE, worker_concurrency=self._concurrency, polling_interval_sec=POLL_SECONDS
        )

    def enqueue(self, workspace: str, own_id: str, priority: int) -> None:
        """Queue an operation, the first of which has priority 1. Once: its id is the key."""
        options: EnqueueOptions = {
            "queue_name": QUEUE,
            "workflow_name": "operate",
            "workflow_id": own_id,
            "priority": priority,
        }
        DBOS.enqueue_workflow_with_options(options, workspace, own_id)
        self.gate.open()

    def recover(self, alive: Iterable[str]) -> int:
        """Take over what executors that are not ``alive`` had begun; how many operations.

        Looking for work ends where there is none, until some is queued. The order matters: what is
        queued meanwhile opens the gate, and what is taken up meanwhile is seen queued, or begun.
        """
        self.gate.close()
        queued = _listed(status="ENQUEUED", limit=1)
        begun = _listed(status="PENDING")
        dead = {one.executor_id for one in begun if one.executor_id} - set(alive)
        taken = recovery.recover_pending_workflows(self._dbos, sorted(dead)) if dead else []
        ours = {one.workflow_id for one in begun if one.executor_id == self._executor}
        if queued or taken or ours - self._begun:  # taken up, and not begun yet
            self.gate.open()
        return len(taken)

    def forget_ended(self, ids: list[str]) -> None:
        """Forget those that ended here though their operation has not: they are queued anew."""
        found = _listed(workflow_ids=ids)
        if over := [one.workflow_id for one in found if one.status in _ENDED]:
            DBOS.delete_workflows(over)

    def sweep(self) -> None:
        """Forget what was recorded of operations that ended a while ago, some at a time.

        Also look for work once, whatever is known of it.
        """
        self.gate.open()
        ago = datetime.now(UTC) - timedelta(seconds=SWEPT_SECONDS)
        found = _listed(status=[*_ENDED], completed_before=ago.isoformat(), limit=1000)
        if found:
            DBOS.delete_workflows([one.workflow_id for one in found])

    def stop(self) -> None:
        """Take up nothing more."""
        self.gate.open()
        DBOS.destroy(workflow_completion_timeout_sec=0)

    def _operate(self, workspace: str, own_id: str) -> None:
        self._begun.add(own_id)
        try:
            self._work(workspace, own_id)
        finally:
            self._begun.discard(own_id)


def step(name: str, work: Callable[[], str]) -> str:
    """What the next step of the running operation gave, now or when it was recorded."""
    return DBOS.run_step({"name": name}, work)


def _listed(**asked: Any) -> list[WorkflowStatus]:
    return DBOS.list_workflows(load_input=False, load_output=False, **asked)


def _place(url: str | None, home: Path) -> str:
    if remote(url):
        return str(url)
    return f"sqlite:///{file_of(url, home).with_name(FILE)}"


def _write_ahead(path: Path) -> None:
    """DBOS leaves SQLite's journal as it finds it, which is the one where readers lock writers."""
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def _quiet() -> None:
    """Its lines go where ours go, from warnings on."""
    its = logging.getLogger("dbos")
    its.handlers[:] = []
    its.propagate = True
    its.setLevel(logging.WARNING)
