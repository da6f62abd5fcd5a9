//! What a mail says: its header, its texts and its attachments, decoded as well as can be.
//!
//! Mail is whatever somebody sent. Nothing in here fails because of it, and nothing takes time or memory
//! out of proportion to its size: what the [guard](Refusal) refuses is told by its header alone.
//!
//! | file | one idea |
//! |---|---|
//! | `entry` | what others call, which never panics |
//! | `header` | a bounded, linear look at header fields |
//! | `guard` | what is not parsed, and why |
//! | `field` | one header field: name and decoded value |
//! | `words` | encoded words (RFC 2047), and raw 8-bit text |
//! | `syntax` | folds, quoted strings, comments: the pieces of a value |
//! | `charset` | bytes in some charset, as text |
//! | `utf7` | UTF-7 (RFC 2152) |
//! | `legacy` | charsets of old mail that the WHATWG left out |
//! | `params` | a value with parameters (RFC 2045, RFC 2231) |
//! | `address` | lists of mailboxes |
//! | `date`, `ids` | dates, message ids |
//! | `name` | names of attachments that do no harm |
//! | `part`, `transfer` | one part, and its bytes |
//! | `split` | the tree of parts |
//! | `body`, `attachment` | which parts are the text, and which are attached |
//! | `text` | the text of a part, decoded and bounded |
//! | `flowed` | format=flowed (RFC 3676) |
//! | `read` | all of it together |
//! | `kind` | whether a person wrote it |
//! | `bounce`, `notice` | what a bounce tells: delivery status notifications (RFC 3464), and texts |
//! | `reply` | a reply without what it quotes |
//! | `reply_html` | the same for HTML |
//! | `attribution`, `separator`, `signature` | where a quotation and a signature begin |
//! | `tags`, `html` | a walk over HTML, and its text |

mod address;
mod attachment;
mod attribution;
mod body;
mod bounce;
mod charset;
mod date;
mod entry;
mod field;
mod flowed;
mod guard;
mod header;
mod html;
mod ids;
mod kind;
mod legacy;
mod name;
mod notice;
mod params;
mod part;
mod read;
mod reply;
mod reply_html;
mod separator;
mod signature;
mod split;
mod syntax;
mod tags;
mod text;
mod transfer;
mod utf7;
mod words;

pub use address::Mailbox;
pub use attachment::Attachment;
pub use bounce::{Bounce, FailedRecipient};
pub use entry::{decode_text, kind, read, read_header, reply, reply_html, text_of_html};
pub use field::Field;
pub use guard::{PARSE_LIMIT, Refusal};
pub use header::{HEADER_LIMIT, Header};
pub use kind::Kind;
pub use read::Mail;
pub use reply::Reply;
pub use text::TEXT_LIMIT;
