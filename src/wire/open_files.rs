//! How many files a run has open, and how much work fits into those that it may open.

use super::most_lanes;
use crate::config::{Config, Queue, TargetKind};
use crate::target::make_room_for;

/// What is open beside: watchers, and something to spare.
const FILES_BESIDE: u64 = 52;
/// A Maildir: its folders, and what it has in hand.
const FILES_EACH_MAILDIR: u64 = 4;
/// What a lane waits by.
const FILES_EACH_LANE: u64 = 4;
/// A message in hand: its file; its connection, or its process and the pipes of that; one more while they are made.
const FILES_EACH_HAND: u64 = 4;
/// The process of a worker, its pipes and its lease; and as many for a successor.
const FILES_EACH_WORKER: u64 = 12;

/// What may be open, and by how many.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// How many Maildirs are served.
    pub maildirs: usize,
    /// How many processes of workers there are.
    pub workers: usize,
}

impl Crowd {
    /// What this configuration makes for so many Maildirs.
    pub fn of(config: &Config, maildirs: usize) -> Self {
        let processes = config.targets.iter().filter_map(|target| match &target.kind {
            TargetKind::Worker(worker) => Some(worker.processes.get()),
            TargetKind::Url(_) | TargetKind::Command(_) => None,
        });
        Crowd { maildirs, workers: processes.sum() }
    }

    /// How many files are open whether there is mail or not.
    fn files(self) -> u64 {
        FILES_BESIDE + FILES_EACH_MAILDIR * self.maildirs as u64 + FILES_EACH_WORKER * self.workers as u64
    }
}

/// How many messages can be in hand at a time where so many files may be open; None is no limit.
pub fn hands_within(files: Option<u64>, crowd: Crowd) -> usize {
    let room = files.map_or(u64::MAX, |files| files.saturating_sub(crowd.files()));
    // The first have a lane each.
    let (lanes, each_with_lane) = (most_lanes() as u64, FILES_EACH_HAND + FILES_EACH_LANE);
    let hands = match room.checked_sub(lanes * each_with_lane) {
        Some(rest) => lanes + rest / FILES_EACH_HAND,
        None => room / each_with_lane,
    };
    usize::try_from(hands).unwrap_or(usize::MAX)
}

/// How many files must be allowed to be open for so many messages in hand.
pub fn files_for(hands: usize, crowd: Crowd) -> u64 {
    let lanes = hands.min(most_lanes()) as u64;
    crowd.files() + FILES_EACH_HAND * hands as u64 + FILES_EACH_LANE * lanes
}

/// Asks for as many open files as are needed, and gives targets no more at a time than fit.
pub fn fit_into_open_files(config: &mut Config, maildirs: usize) {
    let crowd = Crowd::of(config, maildirs);
    let asked: usize = config.targets.iter().map(|target| target.concurrency).sum();
    // How many Maildirs a pattern will find nobody knows.
    let is_bounded = !config.queues.iter().any(Queue::has_globs);
    let room = hands_within(make_room_for(is_bounded.then(|| files_for(asked, crowd))), crowd);
    if asked <= room {
        return;
    }
    for target in &mut config.targets {
        target.concurrency = (target.concurrency * room / asked).max(1);
    }
    let concurrency: usize = config.targets.iter().map(|target| target.concurrency).sum();
    tracing::warn!(
        event = "hampered",
        asked,
        concurrency,
        "the limit on open files allows no more at a time; raise it (ulimit -n, LimitNOFILE=)"
    );
}
