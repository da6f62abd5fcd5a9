//! Book-keeping over many mails and many crashes: what was delivered against what arrived.
//!
//! Every mail carries its number in `X-Ledger`. At the end the books have to balance:
//!
//! - L1 every mail is with the app, or dead, or still waiting: nothing is lost
//! - L2 every mail has one id, every id one mail
//! - L3 what arrives, waits or is dead is what was delivered, byte for byte
//! - L4 what the app accepted does not wait any more
//! - L5 the app accepted no mail more often than the crashes explain
//! - L6 what is dead has a reason
//!
//! and where a process is given, which worked on it:
//!
//! - L7 it is alive, or has ended as documented
//! - L8 it has no more open files, threads and memory than before, and no zombies

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::books::Books;
use super::delivery::Delivery;
use super::digest::sha256;
use super::health::Checkup;
use super::maildir::Maildir;
use super::verdict::{Allowed, Verdict};
use super::wait::comes_true;

const FIELD: &str = "X-Ledger: ";

/// What a producer does next.
pub enum Pace {
    Deliver,
    /// Asks again a little later.
    Wait,
    Stop,
}

/// The mails that were produced for one Maildir.
pub struct Ledger {
    maildir: Maildir,
    shared: Arc<Shared>,
    producer: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// Of all mails, the one among them that is being delivered.
    digests: Mutex<BTreeMap<u64, String>>,
    /// How many are safe on the disk, each with its name.
    delivered: AtomicU64,
    stopping: AtomicBool,
}

impl Ledger {
    /// Delivers this many mails, now.
    pub fn produce(maildir: &Maildir, count: u64, seed: u64) -> Ledger {
        let mut ledger = Ledger::producing(maildir, count, seed);
        ledger.finish();
        ledger
    }

    /// Delivers this many mails from a thread, while the test goes on.
    pub fn producing(maildir: &Maildir, count: u64, seed: u64) -> Ledger {
        Ledger::producing_at(maildir, seed, up_to(count))
    }

    /// The same, with a pace that is asked before each mail, given how many there are so far.
    pub fn producing_at(maildir: &Maildir, seed: u64, pace: impl FnMut(u64) -> Pace + Send + 'static) -> Ledger {
        let (maildir, shared) = (maildir.clone(), Arc::new(Shared::default()));
        let producer = thread::spawn({
            let (maildir, shared) = (maildir.clone(), shared.clone());
            move || shared.deliver_all(&maildir, seed, pace)
        });
        Ledger { maildir, shared, producer: Some(producer) }
    }

    /// Delivers this many mails more, now; their numbers go on.
    pub fn produce_more(&mut self, count: u64, seed: u64) {
        self.finish();
        self.shared.deliver_all(&self.maildir, seed, up_to(self.shared.count() + count));
    }

    /// How many are delivered so far.
    pub fn produced(&self) -> usize {
        usize::try_from(self.shared.count()).unwrap()
    }

    /// The same books as they stand now. A mail whose delivery has only begun may be there, and need not.
    pub fn so_far(&self) -> Ledger {
        let (digests, delivered) = (self.shared.digests.lock().unwrap().clone(), self.shared.count());
        let shared = Shared { digests: digests.into(), delivered: delivered.into(), stopping: true.into() };
        Ledger { maildir: self.maildir.clone(), shared: Arc::new(shared), producer: None }
    }

    /// The same books for a copy of the Maildir.
    pub fn at(mut self, copy: Maildir) -> Ledger {
        self.maildir = copy;
        self
    }

    /// Whether all are delivered.
    pub fn is_finished(&self) -> bool {
        self.producer.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until all are delivered.
    #[track_caller]
    pub fn finish(&mut self) {
        if let Some(producer) = self.producer.take() {
            producer.join().expect("the producer delivers all its mails");
        }
    }

    /// Balances the books, and panics if they do not. Nobody may be at work on the Maildir.
    #[track_caller]
    pub fn check(&mut self, deliveries: &[Delivery], allowed: Allowed) -> Verdict {
        self.check_with(deliveries, allowed, &[])
    }

    /// The same, and looks at those who worked on it, too. They must be at rest, or have ended.
    #[track_caller]
    pub fn check_with(&mut self, deliveries: &[Delivery], allowed: Allowed, checkups: &[Checkup]) -> Verdict {
        let mut verdict = self.audit(deliveries, allowed);
        verdict.faults.extend(checkups.iter().flat_map(Checkup::faults));
        assert!(verdict.faults.is_empty(), "{verdict}");
        verdict
    }

    /// The balance without the panic.
    pub fn audit(&mut self, deliveries: &[Delivery], allowed: Allowed) -> Verdict {
        self.finish();
        let digests = self.shared.digests.lock().unwrap();
        Books::open(&self.maildir, &digests, self.shared.count(), deliveries).balance(allowed)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        if let Some(producer) = self.producer.take() {
            let _ = producer.join();
        }
    }
}

fn up_to(count: u64) -> impl FnMut(u64) -> Pace {
    move |produced| if produced < count { Pace::Deliver } else { Pace::Stop }
}

impl Shared {
    fn deliver_all(&self, maildir: &Maildir, seed: u64, mut pace: impl FnMut(u64) -> Pace) {
        let mut dice = Dice(seed);
        let is_stopping = || self.stopping.load(Ordering::Relaxed);
        while !is_stopping() {
            let number = self.count();
            match pace(number) {
                Pace::Stop => return,
                Pace::Wait => _ = comes_true(Duration::from_millis(5), is_stopping),
                Pace::Deliver => {
                    let mail = mail(number, &mut dice);
                    self.digests.lock().unwrap().insert(number, sha256(&mail));
                    maildir.deliver(&mail);
                    self.delivered.store(number + 1, Ordering::SeqCst);
                }
            }
        }
    }

    fn count(&self) -> u64 {
        self.delivered.load(Ordering::SeqCst)
    }
}

/// A body of arbitrary bytes: most are small, one in a hundred is not.
fn mail(number: u64, dice: &mut Dice) -> Vec<u8> {
    let size = if dice.roll(100) == 0 { dice.within(8 * 1024..256 * 1024) } else { dice.within(0..8 * 1024) };
    let mut mail = format!(
        "From: Ledger <ledger@example.org>\nTo: app@example.org\nSubject: entry {number}\n\
         Message-ID: <ledger.{number}@example.org>\n{FIELD}{number}\n\n"
    )
    .into_bytes();
    mail.extend((0..size.div_ceil(8)).flat_map(|_| dice.next().to_le_bytes()));
    mail
}

/// The number of a mail, if it is from a ledger.
pub fn number_in(mail: &[u8]) -> Option<u64> {
    let mut lines = mail.split(|&byte| byte == b'\n').take_while(|line| !line.is_empty());
    let number = lines.find_map(|line| line.strip_prefix(FIELD.as_bytes()))?;
    str::from_utf8(number).ok()?.parse().ok()
}

/// `SplitMix64`: a seed makes a test that failed fail again.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }

    fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.roll(range.end - range.start)
    }
}
