"""Write ``api/openapi.json`` from the server's routes; ``--check`` compares it instead.

Its diff is the review of an API change. Run by ``make openapi``.
"""

import json
import sys

from modelyard.protocol.wire import API_VERSION
from modelyard.reference.openapi import document
from modelyard.server import routes
from page import write_or_check


def main() -> int:
    """The exit status."""
    found = document(routes(), API_VERSION)
    text = json.dumps(found, indent=2, ensure_ascii=False, sort_keys=True)
    return write_or_check("api/openapi.json", text + "\n")


if __name__ == "__main__":
    sys.exit(main())
