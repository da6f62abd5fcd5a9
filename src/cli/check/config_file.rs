//! Trap: a configuration file that too many can read, or too few.

use super::finding::{Finding, shown, word};
use super::subject::{Subject, User};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use std::os::unix::fs::MetadataExt;

/// Looks at who may read the file.
pub fn look(subject: &Subject<'_>) -> Vec<Finding> {
    let (file, User { uid, gid }) = (subject.file, subject.daemon());
    // It was read a moment ago; if it is gone now, that is no trap.
    let Ok(found) = file.metadata() else { return Vec::new() };
    let mode = found.mode() & 0o777;
    let mut findings = Vec::new();
    if subject.has_plain_secret {
        // One that everybody can read is refused.
        if mode & 0o040 != 0 && ![0, gid].contains(&found.gid()) {
            let text = format!("{} holds a secret, and the group {} can read it", shown(file), found.gid());
            findings.push(Finding::warning(text, format!("chgrp {gid} {0} && chmod 640 {0}", word(file))));
        }
    }
    let is_readable = subject.as_daemon(|| accessat(CWD, file, Access::READ_OK, AtFlags::empty()).is_ok());
    if let Ok(false) = is_readable {
        let text =
            format!("uid {uid}, as which maildirq runs, cannot read {}: it cannot be reloaded (HUP)", shown(file));
        findings.push(Finding::warning(
            text,
            format!("chgrp {gid} {0} && chmod 640 {0}   # and x for its folders", word(file)),
        ));
    }
    findings
}
