//! What a daemon tells of itself: live events, how it stands, metrics, and which mail was done.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::client::get;
use crate::support::launch::binary;
use crate::support::{Answer, App, Exit, Maildir, Maildirq, SOON, wait_for, wait_until};

const MAIL: &str = "Return-Path: <ada@example.org>\nDelivered-To: support@example.com\nSubject: a lamp\n\nHello\n";

fn toml(maildir: &Maildir, url: &str, more: &str) -> String {
    let path = maildir.path().display();
    format!(
        "[queue.support]\nmaildir = '{path}'\n[target.app]\nurl = '{url}'\nretry = {{ min_delay = \"1h\" }}\n{more}\n"
    )
}

#[track_caller]
fn watch(toml: &str) -> Maildirq {
    let watch = Maildirq::watch_config(toml).start();
    watch.wait_for_event("ready");
    watch
}

/// Where it tells metrics.
fn web_of(watch: &Maildirq) -> String {
    watch.wait_for_event("web")["listen"].as_str().unwrap().to_owned()
}

/// What is asked of the daemon over its socket, and the first line of the answer.
fn ask(maildir: &Maildir, request: &str) -> BufReader<UnixStream> {
    let live = maildir.path().join("maildirq/live");
    let socket = wait_for("a socket", SOON, || {
        let mut files = fs::read_dir(&live).ok()?.filter_map(Result::ok).map(|file| file.path());
        files.find(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'))
    });
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    writeln!(stream, "{request}").unwrap();
    BufReader::new(stream)
}

fn line_of(stream: &mut BufReader<UnixStream>) -> Value {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn status(maildir: &Maildir) -> Value {
    line_of(&mut ask(maildir, r#"{"v":1,"ask":"status"}"#))
}

mod live {
    use super::*;

    #[test]
    fn tail_shows_what_its_query_is_about_until_it_has_seen_enough() {
        let maildir = Maildir::in_memory();
        let app = App::answering(
            |request| {
                if request.body.ends_with(b"refuse\n") { Answer::status(422) } else { Answer::ok() }
            },
        );
        let watch = watch(&toml(&maildir, &app.url(), ""));
        let config = watch.config_file();
        let follow = |words: &[&str]| {
            let mut tail = Command::new(binary());
            tail.args(["tail", "-c"]).arg(&config).args(words).stdout(Stdio::piped()).spawn().unwrap()
        };
        let all = follow(&["--json", "-n", "4"]);
        let dead = follow(&["state:dead", "-n", "1"]);
        let both_listen = || status(&maildir)["pid"].is_number() && watch.open_files_with("socket") > 0;
        wait_until("it answers", SOON, both_listen);

        // Whoever listens from when on is not to be seen from here: some more come until both have seen enough.
        let mut ended = [all, dead].map(Some);
        let mut outputs = [const { None }; 2];
        wait_until("both have seen enough", 2 * SOON, || {
            maildir.deliver(MAIL);
            maildir.deliver("Subject: a lamp\n\nrefuse\n");
            for (child, output) in ended.iter_mut().zip(&mut outputs) {
                if let Some(mut running) = child.take() {
                    match running.try_wait().unwrap() {
                        Some(_) => *output = Some(running.wait_with_output().unwrap()),
                        None => *child = Some(running),
                    }
                }
            }
            outputs.iter().all(Option::is_some)
        });

        let [all, dead] = outputs.map(|output| output.unwrap());
        assert!(all.status.success() && dead.status.success());
        let lines = String::from_utf8(all.stdout).unwrap();
        let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events.len(), 4, "{lines}");
        assert!(events.iter().all(|event| event["v"] == 1 && event["queue"] == "support"), "{lines}");
        assert!(lines.contains(r#""subject":"a lamp""#) && lines.contains(r#""event":"received""#), "{lines}");
        let shown = String::from_utf8(dead.stdout).unwrap();
        assert!(shown.contains("✖ ") && shown.contains("422") && !shown.contains('\u{1b}'), "{shown}");
        assert_eq!(watch.stop(), Exit::Ok);
        assert_eq!(fs::read_dir(maildir.path().join("maildirq/live")).unwrap().count(), 0);
    }

    #[test]
    fn without_a_daemon_tail_says_how_to_start_one() {
        let maildir = Maildir::in_memory();
        let config = maildir.home().join("maildirq.toml");
        crate::support::launch::write_config(&config, &toml(&maildir, "http://127.0.0.1:1/", ""));
        for left in [false, true] {
            if left {
                let live = maildir.path().join("maildirq/live");
                fs::create_dir_all(&live).unwrap();
                drop(std::os::unix::net::UnixListener::bind(live.join("0123456789abcdef.sock")).unwrap());
            }
            let tail = Command::new(binary()).args(["tail", "-c"]).arg(&config).output().unwrap();
            let said = String::from_utf8(tail.stderr).unwrap();
            assert_eq!((tail.status.code(), said.contains("maildirq watch")), (Some(69), true), "{said}");
        }
    }

    #[test]
    fn the_status_tells_of_targets_and_queues() {
        let maildir = Maildir::in_memory();
        let mut app = App::accepting();
        let watch = watch(&toml(&maildir, &app.url(), "breaker = { after = 1 }"));
        maildir.deliver(MAIL);
        app.wait_for_requests(1);
        wait_until("it is counted", SOON, || status(&maildir)["queues"][0]["done"] == 1);
        app.stop();
        maildir.deliver(MAIL);
        watch.wait_for_event("target_down");
        let status = wait_for("the target is told to be down", SOON, || {
            Some(status(&maildir)).filter(|status| status["targets"][0]["state"] == "down")
        });
        let target = &status["targets"][0];
        assert_eq!(
            (status["v"].as_u64(), status["pid"].as_u64()),
            (Some(1), Some(u64::from(watch.pid().as_raw_nonzero().get().unsigned_abs())))
        );
        assert_eq!((target["done"].as_u64(), target["failed"].as_u64()), (Some(1), Some(1)), "{status}");
        assert!(target["reason"].as_str().unwrap().contains("refused") && target["next_probe"].is_number(), "{status}");
        assert_eq!((&status["watching"], status["queues"][0]["found_late"].as_u64()), (&"inotify".into(), Some(0)));
        assert!(status["queues"][0]["p95"].is_number(), "{status}");
    }

    #[test]
    fn who_listens_and_reads_nothing_holds_up_no_mail() {
        let maildir = Maildir::in_memory();
        let app = App::plan(|_| Answer::ok()).forgetting().start();
        let watch = watch(&toml(&maildir, &app.url(), ""));
        let mut deaf = ask(&maildir, r#"{"v":1,"ask":"tail"}"#);
        wait_until("it is listened to", SOON, || {
            maildir.deliver(MAIL);
            deaf.get_ref().set_nonblocking(true).unwrap();
            let is_heard = deaf.fill_buf().is_ok();
            deaf.get_ref().set_nonblocking(false).unwrap();
            is_heard
        });
        let before = watch.memory();
        for _ in 0..5000 {
            maildir.deliver(MAIL);
        }
        wait_until("all is done", 3 * SOON, || maildir.waiting().is_empty());
        assert!(watch.memory() < before + (16 << 20), "{before} {}", watch.memory());
        let missed = wait_for("it is told what was missed", SOON, || {
            Some(line_of(&mut deaf)).filter(|event| event["event"] == "missed")
        });
        assert!(missed["count"].as_u64().unwrap() > 100, "{missed}");
    }
}

mod scraped {
    use super::*;

    fn scrape(web: &str) -> String {
        let (status, body) = get(&format!("{web}/metrics"));
        assert_eq!(status, 200);
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn a_scrape_is_what_prometheus_reads_and_tells_how_targets_answered() {
        let maildir = Maildir::in_memory();
        let mut app = App::accepting();
        let more = "timeout = '1s'\nbreaker = { after = 100 }\n[web]\nlisten = '127.0.0.1:0'";
        let watch = watch(&toml(&maildir, &app.url(), more));
        let web = web_of(&watch);
        let has = |line: &str| scrape(&web).lines().any(|found| found == line);
        maildir.deliver(MAIL);
        wait_until("a success is counted", SOON, || {
            has(r#"maildirq_attempts_total{class="2xx",outcome="done",target="app"} 1"#)
        });
        app.stop();
        maildir.deliver(MAIL);
        wait_until("a refused connection is counted", SOON, || {
            has(r#"maildirq_attempts_total{class="refused",outcome="retry",target="app"} 1"#)
        });
        app.restart();
        app.answer_with(|_| Answer::ok().after(Duration::from_secs(5)));
        maildir.deliver(MAIL);
        wait_until("a time-out is counted", SOON, || {
            has(r#"maildirq_attempts_total{class="timeout",outcome="retry",target="app"} 1"#)
        });
        wait_until("what waits is counted", 2 * SOON, || has(r#"maildirq_messages{queue="support",state="retry"} 2"#));
        assert!(has(r#"maildirq_received_total{kind="human",queue="support"} 3"#), "{}", scrape(&web));
        promtool_takes(&scrape(&web));
    }

    fn promtool_takes(text: &str) {
        let check =
            Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
        // It is in Debian's package prometheus; where that is not, the lines above were read at least.
        let Ok(mut check) = check else { return };
        check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let checked = check.wait_with_output().unwrap();
        assert!(checked.status.success(), "{}\n{text}", String::from_utf8_lossy(&checked.stderr));
    }

    #[test]
    fn it_is_alive_and_ready_until_it_is_told_to_be_quiet() {
        let maildir = Maildir::in_memory();
        let app = App::accepting();
        let watch = watch(&toml(&maildir, &app.url(), "[web]\nlisten = '127.0.0.1:0'"));
        let web = web_of(&watch);
        let asked = |page: &str| {
            let (status, body) = get(&format!("{web}/{page}"));
            (status, String::from_utf8(body).unwrap())
        };
        assert_eq!((asked("healthz").0, asked("readyz").0, asked("nothing").0), (200, 200, 404));
        watch.signal(rustix::process::Signal::TSTP);
        watch.wait_for_event("quiet");
        let (status, reason) = asked("readyz");
        assert_eq!((status, reason.as_str(), asked("healthz").0), (503, "it is quiet until SIGCONT\n", 200));
    }

    #[test]
    fn metrics_with_a_token_are_for_whoever_shows_it_and_a_reload_changes_all_of_it() {
        let maildir = Maildir::in_memory();
        let app = App::accepting();
        let watch = watch(&toml(&maildir, &app.url(), ""));
        assert!(watch.events("web").is_empty());
        let secret = maildir.home().join("token");
        fs::write(&secret, "0123456789\n").unwrap();
        fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let web = format!("[web]\nlisten = '0.0.0.0:0'\ntoken = {{ file = '{}' }}", secret.display());
        watch.reload(&toml(&maildir, &app.url(), &web));
        let place = web_of(&watch).replace("0.0.0.0", "127.0.0.1");
        assert_eq!(get(&format!("{place}/metrics")).0, 401);
        assert_eq!(get(&format!("{place}/healthz")).0, 200);
        let shown =
            crate::support::client::get_with(&format!("{place}/metrics"), &[("authorization", "Bearer 0123456789")]);
        assert_eq!(shown.0, 200);
        let refused = watch.refuse_to_reload(&toml(&maildir, &app.url(), "[web]\nlisten = '192.0.2.1:1'"));
        assert!(refused.contains("token"), "{refused}");
        assert!(status(&maildir)["reload_failed"].is_string());
        // What nobody can listen on here keeps no configuration from being in force.
        watch.reload(&toml(&maildir, &app.url(), "[web]\nlisten = '192.0.2.1:1'\ntoken = 'x'"));
        let failed = watch.wait_for_event("web_failed");
        assert_eq!((&failed["level"], &failed["listen"]), (&"ERROR".into(), &"http://192.0.2.1:1".into()), "{failed}");
        watch.reload(&toml(&maildir, &app.url(), ""));
        let address = place.strip_prefix("http://").unwrap().to_owned();
        wait_until("nobody listens any more", SOON, || std::net::TcpStream::connect(&address).is_err());
    }

    #[test]
    fn an_address_that_is_taken_holds_up_no_mail_and_is_had_when_it_is_free() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let (maildir, app) = (Maildir::in_memory(), App::accepting());
        let watch = watch(&toml(&maildir, &app.url(), &format!("[web]\nlisten = '{address}'")));
        let failed = watch.wait_for_event("web_failed");
        assert!(failed["listen"].as_str().unwrap().contains(&address.to_string()), "{failed}");
        maildir.deliver(MAIL);
        app.wait_for_accepted(1);
        assert!(watch.events("web").is_empty());
        drop(taken);
        let web = web_of(&watch);
        assert_eq!(get(&format!("{web}/healthz")).0, 200);
        assert_eq!(watch.events("web_failed").len(), 1);
    }

    #[test]
    fn mail_that_no_event_told_of_is_counted() {
        let maildir = Maildir::in_memory();
        let app = App::accepting();
        let toml = toml(&maildir, &app.url(), "[web]\nlisten = '127.0.0.1:0'");
        let watch = Maildirq::watch_config(&toml).failing("inotify_add_watch", "ENOSPC", "1+").start();
        watch.wait_for_event("ready");
        let web = web_of(&watch);
        wait_until("its first search is over", SOON, || status(&maildir)["watching"] == "search");
        for number in 1..=3 {
            maildir.deliver(MAIL);
            app.wait_for_requests(number);
        }
        wait_until("what was found late is counted", SOON, || {
            let found = scrape(&web).lines().find_map(|line| {
                line.strip_prefix(r#"maildirq_found_late_total{queue="support"} "#)?.parse::<u64>().ok()
            });
            found.is_some_and(|count| count >= 2)
        });
    }
}

mod history {
    use super::*;

    fn lines(maildir: &Maildir) -> Vec<Value> {
        let Ok(files) = fs::read_dir(maildir.path().join("maildirq/history")) else { return Vec::new() };
        let texts = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect::<String>();
        texts.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn mail_that_is_done_is_remembered_where_that_is_wanted_by_watch_and_drain() {
        let maildir = Maildir::in_memory();
        let app = App::accepting();
        let config = toml(&maildir, &app.url(), "[keep]\nhistory = '7d'");
        let watch = watch(&config);
        let name = maildir.deliver(MAIL);
        wait_until("it is remembered", SOON, || lines(&maildir).len() == 1);
        assert_eq!(watch.stop(), Exit::Ok);
        maildir.deliver(MAIL);
        assert_eq!(Maildirq::drain_config(&config).run().exit(), Exit::Ok);
        let lines = lines(&maildir);
        assert_eq!(lines.len(), 2);
        let first = lines.iter().find(|line| line["name"] == name.to_str().unwrap()).unwrap();
        assert_eq!(
            ["v", "queue", "target", "from", "to", "subject", "try", "status"].map(|field| first[field].to_string()),
            ["1", "\"support\"", "\"app\"", "\"ada@example.org\"", "\"support@example.com\"", "\"a lamp\"", "1", "200"]
        );
        assert_eq!(first["id"], app.requests()[0].id());
    }

    #[test]
    fn nothing_is_remembered_unless_it_is_wanted() {
        let maildir = Maildir::in_memory();
        let app = App::accepting();
        maildir.deliver(MAIL);
        assert_eq!(Maildirq::drain_config(&toml(&maildir, &app.url(), "")).run().exit(), Exit::Ok);
        assert!(!maildir.path().join("maildirq/history").exists());
    }
}
