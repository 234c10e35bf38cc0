//! Files that change behind our back: truncated by another process, or unreadable. Such an array is *lost* until
//! it is opened anew.

use std::fs::File;
use std::sync::Arc;

use rustix::fs::fstat;

use crate::storage::array::handle::Array;
use crate::storage::array::state::State;
use crate::storage::array::state::extent::Length;
use crate::storage::clock;
use crate::storage::error::{Error, Result};
use crate::storage::memory::guard::Fault;

impl Array {
    /// Whether the file was changed behind our back and must be opened anew.
    pub fn is_lost(&self) -> bool {
        let mut state = self.state.lock();
        state.usage.is_writable() && self.check_now_and_then(&mut state).is_err()
            || state.loss.is_lost()
    }

    /// What was done to the file behind our back, as far as that was noticed; nothing is looked at.
    pub fn why_lost(&self) -> Option<String> {
        let state = self.state.lock();
        let lost = self
            .not_lost(&state)
            .and_then(|()| self.not_unlinked(&state));
        lost.err().map(|error| error.to_string())
    }

    /// The file turned out not to be what it was left as: from now on every command on it says so.
    #[cold]
    pub(in crate::storage) fn mark_lost(&self, state: &mut State, _: Fault) -> Error {
        self.mark_lost_because(
            state,
            "was truncated by another process, or its disk failed, while it was mapped".to_owned(),
        )
    }

    #[cold]
    fn mark_lost_because(&self, state: &mut State, reason: String) -> Error {
        let error = self.noted(Error::Lost {
            path: self.path.to_string(),
            reason: reason.clone(),
        });
        tracing::error!("{error}");
        state.loss.mark_lost(reason);
        error
    }

    pub(in crate::storage) fn not_lost(&self, state: &State) -> Result<()> {
        match state.loss.lost() {
            None => Ok(()),
            Some(reason) => Err(Error::Lost {
                path: self.path.to_string(),
                reason: reason.to_owned(),
            }),
        }
    }

    /// Compares the file's length with what it should be, unless that was done a moment ago: a truncation
    /// within a page raises no signal, and zeros would be read for values.
    #[inline]
    pub(in crate::storage) fn check_now_and_then(&self, state: &mut State) -> Result<()> {
        let now = clock::now_ns();
        if state.loss.is_check_due(now) {
            self.file_as_left(state)?;
        }
        Ok(())
    }

    /// The file, if it has the length that it was left with.
    pub(in crate::storage) fn file_as_left(&self, state: &mut State) -> Result<Arc<File>> {
        self.not_lost(state)?;
        let file = self.file(state)?;
        // While the worker cuts the file, or has announced a growth, its length is not that of the state.
        if state.may_set_length().is_some() {
            self.check_length(state)?;
        }
        Ok(file)
    }

    /// Fails if the file has not the length that the state says.
    pub(in crate::storage) fn check_length(&self, state: &mut State) -> Result<()> {
        let len = self.len_of(&*self.file(state)?)?;
        match state.extent.compare(len) {
            Length::AsLeft => return Ok(()),
            Length::Overlong => {
                let token = self.may_set_length(state)?;
                return self.cut_overlong(state, token);
            }
            Length::Changed => {}
        }
        let reason = format!(
            "is {len} bytes long where it should be {}: another process changed its length",
            state.extent.len()
        );
        Err(self.mark_lost_because(state, reason))
    }

    pub(in crate::storage) fn len_of(&self, file: &File) -> Result<u64> {
        let stat = fstat(file).map_err(|e| self.failed("look at", e))?;
        Ok(stat.st_size.cast_unsigned())
    }
}
