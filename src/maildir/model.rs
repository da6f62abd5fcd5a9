//! The table of claim, settle and recover, checked against a model.
//!
//! Two processes work on one real Maildir. A seed chooses what they and an operator do next, and at
//! which step one of them, or the operator, is killed. After each step the disk must be what a model of a dozen lines
//! says that it is. A failing seed prints itself; `MAILDIRQ_SEED=n` runs that one alone.

use super::act::{Act, Acted, Operator, Retry};
use super::backlog::Candidate;
use super::common::Settings;
use super::layout::{DEAD, HANDS, Keep, Layout, TRASH};
use super::names::id_of_name;
use super::queue::MaildirQueue;
use super::served::{Maildir, Options};
use super::story::{Event, Story};
use super::{crash, recover};
use crate::engine::{Claim, Id, Note, Settlement};
use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

const SEEDS: u64 = 1000;
const STEPS: usize = 80;

/// What must be true of one message.
#[derive(Clone, Debug, Default)]
struct Expected {
    place: Place,
    /// Which process has it.
    holder: Option<usize>,
    /// Failures that count against it.
    charged: u32,
    /// Processes that died while they read it, told in its story or not yet.
    deaths: u32,
    /// Those of them that no recovery has told of yet. At most: of a message that is dead nothing is
    /// told, and it depends on other messages how long that can still come.
    untold: u32,
    /// So from then on the count is an upper bound.
    was_dead: bool,
    /// Whether its target has taken it, and how often it was then lost sight of by a kill.
    accepted: bool,
    /// Whether somebody was killed who had asked for it again, before it was moved back.
    was_asked_for: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    New,
    /// Declared dead, but not moved yet.
    HalfDead,
    Dead,
    Trash,
    Gone,
}

impl Expected {
    /// It is set aside: what counted does not count any more.
    fn die(&mut self) {
        let untold = self.untold;
        *self = Expected { place: Place::Dead, deaths: untold, untold, was_dead: true, ..Expected::default() };
    }

    /// It counts anew, here.
    fn start_anew(&mut self, place: Place) {
        self.die();
        self.place = place;
    }

    /// What an act makes of it that is done, or cut short after so many steps.
    fn suffer(&mut self, act: &Act, steps: Option<u32>) {
        match (act, self.place, steps) {
            (_, _, Some(0)) => {}
            (Act::Retry(retry), Place::New, _) if !retry.reset => {}
            // What one that is declared dead counted is over with that.
            (Act::Retry(_), Place::New | Place::HalfDead, _) => self.start_anew(Place::New),
            (Act::Retry(_), place, Some(1)) => {
                self.start_anew(place);
                self.was_asked_for = true;
            }
            (Act::Retry(_), ..) => self.start_anew(Place::New),
            (Act::Bury { .. }, _, Some(1)) => self.place = Place::HalfDead,
            (Act::Bury { .. }, ..) => self.die(),
            (Act::Drop, ..) => self.place = Place::Trash,
            (Act::Erase | Act::Forget, ..) => unreachable!("nobody does that here"),
        }
    }
}

struct Process {
    queue: MaildirQueue,
    held: Vec<(PathBuf, Claim, bool)>,
}

struct World {
    folder: PathBuf,
    dice: fastrand::Rng,
    processes: [Option<Process>; 2],
    messages: BTreeMap<PathBuf, Expected>,
    clock: SystemTime,
}

/// The futures of a Maildir's leases are ready at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("settling waits for nothing"),
    }
}

impl World {
    fn new(folder: &Path, seed: u64) -> Self {
        for part in ["new", "cur", "tmp"] {
            fs::create_dir(folder.join(part)).unwrap();
        }
        World {
            folder: folder.to_owned(),
            dice: fastrand::Rng::with_seed(seed),
            processes: [None, None],
            messages: BTreeMap::new(),
            clock: SystemTime::now() + Duration::from_hours(1),
        }
    }

    fn step(&mut self) {
        let who = self.dice.usize(..2);
        match self.dice.u32(..100) {
            0..12 => self.deliver(),
            12..50 => self.claim(who),
            50..80 => self.settle(who),
            80..88 => self.recover(who),
            88..94 => self.kill(who),
            94..96 => self.revive(),
            _ => self.act(),
        }
        self.clock += Duration::from_hours(1);
    }

