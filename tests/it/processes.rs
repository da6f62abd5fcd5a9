//! What becomes of the processes that commands are, and of those that they start: at their end, at a time-out, at a
//! stop, and when maildirq is killed.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{
    Allowed, Checkup, Exit, Launch, Ledger, Maildir, Maildirq, SOON, Script, from_environment, holds_for, wait_until,
};

/// The lock is shared with the command, so a kill of maildirq alone does not set the message free.
#[test]
fn a_command_that_outlives_maildirq_keeps_its_message() {
    let maildir = Maildir::new();
    maildir.deliver("Subject: one\n\n.\n");
    let script = Script::new("echo $$ >>starts; if ! test -e first; then : >first; await go; fi; : >ended-$$");
    let toml = script.config(&maildir, "");
    let first = Maildirq::watch_config(&toml).start();
    script.wait_for("first");

    first.kill9();
    let second = Maildirq::watch_config(&toml).start();
    second.wait_for_event("ready");

    let starts = || script.wait_for("starts").lines().count();
    holds_for("the command has the message", Duration::from_secs(1), || starts() == 1);
    script.give("go");
    wait_until("the message is taken again", SOON, || starts() == 2);
    wait_until("it is done", SOON, || maildir.waiting().is_empty());
    assert_eq!((maildir.dead().len(), second.stop()), (0, Exit::Ok));
    assert_eq!(maildir.stories(), [""; 0], "nobody is to blame");
}

#[test]
fn a_stop_waits_for_commands() {
    let maildir = Maildir::new();
    maildir.deliver("Subject: one\n\n.\n");
    let script = Script::new(": >started; await go; : >ended");
    let watch = Maildirq::watch_config(&script.config(&maildir, "")).start();
    script.wait_for("started");

    watch.signal(Signal::TERM);
    watch.wait_for_event("stopping");
    holds_for("it waits", Duration::from_millis(300), || watch.is_running());
    script.give("go");

    assert_eq!((watch.exit(), maildir.waiting().len()), (Exit::Ok, 0));
    assert_eq!((script.wait_for("ended"), maildir.stories()), (String::new(), vec![]));
}

/// Nothing is left of a command that takes longer than a stop may, whatever it does about signals.
#[test]
fn when_the_grace_is_over_commands_are_gone_and_their_mail_is_given_back() {
    let maildir = Maildir::new();
    maildir.deliver("Subject: one\n\n.\n");
    let script = Script::new(
        "trap '' TERM; echo $MAILDIRQ_ID | tell id\n\
         sleep 60 & setsid sh -c \"trap '' TERM; : >daemon; sleep 60\" & await daemon; : >ready; sleep 60",
    );
    let toml = format!("shutdown_timeout = '300ms'\n{}", script.config(&maildir, ""));
    let watch = Maildirq::watch_config(&toml).start();
    script.wait_for("ready");
    let id = script.wait_for("id");
    assert!(processes_for(&id).len() >= 3, "{:?}", processes_for(&id));

    assert_eq!(watch.stop(), Exit::Ok);

    watch.wait_for_event("grace_over");
    assert_eq!(processes_for(&id), [""; 0]);
    assert_eq!((maildir.waiting().len(), maildir.stories(), maildir.hands().len()), (1, vec![], 0));
}

#[test]
fn a_command_that_takes_too_long_is_asked_and_then_killed_with_all_its_processes() {
    let maildir = Maildir::new();
    maildir.deliver("Subject: one\n\n.\n");
    let script = Script::new(
        "trap ': >asked; echo no >&2' TERM; echo $MAILDIRQ_ID | tell id\n\
         (trap '' TERM; sleep 60) & setsid sh -c \"trap '' TERM; : >daemon; sleep 60\" & await daemon\n\
         while :; do sleep 1; done",
    );
    let watch = Maildirq::watch_config(&script.config(&maildir, "timeout = '1s'")).start();
    let id = script.wait_for("id");

    let attempt = watch.wait_for_event("attempt");

    // The limit, 5 s between TERM and KILL, and a moment.
    let took = attempt["dur_ms"].as_u64().unwrap();
    assert!((6_000..10_000).contains(&took), "{took} ms");
    assert_eq!(script.wait_for("asked"), "");
    let reason = attempt["reason"].as_str().unwrap();
    assert!(reason.starts_with("not finished within 1s"), "{reason}");
    assert_eq!(processes_for(&id), [""; 0]);
    assert_eq!(watch.children(), [""; 0]);
    wait_until("it is told", SOON, || maildir.story(&id).len() == 1);
    assert_eq!(maildir.story(&id)[0]["charged"], false);
    assert_eq!(watch.stop(), Exit::Ok);
}

