//! The protocol of claim, settle and recover as a model of its own, with metadata that a power cut may
//! undo: every order of the steps of two or three processes, a kill or a power cut between any of them.
//!
//! Its steps are those of the code: a test goes through both side by side, from crash point to crash
//! point, and compares what is on the disk.
//!
//! A power cut leaves what the journal of ext4 leaves: of the changes to directories since the last
//! sync a prefix, and of what was written into files any part.

use super::hands::Phase;
use std::collections::HashSet;
use std::rc::Rc;

/// How many deaths make a message dead. (Three in the code; the model's processes are few.)
const DEATHS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    New,
    Dead,
    Gone,
}

/// A line of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Told {
    Retry,
    /// A process died over the claim with this stamp.
    Died(u8),
    /// Dead, when the file had been moved so often: its ctime.
    Dead(u8),
}

/// A hands file, with one slot. Its number is that of the process that made it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Hands {
    exists: bool,
    slot: Option<(Phase, u8)>,
}

/// What a process sees.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Disk {
    place: Place,
    moves: u8,
    story: Option<Vec<Told>>,
    /// How many of the story's lines no power cut takes away.
    synced: usize,
    hands: Vec<Hands>,
}

/// Where a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Down,
    Idle,
    Opened,
    Locked,
    Held,
    Sending,
    Accepted,
    Removed,
    StoryRemoved,
    Failed,
    RetryTold,
    Refused,
    DeathTold,
    HalfBuried,
    DeathSynced,
    Moved,
    /// It understands what another one held.
    Recovers(u8),
    BeforeTelling(u8),
    AfterTelling(u8),
    HandsRemoved,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Process {
    at: At,
    /// The number of its hands file.
    number: u8,
    had_story: bool,
}

/// How much may still happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Budget {
    claims: u8,
    kills: u8,
    cuts: u8,
    revivals: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    disk: Disk,
    /// What a power cut may leave of the directories: the last sync, and each change since.
    unsynced: Vec<Disk>,
    processes: Vec<Process>,
    claims: u8,
    accepted: u8,
    /// How often it is nobody's fault that the target gets it again.
    excuses: u8,
    budget: Budget,
}

impl At {
    /// The crash point of the code at which a process is here.
    fn point(self) -> Option<&'static str> {
        Some(match self {
            At::Locked => "after the lock is taken",
            At::Held => "after the slot is written",
            At::Accepted => "before removal",
            At::Removed => "after removal",
            At::StoryRemoved => "after the story's removal",
            At::Failed => "before the retry is told",
            At::RetryTold => "after the retry is told",
            At::Refused => "before the death is told",
            At::DeathTold => "after the death is told",
            At::DeathSynced => "after the death is on the disk",
            At::Moved => "after the move to dead",
            At::BeforeTelling(_) => "before a death is told",
            At::AfterTelling(_) => "after a death is told",
            At::HandsRemoved => "after a hands file is removed",
            At::Down | At::Idle | At::Opened | At::Sending | At::HalfBuried | At::Recovers(_) => return None,
        })
    }

    fn has_lock(self) -> bool {
        !matches!(self, At::Down | At::Idle | At::Opened | At::Recovers(_) | At::HandsRemoved)
    }

    fn recovers(self) -> Option<u8> {
        match self {
            At::Recovers(hands) | At::BeforeTelling(hands) | At::AfterTelling(hands) => Some(hands),
            _ => None,
        }
    }
}

impl Disk {
    fn told(&self) -> &[Told] {
        self.story.as_deref().unwrap_or_default()
    }

    fn tell(&mut self, what: Told) {
        self.story.get_or_insert_default().push(what);
    }

    /// Processes that died over it since it was last set aside.
    fn deaths(&self) -> usize {
        let told = self.told();
        let since = told.iter().rposition(|line| matches!(line, Told::Dead(_))).map_or(0, |at| at + 1);
        told[since..].iter().filter(|line| matches!(line, Told::Died(_))).count()
    }

