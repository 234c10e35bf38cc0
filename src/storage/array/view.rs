//! Looking at an array.

use crate::storage::array::handle::Array;
use crate::storage::array::lock::Locked;
use crate::storage::array::open::map;
use crate::storage::array::state::State;
use crate::storage::array::state::span::Span;
use crate::storage::error::Result;
use crate::storage::format::recovery::Contents;

impl Array {
    /// Looks at the values, which stay as they are while the view lives.
    ///
    /// # Errors
    /// If the file of a read-only array cannot be looked at any more.
    pub fn view(&self) -> Result<View<'_>> {
        let mut state = self.state.lock();
        if !state.usage.is_writable() {
            self.not_lost(&state)?;
            self.refresh(&mut state)?;
        } else {
            self.check_now_and_then(&mut state)?;
        }
        Ok(View { array: self, state })
    }

    /// Looks at what another process made of the file meanwhile.
    fn refresh(&self, state: &mut State) -> Result<()> {
        let file = self.file(state)?;
        let len = self.len_of(&file)?;
        // The record of a file that has slack changes without any change of length.
        if len != state.extent.len() || state.extent.has_slack() {
            let contents = Contents::look(&file, &self.path, &self.layout)?;
            if contents.file_len > state.map.len() {
                let access = state.usage.mapped_for();
                let map = map(&file, &self.path, contents.file_len, access)?;
                self.replace_map(state, map);
            }
            state.extent.look_again(&contents);
            self.published.set_count(contents.count);
        }
        Ok(())
    }
}

/// The values of an array at one moment. While it lives, nobody changes them from within this process.
pub struct View<'a> {
    array: &'a Array,
    state: Locked<'a>,
}

impl View<'_> {
    /// Which values there are.
    pub fn span(&self) -> Span {
        self.state.span()
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.state.extent.count()
    }

    pub(in crate::storage) fn array(&self) -> &Array {
        self.array
    }

    pub(in crate::storage) fn state(&self) -> &State {
        &self.state
    }

    /// Bytes per value.
    pub(in crate::storage) fn item_size(&self) -> u64 {
        self.array.item_size()
    }

    /// Copies the value at each index into `out`, one after the other. Where there is none, `out` stays as it is.
    ///
    /// # Errors
    /// If the file was truncated or cannot be read.
    pub fn gather(&mut self, indices: &[u64], out: &mut [u8]) -> Result<()> {
        let State { map, extent, .. } = &*self.state;
        let values = self.array.layout.data_at()..self.array.end_of_values(&self.state);
        debug_assert_eq!(values.end - values.start, extent.count() * self.item_size());
        map.gather(values, self.array.item().size(), indices, out)
            .map_err(|fault| self.array.mark_lost(&mut self.state, fault))
    }

    /// Copies the values from `index` on into `out`, as many as it holds. They must exist.
    ///
    /// # Errors
    /// As [`Self::gather`].
    #[inline]
    pub fn read(&mut self, index: u64, out: &mut [u8]) -> Result<()> {
        let from = self.array.layout.offset(index);
        debug_assert!(from + out.len() as u64 <= self.array.end_of_values(&self.state));
        self.state
            .map
            .read(from, out)
            .map_err(|fault| self.array.mark_lost(&mut self.state, fault))
    }
}
