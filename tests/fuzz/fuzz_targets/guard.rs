//! Whatever is said over and over again takes memory in proportion to the mail, and no time to speak of: an input
//! that takes seconds is reported by the fuzzer itself (`-timeout`).

#![no_main]

use libfuzzer_sys::fuzz_target;
use maildirq::mail;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How large a mail becomes, in bytes.
const SIZE: usize = 256 * 1024;
/// What any mail may take, in bytes: as many header fields, addresses and lines as there may be of them.
const BESIDE: usize = 6 * 1024 * 1024;

fuzz_target!(|input: &[u8]| {
    // What stands at the end is said again and again: from one byte up to 64.
    let piece = &input[input.len().saturating_sub(input.len() % 64 + 1)..];
    let times = if piece.is_empty() { 0 } else { SIZE / piece.len() };
    let mail = [input, &piece.repeat(times)].concat();
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();

    let read = mail::read(&mail);
    let html = read.html.as_deref().unwrap_or_default();
    mail::reply(read.text.as_deref().unwrap_or_default());
    mail::reply_html(html);
    mail::text_of_html(html);
    read.attachments.iter().for_each(|attachment| drop(attachment.content()));

    let taken = MEMORY.peak_usage().saturating_sub(before);
    assert!(taken <= 8 * mail.len() + BESIDE, "{taken} bytes for a mail of {}", mail.len());
});
