//! Everything at once, for as long as one likes (T45): kills, faults, outages, commands that misbehave, reloads, and
//! mail all the while. It runs for `MAILDIRQ_SOAK` seconds; `MAILDIRQ_SOAK_SEED` draws another course of events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{
    Allowed, Answer, App, Checkup, Delivery, Exit, Launch, Ledger, Maildir, Maildirq, Pace, SOON, Script, Verdict,
    from_environment, wait_until,
};

const VICTIMS: usize = 3;
const CONCURRENCY: usize = 4;

/// Of so many mails one is refused for good.
const REFUSED: u64 = 97;

/// What fails for a process that is among faults, and at which calls of each thread; the first ones are the loader's.
const FAULTS: &[(&str, &str, &str)] = &[
    ("openat", "EMFILE", "60+23"),
    ("unlinkat", "EIO", "3+7"),
    ("pwrite64", "EIO", "5+11"),
    ("pread64", "EIO", "12+9"),
    ("utimensat", "ENOSPC", "1+3"),
    ("renameat2", "EIO", "1+2"),
    ("fdatasync", "EIO", "1+2"),
    ("flock", "ENOLCK", "9+17"),
    ("connect", "ETIMEDOUT", "2+5"),
];

/// At its first attempt each behaves in one of these ways, by the number of its mail.
const COMMAND: &str = r#"
cat >".$MAILDIRQ_ID.$$"
take() { mv ".$MAILDIRQ_ID.$$" "$MAILDIRQ_ID.$$"; }
number=$(grep -am1 X-Ledger ".$MAILDIRQ_ID.$$"); number=${number#X-Ledger: }
if test "$MAILDIRQ_ATTEMPT" = 1; then case $((number % 12)) in
    0) exit 75;;
    1) kill -KILL $$;;
    2) (setsid sleep 600 &); exit 111;;
    3) exec <&- >&- 2>&-; exit 1;;
    4) head -c 3000000 /dev/zero; exit 1;;
    5) setsid sleep 600 & (: &); take; exit;;
    6) trap '' TERM; (trap '' TERM; sleep 600) & exit 1;;
esac; fi
take"#;

/// A Maildir with its mail, and how much of it may wait at a time.
struct Inbox {
    maildir: Maildir,
    ledger: Ledger,
}

impl Inbox {
    fn new(seed: usize, over: &Arc<AtomicBool>) -> Inbox {
        const BACKLOG: usize = 120;
        let (maildir, over) = (Maildir::in_memory(), Arc::clone(over));
        let at = maildir.clone();
        let ledger = Ledger::producing_at(&maildir, seed as u64, move |_| {
            if over.load(Ordering::Relaxed) {
                Pace::Stop
            } else if at.waiting().len() > BACKLOG {
                Pace::Wait
            } else {
                Pace::Deliver
            }
        });
        Inbox { maildir, ledger }
    }

    fn close(mut self, deliveries: &[Delivery], allowed: usize, checkups: &[Checkup]) -> Verdict {
        let allowed = Allowed { duplicates: allowed, unsettled: 0 };
        self.ledger.check_with(deliveries, allowed, checkups)
    }
}

/// The processes that something happens to, and what has happened.
struct Victims<'a> {
    watches: Vec<Maildirq>,
    app: &'a mut App,
    toml: &'a str,
    dice: fastrand::Rng,
    kills: usize,
    /// Ends that were not kills: who is among faults may give up.
    ends: usize,
    faulty: usize,
    outages: usize,
    reloads: usize,
}

impl Victims<'_> {
    fn start(&mut self) -> Maildirq {
        let launch = Maildirq::watch_config(self.toml);
        if self.dice.u8(..4) > 0 {
            return launch.start();
        }
        self.faulty += 1;
        let failing = |launch: Launch, (call, errno, when): (&str, &str, &str)| launch.failing(call, errno, when);
        (0..3).map(|_| FAULTS[self.dice.usize(..FAULTS.len())]).fold(launch, failing).start()
    }

    /// Somebody dies or has to wait, or the app is in trouble.
    fn strike(&mut self) {
        let victim = self.dice.usize(..self.watches.len());
        match self.dice.u8(..12) {
            0..=3 => {
                if self.watches[victim].is_running() {
                    self.watches[victim].kill9();
                    self.kills += 1;
                    self.watches[victim] = self.start();
                }
            }
            4 => {
                self.watches[victim].signal(Signal::STOP);
                thread::sleep(Duration::from_millis(self.dice.u64(10..400)));
                self.watches[victim].signal(Signal::CONT);
            }
            5 => {
                // Who is just being started would end of it, as any program does.
                if self.watches[victim].lines().iter().any(|line| line.contains("\"ready\"")) {
                    self.watches[victim].signal(Signal::HUP);
                    self.reloads += 1;
                }
            }
            trouble @ 6..=9 => {
                self.outages += 1;
                match trouble {
                    6 => self.app.answer_with(|_| Answer::status(503)),
                    7 => self.app.answer_with(|_| Answer::hang_up()),
                    8 => self.app.answer_with(|_| Answer::status(503).after(Duration::from_secs(6))),
                    _ => self.app.stop(),
                }
            }
            10 => self.app.answer_with(sometimes_refuses),
            _ => self.app.answer_with(refuses_few),
        }
        // An end of its own is looked at when it is dropped.
        for dead in 0..self.watches.len() {
            if !self.watches[dead].is_running() {
                self.ends += 1;
                self.watches[dead] = self.start();
            }
        }
        if self.dice.bool() {
            self.app.restart();
            self.app.answer_with(refuses_few);
        }
    }
}