    fn deliver(&mut self) {
        if self.messages.len() < 6 {
            let name = PathBuf::from(super::unique_name());
            fs::write(self.folder.join("new").join(&name), "Subject: x\n\nbody\n").unwrap();
            self.messages.insert(name, Expected::default());
        }
    }

    fn process(&mut self, who: usize) -> &mut Process {
        let folder = &self.folder;
        self.processes[who].get_or_insert_with(|| {
            let layout = Layout::open(folder, Keep::Remove).unwrap();
            let settings = Settings { hands: 4, watch: false, ..Settings::default() };
            let queue = MaildirQueue::of_one(layout, Options::default(), settings).unwrap();
            Process { queue, held: Vec::new() }
        })
    }

    fn maildir(&mut self, who: usize) -> Arc<Maildir> {
        self.process(who).queue.only()
    }

    fn any(&mut self, which: impl Fn(&Expected) -> bool) -> Option<PathBuf> {
        let names: Vec<_> = self.messages.iter().filter(|(_, e)| which(e)).map(|(name, _)| name.clone()).collect();
        self.dice.choice(names)
    }

    fn expected(&mut self, name: &Path) -> &mut Expected {
        self.messages.get_mut(name).unwrap()
    }

    fn maybe_arm(&mut self, points: u32) -> Option<u32> {
        let at = if self.dice.u32(..4) == 0 { Some(self.dice.u32(..points)) } else { None };
        crash::arm(at);
        at
    }

    fn claim(&mut self, who: usize) {
        let Some(name) = self.any(|e| matches!(e.place, Place::New | Place::HalfDead)) else { return };
        let maildir = self.maildir(who);
        let candidate = Candidate { key: maildir.key(name.as_os_str()), name: name.clone().into(), patience: 0 };
        let clock = self.clock;
        self.maybe_arm(2);
        let claimed = maildir.claim(&candidate, clock);
        if crash::is_dead() {
            // Before the slot is written nobody can know of it; after it, it counts.
            let is_written = format!("{claimed:?}").contains("slot");
            assert!(self.expected(&name).holder.is_none(), "{name:?} was locked by two");
            if is_written {
                self.expected(&name).deaths += 1;
                self.expected(&name).untold += 1;
            }
            drop(claimed);
            drop(maildir);
            return self.bury_process(who);
        }
        let expected = self.expected(&name).clone();
        let told = expected.deaths - expected.untold;
        let is_read = |(name, _, is_sending): &(PathBuf, Claim, bool)| (!is_sending).then(|| name.clone());
        let being_read: Vec<_> = self.process(who).held.iter().filter_map(is_read).collect();
        let is_suspect = |expected: &mut Expected| expected.deaths > expected.untold;
        let has_turn = told == 0 || !being_read.iter().any(|name| is_suspect(self.expected(name)));
        match claimed {
            Ok(Some(claim)) => {
                assert_eq!((expected.place, expected.holder), (Place::New, None), "{name:?} given twice");
                assert!(has_turn, "{name:?} is read beside another one over which a process has died");
                assert!(told < 3, "{name:?} is given out after {told} deaths");
                assert_eq!(claim.message.id, id(&maildir, &name), "{name:?} has another id");
                assert_eq!(claim.message.history.charged, expected.charged, "{name:?}");
                self.expected(&name).holder = Some(who);
                self.process(who).held.push((name, claim, false));
            }
            Ok(None) => {
                let is_doomed = expected.place == Place::HalfDead || told >= 3;
                assert!(is_doomed, "{name:?} was buried: {expected:?}");
                self.expected(&name).die();
            }
            Err(refused) => {
                assert!(expected.holder.is_some() || !has_turn, "{name:?} was refused: {refused:?}");
            }
        }
    }

