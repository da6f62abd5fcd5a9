//! Killed at each call, and failing at each call: nothing is lost.
//!
//! `SQLite`'s n-th operation loop: a drain of mail that goes each way there is, killed at its first call of a name,
//! then at its second, and so on until it ends undisturbed; the same with an error instead. After each an
//! undisturbed drain takes what is left, and the books of a [`Ledger`](crate::support::Ledger) have to balance.
//! The names are those of a trace: what the program calls is tampered with, or left alone for a reason that is told.

#![cfg(target_arch = "x86_64")]

mod found;
mod scene;
mod table;
mod taker;

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use crate::support::Exit;
use scene::{Drained, Place, Scene, Way};
use table::{AT_STORIES, CALLS, LEFT_ALONE, UP_TO_THE_MACHINE, UP_TO_THE_TIME};

/// More calls of one name than so few mails can explain. A loop that gets so far was cut off.
const ENOUGH: usize = 300;
const LANE: Place = Place::Thread("lane-0");
const SYNC: Place = Place::Thread("sync");
const MAIN: Place = Place::Thread("maildirq");

const KILLED: Option<Exit> = Some(Exit::Signal(9));
const DOCUMENTED: [Option<Exit>; 5] =
    [Some(Exit::Ok), Some(Exit::SomeDead), Some(Exit::SomeWait), Some(Exit::Disk), Some(Exit::Config)];

/// T02
#[test]
fn killed_at_each_call_of_a_first_run_nothing_is_lost() {
    Loop::of(Way::Fresh, Place::Process).kill();
}

/// T03
#[test]
fn failing_at_each_call_of_a_first_run_nothing_is_lost() {
    Loop::of(Way::Fresh, Place::Process).fail();
}

/// T02
#[test]
fn killed_at_each_call_for_mail_that_is_removed_nothing_is_lost() {
    Loop::of(Way::Url, LANE).kill();
}

/// T03
#[test]
fn failing_at_each_call_for_mail_that_is_removed_nothing_is_lost() {
    Loop::of(Way::Url, LANE).fail();
}

/// T02
#[test]
fn killed_at_each_call_for_mail_that_is_kept_nothing_is_lost() {
    Loop::of(Way::Keep, LANE).kill();
}

/// T03
#[test]
fn failing_at_each_call_for_mail_that_is_kept_nothing_is_lost() {
    Loop::of(Way::Keep, LANE).fail_with_one();
}

/// T02
#[test]
fn killed_at_each_call_for_mail_to_a_command_nothing_is_lost() {
    Loop::of(Way::Command, LANE).kill();
}

/// T03
#[test]
fn failing_at_each_call_for_mail_to_a_command_nothing_is_lost() {
    Loop::of(Way::Command, LANE).fail_with_one();
}

/// T02
#[test]
fn killed_at_each_call_beside_the_work_and_at_its_end_nothing_is_lost() {
    Loop::of(Way::Keep, MAIN).kill();
    Loop::of(Way::Keep, SYNC).kill();
}

/// T03
#[test]
fn failing_at_each_call_beside_the_work_and_at_its_end_nothing_is_lost() {
    Loop::of(Way::Keep, MAIN).fail();
    Loop::of(Way::Keep, SYNC).fail();
}

