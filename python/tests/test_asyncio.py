"""The same for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Callable

import numpy as np
import pytest
import redis.asyncio

import redis_mmap
import redis_mmap.asyncio

from .conftest import CLIENTS, valkey
from .support import Server

BYTES = np.array([np.nan, 1e300]).tobytes() + b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"
Test = Callable[[Any], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def client_of(library: str, **options: Any) -> AsyncIterator[Any]:
    if library == "redis":
        made: Any = redis.asyncio.Redis(**options)
    else:
        import valkey.asyncio

        made = valkey.asyncio.Valkey(**options)
    try:
        yield made
    finally:
        await made.aclose()


@pytest.fixture(params=CLIENTS, ids=lambda it: f"{it[0]}-resp{it[1]}{'-decoding' if it[2] else ''}")
def run(request: pytest.FixtureRequest, server: Server) -> Callable[[Test], None]:
    """Runs a coroutine with a client."""
    library, protocol, decode = request.param
    assert library != "valkey" or valkey is not None

    async def with_client(test: Test) -> None:
        async with client_of(library, port=server.port, protocol=protocol, decode_responses=decode) as client:
            await test(client)

    return lambda test: asyncio.run(with_client(test))


def test_an_array_is_awaited(run: Callable[[Test], None], name: str) -> None:
    async def test(client: Any) -> None:
        a = await redis_mmap.asyncio.open(client, name, name, dtype="f8")
        told: list[int] = []
        values = np.random.default_rng(1).standard_normal(300_000)
        assert await a.append(values, progress=told.append) == len(values)
        assert len(told) == 3
        assert await a.length() == len(values)
        assert np.array_equal(await a.to_numpy(), values)
        assert await a[5] == values[5]
        assert np.array_equal(await a[10:-10:3], values[10:-10:3])
        assert np.array_equal(await a[[1, -5, 200_000]], values[[1, -5, 200_000]])
        await a.set(slice(1, 3), [7, 8])
        await a.set(-1, np.nan)
        assert (await a[:3]).tolist() == [values[0], 7, 8]
        assert np.isnan(await a.mean())
        assert np.isclose(await a.sum(0, -1), (await a[:-1]).sum())
        assert (await a.where("=", 7)).tolist() == [1]
        assert (await a.buckets(3)).dtype.names == ("start", "stop", "min", "max", "mean")
        count = 0
        async for chunk in a.chunks():
            count += len(chunk)
        assert count == len(values)
        await a.trim(0, 3)
        assert [value async for value in a] == [values[0], 7, 8]
        assert "float64" in repr(a)
        assert (await a.memmap())[:].tolist() == [values[0], 7, 8]
        with pytest.raises(redis_mmap.NotBound):
            await redis_mmap.asyncio.open(client, "nothing")
        with pytest.raises(IndexError):
            await a[3]
        await a.clear()

    run(test)


@pytest.mark.parametrize("transaction", [False, True])
def test_pipelines(run: Callable[[Test], None], name: str, transaction: bool) -> None:
    async def test(client: Any) -> None:
        a = await redis_mmap.asyncio.open(client, name, name)
        await a.clear()
        async with redis_mmap.asyncio.Pipeline(client, transaction) as pipe:
            pipe.vaddraw(name, BYTES).get(a, -1).vgetraw(name, 0, -1)
            pipe.client.set(f"{name}:text", "größe")
            pipe.client.get(f"{name}:text")
            results = await pipe.execute()
        assert results[0] == 3
        assert np.array([results[1]]).tobytes() == BYTES[-8:]
        assert results[2:4] == [BYTES, True]
        assert (results[4] if isinstance(results[4], str) else results[4].decode()) == "größe"
        with pytest.raises(redis_mmap.BadValue):
            await redis_mmap.asyncio.Pipeline(client, transaction).vpush(name, "x").execute()

    run(test)


def test_many_tasks_share_a_client(run: Callable[[Test], None], name: str) -> None:
    async def test(client: Any) -> None:
        a = await redis_mmap.asyncio.open(client, name, name, dtype="i8")
        await a.clear()

        async def work(number: int) -> None:
            for turn in range(20):
                await a.append([number * 1000 + turn] * 3)
                assert await a[0] >= 0
                assert len(await a[-3:]) == 3

        await asyncio.gather(*(work(number) for number in range(50)))
        values = await a[:]
        assert len(values) == 50 * 20 * 3
        # Each append is there as a whole, and those of a task in its order.
        triples = values.reshape(-1, 3)
        assert (triples == triples[:, :1]).all()
        for number in range(50):
            mine = triples[triples[:, 0] // 1000 == number, 0] % 1000
            assert mine.tolist() == list(range(20))

    run(test)


def test_each_front_names_the_other(server: Server, name: str) -> None:
    async def test() -> None:
        async with client_of("redis", port=server.port) as client:
            with pytest.raises(TypeError, match=r"redis_mmap\.asyncio\.open"):
                redis_mmap.open(client, name, name)
        with redis.Redis(port=server.port) as sync_client, pytest.raises(TypeError, match=r"use redis_mmap\.open"):
            await redis_mmap.asyncio.open(sync_client, name, name)

    asyncio.run(test())


def test_raw_commands_in_the_style_of_the_library(server: Server, name: str) -> None:
    class Client(redis_mmap.asyncio.MmapClient, redis.asyncio.Redis):  # type: ignore[misc]
        pass

    async def test() -> None:
        client = Client(port=server.port)
        await client.mmap().mmap(name, name)
        assert await client.mmap().vpush(name, np.float64(1)) == 1
        assert await client.mmap().vsize(name) == 1
        await client.aclose()

    asyncio.run(test())
