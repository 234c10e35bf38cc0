//! Statements about the module's behaviour, each shown on a real server.

#[path = "../support/cache.rs"]
mod cache;
#[path = "../support/mod.rs"]
mod support;

mod acl;
mod aggregate;
mod bad_input;
mod binary;
mod binding;
mod cold;
mod commands;
mod exhaustion;
mod failed_loads;
mod growth;
mod incr;
mod info;
mod introspection;
mod keyspace;
mod limits;
mod memory;
mod mistakes;
mod npy;
mod own_files;
mod persistence;
mod ranges;
mod root_dir;
mod settings;
mod trim;
mod types;
mod vector_sets;
mod vstat;
mod walkthrough;
