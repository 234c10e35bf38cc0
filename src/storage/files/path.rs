//! Paths as users give them: relative to the root directory, printable, bounded.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use crate::storage::error::{Error, Result};

/// Longest path that is accepted, in bytes: Linux' `PATH_MAX` less the final NUL.
const MAX_LEN: usize = 4095;
/// How much of a path an error shows, in bytes.
const SHOWN_LEN: usize = 128;

/// What stands behind the name of a file that was replaced, and is kept.
pub(in crate::storage) const REPLACED: &str = ".replaced";

/// A path below the root directory, kept byte for byte as it was given.
///
/// That it stays below the root is the kernel's to check, at each open (see [`crate::storage::files::root::Root`]).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FilePath(Box<[u8]>);

impl FilePath {
    /// Checks the text of a path.
    ///
    /// # Errors
    /// [`Error::Path`] if it is empty, too long, or holds a control character (they make logs and
    /// listings lie), or is absolute: see [`Root::path_of`](crate::storage::Root::path_of).
    pub fn new(bytes: &[u8]) -> Result<Self> {
        let refuse = |why| {
            Err(Error::Path {
                path: shown(bytes),
                why,
            })
        };
        if bytes.is_empty() {
            return refuse("is empty");
        }
        if bytes.len() > MAX_LEN {
            return refuse("is longer than 4095 bytes");
        }
        if bytes.iter().any(u8::is_ascii_control) {
            return refuse("holds a control character");
        }
        if bytes[0] == b'/' {
            return refuse("is not relative to mmap.dir");
        }
        Ok(Self(bytes.into()))
    }

    /// Whether it names a `.npy` file: a header and then values.
    pub fn is_npy(&self) -> bool {
        self.0.ends_with(b".npy")
    }

    /// The path as it was given.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether both are spellings of one name: `a//b` and `./a/b`.
    pub fn is_same(&self, other: &Self) -> bool {
        let parts = |path: &Self| -> Vec<_> {
            let path: &Path = path.as_ref();
            let named = |part: &Component<'_>| *part != Component::CurDir;
            path.components()
                .filter(named)
                .map(|part| part.as_os_str().to_owned())
                .collect()
        };
        self == other || parts(self) == parts(other)
    }

    /// What is kept of a path, or of what was to be bound there, that cannot be used: it is no path that anybody could give.
    pub fn unusable(parts: &[&[u8]]) -> Self {
        let mut bytes = parts.join(&0);
        bytes.insert(0, 0);
        bytes.truncate(MAX_LEN);
        Self(bytes.into())
    }

    /// The path of the file that this one has replaced.
    pub fn aside(&self) -> Self {
        Self([&self.0, REPLACED.as_bytes()].concat().into())
    }

    /// The directory, empty where the path is a name alone, and the name.
    pub fn split(&self) -> (&Path, &OsStr) {
        let path: &Path = self.as_ref();
        let parent = path.parent().unwrap_or(Path::new(""));
        (parent, path.file_name().unwrap_or(path.as_os_str()))
    }
}

impl AsRef<Path> for FilePath {
    fn as_ref(&self) -> &Path {
        OsStr::from_bytes(&self.0).as_ref()
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

/// A path as errors and logs show it: escaped where it is not printable, and shortened.
pub(in crate::storage) fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes[..bytes.len().min(SHOWN_LEN)].utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        text.push_str(&chunk.invalid().escape_ascii().to_string());
    }
    if bytes.len() > SHOWN_LEN {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_without_control_characters_and_shortened() {
        assert_eq!(shown(b"a\nb\xffc"), "a\\nb\\xffc");
        assert_eq!(shown("é".as_bytes()), "é");
        assert_eq!(shown(&[b'x'; 10_000]).len(), SHOWN_LEN + 3);
    }

    #[test]
    fn spellings_of_one_name_are_the_same() {
        let path = |text: &str| FilePath::new(text.as_bytes()).unwrap();
        for same in ["a/b", "./a/b", "a//b", "a/./b", "a/b/"] {
            assert!(path("a/b").is_same(&path(same)), "{same}");
        }
        for other in ["b", "a", "a/c", "a/../a/b", "a/b/c"] {
            assert!(!path("a/b").is_same(&path(other)), "{other}");
        }
    }

    #[test]
    fn only_printable_relative_paths_are_paths() {
        assert!(FilePath::new(b"a/b.f64").is_ok());
        for bad in [&b""[..], b"a\0b", b"a\nb", b"/etc/passwd", &[b'x'; 4096]] {
            assert!(FilePath::new(bad).is_err(), "{}", shown(bad));
        }
    }
}
