"""``modelyard backup`` and ``modelyard restore``: an installation in one file, and back."""

from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.copying import Config, installation, refuse_running, report, told
from modelyard.cli.options import Json
from modelyard.cli.progress import finished, shown
from modelyard.storage.artifacts.opening import local_folder
from modelyard.storage.copies import copying
from modelyard.storage.copies.opening import open_source, open_target

_BACKUP = "nothing was kept; the same command begins anew"
_RESTORE = "the installation is as it was; the same command begins anew"
Archive = Annotated[Path, typer.Argument(metavar="FILE", help="The archive: a ZIP file.")]


def backup(
    file: Archive,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Write the installation into one file, also while the server runs.

    It holds the databases, the pepper, the first admin key, the request records that are not
    loaded yet, and the bytes of artifacts unless they are in a bucket: keep it as safe as the home
    folder. The settings file is not in it.
    """
    settings, home = installation(config)
    with told(), shown(_BACKUP) as bar:
        manifest = finished(
            copying.backup(
                lambda: open_source(settings.database_url, home),
                home,
                file,
                artifacts=local_folder(settings, home),
                replace=force,
                progress=bar,
            )
        )
    tables = {name: entry.rows for name, entry in manifest.tables.items()}
    more = {"file": str(file), "home_files": len(manifest.files), **_artifacts(manifest)}
    if local_folder(settings, home) is None:
        more["artifacts"] = f"not in it: they are at {settings.artifacts_url}"
    report(tables, more, as_json=as_json)


def restore(
    file: Archive,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the installation that is there.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make the installation what it was when the archive was written; stop the server first.

    The archive is checked before anything is changed, and what was written is compared with it.
    It may go into the other database than it came from.
    """
    settings, home = installation(config)
    refuse_running(settings, home)
    with told(), shown(_RESTORE) as bar:
        manifest = finished(
            copying.restore(
                file,
                lambda: open_target(settings.database_url, home, replace=force),
                home,
                artifacts=local_folder(settings, home),
                progress=bar,
                replace=force,
            )
        )
    tables = {name: entry.rows for name, entry in manifest.tables.items()}
    more = {"home": str(home), "home_files": len(manifest.files), **_artifacts(manifest)}
    report(tables, more, as_json=as_json)


def _artifacts(manifest: copying.Manifest) -> dict[str, object]:
    """What is told of the bytes of artifacts."""
    kept = manifest.artifacts
    told: dict[str, object] = {"artifact_files": len(kept.files)}
    if kept.damaged:
        told["damaged_artifact_files"] = kept.damaged
    return told
