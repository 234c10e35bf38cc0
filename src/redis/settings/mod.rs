//! The settings `mmap.*`: in `redis.conf`, with `CONFIG GET/SET`, and as words of `loadmodule`.
//!
//! [`SETTINGS`] says all that there is to say of each: what it takes, its default, what it does, and where `INFO` shows it.
//! Tests compare it with the table of `docs/configuration.md` and with `redis.conf`. Uses `server`, `mode`, and the storage
//! layer's settings.

mod memory;
mod table;
mod words;

use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::available_parallelism;

use redis_module::Context;

use crate::redis::mode::role;
use crate::redis::mode::role::is_replica;
use crate::redis::server::info::Field;
use crate::redis::server::{Args, Ctx};
use crate::redis::settings::table::{
    DefaultValue, Setting, SettingKind, SettingValue, Shown, Unit, When,
};
use crate::redis::settings::words::{EnumWord, value_of};
use crate::storage::Fsync;
use crate::storage::settings::{
    ColdReads, MAX_DIRTY_BYTES_DEFAULT, MAX_SLACK_DEFAULT, MAX_SLACK_MAX, MAX_SLACK_MIN,
    Settings as StorageSettings,
};
use crate::storage::types::excerpt;

pub use crate::redis::settings::words::RdbContents;

static DIR: Mutex<String> = Mutex::new(String::new());
static FSYNC: Mutex<EnumWord<Fsync>> = Mutex::new(EnumWord(Fsync::EverySecond));
static RDB_CONTENTS: Mutex<EnumWord<RdbContents>> = Mutex::new(EnumWord(RdbContents::Auto));
static COLD_READS: Mutex<EnumWord<ColdReads>> = Mutex::new(EnumWord(ColdReads::Async));
static MAX_SLACK: AtomicI64 = AtomicI64::new(0);
static MAX_DIRTY_BYTES: AtomicI64 = AtomicI64::new(0);
static MAX_ARRAYS: AtomicI64 = AtomicI64::new(0);
static MAX_FILE_BYTES: AtomicI64 = AtomicI64::new(0);
static THREADS: AtomicI64 = AtomicI64::new(1);

/// All settings. The server gives each its value, or its default, when the module is loaded.
static SETTINGS: [Setting; 9] = [
    Setting {
        name: "dir",
        kind: SettingKind::Directory(&DIR),
        when: When::AtStart,
        effect: |_| {},
        shown: Shown::Nowhere,
    },
    Setting {
        name: "fsync",
        kind: SettingKind::Word(&FSYNC, "everysec"),
        when: When::AnyTime,
        effect: |store| store.set_fsync(value_of(&FSYNC).0),
        shown: Shown::InSection(c"sync"),
    },
    Setting {
        name: "max-slack",
        kind: SettingKind::Number {
            value: &MAX_SLACK,
            default: DefaultValue::Is(MAX_SLACK_DEFAULT.cast_signed()),
            range: MAX_SLACK_MIN.cast_signed()..=MAX_SLACK_MAX.cast_signed(),
            unit: Unit::Bytes,
            zero: None,
        },
        when: When::AnyTime,
        effect: |store| store.settings().set_max_slack(number(&MAX_SLACK)),
        shown: Shown::AsLimit(StorageSettings::max_slack),
    },
    Setting {
        name: "max-dirty-bytes",
        kind: SettingKind::Number {
            value: &MAX_DIRTY_BYTES,
            default: DefaultValue::Is(MAX_DIRTY_BYTES_DEFAULT.cast_signed()),
            range: 0..=i64::MAX,
            unit: Unit::Bytes,
            zero: Some("no limit"),
        },
        when: When::AnyTime,
        effect: |store| {
            store
                .settings()
                .set_max_dirty_bytes(number(&MAX_DIRTY_BYTES));
        },
        shown: Shown::AsLimit(|_| number(&MAX_DIRTY_BYTES)),
    },
    Setting {
        name: "rdb-contents",
        kind: SettingKind::Word(&RDB_CONTENTS, "auto"),
        when: When::AnyTime,
        effect: |_| {
            COUNTS_WRITES.store(rdb_contents() == RdbContents::Yes, Ordering::Relaxed);
        },
        shown: Shown::Nowhere,
    },
    Setting {
        name: "max-arrays",
        kind: SettingKind::Number {
            value: &MAX_ARRAYS,
            default: DefaultValue::Is(0),
            range: 0..=u32::MAX as i64,
            unit: Unit::Things,
            zero: Some("half of the limit on open files"),
        },
        when: When::AnyTime,
        effect: |store| match limit(&MAX_ARRAYS) {
            0 if !is_replica() => store.settings().limit_arrays_by_open_files(),
            limit => store.settings().set_max_arrays(limit),
        },
        shown: Shown::AsLimit(|settings| settings.max_arrays().unwrap_or(0)),
    },
    Setting {
        name: "max-file-bytes",
        kind: SettingKind::Number {
            value: &MAX_FILE_BYTES,
            default: DefaultValue::Is(0),
            range: 0..=i64::MAX,
            unit: Unit::Bytes,
            zero: Some("no limit"),
        },
        when: When::AnyTime,
        effect: |store| store.settings().set_max_file_bytes(limit(&MAX_FILE_BYTES)),
        shown: Shown::AsLimit(|settings| settings.max_file_bytes().unwrap_or(0)),
    },
    Setting {
        name: "cold-reads",
        kind: SettingKind::Word(&COLD_READS, "async"),
        when: When::AnyTime,
        effect: |store| store.settings().set_cold_reads(value_of(&COLD_READS).0),
        shown: Shown::Nowhere,
    },
    Setting {
        name: "threads",
        kind: SettingKind::Number {
            value: &THREADS,
            default: DefaultValue::Depends(
                "the number of CPUs but one, from 1 to 4",
                default_threads,
            ),
            range: 1..=128,
            unit: Unit::Things,
            zero: None,
        },
        when: When::AtStart,
        effect: |_| {},
        shown: Shown::Nowhere,
    },
];

