//! Where messages go. Each kind of target is one file, with its configuration, its code and its
//! tests; `address`, `request`, `body`, `headers`, `sign` and `tls` belong to `url`, and `probe` finds out
//! whether one can be reached; `environment`, `job`, `last_lines`, `orphans` and `stdin` belong to `command`, and `answer`
//! to both.

mod address;
mod answer;
mod body;
mod command;
mod environment;
mod headers;
mod job;
mod last_lines;
mod orphans;
mod probe;
mod request;
mod sign;
mod stdin;
mod tls;
mod url;

pub use address::{Address, UrlError};
pub use answer::{EXIT_TABLE, Meaning, Overrides, TABLE, exit_meaning, meaning};
pub use command::{CommandConfig, CommandTarget};
pub use headers::{Auth, is_own_header};
pub use probe::{Probe, Tls, probe};
pub use sign::signing_key;
pub use tls::ClientCertificate;
pub use url::{Preview, Shown, UrlConfig, UrlTarget};
