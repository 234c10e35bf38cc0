//! What a replica does with its copies of arrays when its primary says how they have changed. Whatever cannot be done makes
//! the copy incomplete: see "Incomplete arrays" in `docs/design.md`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::redis::keys::unavailable::Unavailable;
use crate::redis::mode::role::is_replica;
use crate::redis::replication::missing;
use crate::redis::store;
use crate::storage::types::ItemType;
use crate::storage::{
    Above, Access, Array, Bound, Completeness, Error, FilePath, Former, Undo, can_hold,
};

/// How much of a repeated value is written at a time, in bytes.
const REPEATED_AT_ONCE: u64 = 1 << 20;

/// Changes that a primary has told of and that were not applied here.
static NOT_APPLIED: AtomicU64 = AtomicU64::new(0);

/// How many changes were not applied since the server started.
pub fn not_applied() -> u64 {
    NOT_APPLIED.load(Ordering::Relaxed)
}

/// Which values an array has no more after a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gone {
    /// None, as far as the change says.
    Nothing,
    /// Those from this position on.
    From(u64),
    /// Those before this position.
    Before(u64),
}

/// Counts a change that is not applied.
pub fn pass_over() {
    NOT_APPLIED.fetch_add(1, Ordering::Relaxed);
}

/// Applies a change to an array. One that lacks earlier changes only gives back the room of values that are gone. A replica whose
/// change fails is incomplete from then on; a node that takes slots over gets the error.
///
/// The primary has looked that the values do not look like a record; but behind a header of another length they lie elsewhere, and
/// earlier versions did not look.
///
/// # Errors
/// As `change` and [`Array::check_end`], except on a replica.
pub fn apply(
    array: &Arc<Array>,
    gone: Gone,
    change: impl FnOnce(&Arc<Array>) -> Result<(), Error>,
) -> Result<(), Error> {
    if array.completeness() == Completeness::Missed {
        pass_over();
        give_back(array, gone);
        return Ok(());
    }
    let changed = change(array).and_then(|()| match array.completeness() {
        // There is more to come.
        Completeness::Filling => Ok(()),
        _ => array.check_end(),
    });
    match changed {
        Err(error) if is_replica() => {
            pass_over();
            missing::miss(array, &error.to_string());
            Ok(())
        }
        result => result,
    }
}

/// Cuts off what the primary's array does not have any more either. What is left goes on to be incomplete: this is about room
/// alone. A disk that is full of values that are gone might never have any for the contents that are to come.
///
/// A file that has lost its name is left alone: somebody may keep it.
fn give_back(array: &Arc<Array>, gone: Gone) {
    let end = end_of(array);
    let position = match gone {
        Gone::From(position) => position,
        // A part of them, at the head, could not be cut off.
        Gone::Before(position) if position >= end => array.head(),
        Gone::Before(_) | Gone::Nothing => return,
    };
    if !is_replica() || position >= end || !store().has_its_name(array) {
        return;
    }
    let cut = array
        .writer()
        .and_then(|mut writer| writer.truncate_at(position));
    match cut {
        // The mark of the file may have had no room either.
        Ok(()) => array.note_missed_again(),
        Err(error) => {
            tracing::warn!("{error}; values that the primary has removed go on to take room");
        }
    }
}

/// The position behind the last value.
fn end_of(array: &Array) -> u64 {
    array.head() + array.published_count()
}

fn gap_before(array: &Array, position: u64) -> Error {
    Error::Gap {
        path: array.path().to_string(),
        count: array.published_count(),
        index: position.saturating_sub(array.head()),
    }
}

fn not_whole(array: &Array, bytes: &[u8]) -> Error {
    Error::NotWhole {
        path: array.path().to_string(),
        bytes: bytes.len(),
        item_size: array.item().size(),
    }
}

/// Makes the values from a position on these. What lies before the head is dropped here, too.
pub fn put(array: &Arc<Array>, position: u64, bytes: &[u8]) -> Result<(), Error> {
    let size = array.item().size();
    if !bytes.len().is_multiple_of(size) {
        return Err(not_whole(array, bytes));
    }
    let end = end_of(array);
    if position > end && !bytes.is_empty() {
        bridge_gap(array, end, position)?;
    }
    array.writer()?.put(position, bytes).map(drop)
}

/// A piece of the contents: they come in order.
pub fn fill(array: &Arc<Array>, position: u64, bytes: &[u8]) -> Result<(), Error> {
    put(array, position, bytes)?;
    array.note_contents(position, (bytes.len() / array.item().size()) as u64);
    Ok(())
}

/// Values between the end and a position have not come. Where they may still come, or are to be removed by what comes, there are
/// zeros in their place until then, which are not shown.
fn bridge_gap(array: &Arc<Array>, end: u64, position: u64) -> Result<(), Error> {
    let error = gap_before(array, position);
    if !can_hold(array.item(), position - array.head()) {
        return Err(error);
    }
    if array.is_resent() && array.completeness() != Completeness::Filling {
        array.expect_contents(&error.to_string())?;
    }
    if array.completeness() != Completeness::Filling {
        if !missing::is_catching_up() {
            return Err(error);
        }
        array.note_gap(end, &error.to_string())?;
    }
    array.want_contents_to(position);
    array.extend_to(position - array.head())
}

/// Makes the values from a position on these, and the last ones.
pub fn append(array: &Arc<Array>, position: u64, bytes: &[u8]) -> Result<(), Error> {
    put(array, position, bytes)?;
    cut(array, position + (bytes.len() / array.item().size()) as u64)
}

