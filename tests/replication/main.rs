//! What leaves a server: to replicas, in dumps, in backups, to other nodes of a Cluster.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/random.rs"]
mod random;

mod cluster;
mod contents;
mod pair;
mod stream;
mod sync;
mod workload;
