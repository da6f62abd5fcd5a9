//! Metrics for Prometheus. Every name stands here, once.
//!
//! Labels are names of the configuration and words of this file: never an address, a sender or an answer, so that there
//! are only so many series. What is counted is counted while mail is delivered, and only where somebody may ask; what is
//! there now is looked at when somebody does.

use crate::engine::{Attempt, Blame, Burial, Message, Observer, Outcome, Settlement, Sight};
use crate::maildir::Stock;
use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bounds of what an attempt takes, in seconds.
const ATTEMPT: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 300.0];
/// Bounds of how long mail waits until it is done, in seconds.
const LATENCY: [f64; 13] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0, 3_600.0, 21_600.0, 86_400.0];

/// What is there now, for one scrape.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// The Maildirs.
    pub stocks: Vec<Stock>,
    /// The targets.
    pub targets: Vec<TargetScene>,
    /// Whether the configuration that was given last is in force.
    pub is_reloaded: bool,
}

/// A target, for one scrape.
#[derive(Clone, Debug)]
pub struct TargetScene {
    /// Its name.
    pub name: String,
    /// Whether it takes mail, as far as one knows.
    pub is_up: bool,
    /// Whether a person has paused it.
    pub is_paused: bool,
    /// How many attempts are under way.
    pub busy: usize,
    /// How many may be.
    pub limit: usize,
    /// Whether its answers are HTTP's.
    pub is_http: bool,
}

/// All metrics.
pub struct Metrics {
    /// Nothing is counted while nobody can ask.
    is_on: AtomicBool,
    registry: Registry,
    received: IntCounterVec,
    attempts: IntCounterVec,
    attempt_seconds: HistogramVec,
    latency_seconds: HistogramVec,
    dead: IntCounterVec,
    found_late: IntCounterVec,
    last_success: GaugeVec,
    messages: IntGaugeVec,
    oldest: GaugeVec,
    target_up: IntGaugeVec,
    target_paused: IntGaugeVec,
    target_busy: IntGaugeVec,
    target_limit: IntGaugeVec,
    is_reloaded: IntGauge,
    disk_free: IntGaugeVec,
    inodes_free: IntGaugeVec,
    /// Whose answers are HTTP's.
    http: std::sync::RwLock<std::collections::BTreeSet<String>>,
    scrape: Mutex<()>,
}

