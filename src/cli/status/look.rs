//! Taking the picture, by the files alone.

use super::daemons;
use super::picture::{Condition, Deaths, Picture, QueueNow, TargetNow};
use crate::cli::Exit;
use crate::cli::select::look_into;
use crate::config::Config;
use crate::engine::text::printable;
use crate::engine::{State, States};
use crate::maildir::{Counts, OpenError, View, pauses};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::SystemTime;

/// Of how many dead messages it is asked why. Beyond that the most frequent ones are known well enough.
const ASKED: usize = 1000;

/// Looks at everything that this configuration names.
///
/// # Errors
/// The configuration makes no sense; it was told of, and this is how to end.
pub(super) fn look(config: &Config) -> Result<Picture, Exit> {
    let now = SystemTime::now();
    let (views, broken) = look_into(config, |_| true)?;
    let mut picture = Picture {
        now,
        queues: Vec::new(),
        targets: Vec::new(),
        unreadable: broken.iter().map(first_line).collect(),
        deaths: Vec::new(),
        daemons: Vec::new(),
    };
    let mut deaths = BTreeMap::new();
    for queue in &config.queues {
        let mut found = QueueNow { name: queue.name.clone(), counts: Counts::default(), is_served: true, hour: None };
        for view in views.iter().filter(|view| view.queue() == queue.name) {
            if let Err(error) = add(view, &mut found, &mut deaths) {
                picture.unreadable.push(first_line(&error));
            }
        }
        picture.queues.push(found);
    }
    let deaths = deaths.into_iter().map(|((queue, target, error), count)| Deaths { queue, target, error, count });
    picture.deaths = deaths.collect();
    picture.deaths.sort_by_key(|deaths| std::cmp::Reverse(deaths.count));
    picture.targets = config
        .targets
        .iter()
        .map(|target| TargetNow {
            name: target.name.clone(),
            condition: condition(&target.name, &views),
            traffic: None,
        })
        .collect();
    daemons::tell(&views, &mut picture);
    Ok(picture)
}

/// What an error says before it says what to do, fit to be shown.
fn first_line(error: &OpenError) -> String {
    printable(error.to_string().lines().next().unwrap_or_default().as_bytes())
}

type Causes = BTreeMap<(String, String, String), u64>;

fn add(view: &Arc<View>, queue: &mut QueueNow, deaths: &mut Causes) -> Result<(), OpenError> {
    queue.counts += Counts::of(view, States::ALL)?;
    queue.is_served &= view.is_served()?;
    for record in view.records([State::Dead].into_iter().collect())?.take(ASKED) {
        let record = record?;
        let tale = record.tale();
        let shown = |text: Option<&str>| printable(text.unwrap_or_default().as_bytes());
        let cause = (queue.name.clone(), shown(tale.target()), shown(tale.error()));
        *deaths.entry(cause).or_default() += 1;
    }
    Ok(())
}

/// What the markers say of a target. A pause of one Maildir is a pause.
fn condition(target: &str, views: &[Arc<View>]) -> Condition {
    let markers = views.iter().filter_map(|view| pauses(view.path()).ok()).flatten();
    let pause = markers.filter(|pause| pause.target == OsStr::new(target)).min_by_key(|pause| pause.since);
    pause.map_or(Condition::Ok, |pause| Condition::Paused {
        since: pause.since,
        until: pause.until,
        by: printable(pause.by.as_bytes()),
        reason: printable(pause.reason.as_bytes()),
    })
}
