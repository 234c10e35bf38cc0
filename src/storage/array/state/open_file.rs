//! The open file of an array, and its mapping.
//!
//! **Invariant**: what the kernel was told of the order of reads holds for the file and the mapping that are there, whichever
//! came last; and the way to look for pages in RAM is one for this file.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use crate::storage::files::access::Access;
use crate::storage::memory::mapping::Mapping;
use crate::storage::memory::pattern::{Pattern, advise_file};
use crate::storage::memory::presence::Look;

/// A file and its mapping.
pub(in crate::storage) struct OpenFile {
    /// `None` once the array is closed.
    file: Option<Arc<File>>,
    map: Arc<Mapping>,
    /// How to find out what of it is in RAM.
    look: Look,
    /// How it is going to be read.
    pattern: Pattern,
}

impl OpenFile {
    /// Of a file that was opened for a key.
    pub fn new(file: Arc<File>, map: Arc<Mapping>, access: Access) -> Self {
        Self {
            look: Look::at(&file, access),
            file: Some(file),
            map,
            pattern: Pattern::default(),
        }
    }

    /// The file; `None` once the array is closed.
    #[inline]
    pub fn file(&self) -> Option<&Arc<File>> {
        self.file.as_ref()
    }

    #[inline]
    pub fn is_closed(&self) -> bool {
        self.file.is_none()
    }

    /// Whether it is that file.
    pub fn is(&self, file: &Arc<File>) -> bool {
        self.file
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, file))
    }

    #[inline]
    pub fn map(&self) -> &Arc<Mapping> {
        &self.map
    }

    /// How to find out what of it is in RAM.
    pub fn look(&self) -> Look {
        self.look
    }

    /// Whether bytes are in RAM; `None` where the system does not tell. Of a closed file nothing is missed.
    pub fn has_in_ram(&self, bytes: Range<u64>) -> Option<bool> {
        match &self.file {
            Some(file) if !bytes.is_empty() => self.look.finds(file, &self.map, bytes),
            _ => Some(true),
        }
    }

    /// Puts another file in place, or none, and returns the one before. The mapping stays, until it is replaced.
    pub fn replace_file(&mut self, file: Option<Arc<File>>) -> Option<Arc<File>> {
        let old = std::mem::replace(&mut self.file, file);
        self.tell_kernel_again();
        old
    }

    /// Puts another mapping in place, and returns the one before.
    pub fn replace_map(&mut self, map: Arc<Mapping>) -> Arc<Mapping> {
        let old = std::mem::replace(&mut self.map, map);
        self.tell_kernel_again();
        old
    }

    /// The file is open for something else from now on.
    pub fn reopened(&mut self, access: Access) {
        if let Some(file) = &self.file {
            self.look = Look::at(file, access);
        }
    }

    /// Tells the kernel in which order values are going to be read.
    pub fn advise(&mut self, pattern: Pattern) {
        self.pattern = pattern;
        self.tell_kernel();
    }

    fn tell_kernel_again(&self) {
        if self.pattern != Pattern::Normal {
            self.tell_kernel();
        }
    }

    fn tell_kernel(&self) {
        self.map.advise(self.pattern);
        if let Some(file) = &self.file {
            advise_file(file, self.pattern);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(len: u64) -> (Arc<File>, Arc<Mapping>) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(len).unwrap();
        let map = Mapping::covering(&file, len, Access::Writable).unwrap();
        (Arc::new(file), Arc::new(map))
    }

    #[test]
    fn a_file_is_known_by_its_descriptor_until_another_takes_its_place() {
        let ((one, map), (other, _)) = (open(8), open(8));
        let mut open = OpenFile::new(Arc::clone(&one), map, Access::Writable);
        assert!(open.is(&one) && !open.is(&other) && !open.is_closed());
        let old = open.replace_file(Some(Arc::clone(&other)));
        assert!(Arc::ptr_eq(&old.unwrap(), &one) && open.is(&other));
        open.replace_file(None);
        assert!(open.is_closed() && !open.is(&other));
        assert_eq!(open.has_in_ram(0..8), Some(true), "nothing is missed of it");
    }

    #[test]
    fn the_order_of_reads_is_kept_for_the_next_mapping() {
        let ((file, map), (_, next)) = (open(8), open(4096));
        let mut open = OpenFile::new(file, Arc::clone(&map), Access::Writable);
        open.advise(Pattern::Random);
        assert!(Arc::ptr_eq(&open.replace_map(Arc::clone(&next)), &map));
        assert!(Arc::ptr_eq(open.map(), &next));
        assert_eq!(open.pattern, Pattern::Random);
    }
}
