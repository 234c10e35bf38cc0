//! The files of the server itself, to which no key may be bound: who could, would read and write what the server keeps of
//! its users, its settings and the keys of others.

use std::collections::HashSet;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::redis::STORE;
use crate::redis::server::{Ctx, own_library};
use crate::storage::{Reserved, read_whole, real_path};

/// Settings that name a file; a relative one lies in the server's directory.
const FILES: [&CStr; 13] = [
    c"dbfilename",
    c"appendfilename",
    c"aclfile",
    c"cluster-config-file",
    c"logfile",
    c"pidfile",
    c"unixsocket",
    c"tls-cert-file",
    c"tls-key-file",
    c"tls-client-cert-file",
    c"tls-client-key-file",
    c"tls-dh-params-file",
    c"tls-ca-cert-file",
];

/// Settings that name a directory of such files.
const DIRECTORIES: [&CStr; 2] = [c"appenddirname", c"tls-ca-cert-dir"];

/// How many files a configuration may include before the rest is passed over: one that includes itself never ends.
const INCLUDES_MOST: usize = 1000;

/// The library of this module, by the path that the server has loaded it from: from where it was then.
static MODULE: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Finds out which files are the server's own, when the module is loaded and whenever that may have changed.
pub fn look_up(ctx: &Ctx) {
    let Some(store) = STORE.get() else { return };
    store.root().reserve(reserved(ctx));
}

/// The server's directory.
pub fn server_directory(ctx: &Ctx) -> PathBuf {
    ctx.config_text(c"dir")
        .map_or_else(|| PathBuf::from("."), |dir| path(&dir).to_owned())
}

fn reserved(ctx: &Ctx) -> Reserved {
    let dir = server_directory(ctx);
    let mut reserved = Reserved::default();
    let setting = |name| {
        let value = ctx.config_text(name)?;
        (!value.is_empty()).then(|| dir.join(path(&value)))
    };
    for file in FILES.into_iter().filter_map(setting) {
        reserved.add_file(&file);
    }
    for directory in DIRECTORIES.into_iter().filter_map(setting) {
        reserved.add_directory(&directory);
    }
    // Under such names the server writes an RDB file or an AOF before it takes the place of the former.
    for end in [&b".rdb"[..], b".aof"] {
        reserved.add_names(&dir, b"temp-", end);
    }
    let server = ctx.server_info(c"server");
    let named = |field| server.field(field).filter(|value| !value.is_empty());
    if let Some(program) = named(c"executable") {
        reserved.add_file(&dir.join(path(program)));
    }
    if let Some(file) = named(c"config_file") {
        add_configuration(&mut reserved, &dir.join(path(file)), &dir);
    }
    if let Some(module) = MODULE.get_or_init(|| real_path(&own_library()?).ok()) {
        reserved.add_file(module);
    }
    for module in ctx.module_paths() {
        reserved.add_file(&dir.join(path(&module)));
    }
    reserved
}

fn path(bytes: &[u8]) -> &Path {
    OsStr::from_bytes(bytes).as_ref()
}

/// Reserves the server's configuration and what it includes.
fn add_configuration(reserved: &mut Reserved, file: &Path, dir: &Path) {
    reserved.add_file(file);
    let mut seen = HashSet::from([file.to_owned()]);
    let mut unread = vec![file.to_owned()];
    while let Some(file) = unread.pop() {
        let Ok(text) = read_whole(&file) else {
            continue;
        };
        for included in text.split(|&byte| byte == b'\n').filter_map(included) {
            let included = dir.join(path(included));
            match add_pattern(reserved, &included) {
                Some(file) if seen.len() < INCLUDES_MOST && seen.insert(file.clone()) => {
                    unread.push(file);
                }
                _ => {}
            }
        }
    }
}

/// What a line of a configuration includes. What else stands in it need not be UTF-8, and neither need a path.
fn included(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii();
    let (word, rest) = line.split_at(line.iter().position(u8::is_ascii_whitespace)?);
    word.eq_ignore_ascii_case(b"include")
        .then(|| trim_quotes(rest.trim_ascii()))
}

fn trim_quotes(mut text: &[u8]) -> &[u8] {
    while let [b'"' | b'\'', rest @ ..] | [rest @ .., b'"' | b'\''] = text {
        text = rest;
    }
    text
}

/// Reserves a file, or all those that a pattern in its name stands for; answers a single one.
fn add_pattern(reserved: &mut Reserved, file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?.as_bytes();
    let is_wild = |byte: &u8| b"*?[".contains(byte);
    let Some(first) = name.iter().position(is_wild) else {
        reserved.add_file(file);
        return Some(file.to_owned());
    };
    let last = name.iter().rposition(|byte| b"*?]".contains(byte));
    let end = last.map_or(&b""[..], |last| &name[last + 1..]);
    reserved.add_names(file.parent()?, &name[..first], end);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_include_are_found() {
        for (line, path) in [
            (
                &b"  include /etc/redis/a.conf\r"[..],
                &b"/etc/redis/a.conf"[..],
            ),
            (b"INCLUDE \"b c.conf\" ", b"b c.conf"),
            (b"include\t'\xff.conf'", b"\xff.conf"),
        ] {
            assert_eq!(included(line), Some(path));
        }
        for other in ["# include a", "includes a", "include", ""] {
            assert_eq!(included(other.as_bytes()), None, "{other}");
        }
    }
}
