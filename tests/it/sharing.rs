//! What one target, one message or one queue does, no other pays for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::support::{Answer, App, Exit, Gate, Maildir, Maildirq, Request, SOON, from_environment, wait_until};

const SUBJECT: &str = "Subject: ";

fn mail(subject: &str) -> String {
    format!("From: ada@example.org\n{SUBJECT}{subject}\n\nHello\n")
}

fn deliver(maildir: &Maildir, subject: &str, count: usize) {
    (0..count).for_each(|_| drop(maildir.deliver(mail(subject))));
}

fn subject(request: &Request) -> String {
    let text = str::from_utf8(&request.body).unwrap();
    text.lines().find_map(|line| line.strip_prefix(SUBJECT)).unwrap().to_owned()
}

/// An app that never answers anything whole.
fn hanging_app() -> App {
    let never = Gate::closed();
    App::answering(move |_| Answer::ok().through(&never))
}

fn target(name: &str, url: &str, settings: &str) -> String {
    format!("[target.{name}]\nurl = '{url}'\n{settings}\n")
}

/// By a header, from one Maildir.
fn by_header(maildir: &Maildir, targets: &[String; 2]) -> String {
    let maildir = maildir.path().display();
    format!(
        "maildir = '{maildir}'\n\
         [[route]]\nwhen = {{ header = {{ subject = 'bad*' }} }}\ntarget = 'bad'\n\
         [[route]]\ntarget = 'good'\n{}",
        targets.concat()
    )
}

mod neighbours {
    use super::*;

    const GOOD: usize = 1000;
    const BAD: usize = 50;

    /// A thousand messages for one target, and fifty among them for another one, which must not matter.
    struct Street {
        maildir: Maildir,
        good: App,
    }

    impl Street {
        fn new() -> Street {
            let maildir = Maildir::in_memory();
            // What is in the way comes first.
            deliver(&maildir, "bad", BAD);
            deliver(&maildir, "good", GOOD);
            Street { maildir, good: App::plan(|_| Answer::ok()).start() }
        }

        fn config(&self, bad: &str, settings: &str) -> String {
            let targets = [target("bad", bad, settings), target("good", &self.good.url(), "concurrency = 4")];
            by_header(&self.maildir, &targets)
        }

        /// All thousand come, each once, while those for the other target are as they were.
        #[track_caller]
        fn is_not_disturbed(&self) {
            self.good.wait_for_accepted(GOOD);
            wait_until("only bad mail waits", SOON, || self.maildir.waiting().len() == BAD);
            assert_eq!(self.good.count(), GOOD);
            // Nor does what comes later.
            for number in 1..=5 {
                deliver(&self.maildir, "good", 1);
                self.good.wait_for_accepted(GOOD + number);
            }
        }
    }

    #[test]
    fn a_target_that_hangs_holds_up_no_other() {
        let (street, hanging) = (Street::new(), hanging_app());
        let config = street.config(&hanging.url(), "concurrency = 2\ntimeout = '1h'");
        let watch = Maildirq::watch_config(&config).start();

        hanging.wait_for_requests(2);
        street.is_not_disturbed();

        assert_eq!((hanging.count(), hanging.in_hand()), (2, 2), "its two requests hang still");
        assert!(watch.is_running());
    }

    #[test]
    fn a_queue_whose_target_hangs_holds_up_no_other() {
        let (bad, hanging, app) = (Maildir::in_memory(), hanging_app(), App::accepting());
        let good = bad.beside("good/Maildir");
        deliver(&bad, "bad", BAD);
        deliver(&good, "good", GOOD);
        let queues = [("bad", &bad), ("good", &good)];
        let queues =
            queues.map(|(name, maildir)| format!("[queue.{name}]\nmaildir = '{}'\n", maildir.path().display()));
        let routes =
            ["bad", "good"].map(|name| format!("[[route]]\nwhen = {{ queue = '{name}' }}\ntarget = '{name}'\n"));
        let targets = [
            target("bad", &hanging.url(), "concurrency = 2\ntimeout = '1h'"),
            target("good", &app.url(), "concurrency = 2"),
        ];
        let _watch = Maildirq::watch_config(&[queues, routes, targets].concat().concat()).start();

        hanging.wait_for_requests(2);
        app.wait_for_accepted(GOOD);

        wait_until("all is done", SOON, || good.waiting().is_empty());
        assert_eq!((app.count(), hanging.count(), bad.waiting().len()), (GOOD, 2, BAD));
    }

