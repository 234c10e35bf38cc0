"""VAGG, VBUCKETS, VFIND and VSEARCH against numpy: every type, random ranges, NaN, infinities, empty, one value.

    pip install numpy redis
    python examples/aggregate_check.py [port] [seed]

The server at 127.0.0.1:port (default 6379) must have the module loaded and run on this machine. The files are made in
its directory `mmap.dir` and removed at the end. Exits with 1 at the first difference and names the seed.
"""

import os
import sys
import warnings

import numpy as np
import redis

INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
FLOATS = {"float": np.float32, "double": np.float64, "long_double": np.longdouble}
# The last one is long enough to be computed in the background.
LENGTHS = [0, 1, 2, 100, 5_000, 300_000]
RANGES = 12
OPS = ["COUNT", "SUM", "MIN", "MAX", "AVG", "VAR", "STD", "ARGMIN", "ARGMAX"]
COMPARISONS = {"=": np.equal, "!=": np.not_equal, "<": np.less, "<=": np.less_equal, ">": np.greater,
               ">=": np.greater_equal}


def values_of(random, kind, length):
    """Values of all sizes, many of them equal."""
    if kind in INTEGERS:
        info = np.iinfo(kind)
        wide = random.integers(info.min, info.max, length, dtype=kind, endpoint=True)
        return np.where(random.random(length) < 0.5, wide, random.integers(0, 100, length).astype(kind))
    if kind == "string":
        return np.array([b"%d" % n for n in random.integers(0, 2_000, length)], dtype="S5")
    values = np.round(random.standard_normal(length) * 100, random.integers(0, 15)).astype(FLOATS[kind])
    for special in (np.nan, np.inf, -np.inf):
        if random.random() < 0.3 and length:
            values[random.integers(0, length, 1 + length // 1_000)] = special
    return values


def part_of(values, start, stop):
    """LRANGE's rule."""
    start = max(start + len(values), 0) if start < 0 else start
    stop = stop + len(values) if stop < 0 else stop
    return min(start, len(values)), values[start : stop + 1] if stop >= start else values[:0]


def expected(op, offset, values, skip):
    """What numpy says. Sums are made with more precision than either side has."""
    is_float = values.dtype.kind == "f"
    if skip and is_float:
        kept = np.flatnonzero(~np.isnan(values))
    else:
        kept = np.arange(len(values))
    numbers = values[kept]
    if op == "COUNT":
        return len(numbers)
    if op == "SUM" and not is_float:
        return sum(int(x) for x in numbers)
    if op == "SUM":
        return np.sum(numbers.astype(np.longdouble))
    if not len(numbers):
        return None
    if op in ("ARGMIN", "ARGMAX"):
        if values.dtype.kind == "S":
            choose = min if op == "ARGMIN" else max
            at = numbers.tolist().index(choose(numbers.tolist()))
        else:
            at = (np.argmin if op == "ARGMIN" else np.argmax)(numbers)
        return offset + int(kept[at])
    if op in ("MIN", "MAX"):
        if values.dtype.kind == "S":
            return (min if op == "MIN" else max)(numbers.tolist())
        return (np.min if op == "MIN" else np.max)(numbers)
    wide = numbers.astype(np.longdouble)
    return {"AVG": np.mean, "VAR": np.var, "STD": np.std}[op](wide)


def is_same(op, reply, wanted, values):
    if wanted is None or reply is None:
        return wanted is reply
    if op in ("COUNT", "ARGMIN", "ARGMAX") or values.dtype.kind in "iu" and op in ("SUM", "MIN", "MAX"):
        return int(reply) == int(wanted)
    if values.dtype.kind == "S":
        return reply == wanted
    if op in ("MIN", "MAX"):
        return np.array_equal(values.dtype.type(reply.decode()), wanted, equal_nan=True)
    got, wanted = float(reply), float(wanted)
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    scale = float(np.max(np.abs(finite.astype(np.float64)), initial=1.0))
    if op == "VAR":
        scale *= scale
    # A sum is rounded once; a variance of n values has the rounding of n squares.
    error = 4e-16 * scale * len(values) if op == "SUM" else 1e-12 * scale
    if op == "STD" and np.isfinite(wanted) and np.isfinite(got):
        return abs(got * got - wanted * wanted) <= 1e-12 * scale * scale
    return np.isclose(got, wanted, rtol=1e-13, atol=error, equal_nan=True)


def check_aggregates(ask, random, values, start, stop):
    ops = [op for op in OPS if values.dtype.kind != "S" or op in ("COUNT", "MIN", "MAX", "ARGMIN", "ARGMAX")]
    ops = [str(op) for op in random.permutation(ops)[: random.integers(1, len(ops) + 1)]]
    skip = bool(random.integers(0, 2))
    words = [*ops, *(["SKIPNAN"] if skip else [])]
    offset, part = part_of(values, start, stop)
    replies = ask("VAGG", start, stop, *words)
    for op, reply in zip(ops, replies, strict=True):
        wanted = expected(op, offset, part, skip)
        assert is_same(op, reply, wanted, part), f"VAGG {start} {stop} {words}: {op} is {reply}, not {wanted!r}"
    number = int(random.choice([1, 2, 7, 1_000]))
    buckets = ask("VBUCKETS", start, stop, number, *words)
    assert len(buckets) == number, f"VBUCKETS: {len(buckets)} parts, not {number}"
    for bucket in random.integers(0, number, min(number, 20)).tolist():
        first, last = (i * len(part) // number for i in (bucket, bucket + 1))
        for op, reply in zip(ops, buckets[bucket], strict=True):
            wanted = expected(op, offset + first, part[first:last], skip)
            assert is_same(op, reply, wanted, part[first:last]), (
                f"VBUCKETS {start} {stop} {number} {words}, part {bucket}: {op} is {reply}, not {wanted!r}")


def text(value):
    """What reads back to the value, in its own type."""
    if isinstance(value, bytes):
        return value
    return np.format_float_scientific(value, unique=True) if isinstance(value, np.floating) else str(int(value))


def some_value(random, values):
    kinds = {"S": b"7"}
    if len(values) and random.random() < 0.9:
        return values[random.integers(0, len(values))]
    return kinds.get(values.dtype.kind, values.dtype.type(1))


def check_find(ask, random, values, start, stop):
    offset, part = part_of(values, start, stop)
    fits = np.ones(len(part), bool)
    words = []
    for comparison in random.choice(list(COMPARISONS), random.integers(1, 3)):
        value = some_value(random, values)
        fits &= COMPARISONS[str(comparison)](part, value)
        words += [str(comparison), text(value)]
    found = (offset + np.flatnonzero(fits)).tolist()
    what = f"VFIND {start} {stop} {words}"
    assert ask("VFIND", start, stop, *words, "COUNT") == len(found), f"{what}: COUNT"
    limit = int(random.integers(0, 50))
    assert ask("VFIND", start, stop, *words, "LIMIT", limit) == found[:limit], f"{what}: LIMIT {limit}"
    assert ask("VFIND", start, stop, *words) == found, what


def check_search(ask, random, values):
    for _ in range(10):
        value = some_value(random, values)
        for side in "LEFT", "RIGHT":
            wanted = int(np.searchsorted(values, value, side.lower()))
            got = ask("VSEARCH", text(value), side)
            assert got == wanted, f"VSEARCH {value!r} {side}: {got}, not {wanted}"


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 6379
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else int.from_bytes(os.urandom(4), "little")
    # Sums of inf and -inf, and of nothing: what comes out is what is compared.
    warnings.simplefilter("ignore", RuntimeWarning)
    np.seterr(all="ignore")
    random = np.random.default_rng(seed)
    client = redis.Redis(port=port, protocol=2)
    folder = client.config_get("mmap.dir")["mmap.dir"]
    name = f"aggregate_check.{os.getpid()}"
    path = os.path.join(folder, name)
    checks = 0
    try:
        for kind in [*INTEGERS, *FLOATS, "string"]:
            for length in LENGTHS:
                values = values_of(random, kind, length)
                for data, is_sorted in (values, False), (np.sort(values), True):
                    data.tofile(path)
                    words = [kind, *(["5"] if kind == "string" else [])]
                    client.execute_command("MMAP", name, name, *words)
                    ask = lambda command, *args: client.execute_command(command, name, *args)
                    try:
                        if is_sorted:
                            check_search(ask, random, data)
                            continue
                        bounds = [(0, -1), *random.integers(-length - 3, length + 3, (RANGES, 2)).tolist()]
                        for start, stop in bounds if length < 100_000 else bounds[:3]:
                            check_aggregates(ask, random, data, start, stop)
                            check_find(ask, random, data, start, stop)
                            checks += 1
                    finally:
                        client.delete(name)
        print(f"{checks} random ranges of {len(INTEGERS) + len(FLOATS) + 1} types: numpy and Redis agree (seed {seed})")
    except AssertionError as error:
        raise SystemExit(f"aggregate_check: seed {seed}, {kind}, {length} values: {error}") from error
    finally:
        client.delete(name)
        if os.path.exists(path):
            os.remove(path)


if __name__ == "__main__":
    main()
