//! How much memory this process could get at this moment: what the machine has, and what the cgroups allow that it runs
//! in (containers, systemd's units). Swap space does not count.

use std::collections::TryReserveError;
use std::fs::read_to_string;
use std::path::Path;

use memmap2::MmapOptions;

/// Where the kernel shows the cgroups.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Bytes that can be allocated, including page cache that would be evicted; `None` where the kernel does not say.
pub fn available() -> Option<u64> {
    let meminfo = read_to_string("/proc/meminfo").ok()?;
    let cgroups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let machine = of_machine(&meminfo)?;
    let allowed = of_cgroups(&cgroups, &|file| read_to_string(file).ok());
    Some(allowed.map_or(machine, |allowed| allowed.min(machine)))
}

/// Whether the process could map `bytes` more memory, by its limits (`ulimit -v`, `ulimit -d`) and by the size of its
/// address space. An allocator may have less to ask for, where it has kept what was freed.
pub fn could_be_mapped(bytes: u64) -> bool {
    usize::try_from(bytes).is_ok_and(|bytes| {
        MmapOptions::new()
            .len(bytes)
            .no_reserve_swap()
            .map_anon()
            .is_ok()
    })
}

/// A buffer of `len` zero bytes.
///
/// # Errors
/// If they are not available.
pub(in crate::storage) fn buffer(len: usize) -> Result<Vec<u8>, TryReserveError> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(len)?;
    buffer.resize(len, 0);
    Ok(buffer)
}

/// `MemAvailable`, which `/proc/meminfo` has in kB.
fn of_machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.strip_prefix("MemAvailable:").or_else(|| {
        let (_, rest) = meminfo.split_once("\nMemAvailable:")?;
        Some(rest)
    })?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib.saturating_mul(1024))
}

/// What the files of a version of cgroups are called.
struct CgroupFiles {
    /// Where this version is mounted below [`CGROUPS`].
    mount: &'static str,
    limit: &'static str,
    used: &'static str,
    /// The lines of `memory.stat` with what the limit counts and gives way: page cache, which arrays mostly are.
    cache: [&'static str; 2],
}

const VERSION_1: CgroupFiles = CgroupFiles {
    mount: "memory",
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    cache: ["total_inactive_file", "total_active_file"],
};
const VERSION_2: CgroupFiles = CgroupFiles {
    mount: "",
    limit: "memory.max",
    used: "memory.current",
    cache: ["inactive_file", "active_file"],
};

/// What the cgroups allow that `/proc/self/cgroup` names, and those above them; `None` if there is no limit.
fn of_cgroups(cgroups: &str, read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    cgroups
        .lines()
        .filter_map(|line| {
            // `number:controllers:path`; version 2 has number 0 and names no controllers.
            let mut fields = line.splitn(3, ':');
            let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            let names = match (number, controllers) {
                ("0", "") => VERSION_2,
                _ if controllers.split(',').any(|name| name == "memory") => VERSION_1,
                _ => return None,
            };
            let mount = Path::new(CGROUPS).join(names.mount);
            // In a container the path may be that of the machine; what it is allowed is at the mount then.
            let group = Path::new(path.strip_prefix('/')?);
            group
                .ancestors()
                .filter_map(|group| of_cgroup(&mount.join(group), &names, read))
                .min()
        })
        .min()
}

fn of_cgroup(
    group: &Path,
    names: &CgroupFiles,
    read: &dyn Fn(&Path) -> Option<String>,
) -> Option<u64> {
    let number = |name| read(&group.join(name))?.trim().parse::<u64>().ok();
    // Without a limit it says `max`, or a number that no machine has.
    let limit = number(names.limit)?;
    let used = number(names.used)?;
    let stat = read(&group.join("memory.stat")).unwrap_or_default();
    let cache: u64 = stat
        .lines()
        .filter_map(|line| {
            let (name, bytes) = line.split_once(' ')?;
            names
                .cache
                .contains(&name)
                .then(|| bytes.parse::<u64>())?
                .ok()
        })
        .sum();
    Some(limit.saturating_sub(used.saturating_sub(cache)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_what_it_could_give() {
        let meminfo =
            "MemTotal:       24683732 kB\nMemFree:         1000 kB\nMemAvailable:   2048 kB\n";
        assert_eq!(of_machine(meminfo), Some(2 << 20));
        assert_eq!(of_machine("MemTotal:       24683732 kB\n"), None);
        assert!(available().is_some());
    }

    /// What is allowed where these files are all there is.
    fn allowed(cgroups: &str, files: &[(&str, &str)]) -> Option<u64> {
        of_cgroups(cgroups, &|path| {
            let (_, text) = files
                .iter()
                .find(|(name, _)| path.strip_prefix(CGROUPS).unwrap() == Path::new(name))?;
            Some((*text).to_owned())
        })
    }

    #[test]
    fn the_strictest_cgroup_counts_and_page_cache_gives_way() {
        let files = [
            ("a/b/memory.max", "max\n"),
            ("a/b/memory.current", "500\n"),
            ("a/memory.max", "1000\n"),
            ("a/memory.current", "900\n"),
            (
                "a/memory.stat",
                "anon 600\nfile 300\ninactive_file 200\nactive_file 100\n",
            ),
            ("memory.max", "5000\n"),
            ("memory.current", "1000\n"),
        ];
        assert_eq!(allowed("0::/a/b\n", &files), Some(400));
        assert_eq!(allowed("0::/\n", &files), Some(4000));
        // In a container that sees no other cgroup than its own.
        assert_eq!(allowed("0::/docker/0123\n", &files), Some(4000));
        assert_eq!(allowed("0::/\n", &[]), None);
    }

    #[test]
    fn version_1_of_cgroups_has_other_names() {
        let cgroups = "5:cpu,cpuacct:/a\n4:memory:/a\n1:name=systemd:/a\n";
        let files = [
            ("memory/a/memory.limit_in_bytes", "1000\n"),
            ("memory/a/memory.usage_in_bytes", "700\n"),
            (
                "memory/a/memory.stat",
                "inactive_file 7\ntotal_inactive_file 100\n",
            ),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/memory.usage_in_bytes", "800\n"),
        ];
        assert_eq!(allowed(cgroups, &files), Some(400));
    }

    #[test]
    fn more_use_than_allowed_leaves_nothing() {
        let files = [("memory.max", "1000"), ("memory.current", "2000")];
        assert_eq!(allowed("0::/", &files), Some(0));
    }
}
