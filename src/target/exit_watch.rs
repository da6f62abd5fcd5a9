//! Learns that a child of ours has ended, and how, while it stays on the process table.

use crate::system::wait_for_reading;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for the end of one child, as often as wanted. It must not be taken off the process table meanwhile.
pub(super) struct ExitWatch {
    child: Pid,
    by: By,
}

/// How it is told.
enum By {
    /// A descriptor of the child itself: see `pidfd_open(2)`. Nobody is woken for anybody else's child.
    Descriptor(AsyncFd<Arc<OwnedFd>>),
    /// The signal that any child of ours has ended: where there are no such descriptors (before Linux 5.3, in some
    /// sandboxes), or no more of them.
    Signal {
        any: Signal,
        /// It had not ended when it was looked at, and no child of ours has since.
        is_running: bool,
    },
}

impl ExitWatch {
    /// Has to be called within a runtime of tokio's with its I/O.
    ///
    /// # Errors
    /// The system cannot tell in either way.
    pub(super) fn of(child: Pid) -> io::Result<Self> {
        let descriptor = pidfd_open(child, PidfdFlags::NONBLOCK).map_err(io::Error::from);
        match descriptor.map(Arc::new).and_then(wait_for_reading) {
            Ok(descriptor) => Ok(ExitWatch { child, by: By::Descriptor(descriptor) }),
            Err(_) => Self::by_signal(child),
        }
    }

    fn by_signal(child: Pid) -> io::Result<Self> {
        Ok(ExitWatch { child, by: By::Signal { any: signal(SignalKind::child())?, is_running: false } })
    }

    /// Waits for the end of the child.
    ///
    /// # Errors
    /// The system cannot tell.
    pub(super) async fn ended(&mut self) -> io::Result<()> {
        match &mut self.by {
            By::Descriptor(descriptor) => loop {
                let mut readable = descriptor.readable().await?;
                if has_ended(self.child)? {
                    readable.retain_ready();
                    return Ok(());
                }
                readable.clear_ready();
            },
            By::Signal { any, is_running } => loop {
                if !*is_running {
                    if has_ended(self.child)? {
                        return Ok(());
                    }
                    *is_running = true;
                }
                any.recv().await;
                *is_running = false;
            },
        }
    }
}

/// Whether a child of ours has ended.
pub(super) fn has_ended(child: Pid) -> io::Result<bool> {
    Ok(ended_as(child)?.is_some())
}

/// How a child of ours has ended, if it has.
pub(super) fn ended_as(child: Pid) -> io::Result<Option<ExitStatus>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    let Some(status) = waitid(WaitId::Pid(child), options)? else { return Ok(None) };
    // As wait(2) has it.
    let code = status.exit_status().map(|code| code << 8);
    Ok(code.or(status.terminating_signal()).map(ExitStatus::from_raw))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::process::{Command, Stdio};
    use std::sync::PoisonError;
    use tokio::runtime::Builder;

    /// Each way tells of the end when it comes, and again whenever it is asked for, and not of the end of another.
    #[test]
    fn either_way_tells_of_the_end_of_its_own_child() {
        let _forks = crate::FORKS.read().unwrap_or_else(PoisonError::into_inner);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        for way in [ExitWatch::of, ExitWatch::by_signal] {
            runtime.block_on(async {
                let cat = || Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
                let (mut cat, mut other) = (cat(), cat());
                let watch = |child: &std::process::Child| way(Pid::from_child(child)).unwrap();
                let (mut of_cat, mut of_other) = (watch(&cat), watch(&other));
                assert!(of_cat.ended().now_or_never().is_none());
                drop(other.stdin.take());
                of_other.ended().await.unwrap();
                assert!(of_cat.ended().now_or_never().is_none());
                cat.kill().unwrap();
                of_cat.ended().await.unwrap();
                of_cat.ended().await.unwrap();
                let status = ended_as(of_cat.child).unwrap().unwrap();
                assert_eq!((status.signal(), other.wait().unwrap().code()), (Some(9), Some(0)));
                assert_eq!(cat.wait().unwrap(), status);
            });
        }
    }

    #[test]
    fn where_there_is_a_descriptor_it_is_used() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let watch = ExitWatch::of(rustix::process::getpid()).unwrap();
        assert!(matches!(watch.by, By::Descriptor(_)));
    }
}
