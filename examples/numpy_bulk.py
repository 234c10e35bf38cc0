#!/usr/bin/env python3
"""Sends a numpy array to Redis and reads it back, as bytes and by sharing the file.

    numpy_bulk.py [port]        a server with the module must listen there, on this machine (default: 6379)
"""

import os
import sys

import numpy as np
import redis

port = int(sys.argv[1]) if len(sys.argv) > 1 else 6379
db = redis.Redis(port=port, protocol=2)
directory = db.config_get("mmap.dir")["mmap.dir"]
path = os.path.join(directory, "numpy_bulk.npy")
if os.path.exists(path):
    os.remove(path)
db.delete("bulk")
db.execute_command("MMAP", "bulk", "numpy_bulk.npy", "double", "WRITABLE")

values = np.random.default_rng(1).normal(size=1_000_000)
for part in np.split(values, 100):
    # No text in between: the array's own bytes.
    db.execute_command("VADDRAW", "bulk", part.tobytes())

back = np.frombuffer(db.execute_command("VGETRAW", "bulk", 0, -1), dtype="<f8")
assert np.array_equal(back, values)

db.execute_command("VSYNC", "bulk")
shared = np.load(path, mmap_mode="r")
assert shared.dtype == np.float64 and np.array_equal(shared, values)

db.execute_command("VTRIM", "bulk", -1000, -1)
assert np.array_equal(np.load(path, mmap_mode="r"), values[-1000:])
print(f"{len(values):,} values went to Redis and came back, as bytes and as a file")
db.delete("bulk")
os.remove(path)
