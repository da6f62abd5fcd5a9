//! How long is waited between attempts: the longest wait after each failure.
//!
//! What is waited is drawn between nothing and that (full jitter), so that messages which failed
//! together do not come back together.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The longest wait after each failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// `first`, and twice as long each time, up to `most`.
    Doubling {
        /// After the first failure.
        first: Duration,
        /// After any.
        most: Duration,
    },
    /// These one after the other; the last one stays.
    Steps(Vec<Duration>),
}

/// A policy that people know by name.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The name.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    steps: fn() -> Schedule,
    /// After how many attempts a message is given up, if by that.
    pub attempts: Option<u32>,
    /// For how long a message may fail, if it is given up by that.
    pub give_up: Option<Duration>,
}

/// All policies that have a name.
pub const KNOWN: &[Known] = &[
    Known {
        name: "sidekiq",
        about: "n⁴ + 15 s plus a little; 26 attempts, some three weeks at most",
        steps: || Schedule::Steps((0..25).map(|n: u64| Duration::from_secs(n.pow(4) + 15 + 10 * (n + 1))).collect()),
        attempts: Some(26),
        give_up: None,
    },
    Known {
        name: "standard-webhooks",
        about: "the schedule that the specification recommends: 5 s to 24 h, 10 attempts",
        steps: || steps("5s,5m,30m,2h,5h,10h,14h,20h,24h"),
        attempts: Some(10),
        give_up: None,
    },
    Known {
        name: "postfix",
        about: "doubling from 5 min to 4,000 s, for 5 days (minimal and maximal_backoff_time)",
        steps: || Schedule::Doubling { first: Duration::from_mins(5), most: Duration::from_secs(4000) },
        attempts: None,
        give_up: Some(Duration::from_hours(5 * 24)),
    },
    Known {
        name: "qmail",
        about: "400 s · (2n + 1), so that the n-th retry is 400 s · n² after the first try, for 7 days",
        steps: || Schedule::Steps((0..39).map(|n| Duration::from_secs(400 * (2 * n + 1))).collect()),
        attempts: None,
        give_up: Some(Duration::from_hours(7 * 24)),
    },
    Known {
        name: "mox",
        about: "1 min to 16 h, 12 attempts",
        steps: || steps("1m,2m,4m,7m30s,15m,30m,1h,2h,4h,8h,16h"),
        attempts: Some(12),
        give_up: None,
    },
    Known {
        name: "mailgun",
        about: "10 min to 4 h, 7 attempts",
        steps: || steps("10m,15m,30m,1h,2h,4h"),
        attempts: Some(7),
        give_up: None,
    },
    Known {
        name: "postmark",
        about: "1 min to 6 h, 11 attempts",
        steps: || steps("1m,5m,10m*3,15m,30m,1h,2h,6h"),
        attempts: Some(11),
        give_up: None,
    },
];

fn steps(text: &str) -> Schedule {
    text.parse().expect("the table is tested")
}

impl Known {
    /// The policy of this name.
    pub fn find(name: &str) -> Option<&'static Known> {
        KNOWN.iter().find(|known| known.name == name)
    }

    /// Its waits.
    pub fn schedule(&self) -> Schedule {
        (self.steps)()
    }
}

impl Schedule {
    /// More failures than this nobody writes down.
    const MOST_STEPS: usize = 10_000;

    /// The longest wait after a failure that `failures` others came before.
    pub fn ceiling(&self, failures: u32) -> Duration {
        match self {
            Schedule::Doubling { first, most } => {
                first.saturating_mul(1u32.checked_shl(failures).unwrap_or(u32::MAX)).min(*most)
            }
            Schedule::Steps(steps) => {
                let place = usize::try_from(failures).unwrap_or(usize::MAX);
                steps.get(place).or(steps.last()).copied().unwrap_or_default()
            }
        }
    }

    /// No wait is longer.
    pub fn most(&self) -> Duration {
        match self {
            Schedule::Doubling { most, .. } => *most,
            Schedule::Steps(steps) => steps.iter().max().copied().unwrap_or_default(),
        }
    }

    /// How many attempts a schedule of steps stands for: one before each wait, and one after the last.
    pub fn attempts(&self) -> Option<u32> {
        match self {
            Schedule::Doubling { .. } => None,
            Schedule::Steps(steps) => u32::try_from(steps.len() + 1).ok(),
        }
    }
}

impl FromStr for Schedule {
    type Err = String;

