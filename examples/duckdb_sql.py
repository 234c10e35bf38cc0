"""SQL over the files themselves: DuckDB reads the mapped columns without a copy.

    pip install "./python[redis]" duckdb
    python examples/duckdb_sql.py [port]

The server must have the module loaded and run on this machine.
"""

import sys

import duckdb
import numpy as np
import redis

import redis_mmap

client = redis.Redis(port=int(sys.argv[1]) if len(sys.argv) > 1 else 6379)
random = np.random.default_rng(1)
sensor = redis_mmap.open(client, "duckdb:sensor", "duckdb.sensor", dtype="i2")
reading = redis_mmap.open(client, "duckdb:reading", "duckdb.reading", dtype="f4")
sensor.append(random.integers(0, 5, 1_000_000, dtype="i2"))
reading.append(random.standard_normal(1_000_000, dtype="f4"))

readings = {"sensor": sensor.memmap().array(), "reading": reading.memmap().array()}
found = duckdb.sql("""
    SELECT sensor, count(*) AS n, round(avg(reading), 4) AS mean, round(max(reading), 3) AS most
    FROM readings WHERE reading > 0 GROUP BY sensor ORDER BY sensor
""")
print(found)
assert sum(row[1] for row in found.fetchall()) == reading.count(">", 0)
for array in sensor, reading:
    array.clear()
    client.delete(array.key)
