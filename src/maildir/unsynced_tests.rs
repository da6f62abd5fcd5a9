//! Going everywhere in the model, and side by side with the code.

use super::super::backlog::Candidate;
use super::super::common::Settings;
use super::super::hands::{Phase, holdings};
use super::super::layout::{DEAD, HANDS, Keep, Layout, STORY};
use super::super::queue::MaildirQueue;
use super::super::served::Options;
use super::super::{crash, recover};
use super::{At, Budget, Place, Told, World, explore};
use crate::engine::{Claim, Note, Settlement};
use std::cell::RefCell;
use std::fs::{self, File};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

fn explore_all(cases: &[(u8, [u8; 4])]) {
    for &(processes, [claims, kills, cuts, revivals]) in cases {
        let worlds = explore(World::new(processes, Budget { claims, kills, cuts, revivals }));
        println!("{processes} processes, {claims} claims, {kills} kills, {cuts} power cuts: {worlds} worlds");
        assert!(worlds > 1000, "{worlds} is not everywhere");
    }
}

#[test]
fn no_order_of_steps_kills_and_power_cuts_breaks_a_promise() {
    explore_all(&[(2, [3, 1, 0, 1]), (2, [2, 2, 0, 0]), (2, [2, 1, 1, 0]), (2, [2, 0, 1, 1]), (3, [2, 1, 0, 0])]);
}

#[test]
#[ignore = "millions of worlds; in a release build a minute"]
fn nor_does_any_longer_one() {
    explore_all(&[(2, [3, 2, 0, 1]), (2, [3, 1, 1, 0]), (3, [3, 1, 0, 0]), (3, [2, 0, 1, 0])]);
}

/// A crash point, and what is on the disk there: the message's place, its story, and how many slots say
/// that it is read, and that it is sent.
type Stage = (&'static str, Place, Vec<String>, [usize; 2]);

fn count(slots: impl Iterator<Item = Phase>) -> [usize; 2] {
    let slots: Vec<_> = slots.collect();
    [Phase::Reading, Phase::Sending].map(|phase| slots.iter().filter(|slot| **slot == phase).count())
}

fn settled<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("settling waits for nothing"),
    }
}

/// The stages of the model, of one process that goes this way.
fn go(world: &mut World, who: usize, way: &[At]) -> Vec<Stage> {
    let mut stages = Vec::new();
    for &at in way {
        let next = world.steps(who).into_iter().find(|next| next.processes[who].at == at);
        *world = next.unwrap_or_else(|| panic!("no step leads to {at:?}: {world:?}"));
        if let Some(point) = at.point() {
            let told = world.disk.told().iter().map(|line| match line {
                Told::Retry => "retry",
                Told::Died(_) => "died",
                Told::Dead(_) => "dead",
            });
            let slots = world.disk.hands.iter().filter_map(|hands| Some(hands.slot?.0));
            stages.push((point, world.disk.place, told.map(str::to_owned).collect(), count(slots)));
        }
    }
    stages
}

/// A real Maildir with one message, and real processes.
struct Real {
    folder: PathBuf,
    clock: SystemTime,
    stages: Rc<RefCell<Vec<Stage>>>,
}

fn stage(folder: &Path, point: &'static str) -> Stage {
    let place = match (folder.join("new").join(NAME).exists(), folder.join(DEAD).join("new").join(NAME).exists()) {
        (true, false) => Place::New,
        (false, true) => Place::Dead,
        (false, false) => Place::Gone,
        (true, true) => panic!("it is there twice"),
    };
    let read = |part: &str| fs::read_dir(folder.join(part)).unwrap().map(|entry| entry.unwrap().path());
    let stories: String = read(STORY).map(|path| fs::read_to_string(path).unwrap()).collect();
    let told = stories.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["event"].as_str().unwrap().to_owned()
    });
    let held = read(HANDS).flat_map(|path| holdings(&mut File::open(path).unwrap()).unwrap());
    (point, place, told.collect(), count(held.map(|holding| holding.phase)))
}

const NAME: &str = "1762087331.one.mx1";

impl Real {
    fn new(folder: &Path) -> Self {
        for part in ["new", "cur", "tmp"] {
            fs::create_dir(folder.join(part)).unwrap();
        }
        fs::write(folder.join("new").join(NAME), "Subject: x\n\nbody\n").unwrap();
        Real { folder: folder.to_owned(), clock: SystemTime::now() + Duration::from_hours(1), stages: Rc::default() }
    }

    fn process(&self) -> MaildirQueue {
        let layout = Layout::open(&self.folder, Keep::Remove).unwrap();
        let settings = Settings { hands: 1, watch: false, ..Settings::default() };
        MaildirQueue::of_one(layout, Options::default(), settings).unwrap()
    }

