//! Each verb on one message, with a daemon and without.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::time::{Duration, SystemTime};

use super::{act, config, config_with, done, mail, places, watch};
use crate::support::{Answer, App, Exit, Maildir, Maildirq, SOON, holds_for, wait_until};

const NEW: &str = "new";
const DEAD: &str = ".maildirq.dead/new";
const TRASH: &str = ".maildirq.trash/new";

fn place(maildir: &Maildir) -> String {
    places(maildir).into_values().next().expect("one mail")
}

/// One mail that the app has answered once with this status, and its configuration.
fn tried_once(status: u16) -> (Maildir, App, String) {
    let (maildir, app) = (Maildir::new(), App::answering(move |_| Answer::status(status)));
    let toml = config(&maildir, &app.url());
    maildir.deliver(mail("once"));
    Maildirq::drain_config(&toml).run();
    app.answer_with(|_| Answer::ok());
    (maildir, app, toml)
}

#[test]
fn a_waiting_message_is_tried_when_it_is_asked_for() {
    let (maildir, app, toml) = tried_once(400);
    let id = maildir.stories().remove(0);
    assert_eq!(Maildirq::drain_config(&toml).run().exit(), Exit::SomeWait, "not before its time");

    let (exit, said) = done(&toml, &format!("retry {}", &id[..6]));

    assert_eq!((exit, said), (Exit::Ok, format!("✓ {} due now", &id[..6])));
    let asked = maildir.story(&id).pop().unwrap();
    assert_eq!((&asked["event"], &asked["by"]), (&"asked".into(), &"ada".into()));
    assert_eq!(Maildirq::drain_config(&toml).run().exit(), Exit::Ok);
    assert_eq!((app.count(), app.deliveries()[1].attempt), (2, Some(2)));
}

#[test]
fn with_reset_attempts_count_anew() {
    let (maildir, app, toml) = tried_once(400);
    let id = maildir.stories().remove(0);
    assert_eq!(done(&toml, &format!("retry {id} --reset")).0, Exit::Ok);
    assert_eq!(Maildirq::drain_config(&toml).run().exit(), Exit::Ok);
    assert_eq!(app.deliveries()[1].attempt, Some(1));
}

#[test]
fn a_message_is_not_tried_before_the_time_that_was_asked_for() {
    let (maildir, app, toml) = tried_once(400);
    let id = maildir.stories().remove(0);
    assert_eq!(done(&toml, &format!("retry {id} --at 2h")).0, Exit::Ok);
    let story = fs::metadata(maildir.path().join("maildirq/story").join(&id)).unwrap();
    let wait = story.modified().unwrap().duration_since(SystemTime::now()).unwrap();
    assert!(wait > Duration::from_mins(115) && wait <= Duration::from_hours(2), "{wait:?}");
    assert_eq!((Maildirq::drain_config(&toml).run().exit(), app.count()), (Exit::SomeWait, 1));
}

#[test]
fn a_message_goes_to_the_target_that_was_asked_for() {
    for status in [400, 422] {
        let (maildir, app, toml) = tried_once(status);
        let id = maildir.stories().remove(0);
        assert_eq!(done(&toml, &format!("retry {id} --to archive")).0, Exit::Ok);
        assert_eq!(Maildirq::drain_config(&toml).run().exit(), Exit::Ok);
        assert_eq!(app.requests()[1].path, "/mail/archive", "{status}");
    }
}

#[test]
fn a_target_that_is_not_there_is_refused_with_what_was_meant() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let toml = config(&maildir, &app.url());
    for words in ["retry state:dead --to archve", "pause archve", "resume archve"] {
        let refused = act(&toml, words).run();
        assert_eq!(refused.exit(), Exit::NoInput, "{words}");
        assert!(refused.lines().join("\n").contains("did you mean `archive`?"), "{words}: {:?}", refused.lines());
    }
}

