//! Following a message through a daemon, and saying how far it has come.

use super::super::{Exit, complain, print};
use crate::config::{Config, TargetKind};
use crate::engine::{Message, Route, Way};
use crate::maildir::{Failure, OpenError, Stage, Trail};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// How often it is looked: as long as somebody may watch single milliseconds go by, and then.
const GLANCES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(20)];
/// How long that is.
const QUICK: Duration = Duration::from_secs(2);

/// A message under way.
pub struct Journey<'a> {
    /// What it goes by.
    pub config: &'a Config,
    /// What it is.
    pub message: &'a Message,
    /// The Maildir that it was put into.
    pub maildir: &'a Path,
    /// The name of its file.
    pub name: &'a str,
    /// When it was begun.
    pub began: Instant,
}

/// Prints one hop.
pub fn hop(sign: char, what: &str, at: &str, began: Instant) -> Result<(), Exit> {
    print(format!("{sign} {what:<9}  {at:<44}  {:>9}\n", shown(began.elapsed())))
}

/// "97 ms", "12.3 s".
pub fn shown(time: Duration) -> String {
    if time < Duration::from_secs(10) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

impl Journey<'_> {
    /// Follows it to its end, or until the time is over.
    ///
    /// # Errors
    /// It cannot be followed; it was told of, and this is how to end.
    pub fn follow(&self, timeout: Duration) -> Result<Exit, Exit> {
        let told = |error: OpenError| {
            complain(&error);
            Exit::from(&error)
        };
        let trail = Trail::of(self.maildir, self.name).map_err(told)?;
        let mut was_taken = false;
        loop {
            let stage = trail.look().map_err(told)?;
            if stage != Stage::Waiting && !was_taken {
                was_taken = true;
                if stage == Stage::InHand {
                    hop('✓', "claimed", "by a running maildirq", self.began)?;
                }
                hop('✓', "routed", &format!("{} → {}", self.message.queue, self.way()), self.began)?;
            }
            match stage {
                Stage::Waiting | Stage::InHand if self.began.elapsed() >= timeout => {
                    return self.give_up(&trail, &stage, timeout).map_err(told);
                }
                Stage::Waiting | Stage::InHand => {}
                Stage::Done => return self.done(),
                Stage::Retry(failure) => return self.retry(&failure),
                Stage::Dead(failure) => return self.dead(&failure),
                Stage::Opened => {
                    hop('✖', "opened", "a mail client has moved it to cur", self.began)?;
                    print("A mail client reads this Maildir, and what it has opened is not delivered.\n")?;
                    return Ok(Exit::No);
                }
            }
            sleep(GLANCES[usize::from(self.began.elapsed() > QUICK)]);
        }
    }

    fn route(&self) -> Option<&Route> {
        // What is followed is in memory, so it can be read.
        Route::first_for(&self.config.routes, self.message).ok().flatten()
    }

    fn way(&self) -> &str {
        match self.route().map(|route| &route.way) {
            Some(Way::To(target)) => target,
            Some(Way::Ignore) => "ignore",
            None => "no route",
        }
    }

    fn destination(&self) -> String {
        let target = self.config.targets.iter().find(|target| target.name == self.way());
        match target.map(|target| &target.kind) {
            Some(TargetKind::Url(url)) => url.url.to_string(),
            // Its first word is an interpreter as often as not, which says nothing.
            Some(TargetKind::Command(_)) => format!("the command of {}", self.way()),
            Some(TargetKind::Worker(_)) => format!("the worker of {}", self.way()),
            None => "nobody: it was removed".into(),
        }
    }

    fn done(&self) -> Result<Exit, Exit> {
        let took = shown(self.began.elapsed());
        hop('✓', "taken", &format!("by {}", self.destination()), self.began)?;
        print(format!("mail → {} in {took}. It works.\n", self.way()))?;
        Ok(Exit::Ok)
    }

    fn retry(&self, failure: &Failure) -> Result<Exit, Exit> {
        let Failure { target, reason, due, .. } = failure;
        hop('↻', "retry", reason, self.began)?;
        let wait = due.and_then(|due| due.duration_since(SystemTime::now()).ok()).unwrap_or_default();
        print(format!(
            "mail → {target} does not work yet: the message stays in the queue, and is tried again in {}.\n",
            humantime::format_duration(Duration::from_secs(wait.as_secs() + 1))
        ))?;
        Ok(Exit::TempFail)
    }

    fn dead(&self, failure: &Failure) -> Result<Exit, Exit> {
        let reason = if failure.reason.is_empty() { "(its story does not say why)" } else { &failure.reason };
        hop('✖', "dead", reason, self.began)?;
        print(format!("It is in {}, and is not tried again.\n", self.maildir.join(".maildirq.dead").display()))?;
        Ok(Exit::No)
    }

    fn give_up(&self, trail: &Trail, stage: &Stage, timeout: Duration) -> Result<Exit, OpenError> {
        let timeout = humantime::format_duration(timeout);
        let (what, advice) = if *stage == Stage::InHand {
            (format!("{} has not answered within {timeout}", self.way()), "look at what the application does meanwhile")
        } else if !trail.is_served()? {
            (
                format!("nobody took it within {timeout}: no maildirq runs here"),
                "maildirq watch, or systemctl start maildirq",
            )
        } else if trail.is_paused(self.way()) {
            (
                format!("the target {} is paused", self.way()),
                "remove the file of its name from maildirq/paused in the Maildir",
            )
        } else {
            (
                format!("a maildirq runs here, but did not come to it within {timeout}"),
                "look at its log: its target may be down, or all its hands be busy",
            )
        };
        let path = self.maildir.join("new").join(self.name);
        complain(format_args!("{what}\n  = it stays in the queue: {}\n  = try: {advice}", path.display()));
        Ok(Exit::TempFail)
    }
}
