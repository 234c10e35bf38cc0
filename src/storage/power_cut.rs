//! A disk that forgets (R4): storage operations run on a real file while it is noted what of it is on disk for
//! certain, and what may be. From that, files are made as power cuts at any moment may leave them, and recovered.
//!
//! It assumes of the disk what `docs/design.md` does and no more: sectors that were not synced are there or not, each by
//! itself and in any of their versions; lengths and marks are there in the order in which they were made, up to any of
//! them; and, with a file system that orders it so, what was written back is there if metadata of later is.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use crossbeam_channel::{Receiver, unbounded};
use proptest::prelude::*;
use support::random::Random;
use tempfile::TempDir;

use crate::storage::array::handle::Array;
use crate::storage::array::shared::Shared;
use crate::storage::array::state::tail::End;
use crate::storage::files::boot::{BootId, this_boot};
use crate::storage::format::record;
use crate::storage::format::redo;
use crate::storage::store::post::WorkerMessage;
use crate::storage::store::registry::Registry;
use crate::storage::tests::record_of;
use crate::storage::types::ItemType;
use crate::storage::{Access, FilePath, Fsync, Root};

const SECTOR: usize = 512;
const NAME: &str = "f";
const MARK: &str = "user.mmap";

/// What happened to the file, in order.
#[derive(Clone, Debug)]
enum Event {
    /// A sector got another content in the page cache.
    Write(usize, Box<[u8; SECTOR]>),
    Length(usize),
    Mark(Option<Vec<u8>>),
    /// The disk has been given these sectors as they were at that moment. They are on stable storage when it is next
    /// synced, and, as the file system orders it so, when metadata that came later is.
    Given {
        sectors: BTreeSet<usize>,
        at: usize,
    },
    /// On disk for certain: these sectors as they were at that moment, and metadata up to it.
    Synced {
        sectors: BTreeSet<usize>,
        at: usize,
        metadata: usize,
    },
}

/// The disk under the file that this thread works on.
struct Disk {
    path: PathBuf,
    /// What the page cache held when it was last looked at.
    cached: Vec<u8>,
    events: Vec<Event>,
    /// Which of them a call has made: it ends before its process does.
    calls: Vec<Range<usize>>,
    /// Sectors that the kernel has to write.
    dirty: BTreeSet<usize>,
    /// Number of syncs until one fails.
    fail_sync_in: Option<u32>,
    /// Whether the file system puts data that it was given on disk before later metadata.
    in_order: bool,
}

