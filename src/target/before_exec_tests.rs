//! With real processes. What only root can do is tested where the tests run as root.

use super::*;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getegid, geteuid, getrlimit};
use rustix::thread::set_thread_res_uid;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::process::{Output, Stdio};
use std::sync::{PoisonError, RwLockReadGuard};

fn forks() -> RwLockReadGuard<'static, ()> {
    crate::FORKS.read().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a script of `sh` with these differences.
fn run(script: &str, different: BeforeExec) -> io::Result<Output> {
    let _forks = forks();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    different.apply_to(&mut command)?;
    command.output()
}

fn say(script: &str, different: BeforeExec) -> String {
    let output = run(script, different).unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn account(uid: u32, gid: u32) -> Account {
    Account { name: "app".into(), uid, gid, home: "/".into() }
}

/// A line of `/proc/PID/status`, its words separated by single blanks.
fn status(name: &str) -> String {
    format!("grep '^{name}:' /proc/self/status | tr -s '\\t ' ' '")
}

#[test]
fn where_nothing_is_different_nothing_is_done() {
    let different =
        BeforeExec { account: Some(account(geteuid().as_raw(), getegid().as_raw())), ..BeforeExec::default() };
    assert_eq!(say("ulimit -c", different), say("ulimit -c", BeforeExec::default()));
}

#[test]
fn a_program_may_have_fewer_files_open_than_we_and_never_more() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let shown = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    let may = |files| BeforeExec { open_files: Some(files), ..BeforeExec::default() };
    let script = "ulimit -S -n; ulimit -H -n";
    assert_eq!(say(script, may(77)), format!("77\n{}", shown(maximum)));
    if let Some(most) = maximum {
        assert_eq!(say(script, may(most + 1)), format!("{most}\n{most}"));
    }
    assert_eq!(say(script, BeforeExec::default()), format!("{}\n{}", shown(current), shown(maximum)));
    assert_eq!(say("ulimit -c", may(77)), say("ulimit -c", BeforeExec::default()), "nothing else is different");
}

#[test]
fn a_limit_is_what_was_asked_for_and_never_more_than_ours() {
    let memory =
        |bytes| BeforeExec { limits: Limits { memory: Some(bytes), ..Limits::default() }, ..BeforeExec::default() };
    let cpu =
        |seconds| BeforeExec { limits: Limits { cpu: Some(seconds), ..Limits::default() }, ..BeforeExec::default() };
    for (script, different, expected) in [
        ("ulimit -v; ulimit -H -v; ulimit -c", memory(64 << 20), "65536\n65536\n0"),
        ("ulimit -t; ulimit -H -t; ulimit -c", cpu(7), "7\n8\n0"),
    ] {
        assert_eq!(say(script, different), expected);
    }
    let (script, ours) = ("ulimit -H -v", getrlimit(Resource::As).maximum);
    let ours = ours.map_or_else(|| (u64::MAX / 1024).to_string(), |bytes| (bytes / 1024).to_string());
    assert_eq!(say(script, memory(u64::MAX - 1)), ours);
}

#[test]
fn a_directory_is_entered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    for dies_with_us in [false, true] {
        let different = BeforeExec { directory: Some(path.clone()), dies_with_us, ..BeforeExec::default() };
        assert_eq!(say("pwd -P", different), path.to_str().unwrap());
    }
}

#[test]
fn an_account_leaves_nothing_of_root() {
    if !geteuid().is_root() {
        return;
    }
    let different = || BeforeExec { account: Some(account(65_534, 33)), dies_with_us: true, ..BeforeExec::default() };
    for (name, expected) in [
        ("Uid", "Uid: 65534 65534 65534 65534"),
        ("Gid", "Gid: 33 33 33 33"),
        ("Groups", "Groups: 33"),
        ("CapPrm", "CapPrm: 0000000000000000"),
        ("CapEff", "CapEff: 0000000000000000"),
    ] {
        assert_eq!(say(&status(name), different()), expected);
    }
}

