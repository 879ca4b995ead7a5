"""Write ``requirements-dev.lock``: the exact versions a fresh install of ``.[dev]`` resolves to.

Run by ``make lock``. The packages are resolved in an environment of their own, so that nothing
that was installed by hand gets into the lock.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements-dev.lock"
TITLE = "# The exact versions that `make setup` installs (pip constraints). Written by `make lock`."


def freeze(environment: Path) -> list[str]:
    """Install the project into ``environment``; returns ``name==version`` for each package."""
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", f"{ROOT}[dev]"], check=True)
    command = [*pip, "freeze", "--exclude", "modelyard"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def main() -> None:
    """Resolve, then write the lock."""
    with tempfile.TemporaryDirectory() as folder:
        venv.EnvBuilder(with_pip=True).create(folder)
        pins = freeze(Path(folder))
    strange = [pin for pin in pins if "==" not in pin or "://" in pin]
    if strange:
        sys.exit(f"Not a plain version, so not written: {', '.join(strange)}")
    LOCK.write_text("\n".join([TITLE, *pins]) + "\n", encoding="utf-8")
    print(f"{len(pins)} versions pinned in {LOCK.name}")


if __name__ == "__main__":
    main()
