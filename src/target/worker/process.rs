//! One process: job after job, until it leaves or fails.

use super::super::command::killed_by;
use super::super::job::{Job, REST};
use super::super::url::unsent;
use super::WorkerConfig;
use super::desk::{Desk, Errand};
use super::ending::{Ended, Ending, Undead};
use super::lines::Unasked;
use super::pool::Patience;
use super::protocol::{Breach, answer};
use super::renewal::Renewal;
use super::start::{CLOSED_STDOUT, Started, with};
use crate::engine::{Blame, Outcome};
use crate::payload::{PayloadError, Piece};
use bytes::Buf;
use futures_util::FutureExt;
use std::future::pending;
use std::io;
use std::os::fd::AsFd;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// A process that is ready.
pub(super) struct Process {
    pub ways: Started,
    pub renewal: Renewal,
    pub config: Arc<WorkerConfig>,
    pub patience: Patience,
    pub desk: Arc<Desk>,
    wake: Arc<Notify>,
    ready_at: Instant,
    jobs: u64,
    is_due: bool,
    /// How much of its last job was written, in bytes.
    given: u64,
}

/// Why a process works no more.
enum Close {
    /// It was told to leave.
    Told,
    /// It has ended by itself.
    Died,
    /// It broke the protocol.
    Breach(Breach),
    /// It missed the deadline of a job.
    Late,
    /// The attempt was cut off.
    CutOff,
    /// It cannot be reached.
    Lost(io::Error),
    /// It was told a part of a job; the rest of the message cannot be read.
    HalfTold(io::Error),
}

/// Why a process is not given a job.
enum Unfit {
    /// It works no more.
    Over(Close),
    /// Its standard output was closed.
    Silent,
}

impl Unfit {
    async fn close(self, job: &mut Job) -> Close {
        match self {
            Unfit::Over(close) => close,
            Unfit::Silent => silent(job).await,
        }
    }
}

/// What a process has to tell of itself.
pub(super) enum News {
    /// It has answered for the first time.
    Useful,
    /// It is to be replaced, and works on until then.
    Due(&'static str),
    /// It works no more, and this is how it went.
    Gone {
        /// What happened, unless it was told to leave.
        trouble: Option<String>,
        /// How it came about.
        manner: Manner,
        /// What it was good for.
        worth: Worth,
    },
    /// It should have ended, and it has not.
    Undead(Undead),
    /// It has ended after all.
    Buried,
}

/// How it came about that a process works no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// We have ended it.
    Ended,
    /// It has ended as programs do, when it had nothing to do and had worked: it may count its jobs itself.
    Left,
    /// It died.
    Died,
}

/// What a process was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// It has answered, or has lasted for a while.
    Some,
    /// It did not last, and answered nothing. It may have been the fault of the job that it had.
    NoneWithJob,
    /// The same, and it had no job.
    None,
}

impl Process {
    /// A process that is ready from now on.
    pub fn new(ways: Started, config: Arc<WorkerConfig>, patience: Patience, desk: Arc<Desk>) -> Self {
        let ready_at = Instant::now();
        let renewal = Renewal::new(&config, ready_at.into_std(), fastrand::f64);
        desk.arrive();
        let wake = Arc::default();
        Process { ways, renewal, config, patience, desk, wake, ready_at, jobs: 0, is_due: false, given: 0 }
    }

    /// Works until it is told to leave, or something happens. When this is over the process has ended.
    pub async fn serve(mut self, mut leave: oneshot::Receiver<()>, tell: impl Fn(News)) {
        let (close, errand) = loop {
            if !matches!(leave.try_recv(), Err(oneshot::error::TryRecvError::Empty)) {
                break (Close::Told, None);
            }
            let came = match self.desk.next(&self.wake) {
                Some(errand) => match self.is_fit() {
                    Ok(()) => self.work(errand, &tell).await,
                    Err(unfit) => {
                        // Another process may have it while this one is waited for.
                        self.desk.put_back(errand);
                        Err((unfit.close(&mut self.ways.job).await, None))
                    }
                },
                None => self.idle(&mut leave, &tell).await.map_err(|close| (close, None)),
            };
            if let Err(over) = came {
                break over;
            }
        };
        self.desk.part(&self.wake);
        self.over(close, errand, tell).await;
    }

