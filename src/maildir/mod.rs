//! A Maildir as a queue.
//!
//! On disk, **where the file is, is its state; who holds its flock is working on it**. There is no
//! database: `ls`, `mv`, `cat` and `touch` are the admin's tools. `docs/on-disk.md` has the whole
//! table of files and states, and what a crash leaves at each step.
//!
//! | file | one idea |
//! |---|---|
//! | `names` | what a Maildir file name says, and how ids are made from it |
//! | `places` | where Maildirs are: named, or found by globs |
//! | `layout` | the folders of a queue, opened and checked |
//! | `identity` | the queue's own random identity |
//! | `claim` | taking a message: the checks, in order |
//! | `writer` | is somebody still writing this file? |
//! | `hands` | what this process holds, written down so that its crash can be understood |
//! | `story` | what happened to a message, one line per event |
//! | `mark` | what is another after each change of a file |
//! | `vacancy`, `sentinel` | whether a folder of ours is empty; whether anything was put into it since |
//! | `lease` | settling a claim, in the order that makes every crash harmless |
//! | `slow` | whether the disk is slow to remove files |
//! | `leftovers` | what was taken and cannot be removed |
//! | `recover` | understanding what crashed processes held |
//! | `served`, `trouble` | one Maildir that is served: taking its messages, and what keeps it from giving any |
//! | `pauses`, `marker` | what a person holds back, and what is written down of it |
//! | `backlog`, `known`, `lineup` | which messages are known, when they may be taken, and who is next: pure state |
//! | `search` | reading `new/` in bounded bites |
//! | `arrivals` | inotify, for mail that comes |
//! | `watch` | what is watched of each Maildir; inotify, for hints |
//! | `sweep` | stories whose message is gone |
//! | `retention`, `history` | how long is remembered what was done and dropped; which mail was done |
//! | `upkeep`, `care`, `wishes`, `complaints` | the regular work: watching, recovering, searching, sweeping |
//! | `stock` | how much there is in a Maildir that is served |
//! | `census` | counting what this process knows of |
//! | `survey` | counting what waits, without changing anything |
//! | `records`, `record`, `tale`, `summary` | the messages by state, and what is known of each, without changing anything |
//! | `counts` | how many there are of each state |
//! | `trail` | following one message on its way, without changing anything |
//! | `holders` | who holds a message, without changing anything |
//! | `inspect` | looking for what would go wrong, without changing anything |
//! | `sync` | the background fsync of changed directories |
//! | `common` | what all Maildirs of a process share |
//! | `queue` | all of them together: the role of a [`Queue`](crate::engine::Queue) |
//! | `deliver` | the one place that writes messages |
//! | `owner` | becoming the Maildir's owner when started as root |
//! | `act` | what a person does to a message: retry, bury, drop, erase |
//! | `crash` | places at which tests let this process die |

mod act;
mod arrivals;
mod backlog;
mod care;
mod census;
mod claim;
mod common;
mod complaints;
mod counts;
mod crash;
mod deliver;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hands;
mod history;
mod holders;
mod identity;
mod inspect;
mod known;
mod layout;
mod lease;
mod leftovers;
mod lineup;
mod mark;
mod marker;
#[cfg(test)]
mod model;
mod names;
mod owner;
mod pauses;
mod places;
mod queue;
mod record;
mod records;
mod recover;
mod retention;
mod search;
mod sentinel;
mod served;
mod slow;
mod stock;
mod story;
mod summary;
mod survey;
mod suspect;
mod sweep;
mod sync;
mod tale;
mod trail;
mod trouble;
#[cfg(test)]
mod unsynced;
mod upkeep;
mod vacancy;
mod watch;
mod wishes;
mod writer;

pub use act::{Act, Acted, Forgotten, Operator, Retry, Seen};
pub use census::{Census, Graves};
pub use common::Settings;
pub use counts::{Counts, Tally};
pub use deliver::{Delivery, Refusal, deliver};
pub use history::{DoneMail, HISTORY, read_history, rewrite_history};
pub use holders::{Holder, holders};
pub use inspect::{inspect, signs_of_a_client};
pub use layout::{Keep, Layout, OpenError};
pub use marker::{Marker, pause, resume};
pub use names::{arrived, unique_name};
pub use owner::become_owner;
pub use pauses::{Pause, pauses};
pub use places::{Maildirs, Place, find_places};
pub use queue::MaildirQueue;
pub use record::Record;
pub use records::{Records, View};
pub use retention::Retention;
pub use served::{Maildir, Options};
pub use stock::{Pile, Stock};
pub use summary::Summary;
pub use survey::{Waiting, survey};
pub use tale::{Chapter, Tale, What};
pub use trail::{Failure, Stage, Trail};
pub use watch::WATCHES_OF_ONE;
