//! The first of many messages: only those are kept that will be shown.

use super::listed::Listed;
use clap::ValueEnum;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::{SystemTime, UNIX_EPOCH};

/// What comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// The oldest.
    #[default]
    Age,
    /// The newest.
    Newest,
    /// What is due soonest.
    Next,
    /// The largest.
    Size,
    /// What was tried most.
    Tries,
}

impl Sort {
    /// What is less comes first.
    fn key(self, record: &Listed) -> u128 {
        let nanoseconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        match self {
            Sort::Age => nanoseconds(record.arrived()),
            Sort::Newest => u128::MAX - nanoseconds(record.arrived()),
            Sort::Next => record.due().map_or(u128::MAX, nanoseconds),
            Sort::Size => u128::MAX - u128::from(record.size()),
            Sort::Tries => u128::MAX - u128::from(record.tries()),
        }
    }
}

/// The first of all that were added.
#[derive(Debug)]
pub struct Page {
    /// How many were added.
    pub total: usize,
    /// When the oldest of them came.
    pub oldest: Option<SystemTime>,
    most: usize,
    sort: Sort,
    kept: BinaryHeap<Entry>,
}

#[derive(Debug)]
struct Entry {
    key: u128,
    record: Listed,
}

impl Entry {
    fn rank(&self) -> (u128, &[u8]) {
        (self.key, self.record.name())
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl Page {
    /// A page of `most` messages.
    pub fn new(most: usize, sort: Sort) -> Self {
        Page { total: 0, oldest: None, most, sort, kept: BinaryHeap::new() }
    }

    /// Adds one, and drops what is not among the first then.
    pub fn add(&mut self, record: Listed) {
        self.total += 1;
        self.oldest = self.oldest.into_iter().chain([record.arrived()]).min();
        let key = self.sort.key(&record);
        if self.kept.len() >= self.most {
            match self.kept.peek() {
                Some(last) if last.rank() > (key, record.name()) => drop(self.kept.pop()),
                _ => return,
            }
        }
        self.kept.push(Entry { key, record: record.without_text() });
    }

    /// Those that are shown, in their order.
    pub fn in_order(self) -> Vec<Listed> {
        self.kept.into_sorted_vec().into_iter().map(|entry| entry.record).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::States;
    use crate::maildir::{Options, View};
    use std::fs;

    #[test]
    fn the_first_are_kept_whatever_the_order_they_come_in() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("new")).unwrap();
        for (second, size) in [(3, 10), (1, 40), (4, 30), (2, 20), (5, 50)] {
            fs::write(folder.path().join(format!("new/176208733{second}.x.mx1")), "x".repeat(size)).unwrap();
        }
        let view = View::of(folder.path(), &Options::default()).unwrap();
        let first = |most, sort| {
            let mut page = Page::new(most, sort);
            view.records(States::ALL).unwrap().for_each(|record| page.add(Listed::Here(record.unwrap())));
            assert_eq!(page.total, 5);
            let names = page.in_order();
            names.iter().map(|record| char::from(record.name()[9])).collect::<String>()
        };
        assert_eq!(first(usize::MAX, Sort::Age), "12345");
        assert_eq!(first(2, Sort::Age), "12");
        assert_eq!(first(3, Sort::Newest), "543");
        assert_eq!(first(2, Sort::Size), "51");
        assert_eq!(first(2, Sort::Next), "12", "what waits for nothing, by name");
        assert_eq!(first(0, Sort::Age), "");
    }
}
