//! Decimal digits, many at once.

/// The value of 8 ASCII digits, or `None` if there is another character.
///
/// Neighbours are joined, to pairs, to fours, to eight, all within one register: a third of the time of 8 steps.
#[inline]
pub(in crate::storage) fn eight_digits(text: [u8; 8]) -> Option<u64> {
    let text = u64::from_le_bytes(text);
    let digits = text.wrapping_sub(0x3030_3030_3030_3030);
    // A byte below '0' borrows, which sets its top bit; one above '9' sets it by the addition.
    if (digits | text.wrapping_add(0x4646_4646_4646_4646)) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_digits_takes_digits_only() {
        for position in 0..8 {
            for byte in 0..=u8::MAX {
                let mut text = *b"98765432";
                text[position] = byte;
                let expected = str::from_utf8(&text)
                    .ok()
                    .filter(|_| byte != b'+')
                    .and_then(|text| text.parse().ok());
                assert_eq!(eight_digits(text), expected, "{text:?}");
            }
        }
    }
}
