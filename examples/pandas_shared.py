"""A table of two columns that Redis appends to, read by pandas where it lies: no copy, no query.

usage: pandas_shared.py [port]

The server at 127.0.0.1:port (default 6379) must have the module loaded and run on this machine. The files are made in
its directory `mmap.dir` and removed at the end. Exits with 1 at the first difference.
"""

import os
import sys

import numpy as np
import pandas as pd
import redis

from live_count import live_count

MINUTES = 10_000
COLUMNS = {"time": np.dtype("int64"), "price": np.dtype("float64")}
REDIS_TYPES = {"time": "int64", "price": "double"}


def check(condition, what):
    if not condition:
        raise SystemExit(f"pandas_shared: {what}")


def append(client, keys, first, count):
    """Adds a price for each minute, by one command a column."""
    minutes = np.arange(first, first + count)
    times = minutes * 60_000
    prices = 100 + 10 * np.sin(minutes / 500)
    client.execute_command("VADDRAW", keys["time"], times.astype(COLUMNS["time"]).tobytes())
    client.execute_command("VADDRAW", keys["price"], prices.astype(COLUMNS["price"]).tobytes())


def table(paths):
    """The rows that both columns have, as they lie in the page cache."""
    rows = min(live_count(paths[name], dtype.itemsize) for name, dtype in COLUMNS.items())
    columns = {name: np.memmap(paths[name], dtype, "r", shape=(rows,)) for name, dtype in COLUMNS.items()}
    frame = pd.DataFrame(columns, copy=False)
    for name, column in columns.items():
        check(np.shares_memory(frame[name].to_numpy(), column), f"column {name} was copied")
    return frame


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 6379
    client = redis.Redis(port=port)
    folder = client.config_get("mmap.dir")["mmap.dir"]
    keys = {name: f"pandas_shared.{os.getpid()}.{name}" for name in COLUMNS}
    paths = {name: os.path.join(folder, key) for name, key in keys.items()}
    try:
        for name, key in keys.items():
            check(client.execute_command("MMAP", key, key, REDIS_TYPES[name], "WRITABLE") == 0, "a new file is not empty")
        append(client, keys, 0, MINUTES)
        frame = table(paths)
        check(len(frame) == MINUTES, f"{len(frame)} rows, not {MINUTES}")
        append(client, keys, MINUTES, MINUTES)
        check(len(frame) == MINUTES and len(table(paths)) == 2 * MINUTES, "a table is not of its moment")

        frame = table(paths)
        hours = frame.groupby(frame["time"] // 3_600_000)["price"].agg(["min", "max", "mean"])
        first, last = client.execute_command("VAGG", keys["price"], 0, 59, "MIN", "MAX", "AVG"), hours.iloc[0]
        check(np.allclose([float(value) for value in first], last), "Redis and pandas differ")
        print(hours.head(3).to_string())
        print(f"pandas {pd.__version__} read {len(frame):,} rows of two files without a copy")
    finally:
        client.delete(*keys.values())
        for path in paths.values():
            if os.path.exists(path):
                os.remove(path)


if __name__ == "__main__":
    main()