/// One way and one place, over all calls there.
struct Loop {
    way: Way,
    place: Place,
    /// How often each call is made when nothing is in the way, and how often of that before main.
    calls: BTreeMap<String, usize>,
    before_main: BTreeMap<String, usize>,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    runs: usize,
    hits: usize,
    duplicates: usize,
    exits: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Loop {
    fn of(way: Way, place: Place) -> Loop {
        let mut scene = Scene::set(way, 0);
        let undisturbed = scene.disturb(place, &[]);
        assert_eq!(undisturbed.exit, Some(Exit::SomeDead));
        let verdict = scene.put_right(&undisturbed).expect("the books of an undisturbed run balance");
        assert_eq!(verdict.duplicates, 0);
        let trace = undisturbed.trace;
        let main =
            if place == Place::Process { trace.find("SIGPIPE").expect("the runtime of Rust ignores it") } else { 0 };
        let (calls, before_main) = (count_calls(&trace), count_calls(&trace[..main]));
        assert!(calls.len() > 3, "{calls:?}");
        Loop { way, place, calls, before_main, tally: Tally::default() }
    }

    fn kill(self) {
        self.tamper(|_, _| vec!["signal=KILL".to_owned()], |run| run.exit == KILLED);
    }

    fn fail(self) {
        self.fail_with(usize::MAX);
    }

    /// With the first error of each call: what others lead to, other loops have shown.
    fn fail_with_one(self) {
        self.fail_with(1);
    }

    fn fail_with(self, most: usize) {
        self.tamper(
            |_, errnos| errnos.iter().take(most).map(|errno| format!("error={errno}")).collect(),
            |run| run.trace.contains("(INJECTED)") && run.exit != KILLED,
        );
    }

    fn tamper(mut self, ways: impl Fn(&str, &[&str]) -> Vec<String>, is_hit: impl Fn(&Drained) -> bool) {
        let is_left_alone = |call: &str| LEFT_ALONE.iter().any(|(names, _)| names.contains(&call));
        for (call, &count) in self.calls.clone().iter().filter(|(call, _)| !is_left_alone(call)) {
            let Some((_, errnos)) = CALLS.iter().find(|(name, _)| name == call) else {
                self.tally.wrong.push(format!("{call} is new: it belongs into a table of faults/table.rs"));
                continue;
            };
            for how in ways(call, errnos) {
                self.at_each(call, count, &how, &is_hit);
            }
        }
        println!("{:?} {:?}: {}", self.way, self.place, self.tally);
        assert!(self.tally.wrong.is_empty(), "{}", self.tally.wrong.join("\n"));
    }

    /// At the first call, then at the second, until there is none left. That has to hit about as many as there are:
    /// threads do not do all in the same order each time.
    fn at_each(&mut self, call: &str, count: usize, how: &str, is_hit: &impl Fn(&Drained) -> bool) {
        let at_stories = AT_STORIES.contains(&call) && how.starts_with("error");
        if at_stories && (self.place != LANE || self.way == Way::Fresh) {
            return;
        }
        let before_main = self.before_main.get(call).copied().unwrap_or(0);
        let mut hits = 0;
        for nth in before_main + 1..before_main + ENOUGH {
            let is_hit = self.once(&format!("{call}:{how}:when={nth}"), at_stories, is_hit);
            hits += usize::from(is_hit);
            if !is_hit && (nth > count || at_stories) {
                break;
            }
        }
        let expected = count.saturating_sub(before_main);
        let is_open = at_stories || UP_TO_THE_MACHINE.contains(&call);
        let least = match () {
            () if self.place == LANE && UP_TO_THE_TIME.contains(&call) => 0,
            () if is_open => 1,
            () => expected.div_ceil(2),
        };
        if expected > 0 && !(least..ENOUGH - 1).contains(&hits) {
            self.tally.wrong.push(format!("{call}:{how} was hit {hits} times, and is called {expected} times"));
        }
    }

    /// One disturbed run and its recovery. Says whether the tampering took place.
    fn once(&mut self, tampering: &str, at_stories: bool, is_hit: &impl Fn(&Drained) -> bool) -> bool {
        let tally = &mut self.tally;
        tally.runs += 1;
        let mut scene = Scene::set(self.way, tally.runs as u64);
        let mut options = vec!["-e".to_owned(), format!("inject={tampering}")];
        if at_stories {
            options.extend(scene.only_at_stories());
        }
        let run = scene.disturb(self.place, &options);
        let is_hit = is_hit(&run);
        tally.hits += usize::from(is_hit);
        let exit = run.exit;
        *tally.exits.entry(format!("{exit:?}")).or_default() += 1;
        let mut complain = |what: String| tally.wrong.push(format!("{tampering}: {exit:?}, {what}"));
        if !(DOCUMENTED.contains(&exit) || exit == KILLED && is_hit) {
            complain(format!("which is no documented end: {:?}", run.log.last()));
        }
        let (made, usual) = (count_calls(&run.trace).values().sum::<usize>(), self.calls.values().sum::<usize>());
        if made > 2 * usual + 100 {
            complain(format!("{made} calls instead of {usual}"));
        }
        match scene.put_right(&run) {
            Ok(verdict) => tally.duplicates += verdict.duplicates,
            Err(wrong) => complain(format!("then {wrong}")),
        }
        is_hit
    }
}

impl Display for Tally {
    fn fmt(&self, to: &mut Formatter) -> fmt::Result {
        let Tally { runs, hits, duplicates, exits, .. } = self;
        write!(to, "{hits} hits in {runs} runs, {duplicates} duplicates, {exits:?}")
    }
}

/// How often each call was made, in the thread that made it most often.
fn count_calls(trace: &str) -> BTreeMap<String, usize> {
    let mut of_threads: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in trace.lines() {
        let thread = line.split_once(' ').map_or("", |(thread, _)| thread).split('<').next().unwrap_or_default();
        let thread = if thread.bytes().all(|byte| byte.is_ascii_digit()) { thread } else { "" };
        let call = line.strip_prefix(thread).unwrap_or(line);
        let call =
            call.strip_prefix('<').and_then(|rest| rest.split_once("> ")).map_or(call, |(_, call)| call).trim_start();
        if let Some((name, _)) = call.split_once('(')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            *of_threads.entry((thread, name)).or_default() += 1;
        }
    }
    let mut most: BTreeMap<String, usize> = BTreeMap::new();
    for ((_, name), count) in of_threads {
        let known = most.entry(name.to_owned()).or_default();
        *known = count.max(*known);
    }
    most
}
