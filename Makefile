SHELL := /bin/bash
INTEGRATION := --test suite --test fuzz --test cold --test burst --test durability --test faults --test model --test replication

.PHONY: help run build test interleavings test-all test-python test-python-versions wheels test-crash fuzz bench bench-servers guard bench-storage lint servers dist test-dist \
    licences clean

help:
	@echo 'make run [PORT=6380]  build the module and run a Redis server with it, as redis.conf says'
	@echo 'make test             build, then all tests on the redis-server in the PATH'
	@echo 'make interleavings    threads of the storage layer under schedules that shuttle chooses; part of make test'
	@echo 'make test-all         the same, then the integration tests on Valkey 9.1, Debian'\''s Valkey 8.1 and Redis 8.0'
	@echo 'make test-python      the Python package: types, lint, and its tests on the redis-server in the PATH (or MMAP_SERVER)'
	@echo 'make test-python-versions  the same tests with Python 3.9, 3.10, 3.12 and 3.13, and with the oldest libraries it allows'
	@echo 'make wheels           python/dist: wheels of the Python package, with the module where dist/lib has it'
	@echo 'make test-crash       the long runs, some parts at a time, and a table at the end: an hour of each model, half an hour each of Sentinel and Cluster,'
	@echo '                      200 rounds of crashes, all faults, 50 power cuts a test, 20000 schedules of threads (needs root, FUSE, loop devices);'
	@echo '                      PARTS=... for some of them (tests/long_runs --list), MMAP_SECONDS and MMAP_ROUNDS for how long, MMAP_LANES for how many at a time'
	@echo 'make fuzz             random input of every kind from outside, some minutes: files, dumps, words of a primary, commands'
	@echo 'make test-field       under stock units of Debian (needs root), filters of system calls, overlayfs, musl, aarch64, newest servers'
	@echo 'make bench            docs/benchmarks.md: tables and charts, on servers of its own; SUITEFLAGS=--long for long arrays'
	@echo 'make bench-servers    the table of goals on the redis-server in the PATH, Redis 8.0 and Valkey 9.1'
	@echo 'make guard            instructions of the hot commands, compared with benches/baseline.json'
	@echo 'make bench-storage    parsing, formatting, append and growth without a server (Criterion)'
	@echo 'make lint             formatting and clippy'
	@echo 'make servers          fetch Valkey 9.1, Debian'\''s Valkey 8.1 and Redis 8.0 into .servers/'
	@echo 'make dist             packages for people without Rust, in dist/; TARGETS=... for some of them'
	@echo 'make test-dist        installs and uses them in clean Debian systems (needs root); PARTS=... for some of them'
	@echo 'make licences         the notices of what is linked in, again: after a dependency was added'
	@echo 'make clean            remove target/, dist/, .servers/ and .field/'
	@echo 'What a target needs and the machine lacks is installed with apt first.'

build:
	@bash .ci/packages build
	cargo build --release

run: build
	@bash .ci/packages server
	@exec bash .ci/serve $(PORT)

test: build
	@bash .ci/packages server test
	cargo test --release $(TESTFLAGS)
	$(MAKE) --no-print-directory interleavings

# In a directory of its own: with this flag the locks are those of shuttle.
interleavings:
	@bash .ci/packages build
	CARGO_PROFILE_DEV_DEBUG=0 RUSTFLAGS='--cfg shuttle' cargo test --target-dir target/shuttle --lib interleavings

test-all: test servers
	MMAP_SERVER='$(CURDIR)/.servers/valkey-9.1/valkey-server' cargo test --release $(INTEGRATION)
	MMAP_SERVER='$(CURDIR)/.servers/redis-8.0/redis-server' cargo test --release $(INTEGRATION)
	MMAP_SERVER='$(CURDIR)/.servers/debian-valkey-8.1/valkey-server' cargo test --release $(INTEGRATION)

test-python: build
	@bash .ci/packages server
	./python/run_tests $(TESTFLAGS)

test-python-versions: build
	@bash .ci/packages server
	./python/run_versions $(VERSIONS)

wheels:
	@bash .ci/packages servers
	./python/build_wheels

test-crash: build
	@bash .ci/packages server test
	tests/long_runs $(PARTS)

fuzz: build
	@bash .ci/packages server test
	MMAP_ROUNDS=10000 cargo test --release --lib storage::outside
	MMAP_ROUNDS=2000 cargo test --release --test replication fuzz::
	cargo test --release --test replication words::
	cargo test --release --test fuzz

test-field: build
	@bash .ci/packages server test
	cargo test --release --test field
	bash tests/field/machine musl
	bash tests/field/machine aarch64
	bash .ci/servers sid-redis sid-valkey
	MMAP_SERVER='$(CURDIR)/.servers/sid-redis/redis-server' cargo test --release --test suite
	MMAP_SERVER='$(CURDIR)/.servers/sid-valkey/valkey-server' cargo test --release --test suite
	bash tests/field/stock bookworm redis
	bash tests/field/stock trixie valkey

bench: build
	@bash .ci/packages server bench
	cargo build --release --examples
	@bash .ci/venv
	.venv/bin/python benches/suite $(BENCHFLAGS) $(SUITEFLAGS)

bench-servers: build servers
	@bash .ci/packages server bench
	cargo build --release --examples
	set -e; for server in redis-server .servers/redis-8.0/redis-server .servers/valkey-9.1/valkey-server; do \
	    ./benches/run --only speed --server "$$server" $(BENCHFLAGS); done

guard: build
	@bash .ci/packages server bench
	cargo build --release --example empty_command
	./benches/guard $(GUARDFLAGS)

# In a directory of its own: with this feature the module would not use the server's allocator.
bench-storage:
	@bash .ci/packages build
	cargo bench --target-dir target/bench --features system-alloc $(BENCHFLAGS)

lint:
	@bash .ci/packages build
	cargo fmt --all --check
	python3 .ci/layers
	python3 .ci/versions
	cargo clippy --release --workspace --all-targets --all-features -- -D warnings

servers:
	@bash .ci/servers

dist:
	@bash packaging/dist $(TARGETS)

test-dist:
	@bash packaging/test $(PARTS)

licences:
	@bash packaging/licences write

clean:
	cargo clean
	rm -rf dist .servers .field
