//! Whatever a worker says is an answer to its job, or a breach of the protocol with a reason that can be shown.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maildirq::engine::{Outcome, text::is_harmless};
use maildirq::target::fuzzing::{LONGEST_LINE, answer, lines, ready};
use serde_json::Value;

const ID: &str = "abcdefghijklmnopqrstuvwxyz";
/// More than a line may have in all, but less than a pipe holds.
const LONGEST_PIECE: usize = 60_000;

fuzz_target!(|input: &[u8]| {
    check_lines(input);
    for line in input.split(|&byte| byte == b'\n') {
        check_answer(line);
        // Otherwise it would take long to find the id.
        check_answer(&[b"{\"id\":\"", ID.as_bytes(), b"\",", line, b"}"].concat());
        if let Err(reason) = ready(line) {
            assert!(is_harmless(&reason), "{reason}");
        }
    }
});

fn check_answer(line: &[u8]) {
    // Keys that nobody knows may hold what is passed over and cannot be read, such as half a character.
    let said: Option<Value> = serde_json::from_slice(line).ok();
    let is_said = |kind: &str| said.as_ref().is_none_or(|said| said["type"] == kind && said["id"] == ID);
    match answer(line, ID) {
        Ok(Outcome::Done { .. }) => assert!(is_said("done")),
        Ok(Outcome::Reject { reason, .. }) => assert!(is_said("reject") && is_harmless(&reason), "{reason}"),
        Ok(Outcome::Retry { reason, .. }) => assert!(is_said("retry") && is_harmless(&reason), "{reason}"),
        Ok(other) => panic!("no worker can say {other:?}"),
        Err(reason) => assert!(is_harmless(&reason) && reason.len() < 4096, "{reason}"),
    }
}

/// Each piece says how often it is repeated, so that lines become long.
fn check_lines(input: &[u8]) {
    let pieces = input.chunks(16).map(|piece| match piece {
        [b'x'..=b'z', rest @ ..] if !rest.is_empty() => rest.repeat(LONGEST_PIECE / rest.len()),
        piece => piece.to_vec(),
    });
    let pieces: Vec<_> = pieces.take(16).collect();
    let all = pieces.concat();
    let pieces: Vec<_> = pieces.iter().map(Vec::as_slice).collect();
    let heard = lines(&pieces);

    let mut expected: Vec<_> = all.split(|&byte| byte == b'\n').collect();
    let rest = expected.pop().unwrap_or_default();
    let too_long = expected.iter().position(|line| line.len() > LONGEST_LINE);
    let is_cut = too_long.is_some() || rest.len() > LONGEST_LINE;
    expected.truncate(too_long.unwrap_or(expected.len()));
    let whole: Vec<_> = heard.iter().filter_map(|line| line.as_deref().ok()).collect();
    assert_eq!(whole, expected);
    assert_eq!(heard.len(), expected.len() + usize::from(is_cut));
}
