//! Secrets: they reach the app, and nothing else ever shows them.

mod search;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;

use data_encoding::{BASE64, HEXUPPER};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::launch::binary;
use crate::support::leaks::{MARK, assert_none_below, assert_none_in};
use crate::support::{
    Answer, App, Exit, Launch, Maildir, Maildirq, Mda, Overheard, Request, SOON, Script, skipped, wait_until,
};

/// The three places from which a secret can come.
#[derive(Clone, Copy, Debug)]
enum Source {
    Env,
    File,
    Credential,
}

/// Where secrets are kept: an environment, files, and a folder of credentials.
struct Safe {
    home: TempDir,
    env: Vec<(String, String)>,
}

impl Safe {
    fn new() -> Safe {
        Safe { home: TempDir::new().unwrap(), env: Vec::new() }
    }

    /// Keeps a secret, and returns what refers to it.
    fn keep(&mut self, name: &str, source: Source, secret: &str) -> String {
        match source {
            Source::Env => {
                let name = name.to_uppercase();
                self.env.push((name.clone(), secret.to_owned()));
                format!("{{ env = '{name}' }}")
            }
            Source::File => format!("{{ file = '{}' }}", self.write(&format!("{name}.file"), secret).display()),
            Source::Credential => {
                self.write(name, &format!("{secret}\n"));
                format!("{{ credential = '{name}' }}")
            }
        }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// As systemd would start it.
    fn open_for(&self, launch: Launch) -> Launch {
        let launch = launch.env("CREDENTIALS_DIRECTORY", self.home.path());
        self.env.iter().fold(launch, |launch, (name, value)| launch.env(name, value))
    }
}

#[test]
fn every_secret_can_come_from_everywhere_and_reaches_the_app() {
    const SECRET: &str = "hunter2 is: \"a\" pass%word~";
    for source in [Source::Env, Source::File, Source::Credential] {
        let (maildir, app, mut safe) = (Maildir::new(), App::accepting(), Safe::new());
        let url = app.url();
        let password = safe.keep("password", source, SECRET);
        let token = safe.keep("token", source, "hunter2-token");
        let header = safe.keep("header", source, SECRET);
        let user_url = safe.keep("user_url", source, &format!("{}/in", url.replace("//", "//ada:hunter2-url@")));
        let url_with_key = safe.keep("url_with_key", source, &format!("{url}/key?key=hunter2-query"));
        let targets = [
            ("basic", format!("url = '{url}/basic'\nauth = {{ basic = 'ada', password = {password} }}")),
            ("bearer", format!("url = '{url}/bearer'\nauth = {{ bearer = {token} }}")),
            ("header", format!("url = '{url}/header'\nheaders = {{ X-Api-Key = {header}, X-Plain = 'plain' }}")),
            ("user", format!("url = {user_url}")),
            ("key", format!("url = {url_with_key}")),
        ];
        for (name, _) in &targets {
            maildir.deliver(format!("Subject: {name}\n\n.\n"));
        }

        let drain = safe.open_for(Maildirq::drain_config(&config(&maildir, &targets))).run();

        assert_eq!((drain.exit(), app.count()), (Exit::Ok, targets.len()), "{source:?}");
        let basic = |password: &str| format!("Basic {}", BASE64.encode(format!("ada:{password}").as_bytes()));
        assert_eq!(received(&app, "basic", "authorization"), Some(basic(SECRET)), "{source:?}");
        assert_eq!(received(&app, "bearer", "authorization"), Some("Bearer hunter2-token".into()), "{source:?}");
        assert_eq!(received(&app, "header", "x-api-key"), Some(SECRET.into()), "{source:?}");
        assert_eq!(received(&app, "header", "x-plain"), Some("plain".into()), "{source:?}");
        assert_eq!(received(&app, "user", "authorization"), Some(basic("hunter2-url")), "{source:?}");
        assert_eq!(received(&app, "key", "authorization"), None, "a secret of one target is not for others");
        assert!(app.requests().iter().any(|request| request.path.ends_with("/key?key=hunter2-query")), "{source:?}");
    }
}

/// Everything fails that can, and everybody talks as much as they can.
#[test]
fn no_secret_is_seen_anywhere_outside_the_requests() {
    let (maildir, mut safe) = (Maildir::new(), Safe::new());
    let app = App::answering(|request| match request.body.as_slice() {
        [.., b'1', b'\n'] => Answer::status(401).header("www-authenticate", "Basic"),
        [.., b'2', b'\n'] => Answer::status(422).body("no"),
        [.., b'3', b'\n'] => Answer::status(302).header("location", "/elsewhere"),
        [.., b'4', b'\n'] => Answer::hang_up(),
        _ => Answer::status(500),
    });
    let spy = Script::new("cat /proc/$$/environ /proc/$$/cmdline /proc/$PPID/cmdline | tell spy-$$; cat >&2; exit 75");
    let url = app.url();
    let nobody = url.replace("http://", "http://ad:hunter2-nobody@").replace("127.0.0.1", "127.0.0.2");
    let references = [
        safe.keep("password", Source::Env, "hunter2-from-env"),
        safe.keep("token", Source::File, "hunter2-from-file"),
        safe.keep("header", Source::Credential, "hunter2-from-credential"),
        safe.keep("url", Source::Env, &format!("{url}/in?key=hunter2-query")),
        safe.keep("nobody", Source::Credential, &nobody),
        safe.keep("proxy", Source::File, &nobody),
    ];
    let [password, token, header, secret_url, nobody, proxy] = &references;
    let on_dead = format!("on_dead = {}", spy.command());
    let targets = [
        ("basic", format!("url = '{url}/b'\nauth = {{ basic = 'ad', password = {password} }}\n{on_dead}")),
        ("bearer", format!("url = '{url}/t'\nauth = {{ bearer = {token} }}\n{on_dead}")),
        ("header", format!("url = '{url}/h'\nheaders = {{ X-Key = {header} }}\n{on_dead}")),
        ("url", format!("url = {secret_url}\n{on_dead}")),
        ("nobody", format!("url = {nobody}")),
        ("proxied", format!("url = '{url}/p'\nproxy = {proxy}")),
        ("command", format!("command = {}", spy.command())),
    ];
    let toml = config(&maildir, &targets);
    let mut said = Vec::new();
    for text in [false, true] {
        for (name, _) in &targets {
            (0..5).for_each(|wish| drop(maildir.deliver(format!("Subject: {name}\n\n{wish}\n"))));
        }
        let drain = safe.open_for(Maildirq::drain_config(&toml)).arg("-v");
        let drain = if text { drain.log_text() } else { drain }.run();
        assert_eq!(drain.exit(), Exit::SomeDead);
        said.extend(drain.lines());
        said.push(drain.stdout());
    }

    assert!(app.count() >= 20 && maildir.dead().len() >= 4, "{} requests", app.count());
    assert!(said.iter().any(|line| line.contains("401 Unauthorized (looks like configuration)")), "{said:?}");
    assert!(said.iter().any(|line| line.contains("cannot connect")), "{said:?}");
    for line in &said {
        assert_none_in("a line", line.as_bytes());
    }
    assert!(spy.files().len() >= 10, "{:?}", spy.files());
    for file in spy.files() {
        assert_none_in(&file, &spy.told(&file).unwrap());
    }
    assert!(maildir.stories().len() >= 10);
    assert_none_below(maildir.path());
}

#[test]
fn wrong_credentials_look_like_configuration() {
    let (maildir, mut safe) = (Maildir::new(), Safe::new());
    let app = App::answering(|_| Answer::status(401).body("who are you?"));
    maildir.deliver("Subject: app\n\n.\n");
    let password = safe.keep("password", Source::Env, "hunter2");
    let target = format!("url = '{}'\nauth = {{ basic = 'ad', password = {password} }}", app.url());

    let drain = safe.open_for(Maildirq::drain_config(&config(&maildir, &[("app", target)]))).run();

    let reason = "401 Unauthorized (looks like configuration): who are you?";
    assert_eq!((drain.exit(), &drain.events("attempt")[0]["reason"]), (Exit::SomeWait, &reason.into()));
    assert_eq!(maildir.story(app.requests()[0].id())[0]["charged"], false);
    drain.lines().iter().for_each(|line| assert_none_in("a line", line.as_bytes()));
}

/// A webhook's path is often all that keeps others from using it.
#[test]
fn the_path_of_a_url_that_is_a_reference_is_a_secret_too() {
    let (maildir, mut safe) = (Maildir::new(), Safe::new());
    let app = App::answering(|request| match request.attempt() {
        Some(1) => Answer::hang_up(),
        _ => Answer::status(422),
    });
    maildir.deliver("Subject: app\n\n.\n");
    let url = safe.keep("url", Source::Env, &format!("{}/services/hunter2", app.url()));
    let target = format!("url = {url}\nretry = {{ max_delay = '1ms' }}");

    let drain = Maildirq::drain_config(&config(&maildir, &[("app", target)])).args(["-v", "--wait-retries"]);
    let drain = safe.open_for(drain).run();

    assert_eq!((drain.exit(), app.count()), (Exit::SomeDead, 2));
    drain.lines().iter().for_each(|line| assert_none_in("a line", line.as_bytes()));
    assert_none_below(maildir.path());
}

/// The reference, and what is said of it. All are in line 3, behind `auth = { bearer = `.
#[test]
fn a_secret_that_is_not_there_is_pointed_at() {
    let mut safe = Safe::new();
    safe.keep("empty", Source::Env, "");
    safe.keep("lines", Source::Env, "hunter2\nhunter3");
    safe.keep("space", Source::Env, "hunter2 hunter3");
    safe.keep("empty", Source::Credential, "");
    safe.keep("lines", Source::Credential, "hunter2\nhunter3");
    safe.keep("returned", Source::Credential, "hunter2\rhunter3");
    let latin1 = safe.write("latin1", "");
    fs::write(latin1, b"hunter2\xe9").unwrap();
    safe.write("long", &"hunter2".repeat(10_000));
    let home = safe.home.path().display().to_string();
    let cases: [(String, &[&str]); 17] = [
        ("{ env = 'SURELY_UNSET' }".into(), &["environment variable SURELY_UNSET is not set"]),
        ("{ env = 'EMPTY' }".into(), &["environment variable EMPTY is empty"]),
        ("{ env = 'LINES' }".into(), &["line break"]),
        ("{ env = 'SPACE' }".into(), &["visible ASCII without spaces"]),
        ("{ credential = 'none' }".into(), &["cannot read", "/none", "No such file"]),
        ("{ credential = 'empty' }".into(), &["is empty"]),
        ("{ credential = 'lines' }".into(), &["line break"]),
        ("{ credential = 'returned' }".into(), &["line break"]),
        ("{ credential = '../passwd' }".into(), &["without folders"]),
        (format!("{{ file = '{home}/none' }}"), &["cannot read", "/none", "No such file"]),
        (format!("{{ file = '{home}' }}"), &["cannot read", "not a regular file"]),
        (format!("{{ file = '{home}/latin1' }}"), &["UTF-8"]),
        (format!("{{ file = '{home}/long' }}"), &["64 KiB"]),
        ("{ file = 'relative/secret' }".into(), &["begins with /"]),
        ("{ env = 'EMPTY', file = '/x' }".into(), &["one of `env`, `file` and `credential`"]),
        ("{ vault = 'x' }".into(), &["unknown key `vault`"]),
        ("{}".into(), &["one of `env`, `file` and `credential`"]),
    ];
    for (reference, words) in cases {
        let bearer = format!("auth = {{ bearer = {reference} }}");
        let toml = format!("maildir = '/nowhere'\n[target.app]\n{bearer}\nurl = 'http://127.0.0.1:9/'\n");
        for launch in [Maildirq::drain_config(&toml).log_text(), Maildirq::watch_config(&toml)] {
            let maildirq = safe.open_for(launch).arg("-v").run();
            let said = maildirq.lines().join("\n");
            assert_eq!(maildirq.exit(), Exit::Config, "{reference}: {said}");
            for word in ["maildirq.toml:3:", "3 │ auth = { bearer = {", "^"].iter().chain(words) {
                assert!(said.contains(word), "{reference}: {word:?} is not said:\n{said}");
            }
            assert_none_in(&reference, said.as_bytes());
        }
    }
}

#[test]
fn a_credential_without_systemd_is_told_what_to_do() {
    let toml = "maildir = '/nowhere'\n[target.app]\nurl = { credential = 'app_url' }\n";
    let drain = Maildirq::drain_config(toml).log_text().run();
    let said = drain.lines().join("\n");
    assert_eq!(drain.exit(), Exit::Config, "{said}");
    for word in ["maildirq.toml:3:7", "$CREDENTIALS_DIRECTORY is not set", "LoadCredential=app_url:", "{ file ="] {
        assert!(said.contains(word), "{word:?} is not said:\n{said}");
    }
}

/// T39
#[test]
fn nothing_is_started_with_a_secret_that_everybody_can_read() {
    let (maildir, app) = (Maildir::in_memory(), App::accepting());
    maildir.deliver("Subject: app\n\n.\n");
    let mut safe = Safe::new();
    let token = safe.keep("token", Source::File, "hunter2");
    let token_file = safe.home.path().join("token.file");
    let toml = safe.home.path().join("m.toml");
    let drain = |auth: &str, modes: [u32; 2]| {
        let target = format!("url = '{}'\nauth = {{ bearer = {auth} }}", app.url());
        fs::write(&toml, config(&maildir, &[("app", target)])).unwrap();
        for (path, mode) in [&toml, &token_file].into_iter().zip(modes) {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        let drain = Launch::new("drain").arg("-c").arg(&toml).log_text().run();
        let said = drain.lines().join("\n");
        assert_none_in("what was said", said.as_bytes());
        (drain.exit(), said)
    };
    for (auth, modes, words) in [
        ("'hunter2'", [0o644, 0o600], ["which everybody can read", "chmod 640 /"]),
        (&*token, [0o600, 0o644], ["can be read by everybody", "chmod 600 /"]),
    ] {
        let (exit, said) = drain(auth, modes);
        assert_eq!(exit, Exit::Config, "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    assert_eq!((app.count(), maildir.waiting().len()), (0, 1));
    // What holds no secret anybody may read.
    assert_eq!(drain(&token, [0o644, 0o640]).0, Exit::Ok);
}

/// A root that can read everything is no test of this, so it is done as somebody else.
#[test]
fn a_secret_that_may_not_be_read_is_told_of() {
    if !rustix::process::geteuid().is_root() {
        return skipped("only root can become somebody else");
    }
    let mut safe = Safe::new();
    fs::set_permissions(safe.home.path(), Permissions::from_mode(0o755)).unwrap();
    let token = safe.keep("token", Source::Credential, "hunter2");
    let toml = safe.home.path().join("nobody.toml");
    let text =
        format!("maildir = '/nowhere'\n[target.app]\nurl = 'http://127.0.0.1:9/'\nauth = {{ bearer = {token} }}\n");
    fs::write(&toml, text).unwrap();
    fs::set_permissions(&toml, Permissions::from_mode(0o644)).unwrap();

    let drain = safe.open_for(Launch::new("drain")).arg("-c").arg(&toml).log_text();
    let drain = drain.by_way_of(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]).run();

    let said = drain.lines().join("\n");
    assert_eq!(drain.exit(), Exit::Config, "{said}");
    for word in ["nobody.toml:4:19", "cannot read", "/token", "Permission denied", "^^"] {
        assert!(said.contains(word), "{word:?} is not said:\n{said}");
    }
    assert_none_in("what was said", said.as_bytes());
}

/// A secret is read anew when the configuration is, and a bad one leaves the old one in force.
#[test]
fn a_reload_reads_secrets_anew_and_tells_nothing_of_a_bad_one() {
    let (maildir, app, mut safe) = (Maildir::new(), App::accepting(), Safe::new());
    let token = safe.keep("token", Source::Credential, "hunter2-old");
    let target = format!("url = '{}'\nauth = {{ bearer = {token} }}", app.url());
    let watch = safe.open_for(Maildirq::watch_config(&config(&maildir, &[("app", target)]))).arg("-v").start();
    watch.wait_for_event("ready");
    let authorizations = |count: usize| {
        maildir.deliver("Subject: app\n\n.\n");
        app.wait_for_accepted(count);
        app.requests().last().unwrap().header("authorization").unwrap().to_owned()
    };
    assert_eq!(authorizations(1), "Bearer hunter2-old");

    safe.write("token", "hunter2\nhunter3");
    watch.signal(Signal::HUP);
    let failed = watch.wait_for_event("reload_failed");
    assert!(failed["reason"].as_str().unwrap().contains("line break"), "{failed}");
    assert_eq!(authorizations(2), "Bearer hunter2-old");

    safe.write("token", "hunter2-new");
    watch.signal(Signal::HUP);
    watch.wait_for_event("reloaded");
    assert_eq!(authorizations(3), "Bearer hunter2-new");

    wait_until("all are done", SOON, || maildir.waiting().is_empty());
    assert_eq!(watch.stop(), Exit::Ok);
    watch.lines().iter().for_each(|line| assert_none_in("a line", line.as_bytes()));
}

/// One Maildir, and targets whose mail has their names as its subject.
fn config(maildir: &Maildir, targets: &[(&str, String)]) -> String {
    let route = |name: &str| format!("[[route]]\nwhen = {{ header = {{ Subject = '{name}' }} }}\ntarget = '{name}'\n");
    let target = |(name, settings): &(&str, String)| format!("{}[target.{name}]\n{settings}\n", route(name));
    let targets: String = targets.iter().map(target).collect();
    format!("maildir = '{}'\n{targets}", maildir.path().display())
}

/// A header of the request for a target.
fn received(app: &App, target: &str, header: &str) -> Option<String> {
    let subject = format!("Subject: {target}\n");
    let is_it = |request: &Request| request.body.starts_with(subject.as_bytes());
    app.requests().into_iter().find(is_it).expect("it was sent").header(header).map(str::to_owned)
}
