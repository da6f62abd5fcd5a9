//! The alert rules that are shipped: whether Prometheus takes them, and whether there is something behind each.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

use crate::support::client::get;
use crate::support::{Answer, App, Exit, Maildir, Maildirq, Overheard, skipped};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus").join(name)
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

/// All names of alerts, those that are commented out among them.
fn alerts(rules: &str) -> Vec<&str> {
    rules.lines().filter_map(|line| line.split_once("- alert: ").map(|(_, name)| name)).collect()
}

#[test]
fn prometheus_takes_the_rules_and_they_do_what_they_say() {
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        if Command::new("promtool").arg("--version").output().is_err() {
            return skipped("there is no promtool here");
        }
        let run = Command::new("promtool").args(arguments).current_dir(shipped("")).overheard();
        let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success() && said.contains("SUCCESS"), "{arguments:?}: {said}");
    }
}

#[test]
fn each_alert_has_a_test_a_page_and_words() {
    let (rules, tests) = (read(shipped("alerts.yml")), read(shipped("alerts_test.yml")));
    let page = read(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/alerts.md"));
    let names = alerts(&rules);
    assert_eq!(names.len(), 11, "{names:?}");
    let bodies: Vec<_> = rules.split("- alert: ").skip(1).collect();
    for (name, body) in names.iter().zip(bodies) {
        for word in ["expr: ", "severity: ", "summary: ", "description: "] {
            assert!(body.contains(word), "{name} has no {word}");
        }
        let runbook = format!("runbook_url: docs/alerts.md#{}\n", name.to_lowercase());
        assert!(body.contains(&runbook), "{name} does not lead to {runbook}");
        assert!(page.contains(&format!("\n## {name}\n")), "docs/alerts.md does not tell of {name}");
        let is_commented_out = rules.contains(&format!("#- alert: {name}\n"));
        assert!(is_commented_out || tests.contains(name), "there is no test of {name}");
    }
    let told = page.lines().filter_map(|line| line.strip_prefix("## Maildirq")).count();
    assert_eq!(told, names.len(), "docs/alerts.md tells of alerts that are not there");
}

/// The metrics of ours that the rules name.
fn named(rules: &str) -> BTreeSet<&str> {
    let metric = Regex::new(r"\bmaildirq_[a-z_]+\b").expect("the pattern is fixed");
    let expressions = rules.lines().filter(|line| !line.contains("runbook_url"));
    expressions.flat_map(|line| metric.find_iter(line).map(|found| found.as_str())).collect()
}

#[test]
fn every_metric_that_a_rule_names_is_in_a_scrape() {
    let rules = read(shipped("alerts.yml"));
    let named = named(&rules);
    assert!(named.contains("maildirq_oldest_seconds") && named.contains("maildirq_received_total"), "{named:?}");

    let (maildir, app) = (Maildir::new(), App::answering(|_| Answer::status(422)));
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let web = format!("[web]\nlisten = '{address}'");
    let watch = Maildirq::watch_with(&maildir, &app.url(), &web).start();
    watch.wait_for_event("ready");
    maildir.deliver("Subject: refused\n\n.\n");
    watch.wait_for_event("dead");
    let (status, scraped) = get(&format!("http://{address}/metrics"));
    let scraped = String::from_utf8(scraped).unwrap();
    assert_eq!(status, 200, "{scraped}");
    let told: BTreeSet<_> = scraped.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    let missing: Vec<_> = named.difference(&told).collect();
    assert!(missing.is_empty(), "{missing:?} are not in\n{scraped}");
    assert_eq!(watch.stop(), Exit::Ok);
}
