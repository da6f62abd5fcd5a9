//! Several targets beside one another, and others in their place.

use super::*;

#[tokio::test]
async fn a_target_that_hangs_delays_no_mail_for_another() {
    let (stuck, quick) = (Scripted::new(|_, _| Box::pin(pending())), Scripted::taking_all());
    let queue = MemoryQueue::default();
    for number in 0..1000 {
        queue.push(mail(format_args!("{} {number}", if number % 2 == 0 { "stuck" } else { "quick" })));
    }
    let destinations = vec![destination("stuck", &stuck, 2), destination("quick", &quick, 4)];
    let routes = routes(destinations, &["stuck", "quick"]);
    let (engine, stop) = engine(&queue, routes, Until::Stopped);
    let all_quick = async {
        while quick.given().len() < 500 {
            tokio::task::yield_now().await;
        }
        stop.now();
    };
    let (report, ()) = tokio::join!(engine.run(), all_quick);
    assert_eq!(report.unwrap().done, 500);
    assert_eq!(stuck.most_at_once.load(Ordering::SeqCst), 2, "and it gets no more than its share");
    assert_eq!(queue.waiting().len(), 500);
}

#[tokio::test]
async fn the_first_route_that_matches_counts_and_mail_without_one_is_kept_as_dead() {
    let (a, b) = (Scripted::taking_all(), Scripted::taking_all());
    let queue = MemoryQueue::default();
    for subject in ["a", "ab", "b", "ignore", "nobody's"] {
        queue.push(mail(subject));
    }
    let routes = routes(vec![destination("a", &a, 2), destination("b", &b, 2)], &["a", "b", "ignore"]);
    let report = engine(&queue, routes, Until::Drained).0.run().await.unwrap();
    let mut given_to_a = a.given();
    given_to_a.sort();
    assert_eq!((given_to_a, b.given()), (vec![mail("a"), mail("ab")], vec![mail("b")]));
    assert_eq!((report.done, report.dead), (4, 1));
    assert_eq!(queue.dead().into_iter().map(|(_, reason)| reason).collect::<Vec<_>>(), ["no route"]);
}

#[tokio::test]
async fn a_target_that_is_down_is_probed_while_another_is_up() {
    let sick = Scripted::new(|_, before| {
        at_once(if before < 8 { failed(Blame::Endpoint) } else { Outcome::Done { status: None } })
    });
    let well = Scripted::taking_all();
    let queue = MemoryQueue::default();
    for subject in ["sick"; 10].into_iter().chain(["well"]) {
        queue.push(mail(subject));
    }
    let routes = routes(vec![destination("sick", &sick, 2), destination("well", &well, 2)], &["sick", "well"]);
    let report = engine(&queue, routes, Until::Settled).0.run().await.unwrap();
    assert_eq!((report.done, queue.waiting().len()), (11, 0));
}

#[tokio::test]
async fn other_routes_take_over_without_losing_what_waits() {
    let (stuck, quick) = (Scripted::new(|_, _| Box::pin(pending())), Scripted::taking_all());
    let queue = filled(20);
    let (engine, stop) = engine(&queue, Routes::all_to(destination("stuck", &stuck, 2)), Until::Stopped);
    let change = async {
        until(|| stuck.given().len() == 2).await;
        engine.reroute(Routes::all_to(destination("quick", &quick, 6)), || {});
        until(|| quick.given().len() == 18).await;
        stop.now();
    };
    let (report, ()) = tokio::join!(engine.run(), change);
    assert_eq!((report.unwrap().done, queue.waiting().len()), (18, 2), "what was being tried is given back");
    assert!(quick.most_at_once.load(Ordering::SeqCst) <= 6);
}

#[tokio::test]
async fn hands_come_and_go_with_what_targets_take() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let waits = {
        let gate = Arc::clone(&gate);
        Scripted::new(move |_, _| {
            let gate = Arc::clone(&gate);
            Box::pin(async move {
                gate.acquire().await.unwrap().forget();
                Outcome::Done { status: None }
            })
        })
    };
    let queue = filled(40);
    let (engine, stop) = engine(&queue, Routes::all_to(destination("app", &waits, 2)), Until::Stopped);
    let change = async {
        until(|| waits.at_once.load(Ordering::SeqCst) == 2).await;
        engine.reroute(Routes::all_to(destination("app", &waits, 8)), || {});
        // The two that are still at a target that is gone take no hand from the new one.
        until(|| waits.at_once.load(Ordering::SeqCst) == 10).await;
        engine.reroute(Routes::all_to(destination("app", &waits, 1)), || {});
        gate.add_permits(10);
        until(|| waits.at_once.load(Ordering::SeqCst) == 1).await;
        gate.add_permits(100);
        until(|| queue.waiting().is_empty()).await;
        stop.finish();
    };
    let (report, ()) = tokio::join!(engine.run(), change);
    assert_eq!(report.unwrap().done, 40);
}

/// The very case in which one reloads: the target is down, and its new name is known.
#[tokio::test]
async fn what_comes_back_from_a_target_that_is_gone_goes_where_routes_lead_now() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let old = {
        let gate = Arc::clone(&gate);
        Scripted::new(move |_, _| {
            let gate = Arc::clone(&gate);
            Box::pin(async move {
                gate.acquire().await.unwrap().forget();
                failed(Blame::Endpoint)
            })
        })
    };
    let new = Scripted::taking_all();
    let queue = filled(8);
    let (engine, stop) = engine(&queue, Routes::all_to(destination("old", &old, 8)), Until::Stopped);
    let change = async {
        until(|| old.at_once.load(Ordering::SeqCst) == 8).await;
        engine.reroute(Routes::all_to(destination("new", &new, 2)), || {});
        // The first three failures open the breaker; the others are parked under a name that is no more.
        gate.add_permits(8);
        until(|| queue.waiting().is_empty()).await;
        stop.finish();
    };
    let (report, ()) = tokio::join!(engine.run(), change);
    assert_eq!((report.unwrap().done, new.given().len()), (8, 8));
}

#[tokio::test]
async fn a_flood_for_a_target_that_is_full_does_not_keep_a_stop_from_being_heard() {
    let (stuck, quick) = (Scripted::new(|_, _| Box::pin(pending())), Scripted::taking_all());
    let queue = MemoryQueue::default();
    (0..2000).for_each(|number| {
        queue.push(mail(format_args!("stuck {number}")));
    });
    let routes = routes(vec![destination("stuck", &stuck, 1), destination("quick", &quick, 1)], &["stuck", "quick"]);
    let (engine, stop) = engine(&queue, routes, Until::Stopped);
    let stopping = async {
        until(|| stuck.given().len() == 1).await;
        stop.now();
    };
    let (_, ()) = tokio::join!(engine.run(), stopping);
    assert!(queue.parked("stuck") < 2000, "it was heard in the midst of parking");
}
