"""Sends each command of table.json with redis-py and compares the replies.

    pip install redis
    python examples/clients/client.py port 2|3 [tag]        (the version of RESP)

It also fails if a command of the module is not in the table. With a hash tag it is a Cluster's client: it sends the rows of
cluster.json, once for each line that it gets, and says when it has.
"""

import json
import math
import sys
from pathlib import Path

import redis

# What servers tell one another.
INTERNAL = {b"vreplicate"}


def matches(expected, reply, protocol):
    if isinstance(expected, list):
        return (
            isinstance(reply, list)
            and len(expected) == len(reply)
            and all(matches(e, r, protocol) for e, r in zip(expected, reply))
        )
    if isinstance(expected, str):
        # A simple string comes as text, a bulk string as bytes.
        return (reply.encode() if isinstance(reply, str) else reply) == expected.encode("latin-1")
    if not isinstance(expected, dict):
        return type(reply) is type(expected) and reply == expected
    ((kind, value),) = expected.items()
    match kind:
        case "any":
            return True
        case "error":
            return isinstance(reply, redis.ResponseError) and value in str(reply)
        case "double":
            return reply == value.encode() if protocol == 2 else type(reply) is float and same(reply, float(value))
        case "big":
            return reply == value.encode() if protocol == 2 else reply == int(value)
        case "map":
            if protocol == 2:
                reply = isinstance(reply, list) and dict(zip(reply[::2], reply[1::2]))
            return (
                isinstance(reply, dict)
                and {name.encode() for name in value} == set(reply)
                and all(matches(e, reply[name.encode()], protocol) for name, e in value.items())
            )
    sys.exit(f"client.py: the table has an unknown kind of reply, {kind}")


def same(a, b):
    return a == b or math.isnan(a) and math.isnan(b)


def send(client, words):
    try:
        return client.execute_command(*words)
    except redis.ResponseError as error:
        return error


def rows_of(name, run, tag=""):
    return json.loads((Path(__file__).parent / name).read_text().replace("{run}", run).replace("{tag}", tag))


def failures_of(client, rows, protocol):
    failures = 0
    for row in rows:
        # RedisCluster takes a command's name as text alone.
        name, *words = row["command"]
        reply = send(client, [name, *(word.encode("latin-1") for word in words)])
        if not matches(row["reply"], reply, protocol):
            failures += 1
            print(f"{row['command']}\n  expected {row['reply']}\n  got      {reply!r}")
    return failures


class Cluster(redis.RedisCluster):
    """redis-py 8.1 falls over an ASK that names a node which it does not know yet; this one looks again."""

    def get_node(self, *args, **named):
        node = super().get_node(*args, **named)
        if node is None:
            self.nodes_manager.initialize()
            node = super().get_node(*args, **named)
        return node


def on_cluster(port, protocol, tag):
    client = Cluster(host="127.0.0.1", port=port, protocol=protocol)
    rows = rows_of("cluster.json", f"python-{protocol}", f"{{{tag}}}")
    rounds = failures = 0
    for _ in sys.stdin:
        failures += failures_of(client, rows, protocol)
        rounds += 1
        print("round", flush=True)
    return f"a cluster, {rounds} rounds", failures


def on_one_server(port, protocol):
    client = redis.Redis(port=port, protocol=protocol)
    rows = rows_of("table.json", f"python-{protocol}")
    failures = failures_of(client, rows, protocol)
    used = {row["command"][0].lower().encode() for row in rows}
    for name in sorted(set(client.command_list(module="mmap")) - used - INTERNAL):
        failures += 1
        print(f"table.json has no row for {name.decode()}")
    return f"{len(used)} commands", failures


def main():
    port, protocol, *tag = sys.argv[1:]
    work = on_cluster if tag else on_one_server
    done, failures = work(int(port), int(protocol), *tag)
    print(f"redis-py {redis.__version__}, RESP{protocol}: {done}, {failures} failures")
    sys.exit(failures != 0)


if __name__ == "__main__":
    main()
