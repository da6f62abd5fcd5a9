//! Trap: a unit of systemd that shuts maildirq out of what it needs.

use super::commands;
use super::finding::{Finding, shown, some_of};
use super::jit::jit_of;
use super::subject::Subject;
use super::unit::{Unit, folders};
use crate::config::{Config, TargetKind};
use crate::engine::text::printable;
use crate::target::ProgramConfig;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The unit that runs maildirq.
pub(super) const UNIT: &str = "maildirq.service";
/// The file that a unit without `-c` reads.
const USUAL_FILE: &str = "/etc/maildirq/maildirq.toml";
/// What `ProtectHome=` is about.
const HOMES: &[&str] = &["/home", "/root", "/run/user"];

/// Looks at the unit, if it runs maildirq with this file.
pub fn look(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(unit) = Unit::find(&folders(), UNIT).filter(|unit| is_about(unit, subject.file)) else {
        return Vec::new();
    };
    let maildirs: Vec<_> = subject.maildirs.iter().map(|home| real(&home.path)).collect();
    let mut found = about_maildirs(&unit, &maildirs);
    found.extend(commands::all(subject.config).filter_map(|(key, command)| about_directory(&unit, &key, command)));
    found.extend(about_user(&unit, subject));
    found.extend(about_network(&unit, subject.config));
    if unit.is_on("MemoryDenyWriteExecute") {
        found.extend(commands::all(subject.config).filter_map(|(key, command)| {
            let text = format!(
                "{key}: {} compiles as it runs, which MemoryDenyWriteExecute=yes in {UNIT} forbids",
                jit_of(command)?
            );
            Some(Finding::warning(text, edit("MemoryDenyWriteExecute=no")))
        }));
    }
    found
}

/// The command that changes the unit, and what is to be written there.
fn edit(setting: &str) -> String {
    format!("systemctl edit maildirq   # [Service] {setting}")
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Whether the unit reads this configuration file.
pub(super) fn is_about(unit: &Unit, file: &Path) -> bool {
    let words = unit.words("ExecStart");
    let mut rest = words.iter().skip_while(|word| !matches!(**word, "-c" | "--config"));
    let after = rest.nth(1).copied();
    let joined = words.iter().find_map(|word| word.strip_prefix("--config="));
    real(Path::new(after.or(joined).unwrap_or(USUAL_FILE))) == real(file)
}

/// How a unit shuts maildirq out of a Maildir.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Closed {
    /// The setting that does it.
    by: String,
    /// Whether maildirq at least sees what is there.
    is_visible: bool,
    /// The setting that opens it; without one it is `ReadWritePaths=`.
    opened_by: Option<&'static str>,
}

fn about_maildirs(unit: &Unit, maildirs: &[PathBuf]) -> Vec<Finding> {
    let mut closed: BTreeMap<Closed, Vec<&Path>> = BTreeMap::new();
    for maildir in maildirs {
        if let Some(how) = how_closed(unit, maildir) {
            closed.entry(how).or_default().push(maildir);
        }
    }
    let error = |(Closed { by, is_visible, opened_by }, paths): (Closed, Vec<&Path>)| {
        let (verb, rest) = if is_visible { ("makes", " read-only for") } else { ("hides", " from") };
        let text = format!("{by} in {UNIT} {verb} {}{rest} maildirq", some_of(&paths));
        let help = opened_by.map_or_else(|| format!("ReadWritePaths={}", shown(common_folder(&paths))), str::to_owned);
        Finding::error(text, edit(&help))
    };
    closed.into_iter().map(error).collect()
}

/// Of a `directory` that a program cannot enter, or not write to.
fn about_directory(unit: &Unit, key: &str, command: &ProgramConfig) -> Option<Finding> {
    let directory = real(command.directory.as_deref()?);
    let Closed { by, is_visible, opened_by } = how_closed(unit, &directory)?;
    let name = shown(&directory);
    if !is_visible {
        let text = format!("{key}: {by} in {UNIT} hides its directory {name}");
        return Some(Finding::error(text, edit(opened_by.unwrap_or("ReadWritePaths="))));
    }
    // Whoever has opened one folder of an application has thought of those that it writes to.
    if writable(unit).any(|path| path.starts_with(&directory)) {
        return None;
    }
    let text = format!("{key}: {by} in {UNIT} makes its directory {name} read-only");
    Some(Finding::warning(text, edit(&format!("ReadWritePaths={name}, or those folders in it that it writes to"))))
}

