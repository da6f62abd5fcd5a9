//! Which messages are known, and whose turn it is.

use super::*;
use std::iter;
use std::time::{Duration, UNIX_EPOCH};

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn key(number: u8) -> Key {
    Key { maildir: 7, id: Id::from_digest(&[number; 32]) }
}

fn empty() -> Backlog {
    let mut backlog = Backlog::default();
    backlog.open(7);
    backlog
}

fn name(number: u8) -> OsString {
    number.to_string().into()
}

fn take(backlog: &mut Backlog, by: u64) -> Option<String> {
    backlog.take(at(by), |_| false).map(|found| found.name.into_string().unwrap())
}

fn three() -> Backlog {
    let mut backlog = empty();
    for (number, came) in [(1, 30), (2, 10), (3, 20)] {
        backlog.add_ready(key(number), &name(number), at(came));
    }
    backlog
}

#[test]
fn the_oldest_goes_first_and_each_once() {
    let mut backlog = three();
    backlog.add_ready(key(2), &name(2), at(5));
    assert_eq!(backlog.ready_count(), 3);
    let taken: Vec<_> = iter::from_fn(|| take(&mut backlog, 99)).collect();
    assert_eq!(taken, ["2", "3", "1"]);
}

#[test]
fn what_waits_comes_when_it_is_due() {
    let mut backlog = three();
    take(&mut backlog, 0);
    backlog.wait(key(2), at(50));
    assert_eq!(backlog.next_due(), Some(at(50)));
    assert!(take(&mut backlog, 49).is_some() && take(&mut backlog, 49).is_some());
    assert_eq!(take(&mut backlog, 49), None);
    assert!(!backlog.has_ready(at(49)) && backlog.has_ready(at(50)));
    assert_eq!(take(&mut backlog, 50), Some("2".into()));
}

#[test]
fn a_new_time_replaces_the_old_one() {
    let mut backlog = empty();
    backlog.add_waiting(key(1), &name(1), at(500));
    assert!(!backlog.reschedule(key(1), at(500)));
    assert!(backlog.reschedule(key(1), at(5)));
    assert_eq!(take(&mut backlog, 5), Some("1".into()));
    assert_eq!(take(&mut backlog, 500), None);
    assert!(!backlog.reschedule(key(1), at(1)), "it is in hand");
}

#[test]
fn parked_mail_comes_in_turn_when_its_target_opens() {
    let mut backlog = three();
    for number in [2, 3, 1] {
        take(&mut backlog, 99);
        backlog.park(key(number), if number == 1 { "b" } else { "a" }.into(), at(100 + u64::from(number)));
    }
    assert_eq!((backlog.parked_count(), take(&mut backlog, 99)), (3, None));
    let open = |backlog: &mut Backlog| backlog.take(at(0), |target| target == "a").map(|found| found.key);
    assert_eq!(open(&mut backlog), Some(key(2)));
    backlog.park(key(2), "a".into(), at(200));
    assert_eq!(open(&mut backlog), Some(key(3)));
    assert_eq!(open(&mut backlog), Some(key(2)));
    assert_eq!(open(&mut backlog), None);
}

#[test]
fn what_has_just_been_parked_again_goes_behind_what_came_meanwhile() {
    let mut backlog = empty();
    backlog.add_ready(key(1), &name(1), at(10));
    take(&mut backlog, 99);
    backlog.park(key(1), "a".into(), at(20));
    backlog.add_ready(key(2), &name(2), at(30));
    let open = |backlog: &mut Backlog| backlog.take(at(0), |_| true).map(|found| found.key);
    assert_eq!(open(&mut backlog), Some(key(1)));
    backlog.park(key(1), "a".into(), at(40));
    assert_eq!(open(&mut backlog), Some(key(2)));
}

#[test]
fn what_waits_is_looked_at_again_when_the_clock_was_set() {
    let mut backlog = empty();
    backlog.add_waiting(key(1), &name(1), at(1_000_000));
    backlog.clock_was_set(at(5));
    assert_eq!(take(&mut backlog, 5), Some("1".into()));
}

#[test]
fn a_search_forgets_what_is_gone_but_not_what_is_in_hand() {
    let mut backlog = three();
    take(&mut backlog, 99);
    backlog.set_odd(key(4), &name(4));
    backlog.begin_search(7);
    assert!(backlog.see(key(3)));
    assert!(!backlog.see(key(9)));
    backlog.add_ready(key(5), &name(5), at(60));
    backlog.end_search(7);
    for (number, known) in [(1, false), (2, true), (3, true), (4, false), (5, true)] {
        assert_eq!(backlog.entry(key(number)).is_some(), known, "{number}");
    }
    assert_eq!(take(&mut backlog, 99), Some("3".into()));
    assert_eq!(take(&mut backlog, 99), Some("5".into()));
    assert_eq!(take(&mut backlog, 99), None);
}

#[test]
fn whoever_waits_for_somebody_comes_when_they_end() {
    let mut backlog = three();
    while take(&mut backlog, 99).is_some() {}
    backlog.wait_for(Awaits::Holder, key(1), at(500), 4);
    backlog.wait_for(Awaits::Writer, key(2), at(500), 0);
    backlog.wait_for(Awaits::Time, key(3), at(500), 4);
    backlog.holders_ended(7, at(100));
    assert_eq!((take(&mut backlog, 100), take(&mut backlog, 100)), (Some("1".into()), None));
    for number in 1..=3 {
        backlog.writer_ended(key(number), at(101));
    }
    assert_eq!((take(&mut backlog, 101), take(&mut backlog, 101)), (Some("2".into()), None));
}

