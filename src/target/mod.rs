//! Where messages go. Each kind of target is one file, with its configuration, its code and its
//! tests; `address`, `client`, `plain`, `request`, `body`, `headers`, `sign` and `tls` belong to `url`, and `probe` finds out
//! whether one can be reached; `children`, `environment`, `exit_watch`, `macros`, `open_files`, `recipient`, `job`, `last_lines`, `orphans`
//! and `stdin` belong to `command`, and `answer` to both.

mod address;
mod answer;
mod before_exec;
mod body;
mod children;
mod client;
mod command;
mod environment;
mod exit_watch;
mod headers;
mod job;
mod last_lines;
mod macros;
mod open_files;
mod orphans;
mod output;
mod plain;
mod privilege;
mod probe;
mod program;
mod recipient;
mod request;
mod sign;
mod stdin;
mod tls;
mod url;
mod worker;

pub use address::{Address, UrlError};
pub use answer::{EXIT_TABLE, Meaning, Overrides, TABLE, exit_meaning, meaning};
pub use command::{CommandConfig, CommandTarget};
pub use headers::{Auth, is_own_header};
pub use macros::{LOST_MACROS, MACROS, Macro, Part, literal, parts};
pub use open_files::make_room_for;
pub use privilege::with_all_privileges;
pub use probe::{Probe, Tls, probe};
pub use program::{Account, Limits, ProgramConfig};
pub use sign::signing_key;
pub use tls::ClientCertificate;
pub use url::{Preview, Shown, UrlConfig, UrlTarget};
#[cfg(fuzzing)]
pub use worker::fuzzing;
pub use worker::{Parsed, WorkerConfig, WorkerPool, job, rehearse};
