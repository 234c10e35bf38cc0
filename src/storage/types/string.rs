//! Strings of a fixed size.

use crate::storage::types::ValueError;

/// Appends `text`, padded with NULs to `size` bytes.
pub(in crate::storage) fn append(
    text: &[u8],
    size: usize,
    out: &mut Vec<u8>,
) -> Result<(), ValueError> {
    let length = text.len();
    let Some(padding) = size.checked_sub(length) else {
        return Err(ValueError::StringTooLong { length, size });
    };
    out.extend_from_slice(text);
    out.resize(out.len() + padding, 0);
    Ok(())
}

/// The item without its trailing NULs. A NUL that ended the text itself goes with them.
pub(in crate::storage) fn trim(item: &[u8]) -> &[u8] {
    let end = item
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    &item[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_padded() {
        let mut out = vec![1];
        append(b"ab", 4, &mut out).unwrap();
        assert_eq!(out, b"\x01ab\0\0");
        append(b"", 1, &mut out).unwrap();
        assert_eq!(out, b"\x01ab\0\0\0");
    }

    #[test]
    fn text_of_the_full_size_has_no_terminator() {
        let mut out = Vec::new();
        append(b"abcd", 4, &mut out).unwrap();
        assert_eq!(out, b"abcd");
    }

    #[test]
    fn longer_text_is_refused() {
        let mut out = Vec::new();
        let error = append(b"abcde", 4, &mut out).unwrap_err();
        assert_eq!(error, ValueError::StringTooLong { length: 5, size: 4 });
        assert!(out.is_empty());
    }

    #[test]
    fn only_trailing_nuls_are_trimmed() {
        assert_eq!(trim(b"a\0b\0\0"), b"a\0b");
        assert_eq!(trim(b"\0\0"), b"");
        assert_eq!(trim(b"\0a"), b"\0a");
        assert_eq!(trim(b"ab"), b"ab");
    }
}
