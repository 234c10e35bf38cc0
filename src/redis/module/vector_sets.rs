//! `VADD` where the server has one of its own: the vector sets of Redis 8.

use std::ffi::CStr;

use crate::redis::server::Ctx;
use crate::redis::server::filter;
use crate::redis::server::filter::FilteredWords;

const OURS: &CStr = c"vpush";

/// The words one of which vector sets want as the third of their `VADD`.
const THEIRS: [&[u8]; 3] = [b"REDUCE", b"FP32", b"VALUES"];

/// Has `VADD key value ...` mean `VPUSH key value ...`, before the server looks the command up. It then is
/// `VPUSH` for everything: ACL rules, `MULTI`, scripts, statistics.
///
/// # Errors
/// If the server takes no command filter.
pub fn share_vadd(ctx: &Ctx) -> Result<(), String> {
    if !filter::register::<Rename>(ctx) {
        return Err("VADD is taken, and the server accepts no command filter".to_owned());
    }
    tracing::info!(
        "the server has a VADD of its own: VADD key value ... is carried out as VPUSH, \
         VADD key REDUCE|FP32|VALUES ... is left to vector sets"
    );
    Ok(())
}

struct Rename;

impl filter::Filter for Rename {
    fn look_at(command: &mut FilteredWords) {
        let is_vadd = |word: &[u8]| word.eq_ignore_ascii_case(b"VADD");
        let is_theirs = |word: &[u8]| THEIRS.iter().any(|their| word.eq_ignore_ascii_case(their));
        if command.len() >= 3
            && command.get(0).is_some_and(is_vadd)
            && command.get(2).is_some_and(|third| !is_theirs(third))
        {
            command.replace(0, OURS);
        }
    }
}
