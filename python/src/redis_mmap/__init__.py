"""Typed arrays in memory-mapped files, as Redis keys, as a user of numpy expects them.

>>> a = redis_mmap.open(client, "temperatures", "temperatures.f64", dtype="f8")
>>> a.append(np.linspace(0, 1, 5))
5
>>> a[1:-1].tolist()
[0.25, 0.5, 0.75]
"""

from ._array import Array, open
from ._memmap import Memmap
from ._module import module_path
from ._sync.commands import Commands
from ._sync.pipeline import Pipeline
from .exceptions import (
    AppendInterrupted,
    BadValue,
    Busy,
    CannotBind,
    FileUnavailable,
    MmapError,
    ModuleMissing,
    NoSpace,
    NotBound,
    NotPermitted,
    OutOfBounds,
    ReadOnlyArray,
    WriteRefused,
    WrongType,
)

__version__ = "0.3.3"

__all__ = [
    "AppendInterrupted", "Array", "BadValue", "Busy", "CannotBind", "Commands", "FileUnavailable", "Memmap", "MmapClient",
    "MmapError", "ModuleMissing", "NoSpace", "NotBound", "NotPermitted", "OutOfBounds", "Pipeline", "ReadOnlyArray",
    "WriteRefused", "WrongType", "module_path", "open",
]  # fmt: skip


class MmapClient:
    """Gives a client class a method ``mmap()``, in the style of redis-py's ``ft()`` and ``json()``.

    >>> class Client(redis_mmap.MmapClient, redis.Redis):
    ...     pass
    >>> Client(port=port).mmap().vsize("nothing")
    0
    """

    def mmap(self) -> Commands:
        """The commands of the module."""
        return Commands(self)  # type: ignore[arg-type]
