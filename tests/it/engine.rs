//! The loop, over the queue in memory and targets that do as they are told.

mod targets;

use maildirq::engine::{
    Blame, BoxFuture, BreakerPolicy, Condition, Conditions, Destination, Engine, Fact, Leaving, MemoryQueue, Message,
    Outcome, Queue, Rate, Report, RetryPolicy, Route, Routes, Schedule, Stop, Target, Terms, Test, Until, Way, When,
};
use std::future::{pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// What a target makes of a message's text, and of how many attempts there were before.
type Script = dyn Fn(&str, usize) -> BoxFuture<'static, Outcome> + Send + Sync;

/// A target that is a function, and what it was given.
#[derive(Clone)]
struct Scripted {
    script: Arc<Script>,
    given: Arc<Mutex<Vec<String>>>,
    at_once: Arc<AtomicUsize>,
    most_at_once: Arc<AtomicUsize>,
}

impl Scripted {
    /// `script` gets a message's text, and how many attempts there were before.
    fn new(script: impl Fn(&str, usize) -> BoxFuture<'static, Outcome> + Send + Sync + 'static) -> Self {
        Scripted {
            script: Arc::new(script),
            given: Arc::default(),
            at_once: Arc::default(),
            most_at_once: Arc::default(),
        }
    }

    fn taking_all() -> Self {
        Scripted::new(|_, _| at_once(Outcome::Done { status: None }))
    }

    fn given(&self) -> Vec<String> {
        self.given.lock().unwrap().clone()
    }
}

impl Target for Scripted {
    fn attempt_leaving<'a>(&'a self, message: &'a Message, leaving: Leaving<'a>) -> BoxFuture<'a, Option<Outcome>> {
        if !leaving() {
            return Box::pin(async { None });
        }
        let text = text(message);
        let before = {
            let mut given = self.given.lock().unwrap();
            given.push(text.clone());
            given.len() - 1
        };
        Box::pin(async move {
            let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_once.fetch_max(now, Ordering::SeqCst);
            let outcome = (self.script)(&text, before).await;
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            Some(outcome)
        })
    }
}

fn text(message: &Message) -> String {
    let maildirq::engine::Body::Whole(bytes) = &message.body else { panic!("a queue in memory has it all in memory") };
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn at_once(outcome: Outcome) -> BoxFuture<'static, Outcome> {
    Box::pin(ready(outcome))
}

fn failed(blame: Blame) -> Outcome {
    Outcome::Retry { blame, status: None, reason: "no".into(), after: None }
}

fn terms(limit: usize) -> Terms {
    let wait = Duration::from_millis(20);
    let retry = RetryPolicy { schedule: Schedule::Steps(vec![wait]), ..RetryPolicy::default() };
    let breaker = BreakerPolicy { after: 3, probe: Duration::from_millis(40) };
    Terms { limit, retry, breaker, ..Terms::default() }
}

fn destination(name: &str, target: &Scripted, limit: usize) -> Destination {
    Destination::new(name, vec![Box::new(target.clone())], terms(limit))
}

/// Mail whose subject begins with its target's name.
fn by_subject(names: &[&str]) -> Vec<Route> {
    let route = |name: &&str| {
        let subject = Test::Text(vec![format!("{name}*").parse().unwrap()]);
        let when = When::all(vec![Condition { fact: Fact::Header("Subject".into()), test: subject }]);
        let way = if *name == "ignore" { Way::Ignore } else { Way::To((*name).into()) };
        Route { name: (*name).into(), when, way }
    };
    names.iter().map(route).collect()
}

fn routes(destinations: Vec<Destination>, names: &[&str]) -> Routes {
    Routes::new(destinations.into_iter().map(Arc::new).collect(), by_subject(names))
}

fn mail(subject: impl std::fmt::Display) -> String {
    format!("Subject: {subject}\n\nbody\n")
}

fn engine(queue: &MemoryQueue, routes: Routes, until: Until) -> (Engine, maildirq::engine::StopHandle) {
    let (handle, stop) = Stop::new();
    (Engine::new(Arc::new(queue.clone()), routes, until, stop, Conditions::default()), handle)
}

