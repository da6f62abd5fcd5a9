//! The workers of `deploy/workers`, each with the interpreter that it is for, and the page that tells of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Exit, Launch, Maildir, Maildirq, SOON, wait_until};

const PAGE: &str = "docs/workers.md";
const FOLDER: &str = "deploy/workers";

#[test]
fn the_worker_in_perl_does_what_the_page_says() {
    try_out("perl");
}

#[test]
fn the_worker_in_ruby_does_what_the_page_says() {
    try_out("ruby");
}

#[test]
fn the_worker_in_python_does_what_the_page_says() {
    try_out("python3");
}

#[test]
fn the_worker_for_node_does_what_the_page_says() {
    try_out("node");
}

#[test]
fn the_worker_in_php_does_what_the_page_says() {
    try_out("php");
}

#[test]
fn the_worker_for_a_shell_does_what_the_page_says() {
    try_out("sh");
}

fn try_out(interpreter: &str) {
    let worker = Worker::of(interpreter);
    worker.is_alive();
    worker.takes_mail_and_stays();
    worker.passes_over_what_it_does_not_know();
    worker.does_by_hand_what_the_page_says();
}

/// An example, with a place to keep mail.
struct Worker {
    /// The interpreter and the file, as the configuration beside it has them.
    command: [String; 2],
    home: TempDir,
}

impl Worker {
    /// The one for this interpreter among those in `worker.toml`.
    fn of(interpreter: &str) -> Worker {
        let toml = read(&format!("{FOLDER}/worker.toml"));
        let lines = toml.lines().map(|line| line.trim_start_matches("# "));
        let mut commands = lines.filter_map(|line| line.strip_prefix("worker")?.trim_start().strip_prefix("= "));
        let command = commands.find_map(|words| {
            let command: [String; 2] = serde_json::from_str(words).expect("a list that JSON would write alike");
            (command[0] == interpreter).then_some(command)
        });
        let worker = Worker { command: command.expect("there is one"), home: TempDir::new().unwrap() };
        fs::create_dir(worker.tickets()).unwrap();
        worker
    }

    fn file(&self) -> PathBuf {
        let name = Path::new(&self.command[1]).file_name().expect("it has a name");
        in_the_repository(FOLDER).join(name)
    }

    fn tickets(&self) -> PathBuf {
        self.home.path().join("tickets")
    }

    /// The configuration beside it for this worker and this Maildir, with these lines for more settings.
    fn config(&self, maildir: &Maildir, settings: &str) -> String {
        let [interpreter, file] = &self.command;
        let toml = read(&format!("{FOLDER}/worker.toml"));
        let python = r#"["python3", "/srv/app/worker.py"]"#;
        let exchanged = toml
            .replace(python, &format!("[{interpreter:?}, \"{}\"]", self.file().display()))
            .replace("/srv/app/tickets", self.tickets().to_str().unwrap())
            .replace("/var/lib/maildirq/support", maildir.path().to_str().unwrap());
        assert!(toml.contains(python) && !exchanged.lines().any(|line| !line.starts_with('#') && line.contains(file)));
        format!("{exchanged}{settings}\n")
    }

    /// What is kept of a ticket, by the ids of its mails; a file that is not whole is none.
    fn kept(&self, ticket: &str) -> BTreeMap<String, Vec<u8>> {
        let files = fs::read_dir(self.tickets().join(ticket)).into_iter().flatten().map(|file| file.unwrap().path());
        let named = files.map(|file| (file.file_name().unwrap().to_str().unwrap().to_owned(), file));
        named.filter(|(name, _)| !name.starts_with('.')).map(|(name, file)| (name, fs::read(file).unwrap())).collect()
    }

    fn is_alive(&self) {
        let check = Launch::new("check").without_log().config(&self.config(&Maildir::new(), "")).arg("--live").run();
        assert!(check.stdout().contains("✓ app  a worker; ready in "), "{}", check.stdout());
        assert_eq!(check.exit(), Exit::Ok, "{}", check.stdout());
    }

