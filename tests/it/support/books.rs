//! The books of a [`Ledger`](super::ledger::Ledger): each rule L1 to L6 is a function that finds its [`Fault`]s.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use super::delivery::Delivery;
use super::digest::sha256;
use super::ledger::number_in;
use super::maildir::Maildir;
use super::verdict::{Allowed, Fault, Verdict};

/// All that is known when everything is quiet.
pub(super) struct Books<'a> {
    digests: &'a BTreeMap<u64, String>,
    /// How many of them were delivered to their end. They are numbered in turn.
    delivered: u64,
    attempts: BTreeMap<u64, Vec<&'a Delivery>>,
    /// The digests of what lies in the Maildir.
    waiting: BTreeMap<u64, String>,
    dead: BTreeMap<u64, String>,
    maildir: &'a Maildir,
}

impl<'a> Books<'a> {
    pub(super) fn open(
        maildir: &'a Maildir,
        digests: &'a BTreeMap<u64, String>,
        delivered: u64,
        deliveries: &'a [Delivery],
    ) -> Self {
        let waiting = maildir.waiting().into_iter().map(|name| maildir.message(name));
        Books {
            digests,
            delivered,
            attempts: by_number(deliveries),
            waiting: waiting.filter_map(read).collect(),
            dead: maildir.dead().into_iter().filter_map(read).collect(),
            maildir,
        }
    }

    pub(super) fn balance(&self, allowed: Allowed) -> Verdict {
        let faults = [
            self.lost(),
            self.invented(),
            self.odd_ids(),
            self.shared_ids(),
            self.altered(),
            self.unsettled(allowed.unsettled),
            self.duplicated(allowed.duplicates),
            self.dead_without_reason(),
        ];
        Verdict {
            produced: usize::try_from(self.delivered).expect("mails that were delivered one by one"),
            accepted: self.digests.keys().filter(|&&mail| self.acceptances(mail) > 0).count(),
            duplicates: self.duplicates().map(|(_, again)| again).sum(),
            attempts: self.attempts.values().map(Vec::len).sum(),
            waiting: self.waiting.len(),
            dead: self.dead.len(),
            faults: faults.concat(),
        }
    }

    fn lost(&self) -> Vec<Fault> {
        let is_somewhere =
            |mail| self.acceptances(mail) > 0 || self.dead.contains_key(&mail) || self.waiting.contains_key(&mail);
        let mails = self.digests.keys().copied().take_while(|&mail| mail < self.delivered);
        mails.filter(|&mail| !is_somewhere(mail)).map(|mail| Fault::Lost { mail }).collect()
    }

    fn invented(&self) -> Vec<Fault> {
        let mails = self.attempts.keys().copied();
        mails.filter(|mail| !self.digests.contains_key(mail)).map(|mail| Fault::Invented { mail }).collect()
    }

    fn odd_ids(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for &mail in self.attempts.keys() {
            let ids = self.ids(mail);
            if ids.contains("") {
                faults.push(Fault::NoId { mail });
            }
            if ids.len() > 1 {
                faults.push(Fault::TwoIds { mail, ids });
            }
        }
        faults
    }

    fn shared_ids(&self) -> Vec<Fault> {
        let mut mails_of: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        for &mail in self.attempts.keys() {
            for id in self.ids(mail) {
                mails_of.entry(id).or_default().insert(mail);
            }
        }
        let shared = mails_of.into_iter().filter(|(_, mails)| mails.len() > 1);
        shared.map(|(id, mails)| Fault::SharedId { id, mails }).collect()
    }

    fn altered(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (&mail, delivered) in self.digests {
            let arrived = self.attempts_of(mail).iter().map(|attempt| &attempt.sha256);
            let found: BTreeSet<_> = arrived.chain(self.waiting.get(&mail)).chain(self.dead.get(&mail)).collect();
            let altered = found.into_iter().filter(|&found| found != delivered).cloned();
            faults.extend(altered.map(|found| Fault::Altered { mail, delivered: delivered.clone(), found }));
        }
        faults
    }

    fn unsettled(&self, allowed: usize) -> Vec<Fault> {
        let mails: Vec<_> = self.waiting.keys().copied().filter(|&mail| self.acceptances(mail) > 0).collect();
        if mails.len() <= allowed { Vec::new() } else { vec![Fault::Unsettled { mails, allowed }] }
    }

    fn duplicated(&self, allowed: usize) -> Vec<Fault> {
        let (mails, again): (Vec<_>, Vec<_>) = self.duplicates().unzip();
        let found = again.into_iter().sum();
        if found <= allowed { Vec::new() } else { vec![Fault::Duplicates { mails, found, allowed }] }
    }

    /// A mail can die before it was ever sent; nobody but maildirq knows its id then, and any unclaimed reason will do.
    fn dead_without_reason(&self) -> Vec<Fault> {
        let mut reasons: BTreeSet<String> =
            self.maildir.stories().into_iter().filter(|id| self.has_reason(id)).collect();
        let (sent, unsent): (Vec<_>, Vec<_>) = self.dead.keys().partition(|mail| self.attempts.contains_key(mail));
        let mut silent: Vec<u64> = Vec::new();
        for &mail in sent {
            if !self.ids(mail).iter().any(|id| reasons.remove(id)) {
                silent.push(mail);
            }
        }
        silent.extend(unsent.into_iter().skip(reasons.len()));
        silent.into_iter().map(|mail| Fault::NoReason { mail }).collect()
    }

    fn has_reason(&self, id: &str) -> bool {
        let story = self.maildir.story(id);
        let last = story.last().filter(|line| line["event"] == "dead");
        last.and_then(|line| line["reason"].as_str()).is_some_and(|reason| !reason.is_empty())
    }

    /// The mails that were accepted more than once, and how many times more.
    fn duplicates(&self) -> impl Iterator<Item = (u64, usize)> {
        let mails = self.attempts.keys().copied();
        mails.map(|mail| (mail, self.acceptances(mail).saturating_sub(1))).filter(|&(_, again)| again > 0)
    }

    fn acceptances(&self, mail: u64) -> usize {
        self.attempts_of(mail).iter().filter(|attempt| attempt.is_accepted()).count()
    }

    fn ids(&self, mail: u64) -> BTreeSet<String> {
        self.attempts_of(mail).iter().map(|attempt| attempt.id.clone()).collect()
    }

    fn attempts_of(&self, mail: u64) -> &[&Delivery] {
        self.attempts.get(&mail).map_or(&[], Vec::as_slice)
    }
}

/// A request that was cut short before its number still belongs to the mail whose id it has.
fn by_number(deliveries: &[Delivery]) -> BTreeMap<u64, Vec<&Delivery>> {
    let numbers: BTreeMap<_, _> =
        deliveries.iter().filter_map(|delivery| Some((delivery.id.as_str(), delivery.ledger?))).collect();
    let mut attempts: BTreeMap<u64, Vec<&Delivery>> = BTreeMap::new();
    for delivery in deliveries {
        if let Some(number) = delivery.ledger.or_else(|| numbers.get(delivery.id.as_str()).copied()) {
            attempts.entry(number).or_default().push(delivery);
        }
    }
    attempts
}

/// The number and the digest of a ledger's mail.
fn read(path: PathBuf) -> Option<(u64, String)> {
    let mail = fs::read(path).ok()?;
    Some((number_in(&mail)?, sha256(&mail)))
}
