"""Cluster clients over a cluster of their own, through failovers and a reshard.

    pip install redis && npm install --prefix examples/clients && cargo build --release --example client
    python examples/clients/cluster.py target/release/examples/client

MMAP_SERVER is the server (redis-server), MMAP_MODULE the module (target/release/...).

Three primaries and three replicas start on free ports of the loopback interface, and are gone afterwards whatever happens.
redis-py, node-redis and redis-rs, each in RESP2 and RESP3, repeat the rows of cluster.json, while each primary is replaced by its
replica and slots are moved. No row may fail, and no value may be lost or come twice. redis-cli -c gets a script.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import redis

HERE = Path(__file__).parent
SERVER = os.environ.get("MMAP_SERVER", "redis-server")
MODULE = os.environ["MMAP_MODULE"]
PATIENCE = 60
PR_SET_PDEATHSIG = 1
# The slots that are moved: the first, which redis-cli takes first.
SLOTS = 10
SCRIPT = """\
MMAP cli:a cli.a
MMAP cli:b cli.b int16 WRITABLE
VADD cli:a 0.5 1.5
VPUSH cli:b 7 8 9
VGET cli:a 1
VALL cli:b
"""
PRINTED = "0\n0\n2\n3\n1.5\n7\n8\n9\n"


def wait_until(what, condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"cluster.py: waited {PATIENCE} s in vain until {what}")
        time.sleep(0.01)


def free_ports(count):
    with contextlib.ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]


def start(command, **streams):
    """A process that ends with us, whatever ends us."""
    libc = ctypes.CDLL(None)
    return subprocess.Popen(command, preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL), **streams)


class Node:
    def __init__(self, directory, port, bus_port):
        self.port, self.log = port, directory / "log"
        with open(self.log, "w") as log:
            self.process = start(
                [SERVER, "--port", str(port), "--bind", "127.0.0.1", "--dir", directory, "--save", "",
                 "--cluster-enabled", "yes", "--cluster-port", str(bus_port), "--cluster-node-timeout", "5000",
                 "--repl-diskless-sync-delay", "0", "--loadmodule", MODULE],
                stdout=log, stderr=log)
        self.client = redis.Redis(port=port)

    def answers(self):
        if self.process.poll() is not None:
            sys.exit(f"cluster.py: a server ended:\n{self.log.read_text()}")
        try:
            return self.client.ping()
        except redis.RedisError:
            return False

    def ask(self, command):
        reply = self.client.execute_command(*command.split())
        return reply.decode() if isinstance(reply, bytes) else reply

    def is_primary(self):
        return self.client.info("replication")["role"] == "master"

    def follows(self, primary):
        info = self.client.info("replication")
        return info["role"] == "slave" and info["master_port"] == primary.port and info["master_link_status"] == "up"


def redis_cli(*arguments, given=None):
    done = subprocess.run(["redis-cli", *map(str, arguments)], input=given, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"cluster.py: redis-cli {arguments}:\n{done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def cluster():
    """The nodes, when all agree and each primary has its replica."""
    nodes = []
    with tempfile.TemporaryDirectory() as directory:
        try:
            ports = free_ports(12)
            for port, bus_port in zip(ports[:6], ports[6:]):
                own = Path(directory) / str(port)
                own.mkdir()
                nodes.append(Node(own, port, bus_port))
            wait_until("all servers answer", lambda: all(node.answers() for node in nodes))
            addresses = [f"127.0.0.1:{node.port}" for node in nodes]
            redis_cli("--cluster", "create", *addresses, "--cluster-replicas", 1, "--cluster-yes")
            wait_until("each primary has its replica", lambda: len(pairs(nodes)) == 3)
            wait_until("the cluster is well", lambda: is_well(nodes))
            yield nodes
        finally:
            for node in nodes:
                node.process.kill()
                node.process.wait()


def pairs(nodes):
    """Each primary with a replica of its."""
    return [(primary, replica) for primary in nodes if primary.is_primary() for replica in nodes if replica.follows(primary)]


def is_well(nodes):
    """Whether all nodes agree on who has which slots and who follows whom."""
    views = set()
    for node in nodes:
        lines = map(str.split, node.ask("CLUSTER NODES").splitlines())
        views.add(str(sorted((node_id, primary, slots) for node_id, _, _, primary, _, _, _, _, *slots in lines)))
    return len(views) == 1 and all("cluster_state:ok" in node.ask("CLUSTER INFO") for node in nodes)


class Client(threading.Thread):
    """One that repeats the rows, one round for each line that it is sent."""

    def __init__(self, name, *command):
        super().__init__(daemon=True)
        self.name, self.rounds, self.said = name, 0, []
        self.ended = threading.Event()
        self.process = start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self):
        with self.process:
            while not self.ended.is_set():
                self.process.stdin.write("\n")
                self.process.stdin.flush()
                while (line := self.process.stdout.readline()) not in ("round\n", ""):
                    self.said.append(line)
                if not line:
                    return
                self.rounds += 1
            self.process.stdin.close()
            self.said += self.process.stdout.readlines()

    def end(self):
        self.ended.set()
        self.join()
        print("".join(self.said), end="")
        return self.process.returncode == 0


def tag_of_moved_slots(node):
    """A hash tag of one of the slots that are going to be moved."""
    return next(tag for tag in map(str, range(1 << 20)) if node.ask(f"CLUSTER KEYSLOT {tag}") < SLOTS)


def fail_over(nodes, primary, replica):
    replica.ask("CLUSTER FAILOVER")
    wait_until("they have changed places", lambda: replica.is_primary() and primary.follows(replica))
    wait_until("all nodes know", lambda: is_well(nodes))


def move_slots(nodes):
    """The first slots go to another primary."""
    primaries = [node for node in nodes if node.is_primary()]
    first = next(node for node in primaries if owns_slot_0(node))
    other = next(node for node in primaries if node is not first)
    redis_cli("--cluster", "reshard", f"127.0.0.1:{first.port}", "--cluster-from", first.ask("CLUSTER MYID"),
              "--cluster-to", other.ask("CLUSTER MYID"), "--cluster-slots", SLOTS, "--cluster-yes")
    wait_until("all nodes know", lambda: is_well(nodes))


def owns_slot_0(node):
    myself = next(line for line in node.ask("CLUSTER NODES").splitlines() if "myself" in line)
    return any(slots.split("-")[0] == "0" for slots in myself.split()[8:])


def upset(nodes, clients):
    """Fails each primary over and moves slots; in between, all clients go on for two rounds at least."""
    def go_on():
        goals = [client.rounds + 2 for client in clients]
        wait_until("all clients have gone on",
                   lambda: all(client.rounds >= goal or not client.is_alive() for client, goal in zip(clients, goals)))

    for primary, replica in pairs(nodes):
        go_on()
        fail_over(nodes, primary, replica)
    go_on()
    move_slots(nodes)
    go_on()


def run_clients(nodes, rust):
    tag, port = tag_of_moved_slots(nodes[0]), str(nodes[0].port)
    programs = {
        "python": [sys.executable, HERE / "client.py"],
        "node": ["node", HERE / "client.mjs"],
        "rust": [rust],
    }
    clients = [Client(f"{name}-{protocol}", *program, port, protocol, tag)
               for name, program in programs.items() for protocol in "23"]
    for client in clients:
        client.start()
    upset(nodes, clients)
    failed = [client.name for client in clients if not client.end()]
    reader = redis.RedisCluster(host="127.0.0.1", port=nodes[0].port)
    for client in clients:
        log = [int(value) for value in reader.execute_command("VALL", f"{{{tag}}}{client.name}:log")]
        if log != [7] * client.rounds:
            failed.append(f"{client.name}: {client.rounds} values were appended to its log, and it has {len(log)}")
    return failed


def main():
    # Servers are taken down if this is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    with cluster() as nodes:
        printed = redis_cli("-c", "-p", nodes[0].port, given=SCRIPT)
        # Where it was sent on, redis-cli says so, in lines of their own.
        printed = "".join(line for line in printed.splitlines(True) if not line.startswith("-> Redirected"))
        failed = [] if printed == PRINTED else [f"redis-cli -c printed\n{printed}"]
        failed += run_clients(nodes, sys.argv[1])
    print(*failed, sep="\n", end="\n" if failed else "")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
