//! Trap: a Postfix that delivers into these Maildirs as somebody else, or not at all.

use super::finding::{Finding, some_of};
use super::subject::{Home, Subject};
use crate::engine::text::printable;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// How long `postconf` may take. Programs of Postfix wait for a second before they tell of an error.
const PATIENCE: Duration = Duration::from_secs(5);
/// The settings that matter here.
const ASKED: &[&str] = &[
    "virtual_mailbox_domains",
    "virtual_transport",
    "virtual_mailbox_base",
    "virtual_uid_maps",
    "virtual_minimum_uid",
    "virtual_mailbox_limit",
    "message_size_limit",
];

/// What Postfix is set to.
struct Settings(BTreeMap<String, String>);

/// Asks Postfix, where there is one.
pub fn look(subject: &Subject<'_>) -> Vec<Finding> {
    match ask() {
        Ok(Some(settings)) => judge(&settings, &subject.maildirs),
        Ok(None) => Vec::new(),
        Err(why) => {
            let text = format!("Postfix does not tell its settings, so nobody knows whether they fit: {why}");
            vec![Finding::warning(text, format!("postconf -x {}", ASKED.join(" ")))]
        }
    }
}

/// None where there is no Postfix, or one that was never set up.
fn ask() -> Result<Option<Settings>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let said = runtime.block_on(async {
        let mut postconf = Command::new("postconf");
        postconf.arg("-x").args(ASKED).stdin(Stdio::null()).kill_on_drop(true);
        timeout(PATIENCE, postconf.output()).await
    });
    let output = match said {
        Err(_) => return Err(format!("postconf did not answer within {}", humantime::format_duration(PATIENCE))),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(Err(error)) => return Err(format!("postconf: {error}")),
        Ok(Ok(output)) => output,
    };
    if output.status.success() {
        return Ok(Some(Settings::read(&String::from_utf8_lossy(&output.stdout))));
    }
    let why = printable(output.stderr.trim_ascii());
    if why.contains("main.cf: No such file") { Ok(None) } else { Err(why) }
}

impl Settings {
    fn read(text: &str) -> Self {
        let settings = text.lines().filter_map(|line| line.split_once('='));
        Settings(settings.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect())
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.get(name).parse().ok()
    }

    /// Whether virtual(8) delivers anything at all.
    fn delivers(&self) -> bool {
        let transport = self.get("virtual_transport");
        !self.get("virtual_mailbox_domains").is_empty() && (transport == "virtual" || transport.starts_with("virtual:"))
    }

    /// The one user as which all mail is delivered, if it is one.
    fn uid(&self) -> Option<u32> {
        self.get("virtual_uid_maps").strip_prefix("static:")?.trim().parse().ok()
    }
}

fn judge(settings: &Settings, maildirs: &[Home]) -> Vec<Finding> {
    let base = Path::new(settings.get("virtual_mailbox_base"));
    let base = base.canonicalize().unwrap_or_else(|_| base.to_owned());
    if !settings.delivers() || !base.is_absolute() {
        return Vec::new();
    }
    let is_ours = |home: &&Home| home.path.canonicalize().is_ok_and(|path| path.starts_with(&base));
    let ours: Vec<_> = maildirs.iter().filter(is_ours).collect();
    if ours.is_empty() {
        return Vec::new();
    }
    about_users(settings, &ours).into_iter().chain(about_sizes(settings)).collect()
}

fn about_users(settings: &Settings, maildirs: &[&Home]) -> Vec<Finding> {
    let Some(delivers_as) = settings.uid() else { return Vec::new() };
    let mut found = Vec::new();
    let mut others: BTreeMap<(u32, u32), Vec<&Path>> = BTreeMap::new();
    for home in maildirs.iter().filter(|home| home.daemon().uid != delivers_as) {
        let daemon = home.daemon();
        others.entry((daemon.uid, home.owner.gid)).or_default().push(&home.path);
    }
    for ((uid, gid), paths) in others {
        let text = format!(
            "Postfix delivers as uid {delivers_as}, and maildirq works on {} as uid {uid}: mail will defer, or be unreadable (\"permission denied\")",
            some_of(&paths)
        );
        let help = format!("postconf -e virtual_uid_maps=static:{uid} virtual_gid_maps=static:{gid}");
        found.push(Finding::warning(text, help));
    }
    if let Some(minimum) = settings.number("virtual_minimum_uid").filter(|minimum| u64::from(delivers_as) < *minimum) {
        let text = format!("Postfix delivers as uid {delivers_as}, and refuses to: virtual_minimum_uid is {minimum}");
        found.push(Finding::warning(text, format!("postconf -e virtual_minimum_uid={delivers_as}")));
    }
    found
}

fn about_sizes(settings: &Settings) -> Option<Finding> {
    let [mailbox, message] = ["virtual_mailbox_limit", "message_size_limit"].map(|name| settings.number(name));
    let (mailbox, message) = (mailbox.filter(|limit| *limit > 0)?, message?);
    // 0 is no limit at all.
    if message != 0 && mailbox >= message {
        return None;
    }
    let text = format!(
        "Postfix delivers nothing: its virtual_mailbox_limit ({mailbox}) is smaller than its message_size_limit ({message})"
    );
    Some(Finding::warning(text, "postconf -e virtual_mailbox_limit=0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::subject::User;

    fn judged(settings: &str, daemon: u32) -> Vec<String> {
        let usual = "virtual_mailbox_domains = x\nvirtual_transport = virtual\nvirtual_minimum_uid = 100\n";
        let settings = Settings::read(&format!("{usual}{settings}"));
        let home = Home { path: "/".into(), owner: User { uid: daemon, gid: 7 } };
        // Only root becomes the owner.
        let judged = if rustix::process::geteuid().is_root() { judge(&settings, &[home]) } else { Vec::new() };
        judged.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn sizes_that_do_not_fit_are_told_of() {
        let of = |limits: [u64; 2]| {
            let text = format!("virtual_mailbox_limit = {}\nmessage_size_limit = {}\n", limits[0], limits[1]);
            about_sizes(&Settings::read(&text)).is_some()
        };
        for (limits, expected) in [
            ([0, 10], false),
            ([0, 0], false),
            ([10, 10], false),
            ([51_200_000, 10_240_000], false),
            ([9, 10], true),
            ([10, 0], true),
        ] {
            assert_eq!(of(limits), expected, "{limits:?}");
        }
    }

    #[test]
    fn only_what_virtual_delivers_here_matters() {
        if !rustix::process::geteuid().is_root() {
            return eprintln!("skipped: only root works as somebody else");
        }
        let told = judged("virtual_mailbox_base = /\nvirtual_uid_maps = static:5000", 998);
        assert!(told[0].contains("delivers as uid 5000") && told[0].contains("static:998 virtual_gid_maps=static:7"));
        for silent in [
            "virtual_mailbox_base = /\nvirtual_uid_maps = static:998",
            "virtual_mailbox_base = /\nvirtual_uid_maps = hash:/etc/postfix/uids",
            "virtual_mailbox_base = /srv\nvirtual_uid_maps = static:5000",
            "virtual_mailbox_base = /\nvirtual_uid_maps = static:5000\nvirtual_transport = lmtp:unix:dovecot",
            "virtual_mailbox_base = /\nvirtual_uid_maps = static:5000\nvirtual_mailbox_domains =",
        ] {
            assert_eq!(judged(silent, 998), [""; 0], "{silent}");
        }
        let too_low = judged("virtual_mailbox_base = /\nvirtual_uid_maps = static:33", 33);
        assert!(too_low[0].contains("virtual_minimum_uid is 100"), "{too_low:?}");
    }
}
