//! Many at once: as of a moment, and only when a person wants it.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use super::{act, config, done, mail, places};
use crate::support::launch::{binary, write_config};
use crate::support::{Answer, App, Exit, Maildir, Maildirq, SOON};

/// So many dead ones, and their configuration.
fn with_dead(count: usize) -> (Maildir, App, String) {
    let (maildir, app) = (Maildir::in_memory(), App::answering(|_| Answer::status(422)));
    (0..count).for_each(|number| drop(maildir.deliver(mail(&format!("invoice {number}")))));
    let toml = config(&maildir, &app.url());
    assert_eq!(Maildirq::drain_config(&toml).run().exit(), Exit::SomeDead);
    (maildir, app, toml)
}

fn count_in(maildir: &Maildir, folder: &str) -> usize {
    places(maildir).values().filter(|place| *place == folder).count()
}

#[test]
fn twenty_five_are_few_and_one_more_is_asked_about() {
    let (maildir, _app, toml) = with_dead(26);
    let (exit, said) = done(&toml, "retry state:dead --dry-run");
    assert_eq!((exit, said.lines().count()), (Exit::Ok, 27), "{said}");
    let refused = act(&toml, "retry state:dead").run();
    assert_eq!(refused.exit(), Exit::Usage);
    assert!(refused.lines().join("\n").contains("--yes"), "{:?}", refused.lines());
    assert_eq!(count_in(&maildir, "new"), 0);
    maildir.dead().into_iter().next().map(fs::remove_file).unwrap().unwrap();
    assert_eq!(done(&toml, "retry state:dead").0, Exit::Ok);
    assert_eq!(count_in(&maildir, "new"), 25);
    assert_eq!(done(&toml, "retry state:dead").0, Exit::NoInput);
}

#[test]
fn with_yes_nobody_is_asked() {
    let (maildir, _app, toml) = with_dead(60);
    let (exit, said) = done(&toml, "retry state:dead target:app --yes");
    assert_eq!((exit, said), (Exit::Ok, "✓ 60 due now · 0 changed meanwhile".to_owned()));
    assert_eq!(count_in(&maildir, "new"), 60);
}

/// A hundred match; while the question stands, five more come and three change.
#[test]
fn what_comes_after_the_question_is_untouched_and_what_changes_is_skipped() {
    let (maildir, _app, toml) = with_dead(100);
    let home = tempfile::TempDir::new().unwrap();
    let file = home.path().join("maildirq.toml");
    write_config(&file, &toml);
    let line = format!("{} drop -c {} state:dead", binary(), file.display());
    let mut terminal = Terminal::run(&line);
    let page = terminal.read_until("[y/N] ");
    assert!(page.contains("100 messages match") && page.contains("97 more"), "{page}");

    for number in 0..5 {
        let subject = mail(&format!("late {number}"));
        fs::write(maildir.path().join(".maildirq.dead/new").join(format!("176208733{number}.later.mx1")), subject)
            .unwrap();
    }
    let dead = maildir.dead();
    let changed: Vec<_> = dead.iter().filter(|path| !path.to_string_lossy().contains("later")).take(3).collect();
    let name = changed[0].file_name().unwrap();
    fs::rename(changed[0], maildir.message(name)).unwrap();
    fs::remove_file(changed[1]).unwrap();
    fs::set_permissions(changed[2], Permissions::from_mode(0o640)).unwrap();

    terminal.write("y\n");
    let rest = terminal.read_to_end();
    assert!(rest.contains("3 changed meanwhile"), "{rest}");
    let dropped = count_in(&maildir, ".maildirq.trash/new");
    let late = places(&maildir)
        .iter()
        .filter(|(subject, place)| subject.starts_with("late") && *place == ".maildirq.dead/new")
        .count();
    assert_eq!((dropped, late), (97, 5), "{rest}");
    assert!(rest.contains("✓ 97 dropped"), "{rest}");
}

#[test]
fn who_says_no_has_done_nothing() {
    let (maildir, _app, toml) = with_dead(30);
    let home = tempfile::TempDir::new().unwrap();
    let file = home.path().join("maildirq.toml");
    write_config(&file, &toml);
    let mut terminal = Terminal::run(&format!("{} drop -c {} state:dead", binary(), file.display()));
    terminal.read_until("[y/N] ");
    terminal.write("\n");
    assert!(terminal.read_to_end().contains("nothing was done"));
    assert_eq!(count_in(&maildir, ".maildirq.dead/new"), 30);
}

/// A command on a terminal of its own, which script(1) makes.
struct Terminal {
    child: std::process::Child,
    heard: mpsc::Receiver<Vec<u8>>,
    text: String,
}

impl Terminal {
    fn run(line: &str) -> Terminal {
        let mut script = Command::new("script");
        script.args(["-qfec", line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = script.spawn().unwrap();
        let mut stdout = child.stdout.take().expect("it is piped");
        let (tell, heard) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                if tell.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal { child, heard, text: String::new() }
    }

    #[track_caller]
    fn read_until(&mut self, text: &str) -> String {
        while !self.text.contains(text) {
            let bytes = self.heard.recv_timeout(SOON).unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.text));
            self.text.push_str(&String::from_utf8_lossy(&bytes));
        }
        std::mem::take(&mut self.text)
    }

    fn read_to_end(&mut self) -> String {
        while let Ok(bytes) = self.heard.recv_timeout(SOON) {
            self.text.push_str(&String::from_utf8_lossy(&bytes));
        }
        std::mem::take(&mut self.text)
    }

    fn write(&mut self, text: &str) {
        self.child.stdin.as_mut().expect("it is piped").write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
