//! The lines that mail programs put between a reply and the mail it answers, or that is forwarded.

/// What follows a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Separator {
    /// Another mail: one that is answered. Outlook writes the same above one that it forwards.
    Original,
    /// A mail that is forwarded.
    Forward,
}

/// How long a line between two mails can be, in bytes.
const LONGEST: usize = 120;
/// How many lines a header has at most.
const HEADER_LINES: usize = 8;
/// How long Outlook's line of underscores is at least.
const RULE: usize = 20;

/// Pieces of "original message" as it stands between dashes, in lower case.
const ORIGINAL: &[&str] = &[
    "original",
    "ursprünglich",
    "message d'origine",
    "message d’origine",
    "oorspronkelijk",
    "origineel",
    "oprindelig",
    "opprinnelig",
    "ursprunglig",
    "alkuperäinen",
    "oryginaln",
    "původní",
    "исходн",
    "оригинальн",
    "оригінальн",
    "початков",
    "özgün",
    "orijinal",
    "元のメッセージ",
    "原始",
    "邮件原件",
    "원본",
];
/// Pieces of "forwarded message" as it stands between dashes, in lower case.
const FORWARD: &[&str] = &[
    "forwarded",
    "weitergeleitet",
    "transféré",
    "réexpédié",
    "reenviado",
    "inoltrato",
    "encaminhada",
    "reencaminhada",
    "doorgestuurd",
    "vidarebefordra",
    "videresend",
    "välitetty",
    "przekazan",
    "przesłan",
    "přeposlan",
    "пересылаем",
    "перенаправлен",
    "переслан",
    "пересилан",
    "iletilmiş",
    "iletilen",
    "yönlendiril",
    "転送",
    "转发",
    "轉寄",
    "전달",
];
/// What Apple Mail and others write above a mail that is forwarded, in lower case and without the colon.
const UNDASHED_FORWARD: &[&str] = &[
    "begin forwarded message",
    "forwarded message",
    "anfang der weitergeleiteten nachricht",
    "anfang der weitergeleiteten e-mail",
    "début du message réexpédié",
    "début du message transféré",
    "inicio del mensaje reenviado",
    "inizio messaggio inoltrato",
    "início da mensagem reencaminhada",
    "início da mensagem encaminhada",
    "begin doorgestuurd bericht",
    "vidarebefordrat brev",
    "videresendt besked",
    "start på videresendt besked",
    "videresendt melding",
    "välitetty viesti alkaa",
    "rozpoczęcie przekazywanej wiadomości",
    "začátek přeposílané zprávy",
    "начало переадресованного сообщения",
    "начало переадресованного письма",
    "початок листа, що пересилається",
    "iletilen ileti başlangıcı",
    "転送されたメッセージ",
    "下面是被转发的邮件",
    "以下是轉寄的郵件",
    "전달된 메시지",
];
const FROM: &[&str] = &[
    "from",
    "von",
    "de",
    "da",
    "van",
    "från",
    "fra",
    "lähettäjä",
    "od",
    "от",
    "от кого",
    "від",
    "kimden",
    "gönderen",
    "差出人",
    "发件人",
    "寄件者",
    "보낸 사람",
];
const SUBJECT: &[&str] = &[
    "subject",
    "betreff",
    "objet",
    "asunto",
    "oggetto",
    "assunto",
    "onderwerp",
    "ämne",
    "emne",
    "aihe",
    "temat",
    "předmět",
    "тема",
    "konu",
    "件名",
    "主题",
    "主旨",
    "제목",
];
/// The names of the sender, the date, the recipients and copies.
const OTHERS: &[&str] = &[
    "sent",
    "date",
    "to",
    "cc",
    "gesendet",
    "datum",
    "an",
    "envoyé",
    "à",
    "enviado",
    "enviado el",
    "fecha",
    "para",
    "inviato",
    "data",
    "a",
    "enviada em",
    "enviado em",
    "enviada",
    "verzonden",
    "aan",
    "skickat",
    "till",
    "sendt",
    "til",
    "dato",
    "lähetetty",
    "päivämäärä",
    "vastaanottaja",
    "wysłano",
    "wysłane",
    "do",
    "odesláno",
    "komu",
    "отправлено",
    "дата",
    "кому",
    "надіслано",
    "gönderildi",
    "gönderme tarihi",
    "tarih",
    "kime",
    "送信日時",
    "日付",
    "宛先",
    "发送时间",
    "日期",
    "收件人",
    "寄件日期",
    "寄件時間",
    "收件者",
    "보낸 날짜",
    "날짜",
    "받는 사람",
];