fn one(queue: &MemoryQueue, target: &Scripted, until: Until, limit: usize) -> Engine {
    engine(queue, Routes::all_to(destination("app", target, limit)), until).0
}

async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::task::yield_now().await;
    }
}

fn filled(count: usize) -> MemoryQueue {
    let queue = MemoryQueue::default();
    for number in 0..count {
        queue.push(number.to_string());
    }
    queue
}

#[tokio::test]
async fn while_more_mail_waits_others_take_a_message_before_the_first_is_sent() {
    for (messages, claimed) in [(1, 1), (2, 2), (5, 3)] {
        let queue = filled(messages);
        let at_first = Arc::new(Mutex::new(None));
        let app = {
            let (queue, at_first) = (queue.clone(), Arc::clone(&at_first));
            Scripted::new(move |_, _| {
                at_first.lock().unwrap().get_or_insert(queue.in_hand().len());
                at_once(Outcome::Done { status: None })
            })
        };
        one(&queue, &app, Until::Drained, 3).run().await.unwrap();
        assert_eq!((*at_first.lock().unwrap(), queue.waiting().len()), (Some(claimed), 0), "{messages} messages");
    }
}

#[tokio::test]
async fn what_is_claimed_and_not_sent_when_its_target_goes_down_waits() {
    let (queue, app) = (filled(5), Scripted::new(|_, _| at_once(failed(Blame::Endpoint))));
    let breaker = BreakerPolicy { after: 1, probe: Duration::from_hours(1) };
    let down = Destination::new("app", vec![Box::new(app.clone())], Terms { breaker, ..terms(3) });
    let (engine, _stop) = engine(&queue, Routes::all_to(down), Until::Drained);
    let report = engine.run().await.unwrap();
    assert_eq!((report.failed, app.given().len()), (1, 1));
    assert_eq!((queue.waiting().len(), queue.in_hand().len()), (5, 0));
}

#[tokio::test]
async fn a_drain_takes_all_that_is_there_and_ends() {
    let (queue, app) = (filled(100), Scripted::taking_all());
    let report = one(&queue, &app, Until::Drained, 8).run().await.unwrap();
    assert_eq!(report, Report { done: 100, failed: 0, dead: 0 });
    assert_eq!((app.given().len(), queue.waiting().len()), (100, 0));
}

#[tokio::test]
async fn an_empty_queue_is_drained_at_once() {
    let report = one(&filled(0), &Scripted::taking_all(), Until::Drained, 8).run().await.unwrap();
    assert_eq!(report, Report::default());
}

#[tokio::test]
async fn a_drain_tries_each_message_once_however_soon_it_is_due_again() {
    let (queue, app) = (filled(10), Scripted::new(|_, _| at_once(failed(Blame::Message))));
    let report = one(&queue, &app, Until::Drained, 4).run().await.unwrap();
    assert_eq!((report.failed, app.given().len(), queue.waiting().len()), (10, 10, 10));
}

#[tokio::test]
async fn until_settled_it_waits_for_retries() {
    let app = Scripted::new(|_, before| {
        at_once(if before < 15 { failed(Blame::Message) } else { Outcome::Done { status: None } })
    });
    let queue = filled(5);
    let report = one(&queue, &app, Until::Settled, 4).run().await.unwrap();
    assert_eq!((report.done, report.failed, queue.waiting().len()), (5, 15, 0));
}

/// A message that another thread has just taken is neither ready nor waiting; it may still come back.
#[test]
fn until_settled_it_ends_only_when_all_is_done_however_its_threads_meet() {
    const LANES: usize = 4;
    let retry = RetryPolicy { schedule: Schedule::Steps(vec![Duration::from_micros(200)]), ..RetryPolicy::default() };
    for _ in 0..200 {
        let app = Scripted::new(|_, before| {
            at_once(if before < 8 { failed(Blame::Message) } else { Outcome::Done { status: None } })
        });
        let queue = filled(2);
        let terms = Terms { limit: LANES, retry: retry.clone(), ..terms(LANES) };
        let routes = Routes::all_to(Destination::new("app", vec![Box::new(app.clone())], terms));
        let (engine, _stop) = engine(&queue, routes, Until::Settled);
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::scope(|scope| {
            let overseer = runtime();
            let lanes: Vec<_> = (0..LANES)
                .map(|lane| {
                    scope.spawn({
                        let engine = &engine;
                        move || runtime().block_on(engine.work(lane, LANES))
                    })
                })
                .collect();
            overseer.block_on(async {
                tokio::select! {
                    () = engine.oversee() => {}
                    () = until(|| lanes.iter().all(std::thread::ScopedJoinHandle::is_finished)) => {}
                }
            });
        });
        assert_eq!((engine.report().unwrap().done, queue.waiting().len()), (2, 0));
    }
}

