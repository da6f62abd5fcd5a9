//! Where messages go. Each kind of target is one file, with its configuration, its code and its
//! tests; `address`, `answer` and `body` belong to `url`.

mod address;
mod answer;
mod body;
mod url;

pub use address::{Address, UrlError};
pub use answer::{Meaning, TABLE, meaning};
pub use url::{UrlConfig, UrlTarget};
