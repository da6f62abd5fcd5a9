//! Replies as mail programs write them, in many languages.

use super::*;
use std::fs;
use std::path::Path;

/// A text, the reply in it and its signature: `NAME.txt`, `NAME.expected`, `NAME.signature`.
#[test]
fn replies_of_many_programs_are_taken_apart() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/reply");
    let mut checked = 0;
    for entry in fs::read_dir(&folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let text = fs::read_to_string(&path).expect("the text can be read");
            let expected = fs::read_to_string(path.with_extension("expected")).expect("each text has its reply");
            let signature = fs::read_to_string(path.with_extension("signature")).unwrap_or_default();
            let found = reply(&text);
            assert_eq!(found.text, expected.trim_end(), "{}", path.display());
            assert_eq!(found.signature, signature.trim_end(), "{}", path.display());
            checked += 1;
        }
    }
    assert!(checked >= 60, "only {checked}");
}

#[test]
fn a_reply_is_a_piece_of_its_text_however_odd_that_is() {
    let pieces = [
        "\n",
        ">",
        "> a\n",
        "-- \n",
        "--\n",
        "a\n",
        "On 1.1.2025 10:12 a@b wrote:\n",
        "From: a@b\nTo: c\nSubject: d\n",
        "-----Original Message-----\n",
        "----- Forwarded -----\n",
        "____________________\n",
        "Sent from my x\n",
        "é：\n",
        "\u{a0}",
        "\r\n",
    ];
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..5000 {
        let text: String = (0..random.usize(..12)).map(|_| pieces[random.usize(..pieces.len())]).collect();
        let found = reply(&text);
        // One quotation may have been taken out of the middle.
        let is_piece = |part: &str| part.split("\n\n").all(|paragraph| text.contains(paragraph));
        assert!(is_piece(&found.text) && text.contains(&found.signature), "{text:?}");
        assert!(found.text.len() + found.signature.len() <= text.len() + 2, "{text:?}");
    }
}

#[test]
fn long_texts_are_read_to_their_end() {
    let size = 256 * 1024;
    for piece in ["\n", ">\n", "a:\n", "From: a\n", "--\n", "On 1 1 wrote:\n", "-- a --\n", "_", "1 ", "> \n\na\n"] {
        let text = piece.repeat(size / piece.len());
        // Were the time the square of the length, this would take hours.
        assert!(reply(&text).text.len() <= text.len(), "{piece:?}");
    }
}
