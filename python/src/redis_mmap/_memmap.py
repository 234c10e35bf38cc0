"""The file of an array, mapped by this process: no command, no copy."""

from __future__ import annotations

import ast
import functools
import mmap
import os
import struct
import time
import zlib
from collections.abc import Iterator
from typing import Any, Optional, Union

import numpy as np
import numpy.typing as npt

_RECORD = struct.Struct("<6sHIIQ16sQQQ")
_MAGIC = b"\x89MMAP\n\x01\x00"
_ALIGNMENT = 4096
_ATTEMPTS = 1000


@functools.cache
def _boot_id() -> bytes:
    with open("/proc/sys/kernel/random/boot_id") as file:
        return bytes.fromhex(file.read().replace("-", ""))


class Memmap:
    """Read the file of an array on the same machine, and follow it as it grows.

    While the server writes, the file is longer than its values (it has *slack*); only the values are seen here. Made by
    ``Array.memmap``. It is indexed like an array of numpy and then says what is there at that moment; :meth:`array` is a
    plain array of numpy, which does not look again.

    The views stay valid as long as values are only appended or set. ``VPOP``, ``VCLEAR`` and ``VTRIM`` at the end shorten the
    file, and a view that reaches beyond it kills the process that touches it (SIGBUS). Where these are used, :meth:`read`
    is safe. ``VTRIM`` of the head puts another file under the path, which the next look opens; older views keep the old one.

    Parameters
    ----------
    path : str
        The file.
    dtype : numpy.dtype
        The type of its values.

    Examples
    --------
    >>> a = redis_mmap.open(client, "numbers", "numbers.f64", dtype="f8")
    >>> m = a.memmap()
    >>> a.append([1.5, 2, 4])
    3
    >>> len(m), m[-1].item(), m.array().sum().item(), m.read(1).tolist()
    (3, 4.0, 7.5, [2.0, 4.0])
    >>> a.append(8)
    1
    >>> [part.tolist() for part in m.follow(2, timeout=0)]
    [[4.0, 8.0]]
    >>> m.close()
    """

    def __init__(self, path: Union[str, os.PathLike[str]], dtype: npt.DTypeLike) -> None:
        self.path = os.fspath(path)
        self.dtype = np.dtype(dtype)
        self._fd = -1
        self._identity = (0, 0)
        self._start = 0
        self._size = -1
        self._buffer: Optional[mmap.mmap] = None
        self._values: npt.NDArray[Any] = np.empty(0, self.dtype)
        self._open()

    def _open(self) -> None:
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self.close()
        self._fd = fd
        status = os.fstat(fd)
        self._identity = (status.st_dev, status.st_ino)
        self._start = _header_size(fd, self.dtype) if self.path.endswith(".npy") else 0

    def close(self) -> None:
        """Close the file. Views of it stay valid."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._buffer, self._size = None, -1
        self._values = np.empty(0, self.dtype)

    def __enter__(self) -> Memmap:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)
            self._fd = -1

    def __len__(self) -> int:
        """The current number of values."""
        return len(self.array())

    @property
    def shape(self) -> tuple[int]:
        """The current shape."""
        return (len(self),)

    def array(self) -> npt.NDArray[Any]:
        """Return the current values as a read-only array of numpy, a view of the file."""
        if self._fd < 0:
            raise ValueError(f"{self.path} was closed")
        # One stat of the path gives the length, and shows whether it is another file now (`VTRIM` of the head).
        status = os.stat(self.path)
        if (status.st_dev, status.st_ino) != self._identity:
            self._open()
            status = os.fstat(self._fd)
        size = status.st_size
        if size == self._size and (size % _ALIGNMENT or size == 0):
            # It cannot have a record, and has the length that it had.
            return self._values
        for _ in range(_ATTEMPTS):
            count, size = _live_count(self._fd, self._start, self.dtype.itemsize)
            if count == len(self._values) or self._map(count, size):
                break
        self._size = size
        return self._values

    def _map(self, count: int, size: int) -> bool:
        """Return whether the file still has the length that it had before."""
        end = self._start + count * self.dtype.itemsize
        if self._buffer is None or len(self._buffer) < end:
            try:
                # With its slack, so that it need not be mapped again for each value.
                self._buffer = mmap.mmap(self._fd, size, mmap.MAP_SHARED, mmap.PROT_READ) if size else None
            except ValueError:
                return False
        if count == 0 or self._buffer is None:
            self._values = np.empty(0, self.dtype)
        else:
            self._values = np.frombuffer(self._buffer, self.dtype, count, self._start)
        self._values.flags.writeable = False
        return True

    def __getitem__(self, index: Any) -> Any:
        return self.array()[index]

    def __array__(self, dtype: Optional[npt.DTypeLike] = None, copy: Optional[bool] = None) -> npt.NDArray[Any]:
        values = self.array()
        if dtype is not None and np.dtype(dtype) != values.dtype:
            if copy is False:
                raise ValueError(f"values of dtype {values.dtype} cannot be had as {np.dtype(dtype)} without a copy")
            return values.astype(dtype)
        return values.copy() if copy else values

    def __reduce__(self) -> Any:
        # The file, as another process on this machine opens it.
        return Memmap, (os.path.abspath(self.path), self.dtype)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.array())

    def __repr__(self) -> str:
        return f"Memmap({self.path!r}, dtype={self.dtype}, shape={self.shape})"

    def read(self, start: int = 0, stop: Optional[int] = None) -> npt.NDArray[Any]:
        """Return a copy of a range of values. It is shorter if values are removed at that moment."""
        first, last, _ = slice(start, stop).indices(len(self))
        itemsize = self.dtype.itemsize
        data = bytearray(max(last - first, 0) * itemsize)
        done = os.preadv(self._fd, [data], self._start + first * itemsize) if data else 0
        while done < len(data):
            more = os.preadv(self._fd, [memoryview(data)[done:]], self._start + first * itemsize + done)
            if more == 0:
                break
            done += more
        return np.frombuffer(data, self.dtype, done // itemsize)

    def follow(self, start: int = 0, interval: float = 0.01, timeout: Optional[float] = None) -> Iterator[npt.NDArray[Any]]:
        """Yield the values from ``start`` on, and then those that are appended, each one once.

        Parameters
        ----------
        start : int
            The first value. ``len(m)`` yields only what is new.
        interval : float
            Seconds between two looks while nothing comes.
        timeout : float, optional
            Ends if nothing has come for that many seconds.
        """
        quiet_since = time.monotonic()
        while True:
            values = self.array()
            if len(values) > start:
                yield values[start:]
                start, quiet_since = len(values), time.monotonic()
            elif timeout is not None and time.monotonic() - quiet_since >= timeout:
                return
            else:
                time.sleep(interval)


def _live_count(fd: int, start: int, itemsize: int) -> tuple[int, int]:
    """The number of values, also while the server writes, and the length of the file."""
    for _ in range(_ATTEMPTS):
        size = os.fstat(fd).st_size
        exact = max(size - start, 0) // itemsize
        if size == 0 or size % _ALIGNMENT:
            return exact, size
        # One byte more than there should be: fewer than 64 or more, and the length has changed since.
        end = os.pread(fd, 65, size - 64)
        if len(end) != 64:
            continue
        last = _parse_record(end, size, start, itemsize)
        if last and last[1] == 0:
            return last[0], size
        # A growth that has not ended: the record before it is the true one.
        before = _parse_record(os.pread(fd, 64, last[1] - 64), last[1], start, itemsize) if last else None
        if before and before[1] == 0:
            return before[0], size
        # No record, or one of a growth that ended just now: if it is still so, it was so.
        if os.pread(fd, 65, size - 64) == end and os.fstat(fd).st_size == size:
            return (last[0] if last else exact), size
    raise OSError(f"the length of the file changed {_ATTEMPTS} times while it was looked at")


def _parse_record(data: bytes, size: int, start: int, itemsize: int) -> Optional[tuple[int, int]]:
    if len(data) != 64 or data[:8] != _MAGIC:
        return None
    _, _, item, checksum, length, boot, live, synced, previous = _RECORD.unpack(data)
    if checksum != zlib.crc32(data[:12] + data[16:40]) or length != size or start + live * item > size - 64:
        return None
    if item != itemsize:
        raise TypeError(f"the values of this file have {item} bytes, not {itemsize}")
    return (live if boot == _boot_id() else min(live, synced)), previous


def _header_size(fd: int, dtype: np.dtype[Any]) -> int:
    """Where the values of a ``.npy`` file begin."""
    head = os.pread(fd, 12, 0)
    if len(head) < 12 or head[:6] != b"\x93NUMPY":
        raise ValueError("the file does not begin as a .npy file does")
    at = 10 if head[6] == 1 else 12
    length = int.from_bytes(head[8:10] if at == 10 else head[8:12], "little")
    header = ast.literal_eval(os.pread(fd, length, at).decode("latin-1"))
    if np.dtype(header["descr"]) != dtype:
        raise TypeError(f"the header of the file says {header['descr']}, and the array is one of {dtype.str}")
    return at + length
