//! What maildirq has to do with systemd: what it tells, and the units that are shipped.

mod calls;
mod told;
mod units;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Overheard, skipped};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd").join(name)
}

/// The settings of a unit's `[Service]`, in their order.
fn settings_of(name: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(shipped(name)).unwrap();
    let service = text.split_once("[Service]\n").unwrap().1.split("\n[").next().unwrap();
    let lines = service.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let split = |line: &str| line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    lines.map(|line| split(line).unwrap_or_else(|| panic!("{name}: {line}"))).collect()
}

/// What systemd-analyze says on both its outputs, and whether that is no complaint; None where it is not there.
fn systemd_analyze(arguments: &[&str]) -> Option<(String, bool)> {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        skipped("there is no systemd-analyze here");
        return None;
    }
    let output = Command::new("systemd-analyze").args(arguments).overheard();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap()).concat();
    Some((said, output.status.success()))
}