    fn settle(&mut self, who: usize) {
        if self.process(who).held.is_empty() {
            return;
        }
        let which = self.dice.usize(..self.processes[who].as_ref().unwrap().held.len());
        let (name, mut claim, _) = self.process(who).held.swap_remove(which);
        assert!(claim.lease.sending());
        let note =
            Note { at: self.clock, target: "app".into(), status: Some(500), took: Duration::ZERO, reason: "no".into() };
        let (how, points) = match self.dice.u32(..10) {
            0..3 => (Settlement::Done, 3),
            3..6 => (Settlement::Retry { due: self.clock, charged: self.dice.bool(), note }, 2),
            6..8 => (Settlement::Dead { note }, 4),
            8 => (Settlement::Park { target: "app".into() }, 1),
            _ => (Settlement::Release, 1),
        };
        let is_accepted = how == Settlement::Done;
        let at = self.maybe_arm(points);
        let settled = now(claim.lease.settle(how.clone()));
        let died_at = if crash::is_dead() { at } else { None };
        assert_eq!(settled.is_err(), died_at.is_some(), "{settled:?}");
        let expected = self.expected(&name);
        expected.holder = None;
        expected.accepted |= is_accepted;
        match (how, died_at) {
            (Settlement::Done, None | Some(1..)) => expected.place = Place::Gone,
            (Settlement::Retry { charged, .. }, None | Some(1..)) => expected.charged += u32::from(charged),
            (Settlement::Dead { .. }, None | Some(3)) => expected.die(),
            (Settlement::Dead { .. }, Some(1 | 2)) => expected.place = Place::HalfDead,
            _ => {}
        }
        drop(claim.message);
        if died_at.is_some() {
            self.bury_process(who);
        }
    }

    /// A kill while nothing is being written: in the midst of reading, or of waiting for the target.
    fn kill(&mut self, who: usize) {
        if self.processes[who].is_none() {
            return;
        }
        for held in 0..self.process(who).held.len() {
            if self.dice.bool() {
                let (_, claim, is_sending) = &mut self.process(who).held[held];
                assert!(claim.lease.sending());
                *is_sending = true;
            }
        }
        crash::arm(Some(0));
        crash::point("by the operator").unwrap_err();
        self.bury_process(who);
    }

    /// The kernel closes the files of a killed process; nothing else happens.
    fn bury_process(&mut self, who: usize) {
        let Process { queue, held } = self.processes[who].take().unwrap();
        for (name, claim, is_sending) in held {
            let expected = self.messages.get_mut(&name).unwrap();
            expected.holder = None;
            if !is_sending {
                expected.deaths += 1;
                expected.untold += 1;
            }
            drop(claim);
        }
        drop(queue);
        crash::arm(None);
    }

    fn recover(&mut self, who: usize) {
        let maildir = self.maildir(who);
        self.maybe_arm(3);
        let _ = recover::recover(&maildir.layout, maildir.hands.as_ref().map(super::hands::Hands::name));
        let is_dead = crash::is_dead();
        crash::arm(if is_dead { Some(0) } else { None });
        self.read_deaths(&maildir);
        if is_dead {
            crash::point("again").unwrap_err();
            drop(maildir);
            self.bury_process(who);
        }
    }

    /// How far the telling of deaths has come is seen in the stories; it must add up.
    fn read_deaths(&mut self, maildir: &Maildir) {
        for (name, expected) in self.messages.iter_mut().filter(|(_, e)| e.place == Place::New) {
            let told = Story::read(maildir.layout.root(), id(maildir, name)).unwrap().map_or(0, |story| story.deaths);
            assert!(told <= expected.deaths, "{name:?}: {told} deaths told of {}", expected.deaths);
            expected.untold = expected.deaths - told;
        }
    }

    /// An operator moves a message back from dead: it starts afresh.
    fn revive(&mut self) {
        if let Some(name) = self.any(|e| e.place == Place::Dead) {
            self.wait_for_tick(&self.folder.join(DEAD).join("new").join(&name));
            fs::rename(self.folder.join(DEAD).join("new").join(&name), self.folder.join("new").join(&name)).unwrap();
            self.expected(&name).place = Place::New;
        }
    }

    /// An operator does something to a message by a command, which may be killed.
    fn act(&mut self) {
        let Some(name) = self.any(|e| e.place != Place::Gone) else { return };
        let expected = self.expected(&name).clone();
        let retry = Act::Retry(Retry { reset: self.dice.bool(), ..Retry::default() });
        let (folder, acts) = match expected.place {
            Place::Dead => (format!("{DEAD}/new"), vec![retry, Act::Drop]),
            Place::Trash => (format!("{TRASH}/new"), vec![retry]),
            _ => ("new".to_owned(), vec![retry, Act::Bury { reason: String::new() }, Act::Drop]),
        };
        let act = self.dice.choice(acts).unwrap();
        let mut operator = Operator::open(&self.folder, "ada").unwrap();
        let seen = operator.see(&self.folder.join(folder).join(&name)).unwrap().unwrap();
        let at = self.maybe_arm(4);
        let acted = operator.act(&seen, &act);
        let died_at = if crash::is_dead() { at } else { None };
        crash::arm(None);
        if expected.holder.is_some() {
            return assert_eq!((acted.unwrap(), died_at), (Acted::InHand, None), "{name:?} is held");
        }
        assert_eq!(acted.ok(), if died_at.is_some() { None } else { Some(Acted::Done) }, "{act:?} of {name:?}");
        self.expected(&name).suffer(&act, died_at);
    }

