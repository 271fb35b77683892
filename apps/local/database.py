"""The embedded PostgreSQL server: found, created, started and stopped by us.

A store of the user's own (`DATABASE_URL`) needs none of this. A folder holds one server: `data/`,
`password` (readable by its owner only), `log` and `socket/`. The server listens on 127.0.0.1 and
asks for the password (scram). `start` returns once the server answers, and attaches to one that
runs already; the caller sees to it that two do not start in one folder at the same moment.
"""

import os
import secrets
import shutil
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from analytics.contracts.errors import Refused, StoreAway
from apps.local.programs import Programs, Runner, group_of, programs, runner_for

ROLE: Final = "mainstem"
DATABASE: Final = "postgres"
START_TIMEOUT_S: Final = 120
STOP_TIMEOUT_S: Final = 60
START_ATTEMPTS: Final = 5
LOG_BYTES_MAX: Final = 10_000_000
SOCKET_PATH_MAX: Final = 90
"""Characters a socket's folder may have; a longer one leaves the server with TCP only."""

_SSL_REQUEST: Final = (8).to_bytes(4) + (80877103).to_bytes(4)
"""PostgreSQL, Frontend/Backend Protocol, Message Formats: SSLRequest."""

_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "password_encryption": "scram-sha-256",
    "max_connections": "60",
    "shared_buffers": "128MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
}
_FORGETFUL: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_PASSING: Final = ("could not bind", "could not create any TCP", "shared memory block")


class BrokenData(Refused):
    """A data folder that the PostgreSQL programs at hand cannot serve."""

    code = "broken-data"


class Server(Struct, frozen=True, kw_only=True):
    """A server that runs; the URL holds its password."""

    url: str
    port: int
    pid: int
    log: Path


def url_from(environ: Mapping[str, str]) -> str | None:
    """Return the URL of a store of the user's own, if the environment names one."""
    return environ.get("DATABASE_URL") or None


def start(folder: Path, *, durable: bool = True) -> Server:
    """Start the server of `folder`, making it first where there is none, and return it.

    With `durable` off nothing waits for the disk: for tests and other data that may be lost.
    """
    found = programs()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if _wait_for_other(folder):
        return _running(folder)
    runner = runner_for(folder, found)
    if not (folder / "data").exists():
        _create(folder, found, runner, durable=durable)
    _check(folder, found)
    _clear_leftovers(folder)
    _turn_log(folder / "log")
    reason = ""
    for _ in range(START_ATTEMPTS):
        said = _launch(folder, found, runner, durable=durable)
        if said is None:
            return _running(folder)
        reason = _last_line(said)
        if not any(passing in said for passing in _PASSING):
            break
        time.sleep(0.5)
    raise StoreAway(
        f"PostgreSQL did not start in {str(folder)!r}: {reason}; its log is {str(folder / 'log')!r}"
    )


def stop(folder: Path) -> bool:
    """Stop the server of `folder` cleanly; return whether one was running."""
    if _postmaster(folder) is None:
        return False
    found = programs()
    runner = runner_for(folder, found)
    base = [found.path("pg_ctl"), "-D", str(folder / "data"), "-w", "-s"]
    for mode, seconds in (("fast", STOP_TIMEOUT_S), ("immediate", 10)):
        code, said = runner.run(
            [*base, "-m", mode, "-t", str(seconds), "stop"],
            cwd=folder,
        )
        if code == 0 or _postmaster(folder) is None:
            return True
    raise StoreAway(f"PostgreSQL in {str(folder)!r} did not stop: {_last_line(said)}")


def status(folder: Path) -> Server | None:
    """Return the server of `folder` if it runs and takes connections."""
    state = _postmaster(folder)
    return _running(folder) if state is not None and state.ready else None


class _Postmaster(Struct, frozen=True):
    pid: int
    port: int
    ready: bool


def _postmaster(folder: Path) -> _Postmaster | None:
    """Read the server's own pid file; a leftover of a dead server counts as none."""
    try:
        lines = (folder / "data" / "postmaster.pid").read_text().splitlines()
        pid, port = int(lines[0]), int(lines[3])
    except (OSError, ValueError, IndexError):
        return None
    if not _is_server(pid, folder / "data"):
        return None
    return _Postmaster(pid, port, ready=len(lines) > 7 and lines[7].strip() == "ready")


def _is_server(pid: int, data: Path) -> bool:
    """Tell our server from a process that got the number of a dead one."""
    here = Path(f"/proc/{pid}/cwd")
    try:
        os.kill(pid, 0)
        return here.resolve(strict=True) == data.resolve() if here.parent.exists() else True
    except PermissionError:
        return True
    except OSError:
        return False


def _running(folder: Path) -> Server:
    state = _postmaster(folder)
    if state is None:
        raise StoreAway(f"PostgreSQL in {str(folder)!r} stopped; its log is in the same folder")
    url = f"postgresql://{ROLE}:{_password(folder)}@127.0.0.1:{state.port}/{DATABASE}"
    return Server(url=url, port=state.port, pid=state.pid, log=folder / "log")


def _password(folder: Path) -> str:
    try:
        return (folder / "password").read_text().strip()
    except OSError as error:
        raise BrokenData(
            f"the store's password file {str(folder / 'password')!r} cannot be read "
            f"({error.strerror}): restore it, or move {str(folder)!r} away to start afresh"
        ) from error