    /// Declared dead and then not moved.
    fn is_burial_unfinished(&self) -> bool {
        self.told().iter().rfind(|line| !matches!(line, Told::Died(_))) == Some(&Told::Dead(self.moves))
    }

    fn has_directories_of(&self, other: &Disk) -> bool {
        let directories = |disk: &Disk| (disk.place, disk.moves, disk.story.is_some());
        directories(self) == directories(other)
            && self.hands.iter().map(|hands| hands.exists).eq(other.hands.iter().map(|hands| hands.exists))
    }

    fn slot_of(&self, hands: u8) -> Option<(Phase, u8)> {
        self.hands[usize::from(hands)].slot
    }
}

impl World {
    fn new(processes: u8, budget: Budget) -> Self {
        let disk = Disk { place: Place::New, moves: 0, story: None, synced: 0, hands: Vec::new() };
        let down = Process { at: At::Down, number: 0, had_story: false };
        let processes = vec![down; usize::from(processes)];
        let mut world = World { disk, unsynced: Vec::new(), processes, claims: 0, accepted: 0, excuses: 0, budget };
        (0..world.processes.len()).for_each(|who| world.start(who));
        world.sync();
        world
    }

    fn start(&mut self, who: usize) {
        let number = u8::try_from(self.disk.hands.len()).expect("they are few");
        self.disk.hands.push(Hands { exists: true, slot: None });
        self.processes[who] = Process { at: At::Idle, number, had_story: false };
        self.changed();
    }

    /// Something was written. Where no directory has changed by that, a power cut leaves the directories
    /// as they were, and what is in the files now or less of it.
    fn changed(&mut self) {
        if self.budget.cuts == 0 {
            return;
        }
        if self.unsynced.last().is_some_and(|last| last.has_directories_of(&self.disk)) {
            self.unsynced.pop();
        }
        self.unsynced.push(self.disk.clone());
    }

    fn sync(&mut self) {
        self.unsynced.clear();
        self.changed();
    }

    fn is_locked(&self) -> bool {
        self.processes.iter().any(|process| process.at.has_lock())
    }

    /// Whether somebody has the lock of a hands file: whoever made it, or understands it.
    fn are_hands_locked(&self, hands: u8) -> bool {
        let has = |process: &Process| process.at != At::Down && process.number == hands;
        self.processes.iter().any(|process| has(process) || process.at.recovers() == Some(hands))
    }

    fn set_slot(&mut self, who: usize, slot: Option<(Phase, u8)>) {
        let number = usize::from(self.processes[who].number);
        self.disk.hands[number].slot = slot;
        self.changed();
    }

    /// All that a process can do next.
    fn steps(&self, who: usize) -> Vec<World> {
        let to = |at: At| {
            let mut next = self.clone();
            next.processes[who].at = at;
            next
        };
        let process = &self.processes[who];
        match process.at {
            At::Down => {
                let mut next = self.clone();
                next.start(who);
                vec![next]
            }
            At::Idle => self.begin(who),
            At::Opened if self.is_locked() || self.disk.place != Place::New => vec![to(At::Idle)],
            At::Opened => {
                let mut next = to(At::Locked);
                next.processes[who].had_story = self.disk.story.is_some();
                vec![next]
            }
            At::Locked => {
                let mut next = to(At::Held);
                next.claims += 1;
                next.set_slot(who, Some((Phase::Reading, next.claims)));
                vec![next]
            }
            At::Held if self.disk.is_burial_unfinished() => vec![to(At::HalfBuried)],
            At::Held if self.disk.deaths() >= DEATHS => vec![to(At::Refused)],
            At::Held => {
                let mut next = to(At::Sending);
                next.set_slot(who, self.disk.slot_of(process.number).map(|(_, stamp)| (Phase::Sending, stamp)));
                // Given back, or sent.
                vec![next, self.given_back(who)]
            }
            At::Sending => {
                let mut accepted = to(At::Accepted);
                accepted.accepted += 1;
                vec![accepted, to(At::Failed), to(At::Refused), self.given_back(who)]
            }
            _ => vec![self.settle_or_recover(who)],
        }
    }