thread_local! {
    static DISK: RefCell<Option<Disk>> = const { RefCell::new(None) };
    /// Run during a sync, while the array is not locked: what a client does at that time.
    static DURING_SYNC: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
    /// Run before a call that changes the file: what another process does at that time.
    static BEFORE_CHANGE: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

fn with_disk(work: impl FnOnce(&mut Disk)) {
    DISK.with_borrow_mut(|disk| disk.as_mut().map(work));
}

/// Around a call that changes the file.
pub fn change<T>(call: impl FnOnce() -> T) -> T {
    if let Some(mut work) = BEFORE_CHANGE.take() {
        work();
        BEFORE_CHANGE.set(Some(work));
    }
    with_disk(Disk::look);
    let result = call();
    with_disk(Disk::look_after_change);
    result
}

/// Has something done before each call of this thread that changes the file.
pub fn before_changes(work: Option<Box<dyn FnMut()>>) {
    BEFORE_CHANGE.set(work);
}

pub fn store() {
    with_disk(Disk::look);
}

pub fn touch(range: Range<u64>) {
    with_disk(|disk| disk.touch(range.start as usize..range.end as usize));
}

/// In place of a call that syncs.
pub fn sync(
    range: Range<u64>,
    full: bool,
    call: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    write(|disk| disk.begin_sync(&range, full), call)
}

/// In place of a call that gives bytes to the disk.
pub fn give(range: Range<u64>, call: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    write(|disk| disk.begin_giving(&range), call)
}

/// In place of the question what order the file system keeps.
pub fn in_order(ask: impl FnOnce() -> bool) -> bool {
    DISK.with_borrow(|disk| disk.as_ref().map(|disk| disk.in_order))
        .unwrap_or_else(ask)
}

fn write(
    begin: impl FnOnce(&mut Disk) -> Event,
    call: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    if DISK.with_borrow(Option::is_none) {
        return call();
    }
    let mut begun = None;
    with_disk(|disk| begun = Some(begin(disk)));
    if let Some(mut work) = DURING_SYNC.take() {
        work();
        DURING_SYNC.set(Some(work));
    }
    let mut result = Ok(());
    with_disk(|disk| result = disk.end(begun.take()));
    result
}

impl Disk {
    fn new(path: &Path, in_order: bool) -> Self {
        let mut disk = Self {
            path: path.to_owned(),
            cached: Vec::new(),
            events: Vec::new(),
            calls: Vec::new(),
            dirty: BTreeSet::new(),
            fail_sync_in: None,
            in_order,
        };
        // What is there before is on disk.
        disk.look_after_change();
        let all = disk.begin_sync(&(0..u64::MAX), true);
        disk.events.push(all);
        disk
    }

    /// Notes what was stored to the mapping.
    fn look(&mut self) {
        let content = fs::read(&self.path).unwrap();
        if content.len() != self.cached.len() {
            self.events.push(Event::Length(content.len()));
            self.cached.resize(content.len(), 0);
            self.zero_tail();
        }
        let changed = content
            .chunks(SECTOR)
            .zip(self.cached.chunks(SECTOR))
            .enumerate()
            .filter(|(_, (new, old))| new != old);
        for (sector, (new, _)) in changed {
            let mut bytes = [0; SECTOR];
            bytes[..new.len()].copy_from_slice(new);
            self.events.push(Event::Write(sector, Box::new(bytes)));
            self.dirty.insert(sector);
        }
        self.cached = content;
    }

    /// The kernel zeroes the rest of the page in which a file ends, and writes it when it likes.
    fn zero_tail(&mut self) {
        let len = self.cached.len();
        for sector in len / SECTOR..len.next_multiple_of(4096) / SECTOR {
            let mut bytes = [0; SECTOR];
            if let Some(rest) = self.cached.get(sector * SECTOR..) {
                bytes[..rest.len()].copy_from_slice(rest);
            }
            self.events.push(Event::Write(sector, Box::new(bytes)));
            self.dirty.insert(sector);
        }
    }

    fn look_after_change(&mut self) {
        let begin = self.events.len();
        self.look();
        self.calls.push(begin..self.events.len());
        let mark = read_mark(&self.path);
        let last = self.events.iter().rev().find_map(|event| match event {
            Event::Mark(mark) => Some(mark.clone()),
            _ => None,
        });
        if last.unwrap_or(None) != mark {
            self.events.push(Event::Mark(mark));
        }
    }

    fn touch(&mut self, range: Range<usize>) {
        self.dirty.extend(sectors(&range, self.cached.len()));
    }

    fn begin_sync(&mut self, range: &Range<u64>, full: bool) -> Event {
        self.look();
        let sectors = self.clean(range);
        let at = self.events.len();
        // A sync of data commits a length, and with it what came before; other attributes can wait.
        let metadata = if full {
            at
        } else {
            let length = |event: &Event| matches!(event, Event::Length(_));
            self.events.iter().rposition(length).map_or(0, |at| at + 1)
        };
        Event::Synced {
            sectors,
            at,
            metadata,
        }
    }

    fn begin_giving(&mut self, range: &Range<u64>) -> Event {
        self.look();
        Event::Given {
            sectors: self.clean(range),
            at: self.events.len(),
        }
    }

    /// Considers the sectors of the range written.
    fn clean(&mut self, range: &Range<u64>) -> BTreeSet<usize> {
        let range = range.start as usize..usize::try_from(range.end).unwrap_or(usize::MAX);
        // The kernel writes whole pages.
        let range = range.start / 4096 * 4096..range.end.saturating_add(4095) / 4096 * 4096;
        sectors(&range, self.cached.len())
            .filter(|sector| self.dirty.remove(sector))
            .collect()
    }

    fn end(&mut self, begun: Option<Event>) -> io::Result<()> {
        let fails = self.fail_sync_in == Some(0);
        self.fail_sync_in = self.fail_sync_in.and_then(|left| left.checked_sub(1));
        if fails {
            // The sectors are on disk or not, and the kernel considers them written.
            return Err(io::Error::from_raw_os_error(5));
        }
        self.events.extend(begun);
        Ok(())
    }

    /// The file and its mark as a process leaves them that is killed after `cut` events.
    fn after_kill(&self, cut: usize) -> Image {
        let mut image = Image::default();
        for event in &self.events[..cut] {
            match event {
                Event::Length(len) => image.bytes.resize(*len, 0),
                Event::Write(sector, bytes) => {
                    let from = sector * SECTOR;
                    // What lies behind the end is no one's.
                    if let Some(rest) = image.bytes.get_mut(from..) {
                        let len = rest.len().min(SECTOR);
                        rest[..len].copy_from_slice(&bytes[..len]);
                    }
                }
                Event::Mark(mark) => image.mark.clone_from(mark),
                Event::Given { .. } | Event::Synced { .. } => {}
            }
        }
        image
    }

    /// The file and its mark as a power cut after `cut` events may leave them.
    fn after_cut(&self, cut: usize, random: &mut Random) -> Image {
        let events = &self.events[..cut];
        let certain = |event: &Event| match event {
            Event::Synced { metadata, .. } => *metadata,
            _ => 0,
        };
        let certain = events.iter().map(certain).max().unwrap_or(0);
        let metadata = pick(random, certain, cut);
        let mut image = Image::default();
        let mut lengths = Vec::new();
        for (at, event) in events[..metadata].iter().enumerate() {
            match event {
                Event::Length(len) => {
                    image.bytes.resize(*len, 0);
                    lengths.push((at, *len));
                }
                Event::Mark(mark) => image.mark.clone_from(mark),
                _ => {}
            }
        }
        for (sector, versions) in versions(events, metadata) {
            // What was written to a page since it was freed lies elsewhere on the disk until that is known there.
            let page = sector * SECTOR / 4096 * 4096;
            let freed = (metadata..cut)
                .find(|&at| matches!(events[at], Event::Length(len) if len <= page))
                .unwrap_or(cut);
            let possible = versions.all.partition_point(|(at, _)| *at < freed);
            // Before there is a version that is certain, there may be none.
            let chosen = pick(random, versions.certain.min(possible), possible);
            let Some((at, bytes)) = chosen.checked_sub(1).map(|i| versions.all[i]) else {
                continue;
            };
            // What lay behind a length that came later, and is on disk, is gone.
            let visible = lengths
                .iter()
                .filter(|(later, _)| *later > at)
                .map(|(_, len)| *len)
                .fold(image.bytes.len(), usize::min);
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(visible);
            if from < to {
                image.bytes[from..to].copy_from_slice(&bytes[..to - from]);
            }
        }
        image
    }
}

/// The versions of a sector that may be on disk.
#[derive(Default)]
struct Versions<'a> {
    /// What it held, and since which event.
    all: Vec<(usize, &'a [u8; SECTOR])>,
    /// How many of these are older than, or are, the one that is on disk for certain.
    certain: usize,
}

fn versions(events: &[Event], metadata: usize) -> BTreeMap<usize, Versions<'_>> {
    let mut of_sectors: BTreeMap<usize, Versions> = BTreeMap::new();
    let later_metadata = events[..metadata]
        .iter()
        .rposition(|event| matches!(event, Event::Length(_) | Event::Mark(_)));
    // What the disk was given before a sync began is on disk when it has ended.
    let last_sync = events.iter().filter_map(|event| match event {
        Event::Synced { at, .. } => Some(*at),
        _ => None,
    });
    let stable = last_sync.chain(later_metadata).max();
    for (position, event) in events.iter().enumerate() {
        match event {
            Event::Write(sector, bytes) => {
                let version = (position, bytes.as_ref());
                of_sectors.entry(*sector).or_default().all.push(version);
            }
            // The disk was not told to keep it, and may not have done so yet.
            Event::Given { .. } if stable.is_none_or(|stable| stable < position) => {}
            Event::Given { sectors, at } | Event::Synced { sectors, at, .. } => {
                for sector in sectors {
                    let versions = of_sectors.entry(*sector).or_default();
                    versions.certain = versions.all.partition_point(|(of, _)| of < at);
                }
            }
            _ => {}
        }
    }
    of_sectors
}

