//! What a command runs as: its user, its directory, its limits. Started as root, maildirq is the Maildir's owner.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{Exit, Launch, Maildir, Maildirq, SOON, Script, skipped, wait_until};

/// Debian's `nobody`, who owns the Maildirs here.
const OWNER: u32 = 65534;
/// Debian's `daemon`, as whom commands run.
const DAEMON: u32 = 1;
const AS_DAEMON: &str = "user = 'daemon'";
/// `CAP_KILL` alone, see `capabilities(7)`.
const KILL_ONLY: &str = "0000000000000020";
const NOTHING: &str = "0000000000000000";

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skipped("only root can become somebody else");
    }
    is_root
}

fn maildir_of_owner() -> Maildir {
    let maildir = Maildir::new();
    maildir.give_to(OWNER);
    maildir
}

fn deliver(maildir: &Maildir, mail: &str) {
    let name = maildir.deliver(mail);
    chown(maildir.message(name), Some(OWNER), Some(OWNER)).unwrap();
}

/// A configuration that whoever maildirq becomes can read again.
struct File {
    home: TempDir,
}

impl File {
    fn new(toml: &str) -> File {
        let home = TempDir::new().unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        let file = File { home };
        file.write(toml);
        file
    }

    fn path(&self) -> std::path::PathBuf {
        self.home.path().join("maildirq.toml")
    }

    fn write(&self, toml: &str) {
        fs::write(self.path(), toml).unwrap();
    }

    fn watch(&self) -> Maildirq {
        Launch::new("watch").arg("-c").arg(self.path()).start()
    }
}

/// A line of `/proc/PID/status`, its words separated by single blanks.
fn status_of(process: &str, name: &str) -> String {
    value(&fs::read_to_string(format!("/proc/{process}/status")).unwrap(), name)
}

fn value(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// Root is kept for the one target alone: nothing that is run has any of it.
#[test]
fn each_command_is_who_it_is_to_be_and_nobody_can_get_back_to_root() {
    const TELL: &str =
        "cat /proc/$$/status | tell status; umask | tell umask; echo $USER $HOME | tell who; cat | tell mail";
    if !is_root() {
        return;
    }
    let (maildir, plain, other) = (maildir_of_owner(), Script::new(TELL), Script::new(TELL));
    let route = "[[route]]\nwhen.subject = 'other'\ntarget = 'other'\n[[route]]\ntarget = 'plain'\n";
    let toml = format!(
        "maildir = '{}'\n{route}[target.plain]\ncommand = {}\n[target.other]\ncommand = {}\n{AS_DAEMON}\ngroup = 'mail'\n",
        maildir.path().display(),
        plain.command(),
        other.command()
    );
    let watch = Maildirq::watch_config(&toml).start();
    deliver(&maildir, "Subject: plain\n\nplain\n");
    deliver(&maildir, "Subject: other\n\nother\n");

    let who = format!("{} {}", variable("USER"), variable("HOME"));
    let (ours, theirs) = (who.trim(), "daemon /usr/sbin");
    for (script, user, group, who) in [(&plain, OWNER, OWNER, ours), (&other, DAEMON, 8, theirs)] {
        assert_eq!(script.wait_for("who"), who);
        let status = script.wait_for("status");
        let four = |number: u32| [number; 4].map(|number| number.to_string()).join(" ");
        assert_eq!(value(&status, "Uid"), four(user));
        assert_eq!(value(&status, "Gid"), four(group));
        assert_eq!(value(&status, "Groups"), group.to_string());
        for capabilities in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
            assert_eq!(value(&status, capabilities), NOTHING, "{capabilities} of {user}");
        }
        let mask = value(&fs::read_to_string("/proc/self/status").unwrap(), "Umask");
        assert_eq!(script.wait_for("umask"), mask);
        assert!(script.wait_for("mail").starts_with("Subject: "), "it reads what only the owner can open");
    }
    let us = watch.pid().to_string();
    assert_eq!(status_of(&us, "Uid"), format!("{OWNER} {OWNER} 0 {OWNER}"));
    assert_eq!(status_of(&us, "CapEff"), KILL_ONLY);
    wait_until("all are done", SOON, || maildir.waiting().is_empty());
    let id = fs::metadata(maildir.path().join("maildirq/id")).unwrap();
    assert_eq!((id.uid(), id.gid(), watch.stop()), (OWNER, OWNER, Exit::Ok));
}

