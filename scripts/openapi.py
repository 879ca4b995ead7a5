"""Write ``api/openapi.json`` from the server's routes, and ``api/openapi-3.0.json`` from that.

The first one's diff is the review of an API change. ``--check`` compares both instead. Run by
``make openapi``.
"""

import json
import sys
from typing import Any

from modelyard.protocol.wire import API_VERSION
from modelyard.reference.openapi import document
from modelyard.reference.openapi30 import downgrade
from modelyard.server import routes
from page import write_or_check


def main() -> int:
    """The exit status."""
    found = document(routes(), API_VERSION)
    made = {"api/openapi.json": found, "api/openapi-3.0.json": downgrade(found)}
    return max(write_or_check(name, _text(one)) for name, one in made.items())


def _text(found: Any) -> str:
    return json.dumps(found, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.exit(main())
