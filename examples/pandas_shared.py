"""A table of two columns that Redis appends to, read by pandas directly from the files: no query, no copy.

    pip install "./python[redis]" pandas
    python examples/pandas_shared.py [port]

The server must have the module loaded and run on this machine.
"""

import sys

import numpy as np
import pandas as pd
import redis

import redis_mmap

client = redis.Redis(port=int(sys.argv[1]) if len(sys.argv) > 1 else 6379)
columns = {
    "time": redis_mmap.open(client, "pandas_shared:time", "pandas_shared.time", dtype="i8"),
    "price": redis_mmap.open(client, "pandas_shared:price", "pandas_shared.price", dtype="f8"),
}
minutes = np.arange(20_000)
with redis_mmap.Pipeline(client) as pipe:
    # Both columns or none.
    pipe.append(columns["time"], minutes * 60_000).append(columns["price"], 100 + 10 * np.sin(minutes / 500))
    pipe.execute()

files = {name: column.memmap().array() for name, column in columns.items()}
rows = min(map(len, files.values()))
frame = pd.DataFrame({name: values[:rows] for name, values in files.items()}, copy=False)
assert np.shares_memory(frame["price"].to_numpy(), files["price"])
frame.index = pd.to_datetime(frame["time"], unit="ms")
print(frame["price"].resample("D").agg(["min", "max", "mean"]).round(2).head())
for column in columns.values():
    column.clear()
    client.delete(column.key)
