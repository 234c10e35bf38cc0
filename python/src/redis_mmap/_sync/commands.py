# Made by python/generate from _async/commands.py: edit that file.
"""The commands of the module as typed methods."""

from __future__ import annotations

from typing import Any, Optional, TypeVar, Union

from .. import _requests as requests
from .._client import SyncClient, pipeline_of
from .._requests import Buffer, Pairs, Request
from .._types import Key, Value
from ..exceptions import translate

T = TypeVar("T")


class Sender:
    """Sends requests over a client of redis-py or valkey-py, standalone or Cluster."""

    __slots__ = ("client",)

    def __init__(self, client: SyncClient) -> None:
        self.client = client

    def execute(self, *words: Any) -> Any:
        """The reply to a command, undecoded. An error of the server becomes an exception of :mod:`redis_mmap.exceptions`."""
        try:
            return self.client.execute_command(*words, NEVER_DECODE=True)
        except Exception as error:
            translated = translate(error, words[0])
            if translated is None:
                raise
            raise translated from None

    def send(self, request: Request[T]) -> T:
        """The result of a command."""
        return request.convert(self.execute(*request.words))

    def send_all(self, batch: list[Request[T]]) -> list[T]:
        """The results of several commands that are sent at once, in order; no transaction. The first error is raised."""
        if len(batch) == 1:
            return [self.send(batch[0])]
        pipeline = pipeline_of(self.client, transaction=False)
        for request in batch:
            pipeline.execute_command(*request.words, NEVER_DECODE=True)
        replies = pipeline.execute(raise_on_error=False)
        for request, reply in zip(batch, replies):
            if isinstance(reply, Exception):
                raise translate(reply, request.words[0]) or reply
        return [request.convert(reply) for request, reply in zip(batch, replies)]


