//! The last hour of something, minute by minute, in a few kilobytes.

use std::time::{Duration, Instant};

/// How many minutes are known.
const MINUTES: usize = 60;
/// Over so many minutes a pace is counted.
const PACE: u64 = 5;
/// Times are counted up to these bounds: a millisecond, and each twice the one before, up to six days.
const BOUNDS: usize = 30;

/// The last hour.
#[derive(Clone, Debug)]
pub(super) struct Window {
    began: Instant,
    minutes: Vec<Minute>,
}

#[derive(Clone, Debug, Default)]
struct Minute {
    /// Its number, from 1; 0 for one that was not used yet.
    number: u64,
    done: u64,
    failed: u64,
    times: [u32; BOUNDS],
}

impl Window {
    pub fn new(now: Instant) -> Self {
        Window { began: now, minutes: vec![Minute::default(); MINUTES] }
    }

    fn number(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs() / 60 + 1
    }

    fn minute(&mut self, now: Instant) -> &mut Minute {
        let number = self.number(now);
        let place = usize::try_from(number % MINUTES as u64).expect("it is less than 60");
        let minute = &mut self.minutes[place];
        if minute.number != number {
            *minute = Minute { number, ..Minute::default() };
        }
        minute
    }

    /// Counts a success, or a failure.
    pub fn count(&mut self, is_done: bool, now: Instant) {
        let minute = self.minute(now);
        let counter = if is_done { &mut minute.done } else { &mut minute.failed };
        *counter += 1;
    }

    /// Counts how long something took.
    pub fn took(&mut self, time: Duration, now: Instant) {
        let count = &mut self.minute(now).times[bucket(time)];
        *count = count.saturating_add(1);
    }

    fn recent(&self, now: Instant, minutes: u64) -> impl Iterator<Item = &Minute> {
        let number = self.number(now);
        let is_recent = move |minute: &&Minute| minute.number > 0 && minute.number + minutes > number;
        self.minutes.iter().filter(is_recent)
    }

    /// Successes and failures of the last hour.
    pub fn counts(&self, now: Instant) -> (u64, u64) {
        self.recent(now, MINUTES as u64)
            .fold((0, 0), |(done, failed), minute| (done + minute.done, failed + minute.failed))
    }

    /// Successes a minute.
    pub fn per_minute(&self, now: Instant) -> f64 {
        let done: u64 = self.recent(now, PACE).map(|minute| minute.done).sum();
        let minutes = now.saturating_duration_since(self.began).as_secs_f64() / 60.0;
        done as f64 / minutes.clamp(1.0, PACE as f64)
    }

    /// How long this part of all took at most, in seconds, as near as the bounds tell.
    pub fn quantile(&self, part: f64, now: Instant) -> Option<f64> {
        let mut times = [0u64; BOUNDS];
        for minute in self.recent(now, MINUTES as u64) {
            for (sum, count) in times.iter_mut().zip(minute.times) {
                *sum += u64::from(count);
            }
        }
        let all: u64 = times.iter().sum();
        let wanted = part * all as f64;
        let mut before = 0;
        for (number, &count) in times.iter().enumerate() {
            if count > 0 && (before + count) as f64 >= wanted {
                let low = if number == 0 { 0.0 } else { bound(number - 1) };
                let share = (wanted - before as f64) / count as f64;
                return Some(low + (bound(number) - low) * share.clamp(0.0, 1.0));
            }
            before += count;
        }
        None
    }
}

/// The number of the first bound that a time is within.
fn bucket(time: Duration) -> usize {
    (0..BOUNDS).find(|&number| time.as_secs_f64() <= bound(number)).unwrap_or(BOUNDS - 1)
}

/// In seconds.
fn bound(number: usize) -> f64 {
    0.001 * (1u64 << number.min(62)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn what_is_over_an_hour_old_counts_no_more() {
        let began = Instant::now();
        let mut window = Window::new(began);
        for minute in 0..90 {
            window.count(minute % 3 > 0, began + MINUTE * minute);
        }
        let now = began + MINUTE * 89;
        assert_eq!(window.counts(now), (40, 20));
        assert_eq!(window.counts(now + MINUTE * 30), (20, 10));
        assert_eq!(window.counts(now + MINUTE * 60), (0, 0));
    }

    #[test]
    fn a_pace_is_that_of_the_last_minutes() {
        let began = Instant::now();
        let mut window = Window::new(began);
        for _ in 0..30 {
            window.count(true, began);
        }
        assert!((window.per_minute(began) - 30.0).abs() < 0.01);
        assert!((window.per_minute(began + MINUTE * 4) - 7.5).abs() < 0.01);
        assert!(window.per_minute(began + MINUTE * 5) < 0.01);
    }

    #[test]
    fn times_are_told_as_near_as_the_bounds_are() {
        let began = Instant::now();
        let mut window = Window::new(began);
        assert_eq!(window.quantile(0.95, began), None);
        for _ in 0..90 {
            window.took(Duration::from_millis(90), began);
        }
        for _ in 0..10 {
            window.took(Duration::from_secs(10), began);
        }
        let of = |part| window.quantile(part, began).unwrap();
        assert!((0.064..=0.128).contains(&of(0.5)), "{}", of(0.5));
        assert!((8.192..=16.384).contains(&of(0.95)), "{}", of(0.95));
        window.took(Duration::from_secs(u64::MAX), began);
        window.took(Duration::ZERO, began);
    }
}