/// As many threads as there are CPUs but one, which is left to the server, and not many: what they do is bound by memory,
/// not by computing.
fn default_threads() -> i64 {
    available_parallelism().map_or(1, |cpus| (cpus.get() - 1).clamp(1, 4) as i64)
}

/// Reads the words after the module's path, pairs of a setting and its value; answers what [`SETTINGS`] are, where they are
/// among them.
fn parse(args: Args<'_>) -> Result<[Option<SettingValue>; SETTINGS.len()], String> {
    let mut values = [const { None }; SETTINGS.len()];
    let words: Vec<&[u8]> = args.from(0).collect();
    for pair in words.chunks(2) {
        let name = pair[0].to_ascii_lowercase();
        let name = name.strip_prefix(b"mmap.").unwrap_or(&name);
        let [_, value] = pair else {
            return Err(format!("setting '{}' has no value", excerpt(pair[0])));
        };
        let Some(index) = SETTINGS
            .iter()
            .position(|setting| setting.name.as_bytes() == name)
        else {
            let names: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
            return Err(format!(
                "unknown setting '{}': there are {}",
                excerpt(pair[0]),
                names.join(", ")
            ));
        };
        let setting = &SETTINGS[index];
        let read = setting.parse(&String::from_utf8_lossy(value));
        values[index] = Some(read.ok_or_else(|| {
            let (name, hint) = (setting.name, setting.hint());
            format!("'{}' is not a value of {name}: use {hint}", excerpt(value))
        })?);
    }
    Ok(values)
}

/// Registers the settings, with the words of `loadmodule` as their defaults, and has the server set them.
/// Says which directory is the root.
///
/// # Errors
/// What is wrong with which word.
pub fn load(ctx: &Ctx, args: Args<'_>) -> Result<PathBuf, String> {
    let values = parse(args)?;
    let context = Context::new(ctx.raw());
    for (setting, value) in SETTINGS.iter().zip(values) {
        setting.register(&context, &value.map_or_else(|| setting.default(), Ok)?);
    }
    role::set_replica(ctx.is_replica());
    if !ctx.load_settings() {
        return Err("the server does not accept the settings".to_owned());
    }
    Ok(PathBuf::from(value_of(&DIR).clone()))
}

/// Hands the settings to the store, once there is one.
pub fn apply() {
    SETTINGS.iter().for_each(Setting::take_effect);
}

/// What a section of `INFO` shows of settings.
pub fn in_info(section: &CStr, settings: &StorageSettings) -> Vec<Field> {
    let fields = SETTINGS.iter().filter_map(|setting| {
        let (place, value) = setting.in_info(settings)?;
        Some((setting.field()?, value)).filter(|_| place == section)
    });
    fields.collect()
}

