//! The settings `mmap.*`: in `redis.conf`, with `CONFIG GET/SET`, and as words of `loadmodule`.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::available_parallelism;

use redis_module::configuration::{
    ConfigurationFlags, EnumConfigurationValue, register_enum_configuration,
    register_i64_configuration, register_string_configuration,
};
use redis_module::{Context, RedisError, raw};

use crate::redis::STORE;
use crate::redis::mode::role;
use crate::redis::mode::role::is_replica;
use crate::redis::server::context::{Args, Ctx};

use crate::storage::Fsync;
use crate::storage::settings::{
    ColdReads, MAX_DIRTY_BYTES_DEFAULT, MAX_SLACK_DEFAULT, MAX_SLACK_MAX, MAX_SLACK_MIN,
};
use crate::storage::types::excerpt;

static DIR: Mutex<String> = Mutex::new(String::new());
static FSYNC: Mutex<Word<Fsync>> = Mutex::new(Word(Fsync::EverySecond));
static RDB_CONTENTS: Mutex<Word<RdbContents>> = Mutex::new(Word(RdbContents::Auto));
static COLD_READS: Mutex<Word<ColdReads>> = Mutex::new(Word(ColdReads::Async));
static MAX_DIRTY_BYTES: AtomicI64 = AtomicI64::new(MAX_DIRTY_BYTES_DEFAULT.cast_signed());
static MAX_SLACK: AtomicI64 = AtomicI64::new(MAX_SLACK_DEFAULT.cast_signed());
static MAX_ARRAYS: AtomicI64 = AtomicI64::new(0);
static MAX_FILE_BYTES: AtomicI64 = AtomicI64::new(0);

/// The largest value of `mmap.max-arrays`.
const MAX_ARRAYS_MAX: i64 = u32::MAX as i64;

static THREADS: AtomicI64 = AtomicI64::new(1);

/// Most threads that the default is, and that may be set.
const THREADS_DEFAULT_MOST: usize = 4;
const THREADS_MAX: i64 = 128;

const FSYNC_WORDS: [(&str, Fsync); 3] = [
    ("always", Fsync::Always),
    ("everysec", Fsync::EverySecond),
    ("no", Fsync::No),
];

/// The word for a policy.
pub fn fsync_name(fsync: Fsync) -> &'static str {
    FSYNC_WORDS
        .iter()
        .find(|(_, policy)| *policy == fsync)
        .map_or("", |(word, _)| word)
}

/// When values go along with an RDB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RdbContents {
    /// When they leave the server: to replicas, and with `DUMP`.
    Auto,
    /// Always: each RDB file is a backup of its own.
    Yes,
    /// Never.
    No,
}

const RDB_CONTENTS_WORDS: [(&str, RdbContents); 3] = [
    ("auto", RdbContents::Auto),
    ("yes", RdbContents::Yes),
    ("no", RdbContents::No),
];

const COLD_READS_WORDS: [(&str, ColdReads); 2] =
    [("async", ColdReads::Async), ("inline", ColdReads::Inline)];

/// A setting that is one of a few words.
trait Words: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];

    fn parse(text: &str) -> Option<Self> {
        Self::WORDS
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text))
            .map(|(_, value)| *value)
    }
}

impl Words for Fsync {
    const WORDS: &'static [(&'static str, Self)] = &FSYNC_WORDS;
}

impl Words for RdbContents {
    const WORDS: &'static [(&'static str, Self)] = &RDB_CONTENTS_WORDS;
}

impl Words for ColdReads {
    const WORDS: &'static [(&'static str, Self)] = &COLD_READS_WORDS;
}

/// Such a setting as the server's enums are: words with numbers.
#[derive(Clone)]
struct Word<T>(T);

impl<T: Words> TryFrom<i32> for Word<T> {
    type Error = RedisError;

    fn try_from(number: i32) -> Result<Self, RedisError> {
        usize::try_from(number)
            .ok()
            .and_then(|number| T::WORDS.get(number))
            .map(|(_, value)| Self(*value))
            .ok_or(RedisError::Str("there is no such word for this setting"))
    }
}

impl<T: Words> From<Word<T>> for i32 {
    fn from(word: Word<T>) -> Self {
        T::WORDS
            .iter()
            .zip(0..)
            .find(|((_, value), _)| *value == word.0)
            .map_or(0, |(_, number)| number)
    }
}

impl<T: Words> EnumConfigurationValue for Word<T> {
    fn get_options(&self) -> (Vec<String>, Vec<i32>) {
        T::WORDS
            .iter()
            .zip(0..)
            .map(|((word, _), number)| ((*word).to_owned(), number))
            .unzip()
    }
}

/// The values that settings have where `redis.conf` says nothing.
struct Defaults {
    dir: String,
    fsync: Fsync,
    rdb_contents: RdbContents,
    max_slack: i64,
    max_dirty_bytes: i64,
    max_arrays: i64,
    max_file_bytes: i64,
    threads: i64,
    cold_reads: ColdReads,
}

