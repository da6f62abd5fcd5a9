//! HTTPS: to whom no certificate vouches for, nothing is said (T32).

use std::path::PathBuf;

use crate::support::{Allowed, Answer, App, Authority, Certificate, Exit, Launch, Ledger, Maildir, Maildirq};

const MAIL: &str = "Subject: a secret\n\nhi\n";

#[test]
fn a_server_with_a_good_certificate_gets_its_mail() {
    let authority = Authority::called("trusted");
    let (maildir, app) = (Maildir::new(), app_with(authority.certificate()));
    (0..10).for_each(|_| drop(maildir.deliver(MAIL)));

    let drain = trusting(&authority.bundle(), Maildirq::drain(&maildir, &app.url()).concurrency(2)).run();

    assert_eq!((drain.exit(), app.accepted().len()), (Exit::Ok, 10));
    assert!(app.connections() <= 2, "{} connections", app.connections());
}

#[test]
fn a_server_without_one_gets_nothing() {
    let [authority, stranger, impostor] = ["trusted", "unknown", "trusted"].map(Authority::called);
    for (what, certificate, why) in [
        ("expired", authority.expired_certificate(), "expired"),
        ("of another host", authority.certificate_of_another(), "not valid for name"),
        ("self-signed", Certificate::self_signed(), "UnknownIssuer"),
        ("of an unknown authority", stranger.certificate(), "UnknownIssuer"),
        ("of one that takes the name of another", impostor.certificate(), "BadSignature"),
    ] {
        let (maildir, app) = (Maildir::new(), app_with(certificate));
        maildir.deliver(MAIL);

        let drain = trusting(&authority.bundle(), Maildirq::drain(&maildir, &app.url())).run();

        assert_eq!(drain.exit(), Exit::SomeWait, "{what}");
        assert_eq!((app.connections(), app.count()), (1, 0), "{what}");
        assert_refused(&maildir, &app.url(), why);
    }
}

#[test]
fn a_server_that_speaks_no_tls_gets_nothing() {
    let authority = Authority::called("trusted");
    let (maildir, app) = (Maildir::new(), App::accepting());
    let url = app.url().replace("http:", "https:");
    maildir.deliver(MAIL);

    let drain = Maildirq::drain_with(&maildir, &url, r#"connect_timeout = "500ms""#);
    let drain = trusting(&authority.bundle(), drain).run();

    assert_eq!((drain.exit(), app.count()), (Exit::SomeWait, 0));
    assert_refused(&maildir, &url, "");
}

/// Whoever holds a good certificate cannot send mail elsewhere in plain text, either.
#[test]
fn a_server_that_points_to_plain_http_is_not_followed() {
    let (authority, plain) = (Authority::called("trusted"), App::accepting());
    for status in [301, 302, 303, 307, 308] {
        let (maildir, elsewhere) = (Maildir::new(), plain.url());
        let redirect = App::plan(move |_| Answer::status(status).header("location", &elsewhere));
        let app = redirect.with_certificate(authority.certificate()).start();
        let mut ledger = Ledger::produce(&maildir, 1, 32);

        let drain = trusting(&authority.bundle(), Maildirq::drain(&maildir, &app.url())).run();

        assert_eq!((drain.exit(), app.count(), plain.connections()), (Exit::SomeWait, 1, 0), "{status}");
        assert_eq!(maildir.story(&maildir.stories()[0])[0]["charged"], false, "{status}");
        assert_eq!(ledger.check(&app.deliveries(), Allowed::nothing()).waiting, 1);
    }
}

#[test]
fn a_server_that_asks_for_a_certificate_is_shown_ours() {
    let [authority, clients, strangers] = ["trusted", "clients", "strangers"].map(Authority::called);
    let app = app_with(authority.certificate_asking_for_one_of(&clients));
    let shown = |of: &Authority| {
        let (chain, key) = of.certify_client();
        format!("client_certificate = {chain:?}\nclient_key = {key:?}")
    };
    for (settings, exit) in
        [(String::new(), Exit::SomeWait), (shown(&strangers), Exit::SomeWait), (shown(&clients), Exit::Ok)]
    {
        let maildir = Maildir::new();
        maildir.deliver(MAIL);
        let drain = trusting(&authority.bundle(), Maildirq::drain_with(&maildir, &app.url(), &settings)).run();
        assert_eq!(drain.exit(), exit, "{settings}");
    }
    assert_eq!(app.count(), 1);
}

/// All is as with any other server that is down: few connections, no charge, one probe at a time.
#[test]
fn many_messages_do_not_all_find_out_for_themselves() {
    let (authority, stranger) = (Authority::called("trusted"), Authority::called("unknown"));
    let (maildir, app) = (Maildir::new(), app_with(stranger.certificate()));
    (0..50).for_each(|_| drop(maildir.deliver(MAIL)));

    let drain = trusting(&authority.bundle(), Maildirq::drain(&maildir, &app.url()).concurrency(1)).run();

    assert_eq!((drain.exit(), maildir.waiting().len()), (Exit::SomeWait, 50));
    assert_eq!((app.connections(), app.count()), (5, 0));
}

#[test]
fn without_any_authority_nothing_is_begun() {
    let none = PathBuf::from("/nonexistent");
    let (maildir, app) = (Maildir::new(), App::accepting());
    maildir.deliver(MAIL);

    let https = app.url().replace("http:", "https:");
    for verb in [Maildirq::drain(&maildir, &https), Maildirq::watch(&maildir, &https)] {
        let maildirq = trusting(&none, verb).run();
        assert_eq!((maildirq.exit(), app.connections()), (Exit::Config, 0));
        let line = maildirq.wait_for_line("there are no CA certificates to verify the server by");
        assert!(line.contains("[target.app]") && line.contains("ca-certificates"), "{line}");
    }
    let plain = trusting(&none, Maildirq::drain(&maildir, &app.url())).run();
    assert_eq!((plain.exit(), app.count()), (Exit::Ok, 1), "http:// needs none");
}

fn app_with(certificate: Certificate) -> App {
    App::plan(|_| Answer::ok()).with_certificate(certificate).start()
}

fn trusting(bundle: &PathBuf, maildirq: Launch) -> Launch {
    maildirq.env("SSL_CERT_FILE", bundle).env("SSL_CERT_DIR", "/nonexistent")
}

#[track_caller]
fn assert_refused(maildir: &Maildir, url: &str, why: &str) {
    assert_eq!(maildir.waiting().len(), 1);
    let [line] = maildir.story(&maildir.stories()[0]).try_into().expect("a line");
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.starts_with(&format!("cannot connect to {url}: ")) && reason.contains(why), "{reason}");
    assert_eq!((&line["event"], &line["charged"]), (&"retry".into(), &false.into()), "{line}");
}