#[tokio::test]
async fn what_a_target_refuses_is_dead_and_no_other_is() {
    let app = Scripted::new(|text, _| {
        at_once(if text == "3" {
            Outcome::Reject { status: Some(422), reason: "unwanted".into() }
        } else {
            Outcome::Done { status: None }
        })
    });
    let queue = filled(5);
    let report = one(&queue, &app, Until::Drained, 2).run().await.unwrap();
    assert_eq!((report.done, report.dead), (4, 1));
    assert_eq!(queue.dead().into_iter().map(|(_, reason)| reason).collect::<Vec<_>>(), ["unwanted"]);
}

#[tokio::test]
async fn a_panic_in_a_target_is_a_failure_of_ours() {
    let app = Scripted::new(|text, before| {
        if text == "0" && before == 0 { panic!("a bug") } else { at_once(Outcome::Done { status: None }) }
    });
    let queue = filled(3);
    let report = one(&queue, &app, Until::Settled, 1).run().await.unwrap();
    assert_eq!((report.done, report.failed), (3, 1));
}

#[tokio::test]
async fn a_panic_before_the_attempt_has_begun_is_one_as_well() {
    struct Hasty(Scripted);
    impl Target for Hasty {
        fn attempt_leaving<'a>(&'a self, message: &'a Message, leaving: Leaving<'a>) -> BoxFuture<'a, Option<Outcome>> {
            assert!(!self.0.given().is_empty() || text(message) != "0", "a bug");
            self.0.attempt_leaving(message, leaving)
        }
    }
    let (queue, app) = (filled(3), Scripted::taking_all());
    let destination = Destination::new("app", vec![Box::new(Hasty(app))], terms(1));
    let report = engine(&queue, Routes::all_to(destination), Until::Settled).0.run().await.unwrap();
    assert_eq!((report.done, report.failed), (3, 1));
}

#[tokio::test]
async fn a_target_that_says_that_it_is_back_is_not_waited_for() {
    struct Returning(Scripted, watch::Receiver<bool>);
    impl Target for Returning {
        fn attempt_leaving<'a>(&'a self, message: &'a Message, leaving: Leaving<'a>) -> BoxFuture<'a, Option<Outcome>> {
            self.0.attempt_leaving(message, leaving)
        }

        fn returns(&self) -> BoxFuture<'_, ()> {
            let mut is_back = self.1.clone();
            Box::pin(async move { drop(is_back.wait_for(|is_back| *is_back).await) })
        }
    }
    let app = Scripted::new(|_, before| {
        at_once(match before {
            0 => Outcome::Unavailable { reason: "nobody is there".into() },
            _ => Outcome::Done { status: None },
        })
    });
    let (queue, back) = (filled(2), watch::Sender::new(false));
    let breaker = BreakerPolicy { after: 3, probe: Duration::from_hours(1) };
    let target = Returning(app.clone(), back.subscribe());
    let destination = Destination::new("app", vec![Box::new(target)], Terms { breaker, ..terms(1) });
    let (engine, stop) = engine(&queue, Routes::all_to(destination), Until::Stopped);
    let later = async {
        until(|| app.given().len() == 1).await;
        back.send_replace(true);
        until(|| queue.waiting().is_empty()).await;
        stop.finish();
    };
    assert_eq!(tokio::join!(engine.run(), later).0.unwrap().done, 2);
}

#[tokio::test]
async fn a_lane_without_hands_hears_that_the_run_is_over() {
    let (queue, app) = (filled(3), Scripted::taking_all());
    let engine = one(&queue, &app, Until::Drained, 1);
    tokio::join!(engine.work(0, 3), engine.work(1, 3), engine.work(2, 3));
    assert_eq!(engine.report().unwrap().done, 3);
}

