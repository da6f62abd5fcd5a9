//! What a stranger writes into a mail is in no header, no word of a command line, no variable, and nothing of it acts
//! in a log: it is in the body, to the last byte (T33). What holds for each format is in `formats.rs`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::digest::sha256;
use crate::support::http::HEADERS_SENT;
use crate::support::leaks::WEBHOOK_KEY;
use crate::support::worker::Worker;
use crate::support::{Answer, App, Exit, Maildir, Maildirq, Script};

/// What all that is hostile has in it.
const MARK: &str = "Injected";

/// What could be taken for the end of a line, of a string or of a value, by whoever reads carelessly.
fn nasty() -> Vec<String> {
    let mut values: Vec<String> = [
        "x\r\nX-Injected: 1",
        "x\nInjected=1",
        "nul \0 and \x1b[31mInjected\x1b[0m\x07",
        "\u{202e}Injected.exe and \u{2028} and \u{9b}2J",
        "=?utf-8?q?=0D=0AX-Injected:_1=00=1B[31m?=",
        "=?utf-8?b?DQpYLUluamVjdGVkOiAxDQo=?=",
        "() { :;}; echo Injected",
        "$(touch Injected) `touch Injected`; touch Injected | Injected & 'Injected' \"Injected",
        "{\"event\":\"dead\",\"Injected\":1}\\\"",
        "\"; filename=\"Injected\"; name=\"token",
        "../../etc/cron.d/Injected",
        "%0d%0aX-Injected:%201&Injected=1",
        "<script>Injected</script>",
    ]
    .map(str::to_owned)
    .into();
    values.push(format!("{MARK} {}", "x".repeat(100_000)));
    values
}

/// Mails with this everywhere.
fn mails() -> Vec<String> {
    let mail = |value: &String| {
        let quoted = value.replace(['\r', '\n', '"', '\\'], "");
        format!(
            "Return-Path: <{quoted}>\nDelivered-To: {quoted}\nReceived: {value}\nFrom: {value} <a@example.org>\nTo: {value}\n\
             Subject: {value}\nMessage-ID: <{value}>\nwebhook-id: {value}\nContent-Type: multipart/mixed; boundary=b; x=\"{quoted}\"\n\n\
             --b\nContent-Type: text/plain; charset=\"{quoted}\"\n\n{value}\n\
             --b\nContent-Type: application/{quoted}; name=\"{quoted}\"\nContent-ID: <{value}>\n\
             Content-Disposition: attachment; filename=\"{value}\"\n\n{value}\n--b--\n"
        )
    };
    nasty().iter().map(mail).collect()
}

fn deliver(maildir: &Maildir, mails: &[String]) {
    for mail in mails {
        maildir.deliver(mail);
    }
}

#[track_caller]
fn assert_log_is_harmless(drain: &Maildirq) {
    for line in drain.log_lines() {
        assert!(line.get(MARK).is_none(), "a field of a stranger: {line}");
    }
    for line in drain.lines() {
        let acts = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}');
        assert!(line.len() < 4000 && !line.contains(acts), "{line:?}");
    }
}

/// T33. What the app answers may quote the mail, and then it is in a story, too.
#[test]
fn an_app_that_quotes_the_mail_in_its_refusal_writes_nothing_into_log_or_story() {
    let headers: BTreeSet<_> = HEADERS_SENT.into();
    for format in ["raw", "json", "json\"\nattachments = \"multipart", "mailgun", "postmark"] {
        let (maildir, mails) = (Maildir::new(), mails());
        let app = App::answering(|request| {
            let at = request.body.windows(MARK.len()).position(|bytes| bytes == MARK.as_bytes()).unwrap_or(0);
            Answer::status(422).body(&request.body[at.saturating_sub(20)..request.body.len().min(at + 500)])
        });
        deliver(&maildir, &mails);
        let settings = format!("format = \"{format}\"\nsign = \"{WEBHOOK_KEY}\"");
        let drain = Maildirq::drain_with(&maildir, &app.url(), &settings).run();

        assert_eq!((drain.exit(), app.count(), maildir.dead().len()), (Exit::SomeDead, mails.len(), mails.len()));
        for request in app.requests() {
            let names: BTreeSet<_> = request.headers.iter().map(|(name, _)| &**name).collect();
            assert_eq!((&names, request.headers.len()), (&headers, headers.len()), "{format}");
            assert!(request.headers.iter().all(|(_, value)| !value.contains(MARK)), "{format}: {:?}", request.headers);
        }
        assert_log_is_harmless(&drain);
        for id in maildir.stories() {
            let [line] = maildir.story(&id).try_into().expect("a line that tells of the death");
            let reason = line["reason"].as_str().unwrap();
            assert!(line.get(MARK).is_none() && !reason.contains(char::is_control), "{line}");
        }
        let mut dead: Vec<_> = maildir.dead().iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
        let mut delivered = mails.clone();
        dead.sort();
        delivered.sort();
        assert!(dead == delivered, "{format}: some were altered");
    }
}

