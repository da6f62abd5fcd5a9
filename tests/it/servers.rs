//! Servers that misbehave: only the whole header of a 2xx to this request makes a message done (T29 to T31).

use std::thread;

use crate::support::{Answer, App, Exit, Maildir, Maildirq, Rude, Rudeness, SOON, wait_until};

const IMPATIENT: &str = r#"timeout = "1s"
retry = { max_delay = "100ms" }"#;

#[test]
fn redirects_are_not_followed() {
    let elsewhere = App::accepting();
    for rudeness in Rudeness::redirects(&elsewhere.url()) {
        let (maildir, rude) = (Maildir::new(), Rude::start(rudeness.clone()));
        maildir.deliver("Subject: for one pair of eyes\n\nhi\n");

        let drain = Maildirq::drain(&maildir, &rude.url()).run();

        assert_eq!(drain.exit(), Exit::SomeWait, "{rudeness:?}");
        assert_eq!((rude.count(), maildir.waiting().len()), (1, 1), "{rudeness:?}");
        assert_eq!(maildir.story(rude.requests()[0].id())[0]["charged"], false, "{rudeness:?}");
    }
    assert_eq!((elsewhere.connections(), elsewhere.complaints()), (0, vec![]));
}

/// T30. One hand and two messages: the second gets its turn only when the first lets go.
#[test]
fn no_server_is_so_rude_that_it_keeps_a_hand_busy() {
    thread::scope(|scope| {
        for rudeness in Rudeness::ALL {
            scope.spawn(move || two_messages_have_their_turn(&rudeness));
        }
    });
}

fn two_messages_have_their_turn(rudeness: &Rudeness) {
    let (maildir, rude) = (Maildir::new(), Rude::start(rudeness.clone()));
    (0..2).for_each(|number| drop(maildir.deliver(format!("Subject: {number}\n\nhi\n"))));

    let watch = Maildirq::watch_with(&maildir, &rude.url(), IMPATIENT).concurrency(1).start();

    if rudeness.accepts() {
        wait_until(format!("two messages are done in spite of {rudeness:?}"), SOON, || maildir.waiting().is_empty());
        assert!(rude.count() >= 2, "{rudeness:?}");
    } else {
        wait_until(format!("two messages have a story in spite of {rudeness:?}"), SOON, || {
            maildir.stories().len() == 2
        });
        assert_eq!((maildir.waiting().len(), watch.events("dead").len()), (2, 0), "{rudeness:?}");
        for line in maildir.stories().iter().flat_map(|id| maildir.story(id)) {
            assert_eq!((&line["charged"], line.get("status")), (&false.into(), None), "{rudeness:?}: {line}");
        }
    }
    assert!(watch.peak_memory() < 64 * 1024, "{rudeness:?}: {} kB", watch.peak_memory());
}

/// T30. Large messages are sent while the answer may already be there.
#[test]
fn the_same_holds_for_a_message_that_fills_every_buffer() {
    let to_the_point = [Rudeness::HeaderDrip, Rudeness::NeverReads, Rudeness::HalfStatusLine, Rudeness::HugeHeaders];
    for rudeness in to_the_point {
        let (maildir, rude) = (Maildir::new(), Rude::start(rudeness.clone()));
        maildir.deliver(vec![b'x'; 20_000_000]);

        let drain = Maildirq::drain_with(&maildir, &rude.url(), IMPATIENT).run();

        assert_eq!((drain.exit(), maildir.waiting().len()), (Exit::SomeWait, 1), "{rudeness:?}");
    }
}

/// The rude server answers the first request of each connection twice, and any other with 503.
#[test]
fn an_answer_that_came_unasked_counts_for_nothing() {
    const MAILS: usize = 20;
    let (maildir, rude) = (Maildir::new(), Rude::start(Rudeness::GluedResponses));
    (0..MAILS).for_each(|number| drop(maildir.deliver(format!("Subject: {number}\n\nhi\n"))));

    Maildirq::drain(&maildir, &rude.url()).concurrency(1).run();

    let done = MAILS - maildir.waiting().len();
    assert_eq!(done, rude.connections(), "each connection has accepted one message");
}

/// A server may close an idle connection just when its next request is under way.
#[test]
fn a_connection_that_closes_on_reuse_costs_no_attempt() {
    for mail in ["Subject: small\n\nhi\n".to_owned(), "Subject: large\n\n".to_owned() + &"x".repeat(5_000_000)] {
        let (maildir, rude) = (Maildir::new(), Rude::start(Rudeness::ClosesOnReuse));
        (0..3).for_each(|_| drop(maildir.deliver(&mail)));

        let drain = Maildirq::drain(&maildir, &rude.url()).concurrency(1).run();

        assert_eq!((drain.exit(), maildir.stories()), (Exit::Ok, vec![]));
        assert!(drain.events("attempt").iter().all(|attempt| attempt["outcome"] == "done" && attempt["try"] == 1));
        assert!(rude.requests().iter().all(|request| request.attempt() == Some(1)));
        assert_eq!((rude.count(), rude.connections()), (3, 3));
    }
}

/// Nothing says that such a request was not worked on, so it is for the next attempt to come again.
#[test]
fn a_server_that_hangs_up_is_asked_once_an_attempt() {
    for rudeness in [Rudeness::HalfStatusLine, Rudeness::OnlyInformational, Rudeness::GarbageAfterStatus] {
        let (maildir, rude) = (Maildir::new(), Rude::start(rudeness.clone()));
        maildir.deliver("Subject: hi\n\nhi\n");

        assert_eq!(Maildirq::drain(&maildir, &rude.url()).run().exit(), Exit::SomeWait);

        assert_eq!(rude.count(), 1, "{rudeness:?}");
    }
    let (maildir, app) = (Maildir::new(), App::answering(|_| Answer::hang_up()));
    maildir.deliver("Subject: hi\n\nhi\n");
    Maildirq::drain(&maildir, &app.url()).run();
    assert_eq!(app.count(), 1, "hang up");
}
