"""Python's small objects in huge pages: asked for where there are any, and given back."""

import subprocess
import sys
from pathlib import Path

import pytest

from relaying import environment

# Prints whether it was done, and the MiB that huge pages were asked for: before, with many
# objects, and when those are gone.
PROGRAM = """
import gc
from modelyard.inference.memory import use_huge_pages

def asked():
    size = total = 0
    for line in open("/proc/self/smaps"):
        if line.startswith("Size:"):
            size = int(line.split()[1])
        elif line.startswith("VmFlags:") and " hg" in line:
            total += size
    return total // 1024

done = use_huge_pages()
before = asked()
many = [str(number) * 20 for number in range(300_000)]
held = asked()
assert all(text.startswith(str(number)) for number, text in enumerate(many))
del many
gc.collect()
print(done, before, held, asked())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has them")
def test_new_objects_are_in_huge_pages(tmp_path: Path) -> None:
    env = environment(tmp_path)
    if env is None:
        pytest.skip("no C compiler, or no headers of Python")
    argv = [sys.executable, "-c", PROGRAM]
    ran = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    done, before, held, after = ran.stdout.split()
    assert done == "True"
    assert int(held) >= int(before) + 40  # of about 50
    assert int(after) < int(held) // 2


def test_without_the_c_module_there_are_none() -> None:
    program = "import sys; sys.modules['modelyard.inference._relay'] = None\n" + PROGRAM
    argv = [sys.executable, "-c", program]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if sys.platform == "linux":
        assert ran.stdout.split()[0] == "False", ran.stderr
