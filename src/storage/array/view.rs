//! Looking at an array.

use std::ops::Range;
use std::sync::Arc;

use crate::storage::array::handle::Array;
use crate::storage::array::locked::Locked;
use crate::storage::array::open::map;
use crate::storage::array::state::span::Span;
use crate::storage::error::Result;
use crate::storage::format::recovery::Contents;

impl Array {
    /// Looks at the values, which stay as they are while the view lives.
    ///
    /// # Errors
    /// If the file of a read-only array cannot be looked at any more.
    #[inline]
    pub fn view(self: &Arc<Self>) -> Result<View<'_>> {
        let mut locked = self.lock();
        if !locked.usage.is_writable() {
            locked.not_lost()?;
            locked.refresh()?;
        } else {
            locked.check_now_and_then()?;
        }
        Ok(View { locked })
    }
}

impl Locked<'_> {
    /// Checks whether another process has changed the file.
    fn refresh(&mut self) -> Result<()> {
        let file = self.file()?;
        let len = self.array.len_of(&file)?;
        // The record of a file that has slack changes without any change of length.
        if len != self.extent.len() || self.extent.has_slack() {
            let contents = Contents::look(&file, &self.array.path, &self.array.layout)?;
            if contents.file_len > self.open.map().len() {
                let access = self.usage.mapped_for();
                let map = map(&file, &self.array.path, contents.file_len, access)?;
                self.replace_map(map);
            }
            self.extent.look_again(&contents);
            self.array.published.set_count(contents.count);
        }
        Ok(())
    }
}

/// The values of an array at one moment. While it lives, no thread of this process changes them.
pub struct View<'a> {
    locked: Locked<'a>,
}

impl View<'_> {
    /// Which values there are.
    pub fn span(&self) -> Span {
        self.locked.extent.span()
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.locked.extent.count()
    }

    pub(in crate::storage) fn array(&self) -> &Array {
        self.locked.array
    }

    /// Bytes per value.
    pub(in crate::storage) fn item_size(&self) -> u64 {
        self.locked.array.item_size()
    }

    /// Whether bytes of the file are in RAM; `None` where the system does not tell.
    pub(in crate::storage) fn has_bytes_in_ram(&self, bytes: Range<u64>) -> Option<bool> {
        self.locked.open.has_in_ram(bytes)
    }

    /// Copies the value at each index into `out`, one after the other. Where there is none, `out` stays as it is.
    ///
    /// # Errors
    /// If the file was truncated or cannot be read.
    pub fn gather(&mut self, indices: impl Iterator<Item = u64>, out: &mut [u8]) -> Result<()> {
        let locked = &mut self.locked;
        let layout = &locked.array.layout;
        let values = layout.data_at()..locked.extent.end();
        let map = locked.open.map();
        let gathered = map.gather(values, layout.item.size(), indices, out);
        gathered.map_err(|fault| locked.mark_lost(fault))
    }

    /// Copies the values from `index` on into `out`, as many as it holds. They must exist.
    ///
    /// # Errors
    /// As [`Self::gather`].
    #[inline(always)]
    pub fn read(&mut self, index: u64, out: &mut [u8]) -> Result<()> {
        let locked = &mut self.locked;
        let from = locked.array.layout.offset(index);
        debug_assert!(from + out.len() as u64 <= locked.extent.end());
        let read = locked.open.map().read(from, out);
        read.map_err(|fault| locked.mark_lost(fault))
    }
}
