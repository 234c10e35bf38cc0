//! What leaves a server: to replicas, in dumps, in backups, to other nodes of a Cluster.

#[path = "../support/mod.rs"]
mod support;

mod contents;
mod pair;
mod stream;
mod sync;
