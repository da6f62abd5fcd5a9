//! What else may lie in `new/`: files that are no mail, mail with odd names, mail that cannot be read.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::process::Signal;

use crate::support::{
    Allowed, Answer, App, Exit, Launch, Ledger, Maildir, Maildirq, Request, SOON, holds_for, skipped, wait_until,
};

const MAIL: &str = "From: ada@example.org\nSubject: zoo\n\nHello\n";

/// Searches so often that whatever is reported at each search shows.
fn watch_searching(maildir: &Maildir, app: &App) -> Launch {
    watch(maildir, app, "50ms")
}

fn watch(maildir: &Maildir, app: &App, rescan: &str) -> Launch {
    let (path, url) = (maildir.path().display(), app.url());
    Maildirq::watch_config(&format!("maildir = \"{path}\"\nrescan = \"{rescan}\"\n[target.app]\nurl = \"{url}\"\n"))
}

type Put = fn(&Path);
const ZOO: [(&str, Put); 4] =
    [("a symbolic link", put_link), ("a pipe", put_pipe), ("a socket", put_socket), ("a folder", put_folder)];

/// T19. A search sees what kind of file there is; after an event nothing but a careful open tells.
#[test]
fn what_is_no_mail_is_reported_once_and_left_alone() {
    for (comes_late, rescan) in [(false, "50ms"), (true, "50ms"), (true, "1h")] {
        let (maildir, app) = (Maildir::new(), App::accepting());
        if !comes_late {
            open_zoo(&maildir);
        }
        let maildirq = watch(&maildir, &app, rescan).start();
        deliver_and_wait(&maildir);
        if comes_late {
            open_zoo(&maildir);
        }
        maildirq.wait_for_events("no_message", ZOO.len());
        for _ in 0..20 {
            deliver_and_wait(&maildir);
        }
        holds_for("nothing is said again", Duration::from_millis(300), || {
            maildirq.events("no_message").len() == ZOO.len()
        });
        assert_eq!(maildirq.stop(), Exit::Ok);

        let said: Vec<_> = maildirq.events("no_message").iter().map(|line| line["message"].to_string()).collect();
        for (kind, _) in ZOO {
            assert!(said.iter().any(|said| said.contains(kind)), "{kind} is not among {said:?}");
        }
        assert_eq!((app.count(), maildir.waiting().len(), maildir.dead().len()), (21, ZOO.len(), 0));
    }
}

fn open_zoo(maildir: &Maildir) {
    for (number, (_, put)) in ZOO.iter().enumerate() {
        put(&maildir.message(number.to_string()));
    }
}

fn deliver_and_wait(maildir: &Maildir) {
    let name = maildir.deliver(MAIL);
    wait_until("mail flows", SOON, || !maildir.message(&name).exists());
}

fn put_link(at: &Path) {
    symlink("/etc/hostname", at).unwrap();
}

fn put_pipe(at: &Path) {
    mknodat(CWD, at, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// Closed at once, but its name stays.
fn put_socket(at: &Path) {
    UnixListener::bind(at).unwrap();
}

fn put_folder(at: &Path) {
    fs::create_dir(at).unwrap();
    fs::write(at.join("1762087331.M1.mx"), MAIL).unwrap();
}

/// T19
#[test]
fn a_device_is_never_read() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let maildirq = watch(&maildir, &app, "1h").start();
    deliver_and_wait(&maildir);
    // /dev/zero it is: a mail without end.
    let zeros = maildir.message("zero");
    if let Err(why) = mknodat(CWD, &zeros, FileType::CharacterDevice, Mode::RUSR | Mode::WUSR, makedev(1, 5)) {
        return skipped(format_args!("cannot make a device: {why}"));
    }
    let report = maildirq.wait_for_event("no_message");
    assert!(report["message"].as_str().unwrap().contains("a device"), "{report}");
    deliver_and_wait(&maildir);
    assert_eq!(maildirq.stop(), Exit::Ok);
    assert_eq!((app.count(), maildir.waiting()), (2, vec!["zero".into()]));
}

/// tmpfs lists the newest first, so the search meets all of them before the mail.
#[test]
fn dotfiles_hide_no_mail_however_many_they_are() {
    let (maildir, app) = (Maildir::in_memory(), App::accepting());
    maildir.deliver(b"Subject: behind them\n\nhi\n");
    for number in 0..3000 {
        fs::write(maildir.new_folder().join(format!(".{number}")), "").unwrap();
    }

    assert_eq!(Maildirq::drain(&maildir, &app.url()).run().exit(), Exit::Ok);
    assert_eq!(app.count(), 1);
}

/// T19
#[test]
fn a_dotfile_is_nobodys_business() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    maildir.deliver_as(".early", MAIL);
    let maildirq = watch_searching(&maildir, &app).start();
    deliver_and_wait(&maildir);
    maildir.deliver_as(".late", MAIL);
    deliver_and_wait(&maildir);
    assert_eq!(maildirq.stop(), Exit::Ok);
    assert_eq!(app.count(), 2);
    assert_eq!(maildir.waiting(), [".early", ".late"]);
    assert!(!maildirq.lines().concat().contains(".early"), "there is nothing to be said of it");
}

