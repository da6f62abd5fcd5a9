//! What was written for Postfix's pipe(8) or for qmail runs as it is: the examples of `docs/running-programs.md`,
//! and harder ones.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Output};

use maildirq::target::{LOST_MACROS, MACROS};
use tempfile::TempDir;
use toml::Value;

use crate::support::launch::binary;
use crate::support::postfix::Postfix;
use crate::support::{Exit, Maildir, Maildirq, Overheard, SOON, Script, wait_until};

/// Each argument on a line of its own, in a file for each run.
const RECORD: &str = "printf '%s\\n' \"$@\" | tell run$$";

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/running-programs.md")).unwrap()
}

/// The blocks of code of a language in the documentation.
fn examples(language: &str) -> Vec<String> {
    let page = page();
    let blocks = page.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    blocks.filter(|(found, _)| *found == language).map(|(_, text)| text.to_owned()).collect()
}

/// The words behind `argv=`, of which none has a blank.
fn argv(master_cf: &str) -> Vec<String> {
    let (_, words) = master_cf.split_once("argv=").expect("a line for pipe(8)");
    words.split_whitespace().map(str::to_owned).collect()
}

/// What has been recorded, whatever came first.
fn recorded(script: &Script) -> Vec<String> {
    let mut runs: Vec<_> = script.files().iter().map(|name| script.wait_for(name)).collect();
    runs.sort();
    runs
}

#[test]
fn the_page_tells_of_every_macro() {
    let page = page();
    let told: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
    for (name, _) in MACROS {
        assert!(told.iter().any(|row| row.contains(&format!("`{name}`"))), "{name} is in no table");
    }
    let lost = page.lines().find(|line| line.contains("What no Maildir keeps")).unwrap();
    for name in LOST_MACROS {
        assert!(lost.contains(&format!("`{name}`")), "{name} is not in {lost}");
    }
}

/// The senders as SMTP has them, and the recipients. The word of a command that they get into stays one.
const ENVELOPES: [(&str, &str); 7] = [
    ("ada@client.test", "box@office.test"),
    ("ada@client.test", "box+orders+7@office.test"),
    ("", "box+@office.test"),
    ("\"two words $(id)\"@client.test", "\"box+$(id)`id` x\"@office.test"),
    ("\"a\\\"b'c;|&\"@client.test", "box+a'b@office.test"),
    ("$sender${recipient}@client.test", "box+$user@office.test"),
    ("a*b?~x@client.test", "box+{x}=y@office.test"),
];

#[test]
fn a_line_of_a_master_cf_runs_here_with_the_same_arguments() {
    let [master_cf] = examples("master.cf").try_into().expect("one example");
    let mut words = argv(&master_cf);
    let table: toml::Table = examples("toml").iter().find(|text| text.contains("${sender}")).unwrap().parse().unwrap();
    let moved: Vec<_> = table["target"]["tickets"]["command"].as_array().unwrap().iter().map(text_of).collect();
    assert_eq!(moved, words);
    words.extend(
        [
            "$recipient",
            "$(mailbox)",
            "${original_recipient}",
            "u=$user",
            "@$domain,$nexthop",
            "$$user",
            "$$$user",
            "<${extension}>",
        ]
        .map(str::to_owned),
    );
    let home = TempDir::new().unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    let arguments = &words[1..];

    // By Postfix itself.
    let theirs = Script::new(RECORD);
    let service = format!(
        "recorder unix - n n - - pipe\n  user=nobody argv=/bin/sh {} {}\n",
        theirs.path(".script").display(),
        arguments.join(" ")
    );
    let main = "virtual_transport = recorder:\nrecorder_destination_recipient_limit = 1\n";
    let postfix = Postfix::start_with(home.path(), &[("box@office.test", "box")], main, &service);
    submit_all(&postfix);
    wait_until("pipe(8) to run it", SOON, || theirs.files().len() == ENVELOPES.len());
    drop(postfix);

    // By us, from a Maildir that Postfix has filled.
    let ours = Script::new(RECORD);
    let postfix = Postfix::start(home.path(), &[("box@office.test", "box")]);
    submit_all(&postfix);
    let maildir = home.path().join("box");
    wait_until("Postfix to deliver", SOON, || fs::read_dir(maildir.join("new")).unwrap().count() == ENVELOPES.len());
    let command = ["/bin/sh".to_owned(), ours.path(".script").display().to_string()].into_iter();
    let command = Value::from(command.chain(arguments.iter().cloned()).collect::<Vec<_>>());
    let drain =
        Maildirq::drain_config(&format!("maildir = '{}'\n[target.app]\ncommand = {command}\n", maildir.display()))
            .run();

    assert_eq!((drain.exit(), ours.files().len()), (Exit::Ok, ENVELOPES.len()));
    assert_eq!(recorded(&ours), recorded(&theirs));
}

