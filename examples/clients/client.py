"""Sends each command of table.json with redis-py and compares the replies.

usage: client.py port 2|3        (the version of RESP)

It also fails if a command of the module is not in the table.
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


def main():
    port, protocol = map(int, sys.argv[1:])
    client = redis.Redis(port=port, protocol=protocol)
    table = (Path(__file__).parent / "table.json").read_text().replace("{run}", f"python-{protocol}")
    failures, used = 0, set()
    for row in json.loads(table):
        words = [word.encode("latin-1") for word in row["command"]]
        used.add(words[0].lower())
        reply = send(client, words)
        if not matches(row["reply"], reply, protocol):
            failures += 1
            print(f"{row['command']}\n  expected {row['reply']}\n  got      {reply!r}")
    names = client.command_list(module="mmap")
    for name in sorted(set(names) - used - INTERNAL):
        failures += 1
        print(f"table.json has no row for {name.decode()}")
    version = redis.__version__
    print(f"redis-py {version}, RESP{protocol}: {len(used)} commands, {failures} failures")
    sys.exit(failures != 0)


if __name__ == "__main__":
    main()
