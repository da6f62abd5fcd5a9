//! Handlers of one's own, which take signed JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;

use super::{MAIL, by_command, drain, file, prove, said_by};
use crate::support::program::{Program, python};
use crate::support::{App, Exit, Launch, Maildir, Request, client};

const SECRET: &str = "whsec_aHVudGVyMi1odW50ZXIyLWh1bnRlcjItaHVudGVyMg==";
const OURS: (&str, &str) = ("MAILDIRQ_SIGNING_SECRET", SECRET);
const OTHER: &str = "whsec_b3RoZXItaHVudGVyMi1odW50ZXIyLWh1bnRlcjI=";

/// An application with the code of a recipe.
struct Recipe {
    /// For `maildirq init --app`.
    app: &'static str,
    page: &'static str,
    start: fn(&Path) -> Program,
    /// The path that it takes mail at.
    path: &'static str,
    /// What it has kept, by id.
    kept: fn(&Path) -> BTreeMap<String, Value>,
}

const DJANGO: Recipe = Recipe {
    app: "django",
    page: "django",
    start: |home| {
        let env = [OURS, ("INBOUND_MAIL_DATABASE", &*database(home))];
        Program::start(&python(), "recipes/django_project.py", &env)
    },
    path: "/inbound-mail/",
    kept: |home| rows(home, "inbound_mail_inboundmail"),
};

const FASTAPI: Recipe = Recipe {
    app: "fastapi",
    page: "fastapi",
    start: |home| {
        let apps = file("deploy/apps");
        let uvicorn = json!([python(), "-m", "uvicorn", "fastapi_app:app", "--app-dir", apps, "--port", "{port}"]);
        by_command(&uvicorn, &[OURS, ("INBOUND_MAIL_DATABASE", &database(home))])
    },
    path: "/inbound-mail",
    kept: |home| rows(home, "inbound_mail"),
};

const EXPRESS: Recipe = Recipe {
    app: "node",
    page: "express",
    start: |home| {
        // Where Debian has its packages, for a node that is not Debian's.
        let env = [OURS, ("NODE_PATH", "/usr/share/nodejs"), ("INBOUND_MAIL_FOLDER", home.to_str().unwrap())];
        by_command(&json!(["node", file("deploy/apps/express.js")]), &env)
    },
    path: "/inbound-mail",
    kept: files,
};

const MOJOLICIOUS: Recipe = Recipe {
    app: "perl",
    page: "mojolicious",
    start: |home| {
        let script = file("deploy/apps/mojolicious.pl");
        let command = json!(["/usr/bin/perl", script, "daemon", "-l", "http://127.0.0.1:{port}"]);
        by_command(&command, &[OURS, ("INBOUND_MAIL_DSN", &format!("dbi:SQLite:{}", database(home)))])
    },
    path: "/inbound-mail",
    kept: |home| rows(home, "inbound_mail"),
};

const PHP: Recipe = Recipe {
    app: "php",
    page: "php",
    start: |home| {
        let command = json!(["/usr/bin/php", "-S", "127.0.0.1:{port}", "-t", file("deploy/apps")]);
        by_command(&command, &[OURS, ("INBOUND_MAIL_DSN", &format!("sqlite:{}", database(home)))])
    },
    path: "/inbound-mail.php",
    kept: |home| rows(home, "inbound_mail"),
};

#[test]
fn the_view_for_django_takes_what_is_ours_and_that_once() {
    try_out(&DJANGO);
}

#[test]
fn the_endpoint_for_fastapi_takes_what_is_ours_and_that_once() {
    try_out(&FASTAPI);
}

#[test]
fn the_handler_for_express_takes_what_is_ours_and_that_once() {
    try_out(&EXPRESS);
}

#[test]
fn the_app_for_mojolicious_takes_what_is_ours_and_that_once() {
    try_out(&MOJOLICIOUS);
}

#[test]
fn the_script_for_php_takes_what_is_ours_and_that_once() {
    try_out(&PHP);
}

/// The proof has 5 MB, which is above the other frameworks' limits.
#[test]
fn the_app_for_mojolicious_takes_more_than_the_16_mib_that_its_framework_takes_unless_told() {
    Trial::of(&MOJOLICIOUS).takes_a_large_mail();
}

