//! What the parts of maildirq cost, one by one:
//!
//!     cargo bench --bench units                  # or some of them: -- parse
//!
//! Times of a part say little about the whole: most of what a message costs is system calls. See `docs/performance.md`.

mod mails;
mod parse;
mod payloads;
mod queue;
mod retries;

fn main() {
    divan::main();
}
