//! What only running daemons know, added to the picture. Where none answers, the files have told all that is known.

use super::picture::{Condition, DaemonNow, Hour, Picture, Traffic};
use crate::control::{QueueStatus, Status, TargetStatus, ask_status};
use crate::engine::text::printable;
use crate::maildir::View;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::runtime;

/// How long a daemon may take to answer. One that takes longer is as one that does not run.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks all daemons of these Maildirs.
pub(super) fn tell(views: &[Arc<View>], picture: &mut Picture) {
    let maildirs: Vec<_> = views.iter().map(|view| view.path().to_owned()).collect();
    let Ok(runtime) = runtime::Builder::new_current_thread().enable_all().build() else { return };
    match runtime.block_on(ask_status(&maildirs, PATIENCE)) {
        Ok(statuses) => statuses.iter().for_each(|status| add(status, picture)),
        Err(error) => picture.unreadable.push(printable(error.to_string().as_bytes())),
    }
}

fn add(status: &Status, picture: &mut Picture) {
    let shown = |text: &Option<String>| text.as_deref().map(|text| printable(text.as_bytes()));
    picture.daemons.push(DaemonNow {
        pid: status.pid,
        since: time(&status.since),
        watching: printable(status.watching.as_bytes()),
        config_read: time(&status.config_read),
        reload_failed: shown(&status.reload_failed),
        not_claiming: shown(&status.not_claiming),
    });
    for told in &status.queues {
        if let Some(queue) = picture.queues.iter_mut().find(|queue| queue.name == told.name) {
            queue.hour = Some(with_queue(queue.hour.unwrap_or_default(), told));
        }
    }
    let now = picture.now;
    for told in &status.targets {
        let Some(target) = picture.targets.iter_mut().find(|target| target.name == told.name) else { continue };
        target.traffic = Some(with_target(target.traffic.unwrap_or_default(), told));
        // A person's pause says more than that the breaker is open, too.
        if told.state == "down" && target.condition == Condition::Ok {
            target.condition = Condition::Down {
                since: told.since.as_deref().and_then(time).unwrap_or(now),
                probe: told.next_probe.and_then(seconds).and_then(|left| now.checked_add(left)),
                reason: printable(told.reason.as_deref().unwrap_or_default().as_bytes()),
            };
        }
    }
}

fn with_queue(hour: Hour, told: &QueueStatus) -> Hour {
    Hour {
        done: hour.done + told.done,
        failed: hour.failed + told.failed,
        p95: hour.p95.max(told.p95.and_then(seconds)),
    }
}

fn with_target(traffic: Traffic, told: &TargetStatus) -> Traffic {
    let hour = traffic.hour;
    Traffic {
        busy: traffic.busy + told.busy,
        limit: traffic.limit + told.limit,
        per_minute: traffic.per_minute + told.per_minute,
        hour: Hour {
            done: hour.done + told.done,
            failed: hour.failed + told.failed,
            p95: hour.p95.max(told.p95.and_then(seconds)),
        },
    }
}

/// None for what is no span of time, whoever said it.
fn seconds(told: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(told).ok()
}

fn time(told: impl AsRef<str>) -> Option<SystemTime> {
    humantime::parse_rfc3339(told.as_ref()).ok()
}
