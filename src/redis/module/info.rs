//! `INFO mmap`, in sections. docs/operations.md describes each field.

use std::ffi::{CStr, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

use redis_module::raw;

use crate::redis::keys::unavailable::Unavailable;
use crate::redis::replication;
use crate::redis::replication::{copy, missing};
use crate::redis::server::context::{Ctx, line};
use crate::redis::{settings, store};

/// Has the server ask for our part of `INFO`; `false` if it does not.
pub fn register(ctx: &Ctx) -> bool {
    // SAFETY: the context is that of OnLoad.
    let status = unsafe { raw::RedisModule_RegisterInfoFunc.unwrap()(ctx.raw(), Some(info)) };
    status == raw::REDISMODULE_OK as c_int
}

extern "C" fn info(ctx: *mut raw::RedisModuleInfoCtx, for_crash_report: c_int) {
    // A crash may have come while a lock was held, and a report must not wait for it.
    if for_crash_report == 0 && catch_unwind(AssertUnwindSafe(|| fill(ctx))).is_err() {
        tracing::error!("INFO panicked: this is a bug in the mmap module");
    }
}

/// What a field says.
enum Value {
    Number(u64),
    Text(String),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

fn fill(ctx: *mut raw::RedisModuleInfoCtx) {
    let store = store();
    let queue = store.pool().queue();
    let (totals, stats, settings) = (store.totals(), store.stats(), store.settings());
    let (fills, fill_bytes_left) = replication::fills_under_way();
    let sections: [(&CStr, &[(&CStr, Value)]); 9] = [
        (
            c"arrays",
            &[
                (c"arrays", totals.arrays.into()),
                (c"values", totals.values.into()),
                (c"bytes_used", totals.bytes_used.into()),
                (c"bytes_mapped", totals.bytes_mapped.into()),
                (c"slack_bytes", totals.slack_bytes.into()),
                (c"dirty_bytes", store.dirty_bytes().into()),
                (c"arrays_unsynced", totals.unsynced.into()),
                (c"arrays_refused", totals.refused.into()),
                (c"arrays_lost", totals.lost.into()),
                (c"arrays_unlinked", totals.unlinked.into()),
                (c"arrays_incomplete", totals.incomplete.into()),
                (c"keys_unavailable", Unavailable::count().into()),
            ],
        ),
        (
            c"growth",
            &[
                (c"growths_ahead", stats.growths_ahead.get().into()),
                (c"growths_inline", stats.growths_inline.get().into()),
                (c"growth_waits", stats.growth_waits.get().into()),
                (c"growth_last_usec", stats.growth_time.last().into()),
                (c"growth_max_usec", stats.growth_time.max().into()),
                (c"wait_usec", stats.wait_time.total().into()),
                (c"wait_max_usec", stats.wait_time.max().into()),
                (c"trims", stats.trims.get().into()),
            ],
        ),
        (
            c"scans",
            &[
                (c"scans", stats.scans.get().into()),
                (c"scans_repeated", stats.scans_repeated.get().into()),
                (c"scans_cancelled", stats.scans_cancelled.get().into()),
                (c"threads", (queue.threads() as u64).into()),
                (c"threads_jobs", (queue.jobs() as u64).into()),
            ],
        ),
        (
            c"cold",
            &[
                (c"cold_reads", stats.cold_reads.get().into()),
                (c"cold_waits", stats.cold_waits.get().into()),
                (c"cold_wait_last_usec", stats.cold_time.last().into()),
                (c"cold_wait_max_usec", stats.cold_time.max().into()),
                (c"cold_faults", stats.cold_faults.get().into()),
            ],
        ),
        (
            c"sync",
            &[
                (
                    c"fsync",
                    settings::fsync_name(settings.fsync()).to_owned().into(),
                ),
                (c"syncs", stats.syncs.get().into()),
                (c"sync_errors", stats.sync_errors.get().into()),
                (c"paced_writes", stats.paced_writes.get().into()),
                (c"sync_usec", stats.sync_time.total().into()),
                (c"sync_last_usec", stats.sync_time.last().into()),
                (c"sync_max_usec", stats.sync_time.max().into()),
            ],
        ),
        (
            c"replication",
            &[
                (c"fills", fills.into()),
                (c"fill_bytes_left", fill_bytes_left.into()),
                (c"writes_not_applied", copy::not_applied().into()),
                (c"contents_asked_for", missing::times_asked().into()),
                (c"catching_up", u64::from(missing::is_catching_up()).into()),
            ],
        ),
        (
            c"worker",
            &[
                (c"worker_alive", u64::from(store.worker_is_alive()).into()),
                (c"jobs_queued", (store.jobs_queued() as u64).into()),
            ],
        ),
        (
            c"errors",
            &[
                (c"errors", stats.errors.get().into()),
                (c"last_error", stats.last_error().into()),
            ],
        ),
        (
            c"limits",
            &[
                (c"max_slack", settings.max_slack().into()),
                (c"max_dirty_bytes", settings::max_dirty_bytes().into()),
                (c"max_arrays", settings.max_arrays().unwrap_or(0).into()),
                (
                    c"max_file_bytes",
                    settings.max_file_bytes().unwrap_or(0).into(),
                ),
            ],
        ),
    ];
    for (name, fields) in sections {
        add_section(ctx, name, fields);
    }
}

/// Adds a section, if it was asked for.
fn add_section(ctx: *mut raw::RedisModuleInfoCtx, name: &CStr, fields: &[(&CStr, Value)]) {
    // SAFETY: the context is valid during the callback, and names and texts are copied.
    unsafe {
        let wanted = raw::RedisModule_InfoAddSection.unwrap()(ctx, name.as_ptr());
        if wanted != raw::REDISMODULE_OK as c_int {
            return;
        }
        for (name, value) in fields {
            match value {
                Value::Number(number) => {
                    raw::RedisModule_InfoAddFieldULongLong.unwrap()(ctx, name.as_ptr(), *number);
                }
                Value::Text(text) => {
                    let text = line(text);
                    raw::RedisModule_InfoAddFieldCString.unwrap()(
                        ctx,
                        name.as_ptr(),
                        text.as_ptr(),
                    );
                }
            }
        }
    }
}