    #[test]
    fn a_target_that_is_down_holds_up_no_other() {
        let (street, home) = (Street::new(), TempDir::new().unwrap());
        let mut bad = App::plan(|_| Answer::ok()).on_socket(home.path().join("bad.sock")).start();
        bad.stop();
        let config =
            street.config(&bad.url(), "breaker = { after = 3, probe = '300ms' }\nretry = { max_delay = '10ms' }");
        let watch = Maildirq::watch_config(&config).start();

        street.is_not_disturbed();
        watch.wait_for_event("target_down");

        bad.restart();
        bad.wait_for_accepted(BAD);
        wait_until("all is done", SOON, || street.maildir.waiting().is_empty());
        assert_eq!((bad.count(), street.maildir.dead().len()), (BAD, 0));
    }

    #[test]
    fn a_target_that_is_paused_holds_up_no_other() {
        let (street, bad) = (Street::new(), App::accepting());
        let marker = street.maildir.path().join("maildirq/paused/bad");
        fs::create_dir_all(marker.parent().unwrap()).unwrap();
        File::create(&marker).unwrap();
        let _watch = Maildirq::watch_config(&street.config(&bad.url(), "")).start();

        street.is_not_disturbed();
        assert_eq!(bad.connections(), 0);

        fs::remove_file(marker).unwrap();
        bad.wait_for_accepted(BAD);
    }

    #[test]
    fn a_target_with_a_rate_holds_up_no_other() {
        let (street, bad) = (Street::new(), App::accepting());
        let watch = Maildirq::watch_config(&street.config(&bad.url(), "rate = '1/h'")).start();

        bad.wait_for_accepted(1);
        deliver(&street.maildir, "bad", 1);
        street.is_not_disturbed();

        assert_eq!((bad.count(), watch.stop()), (1, Exit::Ok));
    }

    #[test]
    fn a_drain_with_a_target_that_is_down_does_all_the_rest() {
        let (street, bad) = (Street::new(), App::answering(|_| Answer::status(503)));
        let config = street.config(&bad.url(), "concurrency = 2\nbreaker = { after = 3, probe = '1h' }");
        let drain = Maildirq::drain_config(&config).run();

        assert_eq!((drain.exit(), street.good.count(), street.maildir.waiting().len()), (Exit::SomeWait, GOOD, BAD));
        assert!(bad.count() <= 3 - 1 + 2, "{} requests", bad.count());
    }
}

/// T28
#[test]
fn one_bad_mail_among_good_ones_dies_alone_with_the_answer_in_its_story() {
    let maildir = Maildir::in_memory();
    for number in 0..200 {
        deliver(&maildir, if number == 50 { "bad" } else { "good" }, 1);
    }
    let app = App::answering(|request| match subject(request).as_str() {
        "bad" => Answer::status(422).body("{\"error\":\"no such ticket\"}"),
        _ => Answer::ok(),
    });
    let toml = format!("maildir = '{}'\n{}", maildir.path().display(), target("app", &app.url(), "concurrency = 2"));
    let watch = Maildirq::watch_config(&toml).start();

    app.wait_for_accepted(199);
    wait_until("all is settled", SOON, || maildir.waiting().is_empty());

    assert_eq!((app.count(), maildir.dead().len()), (200, 1));
    assert!(fs::read_to_string(&maildir.dead()[0]).unwrap().contains("Subject: bad"));
    let dead = watch.wait_for_event("dead");
    let story = maildir.story(dead["id"].as_str().unwrap());
    let last = story.last().unwrap();
    assert_eq!((&last["event"], &last["status"]), (&"dead".into(), &422.into()));
    assert!(last["reason"].as_str().unwrap().contains("no such ticket"), "{last}");
    assert!(watch.events("target_down").is_empty());
}

/// T28, and the mail of one sender fails for hours: it has a policy of its own, all other mail flows.
#[test]
fn a_mail_that_is_worn_out_dies_after_its_attempts_and_others_flow() {
    let (maildir, app) = (Maildir::in_memory(), App::answering(bad_is_refused));
    deliver(&maildir, "bad", 1);
    let retry = "retry = { min_delay = '10ms', max_delay = '20ms', attempts = 4 }";
    let toml = format!("maildir = '{}'\n{}", maildir.path().display(), target("app", &app.url(), retry));
    let watch = Maildirq::watch_config(&toml).start();
    for number in 1..=20 {
        deliver(&maildir, "good", 1);
        app.wait_for_accepted(number);
    }

    let dead = watch.wait_for_event("dead");

    wait_until("all is settled", SOON, || maildir.waiting().is_empty());
    let story = maildir.story(dead["id"].as_str().unwrap());
    let reason = story.last().unwrap()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("after 4 failures") && reason.contains("400"), "{reason}");
    let attempts = app.requests().iter().filter(|request| subject(request) == "bad").count();
    assert_eq!((attempts, maildir.dead().len()), (4, 1));
    assert!(dead["reason"].as_str().unwrap().contains("400"), "{dead}");
}

