//! The book-keeping that the tests end in finds what is wrong: each rule, broken once.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::SystemTime;

use crate::support::digest::sha256;
use crate::support::ledger::number_in;
use crate::support::{Allowed, App, Checkup, Delivery, Exit, Fault, Launch, Ledger, Maildir, Maildirq, wait_until};

/// What breaks a rule, and the rules that it breaks.
type Breach = (&'static str, fn(&mut Scene), &'static [&'static str]);

const BREACHES: &[Breach] = &[
    ("nothing", |_| {}, &[]),
    ("a mail is gone", |scene| drop(scene.deliveries.remove(1)), &["L1 mail 1 is lost"]),
    (
        "one that nobody has sent",
        |scene| scene.tell_again(|delivery| (delivery.ledger, delivery.id) = (Some(7), "seven".to_owned())),
        &["L1 mail 7 was never delivered"],
    ),
    ("another id", |scene| scene.tell_again(|delivery| delivery.id += "x"), &["L2 mail 0 has several", "L5 1 dup"]),
    ("no id", |scene| scene.deliveries[0].id.clear(), &["L2 mail 0 came without"]),
    ("an id for two", |scene| "id-1".clone_into(&mut scene.deliveries[0].id), &["L2 the mails {0, 1} share"]),
    ("other bytes", |scene| scene.deliveries[2].sha256 = sha256(b""), &["L3 mail 2 was altered"]),
    ("other bytes, and refused", |scene| scene.refuse_altered(), &["L3 mail 0 was altered"]),
    ("taken and still there", |scene| scene.put_back(), &["L4 1 accepted mails still wait"]),
    ("taken twice", |scene| scene.tell_again(|_| {}), &["L5 1 duplicates"]),
    ("dead, and nobody says why", |scene| scene.bury(), &["L6 mail 0 is dead without"]),
];

/// Three mails that the app has taken.
struct Scene {
    maildir: Maildir,
    mails: Vec<Vec<u8>>,
    deliveries: Vec<Delivery>,
}

impl Scene {
    fn new() -> (Scene, Ledger) {
        let maildir = Maildir::in_memory();
        let ledger = Ledger::produce(&maildir, 3, 1);
        let mut mails: Vec<_> = maildir.waiting().iter().map(|name| fs::read(maildir.message(name)).unwrap()).collect();
        mails.sort_by_key(|mail| number_in(mail));
        maildir.waiting().iter().for_each(|name| fs::remove_file(maildir.message(name)).unwrap());
        let deliveries = mails.iter().map(|mail| taken(mail)).collect();
        (Scene { maildir, mails, deliveries }, ledger)
    }

    fn tell_again(&mut self, change: fn(&mut Delivery)) {
        let mut again = self.deliveries[0].clone();
        change(&mut again);
        self.deliveries.push(again);
    }

    fn refuse_altered(&mut self) {
        let mut refused = self.deliveries[0].clone();
        (refused.status, refused.sha256) = (422, sha256(b"?"));
        self.deliveries.push(refused);
    }

    fn put_back(&mut self) {
        self.maildir.deliver(&self.mails[0]);
    }

    fn bury(&mut self) {
        let folder = self.maildir.path().join(".maildirq.dead/new");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("1.mx"), &self.mails[0]).unwrap();
        self.deliveries[0].status = 422;
    }
}

fn taken(mail: &[u8]) -> Delivery {
    let number = number_in(mail);
    Delivery {
        id: format!("id-{}", number.unwrap()),
        attempt: Some(1),
        ledger: number,
        sha256: sha256(mail),
        status: 200,
        connection: 0,
        at: SystemTime::now(),
    }
}

#[test]
fn each_broken_rule_is_found() {
    for (what, breach, rules) in BREACHES {
        let (mut scene, mut ledger) = Scene::new();
        breach(&mut scene);
        let faults: Vec<_> =
            ledger.audit(&scene.deliveries, Allowed::nothing()).faults.iter().map(Fault::to_string).collect();
        let is_found = |rule: &&str| faults.iter().any(|fault| fault.starts_with(*rule));
        assert!(faults.len() == rules.len() && rules.iter().all(is_found), "{what}: {faults:?}");
    }
}

/// L7
#[test]
fn an_end_that_is_documented_nowhere_is_found() {
    let ends_with = |code: &str| {
        let ended = Launch::new("drain").by_way_of(&["sh", "-c", code]).run();
        let (mut scene, mut ledger) = Scene::new();
        let checkup = Checkup::after(&ended);
        ledger.check_with(&std::mem::take(&mut scene.deliveries), Allowed::nothing(), &[checkup]);
    };
    for code in ["exit 0", "exit 75", "exit 143"] {
        ends_with(code);
    }
    for code in ["exit 70", "exit 101", "exit 139", "kill -ABRT $$", "kill -SEGV $$"] {
        catch_unwind(|| ends_with(code)).expect_err(code);
        let ended = Launch::new("drain").by_way_of(&["sh", "-c", code]).run();
        catch_unwind(AssertUnwindSafe(|| drop(ended))).expect_err("each test looks at it");
    }
}

/// L8
#[test]
fn what_has_grown_is_found() {
    let (maildir, (app, gate)) = (Maildir::in_memory(), App::slow());
    let watch = Maildirq::watch(maildir.path(), &app.url()).concurrency(30).start();
    watch.wait_for_event("ready");
    let checkup = Checkup::begin(&watch);
    let mut ledger = Ledger::produce(&maildir, 30, 1);
    app.wait_for_requests(30);

    let faults = checkup.faults();
    let what: Vec<_> = faults.iter().map(Fault::to_string).collect();
    assert!(what.iter().any(|fault| fault.starts_with("L8 ") && fault.contains("open files")), "{what:?}");

    gate.open();
    wait_until("all is done", crate::support::SOON, || maildir.waiting().is_empty());
    assert_eq!(watch.stop(), Exit::Ok);
    ledger.check_with(&app.deliveries(), Allowed::nothing(), &[checkup]);
}

#[test]
fn a_zombie_is_found() {
    let parent = Launch::new("drain").by_way_of(&["sh", "-c", "true & exec sleep 600"]).start();
    let checkup = Checkup::begin(&parent);
    wait_until("its child is dead", crate::support::SOON, || !checkup.faults().is_empty());
    assert_eq!(checkup.faults()[0].to_string(), "L8 1 zombies where there were 0");
}
