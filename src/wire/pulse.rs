//! Whether the threads that work turn over: each is asked for a sign of life, and gives it between two steps of its
//! work. A target that takes its time keeps no thread from that; a call that hangs does.

use tokio::sync::{mpsc, oneshot};

/// The end that asks one thread.
#[derive(Debug)]
pub struct Pulse {
    thread: String,
    ask: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

/// The end in the thread.
pub(super) struct Heart(mpsc::UnboundedReceiver<oneshot::Sender<()>>);

impl Pulse {
    /// Both ends, for the thread of this name.
    pub(super) fn of(thread: String) -> (Pulse, Heart) {
        let (ask, asked) = mpsc::unbounded_channel();
        (Pulse { thread, ask }, Heart(asked))
    }

    /// The name of the thread.
    pub fn thread(&self) -> &str {
        &self.thread
    }

    /// Returns once the thread has turned over; at once where it has ended.
    pub async fn felt(&self) {
        let (answer, answered) = oneshot::channel();
        if self.ask.send(answer).is_ok() {
            // It may end instead of answering.
            let _ = answered.await;
        }
    }
}

impl Heart {
    /// Answers for as long as it is polled. Nobody wakes up for it who is not asked.
    pub(super) async fn beat(mut self) {
        while let Some(answer) = self.0.recv().await {
            // Whoever asked may have given up.
            let _ = answer.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_thread_is_felt_when_it_turns_over_or_has_ended() {
        let (pulse, heart) = Pulse::of("lane-0".into());
        assert!(pulse.felt().now_or_never().is_none(), "nobody turns over");
        let beating = tokio::spawn(heart.beat());
        pulse.felt().await;
        pulse.felt().await;
        beating.abort();
        assert!(beating.await.is_err());
        pulse.felt().await;
        assert_eq!(pulse.thread(), "lane-0");
    }
}