/// When values go along with an RDB.
pub fn rdb_contents() -> RdbContents {
    value_of(&RDB_CONTENTS).0
}

/// Whether writes count as changes for the server's next snapshot: it holds the values then.
static COUNTS_WRITES: AtomicBool = AtomicBool::new(false);

/// Whether a snapshot of this server holds values, so that writing them is a reason for the next one.
#[inline]
pub fn counts_writes() -> bool {
    COUNTS_WRITES.load(Ordering::Relaxed)
}

/// Number of threads for long work.
pub fn threads() -> usize {
    usize::try_from(THREADS.load(Ordering::Relaxed)).unwrap_or(1)
}

fn number(setting: &AtomicI64) -> u64 {
    setting.load(Ordering::Relaxed).cast_unsigned()
}

/// A limit that does not count on a replica: it follows its primary.
fn limit(setting: &AtomicI64) -> u64 {
    if is_replica() { 0 } else { number(setting) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The default of a setting as documents write it.
    fn default(setting: &Setting) -> String {
        match &setting.kind {
            SettingKind::Directory(_) => "the server's `dir`".to_owned(),
            SettingKind::Word(_, default) => format!("`{default}`"),
            SettingKind::Number { default, unit, .. } => match default {
                DefaultValue::Is(number) if *unit == Unit::Bytes => {
                    format!("`{}`", memory::show(*number))
                }
                DefaultValue::Is(number) => format!("`{number}`"),
                DefaultValue::Depends(how, _) => (*how).to_owned(),
            },
        }
    }

    #[test]
    fn the_table_in_the_documentation_is_this_one() {
        let page = include_str!("../../../docs/configuration.md");
        let documented: Vec<&str> = page
            .lines()
            .filter(|line| line.starts_with("| [`mmap."))
            .collect();
        let rows: Vec<String> = SETTINGS
            .iter()
            .map(|setting| {
                let when = match setting.when {
                    When::AtStart => "fixed",
                    When::AnyTime => "can be set",
                };
                format!(
                    "| [`mmap.{name}`](#mmap{name}) | {} | {} | {when} |",
                    default(setting),
                    setting.takes(),
                    name = setting.name
                )
            })
            .collect();
        assert_eq!(documented, rows);
        for setting in &SETTINGS {
            let section = format!("\n## mmap.{}\n", setting.name);
            assert!(page.contains(&section), "{section}");
        }
    }

    #[test]
    fn the_configuration_file_has_each_setting_with_its_default() {
        let file = include_str!("../../../redis.conf");
        for setting in &SETTINGS {
            let is_line = |line: &str| {
                let mut words = line.trim_start_matches(['#', ' ']).split(' ');
                words.next() == Some(&format!("mmap.{}", setting.name))
                    && words.next().is_some_and(|value| match &setting.kind {
                        SettingKind::Directory(_) => true,
                        SettingKind::Number {
                            default: DefaultValue::Depends(..),
                            ..
                        } => setting.parse(value).is_some(),
                        _ => setting.parse(value) == setting.default().ok(),
                    })
            };
            assert!(file.lines().any(is_line), "mmap.{}", setting.name);
        }
    }

    #[test]
    fn values_read_as_they_are_documented() {
        for setting in &SETTINGS {
            let word = |text: &str| setting.parse(text);
            match &setting.kind {
                SettingKind::Directory(_) => {
                    assert_eq!(word("x"), Some(SettingValue::Text("x".to_owned())))
                }
                SettingKind::Word(choice, _) => {
                    for (name, number) in choice.words().into_iter().zip(0..) {
                        assert_eq!(word(name), Some(SettingValue::Number(number)), "{name}");
                        assert_eq!(word(&name.to_uppercase()), word(name), "{name}");
                    }
                    assert_eq!(word("sometimes"), None);
                }
                SettingKind::Number { range, .. } => {
                    let (first, last) = (*range.start(), *range.end());
                    assert_eq!(word(&first.to_string()), Some(SettingValue::Number(first)));
                    assert_eq!(word(&last.to_string()), Some(SettingValue::Number(last)));
                    assert_eq!(word(&(first - 1).to_string()), None);
                    assert_eq!(word(&(i128::from(last) + 1).to_string()), None);
                    assert_eq!(word("many"), None);
                }
            }
        }
    }
}
