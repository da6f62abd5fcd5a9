//! Every secret of these tests has one mark in it, and whatever the tests hear of maildirq is searched for it: what each
//! process said when it is over, what lies in each Maildir beside the mail, and what each program was told. So each
//! test is one of secrets, too.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::thread;

use data_encoding::{BASE64, HEXLOWER};

/// What must not be seen, in any secret of these tests.
pub const MARK: &str = "hunter2";

/// The key of a webhook, with the mark in it behind the base64.
pub const WEBHOOK_KEY: &str = "whsec_aHVudGVyMi1odW50ZXIyLWh1bnRlcjItaHVudGVyMg==";

/// Another one.
pub const OTHER_WEBHOOK_KEY: &str = "whsec_b3RoZXItaHVudGVyMi1odW50ZXIyLWh1bnRlcjI=";

/// The mark as it would be seen: in any case, or encoded, wherever it stands in what is encoded.
fn shown_in(text: &str) -> Option<&'static str> {
    static PLAIN: LazyLock<Vec<String>> = LazyLock::new(|| {
        let hex = MARK.bytes().map(|byte| format!("%{byte:02x}"));
        vec![
            MARK.to_owned(),
            MARK.replacen('h', "%68", 1),
            hex.collect::<Vec<_>>().concat(),
            HEXLOWER.encode(MARK.as_bytes()),
        ]
    });
    static BASE64_FORMS: LazyLock<Vec<String>> = LazyLock::new(|| (0..3).map(base64_after).collect());
    let lower = text.to_ascii_lowercase();
    let plain = PLAIN.iter().find(|form| lower.contains(form.as_str()));
    plain.or_else(|| BASE64_FORMS.iter().find(|form| text.contains(form.as_str()))).map(String::as_str)
}

/// What of the mark's base64 does not depend on what stands around it, that many bytes after a multiple of three.
fn base64_after(bytes: usize) -> String {
    const BITS: usize = 6;
    let first = (8 * bytes).div_ceil(BITS);
    let end = 8 * (bytes + MARK.len()) / BITS;
    BASE64.encode(&[&vec![0; bytes], MARK.as_bytes(), &[0; 3]].concat())[first..end].to_owned()
}

/// Panics if a secret is shown, unless the test has failed already.
#[track_caller]
pub fn assert_none_in(what: &str, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    if let Some(form) = shown_in(&text) {
        assert!(thread::panicking(), "{what} shows a secret, as {form}:\n{text}");
    }
}

/// The same for all files below a folder.
#[track_caller]
pub fn assert_none_below(folder: &Path) {
    // What is not there, or is gone meanwhile, shows nothing.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => assert_none_below(&path),
            Ok(kind) if kind.is_file() => {
                assert_none_in(&path.display().to_string(), &fs::read(&path).unwrap_or_default());
            }
            _ => {}
        }
    }
}

/// For a program that is run without being a [`Maildirq`](super::Maildirq).
pub trait Overheard {
    /// Runs it to its end; what it says is searched for secrets.
    fn overheard(&mut self) -> Output;
}

impl Overheard for Command {
    #[track_caller]
    fn overheard(&mut self) -> Output {
        let output = self.output().unwrap();
        for (what, said) in [("standard output", &output.stdout), ("standard error", &output.stderr)] {
            assert_none_in(&format!("{what} of {self:?}"), said);
        }
        output
    }
}
