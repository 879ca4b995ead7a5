"""Where the settings say that the bytes of artifacts are."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from modelyard.settings import Settings
from modelyard.storage.artifacts.objects import Objects, open_bucket, open_folder

FOLDER = "artifacts"  # in the home folder


def open_objects(settings: Settings, home: Path) -> Objects:
    """The objects at ``artifacts_url``."""
    one = settings.artifacts
    folder = local_folder(settings, home)
    if folder is not None:
        return open_folder(folder, one.reserve_bytes)
    return open_bucket(settings.artifacts_url or "", endpoint=one.endpoint, region=one.region)


def local_folder(settings: Settings, home: Path) -> Path | None:
    """The folder that artifacts are in; None where it is a bucket."""
    url = settings.artifacts_url
    if url is None:
        return home / FOLDER
    return Path(unquote(urlsplit(url).path)) if url.startswith("file:") else None
