//! What the system tells of a process in `/proc/PID/stat`.

/// A process, as it was when the file was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Whether it has ended, and is still a name.
    pub is_zombie: bool,
    /// Time that its threads have spent on a core, those that have ended among
    /// them, in the system's clock ticks.
    pub cpu_ticks: u64,
    /// When it started, in the system's clock ticks.
    pub started: String,
}

impl Stat {
    /// Of the process with this id; nothing when there is none.
    pub fn read(pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The program's name stands in brackets and may have any in it.
        let (_, fields) = text.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        let state = fields.next()?;
        // Of the file's fields, the state is the third, the time in the program
        // itself the 14th, the time in the system for it the next, and the start
        // the 22nd.
        let user: u64 = fields.nth(10)?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some(Self {
            is_zombie: matches!(state, "Z" | "X"),
            cpu_ticks: user + system,
            started: fields.nth(6)?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let text = "7 (a) R (b) Z 1 7 7 0 -1 4 0 0 0 0 31 11 0 0 20 0 1 0 12345 0 0";
        let stat = Stat {
            is_zombie: true,
            cpu_ticks: 42,
            started: "12345".into(),
        };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("7 (a) Z"), None);
    }

    #[test]
    fn this_process_is_there_and_has_started() {
        let stat = Stat::read(std::process::id()).unwrap();
        assert!(!stat.is_zombie);
        assert!(stat.started.parse::<u64>().unwrap() > 0);
    }
}
