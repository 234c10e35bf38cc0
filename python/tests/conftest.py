from __future__ import annotations

import contextlib
import importlib
import importlib.util
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import redis

import redis_mmap

from . import support

valkey: Any = importlib.import_module("valkey") if importlib.util.find_spec("valkey") else None

#: Library, RESP version, decode_responses.
CLIENTS = [("redis", 2, False), ("redis", 3, True), ("redis", 2, True), ("redis", 3, False)]
if valkey is not None:
    CLIENTS += [("valkey", 2, True), ("valkey", 3, False)]
_numbers = itertools.count()


def client_of(library: str, **options: Any) -> Any:
    return redis.Redis(**options) if library == "redis" else valkey.Valkey(**options)


@pytest.fixture(scope="session")
def server() -> Iterator[support.Server]:
    with support.server() as running:
        yield running


@pytest.fixture(scope="session")
def cluster_nodes() -> Iterator[list[support.Server]]:
    with support.cluster() as nodes:
        yield nodes


@pytest.fixture(params=CLIENTS, ids=lambda it: f"{it[0]}-resp{it[1]}{'-decoding' if it[2] else ''}")
def client(request: pytest.FixtureRequest, server: support.Server) -> Iterator[Any]:
    library, protocol, decode = request.param
    with contextlib.closing(client_of(library, port=server.port, protocol=protocol, decode_responses=decode)) as made:
        yield made


@pytest.fixture
def plain(server: support.Server) -> Iterator[redis.Redis]:
    """One client, where it does not matter which."""
    with redis.Redis(port=server.port) as made:
        yield made


@pytest.fixture
def name() -> str:
    """A name for a key and a file that no other test has."""
    return f"test-{next(_numbers)}"


def filled(client: Any, name: str, values: Any) -> redis_mmap.Array:
    """An array with these values, of their dtype."""
    given = np.asarray(values)
    array = redis_mmap.open(client, name, name, dtype=given.dtype)
    array.clear()
    assert array.append(given) == len(given)
    return array
