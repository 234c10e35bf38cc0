"""Several commands at once, in a transaction or not."""

from __future__ import annotations

import types as python_types
from typing import Any, Callable, Optional, TypeVar

import numpy as np

from .. import _requests as requests
from .. import _types as types
from .._client import AsyncClient, decodes, is_cluster, pipeline_of
from .._indexing import bounds, normalized, out_of_bounds
from .._queued import QueuedCommands
from .._requests import Request
from ..exceptions import translate
from .array import AsyncBaseArray

P = TypeVar("P", bound="AsyncPipeline")


class AsyncPipeline(QueuedCommands):
    """Commands of the module, and any others, that are sent at once.

    Each method queues a command and returns the pipeline; :meth:`execute` sends all of them. Commands of the client library are
    queued at :attr:`client`, its own pipeline, in between.

    Parameters
    ----------
    client
        A client of redis-py or valkey-py, standalone or Cluster.
    transaction : bool
        Whether the server carries them out with no other command in between (``MULTI``). In a Cluster all keys must then
        have one slot.

    Examples
    --------
    >>> a = await redis_mmap.asyncio.open(client, "numbers", "numbers.f64", dtype="f8")
    >>> async with redis_mmap.asyncio.Pipeline(client) as pipe:
    ...     results = await pipe.append(a, [1.5, 2]).get(a, slice(0, 2)).vsize("numbers").execute()
    >>> results[0], results[1].tolist(), results[2]
    (2, [1.5, 2.0], 2)
    """

    def __init__(self, client: AsyncClient, transaction: bool = True) -> None:
        #: The client library's own pipeline.
        self.client = pipeline_of(client, transaction)
        self._converts: dict[int, Callable[[Any], Any]] = {}
        self._is_blind = False
        if transaction and decodes(client):
            if is_cluster(client):
                # Its client decodes what EXEC replies with, and has no way to be told otherwise.
                self._is_blind = True
            else:
                _keep_bytes(self.client)

    def _send(self: P, request: Request[Any]) -> P:
        if self._is_blind and request.has_bytes:
            raise ValueError(
                f"in a transaction of a Cluster a client with decode_responses=True makes text of what {request.words[0]} "
                "replies with: use transaction=False, or a client with decode_responses=False"
            )
        self._converts[len(self.client)] = request.convert
        self.client.execute_command(*request.words, NEVER_DECODE=True)
        return self

    def append(self: P, array: AsyncBaseArray, values: Any) -> P:
        """Appends values to an array with one command; the result is their number."""
        return self._send(requests.vaddraw(array.key, types.cast(types.flat(values, array.dtype), array.dtype)))

    def get(self: P, array: AsyncBaseArray, index: Any) -> P:
        """What ``array[index]`` is, for an integer or a slice without a step."""
        found, dtype = normalized(index), array.dtype
        if isinstance(found, int):
            request = requests.vgetraw(array.key, found, found)
        elif isinstance(found, slice) and found.step in (None, 1):
            request = requests.vgetraw(array.key, *bounds(found.start, found.stop))
        else:
            raise IndexError("a pipeline gets single values and slices without a step")

        def convert(data: bytes) -> Any:
            values = np.frombuffer(data, dtype)
            if isinstance(found, slice):
                return values.copy()
            return values[0] if len(values) else out_of_bounds(found, 0)

        return self._send(Request(request.words, convert, True))

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Sends all commands; their results, in order.

        Parameters
        ----------
        raise_on_error : bool
            Raises the first error; else errors are among the results.
        """
        converts, self._converts = self._converts, {}
        replies = await self.client.execute(raise_on_error=False)
        results: list[Any] = []
        for number, reply in enumerate(replies):
            if isinstance(reply, Exception):
                reply = translate(reply) or reply
                if raise_on_error:
                    raise reply
            elif number in converts:
                reply = converts[number](reply)
                if raise_on_error and isinstance(reply, IndexError):
                    raise reply
            results.append(reply)
        return results

    def __len__(self) -> int:
        return len(self.client)

    async def __aenter__(self: P) -> P:
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[python_types.TracebackType],
    ) -> None:
        await self.client.reset()


def _keep_bytes(pipeline: Any) -> None:
    """Has the library's pipeline leave as bytes what EXEC replies to our commands with; the rest is decoded as ever."""
    parse = pipeline.parse_response

    async def parse_response(connection: Any, command_name: Any, **options: Any) -> Any:
        if command_name != "_":
            return await parse(connection, command_name, **options)
        reply = await parse(connection, command_name, NEVER_DECODE=True, **options)
        if isinstance(reply, list):
            decode = connection.encoder.decode
            for number, (_, queued) in enumerate(pipeline.command_stack[: len(reply)]):
                if "NEVER_DECODE" not in queued:
                    reply[number] = _decoded(reply[number], decode)
        return reply

    pipeline.parse_response = parse_response


def _decoded(reply: Any, decode: Callable[[Any], Any]) -> Any:
    if isinstance(reply, bytes):
        return decode(reply)
    if isinstance(reply, list):
        return [_decoded(each, decode) for each in reply]
    if isinstance(reply, dict):
        return {_decoded(name, decode): _decoded(value, decode) for name, value in reply.items()}
    return reply
