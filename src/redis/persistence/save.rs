//! What is written: the binding, and the values where they are wanted.

use std::ffi::c_void;

use redis_module::raw;

use crate::redis::keys::binding::Binding;
use crate::redis::mode::phase::{Phase, first_time};
use crate::redis::mode::role::is_replica;
use crate::redis::persistence::{Origin, contents, dump, state};
use crate::redis::server::context::guarded;
use crate::redis::store;
use crate::storage::{Access, Bound, Completeness, Moment};

/// The server's side of an RDB, to write to.
struct Writer(*mut raw::RedisModuleIO);

impl Writer {
    fn bytes(&self, bytes: &[u8]) {
        // SAFETY: the server gave us the handle for the time of this call; the bytes are copied.
        unsafe {
            raw::RedisModule_SaveStringBuffer.unwrap()(self.0, bytes.as_ptr().cast(), bytes.len());
        }
    }

    fn number(&self, number: u64) {
        // SAFETY: as above.
        unsafe { raw::RedisModule_SaveUnsigned.unwrap()(self.0, number) };
    }

    fn failed(&self) -> bool {
        // SAFETY: as above.
        unsafe { raw::RedisModule_IsIOError.unwrap()(self.0) != 0 }
    }
}

pub extern "C" fn save(rdb: *mut raw::RedisModuleIO, value: *mut c_void) {
    // SAFETY: the server passes a value of this type. It may be in a child: nothing here waits for a lock.
    let binding = unsafe { &*value.cast::<Binding>() };
    guarded("saving a key", || save_binding(&Writer(rdb), binding));
}

fn save_binding(rdb: &Writer, binding: &Binding) {
    rdb.bytes(binding.path.as_bytes());
    rdb.bytes(binding.item.name().as_bytes());
    rdb.number(binding.item.size() as u64);
    rdb.number(u64::from(binding.access == Access::Writable));
    rdb.number(binding.published_count());
    let array = binding.target_array().ok();
    rdb.number(
        Origin {
            is_primary: !is_replica(),
            is_sent_anew: array.is_some_and(|array| array.is_sent_anew()),
            unannounced: array.map_or(0, |array| array.unannounced()),
            is_incomplete_unnoted: array.is_some_and(|array| array.is_incomplete_unnoted()),
        }
        .to_number(),
    );
    let phase = Phase::now();
    rdb.number(u64::from(phase == Phase::SavingForReplicas));
    rdb.bytes(&store().identity());
    if !phase.takes_contents() {
        rdb.number(contents::NONE);
        return;
    }
    let unavailable = |reason: &str| {
        rdb.number(contents::UNAVAILABLE);
        rdb.bytes(reason.as_bytes());
    };
    let array = match phase {
        // Nobody would send the rest of them to the server that gets the dump.
        Phase::Idle => binding.bound(),
        _ => binding.target_array(),
    };
    match array {
        Err(failure) => unavailable(&failure.to_string()),
        Ok(array) => match array.moment() {
            Err(error) => unavailable(&error.to_string()),
            Ok(moment) if phase != Phase::Idle && !first_time(&moment.identity()) => {
                rdb.number(contents::EARLIER);
            }
            Ok(moment) => match dump::check(array, phase) {
                Ok(()) => save_values(rdb, array, &moment),
                Err(reason) => {
                    tracing::warn!("{reason}");
                    unavailable(&reason);
                }
            },
        },
    }
}

/// The values, read from the file in pieces: a child has no copy of them, and needs none.
fn save_values(rdb: &Writer, array: &Bound, moment: &Moment<'_>) {
    rdb.number(contents::VALUES);
    rdb.bytes(&moment.identity());
    rdb.number(moment.extent().head);
    rdb.number(match array.completeness() {
        Completeness::Whole | Completeness::Doubted => state::WHOLE,
        Completeness::Filling => state::FILLING,
        Completeness::Gap | Completeness::Missed => state::MISSED,
    });
    let mut checksum = crc32fast::Hasher::new();
    // A replica is told of what becomes shorter meanwhile after this.
    let (count, result) = moment.read_in_pieces(|_, bytes| {
        checksum.update(bytes);
        rdb.bytes(bytes);
        !rdb.failed()
    });
    let failure = match result {
        Ok(()) => String::new(),
        Err(error) => format!("cannot read '{}': {error}", array.path()),
    };
    if !failure.is_empty() {
        tracing::error!("while saving: {failure}");
    }
    rdb.bytes(b"");
    rdb.number(u64::from(checksum.finalize()));
    rdb.number(count);
    rdb.bytes(failure.as_bytes());
}
