//! What a setting is: its values, and how they are read, shown, registered and explained.

use std::ffi::{CStr, CString};
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::atomic::AtomicI64;

use redis_module::Context;
use redis_module::configuration::{
    ConfigurationFlags, register_i64_configuration, register_string_configuration,
};

use crate::redis::STORE;
use crate::redis::server::info;
use crate::redis::settings::memory;
use crate::redis::settings::words::Choice;
use crate::storage::Store;
use crate::storage::settings::Settings as StorageSettings;

/// A setting: all that is said of it in code.
pub struct Setting {
    /// Without `mmap.`.
    pub name: &'static str,
    pub kind: SettingKind,
    /// When it can get its value.
    pub when: When,
    /// What its value does. It is called for each change, and when the server becomes a primary or a replica.
    pub effect: fn(&Store),
    pub shown: Shown,
}

/// Where `INFO` shows a setting.
pub enum Shown {
    /// `CONFIG GET` says it.
    Nowhere,
    /// In section `limits`, with the number that counts.
    AsLimit(fn(&StorageSettings) -> u64),
    /// A word, in this section.
    InSection(&'static CStr),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// When the module is loaded.
    AtStart,
    /// Whenever `CONFIG SET` says so.
    AnyTime,
}

/// The values of a setting, and where the one is that it has.
pub enum SettingKind {
    /// A directory that exists; by default the server's.
    Directory(&'static Mutex<String>),
    /// One of a few words, by default this one.
    Word(&'static dyn Choice, &'static str),
    Number {
        value: &'static AtomicI64,
        default: DefaultValue,
        range: RangeInclusive<i64>,
        unit: Unit,
        /// What 0 means, where it is no number of anything.
        zero: Option<&'static str>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    Bytes,
    Things,
}

pub enum DefaultValue {
    Is(i64),
    /// It depends on the machine: how, and what it is.
    Depends(
        #[cfg_attr(
            not(test),
            allow(dead_code, reason = "what the documentation says of it")
        )]
        &'static str,
        fn() -> i64,
    ),
}

/// A value that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SettingValue {
    Text(String),
    /// Of a word: its number.
    Number(i64),
}

impl Setting {
    /// Reads a value; `None` if it is none of this setting.
    pub fn parse(&self, text: &str) -> Option<SettingValue> {
        match &self.kind {
            SettingKind::Directory(_) => Some(SettingValue::Text(text.to_owned())),
            SettingKind::Word(choice, _) => number_of(*choice, text).map(SettingValue::Number),
            SettingKind::Number { range, unit, .. } => {
                let number = match unit {
                    Unit::Bytes => i64::try_from(memory::parse(text)?).ok()?,
                    Unit::Things => text.parse().ok()?,
                };
                range
                    .contains(&number)
                    .then_some(SettingValue::Number(number))
            }
        }
    }

    /// The default value.
    ///
    /// # Errors
    /// If the server's directory cannot be one.
    pub fn default(&self) -> Result<SettingValue, String> {
        Ok(match &self.kind {
            SettingKind::Directory(_) => SettingValue::Text(server_directory()?),
            SettingKind::Word(choice, default) => {
                SettingValue::Number(number_of(*choice, default).unwrap_or_default())
            }
            SettingKind::Number { default, .. } => SettingValue::Number(match default {
                DefaultValue::Is(number) => *number,
                DefaultValue::Depends(_, number) => number(),
            }),
        })
    }

    /// Registers the setting with the server, with a default.
    pub fn register(&'static self, context: &Context, default: &SettingValue) {
        let (fixed, memory) = (ConfigurationFlags::IMMUTABLE, ConfigurationFlags::MEMORY);
        let mut flags = ConfigurationFlags::DEFAULT;
        flags.set(fixed, self.when == When::AtStart);
        match (&self.kind, default) {
            (SettingKind::Directory(value), SettingValue::Text(default)) => {
                register_string_configuration(context, self.name, *value, default, flags, None);
            }
            (SettingKind::Word(choice, _), SettingValue::Number(default)) => {
                let default = usize::try_from(*default).unwrap_or_default();
                choice.register(
                    context,
                    self.name,
                    default,
                    flags,
                    Box::new(|| self.take_effect()),
                );
            }
            (
                SettingKind::Number {
                    value, range, unit, ..
                },
                SettingValue::Number(default),
            ) => {
                flags.set(memory, *unit == Unit::Bytes);
                register_i64_configuration(
                    context,
                    self.name,
                    *value,
                    *default,
                    *range.start(),
                    *range.end(),
                    flags,
                    Some(Box::new(|_, _, _| self.take_effect())),
                );
            }
            _ => {}
        }
    }

    /// Has its value do what it does, once there is a store.
    pub fn take_effect(&self) {
        if let Some(store) = STORE.get() {
            (self.effect)(store);
        }
    }

    /// The section of `INFO` that shows it, and as what.
    pub fn in_info(&self, settings: &StorageSettings) -> Option<(&'static CStr, info::InfoValue)> {
        match (&self.shown, &self.kind) {
            (Shown::AsLimit(limit), _) => Some((c"limits", limit(settings).into())),
            (Shown::InSection(section), SettingKind::Word(choice, _)) => {
                Some((*section, choice.word().to_owned().into()))
            }
            _ => None,
        }
    }

    /// The name of its field there.
    pub fn field(&self) -> Option<CString> {
        CString::new(self.name.replace('-', "_")).ok()
    }

    /// What to write instead of a value that it does not take.
    pub fn hint(&self) -> String {
        match &self.kind {
            SettingKind::Word(choice, _) => match choice.words().split_last() {
                Some((last, others)) => format!("{} or {last}", others.join(", ")),
                None => String::new(),
            },
            _ => self.takes().replace('`', ""),
        }
    }

    /// What it takes, as `docs/configuration.md` says it.
    pub fn takes(&self) -> String {
        match &self.kind {
            SettingKind::Directory(_) => "a directory that exists".to_owned(),
            SettingKind::Word(choice, _) => {
                let words = choice.words();
                let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
                words.join(", ")
            }
            SettingKind::Number {
                range, unit, zero, ..
            } => {
                let show = |number: i64| match unit {
                    Unit::Bytes => format!("`{}`", memory::show(number)),
                    Unit::Things => format!("`{number}`"),
                };
                let first = show(*range.start());
                let first = zero.map_or(first.clone(), |meaning| format!("{first} ({meaning})"));
                match *range.end() {
                    i64::MAX => format!("{first} or a number of bytes, such as `10gb`"),
                    last => format!("{first} to {}", show(last)),
                }
            }
        }
    }
}

/// The number of a word.
fn number_of(choice: &dyn Choice, text: &str) -> Option<i64> {
    let words = choice.words();
    let position = words
        .iter()
        .position(|word| word.eq_ignore_ascii_case(text))?;
    i64::try_from(position).ok()
}

fn server_directory() -> Result<String, String> {
    std::env::current_dir()
        .map_err(|e| format!("cannot find out the server's directory: {e}"))?
        .into_os_string()
        .into_string()
        .map_err(|dir| format!("the server's directory {dir:?} is no UTF-8; set mmap.dir"))
}
