//! Mail of every size, from nothing to more than memory holds.

use std::ffi::OsString;
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use crate::support::{Answer, App, Exit, Gate, Launch, Maildir, Maildirq, SOON, holds_for, wait_until};

const MAIL: &str = "From: ada@example.org\nSubject: sizes\n\nHello\n";
/// In the kilobytes that the kernel counts memory in.
const MEGABYTE: u64 = 1024;

fn watch(maildir: &Maildir, app: &App) -> Launch {
    Maildirq::watch(maildir.path(), &app.url())
}

/// Why the one mail that is dead died.
fn epitaph(maildir: &Maildir) -> String {
    let [id] = &maildir.stories()[..] else { panic!("one story, not {:?}", maildir.stories()) };
    let last = maildir.story(id).pop().expect("a line in the story");
    assert_eq!(last["event"], "dead");
    last["reason"].as_str().unwrap().to_owned()
}

/// T21. A delivery without fsync leaves this after a power cut; but it is also how every copy begins.
#[test]
fn an_empty_file_is_held_while_it_is_fresh_and_set_aside_when_it_is_old() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let fresh = maildir.deliver("");
    let stale = maildir.deliver("");
    age(&maildir, &stale, Duration::from_secs(61));
    let maildirq = watch(&maildir, &app).start();
    wait_until("the old one is set aside", SOON, || maildir.dead().len() == 1);
    let mail = maildir.deliver(MAIL);
    wait_until("mail flows", SOON, || !maildir.message(&mail).exists());
    holds_for("the fresh one is held", Duration::from_secs(1), || maildir.waiting() == [fresh.clone()]);
    assert_eq!(maildirq.stop(), Exit::Ok);

    assert_eq!(app.count(), 1);
    assert_eq!(maildir.dead()[0].file_name(), Some(&*stale));
    assert!(epitaph(&maildir).starts_with("empty"), "{}", epitaph(&maildir));
}

fn age(maildir: &Maildir, name: &OsString, age: Duration) {
    let file = File::options().append(true).open(maildir.message(name)).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

/// T21
#[test]
fn an_empty_file_that_is_filled_after_all_is_a_mail() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let name = maildir.deliver("");
    maildir.deliver(MAIL);
    let maildirq = watch(&maildir, &app).start();
    app.wait_for_accepted(1);
    fs::write(maildir.message(&name), "From: late@example.org\n\nat last\n").unwrap();
    app.wait_for_accepted(2);
    assert_eq!(maildirq.stop(), Exit::Ok);
    assert_eq!(app.requests()[1].body, b"From: late@example.org\n\nat last\n");
}

/// T21
#[test]
fn a_file_of_zeros_is_set_aside() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    maildir.deliver([0; 3000]);
    maildir.deliver(MAIL);
    let maildirq = Maildirq::drain(maildir.path(), &app.url()).run();
    assert_eq!(maildirq.exit(), Exit::SomeDead);
    assert_eq!((app.count(), maildir.dead().len()), (1, 1));
    assert!(epitaph(&maildir).starts_with("all zeros"), "{}", epitaph(&maildir));
}

/// T22
#[test]
fn a_mail_may_be_as_large_as_max_size_and_not_a_byte_larger() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    maildir.deliver([b'x'; 1000]);
    let larger = maildir.deliver([b'y'; 1001]);
    maildir.deliver(MAIL);
    let (path, url) = (maildir.path().display(), app.url());
    let config = format!("maildir = \"{path}\"\nmax_size = \"1KB\"\n[target.app]\nurl = \"{url}\"\n");
    let maildirq = Maildirq::drain_config(&config).run();

    assert_eq!(maildirq.exit(), Exit::SomeDead);
    assert_eq!((app.accepted().len(), maildir.waiting().len()), (2, 0));
    assert_eq!(maildir.dead()[0].file_name(), Some(&*larger));
    assert_eq!(fs::read(&maildir.dead()[0]).unwrap(), [b'y'; 1001]);
    assert_eq!(epitaph(&maildir), "oversized: 1001 bytes, max_size is 1000");
    assert_eq!(maildirq.events("dead")[0]["reason"], "oversized: 1001 bytes, max_size is 1000");
}