    /// What is done here is seen, stage by stage.
    fn watch<T>(&mut self, what: impl FnOnce(&mut Self) -> T) -> (T, Vec<Stage>) {
        let (folder, stages) = (self.folder.clone(), Rc::clone(&self.stages));
        crash::witness(Some(Box::new(move |point| stages.borrow_mut().push(stage(&folder, point)))));
        let output = what(self);
        crash::witness(None);
        (output, self.stages.take())
    }

    fn claim(&mut self, process: &MaildirQueue) -> Option<Claim> {
        self.clock += Duration::from_hours(1);
        let maildir = process.only();
        let candidate = Candidate { key: maildir.key(NAME.as_ref()), name: NAME.into(), patience: 0 };
        maildir.claim(&candidate, self.clock).unwrap()
    }

    /// Claims the message, sends it, and settles it. Returns whether the process lives.
    fn attempt(&mut self, process: &MaildirQueue, how: Settlement) -> bool {
        let mut claim = self.claim(process).expect("it is to be tried");
        assert!(claim.lease.sending());
        drop(claim.message);
        settled(claim.lease.settle(how)).is_ok()
    }

    fn note(&self) -> Note {
        Note { at: self.clock, target: "app".into(), status: None, took: Duration::ZERO, reason: "no".into() }
    }
}

/// The kernel closes the files of a killed process; nothing else happens.
fn kill(process: MaildirQueue, claim: Option<Claim>) {
    crash::arm(Some(0));
    crash::point("by the operator").unwrap_err();
    drop((claim, process));
    crash::arm(None);
}

fn first(processes: u8) -> World {
    World::new(processes, Budget { claims: 9, kills: 9, cuts: 0, revivals: 0 })
}

const CLAIM: [At; 4] = [At::Opened, At::Locked, At::Held, At::Sending];

#[test]
fn the_steps_of_the_model_are_those_of_the_code() {
    let _no_forks = crate::FORKS.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let (mut real, mut world) = (Real::new(folder.path()), first(2));
    let (one, two) = (real.process(), real.process());
    let ways = |end: &[At]| [&CLAIM, end, &[At::Idle]].concat();

    let retry = Settlement::Retry { due: real.clock, charged: true, note: real.note() };
    let (_, stages) = real.watch(|real| real.attempt(&one, retry));
    assert_eq!(stages, go(&mut world, 0, &ways(&[At::Failed, At::RetryTold])));

    let (_, stages) = real.watch(|real| real.attempt(&one, Settlement::Release));
    assert_eq!(stages, go(&mut world, 0, &ways(&[])));

    // Killed while it reads: the other one understands.
    let (claim, stages) = real.watch(|real| real.claim(&one));
    assert_eq!(stages, go(&mut world, 0, &CLAIM[..3]));
    kill(one, claim);
    world.kill(0);
    let maildir = two.only();
    let own = maildir.hands.as_ref().map(super::super::hands::Hands::name);
    let (_, stages) = real.watch(|_| recover::recover(&maildir.layout, own).unwrap());
    assert_eq!(
        stages,
        go(&mut world, 1, &[At::Recovers(0), At::BeforeTelling(0), At::AfterTelling(0), At::HandsRemoved])
    );
    go(&mut world, 1, &[At::Idle]);

    let (_, stages) = real.watch(|real| real.attempt(&two, Settlement::Done));
    assert_eq!(stages, go(&mut world, 1, &ways(&[At::Accepted, At::Removed, At::StoryRemoved])));
}

#[test]
fn and_so_are_those_of_a_death() {
    let _no_forks = crate::FORKS.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    let dead = [At::Refused, At::DeathTold, At::DeathSynced, At::Moved];
    for is_killed in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (mut real, mut world) = (Real::new(folder.path()), first(2));
        let (one, two) = (real.process(), real.process());
        // Killed when the death is told, and the message not moved: the fourth point.
        crash::arm(is_killed.then_some(3));
        let note = real.note();
        let (lives, stages) = real.watch(|real| real.attempt(&one, Settlement::Dead { note }));
        assert_eq!(lives, !is_killed);
        let reached = if is_killed { 2 } else { 4 };
        assert_eq!(stages, go(&mut world, 0, &[&CLAIM[..], &dead[..reached]].concat()));
        if is_killed {
            kill(one, None);
            world.kill(0);
            let (claim, stages) = real.watch(|real| real.claim(&two));
            assert!(claim.is_none(), "what is dead is not tried");
            let way = [At::Opened, At::Locked, At::Held, At::HalfBuried, At::DeathSynced, At::Moved];
            assert_eq!(stages, go(&mut world, 1, &way));
        }
    }
}
