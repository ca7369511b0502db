"""A catalog that needs no server: each Iceberg table is a folder that says by itself which of its states is the latest.

The layout is that of Hadoop tables: `metadata/v7.metadata.json` is the seventh state, and `metadata/version-hint.text`
names the latest, so that Spark, DuckDB and pyiceberg read such a table by its path alone.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC
from pyiceberg.schema import Schema
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import CommitTableResponse, CreateTableTransaction, StagedTable, Table
from pyiceberg.table.metadata import TableMetadata, TableMetadataV1, new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER
from pyiceberg.table.update import update_table_metadata

from cio_replicate.base.errors import DestinationUnavailableError
from cio_replicate.sinks.lake.object_files import Files, LocalFiles, named

#: How many snapshots a table has at most, and how many stay when it has them: with more, each commit takes longer.
MOST_SNAPSHOTS, KEPT_SNAPSHOTS = 20, 10
#: Seconds that a file stays after it was first seen to belong to no state, for who still reads an older one.
STAYS = 86_400
PROPERTIES = {
    "format-version": "2",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "commit.retry.num-retries": "0",  # what was written for one state is not right for another
}
_VERSION = re.compile(r"v(\d+)\.metadata\.json")
UNUSED = "metadata/unused-files.json"


class Tables(ABC):
    """Where Iceberg tables are: a folder or a catalog."""

    shown: str  # what messages call the place

    @abstractmethod
    def check(self) -> None:
        """Raise DestinationUnavailableError when tables cannot be looked at. Changes nothing."""

    @abstractmethod
    def files(self, name: str, location: str) -> Files:
        """The files of a table, which is at this address."""

    @abstractmethod
    def load(self, name: str) -> Table | None:
        """A table in its latest state; None when it is not there."""

    @abstractmethod
    def creation(self, name: str, schema: Schema) -> CreateTableTransaction:
        """A transaction that makes a table, together with what else is done in it."""

    def committed(self, name: str, table: Table) -> None:  # noqa: B027 - a catalog has maintenance of its own
        """Called after each commit, to tidy up."""

    def forget(self, name: str) -> None:  # noqa: B027 - a catalog is asked each time
        """Let go of a table, so that it is read again."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Remove a table; no error when it is not there."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held open."""


class FolderTables(Tables):
    """The Iceberg tables in a place. `properties` tell pyiceberg how to reach the bucket."""

    def __init__(self, files: Files, properties: dict[str, str], now: Callable[[], float]) -> None:
        self.shown = files.shown
        self._files = files
        self._below: dict[str, Files] = {}
        self._properties = properties
        self._now = now
        self._opened: dict[str, tuple[int, Table]] = {}

    def check(self) -> None:
        """Raise DestinationUnavailableError when tables cannot be in this place. Changes nothing."""
        if re.search(r"[#?;]", self._files.root):
            raise DestinationUnavailableError(
                f"The path {self._files.root} has a character that Iceberg cannot have in a path: # ? or ;",
                "Choose another folder.",
            )
        self._files.check()

    def files(self, name: str, location: str) -> Files:  # noqa: ARG002 - it is below ours
        """The files of a table."""
        return self._below.setdefault(name, self._files.below(name))

    def load(self, name: str) -> Table | None:
        """A table in its latest state; None when it is not there. A hint that a kill left behind is put right."""
        known, table = self._opened.get(name, (0, None))
        version = self._latest(name, known)
        if version and version != known:
            location = f"{self._location(name)}/metadata/v{version}.metadata.json"
            io = PyArrowFileIO(self._properties)
            with self._files.reached():
                metadata = FromInputFile.table_metadata(io.new_input(location))
            table = Table((self._files.root, name), metadata, location, io, FolderCatalog(self, name, version))
            self._opened[name] = version, table
        return table if version else None

    def creation(self, name: str, schema: Schema) -> CreateTableTransaction:
        """A transaction that makes a table, together with what else is done in it."""
        location = self._location(name)
        metadata = new_table_metadata(schema, UNPARTITIONED_PARTITION_SPEC, UNSORTED_SORT_ORDER, location, PROPERTIES)
        io, catalog = PyArrowFileIO(self._properties), FolderCatalog(self, name, 0)
        return CreateTableTransaction(StagedTable((self._files.root, name), metadata, "", io, catalog))

    def committed(self, name: str, table: Table) -> None:
        """After a commit: every so often forget old snapshots, and remove files that nothing needs any more."""
        if len(table.metadata.snapshots) >= MOST_SNAPSHOTS:
            by_age = sorted(table.metadata.snapshots, key=lambda snapshot: snapshot.sequence_number or 0)
            old = [snapshot.snapshot_id for snapshot in by_age[:-KEPT_SNAPSHOTS]]
            table.maintenance.expire_snapshots().by_ids(old).commit()
            self._clean(name, table)

    def close(self) -> None:
        """Let go of the tables."""
        self._opened.clear()

    def forget(self, name: str) -> None:
        """Let go of a table, so that it is read again."""
        self._opened.pop(name, None)

    def drop(self, name: str) -> None:
        """Remove a table; no error when it is not there."""
        self.forget(name)
        self._files.remove_folder(named(name))

    def _latest(self, name: str, known: int) -> int:
        """The number of the latest state, 0 when there is none; found from the hint on, which a kill leaves behind."""
        hint = known or self._hint(name)
        version = hint
        while self._files.find(f"{name}/metadata/v{version + 1}.metadata.json") is not None:
            version += 1
        if not version or (version == hint and self._files.find(f"{name}/metadata/v{version}.metadata.json") is None):
            found = [_VERSION.fullmatch(part.name.rpartition("/")[2]) for part in self._files.list(f"{name}/metadata")]
            version = max((int(match[1]) for match in found if match), default=0)
        if version and not known and version != hint:
            self._point(name, version)
        return version

    def _hint(self, name: str) -> int:
        part = self._files.find(f"{name}/metadata/version-hint.text")
        text = self._files.bytes(part).decode().strip() if part is not None else ""
        return int(text) if text.isdecimal() else 0

    def _point(self, name: str, version: int) -> None:
        self._write(f"{name}/metadata/version-hint.text", str(version).encode())

    def _write(self, name: str, content: bytes, *, exclusive: bool = False) -> None:
        file = self._files.new(name)
        with self._files.reached():
            file.path.write_bytes(content)
        try:
            self._files.put(file, exclusive=exclusive)
        finally:
            file.path.unlink(missing_ok=True)

    def commit(self, name: str, version: int, metadata: TableMetadata) -> str:
        """Make a state the latest; its address. Raises CommitFailedException when there is one already."""
        file = f"{name}/metadata/v{version}.metadata.json"
        try:
            self._write(file, metadata.model_dump_json(exclude_none=True).encode(), exclusive=True)
        except FileExistsError:
            raise CommitFailedException("another program wrote to the table") from None
        self._point(name, version)
        self.forget(name)
        return f"{self._location(name)}/metadata/v{version}.metadata.json"

    def _clean(self, name: str, table: Table) -> None:
        """Remove files that belong to no state, once they have done so for a day."""
        used = _used(table)
        noted = self._files.find(f"{name}/{UNUSED}")
        before: dict[str, float] = json.loads(self._files.bytes(noted)) if noted is not None else {}
        since = {}
        now = self._now()
        for folder in ("data", "metadata"):
            for part in self._files.list(f"{name}/{folder}"):
                own = part.name.removeprefix(f"{name}/")
                if own in used or own == UNUSED or own.startswith("metadata/v"):
                    continue
                since[own] = before.get(own, now)
                if now - since[own] > STAYS:
                    self._files.remove(part.name)
                    del since[own]
        self._write(f"{name}/{UNUSED}", json.dumps(since).encode())

    def _location(self, name: str) -> str:
        path = self._files.path(name)
        return f"file://{path}" if isinstance(self._files, LocalFiles) else f"s3://{path}"


def _used(table: Table) -> set[str]:
    """The files of all snapshots that are remembered, below the table's folder."""
    start = len(table.metadata.location) + 1
    used = {snapshot.manifest_list for snapshot in table.metadata.snapshots}
    manifests = {
        manifest.manifest_path: manifest
        for snapshot in table.metadata.snapshots
        for manifest in snapshot.manifests(table.io)
    }
    for path, manifest in manifests.items():
        used.add(path)
        used.update(
            entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
        )
    return {path[start:] for path in used}


class FolderCatalog(NoopCatalog):
    """What pyiceberg commits the one table of a folder to, in a certain state."""

    def __init__(self, tables: FolderTables, name: str, version: int) -> None:
        super().__init__("folder")
        self._tables = tables
        self._table = name
        self._version = version

    def commit_table(
        self, table: Table, requirements: tuple[Any, ...], updates: tuple[Any, ...]
    ) -> CommitTableResponse:
        """Write the next state, unless somebody else has."""
        base = table.metadata if self._version else None
        for requirement in requirements:
            requirement.validate(base)
        metadata = update_table_metadata(
            base if base is not None else TableMetadataV1.model_construct(last_column_id=-1, schema=Schema()),
            updates,
            enforce_validation=base is None,
            metadata_location=table.metadata_location if base is not None else None,
        )
        location = self._tables.commit(self._table, self._version + 1, metadata)
        self._version += 1
        return CommitTableResponse.model_validate({"metadata": metadata, "metadata-location": location})
