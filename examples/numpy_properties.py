#!/usr/bin/env python3
"""Compares the bulk commands with numpy, on random arrays of every type: ranges, bytes, increments, trims.

    pip install numpy redis
    python examples/numpy_properties.py [port [seed]]        (default: 6379, a random one)
"""

import os
import random
import sys

import numpy as np
import redis

TYPES = {
    "int8": "i1", "uint8": "u1", "int16": "<i2", "uint16": "<u2", "int32": "<i4", "uint32": "<u4",
    "int64": "<i8", "uint64": "<u8", "float": "<f4", "double": "<f8", "string 7": "S7",
}
ROUNDS = 40
port = int(sys.argv[1]) if len(sys.argv) > 1 else 6379
seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
rng = np.random.default_rng(seed)
db = redis.Redis(port=port, protocol=2)
run = db.execute_command
directory = db.config_get("mmap.dir")["mmap.dir"]


def some_values(dtype, count):
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, count, dtype=dtype.newbyteorder("="), endpoint=True)
    if dtype.kind == "S":
        return rng.integers(97, 123, (count, dtype.itemsize), dtype="u1").view(dtype).reshape(count)
    values = (rng.normal(size=count) * 10.0 ** rng.integers(-30, 30, count)).astype(dtype)
    special = rng.random(count) < 0.05
    values[special] = rng.choice([np.nan, np.inf, -np.inf, -0.0], special.sum())
    return values


def python_slice(start, stop, count):
    """The range of LRANGE as one of Python."""
    start = max(start + count if start < 0 else start, 0)
    stop = stop + count if stop < 0 else stop
    return slice(start, max(stop + 1, start))


def as_array(reply, dtype):
    kind = np.dtype(dtype).kind
    if kind == "S":
        return np.array(reply, dtype=dtype)
    if kind == "f":
        return np.array([float(text) for text in reply], dtype=dtype)
    return np.array([int(value) for value in reply], dtype=dtype)


def same(a, b):
    return len(a) == len(b) and (a.dtype.kind == "S" and a.tolist() == b.tolist()
                                 or a.dtype.kind != "S" and np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


def one_round(words, dtype, file):
    path = os.path.join(directory, file)
    db.delete("p")
    if os.path.exists(path):
        os.remove(path)
    run("MMAP", "p", file, *words.split(), "WRITABLE")
    model = some_values(dtype, rng.choice([0, 1, 2, 100, 5000]))
    assert run("VADDRAW", "p", model.tobytes()) == len(model)
    for _ in range(8):
        start, stop = (int(n) for n in rng.integers(-len(model) - 3, len(model) + 4, 2))
        part = python_slice(start, stop, len(model))
        step = int(rng.integers(1, 9))
        assert run("VGETRAW", "p", start, stop) == model[part].tobytes()
        assert same(as_array(run("VSLICE", "p", start, stop), dtype), model[part])
        assert same(as_array(run("VSLICE", "p", start, stop, "STEP", step), dtype), model[part][::step])
        last = int(rng.integers(0, len(model) + 2))
        assert same(as_array(run("VLAST", "p", last), dtype), model[max(len(model) - last, 0):])
    if len(model) > 1:
        at = int(rng.integers(0, len(model)))
        new = some_values(dtype, int(rng.integers(1, len(model) - at + 1)))
        assert run("VSETRAW", "p", at, new.tobytes()) == len(new)
        model[at:at + len(new)] = new
        value = run("VGET", "p", at)
        part = python_slice(1, -2, len(model))
        assert run("VFILL", "p", 1, -2, value) == len(model[part])
        model[part] = model[at]
    if len(model) and model.dtype.kind in "iu":
        at = int(rng.integers(0, len(model)))
        wanted = int(some_values(dtype, 1)[0])
        assert int(run("VINCRBY", "p", at, wanted - int(model[at]))[0]) == wanted
        model[at] = wanted
    if len(model) and model.dtype.kind == "f":
        at, increment = int(rng.integers(0, len(model))), model.dtype.type(rng.normal())
        with np.errstate(all="ignore"):
            wanted = model[at] + increment
        try:
            got = model.dtype.type(run("VINCRBY", "p", at, repr(float(increment)))[0])
            assert got == wanted
            model[at] = wanted
        except redis.ResponseError:
            assert not np.isfinite(wanted)
    start, stop = (int(n) for n in rng.integers(-len(model) - 3, len(model) + 4, 2))
    part = python_slice(start, stop, len(model))
    assert run("VTRIM", "p", start, stop) == len(model) - len(model[part])
    model = model[part]
    run("VSYNC", "p")
    found = np.load(path, mmap_mode="r") if file.endswith(".npy") else np.fromfile(path, dtype)
    assert found.tobytes() == model.tobytes()


for number in range(ROUNDS):
    for words, dtype in TYPES.items():
        file = f"properties{random.choice(['.raw', '.npy'])}"
        try:
            one_round(words, dtype, file)
        except BaseException:
            print(f"seed {seed}, round {number}, {words}, {file}")
            raise
print(f"{ROUNDS} rounds of {len(TYPES)} types agree with numpy (seed {seed})")
db.delete("p")
