//! Numbers of bytes, as `redis.conf` writes them.

/// A number of bytes: `64mb` is 64 * 1024 * 1024, `64m` is 64 * 1000 * 1000.
pub fn parse(text: &str) -> Option<u64> {
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

/// The shortest way to write a number of bytes, in units up to `gb`.
pub fn show(bytes: i64) -> String {
    let units = [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")];
    let fits = |&(unit, _): &(i64, &str)| bytes != 0 && bytes % unit == 0;
    match units.into_iter().find(fits) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_reads_as_in_redis_conf() {
        assert_eq!(parse("64mb"), Some(64 << 20));
        assert_eq!(parse("64M"), Some(64_000_000));
        assert_eq!(parse("1024"), Some(1024));
        for bad in ["", "mb", "-1", "1.5gb", "1xb", "99999999999999tb"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for (bytes, shown) in [
            (0, "0"),
            (1000, "1000"),
            (65536, "64kb"),
            (256 << 20, "256mb"),
            (1 << 40, "1024gb"),
        ] {
            assert_eq!(show(bytes), shown);
            assert_eq!(parse(shown), Some(bytes.cast_unsigned()));
        }
    }
}
