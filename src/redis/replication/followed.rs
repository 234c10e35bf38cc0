//! Up to where this server has followed its primary's stream, also before its last restart.
//!
//! A replica that restarts goes on from its RDB file, and its files may be ahead of that: so it gets words again that it had already.
//! What the primary said then of the files, and that a replica had caught up, was true at that moment alone. That point of
//! the stream is noted in the directory of the files; what comes before it is old. Where it cannot be noted, a copy may be taken for one
//! that differs, and is asked for again.

use parking_lot::Mutex;

use crate::redis::mode::role::is_replica;
use crate::redis::replication::doubt::doubt_stream;
use crate::redis::server::Ctx;
use crate::redis::store;

/// A point of the stream.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Point {
    /// Which history the stream belongs to: the server's replication ID.
    history: Vec<u8>,
    offset: u64,
}

/// Where this server was before its restart; nothing where it has got its data otherwise since.
static BEFORE_RESTART: Mutex<Option<Point>> = Mutex::new(None);

/// In place of a point: the server is a primary, or was one when it was last known to follow no other.
const WAS_PRIMARY: &[u8] = b"primary";

/// The server has loaded its RDB file or AOF, from which it goes on. What it wrote since as a primary is in its files, and no
/// other server may have it.
pub fn loaded_from_disk() {
    let noted = store().followed();
    if !is_replica() {
        return be_primary();
    }
    if noted.as_deref() == Some(WAS_PRIMARY) {
        doubt_stream("it was a primary when it stopped");
    }
    *BEFORE_RESTART.lock() = noted.and_then(|noted| Point::decode(&noted));
}

/// The server is a primary from now on.
pub fn be_primary() {
    *BEFORE_RESTART.lock() = None;
    if store().followed().as_deref() != Some(WAS_PRIMARY) {
        store().note_followed(WAS_PRIMARY);
    }
}

/// The server has loaded what its primary sent: it has a history from here on.
pub fn loaded_from_primary() {
    *BEFORE_RESTART.lock() = None;
    store().note_followed(b"");
}

/// Whether the word of the stream that is carried out now was carried out before this server restarted, too.
pub fn is_old(ctx: &Ctx) -> bool {
    let before = BEFORE_RESTART.lock();
    let Some(before) = &*before else {
        return false;
    };
    let info = ctx.server_info(c"replication");
    // A history that goes on from another one may have left it before that point.
    info.field(c"master_replid") == Some(&before.history)
        && info.number(c"slave_repl_offset") <= before.offset
}

/// This server has carried out all of the stream up to here.
pub fn note(ctx: &Ctx) {
    let info = ctx.server_info(c"replication");
    if let Some(history) = info.field(c"master_replid") {
        let point = Point {
            history: history.to_vec(),
            offset: info.number(c"slave_repl_offset"),
        };
        store().note_followed(&point.encode());
    }
}

impl Point {
    /// The history, a space, and the offset.
    fn encode(&self) -> Vec<u8> {
        [&self.history[..], b" ", self.offset.to_string().as_bytes()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let space = bytes.iter().position(|&byte| byte == b' ')?;
        let offset = std::str::from_utf8(&bytes[space + 1..]).ok()?;
        Some(Self {
            history: bytes[..space].to_vec(),
            offset: offset.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_read_back_and_garbage_is_none() {
        let point = Point {
            history: vec![b'a'; 40],
            offset: u64::MAX,
        };
        assert_eq!(Point::decode(&point.encode()), Some(point));
        for garbage in [
            &b""[..],
            b"abc",
            WAS_PRIMARY,
            b"abc ",
            b"abc -1",
            b"abc 18446744073709551616",
        ] {
            assert_eq!(Point::decode(garbage), None);
        }
    }
}
