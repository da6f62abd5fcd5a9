//! A mail that kills whoever reads it, among good ones, where a service manager starts the dead again (T25).

use std::fs;

use crate::support::{Allowed, App, Exit, Ledger, Maildir, Maildirq, SOON, wait_until};

const POISON: &str = "Subject: poison\n\n.\n";

#[test]
fn whatever_kills_its_readers_is_set_aside_and_all_other_mail_is_done() {
    const WATCHES: usize = 3;
    const CONCURRENCY: usize = 4;
    const MAILS: u64 = 60;
    let (maildir, app) = (Maildir::in_memory(), App::accepting());
    let name = maildir.deliver_as("1000000000.P1.mx", POISON);
    let mut ledger = Ledger::produce(&maildir, MAILS, 25);
    let path = maildir.message(&name).display().to_string();
    // The calls that read this file, of all threads; with any other nothing is done.
    let deadly = ["-P", &path, "-e", "trace=pread64", "-e", "inject=pread64:signal=KILL"];
    let start = || Maildirq::watch(&maildir, &app.url()).concurrency(CONCURRENCY).traced(&deadly).start();

    let (mut watches, mut deaths) = ([(); WATCHES].map(|()| start()), 0);
    wait_until("it is dead", 3 * SOON, || {
        for watch in watches.iter_mut().filter(|watch| !watch.is_running()) {
            assert_eq!(watch.exit(), Exit::Signal(9));
            deaths += 1;
            *watch = start();
        }
        !maildir.dead().is_empty()
    });
    wait_until("all other mail is done", SOON, || maildir.waiting().is_empty());
    for watch in &watches {
        assert_eq!(watch.stop(), Exit::Ok);
    }

    let others: Vec<_> = app.deliveries();
    let verdict = ledger.check(&others, Allowed::crashes(deaths, CONCURRENCY));
    println!("{deaths} deaths: {verdict}");
    // Three, and whoever had begun before the third of them was told of.
    assert!((3..3 + WATCHES).contains(&deaths), "{deaths} deaths");
    assert_eq!((verdict.accepted as u64, others.len() as u64), (MAILS, MAILS + verdict.duplicates as u64));
    assert_eq!(fs::read_to_string(&maildir.dead()[0]).unwrap(), POISON);
    let id = maildir.stories().into_iter().find(|id| !maildir.story(id).is_empty()).expect("its story");
    let story = maildir.story(&id);
    let events: Vec<_> = story.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, [vec!["died"; deaths], vec!["dead"]].concat());
    assert_eq!(story[deaths]["reason"], format!("{deaths} processes died over this message"));
}
