"""numpy writes a file and Redis computes aggregates of it; Redis appends to the file and numpy sees the new values.

    pip install "./python[redis]"
    python examples/numpy_shared.py [port]

The server must have the module loaded and run on this machine.
"""

import os
import sys
import threading

import numpy as np
import redis

import redis_mmap

client = redis.Redis(port=int(sys.argv[1]) if len(sys.argv) > 1 else 6379)
path = os.path.join(client.config_get("mmap.dir")["mmap.dir"], "numpy_shared.f64")
squares = np.arange(10_000_000.0) ** 2
squares.tofile(path)

a = redis_mmap.open(client, "numpy_shared", "numpy_shared.f64", dtype="f8")
print(a, f"mean {a.mean():g}", f"first above 1e12 at {a.searchsorted(1e12)}", sep="\n")
some = np.random.default_rng(1).integers(0, len(squares), 10_000)
assert np.array_equal(a[some], squares[some])

more = np.random.default_rng(2).standard_normal(1_000_000)
writer = threading.Thread(target=lambda: [a.append(part) for part in np.array_split(more, 1000)])
writer.start()
seen = 0
with a.memmap() as m:
    while seen < len(more):
        part = m[len(squares) + seen :]
        assert np.array_equal(part, more[seen : seen + len(part)])
        seen += len(part)
writer.join()
client.delete("numpy_shared")
os.remove(path)