#[test]
fn a_lease_is_file_descriptor_3_and_nothing_else_is_open() {
    let (ours, mut other) = UnixStream::pair().unwrap();
    let different = BeforeExec { lease: Some(ours.into()), ..BeforeExec::default() };
    let expected: std::collections::BTreeSet<_> = inherited().into_iter().chain(0..=3).collect();

    let open = say("echo held >&3; ls /proc/$$/fd", different);

    // A shell may keep what it saves for itself, above all others.
    let open: std::collections::BTreeSet<_> = open.lines().map(|line| line.parse::<i32>().unwrap()).collect();
    assert_eq!(open, expected);
    let mut said = String::new();
    // It ends, for nobody has the other end any more.
    other.read_to_string(&mut said).unwrap();
    assert_eq!(said, "held\n");
}

/// What we were started with ourselves, and goes on to whatever we start.
fn inherited() -> Vec<i32> {
    let files = std::fs::read_dir("/proc/self/fdinfo").unwrap().flatten().filter(|entry| {
        let info = std::fs::read_to_string(entry.path()).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).map(str::trim);
        flags.is_some_and(|flags| u32::from_str_radix(flags, 8).unwrap() & libc::O_CLOEXEC.unsigned_abs() == 0)
    });
    files.map(|entry| entry.file_name().to_str().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_failed_start_is_told_in_spite_of_a_lease() {
    for _ in 0..20 {
        let (ours, mut other) = UnixStream::pair().unwrap();
        let mut command = Command::new("/nowhere/program");
        BeforeExec { lease: Some(ours.into()), ..BeforeExec::default() }.apply_to(&mut command).unwrap();
        let forks = forks();
        assert_eq!(command.spawn().unwrap_err().raw_os_error(), Some(libc::ENOENT));
        drop((forks, command));
        let mut said = Vec::new();
        other.read_to_end(&mut said).unwrap();
        assert!(said.is_empty(), "{said:?}");
    }
}

#[test]
fn a_process_dies_with_the_thread_that_started_it() {
    let (sending, receiving) = std::sync::mpsc::channel();
    let starter = std::thread::spawn(move || {
        let _forks = forks();
        let mut command = Command::new("/bin/sleep");
        command.arg("1000").stdout(Stdio::piped());
        BeforeExec { dies_with_us: true, ..BeforeExec::default() }.apply_to(&mut command).unwrap();
        sending.send(command.spawn().unwrap()).unwrap();
    });
    starter.join().unwrap();
    let mut child = receiving.recv().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(libc::SIGKILL));
}

#[test]
fn a_step_that_fails_is_named() {
    let nowhere = || Some(PathBuf::from("/nowhere"));
    let mut run = ProgramConfig { directory: nowhere(), ..ProgramConfig::new("/bin/sh", [""; 0]) };
    run.account = Some(account(65_534, 33));
    let failed = |different: BeforeExec| {
        let _forks = forks();
        let mut command = Command::new("/bin/sh");
        different.apply_to(&mut command).unwrap();
        explained(command.spawn().unwrap_err(), &run).to_string()
    };
    for dies_with_us in [false, true] {
        let reason = failed(BeforeExec { directory: nowhere(), dies_with_us, ..BeforeExec::default() });
        let expected = "cannot enter its working directory /nowhere: No such file or directory";
        assert!(reason.starts_with(expected), "{reason}");
    }
    // A thread that is not root, or no more.
    let reason = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if geteuid().is_root() {
                let nobody = Uid::from_raw(65_533);
                set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            failed(BeforeExec { account: run.account.clone(), ..BeforeExec::default() })
        });
        thread.join().unwrap()
    });
    assert!(reason.starts_with("cannot become user app (uid 65534, gid 33): Operation not permitted"), "{reason}");
}

#[test]
fn nobody_can_be_an_account_without_a_number() {
    for account in [account(u32::MAX, 1), account(1, u32::MAX)] {
        let different = BeforeExec { account: Some(account), ..BeforeExec::default() };
        assert_eq!(run("exit 0", different).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn an_error_that_is_none_of_ours_stays_as_it_is() {
    let run = ProgramConfig { directory: Some("/".into()), ..ProgramConfig::new("/bin/sh", [""; 0]) };
    for code in [libc::ENOENT, libc::EACCES, libc::EAGAIN, libc::ENOMEM] {
        assert_eq!(explained(io::Error::from_raw_os_error(code), &run).raw_os_error(), Some(code));
    }
    for error in Step::all_failing(Errno::PERM) {
        let reason = explained(error, &run).to_string();
        assert!(reason.starts_with("cannot ") && reason.contains("not permitted"), "{reason}");
    }
}
