//! Trap: a mail client on the same Maildir.

use super::finding::{Finding, some_of};
use super::subject::Subject;
use crate::maildir::signs_of_a_client;
use std::collections::BTreeMap;
use std::path::Path;

/// Looks for what clients leave behind. What cannot be read is told of elsewhere.
pub fn look(subject: &Subject<'_>) -> Vec<Finding> {
    let mut opened: BTreeMap<String, Vec<&Path>> = BTreeMap::new();
    for home in &subject.maildirs {
        let signs = signs_of_a_client(&home.path).unwrap_or_default();
        if !signs.is_empty() {
            opened.entry(signs.join(", ")).or_default().push(&home.path);
        }
    }
    let warning = |(signs, paths): (String, Vec<&Path>)| {
        let text = format!(
            "a mail client opens {} ({signs}): it moves mail from new/ to cur/, and maildirq never takes any from cur/",
            some_of(&paths)
        );
        Finding::warning(text, "a Maildir of its own for maildirq, which no client opens")
    };
    opened.into_iter().map(warning).collect()
}
