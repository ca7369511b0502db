"""Files in a local folder or an S3 bucket: put, read and remove them, write Parquet, translate errors."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from cio_replicate.base.errors import CioReplicateError, DestinationUnavailableError, LoadError
from cio_replicate.config.destination_kind import Address

# What went wrong with files, whichever library says so: in words of our own, since theirs may quote anything.


_KEY = "Check the access key: options access_key_id and secret_access_key, or your AWS environment or profile."
#: What to look for in the text of an error of any of the libraries, and what it means.
_CAUSES = (
    (r"NO_SUCH_BUCKET|NoSuchBucket", "There is no such bucket: {}.", "Make it, or name another in ‹to›."),
    (
        (
            "INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|INVALID_CLIENT_TOKEN|EXPIRED_TOKEN|InvalidAccessKeyId|"
            "SignatureDoesNotMatch|ExpiredToken|InvalidToken"
        ),
        "The server of {} does not accept the access key.",
        _KEY,
    ),
    (
        r"ACCESS_DENIED|AccessDenied|HTTP response code 40[13]|status code: 40[13]|403 Forbidden|No response body",
        "The server of {} refuses access.",
        _KEY,
    ),
    (
        r"NETWORK_CONNECTION|curlCode|error sending request|[Cc]onnection refused|dns error|timed out",
        "The server of {} does not answer.",
        "Check the option endpoint and the network.",
    ),
    (r"HTTP response code 301|PermanentRedirect", "The bucket of {} is in another region.", "Set the option region."),
)


def trouble(error: BaseException, shown: str) -> CioReplicateError:
    """The error of ours for an error of a library about a place."""
    text = str(error)
    for pattern, message, fix in _CAUSES:
        if re.search(pattern, text):
            return DestinationUnavailableError(message.format(shown), fix)
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return LoadError(f"There is no space left for {shown}.", "Make room and run again.")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DestinationUnavailableError(f"{shown} cannot be written to.", "Change its permissions.")
    if isinstance(error, FileNotFoundError):
        return LoadError(f"A file in {shown} is gone.", "Leave them alone while a sync runs, and run again.")
    if isinstance(error, pa.ArrowInvalid):
        return LoadError(f"A file in {shown} cannot be read: it is damaged, or not ours.", "Remove the table's folder.")
    return LoadError(f"Files in {shown} could not be read or written ({type(error).__name__}).", "Run again.")


#: What is written but does not stand yet, and what is being removed: hidden from every reader.
UNFINISHED, DROPPED = ".unfinished-", ".dropped-"
#: Seconds without a change after which a file that does not stand yet is one that a kill has left.
ABANDONED = 3600
#: How many footers of Parquet files are remembered, so that a file that is looked at again costs no request.
FOOTERS = 256
REGION = "us-east-1"  # what servers that are not Amazon's mostly call theirs


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a table: its path below the place, and its bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that is written at `path`, and takes its place whole by `Files.put`."""

    name: str
    path: Path


