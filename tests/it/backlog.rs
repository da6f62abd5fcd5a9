//! An outage with a backlog (T27): whatever the app's trouble is, it costs no message anything, and hardly any memory,
//! writing or asking, however much mail waits.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::{
    Allowed, Answer, App, Authority, Checkup, Exit, Gate, Ledger, Maildir, Maildirq, SOON, from_environment, holds_for,
    wait_until,
};

const CONCURRENCY: usize = 4;
const AFTER: usize = 3;
const BEFORE_IT_OPENS: usize = AFTER - 1 + CONCURRENCY;
const PROBE: Duration = Duration::from_millis(200);
const SETTINGS: &str = "breaker = { after = 3, probe = '200ms' }\ntimeout = '100ms'\nconnect_timeout = '100ms'\n\
                        retry = { max_delay = '10ms', for = '1s' }\nconcurrency = 4";

/// Takes connections to the brim, and then answers nobody: what comes is as if it fell into a hole.
struct Hole {
    listener: TcpListener,
    _brim: Vec<TcpStream>,
}

impl Hole {
    fn new() -> Hole {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let a_moment = Duration::from_millis(200);
        let brim = std::iter::from_fn(|| TcpStream::connect_timeout(&address, a_moment).ok()).collect();
        Hole { listener, _brim: brim }
    }

    fn url(&self) -> String {
        format!("http://{}/mail", self.listener.local_addr().unwrap())
    }
}

/// What `outage.rs` does not have: each is probed now and then, charged to nobody, and over as soon as it is over.
#[test]
fn whatever_the_trouble_is_only_probes_are_made_of_it_and_nothing_dies() {
    let (black_hole, folder) = (Hole::new(), TempDir::new().unwrap());
    let stranger = Authority::called("unknown");
    let untrusted = App::plan(|_| Answer::ok()).with_certificate(stranger.certificate()).start();
    let bad_gateway = App::answering(|_| Answer::status(502));
    let hangs_up = App::answering(|_| Answer::hang_up());
    let troubles = [
        ("a black hole", black_hole.url()),
        ("no such host", "http://no-such-host.invalid/mail".to_owned()),
        ("nobody listens", format!("unix:{}", folder.path().join("none.sock").display())),
        ("no certificate", untrusted.url()),
        ("502", bad_gateway.url()),
        ("hangs up", hangs_up.url()),
    ];
    std::thread::scope(|scope| {
        for (what, url) in &troubles {
            scope.spawn(|| is_outlasted(what, url));
        }
    });
    assert_eq!(untrusted.count(), 0);
}

fn is_outlasted(what: &str, url: &str) {
    const MAILS: u64 = 60;
    const PROBES: usize = 8;
    let (maildir, app) = (Maildir::in_memory(), App::accepting());
    let mut ledger = Ledger::produce(&maildir, MAILS, 27);
    let config =
        |url: &str| format!("maildir = '{}'\n[target.app]\nurl = '{url}'\n{SETTINGS}\n", maildir.path().display());
    let watch = Maildirq::watch_config(&config(url)).start();
    watch.wait_for_event("target_down");
    let began = Instant::now();
    let attempts = watch.wait_for_events("attempt", BEFORE_IT_OPENS + PROBES);
    // Each waits for at least three quarters of it; what went on when it opened is not counted.
    let most = BEFORE_IT_OPENS + 2 + (began.elapsed().as_millis() / (PROBE.as_millis() * 3 / 4)) as usize;
    assert!(attempts.len() <= most, "{what}: {} attempts, not {most}", attempts.len());
    assert_eq!((maildir.waiting().len() as u64, maildir.dead().len()), (MAILS, 0), "{what}");
    let told: Vec<_> = maildir.stories().iter().flat_map(|id| maildir.story(id)).collect();
    assert!(told.iter().all(|line| line["charged"] == false), "{what}: {told:?}");
    assert!(maildir.stories().len() <= BEFORE_IT_OPENS, "{what}: {} are touched", maildir.stories().len());

    let checkup = Checkup::begin(&watch);
    watch.reload(&config(&app.url()));
    wait_until(format!("all is done after {what}"), 2 * SOON, || maildir.waiting().is_empty());
    let verdict = ledger.check_with(&app.deliveries(), Allowed::nothing(), &[checkup]);
    assert_eq!(watch.stop(), Exit::Ok);
    assert_eq!(
        (verdict.accepted as u64, verdict.attempts as u64, maildir.stories().len()),
        (MAILS, MAILS, 0),
        "{what}"
    );
}