/// Daemons that a command starts are ended when it ends, and no zombie stays, whoever has made it.
#[test]
fn nothing_is_left_running_and_no_zombie_is_kept() {
    const MAILS: usize = 20;
    let maildir = Maildir::new();
    (0..MAILS).for_each(|number| drop(maildir.deliver(format!("Subject: {number}\n\n.\n"))));
    let script = Script::new(
        "echo $MAILDIRQ_ID >>ids; (sleep 60 &); (: &); sleep 60 & (setsid sleep 60 &)\n\
         (setsid sh -c '(: &); exit 3' &); exit 0",
    );
    let watch = Maildirq::watch_config(&script.config(&maildir, "")).start();

    wait_until("all are done", SOON, || maildir.waiting().is_empty());

    let ids: BTreeSet<_> = script.wait_for("ids").lines().map(str::to_owned).collect();
    assert_eq!(ids.len(), MAILS);
    assert_eq!(ids.iter().flat_map(|id| processes_for(id)).collect::<Vec<_>>(), [""; 0]);
    wait_until("there are no children, dead or alive", SOON, || watch.children().is_empty());
    assert_eq!(watch.stop(), Exit::Ok);
}

#[test]
fn as_many_commands_run_at_once_as_the_target_takes() {
    const AT_ONCE: usize = 8;
    let maildir = Maildir::new();
    (0..2 * AT_ONCE).for_each(|number| drop(maildir.deliver(format!("Subject: {number}\n\n.\n"))));
    let script = Script::new(": >running-$MAILDIRQ_ID; await go; cat | tell mail-$MAILDIRQ_ID");
    let watch = Maildirq::watch_config(&script.config(&maildir, "")).start();
    let running = || script.files().iter().filter(|file| file.starts_with("running-")).count();

    wait_until("eight at once", SOON, || running() == AT_ONCE);
    holds_for("and no more", Duration::from_millis(300), || running() == AT_ONCE);
    script.give("go");

    wait_until("all are done", SOON, || maildir.waiting().is_empty());
    let mails: BTreeSet<_> =
        script.files().iter().filter(|file| file.starts_with("mail-")).map(|file| script.told(file)).collect();
    assert_eq!((mails.len(), watch.stop()), (2 * AT_ONCE, Exit::Ok));
}

/// All processes that were started for a message, as their status files begin.
fn processes_for(id: &str) -> Vec<String> {
    let mark = format!("MAILDIRQ_ID={id}");
    let is_marked = |process: &PathBuf| {
        fs::read(process.join("environ"))
            .is_ok_and(|environment| environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes()))
    };
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    processes.filter(is_marked).filter_map(|process| fs::read_to_string(process.join("stat")).ok()).collect()
}

/// Between the start of a program and the moment at which it is known, another's end must not take it for an orphan.
#[test]
fn quick_commands_in_great_number_do_not_take_one_another_for_orphans() {
    let maildir = Maildir::in_memory();
    (0..500).for_each(|number| drop(maildir.deliver(format!("Subject: {number}\n\nhi\n"))));
    let path = maildir.path().display();
    let toml = format!("maildir = \"{path}\"\n[target.quick]\ncommand = [\"true\"]\nconcurrency = 16\n");

    let drain = Maildirq::drain_config(&toml).run();

    assert_eq!((drain.exit(), maildir.waiting().len()), (Exit::Ok, 0));
    assert_eq!((drain.events("attempt").len(), drain.events("orphans_left").len()), (500, 0));
}

/// The command holds the message by its standard input; of all else that maildirq has open it has nothing.
#[test]
fn a_command_inherits_its_message_and_nothing_else() {
    const TELL: &str = "ls /proc/$$/fd >files; grep -c 'lock:.*FLOCK' /proc/$$/fdinfo/* >locks; exit 0";
    for settings in ["", "max_cpu = '60s'\nmax_output = '1MiB'"] {
        let (maildir, other, script) = (Maildir::new(), Maildir::new(), Script::new(TELL));
        let [one, _two] = [&maildir, &other].map(|maildir| maildir.deliver("Subject: one\n\n.\n"));
        let toml = format!(
            "[queue.a]\nmaildir = '{}'\n[queue.b]\nmaildir = '{}'\n\
             [[route]]\nwhen.queue = 'b'\ntarget = 'slow'\n[[route]]\ntarget = 'app'\n\
             [target.app]\ncommand = {}\n{settings}\n[target.slow]\ncommand = ['sleep', '600']\n",
            maildir.path().display(),
            other.path().display(),
            script.command()
        );
        let watch = Maildirq::watch_config(&format!("shutdown_timeout = '100ms'\n{toml}")).start();
        wait_until("it is done", SOON, || !maildir.waiting().contains(&one));

        // A shell keeps its script open, beyond the first ten.
        let files = script.wait_for("files");
        let mut files: Vec<u32> = files.lines().map(|file| file.parse().unwrap()).collect();
        files.retain(|file| *file < 10);
        files.sort_unstable();
        assert_eq!(files, [0, 1, 2], "{settings}");
        let locks = script.wait_for("locks");
        let locked: Vec<_> = locks.lines().filter(|line| !line.ends_with(":0")).collect();
        assert!(matches!(locked[..], [only] if only.ends_with("fdinfo/0:1")), "{locks}");
        assert_eq!(watch.stop(), Exit::Ok);
    }
}