class Files(ABC):
    """A folder or a prefix. Nothing is ever seen half written. OSError leaves as an error that `trouble` made."""

    def __init__(self, filesystem: fs.FileSystem, root: str, shown: str) -> None:
        self.filesystem = filesystem
        self.root = root
        self.shown = shown
        self._footers: dict[str, tuple[int, pq.FileMetaData]] = {}

    def path(self, name: str) -> str:
        """The path in the file system."""
        return f"{self.root}/{name}"

    @abstractmethod
    def below(self, folder: str) -> Files:
        """A folder of this one as a place of its own."""

    @abstractmethod
    def check(self) -> None:
        """Raise DestinationUnavailableError when files can be neither looked at nor made here. Changes nothing."""

    @abstractmethod
    def new(self, name: str) -> NewFile:
        """A path to write a file to before it is put."""

    @abstractmethod
    def put(self, file: NewFile, *, exclusive: bool = False) -> int:
        """Put the file under its name, whole and durable, in one step; its bytes.

        In the place of the one that is there, or, if `exclusive`, with FileExistsError.
        """

    @abstractmethod
    def sweep(self, folder: str) -> None:
        """Remove what a kill has left of files that never stood. Harmless while others write."""

    @abstractmethod
    def remove_folder(self, folder: str) -> None:
        """Remove a folder with all that is in it; no error when it is not there."""

    def list(self, folder: str, *, deep: bool = False) -> list[StoredFile]:
        """The files in a folder by name; none when it is not there. Hidden ones are left out."""
        selector = fs.FileSelector(self.path(folder), recursive=deep, allow_not_found=True)
        with self.reached():
            found = self.filesystem.get_file_info(selector)
        parts = [
            StoredFile(info.path[len(self.root) + 1 :], info.size) for info in found if info.type == fs.FileType.File
        ]
        return sorted((part for part in parts if "/." not in f"/{part.name}"), key=lambda part: part.name)

    def find(self, name: str) -> StoredFile | None:
        """A file; None when it is not there."""
        with self.reached():
            info = self.filesystem.get_file_info(self.path(name))
        return StoredFile(name, info.size) if info.type == fs.FileType.File else None

    def bytes(self, part: StoredFile) -> bytes:
        """All that is in a file."""
        with self.reached(), self._source(part) as source:
            return bytes(source.read())

    @contextmanager
    def parquet(self, part: StoredFile) -> Iterator[pq.ParquetFile]:
        """A Parquet file, opened; its footer is read once."""
        with self.reached(), self._source(part) as source:
            footer = self._footer(part)
            file = pq.ParquetFile(source, metadata=footer, pre_buffer=not isinstance(self, LocalFiles))
            if footer is None:
                while len(self._footers) >= FOOTERS:
                    self._footers.pop(next(iter(self._footers)))
                self._footers[part.name] = (part.size, file.metadata)
            yield file

    def footer(self, part: StoredFile) -> pq.FileMetaData:
        """What a Parquet file says of itself."""
        known = self._footer(part)
        if known is not None:
            return known
        with self.parquet(part) as file:
            return file.metadata

    def remove(self, name: str) -> None:
        """Remove a file; no error when it is not there."""
        self._footers.pop(name, None)
        with self.reached(), suppress(FileNotFoundError):
            self.filesystem.delete_file(self.path(name))

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Turn what goes wrong with files into errors of our own."""
        try:
            yield
        except FileExistsError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise trouble(error, self.shown) from None

    def _source(self, part: StoredFile) -> pa.NativeFile:
        return self.filesystem.open_input_file(self.path(part.name))

    def _footer(self, part: StoredFile) -> pq.FileMetaData | None:
        size, footer = self._footers.get(part.name, (-1, None))
        return footer if size == part.size else None


class LocalFiles(Files):
    """A folder of this machine, made when the first file is put; the one that it is in must be there."""

    def __init__(self, root: Path) -> None:
        super().__init__(fs.LocalFileSystem(), str(root), str(root))

    def below(self, folder: str) -> LocalFiles:
        """A folder of this one as a place of its own."""
        return LocalFiles(Path(self.root) / folder)

    def check(self) -> None:
        """Raise DestinationUnavailableError when files can be neither looked at nor made here. Changes nothing."""
        folder = next(path for path in (Path(self.root), *Path(self.root).parents) if os.path.lexists(path))
        if not folder.is_dir():
            raise DestinationUnavailableError(f"{folder} is not a folder.", "Name a folder in ‹to›.")
        if len(Path(self.root).parts) - len(folder.parts) > len(("place", "dataset")):
            missing = Path(self.root).parents[1]
            raise DestinationUnavailableError(f"The folder {missing} does not exist.", "Make it, or name another.")
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise DestinationUnavailableError(f"The folder {folder} cannot be written to.", "Change its permissions.")

    def new(self, name: str) -> NewFile:
        """A hidden path beside the one where it will stand."""
        path = Path(self.path(name))
        self.make(str(Path(name).parent))
        return NewFile(name, path.parent / f"{UNFINISHED}{uuid.uuid4().hex}")

    def make(self, folder: str) -> None:
        """Make a folder if it is not there."""
        with self.reached():
            Path(self.path(folder)).mkdir(parents=True, exist_ok=True)

    def put(self, file: NewFile, *, exclusive: bool = False) -> int:
        """Sync the file, then rename it."""
        path = Path(self.path(file.name))
        self._footers.pop(file.name, None)
        with self.reached():
            size = _synced(file.path)
            if exclusive:
                os.link(file.path, path)
                file.path.unlink()
            else:
                file.path.replace(path)
            _synced(path.parent)
        return size

    def sweep(self, folder: str) -> None:
        """Remove hidden files that nobody has written to for a while, and folders that were being removed."""
        with self.reached(), suppress(FileNotFoundError):
            for path in Path(self.path(folder)).rglob(f"{UNFINISHED}*"):
                if time.time() - path.stat().st_mtime > ABANDONED:
                    path.unlink(missing_ok=True)
        for path in Path(self.path(folder)).parent.glob(f"{DROPPED}*"):
            shutil.rmtree(path, ignore_errors=True)

    def remove_folder(self, folder: str) -> None:
        """Hide the folder, then remove it."""
        self._footers.clear()
        path = Path(self.path(folder))
        hidden = path.parent / f"{DROPPED}{uuid.uuid4().hex}"
        with self.reached(), suppress(FileNotFoundError):
            path.rename(hidden)
            shutil.rmtree(hidden)


class S3Files(Files):
    """A prefix of a bucket. A file is uploaded from this machine when it is complete: one request, or one upload."""

    def __init__(self, filesystem: fs.FileSystem, root: str) -> None:
        super().__init__(filesystem, root, f"s3://{root}")

    def below(self, folder: str) -> S3Files:
        """A prefix of this one as a place of its own."""
        return S3Files(self.filesystem, self.path(folder))

    def check(self) -> None:
        """Raise DestinationUnavailableError when there is no such bucket or it cannot be listed."""
        bucket = self.root.split("/")[0]
        with self.reached():
            if self.filesystem.get_file_info(bucket).type == fs.FileType.NotFound:
                raise DestinationUnavailableError(f"There is no bucket {bucket}.", "Make it, or name another in ‹to›.")
        self.list("")

    def new(self, name: str) -> NewFile:
        """A path on this machine."""
        handle, path = tempfile.mkstemp(prefix="cio-replicate-")
        os.close(handle)
        return NewFile(name, Path(path))

    def put(self, file: NewFile, *, exclusive: bool = False) -> int:
        """Upload the file: it is there when the last request has succeeded."""
        self._footers.pop(file.name, None)
        if exclusive and self.find(file.name) is not None:
            raise FileExistsError(file.name)
        with self.reached():
            size = file.path.stat().st_size
            with self.filesystem.open_output_stream(self.path(file.name)) as stream:
                stream.write(_mapped(file.path, size))
            file.path.unlink()
        return size

    def sweep(self, folder: str) -> None:
        """Nothing to do: an upload that was not completed is no object."""

    def remove_folder(self, folder: str) -> None:
        """Remove the objects, the latest names first, so that a log never lacks its beginning."""
        for part in reversed(self.list(folder, deep=True)):
            self.remove(part.name)
        with self.reached(), suppress(FileNotFoundError):
            self.filesystem.delete_dir(self.path(folder))


def open_files(address: Address, dataset: str) -> Files:
    """The folder or the prefix that the files of a dataset are in. Nothing is looked at yet."""
    if not address.host:
        return LocalFiles(Path(address.path) / named(dataset))
    root = "/".join(step for step in (address.host, address.path.strip("/"), named(dataset)) if step)
    endpoint = urlsplit(address.options.get("endpoint", ""))
    filesystem = fs.S3FileSystem(
        **s3_secrets(address, "access_key", "secret_key", "session_token"),
        region=region_of(address),
        scheme=endpoint.scheme or "https",
        endpoint_override=endpoint.netloc or None,
        connect_timeout=10,
        request_timeout=60,
        allow_delayed_open=True,  # a small file is one request
    )
    return S3Files(filesystem, root)


def region_of(address: Address) -> str | None:
    """The region of the bucket as far as settings tell; None: the AWS settings of the machine decide."""
    named_here = address.options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return named_here or (REGION if "endpoint" in address.options else None)


def s3_secrets(address: Address, *names: str) -> dict[str, str]:
    """Return the secrets of an access key under the names that a library has for id, secret and session token."""
    ours = zip(("access_key_id", "secret_access_key", "session_token"), names, strict=True)
    return {theirs: address.secrets[name].reveal() for name, theirs in ours if name in address.secrets}


def named(text: str) -> str:
    """The name of a folder for a table or a dataset: as it is. Raises DestinationUnavailableError when it cannot be."""
    if not text or text.startswith(".") or re.search(r"[/\\\x00-\x1f]", text):
        raise DestinationUnavailableError(f"{text!r} cannot be the name of a folder.", "Choose another name.")
    return text


def _synced(path: Path) -> int:
    """Have a file or a folder written to the disk; its bytes."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        return os.fstat(handle).st_size
    finally:
        os.close(handle)