#[test]
fn buried_dropped_and_revived_without_a_daemon() {
    let (maildir, app, toml) = tried_once(400);
    let id = maildir.stories().remove(0);
    let short = &id[..6];
    for (words, expected) in [
        ("bury --reason enough", DEAD),
        ("drop", TRASH),
        ("retry", NEW),
        ("drop", TRASH),
        ("retry", NEW),
        ("bury", DEAD),
        ("retry", NEW),
    ] {
        let (verb, more) = words.split_once(' ').unwrap_or((words, ""));
        let words = format!("{verb} {short} {more}");
        let (exit, said) = done(&toml, words.trim());
        assert_eq!((exit, place(&maildir)), (Exit::Ok, expected.to_owned()), "{words}: {said}");
    }
    let events: Vec<_> =
        maildir.story(&id).into_iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(events, ["retry", "dead", "dropped", "asked", "dropped", "asked", "dead", "asked"]);
    assert_eq!(maildir.story(&id)[1]["reason"], "buried by ada: enough");
    assert_eq!(Maildirq::drain_config(&toml).run().exit(), Exit::Ok);
    let deliveries = app.deliveries();
    assert_eq!(
        (deliveries[1].attempt, &deliveries[1].id),
        (Some(1), &deliveries[0].id),
        "afresh, and the same message"
    );
}

#[test]
fn a_running_daemon_sees_each_at_once() {
    let (maildir, app) = (Maildir::new(), App::answering(|_| Answer::status(400)));
    let toml = config(&maildir, &app.url());
    let watch = watch(&toml);
    maildir.deliver(mail("once"));
    wait_until("it waits for its next try", SOON, || maildir.stories().len() == 1);
    let id = maildir.stories().remove(0);
    let waits = |count: usize| {
        let tried = || maildir.story(&id).iter().filter(|line| line["event"] == "retry").count();
        wait_until(format!("{count} tries"), SOON, || app.count() == count && tried() == count);
    };
    let mut tries = 1;
    waits(tries);
    for undone in ["", "bury", "drop"] {
        if !undone.is_empty() {
            assert_eq!(done(&toml, &format!("{undone} {id}")).0, Exit::Ok);
            holds_for("nobody tries it", Duration::from_millis(200), || app.count() == tries);
        }
        assert_eq!(done(&toml, &format!("retry {id}")).0, Exit::Ok, "{undone}");
        tries += 1;
        waits(tries);
    }
    assert_eq!(watch.stop(), Exit::Ok);
}

#[test]
fn what_the_daemon_has_in_hand_is_left_alone() {
    let (maildir, (app, gate)) = (Maildir::new(), App::slow());
    let toml = config(&maildir, &app.url());
    let watch = watch(&toml);
    let name = maildir.deliver(mail("slow")).into_string().unwrap();
    app.wait_for_requests(1);
    for verb in ["retry", "bury", "drop"] {
        let left = act(&toml, &format!("{verb} {name}")).run();
        assert_eq!((left.exit(), left.stdout()), (Exit::SomeDead, String::new()), "{verb}");
        assert!(left.lines().join("\n").contains("a process works on it just now"), "{:?}", left.lines());
    }
    gate.open();
    wait_until("it is done", SOON, || maildir.is_empty());
    assert_eq!((watch.stop(), app.count(), maildir.dead().len()), (Exit::Ok, 1, 0));
}

#[test]
fn only_what_is_in_the_trash_is_removed_for_good_and_only_with_yes() {
    let (maildir, _app, toml) = tried_once(422);
    let id = maildir.stories().remove(0);
    assert_eq!(done(&toml, &format!("drop --forever {id}")).0, Exit::Usage);
    assert_eq!(
        (done(&toml, &format!("drop --forever --yes {id}")).0, place(&maildir)),
        (Exit::SomeDead, DEAD.to_owned())
    );
    assert_eq!(done(&toml, &format!("drop {id}")).0, Exit::Ok);
    assert_eq!(done(&toml, "drop --forever state:trash --dry-run").0, Exit::Ok);
    assert_eq!(place(&maildir), TRASH);
    let (exit, said) = done(&toml, "drop --forever state:trash --yes");
    assert_eq!((exit, said), (Exit::Ok, format!("⌫ {} removed for good", &id[..6])));
    assert!(places(&maildir).is_empty() && maildir.stories().is_empty());
    assert_eq!(done(&toml, "drop --forever state:trash --yes").0, Exit::NoInput);
}

#[test]
fn json_is_a_line_for_each_message() {
    let (maildir, _app, toml) = tried_once(422);
    let id = maildir.stories().remove(0);
    let (exit, said) = done(&toml, &format!("retry {id} --json"));
    let line: serde_json::Value = serde_json::from_str(&said).unwrap();
    let expected = serde_json::json!({ "v": 1, "id": id, "act": "retry", "result": "done", "reason": null });
    assert_eq!((exit, line), (Exit::Ok, expected));
}