/// T22
#[test]
fn five_gigabytes_are_set_aside_without_being_read() {
    const SIZE: u64 = 5 << 30;
    let (maildir, app) = (Maildir::new(), App::accepting());
    let giant = maildir.tmp_folder().join("giant");
    File::create(&giant).and_then(|file| file.set_len(SIZE)).unwrap();
    fs::rename(giant, maildir.message("1762087331.M1.mx")).unwrap();
    let maildirq = watch(&maildir, &app).start();
    wait_until("it is set aside", SOON, || maildir.dead().len() == 1);
    maildir.deliver(MAIL);
    app.wait_for_accepted(1);

    let peak = maildirq.peak_memory();
    assert!(peak < 64 * MEGABYTE, "{peak} kB");
    assert_eq!(maildirq.stop(), Exit::Ok);
    assert_eq!((app.count(), fs::metadata(&maildir.dead()[0]).unwrap().len()), (1, SIZE));
    assert!(epitaph(&maildir).starts_with("oversized: 5368709120 bytes"), "{}", epitaph(&maildir));
}

/// T22
#[test]
fn a_hundred_megabytes_arrive_whole_and_are_never_in_memory_at_once() {
    const SIZE: usize = 100_000_000;
    let (maildir, app) = (Maildir::new(), App::accepting());
    let mail = large_mail(SIZE);
    maildir.deliver(&mail);
    let maildirq = watch(&maildir, &app).start();
    app.wait_for_accepted(1);

    let peak = maildirq.peak_memory();
    assert!(peak < 64 * MEGABYTE, "{peak} kB");
    assert_eq!(maildirq.stop(), Exit::Ok);
    let request = app.requests().remove(0);
    assert_eq!(request.header("content-length"), Some(&*SIZE.to_string()));
    assert_eq!(request.header("transfer-encoding"), None);
    assert!(request.body == mail, "it was altered on the way");
    assert_eq!((app.count(), maildir.waiting().len()), (1, 0));
}

/// T22
#[test]
fn ordinary_mail_waits_for_no_mail_that_is_huge() {
    const HUGE: usize = 100_000_000;
    let (maildir, gate) = (Maildir::new(), Gate::closed());
    let app = App::answering({
        let gate = gate.clone();
        move |request| if request.body.len() == HUGE { Answer::ok().through(&gate) } else { Answer::ok() }
    });
    let giant = maildir.tmp_folder().join("giant");
    File::create(&giant).and_then(|file| file.set_len(5 << 30)).unwrap();
    fs::rename(giant, maildir.message("1762087331.M1.mx")).unwrap();
    let huge = maildir.deliver(large_mail(HUGE));
    (0..20).for_each(|_| drop(maildir.deliver(MAIL)));
    let maildirq = watch(&maildir, &app).start();
    wait_until("all but the huge one are gone", SOON, || maildir.waiting() == [huge.clone()]);

    app.wait_for_accepted(21);
    let peak = maildirq.peak_memory();
    assert!(peak < 64 * MEGABYTE, "{peak} kB");
    assert_eq!((maildir.waiting(), maildir.dead().len()), (vec![huge], 1), "the huge one waits for its answer");
    gate.open();
    wait_until("the huge one is gone", SOON, || maildir.waiting().is_empty());
    assert_eq!(maildirq.stop(), Exit::Ok);
}

/// Every part of it is unlike every other.
fn large_mail(size: usize) -> Vec<u8> {
    let mut mail = MAIL.as_bytes().to_vec();
    mail.extend((0..size / 8).flat_map(usize::to_le_bytes));
    mail.truncate(size);
    mail
}
