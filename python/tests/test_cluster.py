"""Clients of a Cluster, of both libraries, in both fronts."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
import redis
import redis.asyncio

import redis_mmap
import redis_mmap.asyncio

from .conftest import CLIENTS, valkey
from .support import Server

BYTES = np.array([np.nan, 1e300]).tobytes() + b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"
variants = pytest.mark.parametrize(("library", "protocol", "decode"), CLIENTS)


def options_of(nodes: list[Server], protocol: int, decode: bool) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": nodes[0].port, "protocol": protocol, "decode_responses": decode}


@variants
def test_arrays_of_a_cluster(cluster_nodes: list[Server], name: str, library: str, protocol: int, decode: bool) -> None:
    options = options_of(cluster_nodes, protocol, decode)
    client: Any = redis.RedisCluster(**options) if library == "redis" else valkey.ValkeyCluster(**options)
    values = np.random.default_rng(1).standard_normal(300_000)
    values.view("u8")[0] = 0x7FF8000000001234
    arrays = []
    for part in "abcdef":
        a = redis_mmap.open(client, f"{name}{part}", f"{name}{part}", dtype="f8")
        assert a.append(values) == len(values)
        arrays.append(a)
    for a in arrays:
        assert a[:].tobytes() == values.tobytes()
        assert a[[0, 5, 200_000]].tobytes() == values[[0, 5, 200_000]].tobytes()
        a[[1, 100_000]] = values[0]
        assert a[1].tobytes() == values[0].tobytes()
        assert a.where("=", values[7]).tolist() == [7]
        assert len(a.buckets(10, skipnan=True)) == 10
    with pytest.raises(redis_mmap.BadValue):
        redis_mmap.Commands(client).vpush(f"{name}a", "x")
    with pytest.raises(redis_mmap.NotBound):
        redis_mmap.open(client, f"{name}nothing")
    with pytest.raises(ValueError, match="root"):
        arrays[0].memmap()
    pipe = redis_mmap.Pipeline(client, transaction=False)
    for part in "abcdef":
        pipe.vaddraw(f"{name}{part}", BYTES).vgetraw(f"{name}{part}", -3, -1)
    assert pipe.execute() == [3, BYTES] * 6
    pipe.vpush(f"{name}a", "x").vsize(f"{name}b")
    results = pipe.execute(raise_on_error=False)
    assert isinstance(results[0], redis_mmap.BadValue)
    assert results[1] == len(values) + 3
    client.close()


@pytest.mark.skipif(int(redis.__version__.split(".")[0]) < 6, reason="redis-py has transactions of a Cluster from 6 on")
def test_a_transaction_of_a_cluster(cluster_nodes: list[Server], name: str) -> None:
    for protocol in (2, 3):
        client: Any = redis.RedisCluster(**options_of(cluster_nodes, protocol, False))
        a = redis_mmap.open(client, name, name)
        a.clear()
        pipe = redis_mmap.Pipeline(client, transaction=True)
        assert pipe.vaddraw(name, BYTES).vgetraw(name, 0, -1).vsize(name).execute() == [3, BYTES, 3]
        client.close()
        decoding: Any = redis.RedisCluster(**options_of(cluster_nodes, protocol, True))
        pipe = redis_mmap.Pipeline(decoding, transaction=True)
        assert pipe.vaddraw(name, BYTES).vsize(name).execute() == [3, 6]
        with pytest.raises(ValueError, match="decode_responses=False"):
            pipe.vgetraw(name, 0, -1)
        decoding.close()


@pytest.mark.skipif(
    int(redis.__version__.split(".")[0]) < 7, reason="redis-py's asyncio has transactions of a Cluster from 7 on"
)
def test_a_transaction_of_a_cluster_with_asyncio(cluster_nodes: list[Server], name: str) -> None:
    async def test() -> None:
        for protocol in (2, 3):
            client: Any = redis.asyncio.RedisCluster(**options_of(cluster_nodes, protocol, False))
            a = await redis_mmap.asyncio.open(client, name, name)
            await a.clear()
            pipe = redis_mmap.asyncio.Pipeline(client, transaction=True)
            assert await pipe.vaddraw(name, BYTES).get(a, -2).vgetraw(name, 0, -1).execute() == [3, 1e300, BYTES]
            await client.aclose()

    asyncio.run(test())


def test_a_client_without_transactions_of_a_cluster_says_so(cluster_nodes: list[Server]) -> None:
    """valkey-py has none; redis-py before version 6 neither."""
    library: Any = pytest.importorskip("valkey")
    client = library.ValkeyCluster(**options_of(cluster_nodes, 2, False))
    with pytest.raises(ValueError, match="use transaction=False"):
        redis_mmap.Pipeline(client)
    client.close()


@variants
def test_arrays_of_a_cluster_with_asyncio(
    cluster_nodes: list[Server], name: str, library: str, protocol: int, decode: bool
) -> None:
    async def test() -> None:
        options = options_of(cluster_nodes, protocol, decode)
        if library == "redis":
            client: Any = redis.asyncio.RedisCluster(**options)
        else:
            import valkey.asyncio

            client = valkey.asyncio.ValkeyCluster(**options)
        arrays = [await redis_mmap.asyncio.open(client, f"{name}{part}", f"{name}{part}") for part in "abcdef"]
        await asyncio.gather(*(a.append(np.frombuffer(BYTES)) for a in arrays))
        for a in arrays:
            assert (await a[:]).tobytes() == BYTES
            assert await a[1] == 1e300
        pipe = redis_mmap.asyncio.Pipeline(client, transaction=False)
        for a in arrays:
            pipe.vgetraw(a.key, 0, -1).get(a, 1)
        assert await pipe.execute() == [BYTES, 1e300] * 6
        await client.aclose()

    asyncio.run(test())