#[test]
fn what_is_given_back_may_be_taken_again() {
    let mut backlog = empty();
    backlog.add_ready(key(1), &name(1), at(0));
    take(&mut backlog, 99);
    backlog.release(key(1), at(7));
    assert_eq!(take(&mut backlog, 99), Some("1".into()));
    backlog.forget(key(1));
    backlog.release(key(1), at(8));
    assert_eq!(take(&mut backlog, 99), None);
}

#[test]
fn what_a_person_holds_back_comes_when_they_let_go() {
    let mut backlog = three();
    while take(&mut backlog, 99).is_some() {}
    backlog.pause(key(1), "a".into());
    backlog.pause(key(2), "b".into());
    assert_eq!((backlog.parked_count(), backlog.parked_under("a")), (0, 0));
    assert_eq!(backlog.take(at(99), |_| true), None, "however open its target is");
    assert!(backlog.resume(7, |target| target == "b", at(50)));
    assert_eq!((take(&mut backlog, 99), take(&mut backlog, 99)), (Some("1".into()), None));
    assert!(!backlog.resume(8, |_| false, at(50)));
    assert_eq!(take(&mut backlog, 99), None, "that was another Maildir");
    assert!(backlog.resume(7, |_| false, at(50)));
    assert_eq!(take(&mut backlog, 99), Some("2".into()));
}

#[test]
fn all_that_waits_for_a_target_is_called_back_when_there_are_others() {
    let mut backlog = three();
    while take(&mut backlog, 99).is_some() {}
    backlog.park(key(1), "a".into(), at(1));
    backlog.pause(key(2), "b".into());
    backlog.wait(key(3), at(500));
    backlog.release_parked(at(2));
    assert_eq!((take(&mut backlog, 99), take(&mut backlog, 99)), (Some("1".into()), Some("2".into())));
    assert_eq!(take(&mut backlog, 99), None);
}

#[test]
fn what_a_maildir_could_not_give_comes_when_it_is_well() {
    let mut backlog = three();
    while take(&mut backlog, 99).is_some() {}
    backlog.wait_for(Awaits::Maildir, key(1), at(500), 0);
    assert!(backlog.is_stuck());
    backlog.wait(key(2), at(500));
    assert!(!backlog.is_stuck());
    backlog.maildir_is_well(7, at(99));
    assert_eq!((take(&mut backlog, 99), take(&mut backlog, 99)), (Some("1".into()), None));
}

#[test]
fn a_maildir_that_is_closed_is_forgotten_and_the_others_are_not() {
    let mut backlog = three();
    backlog.open(8);
    let other = Key { maildir: 8, ..key(1) };
    backlog.add_ready(other, &name(9), at(1));
    take(&mut backlog, 99);
    backlog.close(7);
    backlog.release(key(2), at(5));
    assert_eq!(take(&mut backlog, 99), None, "what was in hand, too");
    backlog.release(other, at(5));
    assert_eq!(take(&mut backlog, 99), Some("9".into()));
}

#[test]
fn what_waits_for_its_target_is_taken_when_a_person_asks_for_it() {
    let mut backlog = three();
    let app = || Arc::<str>::from("app");
    for _ in 0..3 {
        take(&mut backlog, 99);
    }
    backlog.park(key(1), app(), at(99));
    backlog.pause(key(2), app());
    assert_eq!(take(&mut backlog, 99), None);
    assert!(backlog.told_anew(key(1), at(100)) && backlog.told_anew(key(2), at(101)));
    // It is in hand.
    assert!(!backlog.told_anew(key(3), at(102)));
    let taken: Vec<_> = iter::from_fn(|| take(&mut backlog, 200)).collect();
    assert_eq!(taken, ["1", "2"]);
}

#[test]
fn of_many_messages_some_are_counted_at_a_time() {
    let mut backlog = empty();
    let key =
        |number: u32| Key { maildir: 7, id: Id::from_digest(&std::array::from_fn(|at| number.to_be_bytes()[at % 4])) };
    let count = 2 * BITE + 10;
    for number in 0..count {
        let name = OsString::from(format!("{}.a.b", 1_762_087_331 + number));
        if number % 4 == 0 {
            backlog.add_waiting(key(number), &name, at(9));
        } else {
            backlog.add_ready(key(number), &name, at(0));
        }
    }
    let mut found = InHand::default();
    let mut from = Some(0);
    let bites: Vec<u64> = iter::from_fn(|| {
        let before = found.new.count + found.retry.count;
        from = backlog.count_in_hand(7, from?, &mut found);
        Some(found.new.count + found.retry.count - before)
    })
    .collect();
    assert!(bites.iter().all(|&counted| counted <= BITE.into()), "{bites:?}");
    assert_eq!((found.new.count, found.retry.count), (u64::from(count - count.div_ceil(4)), count.div_ceil(4).into()));
    assert_eq!((found.retry.oldest, found.new.oldest), (Some(at(1_762_087_331)), Some(at(1_762_087_332))));
}