    /// Looks whether it can be given a job: what is wrong already is not to be the next message's trouble.
    fn is_fit(&mut self) -> Result<(), Unfit> {
        let Started { stdout, job, .. } = &mut self.ways;
        if let Some(ended) = job.ended().now_or_never() {
            return Err(Unfit::Over(ended.map_or_else(Close::Lost, |()| Close::Died)));
        }
        match stdout.unasked().map_err(|error| Unfit::Over(Close::Lost(error)))? {
            Unasked::Nothing => Ok(()),
            Unasked::Said(breach) => Err(Unfit::Over(Close::Breach(breach))),
            Unasked::End => Err(Unfit::Silent),
        }
    }

    /// Waits for something to do.
    async fn idle(&mut self, leave: &mut oneshot::Receiver<()>, tell: &impl Fn(News)) -> Result<(), Close> {
        let Started { stdout, job, .. } = &mut self.ways;
        let old_at = self.renewal.old_at.filter(|_| !self.is_due);
        let is_old = async {
            match old_at {
                Some(at) => sleep_until(at.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.wake.notified() => Ok(()),
            _ = leave => Ok(()),
            ended = job.ended() => Err(ended.map_or_else(Close::Lost, |()| Close::Died)),
            said = stdout.next() => match said {
                Ok(Some(Ok(line))) => Err(Close::Breach(Breach::by(&line))),
                Ok(Some(Err(breach))) => Err(Close::Breach(breach)),
                Ok(None) => Err(silent(job).await),
                Err(error) => Err(Close::Lost(error)),
            },
            () = is_old => {
                self.is_due = true;
                tell(News::Due("max_age"));
                Ok(())
            }
        }
    }

    async fn work(&mut self, mut errand: Errand, tell: &impl Fn(News)) -> Result<(), (Close, Option<Errand>)> {
        self.ways.stderr.forget();
        if !errand.begin(self.ways.job.group()) {
            return Ok(());
        }
        if let Err(error) = self.ways.lease.hold(errand.job.file.as_fd()) {
            return match self.not_held(errand, &error) {
                Some(breach) => Err((Close::Breach(breach), None)),
                None => Ok(()),
            };
        }
        self.given = 0;
        let deadline = Instant::now() + self.config.timeout;
        let came = tokio::select! {
            biased;
            came = timeout_at(deadline, self.ask(&errand.job.id, &errand.job.line)) => came.unwrap_or(Err(Close::Late)),
            () = errand.answer.closed() => Err(Close::CutOff),
        };
        let outcome = match came {
            Ok(outcome) => outcome,
            // It knows nothing of it.
            Err(Close::HalfTold(error)) if self.given == 0 => unsent(&PayloadError::Unreadable(error)),
            Err(close) => return Err((close, Some(errand))),
        };
        if let Err(error) = self.ways.lease.let_go() {
            return Err((Close::Lost(error), Some(errand)));
        }
        if !errand.settle(outcome) {
            return Err((Close::CutOff, None));
        }
        self.jobs += 1;
        if self.jobs == 1 {
            tell(News::Useful);
        }
        if !self.is_due
            && let Some(why) = self.renewal.after_job(self.ways.pid)
        {
            self.is_due = true;
            tell(News::Due(why));
        }
        Ok(())
    }

    /// Nothing of the job was told. A worker may have shut down its end, and then that will be so with every
    /// message: that is a breach.
    fn not_held(&self, errand: Errand, error: &io::Error) -> Option<Breach> {
        if matches!(error.raw_os_error(), Some(libc::EPIPE | libc::ENOTCONN | libc::ECONNRESET | libc::EAGAIN)) {
            self.desk.put_back(errand);
            let what = format!("its file descriptor 3 is of no use any more: {error}");
            return Some(Breach::of(what));
        }
        let reason = format!("the message cannot be held for the worker: {error}");
        errand.settle(Outcome::Retry { blame: Blame::Ourselves, status: None, reason, after: None });
        None
    }

    /// Gives it a job and waits for its answer.
    async fn ask(&mut self, id: &str, line: &[Piece]) -> Result<Outcome, Close> {
        let Started { stdin, stdout, job, .. } = &mut self.ways;
        let mut writing = pin!(write(stdin, line, &mut self.given));
        let mut is_written = false;
        // It may say something, or end, before it has read all.
        let said = loop {
            tokio::select! {
                biased;
                written = &mut writing, if !is_written => match written {
                    Ok(()) => is_written = true,
                    Err(Unwritten::Ours(error)) => return Err(Close::HalfTold(error)),
                    Err(Unwritten::Theirs) => {
                        // By what it says, or by its end, it may still tell why.
                        let said = async {
                            tokio::select! {
                                biased;
                                said = stdout.next() => return Ok(said),
                                ended = job.ended() => ended.map_err(Close::Lost)?,
                            }
                            Ok(stdout.last())
                        };
                        let closed = Breach::of("it closed its standard input");
                        break timeout(REST, said).await.unwrap_or(Ok(Ok(Some(Err(closed)))))?;
                    }
                },
                said = stdout.next() => {
                    // The rest of the line must not become the beginning of the next.
                    if !is_written && let Err(Unwritten::Ours(error)) = writing.await {
                        return Err(Close::HalfTold(error));
                    }
                    break said;
                }
                ended = job.ended() => {
                    ended.map_err(Close::Lost)?;
                    break stdout.last();
                }
            }
        };
        match said {
            Ok(Some(Ok(line))) => answer(&line, id).map_err(Close::Breach),
            Ok(Some(Err(breach))) => Err(Close::Breach(breach)),
            Ok(None) => Err(silent(job).await),
            Err(error) => Err(Close::Lost(error)),
        }
    }

    /// Ends the process, and tells whom it concerns what became of it.
    async fn over(self, close: Close, errand: Option<Errand>, tell: impl Fn(News)) {
        let Process { ways, patience, config, desk, ready_at, jobs, given, .. } = self;
        let is_barren = jobs == 0 && ready_at.elapsed() < patience.soon;
        let worth = |had_job| match (is_barren, had_job) {
            (false, _) => Worth::Some,
            (true, true) => Worth::NoneWithJob,
            (true, false) => Worth::None,
        };
        let worth_of_all = worth(errand.is_some());
        let retry = |blame, reason| Outcome::Retry { blame, status: None, reason, after: None };
        let gone = |trouble: String| News::Gone { trouble: Some(trouble), manner: Manner::Ended, worth: worth_of_all };
        match close {
            Close::Told => {
                tell(News::Gone { trouble: None, manner: Manner::Ended, worth: Worth::Some });
                end(ways, patience.ending, &patience, None, &tell).await;
            }
            Close::CutOff => {
                let trouble = Some("its job was cut off".to_owned());
                replaced(
                    ways,
                    &patience,
                    errand,
                    News::Gone { trouble, manner: Manner::Ended, worth: Worth::Some },
                    &tell,
                )
                .await;
            }
            Close::Died => {
                let is_untouched = ways.unread() >= given;
                let had_job = errand.is_some();
                let died = |reason, manner, worth| News::Gone { trouble: Some(reason), manner, worth };
                let Some((ended, errand)) = end(ways, patience.ending, &patience, errand, &tell).await else {
                    return tell(died("the worker died".to_owned(), Manner::Died, worth_of_all));
                };
                let reason = with(&death(&ended.status), &ended.said);
                let is_well = !had_job && jobs > 0 && ended.status.as_ref().is_ok_and(ExitStatus::success);
                let manner = if is_well { Manner::Left } else { Manner::Died };
                tell(died(reason.clone(), manner, worth(had_job && !is_untouched)));
                match errand {
                    // It has not even begun to read it.
                    Some(errand) if is_untouched => desk.put_back(errand),
                    Some(errand) => drop(errand.settle(retry(Blame::Unclear, reason))),
                    None => {}
                }
            }
            Close::Breach(breach) => {
                if let Some((_, errand)) = replaced(ways, &patience, errand, gone(breach.reason()), &tell).await {
                    errand.settle(breach.outcome());
                }
            }
            Close::Late => {
                let what = format!("not finished within {}", humantime::format_duration(config.timeout));
                if let Some((ended, errand)) = replaced(ways, &patience, errand, gone(what.clone()), &tell).await {
                    errand.settle(retry(Blame::Unclear, with(&what, &ended.said)));
                }
            }
            Close::Lost(error) => {
                let what = format!("the worker cannot be reached: {error}");
                if let Some((_, errand)) = replaced(ways, &patience, errand, gone(what.clone()), &tell).await {
                    errand.settle(retry(Blame::Ourselves, what));
                }
            }
            Close::HalfTold(error) => {
                let trouble = Some(format!("it was told only a part of a message, which cannot be read: {error}"));
                let gone = News::Gone { trouble, manner: Manner::Ended, worth: Worth::Some };
                if let Some((_, errand)) = replaced(ways, &patience, errand, gone, &tell).await {
                    errand.settle(unsent(&PayloadError::Unreadable(error)));
                }
            }
        }
    }
}

/// Ends a process whose place another one takes meanwhile. Where we may not end it, it keeps its place as long as it
/// lives: else there would be more and more of them.
async fn replaced(
    ways: Started,
    patience: &Patience,
    errand: Option<Errand>,
    gone: News,
    tell: &impl Fn(News),
) -> Option<(Ended, Errand)> {
    let over = if ways.job.may_be_ended().is_ok() {
        tell(gone);
        end(ways, Duration::ZERO, patience, errand, tell).await
    } else {
        let over = end(ways, Duration::ZERO, patience, errand, tell).await;
        tell(gone);
        over
    };
    over.and_then(|(ended, errand)| Some((ended, errand?)))
}

/// Ends a process that may have this job. Where the attempt is cut off meanwhile it is killed, and there is nothing to
/// tell. In any case it has ended when this is over, and nothing of what it had was given back before.
async fn end(
    ways: Started,
    limit: Duration,
    patience: &Patience,
    mut errand: Option<Errand>,
    tell: &impl Fn(News),
) -> Option<(Ended, Option<Errand>)> {
    let mut ending = ways.hang_up();
    let cut_off = async {
        match &mut errand {
            Some(errand) => errand.answer.closed().await,
            None => pending().await,
        }
    };
    let ended = tokio::select! {
        biased;
        () = cut_off => None,
        ended = ending.by(limit, patience) => Some(ended),
    };
    let undead = match ended {
        Some(Ok(ended)) => return Some((ended, errand)),
        Some(Err(undead)) => undead,
        None => ending.kill().err()?,
    };
    Some((outlast(ending, undead, patience, tell).await, errand))
}

/// Waits for the end of a process that could not be ended.
pub(super) async fn outlast(mut ending: Ending, undead: Undead, patience: &Patience, tell: &impl Fn(News)) -> Ended {
    tell(News::Undead(undead));
    let ended = ending.at_last(patience).await;
    tell(News::Buried);
    ended
}

/// Its standard output was closed: by its end, or else on purpose.
async fn silent(job: &mut Job) -> Close {
    match timeout(REST, job.ended()).await {
        Ok(Ok(())) => Close::Died,
        Ok(Err(error)) => Close::Lost(error),
        Err(_) => Close::Breach(Breach::of(CLOSED_STDOUT)),
    }
}

fn death(status: &io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => status.code().map_or_else(
            || format!("the worker was {}", killed_by(*status)),
            |code| format!("the worker exited with code {code}"),
        ),
        Err(error) => format!("the worker has ended, but: {error}"),
    }
}

/// Why a line was not written.
enum Unwritten {
    /// The worker does not take it; what it says or does next tells why.
    Theirs,
    /// The message cannot be read.
    Ours(io::Error),
}

/// Writes a line, and counts the bytes that were written.
async fn write(stdin: &mut ChildStdin, line: &[Piece], given: &mut u64) -> Result<(), Unwritten> {
    for piece in line {
        for chunk in piece.clone() {
            let mut chunk = chunk.map_err(Unwritten::Ours)?;
            while !chunk.is_empty() {
                let count = stdin.write(&chunk).await.map_err(|_| Unwritten::Theirs)?;
                chunk.advance(count);
                *given += count as u64;
            }
        }
    }
    Ok(())
}
