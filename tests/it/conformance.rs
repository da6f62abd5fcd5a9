//! One suite that every queue passes: the one in memory and the Maildir.

use crate::support::{Maildir, wait};
use maildirq::engine::{Claim, Id, MemoryQueue, Note, Queue, Settlement};
use maildirq::maildir::{Keep, Layout, MaildirQueue, Options, Settings};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::task::yield_now;

/// A queue, and the outside world that puts mail into it and looks at it.
struct Bench {
    queue: Arc<dyn Queue>,
    outside: Box<dyn Outside>,
}

trait Outside {
    fn put(&self, text: &str);
    fn pause(&self, target: &str, paused: bool);
    /// How many messages are neither done nor dead.
    fn waiting(&self) -> usize;
    /// Why each of the dead is dead; there is at most one.
    fn dead(&self) -> Vec<String>;
}

fn in_memory() -> Bench {
    let queue = MemoryQueue::default();
    Bench { outside: Box::new(queue.clone()), queue: Arc::new(queue) }
}

impl Outside for MemoryQueue {
    fn put(&self, text: &str) {
        self.push(text.to_owned());
    }

    fn pause(&self, target: &str, paused: bool) {
        MemoryQueue::pause(self, target, paused);
    }

    fn waiting(&self) -> usize {
        MemoryQueue::waiting(self).len()
    }

    fn dead(&self) -> Vec<String> {
        MemoryQueue::dead(self).into_iter().map(|(_, reason)| reason).collect()
    }
}

fn in_a_maildir() -> Bench {
    let maildir = Maildir::new();
    let layout = Layout::open(maildir.path(), Keep::Remove).unwrap();
    let queue: Arc<dyn Queue> =
        Arc::new(MaildirQueue::of_one(layout, Options::default(), Settings::default()).unwrap());
    let tended = Arc::clone(&queue);
    tokio::spawn(async move { tended.tend().await });
    Bench { outside: Box::new(maildir), queue }
}

impl Outside for Maildir {
    fn put(&self, text: &str) {
        self.deliver(text.as_bytes());
    }

    fn pause(&self, target: &str, paused: bool) {
        let marker = self.path().join("maildirq/paused").join(target);
        if paused { fs::write(marker, "").unwrap() } else { fs::remove_file(marker).unwrap() }
    }

    fn waiting(&self) -> usize {
        Maildir::waiting(self).len()
    }

    fn dead(&self) -> Vec<String> {
        let reason = |id: &String| self.story(id).last().unwrap()["reason"].as_str().unwrap().to_owned();
        Maildir::dead(self).iter().zip(self.stories()).map(|(_, id)| reason(&id)).collect()
    }
}

const NEVER: fn(&str) -> bool = |_| false;

impl Bench {
    /// The next message; there must be one, now or in a moment.
    async fn claim(&self) -> Claim {
        self.claim_where(NEVER).await
    }

    async fn claim_where(&self, open: fn(&str) -> bool) -> Claim {
        let deadline = SystemTime::now() + wait::SOON;
        while SystemTime::now() < deadline {
            if let Some(claim) = self.queue.claim(SystemTime::now(), &open) {
                return claim;
            }
            yield_now().await;
        }
        panic!("there is no message to be claimed");
    }

    /// There must be no message, however often one asks and however much is tended meanwhile.
    async fn claim_nothing(&self, open: fn(&str) -> bool) {
        for _ in 0..50 {
            assert!(self.queue.claim(SystemTime::now(), &open).is_none(), "a message that must wait was given");
            yield_now().await;
        }
    }
}

fn note(reason: &str) -> Note {
    Note {
        at: SystemTime::now(),
        target: "app".into(),
        status: Some(500),
        took: Duration::from_millis(7),
        reason: reason.into(),
    }
}

async fn settle(claim: Claim, how: Settlement) -> Id {
    let id = claim.message.id;
    claim.lease.settle(how).await.unwrap();
    id
}

fn retry(due: SystemTime, charged: bool) -> Settlement {
    Settlement::Retry { due, charged, note: note("not now") }
}

