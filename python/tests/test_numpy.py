"""What numpy, and those who write for it, do with an array."""

from __future__ import annotations

import copy
import operator
import pickle
from typing import Any, Callable

import numpy as np
import pytest

import redis_mmap

from .conftest import filled
from .support import Server

AXIS_ERROR: Any = getattr(np, "exceptions", np).AxisError


class Refusing(redis_mmap.Array):
    """Cannot be fetched as a whole."""

    def to_numpy(self) -> Any:
        raise AssertionError("all values were fetched")


@pytest.mark.parametrize("function", ["sum", "mean", "var", "std", "min", "max", "argmin", "argmax"])
def test_numpys_functions_ask_the_server(client: Any, name: str, function: str) -> None:
    values = np.random.default_rng(1).standard_normal(1000)
    a = filled(client, name, values)
    theirs: Callable[..., Any] = getattr(np, function)
    unfetched = Refusing(client, name, "f8")
    for axis in (None, 0, -1):
        assert np.isclose(theirs(unfetched, axis=axis), theirs(values, axis=axis))
        assert np.isclose(getattr(a, function)(axis=axis), theirs(values))
    with pytest.raises(AXIS_ERROR):
        getattr(a, function)(axis=1)
    with pytest.raises(TypeError, match="out="):
        getattr(a, function)(out=np.zeros(()))
    if function in ("sum", "mean", "var", "std"):
        found = theirs(unfetched, dtype="f4")
        assert found.dtype == "f4"
        assert np.isclose(found, theirs(values), rtol=1e-5)
    if function in ("var", "std"):
        assert np.isclose(theirs(unfetched, ddof=1, dtype="f8"), theirs(values, ddof=1))


def test_numpys_searchsorted_asks_the_server(plain: Any, name: str) -> None:
    filled(plain, name, np.arange(100.0))
    unfetched = Refusing(plain, name, "f8")
    assert np.searchsorted(unfetched, [3, 7.5], "right").tolist() == [4, 8]
    with pytest.raises(TypeError, match="sorter"):
        unfetched.searchsorted(3, sorter=np.arange(100))  # type: ignore[arg-type]


def test_operators_are_numpys(client: Any, name: str) -> None:
    values = np.array([1.5, -2, 0, 5])
    a = filled(client, name, values)
    other = filled(client, f"{name}o", values[::-1].copy())
    for op in (operator.add, operator.sub, operator.mul, operator.eq, operator.ne, operator.lt, operator.ge):
        assert np.array_equal(op(a, 2), op(values, 2))
        assert np.array_equal(op(a, other), op(values, values[::-1]))
        assert np.array_equal(op(values, a), op(values, values))
    assert np.array_equal(-a, -values)
    assert np.array_equal(abs(a), abs(values))
    assert a @ other == values @ values[::-1]
    assert np.array_equal(np.exp(a), np.exp(values))
    assert np.add.reduce(a) == 4.5
    assert np.array_equal(a[a > 1], [1.5, 5])
    a[a < 0] = 7
    assert a[:].tolist() == [1.5, 7, 0, 5]
    a[:] += 1
    a[0] *= 2
    assert a[:].tolist() == [5, 8, 1, 6]


def test_what_would_change_it_in_place_says_what_to_use(plain: Any, name: str) -> None:
    a = filled(plain, name, np.arange(3.0))
    with pytest.raises(TypeError, match="increment"):
        a += 1
    with pytest.raises(TypeError, match="increment"):
        np.add(np.ones(3), 1, out=a)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="unhashable"):
        hash(a)
    assert a[:].tolist() == [0, 1, 2]


def test_conversions_are_numpys(client: Any, name: str, server: Server) -> None:
    a = filled(client, name, np.array([1.25, 2]))
    assert np.asarray(a, dtype="f4").dtype == "f4"
    assert np.array(a, copy=True).tolist() == [1.25, 2]
    assert np.array(a, dtype=np.int64).tolist() == [1, 2]
    assert np.concatenate([a, a]).tolist() == [1.25, 2, 1.25, 2]
    with pytest.raises(ValueError, match="without a copy"):
        a.__array__(copy=False)
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        with pytest.raises(ValueError, match="without a copy"):
            np.asarray(a, copy=False)
        with a.memmap(server.root) as m:
            assert np.shares_memory(np.asarray(m, copy=False), m.array())
            assert not np.shares_memory(np.asarray(m, copy=True), m.array())
            with pytest.raises(ValueError, match="without a copy"):
                np.asarray(m, dtype="f4", copy=False)
    assert a[()].tolist() == a[...].tolist() == [1.25, 2]
    assert a[np.array(1)] == 2
    a[np.array(0)] = np.array(9.5)
    a[(-1,)] = 3
    assert a[...].tolist() == [9.5, 3]
    assert list(reversed(a)) == [3, 9.5]
    assert 3 in a


def test_pickles(plain: Any, name: str, server: Server) -> None:
    a = filled(plain, name, np.arange(3.0))
    for attempt in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match=f"send its key, and open it there: redis_mmap.open\\(client, '{name}'\\)"):
            attempt(a)
    with a.memmap(server.root) as m, pickle.loads(pickle.dumps(m)) as same:
        a.append(3)
        assert same[:].tolist() == m[:].tolist() == [0, 1, 2, 3]
