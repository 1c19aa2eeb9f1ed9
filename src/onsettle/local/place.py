"""Where an embedded cluster lives, and as whom its programs run.

PostgreSQL refuses to run as root, so root's server runs as a service user. That user has to reach
the cluster and the programs, and the modes of folders that are not ours stay as they are: what it
can't reach in the data folder (or the virtual environment) lives under /var/lib/onsettle instead.
"""

import contextlib
import hashlib
import os
import pwd
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from onsettle.local.binaries import POSTGRES_MAJOR, find_postgres_bin

_SERVICE_USERS = ("onsettle", "postgres", "pgserver", "nobody")
_FAR = Path("/var/lib/onsettle")


class PostgresFailed(RuntimeError):
    """The embedded server can't be used; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who PostgreSQL runs as; `switched` when that is not who we are."""

    name: str
    uid: int
    gid: int
    switched: bool

    def reaches(self, path: Path) -> bool:
        """Whether every folder down to `path` lets this user pass."""
        return all(self._passes(folder) for folder in (path, *path.parents) if folder.is_dir())

    def _passes(self, folder: Path) -> bool:
        seen = folder.stat()
        shift = 6 if seen.st_uid == self.uid else 3 if seen.st_gid == self.gid else 0
        return bool(seen.st_mode >> shift & 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """All that a server of one data folder needs to know about the machine."""

    account: Account
    programs: Path
    home: Path
    socket: Path

    @property
    def cluster(self) -> Path:
        return self.home / "cluster"

    def make_folders(self) -> None:
        """The folders that are ours, private and the account's. Raises PostgresFailed."""
        for folder in (self.home, self.socket):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            _take(folder, self.account)


def _take(folder: Path, account: Account) -> None:
    """Give a folder that we have just made to the account. Raises PostgresFailed.

    The folder for temporary files is everybody's: what is there under our name may be a link to
    something else, or somebody's. So it is opened, never followed, and changed by its handle.
    """
    strange = PostgresFailed(f"{folder} is a link or somebody else's: remove it or set TMPDIR")
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        raise strange from None
    try:
        owner = os.fstat(handle).st_uid
        with os.scandir(handle) as inside:
            empty = next(inside, None) is None
        if account.switched and owner == os.geteuid() and empty:
            os.fchown(handle, account.uid, account.gid)
        elif owner != account.uid:
            raise strange
        os.fchmod(handle, 0o700)
    finally:
        os.close(handle)


def find_place(data_dir: Path) -> Place:
    """Where the cluster of this data folder is, or will be. Raises PostgresFailed."""
    data_dir = data_dir.resolve()
    account = _account()
    programs = find_postgres_bin()
    if account.switched and not account.reaches(programs):
        programs = _copy(programs.parent) / "bin"
    temporary = Path(tempfile.gettempdir()).resolve()
    return Place(
        account=account,
        programs=programs,
        home=_home(data_dir, _key(data_dir), account),
        socket=(temporary if account.reaches(temporary) else Path("/tmp")) / socket_name(data_dir),
    )


def socket_name(data_dir: Path) -> str:
    """The socket folder's own name: the same for this data folder wherever TMPDIR is."""
    return f"onsettle-pg-{_key(data_dir.resolve())}"


def _key(data_dir: Path) -> str:
    return hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]


def let_pass(folder: Path) -> None:
    """Let root's service user through a temporary folder of ours, so that all is kept in it."""
    if os.geteuid() == 0:
        folder.chmod(0o711)


def write_private(path: Path, text: str) -> None:
    """A file with keys in it: only its owner reads it, and it is there as a whole or not at all."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(text, encoding="utf-8")
    fresh.rename(path)


def _home(data_dir: Path, key: str, account: Account) -> Path:
    near, far = data_dir / "postgres", _FAR / key
    if not account.switched or (account.reaches(data_dir) and not far.exists()):
        return near
    if near.exists() and not far.exists():
        raise PostgresFailed(
            f"The database is in {near}, and the user {account.name}, whom it runs as, can't pass"
            f" there any more: let others pass (`chmod o+x`) on {data_dir} and the folders above it"
        )
    _make_far()
    return far


def _account() -> Account:
    if os.geteuid() != 0:
        try:
            # Not the environment's user name: PostgreSQL asks the system for it too.
            mine = pwd.getpwuid(os.geteuid())
        except KeyError:
            raise PostgresFailed(
                f"The user id {os.geteuid()} has no name on this machine, and PostgreSQL needs one:"
                " add it to the password file, or set DATABASE_URL"
            ) from None
        return Account(name=mine.pw_name, uid=mine.pw_uid, gid=mine.pw_gid, switched=False)
    for name in _SERVICE_USERS:
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            return Account(name=name, uid=found.pw_uid, gid=found.pw_gid, switched=True)
    raise PostgresFailed(
        "PostgreSQL can't run as root, and there is no user to run it as: make one"
        " (`useradd --system onsettle`), run as another user, or set DATABASE_URL"
    )


def _copy(programs: Path) -> Path:
    """Programs that a service user can't reach, where it can; and what a wheel put beside them."""
    package = programs.parent
    libraries = package.with_name(package.name + ".libs")
    made = (programs / "bin" / "postgres").stat()
    target = _FAR / f"programs-{POSTGRES_MAJOR}-{made.st_size}-{made.st_mtime_ns}"
    if not target.exists():
        _make_far()
        fresh = Path(tempfile.mkdtemp(prefix="programs-", dir=_FAR))
        shutil.copytree(programs, fresh / package.name / programs.name, symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        for folder in (fresh, fresh / package.name, fresh / package.name / programs.name):
            folder.chmod(0o755)
        try:
            fresh.rename(target)
        except OSError:  # somebody else was faster
            shutil.rmtree(fresh, ignore_errors=True)
    return target / package.name / programs.name


def _make_far() -> None:
    if not _FAR.exists():
        _FAR.mkdir(parents=True, exist_ok=True)
        _FAR.chmod(0o711)