async fn each_message_is_given_to_one_taker(bench: Bench) {
    for number in 0..3 {
        bench.outside.put(&format!("X: {number}\n\nbody\n"));
    }
    let claims = [bench.claim().await, bench.claim().await, bench.claim().await];
    let mut ids: Vec<_> = claims.iter().map(|claim| claim.message.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    bench.claim_nothing(NEVER).await;
}

async fn what_is_done_is_gone(bench: Bench) {
    bench.outside.put("X: 1\n\nbody\n");
    settle(bench.claim().await, Settlement::Done).await;
    assert_eq!(bench.outside.waiting(), 0);
    bench.claim_nothing(NEVER).await;
}

async fn a_failed_message_waits_and_is_then_the_same(bench: Bench) {
    bench.outside.put("X: 1\n\nbody\n");
    let first = bench.claim().await;
    let bytes = format!("{:?}", first.message.body);
    let soon = SystemTime::now() + Duration::from_millis(300);
    let id = settle(first, retry(soon, true)).await;
    assert_eq!(bench.outside.waiting(), 1);
    let again = bench.claim().await;
    assert!(SystemTime::now() >= soon, "it came early");
    assert_eq!((again.message.id, format!("{:?}", again.message.body)), (id, bytes));
}

async fn only_charged_failures_are_counted_against_it(bench: Bench) {
    bench.outside.put("X: 1\n\nbody\n");
    let now = SystemTime::now();
    assert_eq!(bench.claim().await.message.history.tries, 0);
    for (charged, expected) in [(false, (1, 0)), (true, (2, 1)), (false, (3, 1))] {
        settle(bench.claim().await, retry(now, charged)).await;
        let history = bench.claim().await.message.history;
        assert_eq!((history.tries, history.charged), expected);
        assert!(history.last_try.is_some());
        assert_eq!(history.first_charged.is_some(), expected.1 > 0);
    }
}

async fn the_dead_stay_and_say_why(bench: Bench) {
    bench.outside.put("X: 1\n\nbody\n");
    settle(bench.claim().await, Settlement::Dead { note: note("unknown sender") }).await;
    assert_eq!((bench.outside.waiting(), bench.outside.dead()), (0, vec!["unknown sender".to_owned()]));
    bench.claim_nothing(NEVER).await;
}

async fn what_is_given_back_was_never_ours(bench: Bench) {
    bench.outside.put("X: 1\n\nbody\n");
    let id = settle(bench.claim().await, Settlement::Release).await;
    let dropped = bench.claim().await;
    assert_eq!((dropped.message.id, dropped.message.history.tries), (id, 0));
    drop(dropped);
    assert_eq!(bench.claim().await.message.id, id);
}

async fn parked_mail_waits_for_its_target_in_turn(bench: Bench) {
    let open: fn(&str) -> bool = |target| target == "app";
    for number in 0..3 {
        bench.outside.put(&format!("X: {number}\n\nbody\n"));
    }
    let claims = [bench.claim().await, bench.claim().await, bench.claim().await];
    let mut parked = Vec::new();
    for claim in claims {
        parked.push(settle(claim, Settlement::Park { target: "app".into() }).await);
    }
    assert_eq!(bench.queue.outlook(SystemTime::now()).parked, 3);
    bench.claim_nothing(|target| target == "other").await;
    for id in parked {
        let claim = bench.claim_where(open).await;
        assert_eq!((claim.message.id, claim.message.history.tries), (id, 0));
        settle(claim, Settlement::Done).await;
    }
}

async fn it_knows_which_targets_are_paused(bench: Bench) {
    bench.outside.put("X: 1\n\nbody\n");
    // So often at once that a queue may have made up its mind.
    for _ in 0..20 {
        let claim = bench.claim().await;
        assert!(!claim.lease.is_paused("app"));
        settle(claim, Settlement::Release).await;
    }
    for paused in [true, false, true] {
        bench.outside.pause("app", paused);
        let claim = bench.claim().await;
        assert_eq!((claim.lease.is_paused("app"), claim.lease.is_paused("other")), (paused, false));
        settle(claim, Settlement::Release).await;
    }
}

async fn mail_of_a_paused_target_waits_until_it_goes_on(bench: Bench) {
    bench.outside.put("X: 1\n\nbody\n");
    bench.outside.pause("app", true);
    let id = settle(bench.claim().await, Settlement::Park { target: "app".into() }).await;
    bench.claim_nothing(|_| true).await;
    assert_eq!((bench.queue.parked("app"), bench.queue.outlook(SystemTime::now()).parked), (0, 0));
    bench.outside.pause("app", false);
    assert_eq!(bench.claim_where(|_| true).await.message.id, id);
}

async fn all_that_waits_for_a_target_can_be_called_back(bench: Bench) {
    bench.outside.put("X: 1\n\nbody\n");
    let id = settle(bench.claim().await, Settlement::Park { target: "app".into() }).await;
    assert_eq!((bench.queue.parked("app"), bench.queue.parked("other")), (1, 0));
    bench.claim_nothing(|_| false).await;
    bench.queue.release_parked();
    assert_eq!(bench.claim_where(|_| false).await.message.id, id);
}

/// Neither a storm of retries nor a flood of fresh mail keeps the others waiting.
async fn fresh_mail_and_retries_take_turns(bench: Bench) {
    for number in 0..6 {
        bench.outside.put(&format!("X: {number}\n\nbody\n"));
    }
    let claims = [bench.claim().await, bench.claim().await, bench.claim().await];
    let failed_at = SystemTime::now() - Duration::from_hours(1);
    for claim in claims {
        settle(claim, retry(failed_at, false)).await;
    }
    let mut comes_again = Vec::new();
    for _ in 0..6 {
        let claim = bench.claim().await;
        comes_again.push(claim.message.history.tries > 0);
        settle(claim, Settlement::Done).await;
    }
    assert!(comes_again.windows(2).all(|pair| pair[0] != pair[1]), "{comes_again:?}");
}

async fn the_outlook_tells_what_is_in_store(bench: Bench) {
    let outlook = || bench.queue.outlook(SystemTime::now());
    bench.outside.put("X: 1\n\nbody\n");
    drop(bench.claim().await);
    assert!(outlook().ready);
    let claim = bench.claim().await;
    assert!(!outlook().ready);
    let later = SystemTime::now() + Duration::from_hours(1);
    settle(claim, retry(later, true)).await;
    assert_eq!((outlook().ready, outlook().next_due), (false, Some(later)));
    assert!(bench.queue.outlook(later).ready, "by then it is due");
    assert_eq!(outlook().buried, 0);
}

macro_rules! suite {
    ($($case:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $case() {
                super::$case(super::in_memory()).await;
            })*
        }
        mod maildir {
            $(#[tokio::test]
            async fn $case() {
                super::$case(super::in_a_maildir()).await;
            })*
        }
    };
}

suite! {
    each_message_is_given_to_one_taker
    what_is_done_is_gone
    a_failed_message_waits_and_is_then_the_same
    only_charged_failures_are_counted_against_it
    the_dead_stay_and_say_why
    what_is_given_back_was_never_ours
    parked_mail_waits_for_its_target_in_turn
    it_knows_which_targets_are_paused
    mail_of_a_paused_target_waits_until_it_goes_on
    all_that_waits_for_a_target_can_be_called_back
    fresh_mail_and_retries_take_turns
    the_outlook_tells_what_is_in_store
}