/// As many threads as there are CPUs but one, which is left to the server, and not many: what they do is bound by memory,
/// not by computing.
fn default_threads() -> i64 {
    available_parallelism().map_or(1, |cpus| {
        (cpus.get() - 1).clamp(1, THREADS_DEFAULT_MOST) as i64
    })
}

/// Reads the words after the module's path: pairs of a setting and its value.
fn parse(args: Args<'_>) -> Result<Defaults, String> {
    let mut defaults = Defaults {
        dir: std::env::current_dir()
            .map_err(|e| format!("cannot find out the server's directory: {e}"))?
            .into_os_string()
            .into_string()
            .map_err(|dir| format!("the server's directory {dir:?} is no UTF-8; set mmap.dir"))?,
        fsync: Fsync::EverySecond,
        rdb_contents: RdbContents::Auto,
        max_slack: MAX_SLACK_DEFAULT.cast_signed(),
        max_dirty_bytes: MAX_DIRTY_BYTES_DEFAULT.cast_signed(),
        max_arrays: 0,
        max_file_bytes: 0,
        threads: default_threads(),
        cold_reads: ColdReads::Async,
    };
    let words: Vec<&[u8]> = args.from(0).collect();
    for pair in words.chunks(2) {
        let name = pair[0].to_ascii_lowercase();
        let name = name.strip_prefix(b"mmap.").unwrap_or(&name);
        let [_, value] = pair else {
            return Err(format!("setting '{}' has no value", excerpt(pair[0])));
        };
        let value_text = String::from_utf8_lossy(value);
        let wrong = |what: &str| format!("'{}' is not a value of {what}", excerpt(value));
        match name {
            b"dir" => defaults.dir = value_text.into_owned(),
            b"fsync" => {
                defaults.fsync = Fsync::parse(&value_text)
                    .ok_or_else(|| wrong("fsync: use always, everysec or no"))?;
            }
            b"rdb-contents" => {
                defaults.rdb_contents = RdbContents::parse(&value_text)
                    .ok_or_else(|| wrong("rdb-contents: use auto, yes or no"))?;
            }
            b"cold-reads" => {
                defaults.cold_reads = ColdReads::parse(&value_text)
                    .ok_or_else(|| wrong("cold-reads: use async or inline"))?;
            }
            b"max-slack" => {
                defaults.max_slack = parse_memory(&value_text)
                    .filter(|bytes| (MAX_SLACK_MIN..=MAX_SLACK_MAX).contains(bytes))
                    .map(u64::cast_signed)
                    .ok_or_else(|| wrong("max-slack: use 64kb to 1024gb"))?;
            }
            b"max-dirty-bytes" => {
                defaults.max_dirty_bytes = parse_limit(&value_text)
                    .ok_or_else(|| wrong("max-dirty-bytes: use 0, for no limit, or 64mb say"))?;
            }
            b"max-arrays" => {
                defaults.max_arrays = value_text
                    .parse()
                    .ok()
                    .filter(|count| (0..=MAX_ARRAYS_MAX).contains(count))
                    .ok_or_else(|| wrong("max-arrays: use 0, for no limit, to 4294967295"))?;
            }
            b"max-file-bytes" => {
                defaults.max_file_bytes = parse_limit(&value_text)
                    .ok_or_else(|| wrong("max-file-bytes: use 0, for no limit, or 1gb say"))?;
            }
            b"threads" => {
                defaults.threads = value_text
                    .parse()
                    .ok()
                    .filter(|threads| (1..=THREADS_MAX).contains(threads))
                    .ok_or_else(|| wrong("threads: use 1 to 128"))?;
            }
            _ => {
                return Err(format!(
                    "unknown setting '{}': it is dir, fsync, max-slack, max-dirty-bytes, max-arrays, max-file-bytes, rdb-contents, cold-reads or threads",
                    excerpt(pair[0])
                ));
            }
        }
    }
    Ok(defaults)
}

/// A number of bytes that may be 0.
fn parse_limit(text: &str) -> Option<i64> {
    parse_memory(text).and_then(|bytes| i64::try_from(bytes).ok())
}

