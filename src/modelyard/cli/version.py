"""``modelyard version``."""

import platform

from modelyard import __version__
from modelyard.cli.options import Json
from modelyard.cli.output import print_json


def version(as_json: Json = False) -> None:
    """The version of Modelyard and of Python."""
    if as_json:
        print_json({"version": __version__, "python": platform.python_version()})
    else:
        print(f"modelyard {__version__} (Python {platform.python_version()})")
