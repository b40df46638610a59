//! The machine: files, memory, disk.
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Finding, State};
use crate::metrics::memory_limit;

/// Open files below which a server of many connections should not run.
const FILES: u64 = 65_536;
/// Bytes of disk below which a store should not begin.
const DISK: u64 = 1 << 30;
/// Of hundred bytes of memory, so many may be the server's bound.
const MEMORY: u64 = 90;

/// How many connections there can be.
pub(super) fn open_files() -> Finding {
    match rlimit::Resource::NOFILE.get() {
        Ok((_, hard)) => files(hard),
        Err(error) => Finding::new("open files", State::Warning, error.to_string()),
    }
}

pub(super) fn files(hard: u64) -> Finding {
    if hard >= FILES {
        return Finding::new("open files", State::Good, format!("{hard} at most"));
    }
    let said = format!(
        "{hard} at most, and each connection is one: raise the hard limit (LimitNOFILE of systemd, --ulimit nofile of a container, limits.conf) to 200000"
    );
    Finding::new("open files", State::Warning, said)
}

/// The memory of the machine, or of the control groups that this runs in, beside the server's
/// bound.
pub(super) fn memory(bound: Option<usize>) -> Finding {
    let all = memory_limit().map(|bytes| bytes as u64);
    beside(bound.map(|bound| bound as u64), all)
}

pub(super) fn beside(bound: Option<u64>, all: Option<u64>) -> Finding {
    let about = "memory";
    let Some(all) = all else {
        return Finding::new(about, State::Warning, "the system does not say how much there is");
    };
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    match bound {
        Some(bound) if bound <= all / 100 * MEMORY => {
            let said = format!("{}, of which the server takes {} at most", mib(all), mib(bound));
            Finding::new(about, State::Good, said)
        }
        Some(bound) => {
            let said = format!(
                "{}, and limits.memory is {}: the system would end the server before it refuses anybody; set it to {} at most",
                mib(all),
                mib(bound),
                mib(all / 100 * MEMORY)
            );
            Finding::new(about, State::Bad, said)
        }
        None => {
            let said = format!(
                "{}, and no bound for the server: set limits.memory (AO_LIMITS__MEMORY) to {}, so that newcomers are refused before the system ends it",
                mib(all),
                mib(all / 100 * MEMORY)
            );
            Finding::new(about, State::Warning, said)
        }
    }
}

/// The room on the disk of the data folder.
pub(super) fn disk(folder: &Path) -> Finding {
    let about = "disk";
    let place = existing(folder);
    let said = Command::new("df").arg("-Pk").arg(&place).output();
    let text = match &said {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => return Finding::new(about, State::Warning, format!("df: {error}")),
    };
    free(&text).map_or_else(
        || Finding::new(about, State::Warning, format!("df says nothing of {}", place.display())),
        |free| {
            let said = format!("{} MiB free for {}", free >> 20, folder.display());
            if free >= DISK {
                Finding::new(about, State::Good, said)
            } else {
                Finding::new(about, State::Bad, format!("{said}: make room, or move store.path"))
            }
        },
    )
}

/// The bytes that are free, by what POSIX has `df -Pk` print.
pub(super) fn free(text: &str) -> Option<u64> {
    let words = text.lines().nth(1)?.split_whitespace().collect::<Vec<_>>();
    // From the right: a device's name may have blanks.
    let free = words.len().checked_sub(3).and_then(|at| words.get(at))?;
    free.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Whether locks work where the data folder is.
pub(super) fn file_system(folder: &Path) -> Option<Finding> {
    let place = fs::canonicalize(existing(folder)).ok()?;
    let kind = mounted(&read("/proc/self/mountinfo"), &place)?;
    let remote = ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs"];
    remote.contains(&&*kind).then(|| {
        let said = format!(
            "{} is on {kind}: locks of a network's file system can't be relied on; put store.path on a disk of this machine",
            folder.display()
        );
        Finding::new("file system", State::Bad, said)
    })
}

/// The type of the file system that a path is on, by `/proc/self/mountinfo`.
pub(super) fn mounted(mounts: &str, path: &Path) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let point = PathBuf::from(left.split(' ').nth(4)?);
        path.starts_with(&point).then(|| (point, right.split(' ').next().unwrap_or_default()))
    });
    // The last of several at one place covers the others.
    let deepest = mounts.fold(None, |best: Option<(PathBuf, &str)>, next| match best {
        Some(best) if best.0.components().count() > next.0.components().count() => Some(best),
        _ => Some(next),
    });
    deepest.map(|(_, kind)| kind.to_owned())
}

/// The folder, or the first above it that is there.
fn existing(folder: &Path) -> PathBuf {
    let above = folder.ancestors().find(|place| !place.as_os_str().is_empty() && place.exists());
    above.unwrap_or(Path::new(".")).to_owned()
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}