#[test]
fn as_root_what_is_done_is_done_as_the_owner() {
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        return crate::support::skipped("only root can give files away");
    }
    let (maildir, app) = (Maildir::new(), App::accepting());
    let name = maildir.deliver(mail("owned"));
    maildir.give_to(NOBODY);
    chown(maildir.message(&name), Some(NOBODY), Some(NOBODY)).unwrap();
    let toml = config_with(&maildir, &app.url(), "");
    let name = name.into_string().unwrap();
    for words in [format!("bury {name}"), format!("drop {name}"), format!("retry {name}"), "pause app".to_owned()] {
        let ended = act(&toml, &words).run();
        assert_eq!(ended.exit(), Exit::Ok, "{words}: {:?}", ended.lines());
    }
    for ours in [".maildirq.trash", ".maildirq.trash/new", "maildirq/story", "maildirq/paused/app", "maildirq/id"] {
        assert_eq!(fs::metadata(maildir.path().join(ours)).unwrap().uid(), NOBODY, "{ours}");
    }
}

#[test]
fn a_running_daemon_empties_the_trash_of_what_is_old() {
    let (maildir, app, toml) = tried_once(422);
    let id = maildir.stories().remove(0);
    assert_eq!(done(&toml, &format!("drop {id}")).0, Exit::Ok);
    let fresh = watch(&toml);
    holds_for("two weeks are not over", Duration::from_millis(300), || place(&maildir) == TRASH);
    assert_eq!(fresh.stop(), Exit::Ok);

    let late = watch(&config_with(&maildir, &app.url(), "[keep]\ntrash = '1ms'"));

    assert_eq!(late.wait_for_event("trash_emptied")["messages"], 1);
    assert!(places(&maildir).is_empty() && maildir.stories().is_empty());
    assert_eq!((late.stop(), app.count()), (Exit::Ok, 1));
}

#[test]
fn one_persons_traces_are_erased_and_nobody_elses() {
    let (maildir, app) = (Maildir::new(), App::answering(|_| Answer::status(422)));
    let toml = config(&maildir, &app.url());
    maildir.deliver(mail("hers"));
    maildir.deliver("From: bob@example.com\nSubject: his\n\nada@example.com wrote\n");
    assert_eq!(Maildirq::drain_config(&toml).run().exit(), Exit::SomeDead);

    assert_eq!(done(&toml, "forget ada@example.com").0, Exit::Usage, "nobody is there to be asked");
    let (exit, said) = done(&toml, "forget ada@example.com --dry-run");
    assert_eq!((exit, places(&maildir).len()), (Exit::Ok, 2), "{said}");
    assert!(said.starts_with("ada@example.com: 1 kept message, 0 stories"), "{said}");
    assert_eq!(done(&toml, "forget Ada@example.com --yes").0, Exit::Ok);
    assert_eq!(
        (places(&maildir).into_keys().collect::<Vec<_>>(), maildir.stories().len()),
        (vec!["his".to_owned()], 1)
    );

    maildir.deliver(mail("hers again"));
    assert_eq!(done(&toml, "forget ada@example.com --yes").0, Exit::SomeDead, "what waits is told of");
    assert_eq!(places(&maildir)["hers again"], NEW);
}

#[test]
fn what_is_shown_of_a_request_is_for_the_target_that_was_chosen() {
    let (maildir, app, toml) = tried_once(422);
    let id = maildir.stories().remove(0);
    assert_eq!(done(&toml, &format!("retry {id} --to archive")).0, Exit::Ok);
    let (exit, curl) = done(&toml, &format!("show {id} --curl"));
    assert!(exit == Exit::Ok && curl.contains("/archive"), "{curl}");
    let (_, shown) = done(&toml, &format!("show {id}"));
    assert!(shown.contains("route    chosen by hand  →  archive"), "{shown}");
    assert_eq!(done(&toml, &format!("retry {id}")).0, Exit::Ok);
    assert!(!done(&toml, &format!("show {id} --curl")).1.contains("/archive"), "its routes count again");
    assert_eq!(app.count(), 1, "nothing was sent");
}

#[test]
fn an_attempt_before_a_revival_is_shown_by_the_number_that_the_table_has() {
    let (maildir, _app, toml) = tried_once(422);
    let id = maildir.stories().remove(0);
    assert_eq!(done(&toml, &format!("retry {id}")).0, Exit::Ok);
    let (exit, said) = done(&toml, &format!("show {id} --attempt 1"));
    assert!(exit == Exit::Ok && said.contains("422"), "{said}");
    assert_eq!(done(&toml, &format!("show {id} --attempt 2")).0, Exit::NoInput);
}