fn try_out(recipe: &Recipe) {
    let app = Trial::of(recipe);
    app.takes_a_mail();
    app.takes_the_proof();
    app.knows_a_mail_that_comes_again();
    app.refuses_what_is_signed_by_another_secret();
    app.refuses_what_is_not_as_it_was_signed();
    app.says_so_when_it_cannot_keep_a_mail();
}

/// An application that runs.
struct Trial<'a> {
    recipe: &'a Recipe,
    program: Program,
    home: TempDir,
    maildir: Maildir,
}

impl Trial<'_> {
    fn of(recipe: &Recipe) -> Trial<'_> {
        let home = TempDir::new().unwrap();
        Trial { recipe, program: (recipe.start)(home.path()), home, maildir: Maildir::new() }
    }

    fn drain(&self, secret: &str) -> Launch {
        drain(self.recipe.app, &self.program.url(""), &self.maildir).env("MAILDIRQ_SIGNING_SECRET", secret)
    }

    fn kept(&self) -> BTreeMap<String, Value> {
        (self.recipe.kept)(self.home.path())
    }

    #[track_caller]
    fn takes(&self, mail: &str) -> Value {
        let before = self.kept_so_far();
        self.maildir.deliver(mail);
        let drain = self.drain(SECRET).run();
        assert_eq!((drain.exit(), self.maildir.waiting().len()), (Exit::Ok, 0));
        let attempt = drain.wait_for_event("attempt");
        assert_eq!(attempt["status"], 204, "{attempt}");
        let mut kept = self.kept();
        assert_eq!(kept.len(), before + 1);
        kept.remove(attempt["id"].as_str().unwrap()).expect("it is kept under its id")
    }

    /// There is no table before there is a mail.
    fn kept_so_far(&self) -> usize {
        if self.home.path().join("mail.sqlite3").exists() || self.recipe.app == "node" { self.kept().len() } else { 0 }
    }

    fn takes_a_mail(&self) {
        let message = self.takes(MAIL);
        assert_eq!((&message["subject"], &message["text"]), (&"café".into(), &"Hello\n".into()));
        assert_eq!(message["from"][0]["address"], "ada@example.com");
    }

    fn takes_the_proof(&self) {
        let kept = self.kept().len();
        let send =
            prove(self.recipe.app, &self.program.url(""), &self.maildir).env("MAILDIRQ_SIGNING_SECRET", SECRET).run();
        assert_eq!((send.exit(), self.kept().len()), (Exit::Ok, kept + 1), "{}", send.stdout());
    }

    fn takes_a_large_mail(&self) {
        let file = "A".repeat(17 << 20);
        let mail = format!(
            "MIME-Version: 1.0\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n{file}\n"
        );
        assert_eq!(self.takes(&mail)["attachments"][0]["size"], file.len() / 4 * 3);
    }

    fn knows_a_mail_that_comes_again(&self) {
        self.maildir.deliver(MAIL);
        let killed = self.drain(SECRET).args(["--concurrency", "1"]).killed_at("unlinkat", 1).run();
        assert_eq!((killed.exit(), self.maildir.waiting().len()), (Exit::Signal(9), 1));
        let kept = self.kept();
        let again = self.drain(SECRET).run();
        assert_eq!((again.exit(), self.maildir.waiting().len()), (Exit::Ok, 0));
        let attempt = again.wait_for_event("attempt");
        assert_eq!(attempt["status"], 204, "{attempt}");
        assert!(kept.contains_key(attempt["id"].as_str().unwrap()), "it has come before");
        assert_eq!(self.kept(), kept);
    }

    fn refuses_what_is_signed_by_another_secret(&self) {
        let (kept, name) = (self.kept(), self.maildir.deliver(MAIL));
        let drain = self.drain(OTHER).run();
        assert_eq!((drain.exit(), self.maildir.waiting()), (Exit::SomeWait, vec![name]));
        let attempt = drain.wait_for_event("attempt");
        assert_eq!((&attempt["status"], self.kept()), (&401.into(), kept));
        said_by(self.recipe.page, &attempt);
        assert_eq!(self.drain(SECRET).arg("--wait-retries").run().exit(), Exit::Ok);
    }

    fn refuses_what_is_not_as_it_was_signed(&self) {
        let Request { body, .. } = what_is_sent(self.recipe.app);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let signed = |id: &str, time: u64, body: &[u8]| (id.to_owned(), time.to_string(), signature(id, time, body));
        let (id, time, right) = signed("first", now, &body);
        let post = |id: &str, time: &str, signature: &str, body: &[u8]| {
            let type_ = ("content-type", "application/json");
            let headers = [type_, ("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", signature)];
            client::post(&self.program.url(self.recipe.path), &headers, body).0
        };
        let kept = self.kept();

        let changed = [&body[..body.len() - 1], b" }"].concat();
        assert_eq!(post(&id, &time, &right, &changed), 401, "another body");
        assert_eq!(post("second", &time, &right, &body), 401, "another id");
        assert_eq!(post(&id, &(now - 1).to_string(), &right, &body), 401, "another time");
        assert_eq!(post(&id, &time, "v1,", &body), 401, "no signature");
        assert_eq!(post(&id, &time, &right.replace("v1,", "v1,A"), &body), 401, "a longer signature");
        for age in [-400_i64, 400] {
            let (id, time, right) = signed("first", now.saturating_add_signed(age), &body);
            assert_eq!(post(&id, &time, &right, &body), 401, "signed {age} s from now");
        }
        let (_, _, bare) = signed("", now, &body);
        let headers = [("content-type", "application/json"), ("webhook-signature", &*bare)];
        assert_eq!(
            client::post(&self.program.url(self.recipe.path), &headers, &body).0,
            401,
            "nothing but a signature"
        );
        assert_eq!(self.kept(), kept);

        let both = format!("{} {right}", signature("other", now, b"other"));
        assert_eq!(post(&id, &time, &both, &body), 204, "signed by the old secret and by the new one");
        assert_eq!(self.kept().len(), kept.len() + 1);
    }

    fn says_so_when_it_cannot_keep_a_mail(&self) {
        let name = self.maildir.deliver(MAIL);
        fs::remove_dir_all(self.home.path()).unwrap();
        let drain = self.drain(SECRET).run();
        assert_eq!((drain.exit(), self.maildir.waiting()), (Exit::SomeWait, vec![name]));
        let attempt = drain.wait_for_event("attempt");
        assert_eq!(attempt["status"], 500, "{attempt}");
    }
}

