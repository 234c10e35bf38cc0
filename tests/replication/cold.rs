//! Writes that waited for a disk are sent to replicas like any other.

use crate::pair::Pair;
use support::cache;
use support::{Server, doubles, wait_until};

#[test]
fn a_write_that_waited_for_its_page_reaches_the_replica() {
    let file = doubles((0..100_000).map(f64::from));
    let pair = Pair::of(Server::setup().write("f", file), Server::setup());
    pair.primary.say("MMAP db f double WRITABLE");
    pair.assert_same();
    for command in [
        "VSET db 50000 -1",
        "VINCRBY db 60000 0.5 50000 1",
        "VSETRAW db 70000 12345678",
        "VFILL db 80000 80003 4",
        "VPOP db",
    ] {
        let file = pair.primary.path("f");
        wait_until("the file is not in RAM", || {
            cache::evict(&file);
            assert_eq!(pair.primary.say("VADVISE db DONTNEED"), "OK");
            cache::resident_pages(&file) == 0
        });
        let waits = pair.primary.stat("cold_waits");
        let reply = pair.primary.ask(command);
        assert!(!reply.is_error(), "{command}: {reply}");
        assert_eq!(pair.primary.stat("cold_waits"), waits + 1, "{command}");
        pair.assert_same();
    }
}