    fn begin(&self, who: usize) -> Vec<World> {
        let mut steps = Vec::new();
        if self.budget.claims > 0 && self.disk.place == Place::New {
            let mut next = self.clone();
            next.budget.claims -= 1;
            next.processes[who].at = At::Opened;
            steps.push(next);
        }
        for (hands, number) in self.disk.hands.iter().zip(0..) {
            if hands.exists && !self.are_hands_locked(number) {
                let mut next = self.clone();
                next.processes[who].at = At::Recovers(number);
                steps.push(next);
            }
        }
        steps
    }

    fn given_back(&self, who: usize) -> World {
        let mut next = self.clone();
        next.set_slot(who, None);
        (next.processes[who].at, next.processes[who].had_story) = (At::Idle, false);
        next
    }

    /// What a process does that has no choice.
    fn settle_or_recover(&self, who: usize) -> World {
        let mut next = self.clone();
        let Process { at, had_story, .. } = self.processes[who];
        next.processes[who].at = match at {
            At::Accepted => {
                next.disk.place = Place::Gone;
                At::Removed
            }
            At::Removed => {
                if had_story {
                    (next.disk.story, next.disk.synced) = (None, 0);
                }
                At::StoryRemoved
            }
            At::Failed => {
                next.disk.tell(Told::Retry);
                At::RetryTold
            }
            At::Refused => {
                next.disk.tell(Told::Dead(self.disk.moves));
                At::DeathTold
            }
            At::DeathTold | At::HalfBuried => {
                next.disk.synced = next.disk.told().len();
                // The journal takes all before it along.
                next.sync();
                At::DeathSynced
            }
            At::DeathSynced => {
                (next.disk.place, next.disk.moves) = (Place::Dead, self.disk.moves + 1);
                At::Moved
            }
            At::Recovers(hands) => match self.disk.slot_of(hands) {
                Some((Phase::Reading, stamp)) if self.disk.place == Place::New => {
                    if self.is_locked() {
                        // The next recovery tells of it.
                        At::Idle
                    } else if self.disk.told().contains(&Told::Died(stamp)) || self.disk.is_burial_unfinished() {
                        next.remove_hands(hands)
                    } else {
                        At::BeforeTelling(hands)
                    }
                }
                _ => next.remove_hands(hands),
            },
            At::BeforeTelling(hands) => {
                let stamp = self.disk.slot_of(hands).map_or(0, |(_, stamp)| stamp);
                next.disk.tell(Told::Died(stamp));
                At::AfterTelling(hands)
            }
            At::AfterTelling(hands) => next.remove_hands(hands),
            At::HandsRemoved => At::Idle,
            _ => return self.given_back(who),
        };
        next.changed();
        next
    }

    fn remove_hands(&mut self, hands: u8) -> At {
        self.disk.hands[usize::from(hands)] = Hands { exists: false, slot: None };
        At::HandsRemoved
    }

    /// The kernel drops the locks of a process; nothing else happens.
    fn kill(&mut self, who: usize) {
        self.excuses += u8::from(self.processes[who].at == At::Accepted);
        self.processes[who] = Process { at: At::Down, number: 0, had_story: false };
    }

    /// All that a power cut may leave.
    fn cuts(&self) -> Vec<World> {
        let mut cuts = Vec::new();
        for disk in &self.unsynced {
            for lines in disk.synced.min(disk.told().len())..=disk.told().len() {
                for is_stale in [false, true] {
                    let mut next = self.clone();
                    next.budget.cuts -= 1;
                    (0..next.processes.len()).for_each(|who| next.kill(who));
                    next.excuses += u8::from(self.disk.place == Place::Gone && disk.place != Place::Gone);
                    next.disk = disk.clone();
                    if let Some(story) = &mut next.disk.story {
                        story.truncate(lines);
                    }
                    for hands in next.disk.hands.iter_mut().filter(|_| is_stale) {
                        hands.slot = hands.slot.map(|(_, stamp)| (Phase::Reading, stamp));
                    }
                    // What is there after a power cut is on the disk.
                    next.disk.synced = next.disk.told().len();
                    next.sync();
                    cuts.push(next);
                }
            }
        }
        cuts
    }