/// Makes what cannot fail: names and labels of this file are well-formed, and each is there once.
fn made<T>(made: prometheus::Result<T>) -> T {
    made.expect("a test makes all metrics")
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = made(metric);
    made(registry.register(Box::new(metric.clone())));
    metric
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, labels: &[&str], help: &str| {
            registered(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauge = |name: &str, labels: &[&str], help: &str| {
            registered(&registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        let seconds = |name: &str, labels: &[&str], help: &str| {
            registered(&registry, GaugeVec::new(Opts::new(name, help), labels))
        };
        let histogram = |name: &str, bounds: &[f64], help: &str| {
            let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
            registered(&registry, HistogramVec::new(options, &["target"]))
        };
        let build = gauge("maildirq_build_info", &["version"], "Always 1; the label is the version that runs.");
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let reloaded = IntGauge::new(
            "maildirq_config_last_reload_successful",
            "1 while the configuration that was given last is in force, 0 after a reload that failed.",
        );
        Metrics {
            is_on: AtomicBool::new(false),
            received: counter(
                "maildirq_received_total",
                &["queue", "kind"],
                "Messages whose first try has ended, by what kind of mail they are.",
            ),
            attempts: counter(
                "maildirq_attempts_total",
                &["target", "outcome", "class"],
                "Tries, by what they came to (done, retry, reject) and how the target answered.",
            ),
            attempt_seconds: histogram("maildirq_attempt_seconds", &ATTEMPT, "How long a try takes."),
            latency_seconds: histogram(
                "maildirq_latency_seconds",
                &LATENCY,
                "From a message's arrival until its target has taken it.",
            ),
            dead: counter(
                "maildirq_dead_total",
                &["target", "reason"],
                "Messages set aside for a person: rejected, gave_up, unfit, no_route, or set_aside unread.",
            ),
            found_late: counter(
                "maildirq_found_late_total",
                &["queue"],
                "Messages that only a search has found, and no event had told of.",
            ),
            last_success: seconds(
                "maildirq_last_success_timestamp_seconds",
                &["target"],
                "When the target has taken a message last, as seconds since 1970.",
            ),
            messages: gauge(
                "maildirq_messages",
                &["queue", "state"],
                "Messages that are there: new, running, retry, dead, trash.",
            ),
            oldest: seconds(
                "maildirq_oldest_seconds",
                &["queue", "state"],
                "The age of the oldest message that is there; 0 where there is none.",
            ),
            target_up: gauge("maildirq_target_up", &["target"], "0 while the target is down and only probes reach it."),
            target_paused: gauge("maildirq_target_paused", &["target"], "1 while a person has paused the target."),
            target_busy: gauge("maildirq_target_busy", &["target"], "Tries that are under way."),
            target_limit: gauge("maildirq_target_limit", &["target"], "Tries that may be under way at a time."),
            is_reloaded: registered(&registry, reloaded),
            disk_free: gauge(
                "maildirq_disk_free_bytes",
                &["queue"],
                "Bytes free on the disk of the queue, where it has least.",
            ),
            inodes_free: gauge(
                "maildirq_inodes_free",
                &["queue"],
                "Inodes free on the disk of the queue, where it has least.",
            ),
            http: std::sync::RwLock::default(),
            scrape: Mutex::new(()),
            registry,
        }
    }
}

impl Metrics {
    /// Whether somebody may ask. What happens while nobody may is not counted.
    pub fn turn_on(&self, is_on: bool) {
        self.is_on.store(is_on, Ordering::Relaxed);
    }

    fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Learns which targets there are now. All of them have their series from the start.
    pub fn know(&self, targets: &[TargetScene]) {
        let http = targets.iter().filter(|target| target.is_http).map(|target| target.name.clone());
        *self.http.write().unwrap_or_else(PoisonError::into_inner) = http.collect();
        for target in targets {
            let name = [target.name.as_str()];
            self.attempt_seconds.with_label_values(&name);
            self.latency_seconds.with_label_values(&name);
            for reason in ["rejected", "gave_up", "unfit"] {
                self.dead.with_label_values(&[name[0], reason]);
            }
        }
        for reason in ["no_route", "set_aside"] {
            self.dead.with_label_values(&["", reason]);
        }
    }

    /// All metrics, in the text format of Prometheus.
    ///
    /// # Errors
    /// A metric cannot be written, which is a bug.
    pub fn render(&self, scene: &Scene, now: SystemTime) -> Result<String, String> {
        // Two scrapes at a time would see half of each other's gauges.
        let _alone = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        self.set_queues(&scene.stocks, now);
        for gauge in [&self.target_up, &self.target_paused, &self.target_busy, &self.target_limit] {
            gauge.reset();
        }
        for target in &scene.targets {
            let set = |gauge: &IntGaugeVec, value: usize| {
                gauge.with_label_values(&[&target.name]).set(i64::try_from(value).unwrap_or(i64::MAX));
            };
            set(&self.target_up, usize::from(target.is_up));
            set(&self.target_paused, usize::from(target.is_paused));
            set(&self.target_busy, target.busy);
            set(&self.target_limit, target.limit);
        }
        self.is_reloaded.set(i64::from(scene.is_reloaded));
        TextEncoder::new().encode_to_string(&self.registry.gather()).map_err(|error| error.to_string())
    }

    fn set_queues(&self, stocks: &[Stock], now: SystemTime) {
        self.oldest.reset();
        let mut counts = BTreeMap::<_, u64>::new();
        let mut ages = BTreeMap::<_, f64>::new();
        let (mut bytes, mut inodes) = (BTreeMap::<_, u64>::new(), BTreeMap::<_, u64>::new());
        for stock in stocks {
            let queue = &*stock.queue;
            for (state, pile) in &stock.piles {
                let age = pile.oldest.map_or(0.0, |came| now.duration_since(came).unwrap_or_default().as_secs_f64());
                *counts.entry([queue, state]).or_default() += pile.count;
                let oldest = ages.entry([queue, state]).or_default();
                *oldest = oldest.max(age);
            }
            for (least, free) in [(&mut bytes, stock.free_bytes), (&mut inodes, stock.free_inodes)] {
                if let Some(free) = free {
                    let known = least.entry([queue]).or_insert(free);
                    *known = free.min(*known);
                }
            }
            self.found_late.with_label_values(&[queue]);
        }
        set_all(&self.messages, counts);
        set_all(&self.disk_free, bytes);
        set_all(&self.inodes_free, inodes);
        for (labels, age) in ages {
            self.oldest.with_label_values(&labels).set(age);
        }
    }

    fn received(&self, message: &Message) {
        if message.history.tries == 0 {
            self.received.with_label_values(&[&*message.queue, Sight::of(message).kind().word()]).inc();
        }
    }

    /// How a target answered, in a word.
    fn class(&self, target: &str, outcome: &Outcome) -> &'static str {
        match (outcome, outcome.status()) {
            (_, Some(status)) => {
                let is_http = self.http.read().unwrap_or_else(PoisonError::into_inner).contains(target);
                if is_http { class_of_status(status) } else { "exit" }
            }
            (Outcome::Done { .. }, None) => "ok",
            (Outcome::Retry { blame, reason, .. }, None) => class_of_failure(*blame, reason),
            (Outcome::Unfit { .. }, None) => "unfit",
            (Outcome::Reject { .. } | Outcome::Unavailable { .. }, None) => "other",
        }
    }
}

fn set_all<const N: usize>(gauge: &IntGaugeVec, values: BTreeMap<[&str; N], u64>) {
    gauge.reset();
    for (labels, value) in values {
        gauge.with_label_values(&labels).set(i64::try_from(value).unwrap_or(i64::MAX));
    }
}

fn class_of_status(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "other",
    }
}

/// Why there was no answer, going by how the reasons of targets read.
fn class_of_failure(blame: Blame, reason: &str) -> &'static str {
    if blame == Blame::Ourselves {
        return "ourselves";
    }
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if has(&["certificate", "TLS", "tls", "handshake"]) {
        "tls"
    } else if has(&["refused"]) {
        "refused"
    } else if has(&["within", "timed out", "time-out", "deadline"]) {
        "timeout"
    } else if has(&["cannot connect"]) {
        "connect"
    } else if has(&["no complete answer"]) {
        "cut_off"
    } else {
        "other"
    }
}