def _mapped(path: Path, size: int) -> pa.Buffer:
    if not size:
        return pa.py_buffer(b"")
    with pa.memory_map(str(path)) as file:
        return file.read_buffer()


# Writing one Parquet file: rows in groups of bounded size, so that reading them takes bounded memory.


#: A group of rows ends at whichever comes first. Larger groups are hardly smaller on disk (measured).
GROUP_ROWS, GROUP_BYTES = 65_536, 32_000_000
#: A file is full at so many bytes: then it is rewritten only for rows that it has, and new rows go elsewhere.
FULL = 32_000_000
#: What rows shrink to when they are written, roughly: only to guess the size of those that wait.
SHRINKS = 4


class ParquetWriter:
    """A Parquet file at a path of this machine, in any schema."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.rows = 0
        self._collected: list[pq.FileMetaData] = []
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pq.ParquetWriter(
            self._sink, schema, compression="zstd", compression_level=1, metadata_collector=self._collected
        )
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = self._waiting_bytes = 0

    @property
    def size(self) -> int:
        """About how large the file is by now."""
        return int(self._sink.tell()) + self._waiting_bytes // SHRINKS

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows of the file's schema."""
        step = max(1, min(GROUP_ROWS, batch.num_rows * GROUP_BYTES // max(batch.nbytes, 1)))
        for first in range(0, batch.num_rows, step):
            piece = batch.slice(first, step)
            if self._waiting_rows + piece.num_rows > GROUP_ROWS or self._waiting_bytes + piece.nbytes > GROUP_BYTES:
                self._flush()
            self._waiting.append(piece)
            self._waiting_rows += piece.num_rows
            self._waiting_bytes += piece.nbytes
        self.rows += batch.num_rows

    def close(self) -> pq.FileMetaData:
        """End the file; its footer."""
        self._flush()
        self._writer.close()
        self._sink.close()
        return self._collected[0]

    def abandon(self) -> None:
        """Let go of the file as it is."""
        self._waiting.clear()
        self._writer.close()
        self._sink.close()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting), GROUP_ROWS)
            self._waiting.clear()
            self._waiting_rows = self._waiting_bytes = 0
