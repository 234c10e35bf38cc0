//! What a replica lacks, and how it asks for that: see "Incomplete arrays" in `docs/design.md`.
//!
//! Nothing can be said to a primary over its own link. So a replica that lacks anything gives up its history, and is
//! synchronised in full; a node of a Cluster, where that cannot be done, sends a message to its primary, which sends the
//! contents of that array again.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::redis::keys::lookup;
use crate::redis::keys::unavailable::{Unavailable, Wanted};
use crate::redis::mode::role::is_replica;
use crate::redis::replication::bind::bind_again;
use crate::redis::replication::synchronise::synchronise_again;
use crate::redis::replication::{fill, followed};
use crate::redis::server::cluster::{self, NodeId};
use crate::redis::server::{Ctx, Key, KeyName, Mode};
use crate::redis::store;
use crate::storage::{Array, Completeness, FilePath};

/// How long a replica waits until it asks for the first time, and how long at most between two times.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// How long a replica may take to catch up once its link is up. After that it considers gaps permanent. A primary says when
/// its replica has caught up, but not when the replica of its replica has.
const LONGEST_CATCH_UP: Duration = Duration::from_secs(300);
/// How long a replica waits, once its link is up, for its primary to say that an array has become shorter.
const LONGEST_CONFIRMATION: Duration = Duration::from_secs(5);
/// With less room on the disk than this, in bytes, nothing is asked for that could not be stored.
const LEAST_ROOM: u64 = 1 << 20;
/// The message by which a node of a Cluster asks for an array.
const SEND_AGAIN: u8 = 1;

/// Why contents that were on their way are missing.
const NO_LONGER_SENT: &str = "the primary that sent its values is the primary no more";

/// When to ask, and for how long to wait then.
struct Asking {
    next: Option<Instant>,
    pause: Duration,
    /// When the replica was first seen to have its link while it catches up.
    linked: Option<Instant>,
    /// When it was last looked whether anything is missing.
    looked: Option<Instant>,
}

static ASKING: Mutex<Asking> = Mutex::new(Asking {
    next: None,
    pause: FIRST_PAUSE,
    linked: None,
    looked: None,
});

impl Asking {
    /// Whether it is time to look again whether anything is missing.
    fn is_to_look(&mut self, now: Instant) -> bool {
        let looked_lately = |looked| now - looked < FIRST_PAUSE;
        if self.looked.is_some_and(looked_lately) {
            return false;
        }
        self.looked = Some(now);
        true
    }

    /// Nothing is missing.
    fn rest(&mut self) {
        self.next = None;
        self.pause = FIRST_PAUSE;
    }

    /// Whether it is time to ask.
    fn is_due(&mut self, now: Instant) -> bool {
        now >= *self.next.get_or_insert(now + FIRST_PAUSE)
    }

