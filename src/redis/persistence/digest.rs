//! `DEBUG DIGEST` and `DEBUG DIGEST-VALUE`.

use std::ffi::c_void;

use redis_module::raw;

use crate::redis::keys::binding::Binding;
use crate::redis::server::context::guarded;

/// How much of the values is added at a time, in bytes.
const CHUNK: usize = 1 << 20;

/// `DEBUG DIGEST`: over type and values, wherever the file lies.
pub extern "C" fn digest(digest: *mut raw::RedisModuleDigest, value: *mut c_void) {
    // SAFETY: the server passes a value of this type, on its main thread.
    let binding = unsafe { &*value.cast::<Binding>() };
    guarded("DEBUG DIGEST", || {
        let add = |bytes: &[u8]| {
            // SAFETY: the handle is valid during this call; the bytes are only read.
            unsafe {
                raw::RedisModule_DigestAddStringBuffer.unwrap()(
                    digest,
                    bytes.as_ptr().cast(),
                    bytes.len(),
                );
            }
        };
        add(binding.item.name().as_bytes());
        add(binding.item.size().to_string().as_bytes());
        let size = binding.item.size();
        let per_chunk = (CHUNK / size).max(1) as u64;
        match binding.bound().map(|bound| bound.view()) {
            Ok(Ok(mut view)) => {
                let mut index = 0;
                while index < view.count() {
                    let values = per_chunk.min(view.count() - index);
                    let mut bytes = vec![0; values as usize * size];
                    if view.read(index, &mut bytes).is_err() {
                        break;
                    }
                    add(&bytes);
                    index += values;
                }
            }
            _ => add(b"unavailable"),
        }
        // SAFETY: as above.
        unsafe { raw::RedisModule_DigestEndSequence.unwrap()(digest) };
    });
}