class Commands:
    """The raw commands: what each of them takes and answers, the pages in ``docs/commands`` say.

    Parameters
    ----------
    client
        A client of redis-py or valkey-py, standalone or Cluster, whatever its ``decode_responses`` and protocol.

    Examples
    --------
    >>> m = redis_mmap.Commands(client)
    >>> m.mmap("small", "small.u1", "uint8", writable=True) >= 0
    True
    >>> m.vpush("small", 1, 2, 3) and m.vget("small", -1)
    3
    """

    __slots__ = ("_sender",)

    def __init__(self, client: SyncClient) -> None:
        self._sender = Sender(client)

    def _send(self, request: Request[T]) -> T:
        return self._sender.send(request)

    # --8<-- commands
    def mmap(
        self,
        key: Key,
        path: Union[str, bytes],
        type: Optional[str] = None,
        size: Optional[int] = None,
        writable: bool = False,
    ) -> int:
        """Binds a file to a key; the number of values in it. Without a type it is of writable doubles, and created."""
        return self._send(requests.mmap(key, path, type, size, writable))

    def vadd(self, key: Key, *values: Any) -> int:
        """Appends values; their number. On Redis 8 better :meth:`vpush`."""
        return self._send(requests.vadd(key, *values))

    def vpush(self, key: Key, *values: Any) -> int:
        """Appends values; their number."""
        return self._send(requests.vpush(key, *values))

    def vaddraw(self, key: Key, data: Buffer) -> int:
        """Appends values as they lie in memory, from bytes or an array of the right dtype; their number."""
        return self._send(requests.vaddraw(key, data))

    def vget(self, key: Key, index: int) -> Optional[Value]:
        """The value at an index, as the server says it; None where there is none."""
        return self._send(requests.vget(key, index))

    def vmget(self, key: Key, *indices: int) -> list[Optional[Value]]:
        """The values at the indices; None where there is none."""
        return self._send(requests.vmget(key, *indices))

    def vall(self, key: Key) -> list[Value]:
        """All values."""
        return self._send(requests.vall(key))

    def vset(self, key: Key, pairs: Pairs) -> int:
        """Sets values, given as ``{index: value}`` or as pairs; their number."""
        return self._send(requests.vset(key, pairs))

    def vpop(self, key: Key, count: Optional[int] = None) -> Any:
        """Removes and returns the last value, None if there is none; with a count a list, the last value first."""
        return self._send(requests.vpop(key, count))

    def vclear(self, key: Key) -> int:
        """Removes all values; their number."""
        return self._send(requests.vclear(key))

    def vsize(self, key: Key) -> int:
        """The number of values."""
        return self._send(requests.vsize(key))

    def vcount(self, key: Key) -> int:
        """The number of values."""
        return self._send(requests.vcount(key))

    def vlen(self, key: Key) -> int:
        """The number of values."""
        return self._send(requests.vlen(key))

    def vitemsize(self, key: Key) -> int:
        """Bytes per value; 0 if there is no such key."""
        return self._send(requests.vitemsize(key))

    def vtype(self, key: Key) -> Optional[str]:
        """The module's name of the type; None if there is no such key."""
        return self._send(requests.vtype(key))

    def vfilepath(self, key: Key) -> Optional[str]:
        """The path as it was given to ``MMAP``; None if there is no such key."""
        return self._send(requests.vfilepath(key))

    def vstat(self, key: Key) -> Optional[dict[str, Any]]:
        """Everything about an array and its file; None if there is no such key."""
        return self._send(requests.vstat(key))

    def vsync(self, key: Key) -> bool:
        """Waits until all that was written is on disk and the file has its exact length."""
        return self._send(requests.vsync(key))

    def vadvise(self, key: Key, advice: str, start: Optional[int] = None, stop: Optional[int] = None) -> bool:
        """Says what is going to be read: RANDOM, SEQUENTIAL, NORMAL, or WILLNEED or DONTNEED of a range."""
        return self._send(requests.vadvise(key, advice, start, stop))

    def vgetraw(self, key: Key, start: int, stop: int) -> bytes:
        """The bytes of the values from start to stop, both included."""
        return self._send(requests.vgetraw(key, start, stop))

    def vsetraw(self, key: Key, index: int, data: Buffer) -> int:
        """Sets values from an index on, as they lie in memory; their number."""
        return self._send(requests.vsetraw(key, index, data))

    def vslice(self, key: Key, start: int, stop: int, step: Optional[int] = None) -> list[Value]:
        """The values from start to stop, both included, or every step-th of them."""
        return self._send(requests.vslice(key, start, stop, step))

    def vlast(self, key: Key, count: int) -> list[Value]:
        """The last values, in the order of the file."""
        return self._send(requests.vlast(key, count))

    def vfill(self, key: Key, start: int, stop: int, value: Any) -> int:
        """Sets the values from start to stop, both included, to one; their number."""
        return self._send(requests.vfill(key, start, stop, value))

    def vincrby(self, key: Key, pairs: Pairs) -> list[Value]:
        """Adds to values, given as ``{index: increment}`` or as pairs; what they are then."""
        return self._send(requests.vincrby(key, pairs))

    def vtrim(self, key: Key, start: int, stop: int) -> int:
        """Removes all values but those from start to stop, both included; the number of those removed."""
        return self._send(requests.vtrim(key, start, stop))

    def vagg(self, key: Key, start: int, stop: int, *ops: str, skipnan: bool = False) -> list[Optional[Value]]:
        """COUNT, SUM, MIN, MAX, MEAN, VAR, STD, ARGMIN and ARGMAX of the values from start to stop, both included."""
        return self._send(requests.vagg(key, start, stop, *ops, skipnan=skipnan))

    def vbuckets(
        self, key: Key, start: int, stop: int, n: int, *ops: str, skipnan: bool = False
    ) -> list[list[Optional[Value]]]:
        """The same for each of n parts of the range."""
        return self._send(requests.vbuckets(key, start, stop, n, *ops, skipnan=skipnan))

    def vfind(
        self,
        key: Key,
        start: int,
        stop: int,
        *conditions: Any,
        limit: Optional[int] = None,
        offset: int = 0,
        withvalues: bool = False,
    ) -> list[Any]:
        """The indices of values that fulfil one or two comparisons, such as ``">", 5, "<", 7``; or pairs of index and value."""
        return self._send(
            requests.vfind(key, start, stop, *conditions, limit=limit, offset=offset, withvalues=withvalues)
        )

    def vfind_page(
        self, key: Key, start: int, stop: int, *conditions: Any, count: int, withvalues: bool = False
    ) -> tuple[int, list[Any]]:
        """The start for the next call, 0 if there is no more, and the first indices, or pairs of index and value."""
        return self._send(requests.vfind_page(key, start, stop, *conditions, count=count, withvalues=withvalues))

    def vfind_count(
        self, key: Key, start: int, stop: int, *conditions: Any, limit: Optional[int] = None, offset: int = 0
    ) -> int:
        """The number of values that fulfil one or two comparisons."""
        return self._send(requests.vfind_count(key, start, stop, *conditions, limit=limit, offset=offset))

    def vsearch(self, key: Key, *values: Any, side: str = "left") -> Any:
        """The index at which a value belongs in sorted data; of several values a list."""
        return self._send(requests.vsearch(key, *values, side=side))

    # --8<-- end of commands