/// The system lets nobody signal another user's processes, or read their environment.
#[test]
fn a_command_of_another_user_is_ended_with_all_that_it_started() {
    if !is_root() {
        return;
    }
    let maildir = maildir_of_owner();
    deliver(&maildir, "Subject: one\n\n.\n");
    let script = Script::new(
        "trap '' TERM; echo $$ | tell main; sleep 600 & echo $! | tell child\n\
         setsid sh -c \"trap '' TERM; echo \\$\\$ >daemon; sleep 600\" & await daemon; sleep 600",
    );
    let toml = format!("shutdown_timeout = '100ms'\n{}", script.config(&maildir, AS_DAEMON));
    let watch = Maildirq::watch_config(&toml).start();
    let processes = ["main", "child", "daemon"].map(|name| script.wait_for(name));
    for process in &processes {
        assert_eq!(status_of(process, "Uid"), format!("{DAEMON} {DAEMON} {DAEMON} {DAEMON}"));
    }

    assert_eq!(watch.stop(), Exit::Ok);

    assert_eq!(watch.events("orphans_left").len(), 0);
    for process in &processes {
        assert!(!Path::new("/proc").join(process).exists(), "{process}");
    }
    assert_eq!((maildir.waiting().len(), maildir.stories()), (1, vec![]));
}

#[test]
fn where_root_was_given_up_a_reload_that_needs_it_is_refused() {
    if !is_root() {
        return;
    }
    let (maildir, script) = (maildir_of_owner(), Script::new("id -u | tell $MAILDIRQ_ID"));
    let (plain, other) = (script.config(&maildir, ""), script.config(&maildir, AS_DAEMON));

    let file = File::new(&plain);
    let watch = file.watch();
    watch.wait_for_event("ready");
    assert_eq!(status_of(&watch.pid().to_string(), "Uid"), format!("{OWNER} {OWNER} {OWNER} {OWNER}"));
    file.write(&other);
    let reason = watch.refuse_to_hang_up();
    for word in ["[target.app]: only root can run a program as user daemon (uid 1, gid 1)", "uid 65534", "restart it"] {
        assert!(reason.contains(word), "{reason}");
    }
    deliver(&maildir, "Subject: one\n\n.\n");
    wait_until("the old one works on", SOON, || maildir.waiting().is_empty());
    assert_eq!(watch.stop(), Exit::Ok);

    // Where one was there at the start there may be others later, and none.
    let watch = file.watch();
    watch.wait_for_event("ready");
    for toml in [&plain, &other] {
        file.write(toml);
        let before = watch.events("reloaded").len();
        watch.signal(Signal::HUP);
        watch.wait_for_events("reloaded", before + 1);
        deliver(&maildir, "Subject: one\n\n.\n");
        wait_until("it is done", SOON, || maildir.waiting().is_empty());
    }
    let mut users: Vec<_> = script.files().iter().map(|file| script.wait_for(file)).collect();
    users.sort();
    assert_eq!((users, watch.stop()), (["1", "65534", "65534"].map(str::to_owned).to_vec(), Exit::Ok));
}

#[test]
fn who_is_not_root_can_run_programs_as_himself_alone() {
    if !is_root() {
        return;
    }
    let (maildir, script) = (maildir_of_owner(), Script::new("id -u | tell uid"));
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let file = File::new(&script.config(&maildir, AS_DAEMON));
    let verb = |verb: &str| Launch::new(verb).arg("-c").arg(file.path()).by_way_of(&nobody);
    let refusal = "[target.app]: only root can run a program as user daemon (uid 1, gid 1), and ";

    let drain = verb("drain").log_text().run();
    assert_eq!(drain.exit(), Exit::Config);
    drain.wait_for_line(refusal);
    let check = verb("check").without_log().run();
    assert_eq!(check.exit(), Exit::Config);
    assert!(check.stdout().contains(&format!("{refusal}this is uid 65534")), "{}", check.stdout());

    file.write(&script.config(&maildir, "user = 'nobody'"));
    deliver(&maildir, "Subject: one\n\n.\n");
    assert_eq!((verb("check").without_log().run().exit(), verb("drain").run().exit()), (Exit::Ok, Exit::Ok));
    assert_eq!(script.wait_for("uid"), "65534");
}

#[test]
fn check_looks_with_the_eyes_of_whoever_a_command_runs_as() {
    if !is_root() {
        return;
    }
    let (maildir, private) = (maildir_of_owner(), TempDir::new().unwrap());
    fs::set_permissions(private.path(), Permissions::from_mode(0o700)).unwrap();
    let program = private.path().join("program");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let toml = format!(
        "maildir = '{}'\n[target.app]\ncommand = [{program:?}]\ndirectory = {:?}\n{AS_DAEMON}\n",
        maildir.path().display(),
        private.path()
    );
    let check = || Launch::new("check").without_log().config(&toml).run();
    let denied = check();
    let said = denied.stdout();
    for word in
        ["user daemon, as which it runs, cannot run /", "user daemon, as which it runs, cannot enter its directory"]
    {
        assert!(said.contains(word), "{said}");
    }
    assert_eq!(denied.exit(), Exit::Config);
    chown(private.path(), Some(DAEMON), None).unwrap();
    let allowed = check();
    assert_eq!(allowed.exit(), Exit::Ok, "{}", allowed.stdout());
}

