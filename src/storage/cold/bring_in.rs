//! Bringing values into RAM, on threads that may wait for a disk.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{Advice, fadvise};
use rustix::param::page_size;

use crate::storage::array::advice::AdvisedRange;
use crate::storage::array::handle::Array;
use crate::storage::cold::touched::{Cold, PIECE, Touched};
use crate::storage::files::calls as disk;
use crate::storage::questions::search::{Target, search};
use crate::storage::system::{Call, attempt};
use crate::storage::threads::cancel::Cancel;
use crate::storage::threads::pool::Job;
use crate::storage::types::ItemType;

/// How much one step of a job asks the disk for before it waits.
const BYTES_IN_STEP: u64 = 1 << 20;
const PIECES_IN_STEP: usize = 64;
/// How often pages are read again that were evicted before their command used them.
const ATTEMPTS: u32 = 3;

impl Array {
    /// Reads values for what that does to the page cache.
    fn read_in(self: &Arc<Self>, pieces: &[Range<u64>]) {
        let size = self.item_size();
        let longest = pieces.iter().map(|piece| piece.end - piece.start).max();
        let mut buffer = vec![0; (longest.unwrap_or(0) * size) as usize];
        self.with_file(|file, _, count| {
            for piece in pieces {
                let bytes = self.bytes_of(piece.clone(), count);
                // It is help. Without it the reads below wait one after the other.
                let len = std::num::NonZeroU64::new(bytes.end - bytes.start);
                if len.is_some() {
                    let _ = attempt(Call::Fadvise, || {
                        fadvise(file.as_fd(), bytes.start, len, Advice::WillNeed)
                    });
                }
            }
        });
        for piece in pieces {
            let read = self.with_file(|file, _, count| {
                let bytes = self.bytes_of(piece.clone(), count);
                let len = (bytes.end - bytes.start) as usize;
                read_fully(file, &mut buffer[..len], bytes.start)
            });
            if !matches!(read, Some(Ok(()))) {
                // Closed or unreadable: the one who needs the values meets that as well.
                return;
            }
        }
    }

    /// Reads the values of a range that is about to be overwritten, unless they are in RAM.
    pub(in crate::storage) fn warm_up(self: &Arc<Self>, range: &Range<u64>) {
        let touched = Touched::Range(range.clone());
        let found = self.view().map(|mut view| view.looks_at(&touched));
        if matches!(found, Ok(Some(true))) {
            return;
        }
        let size = self.item_size();
        let pieces: Vec<_> = (0..touched.pieces(size))
            .map(|number| touched.piece(number, size))
            .collect();
        self.read_in(&pieces);
    }

    /// Goes the way of a binary search through the file.
    fn search_in_file(self: &Arc<Self>, item: ItemType, target: &Target) {
        let _ = search(
            self.published_count(),
            item,
            target,
            |index, out: &mut [u8]| {
                let at = self.layout.offset(index);
                self.with_file(|file, _, _| read_fully(file, out, at))
                    .unwrap_or(Err(io::ErrorKind::NotFound.into()))
            },
        );
    }
}

fn read_fully(file: &File, out: &mut [u8], at: u64) -> io::Result<()> {
    if disk::read_at(file, at, out)? < out.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// Brings values in, and then says so.
pub(in crate::storage) struct BringIn {
    pub cold: Cold,
    pub cancel: Cancel,
    /// The next piece.
    next: usize,
    attempts_left: u32,
    began: Instant,
    done: Box<dyn FnOnce(Instant) + Send>,
}

impl BringIn {
    /// For a command that waits. `done` is told when the job began, and dropped uncalled if it is cancelled.
    pub fn new(mut cold: Cold, cancel: Cancel, done: Box<dyn FnOnce(Instant) + Send>) -> Self {
        if let Touched::Each(indices) = &mut cold.touched {
            // In the order of the file, and one of a page: the others come along.
            let per_page = (page_size() as u64 / cold.array.item_size()).max(1);
            indices.sort_unstable();
            indices.dedup_by_key(|index| *index / per_page);
        }
        Self {
            cold,
            cancel,
            next: 0,
            attempts_left: ATTEMPTS,
            began: Instant::now(),
            done,
        }
    }

    /// Without a client that waits: reads each page once, though the first may be evicted for the last.
    pub fn ahead_of_need(cold: Cold, place: AdvisedRange) -> Self {
        Self {
            attempts_left: 1,
            ..Self::new(cold, Cancel::default(), Box::new(|_| drop(place)))
        }
    }

    /// Brings some in; `false` if there are no more.
    fn bring_some(&mut self) -> bool {
        let Cold { array, touched } = &self.cold;
        if let Touched::Searches { item, targets } = touched {
            if let Some(target) = targets.get(self.next) {
                array.search_in_file(*item, target);
            }
            self.next += 1;
            return self.next < targets.len();
        }
        let size = array.item_size();
        let most = (BYTES_IN_STEP / PIECE) as usize;
        let most = match touched {
            Touched::Range(_) => most,
            _ => PIECES_IN_STEP,
        };
        let end = (self.next + most).min(touched.pieces(size));
        let pieces: Vec<_> = (self.next..end)
            .map(|number| touched.piece(number, size))
            .collect();
        array.read_in(&pieces);
        self.next = end;
        end < touched.pieces(size)
    }

    /// Whether they are in RAM, as they may be dropped at any time.
    fn is_done(&self) -> bool {
        let Cold { array, touched } = &self.cold;
        let size = array.item_size();
        // The lock is not held for long: the main thread may want it.
        (0..touched.pieces(size)).all(|number| {
            let view = array.view();
            view.is_ok_and(|view| view.has_range(touched.piece(number, size)) != Some(false))
        })
    }
}

impl Job for BringIn {
    fn step(mut self: Box<Self>) -> Option<Box<dyn Job>> {
        if self.cancel.is_cancelled() {
            return None;
        }
        if self.bring_some() {
            return Some(self);
        }
        self.attempts_left -= 1;
        if self.attempts_left > 0 && !self.is_done() {
            self.next = 0;
            return Some(self);
        }
        (self.done)(self.began);
        None
    }
}
