//! Going over the values of an array once: here and now, or on the pool.

use std::collections::{TryReserveError, VecDeque};
use std::iter::repeat_n;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::storage::array::handle::Array;
use crate::storage::array::view::View;
use crate::storage::error::{Error, Result};
use crate::storage::memory::window::Window;
use crate::storage::scan::snapshot::{Broken, Snapshot};
use crate::storage::threads::cancel::Cancel;
use crate::storage::threads::pool::{Job, Queue};

/// Bytes that one step of a job reads.
const BLOCK: u64 = 4 << 20;
/// What is read from a file at once, in bytes: it stays in the second-level cache until it has been processed.
const READ: u64 = 256 << 10;
/// What a query takes in at once, in bytes, and what is copied from a mapping at once: it stays in the first-level cache
/// while several loops go over it, and they are done with it before the memory behind has more.
const CHUNK: u64 = 8 << 10;
/// From this size on, a range is read through mappings: for less, faults and unmapping cost more than they save.
const MAPPED: u64 = 16 << 20;
/// How many blocks threads may be ahead of one that is slow: what is known of those is kept until its turn comes.
const AHEAD: usize = 1024;
/// How often a scan begins again when too much of the array was changed during it.
const ATTEMPTS: u32 = 3;

/// What is asked of the values of a range. The range is divided into blocks, which several threads take in; the parts
/// come together in order.
pub trait Query: Send + Sync + 'static {
    /// What is known of one block.
    type Part: Default + Send;
    /// What is known of all blocks so far: it takes no more memory with each of them than its answer does.
    type Whole: Default + Send;
    type Answer;

    /// Takes in values of a block, the first of which has that index. `bytes` is aligned for any type.
    ///
    /// # Errors
    /// If there is no memory for what is known of them.
    fn take_in(
        &self,
        range: &Range<u64>,
        part: &mut Self::Part,
        index: u64,
        bytes: &[u8],
    ) -> std::result::Result<(), TryReserveError>;

    /// Whether the blocks so far are enough for an answer.
    fn has_enough(&self) -> bool {
        false
    }

    /// Takes in what is known of the next block. They come in order.
    ///
    /// # Errors
    /// If there is no memory for it.
    fn merge(
        &self,
        whole: &mut Self::Whole,
        part: Self::Part,
    ) -> std::result::Result<(), TryReserveError>;

    /// The answer, of all blocks or enough of them.
    ///
    /// # Errors
    /// If there is no memory for it.
    fn answer(
        &self,
        range: &Range<u64>,
        whole: Self::Whole,
    ) -> std::result::Result<Self::Answer, TryReserveError>;
}

/// Memory that is aligned for values of any type.
struct Buffer(Vec<u128>);

impl Buffer {
    fn new(bytes: u64) -> Self {
        Self(vec![0; bytes.div_ceil(16) as usize])
    }

    fn bytes(&mut self, len: u64) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.0)[..len as usize]
    }
}

/// How many values of `size` bytes come to about `bytes`: at least one, and a multiple of 16 so that each chunk is aligned.
fn values_in(bytes: u64, size: u64) -> u64 {
    (bytes / size).max(1).next_multiple_of(16)
}

/// The blocks of a range.
#[derive(Clone, Debug)]
struct Blocks {
    range: Range<u64>,
    item_size: u64,
    values: u64,
}

impl Blocks {
    fn of(range: Range<u64>, item_size: u64) -> Self {
        Self {
            range,
            item_size,
            values: values_in(BLOCK, item_size),
        }
    }

    fn len(&self) -> u64 {
        (self.range.end - self.range.start).div_ceil(self.values)
    }

    fn bytes(&self) -> u64 {
        (self.range.end - self.range.start) * self.item_size
    }

    fn block(&self, number: u64) -> Range<u64> {
        let start = self.range.start + number * self.values;
        start..(start + self.values).min(self.range.end)
    }

