//! A real Maildir as a queue: taking messages, settling them, and trying them again. On `/dev/shm` where that is there,
//! so that it is the work that is measured, and no disk.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{env, fs};

use divan::Bencher;
use divan::counter::ItemsCount;
use maildirq::engine::{
    BoxFuture, Claim, Conditions, Destination, Engine, Leaving, Message, Note, Outcome, Queue, Routes, Settlement,
    Stop, Target, Terms, Until,
};
use maildirq::maildir::{Keep, Layout, MaildirQueue, Options, Settings};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::mails::Mail;

const MESSAGES: usize = 1000;

/// A Maildir that is served, and how many messages were delivered to it.
struct Served {
    runtime: Runtime,
    queue: Arc<MaildirQueue>,
    maildir: TempDir,
}

impl Served {
    fn of(messages: usize) -> Self {
        let maildir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
        for folder in ["tmp", "new", "cur"] {
            fs::create_dir(maildir.path().join(folder)).expect("a folder");
        }
        let mail = Mail::Usual.bytes();
        for number in 0..messages {
            deliver(maildir.path(), number, &mail);
        }
        let layout = Layout::open(maildir.path(), Keep::Remove).expect("a Maildir");
        let settings = Settings { watch: false, ..Settings::default() };
        let queue = MaildirQueue::of_one(layout, Options::default(), settings).expect("a queue").into();
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        Served { runtime, queue, maildir }
    }

    /// Claims so many messages and settles them in this way.
    fn settle(&self, count: usize, how: impl Fn(&Message) -> Settlement) {
        let work = async {
            for _ in 0..count {
                let Claim { message, mut lease } = self.next().await;
                assert!(lease.sending());
                lease.settle(how(&message)).await.expect("a queue that works");
            }
        };
        self.runtime.block_on(async {
            tokio::select! {
                () = work => {}
                () = self.queue.tend() => {}
            }
        });
    }

    async fn next(&self) -> Claim {
        loop {
            if let Some(claim) = self.queue.claim(SystemTime::now(), &|_| true) {
                return claim;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn deliver(maildir: &Path, number: usize, mail: &[u8]) {
    fs::write(maildir.join("new").join(format!("1767225600.M{number}P42.bench")), mail).expect("room");
}

fn retry(after: Duration) -> Settlement {
    let at = SystemTime::now();
    let reason = "503 Service Unavailable".to_owned();
    let note = Note { at, target: "app".into(), status: Some(503), took: Duration::from_millis(5), reason };
    Settlement::Retry { due: at + after, charged: true, note }
}

/// What the queue does for a message that is taken at once: the ceiling of everything that follows it.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn claim_and_remove(bencher: Bencher) {
    bencher.counter(ItemsCount::new(MESSAGES)).with_inputs(|| Served::of(MESSAGES)).bench_local_values(|served| {
        served.settle(MESSAGES, |_| Settlement::Done);
        served
    });
}

/// Each message fails once, which begins its story, and is tried again, for which that is read.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn story_and_second_claim(bencher: Bencher) {
    bencher.counter(ItemsCount::new(MESSAGES)).with_inputs(|| Served::of(MESSAGES)).bench_local_values(|served| {
        let how = |message: &Message| match message.history.tries {
            0 => retry(Duration::ZERO),
            _ => Settlement::Done,
        };
        served.settle(2 * MESSAGES, how);
        served
    });
}

/// One message comes and goes while so many others wait for their next try.
#[divan::bench(args = [0, 100_000], sample_count = 100, sample_size = 10)]
fn claim_and_park_beside_waiting(bencher: Bencher, waiting: usize) {
    // Those are delivered and fail, which takes a while: `cargo test` only wants to see that it works.
    let waiting = if env::args().any(|arg| arg == "--bench") { waiting } else { waiting.min(100) };
    let served = Served::of(waiting);
    served.settle(waiting, |_| retry(Duration::from_hours(24)));
    deliver(served.maildir.path(), waiting, &Mail::Usual.bytes());
    let park = || Settlement::Park { target: "app".into() };
    served.settle(1, |_| park());
    bencher.bench_local(|| {
        let claim = served.queue.claim(SystemTime::now(), &|_| true).expect("the one that does not wait");
        served.runtime.block_on(claim.lease.settle(park())).expect("a queue that works");
        served.queue.outlook(SystemTime::now())
    });
}

/// A target that takes everything at once.
struct Taker;

impl Target for Taker {
    fn attempt_leaving<'a>(&'a self, _: &'a Message, leaving: Leaving<'a>) -> BoxFuture<'a, Option<Outcome>> {
        let outcome = leaving().then_some(Outcome::Done { status: None });
        Box::pin(async { outcome })
    }
}

/// The whole loop over a real Maildir, without anything to send to.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn engine(bencher: Bencher) {
    bencher.counter(ItemsCount::new(MESSAGES)).with_inputs(|| Served::of(MESSAGES)).bench_local_values(|served| {
        let routes = Routes::all_to(Destination::new("app", vec![Box::new(Taker)], Terms::default()));
        let (_handle, stop) = Stop::new();
        let queue = Arc::<MaildirQueue>::clone(&served.queue);
        let engine = Engine::new(queue, routes, Until::Drained, stop, Conditions::default());
        let report = served.runtime.block_on(engine.run()).expect("a queue that works");
        assert_eq!(report.done, MESSAGES as u64);
        served
    });
}
