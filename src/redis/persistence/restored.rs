//! `RESTORE` between the moment when its file is made and that when the key is there. In between, the server reads what
//! follows the value in the dump, and may refuse it, or finds that the key has expired by now: then it gives the new
//! value up, and all is to be as it was.
//!
//! A value that is freed before any other event was not under a key. Such events are: the server comes back to its event
//! loop, unlinks a key, empties a database, or loads another value. Keyspace events would tell, too; but then each write
//! of each client costs a look for whom they are.

use parking_lot::Mutex;

use crate::redis::keys::binding::Binding;
use crate::redis::mode::phase::Phase;
use crate::redis::server::on_main_thread;
use crate::storage::Undo;

/// A value that was made and is under no key yet.
struct PendingRestore {
    /// The address of the value.
    value: usize,
    undo: Undo,
}

fn address_of(value: &Binding) -> usize {
    std::ptr::from_ref(value).addr()
}

static PENDING: Mutex<Option<PendingRestore>> = Mutex::new(None);

fn take(is_it: impl FnOnce(&mut PendingRestore) -> bool) -> Option<Undo> {
    let mut pending = PENDING.lock();
    pending.take_if(is_it).map(|pending| pending.undo)
}

/// Notes how what was done for a new value is undone, if it is for `RESTORE`.
pub fn note(value: &Binding, undo: Option<Undo>) {
    keep();
    if Phase::now() != Phase::Idle {
        undo.iter().for_each(Undo::report);
        return;
    }
    let Some(undo) = undo else { return };
    let value = address_of(value);
    *PENDING.lock() = Some(PendingRestore { value, undo });
    on_main_thread(Box::new(keep));
}

/// The value is under its key: nothing is undone any more. So it is when a key is unlinked, before its value is given up, and
/// when a database is about to be emptied, which unlinks no single keys.
pub fn keep() {
    if let Some(undo) = take(|_| true) {
        undo.report();
    }
}

/// The server gives a value up: if it never was under a key, its file goes, too.
pub fn undo(value: &Binding) {
    if let Some(undo) = take(|pending| pending.value == address_of(value)) {
        tracing::warn!("the server gave up a restored key: the change of its file is undone");
        undo.carry_out();
    }
}
