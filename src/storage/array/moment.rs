//! The file of an array, how many values it has and had, all of one moment: for those who read it from beginning to end
//! while others go on, and for a forked child, which must not wait for a lock.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

use crate::storage::array::handle::{Array, State};
use crate::storage::array::writer::Extent;
use crate::storage::error::{Error, Result};
use crate::storage::files::calls as disk;
use crate::storage::files::path::FilePath;
use crate::storage::files::root;
use crate::storage::files::root::Identity;
use crate::storage::format::recovery::Contents;
use crate::storage::types::ItemType;

/// How much of a whole array is read at a time, in bytes.
const PIECE: usize = 1 << 20;

/// What a forked child may know: locks may be held in it for ever, by threads that it does not have. Descriptor and head
/// change together, by one store, as the server may fork at any instruction of another thread.
pub(in crate::storage) struct Published {
    slots: [Slot; 2],
    current: AtomicUsize,
}

struct Slot {
    /// -1 once the file is closed.
    fd: AtomicI32,
    head: AtomicU64,
    count: AtomicU64,
}

impl Slot {
    fn new(fd: i32, extent: Extent) -> Self {
        Self {
            fd: AtomicI32::new(fd),
            head: AtomicU64::new(extent.head),
            count: AtomicU64::new(extent.count),
        }
    }
}

impl Published {
    pub fn new(file: &File, extent: Extent) -> Self {
        let slot = || Slot::new(file.as_raw_fd(), extent);
        Self {
            slots: [slot(), slot()],
            current: AtomicUsize::new(0),
        }
    }

    fn current(&self) -> &Slot {
        &self.slots[self.current.load(Ordering::Acquire)]
    }

    pub fn head(&self) -> u64 {
        self.current().head.load(Ordering::Acquire)
    }

    pub fn count(&self) -> u64 {
        self.current().count.load(Ordering::Acquire)
    }

    /// Under the lock of the array, as all that changes it.
    pub fn set_count(&self, count: u64) {
        self.current().count.store(count, Ordering::Release);
    }

    pub fn set_head(&self, head: u64) {
        self.current().head.store(head, Ordering::Release);
    }

    pub fn replace(&self, file: Option<&File>, extent: Extent) {
        let next = 1 - self.current.load(Ordering::Acquire);
        let slot = &self.slots[next];
        let fd = file.map_or(-1, AsRawFd::as_raw_fd);
        slot.fd.store(fd, Ordering::Release);
        slot.head.store(extent.head, Ordering::Release);
        slot.count.store(extent.count, Ordering::Release);
        self.current.store(next, Ordering::Release);
    }
}

/// A file that is read: the array's own, or in a forked child the one that it inherited.
enum Source {
    Own(Arc<File>),
    Inherited(ManuallyDrop<File>),
}

impl Deref for Source {
    type Target = File;

    fn deref(&self) -> &File {
        match self {
            Self::Own(file) => file,
            Self::Inherited(file) => file,
        }
    }
}

/// An array at one moment. Its values change afterwards, and may be cut off at the end; but they stay where they are, as the
/// file does, whatever another thread drops from the head.
pub struct Moment<'a> {
    array: &'a Array,
    file: Source,
    extent: Extent,
}

impl Array {
    /// What the array is now. A forked child may ask, and waits for nobody.
    ///
    /// # Errors
    /// If the file is closed.
    pub fn moment(&self) -> Result<Moment<'_>> {
        let (file, extent) = if self.shared.is_child() {
            let slot = self.published.current();
            let fd = slot.fd.load(Ordering::Acquire);
            if fd < 0 {
                return Err(self.closed());
            }
            // SAFETY: the descriptor was open when the child was forked, which has its own and no thread that closes it; and
            // it is not closed here.
            let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
            let extent = Extent {
                head: slot.head.load(Ordering::Acquire),
                count: slot.count.load(Ordering::Acquire),
            };
            (Source::Inherited(file), extent)
        } else {
            let state = self.state.lock();
            (Source::Own(self.file(&state)?), state.extent())
        };
        Ok(Moment {
            array: self,
            file,
            extent,
        })
    }

    pub(in crate::storage) fn closed(&self) -> Error {
        Error::Closed {
            path: self.path.to_string(),
        }
    }

    /// Makes a count the count for this process and its children.
    #[inline]
    pub(in crate::storage) fn publish(&self, state: &mut State, count: u64) {
        state.count = count;
        self.published.set_count(count);
    }

    /// Makes a number of values dropped from the head the number for this process and its children.
    pub(in crate::storage) fn publish_head(&self, state: &mut State, head: u64) {
        state.head = head;
        self.published.set_head(head);
    }

    /// Makes a file, and which values it has, the array's for this process and its children, and returns the file before.
    pub(in crate::storage) fn publish_file(
        &self,
        state: &mut State,
        file: Option<Arc<File>>,
        extent: Extent,
    ) -> Option<Arc<File>> {
        // No mark may come late to a file that others can have by then.
        let _marking = self.marking.lock();
        self.published.replace(file.as_deref(), extent);
        state.head = extent.head;
        state.count = extent.count;
        let old = std::mem::replace(&mut state.file, file)?;
        self.shared.unmap(self.shared.windows.take_those_of(&old));
        Some(old)
    }
}

impl Moment<'_> {
    /// Which values there were.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    pub(in crate::storage) fn item(&self) -> ItemType {
        self.array.item()
    }

    pub(in crate::storage) fn path(&self) -> &FilePath {
        &self.array.path
    }

    /// Which file it is, for other servers. All zeros, which no file has, if the system does not say.
    pub fn identity(&self) -> Identity {
        root::identity(&*self.file).unwrap_or([0; 40])
    }

    /// Reads values from `index` on, as many of them as there are and `out` has room for, and says how many bytes.
    pub(in crate::storage) fn read(&self, index: u64, out: &mut [u8]) -> io::Result<usize> {
        let left = self.extent.count.saturating_sub(index);
        let size = self.array.item_size();
        let len = (out.len() as u64).min(left.saturating_mul(size)) as usize;
        let at = self.array.layout.offset(index.min(self.extent.count));
        disk::read_at(&*self.file, at, &mut out[..len])
    }

    /// Reads all values as the file has them by then, and hands `take` whole ones in pieces, with the index of the first
    /// of each, for as long as it wants more. Says how many of those that were read count: what lies behind the
    /// values of an array that becomes shorter meanwhile is none. After an error of the system's, which comes
    /// along, they are those before.
    pub fn read_in_pieces(
        &self,
        mut take: impl FnMut(u64, &[u8]) -> bool,
    ) -> (u64, io::Result<()>) {
        let size = self.array.item().size();
        let mut buffer = vec![0; (PIECE / size).max(1) * size];
        let mut done = 0;
        let mut result = Ok(());
        loop {
            match self.read(done, &mut buffer) {
                Ok(read) if read >= size => {
                    let values = read / size;
                    let first = done;
                    done += values as u64;
                    if !take(first, &buffer[..values * size]) {
                        break;
                    }
                }
                Ok(_) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        let counted = Contents::look(&self.file, &self.array.path, &self.array.layout)
            .map_or(done, |now| now.count.min(done));
        (counted, result)
    }
}
