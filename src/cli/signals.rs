//! Signals: TERM and INT finish and end, a second one ends at once; TSTP is quiet, CONT goes on; HUP
//! reads the configuration again; USR1 replaces workers.

use crate::engine::StopHandle;
use std::io::{self, IsTerminal, stdin};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;
use tracing::info;

/// The signals that a run listens to.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    pause: Option<Signal>,
    resume: Signal,
    hang_up: Signal,
    renew: Signal,
}

/// What a signal may ask for.
pub trait Orders {
    /// How long running attempts may go on after the first signal to end.
    fn grace(&self) -> Duration;
    /// The end has begun.
    fn stopping(&self);
    /// The configuration is to be read again.
    fn reload(&self);
    /// Workers are to be replaced by new ones.
    fn renew(&self);
    /// All that runs is about to be given back.
    fn give_back(&self);
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn listen() -> io::Result<Self> {
        // On a terminal TSTP is the shell's job control.
        let pause = if stdin().is_terminal() { None } else { Some(signal(SignalKind::from_raw(libc::SIGTSTP))?) };
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            pause,
            resume: signal(SignalKind::from_raw(libc::SIGCONT))?,
            hang_up: signal(SignalKind::hangup())?,
            renew: signal(SignalKind::user_defined1())?,
        })
    }

    /// Obeys until the second signal to end, or until attempts have had `grace` to finish. Returns
    /// only by being dropped.
    pub async fn obey(mut self, stop: &StopHandle, orders: &impl Orders, ended_by: &std::sync::OnceLock<u8>) {
        let number = self.next_end(stop, || orders.reload(), || orders.renew()).await;
        let _ = ended_by.set(number);
        stop.finish();
        orders.stopping();
        let grace = orders.grace();
        info!(event = "stopping", grace = %humantime::format_duration(grace), "finishing what is running; once more to stop at once");
        tokio::select! {
            () = sleep(grace) => info!(event = "grace_over", "giving back what is still running"),
            _ = self.next_end(stop, || info!(event = "not_reloaded", "it is about to end"), || {}) => {
                info!(event = "stopping_now", "giving back what is running");
            }
        }
        orders.give_back();
        stop.now();
        std::future::pending::<()>().await;
    }

    async fn next_end(&mut self, stop: &StopHandle, reload: impl Fn(), renew: impl Fn()) -> u8 {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return 15,
                _ = self.interrupt.recv() => return 2,
                _ = self.hang_up.recv() => reload(),
                _ = self.renew.recv() => renew(),
                () = next(&mut self.pause) => {
                    stop.quiet();
                    info!(event = "quiet", "claiming nothing until CONT");
                }
                _ = self.resume.recv() => {
                    stop.resume();
                    info!(event = "resumed");
                }
            }
        }
    }
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