fn submit_all(postfix: &Postfix) {
    for (from, to) in ENVELOPES {
        postfix.submit(from, &[to], b"Subject: x\n\nhello\n");
    }
}

#[test]
fn no_envelope_becomes_an_option_or_another_argument() {
    let maildir = Maildir::new();
    for from in ["-oQ/tmp@client.test", "\"-x\"@client.test", "--help", "ada@client.test"] {
        maildir
            .deliver(format!("Return-Path: <{from}>\nDelivered-To: $(touch shocked)@office.test\nSubject: x\n\n.\n"));
    }
    maildir.deliver("Delivered-To: nobody@knows.test\nSubject: from whom?\n\n.\n");
    let script = Script::new(RECORD);
    let words = format!("['/bin/sh', '{}', '${{sender}}', '${{mailbox}}', '$size']", script.path(".script").display());
    let target = format!("[target.app]\ncommand = {words}\non_dead = {words}\n");

    let drain = Maildirq::drain_config(&format!("maildir = '{}'\n{target}", maildir.path().display())).run();

    let size = "Return-Path: <ada@client.test>\nDelivered-To: $(touch shocked)@office.test\nSubject: x\n\n.\n".len();
    assert_eq!(recorded(&script), [format!("ada@client.test\n$(touch shocked)\n{size}")]);
    let mut reasons: Vec<_> =
        drain.events("dead").iter().map(|dead| dead["reason"].as_str().unwrap().to_owned()).collect();
    reasons.sort();
    let option = |sender: &str| {
        format!(
            "the argument ${{sender}} begins with - in this message, and the program would take it for an option: {sender}; a word such as --value=${{sender}} can hold it"
        )
    };
    let expected = [
        option("--help"),
        option("-oQ/tmp@client.test"),
        option("-x@client.test"),
        "the message does not tell ${sender}: it has no Return-Path; a route with from = \"*\" gives a target only mail that has a sender".to_owned(),
    ];
    assert_eq!((reasons, maildir.dead().len()), (expected.to_vec(), 4));
    assert_eq!(drain.exit(), Exit::SomeDead);
}

/// A user of this machine who has a home, and whom root can become.
fn somebody() -> (String, u32, String) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let mut users = passwd.lines().filter_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let uid = fields.get(2)?.parse().ok()?;
        let home = (*fields.get(5)?).to_owned();
        (uid != 0 && home != "/" && !fields[0].contains('-') && Path::new(&home).is_dir())
            .then(|| (fields[0].to_owned(), uid, home))
    });
    users.next().expect("some user has a home")
}

fn init(file: &Path, more: &[&str]) -> Output {
    Command::new(binary()).args(["init", "--from-qmail"]).arg(file).args(more).overheard()
}

