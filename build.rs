//! How the module is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The server closes a library whose module could not be loaded. Its code must stay: handlers of signals lead there, and
    // so do destructors of the main thread's thread-locals.
    println!("cargo::rustc-link-arg-cdylib=-Wl,-z,nodelete");
}
