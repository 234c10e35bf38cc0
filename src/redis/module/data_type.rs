//! The key type: what the server has done with the values of keys.

use std::ffi::{CStr, c_int};
use std::sync::Arc;

use crate::redis::keys::binding::Binding;
use crate::redis::keys::unavailable::Unavailable;
use crate::redis::keys::{lookup, remembered};
use crate::redis::mode::phase::is_saving_aof;
use crate::redis::persistence::restored;
use crate::redis::server::data_type::{DataType, Digest};
use crate::redis::server::rdb::{RdbReader, RdbWriter};
use crate::redis::server::{Aof, Ctx};
use crate::redis::{persistence, replication};
use crate::storage::Bound;
use crate::storage::types::excerpt;

impl DataType for Binding {
    const NAME: &'static CStr = c"mmaparray";
    const VERSION: c_int = persistence::VERSION;

    fn load(rdb: &RdbReader, version: c_int) -> Option<Arc<Self>> {
        persistence::load(rdb, version)
    }

    fn save(&self, rdb: &RdbWriter) {
        persistence::save(rdb, self);
    }

    fn rewrite(&self, aof: &Aof, key: &[u8]) {
        if is_saving_aof() {
            aof.emit(c"MMAP", &replication::mmap_words(key, self));
        } else {
            replication::export(aof, key, self);
        }
    }

    fn memory_usage(&self) -> usize {
        size_of::<Self>() + self.path.as_bytes().len() + Bound::memory_usage()
    }

    fn digest(&self, digest: &Digest) {
        persistence::digest(self, digest);
    }

    fn free(self: Arc<Self>) {
        restored::undo(&self);
    }

    /// A copy would be a second key of the same file, which is no copy, or need a file of its own, which has no name.
    fn refuse_copy(&self, from: &[u8], to: &[u8]) {
        let (from, to) = (excerpt(from), excerpt(to));
        tracing::warn!(
            "COPY of key '{from}' is refused, as a copy needs a file of its own: VSYNC {from}, copy file '{}' and MMAP the \
             copy to '{to}'",
            self.path
        );
    }

    fn unlinked(key: &[u8]) {
        remembered::forget(key);
        restored::keep();
    }

    fn touched(ctx: &Ctx, key: &[u8]) {
        remembered::forget(key);
        if Unavailable::count() > 0 {
            lookup::note_name(ctx, key);
        }
    }
}
