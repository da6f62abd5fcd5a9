use super::super::picture::{DaemonNow, Hour, QueueNow, TargetNow};
use super::*;
use crate::maildir::Counts;
use std::time::SystemTime;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
}

fn ago(minutes: u64) -> SystemTime {
    now() - Duration::from_mins(minutes)
}

/// Two queues and two targets, with messages by state and age in minutes in the first queue.
fn picture(messages: &[(State, u64, u64)]) -> Picture {
    let mut counts = Counts::default();
    for (state, number, minutes) in messages {
        (0..*number).for_each(|_| counts.add(*state, ago(*minutes)));
    }
    let queue = |name: &str, counts| QueueNow { name: name.into(), counts, is_served: true, hour: None };
    let target = |name: &str| TargetNow { name: name.into(), condition: Condition::Ok, traffic: None };
    Picture {
        now: now(),
        queues: vec![queue("billing", counts), queue("support", Counts::default())],
        targets: vec![target("app"), target("crm")],
        unreadable: Vec::new(),
        deaths: Vec::new(),
        daemons: Vec::new(),
    }
}

#[track_caller]
fn says(picture: &Picture, level: Level, text: &str) -> Sentence {
    let sentence = Sentence::of(picture);
    assert_eq!((sentence.level, &*sentence.text), (level, text));
    sentence
}

#[test]
fn all_is_well() {
    says(&picture(&[]), Level::Ok, "healthy: nothing waits");
    says(
        &picture(&[(State::New, 2, 1), (State::Running, 1, 0)]),
        Level::Ok,
        "healthy: 3 messages on their way, the oldest come 1m ago",
    );
    says(
        &picture(&[(State::New, 1, 0), (State::Retry, 1041, 134)]),
        Level::Ok,
        "healthy: 1,042 messages on their way, 1,041 of them for another try; the oldest come 2h 14m ago",
    );
}

#[test]
fn dead_mail_needs_a_person_and_says_why() {
    let mut picture = picture(&[(State::Dead, 3, 90)]);
    says(&picture, Level::Warning, "needs a person: 3 dead on billing");
    let deaths =
        |count, error: &str| Deaths { queue: "billing".into(), target: "crm".into(), error: error.into(), count };
    picture.deaths = vec![deaths(3, "422 \"unknown sender\"")];
    let sentence =
        says(&picture, Level::Warning, "needs a person: 3 dead on billing, all the same: crm 422 \"unknown sender\"");
    assert_eq!(sentence.next.as_deref(), Some("maildirq dead"));
    picture.deaths = vec![deaths(2, "422"), deaths(1, "400")];
    says(&picture, Level::Warning, "needs a person: 3 dead on billing, 2 of them: crm 422");
    says(&self::picture(&[(State::Dead, 50, 1)]), Level::Critical, "needs a person: 50 dead on billing");
}

#[test]
fn new_mail_that_nobody_takes_is_stuck() {
    says(&picture(&[(State::New, 2, 4)]), Level::Ok, "healthy: 2 messages on their way, the oldest come 4m ago");
    says(
        &picture(&[(State::New, 2, 6)]),
        Level::Warning,
        "stuck: new mail on billing waits for 6m: 2 messages, never tried",
    );
    assert_eq!(Sentence::of(&picture(&[(State::New, 1, 31)])).level, Level::Critical);
    assert_eq!(Sentence::of(&picture(&[(State::Retry, 1, 600)])).level, Level::Ok, "a retry waits by design");
}

#[test]
fn a_target_that_is_down_comes_before_dead_mail() {
    let mut picture = picture(&[(State::New, 318, 60), (State::Dead, 1, 60)]);
    picture.targets[0].condition = Condition::Down {
        since: ago(4),
        probe: Some(now() + Duration::from_secs(22)),
        reason: "connection refused".into(),
    };
    let sentence = says(
        &picture,
        Level::Critical,
        "down: app takes nothing for 4m (connection refused); 318 messages wait, none is lost; next probe in 22s",
    );
    assert_eq!(sentence.besides, ["1 dead on billing"]);
}

#[test]
fn a_pause_is_mentioned_and_a_forgotten_one_warned_of() {
    let mut picture = picture(&[(State::New, 1, 60)]);
    let pause =
        |minutes, until| Condition::Paused { since: ago(minutes), until, by: "ada".into(), reason: "migration".into() };
    picture.targets[1].condition = pause(60, None);
    says(&picture, Level::Ok, "healthy: 1 message on its way, come 1h ago · 1 paused");
    picture.targets[1].condition = pause(180, None);
    says(&picture, Level::Warning, "paused: crm is paused by ada for 3h: migration");
    picture.targets[1].condition = pause(180, Some(now() + Duration::from_hours(1)));
    assert_eq!(Sentence::of(&picture).level, Level::Ok, "it ends of itself");
}

#[test]
fn nobody_at_work_is_bad_only_while_mail_waits() {
    let mut picture = picture(&[(State::New, 2, 60)]);
    picture.queues.iter_mut().for_each(|queue| queue.is_served = false);
    says(&picture, Level::Critical, "stopped: no maildirq runs; 2 messages wait, none is lost");
    picture.queues[0].is_served = true;
    picture.queues[0].counts = Counts::default();
    says(&picture, Level::Warning, "stopped: no maildirq runs for support; nothing waits");
    picture.unreadable.push("/mail: permission denied".into());
    says(&picture, Level::Unknown, "unknown: /mail: permission denied");
}

#[test]
fn a_daemon_tells_how_fast_mail_is_and_what_keeps_it() {
    let mut picture = picture(&[(State::New, 1, 0)]);
    picture.queues[0].hour = Some(Hour { done: 10, failed: 0, p95: Some(Duration::from_millis(400)) });
    let text = "healthy: mail reaches its target in 0.4s (p95); 1 message on its way, come 0s ago";
    says(&picture, Level::Ok, text);
    picture.daemons = vec![DaemonNow { pid: 812, reload_failed: Some("line 3: no".into()), ..DaemonNow::default() }];
    says(
        &picture,
        Level::Warning,
        "old settings: the last reload of process 812 failed (line 3: no); the settings before it are in force",
    );
    picture.daemons[0].not_claiming = Some("disk full".into());
    says(&picture, Level::Critical, "stuck: process 812 takes no mail: disk full");
}