/// Makes `count` values from a position on one value.
pub fn repeat(array: &Arc<Array>, position: u64, count: u64, value: &[u8]) -> Result<(), Error> {
    if value.len() != array.item().size() {
        return Err(not_whole(array, value));
    }
    if count == 0 {
        return Ok(());
    }
    let (head, end) = (array.head(), end_of(array));
    if position > end {
        bridge_gap(array, end, position)?;
    }
    // What there is no room for is not tried value by value.
    array.extend_to((position + count).saturating_sub(head))?;
    let at_once = (REPEATED_AT_ONCE / value.len() as u64).max(1);
    let block = value.repeat(at_once.min(count) as usize);
    let mut done = 0;
    while done < count {
        let values = at_once.min(count - done);
        put(
            array,
            position + done,
            &block[..values as usize * value.len()],
        )?;
        done += values;
    }
    Ok(())
}

/// There are no values from a position on, and as many as that before it.
pub fn shorten(array: &Arc<Array>, position: u64) -> Result<(), Error> {
    let may_be_shorter = array.completeness() == Completeness::Filling
        || array.is_resent()
        || missing::is_catching_up();
    if position > end_of(array) && !may_be_shorter {
        return Err(gap_before(array, position));
    }
    cut(array, position)
}

fn cut(array: &Arc<Array>, position: u64) -> Result<(), Error> {
    if position <= end_of(array) {
        array.confirm_length();
    }
    array.writer()?.truncate_at(position)?;
    array.forget_gap_behind(position)
}

/// There are no values before a position. There are replicas that have dropped them already.
pub fn drop_head(array: &Arc<Array>, position: u64) -> Result<(), Error> {
    store().drop_head_before(array, position)?;
    // The contents go on behind it.
    array.skip_contents(position);
    Ok(())
}

/// All contents come from now on, from a position on, which is that of the first value; so many long writes have begun.
///
/// They go over what is there if that lies at the same positions. Else they go to a new file.
pub fn refill(array: &Arc<Array>, head: u64, unannounced: u32) -> Result<(), Error> {
    array.set_unannounced(unannounced);
    let is_in_place = !array.is_lost() && store().has_its_name(array);
    match array.completeness() {
        Completeness::Whole if is_in_place && array.head() <= head => drop_head(array, head)?,
        Completeness::Whole => store().fill_again(array, head)?,
        _ if is_in_place && array.head() == head => {
            array.expect_contents("its values are being sent again")?;
        }
        _ => store().fill_again(array, head)?,
    }
    array.begin_contents();
    array.set_resent(true);
    Ok(())
}

/// All contents have come; there are none from a position on.
pub fn fill_up(array: &Arc<Array>, position: u64) -> Result<(), Error> {
    if position > end_of(array) {
        return Err(gap_before(array, position));
    }
    let missing = array.missing_contents(position);
    if !missing.is_empty() {
        return Err(Error::Gap {
            path: array.path().to_string(),
            count: missing.start.saturating_sub(array.head()),
            index: missing.end.saturating_sub(array.head()),
        });
    }
    cut(array, position)?;
    store().contents_have_come(array)?;
    array.set_resent(false);
    Ok(())
}

/// The primary has values of an array at these positions, and this server should have the same.
pub fn compare(array: &Arc<Array>, head: u64, end: u64) -> Result<(), Error> {
    let is_unconfirmed = array.completeness() == Completeness::Unconfirmed;
    if array.is_incomplete() && !is_unconfirmed || array.is_resent() {
        return Ok(());
    }
    // Looking at it finds out whether it is what it was left as.
    drop(array.view()?);
    if (array.head(), end_of(array)) == (head, end) {
        array.confirm_length();
        return Ok(());
    }
    Err(Error::Differs {
        path: array.path().to_string(),
        ours: array.head()..end_of(array),
        theirs: head..end,
    })
}

/// The array that the primary means by a path, open for writing even where keys are bound to it read-only.
///
/// # Errors
/// If the path cannot be looked up, or the file cannot be opened for writing.
pub fn array_at(path: &FilePath) -> Result<Option<Arc<Array>>, Error> {
    let array = store().find_copy(path)?;
    if let Some(array) = &array
        && !array.is_writable()
    {
        store().make_writable(path, array.item())?;
    }
    Ok(array)
}

/// Binds a file that another key has here already; its contents are sent again all the same.
pub fn bind_again(
    path: &FilePath,
    item: ItemType,
    access: Access,
    head: u64,
) -> Result<Option<Bound>, Error> {
    let Some(array) = store().find_copy(path)? else {
        return Ok(None);
    };
    let bound = store().bind(path, item, access, false)?;
    refill(&array, head, array.unannounced())?;
    Ok(Some(bound))
}

/// The file as a replica has it: of as many values as the primary's, all still zeros. A replica's files are copies, which
/// may be replaced; those of a node that takes slots over are its own.
pub fn make_file(
    (path, owner): (&FilePath, &[u8]),
    item: ItemType,
    access: Access,
    count: u64,
    head: u64,
    values_follow: bool,
) -> Result<Bound, Error> {
    let is_replica = is_replica();
    if !is_replica {
        store().has_room_for(path)?;
        Unavailable::check_not_awaited(path, None)?;
    }
    store().check_unowned(path, is_replica)?;
    let mut import = store().import(path, item, Above::IsMade)?;
    import.set_owner(owner);
    import.set_head(head)?;
    import.extend_to(count)?;
    if is_replica && values_follow {
        return import.finish_by_and_by(store());
    }
    if is_replica {
        return import.finish(store(), access, Former::Replaced);
    }
    let mut former = None;
    let access = if values_follow {
        import.expect_contents()?;
        Access::Writable
    } else {
        access
    };
    let bound = import.finish(store(), access, Former::SetAside(&mut former));
    former.iter().for_each(Undo::report);
    bound
}
