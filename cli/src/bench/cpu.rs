//! What a process that is measured spends of the machine, and where it may run.

use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, SysconfVar, sysconf};

use crate::world::stat::Stat;

/// Looks at a process's threads until all of them are pinned.
const PINNING_TRIES_MAX: usize = 100;

/// Time that all threads of a process have spent on a core, to one tick of the
/// system's clock, which is a hundredth of a second on most.
///
/// # Errors
/// There is no such process.
pub fn cpu_time_of(pid: u32) -> anyhow::Result<Duration> {
    let stat = Stat::read(pid).with_context(|| format!("process {pid} does not run"))?;
    Ok(of_ticks(stat.cpu_ticks, ticks_per_second()?))
}

fn of_ticks(ticks: u64, per_second: u64) -> Duration {
    Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / per_second))
}

fn ticks_per_second() -> anyhow::Result<u64> {
    let ticks = sysconf(SysconfVar::CLK_TCK)?.context("the system's clock has no ticks")?;
    let ticks = u64::try_from(ticks)?;
    ensure!(ticks > 0, "the system's clock has no ticks");
    Ok(ticks)
}

/// The cores on which this process may run.
///
/// # Errors
/// The system's.
pub fn cores() -> anyhow::Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    let all = 0..CpuSet::count();
    Ok(all.filter(|core| set.is_set(*core) == Ok(true)).collect())
}

/// Lets all threads of a process run on these cores alone, and with that all that
/// they start later.
///
/// # Errors
/// There is no such process or core, or it is another user's.
pub fn pin(pid: u32, cores: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core)?;
    }
    // A thread that is not pinned yet may start another meanwhile.
    let mut pinned = Vec::new();
    for _ in 0..PINNING_TRIES_MAX {
        let threads = threads(pid)?;
        if threads == pinned {
            return Ok(());
        }
        for thread in &threads {
            // It may have ended just now.
            let _ = sched_setaffinity(Pid::from_raw(*thread), &set);
        }
        pinned = threads;
    }
    anyhow::bail!("process {pid} starts threads faster than they can be pinned")
}

fn threads(pid: u32) -> anyhow::Result<Vec<i32>> {
    let folder = format!("/proc/{pid}/task");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?;
    let mut threads = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        threads.push(name.to_string_lossy().parse()?);
    }
    threads.sort_unstable();
    Ok(threads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_parts_of_a_second() {
        assert_eq!(of_ticks(250, 100), Duration::from_millis(2_500));
        assert_eq!(of_ticks(0, 100), Duration::ZERO);
    }

    #[test]
    fn time_that_is_spent_is_counted_and_nobody_spends_none() {
        let me = std::process::id();
        let before = cpu_time_of(me).unwrap();
        let mut sum = 0_u64;
        while cpu_time_of(me).unwrap() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        // No process has this id: the system's ids are far smaller.
        assert!(cpu_time_of(u32::MAX).is_err());
    }

    #[test]
    fn a_process_stays_where_it_is_pinned() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let core = cores().unwrap()[0];
        let pinned = pin(child.id(), &[core]);
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        pinned.unwrap();
        let wanted = format!("Cpus_allowed_list:\t{core}\n");
        assert!(status.unwrap().contains(&wanted));
    }
}
