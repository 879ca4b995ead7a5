"""Make ``.venv`` and install the project with its pinned development packages.

Run by ``make setup`` with any Python 3.11 or newer; uses the standard library only. Package
indexes and certificates are whatever pip is configured with (``PIP_*``, ``pip.conf``).
"""

import os
import subprocess
import sys
import time
import venv
from collections import deque
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv"
LOCK = ROOT / "requirements-dev.lock"
STAMP = HOME / ".installed"
INTERPRETER = HOME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

# Settings of pip that would put the packages somewhere else than into the environment.
REDIRECTIONS = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_DRY_RUN", "PIP_PYTHON")


def say(text: str) -> None:
    """Print a line of progress at once."""
    print(text, flush=True)


def usable() -> bool:
    """Whether the environment that is there has a working Python and pip of a usable version."""
    probe = "import pip, sys; sys.exit(sys.version_info < (3, 11))"
    try:
        done = subprocess.run([INTERPRETER, "-c", probe], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def make_environment() -> None:
    """Make ``.venv``, or keep the one that is there if it works."""
    if usable():
        say("==> Keeping the environment in .venv")
        return
    version = ".".join(str(part) for part in sys.version_info[:3])
    say(f"==> Making .venv with Python {version}")
    venv.EnvBuilder(clear=True, with_pip=True, symlinks=os.name != "nt").create(HOME)


def locked() -> int:
    """How many packages the lock names."""
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    return sum(1 for line in lines if "==" in line)


def install() -> None:
    """Install the project in place, with what it needs, as the lock says.

    Exits with pip's own words if it fails.
    """
    say(f"==> Installing {locked()} packages, pinned in {LOCK.name}")
    command = [
        *(str(INTERPRETER), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"),
        *("--progress-bar", "off", "--constraint", str(LOCK), "--editable", f"{ROOT}[dev]"),
    ]
    environment = {k: v for k, v in os.environ.items() if k not in (*REDIRECTIONS, "PIP_QUIET")}
    environment["MODELYARD_COMPILE"] = "0"  # an editable installation stays plain Python
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    last = follow(process)
    if process.wait() != 0:
        say("".join(last))
        sys.exit("Setup failed: pip's last lines are above. Mend the cause and run it again.")


def follow(process: subprocess.Popen[str]) -> deque[str]:
    """Print progress from pip's output; returns its last lines."""
    last: deque[str] = deque(maxlen=40)
    found = 0
    for line in process.stdout or ():
        last.append(line)
        if line.startswith("Collecting "):
            found += 1
            if found % 15 == 0:
                say(f"    {found} found")
        elif line.startswith(("Installing collected", "Building wheels")):
            say(f"    {line.split(':')[0].lower()}")
    return last


def main() -> None:
    """Make the environment, fill it, and leave a stamp for make."""
    begun = time.monotonic()
    make_environment()
    install()
    STAMP.write_text("", encoding="utf-8")
    say(f"==> Ready after {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