/// T19. Every delivery by link has two names for a moment, and hard-linked backups have them for long.
#[test]
fn two_names_of_one_file_are_two_messages_one_after_the_other() {
    let (maildir, app) = (Maildir::new(), App::answering(|_| Answer::ok().after(Duration::from_millis(100))));
    let first = maildir.deliver(MAIL);
    fs::hard_link(maildir.message(&first), maildir.message("1762087331.M2.mx")).unwrap();
    let maildirq = watch_searching(&maildir, &app).start();
    app.wait_for_accepted(2);
    assert_eq!(maildirq.stop(), Exit::Ok);
    assert_eq!((app.count(), app.most_at_once()), (2, 1));
    assert_eq!(maildir.waiting().len(), 0);
}

/// Names that a shell, a terminal, a log or a parser could trip over.
fn odd_names() -> Vec<OsString> {
    [
        b"two\nlines".as_slice(),
        b"{\"event\":\"forged\"}\n{\"event\":\"forged\"}",
        b"\x1b]0;owned\x07\x1b[31mred",
        b"carriage\rreturn\ttab\x7f\x01",
        b"latin1-\xe9\xff\xfe",
        "bidi-\u{202e}gpj.exe".as_bytes(),
        b"-rf",
        b"--help",
        b":2,S",
        b"1762087331.M1.mx:2,S",
        b"$(id)",
        b"`id`;id|id&",
        b"%00%2e%2e%s%n",
        b"blank name ",
        b"\\x41\\n",
        &[b'x'; 255],
        &[0xff; 255],
        &[b'\n'; 255],
    ]
    .map(|name| OsString::from_vec(name.to_vec()))
    .into()
}

/// T20
#[test]
fn mail_is_posted_whatever_its_name_and_the_log_shows_nothing_that_acts() {
    let names = odd_names();
    for in_text in [false, true] {
        let (maildir, app) = (Maildir::new(), App::answering(refuse_first));
        for name in &names {
            maildir.deliver_as(name, MAIL);
        }
        let launch = watch_searching(&maildir, &app);
        let maildirq = if in_text { launch.log_text() } else { launch }.start();
        app.wait_for_accepted(names.len());
        assert_eq!(maildirq.stop(), Exit::Ok);

        assert_eq!(maildir.waiting(), [""; 0]);
        let lines = maildirq.lines();
        for line in &lines {
            assert!(line.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{line:?}");
        }
        let done = lines.iter().filter(|line| line.contains("done") && !line.contains("stopped")).count();
        assert_eq!(done, names.len(), "a line for each");
        if !in_text {
            assert_eq!(maildirq.events("forged").len(), 0);
            assert_eq!(maildirq.events("attempt").len(), 2 * names.len());
        }
    }
}

/// So that the names come into stories and reasons, too.
fn refuse_first(request: &Request) -> Answer {
    match request.attempt() {
        Some(1) => Answer::status(400).body("\x1b[31mno\n\u{202e}").header("retry-after", 1),
        _ => Answer::ok(),
    }
}

/// T20
#[test]
fn refused_mail_is_set_aside_whatever_its_name() {
    let (maildir, app) = (Maildir::new(), App::answering(|_| Answer::status(422)));
    let names = odd_names();
    for name in &names {
        maildir.deliver_as(name, MAIL);
    }
    let maildirq = Maildirq::drain(maildir.path(), &app.url()).run();
    assert_eq!(maildirq.exit(), Exit::SomeDead);
    assert_eq!((app.count(), maildir.waiting().len()), (names.len(), 0));
    let dead: Vec<_> = maildir.dead().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    for name in &names {
        assert!(dead.contains(name), "{} is not among the dead", name.display());
    }
}

/// maildir(5): a mail's time is when it was delivered, and its bytes are its own.
#[test]
fn a_mail_that_failed_lies_in_new_untouched() {
    let (maildir, app) = (Maildir::new(), App::answering(|_| Answer::status(400).header("retry-after", 1)));
    let name = maildir.deliver(MAIL);
    let file = fs::File::options().append(true).open(maildir.message(&name)).unwrap();
    let delivered = SystemTime::now() - Duration::from_hours(1);
    file.set_modified(delivered).unwrap();
    drop(file);
    let maildirq = watch_searching(&maildir, &app).start();
    maildirq.wait_for_events("attempt", 2);
    assert_eq!(maildirq.stop(), Exit::Ok);

    assert_eq!(maildir.waiting(), [&*name]);
    assert_eq!(fs::read_to_string(maildir.message(&name)).unwrap(), MAIL);
    assert_eq!(fs::metadata(maildir.message(&name)).unwrap().modified().unwrap(), delivered);
}

#[test]
fn done_mail_is_kept_where_that_is_wanted() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let name = maildir.deliver(MAIL);
    let (path, url) = (maildir.path().display(), app.url());
    let config = format!("maildir = \"{path}\"\ndone = \"keep\"\n[target.app]\nurl = \"{url}\"\n");
    let maildirq = Maildirq::drain_config(&config).run();
    assert_eq!(maildirq.exit(), Exit::Ok);
    assert_eq!(maildir.done(), [maildir.path().join(".maildirq.done/new").join(name)]);
    assert_eq!(fs::read_to_string(&maildir.done()[0]).unwrap(), MAIL);
    assert_eq!((app.count(), maildir.waiting().len()), (1, 0));
}

