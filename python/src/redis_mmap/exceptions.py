"""Exceptions that say what went wrong and what to do.

An exception of this package is also one of the client library: a :class:`NotBound` that a command of redis-py raises is a
``redis.exceptions.ResponseError``, one of valkey-py a ``valkey.exceptions.ResponseError``. ``except`` takes either name.

What is safe to repeat: every command that reads; ``a[...] = ...`` (setting again sets the same); whatever failed with an
exception whose ``retry`` is true. An append is not: if the connection breaks before its reply, it may have been carried out.
"""

from __future__ import annotations

from typing import Any, Optional

__all__ = [
    "AppendInterrupted",
    "BadValue",
    "Busy",
    "CannotBind",
    "FileUnavailable",
    "MmapError",
    "ModuleMissing",
    "NoSpace",
    "NotBound",
    "NotPermitted",
    "OutOfBounds",
    "ReadOnlyArray",
    "WriteRefused",
    "WrongType",
]


class MmapError(Exception):
    """An error reply of the module. The message is the server's, with advice."""

    #: Whether nothing was changed and the same command may succeed if it is repeated.
    retry: bool = False
    #: How many values an append had added for certain when it failed; None for other commands.
    appended: Optional[int] = None
    _advice: str = ""

    def __reduce__(self) -> Any:
        kinds = [kind for kind in type(self).__mro__ if kind in _KINDS]
        others = [kind for kind in type(self).__bases__ if not issubclass(kind, MmapError)]
        if kinds and others:
            return _rebuild, (kinds[0], others[0], self.args, self.appended)
        return super().__reduce__()


class ModuleMissing(MmapError):
    """The server does not know the command: the module is not loaded, or its version is too old."""

    _advice = 'load the module: redis-server --loadmodule "$(python -m redis_mmap)"'


class NotBound(MmapError):
    """There is no such key: bind a file to it with :func:`redis_mmap.open`."""


class CannotBind(MmapError):
    """``MMAP`` was refused: the key or the file is bound otherwise, or the path or the file cannot be used."""


class ReadOnlyArray(MmapError):
    """The file is bound read-only: delete the key and open it with ``mode="r+"``."""


class OutOfBounds(MmapError, IndexError):
    """An index that the array does not have."""


class BadValue(MmapError, ValueError):
    """A value that does not fit the array's type or cannot be in its file, or an argument that the command does not accept."""


class WrongType(MmapError, TypeError):
    """The key does not hold an array."""

    _advice = "TYPE tells what the key holds; take another key"


class NotPermitted(MmapError, PermissionError):
    """The user may not do this."""

    _advice = "an ACL rule withholds it: ACL SETUSER on the server, or another user"


class NoSpace(MmapError):
    """The disk, a quota or a limit of the server has no room. Nothing of this command was written."""


class WriteRefused(MmapError):
    """An earlier write to disk failed, and writes are refused until one succeeds; or this one may not survive a power cut."""


class FileUnavailable(MmapError):
    """The file is missing, was changed by another program, or its contents are not complete."""


class Busy(MmapError):
    """Too much of the array was changed while it was read, its head is being removed, or the server had no memory to spare."""

    retry = True


class AppendInterrupted(MmapError):
    """The connection broke during an append. ``appended`` values are there for certain; of the piece that followed,
    :attr:`uncertain` values, all are there or none. If no other client appends, ``len(a)`` tells which.
    """

    #: How many values may or may not be there.
    uncertain: int = 0


_KINDS = (
    ModuleMissing,
    NotBound,
    CannotBind,
    ReadOnlyArray,
    OutOfBounds,
    BadValue,
    WrongType,
    NotPermitted,
    NoSpace,
    WriteRefused,
    FileUnavailable,
    Busy,
    AppendInterrupted,
    MmapError,
)

