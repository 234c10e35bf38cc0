//! Which boot of the machine this is.

use std::sync::LazyLock;

/// Identifies this boot of the machine: what the page cache held is gone when it differs.
pub type BootId = [u8; 16];

static BOOT_ID: LazyLock<BootId> = LazyLock::new(|| {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let hex: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    // Without /proc the id is 0; a reboot is then taken for a crash of the server alone.
    u128::from_str_radix(&hex, 16).unwrap_or(0).to_be_bytes()
});

/// The boot of the machine that is running.
pub fn this_boot() -> BootId {
    *BOOT_ID
}