/// The folder that all these are in; one alone is that itself.
fn common_folder<'a>(paths: &[&'a Path]) -> &'a Path {
    let is_common = |folder: &&Path| paths.iter().all(|path| path.starts_with(folder));
    paths[0].ancestors().find(is_common).unwrap_or(paths[0])
}

fn how_closed(unit: &Unit, maildir: &Path) -> Option<Closed> {
    let is_within = |folders: &[&str]| folders.iter().any(|folder| maildir.starts_with(folder));
    let (is_bound, is_writable) = (is_bound(unit, maildir), is_writable(unit, maildir));
    let home = unit.last("ProtectHome").unwrap_or("no");
    let system = unit.last("ProtectSystem").unwrap_or("no");
    if is_within(&["/tmp", "/var/tmp"]) && unit.is_on("PrivateTmp") && !is_bound {
        return Some(Closed { by: "PrivateTmp=yes".into(), is_visible: false, opened_by: Some("PrivateTmp=no") });
    }
    let is_shut_out = match home {
        "read-only" => !is_bound && !is_writable,
        "tmpfs" => !is_bound,
        "yes" | "true" | "on" | "1" => true,
        _ => false,
    };
    if is_within(HOMES) && is_shut_out {
        let by = format!("ProtectHome={home}");
        return Some(Closed { by, is_visible: home == "read-only", opened_by: Some("ProtectHome=no") });
    }
    let is_protected = match system {
        "strict" => true,
        "full" => is_within(&["/usr", "/boot", "/efi", "/etc"]),
        "yes" | "true" | "on" | "1" => is_within(&["/usr", "/boot", "/efi"]),
        _ => false,
    };
    let is_read_only = is_protected && !is_writable && !is_bound;
    is_read_only.then(|| Closed { by: format!("ProtectSystem={system}"), is_visible: true, opened_by: None })
}

/// Whether the unit lets maildirq write there all the same.
fn is_writable(unit: &Unit, maildir: &Path) -> bool {
    writable(unit).any(|path| maildir.starts_with(path))
}

/// The folders that it may write to.
fn writable(unit: &Unit) -> impl Iterator<Item = PathBuf> {
    let paths = unit.words("ReadWritePaths").into_iter().map(|path| PathBuf::from(path.trim_start_matches(['-', '+'])));
    let state = [
        ("StateDirectory", "/var/lib"),
        ("CacheDirectory", "/var/cache"),
        ("LogsDirectory", "/var/log"),
        ("RuntimeDirectory", "/run"),
    ];
    let own = state.into_iter().flat_map(|(key, base)| {
        let names = unit.words(key).into_iter().map(|word| word.split(':').next().unwrap_or(word));
        names.map(move |name| Path::new(base).join(name)).collect::<Vec<_>>()
    });
    paths.chain(own).map(|path| real(&path)).collect::<Vec<_>>().into_iter()
}

fn is_bound(unit: &Unit, maildir: &Path) -> bool {
    let bound = unit.words("BindPaths").into_iter().map(|word| word.split(':').nth(1).unwrap_or(word));
    bound.into_iter().any(|path| maildir.starts_with(path.trim_start_matches('-')))
}

fn about_user(unit: &Unit, subject: &Subject<'_>) -> Option<Finding> {
    let name = unit.last("User").filter(|_| !unit.is_on("DynamicUser"))?;
    // A user that is not in the file may come from elsewhere; of that nothing is known.
    let uid = name.parse().ok().or_else(|| uid_of(&fs::read_to_string("/etc/passwd").ok()?, name))?;
    let other = subject.maildirs.iter().find(|home| home.owner.uid != uid).filter(|_| uid != 0)?;
    let text = format!(
        "User={} in {UNIT} is uid {uid}, and {} belongs to uid {}",
        printable(name.as_bytes()),
        shown(&other.path),
        other.owner.uid
    );
    Some(Finding::warning(text, edit(&format!("User={}", other.owner.uid))))
}

