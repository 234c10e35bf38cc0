"""Sends a long array to Redis, with a progress bar, and reads it back.

    pip install "./python[redis]" tqdm
    python examples/numpy_bulk.py [port]
"""

import sys

import numpy as np
import redis
from tqdm import tqdm

import redis_mmap

client = redis.Redis(port=int(sys.argv[1]) if len(sys.argv) > 1 else 6379)
values = np.random.default_rng(1).standard_normal(10_000_000)

a = redis_mmap.open(client, "numpy_bulk", "numpy_bulk.npy", dtype="f8")
a.clear()
with tqdm(total=len(values), unit=" values", unit_scale=True, disable=None) as bar:
    # In pieces of 1 MiB: in between, the server answers others.
    a.append(values, progress=bar.update)

assert np.array_equal(a[:], values)
assert np.array_equal(a[-1000::7], values[-1000::7])
a.trim(-1000)
a[::2] = 0
print(a)
a.clear()
client.delete("numpy_bulk")
