//! Trap: programs that are to run as somebody whom only root can become, where maildirq will not be root.

use super::finding::Finding;
use super::sandbox::{UNIT, is_about};
use super::subject::{Subject, User};
use super::unit::{Unit, folders};
use crate::engine::text::printable;
use crate::target::Account;
use rustix::process::geteuid;

/// Looks at each target's `user`.
pub fn look(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(why) = why_not_root(subject) else { return Vec::new() };
    let User { uid, gid } = subject.daemon();
    let about = |name: &str, account: &Account| {
        let text = format!(
            "[target.{name}]: only root can run a program as user {} (uid {}, gid {}), and {why}",
            account.name, account.uid, account.gid
        );
        Finding::error(text, "start maildirq as root: it works as the owner of the Maildirs all the same")
    };
    let accounts = subject.config.targets.iter().filter_map(|target| {
        let account = target.program()?.account.as_ref()?;
        ((account.uid, account.gid) != (uid, gid)).then(|| about(&target.name, account))
    });
    accounts.collect()
}

/// Why maildirq will not be started as root, unless it will.
fn why_not_root(subject: &Subject<'_>) -> Option<String> {
    if let Some(unit) = Unit::find(&folders(), UNIT).filter(|unit| is_about(unit, subject.file)) {
        let user = unit.last("User").filter(|user| !matches!(*user, "root" | "0"))?;
        return Some(format!("{UNIT} has User={}", printable(user.as_bytes())));
    }
    let ours = geteuid();
    (!ours.is_root()).then(|| format!("this is uid {}", ours.as_raw()))
}
