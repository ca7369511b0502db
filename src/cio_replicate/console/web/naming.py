"""What names and numbers in an address look like; anything else is not found."""

from __future__ import annotations

from typing import Annotated

from litestar.params import PathParameter

LATEST = 253_402_300_799  # the end of the year 9999

NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"
ID = r"^[0-9a-f]{32}$"

Name = Annotated[str, PathParameter(pattern=NAME, description="A name.")]
RunId = Annotated[str, PathParameter(pattern=r"^[0-9a-f]{4,32}$", description="A run's id, or how it begins.")]
Id = Annotated[str, PathParameter(pattern=ID, description="An id.")]
TableName = Annotated[str, PathParameter(pattern=r"^[a-z_]{1,60}$", description="A table's name.")]