impl Observer for Metrics {
    fn ended(&self, attempt: &Attempt<'_>) {
        if !self.is_on() || !attempt.was_made() {
            return;
        }
        let Attempt { message, target, outcome, settlement, took, at } = *attempt;
        let result = match (settlement, outcome) {
            (Settlement::Done, _) => "done",
            (_, Outcome::Reject { .. } | Outcome::Unfit { .. }) => "reject",
            _ => "retry",
        };
        // One that waits for its target comes again as what it was.
        if !matches!(settlement, Settlement::Park { .. }) {
            self.received(message);
        }
        self.attempts.with_label_values(&[target, result, self.class(target, outcome)]).inc();
        self.attempt_seconds.with_label_values(&[target]).observe(took.as_secs_f64());
        match settlement {
            Settlement::Done => {
                self.latency_seconds.with_label_values(&[target]).observe(message.waited(at).as_secs_f64());
                let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
                self.last_success.with_label_values(&[target]).set(since.as_secs_f64());
            }
            Settlement::Dead { .. } => {
                let reason = match outcome {
                    Outcome::Reject { .. } => "rejected",
                    Outcome::Unfit { .. } => "unfit",
                    _ => "gave_up",
                };
                self.dead.with_label_values(&[target, reason]).inc();
            }
            _ => {}
        }
    }

    fn ignored(&self, message: &Message, _at: SystemTime) {
        if self.is_on() {
            self.received(message);
        }
    }

    fn unrouted(&self, message: &Message, _at: SystemTime) {
        if self.is_on() {
            self.received(message);
            self.dead.with_label_values(&["", "no_route"]).inc();
        }
    }

