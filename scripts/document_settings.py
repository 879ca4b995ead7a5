"""Write ``docs/reference/settings.md`` from the settings' types. ``--check`` compares instead."""

import sys

from modelyard.settings.document import settings_page
from page import write_or_check

if __name__ == "__main__":
    sys.exit(write_or_check("docs/reference/settings.md", settings_page()))
