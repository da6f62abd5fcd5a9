//! Applications that a worker boots once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{file, read, said_by};
use crate::support::program::{python, ruby};
use crate::support::{Exit, Launch, Maildir, Maildirq, SOON, wait_until};

const AT_ONCE: &str = "retry = { min_delay = '1ms', max_delay = '10ms' }\nbreaker = { after = 1000 }";
/// Has no `To` with the recipient in it: only the envelope knows.
const HEAD: &str = "Delivered-To: support+7@example.org\nReceived: by mx.example.org\nTo: undisclosed-recipients:;\n";

/// An application in a folder of its own, with the worker and the configuration of a recipe.
struct Office {
    page: &'static str,
    home: TempDir,
    maildir: Maildir,
    toml: String,
}

impl Office {
    fn rails() -> Office {
        let office = Office::open("rails-worker", &[(r#""ruby""#, &ruby())]);
        office.paste("deploy/workers/rails_worker.rb", "bin/maildirq_worker");
        let environment = format!("require {:?}\n", file("tests/apps/rails/environment"));
        office.write("config/environment.rb", &environment);
        office
    }

    fn django() -> Office {
        let office = Office::open("django-worker", &[(r#""/srv/app/venv/bin/python""#, &python())]);
        office.paste("deploy/workers/django_worker.py", "maildirq_worker.py");
        office.paste("deploy/apps/django_models.py", "inbound_mail/models.py");
        office.write("inbound_mail/__init__.py", "");
        office.paste("tests/apps/django/settings.py", "project/settings.py");
        office
    }

    fn open(page: &'static str, words: &[(&str, &Path)]) -> Office {
        let (home, maildir) = (TempDir::new().unwrap(), Maildir::new());
        let mut toml = read(&format!("deploy/workers/{page}.toml"));
        let word = |path: &Path| format!("{:?}", path.to_str().unwrap());
        let places = [(r#""/srv/app""#, home.path()), (r#""/var/lib/maildirq/support""#, maildir.path())];
        for (known, path) in words.iter().chain(&places) {
            assert!(toml.contains(known), "{known}");
            toml = toml.replace(known, &word(path));
        }
        Office { page, home, maildir, toml: format!("{toml}{AT_ONCE}\n") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn paste(&self, from: &str, name: &str) {
        self.write(name, &read(from));
    }

    fn watch(&self) -> Maildirq {
        with_what_it_reads(Maildirq::watch_config(&self.toml)).start()
    }

    fn drain(&self) -> Launch {
        with_what_it_reads(Maildirq::drain_config(&self.toml))
    }

    /// The lines of a book that the application keeps.
    fn book(&self, name: &str) -> Vec<String> {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Changes its database in a way that only a person would.
    fn execute(&self, sql: &str) {
        const EXECUTE: &str = "import sqlite3, sys; sqlite3.connect(sys.argv[1], 60).execute(sys.argv[2])";
        run(Command::new(python()).args(["-c", EXECUTE]).arg(self.path("mail.sqlite3")).arg(sql));
    }

    /// Mail of these numbers, delivered, each by its Message-ID.
    fn deliver(&self, numbers: std::ops::Range<u32>) -> BTreeMap<String, Vec<u8>> {
        let mails = numbers.map(|number| {
            let head = format!("{HEAD}From: ada@example.com\nMessage-ID: <{number}@example.com>\n\n");
            (format!("{number}@example.com"), [head.as_bytes(), b"F\xfcr alle Bytes: \x80\xff\x01 \r\n.\n"].concat())
        });
        let mails: BTreeMap<_, _> = mails.collect();
        for mail in mails.values() {
            self.maildir.deliver(mail);
        }
        mails
    }

    fn wait_until_all_is_taken(&self) {
        wait_until("all is taken", SOON, || self.maildir.waiting().is_empty());
    }

    fn is_alive(&self) {
        let check = with_what_it_reads(Launch::new("check").without_log().config(&self.toml)).arg("--live").run();
        assert!(check.stdout().contains("✓ app  a worker; ready in "), "{}", check.stdout());
        fs::remove_file(self.path("boots")).unwrap();
    }

    /// Whoever runs has booted, and has done so once.
    fn has_booted_once(&self, watch: &Maildirq) {
        let processes: BTreeSet<_> =
            watch.events("worker_started").iter().map(|line| line["process"].to_string()).collect();
        let boots = self.book("boots");
        assert_eq!((boots.len(), boots.into_iter().collect()), (2, processes));
    }

    /// As the recipe has it when the application does not boot, for which `name` has been made to fail.
    fn says_why_it_does_not_boot(&self, name: &str, text: &str) {
        self.write(name, text);
        self.deliver(900..901);
        let watch = self.watch();
        let down = watch.wait_for_event("target_down");
        assert!(down["reason"].as_str().unwrap().contains("no such setting"), "{down}");
        said_by(self.page, &down);
        assert_eq!((self.maildir.waiting().len(), self.maildir.stories().len()), (1, 0), "it is not charged");
    }

    /// One attempt fails for this reason, whose words have no end, and the process lives on.
    fn fails_at_length(&self, reason: &str) -> Value {
        let watch = self.watch();
        watch.wait_for_events("worker_started", 2);
        self.deliver(700..701);
        wait_until("it has failed", SOON, || watch.events("attempt").len() > 1);
        for attempt in watch.events("attempt") {
            let said = attempt["reason"].as_str().unwrap();
            assert!(said.starts_with(reason), "{said}");
        }
        assert_eq!((watch.events("worker_started").len(), watch.events("worker_died").len()), (2, 0));
        watch.wait_for_event("attempt")
    }

    /// Killed after the answer, before the mail is removed.
    fn is_given_a_mail_twice(&self) {
        assert_eq!(self.drain().run().exit(), Exit::Ok);
        self.deliver(800..801);
        let killed = self.drain().killed_at("unlinkat", 1).run();
        assert_eq!((killed.exit(), self.maildir.waiting().len()), (Exit::Signal(9), 1));
        let again = self.drain().run();
        assert_eq!((again.exit(), self.maildir.waiting().len()), (Exit::Ok, 0));
        assert_eq!(again.wait_for_event("attempt")["outcome"], "done");
    }
}

#[test]
fn the_worker_for_rails_boots_once_and_gives_mail_to_action_mailbox() {
    let rails = Office::rails();
    rails.is_alive();
    let watch = rails.watch();
    watch.wait_for_events("worker_started", 2);

    let mails = rails.deliver(0..12);
    rails.deliver(0..3); // a second time, by another way
    rails.wait_until_all_is_taken();
    let processed: Vec<Value> =
        rails.book("processed").iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(processed.len(), mails.len(), "each once");
    for email in &processed {
        assert_eq!(email["recipients"], serde_json::json!(["support+7@example.org"]));
        let source = data_encoding::BASE64.decode(email["source"].as_str().unwrap().as_bytes()).unwrap();
        let delivered = &mails[email["message_id"].as_str().unwrap()];
        assert!(source == [b"X-Original-To: support+7@example.org\n", &delivered[..]].concat(), "byte for byte");
    }
    rails.has_booted_once(&watch);

    rails.maildir.deliver(format!("{HEAD}\n{}", "large\n".repeat(5_000_000)));
    said_by(rails.page, &watch.wait_for_event("dead"));

    rails.execute("ALTER TABLE action_mailbox_inbound_emails RENAME TO elsewhere");
    rails.deliver(50..51);
    let has_failed = |line: &&Value| line["outcome"] == "retry";
    wait_until("it is tried in vain", SOON, || watch.events("attempt").iter().any(|line| has_failed(&line)));
    said_by(rails.page, watch.events("attempt").iter().find(has_failed).unwrap());
    rails.execute("ALTER TABLE elsewhere RENAME TO action_mailbox_inbound_emails");
    rails.wait_until_all_is_taken();

    assert_eq!(rails.book("processed").len(), mails.len() + 1);
    rails.has_booted_once(&watch);
    assert_eq!((watch.stop(), rails.maildir.dead().len()), (Exit::Ok, 1));
}

#[test]
fn the_worker_for_rails_says_no_more_than_fits_into_an_answer() {
    let rails = Office::rails();
    let boot = fs::read_to_string(rails.path("config/environment.rb")).unwrap();
    let failure = "class << ActionMailbox::InboundEmail\n  def create_and_extract_message_id!(*)\n    raise \"ü\" * 100_000\n  end\nend";
    rails.write("config/environment.rb", &format!("{boot}{failure}\n"));
    rails.fails_at_length("retry: RuntimeError: \"üüü");
}

#[test]
fn the_worker_for_rails_is_given_a_mail_twice_and_rails_knows_it() {
    let rails = Office::rails();
    rails.is_given_a_mail_twice();
    assert_eq!(rails.book("processed").len(), 1);
}

#[test]
fn the_worker_for_rails_says_why_it_does_not_boot() {
    Office::rails().says_why_it_does_not_boot("config/environment.rb", "raise 'no such setting'\n");
}

#[test]
fn the_worker_for_django_sets_it_up_once_and_keeps_mail_in_the_model() {
    let django = Office::django();
    django.is_alive();
    let watch = django.watch();
    watch.wait_for_events("worker_started", 2);
    let has_failed = |line: &&Value| line["outcome"] == "retry";

    let early = django.deliver(0..1);
    wait_until("it is tried in vain", SOON, || watch.events("attempt").iter().any(|line| has_failed(&line)));
    said_by(django.page, watch.events("attempt").iter().find(has_failed).unwrap());
    let boots = django.book("boots");
    django.migrate();
    fs::write(django.path("boots"), boots.join("\n") + "\n").unwrap();
    let mails = django.deliver(1..25);
    django.wait_until_all_is_taken();
    let ids: BTreeSet<_> = django.rows().iter().map(|row| row["message_id"].as_str().unwrap().to_owned()).collect();
    let expected: BTreeSet<_> = early.keys().chain(mails.keys()).map(|id| format!("<{id}>")).collect();
    assert_eq!((ids, django.rows().len()), (expected, 25), "each once");

    django.maildir.deliver(format!("{HEAD}\nwho has written this?\n"));
    said_by(django.page, &watch.wait_for_event("dead"));

    django.has_booted_once(&watch);
    assert_eq!((watch.stop(), django.maildir.dead().len()), (Exit::Ok, 1));
}

/// As a time limit of the database does, or a limit on what it is sent at once.
#[test]
fn the_worker_for_django_does_not_take_for_an_outage_what_one_mail_causes() {
    let django = Office::django();
    let model = fs::read_to_string(django.path("inbound_mail/models.py")).unwrap();
    let failure = "def fail(*_, **__):\n    raise OperationalError('canceling statement due to statement timeout: ' + 'ü' * 100_000)";
    let model =
        format!("{model}\nfrom django.db import OperationalError\n{failure}\nmodels.QuerySet.get_or_create = fail\n");
    django.write("inbound_mail/models.py", &model);
    django.migrate();
    let failed = django.fails_at_length("retry: OperationalError('canceling statement due to statement timeout: üüü");
    said_by(django.page, &failed);
}

#[test]
fn the_worker_for_django_is_given_a_mail_twice_and_keeps_it_once() {
    let django = Office::django();
    django.migrate();
    django.is_given_a_mail_twice();
    assert_eq!(django.rows().len(), 1);
}

#[test]
fn the_worker_for_django_says_why_it_does_not_boot() {
    Office::django().says_why_it_does_not_boot("project/settings.py", "raise RuntimeError('no such setting')\n");
}

impl Office {
    /// As Django's own command does it.
    fn migrate(&self) {
        let mut migrate = Command::new(python());
        migrate.args([
            "-m",
            "django",
            "migrate",
            "--run-syncdb",
            "--settings",
            "project.settings",
            "--pythonpath",
            ".",
        ]);
        run(migrate.current_dir(self.home.path()));
    }

    /// What the model has.
    fn rows(&self) -> Vec<Value> {
        const READ: &str = "import json, sqlite3, sys\n\
            rows = sqlite3.connect(sys.argv[1], 60).execute('SELECT message FROM inbound_mail_inboundmail')\n\
            print(json.dumps([json.loads(message) for (message,) in rows]))";
        let told = run(Command::new(python()).args(["-c", READ]).arg(self.path("mail.sqlite3")));
        serde_json::from_slice(&told).unwrap()
    }
}

/// The variables that the configurations refer to.
fn with_what_it_reads(launch: Launch) -> Launch {
    launch.env("DATABASE_URL", "sqlite3:unused")
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
