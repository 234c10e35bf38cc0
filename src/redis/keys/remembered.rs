//! Which array a key led to when it was last looked up. Looking a key up is a third of the work of a short command.
//!
//! A key is remembered for a tenth of a second at most ([`forget_all`] in the server's own clock), so that what the server
//! learns from look-ups (LRU, LFU) stays true enough, and only if it does not expire. It is forgotten before that when
//! anything changes what its name leads to:
//!
//! | what | how it is noticed |
//! |---|---|
//! | the key is deleted, replaced, renamed, moved, evicted, or expires | the type's `unlink` |
//! | `EXPIRE`, which takes effect later | its keyspace event |
//! | databases are emptied or swapped, data are loaded | the server's events |
//!
//! What is remembered holds the array itself: if the end of a key went unnoticed, the array would be written to once more,
//! but freed memory never would be.

use std::cell::RefCell;
use std::ffi::c_int;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::redis::keys::binding::Binding;

/// So many keys are remembered at once.
const SLOTS: usize = 64;
/// Keys with longer names, in bytes, are not.
const LONGEST_NAME: usize = 128;

/// What a key led to. The count of the inner pointer is the server's thread's own, and costs nothing to change.
pub type SharedBinding = Rc<Arc<Binding>>;

struct RememberedKey {
    database: c_int,
    name: Box<[u8]>,
    binding: SharedBinding,
}

#[derive(Default)]
struct Slot {
    /// The [`tag`] of the key that was looked up here last.
    candidate: u32,
    entry: Option<RememberedKey>,
}

/// Only the thread that runs commands has one that is used. Others that the server lends its lock to look keys up.
struct Table {
    is_servers: bool,
    slots: [Slot; SLOTS],
}

thread_local! {
    // Never dropped: the server's thread does not end, and no other thread puts anything in.
    static TABLE: ManuallyDrop<RefCell<Table>> = const {
        ManuallyDrop::new(RefCell::new(Table {
            is_servers: false,
            slots: [const { Slot { candidate: 0, entry: None } }; SLOTS],
        }))
    };
}

/// Another thread, which had the server's lock, changed what some key leads to.
static IS_STALE: AtomicBool = AtomicBool::new(false);

/// Whether reads go by what is remembered.
static IS_FOR_READS: AtomicBool = AtomicBool::new(false);

/// Tells names apart, most of the time: numbered ones by their last bytes. Its lowest bits are the slot.
#[inline]
fn tag(name: &[u8]) -> u32 {
    let len = name.len();
    match name {
        [.., before, last] => {
            let middle = u32::from(name[len / 2]);
            let last = u32::from(*last).wrapping_add(u32::from(*before).wrapping_mul(11));
            last.wrapping_add(len as u32) & 0xff
                | middle << 8
                | u32::from(*before) << 16
                | (len as u32) << 24
        }
        _ => name.first().copied().map_or(0, u32::from),
    }
}

impl Table {
    #[inline]
    fn slot(&mut self, tag: u32) -> &mut Slot {
        &mut self.slots[tag as usize % SLOTS]
    }

    #[cold]
    fn forget_what_is_stale(&mut self) {
        IS_STALE.store(false, Ordering::Relaxed);
        self.clear();
    }

    fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.entry = None);
    }
}

/// Says that commands run on this thread, and that keys are remembered from now on.
pub fn install() {
    TABLE.with(|table| table.borrow_mut().is_servers = true);
}

/// What a key leads to, if that is remembered.
#[inline(always)]
pub fn find(database: c_int, name: &[u8]) -> Option<SharedBinding> {
    TABLE.with(|table| {
        let table = &mut *table.borrow_mut();
        if IS_STALE.load(Ordering::Relaxed) {
            table.forget_what_is_stale();
        }
        let entry = table.slot(tag(name)).entry.as_ref()?;
        (entry.database == database && *entry.name == *name).then(|| Rc::clone(&entry.binding))
    })
}

/// [`find`], for a command that reads.
#[inline(always)]
pub fn find_to_read(database: c_int, name: &[u8]) -> Option<SharedBinding> {
    if IS_FOR_READS.load(Ordering::Relaxed) {
        find(database, name)
    } else {
        None
    }
}

/// Says whether reads may go by what is remembered: where keys are evicted, the server is to see how often each is read.
pub fn set_for_reads(is_for_reads: bool) {
    IS_FOR_READS.store(is_for_reads, Ordering::Relaxed);
}

/// Whether a key that was looked up is worth remembering: if it was the last one of its slot, too.
#[inline]
pub fn is_worth_it(name: &[u8]) -> bool {
    TABLE.with(|table| {
        let table = &mut *table.borrow_mut();
        let tag = tag(name);
        let before = std::mem::replace(&mut table.slot(tag).candidate, tag);
        table.is_servers && before == tag && name.len() <= LONGEST_NAME
    })
}

/// Remembers what a key leads to, which was just looked up and does not expire.
pub fn remember(database: c_int, name: &[u8], binding: Arc<Binding>) {
    let entry = RememberedKey {
        database,
        name: name.into(),
        binding: Rc::new(binding),
    };
    TABLE.with(|table| table.borrow_mut().slot(tag(name)).entry = Some(entry));
}

/// Forgets what a name leads to, in every database.
pub fn forget(name: &[u8]) {
    change(|table| table.slot(tag(name)).entry = None);
}

/// Forgets what any key leads to.
pub fn forget_all() {
    change(Table::clear);
}

fn change(change: impl FnOnce(&mut Table)) {
    TABLE.with(|table| {
        let table = &mut *table.borrow_mut();
        if table.is_servers {
            change(table);
        } else {
            IS_STALE.store(true, Ordering::Relaxed);
        }
    });
}