/// Whatever a killed maildirq leaves behind can be seen, by root and by whoever it runs as.
#[test]
fn who_holds_a_message_after_a_kill_is_told_by_check() {
    let maildir = Maildir::new();
    let name = maildir.deliver("Subject: one\n\n.\n");
    let script = Script::new("echo $$ | tell pid; await go");
    let toml = script.config(&maildir, "");
    let check = || Launch::new("check").without_log().config(&toml).run();
    let watch = Maildirq::watch_config(&toml).start();
    let pid = script.wait_for("pid");
    assert!(!check().stdout().contains("is claimed by"), "what maildirq itself has is none of it");

    watch.kill9();

    let held = check();
    let path = maildir.message(&name);
    let told = format!("warning: {} is claimed by process {pid} (sh), running for ", path.display());
    assert!(held.stdout().contains(&told) && held.stdout().contains(&format!("kill {pid}")), "{}", held.stdout());
    assert_eq!(held.exit(), Exit::Ok);
    script.give("go");
    let is_gone = || !PathBuf::from(format!("/proc/{pid}/exe")).exists();
    wait_until("the command has ended", SOON, is_gone);
    wait_until("nobody has it", SOON, || !check().stdout().contains("is claimed by"));
}

/// A hundred programs at once, some of which would take a minute: what ends in time is done, the rest is as it was.
#[test]
fn a_stop_with_a_hundred_commands_in_flight_keeps_what_ends_in_time() {
    const MAILS: usize = 100;
    let maildir = Maildir::in_memory();
    (0..MAILS).for_each(|number| drop(maildir.deliver(format!("Subject: {number}\n\n.\n"))));
    let script = Script::new(
        "read -r _ number; : >running-$number; await go\n\
         if test $((number % 2)) = 0; then : >ended-$number; exit 0; fi; sleep 60; : >ended-$number",
    );
    let toml = format!("shutdown_timeout = '5s'\n{}", script.config(&maildir, &format!("concurrency = {MAILS}")));
    let watch = Maildirq::watch_config(&toml).start();
    let count = |what: &str| script.files().iter().filter(|file| file.starts_with(what)).count();
    wait_until("all are running", SOON, || count("running-") == MAILS);

    watch.signal(Signal::TERM);
    watch.wait_for_event("stopping");
    script.give("go");

    assert_eq!(watch.exit(), Exit::Ok);
    assert_eq!((count("ended-"), maildir.waiting().len()), (MAILS / 2, MAILS / 2));
    assert_eq!((maildir.dead().len(), maildir.stories(), maildir.hands().len()), (0, vec![], 0));
    let done = watch.events("attempt");
    assert!(done.len() == MAILS / 2 && done.iter().all(|attempt| attempt["outcome"] == "done"), "{done:?}");
}

/// T36. Others come and go, the configuration is exchanged, `MAILDIRQ_ROUNDS` times; who is at work does not feel it.
#[test]
fn nothing_ends_a_healthy_command() {
    const OTHERS: usize = 30;
    let maildir = Maildir::in_memory();
    maildir.deliver("Subject: slow\n\n.\n");
    let script = Script::new(
        "read -r _ name; if test $name = slow; then trap ': >hurt' TERM HUP INT; : >started\n\
         while test -e .script && ! test -e go; do sleep 0.1; done; fi\n\
         (setsid sleep 60 &); sleep 60 & echo $name >>ended; exit 0",
    );
    let toml = script.config(&maildir, "timeout = '3h'");
    let watch = Maildirq::watch_config(&toml).start();
    script.wait_for("started");
    let rounds = from_environment("MAILDIRQ_ROUNDS", 3);
    let names = || String::from_utf8(script.told("ended").unwrap_or_default()).unwrap();
    let ended = || names().lines().count();
    for round in 1..=rounds {
        (0..OTHERS).for_each(|number| drop(maildir.deliver(format!("Subject: {round}.{number}\n\n.\n"))));
        watch.reload(&toml.replace("[target.app]", &format!("[target.app]\nconcurrency = {}", 8 + round % 8)));
        wait_until("the others have ended", SOON, || ended() == round * OTHERS);
    }
    assert!(script.told("hurt").is_none() && names().lines().all(|name| name != "slow"));
    script.give("go");
    wait_until("it is done", SOON, || maildir.waiting().is_empty());
    assert_eq!((ended(), script.told("hurt"), watch.stop()), (rounds * OTHERS + 1, None, Exit::Ok));
    assert!(watch.events("attempt").iter().all(|attempt| attempt["outcome"] == "done"));
}