/// A number from the first to the last; the ends are what happens most.
fn pick(random: &mut Random, first: usize, last: usize) -> usize {
    match random.index(4) {
        0 => first,
        1 => last,
        _ => first + random.index(last - first + 1),
    }
}

fn sectors(range: &Range<usize>, len: usize) -> Range<usize> {
    range.start / SECTOR..range.end.min(len).div_ceil(SECTOR)
}

fn read_mark(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 24];
    let len = rustix::fs::getxattr(path, MARK, &mut bytes).ok()?;
    bytes.truncate(len);
    Some(bytes)
}

/// A file with its mark.
#[derive(Default)]
struct Image {
    bytes: Vec<u8>,
    mark: Option<Vec<u8>>,
}

impl Image {
    /// Writes it as the machine finds it that boots next.
    fn write(mut self, path: &Path, boot_id: BootId) {
        for end in (4096..=self.bytes.len()).step_by(4096) {
            record::pretend_reboot(&mut self.bytes[..end], boot_id);
        }
        fs::write(path, &self.bytes).unwrap();
        let Some(mut mark) = self.mark else { return };
        if mark[..16] == this_boot() {
            mark[..16].copy_from_slice(&boot_id);
        }
        rustix::fs::setxattr(path, MARK, &mark, rustix::fs::XattrFlags::empty()).unwrap();
    }
}

/// An array without a worker: its steps are taken on this thread.
struct Machine {
    dir: TempDir,
    root: Root,
    registry: Arc<Registry>,
    jobs: Receiver<WorkerMessage>,
    item: ItemType,
}

