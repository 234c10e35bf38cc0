//! What leaves a server: to replicas, in dumps, in backups, to other nodes of a Cluster.

mod chaos;
mod cluster;
mod cluster_faults;
mod cold;
mod contents;
mod failover;
mod faults;
mod filling;
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
mod wait;
mod words;
mod workload;
mod writer;
