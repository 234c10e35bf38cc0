//! Trying all calls, and what is found.

use std::fmt;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use cap_std::fs::Dir;
use rustix::io::Errno;
use rustix::param::page_size;

use crate::storage::system::subject::{Subject, unlinked_file, unnamed_file};
use crate::storage::system::trials::{Cost, NO_UNNAMED_FILES, ROWS, Trial};
use crate::storage::system::{forbid, is_refusal, result_of};

/// Calls that are not available, for one reason and with one consequence.
#[derive(Debug)]
pub struct Missing {
    names: Vec<&'static str>,
    /// `None` if they would end the process.
    errno: Option<Errno>,
    cost: &'static str,
    /// Whether a user has to know.
    pub is_grave: bool,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {} here (", self.names.join(", "))?;
        match self.errno {
            Some(errno) => write!(f, "{}", io::Error::from(errno))?,
            None => f.write_str("a filter of system calls would end the server")?,
        }
        write!(f, "): {}", self.cost)
    }
}

/// Tries all calls, in `dir`, and remembers those that must not be made. Says which are not available.
///
/// # Errors
/// If a call that cannot be done without would end the process; the text says which.
pub fn check(dir: &Dir) -> std::result::Result<Vec<Missing>, String> {
    let mut list = Vec::new();
    let file = unnamed_file(dir).unwrap_or_else(|errno| {
        if is_refusal(errno) {
            add(&mut list, "O_TMPFILE", Some(errno), NO_UNNAMED_FILES, false);
        }
        unlinked_file(dir)
    });
    let subject = Subject::new(dir, file.as_ref());
    let answers = if is_filtered() {
        try_in_children(&subject)
    } else {
        ROWS.iter()
            .map(|row| CallAnswer::of(try_here(row.trial, &subject)))
            .collect()
    };
    for (row, answer) in ROWS.iter().zip(answers) {
        let errno = match answer {
            CallAnswer::Deadly | CallAnswer::Unknown => None,
            CallAnswer::Failed(errno) if is_refusal(errno) => Some(errno),
            CallAnswer::Succeeded | CallAnswer::Failed(_) => continue,
        };
        match (&row.cost, answer) {
            (Cost::NotIfDeadly(_), CallAnswer::Unknown) => continue,
            (Cost::NotIfDeadly(_), CallAnswer::Deadly) => {
                return Err(format!(
                    "a filter of system calls (seccomp) would end the server at its first {}: allow that call",
                    row.name
                ));
            }
            _ if errno.is_none() => forbid(row.call),
            _ => {}
        }
        let (cost, is_grave) = match row.cost {
            Cost::Minor(cost) | Cost::NotIfDeadly(cost) => (cost, false),
            Cost::Warned(cost) => (cost, true),
        };
        add(&mut list, row.name, errno, cost, is_grave);
    }
    Ok(list)
}

fn add(
    list: &mut Vec<Missing>,
    name: &'static str,
    errno: Option<Errno>,
    cost: &'static str,
    is_grave: bool,
) {
    match list
        .iter_mut()
        .find(|missing| missing.errno == errno && missing.cost == cost)
    {
        Some(missing) => missing.names.push(name),
        None => list.push(Missing {
            names: vec![name],
            errno,
            cost,
            is_grave,
        }),
    }
}

/// Whether this process may have a filter of system calls: see `Seccomp` in `proc_pid_status(5)`.
fn is_filtered() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return true;
    };
    // A kernel that knows no filters says nothing of them.
    let mode = status
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp:"));
    mode.is_some_and(|mode| mode.trim() != "0")
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum CallAnswer {
    Succeeded,
    Failed(Errno),
    Deadly,
    /// It could not be tried.
    Unknown,
}

impl CallAnswer {
    /// 0 for success, or else errno.
    fn of(errno: i32) -> Self {
        match errno {
            0 => Self::Succeeded,
            errno => Self::Failed(Errno::from_raw_os_error(errno)),
        }
    }
}

/// 0, or errno.
fn try_here(trial: Trial, subject: &Subject) -> i32 {
    result_of(trial(subject)).map_or_else(Errno::raw_os_error, |_| 0)
}

