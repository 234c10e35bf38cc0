//! How each call is tried, and what is worse without it.

use std::ptr;

use rustix::param::page_size;

use crate::storage::system::subject::Subject;
use crate::storage::system::{Call, SYS_CACHESTAT};

/// `openat2(2)`, too; from 5.6 on.
const SYS_OPENAT2: libc::c_long = 437;
/// `include/uapi/linux/fs.h`
const RWF_NOWAIT: libc::c_int = 8;
/// `include/uapi/asm-generic/mman-common.h`; from 5.14 on.
const MADV_POPULATE_WRITE: libc::c_int = 23;

/// How a call is tried. It may do nothing that a child of `fork` may not do: no memory is allocated, no lock taken.
pub(super) type Trial = fn(&Subject) -> libc::c_long;

/// A call, its name, how it is tried and what is worse without it.
pub(super) struct TrialRow {
    pub call: Call,
    pub name: &'static str,
    pub trial: Trial,
    pub cost: Cost,
}

pub(super) enum Cost {
    /// What is slower or less exact.
    Minor(&'static str),
    /// What a user has to know.
    Warned(&'static str),
    /// The module, or a library of its, makes this call without asking: if the process would end, it cannot be loaded. If it
    /// is refused by an error, this is the cost.
    NotIfDeadly(&'static str),
}

// SAFETY (of all trials): the pointers are to structures of a trial's own, or to the subject's page, and as long as the
// kernel expects; each call leaves the process, and the file but for its space, as they were.
pub(super) const ROWS: [TrialRow; 19] = [
    TrialRow {
        call: Call::CacheStat,
        name: "cachestat",
        trial: |subject| {
            let (range, mut stat) = ([0_u64, 1], [0_u64; 5]);
            // SAFETY: see above.
            unsafe {
                libc::syscall(
                    SYS_CACHESTAT,
                    subject.file,
                    range.as_ptr(),
                    stat.as_mut_ptr(),
                    0,
                )
            }
        },
        cost: Cost::Minor("VSTAT counts resident pages by mincore, which takes longer"),
    },
    TrialRow {
        call: Call::CopyFileRange,
        name: "copy_file_range",
        trial: |subject| {
            let (mut from, mut to) = (0_i64, page_size() as i64);
            // SAFETY: see above.
            unsafe {
                libc::syscall(
                    libc::SYS_copy_file_range,
                    subject.file,
                    &raw mut from,
                    subject.file,
                    &raw mut to,
                    1_usize,
                    0,
                )
            }
        },
        cost: Cost::Minor("VTRIM copies through memory"),
    },
    TrialRow {
        call: Call::Fadvise,
        name: "fadvise64",
        trial: |subject| {
            // SAFETY: see above. The call gives back the error instead of setting errno.
            let errno = unsafe { libc::posix_fadvise(subject.file, 0, 0, libc::POSIX_FADV_NORMAL) };
            answer_of(errno)
        },
        cost: Cost::Minor("VADVISE has no effect on the page cache"),
    },
    TrialRow {
        call: Call::Fallocate,
        name: "fallocate",
        trial: |subject| {
            // SAFETY: see above.
            libc::c_long::from(unsafe {
                libc::fallocate(
                    subject.file,
                    libc::FALLOC_FL_KEEP_SIZE,
                    0,
                    page_size() as libc::off_t,
                )
            })
        },
        cost: Cost::Warned(
            "space is not allocated ahead: a full disk is noticed only when values reach it, and makes the array unavailable",
        ),
    },
    TrialRow {
        call: Call::Fchown,
        name: "fchown",
        trial: |subject| {
            // SAFETY: see above; -1 is for no change.
            unsafe {
                libc::syscall(
                    libc::SYS_fchown,
                    subject.file,
                    libc::uid_t::MAX,
                    libc::gid_t::MAX,
                )
            }
        },
        cost: Cost::Minor("VTRIM cannot drop the head of another user's file"),
    },
    TrialRow {
        call: Call::GetAttribute,
        name: "fgetxattr",
        trial: |subject| {
            // SAFETY: see above.
            let len =
                unsafe { libc::fgetxattr(subject.file, c"user.mmap".as_ptr(), ptr::null_mut(), 0) };
            len as libc::c_long
        },
        cost: ATTRIBUTES,
    },
    TrialRow {
        call: Call::Linkat,
        name: "linkat",
        trial: |subject| {
            // SAFETY: see above.
            unsafe {
                let (link, name) = (subject.link.as_ptr(), subject.name.as_ptr());
                let (dir, flags) = (subject.dir, libc::AT_SYMLINK_FOLLOW);
                let status = libc::linkat(libc::AT_FDCWD, link, dir, name, flags);
                if status == 0 {
                    libc::unlinkat(dir, name, 0);
                }
                libc::c_long::from(status)
            }
        },
        cost: Cost::Minor(NO_UNNAMED_FILES),
    },
    TrialRow {
        call: Call::ListAttributes,
        name: "flistxattr",
        trial: |subject| {
            // SAFETY: see above.
            unsafe { libc::flistxattr(subject.file, ptr::null_mut(), 0) as libc::c_long }
        },
        cost: Cost::Minor("VTRIM drops extended attributes that others have set"),
    },
    TrialRow {
        call: Call::Mincore,
        name: "mincore",
        trial: |subject| {
            let mut resident = 0_u8;
            // SAFETY: see above.
            libc::c_long::from(unsafe {
                libc::mincore(subject.page, page_size(), (&raw mut resident).cast())
            })
        },
        cost: Cost::Minor(
            "whether values are in RAM is found out by reads that do not wait; without cachestat, too, VSTAT says nil for `resident`",
        ),
    },
    TrialRow {
        call: Call::OpenAt2,
        name: "openat2",
        trial: |subject| {
            let how = [libc::O_PATH as u64, 0, 0];
            // SAFETY: see above. `how` is as the kernel's `struct open_how`.
            unsafe {
                let (path, size) = (c".".as_ptr(), size_of_val(&how));
                let fd = libc::syscall(SYS_OPENAT2, subject.dir, path, how.as_ptr(), size);
                if fd >= 0 {
                    libc::close(fd as libc::c_int);
                }
                fd
            }
        },
        cost: Cost::NotIfDeadly("paths are looked up one directory after the other"),
    },
    TrialRow {
        call: Call::PopulateWrite,
        name: "madvise(MADV_POPULATE_WRITE)",
        trial: |subject| {
            // SAFETY: see above.
            libc::c_long::from(unsafe {
                libc::madvise(subject.page, page_size(), MADV_POPULATE_WRITE)
            })
        },
        cost: Cost::Minor("appends in bursts take page faults, and more time"),
    },
    TrialRow {
        call: Call::ReadNoWait,
        name: "preadv2(RWF_NOWAIT)",
        trial: |subject| {
            let mut byte = 0_u8;
            let out = libc::iovec {
                iov_base: (&raw mut byte).cast(),
                iov_len: 1,
            };
            // SAFETY: see above. The offset is in two words.
            unsafe {
                libc::syscall(
                    libc::SYS_preadv2,
                    subject.file,
                    &raw const out,
                    1_usize,
                    0_usize,
                    0_usize,
                    RWF_NOWAIT,
                )
            }
        },
        cost: Cost::Minor(
            "for files of other users it is unknown whether values are in RAM: their first readers wait for a thread",
        ),
    },
    TrialRow {
        call: Call::RenameNoReplace,
        name: "renameat2",
        trial: |subject| {
            // SAFETY: see above. Nothing has that name, so nothing is renamed.
            unsafe {
                let (dir, name) = (subject.dir, subject.name.as_ptr());
                let noreplace = libc::RENAME_NOREPLACE;
                libc::syscall(libc::SYS_renameat2, dir, name, dir, name, noreplace)
            }
        },
        cost: Cost::Minor("a file that is set aside gets its new name in two steps"),
    },
    TrialRow {
        call: Call::SetAttribute,
        name: "fsetxattr",
        trial: |subject| {
            // SAFETY: see above.
            libc::c_long::from(unsafe {
                let name = c"user.mmap".as_ptr();
                libc::fsetxattr(subject.file, name, ptr::null(), 0, 0)
            })
        },
        cost: ATTRIBUTES,
    },
    TrialRow {
        call: Call::SetPriority,
        name: "setpriority",
        trial: |_| {
            // SAFETY: see above. The call for the kernel's own number, 20 less the nice value, which stays as it is.
            unsafe {
                let nice = 20 - libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, 0);
                libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, nice)
            }
        },
        cost: NO_PRIORITY,
    },
    TrialRow {
        call: Call::SetScheduler,
        name: "sched_setscheduler",
        trial: |_| {
            let mut priority: libc::c_int = 0;
            // SAFETY: see above. The kernel's `struct sched_param` is one number; both stay as they are.
            unsafe {
                libc::syscall(libc::SYS_sched_getparam, 0, &raw mut priority);
                let policy = libc::syscall(libc::SYS_sched_getscheduler, 0);
                libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const priority)
            }
        },
        cost: NO_PRIORITY,
    },
    TrialRow {
        call: Call::Statfs,
        name: "fstatfs",
        trial: |subject| {
            let mut stat = [0_u64; 64];
            // SAFETY: see above.
            unsafe { libc::syscall(libc::SYS_fstatfs, subject.dir, stat.as_mut_ptr()) }
        },
        cost: Cost::Minor("each sync waits for the disk's own cache"),
    },
    TrialRow {
        call: Call::Statx,
        name: "statx",
        trial: |subject| {
            let mut stat = [0_u64; 64];
            // SAFETY: see above.
            unsafe {
                libc::syscall(
                    libc::SYS_statx,
                    subject.dir,
                    c"".as_ptr(),
                    libc::AT_EMPTY_PATH,
                    libc::STATX_BTIME,
                    stat.as_mut_ptr(),
                )
            }
        },
        cost: Cost::NotIfDeadly(
            "a new file cannot be told from a deleted one that had the same inode",
        ),
    },
    TrialRow {
        call: Call::SyncFileRange,
        name: "sync_file_range",
        trial: |subject| {
            // SAFETY: see above.
            libc::c_long::from(unsafe {
                libc::sync_file_range(subject.file, 0, 1, libc::SYNC_FILE_RANGE_WRITE)
            })
        },
        cost: Cost::Minor("each sync waits for the disk's own cache"),
    },
];

const ATTRIBUTES: Cost = Cost::Warned(
    "files have no marks: after a power cut an array is as long as its file says, after a restart VTRIM counts from 0 again, \
     an incomplete copy on a replica is not recognised, and RESTORE replaces no file",
);
pub(super) const NO_UNNAMED_FILES: &str =
    "new files have names (.mmap-PID-N) until they are complete, and a crash leaves them behind";
const NO_PRIORITY: Cost =
    Cost::Minor("threads of the module and the server share the CPUs as equals");

/// As a system call answers by the C library: -1 and errno.
fn answer_of(errno: libc::c_int) -> libc::c_long {
    if errno == 0 {
        return 0;
    }
    set_errno(errno);
    -1
}

fn set_errno(errno: libc::c_int) {
    // SAFETY: the address of this thread's errno.
    unsafe { *libc::__errno_location() = errno };
}
