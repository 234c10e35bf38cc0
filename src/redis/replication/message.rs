//! The words of `VREPLICATE`, and of the `MMAP` that stands for a binding.

use std::ffi::CStr;

use crate::redis::keys::binding::Binding;
use crate::redis::server::Word;
use crate::storage::{Access, FilePath, Span};

/// The command by which replicas are told.
pub const COMMAND: &CStr = c"VREPLICATE";

/// The words of `VREPLICATE` that are about a file.
pub fn file_words<'a>(
    key: &'a [u8],
    operation: &'a [u8],
    path: &'a FilePath,
    what: &[Word<'a>],
) -> Vec<Word<'a>> {
    let words = [key, operation, path.as_bytes()].map(Word::Bytes);
    [&words, what].concat()
}

/// The words of `VREPLICATE BIND`. `state` says what becomes of the values.
pub fn bind_words<'a>(
    key: &'a [u8],
    binding: &'a Binding,
    extent: Span,
    state: &'a [u8],
    identity: &'a [u8],
) -> [Word<'a>; 10] {
    [
        Word::Bytes(key),
        Word::Bytes(b"BIND/2"),
        Word::Bytes(binding.path_for_peers().as_bytes()),
        Word::Bytes(binding.item.name().as_bytes()),
        Word::Number(binding.item.size() as u64),
        Word::Bytes(match binding.access {
            Access::Writable => b"WRITABLE",
            Access::ReadOnly => b"READONLY",
        }),
        Word::Number(extent.count),
        Word::Number(extent.head),
        Word::Bytes(state),
        Word::Bytes(identity),
    ]
}

/// The words of the `MMAP` that stands for a binding in an AOF. There, `INCOMPLETE` says that the file lacks what the primary wrote.
pub fn mmap_words<'a>(key: &'a [u8], binding: &'a Binding) -> Vec<Word<'a>> {
    let mut words = vec![
        Word::Bytes(key),
        Word::Bytes(binding.path.as_bytes()),
        Word::Bytes(binding.item.name().as_bytes()),
        Word::Number(binding.item.size() as u64),
    ];
    if binding.access == Access::Writable {
        words.push(Word::Bytes(b"WRITABLE"));
    }
    if binding.is_out_of_date() {
        words.push(Word::Bytes(b"INCOMPLETE"));
    }
    words
}
