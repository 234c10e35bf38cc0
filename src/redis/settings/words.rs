//! Settings that are one of a few words.

use std::sync::{Mutex, MutexGuard, PoisonError};

use redis_module::configuration::{
    ConfigurationFlags, EnumConfigurationValue, register_enum_configuration,
};
use redis_module::{Context, RedisError};

use crate::storage::Fsync;
use crate::storage::settings::ColdReads;

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

/// The value of a setting that `redis-module` sets, which knows std's lock alone. Setting one cannot panic halfway.
pub fn value_of<T>(setting: &Mutex<T>) -> MutexGuard<'_, T> {
    setting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The values of a setting, with their words.
pub trait Words: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];

    /// The word for a value.
    fn word(self) -> &'static str {
        let mut words = Self::WORDS.iter();
        words
            .find(|(_, value)| *value == self)
            .map_or("", |(word, _)| word)
    }
}

impl Words for Fsync {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("always", Self::Always),
        ("everysec", Self::EverySecond),
        ("no", Self::No),
    ];
}

impl Words for RdbContents {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("yes", Self::Yes), ("no", Self::No)];
}

impl Words for ColdReads {
    const WORDS: &'static [(&'static str, Self)] =
        &[("async", Self::Async), ("inline", Self::Inline)];
}

/// A value as the server's enums are: a number for each word.
#[derive(Clone)]
pub struct EnumWord<T>(pub T);

impl<T: Words> TryFrom<i32> for EnumWord<T> {
    type Error = RedisError;

    fn try_from(number: i32) -> Result<Self, RedisError> {
        usize::try_from(number)
            .ok()
            .and_then(|number| T::WORDS.get(number))
            .map(|(_, value)| Self(*value))
            .ok_or(RedisError::Str("there is no such word for this setting"))
    }
}

impl<T: Words> From<EnumWord<T>> for i32 {
    fn from(word: EnumWord<T>) -> Self {
        T::WORDS
            .iter()
            .zip(0..)
            .find(|((_, value), _)| *value == word.0)
            .map_or(0, |(_, number)| number)
    }
}

impl<T: Words> EnumConfigurationValue for EnumWord<T> {
    fn get_options(&self) -> (Vec<String>, Vec<i32>) {
        T::WORDS
            .iter()
            .zip(0..)
            .map(|((word, _), number)| ((*word).to_owned(), number))
            .unzip()
    }
}

/// A setting that is one of a few words, whatever they are.
pub trait Choice: Sync {
    /// The words, in the order of their numbers.
    fn words(&self) -> Vec<&'static str>;

    /// Registers the setting with a default among [`Self::words`].
    fn register(
        &'static self,
        context: &Context,
        name: &str,
        default: usize,
        flags: ConfigurationFlags,
        changed: Box<dyn Fn()>,
    );

    /// The word that it is now.
    fn word(&self) -> &'static str;
}

impl<T: Words + Send> Choice for Mutex<EnumWord<T>> {
    fn words(&self) -> Vec<&'static str> {
        T::WORDS.iter().map(|(word, _)| *word).collect()
    }

    fn register(
        &'static self,
        context: &Context,
        name: &str,
        default: usize,
        flags: ConfigurationFlags,
        changed: Box<dyn Fn()>,
    ) {
        register_enum_configuration(
            context,
            name,
            self,
            EnumWord(T::WORDS[default].1),
            flags,
            Some(Box::new(move |_, _, _| changed())),
        );
    }

    fn word(&self) -> &'static str {
        value_of(self).0.word()
    }
}