/// `MAILDIRQ_BACKLOG_MAILS` wait, for `MAILDIRQ_BACKLOG_SECONDS`, while the app says 503.
#[test]
fn a_backlog_costs_neither_memory_nor_writing_and_comes_back_step_by_step() {
    const MOST_MEMORY: u64 = 200 * 1024;
    const WRITTEN_FOR_A_PROBE: u64 = 16 * 1024;
    let (mails, seconds) =
        (from_environment("MAILDIRQ_BACKLOG_MAILS", 5000), from_environment("MAILDIRQ_BACKLOG_SECONDS", 3));
    let app = App::plan(|_| Answer::status(503)).forgetting().start();
    let maildir = Maildir::in_memory();
    fill(&maildir, mails);
    let settings = format!("{SETTINGS}\n").replace("timeout = '100ms'\n", "timeout = '10s'\n");
    let toml = format!(
        "maildir = '{}'\nrescan = '1s'\n[target.app]\nurl = '{}'\n{settings}",
        maildir.path().display(),
        app.url()
    );
    let watch = Maildirq::watch_config(&toml).start();
    let patience = SOON + Duration::from_millis(5 * mails as u64);
    wait_until("it is down", patience, || !watch.events("target_down").is_empty());
    app.wait_for_requests(BEFORE_IT_OPENS + 1);
    let (began, asked, written) = (Instant::now(), app.count(), watch.written());

    holds_for("it is alive, and no mail dies", Duration::from_secs(seconds as u64), || {
        watch.is_running()
            && !maildir.path().join(".maildirq.dead/new").read_dir().is_ok_and(|mut dead| dead.next().is_some())
    });

    let (probes, memory) = (app.count() - asked, watch.peak_memory());
    let most = 2 + (began.elapsed().as_millis() / (PROBE.as_millis() * 3 / 4)) as usize;
    let written = watch.written() - written;
    println!("{mails} mails, {:?}: {probes} probes, {written} bytes written, {memory} kB at most", began.elapsed());
    assert!((1..=most).contains(&probes), "{probes} probes, not {most}");
    assert!(written <= probes as u64 * WRITTEN_FOR_A_PROBE, "{written} bytes for {probes} probes");
    assert!(memory < MOST_MEMORY, "{memory} kB");
    assert!(maildir.stories().len() <= BEFORE_IT_OPENS + probes + asked);

    comes_back_step_by_step(&app);
    wait_until("all are done", patience, || maildir.is_empty());
    let rungs = ["target_recovering", "target_up"].map(|event| watch.events(event).len());
    println!("all done {:?} later, {} kB at most", began.elapsed(), watch.peak_memory());
    assert!(watch.peak_memory() < MOST_MEMORY, "{} kB", watch.peak_memory());
    assert_eq!((rungs, app.accepted().len(), maildir.dead().len()), ([1, 1], mails, 0));
    let again = app.deliveries().iter().filter(|delivery| delivery.is_accepted()).count();
    assert_eq!((again, watch.stop()), (mails, Exit::Ok));
}

/// One at a time, then two, then four.
fn comes_back_step_by_step(app: &App) {
    let hold = || {
        let gate = Gate::closed();
        let held = gate.clone();
        app.answer_with(move |_| Answer::ok().through(&held));
        gate
    };
    let (mut answered, mut so_far) = (hold(), 0);
    for at_once in [1, 1, 2, 4] {
        so_far += at_once;
        wait_until(format!("{at_once} at once"), SOON, || (app.accepted().len(), app.in_hand()) == (so_far, at_once));
        let next = hold();
        answered.open();
        answered = next;
    }
    app.answer_with(|_| Answer::ok());
    answered.open();
}

/// Nobody is there yet, so that it need not be in the way that MTAs have.
fn fill(maildir: &Maildir, mails: usize) {
    use std::io::Write;
    for number in 0..mails {
        let path = maildir.message(format!("{}.P{number}.mx", 1_700_000_000 + number / 100));
        File::create_new(path).unwrap().write_all(format!("Subject: {number}\n\n.\n").as_bytes()).unwrap();
    }
}
