//! What the table of keys says, as the manual page maildirq.toml(5).

use super::keys::{Key, Place};
use super::reference::default_in;
use crate::engine::KNOWN;
use roff::{Inline, Roff, bold, italic, roman};

/// The manual page of the configuration file, for man(1).
pub fn man_page() -> String {
    let mut page = Roff::new();
    let source = concat!("maildirq ", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["maildirq.toml", "5", "", source, "File formats"]);
    page.control("SH", ["NAME"]);
    page.text([roman("maildirq.toml - where mail comes from, and where it goes")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text(inlines("One TOML file. Three lines are enough:"));
    example(
        &mut page,
        &["maildir = \"/var/lib/maildirq/support\"", "[target.app]", "url = \"https://app.example.com/inbound\""],
    );
    page.control("PP", []);
    page.text(inlines(
        "A key that is not known is a mistake, and so is everything that makes no sense; all mistakes are shown at \
         once, each with its line. A file in which every key stands is printed by `maildirq gen config`, a JSON \
         Schema for editors by `maildirq gen schema`.",
    ));
    for place in Place::ALL {
        chapter(&mut page, *place);
    }
    page.control("SH", ["FILES"]);
    page.text(inlines(
        "The file is looked for at `$MAILDIRQ_CONFIG`, `./maildirq.toml`, `~/.config/maildirq/maildirq.toml` and \
         `/etc/maildirq/maildirq.toml`; the first that is there counts.",
    ));
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("maildirq"), roman("(1), "), bold("maildirq-gen"), roman("(1)")]);
    page.render()
}

fn chapter(page: &mut Roff, place: Place) {
    page.control("SH", [place.title().to_uppercase().as_str()]);
    page.text(inlines(place.about()));
    for key in Key::of(place) {
        page.control("TP", []);
        page.text([bold(key.name), roman(" = "), italic(key.kind.expected())]);
        let default = default_in(key, place);
        let unless_given = if default.is_empty() { default } else { format!(" Unless given: {default}.") };
        page.text(inlines(&format!("{}{unless_given} Example: `{}`", key.doc(), key.example)));
    }
    if place == Place::Retry {
        page.control("SS", ["Policies"]);
        for known in KNOWN {
            page.control("TP", []);
            page.text([bold(known.name)]);
            page.text(inlines(known.about));
        }
    }
}

fn example(page: &mut Roff, lines: &[&str]) {
    page.control("PP", []);
    page.control("RS", ["4"]);
    page.control("nf", []);
    for line in lines {
        page.text([roman(*line)]);
    }
    page.control("fi", []);
    page.control("RE", []);
}

/// What stands between backticks is bold.
fn inlines(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate();
    parts.map(|(number, part)| if number % 2 == 0 { roman(part) } else { bold(part) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::KEYS;

    #[test]
    fn every_key_is_in_the_manual_with_what_it_is_unless_given() {
        let page = man_page();
        for key in KEYS {
            assert!(page.contains(&format!("\n\\fB{}\\fR = \\fI", key.name)), "{}", key.name);
        }
        assert!(page.contains("Unless given: \\fB\"30s\"\\fR; \\fB\"5m\"\\fR for a command or a worker."), "{page}");
    }

    #[test]
    fn no_backtick_is_left_without_its_partner() {
        for text in Place::ALL.iter().map(|place| place.about()).chain(KEYS.iter().map(|key| key.doc())) {
            assert_eq!(text.matches('`').count() % 2, 0, "{text}");
        }
        assert!(!man_page().contains('`'));
    }
}
