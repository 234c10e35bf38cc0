# Made by python/generate from _async/commands.py: edit that file.
"""The commands of the module, queued: what a docstring promises is among the results of ``execute``."""

from __future__ import annotations

from typing import Any, Optional, TypeVar, Union

from . import _requests as requests
from ._requests import Buffer, Pairs, Request
from ._types import Key

Q = TypeVar("Q", bound="QueuedCommands")


class QueuedCommands:
    """Queues each command at :meth:`_send`."""

    def _send(self: Q, request: Request[Any]) -> Q:
        raise NotImplementedError

    def mmap(
        self: Q,
        key: Key,
        path: Union[str, bytes],
        type: Optional[str] = None,
        size: Optional[int] = None,
        writable: bool = False,
    ) -> Q:
        """Binds a file to a key; the number of values in it. Without a type it is of writable doubles, and created."""
        return self._send(requests.mmap(key, path, type, size, writable))

    def vadd(self: Q, key: Key, *values: Any) -> Q:
        """Appends values; their number. On Redis 8 better :meth:`vpush`."""
        return self._send(requests.vadd(key, *values))

    def vpush(self: Q, key: Key, *values: Any) -> Q:
        """Appends values; their number."""
        return self._send(requests.vpush(key, *values))

    def vaddraw(self: Q, key: Key, data: Buffer) -> Q:
        """Appends values as they lie in memory, from bytes or an array of the right dtype; their number."""
        return self._send(requests.vaddraw(key, data))

    def vget(self: Q, key: Key, index: int) -> Q:
        """The value at an index, as the server says it; None where there is none."""
        return self._send(requests.vget(key, index))

    def vmget(self: Q, key: Key, *indices: int) -> Q:
        """The values at the indices; None where there is none."""
        return self._send(requests.vmget(key, *indices))

    def vall(self: Q, key: Key) -> Q:
        """All values."""
        return self._send(requests.vall(key))

    def vset(self: Q, key: Key, pairs: Pairs) -> Q:
        """Sets values, given as ``{index: value}`` or as pairs; their number."""
        return self._send(requests.vset(key, pairs))

    def vpop(self: Q, key: Key, count: Optional[int] = None) -> Q:
        """Removes and returns the last value, None if there is none; with a count a list, the last value first."""
        return self._send(requests.vpop(key, count))

    def vclear(self: Q, key: Key) -> Q:
        """Removes all values; their number."""
        return self._send(requests.vclear(key))

    def vsize(self: Q, key: Key) -> Q:
        """The number of values."""
        return self._send(requests.vsize(key))

    def vcount(self: Q, key: Key) -> Q:
        """The number of values."""
        return self._send(requests.vcount(key))

    def vlen(self: Q, key: Key) -> Q:
        """The number of values."""
        return self._send(requests.vlen(key))

    def vitemsize(self: Q, key: Key) -> Q:
        """Bytes per value; 0 if there is no such key."""
        return self._send(requests.vitemsize(key))

    def vtype(self: Q, key: Key) -> Q:
        """The module's name of the type; None if there is no such key."""
        return self._send(requests.vtype(key))

    def vfilepath(self: Q, key: Key) -> Q:
        """The path as it was given to ``MMAP``; None if there is no such key."""
        return self._send(requests.vfilepath(key))

    def vstat(self: Q, key: Key) -> Q:
        """Everything about an array and its file; None if there is no such key."""
        return self._send(requests.vstat(key))

    def vsync(self: Q, key: Key) -> Q:
        """Waits until all that was written is on disk and the file has its exact length."""
        return self._send(requests.vsync(key))

    def vadvise(self: Q, key: Key, advice: str, start: Optional[int] = None, stop: Optional[int] = None) -> Q:
        """Says what is going to be read: RANDOM, SEQUENTIAL, NORMAL, or WILLNEED or DONTNEED of a range."""
        return self._send(requests.vadvise(key, advice, start, stop))

    def vgetraw(self: Q, key: Key, start: int, stop: int) -> Q:
        """The bytes of the values from start to stop, both included."""
        return self._send(requests.vgetraw(key, start, stop))

    def vsetraw(self: Q, key: Key, index: int, data: Buffer) -> Q:
        """Sets values from an index on, as they lie in memory; their number."""
        return self._send(requests.vsetraw(key, index, data))

    def vslice(self: Q, key: Key, start: int, stop: int, step: Optional[int] = None) -> Q:
        """The values from start to stop, both included, or every step-th of them."""
        return self._send(requests.vslice(key, start, stop, step))

    def vlast(self: Q, key: Key, count: int) -> Q:
        """The last values, in the order of the file."""
        return self._send(requests.vlast(key, count))

    def vfill(self: Q, key: Key, start: int, stop: int, value: Any) -> Q:
        """Sets the values from start to stop, both included, to one; their number."""
        return self._send(requests.vfill(key, start, stop, value))

    def vincrby(self: Q, key: Key, pairs: Pairs) -> Q:
        """Adds to values, given as ``{index: increment}`` or as pairs; what they are then."""
        return self._send(requests.vincrby(key, pairs))

    def vtrim(self: Q, key: Key, start: int, stop: int) -> Q:
        """Removes all values but those from start to stop, both included; the number of those removed."""
        return self._send(requests.vtrim(key, start, stop))

    def vagg(self: Q, key: Key, start: int, stop: int, *ops: str, skipnan: bool = False) -> Q:
        """COUNT, SUM, MIN, MAX, MEAN, VAR, STD, ARGMIN and ARGMAX of the values from start to stop, both included."""
        return self._send(requests.vagg(key, start, stop, *ops, skipnan=skipnan))

    def vbuckets(
        self: Q, key: Key, start: int, stop: int, n: int, *ops: str, skipnan: bool = False
    ) -> Q:
        """The same for each of n parts of the range."""
        return self._send(requests.vbuckets(key, start, stop, n, *ops, skipnan=skipnan))

    def vfind(
        self: Q,
        key: Key,
        start: int,
        stop: int,
        *conditions: Any,
        limit: Optional[int] = None,
        offset: int = 0,
        withvalues: bool = False,
    ) -> Q:
        """The indices of values that fulfil one or two comparisons, such as ``">", 5, "<", 7``; or pairs of index and value."""
        return self._send(
            requests.vfind(key, start, stop, *conditions, limit=limit, offset=offset, withvalues=withvalues)
        )

    def vfind_page(
        self: Q, key: Key, start: int, stop: int, *conditions: Any, count: int, withvalues: bool = False
    ) -> Q:
        """The start for the next call, 0 if there is no more, and the first indices, or pairs of index and value."""
        return self._send(requests.vfind_page(key, start, stop, *conditions, count=count, withvalues=withvalues))

    def vfind_count(
        self: Q, key: Key, start: int, stop: int, *conditions: Any, limit: Optional[int] = None, offset: int = 0
    ) -> Q:
        """The number of values that fulfil one or two comparisons."""
        return self._send(requests.vfind_count(key, start, stop, *conditions, limit=limit, offset=offset))

    def vsearch(self: Q, key: Key, *values: Any, side: str = "left") -> Q:
        """The index at which a value belongs in sorted data; of several values a list."""
        return self._send(requests.vsearch(key, *values, side=side))