    fn asks_now(&mut self, now: Instant) {
        self.next = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// What nodes of the Cluster have asked this one for, each of it once.
static ASKED_FOR: Mutex<Vec<ContentsRequest>> = Mutex::new(Vec::new());

/// Whether changes may come that the files here have already, or that later ones undo: after a restart and after a full
/// synchronisation, until the primary says that this is over.
static IS_CATCHING_UP: AtomicBool = AtomicBool::new(false);

/// Whether a change came that no array is known for.
static IS_SOMETHING_MISSING: AtomicBool = AtomicBool::new(false);

/// How often this replica has asked.
static TIMES_ASKED: AtomicU64 = AtomicU64::new(0);

/// Maximum number of requests that are kept. A server with more requests repeats them.
const MOST_REQUESTS: usize = 4096;

/// An array of which a node lacks values.
#[derive(Clone, PartialEq, Eq, Debug)]
struct ContentsRequest {
    path: FilePath,
    /// Of a key that has no array.
    key: Option<KeyName>,
}

/// A change of an array could not be applied.
pub fn miss(array: &Arc<Array>, why: &str) {
    if array.miss(why) {
        let path = array.path();
        tracing::warn!(
            "file '{path}' is incomplete, because a write could not be applied: {why}; its keys answer with an error until the \
             primary has sent the contents again, which is requested now"
        );
    }
}

/// A change came of which it is not known what it is about.
pub fn miss_something() {
    IS_SOMETHING_MISSING.store(true, Ordering::Relaxed);
}

pub fn is_catching_up() -> bool {
    IS_CATCHING_UP.load(Ordering::Relaxed)
}

/// How often this replica has asked for what it lacks.
pub fn times_asked() -> u64 {
    TIMES_ASKED.load(Ordering::Relaxed)
}

/// The server has loaded its data, from a disk or from its primary: what it gets now may be older than that.
pub fn begin_to_catch_up() {
    ASKING.lock().linked = None;
    IS_CATCHING_UP.store(true, Ordering::Relaxed);
}

/// What comes now is newer than what is here: gaps that are left stay.
pub fn has_caught_up() {
    IS_CATCHING_UP.store(false, Ordering::Relaxed);
    for array in store().arrays() {
        if array.completeness() == Completeness::Gap {
            miss(&array, &array.why_incomplete());
        }
    }
}

/// The primary says that this is so. The contents of files at these paths are on their way, and of no others: another primary
/// had begun to send those.
pub fn is_online<'a>(ctx: &Ctx, on_their_way: impl Iterator<Item = &'a [u8]>) {
    has_caught_up();
    let paths: HashSet<&[u8]> = on_their_way.collect();
    for array in store().arrays() {
        let is_expected = array.completeness() == Completeness::Filling || array.is_resent();
        if is_expected && !paths.contains(array.path().as_bytes()) {
            miss(&array, NO_LONGER_SENT);
        }
    }
    followed::note(ctx);
}

/// This server is a primary from now on, so it has no server to ask.
pub fn take_over() {
    IS_CATCHING_UP.store(false, Ordering::Relaxed);
    for array in store().arrays() {
        array.trust_contents();
        // What was found out while it was a replica, though not by the clock yet, stays so.
        if look_at(&array) == Completeness::Filling {
            miss(&array, NO_LONGER_SENT);
        }
    }
}

/// Asks for what is missing, on a replica, when it is time to. The server's clock calls it.
pub fn tick(ctx: &Ctx) {
    let now = Instant::now();
    if !ASKING.lock().is_to_look(now) {
        return;
    }
    store().forget_fillings();
    if !is_replica() {
        return;
    }
    let replication = ctx.server_info(c"replication");
    let is_linked = replication.field(c"master_link_status") == Some(b"up");
    let may_be_confirmed = is_confirmation_expected(now, is_linked);
    let is_missing = |array: &Arc<Array>| match look_at(array) {
        Completeness::Missed | Completeness::Doubted => true,
        Completeness::Unconfirmed => !may_be_confirmed,
        _ => false,
    };
    let missing: Vec<Arc<Array>> = store().arrays().into_iter().filter(is_missing).collect();
    let wanted = Unavailable::wanted();
    if missing.is_empty() && wanted.is_empty() && !IS_SOMETHING_MISSING.load(Ordering::Relaxed) {
        ASKING.lock().rest();
        return;
    }
    // A link that is down is being made again, and its history may be gone.
    if !ASKING.lock().is_due(now) || !is_linked {
        return;
    }
    if store().free_bytes().is_some_and(|free| free < LEAST_ROOM) {
        return;
    }
    ASKING.lock().asks_now(now);
    IS_SOMETHING_MISSING.store(false, Ordering::Relaxed);
    TIMES_ASKED.fetch_add(1, Ordering::Relaxed);
    match ctx.primary_in_cluster() {
        Some(primary) => ask_node(ctx, &primary, &missing, wanted),
        None => synchronise_again(ctx, "values of arrays are missing here"),
    }
}

/// Whether the primary may still say of an array that it has become shorter. Ends the catching up that takes too long.
fn is_confirmation_expected(now: Instant, is_linked: bool) -> bool {
    if !is_catching_up() || !is_linked {
        return is_catching_up();
    }
    let linked = *ASKING.lock().linked.get_or_insert(now);
    if now - linked > LONGEST_CATCH_UP {
        has_caught_up();
    }
    now - linked < LONGEST_CONFIRMATION
}

/// Asks a node of the Cluster for arrays, and for what keys are to hold.
fn ask_node(ctx: &Ctx, primary: &NodeId, missing: &[Arc<Array>], wanted: Vec<Wanted>) {
    let arrays = missing.iter().map(|array| ContentsRequest {
        path: array.path().clone(),
        key: None,
    });
    let keys = wanted.into_iter().map(|wanted| ContentsRequest {
        path: wanted.path,
        key: Some(wanted.key),
    });
    for request in arrays.chain(keys) {
        ctx.send_to_node(primary, SEND_AGAIN, &request.encode());
    }
}

/// Whether an array lacks values. One whose file was changed behind our back lacks them from now on.
fn look_at(array: &Arc<Array>) -> Completeness {
    if let Some(why) = array.why_lost() {
        miss(array, &why);
    }
    array.completeness()
}

impl ContentsRequest {
    /// Database, length of the path, path, name of the key: the numbers in 4 bytes, little-endian. Without a key, the database
    /// is -1.
    fn encode(&self) -> Vec<u8> {
        let (database, key) = match &self.key {
            Some(key) => (key.database, &*key.name),
            None => (-1, &[][..]),
        };
        let path = self.path.as_bytes();
        let len = path.len() as u32;
        [&database.to_le_bytes()[..], &len.to_le_bytes(), path, key].concat()
    }

