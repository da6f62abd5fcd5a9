//! The words that mail programs put above what they quote: `On … wrote:`, in many languages.

/// Where such words stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attribution {
    /// The line that they begin in.
    pub start: usize,
    /// Whether they tell so much that what follows is a quotation even without a `>`.
    pub is_certain: bool,
}

/// How many lines they are wrapped over at most.
const LINES: usize = 4;
/// How long such a line is at most, in bytes.
const LONGEST: usize = 400;
/// How many blank lines come between them and the quotation at most.
const BLANK_LINES: usize = 2;

/// How they begin, in lower case.
const OPENINGS: &[&str] = &[
    "on ", "at ", "am ", "le ", "el ", "il ", "em ", "no dia ", "op ", "den ", "på ", "w dniu ", "dnia ", "dne ", "在",
];
/// What they say, in lower case.
const VERBS: &[&str] = &[
    "wrote",
    "writes",
    "quoting ",
    "schrieb",
    "schreibt",
    "zitat von ",
    "a écrit",
    "escribió",
    "ha scritto",
    "escreveu",
    "schreef",
    "geschreven",
    "skrev",
    "kirjoitti",
    "pisze",
    "napisał",
    "napsal",
    "написал",
    "пишет",
    "пише",
    "написав",
    "yazdı",
    "のメール",
    "書きました",
    "写道",
    "寫道",
    "写到",
    "작성",
    "썼습니다",
];

/// The attribution that ends in this line, if there is one.
pub(super) fn attribution_at(lines: &[&str], last: usize) -> Option<Attribution> {
    if !ends_in_colon(lines[last]) {
        return None;
    }
    let mut words = String::new();
    let mut found: Option<Attribution> = None;
    let mut is_dated = false;
    for start in (last.saturating_sub(LINES - 1)..=last).rev() {
        let line = lines[start].trim();
        if line.is_empty() || line.len() > LONGEST || line.starts_with('>') || start < last && ends_in_colon(line) {
            break;
        }
        let line = line.to_lowercase();
        let is_opening = numbers(&line) > 0 && OPENINGS.iter().any(|opening| line.starts_with(opening));
        // A line above belongs to it if it tells the date, or the rest of that: it is no sentence, then.
        let is_first = start == 0 || lines[start - 1].trim().is_empty();
        let is_part = is_opening || !is_dated || is_first && numbers(&line) > 0;
        let is_part = start == last || is_part && (is_opening || !line.ends_with(['.', '!', '?']));
        words = if words.is_empty() { line } else { format!("{line} {words}") };
        let told = Told::by(&words);
        if is_part && (told.is_attribution || start == last && told.has_verb) {
            is_dated = told.is_attribution;
            let is_certain = is_dated && told.numbers >= 2 && (is_opening || words.contains('@'));
            found = Some(Attribution { start, is_certain });
        }
        if is_dated && is_opening {
            break;
        }
    }
    found
}

/// What words tell that may be an attribution, in lower case.
struct Told {
    has_verb: bool,
    /// How many numbers there are: a date with a time has four or more.
    numbers: usize,
    /// Whether they tell who wrote, and when or from where.
    is_attribution: bool,
}

impl Told {
    fn by(words: &str) -> Self {
        let has_verb = VERBS.iter().any(|verb| words.contains(verb));
        let numbers = numbers(words);
        let is_attribution = has_verb && (numbers > 0 || words.contains('@')) || is_date_and_address(words, numbers);
        Told { has_verb, numbers, is_attribution }
    }
}

/// The line in which the attribution of a quotation begins that begins in this line.
pub(super) fn attribution_above(lines: &[&str], quotation: usize) -> Option<usize> {
    let above = &lines[..quotation];
    let last = above.iter().rposition(|line| !line.trim().is_empty())?;
    if quotation - last > BLANK_LINES + 1 {
        return None;
    }
    attribution_at(lines, last).map(|attribution| attribution.start)
}

fn ends_in_colon(line: &str) -> bool {
    line.trim_end().ends_with([':', '：'])
}

