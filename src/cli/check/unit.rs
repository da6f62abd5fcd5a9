//! What a unit of systemd says, with its drop-ins.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

/// Where systemd looks for units, the first before the others.
const FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// The `[Service]` part of a unit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unit {
    settings: Vec<(String, String)>,
}

/// Where units are: as systemd itself has it, `SYSTEMD_UNIT_PATH` counts first.
pub fn folders() -> Vec<PathBuf> {
    let usual = FOLDERS.iter().map(PathBuf::from);
    match env::var_os("SYSTEMD_UNIT_PATH") {
        None => usual.collect(),
        Some(path) => {
            let named: Vec<_> = env::split_paths(&path).collect();
            // An empty part at the end stands for the usual ones.
            let goes_on = named.last().is_some_and(|last| last.as_os_str().is_empty());
            let named = named.into_iter().filter(|folder| !folder.as_os_str().is_empty());
            if goes_on { named.chain(usual).collect() } else { named.collect() }
        }
    }
}

impl Unit {
    /// The unit of this name, if it is in one of these folders and can be read.
    pub fn find(folders: &[PathBuf], name: &str) -> Option<Unit> {
        let text = folders.iter().find_map(|folder| fs::read_to_string(folder.join(name)).ok())?;
        let mut unit = Unit::default();
        unit.read(&text);
        for path in drop_ins(folders, &format!("{name}.d")) {
            if let Ok(text) = fs::read_to_string(path) {
                unit.read(&text);
            }
        }
        Some(unit)
    }

    fn read(&mut self, text: &str) {
        let mut is_service = false;
        // A backslash at the end of a line stands for a space.
        let joined = text.replace("\\\n", " ");
        let lines = joined.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
        for line in lines {
            if line.starts_with('[') {
                is_service = line == "[Service]";
            } else if let (true, Some((key, value))) = (is_service, line.split_once('=')) {
                self.settings.push((key.trim().to_owned(), value.trim().to_owned()));
            }
        }
    }

    /// The last value of a setting.
    pub fn last(&self, key: &str) -> Option<&str> {
        let mut values = self.settings.iter().filter(|(known, _)| known == key).map(|(_, value)| value.as_str());
        values.next_back().filter(|value| !value.is_empty())
    }

    /// Whether a switch is on.
    pub fn is_on(&self, key: &str) -> bool {
        self.last(key).is_some_and(|value| matches!(value, "yes" | "true" | "on" | "1"))
    }

    /// All words of a setting that is a list; an empty value begins it anew.
    pub fn words(&self, key: &str) -> Vec<&str> {
        let mut words = Vec::new();
        for (_, value) in self.settings.iter().filter(|(known, _)| known == key) {
            if value.is_empty() {
                words.clear();
            }
            words.extend(value.split_whitespace());
        }
        words
    }
}

/// The drop-ins in the order in which they are read; of those with the same name the first folder's counts.
fn drop_ins(folders: &[PathBuf], name: &str) -> Vec<PathBuf> {
    let mut found: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for folder in folders {
        for entry in fs::read_dir(folder.join(name)).into_iter().flatten().flatten() {
            if Path::new(&entry.file_name()).extension() == Some(OsStr::new("conf")) {
                found.entry(entry.file_name()).or_insert_with(|| entry.path());
            }
        }
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_read_with_its_drop_ins() {
        let root = tempfile::tempdir().unwrap();
        let folders = ["etc", "lib"].map(|name| root.path().join(name)).to_vec();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(Unit::find(&folders, "m.service"), None);
        write(
            "lib/m.service",
            "[Unit]\nUser=a\n[Service]\n# User=b\nUser=c\nProtectHome = yes\nReadWritePaths=/a \\\n /b\n",
        );
        write("lib/m.service.d/10.conf", "[Service]\nReadWritePaths=/c\nUser=lib\n");
        write("etc/m.service.d/10.conf", "[Service]\nReadWritePaths=/d\n");
        write("etc/m.service.d/20.conf", "[Service]\nProtectHome=no\n");
        write("etc/m.service.d/30.txt", "[Service]\nUser=d\n");
        let unit = Unit::find(&folders, "m.service").unwrap();
        assert_eq!((unit.last("User"), unit.is_on("ProtectHome")), (Some("c"), false));
        assert_eq!(unit.words("ReadWritePaths"), ["/a", "/b", "/d"]);
        write("etc/m.service.d/40.conf", "[Service]\nReadWritePaths=\nReadWritePaths=/e\nUser=\n");
        let unit = Unit::find(&folders, "m.service").unwrap();
        assert_eq!((unit.words("ReadWritePaths"), unit.last("User")), (vec!["/e"], None));
    }
}