    /// Reads `1m,5m*2,1h*3`: waits, each as often as the number behind its asterisk says.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        for part in text.split(',') {
            let (wait, times) = part.split_once('*').unwrap_or((part, "1"));
            let wait = humantime::parse_duration(wait.trim())
                .map_err(|error| format!("{error} in `{}`; a schedule looks like \"1m,5m*2,1h*3\"", part.trim()))?;
            let times = times.trim().parse().ok().filter(|times| (1..=Self::MOST_STEPS).contains(times));
            let times = times
                .ok_or_else(|| format!("how often is `{}`? a schedule looks like \"1m,5m*2,1h*3\"", part.trim()))?;
            steps.extend(std::iter::repeat_n(wait, times));
        }
        if steps.len() > Self::MOST_STEPS {
            return Err(format!("a schedule has at most {} waits", Self::MOST_STEPS));
        }
        Ok(Schedule::Steps(steps))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Schedule::Doubling { first, most } => {
                write!(f, "{} doubling to {}", humantime::format_duration(*first), humantime::format_duration(*most))
            }
            Schedule::Steps(steps) => {
                let runs = steps.chunk_by(|one, other| one == other);
                let text = runs.map(|run| {
                    let wait = humantime::format_duration(run[0]).to_string().replace(' ', "");
                    if run.len() == 1 { wait } else { format!("{wait}*{}", run.len()) }
                });
                f.write_str(&text.collect::<Vec<_>>().join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(schedule: &Schedule) -> Vec<u64> {
        (0..13).map(|failures| schedule.ceiling(failures).as_secs()).collect()
    }

    #[test]
    fn a_literal_is_waits_and_how_often() {
        let schedule: Schedule = "1m, 5m*2,1h*3".parse().unwrap();
        assert_eq!(seconds(&schedule)[..8], [60, 300, 300, 3600, 3600, 3600, 3600, 3600]);
        assert_eq!((schedule.attempts(), schedule.most()), (Some(7), Duration::from_hours(1)));
        assert_eq!(schedule.to_string(), "1m,5m*2,1h*3");
        for wrong in ["", "1m,", "soon", "1m*0", "1m*x", "*3", "1m*99999", "1m*-1", "1s*9999,1s*9999"] {
            assert!(wrong.parse::<Schedule>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn doubling_ends_at_its_bound_however_often() {
        let schedule = Schedule::Doubling { first: Duration::from_secs(5), most: Duration::from_secs(100) };
        assert_eq!(seconds(&schedule)[..6], [5, 10, 20, 40, 80, 100]);
        assert_eq!(schedule.ceiling(u32::MAX), Duration::from_secs(100));
        assert_eq!(schedule.attempts(), None);
    }

    #[test]
    fn every_named_policy_is_what_its_system_does() {
        for (name, first, attempts, days) in [
            ("sidekiq", &[25, 36, 61][..], Some(26), None),
            ("standard-webhooks", &[5, 300, 1800, 7200], Some(10), None),
            ("postfix", &[300, 600, 1200, 2400, 4000, 4000], None, Some(5)),
            ("qmail", &[400, 1200, 2000], None, Some(7)),
            ("mox", &[60, 120, 240, 450, 900], Some(12), None),
            ("mailgun", &[600, 900, 1800, 3600, 7200, 14400], Some(7), None),
            ("postmark", &[60, 300, 600, 600, 600, 900, 1800, 3600, 7200, 21600], Some(11), None),
        ] {
            let known = Known::find(name).unwrap();
            assert_eq!(seconds(&known.schedule())[..first.len()], *first, "{name}");
            assert_eq!(known.attempts, attempts, "{name}");
            assert_eq!(known.give_up, days.map(|days| Duration::from_hours(24 * days)), "{name}");
            if let Some(attempts) = known.attempts {
                assert_eq!(
                    known.schedule().attempts(),
                    Some(attempts),
                    "{name}: the last wait has an attempt after it"
                );
            }
        }
        assert_eq!(KNOWN.len(), 7);
        assert!(Known::find("teleport").is_none());
    }

    #[test]
    fn qmails_retries_lie_on_a_parabola() {
        let qmail = Known::find("qmail").unwrap().schedule();
        let total: Duration = (0..39).map(|n| qmail.ceiling(n)).sum();
        assert_eq!(total.as_secs(), 400 * 39 * 39);
        assert!(total > Duration::from_hours(7 * 24));
    }
}
