//! Everything about one array, for those who look after it.

use std::sync::Arc;

use super::array::Array;
use super::record;
use super::residency::resident_bytes;
use super::root::Access;

/// What an array is fit for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The file is as long as its values.
    Exact,
    /// The file has space behind the values.
    Slack,
    /// Writes are refused, after a failed sync or the end of the worker.
    Refused,
    /// The file was changed behind our back, and must be opened anew.
    Lost,
}

/// An array at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    pub state: State,
    /// Number of values.
    pub count: u64,
    /// Number of values for which the file is long enough as it is.
    pub capacity: u64,
    /// Bytes of values.
    pub bytes: u64,
    /// Length of the file in bytes.
    pub file_bytes: u64,
    /// Number of values known to be on disk; `None` if another program writes the file.
    pub synced: Option<u64>,
    /// Bytes of the file that are in RAM; `None` if the system does not tell.
    pub resident: Option<u64>,
    /// Why the array is refused or lost; else what went wrong last, if anything did.
    pub last_error: Option<String>,
}

impl Array {
    /// Looks at the array and at the page cache. That is bounded work, whatever the length of the file.
    pub fn status(&self) -> Status {
        // A view looks at the file; that it fails is part of the answer.
        let lost = self.view().err();
        let dead = self.shared.worker_alive().err();
        let state = self.state.lock();
        let is_writable = state.access == Access::Writable;
        let bytes = state.count * self.item_size();
        let room = if state.slack {
            state.file_len - record::SIZE
        } else {
            state.file_len
        };
        let (name, why) = if let Some(lost) = lost {
            (State::Lost, Some(lost.to_string()))
        } else if let Some(refusal) = &state.refusal {
            (State::Refused, Some(refusal.clone()))
        } else if let Some(dead) = dead.filter(|_| is_writable) {
            (State::Refused, Some(dead.to_string()))
        } else if state.slack {
            (State::Slack, None)
        } else {
            (State::Exact, None)
        };
        let (file, map, file_bytes) = (state.file.clone(), Arc::clone(&state.map), state.file_len);
        let synced = is_writable.then(|| state.synced.min(state.count));
        let count = state.count;
        drop(state);
        Status {
            state: name,
            count,
            capacity: room / self.item_size(),
            bytes,
            file_bytes,
            synced,
            resident: file.and_then(|file| resident_bytes(&file, &map, file_bytes).ok()),
            last_error: why.or_else(|| self.last_error()),
        }
    }
}
