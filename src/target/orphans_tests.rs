//! With real processes.

use super::*;
use std::iter;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn a_line_of_the_system_is_read_whatever_the_program_is_called() {
    for (line, has_ended, group, session) in [
        (&b"7 (sh) S 1 70 700 0 -1 4194560"[..], false, 70, 700),
        (b"7 (a) Z 1 (b\n) Z 1 70 700 0", true, 70, 700),
        (b"7 (\xff) R 1 70 700 0", false, 70, 700),
    ] {
        assert_eq!(Process::parse(line), Some(Process { has_ended, group, session }));
    }
    for line in [&b""[..], b"7 (sh)", b"7 (sh) S 1 x 700"] {
        assert_eq!(Process::parse(line), None);
    }
}

#[test]
fn a_process_is_told_by_where_its_program_is() {
    let stat = |start: &str| format!("7 (sh) S 1 70 700 0 -1 4194560{} {start} 0 0\n", " 0".repeat(16));
    for (line, program) in [
        (stat("94830 94999 140"), Some((94830, 140))),
        (stat("0 0 0"), None),
        ("7 (sh) S 1 70 700".to_owned(), None),
        (String::new(), None),
    ] {
        assert_eq!(program_at(line.as_bytes()), program, "{line}");
    }
    assert!(program_at(&fs::read("/proc/self/stat").unwrap()).is_some());
}

/// The more variables there are, the longer a process has none of them yet, and the more reads they take.
#[test]
fn whoever_is_becoming_another_program_is_not_taken_for_a_stranger() {
    const MARK: &str = "MAILDIRQ_ID=ever-another";
    let _forks = crate::FORKS.read().unwrap_or_else(PoisonError::into_inner);
    let script = tempfile::NamedTempFile::new().unwrap();
    fs::write(&script, "exec sh \"$0\"\n").unwrap();
    let mut command = Command::new("sh");
    command.arg(script.path()).envs((0..5000).map(|number| (format!("VARIABLE_{number}"), "")));
    let (name, id) = MARK.split_once('=').unwrap();
    let (mut child, orphans) = Orphans::of(command.env(name, id), MARK.to_owned()).unwrap();

    let until = Instant::now() + Duration::from_mins(1);
    let (mut later, mut strangers) = (0, 0);
    while later + strangers < 500 && Instant::now() < until {
        match orphans.is_marked(orphans.main) {
            None => later += 1,
            Some(false) => strangers += 1,
            Some(true) => {}
        }
    }
    child.kill().unwrap();
    orphans.take_off_main(&mut child).unwrap();
    assert!(later > 0, "it was never caught");
    assert_eq!(strangers, 0, "{later} times it was to be known later");
}

#[test]
fn whoever_has_no_environment_is_a_stranger() {
    let _forks = crate::FORKS.read().unwrap_or_else(PoisonError::into_inner);
    let mut command = Command::new("sleep");
    let (mut child, orphans) = Orphans::of(command.arg("60").env_clear(), "MAILDIRQ_ID=none".to_owned()).unwrap();
    let until = Instant::now() + Duration::from_mins(1);
    let known = iter::from_fn(|| (Instant::now() < until).then(|| orphans.is_marked(orphans.main)));
    let known = known.flatten().next();
    child.kill().unwrap();
    orphans.take_off_main(&mut child).unwrap();
    assert_eq!(known, Some(false));
}

#[test]
fn a_child_of_somebody_else_is_left_alone() {
    // Once it has ended nothing tells whose it was: so no other command may end meanwhile.
    let _alone = crate::FORKS.write().unwrap_or_else(PoisonError::into_inner);
    let sleep = || Command::new("sleep").arg("60").stdout(Stdio::null()).process_group(0).spawn().unwrap();
    let (main, mut other) = (sleep(), sleep());
    let mut orphans = Orphans::new(Pid::from_child(&main), "MAILDIRQ_ID=none".to_owned());
    // Until a process is the program that it is to be, nothing is known of it.
    let looks = std::iter::from_fn(|| Some(orphans.kill().unwrap()));
    assert!(looks.take(10_000).any(|found| found == 0));
    let is_left_alone = other.try_wait().unwrap().is_none();
    other.kill().unwrap();
    let ended_by = [main, other].map(|mut child| child.wait().unwrap().signal());
    assert_eq!((is_left_alone, ended_by), (true, [Some(9), Some(9)]));
}