/// What a child says of a call that it has not begun, and of one that it has not ended.
const NOT_BEGUN: i32 = -1;
const BEGUN: i32 = -2;

/// Tries all calls in children of their own memory: one goes from call to call, and after its end the next goes on
/// behind the call that ended it.
fn try_in_children(subject: &Subject) -> Vec<CallAnswer> {
    let Some(said) = SharedPage::new() else {
        return vec![CallAnswer::Unknown; ROWS.len()];
    };
    for answer in said.answers() {
        answer.store(NOT_BEGUN, Ordering::Relaxed);
    }
    // Each child gets further than the one before it.
    for _ in 0..=ROWS.len() {
        let Some(first) = said.answers().iter().position(is(NOT_BEGUN)) else {
            break;
        };
        // SAFETY: the child makes system calls, stores to a page that is shared, and ends without returning.
        match unsafe { libc::fork() } {
            -1 => break,
            0 => try_as_child(subject, said.answers(), first),
            child => wait_for(child),
        }
    }
    said.answers()
        .iter()
        .map(|answer| match answer.load(Ordering::Relaxed) {
            NOT_BEGUN => CallAnswer::Unknown,
            BEGUN => CallAnswer::Deadly,
            errno => CallAnswer::of(errno),
        })
        .collect()
}

fn is(value: i32) -> impl Fn(&AtomicI32) -> bool {
    move |answer| answer.load(Ordering::Relaxed) == value
}

/// The rest of a child's life.
fn try_as_child(subject: &Subject, answers: &[AtomicI32], first: usize) -> ! {
    // Its end is no reason to write the server's memory to a file.
    // SAFETY: the call takes numbers.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    for (row, answer) in ROWS.iter().zip(answers).skip(first) {
        answer.store(BEGUN, Ordering::Relaxed);
        answer.store(try_here(row.trial, subject), Ordering::Relaxed);
    }
    // SAFETY: ends the child without running what the server registered for its own end.
    unsafe { libc::_exit(0) }
}

fn wait_for(child: libc::pid_t) {
    // Where the server ignores SIGCHLD the call waits as well, and then knows no child: what it said is what counts.
    // SAFETY: no status is asked for.
    while unsafe { libc::waitpid(child, ptr::null_mut(), 0) } == -1
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
}

/// Memory that a child shares with its parent.
struct SharedPage(*mut libc::c_void);

impl SharedPage {
    fn new() -> Option<Self> {
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        );
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let page = unsafe { libc::mmap(ptr::null_mut(), page_size(), protection, flags, -1, 0) };
        (page != libc::MAP_FAILED).then_some(Self(page))
    }

    fn answers(&self) -> &[AtomicI32; ROWS.len()] {
        // SAFETY: a page is longer than that, aligned, and all who have it use atomics.
        unsafe { &*self.0.cast() }
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, into which no reference is left.
        unsafe { libc::munmap(self.0, page_size()) };
    }
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    fn with_subject<R>(work: impl FnOnce(&Subject) -> R) -> R {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
        let file = unnamed_file(&dir).unwrap();
        let result = work(&Subject::new(&dir, file.as_ref()));
        assert_eq!(dir.entries().unwrap().count(), 0, "nothing is left behind");
        result
    }

    #[test]
    fn each_call_has_a_row_and_a_bit_of_its_own() {
        let mut bits: Vec<_> = ROWS.iter().map(|row| row.call as u32).collect();
        bits.sort_unstable();
        bits.dedup();
        assert_eq!(bits.len(), ROWS.len());
        assert!(bits.iter().all(|bit| *bit < u32::BITS));
    }

    #[test]
    fn a_child_and_this_process_get_the_same_answers() {
        let here: Vec<_> = with_subject(|subject| {
            ROWS.iter()
                .map(|row| CallAnswer::of(try_here(row.trial, subject)))
                .collect()
        });
        assert_eq!(with_subject(try_in_children), here);
        for (row, answer) in ROWS.iter().zip(here) {
            assert_ne!(answer, CallAnswer::Failed(Errno::BADF), "{}", row.name);
            assert_ne!(answer, CallAnswer::Failed(Errno::FAULT), "{}", row.name);
        }
    }
}
