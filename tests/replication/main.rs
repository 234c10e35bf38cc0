//! What leaves a server: to replicas, in dumps, in backups, to other nodes of a Cluster.

#[path = "../support/cache.rs"]
mod cache;

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/random.rs"]
mod random;

mod cluster;
mod cold;
mod contents;
mod failover;
mod pair;
mod stream;
mod sync;
mod workload;
mod writer;
