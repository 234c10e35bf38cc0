"""Every index and every assignment, compared with numpy."""

from __future__ import annotations

import re
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import redis_mmap
from redis_mmap._indexing import at_most, batches, bounds, condition, insertion, runs

from .test_array import same_bits

LENGTH = 700
COMPARISONS = {
    "=": np.equal, "!=": np.not_equal, "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal,
}  # fmt: skip
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
places = st.one_of(st.none(), st.integers(-LENGTH - 20, LENGTH + 20))
steps = st.one_of(st.none(), st.integers(-400, 400).filter(bool))
slices = st.builds(slice, places, places, steps)
indices: Any = st.one_of(
    st.integers(-LENGTH - 3, LENGTH + 3),
    slices,
    st.lists(st.integers(-LENGTH, LENGTH - 1), max_size=30),
    hnp.arrays(np.int64, hnp.array_shapes(max_dims=2, max_side=6), elements=st.integers(-LENGTH, LENGTH - 1)),
    hnp.arrays(np.bool_, LENGTH),
    st.lists(st.integers(-LENGTH - 3, LENGTH + 3), max_size=3),
    st.just(Ellipsis),
    st.just((slice(None, None, -1),)),
)
#: As wide as a value can be without being read along, so that each way of asking is taken.
DTYPES = ["f8", "i2", "u8", "S600"]


def values_of(dtype: str, count: int, seed: int) -> Any:
    random = np.random.default_rng(seed)
    return random.integers(1, 256, count * np.dtype(dtype).itemsize, dtype="u1").view(dtype)


@pytest.fixture(params=DTYPES)
def pair(request: pytest.FixtureRequest, plain: Any, name: str) -> tuple[redis_mmap.Array, Any]:
    """An array, and the same in numpy."""
    model = values_of(request.param, LENGTH, 1)
    array = redis_mmap.open(plain, name, name, dtype=request.param)
    array.append(model)
    return array, model


@quick
@given(index=indices)
def test_every_index_gets_what_numpys_does(pair: tuple[redis_mmap.Array, Any], index: Any) -> None:
    array, model = pair
    try:
        wanted = model[index]
    except IndexError as error:
        with pytest.raises(IndexError, match=f"^{re.escape(str(error))}$"):
            array[index]
        return
    assert same_bits(array[index], wanted)


@quick
@given(index=indices, seed=st.integers(0, 2**32), is_scalar=st.booleans())
def test_every_assignment_sets_what_numpys_does(
    pair: tuple[redis_mmap.Array, Any], index: Any, seed: int, is_scalar: bool
) -> None:
    array, model = pair
    # What numpy says of a[0] = [1] depends on its version.
    is_scalar = is_scalar or isinstance(index, int)
    count = 1 if is_scalar else max(_length_of(model, index), 1)
    new = values_of(model.dtype.str, count, seed)
    if is_scalar:
        new = new[0]
    elif isinstance(index, np.ndarray) and index.dtype != bool:
        new = new.reshape(index.shape)
    try:
        model[index] = new
    except (IndexError, ValueError) as error:
        with pytest.raises(type(error)):
            array[index] = new
        return
    array[index] = new
    assert same_bits(array[:], model)


def _length_of(model: Any, index: Any) -> int:
    try:
        return int(np.size(model[index]))
    except IndexError:
        return 1


@quick
@given(
    index=slices,
    shape=hnp.array_shapes(max_dims=3, max_side=3),
)
def test_what_numpy_does_not_broadcast_is_refused(pair: tuple[redis_mmap.Array, Any], index: slice, shape: Any) -> None:
    array, model = pair
    new = np.zeros(shape, model.dtype)
    try:
        model[index] = new
    except ValueError:
        with pytest.raises(ValueError, match="could not broadcast input array"):
            array[index] = new
        return
    array[index] = new
    assert same_bits(array[:], model)


NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(), st.integers(-130, 130), st.floats(-200, 200), st.floats(width=32)
)
KINDS = ["i1", "u1", "i8", "u8", "f4", "f8"]


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(KINDS), op=st.sampled_from(sorted(COMPARISONS)), value=NUMBERS, data=st.data())
def test_comparisons_with_values_that_the_type_does_not_have_are_exact(kind: str, op: str, value: Any, data: Any) -> None:
    if isinstance(value, float) or np.dtype(kind).kind == "f":
        # A number of Python would be rounded to one of the array's type first, as numpy does.
        value = np.float64(value)
    model = data.draw(hnp.arrays(kind, 20, elements=hnp.from_dtype(np.dtype(kind))))
    # Python compares integers and floats exactly.
    wanted = [bool(_compare(op, each, value)) for each in model.tolist()]
    found = condition(np.dtype(kind), op, value)
    if isinstance(found, bool):
        assert wanted == [found] * len(model)
    else:
        asked, limit = found
        assert np.asarray(limit).astype(kind) == limit or np.isnan(float(limit))
        assert [bool(_compare(asked, each, np.asarray(limit).astype(kind).item())) for each in model.tolist()] == wanted


@given(value=st.floats(-1e30, 1e30), op=st.sampled_from(sorted(COMPARISONS)))
def test_a_number_of_python_is_one_of_the_arrays_type(value: float, op: str) -> None:
    model = np.array([value, 0, np.nextafter(np.float32(value), np.float32(0))], "f4")
    found = condition(model.dtype, op, value)
    assert not isinstance(found, bool)
    assert COMPARISONS[found[0]](model, found[1]).tolist() == COMPARISONS[op](model, value).tolist()


def _compare(op: str, a: Any, b: Any) -> Any:
    return {"=": a == b, "!=": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[op]


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    value=NUMBERS.filter(lambda it: it == it),
    side=st.sampled_from(["left", "right"]),
    data=st.data(),
)
def test_searches_for_values_that_the_type_does_not_have_are_exact(kind: str, value: Any, side: str, data: Any) -> None:
    elements = hnp.from_dtype(np.dtype(kind)).filter(lambda it: it == it)
    model = np.sort(data.draw(hnp.arrays(kind, 20, elements=elements)))
    wanted = sum(each < value if side == "left" else each <= value for each in model.tolist())
    asked = insertion(np.dtype(kind), value, side)
    if asked is None:
        assert wanted == 0
    else:
        limit = np.asarray(asked[0]).astype(kind).item()
        assert sum(each < limit if asked[1] == "left" else each <= limit for each in model.tolist()) == wanted


@given(index=slices.filter(lambda it: it.step in (None, 1)), count=st.integers(0, LENGTH))
def test_a_slice_is_a_range_of_the_server(index: slice, count: int) -> None:
    start, stop = bounds(index.start, index.stop)
    start = max(start + count, 0) if start < 0 else start
    stop = stop + count if stop < 0 else stop
    found = list(range(count))[start : stop + 1] if stop >= start else []
    assert found == list(range(count))[index]
    most = at_most(index)
    assert most is None or len(found) <= most


@given(at=st.lists(st.integers(0, 300), unique=True), gap=st.integers(1, 100), longest=st.integers(8, 200))
def test_runs_cover_every_position_once(at: list[int], gap: int, longest: int) -> None:
    at.sort()
    found = runs(np.array(at, np.intp), 8, gap, longest)
    inside = [place for start, stop in found for place in range(start, stop)]
    assert len(inside) == len(set(inside))
    assert set(at) <= set(inside)
    assert all((stop - start) * 8 <= max(longest, 8) for start, stop in found)


@given(sizes=st.lists(st.integers(0, 50)))
def test_batches_hold_every_command_once(sizes: list[int]) -> None:
    found = batches(sizes, most=100, many=7)
    assert [size for part in found for size in sizes[part]] == sizes
    assert all(len(sizes[part]) <= 7 and (sum(sizes[part]) <= 100 or len(sizes[part]) == 1) for part in found)
