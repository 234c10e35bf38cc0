//! `DEBUG DIGEST` and `DEBUG DIGEST-VALUE`.

use crate::redis::keys::binding::Binding;
use crate::redis::server::data_type::Digest;

/// How much of the values is added at a time, in bytes.
const CHUNK: usize = 1 << 20;

/// `DEBUG DIGEST`: over type and values, wherever the file lies.
pub fn digest(binding: &Binding, digest: &Digest) {
    digest.add(binding.item.name().as_bytes());
    digest.add(binding.item.size().to_string().as_bytes());
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
                digest.add(&bytes);
                index += values;
            }
        }
        _ => digest.add(b"unavailable"),
    }
    digest.end();
}
