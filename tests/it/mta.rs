//! A real mail server in front, a real application behind: mail from SMTP to HTTP.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::postfix::Postfix;
use crate::support::{Answer, App, Exit, Maildirq, SOON, wait_until};

/// Debian's `nobody`, as whom Postfix delivers here.
const NOBODY: u32 = 65534;

/// A Postfix that takes mail for alice and for bob.
struct Office {
    postfix: Postfix,
    home: TempDir,
}

impl Office {
    fn open() -> Office {
        let home = TempDir::new().unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        let mailboxes = [("alice@office.test", "alice"), ("bob@office.test", "bob")];
        Office { postfix: Postfix::start(home.path(), &mailboxes), home }
    }

    fn maildir(&self, of: &str) -> PathBuf {
        self.home.path().join(of)
    }

    /// What waits for somebody, once it is this many mails.
    #[track_caller]
    fn wait_for_mail(&self, of: &str, count: usize) -> Vec<Vec<u8>> {
        let new = self.maildir(of).join("new");
        let names = || fs::read_dir(&new).unwrap().map(|entry| entry.unwrap().path());
        wait_until("Postfix to deliver", SOON, || names().count() == count);
        names().map(|path| fs::read(path).unwrap()).collect()
    }
}

/// Mails that an MTA can get wrong, or that we can.
fn odd_mails() -> Vec<Vec<u8>> {
    let line = "0123456789 ".repeat(6);
    vec![
        b"Subject: plain\n\nhello\n".to_vec(),
        "Subject: 8-bit \u{e4}\u{f6}\u{fc}\n\n\u{df}\n".into(),
        b"Subject: not even UTF-8\n\n\xff\xfe\x00\x80\n".to_vec(),
        b"Subject: dots\n\n.\n..\n.hidden\n\nFrom me\n".to_vec(),
        format!("Subject: 200 KiB\n\n{}", format!("{line}\n").repeat(200 * 1024 / 67 + 1)).into_bytes(),
    ]
}

#[test]
fn what_comes_by_smtp_arrives_at_the_app_byte_for_byte() {
    let (office, app) = (Office::open(), App::accepting());
    let watch = Maildirq::watch(office.maildir("alice"), &app.url()).start();
    let mails = odd_mails();
    for mail in &mails {
        office.postfix.submit("sender@client.test", &["alice@office.test"], mail);
    }
    app.wait_for_accepted(mails.len());
    assert_eq!(watch.stop(), Exit::Ok);

    let arrived: Vec<_> = app.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(arrived.len(), mails.len(), "each once");
    for mail in &mails {
        assert!(arrived.iter().any(|body| body.ends_with(mail)), "{}", String::from_utf8_lossy(&mail[..20]));
    }
    assert!(arrived.iter().all(|body| body.starts_with(b"Return-Path: <sender@client.test>\n")));
}

#[test]
fn mail_waits_for_an_app_that_is_down_and_arrives_as_postfix_has_written_it() {
    let (office, mut app) = (Office::open(), App::accepting());
    app.stop();
    let path = office.maildir("alice");
    let toml = format!(
        "maildir = '{}'\n[target.app]\nurl = '{}'\nbreaker = {{ after = 2, probe = '200ms' }}\n\
         retry = {{ min_delay = '200ms', max_delay = '200ms' }}\n",
        path.display(),
        app.url()
    );
    let watch = Maildirq::watch_config(&toml).start();
    let mails = odd_mails();
    for mail in &mails {
        office.postfix.submit("sender@client.test", &["alice@office.test"], mail);
    }
    let mut waiting = office.wait_for_mail("alice", mails.len());
    watch.wait_for_event("target_down");

    app.restart();
    app.wait_for_accepted(mails.len());
    assert_eq!(watch.stop(), Exit::Ok);
    let mut arrived: Vec<_> = app.requests().into_iter().map(|request| request.body).collect();
    waiting.sort();
    arrived.sort();
    assert!(arrived == waiting, "{} arrived, {} waited", arrived.len(), waiting.len());
    office.wait_for_mail("alice", 0);
}

#[test]
fn two_recipients_get_a_copy_each_and_one_may_be_a_plus_address() {
    let (office, alice, bob) = (Office::open(), App::accepting(), App::accepting());
    let watches =
        [("alice", &alice), ("bob", &bob)].map(|(name, app)| Maildirq::watch(office.maildir(name), &app.url()).start());
    let mail = b"Subject: for both\n\nhello\n";
    office.postfix.submit("sender@client.test", &["alice+orders@office.test", "bob@office.test"], mail);
    for app in [&alice, &bob] {
        app.wait_for_accepted(1);
    }
    for watch in watches {
        assert_eq!(watch.stop(), Exit::Ok);
    }

    for (app, address) in [(alice, "alice+orders@office.test"), (bob, "bob@office.test")] {
        let [request] = app.requests().try_into().expect("one copy");
        let text = String::from_utf8(request.body).unwrap();
        assert!(text.contains(&format!("\nDelivered-To: {address}\n")), "{text}");
        assert!(text.ends_with("Subject: for both\n\nhello\n"), "{text}");
    }
}

#[test]
fn started_as_root_it_becomes_the_owner_of_the_mail() {
    let (office, app) = (Office::open(), App::answering(|_| Answer::status(422)));
    let watch = Maildirq::watch(office.maildir("bob"), &app.url()).start();
    office.postfix.submit("sender@client.test", &["bob@office.test"], b"Subject: no\n\n.\n");
    watch.wait_for_event("dead");
    office.wait_for_mail("bob", 0);

    let status = fs::read_to_string(format!("/proc/{}/status", watch.pid().as_raw_nonzero())).unwrap();
    for kind in ["Uid", "Gid"] {
        let line = format!("{kind}:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}\n");
        assert!(status.contains(&line), "{status}");
    }
    assert!(status.contains(&format!("Groups:\t{NOBODY} \n")), "{status}");
    for made in ["maildirq/id", "maildirq/story", "maildirq/hands", ".maildirq.dead/new"] {
        let found = fs::metadata(office.maildir("bob").join(made)).unwrap();
        assert_eq!((found.uid(), found.mode() & 0o077), (NOBODY, 0), "{made}");
    }
    assert_eq!(watch.stop(), Exit::Ok);
}
