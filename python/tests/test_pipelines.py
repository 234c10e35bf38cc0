"""Several commands at once, with every client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import redis_mmap

from .conftest import filled

BYTES = np.array([np.nan, 1e300, -0.5]).tobytes() + b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"


@pytest.mark.parametrize("transaction", [False, True])
def test_results_come_in_order_and_bytes_stay_bytes(client: Any, name: str, transaction: bool) -> None:
    a = filled(client, name, np.arange(5.0))
    with redis_mmap.Pipeline(client, transaction) as pipe:
        pipe.append(a, [5, 6]).vaddraw(name, BYTES)
        pipe.client.set(f"{name}:text", "größe")
        pipe.get(a, -1).get(a, slice(1, 3)).vgetraw(name, -4, -1)
        pipe.client.get(f"{name}:text")
        pipe.client.hgetall(f"{name}:nothing")
        pipe.vsize(name).vtype(name).vstat(name)
        assert len(pipe) == 11
        results = pipe.execute()
    assert results[:2] == [2, 4]
    assert results[2] is True
    assert np.array([results[3]]).tobytes() == BYTES[-8:]
    assert results[4].tolist() == [1, 2]
    assert results[5] == BYTES
    text = results[6]
    assert (text if isinstance(text, str) else text.decode()) == "größe"
    assert results[7] == {}
    assert results[8:10] == [11, "double"]
    assert results[10]["count"] == 11
    assert a[-4:].tobytes() == BYTES
    # The library's own commands are decoded as ever.
    assert isinstance(text, str) == bool(client.get_encoder().decode_responses)


@pytest.mark.parametrize("transaction", [False, True])
def test_an_error_is_raised_or_among_the_results(client: Any, name: str, transaction: bool) -> None:
    a = filled(client, name, np.arange(2, dtype="u1"))
    pipe = redis_mmap.Pipeline(client, transaction)
    with pytest.raises(redis_mmap.BadValue, match="'256'"):
        pipe.vpush(name, 1).vpush(name, 256).vpush(name, 3).execute()
    assert a[:].tolist() == [0, 1, 1, 3]
    results = pipe.vpush(name, 256).vsize(name).get(a, 99).execute(raise_on_error=False)
    assert isinstance(results[0], redis_mmap.BadValue)
    assert results[1] == 4
    assert isinstance(results[2], IndexError)
    with pytest.raises(IndexError):
        pipe.get(a, 99).execute()
    with pytest.raises(IndexError, match="slices without a step"):
        pipe.get(a, [1, 2])


def test_an_array_of_two_dimensions_is_refused(client: Any, name: str) -> None:
    a = redis_mmap.open(client, name, Path(name))
    with redis_mmap.Pipeline(client) as pipe, pytest.raises(ValueError, match="one dimension"):
        pipe.append(a, [[1, 2], [3, 4]])
    assert len(a) == 0


def test_a_transaction_that_is_left_is_not_sent(client: Any, name: str) -> None:
    a = filled(client, name, np.arange(3.0))
    with redis_mmap.Pipeline(client) as pipe:
        pipe.vclear(name)
    assert len(a) == 3
    assert pipe.vsize(name).execute() == [3]


def test_every_command_can_be_queued(plain: Any, name: str) -> None:
    commands = {method for method in dir(redis_mmap.Commands) if not method.startswith("_")}
    assert commands <= set(dir(redis_mmap.Pipeline))
    filled(plain, name, np.arange(3.0))
    results = (
        redis_mmap.Pipeline(plain, transaction=False)
        .vset(name, {0: 5})
        .vincrby(name, {0: 1})
        .vagg(name, 0, -1, "count")
        .vfind_count(name, 0, -1, ">", 1)
        .vsync(name)
        .vfilepath(name)
        .execute()
    )
    assert float(results.pop(1)[0]) == 6
    assert results == [1, [3], 2, True, name]
