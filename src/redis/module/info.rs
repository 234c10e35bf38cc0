//! `INFO mmap`, in sections. docs/operations.md describes each field.

use std::ffi::CStr;

use crate::redis::keys::unavailable::Unavailable;
use crate::redis::replication;
use crate::redis::replication::{copy, missing};
use crate::redis::server::info;
use crate::redis::server::info::{Info, InfoValue};
use crate::redis::{settings, store};

/// What `INFO` is answered by.
pub struct MmapInfo;

impl info::InfoSource for MmapInfo {
    fn fill(info: &Info) {
        fill(info);
    }
}

fn fill(info: &Info) {
    let store = store();
    let queue = store.pool().queue();
    let (totals, stats, settings) = (store.totals(), store.stats(), store.settings());
    let (fills, fill_bytes_left) = replication::fills_under_way();
    let sections: [(&CStr, &[(&CStr, InfoValue)]); 9] = [
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
        (c"limits", &[]),
    ];
    for (section, fields) in sections {
        if !info.section(section) {
            continue;
        }
        for (name, value) in settings::in_info(section, settings) {
            info.field(&name, &value);
        }
        for (name, value) in fields {
            info.field(name, value);
        }
    }
}