# Parts of the server's messages; the first that is found decides.
_MESSAGES: list[tuple[str, type[MmapError]]] = [
    ("unknown command", ModuleMissing),
    ("no such key", NotBound),
    ("is bound read-only to", ReadOnlyArray),
    ("may not survive a power cut", WriteRefused),
    ("are refused", WriteRefused),
    ("the primary sends it again", FileUnavailable),
    ("would hold", NoSpace),
    ("No space left", NoSpace),
    ("Disk quota exceeded", NoSpace),
    ("(ulimit -f", NoSpace),
    ("cannot allocate", NoSpace),
    ("MMAP the key again", FileUnavailable),
    ("when the file is back", FileUnavailable),
    ("was unbound", FileUnavailable),
    ("was closed during this command", FileUnavailable),
    ("incomplete", FileUnavailable),
    ("on their way", FileUnavailable),
    ("was changed while it was being read", Busy),
    ("its head is being removed already", Busy),
    ("there is no memory for this command", Busy),
    ("is out of range: ", OutOfBounds),
    ("bound already", CannotBind),
    ("leads out of", CannotBind),
    ("leaves the directory", CannotBind),
    ("the server's own", CannotBind),
    ("does not exist", CannotBind),
    ("cannot open", CannotBind),
    ("cannot create", CannotBind),
    ("not a regular file", CannotBind),
    ("not a multiple of", CannotBind),
    ("being written by another process", CannotBind),
    ("was replaced or removed", CannotBind),
    ("mmap.max-arrays", CannotBind),
    (".npy", CannotBind),
    ("would be taken for the record", BadValue),
    ("(argument ", BadValue),
    ("syntax error", BadValue),
    ("wrong number of arguments", BadValue),
]
_made: dict[tuple[type[MmapError], type[BaseException]], type[MmapError]] = {}


def translate(error: BaseException, command: str = "") -> Optional[MmapError]:
    """The exception of this package for a reply that is an error; None for everything else."""
    if isinstance(error, MmapError):
        return error
    if not any(kind.__name__ == "ResponseError" for kind in type(error).__mro__):
        return None
    text = str(error)
    name = type(error).__name__
    if name == "NoPermissionError":
        kind: type[MmapError] = NotPermitted
    elif name == "OutOfMemoryError":
        kind = Busy
    elif text.startswith("WRONGTYPE"):
        kind = WrongType
    elif name != "ResponseError":
        # Redirections of a Cluster, LOADING, READONLY and the like are left to the library.
        return None
    else:
        # Any other error of MMAP means that the file was not bound.
        other = CannotBind if command == "MMAP" else MmapError
        kind = next((kind for part, kind in _MESSAGES if part in text), other)
    if kind._advice:
        text = f"{text}: {kind._advice}"
    made = _combined(kind, type(error))(text)
    made.__dict__.update(error.__dict__)
    return made.with_traceback(error.__traceback__)


def interrupted(error: BaseException, appended: int, uncertain: int) -> Optional[AppendInterrupted]:
    """The exception for a connection that broke during an append; None for other reasons."""
    if not any(kind.__name__ in ("ConnectionError", "TimeoutError") for kind in type(error).__mro__):
        return None
    text = (
        f"{error}: {appended} values were appended for certain, and the {uncertain} after them may be there or not; "
        "look at len() before you repeat anything"
    )
    made = _combined(AppendInterrupted, type(error))(text)
    made.__dict__.update(error.__dict__)
    assert isinstance(made, AppendInterrupted)
    made.appended, made.uncertain = appended, uncertain
    return made.with_traceback(error.__traceback__)


def _combined(kind: type[MmapError], library: type[BaseException]) -> type[MmapError]:
    if (kind, library) not in _made:
        _made[kind, library] = type(kind.__name__, (kind, library), {"__module__": __name__, "__doc__": kind.__doc__})
    return _made[kind, library]


def _rebuild(kind: type[MmapError], library: type[BaseException], args: tuple[Any, ...], appended: Optional[int]) -> MmapError:
    made = _combined(kind, library)(*args)
    made.appended = appended
    return made