/// T33. The envelope is there, but only as what it is: `commands.rs` has the limits of that.
#[test]
fn a_program_gets_it_on_its_standard_input_and_nowhere_else() {
    let (maildir, mails) = (Maildir::new(), mails());
    deliver(&maildir, &mails);
    let script = Script::new(
        "cat | tell \"$MAILDIRQ_ID-mail\"\ntr '\\0' '\\n' </proc/$$/cmdline | tell \"$MAILDIRQ_ID-words\"\n\
         unset SENDER NEWSENDER RPLINE UFLINE RECIPIENT DTLINE LOCAL HOST HOST2 HOST3 HOST4 EXT EXT2 EXT3 EXT4\n\
         env | tell \"$MAILDIRQ_ID-variables\"",
    );
    let drain = Maildirq::drain_config(&script.config(&maildir, "")).run();

    assert_eq!((drain.exit(), maildir.waiting().len(), maildir.dead().len()), (Exit::Ok, 0, 0));
    let files = script.files();
    assert_eq!(files.len(), 3 * mails.len(), "nothing but this was written: {files:?}");
    let mut got = Vec::new();
    for file in files {
        let told = script.told(&file).unwrap();
        if file.ends_with("-mail") {
            got.push(told);
        } else {
            assert!(!String::from_utf8_lossy(&told).contains(MARK), "{file}: {}", told.escape_ascii());
        }
    }
    let mut sent: Vec<_> = mails.into_iter().map(String::into_bytes).collect();
    got.sort();
    sent.sort();
    assert!(got == sent, "some were altered");
    assert_log_is_harmless(&drain);
}

/// T33. One line for each job, whatever is in it; and the mail is where the line says.
#[test]
fn a_worker_gets_it_in_one_line_of_json() {
    let (maildir, mails) = (Maildir::new(), mails());
    deliver(&maildir, &mails);
    let worker = Worker::new(
        "import hashlib\n\
         def work(job):\n    note('jobs', json.dumps([sorted(job), hashlib.sha256(open(job['path'], 'rb').read()).hexdigest()]))",
    );
    for parsed in ["parsed = true", "parsed = false"] {
        let noted = worker.notes("jobs").len();
        let drain = Maildirq::drain_config(&worker.config(&maildir, parsed)).run();
        assert_eq!((drain.exit(), maildir.waiting().len(), maildir.dead().len()), (Exit::Ok, 0, 0));
        let mut keys = vec!["attempt", "detail", "envelope", "id", "path", "queue", "route", "size", "type"];
        keys.extend((parsed == "parsed = true").then_some("mail"));
        keys.sort_unstable();
        let jobs: Vec<Value> =
            worker.notes("jobs")[noted..].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(jobs.iter().all(|job| job[0] == Value::from(keys.clone())), "{jobs:?}");
        let got: BTreeSet<_> = jobs.iter().map(|job| job[1].as_str().unwrap().to_owned()).collect();
        assert_eq!(got, mails.iter().map(|mail| sha256(mail.as_bytes())).collect());
        assert_log_is_harmless(&drain);
        deliver(&maildir, &mails);
    }
}
