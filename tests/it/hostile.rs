//! Hostile mail: every class of it goes through the whole program, in little time and memory, and arrives whole
//! (T23). An optimized program has mail as large as Postfix takes it by default; one for debugging is about ten times
//! as slow, so its mail is a tenth of that. The bounds are the same, but [`LEAST`] is more than [`TIMES`] so little.

mod classes;

use std::time::Duration;

use data_encoding::BASE64;
use maildirq::mail;
use serde_json::Value;

use classes::Class;

use crate::support::digest::sha256;
use crate::support::launch::is_optimized;
use crate::support::{Answer, App, Exit, Gate, Maildir, Maildirq, Request};

/// Of a mail, in bytes.
fn size() -> usize {
    if is_optimized() { 10_240_000 } else { 1_000_000 }
}

/// Of the user's and the system's together, that a mail may take.
const CPU: Duration = Duration::from_secs(1);
/// How many times its size a mail may take in memory, above what a small mail takes.
const TIMES: u64 = 8;
/// What any mail may take, in kilobytes: a text of 1 MiB can become six in JSON, once whole and once as the reply.
const LEAST: u64 = 16 * 1024;
/// What memory is measured to, in kilobytes: threads' stacks and what the allocator keeps.
const GRAIN: u64 = 2 * 1024;

const JSON: &str = "format = \"json\"\n";
const RAW: &str = "format = \"raw\"\n";

/// What a mail took, and what came of it.
struct Taken {
    cpu: Duration,
    /// At the worst moment, in kilobytes.
    memory: u64,
    request: Request,
}

/// The mail through a process of its own. All of its work is done when the answer is awaited, but for the removal.
fn take(mail: &[u8], settings: &str) -> Taken {
    let (maildir, gate) = (Maildir::new(), Gate::closed());
    let app = App::answering({
        let gate = gate.clone();
        move |_| Answer::ok().through(&gate)
    });
    maildir.deliver(mail);
    let drain = Maildirq::drain_with(&maildir, &app.url(), settings).start();
    app.wait_for_requests(1);
    let memory = drain.peak_memory();
    gate.open();
    assert_eq!(drain.exit(), Exit::Ok);
    assert_eq!((app.count(), maildir.waiting().len(), maildir.dead().len()), (1, 0, 0));
    Taken { cpu: drain.cpu(), memory, request: app.requests().remove(0) }
}

#[track_caller]
fn assert_is_cheap(what: &str, mail: &[u8], taken: &Taken, usual: &Taken) {
    let memory = taken.memory.saturating_sub(usual.memory);
    let allowed = (TIMES * mail.len() as u64 / 1024).max(LEAST) + GRAIN;
    println!("{what}: {} bytes, {:?}, {memory} kB", mail.len(), taken.cpu);
    assert!(memory <= allowed, "{what}: {memory} kB for {} bytes", mail.len());
    assert!(taken.cpu <= CPU, "{what}: {:?} of CPU for {} bytes", taken.cpu, mail.len());
}

fn each_is_cheap_and_whole(classes: &[Class]) {
    let usual = take(b"Subject: x\n\nhello\n", JSON);
    let size = size();
    for (what, make) in classes {
        let mail = make(size);
        assert!(mail.len() > size / 2 && mail.len() < size + size / 10, "{what}: {} bytes", mail.len());
        let taken = take(&mail, JSON);
        assert_is_cheap(what, &mail, &taken, &usual);
        assert_is_whole(what, &mail, &taken.request.body);
    }
}

/// The object has the digest of the mail, and the mail itself where it is not parsed.
#[track_caller]
fn assert_is_whole(what: &str, mail: &[u8], object: &[u8]) {
    let object: Value = serde_json::from_slice(object).unwrap();
    assert_eq!((&object["size"], &object["sha256"]), (&mail.len().into(), &sha256(mail).into()), "{what}");
    let is_parsed = mail::read(mail).refusal.is_none();
    assert_eq!(object["parsed"], is_parsed, "{what}: {}", object["parse_error"]);
    let raw = object["raw"].as_str().map(|raw| BASE64.decode(raw.as_bytes()).unwrap());
    assert!(if is_parsed { raw.is_none() } else { raw.as_deref() == Some(mail) }, "{what}");
}

/// T23
#[test]
fn no_header_takes_long_or_much() {
    each_is_cheap_and_whole(classes::HEADERS);
}

/// T23
#[test]
fn no_parts_take_long_or_much() {
    each_is_cheap_and_whole(classes::PARTS);
}

/// T23
#[test]
fn no_text_takes_long_or_much() {
    each_is_cheap_and_whole(classes::TEXTS);
}

/// T23. What is not parsed costs next to nothing.
#[test]
fn all_of_them_are_passed_on_as_they_are() {
    let (maildir, app) = (Maildir::new(), App::accepting());
    let classes = [classes::HEADERS, classes::PARTS, classes::TEXTS].concat();
    let mut delivered: Vec<_> = classes.iter().map(|(_, make)| make(size() / 4)).collect();
    for mail in &delivered {
        maildir.deliver(mail);
    }

    let drain = Maildirq::drain_with(&maildir, &app.url(), RAW).run();

    assert_eq!((drain.exit(), app.count()), (Exit::Ok, delivered.len()));
    let mut arrived: Vec<_> = app.requests().into_iter().map(|request| request.body).collect();
    delivered.sort();
    arrived.sort();
    assert!(delivered == arrived, "some were altered");
    assert!(drain.cpu() < CPU * u32::try_from(delivered.len()).unwrap() / 10, "{:?}", drain.cpu());
}