impl Machine {
    fn new(item: ItemType, fsync: Fsync) -> Self {
        let dir = TempDir::new().unwrap();
        let (sender, jobs) = unbounded();
        let shared = Arc::new(Shared::new());
        shared.settings.set_max_slack(64 * 1024);
        shared.settings.set_fsync(fsync);
        Self {
            root: Root::open(dir.path()).unwrap(),
            dir,
            registry: Registry::new(&shared, sender),
            jobs,
            item,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(NAME)
    }

    fn bind(&self) -> Arc<Array> {
        let path = FilePath::new(NAME.as_bytes()).unwrap();
        self.registry
            .bind(&self.root, &path, self.item, Access::Writable, true)
            .unwrap()
    }
}

/// The value with that number, none of whose bytes is zero.
fn encoded(number: u32, size: usize) -> Vec<u8> {
    let digits = [0, 7, 14].map(|shift| (number >> shift) as u8 | 0x80);
    digits.into_iter().cycle().take(size).collect()
}

/// The number of such a value.
fn decoded(value: &[u8]) -> u32 {
    (0..3).map(|i| u32::from(value[i] & 0x7f) << (7 * i)).sum()
}

/// What the array held from an event on.
struct Moment {
    at: usize,
    values: Vec<u32>,
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Pop(usize),
    Clear,
    Set(usize),
    Grow,
    /// What the worker does when the load pauses.
    Settle,
    Sync,
    Rebind,
    /// The n-th sync from now fails.
    FailSync(u32),
    /// What the machine finds after the cut is what it goes on with.
    PowerCut,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (1_usize..2500).prop_map(Step::Append),
        5 => (1_usize..20).prop_map(Step::Append),
        2 => (1_usize..1500).prop_map(Step::Pop),
        1 => Just(Step::Clear),
        1 => any::<usize>().prop_map(Step::Set),
        3 => Just(Step::Grow),
        2 => Just(Step::Settle),
        3 => Just(Step::Sync),
        1 => Just(Step::Rebind),
        1 => (0_u32..3).prop_map(Step::FailSync),
        1 => Just(Step::PowerCut),
    ]
}

/// Whether an append would not wait for a growth or a cut that is under way: here the one who waited is the one who grows.
fn can_append(array: &Arc<Array>, bytes: u64) -> bool {
    let Some(state) = array.try_lock() else {
        return false;
    };
    let from = state.extent.end();
    let end = from + bytes;
    match (state.tail.end(), state.extent.has_slack()) {
        (End::Free, _) => true,
        (_, true) => state.extent.room_for(bytes).is_some(),
        (_, false) => from / 4096 == (end - 1) / 4096,
    }
}

/// A run of steps, and what is known of it.
struct Run {
    machine: Machine,
    array: Arc<Array>,
    size: usize,
    fsync: Fsync,
    next: Rc<Cell<u32>>,
    boots: u8,
    /// Since the last sync that succeeded: its beginning and what came then.
    moments: Vec<Moment>,
    /// From this value on the file was cut since then: see `docs/design.md`, "Limits after a power cut".
    cut_from: usize,
    /// Where the events begin that no cut has fallen in yet.
    unchecked: usize,
    /// What was appended while a step was under way.
    during_step: Rc<RefCell<Vec<Moment>>>,
    random: Random,
}

impl Run {
    fn new(size: usize, fsync: Fsync, in_order: bool, seed: u64) -> Self {
        let item = ItemType::parse(b"string", Some(size.to_string().as_bytes())).unwrap();
        let machine = Machine::new(item, fsync);
        fs::write(machine.path(), []).unwrap();
        DISK.set(Some(Disk::new(&machine.path(), in_order)));
        Self {
            array: machine.bind(),
            machine,
            size,
            fsync,
            next: Rc::new(Cell::new(1)),
            boots: 1,
            moments: vec![Moment {
                at: 0,
                values: Vec::new(),
            }],
            cut_from: usize::MAX,
            unchecked: 0,
            during_step: Rc::default(),
            random: Random::new(seed),
        }
    }

    fn values(&self) -> Vec<u32> {
        self.moments.last().expect("there is one").values.clone()
    }

    fn take(&mut self, step: &Step) {
        let at = events();
        let mut values = self.values();
        match *step {
            Step::Append(count) => {
                let (numbers, bytes) = numbered(&self.next, count, self.size);
                if self.array.append(&bytes).is_ok() {
                    values.extend(numbers);
                    self.wrote(at, values);
                }
            }
            Step::Pop(count) => {
                let left = values.len().saturating_sub(count);
                if self.array.pop(count as u64).is_ok() {
                    values.truncate(left);
                    self.shortened(at, values);
                }
            }
            Step::Clear => {
                if self.array.clear().is_ok() {
                    self.shortened(at, Vec::new());
                }
            }
            Step::Set(index) => {
                let Some(index) = index.checked_rem(values.len()) else {
                    return;
                };
                let (numbers, bytes) = numbered(&self.next, 1, self.size);
                if self.array.set(&[index as u64], &bytes).is_ok() {
                    values[index] = numbers.start;
                    self.wrote(at, values);
                }
            }
            Step::Grow => self.with_appends_during(|array| array.grow_ahead()),
            Step::Sync => {
                self.sync();
            }
            Step::Settle => {
                if self.sync() {
                    self.array.trim_from_worker().unwrap();
                }
            }
            Step::Rebind => self.rebind(),
            Step::FailSync(after) => with_disk(|disk| disk.fail_sync_in = Some(after)),
            Step::PowerCut => self.cut_power(),
        }
        self.machine.jobs.try_iter().for_each(drop);
        self.check();
    }

