//! What leaves a server: to replicas, in dumps, in backups, to other nodes of a Cluster.

#[path = "../support/cache.rs"]
mod cache;

#[path = "../support/mounts.rs"]
mod mounts;

#[path = "../faults/interposer.rs"]
mod interposer;

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/random.rs"]
mod random;

mod chaos;
mod cluster;
mod cluster_faults;
mod cold;
mod contents;
mod failover;
mod faults;
mod fuzz;
mod hostile;
mod incomplete;
mod long_run;
mod long_writes;
mod migrate;
mod pair;
mod restore;
mod rights;
mod slots;
mod stream;
mod sync;
mod versions;
mod workload;
mod writer;