def _wait_for_other(folder: Path) -> bool:
    """Wait while a server that somebody else started gets ready; return whether one answers.

    A server that was killed may be there for a moment more, and it answers nobody.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while (state := _postmaster(folder)) is not None:
        if state.ready and _answers(state):
            return True
        if time.monotonic() > deadline:
            raise StoreAway(f"PostgreSQL (pid {state.pid}) in {str(folder)!r} does not get ready")
        time.sleep(0.1)
    return False


def _answers(state: _Postmaster) -> bool:
    """Ask a server whether it speaks TLS: one that lives says so, whatever it says."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", state.port), 5) as asking:
        asking.sendall(_SSL_REQUEST)
        return asking.recv(1) in {b"S", b"N"}
    return False


def _create(folder: Path, found: Programs, runner: Runner, *, durable: bool) -> None:
    """Make the data folder beside its final name, so that a broken attempt leaves none."""
    fresh = folder / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    _write_password(folder)
    _hand_over(folder, runner)
    locale = (
        ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        if found.major >= 17
        else ["--locale=C"]
    )
    command = [found.path("initdb"), "-D", str(fresh), "-U", ROLE, "-E", "UTF8", *locale]
    command += ["--auth=scram-sha-256", f"--pwfile={folder / 'password'}"]
    command += [] if durable else ["--no-sync"]
    code, said = runner.run(command, cwd=folder)
    if code != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise StoreAway(f"initdb failed in {str(folder)!r}: {_last_line(said)}")
    with (fresh / "postgresql.conf").open("a") as conf:
        conf.write("\ninclude_if_exists = 'mainstem.conf'\n")
    fresh.rename(folder / "data")


def _write_password(folder: Path) -> None:
    path = folder / "password"
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(24))


def _check(folder: Path, found: Programs) -> None:
    data = folder / "data"
    try:
        major = int((data / "PG_VERSION").read_text().strip())
    except (OSError, ValueError) as error:
        raise BrokenData(
            f"{str(data)!r} holds no PostgreSQL data that can be read: "
            "restore it, or move it away to start afresh"
        ) from error
    if major != found.major:
        raise BrokenData(
            f"the data in {str(data)!r} are of PostgreSQL {major}, and the programs in "
            f"{str(found.folder)!r} are {found.major}: dump and load them with version {major}, "
            "or move them away to start afresh"
        )
    _password(folder)


def _clear_leftovers(folder: Path) -> None:
    """Remove the locks of a server that died, since its number may be somebody else's by now."""
    (folder / "data" / "postmaster.pid").unlink(missing_ok=True)
    for path in folder.glob("socket/.s.PGSQL.*"):
        path.unlink(missing_ok=True)


def _launch(folder: Path, found: Programs, runner: Runner, *, durable: bool) -> str | None:
    """Try to start once; return `None` when it runs, else what the server said."""
    port = _free_port(folder)
    _write_settings(folder, port, durable=durable)
    _hand_over(folder, runner)
    log = folder / "log"
    before = log.stat().st_size if log.exists() else 0
    command = [found.path("pg_ctl"), "-D", str(folder / "data"), "-l", str(log), "-w", "-s"]
    code, said = runner.run([*command, "-t", str(START_TIMEOUT_S), "start"], cwd=folder)
    if code == 0:
        return None
    with log.open("rb") as file:
        file.seek(before)
        return file.read(LOG_BYTES_MAX).decode(errors="replace").strip() or said


def _write_settings(folder: Path, port: int, *, durable: bool) -> None:
    sockets = folder / "socket"
    settings = {**_SETTINGS, "port": str(port)}
    settings |= {} if durable else _FORGETFUL
    if os.name == "posix" and len(str(sockets.resolve())) <= SOCKET_PATH_MAX:
        sockets.mkdir(exist_ok=True, mode=0o700)
        settings["unix_socket_directories"] = str(sockets.resolve())
    elif os.name == "posix":
        settings["unix_socket_directories"] = ""
    text = "".join(f"{k} = '{v.replace(chr(39), chr(39) * 2)}'\n" for k, v in settings.items())
    (folder / "data" / "mainstem.conf").write_text(text)


def _free_port(folder: Path) -> int:
    """Return the port of the last time if nobody has it now, else one that is free."""
    for port in (_last_port(folder), 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StoreAway("no port on 127.0.0.1 is free for the store")


def _last_port(folder: Path) -> int:
    try:
        lines = (folder / "data" / "mainstem.conf").read_text().splitlines()
        return next(int(line.split("'")[1]) for line in lines if line.startswith("port ="))
    except (OSError, ValueError, IndexError, StopIteration):
        return 0


def _hand_over(folder: Path, runner: Runner) -> None:
    """Give the folder to whom the server runs as; only root can, and only root has to."""
    if os.name != "posix" or os.geteuid() != 0:
        return
    owner = runner.user or "root"
    group = group_of(owner)
    if folder.owner() == owner and all(path.owner() == owner for path in folder.iterdir()):
        return
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, owner, group)


def _turn_log(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(".1"))


def _last_line(said: str) -> str:
    lines = [line for line in said.splitlines() if "FATAL" in line or "error" in line]
    return (lines or said.splitlines() or ["it gave no reason"])[-1].strip()