/// As passwd(5) has it.
fn uid_of(passwd: &str, name: &str) -> Option<u32> {
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = fields.into_iter().find(|fields| fields.first() == Some(&name))?;
    found.get(2)?.parse().ok()
}

fn about_network(unit: &Unit, config: &Config) -> Vec<Finding> {
    let families = unit.words("RestrictAddressFamilies");
    let is_list_of_forbidden = families.first().is_some_and(|first| first.starts_with('~'));
    let is_allowed = |family: &str| {
        let is_named = families.iter().any(|word| word.trim_start_matches('~') == family);
        families.is_empty() || is_named != is_list_of_forbidden
    };
    let mut found = Vec::new();
    for target in &config.targets {
        let TargetKind::Url(endpoint) = &target.kind else { continue };
        let name = &target.name;
        let (needed, is_there): (&[&str], _) = if endpoint.url.is_socket() {
            (&["AF_UNIX"], is_allowed("AF_UNIX"))
        } else {
            (&["AF_INET", "AF_INET6"], is_allowed("AF_INET") || is_allowed("AF_INET6"))
        };
        if !is_there {
            let needed = needed.join(" ");
            let text =
                format!("[target.{name}]: RestrictAddressFamilies= in {UNIT} forbids connections to {}", endpoint.url);
            found.push(Finding::error(text, edit(&format!("RestrictAddressFamilies={needed}"))));
        }
        if unit.is_on("PrivateNetwork") && !endpoint.url.is_socket() {
            let text = format!("[target.{name}]: PrivateNetwork=yes in {UNIT} forbids connections to {}", endpoint.url);
            found.push(Finding::error(text, edit("PrivateNetwork=no")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;

    fn unit(settings: &str) -> Unit {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(UNIT), format!("[Service]\n{settings}\n")).unwrap();
        Unit::find(&[root.path().to_owned()], UNIT).unwrap()
    }

    #[test]
    fn a_maildir_that_is_shut_out_is_told_of() {
        for (settings, maildir, expected) in [
            ("", "/home/ada/Maildir", None),
            ("ProtectHome=yes", "/home/ada/Maildir", Some("ProtectHome=yes")),
            ("ProtectHome=yes\nReadWritePaths=/home/ada", "/home/ada/Maildir", Some("ProtectHome=yes")),
            ("ProtectHome=yes", "/srv/mail", None),
            ("ProtectHome=yes", "/homestead/mail", None),
            ("ProtectHome=tmpfs\nBindPaths=/home/ada", "/home/ada/Maildir", None),
            ("ProtectHome=tmpfs", "/root/Maildir", Some("ProtectHome=tmpfs")),
            ("ProtectHome=read-only", "/home/ada/Maildir", Some("read-only")),
            ("ProtectHome=read-only\nReadWritePaths=-/home/ada", "/home/ada/Maildir", None),
            ("ProtectSystem=strict", "/srv/mail", Some("ReadWritePaths=/srv/mail")),
            ("ProtectSystem=strict\nReadWritePaths=/srv", "/srv/mail", None),
            (
                "ProtectSystem=strict\nReadWritePaths=/srv\nReadWritePaths=",
                "/srv/mail",
                Some("ReadWritePaths=/srv/mail"),
            ),
            ("ProtectSystem=strict\nStateDirectory=maildirq", "/var/lib/maildirq/support", None),
            ("ProtectSystem=strict\nStateDirectory=other", "/var/lib/maildirq/support", Some("read-only")),
            ("ProtectSystem=full", "/srv/mail", None),
            ("ProtectSystem=full", "/etc/mail", Some("ProtectSystem=full")),
            ("PrivateTmp=yes", "/tmp/mail", Some("PrivateTmp")),
            ("PrivateTmp=yes", "/srv/mail", None),
        ] {
            let told: Vec<_> =
                about_maildirs(&unit(settings), &[maildir.into()]).iter().map(ToString::to_string).collect();
            match (&told[..], expected) {
                ([], None) => {}
                ([told], Some(expected)) if told.contains(expected) => {}
                _ => panic!("{settings:?} {maildir}: {told:?}"),
            }
        }
    }

    #[test]
    fn a_directory_that_a_program_cannot_use_is_told_of() {
        for (settings, directory, expected) in [
            ("", "/srv/app", None),
            ("ProtectSystem=strict", "/srv/app", Some("warning: [target.app] worker: ProtectSystem=strict")),
            ("ProtectSystem=strict\nReadWritePaths=/srv", "/srv/app", None),
            ("ProtectSystem=strict\nReadWritePaths=/srv/app/log -/srv/app/tmp", "/srv/app", None),
            (
                "ProtectSystem=strict\nReadWritePaths=/srv/apple",
                "/srv/app",
                Some("makes its directory /srv/app read-only"),
            ),
            ("ProtectSystem=strict\nStateDirectory=app", "/var/lib/app", None),
            ("ProtectSystem=full", "/srv/app", None),
            (
                "ProtectHome=yes\nReadWritePaths=/home/app/log",
                "/home/app",
                Some("error: [target.app] worker: ProtectHome=yes"),
            ),
            ("ProtectHome=read-only", "/home/app", Some("ReadWritePaths=/home/app, or those")),
            ("PrivateTmp=yes", "/tmp/app", Some("[Service] PrivateTmp=no")),
        ] {
            let command =
                ProgramConfig { directory: Some(directory.into()), ..ProgramConfig::new("/bin/true", [""; 0]) };
            let told = about_directory(&unit(settings), "[target.app] worker", &command).map(|told| told.to_string());
            match (&told, expected) {
                (None, None) => {}
                (Some(told), Some(expected)) if told.contains(expected) => {}
                _ => panic!("{settings:?} {directory}: {told:?}"),
            }
        }
        assert_eq!(about_directory(&unit("ProtectSystem=strict"), "", &ProgramConfig::new("/bin/true", [""; 0])), None);
    }

    #[test]
    fn many_maildirs_are_told_of_at_once() {
        let maildirs = ["/srv/mail/a/new", "/srv/mail/b", "/srv/mail/c", "/srv/mail/d"].map(PathBuf::from);
        let [told] = &about_maildirs(&unit("ProtectSystem=strict"), &maildirs)[..] else { panic!("one for all") };
        let told = told.to_string();
        assert!(told.contains("makes /srv/mail/a/new, /srv/mail/b, /srv/mail/c and 1 more read-only"), "{told}");
        assert!(told.ends_with("[Service] ReadWritePaths=/srv/mail"), "{told}");
    }

    #[test]
    fn a_network_that_is_shut_off_is_told_of() {
        for (settings, url, expected) in [
            ("", "http://127.0.0.1:1/", false),
            ("PrivateNetwork=yes", "http://127.0.0.1:1/", true),
            ("PrivateNetwork=yes", "unix:/run/app.sock", false),
            ("RestrictAddressFamilies=AF_UNIX", "https://app/", true),
            ("RestrictAddressFamilies=AF_UNIX AF_INET", "https://app/", false),
            ("RestrictAddressFamilies=AF_INET", "unix:/run/app.sock", true),
            ("RestrictAddressFamilies=none", "https://app/", true),
            ("RestrictAddressFamilies=~AF_UNIX", "https://app/", false),
            ("RestrictAddressFamilies=~AF_INET AF_INET6", "https://app/", true),
        ] {
            let config = Config::of_flags("/m".into(), url.parse::<Address>().unwrap());
            assert_eq!(!about_network(&unit(settings), &config).is_empty(), expected, "{settings} {url}");
        }
    }

    #[test]
    fn a_unit_is_about_the_file_that_it_names() {
        for (start, file, expected) in [
            ("/usr/bin/maildirq watch -c /srv/m.toml", "/srv/m.toml", true),
            ("/usr/bin/maildirq watch -c /srv/m.toml", "/etc/maildirq/maildirq.toml", false),
            ("/usr/bin/maildirq watch --config=/srv/m.toml", "/srv/m.toml", true),
            ("/usr/bin/maildirq watch", "/etc/maildirq/maildirq.toml", true),
            ("/usr/bin/maildirq watch", "/srv/m.toml", false),
        ] {
            assert_eq!(is_about(&unit(&format!("ExecStart={start}")), Path::new(file)), expected, "{start} {file}");
        }
    }

    #[test]
    fn a_user_is_looked_up_by_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\nmaildirq:x:998:998::/:/bin/false\n";
        assert_eq!((uid_of(passwd, "maildirq"), uid_of(passwd, "mail")), (Some(998), None));
    }
}
