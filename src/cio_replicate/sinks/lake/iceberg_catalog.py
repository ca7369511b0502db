"""A catalog of the user's own for Iceberg tables: REST, Glue, Hive or SQL, as pyiceberg's settings describe it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pyarrow import fs

from cio_replicate.base.errors import DestinationUnavailableError
from cio_replicate.sinks.lake.iceberg_folder import PROPERTIES
from cio_replicate.sinks.lake.object_files import Files, LocalFiles, S3Files

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.schema import Schema
    from pyiceberg.table import CreateTableTransaction, Table


class CatalogTables:
    """The tables of a namespace. New ones get a folder below `location`. Old snapshots and files are the catalog's."""

    def __init__(self, name: str, properties: dict[str, str], namespace: str, location: str) -> None:
        self.shown = f"the Iceberg catalog {name}"
        self._name = name
        self._properties = properties
        self._namespace = namespace
        self._start = location
        self._catalog: Catalog | None = None
        self._files: dict[str, Files] = {}

    def check(self) -> None:
        """Raise DestinationUnavailableError when the catalog cannot be asked. Changes nothing."""
        try:
            self._own().namespace_exists(self._namespace)
        except Exception as error:  # noqa: BLE001 - each catalog has its own
            raise DestinationUnavailableError(
                f"The Iceberg catalog {self._name} cannot be asked ({type(error).__name__}).",
                "Describe it in ~/.pyiceberg.yaml or in variables PYICEBERG_CATALOG__NAME__URI, as pyiceberg does.",
            ) from None

    def files(self, name: str, location: str) -> Files:
        """The files of a table, in the storage that the catalog names."""
        if name not in self._files:
            from pyiceberg.io.pyarrow import PyArrowFileIO  # noqa: PLC0415 - optional

            scheme, host, path = PyArrowFileIO.parse_location(location)
            filesystem = PyArrowFileIO({**self._own().properties}).fs_by_scheme(scheme, host)
            local = isinstance(filesystem, fs.LocalFileSystem)
            self._files[name] = LocalFiles(Path(path)) if local else S3Files(filesystem, path)
        return self._files[name]

    def load(self, name: str) -> Table | None:
        """A table in its latest state; None when it is not there."""
        from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError  # noqa: PLC0415 - optional

        try:
            return self._own().load_table((self._namespace, name))
        except (NoSuchTableError, NoSuchNamespaceError):
            return None

    def creation(self, name: str, schema: Schema) -> CreateTableTransaction:
        """A transaction that makes a table, together with what else is done in it."""
        self._own().create_namespace_if_not_exists(self._namespace)
        identifier, location = (self._namespace, name), f"{self._start}/{name}"
        return self._own().create_table_transaction(identifier, schema, location, properties=PROPERTIES)

    def committed(self, name: str, table: Table) -> None:
        """Nothing to do: who has a catalog has its maintenance."""

    def close(self) -> None:
        """Let go of the catalog."""
        if self._catalog is not None:
            self._catalog.close()
            self._catalog = None

    def forget(self, name: str) -> None:
        """Nothing to do: the catalog is asked each time."""

    def drop(self, name: str) -> None:
        """Remove a table with its files; no error when it is not there."""
        table = self.load(name)
        if table is not None:
            files = self.files(name, table.location())
            self._own().drop_table((self._namespace, name))
            files.remove_folder("")
            self._files.pop(name)

    def _own(self) -> Catalog:
        if self._catalog is None:
            from pyiceberg.catalog import load_catalog  # noqa: PLC0415 - optional

            self._catalog = load_catalog(self._name, **self._properties)
        return self._catalog
