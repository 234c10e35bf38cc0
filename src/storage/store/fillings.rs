//! The files without a name that are being filled, by the path that they are to have: `filling.rs` says how.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use crate::storage::array::handle::Array;
use crate::storage::files::destination::Destination;
use crate::storage::files::path::FilePath;
use crate::storage::lock_order::{OfFillings, Ordered};

/// All of them.
#[derive(Default)]
pub(in crate::storage) struct Fillings(Ordered<OfFillings, HashMap<FilePath, Filling>>);

/// A file that is being filled.
pub(in crate::storage) struct Filling {
    array: Weak<Array>,
    /// Where it gets its name.
    pub place: Destination,
    /// The number of values that are to be gone at the head by the time when it is whole.
    pub head: u64,
}

impl Filling {
    fn is_of(&self, array: &Arc<Array>) -> bool {
        self.array.as_ptr() == Arc::as_ptr(array)
    }
}

impl Fillings {
    /// The array that is to have that path.
    pub fn get(&self, path: &FilePath) -> Option<Arc<Array>> {
        self.0.lock().get(path)?.array.upgrade()
    }

    /// Notes that the file of an array gets its path later.
    pub fn add(&self, array: &Arc<Array>, place: Destination) {
        let filling = Filling {
            array: Arc::downgrade(array),
            place,
            head: 0,
        };
        self.0.lock().insert(array.path().clone(), filling);
    }

    /// Takes out what is known of an array, if it is being filled.
    pub fn take(&self, array: &Arc<Array>) -> Option<Filling> {
        let mut all = self.0.lock();
        if !all.get(array.path())?.is_of(array) {
            return None;
        }
        all.remove(array.path())
    }

    /// Notes that the values before a position are to go when the file is whole; whether the array is being filled.
    pub fn drop_later(&self, array: &Arc<Array>, position: u64) -> bool {
        let mut all = self.0.lock();
        let Some(filling) = all.get_mut(array.path()) else {
            return false;
        };
        if !filling.is_of(array) {
            return false;
        }
        filling.head = filling.head.max(position);
        true
    }

    /// Forgets those that do not count any more.
    pub fn retain(&self, counts: impl Fn(&Arc<Array>) -> bool) {
        self.0.lock().retain(|_, filling| {
            let array = filling.array.upgrade();
            array.is_some_and(|array| counts(&array))
        });
    }
}
