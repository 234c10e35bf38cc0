//! A disk that remembers every write and every flush in the order in which they came.
//!
//! It is a file in a FUSE file system that this process serves; a loop device lies on that file, and ext4 on the
//! loop device. The file is opened for direct I/O, so whatever reaches it has left the page cache of ext4 and
//! whatever has not is what a power cut would lose. Copying an image file while it is written to would not do:
//! such a copy holds early blocks of an earlier moment than late ones, a state that no disk was ever in.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::mounts::Mounted;

/// What reached the disk.
pub struct Event {
    pub at: Instant,
    pub kind: Kind,
}

pub enum Kind {
    Write { offset: u64, data: Vec<u8> },
    Flush,
}

#[derive(Default)]
struct Log {
    events: Mutex<Vec<Event>>,
    len: AtomicUsize,
    gate: Mutex<Gate>,
    opened: Condvar,
}

/// Which requests are held up.
#[derive(Default)]
struct Gate {
    closed_to: &'static [u32],
    waiting: usize,
}

pub struct Disk {
    log: Arc<Log>,
    mount: Option<Mounted>,
    server: Option<JoinHandle<()>>,
}

impl Disk {
    /// Serves a copy of `image`, which stays as it is. Says why not, if it cannot.
    pub fn new(image: &Path, copy: &Path) -> Result<Disk, String> {
        std::fs::copy(image, copy).map_err(|e| e.to_string())?;
        let file = File::options()
            .read(true)
            .write(true)
            .open(copy)
            .map_err(|e| e.to_string())?;
        let size = file.metadata().map_err(|e| e.to_string())?.len();
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .map_err(|e| format!("/dev/fuse: {e}"))?;
        let mount = Mounted::fuse(&format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            device.as_raw_fd()
        ))?;
        let log = Arc::new(Log::default());
        let server = Server {
            device,
            file,
            size,
            log: Arc::clone(&log),
        };
        let server = std::thread::spawn(move || server.run());
        Ok(Disk {
            log,
            mount: Some(mount),
            server: Some(server),
        })
    }

    /// The file that is the disk.
    pub fn path(&self) -> PathBuf {
        self.mount.as_ref().unwrap().join(NAME)
    }

    /// Number of events so far.
    pub fn position(&self) -> usize {
        self.log.len.load(Ordering::SeqCst)
    }

    /// Holds up reads from now on, as a disk that is very slow.
    pub fn hold_reads(&self) {
        self.log.gate.lock().unwrap().closed_to = &[READ];
    }

    /// The same with writes.
    pub fn hold_writes(&self) {
        self.log.gate.lock().unwrap().closed_to = &[WRITE, FSYNC];
    }

    /// Lets all through.
    pub fn let_go(&self) {
        self.log.gate.lock().unwrap().closed_to = &[];
        self.log.opened.notify_all();
    }

    /// Whether somebody waits for what is held up.
    pub fn holds_somebody(&self) -> bool {
        self.log.gate.lock().unwrap().waiting > 0
    }

    /// Ends it and hands out what it remembers.
    pub fn into_events(mut self) -> Vec<Event> {
        let events = std::mem::take(&mut *self.log.events.lock().unwrap());
        self.stop();
        events
    }

    fn stop(&mut self) {
        self.let_go();
        // Unmounting ends the serving thread.
        drop(self.mount.take());
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.stop();
    }
}

// The protocol of <linux/fuse.h>: a root directory (node 1) with one file (node 2).

const NAME: &str = "disk";
const LARGEST_WRITE: u32 = 1 << 20;

const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const SETATTR: u32 = 4;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE: u32 = 16;
const RELEASE: u32 = 18;
const FSYNC: u32 = 20;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const RELEASEDIR: u32 = 29;
const INTERRUPT: u32 = 36;
const DESTROY: u32 = 38;
const BATCH_FORGET: u32 = 42;

const ASYNC_READ: u32 = 1 << 0;
const BIG_WRITES: u32 = 1 << 5;
const MAX_PAGES: u32 = 1 << 22;
const FOPEN_DIRECT_IO: u32 = 1;

struct Server {
    device: File,
    file: File,
    size: u64,
    log: Arc<Log>,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

impl Server {
    fn run(mut self) {
        let mut buffer = vec![0; LARGEST_WRITE as usize + 65536];
        // Reading fails once the file system is unmounted.
        while let Ok(len) = self.device.read(&mut buffer) {
            let request = &buffer[..len];
            let opcode = u32_at(request, 4);
            if self.log.gate.lock().unwrap().closed_to.contains(&opcode) {
                // The others go on.
                let (held, request) = (self.another(), request.to_vec());
                std::thread::spawn(move || {
                    held.pass_gate();
                    held.serve(&request);
                });
            } else {
                self.serve(request);
            }
            if opcode == DESTROY {
                return;
            }
        }
    }