    /// Goes over one block. `read` fills a buffer with the values from an index on.
    fn go_over<Q: Query, E: From<TryReserveError>>(
        &self,
        number: u64,
        query: &Q,
        buffer: &mut Buffer,
        at_once: u64,
        mut read: impl FnMut(u64, &mut [u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<Q::Part, E> {
        let block = self.block(number);
        let (at_once, chunk) = (
            values_in(at_once, self.item_size),
            values_in(CHUNK, self.item_size),
        );
        let mut part = Q::Part::default();
        for start in block.clone().step_by(at_once as usize) {
            let values = at_once.min(block.end - start);
            let bytes = buffer.bytes(values * self.item_size);
            read(start, bytes)?;
            let chunks = bytes.chunks((chunk * self.item_size) as usize);
            for (index, chunk) in (start..).step_by(chunk as usize).zip(chunks) {
                query.take_in(&self.range, &mut part, index, chunk)?;
            }
        }
        Ok(part)
    }

    fn buffer(&self) -> Buffer {
        let values = values_in(READ, self.item_size).min(self.range.end - self.range.start);
        Buffer::new(values * self.item_size)
    }
}

/// Goes over a range of a view, here and now.
///
/// # Errors
/// If the file cannot be read.
pub fn scan<Q: Query>(view: &mut View<'_>, range: Range<u64>, query: &Q) -> Result<Q::Answer> {
    let blocks = Blocks::of(range, view.item_size());
    let mut buffer = blocks.buffer();
    let mut whole = Q::Whole::default();
    for number in 0..blocks.len() {
        if query.has_enough() {
            break;
        }
        let part = blocks.go_over(number, query, &mut buffer, READ, |index, out| {
            view.read(index, out)
        })?;
        query.merge(&mut whole, part)?;
    }
    Ok(query.answer(&blocks.range, whole)?)
}

/// A scan that is to be done on the pool.
pub(in crate::storage) struct Request<Q: Query> {
    pub array: Arc<Array>,
    pub range: Box<dyn Fn(u64) -> Range<u64> + Send>,
    pub query: Box<dyn Fn() -> Q + Send>,
    pub cancel: Cancel,
    pub done: Box<dyn FnOnce(Result<Q::Answer>) + Send>,
}

impl<Q: Query> Request<Q> {
    /// Begins the scan, with as many threads as the pool has.
    pub fn submit(self, pool: &Queue) {
        self.attempt(pool, 1);
    }

    fn attempt(self, pool: &Queue, attempt: u32) {
        let snapshot = match self.array.snapshot() {
            Ok(snapshot) => snapshot,
            Err(error) => return (self.done)(Err(error)),
        };
        let range = (self.range)(snapshot.count());
        let blocks = Blocks::of(range, self.array.item_size());
        let helpers = blocks.len().clamp(1, pool.threads() as u64);
        let scan = Arc::new(Scan {
            query: (self.query)(),
            blocks,
            snapshot,
            cancel: self.cancel.clone(),
            progress: Mutex::new(Progress::of(Q::Whole::default())),
            attempt,
            request: Mutex::new(self),
        });
        // No handle may be left here: the last thread to let go of the scan ends it.
        for scan in repeat_n(scan, helpers as usize) {
            pool.submit(Box::new(Helper {
                scan,
                buffer: None,
                window: None,
                pool: pool.clone(),
            }));
        }
    }
}

/// One attempt at a scan.
struct Scan<Q: Query> {
    query: Q,
    blocks: Blocks,
    snapshot: Snapshot,
    cancel: Cancel,
    progress: Mutex<Progress<Q::Whole, Q::Part>>,
    attempt: u32,
    /// Needed by the last thread only.
    request: Mutex<Request<Q>>,
}

struct Progress<W, P> {
    /// What is known of the blocks before those that threads are at.
    whole: W,
    /// Number of those blocks.
    merged: u64,
    /// Of the blocks that were taken since, in order; those that a thread is at are missing.
    parts: VecDeque<Option<P>>,
    broken: Option<Broken>,
}

impl<W, P> Progress<W, P> {
    fn of(whole: W) -> Self {
        Self {
            whole,
            merged: 0,
            parts: VecDeque::new(),
            broken: None,
        }
    }

    /// Takes in a part, and has those that are next in order merged.
    fn take_in<E>(
        &mut self,
        number: u64,
        part: P,
        merge: impl Fn(&mut W, P) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.parts[(number - self.merged) as usize] = Some(part);
        while let Some(Some(_)) = self.parts.front()
            && let Some(Some(part)) = self.parts.pop_front()
        {
            self.merged += 1;
            merge(&mut self.whole, part)?;
        }
        Ok(())
    }
}

/// A thread's share in a scan.
struct Helper<Q: Query> {
    scan: Arc<Scan<Q>>,
    buffer: Option<Buffer>,
    /// What it read through last.
    window: Option<Arc<Window>>,
    pool: Queue,
}

impl<Q: Query> Job for Helper<Q> {
    fn step(mut self: Box<Self>) -> Option<Box<dyn Job>> {
        let buffer = self.buffer.get_or_insert_with(|| self.scan.blocks.buffer());
        if self.scan.do_block(buffer, &mut self.window) {
            return Some(self);
        }
        let Self { scan, pool, .. } = *self;
        // The last one out.
        if let Some(scan) = Arc::into_inner(scan) {
            scan.end(&pool);
        }
        None
    }
}

impl<Q: Query> Scan<Q> {
    /// Takes the next block, if there is one and it is needed.
    fn take_block(&self) -> Option<u64> {
        let mut progress = self.progress.lock();
        let number = progress.merged + progress.parts.len() as u64;
        // A thread that would get too far ahead leaves the rest to the others.
        if number >= self.blocks.len()
            || progress.parts.len() >= AHEAD
            || progress.broken.is_some()
            || self.cancel.is_cancelled()
            || self.query.has_enough()
        {
            return None;
        }
        if let Err(error) = progress.parts.try_reserve(1) {
            progress.broken = Some(error.into());
            return None;
        }
        progress.parts.push_back(None);
        Some(number)
    }

    /// Goes over the next block; `false` if there is nothing left to do.
    fn do_block(&self, buffer: &mut Buffer, window: &mut Option<Arc<Window>>) -> bool {
        let Some(number) = self.take_block() else {
            return false;
        };
        let is_mapped = self.blocks.bytes() >= MAPPED;
        let at_once = if is_mapped { CHUNK } else { READ };
        let read = |index, out: &mut [u8]| {
            if is_mapped {
                self.snapshot.read_through(window, index, out)
            } else {
                self.snapshot.read(index, out)
            }
        };
        let part = self
            .blocks
            .go_over(number, &self.query, buffer, at_once, read);
        let mut progress = self.progress.lock();
        let taken_in = part.and_then(|part| {
            let merge = |whole: &mut Q::Whole, part| self.query.merge(whole, part);
            Ok(progress.take_in(number, part, merge)?)
        });
        if let Err(broken) = taken_in {
            progress.broken.get_or_insert(broken);
        }
        progress.broken.is_none()
    }

    fn end(self, pool: &Queue) {
        let Progress {
            whole,
            parts,
            broken,
            ..
        } = self.progress.into_inner();
        let request = self.request.into_inner();
        let shared = Arc::clone(&request.array.shared);
        if request.cancel.is_cancelled() {
            shared.stats.scans_cancelled.add_one();
            return;
        }
        let broken = broken.or_else(|| self.snapshot.check().err());
        drop(self.snapshot);
        match broken {
            None => {
                // A part is missing if a thread panicked over it. Then there is no answer.
                if parts.is_empty() {
                    shared.stats.scans.add_one();
                    let answer = self.query.answer(&self.blocks.range, whole);
                    (request.done)(answer.map_err(Error::from));
                }
            }
            Some(Broken::Failed(error)) => (request.done)(Err(error)),
            Some(Broken::Changed) if self.attempt < ATTEMPTS => {
                shared.stats.scans_repeated.add_one();
                request.attempt(pool, self.attempt + 1);
            }
            Some(Broken::Changed) => {
                let path = request.array.path().to_string();
                (request.done)(Err(Error::Changing {
                    path,
                    attempts: ATTEMPTS,
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::storage::tests::bind;
    use crate::storage::types::ItemType;
    use crate::storage::{Root, Store};

    /// How many parts there are at this moment, and were at most.
    #[derive(Default)]
    struct Parts {
        now: AtomicU64,
        most: AtomicU64,
    }

    /// Counts values, and looks whether they come in order.
    struct Counting(Arc<Parts>);

    /// The indices of a block, and what counts the part.
    #[derive(Default)]
    struct Part(Range<u64>, Option<Arc<Parts>>);

    impl Drop for Part {
        fn drop(&mut self) {
            if let Some(parts) = &self.1 {
                parts.now.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    impl Query for Counting {
        type Part = Part;
        type Whole = u64;
        type Answer = u64;

        fn take_in(
            &self,
            _: &Range<u64>,
            part: &mut Part,
            index: u64,
            bytes: &[u8],
        ) -> std::result::Result<(), TryReserveError> {
            if part.1.is_none() {
                part.0.start = index;
                part.1 = Some(Arc::clone(&self.0));
                let now = self.0.now.fetch_add(1, Ordering::Relaxed) + 1;
                self.0.most.fetch_max(now, Ordering::Relaxed);
            }
            part.0.end = index + bytes.len() as u64;
            Ok(())
        }

        fn merge(&self, whole: &mut u64, part: Part) -> std::result::Result<(), TryReserveError> {
            assert_eq!(part.0.start, *whole, "they come in order");
            *whole = part.0.end;
            Ok(())
        }

        fn answer(&self, _: &Range<u64>, whole: u64) -> std::result::Result<u64, TryReserveError> {
            Ok(whole)
        }
    }

    #[test]
    fn what_is_known_of_blocks_is_put_together_as_they_come() {
        const BYTES: u64 = 256 << 20;
        for threads in [1, 4] {
            let dir = tempfile::tempdir().unwrap();
            let file = std::fs::File::create(dir.path().join("f")).unwrap();
            file.set_len(BYTES).unwrap();
            let store = Store::new(Root::open(dir.path()).unwrap(), threads).unwrap();
            let bound = bind(&store, "f", ItemType::parse(b"uint8", None).unwrap());
            let parts = Arc::new(Parts::default());
            let query = || Counting(Arc::clone(&parts));
            let inline = scan(&mut bound.view().unwrap(), 0..BYTES, &query()).unwrap();
            assert_eq!(inline, BYTES);
            let (done, answer) = mpsc::channel();
            let counted = Arc::clone(&parts);
            store.scan_in_background(
                &bound,
                |count| 0..count,
                move || Counting(Arc::clone(&counted)),
                Cancel::default(),
                move |answer| done.send(answer).unwrap(),
            );
            let answer = answer.recv_timeout(Duration::from_secs(60)).unwrap();
            assert_eq!(answer.unwrap(), BYTES);
            assert_eq!(parts.now.load(Ordering::Relaxed), 0);
            // Where there are several threads, one of them may be slow.
            if threads == 1 {
                assert_eq!(parts.most.load(Ordering::Relaxed), 1);
            }
        }
    }
}
