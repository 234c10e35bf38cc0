//! What can go wrong with a file, in words for the person who typed the command.

use std::collections::TryReserveError;
use std::io;
use std::ops::Range;

use crate::storage::system::limits;
use crate::storage::types::TypeError;

/// The result of a storage operation.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the storage layer. Its text names the file and says what to do where something can be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("path '{path}' {why}")]
    Path { path: String, why: &'static str },
    #[error(
        "path '{path}' leads out of mmap.dir, '{root}': put the file there, and type its path from there, '{name}'"
    )]
    Escapes {
        path: String,
        root: String,
        name: String,
    },
    #[error(
        "file '{path}' is one of the server's own (its configuration, users, RDB, AOF, log or a module), which no key \
         can be bound to: keep arrays in a directory of their own, by mmap.dir"
    )]
    Reserved { path: String },
    #[error("file '{path}' does not exist{hint}")]
    Missing { path: String, hint: &'static str },
    #[error("cannot {operation} '{path}': {reason}")]
    Io {
        operation: &'static str,
        path: String,
        reason: io::Error,
    },
    #[error(
        "cannot {operation} '{path}': files of this server may be {limit} bytes long \
         (ulimit -f; LimitFSIZE= in a systemd unit)"
    )]
    FileSize {
        operation: &'static str,
        path: String,
        limit: u64,
    },
    #[error("'{path}' is {kind}, not a regular file: give the path of a file")]
    NotRegular { path: String, kind: &'static str },
    #[error(
        "file '{path}' is {len} bytes long, which is not a multiple of {item_size}, the size of one {type_name}: \
         appending would damage its tail (map it read-only to ignore the odd bytes)"
    )]
    OddLength {
        path: String,
        len: u64,
        item_size: usize,
        type_name: &'static str,
    },
    #[error(
        "file '{path}' was left by a server that bound it with values of {found} bytes; \
         bind it with that size first, so that its length can be corrected"
    )]
    ForeignSlack { path: String, found: u32 },
    #[error(
        "file '{path}' is being written by another process ({holder}); it can only be mapped read-only: MMAP key path type"
    )]
    Locked { path: String, holder: String },
    #[error("file '{path}' is bound to another key")]
    InUse { path: String },
    #[error(
        "file '{path}' exists and is not an array of this server, so it is not replaced: remove it, or first bind it \
         with MMAP ... WRITABLE"
    )]
    NoArray { path: String },
    #[error(
        "file '{path}' exists with other contents, and does not belong to this key, so it is not replaced: bind it with MMAP, or \
         remove it"
    )]
    OfOther { path: String },
    #[error("file '{path}' is bound read-only to this key: RESTORE does not replace it")]
    ReadOnlyKey { path: String },
    #[error(
        "file '{path}' would be set aside as '{aside}', which exists already: move that file away, or remove it"
    )]
    SetAside { path: String, aside: String },
    #[error(
        "file '{path}' is bound already as {bound}, and one file has one type: MMAP it as that, or DEL its keys first"
    )]
    TypeConflict { path: String, bound: String },
    #[error("file '{path}' is mapped read-only")]
    ReadOnly { path: String },
    #[error("index {index} is out of range: '{path}' holds {count} values")]
    IndexOutOfRange {
        index: String,
        path: String,
        count: u64,
    },
    #[error("values {count} to {index} of file '{path}' were never received")]
    Gap {
        path: String,
        count: u64,
        index: u64,
    },
    #[error(
        "file '{path}' holds the values from {} to {}, counted from the first ever, where the primary has those from {} to {}",
        ours.start, ours.end, theirs.start, theirs.end
    )]
    Differs {
        path: String,
        ours: Range<u64>,
        theirs: Range<u64>,
    },
    #[error(
        "mmap.max-arrays is {limit}, and {bound} files are bound: DEL a key, or raise the setting, to map '{path}' \
         (where it is 0, half of the files that the server may have open can be bound: ulimit -n)"
    )]
    TooManyArrays {
        path: String,
        limit: u64,
        bound: u64,
    },
    #[error(
        "file '{path}' would hold {values} values, and mmap.max-file-bytes is {limit}, which is room for {room}: \
         nothing was written"
    )]
    TooLong {
        path: String,
        values: u64,
        room: u64,
        limit: u64,
    },
    #[error(
        "the values of file '{path}' would be taken for the record that ends a file with slack, where byte {len} is its end \
         (docs/file.md): nothing was changed"
    )]
    LikeRecord { path: String, len: u64 },
    #[error("writes to file '{path}' are refused: {reason}")]
    Refused { path: String, reason: String },
    #[error("the mmap worker thread died ({0}); writes are refused until the server restarts")]
    WorkerDead(String),
    #[error("file '{path}' {reason}; MMAP the key again to look at the file afresh")]
    Lost { path: String, reason: String },
    #[error("file '{path}' {why}")]
    Unlinked { path: String, why: &'static str },
    #[error("file '{path}' was unbound, or bound again, while it was being read")]
    Unbound { path: String },
    #[error(
        "too much of file '{path}' was changed while it was being read, {attempts} times in a row; \
         try again when less is written, or ask for a smaller range"
    )]
    Changing { path: String, attempts: u32 },
    #[error("file '{path}' was closed during this command, as its key was deleted or bound again")]
    Closed { path: String },
    #[error("file '{path}' cannot be bound as a .npy file: {why}")]
    Npy { path: String, why: String },
    #[error(
        "file '{path}' holds values of type {found}, as its header says, not {asked}: MMAP it without a type"
    )]
    NpyType {
        path: String,
        found: String,
        asked: String,
    },
    #[error(
        "file '{path}' cannot have lost {head} values at its head: at most {most} can be counted (where the file says so, \
         remove its extended attribute user.mmap.head)"
    )]
    Head { path: String, head: u64, most: u64 },
    #[error("file '{path}' cannot hold {count} values of {item_size} bytes")]
    Unaddressable {
        path: String,
        count: u64,
        item_size: usize,
    },
    #[error(
        "{bytes} bytes are not a whole number of values of file '{path}', which have {item_size} bytes each"
    )]
    NotWhole {
        path: String,
        bytes: usize,
        item_size: usize,
    },
    #[error("the head of file '{path}' cannot be removed: {why}")]
    Trimming { path: String, why: &'static str },
    #[error("the work on file '{path}' was stopped before its end")]
    Stopped { path: String },
    #[error("internal error of the mmap module; see the server's log")]
    TaskPanicked,
    #[error("there is no memory for this command: ask for less at a time")]
    NoMemory(#[from] TryReserveError),
    #[error(transparent)]
    Type(#[from] TypeError),
}

impl Error {
    /// An `Error::Io` for a failed system call.
    pub(crate) fn io(
        operation: &'static str,
        path: impl std::fmt::Display,
        reason: impl Into<io::Error>,
    ) -> Self {
        let (path, reason) = (path.to_string(), reason.into());
        match limits::file_size() {
            Some(limit) if reason.raw_os_error() == Some(libc::EFBIG) => Self::FileSize {
                operation,
                path,
                limit,
            },
            _ => Self::Io {
                operation,
                path,
                reason,
            },
        }
    }

    /// Whether the disk or a quota is full.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Io { reason, .. }
            if matches!(reason.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}
