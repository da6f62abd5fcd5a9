//! Building the body of a request, from a message in memory to the last byte.

use std::io::sink;
use std::time::SystemTime;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use maildirq::payload::{Attachments, Encoding, FieldValue, Format, Source};

use super::mails::Mail;

#[divan::bench(args = Mail::PARSED)]
fn raw(bencher: Bencher, mail: Mail) {
    build(bencher, mail, &Format::default());
}

#[divan::bench(args = Mail::PARSED)]
fn json(bencher: Bencher, mail: Mail) {
    build(bencher, mail, &Format::Json { attachments: Attachments::Inline, describe_above: None });
}

#[divan::bench(args = Mail::PARSED)]
fn json_and_files_beside_it(bencher: Bencher, mail: Mail) {
    build(bencher, mail, &Format::Json { attachments: Attachments::Multipart, describe_above: None });
}

#[divan::bench(args = Mail::PARSED)]
fn form(bencher: Bencher, mail: Mail) {
    let fields = [Source::Id, Source::Subject, Source::Text, Source::Raw];
    let fields = fields.map(|source| (source.name().to_owned(), FieldValue::Of(source))).to_vec();
    build(bencher, mail, &Format::Form { encoding: Encoding::Urlencoded, fields });
}

#[divan::bench(args = Mail::PARSED)]
fn mailgun(bencher: Bencher, mail: Mail) {
    build(bencher, mail, &Format::Mailgun { mime: false, signing_key: None, is_fresh: false });
}

#[divan::bench(args = Mail::PARSED)]
fn postmark(bencher: Bencher, mail: Mail) {
    build(bencher, mail, &Format::Postmark { raw_email: false });
}

fn build(bencher: Bencher, mail: Mail, format: &Format) {
    let message = mail.message();
    bencher.counter(BytesCount::new(mail.bytes().len())).bench_local(|| {
        let payload = format.payload(black_box(&message), SystemTime::UNIX_EPOCH).expect("it has a body");
        payload.write_to(&mut sink()).expect("it is in memory");
    });
}
