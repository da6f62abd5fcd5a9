//! What we read in real mail, against what two others read in it: Python's `email` package, and the `mail-parser` crate.
//!
//! Neither is right everywhere. But where both read the same, we do so too, save for what docs/decoding.md explains.

mod ours;
mod python;
mod reading;
mod second;
mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use tally::Tally;

use crate::support::program::installed;

/// What tests/corpus/fetch has to bring at least.
const MAILS: usize = 300;
const AGREEMENT: f64 = 0.995;

#[test]
fn where_two_others_read_the_same_in_a_mail_we_do_so_too() {
    let mails = corpus();
    assert!(mails.len() >= MAILS, "{} mails are too few (tests/run fetches them)", mails.len());
    let by_python = python::readings(&installed("corpus/mails"));

    let mut tally = Tally::default();
    for (name, mail) in &mails {
        tally.count(name, mail, &[&by_python[name], &second::reading(mail), &ours::reading(mail)]);
    }

    println!("{} mails\n{}", mails.len(), tally.table());
    fs::write(installed("differences.txt"), tally.report()).unwrap();
    assert!(tally.agreement() >= AGREEMENT, "see target/tests/differences.txt\n{}", tally.table());
    let explained = explained();
    let found = tally.differences();
    let unexplained: Vec<_> = found.difference(&explained).collect();
    assert!(
        unexplained.is_empty(),
        "docs/decoding.md explains not (see target/tests/differences.txt): {unexplained:#?}"
    );
    let gone: Vec<_> = explained.difference(&found).filter(|(name, _)| mails.contains_key(name)).collect();
    assert!(gone.is_empty(), "docs/decoding.md explains what is no more: {gone:#?}");
}

fn corpus() -> BTreeMap<String, Vec<u8>> {
    let folder = installed("corpus/mails");
    let entries = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error} (tests/run fetches the mails)", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| (name_of(&path), fs::read(&path).unwrap())).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().and_then(|name| name.to_str()).expect("they are named by us").to_owned()
}

/// The mails and fields that the table of docs/decoding.md has: rows of "| `mail` | `field` | why |".
fn explained() -> BTreeSet<(String, String)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/decoding.md");
    let text = fs::read_to_string(page).unwrap();
    let cell = |cell: &str| Some(cell.trim().strip_prefix('`')?.strip_suffix('`')?.to_owned());
    let row = |line: &str| {
        let mut cells = line.strip_prefix('|')?.split('|');
        let (mail, field) = (cell(cells.next()?)?, cell(cells.next()?)?);
        reading::FIELDS.contains(&&*field).then_some((mail, field))
    };
    text.lines().filter_map(row).collect()
}
