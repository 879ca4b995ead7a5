"""A command under test stays where its bar says a tenth, until Ctrl-C: no machine is too fast.

``HELD_AT`` is what the bar is about then. Found first by a process whose PYTHONPATH names this
folder.
"""

import os
import time
from typing import Any

from rich.progress import Progress, TaskID

_going_on = Progress.update


def update(self: Progress, task_id: TaskID, **more: Any) -> None:
    """In place of ``Progress.update``, which whoever works at something calls now and then."""
    _going_on(self, task_id, **more)
    for task in self.tasks:
        if task.description == os.environ["HELD_AT"] and 10 <= task.percentage < 100:
            while True:  # not one long wait: Ctrl-C may come to another thread than this one
                time.sleep(0.02)


Progress.update = update
