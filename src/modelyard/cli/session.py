"""The session of ``modelyard login``: a token in a file that only its owner may read."""

import json
import os
import time
from pathlib import Path
from typing import Any

from modelyard.cli.problem import Problem

FILE = "session"


def keep(home: Path, url: str, login: str, made: dict[str, Any]) -> Path:
    """Write down the token for ``url``; returns where. Raises Problem."""
    path = home / FILE
    content = {
        "url": url,
        "login": login,
        "workspace": made["workspace"],
        "expires_at": time.time() + made["expires_in"],
        "token": made["access_token"],
    }
    unfinished = path.with_name(f"{FILE}.{os.getpid()}")
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as out:
            json.dump(content, out)
        unfinished.replace(path)
    except OSError as reason:
        raise Problem(f"{path} cannot be written ({reason.strerror})") from None
    return path


def forget(home: Path) -> bool:
    """End the session here; whether there was one."""
    try:
        (home / FILE).unlink()
    except FileNotFoundError:
        return False
    except OSError as reason:
        raise Problem(f"{home / FILE} cannot be removed ({reason.strerror})") from None
    return True


def token(home: Path, url: str) -> str | None:
    """The token for the server at ``url``; None where nobody signed in to it.

    Raises Problem for one that has expired: the admin's key must not take its place unnoticed.
    """
    try:
        kept = json.loads((home / FILE).read_text(encoding="utf-8"))
        if kept["url"] != url:
            return None
        ended, found = float(kept["expires_at"]) <= time.time(), str(kept["token"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if ended:
        raise Problem(
            f"the session of {kept.get('login')} at {url} has ended: 'modelyard login' begins a "
            "new one, 'modelyard logout' forgets it"
        )
    return found