    /// Under `always` a sync follows; whether it succeeded.
    fn wrote(&mut self, at: usize, values: Vec<u32>) -> bool {
        self.moments.push(Moment { at, values });
        self.fsync == Fsync::Always && {
            self.check();
            self.sync()
        }
    }

    fn shortened(&mut self, at: usize, values: Vec<u32>) {
        if self.fsync != Fsync::Always {
            self.cut_from = self.cut_from.min(values.len());
        }
        if self.wrote(at, values) {
            self.array.trim_from_worker().unwrap();
            self.check();
            self.sync();
        }
    }

    /// Takes a step in which the array is not locked while it waits for the disk; other threads append during it.
    fn with_appends_during(&mut self, step: impl FnOnce(&Arc<Array>)) {
        let mut values = self.values();
        let (array, next, size) = (Arc::clone(&self.array), Rc::clone(&self.next), self.size);
        let seen = Rc::clone(&self.during_step);
        let mut count = self.random.index(400);
        DURING_SYNC.set(Some(Box::new(move || {
            if count == 0 || !can_append(&array, (count * size) as u64) {
                return;
            }
            let at = events();
            let (numbers, bytes) = numbered(&next, count, size);
            if array.append(&bytes).is_ok() {
                values.extend(numbers);
                let values = values.clone();
                seen.borrow_mut().push(Moment { at, values });
            }
            count /= 2;
        })));
        step(&self.array);
        DURING_SYNC.set(None);
        self.moments.append(&mut self.during_step.borrow_mut());
    }

    /// Whether it succeeded.
    fn sync(&mut self) -> bool {
        let begin = Moment {
            at: events(),
            values: self.values(),
        };
        let before = self.moments.len();
        let mut synced = false;
        self.with_appends_during(|array| synced = array.sync().is_ok());
        self.check_before(events());
        if synced {
            self.moments.splice(..before, [begin]);
            self.cut_from = usize::MAX;
        }
        synced
    }

    fn rebind(&mut self) {
        // A file that no key is bound to has no slack, even if the sync after a pop has failed.
        let left = self.values().len();
        if self.moments.iter().any(|moment| moment.values.len() > left) {
            self.cut_from = self.cut_from.min(left);
        }
        self.machine.registry.unbind(&self.array, Access::Writable);
        // The worker may have come to it, or not.
        if self.random.index(2) == 0 && self.sync() {
            self.array.trim_from_worker().unwrap();
            if self.sync() {
                self.machine.registry.retire(&self.array).unwrap();
            }
        }
        self.array = self.machine.bind();
        assert!(self.holds(&self.values()), "what is bound again");
    }

    /// Whether the array holds these values.
    fn holds(&self, values: &[u32]) -> bool {
        let bytes: Vec<_> = values.iter().map(|&n| encoded(n, self.size)).collect();
        contents(&self.array, self.size) == bytes.concat()
    }

    /// Recovers what some power cuts leave that fall within the steps since the last call.
    fn check(&mut self) {
        self.check_before(events());
        self.check_at(events());
    }

    fn check_before(&mut self, end: usize) {
        for _ in 0..3 {
            if self.unchecked < end {
                let cut = self.unchecked + self.random.index(end - self.unchecked);
                self.check_at(cut);
            }
        }
        self.unchecked = end;
    }

    fn check_at(&mut self, cut: usize) {
        let mut disk = DISK.take().expect("there is a disk");
        let machine = Machine::new(self.machine.item, self.fsync);
        disk.after_cut(cut, &mut self.random)
            .write(&machine.path(), [self.boots; 16]);
        let found = contents(&machine.bind(), self.size);
        self.judge(&found, cut);
        disk.look();
        DISK.set(Some(disk));
    }