#[test]
fn a_dry_run_says_what_would_be_left_and_ends_as_the_real_run() {
    let (maildir, _app, toml) = tried_once(422);
    let id = maildir.stories().remove(0);
    let (exit, said) = done(&toml, "bury state:dead --dry-run");
    assert!(said.ends_with("1 would be left as they are: it is dead already"), "{said}");
    assert_eq!((exit, done(&toml, "bury state:dead").0), (Exit::SomeDead, Exit::SomeDead));
    assert_eq!(done(&toml, "bury state:dead --dry-run -q"), (Exit::SomeDead, String::new()));
    let (_, line) = done(&toml, "bury state:dead --dry-run --json");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        line,
        serde_json::json!({ "v": 1, "id": id, "state": "dead", "act": "bury", "result": "unfit", "reason": "it is dead already" })
    );
    let (exit, line) = done(&toml, "retry state:dead --dry-run --json");
    assert!(exit == Exit::Ok && line.contains(r#""result":"would""#) && line.contains(r#""act":"retry""#), "{line}");

    let (maildir, app) = (Maildir::new(), App::answering(|_| Answer::status(422)));
    let toml = config(&maildir, &app.url());
    maildir.deliver(mail("one"));
    maildir.deliver(mail("two"));
    Maildirq::drain_config(&toml).run();
    let (exit, said) = done(&toml, "bury state:dead");
    assert_eq!((exit, &*said), (Exit::SomeDead, "0 buried · 0 changed meanwhile · 2 left as they are"));
}

#[test]
fn a_maildir_that_no_daemon_has_seen_gives_ids_all_the_same() {
    for verb in ["bury", "drop"] {
        let (maildir, app) = (Maildir::new(), App::accepting());
        let toml = config(&maildir, &app.url());
        let name = maildir.deliver(mail("fresh")).into_string().unwrap();
        let (_, shown) = done(&toml, &format!("show {name}"));
        assert!(shown.contains(&format!("maildirq show {name} --text")) && !shown.contains("------"), "{shown}");
        let (exit, id) = done(&toml, &format!("{verb} state:new -q"));
        assert_eq!((exit, id.len()), (Exit::Ok, 26), "{id}");
        assert!(done(&toml, &format!("show {id}")).1.contains(&id));
    }
}

#[test]
fn of_a_done_message_it_is_said_that_it_is_done() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let toml = config_with(&maildir, &app.url(), "[keep]\nhistory = '1d'");
    maildir.deliver(mail("taken"));
    assert_eq!(Maildirq::drain_config(&toml).run().exit(), Exit::Ok);
    let id = done(&toml, "list done -q").1;
    for verb in ["retry", "bury", "drop"] {
        let refused = act(&toml, &format!("{verb} {id}")).run();
        let said = refused.lines().join("\n");
        assert!(refused.exit() == Exit::NoInput && said.contains("is done: app took it at "), "{verb}: {said}");
    }
}

#[test]
fn a_person_of_whom_something_is_left_is_not_forgotten() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let toml = config(&maildir, &app.url());
    maildir.deliver(mail("waits"));
    let (exit, said) = done(&toml, "forget ada@example.com --yes");
    assert!(exit == Exit::SomeDead && said.starts_with("ada@example.com is not forgotten yet"), "{said}");
    assert_eq!(done(&toml, "forget ada@example.com --dry-run").0, Exit::SomeDead);
    assert!(done(&toml, "forget bob@example.com --yes").1.starts_with("✓ bob@example.com is forgotten"));
}

#[test]
fn what_is_over_before_it_begins_is_refused() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let toml = config(&maildir, &app.url());
    for (words, why) in
        [("retry state:dead --at 2020-01-01T00:00:00Z", "in the past"), ("pause app --for 0s", "over at once")]
    {
        let refused = act(&toml, words).run();
        let said = refused.lines().join("\n");
        assert!(refused.exit() == Exit::Usage && said.contains(why), "{words}: {said}");
    }
    assert!(!maildir.path().join("maildirq/paused/app").exists());
}

#[test]
fn a_misspelt_target_of_a_query_is_told_of() {
    let (_maildir, _app, toml) = tried_once(422);
    let refused = act(&toml, "retry target:archve").run();
    let said = refused.lines().join("\n");
    assert!(refused.exit() == Exit::NoInput && said.contains("did you mean `archive`?"), "{said}");
}
