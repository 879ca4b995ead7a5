"""The thread that works with the disk level's file outlives whatever goes wrong in it."""

from pathlib import Path

import pytest

from modelyard.inference.cache.answer_file import AnswerFile
from modelyard.inference.cache.disk import Broken, FileThread


async def test_a_fault_is_told_and_the_next_is_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    thread = FileThread(AnswerFile(tmp_path / "answers.db", 10, 1_000_000, 0), "cache-test")

    def wrong(_: AnswerFile) -> int:
        raise ValueError("a mistake of ours")

    with pytest.raises(Broken, match="a mistake of ours"):
        await thread.ask(wrong)
    assert await thread.ask(lambda file: file.path.name) == "answers.db"
    assert "asked wrongly" in caplog.text
    thread.end()
