//! Statements about the module's behaviour, each shown on a real server.

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod binary;
mod binding;
mod commands;
mod growth;
mod incr;
mod info;
mod npy;
mod persistence;
mod ranges;
mod root_dir;
mod settings;
mod trim;
mod types;
mod vector_sets;
mod walkthrough;