/// The request by which an application would get a mail.
fn what_is_sent(app: &str) -> Request {
    let (maildir, taker) = (Maildir::new(), App::accepting());
    maildir.deliver(MAIL);
    let drain = drain(app, &taker.url(), &maildir).env("MAILDIRQ_SIGNING_SECRET", SECRET).run();
    assert_eq!(drain.exit(), Exit::Ok);
    let [request] = taker.requests().try_into().expect("one request");
    request
}

fn signature(id: &str, time: u64, body: &[u8]) -> String {
    let key = BASE64.decode(SECRET.strip_prefix("whsec_").unwrap().as_bytes()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(&[format!("{id}.{time}.").as_bytes(), body].concat());
    format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
}

fn database(home: &Path) -> String {
    home.join("mail.sqlite3").to_str().unwrap().to_owned()
}

pub(super) fn rows(home: &Path, table: &str) -> BTreeMap<String, Value> {
    const READ: &str = "import json, sqlite3, sys\n\
        rows = sqlite3.connect(sys.argv[1]).execute(f'SELECT id, message FROM {sys.argv[2]}')\n\
        print(json.dumps({id: json.loads(message) for id, message in rows}))";
    let output = Command::new(python()).args(["-c", READ, &database(home), table]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn files(home: &Path) -> BTreeMap<String, Value> {
    let message = |path: PathBuf| {
        let id = path.file_name().unwrap().to_str().unwrap().strip_suffix(".json").expect("nothing else is there");
        (id.to_owned(), serde_json::from_slice(&fs::read(&path).unwrap()).unwrap())
    };
    fs::read_dir(home).unwrap().map(|entry| message(entry.unwrap().path())).collect()
}