    /// The same, for another thread.
    fn another(&self) -> Server {
        Server {
            device: self.device.try_clone().unwrap(),
            file: self.file.try_clone().unwrap(),
            size: self.size,
            log: Arc::clone(&self.log),
        }
    }

    fn serve(&self, request: &[u8]) {
        let (opcode, unique, node) = (u32_at(request, 4), u64_at(request, 8), u64_at(request, 16));
        if matches!(opcode, FORGET | BATCH_FORGET | INTERRUPT) {
            return;
        }
        let (error, body) = match self.answer(opcode, node, &request[40..]) {
            Ok(body) => (0, body),
            Err(errno) => (-errno, Vec::new()),
        };
        let mut reply = Vec::with_capacity(16 + body.len());
        reply.extend_from_slice(&(16 + body.len() as u32).to_le_bytes());
        reply.extend_from_slice(&error.to_le_bytes());
        reply.extend_from_slice(&unique.to_le_bytes());
        reply.extend_from_slice(&body);
        // It fails where the request has been given up.
        let _ = (&self.device).write(&reply);
    }

    fn answer(&self, opcode: u32, node: u64, body: &[u8]) -> Result<Vec<u8>, i32> {
        let io = |e: std::io::Error| e.raw_os_error().unwrap_or(libc::EIO);
        match opcode {
            INIT => {
                let mut out = vec![0; 64];
                for (at, value) in [
                    (0, 7),
                    (4, 31),
                    (8, 0),
                    (12, ASYNC_READ | BIG_WRITES | MAX_PAGES),
                    (16, 16 | (12 << 16)),
                    (20, LARGEST_WRITE),
                    (24, 1),
                    (28, LARGEST_WRITE / 4096),
                ] {
                    out[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
                }
                Ok(out)
            }
            LOOKUP if body == [NAME.as_bytes(), b"\0"].concat() => {
                let mut out = vec![0; 40];
                out[0..8].copy_from_slice(&2u64.to_le_bytes());
                out[16..24].copy_from_slice(&3600u64.to_le_bytes());
                out[24..32].copy_from_slice(&3600u64.to_le_bytes());
                out.extend(self.attributes(2));
                Ok(out)
            }
            LOOKUP => Err(libc::ENOENT),
            GETATTR | SETATTR => {
                let mut out = vec![0; 16];
                out[0..8].copy_from_slice(&3600u64.to_le_bytes());
                out.extend(self.attributes(node));
                Ok(out)
            }
            OPEN | OPENDIR => {
                let mut out = vec![0; 16];
                out[8..12].copy_from_slice(&FOPEN_DIRECT_IO.to_le_bytes());
                Ok(out)
            }
            READ => {
                let (offset, size) = (u64_at(body, 8), u64::from(u32_at(body, 16)));
                let mut out = vec![0; size.min(self.size.saturating_sub(offset)) as usize];
                self.file.read_exact_at(&mut out, offset).map_err(io)?;
                Ok(out)
            }
            WRITE => {
                let (offset, size) = (u64_at(body, 8), u32_at(body, 16));
                let data = body[40..40 + size as usize].to_vec();
                self.file.write_all_at(&data, offset).map_err(io)?;
                self.remember(Kind::Write { offset, data });
                let mut out = vec![0; 8];
                out[0..4].copy_from_slice(&size.to_le_bytes());
                Ok(out)
            }
            FSYNC => {
                self.remember(Kind::Flush);
                Ok(Vec::new())
            }
            RELEASE | RELEASEDIR | FLUSH | DESTROY => Ok(Vec::new()),
            _ => Err(libc::ENOSYS),
        }
    }

    fn pass_gate(&self) {
        let mut gate = self.log.gate.lock().unwrap();
        gate.waiting += 1;
        while !gate.closed_to.is_empty() {
            gate = self.log.opened.wait(gate).unwrap();
        }
        gate.waiting -= 1;
    }

    fn remember(&self, kind: Kind) {
        let mut events = self.log.events.lock().unwrap();
        events.push(Event {
            at: Instant::now(),
            kind,
        });
        self.log.len.store(events.len(), Ordering::SeqCst);
    }

    fn attributes(&self, node: u64) -> Vec<u8> {
        let mut out = vec![0; 88];
        let (size, mode) = match node {
            1 => (0, libc::S_IFDIR | 0o700),
            _ => (self.size, libc::S_IFREG | 0o600),
        };
        out[0..8].copy_from_slice(&node.to_le_bytes());
        out[8..16].copy_from_slice(&size.to_le_bytes());
        out[16..24].copy_from_slice(&(size / 512).to_le_bytes());
        out[60..64].copy_from_slice(&mode.to_le_bytes());
        out[64..68].copy_from_slice(&1u32.to_le_bytes());
        out[80..84].copy_from_slice(&4096u32.to_le_bytes());
        out
    }
}
