//! What is done is remembered, and forgotten in time.

use super::super::layout::Keep;
use super::super::queue::MaildirQueue;
use super::super::served::Options;
use super::*;
use crate::engine::Message;
use crate::maildir::Settings;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

struct Bench {
    folder: TempDir,
    _queue: MaildirQueue,
    maildir: Arc<Maildir>,
}

impl Bench {
    fn new(history: Option<Duration>, history_size: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("new")).unwrap();
        let queue = MaildirQueue::new(Settings::default()).unwrap();
        let layout = Layout::open(folder.path(), Keep::Remove).unwrap();
        let retention = Retention { history, history_size, ..Retention::default() };
        let maildir = queue.prepare(layout, Options { retention, ..Options::default() }).unwrap();
        Bench { folder, _queue: queue, maildir }
    }

    fn take(&self, subject: &str) {
        let mut message = Message::sample();
        message.body = crate::engine::Body::Whole(format!("Subject: {subject}\n\nbody\n").into());
        message.envelope.from = Some("ada@example.com".into());
        let (took, at) = (Duration::from_millis(12), SystemTime::UNIX_EPOCH + Duration::from_hours(500_000));
        self.maildir.remember(&Taken { message: &message, target: "app", status: Some(204), took, at });
    }

    fn subjects(&self) -> Vec<String> {
        let mut subjects = Vec::new();
        let visit = &mut |done: DoneMail| {
            subjects.push(done.subject.unwrap());
            ControlFlow::Continue(())
        };
        read_history(self.folder.path(), visit).unwrap();
        subjects
    }

    fn files(&self) -> Vec<PathBuf> {
        let listed = fs::read_dir(self.folder.path().join(HISTORY));
        listed.map_or_else(|_| Vec::new(), |files| files.map(|file| file.unwrap().path()).collect())
    }

    fn prune(&self, later: Duration) -> usize {
        prune(&self.maildir.layout, &self.maildir.options.retention, SystemTime::now() + later).unwrap()
    }
}

const WEEK: Duration = Duration::from_hours(7 * 24);

#[test]
fn what_is_done_is_read_back_the_last_first() {
    let bench = Bench::new(Some(WEEK), 1 << 20);
    assert!(bench.subjects().is_empty() && bench.prune(WEEK * 2) == 0);
    for subject in ["one", "=?UTF-8?Q?zwei_=1B]0;x?=", "three"] {
        bench.take(subject);
        bench.maildir.write_history();
    }
    assert_eq!(bench.subjects(), ["three", "zwei ]0;x", "one"]);
    let text = fs::read_to_string(&bench.files()[0]).unwrap();
    let line = text.lines().next().unwrap();
    assert_eq!(
        line,
        r#"{"v":1,"at":"2027-01-15T08:00:00.000Z","id":"aeaqcaibaeaqcaibaeaqcaibae","name":"1762087331.sample.mx1","queue":"main","target":"app","from":"ada@example.com","subject":"one","size":19,"arrived":"1970-01-01T00:00:00.000Z","try":1,"status":204,"ms":12}"#
    );
    assert_eq!(bench.files().len(), 1);
}

#[test]
fn nothing_is_remembered_unless_it_is_asked_for() {
    let bench = Bench::new(None, 1 << 20);
    bench.take("one");
    bench.maildir.write_history();
    assert!(bench.files().is_empty());
}

#[test]
fn the_history_is_bounded_by_time_and_by_size() {
    let bench = Bench::new(Some(WEEK), 8 * 300);
    for number in 0..40 {
        bench.take(&number.to_string());
        bench.maildir.write_history();
    }
    assert!(bench.files().len() > 8, "{:?}", bench.files());
    assert!(bench.prune(Duration::ZERO) > 0);
    let size: u64 = bench.files().iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!((1_200..=2_400).contains(&size), "{size}");
    assert!(bench.prune(WEEK.checked_sub(Duration::from_hours(1)).unwrap()) == 0);
    assert!(bench.prune(WEEK + Duration::from_hours(1)) > 0);
    assert!(bench.files().is_empty());
}

#[test]
fn what_was_remembered_before_goes_where_nothing_is_to_be_remembered() {
    let bench = Bench::new(None, 1 << 20);
    fs::create_dir(bench.folder.path().join(HISTORY)).unwrap();
    fs::write(bench.folder.path().join(HISTORY).join("2026-11-22T072730Z.0.jsonl"), "{}\n").unwrap();
    assert_eq!((bench.prune(Duration::ZERO), bench.files().len()), (1, 0));
}

#[test]
fn lines_can_be_taken_out_while_a_process_writes() {
    let bench = Bench::new(Some(WEEK), 1 << 20);
    bench.take("one");
    bench.take("two");
    bench.maildir.write_history();
    let mut is_kept = |done: &DoneMail| done.subject.as_deref() != Some("one");
    let folder = bench.folder.path().join(HISTORY);
    let files = || fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect::<Vec<_>>();
    let long_ago = SystemTime::now() - Duration::from_hours(100);
    File::options().write(true).open(&files()[0]).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(rewrite_history(bench.folder.path(), &mut is_kept).unwrap(), 1);
    // It is not kept for longer than it would have been.
    assert_eq!(files()[0].metadata().unwrap().modified().unwrap(), long_ago);
    bench.take("three");
    bench.maildir.write_history();
    assert_eq!(bench.subjects(), ["three", "two"]);
    assert_eq!(rewrite_history(bench.folder.path(), &mut is_kept).unwrap(), 0);
}

#[test]
fn what_cannot_be_written_waits() {
    let bench = Bench::new(Some(WEEK), 1 << 20);
    fs::write(bench.folder.path().join(HISTORY), "in the way").unwrap();
    bench.take("one");
    bench.maildir.write_history();
    fs::remove_file(bench.folder.path().join(HISTORY)).unwrap();
    bench.take("two");
    bench.maildir.write_history();
    assert_eq!(bench.subjects(), ["two", "one"]);
}

#[test]
fn torn_and_foreign_lines_are_skipped() {
    let bench = Bench::new(Some(WEEK), 1 << 20);
    bench.take("one");
    bench.maildir.write_history();
    let file = &bench.files()[0];
    let text = fs::read_to_string(file).unwrap();
    fs::write(file, format!("{{\"v\":1,\n\n\u{fffd}[[[[\n{text}{}", &text[..40])).unwrap();
    assert_eq!(bench.subjects(), ["one"]);
}
