//! T42. Thousands that fail together do not come back together.

use super::*;

/// Unless `MAILDIRQ_HERD_MAILS` says otherwise.
const MAILS: usize = 3000;
const BUCKET: Duration = Duration::from_millis(200);

#[test]
fn those_who_failed_together_do_not_come_back_together() {
    let (maildir, app) = (Maildir::in_memory(), App::plan(|_| Answer::status(400)).forgetting().start());
    let mails = from_environment("MAILDIRQ_HERD_MAILS", MAILS);
    deliver(&maildir, "herd", mails);
    let retry = "retry = { min_delay = '1h', max_delay = '1h' }";
    let toml = format!("maildir = '{}'\n{}", maildir.path().display(), target("app", &app.url(), retry));

    for round in 1..=2 {
        let drain = Maildirq::drain_config(&toml).start();
        drain.wait_within(SOON + Duration::from_millis(10 * mails as u64));
        assert_eq!((drain.exit(), app.count()), (Exit::SomeWait, round * mails));
        assert_even(&waits(&maildir), mails, Duration::from_hours(1));
        let past = SystemTime::now() - Duration::from_secs(1);
        maildir.stories().iter().for_each(|id| maildir.set_due(id, past));
    }
}

#[test]
fn they_come_back_spread_over_the_whole_time() {
    let (maildir, app) = (Maildir::in_memory(), App::plan(|_| Answer::status(400)).forgetting().start());
    deliver(&maildir, "herd", 500);
    let retry = "retry = { min_delay = '4s', max_delay = '4s' }";
    let toml = format!("maildir = '{}'\n{}", maildir.path().display(), target("app", &app.url(), retry));
    let _watch = Maildirq::watch_config(&toml).start();
    app.wait_for_requests(2 * 500);

    let mut seconds: BTreeMap<u128, usize> = BTreeMap::new();
    let mut tried = BTreeSet::new();
    let again = app.deliveries().into_iter().filter(|delivery| !tried.insert(delivery.id.clone()));
    for delivery in again {
        let at = delivery.at.duration_since(UNIX_EPOCH).unwrap();
        *seconds.entry(at.as_millis() / BUCKET.as_millis()).or_default() += 1;
    }
    let busiest = seconds.values().max().unwrap();
    assert!(*busiest < 500 / 4, "{busiest} of 500 in {BUCKET:?}: {seconds:?}");
}

#[test]
fn what_the_app_asks_for_is_what_is_waited_within_bounds() {
    for (asked, granted) in [(30, 30), (0, 1), (86_400, 60)] {
        let maildir = Maildir::in_memory();
        let app = App::answering(move |_| Answer::status(400).header("retry-after", asked));
        deliver(&maildir, "herd", 20);
        let retry = "retry = { min_delay = '1s', max_delay = '60s' }";
        let toml = format!("maildir = '{}'\n{}", maildir.path().display(), target("app", &app.url(), retry));

        assert_eq!(Maildirq::drain_config(&toml).run().exit(), Exit::SomeWait);

        let seconds: Vec<_> = waits(&maildir).iter().map(|wait| wait.as_secs_f64().round()).collect();
        assert_eq!(seconds, [f64::from(granted); 20], "{asked}");
    }
}

/// From the last failure of each message to when it is due.
fn waits(maildir: &Maildir) -> Vec<Duration> {
    let waits = maildir.stories().into_iter().map(|id| {
        let story = maildir.story(&id);
        let last = story.last().unwrap();
        let time = |name: &str| humantime::parse_rfc3339(last[name].as_str().unwrap()).unwrap();
        time("due").duration_since(time("at")).unwrap()
    });
    waits.collect()
}

/// No twentieth of the time has more than twice its share.
#[track_caller]
fn assert_even(waits: &[Duration], mails: usize, most: Duration) {
    const PARTS: usize = 20;
    let mut parts = [0; PARTS];
    for wait in waits {
        let part = wait.as_millis() * PARTS as u128 / most.as_millis();
        parts[usize::try_from(part).unwrap().min(PARTS - 1)] += 1;
    }
    let mean = waits.len() / PARTS;
    println!("of {mails}, in each twentieth of the time: {parts:?}");
    assert!(waits.len() == mails && waits.iter().all(|wait| *wait <= most));
    assert!(parts.iter().all(|count| *count <= 2 * mean && *count >= mean / 2), "{parts:?}");
}
