//! Slots that move to another node of a Cluster all at once: `CLUSTER MIGRATESLOTS`, from Valkey 9.0 on. A child sends what
//! the slots hold, as commands, and the server all writes since; the other node takes them as a replica would, except that
//! it never touches a file of its own.

use crate::redis::keys::binding::Binding;
use crate::redis::mode::phase::first_time;
use crate::redis::replication::message::{COMMAND, bind_words, file_words};
use crate::redis::server::{Aof, Word};

/// Sends a key and what it holds to the node that takes its slot over. It is called in a child: nothing waits for a lock.
pub fn export(aof: &Aof, key: &[u8], binding: &Binding) {
    let send = |words: &[Word<'_>]| aof.emit(COMMAND, words);
    let send_of_file = |operation: &[u8], what: &[Word<'_>]| {
        send(&file_words(key, operation, binding.path_for_peers(), what));
    };
    // The other node answers that with an error, which ends the migration.
    let give_up = |reason: &str| send_of_file(b"FAILED/2", &[Word::Bytes(reason.as_bytes())]);
    let array = match binding.target_array() {
        Ok(array) => array,
        Err(failure) => return give_up(&failure.to_string()),
    };
    let moment = match array.moment() {
        Ok(moment) => moment,
        Err(error) => return give_up(&error.to_string()),
    };
    let (identity, extent) = (moment.identity(), moment.span());
    if !first_time(&identity) {
        return send(&bind_words(key, binding, extent, b"SHARED", &identity));
    }
    send(&bind_words(key, binding, extent, b"FILLING", &identity));
    let (count, result) = moment.read_in_pieces(|first, bytes| {
        let position = Word::Number(extent.head + first);
        send_of_file(b"FILL/2", &[position, Word::Bytes(bytes)]);
        true
    });
    match result {
        Ok(()) => send_of_file(b"FILLED/2", &[Word::Number(extent.head + count)]),
        Err(error) => give_up(&error.to_string()),
    }
}
