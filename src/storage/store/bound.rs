//! One use of an array.

use std::ops::Deref;
use std::sync::Arc;

use crate::storage::array::handle::Array;
use crate::storage::files::access::Access;
use crate::storage::memory::mapping::Mapping;
use crate::storage::store::registry::Registry;

/// An array that is bound to a key. Dropping it unbinds; the file stays.
pub struct Bound {
    pub(in crate::storage) array: Arc<Array>,
    pub(in crate::storage) registry: Arc<Registry>,
    pub(in crate::storage) access: Access,
}

impl Bound {
    /// Whether no other key is bound to the same file.
    pub fn is_alone(&self) -> bool {
        self.keys() == 1
    }

    /// The array, for work that may outlive the binding.
    pub fn share(&self) -> Arc<Array> {
        Arc::clone(&self.array)
    }

    /// What a binding costs in memory, in bytes, whatever the length of the array.
    pub const fn memory_usage() -> usize {
        size_of::<Self>() + size_of::<Array>() + size_of::<Mapping>()
    }

    /// Number of keys that are bound to the same array, this one included.
    pub fn keys(&self) -> usize {
        self.registry.bindings_of(&self.array)
    }
}

impl Deref for Bound {
    type Target = Arc<Array>;

    fn deref(&self) -> &Arc<Array> {
        &self.array
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.registry.unbind(&self.array, self.access);
    }
}
