//! The lock is the lease: whoever works on a message has it for as long as that takes, and no longer than he lives.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Allowed, Exit, Ledger, Maildir, Maildirq, SOON, Script, from_environment, wait_until};

/// Works on the first message for as long as `$1` says, and copies each.
const SLOW_ONCE: &str = "if mkdir .first 2>/dev/null; then echo $$ | tell .started; sleep $1; fi; cat >$MAILDIRQ_ID.$$";

/// T07: there is no time after which a message would be given to somebody else. It takes `MAILDIRQ_HOLDING_SECONDS`.
#[test]
fn a_message_is_worked_on_once_however_long_that_takes_and_however_many_look_on() {
    const COMPETITORS: usize = 8;
    let seconds = from_environment("MAILDIRQ_HOLDING_SECONDS", 4) as u64;
    let (maildir, script) = (Maildir::in_memory(), Script::new(&SLOW_ONCE.replace("$1", &seconds.to_string())));
    let toml = format!("rescan = '50ms'\n{}", script.config(&maildir, "timeout = '3h'\nconcurrency = 1"));
    let mut ledger = Ledger::produce(&maildir, 1, 7);
    let holder = Maildirq::watch_config(&toml).start();
    script.wait_for(".started");
    let began = Instant::now();
    let competitors = [(); COMPETITORS].map(|()| Maildirq::watch_config(&toml).start());
    for competitor in &competitors {
        competitor.wait_for_event("ready");
    }

    let mut others = 0;
    while began.elapsed() + Duration::from_secs(1) < Duration::from_secs(seconds) {
        ledger.produce_more(4, others);
        others += 4;
        assert_eq!(Maildirq::drain_config(&toml).run().exit(), Exit::SomeWait, "there is what it may not have");
        wait_until("the others are done", SOON, || maildir.waiting().len() == 1);
    }
    wait_until("it is done", Duration::from_secs(seconds) + SOON, || maildir.waiting().is_empty());

    for watch in competitors.iter().chain([&holder]) {
        assert_eq!(watch.stop(), Exit::Ok);
    }
    assert!(competitors.iter().filter(|watch| !watch.events("attempt").is_empty()).count() > 1, "they have looked");
    let verdict = ledger.check(&script.deliveries(), Allowed::nothing());
    println!("{seconds} s, {others} others: {verdict}");
    assert_eq!((verdict.attempts as u64, maildir.stories().len()), (others + 1, 0));
}

/// T08. There is nothing that must run out, or be looked for at intervals, before somebody else has it.
#[test]
fn who_is_killed_leaves_his_message_to_those_who_are_there_already() {
    let endless_once =
        "if mkdir .first 2>/dev/null; then echo $$ | tell .started; exec sleep 600; fi; cat >$MAILDIRQ_ID.$$";
    let (maildir, script) = (Maildir::in_memory(), Script::new(endless_once));
    let toml = format!("rescan = '1h'\n{}", script.config(&maildir, ""));
    let mut ledger = Ledger::produce(&maildir, 1, 8);
    let holder = Maildirq::watch_config(&toml).start();
    let command = script.wait_for(".started").parse().unwrap();
    let others = [(); 2].map(|()| Maildirq::watch_config(&toml).start());
    for other in &others {
        other.wait_for_event("ready");
    }

    holder.kill9();
    kill_process(Pid::from_raw(command).unwrap(), Signal::KILL).unwrap();

    wait_until("somebody else has done it", SOON, || maildir.waiting().is_empty());
    for other in &others {
        assert_eq!(other.stop(), Exit::Ok);
    }
    let verdict = ledger.check(&script.deliveries(), Allowed::nothing());
    assert_eq!((verdict.accepted, maildir.stories().len(), maildir.hands().len()), (1, 0, 0), "nobody is to blame");
}
