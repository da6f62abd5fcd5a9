//! A Maildir with mail that goes each way there is, and a drain of it that is tampered with.

use std::cell::Cell;
use std::time::SystemTime;

use super::taker::Taker;
use crate::support::wait::comes_true;
use crate::support::{Allowed, Exit, Fault, Launch, Ledger, Maildir, Maildirq, SOON, Verdict, wait_until};

/// What each mail is answered with, by its number. The first ones have failed before and have a story.
const ANSWERS: [u16; 7] = [200, 400, 422, 200, 200, 400, 422];
const WITH_STORY: u64 = 3;
const MAILS: u64 = ANSWERS.len() as u64;

/// Who takes the mail, and what becomes of it then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A URL; done mail is removed. The Maildir was never served before.
    Fresh,
    /// The same on a Maildir that was served before.
    Url,
    /// A URL; done mail is kept.
    Keep,
    /// A command; done mail is removed.
    Command,
}

/// Where strace counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In each thread of the process, from its beginning.
    Process,
    /// In this thread, from the first attempt on.
    Thread(&'static str),
}

pub struct Scene {
    way: Way,
    maildir: Maildir,
    ledger: Ledger,
    taker: Taker,
}

fn end_of(drain: &Maildirq) -> Option<Exit> {
    let is_over = comes_true(SOON, || !drain.is_running());
    if !is_over {
        drain.kill9_group();
    }
    is_over.then(|| drain.exit())
}

/// A drain that has ended.
pub struct Drained {
    /// None where it did not end by itself.
    pub exit: Option<Exit>,
    /// What strace wrote.
    pub trace: String,
    pub log: Vec<String>,
}

impl Scene {
    pub fn set(way: Way, seed: u64) -> Scene {
        let maildir = Maildir::in_memory();
        let taker = if way == Way::Command { Taker::command() } else { Taker::app() };
        let before = if way == Way::Fresh { MAILS } else { WITH_STORY };
        let ledger = Ledger::produce(&maildir, before, seed);
        let mut scene = Scene { way, maildir, ledger, taker };
        if way != Way::Fresh {
            scene.taker.answer(vec![400; ANSWERS.len()]);
            scene.taker.go_on();
            assert_eq!(scene.drain().run().exit(), Exit::SomeWait);
            scene.taker.hold_back();
            scene.ledger.produce_more(MAILS - before, !seed);
        }
        scene.taker.answer(ANSWERS.to_vec());
        scene
    }

    fn drain(&self) -> Launch {
        let keep = if self.way == Way::Keep { "done = 'keep'" } else { "" };
        Maildirq::drain_config(&format!(
            "maildir = '{}'\n{keep}\n[target.app]\n{}\nretry = {{ min_delay = '1ms', max_delay = '1ms' }}\n",
            self.maildir.path().display(),
            self.taker.target(),
        ))
        .concurrency(1)
    }

    /// A drain with this tampering.
    pub fn disturb(&self, place: Place, tampering: &[String]) -> Drained {
        match place {
            Place::Process => {
                self.taker.go_on();
                let drain = self.drain().traced(tampering).start();
                let exit = end_of(&drain);
                Drained { exit, trace: drain.trace(), log: drain.lines() }
            }
            Place::Thread(name) => {
                let drain = self.drain().start();
                self.taker.wait_for_an_attempt();
                let ambush = drain.trace_thread(name, tampering);
                self.taker.go_on();
                let exit = end_of(&drain);
                Drained { exit, trace: ambush.trace(), log: drain.lines() }
            }
        }
    }

    /// What has strace look at nothing but the stories that are there already.
    pub fn only_at_stories(&self) -> Vec<String> {
        let stories = self.maildir.stories();
        let path = |id: &String| self.maildir.path().join("maildirq/story").join(id).display().to_string();
        stories.iter().flat_map(|id| ["-P".to_owned(), path(id)]).collect()
    }

    /// Drains until nothing is left, with nobody in the way and all due, and balances the books.
    pub fn put_right(&mut self, disturbed: &Drained) -> Result<Verdict, String> {
        self.taker.answer(ANSWERS.map(|answer| if answer == 400 { 200 } else { answer }).to_vec());
        let exit = Cell::new(Exit::Ok);
        // What a process died over is given a rest, and a command may outlive who ran it.
        wait_until("an undisturbed drain of all that is left", SOON, || {
            for id in self.maildir.stories() {
                self.maildir.set_due(&id, SystemTime::UNIX_EPOCH);
            }
            exit.set(self.drain().run().exit());
            self.maildir.waiting().is_empty() || exit.get() == Exit::Disk
        });
        let mut verdict = self.ledger.audit(&self.taker.deliveries(), Allowed::crashes(1, 1));
        if disturbed.log.iter().any(|line| line.contains("death_not_written")) {
            // Then the reason stands in the log.
            verdict.faults.retain(|fault| !matches!(fault, Fault::NoReason { .. }));
        }
        let dead = ANSWERS.iter().filter(|&&answer| answer == 422).count();
        let taken = ANSWERS.len() - dead;
        let kept = if self.way == Way::Keep { taken } else { 0 };
        // A hidden file was still being made, and is left alone for an hour.
        let hands = self.maildir.hands().iter().filter(|name| !name.as_encoded_bytes().starts_with(b".")).count();
        let found = (verdict.accepted, verdict.dead, self.maildir.done().len(), hands);
        if !matches!(exit.get(), Exit::Ok | Exit::SomeDead)
            || !verdict.faults.is_empty()
            || found != (taken, dead, kept, 0)
        {
            return Err(format!("{:?}, (accepted, dead, kept, hands) {found:?}, {verdict}", exit.get()));
        }
        Ok(verdict)
    }
}