    /// What was there since the last sync, each value in one of its versions, and nothing else.
    fn judge(&self, found: &[u8], cut: usize) {
        let moments: Vec<_> = self.moments.iter().filter(|m| m.at <= cut).collect();
        let counts = || moments.iter().map(|moment| moment.values.len());
        let (least, most) = (counts().min().unwrap(), counts().max().unwrap());
        let count = found.len() / self.size;
        assert!(
            (least..=most).contains(&count),
            "{count} values where there were {least} to {most}, cut at {cut}"
        );
        for (index, value) in found.chunks(self.size).enumerate() {
            let mut versions: Vec<_> = moments
                .iter()
                .filter_map(|moment| moment.values.get(index))
                .map(|&number| encoded(number, self.size))
                .collect();
            versions.dedup();
            if index >= self.cut_from {
                versions.push(vec![0; self.size]);
            }
            // A value that lies across sectors may be half old.
            let is_one = value
                .iter()
                .enumerate()
                .all(|(i, byte)| versions.iter().any(|version| version[i] == *byte));
            assert!(
                is_one,
                "value {index} of {count} is {value:?}, cut at {cut}; {least} to {most} were there"
            );
        }
    }

    fn cut_power(&mut self) {
        let disk = DISK.take().expect("there is a disk");
        let machine = Machine::new(self.machine.item, self.fsync);
        disk.after_cut(disk.events.len(), &mut self.random)
            .write(&machine.path(), [self.boots; 16]);
        self.boots += 1;
        DISK.set(Some(Disk::new(&machine.path(), disk.in_order)));
        self.unchecked = events();
        self.array = machine.bind();
        self.machine = machine;
        let found = contents(&self.array, self.size);
        self.judge(&found, usize::MAX);
        let values: Vec<_> = found.chunks(self.size).map(decoded).collect();
        self.moments = vec![Moment { at: 0, values }];
        if !self.holds(&self.values()) {
            // Half a value is none to go on with.
            self.array.clear().unwrap();
            self.array.sync().unwrap();
            self.moments[0].values.clear();
            // Until then they may be there, cleared or not.
            self.unchecked = events();
        }
        self.cut_from = usize::MAX;
    }
}

fn events() -> usize {
    let mut count = 0;
    with_disk(|disk| {
        disk.look();
        count = disk.events.len();
    });
    count
}

fn contents(array: &Arc<Array>, size: usize) -> Vec<u8> {
    let mut view = array.view().unwrap();
    let mut bytes = vec![0; view.count() as usize * size];
    view.read(0, &mut bytes).unwrap();
    bytes
}

