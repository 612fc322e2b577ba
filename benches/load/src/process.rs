//! CPU time and memory of a process, as Linux counts them.

use std::fs;
use std::time::Duration;

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessFigures {
    /// Time on a CPU, in user and kernel mode.
    pub cpu: Duration,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
}

impl ProcessFigures {
    /// Of a process on this machine; `None` if it is not there, or the system does not tell.
    pub fn of(pid: u32) -> Option<Self> {
        Self::read(&pid.to_string())
    }

    /// The most memory that a process on this machine has had resident, bytes.
    pub fn peak_rss_bytes(pid: u32) -> Option<u64> {
        const KIB: u64 = 1024;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib * KIB)
    }

    /// Of this process.
    pub fn own() -> Option<Self> {
        Self::read("self")
    }

    fn read(process: &str) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let memory = fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
        let pages: u64 = memory.split_whitespace().nth(1)?.parse().ok()?;
        Some(ProcessFigures {
            cpu: cpu_of(&stat, rustix::param::clock_ticks_per_second())?,
            rss_bytes: pages * rustix::param::page_size() as u64,
        })
    }
}

/// User and system time out of `/proc/PID/stat`.
fn cpu_of(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    // The program's name is in parentheses and may hold spaces, and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|text| text.parse::<u64>().unwrap_or(0)).sum();
    Some(Duration::from_secs_f64(
        ticks as f64 / ticks_per_second as f64,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_program_does_not_shift_the_fields() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(cpu_of(stat, 100), Some(Duration::from_secs(2)));
        assert_eq!(cpu_of("nonsense", 100), None);
    }

    #[test]
    fn this_process_is_found_and_no_process_is_not() {
        assert!(ProcessFigures::own().is_some_and(|own| own.rss_bytes > 0));
        assert_eq!(ProcessFigures::of(u32::MAX), None);
    }
}
