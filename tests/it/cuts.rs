//! A power cut at any moment loses no mail that was safe on the disk, and brings back only what was done just before.
//!
//! The Maildir lies on an ext4 of its own. At a random moment the machine stands still, and what is on its disk then
//! is what a power cut would leave: the copy is mounted, drained, and its books have to balance. The machine itself
//! goes on to the next cut. A mail counts as delivered once the MTA has synced its file *and* `new/`: many an MTA does
//! not sync `new/`, and then it is the file system that loses a name; no queue can make up for that.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::support::ledger::number_in;
use crate::support::{
    Allowed, Answer, App, Delivery, Disk, Exit, Ledger, Maildir, Maildirq, Pace, Request, SOON, Standstill,
    from_environment, wait_until,
};

const CONCURRENCY: usize = 8;
/// What was done longer ago than this does not come again. It is the tenth of a second after which an fsync begins,
/// and all the time that it takes on a busy machine; without that fsync it were minutes.
const SYNCED_BY_NOW: Duration = Duration::from_secs(1);
/// Mails that come at once.
const BURST: u64 = 600;
/// On one disk, before it is full.
const CUTS_OF_A_DISK: usize = 8;

/// T05. How many cuts there are in all tests here.
fn cuts() -> usize {
    from_environment("MAILDIRQ_CUTS", 20)
}

/// What all cuts of a test came to.
#[derive(Default, Debug)]
struct Tally {
    cuts: usize,
    mails: usize,
    waiting: usize,
    dead: usize,
    duplicates: usize,
    /// How long before its cut the app had taken a mail that came again.
    oldest: Duration,
}

/// T05
#[test]
fn a_power_cut_under_load_loses_no_mail() {
    cut_under_load("remove", cuts() * 2 / 5);
}

/// T05
#[test]
fn a_power_cut_under_load_loses_no_mail_that_is_kept() {
    cut_under_load("keep", cuts() * 2 / 5);
}

fn cut_under_load(done: &str, cuts: usize) {
    let (mut tally, mut seed) = (Tally::default(), 0);
    while tally.cuts < cuts {
        seed += 1;
        let Some(machine) = Machine::new(done) else { return };
        machine.run(seed, CUTS_OF_A_DISK.min(cuts - tally.cuts), &mut tally);
    }
    println!("power cuts under load, done = {done:?}: {tally:?}");
    assert!(tally.waiting > 0 && tally.dead > 0, "there was nothing at stake: {tally:?}");
}

/// T05. Who has an id has posted mail by it: another one after the cut, and all of it would be new to the app.
#[test]
fn a_power_cut_at_the_first_start_changes_no_id() {
    const MAILS: u64 = 20;
    let mut tally = Tally::default();
    for cut in 0..cuts() - 2 * (cuts() * 2 / 5) {
        let Some(machine) = Machine::new("remove") else { return };
        let ledger = Ledger::produce(&machine.maildir, MAILS, cut as u64);
        let app = App::answering(|request| answer(request).after(Duration::from_millis(2)));
        let watch = Maildirq::watch_config(&machine.config(&app)).concurrency(2).start();
        let posted = cut % 5;
        wait_until("so many are posted", SOON, || app.count() >= posted);
        if !machine.cut(&watch, &ledger, &app, &mut tally) {
            return;
        }
    }
    println!("power cuts at the first start: {tally:?}");
}

/// A Maildir on a disk of its own.
struct Machine {
    maildir: Maildir,
    disk: Disk,
    done: String,
}

impl Machine {
    fn new(done: &str) -> Option<Machine> {
        let disk = Disk::ext4_that_only_syncs()?;
        let maildir = Maildir::under(disk.path());
        // As whoever installs a mail server does it: the Maildir is there for good.
        File::open(disk.path()).and_then(|disk| Ok(rustix::fs::syncfs(disk)?)).unwrap();
        Some(Machine { maildir, disk, done: done.to_owned() })
    }

    fn config(&self, app: &App) -> String {
        config(&self.maildir, app, &self.done)
    }

