//! Application servers that keep processes of their own, behind a unix socket.

mod server;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::{Value, json};

use super::{MAIL, init, prove};
use crate::support::{Exit, Launch, Maildirq, SOON, skipped, wait_until};
use server::{GUNICORN, Lock, PUMA, Recipe, STARMAN, Server, state_and_parent};

const NOBODY: u32 = 65534;

#[test]
fn gunicorn_takes_what_comes_and_that_once() {
    try_out(&GUNICORN);
}

#[test]
fn puma_takes_what_comes_and_that_once() {
    try_out(&PUMA);
}

#[test]
fn starman_takes_what_comes_and_that_once() {
    try_out(&STARMAN);
}

fn try_out(recipe: &'static Recipe) {
    let server = Server::start(recipe);
    server.takes_many_at_a_time();
    server.takes_the_proof();
    server.knows_a_mail_that_comes_again();
    server.keeps_no_half_of_a_mail();
    server.answers_by_each_of_its_processes();
    server.says_so_when_it_cannot_keep_a_mail();
}

#[test]
fn while_gunicorn_is_down_mail_waits() {
    while_it_is_down(&GUNICORN);
}

#[test]
fn while_puma_is_down_mail_waits() {
    while_it_is_down(&PUMA);
}

#[test]
fn while_starman_is_down_mail_waits() {
    while_it_is_down(&STARMAN);
}

/// Killed, it leaves its socket behind; stopped, systemd removes the folder.
fn while_it_is_down(recipe: &'static Recipe) {
    let mut server = Server::start(recipe);

    server.kill9();
    server.waits("Connection refused");
    server.start_again(&[]);
    server.takes_all();
    server.kill9();
    fs::remove_file(server.socket()).unwrap();
    server.waits("No such file or directory");
    server.start_again(&[]);
    server.takes_all();
    assert_eq!(server.kept().len(), 2);
}

#[test]
fn only_the_group_may_connect_to_gunicorn() {
    only_the_group_may_connect(&GUNICORN);
}

#[test]
fn only_the_group_may_connect_to_puma() {
    only_the_group_may_connect(&PUMA);
}

#[test]
fn only_the_group_may_connect_to_starman() {
    only_the_group_may_connect(&STARMAN);
}

fn only_the_group_may_connect(recipe: &'static Recipe) {
    let server = Server::start(recipe);
    let mode = fs::metadata(server.socket()).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode & 0o060, mode & 0o007), (0o060, 0), "{mode:o}");
    if !geteuid().is_root() {
        return skipped("only root can become somebody else");
    }
    fs::set_permissions(server.root.path(), PermissionsExt::from_mode(0o755)).unwrap();
    chown(server.socket(), None, Some(NOBODY)).unwrap();
    server.maildir.give_to(NOBODY);
    let name = server.maildir.deliver(MAIL);
    chown(server.maildir.message(name), Some(NOBODY), None).unwrap();
    let toml = server.root.path().join("maildirq.toml");
    fs::write(&toml, init(recipe.name, &server.url(), &server.maildir)).unwrap();
    let drain_as = |user: &[&str]| {
        let words = [&["setpriv", "--clear-groups", "--reuid=65534"], user].concat();
        Launch::new("drain").arg("-c").arg(&toml).arg("--wait-retries").by_way_of(&words)
    };

    let stranger = drain_as(&["--regid=65533"]).start();
    server.said(&stranger.wait_for_event("attempt"), "Permission denied");
    drop(stranger);
    let member = drain_as(&["--regid=65534"]).run();
    assert_eq!((member.exit(), server.kept().len()), (Exit::Ok, 1));
}

#[test]
fn a_reload_of_gunicorn_loses_nothing() {
    a_reload_loses_nothing(&GUNICORN, Signal::HUP);
}

#[test]
fn a_restart_of_puma_loses_nothing() {
    a_reload_loses_nothing(&PUMA, Signal::USR2);
}

#[test]
fn a_reload_of_starman_loses_nothing() {
    a_reload_loses_nothing(&STARMAN, Signal::HUP);
}

fn a_reload_loses_nothing(recipe: &'static Recipe, signal: Signal) {
    const AT_A_TIME: usize = 16;
    const WITH_RETRIES: Duration = Duration::from_mins(1);
    let server = Server::start(recipe);
    let before = server.two_processes();
    let watch = Maildirq::watch_config(&init(recipe.name, &server.url(), &server.maildir)).start();
    let mut delivered = BTreeSet::new();
    let mut deliver = || {
        if server.maildir.waiting().len() < AT_A_TIME {
            delivered.insert(server.deliver(delivered.len()));
        }
    };
    wait_until("the first mail", SOON, || {
        deliver();
        !watch.events("attempt").is_empty()
    });

    server.signal(signal);
    wait_until("other processes", SOON, || {
        deliver();
        let now = server.processes();
        now.len() == before.len() && now.is_disjoint(&before)
    });
    deliver();

    wait_until("all is taken", WITH_RETRIES, || server.maildir.waiting().is_empty());
    assert_eq!((watch.stop(), server.maildir.dead().len()), (Exit::Ok, 0));
    assert_eq!(server.kept_texts(), delivered);
}

