//! The unit forbids many system calls, and what it forbids fails. So none of those that are made may be among them.

use std::collections::{BTreeMap, BTreeSet};

use super::{settings_of, systemd_analyze};
use crate::support::{App, Exit, Maildir, Maildirq, SOON, Script, wait_until};

/// The groups of system calls that systemd knows, each with its members.
fn groups(listed: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut group = "";
    for line in listed.lines().filter(|line| !line.trim_start().starts_with('#')) {
        match (line.starts_with('@'), line.trim()) {
            (_, "") => {}
            (true, name) => group = name,
            (false, member) => groups.entry(group).or_default().push(member),
        }
    }
    groups
}

fn members<'a>(name: &'a str, groups: &BTreeMap<&'a str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    if !name.starts_with('@') {
        return [name].into();
    }
    groups[name].iter().flat_map(|member| members(member, groups)).collect()
}

/// What is let through by these settings, in their order: see systemd.exec(5).
fn allowed<'a>(filters: &'a [String], groups: &BTreeMap<&'a str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    // It is always let through.
    let mut allowed = members("@default", groups);
    for filter in filters {
        let (is_denied, names) = filter.strip_prefix('~').map_or((false, filter.as_str()), |names| (true, names));
        for call in names.split(' ').flat_map(|name| members(name, groups)) {
            if is_denied {
                allowed.remove(call);
            } else {
                allowed.insert(call);
            }
        }
    }
    allowed
}

/// The names in what strace writes: "4711  openat(…", "4711  <... read resumed>…".
fn made(trace: &str) -> BTreeSet<&str> {
    let calls = trace.lines().filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('));
    calls
        .map(|(name, _)| name)
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
        .collect()
}

fn of_unit<'a>(filters: &'a [String], listed: &'a str) -> BTreeSet<&'a str> {
    allowed(filters, &groups(listed))
}

#[test]
fn every_system_call_of_a_day_is_let_through_by_the_unit() {
    let Some((listed, _)) = systemd_analyze(&["syscall-filter", "--no-pager"]) else { return };
    let settings = settings_of("maildirq.service").into_iter();
    let filters: Vec<_> = settings.filter(|(key, _)| key == "SystemCallFilter").map(|(_, value)| value).collect();
    let allowed = of_unit(&filters, &listed);
    assert!(allowed.contains("openat") && !allowed.contains("setrlimit") && !allowed.contains("mount"));

    let (maildir, app, script) = (Maildir::new(), App::accepting(), Script::new("cat >>taken"));
    let config = |more: &str| {
        let command = script.config(&maildir, more);
        format!(
            "{command}\n[target.web]\nurl = '{}'\n[[route]]\nwhen = {{ subject = 'web' }}\ntarget = 'web'\n[[route]]\ntarget = 'app'\n",
            app.url()
        )
    };
    let watch = Maildirq::watch_config(&config("")).traced(&["-e", "trace=all", "-e", "signal=none"]).start();
    watch.wait_for_event("ready");
    for subject in ["web", "command"] {
        maildir.deliver(format!("Subject: {subject}\n\n.\n"));
    }
    wait_until("both are done", SOON, || maildir.waiting().is_empty());
    watch.reload(&config("timeout = '20s'"));
    assert_eq!(watch.stop(), Exit::Ok);
    let trace = watch.trace();
    let made = made(&trace);
    assert!(made.contains("execve") && made.contains("flock") && made.contains("connect"), "{made:?}");
    let forbidden: Vec<_> = made.difference(&allowed).collect();
    assert!(forbidden.is_empty(), "the unit forbids {forbidden:?}");
}