/// What follows the first of these lines, if it stands between two mails.
pub(super) fn separator(lines: &[&str]) -> Option<Separator> {
    let line = lines.first()?.trim();
    if line.len() > LONGEST && !has_label(line, FROM) {
        return None;
    }
    if let Some(words) = between_dashes(line) {
        let words = words.to_lowercase();
        let is_one_of = |pieces: &[&str]| pieces.iter().any(|piece| words.contains(piece));
        // Some say "original message forwarded".
        return match (is_one_of(FORWARD), is_one_of(ORIGINAL)) {
            (true, _) => Some(Separator::Forward),
            (false, true) => Some(Separator::Original),
            (false, false) => None,
        };
    }
    if let Some(words) = line.strip_suffix([':', '：']) {
        let words = words.trim().to_lowercase();
        if UNDASHED_FORWARD.contains(&words.as_str()) {
            return Some(Separator::Forward);
        }
    }
    let is_rule = line.len() >= RULE && line.bytes().all(|byte| byte == b'_');
    let header = if is_rule { after_blank(&lines[1..]) } else { lines };
    is_header(header).then_some(Separator::Original)
}

/// What stands between two dashes or more on either side.
fn between_dashes(line: &str) -> Option<&str> {
    let words = line.strip_prefix("--")?.strip_suffix("--")?;
    Some(words.trim_matches(['-', ' ', '\u{a0}'])).filter(|words| !words.is_empty())
}

/// The lines after at most one blank line.
fn after_blank<'l, 't>(lines: &'l [&'t str]) -> &'l [&'t str] {
    match lines {
        [blank, rest @ ..] if blank.trim().is_empty() => rest,
        _ => lines,
    }
}

/// Whether these lines begin with the header of a mail: who wrote it, two more fields and the subject among
/// them, or an address. Somebody may well write `From: … To: …` of a journey.
fn is_header(lines: &[&str]) -> bool {
    let Some(first) = lines.first().filter(|line| has_label(line, FROM)) else { return false };
    let rest = lines.iter().skip(1).take(HEADER_LINES).take_while(|line| !line.trim().is_empty());
    let (mut others, mut has_subject) = (0, false);
    for line in rest {
        has_subject |= has_label(line, SUBJECT);
        others += usize::from(has_label(line, OTHERS) || has_label(line, SUBJECT));
    }
    others >= 2 && (has_subject || first.contains('@'))
}

/// Whether the line is a field with one of these names, which may be marked as bold.
fn has_label(line: &str, labels: &[&str]) -> bool {
    const LONGEST_LABEL: usize = 64;
    let line = line.trim_start();
    let start = &line[..line.floor_char_boundary(LONGEST_LABEL)];
    let Some((label, _)) = start.split_once([':', '：']) else { return false };
    let label = label.trim_matches(|c: char| c == '*' || c.is_whitespace()).to_lowercase();
    labels.contains(&label.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_between_mails_are_told_from_text() {
        use Separator::{Forward, Original};
        let cases = [
            ("-----Original Message-----", Some(Original)),
            ("------ Original-Nachricht ------", Some(Original)),
            ("-------- Message d'origine --------", Some(Original)),
            ("---------- Forwarded message ---------", Some(Forward)),
            ("-------- Weitergeleitete Nachricht --------", Some(Forward)),
            ("Begin forwarded message:", Some(Forward)),
            ("Début du message réexpédié :", Some(Forward)),
            ("From: Ada\nSent: Monday\nTo: Bob\nSubject: x", Some(Original)),
            ("*Von:* Ada\n*Gesendet:* Montag\n*An:* Bob\n*Betreff:* x", Some(Original)),
            ("De : Ada\nEnvoyé : lundi\nÀ : Bob\nObjet : x", Some(Original)),
            ("From: Ada <ada@example.org>\nDate: Monday\nTo: Bob\n\nx", Some(Original)),
            ("________________________________\n\nFrom: Ada\nSent: Monday\nSubject: x", Some(Original)),
            ("________________________________\nSign here", None),
            ("--original--recipe", None),
            ("-- original recipe", None),
            ("----------", None),
            ("The original message:", None),
            ("From: Berlin\nTo: Paris\nDate: 3 May", None),
            ("From: here\n\nSent: now\nSubject: x", None),
            ("I forwarded message 3:", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let lines: Vec<&str> = text.split('\n').collect();
            assert_eq!(separator(&lines), expected, "{text}");
        }
    }
}