fn numbers(words: &str) -> usize {
    words.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty()).count()
}

/// Gmail says no more than this in languages in which the verb would need the writer's sex.
fn is_date_and_address(words: &str, numbers: usize) -> bool {
    let words = words.trim_end_matches([':', '：', ' ']);
    numbers >= 3 && words.ends_with('>') && words.rsplit_once('<').is_some_and(|(_, address)| address.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `text` with the line in which the attribution begins that ends in the last line, and whether it is certain.
    fn found(text: &str) -> Option<(usize, bool)> {
        let lines: Vec<&str> = text.split('\n').collect();
        attribution_at(&lines, lines.len() - 1).map(|found| (found.start, found.is_certain))
    }

    #[test]
    fn attributions_are_found_in_many_languages() {
        for text in [
            "On Tue, Nov 4, 2025 at 10:12 AM Ada <ada@example.org> wrote:",
            "On 11/4/25 10:12, Ada Lovelace wrote:",
            "Am 04.11.25 um 10:12 schrieb Ada Lovelace:",
            "Le mar. 4 nov. 2025 à 10:12, Ada <ada@example.org> a écrit :",
            "El mar, 4 nov 2025 a las 10:12, Ada (<ada@example.org>) escribió:",
            "Il giorno mar 4 nov 2025 alle ore 10:12 Ada <ada@example.org> ha scritto:",
            "Em ter., 4 de nov. de 2025 às 10:12, Ada <ada@example.org> escreveu:",
            "Op di 4 nov 2025 om 10:12 schreef Ada <ada@example.org>:",
            "Den tis 4 nov. 2025 kl 10:12 skrev Ada <ada@example.org>:",
            "ti 4. marrask. 2025 klo 10.12 Ada (ada@example.org) kirjoitti:",
            "wt., 4 lis 2025 o 10:12 Ada <ada@example.org> napisał(a):",
            "út 4. 11. 2025 v 10:12 odesílatel Ada <ada@example.org> napsal:",
            "вт, 4 нояб. 2025 г. в 10:12, Ada <ada@example.org>:",
            "вт, 4 лист. 2025 р. о 10:12 Ada <ada@example.org> пише:",
            "Ada <ada@example.org>, 4 Kas 2025 Sal, 10:12 tarihinde şunu yazdı:",
            "2025年11月4日(火) 10:12 Ada <ada@example.org>:",
            "Ada <ada@example.org> 于2025年11月4日周二 10:12写道：",
            "2025년 11월 4일 (화) 오전 10:12, Ada <ada@example.org>님이 작성:",
        ] {
            assert_eq!(found(text), Some((0, true)), "{text}");
        }
    }

    #[test]
    fn attributions_are_found_whole_however_they_are_wrapped() {
        let cases = [
            ("Yes.\n\nOn Tue, Nov 4, 2025 at 10:12 AM\nAda Lovelace <ada@example.org>\nwrote:", Some((2, true))),
            ("Yes\nOn Tue, Nov 4, 2025 at\n10:12 AM Ada <ada@example.org> wrote:", Some((1, true))),
            ("Am 4. November 2025 schrieb Ada\n<ada@example.org>:", Some((0, true))),
            ("\n4 нояб. 2025 г., в\n10:12, Ada <ada@example.org> написал(а):", Some((1, true))),
            ("On it!\nAda <ada@example.org> wrote on 2025-11-04:", Some((1, true))),
            ("Ada Lovelace writes:", Some((0, false))),
            ("Yes, 2 please.\nAda wrote:", Some((1, false))),
        ];
        for (text, expected) in cases {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn other_lines_are_none() {
        for text in ["", ":", "She wrote", "Dear Ada:", "I can offer at 10:30 or at 11:45:", "Mail <ada@example.org>:"]
        {
            assert_eq!(found(text), None, "{text}");
        }
        let long = format!("On 2025-11-04 10:12 {} wrote:", "Ada ".repeat(LONGEST));
        assert_eq!(found(&long), None);
    }
}
