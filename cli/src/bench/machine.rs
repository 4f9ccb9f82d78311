//! What this process uses of the machine.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::quantiles::quantiles;

/// Syncs that are timed.
const SYNCS: usize = 200;

/// Time that all threads of this process have spent on a core.
///
/// # Errors
/// The system's.
pub fn cpu_time() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(micros)?))
}

/// Memory of this process that is in use, in bytes.
///
/// # Errors
/// The system's.
pub fn resident_bytes() -> anyhow::Result<u64> {
    resident_bytes_of(std::process::id())
}

/// The same, of another process.
///
/// # Errors
/// There is no such process.
pub fn resident_bytes_of(pid: u32) -> anyhow::Result<u64> {
    let file = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: u64 = kib
        .context("a process that has ended has no VmRSS")?
        .parse()?;
    Ok(kib * 1024)
}

/// Half of all syncs of a small append in `folder` take less, in milliseconds.
///
/// # Errors
/// The system's.
pub fn fsync_ms(folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("fsync");
    let mut file = File::create(&path)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[0; 128])?;
        let began = Instant::now();
        file.sync_data()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    fs::remove_file(path)?;
    Ok(quantiles(times.into_iter()).p50)
}
