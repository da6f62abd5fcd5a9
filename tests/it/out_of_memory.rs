//! A mail that takes more memory than there is (T26).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::digest::sha256;
use crate::support::groups::Group;
use crate::support::{App, Exit, Maildir, Maildirq, SOON, wait_until};

/// What the process may have: enough for mail, but not for this one and the object that is made of it.
const MEMORY: u64 = 40 << 20;
const SIZE: usize = 25_000_000;
const NEIGHBOUR: usize = 1_000_000;

/// T26. The kernel kills whoever takes the mail up, and somebody starts the process again.
#[test]
fn a_mail_that_takes_all_memory_is_set_aside_and_all_others_are_delivered() {
    const MAILS: usize = 30;
    let Some(group) = Group::with_memory(MEMORY) else { return };
    let (maildir, app) = (Maildir::new(), App::accepting());
    let head = "Subject: bomb\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: a/b\n\n";
    let bomb = [head.as_bytes(), &vec![0xee; SIZE]].concat();
    let name = maildir.deliver(&bomb);
    let mut mails: Vec<_> = (0..MAILS).map(|number| format!("Subject: {number}\n\nhello\n")).collect();
    // Long enough in hand to be there when the process dies, and innocent.
    mails.insert(0, format!("Subject: neighbour\n\n{}", "hello\n".repeat(NEIGHBOUR / 6)));
    for mail in &mails {
        maildir.deliver(mail);
    }

    let entrance = group.entrance();
    let entrance: Vec<_> = entrance.iter().map(String::as_str).collect();
    let mut kills = 0;
    while !maildir.waiting().is_empty() {
        let watch = Maildirq::watch_with(&maildir, &app.url(), "format = \"json\"").by_way_of(&entrance).start();
        wait_until("all is settled, or it is killed", 3 * SOON, || maildir.waiting().is_empty() || !watch.is_running());
        if watch.is_running() {
            assert_eq!(watch.stop(), Exit::Ok);
        } else {
            assert_eq!(watch.exit(), Exit::Signal(9), "{:?}", watch.lines());
            kills += 1;
            assert!(kills <= 3, "it is taken up again and again");
        }
    }

    assert_eq!(kills, 3, "the mail does not take as much as it should");
    let [dead] = maildir.dead().try_into().expect("the bomb alone is dead");
    assert_eq!(dead.file_name(), Some(&*name));
    assert!(std::fs::read(&dead).unwrap() == bomb, "it was altered");
    let [id] = maildir.stories().try_into().expect("its story alone is left");
    let told: Vec<_> = maildir.story(&id).iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, ["died", "died", "died", "dead"]);
    let delivered: BTreeSet<_> = mails.iter().map(|mail| sha256(mail.as_bytes())).collect();
    let objects = app.requests().into_iter().map(|request| serde_json::from_slice::<Value>(&request.body).unwrap());
    let taken: BTreeSet<_> = objects.map(|object| object["sha256"].as_str().unwrap().to_owned()).collect();
    assert_eq!(taken, delivered);
}