/// T39
#[test]
fn root_becomes_the_owner_and_leaves_alone_what_the_owner_cannot_read() {
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        return skipped("only root can become somebody else");
    }
    let (maildir, app) = (Maildir::new(), App::accepting());
    maildir.give_to(NOBODY);
    let secret = maildir.deliver(MAIL);
    fs::set_permissions(maildir.message(&secret), Permissions::from_mode(0o000)).unwrap();

    let maildirq = watch_searching(&maildir, &app).start();
    let complaint = maildirq.wait_for_event("unreadable");
    assert_eq!(complaint["file"], secret.to_str().unwrap());
    assert!(complaint["reason"].as_str().unwrap().contains("Permission denied"), "{complaint}");
    assert_eq!(maildirq.uid(), NOBODY);
    maildir.deliver(MAIL);
    app.wait_for_accepted(1);
    holds_for("it is said once", Duration::from_millis(1500), || maildirq.events("unreadable").len() == 1);
    assert_eq!(maildirq.stop(), Exit::Ok);
    assert_eq!((app.count(), maildir.waiting()), (1, vec![secret]));
}

type Take = fn(&Maildir);
type Give = fn(&Maildir);
/// What the owner may no longer do, and how that is put right.
const PROHIBITIONS: [(&str, Take, Give); 3] = [
    ("unreadable", |maildir| set_modes(maildir, 0o000), |maildir| set_modes(maildir, 0o600)),
    (
        "settle_failed",
        |maildir| set_mode(&maildir.new_folder(), 0o555),
        |maildir| set_mode(&maildir.new_folder(), 0o755),
    ),
    ("hampered", |maildir| set_mode(&maildir.new_folder(), 0o000), |maildir| set_mode(&maildir.new_folder(), 0o755)),
];

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn set_modes(maildir: &Maildir, mode: u32) {
    maildir.waiting().iter().for_each(|name| set_mode(&maildir.message(name), mode));
}

/// T39
#[test]
fn what_is_not_permitted_is_said_waited_for_and_then_done() {
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        return skipped("only root can become somebody else");
    }
    for (event, take, give) in PROHIBITIONS {
        let (maildir, app) = (Maildir::in_memory(), App::accepting());
        maildir.give_to(NOBODY);
        let maildirq = watch_searching(&maildir, &app).start();
        maildirq.wait_for_event("ready");
        let mut ledger = Ledger::produce(&maildir, 5, 39);
        wait_until("all is done", SOON, || maildir.waiting().is_empty());
        assert_eq!(maildirq.uid(), NOBODY);

        maildirq.signal(Signal::TSTP);
        maildirq.wait_for_event("quiet");
        ledger.produce_more(5, 40);
        give_waiting_to(&maildir, NOBODY);
        take(&maildir);
        maildirq.signal(Signal::CONT);
        maildirq.wait_for_event(event);
        let before = maildirq.naps("");
        let mut naps = 0;
        holds_for("it does not run in circles", Duration::from_secs(1), || {
            naps = maildirq.naps("") - before;
            naps < 400
        });
        let (said, most) = (maildirq.events(event).len(), if event == "hampered" { 2 } else { 5 });
        assert!(said <= most, "once for each message, or for searching and for watching, but not {said} times");

        give(&maildir);
        wait_until("all is done", SOON, || maildir.waiting().is_empty());
        assert_eq!(maildirq.stop(), Exit::Ok);
        let verdict = ledger.check(&app.deliveries(), Allowed::crashes(1, 8));
        assert_eq!(verdict.accepted, 10, "{verdict}");
        println!("{event}: {naps} naps, {verdict}");
    }
}

fn give_waiting_to(maildir: &Maildir, uid: u32) {
    for name in maildir.waiting() {
        std::os::unix::fs::chown(maildir.message(name), Some(uid), Some(uid)).unwrap();
    }
}