    /// Cuts its power so many times, while mail comes in bursts and is taken without haste.
    fn run(&self, seed: u64, cuts: usize, tally: &mut Tally) {
        let mut dice = fastrand::Rng::with_seed(seed);
        let app = Arc::new(App::plan(|request| answer(request).after(haste(request))).forgetting().start());
        let over = Arc::new(AtomicBool::new(false));
        let ledger = Ledger::producing_at(&self.maildir, seed, bursts(&app, &over));
        let watch = Maildirq::watch_config(&self.config(&app)).concurrency(CONCURRENCY).start();
        watch.wait_for_event("ready");
        for _ in 0..cuts {
            // Not for anything to happen: the cuts come whenever they come.
            thread::sleep(Duration::from_millis(dice.u64(20..1200)));
            if !self.cut(&watch, &ledger, &app, tally) {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
    }

    /// Balances the books of what a power cut leaves now. False where there is no mounting.
    fn cut(&self, watch: &Maildirq, ledger: &Ledger, app: &App, tally: &mut Tally) -> bool {
        let standstill = Standstill::of(Some(watch));
        let (cut_at, before, ledger) = (standstill.since, app.deliveries(), ledger.so_far());
        let Some(copy) = standstill.cut_power(&self.disk) else { return false };
        let maildir = self.maildir.on_copy(self.disk.path(), copy.path());
        tally.cuts += 1;
        tally.waiting += maildir.waiting().len();

        let app = App::plan(answer).forgetting().start();
        let drain = Maildirq::drain_config(&config(&maildir, &app, &self.done)).arg("--wait-retries").run();
        assert!(matches!(drain.exit(), Exit::Ok | Exit::SomeDead), "{:?}", drain.exit());
        let after = app.deliveries();
        let oldest = age_of_duplicates(&before, &after, cut_at);
        assert!(oldest < SYNCED_BY_NOW, "done {oldest:?} before the power cut, and yet it came again");
        let verdict = ledger.at(maildir.clone()).check(&[before, after].concat(), Allowed::anything_twice());
        assert_eq!(verdict.waiting, 0, "{verdict}");
        assert!(hands(&maildir).is_empty(), "it recovers of itself");

        tally.mails += verdict.produced;
        tally.dead += verdict.dead;
        tally.duplicates += verdict.duplicates;
        tally.oldest = tally.oldest.max(oldest);
        true
    }
}

fn config(maildir: &Maildir, app: &App, done: &str) -> String {
    let (path, url) = (maildir.path().display(), app.url());
    format!(
        "maildir = '{path}'\ndone = '{done}'\n\
         [target.app]\nurl = '{url}'\nretry = {{ min_delay = '20ms', max_delay = '20ms' }}\n"
    )
}

/// Some are refused, and some fail at first: stories are written and moved beside what is done.
fn answer(request: &Request) -> Answer {
    let number = number_in(&request.body).unwrap_or_default();
    match request.attempt() {
        _ if is_refused(number) => Answer::status(422),
        Some(1) if number % 16 == 7 => Answer::status(400),
        _ => Answer::ok(),
    }
}

/// One in eight, but for long none at all: a death is synced at once, and all else that is done with it.
fn is_refused(number: u64) -> bool {
    number % BURST < BURST / 6 && number % 8 == 3
}

/// Up to 80 ms, by its number.
fn haste(request: &Request) -> Duration {
    Duration::from_millis(number_in(&request.body).unwrap_or(0) * 7 % 80)
}

/// So many mails at once, then none until all but a few are taken. While no MTA syncs, no one but maildirq does.
fn bursts(app: &Arc<App>, over: &Arc<AtomicBool>) -> impl FnMut(u64) -> Pace + Send + 'static {
    const FEW: u64 = 10;
    let (app, over, mut burst_ends) = (Arc::clone(app), Arc::clone(over), BURST);
    move |produced| {
        if over.load(Ordering::Relaxed) {
            return Pace::Stop;
        }
        if produced < burst_ends {
            return Pace::Deliver;
        }
        let refused = (0..produced).filter(|&number| is_refused(number)).count();
        if u64::try_from(app.accepted().len() + refused).unwrap() + FEW >= produced {
            burst_ends = produced + BURST;
        }
        Pace::Wait
    }
}

/// How long before the cut the app had taken what it was given again afterwards.
fn age_of_duplicates(before: &[Delivery], after: &[Delivery], cut_at: SystemTime) -> Duration {
    let again: BTreeSet<_> = after.iter().filter(|delivery| delivery.is_accepted()).map(|again| &again.id).collect();
    let twice = before.iter().filter(|delivery| delivery.is_accepted() && again.contains(&delivery.id));
    // What was taken while the machine stood still already has no age.
    twice.map(|delivery| cut_at.duration_since(delivery.at).unwrap_or_default()).max().unwrap_or_default()
}

/// What processes hold here, or have left behind. A hidden file is one that was still being made.
fn hands(maildir: &Maildir) -> Vec<OsString> {
    maildir.hands().into_iter().filter(|name| !name.as_encoded_bytes().starts_with(b".")).collect()
}

/// T21. Where this comes from: the MTA moves mail into `new/` and leaves it to the kernel when its bytes are written.
#[test]
fn mail_that_no_mta_synced_is_empty_after_a_power_cut_and_set_aside() {
    const MAILS: u64 = 20;
    let Some(disk) = Disk::ext4_that_only_syncs() else { return };
    let maildir = Maildir::under(disk.path());
    let unsynced: BTreeSet<_> = (0..MAILS).map(|_| maildir.deliver_unsynced("Subject: unsynced\n\n.\n")).collect();
    let ledger = Ledger::produce(&maildir, MAILS, 21);
    let Some(copy) = Standstill::of(None).cut_power(&disk) else { return };
    let maildir = maildir.on_copy(disk.path(), copy.path());
    for name in &unsynced {
        let file = File::options().append(true).open(maildir.message(name)).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0, "this file system has saved it");
        file.set_modified(SystemTime::now() - Duration::from_mins(2)).unwrap();
    }

    let app = App::accepting();
    assert_eq!(Maildirq::drain(maildir.path(), &app.url()).run().exit(), Exit::SomeDead);
    let verdict = ledger.at(maildir.clone()).check(&app.deliveries(), Allowed::nothing());
    assert_eq!((verdict.accepted, app.count()), (20, 20));
    let dead: BTreeSet<_> = maildir.dead().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(dead, unsynced);
    for id in maildir.stories() {
        let last = maildir.story(&id).pop().expect("why it is dead");
        assert!(last["reason"].as_str().unwrap().starts_with("empty"), "{last}");
    }
}
