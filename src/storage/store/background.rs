//! What the store's threads do in the background: going over values, and bringing in those that are not in RAM.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::storage::array::handle::Array;
use crate::storage::cold::bring_in::BringIn;
use crate::storage::cold::drop_pages::DropPages;
use crate::storage::cold::touched::{Cold, Touched};
use crate::storage::error::Result;
use crate::storage::memory::available::available;
use crate::storage::memory::faults::major_faults;
use crate::storage::scan::background::{Query, Request};
use crate::storage::store::bound::Bound;
use crate::storage::store::store::Store;
use crate::storage::threads::cancel::Cancel;

impl Store {
    /// Goes over the values of an array on the pool. `range` is asked for the range once their number is known, and
    /// `query` for a query, both once per attempt; `done` is called on one of the pool's threads with an answer
    /// that is right for one moment after now. It is dropped uncalled if the scan is cancelled, or panics.
    pub fn scan_in_background<Q: Query>(
        &self,
        bound: &Bound,
        range: impl Fn(u64) -> Range<u64> + Send + 'static,
        query: impl Fn() -> Q + Send + 'static,
        cancel: Cancel,
        done: impl FnOnce(Result<Q::Answer>) + Send + 'static,
    ) {
        let request = Request {
            array: Arc::clone(&bound.array),
            range: Box::new(range),
            query: Box::new(query),
            cancel,
            done: Box::new(done),
        };
        request.submit(self.pool.queue());
    }

    /// Brings values in that are not in RAM; `done` is called on a thread of the store's when that is done, as far as it
    /// can be. It is dropped uncalled if that is cancelled, or panics.
    pub fn bring_in(&self, cold: Cold, cancel: Cancel, done: impl FnOnce() + Send + 'static) {
        let shared = Arc::clone(&self.shared);
        let done = move |began| {
            shared.stats.cold_time.record_since(began);
            done();
        };
        let job = BringIn::new(cold, cancel, Box::new(done));
        self.readers.queue().submit(Box::new(job));
    }

    /// Reads values of an array into RAM before the main thread needs them; `done` as in [`Self::bring_in`].
    pub fn read_ahead(
        &self,
        array: &Arc<Array>,
        values: Range<u64>,
        done: impl FnOnce() + Send + 'static,
    ) {
        let cold = Cold {
            array: Arc::clone(array),
            touched: Touched::Range(values),
        };
        let job = BringIn::new(cold, Cancel::default(), Box::new(|_| done()));
        self.readers.queue().submit(Box::new(job));
    }

    /// Reads values of a range into RAM that no client waits for yet: as many as available memory can keep. It does nothing if
    /// that is already being done, or if there is much other work for the same array.
    pub fn bring_in_ahead_of_need(&self, array: Arc<Array>, values: Range<u64>) {
        let kept = available().map_or(u64::MAX, |bytes| bytes / 2 / array.item_size());
        let values = values.start..values.end.min(values.start.saturating_add(kept));
        if let Some(place) = self.advised.begin(&array, &values) {
            let touched = Touched::Range(values);
            let job = BringIn::ahead_of_need(Cold { array, touched }, place);
            self.readers.queue().submit(Box::new(job));
        }
    }

    /// Drops the pages of values from RAM, as far as they are on disk and no other process uses them; `done` is called on a
    /// thread of the store's, unless that is cancelled.
    pub fn drop_pages_in_background(
        &self,
        array: Arc<Array>,
        values: Range<u64>,
        cancel: Cancel,
        done: impl FnOnce(Result<()>) + Send + 'static,
    ) {
        let job = DropPages::new(array, values, cancel, Box::new(done));
        self.readers.queue().submit(Box::new(job));
    }

    /// [`Self::drop_pages_in_background`], here and now.
    ///
    /// # Errors
    /// Any I/O error of the operating system.
    pub fn drop_pages(&self, array: Arc<Array>, values: Range<u64>) -> Result<()> {
        DropPages::new(array, values, Cancel::default(), Box::new(|_| ())).drop_all()
    }

    /// Looks whether the main thread, which calls it now and then, had to wait for pages: then there may be more that
    /// are not in RAM.
    pub fn notice_faults(&self) {
        let faults = major_faults();
        let before = self.faults.swap(faults, Ordering::Relaxed);
        if faults != before {
            self.shared.stats.cold_faults.add(faults - before);
            for array in self.registry.arrays() {
                array.cold_check.renew();
            }
        }
    }
}
