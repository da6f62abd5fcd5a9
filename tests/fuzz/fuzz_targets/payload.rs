//! Any bytes become a body in every format, or there is a reason why not; and where the mail itself is in it, it is
//! there to the last byte.

#![no_main]

#[path = "../../it/support/formats.rs"]
mod formats;

use formats::{check, formats, message, message_in_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    // By the length: so the examples are mail from their first byte on.
    let formats = formats();
    let format = &formats[input.len() % formats.len()];
    // Large ones are in files, and some of these.
    let is_in_file = (input.len() / formats.len()).is_multiple_of(8);
    let message = if is_in_file { message_in_file(input) } else { message(input) };
    check(format, &message, input);
});
