use super::*;
use crate::mail::split::tree;

/// A multipart with these parts, each with its own header.
fn multipart(kind: &str, parts: &[&str]) -> String {
    let boundary = format!("={}", kind.len() + parts.concat().len());
    let delimited: String = parts.iter().flat_map(|part| ["--", &boundary, "\n", part, "\n"]).collect();
    format!("Content-Type: multipart/{kind}; boundary=\"{boundary}\"\n\n{delimited}--{boundary}--\n")
}

fn plain(text: &str) -> String {
    format!("Content-Type: text/plain\n\n{text}")
}

fn html(text: &str) -> String {
    format!("Content-Type: text/html\n\n{text}")
}

/// `text=…`, `html=…`, and the content of each attachment, with a `~` before those that are inline.
fn found(mail: &str) -> String {
    let root = tree(mail.as_bytes(), 0).unwrap();
    let body = Body::of(&root);
    let mut found = Vec::new();
    for (name, part) in [("text", body.text), ("html", body.html)] {
        found.extend(part.map(|part| format!("{name}={}", String::from_utf8_lossy(part.raw))));
    }
    for attachment in &body.attachments {
        let mark = if attachment.is_inline { "~" } else { "" };
        found.push(format!("{mark}{}", String::from_utf8_lossy(&attachment.content())));
    }
    found.join(" ")
}

const PICTURE: &str = "Content-Type: image/png\nContent-ID: <p>\n\nPNG";
const FILE: &str = "Content-Type: application/pdf\nContent-Disposition: attachment; filename=a.pdf\n\nPDF";
const NAMED: &str = "Content-Type: text/plain; name=a.txt\n\nNAMED";

#[test]
fn the_first_text_and_html_are_the_body() {
    let alternative = multipart("alternative", &[&plain("T"), &html("H")]);
    for (mail, expected) in [
        (plain("T"), "text=T"),
        (html("H"), "html=H"),
        ("T".to_owned(), "text=T"),
        (alternative.clone(), "text=T html=H"),
        (multipart("mixed", &[&plain("T"), FILE]), "text=T PDF"),
        (multipart("mixed", &[FILE, &plain("T")]), "text=T PDF"),
        (multipart("mixed", &[&alternative, FILE]), "text=T html=H PDF"),
        (multipart("mixed", &[&alternative, &plain("footer")]), "text=T html=H ~footer"),
        (multipart("mixed", &[&html("H"), &plain("footer")]), "html=H ~footer"),
        (multipart("mixed", &[&plain("T"), &html("footer")]), "text=T ~footer"),
        (multipart("mixed", &[&plain("one"), PICTURE, &plain("two")]), "text=one PNG ~two"),
        (multipart("mixed", &[&plain("\r\n"), &html("H")]), "text=\r\n html=H"),
        (multipart("mixed", &[&plain("\n"), &alternative]), "text=T html=H ~\n"),
        (multipart("mixed", &[&plain("\n"), &plain("T"), &html("H")]), "text=T ~\n ~H"),
        (multipart("mixed", &[NAMED, &plain("later")]), "text=NAMED ~later"),
        (multipart("mixed", &[&plain("T"), NAMED]), "text=T NAMED"),
        (multipart("mixed", &[FILE, NAMED]), "PDF NAMED"),
        (multipart("alternative", &[&plain("T"), "Content-Type: text/calendar\n\nCAL"]), "text=T ~CAL"),
        (
            multipart("alternative", &[&plain("T"), &multipart("mixed", &[&html("H"), FILE, &html("more")])]),
            "text=T html=H PDF ~more",
        ),
        (multipart("mixed", &[&multipart("alternative", &[&html("H")]), &plain("footer")]), "html=H ~footer"),
        (multipart("alternative", &[&plain("T"), "Content-Type: text/html; name=a.html\n\nH"]), "text=T html=H"),
        (multipart("mixed", &[]), ""),
    ] {
        assert_eq!(found(&mail), expected, "{mail}");
    }
}

#[test]
fn what_belongs_to_the_body_is_no_body() {
    let related = multipart("related", &[&html("H"), PICTURE, &plain("part of it")]);
    for (mail, expected) in [
        (related.clone(), "html=H ~PNG ~part of it"),
        (multipart("alternative", &[&plain("T"), &related]), "text=T html=H ~PNG ~part of it"),
        (multipart("related", &[PICTURE, &html("H")]).replace("related;", "related; start=\"<r>\";"), "~PNG ~H"),
        (
            multipart("related", &[PICTURE, "Content-Type: text/html\nContent-ID: <r>\n\nH"])
                .replace("related;", "related; start=\"<r>\";"),
            "html=H ~PNG",
        ),
        (multipart("signed", &[&plain("T"), "Content-Type: application/pgp-signature\n\nSIG"]), "text=T SIG"),
        (multipart("signed", &["Content-Type: image/png\n\nPNG", &plain("SIG")]), "PNG ~SIG"),
        (
            multipart(
                "encrypted",
                &[
                    "Content-Type: application/pgp-encrypted\n\nVersion: 1",
                    "Content-Type: application/octet-stream\n\nPGP",
                ],
            ),
            "Version: 1 PGP",
        ),
        ("Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: base64\n\nYWJj".to_owned(), "abc"),
        (
            multipart("mixed", &[&plain("T"), "Content-Type: message/rfc822\n\nSubject: x\n\nfar"]),
            "text=T Subject: x\n\nfar",
        ),
        (
            multipart(
                "report",
                &[
                    &plain("T"),
                    "Content-Type: message/delivery-status\n\nAction: failed",
                    "Content-Type: text/rfc822-headers\n\nSubject: x",
                ],
            ),
            "text=T Action: failed ~Subject: x",
        ),
        ("Content-Disposition: attachment\n\nT".to_owned(), "T"),
        ("Content-Disposition: inline; filename=a.txt\n\nT".to_owned(), "text=T"),
    ] {
        assert_eq!(found(&mail), expected, "{mail}");
    }
}
