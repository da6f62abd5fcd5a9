//! Applications that take mail as it is, without a line of them changed.

use std::fs;

use data_encoding::BASE64;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{MAIL, by_command, drain, file, prove, said_by};
use crate::support::program::{Program, python, ruby};
use crate::support::{Exit, Launch, Maildir};

/// 8-bit, and in no charset that a form or JSON has.
const LATIN: &[u8] = b"From: Ada <ada@example.com>\nTo: support@example.org\nSubject: 8-bit\nMIME-Version: 1.0\n\
    Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\nGr\xfc\xdfe + 100 % & more = all\n";
const PASSWORD: &str = "hunter2: \"a\" pass%word~";

/// An application that needs no line of its own changed.
struct Ready {
    app: &'static str,
    page: &'static str,
    /// The environment that maildirq needs, with what is wrong for each.
    secrets: &'static [&'static str],
    program: Program,
    /// What it answers to who knows its secrets, and to who does not.
    statuses: (u16, u16),
    maildir: Maildir,
}

impl Ready {
    fn drain(&self, secret: &str) -> Launch {
        self.with(secret, drain(self.app, &self.program.url(""), &self.maildir))
    }

    fn with(&self, secret: &str, launch: Launch) -> Launch {
        self.secrets.iter().fold(launch, |launch, name| launch.env(name, secret))
    }

    /// First with wrong secrets, then with the right ones.
    #[track_caller]
    fn takes(&self, mail: &[u8]) {
        let name = self.maildir.deliver(mail);
        let wrong = self.drain("hunter3").run();
        assert_eq!((wrong.exit(), self.maildir.waiting()), (Exit::SomeWait, vec![name]));
        let attempt = wrong.wait_for_event("attempt");
        assert_eq!(attempt["status"], self.statuses.1, "{attempt}");
        said_by(self.page, &attempt);

        let right = self.drain(PASSWORD).arg("--wait-retries").run();
        assert_eq!((right.exit(), self.maildir.waiting().len()), (Exit::Ok, 0));
        assert_eq!(right.wait_for_event("attempt")["status"], self.statuses.0);
    }

    #[track_caller]
    fn takes_the_proof(&self) {
        let proof = self.with(PASSWORD, prove(self.app, &self.program.url(""), &self.maildir)).run();
        assert_eq!(proof.exit(), Exit::Ok, "{}", proof.stdout());
    }
}

#[test]
fn rails_takes_a_mail_as_its_recipe_has_it() {
    let rails = Ready {
        app: "rails",
        page: "rails",
        secrets: &["RAILS_INBOUND_EMAIL_PASSWORD"],
        program: Program::start(&ruby(), "rails/app.rb", &[("RAILS_INBOUND_EMAIL_PASSWORD", PASSWORD)]),
        statuses: (204, 401),
        maildir: Maildir::new(),
    };
    rails.takes(LATIN);
    assert_eq!(decoded(&rails.program.told("/inbound_emails")[0]["source"]), LATIN);
    rails.takes_the_proof();
}

#[test]
fn anymail_takes_a_mail_as_its_recipe_has_it() {
    let env = [("MAILGUN_SIGNING_KEY", PASSWORD.to_owned()), ("WEBHOOK_SECRET", format!("maildirq:{PASSWORD}"))];
    let anymail = Ready {
        app: "anymail",
        page: "anymail",
        secrets: &["ANYMAIL_MAILGUN_WEBHOOK_SIGNING_KEY", "ANYMAIL_WEBHOOK_PASSWORD"],
        program: Program::start(&python(), "django/app.py", &env),
        statuses: (200, 400),
        maildir: Maildir::new(),
    };
    anymail.takes(LATIN);
    let got = &anymail.program.told("/inbound")[0];
    assert_eq!((&got["subject"], &got["text"]), (&"8-bit".into(), &"Gr\u{fc}\u{df}e + 100 % & more = all\n".into()));
    anymail.takes_the_proof();
}

#[test]
fn what_laravel_mailbox_demands_stands_in_its_recipe() {
    let home = TempDir::new().unwrap();
    let inbox = home.path().join("inbox");
    let router = file("tests/apps/recipes/laravel.php");
    let env = [("MAILBOX_HTTP_PASSWORD", PASSWORD), ("INBOX", inbox.to_str().unwrap())];
    let laravel = Ready {
        app: "laravel",
        page: "laravel",
        secrets: &["MAILBOX_HTTP_PASSWORD"],
        program: by_command(&json!(["/usr/bin/php", "-S", "127.0.0.1:{port}", router]), &env),
        statuses: (200, 401),
        maildir: Maildir::new(),
    };
    laravel.takes(MAIL.as_bytes());
    assert_eq!(fs::read_to_string(inbox).unwrap(), MAIL);
    laravel.takes_the_proof();
}

#[test]
fn what_discourse_demands_stands_in_its_recipe() {
    let discourse = Ready {
        app: "discourse",
        page: "discourse",
        secrets: &["DISCOURSE_API_KEY"],
        program: Program::start(&ruby(), "recipes/forms.rb", &[("API_KEY", PASSWORD)]),
        statuses: (200, 403),
        maildir: Maildir::new(),
    };
    discourse.takes(LATIN);
    assert_eq!(decoded(&discourse.program.told("/mails")[0]["mail"]), LATIN);
    discourse.takes_the_proof();
}

#[test]
fn what_redmine_demands_stands_in_its_recipe() {
    let redmine = Ready {
        app: "redmine",
        page: "redmine",
        secrets: &["REDMINE_KEY"],
        program: Program::start(&ruby(), "recipes/forms.rb", &[("API_KEY", PASSWORD)]),
        statuses: (201, 403),
        maildir: Maildir::new(),
    };
    redmine.takes(LATIN);
    let got = &redmine.program.told("/mails")[0];
    assert_eq!((&got["subject"], &got["text"]), (&"8-bit".into(), &"Gr\u{fc}\u{df}e + 100 % & more = all\r\n".into()));
    let with_crlf: Vec<u8> = LATIN
        .split_inclusive(|byte| *byte == b'\n')
        .flat_map(|line| [&line[..line.len() - 1], b"\r\n"].concat())
        .collect();
    assert_eq!(decoded(&got["mail"]), with_crlf);

    redmine.takes_the_proof();
    redmine.maildir.deliver("To: support@example.org\n\nwho has written this?\n");
    let refused = redmine.drain(PASSWORD).run();
    assert_eq!((refused.exit(), redmine.maildir.dead().len()), (Exit::SomeDead, 1));
    said_by("redmine", &refused.wait_for_event("dead"));
}

fn decoded(base64: &Value) -> Vec<u8> {
    BASE64.decode(base64.as_str().unwrap().as_bytes()).unwrap()
}