#[test]
fn gunicorn_replaces_its_processes_and_loses_nothing() {
    it_replaces_its_processes(&GUNICORN, &[("-requests 1000", "-requests 5"), ("-jitter 100", "-jitter 2")]);
}

#[test]
fn starman_replaces_its_processes_and_loses_nothing() {
    it_replaces_its_processes(&STARMAN, &[("-requests 1000", "-requests 5")]);
}

fn it_replaces_its_processes(recipe: &'static Recipe, edits: &[(&str, &str)]) {
    let server = Server::start_with(recipe, edits);
    let before = server.two_processes();
    // More than the two could take between them.
    let delivered: BTreeSet<_> = (0..40).map(|number| server.deliver(number)).collect();
    server.takes_all();
    assert_eq!(server.kept_texts(), delivered);
    wait_until("other processes", SOON, || !server.processes().is_superset(&before));
}

/// The time-out of maildirq is the longer one, so that it hears of the end.
#[test]
fn gunicorn_ends_what_takes_too_long_and_the_mail_comes_again() {
    let server = Server::start_with(&GUNICORN, &[("--timeout 30", "--timeout 2")]);
    server.deliver(1);
    server.takes_all();
    server.deliver(2);
    let lock = Lock::on(&server.database());
    let drain = server.drain().arg("--wait-retries").start();
    server.said(&drain.wait_for_event("attempt"), "no complete answer");
    assert!(server.log().contains("WORKER TIMEOUT"));
    drop(lock);
    assert_eq!((drain.exit(), server.kept().len()), (Exit::Ok, 2));
}

/// What each of them is asked.
impl Server {
    fn takes_many_at_a_time(&self) {
        let delivered: BTreeSet<_> = (0..30).map(|number| self.deliver(number)).collect();
        let drain = self.drain().run();
        assert_eq!((drain.exit(), self.maildir.waiting().len()), (Exit::Ok, 0));
        let answers: Vec<_> = drain.events("attempt").iter().map(|attempt| attempt["status"].clone()).collect();
        assert_eq!(answers, vec![Value::from(204); delivered.len()]);
        assert_eq!(self.kept_texts(), delivered);
    }

    fn takes_the_proof(&self) {
        let kept = self.kept().len();
        let send = prove(self.recipe.name, &self.url(), &self.maildir).run();
        assert_eq!((send.exit(), self.kept().len()), (Exit::Ok, kept + 1), "{}", send.stdout());
    }

    fn knows_a_mail_that_comes_again(&self) {
        self.deliver(100);
        let killed = self.drain().concurrency(1).killed_at("unlinkat", 1).run();
        assert_eq!((killed.exit(), self.maildir.waiting().len()), (Exit::Signal(9), 1));
        let kept = self.kept();
        self.takes_all();
        assert_eq!(self.kept(), kept);
    }

    /// A maildirq that is killed leaves half a request; the mail comes again, and only then it is whole.
    fn keeps_no_half_of_a_mail(&self) {
        let body = match self.recipe.name {
            "puma" => "Subject: whole\n\nwhole\n".to_owned(),
            _ => json!({"text": "whole\n"}).to_string(),
        };
        let post = |sent: &str| {
            let mut stream = UnixStream::connect(self.socket()).unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            let head = format!(
                "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nwebhook-id: half\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(&[head.as_bytes(), sent.as_bytes()].concat()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer.starts_with("HTTP/1.1 2")
        };
        let kept = self.kept();
        assert!(!post(&body[..body.len() / 2]));
        assert_eq!(self.kept(), kept);
        assert!(post(&body));
        assert_eq!(self.kept().get("half").map(String::as_str), Some("whole\n"));
    }

    /// Each alone, while the other one is stopped.
    fn answers_by_each_of_its_processes(&self) {
        for process in self.two_processes() {
            let pid = Pid::from_raw(process).unwrap();
            kill_process(pid, Signal::STOP).unwrap();
            wait_until("it has stopped", SOON, || state_and_parent(process).is_some_and(|(state, _)| state == 'T'));
            for number in 0..3 {
                self.deliver(1000 + number);
            }
            let drain = self.drain().run();
            assert_eq!((drain.exit(), self.maildir.waiting().len()), (Exit::Ok, 0));
            kill_process(pid, Signal::CONT).unwrap();
        }
    }

    fn says_so_when_it_cannot_keep_a_mail(&self) {
        let name = self.maildir.deliver(MAIL);
        fs::remove_dir_all(self.folder()).unwrap();
        let drain = self.drain().run();
        assert_eq!((drain.exit(), self.maildir.waiting()), (Exit::SomeWait, vec![name]));
        let attempt = drain.wait_for_event("attempt");
        assert_eq!(attempt["status"], 500, "{attempt}");
    }
}