    /// A file system's clock may tick only every few milliseconds. A person is slower than that.
    fn wait_for_tick(&self, file: &Path) {
        let changed = |path: &Path| fs::metadata(path).map(|m| (m.ctime(), m.ctime_nsec())).unwrap();
        let probe = self.folder.join("tmp").join("probe");
        loop {
            fs::write(&probe, "").unwrap();
            if changed(&probe) > changed(file) {
                return;
            }
        }
    }

    /// What must be true at any time.
    fn check(&self) {
        for (name, expected) in &self.messages {
            let is_in = |folder: &str| self.folder.join(folder).join("new").join(name).exists();
            let found = (is_in(""), is_in(DEAD), is_in(TRASH));
            let right = match expected.place {
                Place::New | Place::HalfDead => (true, false, false),
                Place::Dead => (false, true, false),
                Place::Trash => (false, false, true),
                Place::Gone => (false, false, false),
            };
            assert_eq!(found, right, "{name:?} in (new, dead, trash): {expected:?}");
            assert!(expected.place != Place::Gone || expected.accepted, "{name:?} is lost");
        }
    }

    /// In the end one process brings everything to a rest.
    fn finish(&mut self) {
        for who in 0..2 {
            if self.processes[who].is_some() {
                self.kill(who);
            }
        }
        for _ in 0..5 {
            let maildir = self.maildir(0);
            recover::recover(&maildir.layout, maildir.hands.as_ref().map(super::hands::Hands::name)).unwrap();
            self.read_deaths(&maildir);
            for (name, expected) in self.messages.iter().filter(|(_, e)| e.place == Place::New && !e.was_dead) {
                assert_eq!(expected.untold, 0, "{name:?}: not all deaths are told");
            }
            for name in self.messages.keys().cloned().collect::<Vec<_>>() {
                self.clock += Duration::from_hours(1);
                let candidate =
                    Candidate { key: maildir.key(name.as_os_str()), name: name.clone().into(), patience: 0 };
                match maildir.claim(&candidate, self.clock) {
                    Ok(Some(claim)) => {
                        now(claim.lease.settle(Settlement::Done)).unwrap();
                        *self.expected(&name) = Expected { place: Place::Gone, accepted: true, ..Expected::default() };
                    }
                    Ok(None) => self.expected(&name).place = Place::Dead,
                    Err(_) => {}
                }
            }
        }
        self.check();
        let maildir = self.maildir(0);
        for (name, expected) in &self.messages {
            let is_at_rest = matches!(expected.place, Place::Dead | Place::Trash | Place::Gone);
            assert!(is_at_rest, "{name:?} never came to rest: {expected:?}");
            if expected.place == Place::Dead && !expected.was_asked_for {
                let story =
                    Story::read(maildir.layout.root(), id(&maildir, name)).unwrap().expect("the dead have a story");
                let last = story.last.expect("which says why");
                assert!(last.event == Event::Dead && !last.reason.is_empty(), "{last:?}");
            }
        }
        assert_eq!(fs::read_dir(self.folder.join(HANDS)).unwrap().count(), 1, "only our own hands are left");
    }
}

fn id(maildir: &Maildir, name: &Path) -> Id {
    id_of_name(&maildir.layout.queue, name.as_os_str())
}

#[test]
fn every_crash_leaves_what_the_model_says() {
    let _no_forks = crate::FORKS.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    let memory = Path::new("/dev/shm");
    let one: Option<u64> = std::env::var("MAILDIRQ_SEED").ok().map(|seed| seed.parse().expect("a seed is a number"));
    for seed in one.map_or(0..SEEDS, |seed| seed..seed + 1) {
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let run = || {
            let mut world = World::new(folder.path(), seed);
            for _ in 0..STEPS {
                world.step();
                world.check();
            }
            world.finish();
        };
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("this was seed {seed}: MAILDIRQ_SEED={seed} cargo test every_crash");
            std::panic::resume_unwind(panic);
        }
    }
}
