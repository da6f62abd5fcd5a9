//! The way to the app: sockets, proxies, and how long a connection is kept.

use std::fs;
use std::io::BufReader;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::server::{Address, Server};
use crate::support::{Answer, App, Exit, Maildir, Maildirq, Request, SOON, wait_until};

const MAIL: &str = "Subject: hi\n\nhi\n";

#[test]
fn a_unix_socket_is_as_good_as_a_port() {
    for (suffix, path) in [("", "/"), (":/", "/"), (":/inbound?key=1", "/inbound?key=1")] {
        let home = TempDir::new().unwrap();
        let app = App::plan(|_| Answer::ok()).on_socket(home.path().join("app.sock")).start();
        let maildir = Maildir::new();
        maildir.deliver(MAIL);

        let drain = Maildirq::drain(&maildir, &(app.url() + suffix)).run();

        assert_eq!(drain.exit(), Exit::Ok, "{suffix}");
        let request = app.requests().remove(0);
        assert_eq!((request.path.as_str(), request.header("host")), (path, Some("localhost")));
        assert_eq!(request.body, MAIL.as_bytes());
    }
}

#[test]
fn where_nobody_answers_it_is_not_the_messages_fault() {
    let home = TempDir::new().unwrap();
    let deserted = home.path().join("deserted.sock");
    drop(std::os::unix::net::UnixListener::bind(&deserted).unwrap());
    for (url, why) in [
        (format!("unix:{}", deserted.display()), "refused"),
        (format!("unix:{}/none.sock", home.path().display()), "No such file"),
        (format!("unix:{}", home.path().display()), "refused"),
        ("http://127.0.0.1:1/mail".to_owned(), "refused"),
        ("http://[::1]:1/mail".to_owned(), ""),
        ("http://no-such-host.invalid/mail".to_owned(), ""),
    ] {
        let maildir = Maildir::new();
        maildir.deliver(MAIL);

        let drain = Maildirq::drain(&maildir, &url).run();

        assert_eq!((drain.exit(), maildir.waiting().len()), (Exit::SomeWait, 1), "{url}");
        let line = maildir.story(&maildir.stories()[0]).remove(0);
        let reason = line["reason"].as_str().unwrap();
        assert!(reason.starts_with(&format!("cannot connect to {url}")) && reason.contains(why), "{reason}");
        assert_eq!(line["charged"], false, "{line}");
    }
}

#[test]
fn a_secret_in_the_url_is_used_and_never_told() {
    for (status, exit) in [(200, Exit::Ok), (401, Exit::SomeWait), (0, Exit::SomeWait)] {
        let (maildir, app) = (Maildir::new(), App::answering(move |_| Answer::status(status).closing()));
        let url = app.url().replace("http://", "http://user:hunter2@") + "?key=hunter2-sesame";
        maildir.deliver(MAIL);

        let drain = Maildirq::drain(&maildir, &url).run();

        assert_eq!(drain.exit(), exit);
        let request = app.requests().remove(0);
        assert_eq!(request.path, "/mail?key=hunter2-sesame");
        assert_eq!(request.header("authorization"), Some("Basic dXNlcjpodW50ZXIy"));
        let told = format!("{:?} {:?}", drain.lines(), maildir.story(request.id()));
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn proxies_of_the_environment_are_not_used() {
    let (maildir, app, proxy) = (Maildir::new(), App::accepting(), App::accepting());
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    for url in [app.url(), app.url().replace("127.0.0.1", "localhost")] {
        maildir.deliver(MAIL);
        let drain = Maildirq::drain(&maildir, &url);

        let drain = names.into_iter().fold(drain, |drain, name| drain.env(name, proxy.url())).run();

        assert_eq!(drain.exit(), Exit::Ok);
    }
    assert_eq!((app.count(), proxy.connections()), (2, 0));
}

#[test]
fn a_configured_proxy_is_asked_for_the_whole_url() {
    let (maildir, proxy) = (Maildir::new(), App::accepting());
    let setting = format!("proxy = {:?}", proxy.url().replace("/mail", ""));
    maildir.deliver(MAIL);

    let drain = Maildirq::drain_with(&maildir, "http://app.invalid:8080/inbound", &setting).run();

    assert_eq!(drain.exit(), Exit::Ok);
    let request = proxy.requests().remove(0);
    assert_eq!(request.path, "http://app.invalid:8080/inbound");
    assert_eq!((request.header("host"), request.header("proxy-authorization")), (Some("app.invalid:8080"), None));
}

#[test]
fn connections_are_used_again() {
    const MAILS: usize = 200;
    for concurrency in [1, 3, 16] {
        // Nobody is done while others are still connecting: who is would leave them a connection, and they had two.
        let (maildir, (app, gate)) = (Maildir::in_memory(), App::slow());
        (0..MAILS).for_each(|_| drop(maildir.deliver(MAIL)));

        let drain = Maildirq::drain(&maildir, &app.url()).concurrency(concurrency).start();
        wait_until("all of them are in hand", SOON, || app.in_hand() == concurrency);
        gate.open();

        assert_eq!((drain.exit(), app.accepted().len()), (Exit::Ok, MAILS));
        assert_eq!((app.connections(), app.most_at_once()), (concurrency, concurrency));
    }
}

#[test]
fn a_connection_is_renewed_when_it_is_too_old() {
    const AGE: Duration = Duration::from_secs(1);
    let (maildir, app) = (Maildir::in_memory(), App::accepting());
    let start = Instant::now();
    let _watch = Maildirq::watch_with(&maildir, &app.url(), r#"max_connection_age = "1s""#).concurrency(1).start();

    for mails in 1.. {
        maildir.deliver(MAIL);
        app.wait_for_accepted(mails);
        if app.connections() == 3 {
            break;
        }
    }

    assert!(start.elapsed() >= 2 * AGE, "three connections within {:?}", start.elapsed());
    let used: Vec<_> = app.deliveries().iter().map(|delivery| delivery.connection).collect();
    assert!(used.is_sorted(), "a connection is used again after it was renewed: {used:?}");
}

/// An app closes connections that are idle for longer than it likes; it is better to be the first.
#[test]
fn an_idle_connection_is_closed_in_time() {
    let (ended, ends) = mpsc::channel();
    let server = Server::start(&Address::Port(0), move |connection| {
        let mut input = BufReader::new(&*connection.stream);
        Request::read(&mut input).unwrap().unwrap();
        Answer::ok().write(&*connection.stream).unwrap();
        ended.send(Request::read(&mut input).map(|next| next.is_none())).unwrap();
    });
    let maildir = Maildir::new();
    maildir.deliver(MAIL);

    let _watch = Maildirq::watch_with(&maildir, &server.address().url(), r#"idle_timeout = "200ms""#).start();

    assert!(ends.recv_timeout(SOON).unwrap().unwrap(), "a clean end, and no further request");
    assert!(maildir.waiting().is_empty());
}

#[test]
fn an_address_that_is_none_is_refused_before_anything_is_touched() {
    let maildir = Maildir::new();
    maildir.deliver(MAIL);
    for url in ["ftp://app.example.org/", "app.example.org", "unix:app.sock"] {
        let drain = Maildirq::drain(&maildir, url).run();

        assert_eq!(drain.exit(), Exit::Usage, "{url}");
    }
    assert_eq!(fs::read_dir(maildir.path()).unwrap().count(), 3, "new, cur and tmp");
}