    fn takes_mail_and_stays(&self) {
        let maildir = Maildir::new();
        fs::create_dir(self.tickets().join("7")).unwrap();
        let settings = "retry = { min_delay = '1ms', max_delay = '10ms' }";
        let watch = Maildirq::watch_config(&self.config(&maildir, settings)).start();
        let started = watch.wait_for_events("worker_started", 4);

        let mails: BTreeSet<_> = (0..30).map(|number| mail("support+7@example.org", number)).collect();
        for mail in &mails {
            maildir.deliver(mail);
        }
        // As maildir(5) has it where the host's name holds a slash; and what a shell or JSON could stumble over.
        let odd = mail("support+7@example.org", 30);
        maildir.deliver_as("1.odd.mx\\057é \"$(exit)'", &odd);
        wait_until("all are kept", SOON, || maildir.waiting().is_empty());
        let kept: BTreeSet<_> = self.kept("7").into_values().collect();
        assert_eq!(kept, mails.iter().cloned().chain([odd]).collect(), "byte for byte");
        let attempts = watch.wait_for_events("attempt", 31);
        assert_eq!((self.kept("7").len(), attempts.len()), (31, 31), "each once");

        for recipient in ["support@example.org", "support+../7@example.org"] {
            let before = maildir.dead().len();
            maildir.deliver(mail(recipient, 40));
            wait_until("it is dead", SOON, || maildir.dead().len() > before);
        }
        for dead in watch.wait_for_events("dead", 2) {
            assert_eq!(dead["reason"], "reject: no ticket in the recipient");
        }

        let early = mail("support+8@example.org", 50);
        maildir.deliver(&early);
        let has_failed = |line: &Value| line["reason"] == "retry: there is no ticket 8 yet";
        wait_until("it is too early", SOON, || watch.events("attempt").iter().any(has_failed));
        assert_eq!(maildir.waiting().len(), 1);
        fs::create_dir(self.tickets().join("8")).unwrap();
        wait_until("its time has come", SOON, || maildir.waiting().is_empty());
        assert_eq!(self.kept("8").into_values().collect::<Vec<_>>(), [early]);

        assert_eq!(watch.stop(), Exit::Ok);
        assert_eq!((started.len(), watch.events("worker_started").len()), (4, 4), "the same four all the time");
    }

    /// What a later version may say, and what nothing should.
    fn passes_over_what_it_does_not_know(&self) {
        let mail = self.home.path().join("mail");
        fs::write(&mail, "To: support+9@example.org\n\n\u{e9}\n").unwrap();
        fs::create_dir(self.tickets().join("9")).unwrap();
        let job = |id: &str, more: &str| job(id, &mail, "9", more);
        let (first, second) = ("a".repeat(26), "b".repeat(26));
        let lines = [
            r#"{"type":"pause","id":"c","for":[1]}"#.to_owned(),
            job(&first, ""),
            "=> Booting".to_owned(),
            String::new(),
            "null".to_owned(),
            "[\"job\"]".to_owned(),
            job(&second, ",\"later\":{\"type\":\"job\",\"x\":[\"\u{2028}\u{85}\"]}"),
        ];

        let said = self.told(&lines.map(|line| line + "\n").concat());

        let answers: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [ready, answers @ ..] = &answers[..] else { panic!("{said}") };
        assert_eq!((&ready["type"], &ready["version"]), (&"ready".into(), &1.into()));
        let answers: Vec<_> = answers.iter().map(|answer| (answer["type"].as_str(), answer["id"].as_str())).collect();
        assert_eq!(answers, [(Some("done"), Some(&*first)), (Some("done"), Some(&*second))], "{said}");
        assert_eq!(self.kept("9").into_keys().collect::<Vec<_>>(), [first, second]);
    }

