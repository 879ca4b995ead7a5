"""Write ``docs/reference/settings.md`` from the types of the settings.

Run by ``make docs``. ``--check`` writes nothing and fails when the committed page differs.
"""

import sys
from pathlib import Path

from modelyard.settings.document import settings_page

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "settings.md"


def main(args: list[str]) -> int:
    """Write the page, or compare it."""
    page = settings_page()
    if "--check" not in args:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(page, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page:
        return 0
    print("docs/reference/settings.md is not what the settings' types say: run 'make docs'.")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