    fn decode(message: &[u8]) -> Option<Self> {
        let (database, rest) = message.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (path, key) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        let database = i32::from_le_bytes(*database);
        Some(Self {
            path: FilePath::new(path).ok()?,
            key: (database >= 0).then(|| KeyName {
                database,
                name: key.into(),
            }),
        })
    }
}

/// Has nodes of a Cluster ask this one.
pub fn listen(ctx: &Ctx) {
    cluster::receive::<ContentsRequest>(ctx);
}

impl cluster::Receiver for ContentsRequest {
    const KIND: u8 = SEND_AGAIN;

    fn receive(message: &[u8]) {
        if let Some(request) = Self::decode(message) {
            note_request(&mut ASKED_FOR.lock(), request);
        }
    }
}

fn note_request(requests: &mut Vec<ContentsRequest>, request: ContentsRequest) {
    if requests.len() < MOST_REQUESTS && !requests.contains(&request) {
        requests.push(request);
    }
}

/// Sends again what replicas have asked for. Not while writes are paused.
pub fn send_what_was_asked_for(ctx: &Ctx) {
    let requests = std::mem::take(&mut *ASKED_FOR.lock());
    for request in requests {
        let ContentsRequest { path, key } = &request;
        let array = store().find(path).ok().flatten();
        if array
            .as_ref()
            .is_some_and(|array| fill::is_being_sent(array))
        {
            // Who asks again and again, or what several ask for, does not have it begin again and never end.
            note_request(&mut ASKED_FOR.lock(), request);
            continue;
        }
        match key {
            None => array.iter().for_each(|array| fill::resend(ctx, array)),
            Some(key) if ctx.select(key.database) => {
                Key::with(ctx, &key.name, Mode::Read, |key| {
                    let binding = lookup::value(key);
                    if let Some(binding) =
                        binding.filter(|binding| binding.path_for_peers() == path)
                    {
                        bind_again(key, binding);
                    }
                });
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_asks_without_end_is_noted_once_and_many_requests_are_bounded() {
        let request = |number: usize| ContentsRequest {
            path: FilePath::new(number.to_string().as_bytes()).unwrap(),
            key: None,
        };
        let mut requests = Vec::new();
        (0..10_000).for_each(|_| note_request(&mut requests, request(1)));
        assert_eq!(requests, [request(1)]);
        (0..2 * MOST_REQUESTS).for_each(|number| note_request(&mut requests, request(number)));
        assert_eq!(requests.len(), MOST_REQUESTS);
    }

    #[test]
    fn a_request_survives_the_way_and_garbage_is_none() {
        let path = FilePath::new(b"a/b").unwrap();
        let key = KeyName {
            database: 3,
            name: (*b"k\0y").into(),
        };
        for key in [None, Some(key)] {
            let path = path.clone();
            let request = ContentsRequest { path, key };
            assert_eq!(ContentsRequest::decode(&request.encode()), Some(request));
        }
        for garbage in [
            &b""[..],
            b"1234567",
            b"\0\0\0\0\xff\xff\xff\xffpath",
            b"\0\0\0\0\0\0\0\0",
        ] {
            assert!(ContentsRequest::decode(garbage).is_none());
        }
    }
}