#[tokio::test]
async fn a_watch_takes_what_comes_later() {
    let (queue, app) = (filled(1), Scripted::taking_all());
    let (engine, stop) = engine(&queue, Routes::all_to(destination("app", &app, 2)), Until::Stopped);
    let later = async {
        for number in 1..=3 {
            while app.given().len() < number {
                tokio::task::yield_now().await;
            }
            queue.push("later");
        }
        while !queue.waiting().is_empty() {
            tokio::task::yield_now().await;
        }
        stop.finish();
    };
    let (report, ()) = tokio::join!(engine.run(), later);
    assert_eq!(report.unwrap().done, 4);
}

#[tokio::test]
async fn an_attempt_that_is_cut_off_was_none() {
    let (queue, app) = (filled(3), Scripted::new(|_, _| Box::pin(pending())));
    let (engine, stop) = engine(&queue, Routes::all_to(destination("app", &app, 3)), Until::Stopped);
    let begun = async {
        while app.given().len() < 3 {
            tokio::task::yield_now().await;
        }
        stop.now();
    };
    let (report, ()) = tokio::join!(engine.run(), begun);
    assert_eq!(report.unwrap(), Report::default());
    assert!(queue.waiting().iter().all(|&id| queue.history(id).unwrap().tries == 0));
}

#[tokio::test]
async fn a_target_that_is_down_costs_no_attempts_and_comes_back_in_steps() {
    let app = Scripted::new(|_, before| {
        at_once(if before < 6 { failed(Blame::Endpoint) } else { Outcome::Done { status: None } })
    });
    let queue = filled(50);
    let report = one(&queue, &app, Until::Settled, 4).run().await.unwrap();
    assert_eq!((report.done, report.dead, queue.waiting().len()), (50, 0, 0));
    assert_eq!(app.given().len(), 56, "three failures, three probes, and then each message once");
}

#[tokio::test]
async fn a_drain_waits_for_no_target_that_is_down() {
    let (queue, app) = (filled(50), Scripted::new(|_, _| at_once(failed(Blame::Endpoint))));
    let report = one(&queue, &app, Until::Drained, 1).run().await.unwrap();
    assert_eq!((report.done, app.given().len(), queue.waiting().len()), (0, 3, 50));
}

#[tokio::test]
async fn a_quiet_engine_claims_nothing_until_it_is_resumed() {
    let (queue, app) = (filled(0), Scripted::taking_all());
    let (engine, stop) = engine(&queue, Routes::all_to(destination("app", &app, 2)), Until::Stopped);
    let told = async {
        stop.quiet();
        queue.push("mail");
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(app.given().len(), 0);
        stop.resume();
        while app.given().is_empty() {
            tokio::task::yield_now().await;
        }
        stop.finish();
    };
    let (report, ()) = tokio::join!(engine.run(), told);
    assert_eq!(report.unwrap().done, 1);
}

#[tokio::test]
async fn a_drain_waits_for_a_rate_but_takes_no_more_than_it_allows() {
    let (queue, app) = (filled(50), Scripted::taking_all());
    let rate = Rate::new(100, Duration::from_secs(1));
    let destination = Destination::new("app", vec![Box::new(app.clone())], Terms { rate, ..terms(4) });
    let began = std::time::Instant::now();
    let report = engine(&queue, Routes::all_to(destination), Until::Drained).0.run().await.unwrap();
    assert_eq!(report.done, 50);
    // All but the burst that a rate makes up for must have waited.
    assert!(began.elapsed() >= Duration::from_millis(350), "{:?}", began.elapsed());
}

#[tokio::test]
async fn whoever_asked_is_told_of_each_death_and_why() {
    let app = Scripted::new(|text, _| {
        at_once(if text == "1" {
            Outcome::Reject { status: Some(422), reason: "unwanted".into() }
        } else {
            Outcome::Done { status: None }
        })
    });
    let pager = Scripted::taking_all();
    let terms = Terms { on_dead: Some(Box::new(pager.clone())), ..terms(2) };
    let routes = Routes::all_to(Destination::new("app", vec![Box::new(app)], terms));
    engine(&filled(3), routes, Until::Drained).0.run().await.unwrap();
    assert_eq!(pager.given(), ["1"]);
}
