"""The JSON Schema of settings in files: `python -m cio_replicate.cli.describe_documents > FILE`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from cio_replicate.cli.written_page import write_or_check
from cio_replicate.config.documents import json_schema

COMMAND = "python -m cio_replicate.cli.describe_documents"


def page() -> str:
    """The whole schema."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the schema to standard output; with `--check FILE`, return 1 when that file is not the schema."""
    return write_or_check(page(), "the settings in files", COMMAND, arguments)


if __name__ == "__main__":
    sys.exit(main())