fn bad_is_refused(request: &Request) -> Answer {
    if subject(request) == "bad" { Answer::status(400) } else { Answer::ok() }
}

mod turns {
    use super::*;

    const RETRIES: usize = 300;

    /// Whichever there is more of, neither waits until there is none of the other.
    #[test]
    fn retries_and_fresh_mail_take_turns() {
        let (maildir, app) = (Maildir::in_memory(), App::answering(|_| Answer::status(400)));
        deliver(&maildir, "retry", RETRIES);
        let settings = "concurrency = 1\nretry = { min_delay = '1h', max_delay = '1h' }";
        let toml = format!("maildir = '{}'\n{}", maildir.path().display(), target("app", &app.url(), settings));
        Maildirq::drain_config(&toml).run();
        let ids = maildir.stories();
        assert_eq!((app.count(), ids.len()), (RETRIES, RETRIES));

        let soon = SystemTime::now() - Duration::from_secs(1);
        for id in &ids {
            maildir.set_due(id, soon);
        }
        deliver(&maildir, "fresh", RETRIES);
        app.answer_with(|_| Answer::ok());
        let _watch = Maildirq::watch_config(&toml).start();

        app.wait_for_accepted(2 * RETRIES);
        let order: Vec<_> = app.requests()[RETRIES..].iter().map(subject).collect();
        assert_fair(&order);
    }

    /// The same while it runs: the retries come due, and fresh mail never ends.
    #[test]
    fn mail_that_keeps_coming_does_not_keep_retries_waiting() {
        let (maildir, app) = (Maildir::in_memory(), App::answering(|_| Answer::status(400)));
        deliver(&maildir, "retry", RETRIES);
        let settings = "concurrency = 1\nretry = { min_delay = '1h', max_delay = '1h' }";
        let toml = format!("maildir = '{}'\n{}", maildir.path().display(), target("app", &app.url(), settings));
        let watch = Maildirq::watch_config(&toml).start();
        wait_until("all of them wait", SOON, || maildir.stories().len() == RETRIES && app.in_hand() == 0);
        // One is held, so that all stand in line behind it.
        let gate = Gate::closed();
        let held = gate.clone();
        app.answer_with(move |_| Answer::ok().through(&held));
        deliver(&maildir, "held", 1);
        app.wait_for_requests(RETRIES + 1);
        app.answer_with(|_| Answer::ok());

        let now = SystemTime::now();
        maildir.stories().iter().for_each(|id| maildir.set_due(id, now));
        deliver(&maildir, "fresh", RETRIES);
        assert_eq!((maildir.waiting().len(), app.in_hand()), (2 * RETRIES + 1, 1));
        watch.wait_until_it_rests("notify");
        gate.open();

        app.wait_for_accepted(2 * RETRIES + 1);
        let order: Vec<_> = app.requests()[RETRIES + 1..].iter().map(subject).collect();
        assert_fair(&order);
    }

    #[track_caller]
    fn assert_fair(order: &[String]) {
        let first: Vec<_> = order.iter().take(100).map(String::as_str).collect();
        for kind in ["retry", "fresh"] {
            let count = first.iter().filter(|subject| **subject == kind).count();
            assert!(count >= 30, "{count} of the first hundred are {kind}: {first:?}");
        }
        let counts = ["retry", "fresh"].map(|kind| order.iter().filter(|subject| *subject == kind).count());
        assert_eq!(counts, [RETRIES, RETRIES]);
    }
}

mod on_dead {
    use super::*;

    /// A program that writes down what it is given, each time into another file, and then does as it is told.
    struct Pager {
        home: TempDir,
        program: PathBuf,
    }

    impl Pager {
        fn that(then: &str) -> Pager {
            let home = TempDir::new().unwrap();
            let program = home.path().join("pager");
            let told = home.path().join("told");
            fs::create_dir(&told).unwrap();
            let script = format!(
                "#!/bin/sh\nout='{0}'/.$$\n\
                 {{ echo \"$MAILDIRQ_ID $MAILDIRQ_ATTEMPT\"; echo \"$MAILDIRQ_REASON\"; cat; }} > \"$out\"\n\
                 mv \"$out\" \"{0}/${{out##*/.}}\"\n{then}\n",
                told.display()
            );
            write_program(&program, &script);
            Pager { home, program }
        }

        fn setting(&self) -> String {
            format!("on_dead = ['{}']", self.program.display())
        }

        /// The id and the attempt, the reason, and the message, of each death that was told.
        fn told(&self) -> Vec<[String; 3]> {
            let files = fs::read_dir(self.home.path().join("told")).unwrap().map(|file| file.unwrap());
            let whole = files.filter(|file| !file.file_name().to_string_lossy().starts_with('.'));
            let texts = whole.map(|file| fs::read_to_string(file.path()).unwrap());
            let split = |text: String| -> Vec<String> { text.splitn(3, '\n').map(str::to_owned).collect() };
            texts.map(|text| split(text).try_into().unwrap()).collect()
        }
    }