/// A number of bytes as `redis.conf` writes it: `64mb` is 64 * 1024 * 1024, `64m` is 64 * 1000 * 1000.
fn parse_memory(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        "t" => 1_000_000_000_000,
        "tb" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// Registers the settings, with the words of `loadmodule` as their defaults, and has the server set them.
/// Says which directory is the root.
///
/// # Errors
/// What is wrong with which word.
pub fn load(ctx: &Ctx, args: Args<'_>) -> Result<PathBuf, String> {
    let defaults = parse(args)?;
    let context = Context::new(ctx.raw());
    register_string_configuration(
        &context,
        "dir",
        &DIR,
        &defaults.dir,
        ConfigurationFlags::IMMUTABLE,
        None,
    );
    register_enum_configuration(
        &context,
        "fsync",
        &FSYNC,
        Word(defaults.fsync),
        ConfigurationFlags::DEFAULT,
        Some(Box::new(|_, _, _| apply())),
    );
    register_enum_configuration(
        &context,
        "rdb-contents",
        &RDB_CONTENTS,
        Word(defaults.rdb_contents),
        ConfigurationFlags::DEFAULT,
        Some(Box::new(|_, _, _| apply())),
    );
    register_enum_configuration(
        &context,
        "cold-reads",
        &COLD_READS,
        Word(defaults.cold_reads),
        ConfigurationFlags::DEFAULT,
        Some(Box::new(|_, _, _| apply())),
    );
    register_i64_configuration(
        &context,
        "max-slack",
        &MAX_SLACK,
        defaults.max_slack,
        MAX_SLACK_MIN.cast_signed(),
        MAX_SLACK_MAX.cast_signed(),
        ConfigurationFlags::MEMORY,
        Some(Box::new(|_, _, _| apply())),
    );
    register_i64_configuration(
        &context,
        "max-dirty-bytes",
        &MAX_DIRTY_BYTES,
        defaults.max_dirty_bytes,
        0,
        i64::MAX,
        ConfigurationFlags::MEMORY,
        Some(Box::new(|_, _, _| apply())),
    );
    register_i64_configuration(
        &context,
        "max-arrays",
        &MAX_ARRAYS,
        defaults.max_arrays,
        0,
        MAX_ARRAYS_MAX,
        ConfigurationFlags::DEFAULT,
        Some(Box::new(|_, _, _| apply())),
    );
    register_i64_configuration(
        &context,
        "max-file-bytes",
        &MAX_FILE_BYTES,
        defaults.max_file_bytes,
        0,
        i64::MAX,
        ConfigurationFlags::MEMORY,
        Some(Box::new(|_, _, _| apply())),
    );
    register_i64_configuration(
        &context,
        "threads",
        &THREADS,
        defaults.threads,
        1,
        THREADS_MAX,
        ConfigurationFlags::IMMUTABLE,
        None,
    );
    role::set_replica(ctx.is_replica());
    // SAFETY: the context is that of OnLoad.
    let status = unsafe { raw::RedisModule_LoadConfigs.unwrap()(ctx.raw()) };
    if status != raw::REDISMODULE_OK as i32 {
        return Err("the server does not accept the settings".to_owned());
    }
    Ok(PathBuf::from(lock(&DIR).clone()))
}

/// When values go along with an RDB.
pub fn rdb_contents() -> RdbContents {
    lock(&RDB_CONTENTS).0
}

/// Whether writes count as changes for the server's next snapshot: it holds the values then.
static COUNTS_WRITES: AtomicBool = AtomicBool::new(false);

/// Whether a snapshot of this server holds values, so that writing them is a reason for the next one.
#[inline]
pub fn counts_writes() -> bool {
    COUNTS_WRITES.load(Ordering::Relaxed)
}

/// How many bytes may wait for the disk before clients do; 0 is no limit.
pub fn max_dirty_bytes() -> u64 {
    MAX_DIRTY_BYTES.load(Ordering::Relaxed).cast_unsigned()
}

/// Number of threads for long work.
pub fn threads() -> usize {
    usize::try_from(THREADS.load(Ordering::Relaxed)).unwrap_or(1)
}

/// Hands the settings to the store, once there is one.
pub fn apply() {
    let Some(store) = STORE.get() else { return };
    let number = |setting: &AtomicI64| setting.load(Ordering::Relaxed).cast_unsigned();
    let limit = |setting| {
        if is_replica() { 0 } else { number(setting) }
    };
    store.set_fsync(lock(&FSYNC).0);
    COUNTS_WRITES.store(rdb_contents() == RdbContents::Yes, Ordering::Relaxed);
    let settings = store.settings();
    settings.set_cold_reads(lock(&COLD_READS).0);
    settings.set_max_slack(number(&MAX_SLACK));
    settings.set_max_dirty_bytes(max_dirty_bytes());
    settings.set_max_arrays(limit(&MAX_ARRAYS));
    if number(&MAX_ARRAYS) == 0 && !is_replica() {
        settings.limit_arrays_by_open_files();
    }
    settings.set_max_file_bytes(limit(&MAX_FILE_BYTES));
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_reads_as_in_redis_conf() {
        assert_eq!(parse_memory("64mb"), Some(64 << 20));
        assert_eq!(parse_memory("64M"), Some(64_000_000));
        assert_eq!(parse_memory("1024"), Some(1024));
        for bad in ["", "mb", "-1", "1.5gb", "1xb", "99999999999999tb"] {
            assert_eq!(parse_memory(bad), None, "{bad}");
        }
    }
}