#[test]
fn a_unit_with_a_user_keeps_maildirq_from_being_others() {
    if !is_root() {
        return;
    }
    let (maildir, script, units) = (maildir_of_owner(), Script::new("exit 0"), TempDir::new().unwrap());
    let file = File::new(&script.config(&maildir, AS_DAEMON));
    let check = |user: &str| {
        let unit = format!("[Service]\n{user}\nExecStart=/usr/bin/maildirq watch -c {}\n", file.path().display());
        fs::write(units.path().join("maildirq.service"), unit).unwrap();
        let check = Launch::new("check").without_log().arg("-c").arg(file.path());
        check.env("SYSTEMD_UNIT_PATH", units.path()).run()
    };
    let refused = check("User=nobody");
    let why = "and maildirq.service has User=nobody";
    assert!(refused.exit() == Exit::Config && refused.stdout().contains(why), "{}", refused.stdout());
    for user in ["", "User=root"] {
        let check = check(user);
        assert_eq!(check.exit(), Exit::Ok, "{}", check.stdout());
    }
}

#[test]
fn nobody_gives_mail_to_root() {
    let (maildir, script) = (Maildir::new(), Script::new("exit 0"));
    for (settings, why) in [
        ("user = 'root'", "what strangers write is not given to root"),
        ("user = 'daemon'\ngroup = 'root'", "what strangers write is not given to root's group"),
        ("user = 'maildirq-surely-none'", "there is no user maildirq-surely-none on this machine"),
        ("user = 'daemon'\ngroup = 'maildirq-surely-none'", "there is no group maildirq-surely-none on this machine"),
        ("group = 'mail'", "a group without `user`"),
    ] {
        let check = Launch::new("check").without_log().config(&script.config(&maildir, settings)).run();
        assert!(check.exit() == Exit::Config && check.stdout().contains(why), "{}", check.stdout());
    }
}

#[test]
fn a_command_has_its_directory_and_its_limits() {
    let (maildir, folder) = (Maildir::new(), TempDir::new().unwrap());
    maildir.deliver("Subject: one\n\n.\n");
    let home = folder.path().canonicalize().unwrap();
    let script = Script::new("ulimit -v | tell memory; ulimit -t | tell cpu; ulimit -c | tell core");
    let settings = format!("directory = {home:?}\nmax_memory = '1GiB'\nmax_cpu = '20s'\nmax_output = '1KiB'");
    // The script goes to its own folder first.
    let toml = script.config(&maildir, &settings).replace("'/bin/sh', ", "'/bin/sh', '-c', 'pwd -P >here; . $0', ");

    assert_eq!(Maildirq::drain_config(&toml).run().exit(), Exit::Ok);

    assert_eq!(fs::read_to_string(home.join("here")).unwrap().trim(), home.to_str().unwrap());
    let told = ["memory", "cpu", "core"].map(|name| script.wait_for(name));
    assert_eq!(told, ["1048576", "20", "0"].map(str::to_owned));
}

#[test]
fn whoever_uses_more_than_allowed_is_ended_and_the_reason_says_so() {
    for (settings, text, reason) in [
        ("max_output = '1KiB'", "echo why >&2; yes", "said more than max_output allows (1024 bytes): why"),
        ("max_cpu = '1s'", "echo why >&2; while :; do :; done", "used more CPU time than max_cpu allows (1s): why"),
    ] {
        let (maildir, script) = (Maildir::new(), Script::new(text));
        maildir.deliver("Subject: one\n\n.\n");
        let drain = Maildirq::drain_config(&script.config(&maildir, settings)).run();
        let attempt = &drain.events("attempt")[0];
        assert_eq!((&attempt["reason"], &attempt["outcome"]), (&reason.into(), &"retry".into()), "{attempt}");
        assert_eq!((drain.exit(), maildir.waiting().len()), (Exit::SomeWait, 1));
    }
}

/// The kernel asks whether we may signal it even when it does so for us.
#[test]
fn a_worker_of_another_user_dies_with_maildirq() {
    if !is_root() {
        return;
    }
    let (maildir, folder) = (maildir_of_owner(), Script::new(""));
    deliver(&maildir, "Subject: one\n\n.\n");
    let script =
        "echo '{\"type\":\"ready\",\"version\":1}'; read -r _; read -r _; echo $$ >.pid; mv .pid pid; exec sleep 600";
    let toml = format!(
        "maildir = '{}'\n[target.app]\nworker = ['/bin/sh', '-c', {script:?}]\nprocesses = 1\ndirectory = {:?}\n{AS_DAEMON}\n",
        maildir.path().display(),
        folder.path("")
    );
    let watch = Maildirq::watch_config(&toml).start();
    let pid = folder.wait_for("pid");
    assert_eq!(status_of(&pid, "Uid"), format!("{DAEMON} {DAEMON} {DAEMON} {DAEMON}"));

    watch.kill9();

    wait_until("the worker has ended", SOON, || !Path::new("/proc").join(&pid).join("exe").exists());
    assert_eq!(maildir.waiting().len(), 1);
}
