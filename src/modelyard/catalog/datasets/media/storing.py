"""Keeps what goes with a table: the unpacked archive, the index of its files."""

from __future__ import annotations

from pathlib import Path

from modelyard.catalog.datasets import keeping
from modelyard.jobs.job import Job


async def stored(job: Job, file: Path, media_type: str) -> str:
    """The artifact of a file. Where no version comes to refer to it, it goes again."""
    body = keeping.Kept(file)

    async def stage() -> str:
        return await job.context.artifacts.put(body, name=file.name, media_type=media_type)

    return await keeping.decided(job, stage)