    /// By way of another process, so that no child of a test has it open for writing when it is to be run.
    fn write_program(path: &Path, script: &str) {
        let draft = path.with_extension("draft");
        fs::write(&draft, script).unwrap();
        fs::set_permissions(&draft, Permissions::from_mode(0o755)).unwrap();
        let copied = std::process::Command::new("cp").arg("-p").arg(draft).arg(path).status().unwrap();
        assert!(copied.success());
    }

    fn config(maildir: &Maildir, app: &App, settings: &str) -> String {
        format!("maildir = '{}'\n{}", maildir.path().display(), target("app", &app.url(), settings))
    }

    #[test]
    fn it_is_told_of_each_death_once_with_the_message_and_the_reason() {
        let (maildir, pager) = (Maildir::new(), Pager::that("exit 0"));
        let app = App::answering(|request| match subject(request).as_str() {
            "bad" => Answer::status(422).body("no such ticket"),
            "worse" => Answer::status(400),
            _ => Answer::ok(),
        });
        for subject in ["bad", "good", "bad", "worse", "good"] {
            deliver(&maildir, subject, 1);
        }
        let retry = "retry = { min_delay = '1ms', max_delay = '2ms', attempts = 2 }\n";
        let watch = Maildirq::watch_config(&config(&maildir, &app, &(retry.to_owned() + &pager.setting()))).start();

        wait_until("all three are told of", SOON, || pager.told().len() == 3);
        wait_until("all is settled", SOON, || maildir.waiting().is_empty());
        assert_eq!(watch.stop(), Exit::Ok);

        let mut told: Vec<_> = pager.told().into_iter().map(|[_, reason, mail]| (mail, reason)).collect();
        told.sort();
        let mails: Vec<_> = told.iter().map(|(mail, _)| mail.as_str()).collect();
        assert_eq!(mails, [mail("bad"), mail("bad"), mail("worse")]);
        assert!(told[..2].iter().all(|(_, reason)| reason.contains("422") && reason.contains("no such ticket")));
        assert!(told[2].1.contains("gave up after 2 failures"), "{}", told[2].1);
        let ids: BTreeSet<_> = pager.told().into_iter().map(|[id, ..]| id).collect();
        let died: BTreeSet<_> =
            watch.events("dead").iter().map(|dead| dead["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids.iter().map(|id| id.split(' ').next().unwrap().to_owned()).collect::<BTreeSet<_>>(), died);
        assert!(watch.events("on_dead_failed").is_empty());
    }

    #[test]
    fn when_it_fails_that_is_said_and_changes_nothing() {
        for then in ["echo 'the pager is off' >&2; exit 75", "kill -KILL $$"] {
            let (maildir, pager) = (Maildir::new(), Pager::that(then));
            let app = App::answering(|_| Answer::status(422));
            deliver(&maildir, "bad", 3);

            let drain = Maildirq::drain_config(&config(&maildir, &app, &pager.setting())).run();

            assert_eq!((drain.exit(), maildir.dead().len(), maildir.waiting().len()), (Exit::SomeDead, 3, 0));
            assert_eq!((pager.told().len(), app.count()), (3, 3));
            let said = drain.events("on_dead_failed");
            assert_eq!(said.len(), 3);
            assert!(said.iter().all(|line| !line["reason"].as_str().unwrap().is_empty()), "{said:?}");
        }
    }

    #[test]
    fn while_it_hangs_only_its_own_target_waits() {
        let (maildir, pager) = (Maildir::in_memory(), Pager::that("exec sleep 1000"));
        let (bad, good) = (App::answering(|_| Answer::status(422)), App::accepting());
        deliver(&maildir, "bad", 10);
        deliver(&maildir, "good", 100);
        let of_bad = format!("concurrency = 2\n{}", pager.setting());
        let targets = [target("bad", &bad.url(), &of_bad), target("good", &good.url(), "concurrency = 2")];
        let watch = Maildirq::watch_config(&by_header(&maildir, &targets)).start();

        wait_until("two hang", SOON, || pager.told().len() == 2);
        good.wait_for_accepted(100);

        assert_eq!((bad.count(), maildir.dead().len(), pager.told().len()), (2, 2, 2));
        watch.signal(rustix::process::Signal::TERM);
        watch.wait_for_event("stopping");
        watch.signal(rustix::process::Signal::TERM);
        assert_eq!(watch.exit(), Exit::Ok);
        assert_eq!((maildir.dead().len(), maildir.waiting().len()), (2, 8), "dead is dead, whoever was told");
    }
}

/// T42
mod herd {
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
}
