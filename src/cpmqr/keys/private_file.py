"""Files that hold secrets: of mode 0600, written whole or not at all, refused when others can read them."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from cpmqr.errors import ConfigError


def read_private(path: Path, what: str, bytes_max: int) -> bytes:
    """Read a file that nobody but its owner may read or write.

    Args:
        what: names the file in messages, such as "the key-encryption key".
        bytes_max: more is refused.

    Raises:
        ConfigError: missing, no file, too long, or open to group or others; says what to do.
    """
    try:
        with path.open("rb") as file:
            _refuse_open_mode(os.fstat(file.fileno()), path, what)
            content = file.read(bytes_max + 1)
    except OSError as error:
        raise ConfigError(f"{what} {path} can't be read: {error.strerror}") from None
    except ValueError as error:  # a NUL in the path; our own ConfigError is a ValueError as well
        raise error if isinstance(error, ConfigError) else ConfigError(f"{what}: not a path") from None
    if len(content) > bytes_max:
        raise ConfigError(f"{what} {path} is longer than {bytes_max} bytes: is it the right file?")
    return content


def write_private(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write a file of mode 0600, durably: after a crash it is there whole, or as it was before.

    Args:
        replace: put it in the place of one that exists; else that one stays and an error is raised.

    Raises:
        FileExistsError: it exists and is not to be replaced.
        ConfigError: it can't be written.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                Path(temporary).replace(path)
            else:
                os.link(temporary, path)  # fails where the name is taken, which a rename would not
        finally:
            Path(temporary).unlink(missing_ok=True)
        _sync_directory(path.parent)
    except FileExistsError:
        raise
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not a path"
        raise ConfigError(f"{path} can't be written: {cause}") from None


def _refuse_open_mode(status: os.stat_result, path: Path, what: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{what} {path} is not a file")
    if os.name == "posix" and status.st_mode & 0o077 and not _is_credential(status):
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigError(
            f"{what} {path} can be read or written by others (mode {mode:04o}): run `chmod 600 {path}`"
        )


def _is_credential(status: os.stat_result) -> bool:
    # systemd's LoadCredential gives a service's user a file of root's by an ACL, whose mask shows as the group's bits.
    return stat.S_IMODE(status.st_mode) == 0o440 and status.st_uid == status.st_gid == 0


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