#[test]
fn the_commands_of_a_dot_qmail_file_get_what_qmail_gives_them() {
    let (user, uid, home) = somebody();
    let maildir = Maildir::new();
    maildir.give_to(uid);
    fs::set_permissions(maildir.home(), Permissions::from_mode(0o755)).unwrap();
    let script = Script::new("cat /proc/$$/environ | tell environ; echo $OLDPWD | tell folder; cat | tell mail");
    let run = script.path(".script").display().to_string();
    let file = maildir.home().join(".qmail-support-default");
    fs::write(
        &file,
        format!(
            "# of qmail\n|/bin/sh {run}\n|cd {}; head -1 | cat >first; exit 99\n|touch {}/never\n./Maildir/\n",
            script.path("").display(),
            script.path("").display()
        ),
    )
    .unwrap();
    chown(&file, Some(uid), Some(uid)).unwrap();
    let output = init(&file, &["--maildir", maildir.path().to_str().unwrap()]);
    let toml = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mail = "Return-Path: <ada@example.com>\nDelivered-To: joe-support-a-b@mx.example.org\nSubject: x\n\nhello\n";
    let name = maildir.deliver(mail);
    chown(maildir.message(&name), Some(uid), Some(uid)).unwrap();

    let drain = Maildirq::drain_config(&toml).env("PATH", "/usr/bin:/bin").run();

    assert_eq!((drain.exit(), maildir.waiting().len()), (Exit::Ok, 0), "{toml}\n{:?}", drain.lines());
    assert_eq!(
        (script.wait_for("mail"), script.wait_for("first")),
        (mail.trim_end().to_owned(), "Return-Path: <ada@example.com>".to_owned())
    );
    assert_eq!(script.wait_for("folder"), home);
    assert!(!script.path("never").exists(), "99 ends it");
    let environ = script.wait_for("environ");
    let mut told: BTreeMap<_, _> =
        environ.split_terminator('\0').map(|variable| variable.split_once('=').unwrap()).collect();
    let from_line = told.remove("UFLINE").unwrap();
    assert!(from_line.starts_with("From ada@example.com ") && from_line.ends_with('\n'), "{from_line:?}");
    told.retain(|name, _| {
        !name.starts_with("MAILDIRQ_") && !["PATH", "LANG", "PWD", "OLDPWD", "SHLVL", "_"].contains(name)
    });
    let expected = BTreeMap::from([
        ("SENDER", "ada@example.com"),
        ("NEWSENDER", "ada@example.com"),
        ("RPLINE", "Return-Path: <ada@example.com>\n"),
        ("RECIPIENT", "joe-support-a-b@mx.example.org"),
        ("DTLINE", "Delivered-To: joe-support-a-b@mx.example.org\n"),
        ("USER", &*user),
        ("HOME", &*home),
        ("LOCAL", "joe-support-a-b"),
        ("HOST", "mx.example.org"),
        ("HOST2", "mx.example"),
        ("HOST3", "mx"),
        ("HOST4", "mx"),
        ("EXT", "support-a-b"),
        ("EXT2", "a-b"),
        ("EXT3", "b"),
        ("EXT4", ""),
        ("DEFAULT", "a-b"),
    ]);
    assert_eq!(told, expected);
    let page = page();
    for name in expected.keys().chain(&["UFLINE"]) {
        let is_told = page.lines().any(|line| line.starts_with("| `") && line.contains(&format!("`{name}`")));
        assert!(is_told, "{name} is in no table");
    }
}

#[test]
fn what_makes_no_sense_ends_with_what_to_do() {
    let home = TempDir::new().unwrap();
    let (_, uid, _) = somebody();
    let file = |name: &str, text: &[u8]| {
        let path = home.path().join(name);
        fs::write(&path, text).unwrap();
        chown(&path, Some(uid), None).unwrap();
        path
    };
    let of_root = file(".qmail-root", b"|true\n");
    chown(&of_root, Some(0), None).unwrap();
    let flags = |flags: &[&str]| Command::new(binary()).arg("init").args(flags).overheard();
    for (output, code, said) in [
        (init(&home.path().join(".qmail-none"), &[]), 66, "cannot read"),
        (init(home.path(), &[]), 64, "no name of a .qmail file"),
        (init(&file("qmail", b"|true\n"), &[]), 64, "no name of a .qmail file"),
        (init(&file(".qmail-a", b"./Maildir/\n"), &[]), 65, "no line begins with |"),
        (init(&file(".qmail-b", b"\n|true\n"), &[]), 65, "line 1 is blank"),
        (init(&file(".qmail-c", b"|caf\xe9\n"), &[]), 65, "line 1 is not UTF-8"),
        (init(&of_root, &[]), 65, "belongs to root"),
        (init(&file(".qmail-d", b"|true\n"), &["--maildir", "here"]), 64, "begins with /"),
        (init(&file(".qmail-e", b"|true\n"), &["--app", "rails"]), 64, "cannot be used with"),
        (flags(&[]), 64, "--app"),
    ] {
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{text}");
        assert!(text.starts_with("error: ") && text.contains(said), "{text}");
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
