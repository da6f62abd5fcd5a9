//! What stands below a mail: a signature, or what a telephone says of itself.

/// How many lines with text a signature has at most.
const LONGEST: usize = 15;
/// How many lines a program adds of itself.
const ADDED: usize = 2;
/// How long such a line is at most, in bytes.
const ADDED_LENGTH: usize = 160;

/// How lines begin that a program adds, in lower case.
const ADDED_STARTS: &[&str] = &[
    "sent from my ",
    "sent from mail for ",
    "sent from outlook",
    "sent from yahoo",
    "sent from proton",
    "sent with proton",
    "sent via ",
    "get outlook for ",
    "get [outlook for ",
    "von meinem ",
    "von meiner ",
    "gesendet von ",
    "gesendet mit ",
    "outlook für ",
    "diese nachricht wurde von meinem ",
    "envoyé de mon ",
    "envoyé depuis ",
    "envoyé à partir d",
    "télécharger outlook",
    "obtenir outlook",
    "enviado desde ",
    "obtener outlook",
    "inviato da",
    "inviato dal ",
    "scarica outlook",
    "ottieni outlook",
    "enviado do meu ",
    "enviado a partir d",
    "enviado por ",
    "obter o outlook",
    "verstuurd vanaf ",
    "verzonden vanaf ",
    "verzonden met ",
    "outlook voor ",
    "skickat från ",
    "hämta outlook",
    "sendt fra ",
    "hent outlook",
    "få outlook",
    "lähetetty ",
    "wysłane z ",
    "wysłano z ",
    "pobierz outlook",
    "odesláno z ",
    "získat outlook",
    "отправлено с ",
    "отправлено из ",
    "надіслано з ",
    "надіслано із ",
    "发自我的",
    "从我的",
    "從我的",
    "나의 ",
];
/// How such lines end in languages that put the verb last.
const ADDED_ENDS: &[&str] =
    &["gesendet", "gönderildi", "gönderilmiştir", "から送信", "发送", "傳送", "에서 보냄", "lähetetty"];

/// The lines above the signature, and those of it.
pub(super) fn split_signature<'l, 't>(lines: &'l [&'t str]) -> (&'l [&'t str], &'l [&'t str]) {
    if let Some(at) = delimiter(lines) {
        return (&lines[..at], &lines[at + 1..]);
    }
    let mut start = lines.len();
    let texts = lines.iter().enumerate().rev().filter(|(_, line)| !line.trim().is_empty());
    for (at, _) in texts.take(ADDED).take_while(|(_, line)| is_added(line)) {
        start = at;
    }
    lines.split_at(start)
}

/// The first line `-- ` that has a signature's worth of lines below it, none of them quoted. Transport may
/// have taken its blank.
fn delimiter(lines: &[&str]) -> Option<usize> {
    let mut texts = 0;
    let mut found = None;
    for (at, line) in lines.iter().enumerate().rev() {
        if matches!(*line, "-- " | "--") {
            found = Some(at);
        } else if line.starts_with('>') || texts == LONGEST {
            break;
        } else if !line.trim().is_empty() {
            texts += 1;
        }
    }
    found
}

/// Whether a program has added this line.
fn is_added(line: &str) -> bool {
    let line = line.trim();
    if line.len() > ADDED_LENGTH {
        return false;
    }
    let line = line.trim_start_matches(['*', '_', '[', '<']).to_lowercase();
    // Only English has no other use for these words.
    if line.starts_with("sent from my ") {
        return true;
    }
    let end = line.trim_end_matches(['.', '。', '*', '_']);
    let is_said =
        ADDED_STARTS.iter().any(|start| line.starts_with(start)) || ADDED_ENDS.iter().any(|added| end.ends_with(added));
    let device = ["phone", "ipad", "galaxy", "android", "samsung", "mail", "outlook", "huawei", "xiaomi", "mobil"];
    is_said && device.iter().any(|word| line.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_told_from_text() {
        let cases = [
            ("Hi\n-- \nAda", "Ada"),
            ("Hi\n--\nAda\n-- \nThe list", "Ada\n-- \nThe list"),
            ("Hi\n--- \nAda", ""),
            ("Hi\n\nSent from my iPhone", "Sent from my iPhone"),
            ("Hi\n\nVon meinem iPhone gesendet\n", "Von meinem iPhone gesendet\n"),
            ("Hi\nGet Outlook for Android<https://aka.ms/AAb9ysg>", "Get Outlook for Android<https://aka.ms/AAb9ysg>"),
            ("Hi\niPhoneから送信", "iPhoneから送信"),
            ("Von meinem Haus aus", ""),
            ("It was sent from my phone", ""),
            ("Sent from my phone\nwas the mail.", ""),
        ];
        for (text, expected) in cases {
            let lines: Vec<&str> = text.split('\n').collect();
            assert_eq!(split_signature(&lines).1.join("\n"), expected, "{text}");
        }
    }

    #[test]
    fn a_line_of_dashes_high_above_the_end_begins_no_signature() {
        let text = format!("One\n--\n{}", "Two\n".repeat(LONGEST + 1));
        let lines: Vec<&str> = text.split('\n').collect();
        assert_eq!(split_signature(&lines).1, [""; 0]);
    }
}
