//! Mail that was changed at random, through all that is done with it in this process (T24).
//!
//! The normal run has a thousand. `MAILDIRQ_MUTATIONS=10000000 cargo test --release --test it mutations:: --
//! --nocapture` has ten million; each has a number, and `MAILDIRQ_MUTATION` tries the one of this number again.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use std::{env, fs, thread};

use fastrand::Rng;
use maildirq::mail;
use maildirq::payload::Format;

use crate::support::formats::{check, formats, message, message_in_file};

const USUAL_COUNT: u64 = 1_000;
/// One in so many is in a file.
const IN_FILE: u64 = 64;
/// After so many mails a long run says how far it is.
const PROGRESS: u64 = 100_000;
/// Longer ones tell no more, and take longer.
const LONGEST: usize = 16 * 1024;

thread_local! {
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

/// T24
#[test]
fn mail_changed_at_random_has_a_body_in_every_format_and_is_never_altered() {
    count_panics();
    let (samples, formats) = (samples(), formats());
    let numbers = match number("MAILDIRQ_MUTATION") {
        Some(number) => number..number + 1,
        None => 0..number("MAILDIRQ_MUTATIONS").unwrap_or(USUAL_COUNT),
    };
    let (next, changes, started) = (AtomicU64::new(numbers.start), AtomicU64::new(0), Instant::now());
    let go_on = || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if numbers.contains(&number) {
            let so_far = changes.fetch_add(attempt(number, &samples, &formats), Ordering::Relaxed);
            if number > numbers.start && number.is_multiple_of(PROGRESS) {
                eprintln!("{number} mails, {so_far} changes so far; {:.0?}", started.elapsed());
            }
        }
        numbers.contains(&number)
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(|| while go_on() {})));
    });
    let (count, formats) = (numbers.end - numbers.start, formats.len());
    eprintln!(
        "{count} mails with {} changes in {formats} formats, 0 panics, 0 altered; {:.0?}",
        changes.into_inner(),
        started.elapsed()
    );
}

/// What anybody sends must not make us panic, also where that would be caught. Returns how often the mail was changed.
fn attempt(number: u64, samples: &[Vec<u8>], formats: &[Format]) -> u64 {
    let (mail, changes) = mutated(samples, &mut Rng::with_seed(number));
    let before = PANICS.get();
    let attempt = catch_unwind(AssertUnwindSafe(|| go_through(number, &mail, formats)));
    let is_fine = attempt.is_ok() && PANICS.get() == before;
    assert!(is_fine, "MAILDIRQ_MUTATION={number}: {}", mail.escape_ascii());
    changes
}

fn go_through(number: u64, mail: &[u8], formats: &[Format]) {
    let read = mail::read(mail);
    mail::reply_html(read.html.as_deref().unwrap_or_default());
    let message = if number.is_multiple_of(IN_FILE) { message_in_file(mail) } else { message(mail) };
    for format in formats {
        check(format, &message, mail);
    }
}

/// A panic that is caught is one, too.
fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |what| {
            PANICS.set(PANICS.get() + 1);
            usual(what);
        }));
    });
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// Real mail, and bounces, and replies.
fn samples() -> Vec<Vec<u8>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let folders = ["mail", "bounce", "envelope"].map(|folder| fixtures.join(folder));
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    // The same number is the same mail wherever this runs.
    paths.sort();
    let mut samples: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    samples.push(ODD.as_bytes().to_vec());
    samples.push(ODD.replace('\n', "\r\n").into_bytes());
    samples
}

/// With what the others do not have.
const ODD: &str = "From ada Thu\nSubject: =?iso-2022-jp?B?GyRCJUYlOSVIGyhC?= =?utf-7?Q?+AOk-?= =?utf-8*en?q?=c3?=\n\
    To: \"a, b\" <a@example.org>, undisclosed: c@example.org, (x (y)) d@example.org;;\nDate: 1 Jan 49 24:00 -9999 (x)\n\
    References: <a@b> <c@d>\nContent-Type: multipart/related; boundary=\"b\"; type*0*=utf-8'en'%c3%a9; type*1=x\n\n\
    --b\nContent-Type: text/plain; charset=utf-16; format=flowed; delsp=yes\nContent-Transfer-Encoding: base64\n\n\
    //5hACAACgBiAA==\n--b\nContent-Type: text/html\nContent-ID: <s>\n\n<meta charset=gb18030><blockquote>\x01<p>\n\
    --b\nContent-Transfer-Encoding: x-uuencode\nContent-Disposition: attachment; filename*=gbk''%d6%d0\n\n\
    begin 644 a\n#0V%T\n`\nend\n--b\nContent-Type: message/rfc822\n\nSubject: inner\n\nbody\n\
    --b\nContent-Type: text/plain; format=flowed; name=\"../a\\\"b.txt\"\nContent-Transfer-Encoding: quoted-printable\n\n\
    > a =\n\n>>b =C3=A9\n-- \nAda\n--b--\n";

/// A mail that was changed, and how often.
fn mutated(samples: &[Vec<u8>], random: &mut Rng) -> (Vec<u8>, u64) {
    let mut mail = random.choice(samples).expect("there are some").clone();
    let changes = random.u64(1..10);
    for _ in 0..changes {
        mutate(&mut mail, samples, random);
        mail.truncate(LONGEST);
    }
    (mail, changes)
}

fn mutate(mail: &mut Vec<u8>, samples: &[Vec<u8>], random: &mut Rng) {
    let at = random.usize(..=mail.len());
    let end = (at + random.usize(..80)).min(mail.len());
    match random.u8(..8) {
        0 => drop(mail.drain(at..end)),
        1 => mail[at..end].iter_mut().for_each(|byte| *byte = random.u8(..)),
        2 => mail.insert(at, *random.choice(b"\r\n\0:;=?\"<>()*'%-,.&\x1b\xff").expect("there are some")),
        3 => drop(mail.splice(at..at, mail[at..end].repeat(random.usize(1..20)))),
        4 => mail.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.u8(..8)),
        5 if random.u8(..4) == 0 => mail.truncate(at),
        // A piece of another mail, from the beginning of one line to the end of another.
        _ => {
            let other: Vec<_> =
                random.choice(samples).expect("there are some").split_inclusive(|&byte| byte == b'\n').collect();
            let from = random.usize(..=other.len());
            let to = (from + random.usize(..6)).min(other.len());
            drop(mail.splice(at..at, other[from..to].concat()));
        }
    }
}