/// The next values.
fn numbered(next: &Cell<u32>, count: usize, size: usize) -> (Range<u32>, Vec<u8>) {
    let numbers = next.get()..next.get() + count as u32;
    next.set(numbers.end);
    let bytes = numbers.clone().flat_map(|number| encoded(number, size));
    (numbers, bytes.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// R4: whenever the power is cut, a prefix of what was there is found again, with all that was synced.
    #[test]
    fn after_any_power_cut_what_was_synced_is_there(
        size in prop_oneof![Just(3_usize), Just(8), Just(16), Just(100)],
        fsync in prop_oneof![Just(Fsync::Always), Just(Fsync::EverySecond)],
        in_order in any::<bool>(),
        steps in prop::collection::vec(step(), 1..25),
        seed in any::<u64>(),
    ) {
        let mut run = Run::new(size, fsync, in_order, seed);
        for step in &steps {
            run.take(step);
        }
    }
}

/// The kernel reports an error once: to the growth, though it may have been about what the sync is about.
#[test]
fn a_sync_has_failed_if_that_of_a_growth_fails_meanwhile() {
    let mut run = with_slack();
    let (array, size) = (Arc::clone(&run.array), run.size);
    let mut once = Some(());
    DURING_SYNC.set(Some(Box::new(move || {
        if once.take().is_some() {
            with_disk(|disk| disk.fail_sync_in = Some(0));
            let more = vec![1; 100_000 * size];
            assert!(array.append(&more).is_err(), "it needs a growth");
        }
    })));
    let synced = run.array.sync();
    DURING_SYNC.set(None);
    assert!(synced.is_err());
    assert!(run.sync(), "the disk is well again");
    for _ in 0..50 {
        run.check_at(events());
    }
}

/// The record counts what a sync vouches for.
#[test]
fn after_a_failed_sync_the_record_is_written_again() {
    let mut run = with_slack();
    // The first is of the values, the second of all that is left.
    run.take(&Step::FailSync(1));
    assert!(run.array.sync().is_err());
    run.array.sync().expect("the disk is well again");
    let values = run.values();
    run.moments = vec![Moment { at: 0, values }];
    for _ in 0..50 {
        run.check_at(events());
    }
}

/// An array with slack and values in it that are not on disk.
fn with_slack() -> Run {
    let mut run = Run::new(8, Fsync::EverySecond, false, 1);
    for step in [
        Step::Append(100),
        Step::Grow,
        Step::Append(1000),
        Step::Sync,
        Step::Append(100),
    ] {
        run.take(&step);
    }
    assert!(run.array.has_slack());
    run
}

/// What is found of a change if the process is killed at any moment of it.
struct Killed {
    before: Vec<u8>,
    after: Vec<u8>,
    /// With the event that was the last.
    found: Vec<(usize, Vec<u8>)>,
}

impl Killed {
    /// Changes values of an array that was made ready.
    fn during(
        size: usize,
        count: usize,
        has_slack: bool,
        change: impl FnOnce(&Arc<Array>),
    ) -> Self {
        let item = ItemType::parse(b"string", Some(size.to_string().as_bytes())).unwrap();
        let machine = Machine::new(item, Fsync::EverySecond);
        fs::write(machine.path(), []).unwrap();
        DISK.set(Some(Disk::new(&machine.path(), true)));
        let array = machine.bind();
        let (_, bytes) = numbered(&Cell::new(1), count, size);
        array.append(&bytes).unwrap();
        if has_slack {
            array.grow_ahead();
        }
        assert_eq!(array.has_slack(), has_slack);
        let (begin, before) = (events(), contents(&array, size));
        change(&array);
        let (end, after) = (events(), contents(&array, size));
        assert!(before != after && array.has_slack() == has_slack);
        let disk = DISK.take().expect("there is a disk");
        let is_within_call = |cut| {
            disk.calls
                .iter()
                .any(|call| call.start < cut && cut < call.end)
        };
        let found = (begin..=end)
            .filter(|&cut| !is_within_call(cut))
            .map(|cut| {
                let machine = Machine::new(item, Fsync::EverySecond);
                disk.after_kill(cut).write(&machine.path(), this_boot());
                (cut, contents(&machine.bind(), size))
            })
            .collect();
        Self {
            before,
            after,
            found,
        }
    }
}

/// Changes values of an array that was made ready: all or nothing, if the process is killed at any moment of it.
fn kill_at_every_moment(
    size: usize,
    count: usize,
    has_slack: bool,
    change: impl FnOnce(&Arc<Array>),
) {
    let killed = Killed::during(size, count, has_slack, change);
    let mut seen = [0, 0];
    for (cut, found) in &killed.found {
        let which = [&killed.before, &killed.after]
            .iter()
            .position(|&known| known == found);
        let which = which.unwrap_or_else(|| {
            panic!("half of a change of {size} bytes is there after event {cut}")
        });
        seen[which] += 1;
    }
    assert!(seen[0] > 1 && seen[1] > 1, "{seen:?}");
}

/// Of more than one note can be about, each is there as a whole.
#[test]
fn no_string_is_half_changed_however_many_there_are() {
    const SIZE: usize = 100;
    let values = 2 * redo::most_values(SIZE, true) + 3;
    for has_slack in [false, true] {
        for is_one_run in [false, true] {
            let killed = Killed::during(SIZE, 300, has_slack, |array| {
                let (_, bytes) = numbered(&Cell::new(9000), values, SIZE);
                if is_one_run {
                    let mut writer = array.overwriter(1, values).unwrap();
                    return writer.set_from(7, &bytes).unwrap();
                }
                let indices: Vec<_> = (0..values as u64).map(|i| 3 * i).collect();
                array.set(&indices, &bytes).unwrap();
            });
            let mut partly = 0;
            for (cut, found) in &killed.found {
                let versions = killed.before.chunks(SIZE).zip(killed.after.chunks(SIZE));
                for (value, (before, after)) in found.chunks(SIZE).zip(versions) {
                    assert!(value == before || value == after, "after event {cut}");
                }
                partly += usize::from(*found != killed.before && *found != killed.after);
            }
            assert!(partly > 0);
        }
    }
}

/// R3: the command that was under way is in or out.
#[test]
fn a_change_that_is_killed_is_there_as_a_whole_or_not_at_all() {
    for has_slack in [false, true] {
        for size in [3, 8, 16, 17, 100, 5000] {
            let count = (200_000 / size).min(3000);
            let scattered = [count - 1, 7, count / 2, 7, 0].map(|index| index as u64);
            // As many as one note can be about.
            let scattered = &scattered[..redo::most_values(size, false).min(5)];
            kill_at_every_moment(size, count, has_slack, |array| {
                let (_, bytes) = numbered(&Cell::new(9000), scattered.len(), size);
                array.set(scattered, &bytes).unwrap();
            });
            let values = redo::most_values(size, true);
            kill_at_every_moment(size, count, has_slack, |array| {
                let (_, bytes) = numbered(&Cell::new(9000), values, size);
                let mut writer = array.overwriter(1, values).unwrap();
                writer.set_from(count as u64 / 4, &bytes).unwrap();
            });
            kill_at_every_moment(size, count, has_slack, |array| {
                let (_, bytes) = numbered(&Cell::new(9000), values, size);
                array
                    .writer()
                    .unwrap()
                    .put(count as u64 / 8, &bytes)
                    .unwrap();
            });
        }
    }
}

/// What a note says is of the moment at which it was taken. After a power cut its parts, and the values, may be of others.
#[test]
fn a_note_says_nothing_after_a_power_cut() {
    let mut run = Run::new(1000, Fsync::EverySecond, true, 3);
    for step in [Step::Append(40), Step::Grow, Step::Append(5), Step::Sync] {
        run.take(&step);
    }
    for index in [3, 30, 7, 12, 3, 40] {
        let (numbers, bytes) = numbered(&run.next, 1, run.size);
        let at = events();
        run.array.set(&[index], &bytes).unwrap();
        let mut values = run.values();
        values[index as usize] = numbers.start;
        run.moments.push(Moment { at, values });
        for cut in at..=events() {
            for _ in 0..6 {
                run.check_at(cut);
            }
        }
    }
}

/// A length can be on disk before the values, which are zeros then: those must not complete what looks like a record.
#[test]
fn no_power_cut_makes_a_record_of_values_that_were_appended() {
    let record = record::Record {
        item_size: 8,
        file_len: 4096,
        boot_id: [0; 16],
        live: 0,
        synced: 0,
        previous: 0,
    };
    let record = record.to_bytes();
    // Behind the length there are zeros only.
    for known in [24, 40, 56] {
        let mut run = Run::new(8, Fsync::Always, true, 1);
        run.array.append(&[1; 4032]).unwrap();
        // They may be refused.
        let _ = run.array.append(&record[..known]);
        run.array.sync().unwrap();
        let (begin, synced) = (events(), contents(&run.array, 8).len());
        let _ = run.array.append(&[1; 64][known..]);
        let end = events();
        let mut disk = DISK.take().expect("there is a disk");
        for cut in begin..=end {
            for _ in 0..16 {
                let machine = Machine::new(run.machine.item, run.fsync);
                disk.after_cut(cut, &mut run.random)
                    .write(&machine.path(), [run.boots; 16]);
                let found = contents(&machine.bind(), 8).len();
                assert!(found >= synced, "{found} of {synced} bytes are left");
            }
        }
        disk.look();
    }
}

/// A file may be cut to where a record was before it grew, before the values that took the place of that are on disk.
#[test]
fn a_record_of_before_a_growth_says_nothing_of_what_was_synced_since() {
    let mut run = Run::new(8, Fsync::EverySecond, true, 1);
    let len = |array: &Arc<Array>| array.lock().extent.len();
    run.array.append(&[1; 800]).unwrap();
    run.array.grow_ahead();
    let former = len(&run.array);
    run.array.append(&[2; 800]).unwrap();
    run.array.lock().extent.make_growth_due();
    run.array.grow_ahead();
    assert!(former > 8192 && len(&run.array) > former);
    run.array
        .append(&vec![3; former as usize - 1600 - 4096])
        .unwrap();
    run.array.sync().unwrap();
    let synced = contents(&run.array, 8).len();
    let begin = events();
    run.array.append(&[4; 4096]).unwrap();
    // As when its key is deleted.
    run.array.make_exact_now().unwrap();
    assert_eq!(len(&run.array), former);
    let end = events();
    let disk = DISK.take().expect("there is a disk");
    for cut in begin..=end {
        for _ in 0..32 {
            let machine = Machine::new(run.machine.item, run.fsync);
            disk.after_cut(cut, &mut run.random)
                .write(&machine.path(), [run.boots; 16]);
            let found = contents(&machine.bind(), 8).len();
            assert!(found >= synced, "{found} of {synced} bytes are left");
        }
    }
}

/// Values that look like a record may lie where no file ends. Until those that take their place are on disk, a file that is cut there
/// ends in them.
#[test]
fn what_looked_like_a_record_says_nothing_of_values_that_were_synced() {
    let machine = Machine::new(ItemType::DOUBLE, Fsync::EverySecond);
    let values = [&[1; 4032][..], &record_of(4096), &[2; 40]].concat();
    fs::write(machine.path(), &values).unwrap();
    DISK.set(Some(Disk::new(&machine.path(), true)));
    let array = machine.bind();
    let begin = events();
    array.writer().unwrap().set_from(504, &[3; 64]).unwrap();
    array.truncate(512).unwrap();
    let end = events();
    let disk = DISK.take().expect("there is a disk");
    let mut random = Random::new(1);
    for cut in begin..=end {
        for _ in 0..32 {
            let machine = Machine::new(ItemType::DOUBLE, Fsync::EverySecond);
            disk.after_cut(cut, &mut random)
                .write(&machine.path(), [2; 16]);
            let found = contents(&machine.bind(), 8);
            assert!(found.len() >= 4032, "{} bytes are left", found.len());
            assert!(found[..4032] == values[..4032]);
        }
    }
}
