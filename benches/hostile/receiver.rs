//! What the application notes here: when each ordinary message has come whole.

use std::sync::mpsc::{self, Receiver as Channel};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::endpoint::{listen, number_of};

/// Ends with the process.
pub struct Receiver {
    pub address: String,
    arrivals: Channel<(usize, Instant)>,
    expected: usize,
}

impl Receiver {
    /// For ordinary messages from 0 to `expected`.
    pub fn start(expected: usize) -> Result<Self> {
        let (tell, arrivals) = mpsc::channel();
        let address = listen(move |message| {
            if let Some(number) = number_of(message) {
                // The benchmark is over, or has given up.
                let _ = tell.send((number, Instant::now()));
            }
        })?;
        Ok(Receiver { address, arrivals, expected })
    }

    /// The first message of any number.
    pub fn wait_for_one(&self, patience: Duration) -> Option<usize> {
        self.arrivals.recv_timeout(patience).ok().map(|(number, _)| number)
    }

    /// When each of them came, in the order of their numbers. None where one did not.
    pub fn wait_for_all(&self, patience: Duration) -> Option<Vec<Instant>> {
        let mut arrived = vec![None; self.expected];
        while arrived.contains(&None) {
            let (number, at) = self.arrivals.recv_timeout(patience).ok()?;
            // A repeat is no news.
            if let Some(first @ None) = arrived.get_mut(number) {
                *first = Some(at);
            }
        }
        arrived.into_iter().collect()
    }
}