/// How a command can misbehave at its first attempt: whatever it does, its place is free again, and nothing is left.
const MISBEHAVIOUR: &[&str] = &[
    "exec <&- >&- 2>&-; exit 1",
    "exec <&-; sleep 600",
    "exit 75",
    "kill -KILL $$",
    "kill -SEGV $$",
    "exit 137",
    "trap '' TERM HUP INT; sleep 600 & while :; do sleep 1; done",
    "(setsid sh -c 'trap \"\" TERM; sleep 600' &); exit 111",
    "setsid sleep 600 </dev/null & (: &); exit 1",
    "yes; exit 1",
    "yes >&2; exit 1",
    "kill -STOP $$",
    "cat >/dev/null; sleep 600",
];

/// T34. There are few places, and each mail is to be done at its second attempt.
#[test]
fn whatever_a_command_does_its_place_is_free_again() {
    let maildir = Maildir::in_memory();
    let mut text =
        String::from("echo $MAILDIRQ_ID >>.ids; if test $MAILDIRQ_ATTEMPT = 1; then case $(grep -am1 X-Ledger) in\n");
    for (number, how) in MISBEHAVIOUR.iter().enumerate() {
        writeln!(text, "'X-Ledger: {number}') {how};;").unwrap();
    }
    let script = Script::new(&(text + "esac; exit 1; fi; cat >$MAILDIRQ_ID.$$"));
    let settings = "concurrency = 4\ntimeout = '1s'\nmax_output = '1MiB'\nbreaker = { after = 1000 }\n\
                    retry = { min_delay = '1ms', max_delay = '10ms' }";
    let watch = Maildirq::watch_config(&script.config(&maildir, settings)).start();
    watch.wait_for_event("ready");
    // Its lanes are still to begin.
    watch.wait_until_it_rests("");
    let checkup = Checkup::begin(&watch);
    let mut ledger = Ledger::produce(&maildir, MISBEHAVIOUR.len() as u64, 34);

    wait_until("all are done", 3 * SOON, || maildir.waiting().is_empty());

    let ids = String::from_utf8(script.told(".ids").unwrap()).unwrap();
    let left: Vec<_> = ids.lines().flat_map(processes_for).collect();
    assert_eq!((left, watch.children()), (vec![], vec![]));
    let verdict = ledger.check_with(&script.deliveries(), Allowed::nothing(), &[checkup]);
    assert_eq!((verdict.accepted, verdict.dead), (MISBEHAVIOUR.len(), 0), "{verdict}");
    let failed: Vec<_> = watch.events("attempt").into_iter().filter(|attempt| attempt["outcome"] != "done").collect();
    assert_eq!(failed.len(), MISBEHAVIOUR.len());
    // The limit, 5 s between TERM and KILL, and a moment.
    let longest = failed.iter().map(|attempt| attempt["dur_ms"].as_u64().unwrap()).max().unwrap();
    assert!((6000..10_000).contains(&longest), "{longest} ms");
    assert_eq!(watch.stop(), Exit::Ok);
}

/// T35
#[test]
fn a_second_term_ends_commands_at_once_and_charges_nobody() {
    let maildir = Maildir::in_memory();
    let mut ledger = Ledger::produce(&maildir, 3, 35);
    let script = Script::new(
        "if test -e go; then cat >$MAILDIRQ_ID.$$; exit; fi; trap '' TERM; echo $MAILDIRQ_ID >>.ids; sleep 600",
    );
    let toml = format!("shutdown_timeout = '1h'\n{}", script.config(&maildir, ""));
    let watch = Maildirq::watch_config(&toml).start();
    let ids = || String::from_utf8(script.told(".ids").unwrap_or_default()).unwrap();
    wait_until("all are running", SOON, || ids().lines().count() == 3);

    watch.signal(Signal::TERM);
    watch.wait_for_event("stopping");
    holds_for("it waits", Duration::from_millis(300), || watch.is_running());
    watch.signal(Signal::TERM);

    assert_eq!(watch.exit(), Exit::Ok);
    assert_eq!(ids().lines().flat_map(processes_for).collect::<Vec<_>>(), [""; 0]);
    assert_eq!((maildir.waiting().len(), maildir.stories(), maildir.hands().len()), (3, vec![], 0));
    script.give("go");
    let again = Maildirq::drain_config(&toml).run();
    assert_eq!(again.exit(), Exit::Ok);
    assert!(again.events("attempt").iter().all(|attempt| attempt["try"] == 1), "what was cut off does not count");
    fs::remove_file(script.path("go")).unwrap();
    assert_eq!(ledger.check(&script.deliveries(), Allowed::nothing()).accepted, 3);
}
