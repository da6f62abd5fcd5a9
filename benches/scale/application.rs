//! The application: it answers 204 after a while, and notes when a message had come whole.

use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::endpoint::{listen, number_of};

/// How long a message is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

pub struct Application {
    pub url: String,
    arrivals: Receiver<Instant>,
}

impl Application {
    pub fn start(delay: Duration) -> Result<Self> {
        let (tell, arrivals) = mpsc::channel();
        let address = listen(move |message| {
            let came = Instant::now();
            thread::sleep(delay);
            if number_of(message).is_some() {
                // Where nobody listens any more, the run is over.
                let _ = tell.send(came);
            }
        })?;
        Ok(Application { url: format!("http://{address}/"), arrivals })
    }

    /// When the next message had come.
    pub fn next(&self) -> Result<Instant> {
        self.arrivals.recv_timeout(PATIENCE).context("a message was lost")
    }

    /// When those had come that nobody has asked for yet.
    pub fn all(&self) -> Vec<Instant> {
        self.arrivals.try_iter().collect()
    }
}
