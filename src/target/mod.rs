//! Where messages go: each file is one kind of target, with its configuration, its code and its
//! tests.

mod answer;
mod url;

pub use answer::{Meaning, TABLE, meaning};
pub use url::{Address, UrlConfig, UrlError, UrlTarget};