    /// What the world does: kills, power cuts, writing back, and a person who moves mail back.
    fn strokes(&self) -> Vec<World> {
        let mut strokes = Vec::new();
        for who in 0..self.processes.len() {
            if self.budget.kills > 0 && self.processes[who].at != At::Down {
                let mut next = self.clone();
                next.budget.kills -= 1;
                next.kill(who);
                strokes.push(next);
            }
        }
        if self.budget.cuts > 0 {
            strokes.extend(self.cuts());
            let mut next = self.clone();
            next.sync();
            strokes.push(next);
        }
        if self.budget.revivals > 0 && self.disk.place == Place::Dead {
            let mut next = self.clone();
            next.budget.revivals -= 1;
            (next.disk.place, next.disk.moves) = (Place::New, self.disk.moves + 1);
            next.changed();
            strokes.push(next);
        }
        strokes
    }

    /// What must be true at any time.
    fn wrong(&self) -> Option<&'static str> {
        let told = self.disk.told();
        let is_twice = |line: &Told| *line != Told::Retry && told.iter().filter(|other| *other == line).count() > 1;
        let holders = self.processes.iter().filter(|process| process.at.has_lock()).count();
        let is_sending = |process: &Process| matches!(process.at, At::Sending | At::Accepted);
        if self.disk.place == Place::Gone && self.accepted == 0 {
            Some("it is lost")
        } else if holders > 1 {
            Some("two have it")
        } else if self.accepted > 1 + self.excuses {
            Some("it was taken twice, and nothing excuses that")
        } else if told.iter().any(is_twice) {
            Some("something is told twice")
        } else if self.disk.place == Place::Dead && !told.iter().any(|line| matches!(line, Told::Dead(_))) {
            Some("it is dead, and nothing says why")
        } else if self.processes.iter().any(is_sending) && self.disk.is_burial_unfinished() {
            Some("it is dead and is sent")
        } else {
            None
        }
    }

    /// Whether there is nothing left to do.
    fn is_at_rest(&self) -> bool {
        self.budget.claims == 0 || self.disk.place != Place::New
    }
}

/// Goes everywhere. Returns how many worlds there are.
fn explore(first: World) -> usize {
    let first = Rc::new(first);
    let mut seen = HashSet::from([Rc::clone(&first)]);
    // With where each was come from.
    let mut found = vec![(first, 0)];
    let mut next = 0;
    while next < found.len() {
        let world = Rc::clone(&found[next].0);
        let steps: Vec<_> = (0..world.processes.len()).flat_map(|who| world.steps(who)).collect();
        let is_stuck = steps.is_empty() && !world.is_at_rest();
        if let Some(fault) = world.wrong().or_else(|| is_stuck.then_some("it is stuck")) {
            panic!("{fault}:\n{}", way_to(next, &found).join("\n"));
        }
        for step in steps.into_iter().chain(world.strokes()).map(Rc::new) {
            if seen.insert(Rc::clone(&step)) {
                found.push((step, next));
            }
        }
        next += 1;
    }
    found.len()
}

/// How one came there.
fn way_to(there: usize, found: &[(Rc<World>, usize)]) -> Vec<String> {
    let mut way = vec![there];
    while way[way.len() - 1] != 0 {
        way.push(found[way[way.len() - 1]].1);
    }
    let told = |&at: &usize| {
        let World { disk, processes, .. } = &*found[at].0;
        let processes: Vec<_> = processes.iter().map(|process| process.at).collect();
        format!("{processes:?} {:?} {:?} {:?}", disk.place, disk.story, disk.hands)
    };
    way.iter().rev().map(told).collect()
}

#[path = "unsynced_tests.rs"]
mod tests;