    fn buried(&self, _burial: &Burial<'_>) {
        if self.is_on() {
            self.dead.with_label_values(&["", "set_aside"]).inc();
        }
    }

    fn found_late(&self, queue: &str) {
        if self.is_on() {
            self.found_late.with_label_values(&[queue]).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maildir::Pile;
    use std::time::Duration;

    fn scene() -> Scene {
        let target =
            TargetScene { name: "app".into(), is_up: true, is_paused: false, busy: 2, limit: 8, is_http: true };
        let pile = Pile { count: 3, oldest: Some(UNIX_EPOCH) };
        let stock = |free| Stock {
            queue: "support".into(),
            piles: [("new", pile), ("running", pile), ("retry", pile), ("dead", pile), ("trash", Pile::default())],
            free_bytes: Some(free),
            free_inodes: None,
        };
        Scene { stocks: vec![stock(7), stock(5)], targets: vec![target], is_reloaded: true }
    }

    #[test]
    fn a_scrape_tells_what_happened_and_what_is_there() {
        let metrics = Metrics::default();
        let message = Message::sample();
        let (took, at) = (Duration::from_millis(30), UNIX_EPOCH + Duration::from_secs(2));
        let end = |outcome: Outcome, settlement: Settlement| {
            metrics.ended(&Attempt {
                message: &message,
                target: "app",
                outcome: &outcome,
                settlement: &settlement,
                took,
                at,
            });
        };
        let done = || end(Outcome::Done { status: Some(204) }, Settlement::Done);
        done();
        metrics.turn_on(true);
        metrics.know(&scene().targets);
        done();
        done();
        end(Outcome::Unavailable { reason: "away".into() }, Settlement::Park { target: "app".into() });
        metrics.unrouted(&message, at);
        metrics.found_late("support");
        let text = metrics.render(&scene(), UNIX_EPOCH + Duration::from_mins(1)).unwrap();
        for line in [
            r#"maildirq_attempts_total{class="2xx",outcome="done",target="app"} 2"#,
            r#"maildirq_received_total{kind="human",queue="main"} 3"#,
            r#"maildirq_dead_total{reason="no_route",target=""} 1"#,
            r#"maildirq_dead_total{reason="rejected",target="app"} 0"#,
            r#"maildirq_found_late_total{queue="support"} 1"#,
            r#"maildirq_latency_seconds_count{target="app"} 2"#,
            r#"maildirq_attempt_seconds_bucket{target="app",le="0.05"} 2"#,
            r#"maildirq_last_success_timestamp_seconds{target="app"} 2"#,
            r#"maildirq_messages{queue="support",state="dead"} 6"#,
            r#"maildirq_messages{queue="support",state="trash"} 0"#,
            r#"maildirq_oldest_seconds{queue="support",state="new"} 60"#,
            r#"maildirq_disk_free_bytes{queue="support"} 5"#,
            r#"maildirq_target_up{target="app"} 1"#,
            r#"maildirq_target_busy{target="app"} 2"#,
            "maildirq_config_last_reload_successful 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let later = metrics.render(&Scene::default(), UNIX_EPOCH).unwrap();
        assert!(!later.contains("maildirq_target_up{") && !later.contains("maildirq_messages{"), "{later}");
    }

    #[test]
    fn a_failure_without_an_answer_has_a_class() {
        for (blame, reason, class) in [
            (Blame::Endpoint, "cannot connect to http://x/: Connection refused (os error 111)", "refused"),
            (Blame::Endpoint, "cannot connect to http://x/: failed to lookup address information", "connect"),
            (Blame::Endpoint, "cannot connect to https://x/: invalid peer certificate: UnknownIssuer", "tls"),
            (Blame::Unclear, "no answer from http://x/ within 30s", "timeout"),
            (Blame::Unclear, "no complete answer from http://x/: connection closed", "cut_off"),
            (Blame::Ourselves, "too many open files", "ourselves"),
            (Blame::Unclear, "something new", "other"),
        ] {
            assert_eq!(class_of_failure(blame, reason), class, "{reason}");
        }
    }
}