fn refuses_few(request: &crate::support::Request) -> Answer {
    match crate::support::ledger::number_in(&request.body) {
        Some(number) if number % REFUSED == REFUSED - 1 => Answer::status(422).body("never"),
        _ => Answer::ok(),
    }
}

fn sometimes_refuses(request: &crate::support::Request) -> Answer {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    if ASKED.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) { Answer::status(400) } else { refuses_few(request) }
}

#[test]
fn whatever_happens_for_however_long_the_books_balance() {
    let (seconds, seed) = (from_environment("MAILDIRQ_SOAK", 12), from_environment("MAILDIRQ_SOAK_SEED", 45));
    let mut app = App::plan(refuses_few).forgetting().start();
    let script = Script::new(COMMAND);
    let over = Arc::new(AtomicBool::new(false));
    let [posted, run] = [seed, seed + 1].map(|seed| Inbox::new(seed, &over));
    let toml = format!(
        "rescan = '1s'\n[queue.posted]\nmaildir = '{}'\n[queue.run]\nmaildir = '{}'\n\
         [[route]]\nwhen = {{ queue = 'run' }}\ntarget = 'script'\n[[route]]\ntarget = 'app'\n\
         [target.app]\nurl = '{}'\ntimeout = '5s'\n{SETTINGS}\n\
         [target.script]\ncommand = {}\ntimeout = '20s'\nmax_output = '1MiB'\n{SETTINGS}\n",
        posted.maildir.path().display(),
        run.maildir.path().display(),
        app.url(),
        script.command()
    );
    let survivor = Maildirq::watch_config(&toml).start();
    survivor.wait_for_event("ready");
    let dice = fastrand::Rng::with_seed(seed as u64);
    let mut victims = Victims {
        watches: Vec::new(),
        app: &mut app,
        toml: &toml,
        dice,
        kills: 0,
        ends: 0,
        faulty: 0,
        outages: 0,
        reloads: 0,
    };
    for _ in 0..VICTIMS {
        let next = victims.start();
        victims.watches.push(next);
    }

    let (began, lasts) = (Instant::now(), Duration::from_secs(seconds as u64));
    let mut checkup = None;
    while began.elapsed() < lasts {
        // Not for anything to happen: it happens whenever it does.
        thread::sleep(Duration::from_millis(victims.dice.u64(20..300)));
        victims.strike();
        if checkup.is_none() && began.elapsed() > lasts / 4 {
            checkup = Some(Checkup::begin(&survivor));
        }
    }

    over.store(true, Ordering::Relaxed);
    let Victims { watches, kills, ends, faulty, outages, reloads, app, .. } = victims;
    watches.iter().filter(|watch| watch.is_running()).for_each(Maildirq::kill9);
    app.restart();
    app.answer_with(refuses_few);
    wait_until("the survivor has done all", 6 * SOON, || posted.maildir.is_empty() && run.maildir.is_empty());
    survivor.wait_until_it_rests("lane");

    // Whoever dies may have had all its hands full, of each target.
    let allowed = (kills + VICTIMS) * CONCURRENCY;
    let checkup = checkup.expect("it took some time");
    let (by_post, by_command) =
        (posted.close(&app.deliveries(), allowed, &[checkup]), run.close(&script.deliveries(), allowed, &[]));
    println!(
        "seed {seed}, {seconds} s: {kills} kills, {ends} other ends, {faulty} starts among faults, {outages} outages, \
         {reloads} reloads, {} kB of memory\nposted: {by_post}by command: {by_command}",
        survivor.memory()
    );
    wait_until("all that commands have left is gone", SOON, || survivor.children().is_empty());
    assert_eq!(survivor.stop(), Exit::Ok);
    assert_eq!((by_post.waiting, by_command.waiting, by_command.dead), (0, 0, 0));
    assert_eq!(by_post.accepted + by_post.dead, by_post.produced);
    assert!(kills > 0 && by_post.accepted > 0 && by_command.accepted > 0);
}

const SETTINGS: &str = "concurrency = 4\nbreaker = { after = 5, probe = '100ms' }\n\
                        retry = { min_delay = '10ms', max_delay = '500ms' }";
