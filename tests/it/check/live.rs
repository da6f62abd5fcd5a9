//! `--live`, and that nothing is touched.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{check, serving, tells};
use crate::support::{Answer, App, Authority, Certificate, Exit, Launch, Maildir, Maildirq};

fn live(maildir: &Maildir, settings: &str) -> Launch {
    check(&serving(maildir, settings)).arg("--live")
}

fn trusting(authority: &Authority, check: Launch) -> Launch {
    check.env("SSL_CERT_FILE", authority.bundle()).env("SSL_CERT_DIR", "/nonexistent")
}

fn app_with(certificate: Certificate) -> App {
    App::plan(|_| Answer::ok()).with_certificate(certificate).start()
}

#[test]
fn targets_that_live_are_connected_to_and_sent_nothing() {
    let (maildir, authority) = (Maildir::in_memory(), Authority::called("trusted"));
    let socket = maildir.path().parent().unwrap().join("socket");
    let apps =
        [App::accepting(), app_with(authority.certificate()), App::plan(|_| Answer::ok()).on_socket(&socket).start()];
    let [plain, tls, unix] = [0, 1, 2].map(|number: usize| apps[number].url());
    let settings = format!(
        "[[route]]\ntarget = \"plain\"\n[target.plain]\nurl = {plain:?}\n[target.tls]\nurl = {tls:?}\n\
         [target.unix]\nurl = {unix:?}\n[target.proxied]\nurl = \"https://app.invalid/\"\nproxy = {plain:?}\n\
         [target.program]\ncommand = [\"/bin/false\"]\n"
    );
    let said =
        tells(trusting(&authority, live(&maildir, &settings)), Exit::Ok, &["✓ program  a command; it was not run"]);
    for name in ["plain", "tls", "unix", "proxied"] {
        assert!(said.contains(&format!("✓ {name}  connected in ")), "{name}: {said}");
    }
    assert!(said.contains(", TLS 1.3, certificate valid for ") && said.matches("TLS").count() == 1, "{said}");
    assert_eq!(apps.iter().map(App::count).sum::<usize>(), 0);
    let json = tells(trusting(&authority, live(&maildir, &settings)).arg("--json"), Exit::Ok, &[]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let tls = json["targets"].as_array().unwrap().iter().find(|target| target["name"] == "tls").unwrap();
    assert!(tls["reached"] == true && tls["certificate_days"].as_u64().unwrap() > 7000, "{tls}");
}

#[test]
fn a_certificate_is_judged_before_mail_needs_it() {
    let [authority, stranger] = ["trusted", "unknown"].map(Authority::called);
    let maildir = Maildir::in_memory();
    for (certificate, exit, words) in [
        (authority.certificate_for_days(5), Exit::Ok, ["expires in 4 days", "certificate valid for 4 days"]),
        (authority.expired_certificate(), Exit::Config, ["error: [target.app]: cannot connect to https://", "expired"]),
        (authority.certificate_of_another(), Exit::Config, ["cannot connect to", "not valid for name"]),
        (stranger.certificate(), Exit::Config, ["cannot connect to", "UnknownIssuer"]),
    ] {
        let app = app_with(certificate);
        let settings = format!("[target.app]\nurl = {:?}\n", app.url());
        tells(trusting(&authority, live(&maildir, &settings)), exit, &words);
        assert_eq!(app.count(), 0);
    }
}

#[test]
fn what_cannot_be_reached_is_told_of_in_time() {
    let maildir = Maildir::in_memory();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = format!("https://{}/", mute.local_addr().unwrap());
    for (url, why) in [
        (&*mute, "not within 300ms"),
        ("http://127.0.0.1:1/", "Connection refused"),
        ("http://surely-not.invalid/", "cannot connect to http://surely-not.invalid/: "),
        ("unix:/nowhere/socket", "No such file or directory"),
    ] {
        let settings = format!("[target.app]\nurl = {url:?}\nconnect_timeout = \"300ms\"\n");
        tells(live(&maildir, &settings), Exit::Config, &["error: [target.app]: cannot connect to", why]);
    }
}

/// All that is under a folder, with what would tell of a change.
fn state_of(folder: &Path) -> BTreeMap<PathBuf, (u64, i64, i64, i64, i64, u32)> {
    let mut state = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(path) = folders.pop() {
        let found = path.symlink_metadata().unwrap();
        if found.is_dir() {
            folders.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let times = (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec());
        state.insert(path, (found.ino(), times.0, times.1, times.2, times.3, found.mode()));
    }
    state
}

#[test]
fn it_changes_nothing_on_disk() {
    let (maildir, app) = (Maildir::new(), App::answering(|_| Answer::status(503)));
    maildir.deliver("Subject: hi\n\nhi\n");
    let toml = serving(&maildir, &format!("[target.app]\nurl = {:?}\n", app.url()));
    let home = maildir.path().parent().unwrap();
    for is_served in [false, true] {
        if is_served {
            assert_eq!(Maildirq::drain_config(&toml).run().exit(), Exit::SomeWait);
        }
        let before = state_of(home);
        assert_eq!(before.keys().any(|path| path.ends_with("maildirq/id")), is_served, "{before:?}");
        tells(check(&toml).arg("--live"), Exit::Ok, &["✓ app  connected"]);
        assert_eq!(state_of(home), before, "served before: {is_served}");
    }
}
