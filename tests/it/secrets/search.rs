//! Each test of this suite ends in a search for secrets: see `support::leaks`. Here there is something to be found.

use super::*;

#[track_caller]
fn finds(what: &str, leak: impl FnOnce()) {
    let found = catch_unwind(AssertUnwindSafe(leak)).expect_err(what);
    let said = found.downcast_ref::<String>().expect("what was found");
    assert!(said.contains("shows a secret"), "{what}: {said}");
}

#[test]
fn it_knows_the_mark_however_it_is_written() {
    let basic = |user: &str| BASE64.encode(format!("{user}:{MARK}:").as_bytes());
    let forms = [
        MARK.to_uppercase(),
        basic("a"),
        basic("ab"),
        basic("abc"),
        "%68unter2".to_owned(),
        "%68%75%6E%74%65%72%32".to_owned(),
        HEXUPPER.encode(MARK.as_bytes()),
    ];
    for form in forms {
        finds(&form, || assert_none_in("a text", format!("{{\"reason\":\"no {form}!\"}}").as_bytes()));
    }
    assert_none_in("a text", b"hunter, aHVudGVy, %68unt, 68756e746572");
}

#[test]
fn it_hears_what_a_process_says() {
    finds("a maildirq that ends", || drop(Maildirq::drain("/nowhere", MARK).run()));
    finds("one that is killed", || {
        let (maildir, app) = (Maildir::new(), App::accepting());
        let url = app.url();
        let toml = format!("maildir = '{}'\n[target.{MARK}]\nurl = '{url}'\n", maildir.path().display());
        maildir.deliver("Subject: hi\n\n.\n");
        Maildirq::watch_config(&toml).start().wait_for_event("attempt");
    });
    finds("a verb", || drop(Command::new(binary()).arg(MARK).overheard()));
    finds("a delivery", || drop(Mda::into(format!("/nowhere/{MARK}")).deliver("Subject: hi\n\n.\n")));
}

#[test]
fn it_looks_into_each_maildir_and_at_what_programs_were_told() {
    let app = App::answering(|_| Answer::status(422).body(MARK));
    finds("a story", || {
        let maildir = Maildir::new();
        maildir.deliver("Subject: hi\n\n.\n");
        let drain = Maildirq::drain(&maildir, &app.url()).without_log().arg("--quiet").run();
        assert_eq!(drain.exit(), Exit::SomeDead);
    });
    finds("a program", || {
        let (maildir, script) = (Maildir::new(), Script::new("cat | tell mail"));
        maildir.deliver(format!("Subject: {MARK}\n\n.\n"));
        assert_eq!(Maildirq::drain_config(&script.config(&maildir, "")).run().exit(), Exit::Ok);
    });
}