    fn does_by_hand_what_the_page_says(&self) {
        let page = read(PAGE);
        let by_hand = block(&page, "mkdir -p /tmp/tickets");
        let expected = block(&page, "{\"type\":\"ready\",\"version\":1}\n{\"type\":\"done\"");
        let [interpreter, _] = &self.command;
        let tmp = self.home.path().to_str().unwrap();
        let script = by_hand
            .replace("/tmp/", &format!("{tmp}/"))
            .replace("python3 worker.py", &format!("{interpreter} {}", self.file().display()));
        let output = Command::new("/bin/sh").args(["-ec", &script]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let values = |text: &str| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
        assert_eq!(values(&String::from_utf8_lossy(&output.stdout)), values(expected));
        let by_page = "k7f3q2tzv2mbx4dwn5yle6hgca";
        assert_eq!(self.kept("7")[by_page], fs::read(self.home.path().join("mail.eml")).unwrap());
    }

    /// What it says to this input on standard output, until it ends.
    fn told(&self, input: &str) -> String {
        told(&self.command[0], &self.file(), &self.tickets(), input)
    }
}

/// What this worker says to this input on standard output, until it ends.
fn told(interpreter: &str, file: &Path, tickets: &Path, input: &str) -> String {
    let mut command = Command::new(interpreter);
    command.arg(file).env("TICKETS", tickets).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("it is there");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// A job whose sender does not make it easy; `more` are keys after all others.
fn job(id: &str, mail: &Path, detail: &str, more: &str) -> String {
    format!(
        r#"{{"type":"job","id":"{id}","attempt":1,"path":"{}","size":30,"queue":"a","route":null,"envelope":{{"from":"\",\"detail\":\"7\"}} ","to":"support+9@example.org"}},"detail":"{detail}"{more}}}"#,
        mail.display()
    )
}

/// A line above 64 KiB would cost the process; what an error says may be of any length, and in any script.
#[test]
fn no_example_says_more_than_fits_into_an_answer() {
    let home = TempDir::new().unwrap();
    for (interpreter, name, fail, place) in [
        ("perl", "worker.pl", r#"die "\x{1F600}" x 100_000;"#, "sub work {\n"),
        ("ruby", "worker.rb", r#"raise "\u{1F600}" * 100_000"#, "def work(job)\n"),
        ("python3", "worker.py", "        raise ValueError('\\U0001F600' * 100_000)", "    try:\n"),
        ("node", "worker.js", r"throw `\u{1F600}`.repeat(100_000);", "async function work({ id, detail, path }) {\n"),
        ("php", "worker.php", r#"throw new Exception(str_repeat("a\u{1F600}", 100000));"#, "{\n"),
        ("sh", "worker.sh", "", "keep() {\n"), // its reasons are its own
    ] {
        let text = read(&format!("{FOLDER}/{name}"));
        let (before, after) = text.split_once(place).expect(name);
        let failing = home.path().join(name);
        fs::write(&failing, format!("{before}{place}{fail}\n{after}")).unwrap();
        let job = |detail: &str| job(&"a".repeat(26), &home.path().join("none"), detail, "") + "\n";

        let reasons = |file: &Path, detail: &str| {
            let said = told(interpreter, file, home.path(), &job(detail));
            let answers = said.lines().map(|line| serde_json::from_str::<Value>(line).expect(name));
            let answers: Vec<_> = answers.filter(|answer| answer["type"] != "ready").collect();
            answers.iter().map(|answer| format!("{}: {}", answer["type"], answer["reason"])).collect::<Vec<_>>()
        };

        let whole = in_the_repository(FOLDER).join(name);
        assert_eq!(reasons(&whole, &"7".repeat(100_000)), ["\"reject\": \"no ticket in the recipient\""], "{name}");
        if !fail.is_empty() {
            let reasons = reasons(&failing, "7");
            let [reason] = &reasons[..] else { panic!("{name}: {reasons:?}") };
            let length = reason.chars().count();
            assert!(reason.starts_with("\"retry\": ") && (200..=2000).contains(&length), "{name}: {length} {reason}");
        }
    }
}

/// What prints does so into the log, whoever does it.
#[test]
fn no_example_can_be_made_to_speak_where_answers_go() {
    let home = TempDir::new().unwrap();
    for (interpreter, name, print, place) in [
        ("perl", "worker.pl", "print qq(hello\\n); system 'echo hello';", "sub work {"),
        ("ruby", "worker.rb", "puts 'hello'; system 'echo hello'", "def work(job)"),
        ("python3", "worker.py", "    print('hello'); os.system('echo hello')", "def work(job):"),
        ("node", "worker.js", "console.log('hello');", "async function work({ id, detail, path }) {"),
        ("php", "worker.php", "echo 'hello'; print_r([1]);", "{\n"),
        ("sh", "worker.sh", "echo hello", "keep() {"),
    ] {
        let text = read(&format!("{FOLDER}/{name}"));
        let (before, after) = text.split_once(place).expect(name);
        let talkative = home.path().join(name);
        fs::write(&talkative, format!("{before}{place}\n{print}\n{after}")).unwrap();
        let tickets = home.path().join(interpreter);
        fs::create_dir_all(tickets.join("7")).unwrap();
        let maildir = Maildir::new();
        for number in 0..3 {
            maildir.deliver(mail("support+7@example.org", number));
        }
        let toml = format!(
            "maildir = {:?}\n[target.app]\nworker = [{interpreter:?}, {talkative:?}]\nenvironment = {{ TICKETS = {tickets:?} }}",
            maildir.path()
        );

        let drain = Maildirq::drain_config(&toml).run();

        assert_eq!((drain.exit(), maildir.waiting().len()), (Exit::Ok, 0), "{name}");
        let said = drain.events("worker_said");
        assert!(said.iter().any(|line| line["line"].as_str().unwrap().contains("hello")), "{name}: {said:?}");
    }
}

#[test]
fn each_example_has_less_than_thirty_lines_and_a_place_in_the_docs() {
    let mut pages = read(PAGE);
    for recipe in ["rails-worker", "django-worker"] {
        pages += &read(&format!("docs/recipes/{recipe}.md"));
    }
    let mut names = BTreeSet::new();
    for file in fs::read_dir(in_the_repository(FOLDER)).unwrap().map(|file| file.unwrap()) {
        let (name, text) = (file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).unwrap());
        assert!(text.lines().count() < 30, "{name}");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{name}");
        let pasted = format!("\n{text}```\n");
        assert!(pages.contains(&format!("(../{FOLDER}/{name})")) || pages.contains(&pasted), "no page has {name}");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o111, 0, "{name} is run by its interpreter");
        names.insert(name);
    }
    let plain = ["worker.js", "worker.php", "worker.pl", "worker.py", "worker.rb", "worker.sh", "worker.toml"];
    let apps = ["django-worker.toml", "django_worker.py", "rails-worker.toml", "rails_worker.rb"];
    assert_eq!(names, plain.iter().chain(&apps).map(|name| (*name).to_owned()).collect());
}

/// A worker that writes down what it is told, and the environment that it has.
const NOSY: &str = r#"
import json, os, sys
print('{"type":"ready","version":1}', flush=True)
with open("told", "w") as told:
    for line in sys.stdin:
        told.write(line)
        if (job := json.loads(line))["type"] == "job":
            told.write(json.dumps(sorted(os.environ)) + "\n")
            told.flush()
            print(json.dumps({"type": "done", "id": job["id"]}), flush=True)
"#;

#[test]
fn the_page_has_every_key_and_every_variable_that_there_is() {
    let (home, maildir, page) = (TempDir::new().unwrap(), Maildir::new(), read(PAGE));
    fs::write(home.path().join("nosy.py"), NOSY).unwrap();
    maildir.deliver("Return-Path: <ada@example.com>\nDelivered-To: support+7@example.org\nReceived: x\n\nhi\n");
    let toml = format!(
        "maildir = {:?}\n[target.app]\nworker = ['/usr/bin/python3', 'nosy.py']\ndirectory = {:?}\nparsed = true\nprocesses = 1\n",
        maildir.path(),
        home.path()
    );
    let launch = Maildirq::drain_config(&toml).env("LANG", "C.UTF-8").env("USER", "ada").env("HOME", "/");
    assert_eq!(launch.run().exit(), Exit::Ok);

    let told = fs::read_to_string(home.path().join("told")).unwrap();
    let [hello, job, environment] = &told.lines().collect::<Vec<_>>()[..] else { panic!("{told}") };
    assert_eq!(keys(hello), ["type", "version", "maildirq", "target"], "the table is in this order");
    let mut shown = keys(block(&page, "{\"type\":\"job\""));
    shown.push("mail".into());
    assert_eq!(keys(job), shown, "the page shows a job as it is");
    for key in keys(hello).iter().chain(&keys(job)).filter(|key| *key != "type") {
        assert!(page.contains(&format!("| `{key}`")) || page.contains(&format!("`{key}` | ")), "{key}");
    }
    let environment: Vec<String> = serde_json::from_str(environment).unwrap();
    for variable in environment.iter().filter(|variable| *variable != "LC_CTYPE") {
        assert!(page.contains(&format!("`{variable}`")), "{variable}");
    }
}

/// The keys of an object in their order, those of objects in it left out.
fn keys(object: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let (mut depth, mut text, mut is_quoted, mut is_escaped) = (0, String::new(), false, false);
    for character in object.chars() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => {
                is_quoted = !is_quoted;
                if is_quoted {
                    text.clear();
                }
            }
            _ if is_quoted => text.push(character),
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ':' if depth == 1 => keys.push(text.clone()),
            _ => {}
        }
    }
    keys
}

fn mail(recipient: &str, number: u32) -> Vec<u8> {
    let head = format!("Delivered-To: {recipient}\nReceived: x\nSubject: {number}\n\n");
    [head.as_bytes(), b"Gr\xfc\xdfe\r\n\0\n.\nFrom me"].concat()
}

/// The block of a page that begins with this text.
fn block<'a>(page: &'a str, text: &str) -> &'a str {
    let mut blocks = page.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    blocks.find(|(_, block)| block.starts_with(text)).unwrap_or_else(|| panic!("no block begins with {text}")).1
}

fn read(path: &str) -> String {
    fs::read_to_string(in_the_repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn in_the_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
