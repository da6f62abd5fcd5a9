//! Reading mail: the bounded look that each message gets, and the parsing that only some formats ask for.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use maildirq::engine::{Envelope, EnvelopeRules};
use maildirq::mail::{self, Header};

use super::mails::Mail;

/// What each message gets, whatever its format.
#[divan::bench(args = Mail::ALL)]
fn header_and_envelope(bencher: Bencher, mail: Mail) {
    let bytes = mail.bytes();
    bencher.bench_local(|| Envelope::read(Header::of(black_box(&bytes)), &EnvelopeRules::default()));
}

#[divan::bench(args = Mail::ALL)]
fn kind(bencher: Bencher, mail: Mail) {
    let bytes = mail.bytes();
    bencher.bench_local(|| mail::kind(Header::of(black_box(&bytes)), Some("sender@example.com")));
}

/// The guard, and all of it where that lets it pass.
#[divan::bench(args = Mail::ALL)]
fn guard_and_parse(bencher: Bencher, mail: Mail) {
    let bytes = mail.bytes();
    bencher.counter(BytesCount::new(bytes.len())).bench_local(|| mail::read(black_box(&bytes)));
}

#[divan::bench]
fn reply_without_quotation(bencher: Bencher) {
    let quoted = "> what was written before, and before that\n".repeat(50);
    let text = format!("Yes, tomorrow at noon.\n\nOn Thu, 1 Jan 2026, A. B. wrote:\n{quoted}");
    bencher.counter(BytesCount::new(text.len())).bench_local(|| mail::reply(black_box(&text)));
}
