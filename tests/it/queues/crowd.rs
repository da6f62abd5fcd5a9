//! A thousand Maildirs in one process.

use super::*;

/// The first half is one queue, the second half another.
fn of(count: usize) -> (Maildir, Vec<Maildir>) {
    let home = Maildir::in_memory();
    let maildirs = (0..count).map(|number| home.beside(&format!("{}/{number}/Maildir", half(number, count))));
    let maildirs = maildirs.collect();
    (home, maildirs)
}

fn half(number: usize, count: usize) -> &'static str {
    if number < count / 2 { "first" } else { "second" }
}

fn config(home: &Maildir, first: &App, second: &App) -> String {
    let home = home.home().display();
    let (first, second) = (first.url(), second.url());
    format!(
        "rescan = '1h'\n\
         [queue.first]\nmaildir = '{home}/first/*/Maildir'\n\
         [queue.second]\nmaildir = '{home}/second/*/Maildir'\n\
         [[route]]\nwhen = {{ queue = 'first' }}\ntarget = 'first'\n\
         [[route]]\nwhen = {{ queue = 'second' }}\ntarget = 'second'\n\
         [target.first]\nurl = '{first}'\n[target.second]\nurl = '{second}'\n"
    )
}

/// Some of them, all over the place.
fn some(count: usize, of: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |number| (number * 617 + 19) % of)
}

/// Delivers, and returns the subjects that each half is to have.
fn deliver(maildirs: &[Maildir], to: impl Iterator<Item = usize>, what: &str) -> [Vec<String>; 2] {
    let mut expected = [Vec::new(), Vec::new()];
    for number in to {
        let subject = format!("{what} {number}");
        maildirs[number].deliver(mail_of(&subject));
        expected[usize::from(half(number, maildirs.len()) == "second")].push(subject);
    }
    expected
}

#[test]
fn a_thousand_maildirs_are_served_by_one_process() {
    const COUNT: usize = 1000;
    let (home, maildirs) = of(COUNT);
    let (first, second) = (App::accepting(), App::accepting());
    let early = deliver(&maildirs, some(20, COUNT), "early");
    let watch = Maildirq::watch_config(&config(&home, &first, &second)).start();
    assert_eq!(watch.wait_for_event("ready")["maildirs"], COUNT);
    wait_until("what was there before", SOON, || first.count() + second.count() >= 20);
    watch.wait_until_it_rests("");
    let (files, threads) = (watch.open_files(), watch.threads());

    let later = deliver(&maildirs, some(50, COUNT), "later");
    wait_until("what came later", SOON, || first.count() + second.count() >= 70);
    wait_until("all is done", SOON, || maildirs.iter().all(|maildir| maildir.waiting().is_empty()));

    assert_eq!(arrived(&first), once_each(early[0].iter().chain(&later[0])));
    assert_eq!(arrived(&second), once_each(early[1].iter().chain(&later[1])));
    assert_eq!(watch.open_files_with("anon_inode:inotify"), 2);
    assert!(files <= 4 * COUNT + 60, "{files} open files");
    assert!(watch.open_files() <= files + 2 * 16, "{files} before, {} now", watch.open_files());
    // Some come and go: a removal that takes long has one of its own, for as many messages as are in hand.
    assert!(threads.max(watch.threads()) <= 40, "{threads} threads before, {} now", watch.threads());
    assert_eq!(watch.stop(), Exit::Ok);
    assert!(maildirs.iter().all(|maildir| maildir.hands().is_empty() && maildir.stories().is_empty()));
}

#[test]
fn where_there_is_no_inotify_all_of_them_are_searched() {
    const COUNT: usize = 40;
    let (home, maildirs) = of(COUNT);
    let (first, second) = (App::accepting(), App::accepting());
    let config = config(&home, &first, &second);
    let watch = Maildirq::watch_config(&config).failing("inotify_init1", "EMFILE", "1+").start();
    watch.wait_for_event("hampered");

    let expected = deliver(&maildirs, 0..COUNT, "unseen");

    wait_until("all of it is found", SOON, || first.count() + second.count() >= COUNT);
    assert_eq!((arrived(&first), arrived(&second)), (once_each(&expected[0]), once_each(&expected[1])));
    assert_eq!(watch.events("hampered").len(), 1, "one cause, one complaint");
}
