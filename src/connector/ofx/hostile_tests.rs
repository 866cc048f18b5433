//! Files that are made to cost time or memory.

use std::time::Instant;

use super::{MAX_BYTES, MAX_DEPTH, parse};

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn hostile_files_of_twenty_mebibytes_are_answered_in_linear_time() {
    const FRAME: &str = "<STMTRS><CURDEF>EUR<BANKACCTFROM><ACCTID>1</BANKACCTFROM><BANKTRANLIST>";
    const NO_OFX: &str = "there is no <OFX> element";
    // Quadratic work on so many bytes would take hours; the bound leaves room for a busy machine without optimisation.
    const SECONDS: u64 = 60;
    let full: usize = 20 << 20;
    // What is refused late, or not at all, costs more than the rest and shows as much with less.
    let size = full / 10;
    let repeated = |piece: &str, size: usize| piece.repeat(size / piece.len());
    let all = |piece: &str| repeated(piece, full);
    let some = |piece: &str| repeated(piece, size);
    let nested = "<A>".repeat(MAX_DEPTH - 1);
    for (name, file, answer) in [
        ("opening tags", all("<A>"), NO_OFX),
        (
            "opening tags inside",
            format!("<OFX>{}", all("<A>")),
            "more than 64 elements are nested",
        ),
        ("brackets", all("<"), NO_OFX),
        (
            "brackets inside",
            format!("<OFX><A>{}", all("<")),
            "<A> is not closed; the file is cut off",
        ),
        (
            "CDATA",
            all("<![CDATA["),
            "<![CDATA[ is not closed with ]]>",
        ),
        (
            "CDATA inside",
            format!("<OFX><A>{}", all("<![CDATA[")),
            "<![CDATA[ is not closed with ]]>",
        ),
        (
            "one element",
            format!("<OFX><A>{}</A></OFX>", all("x")),
            "A is longer than 16384 bytes",
        ),
        (
            "one element of spaces",
            format!("<OFX><A>{}</A></OFX>", all(" ")),
            "no statement of an account",
        ),
        ("zeros", all("\0"), NO_OFX),
        ("lines", all("\r\n"), NO_OFX),
        ("roots", some("<OFX></OFX>"), "no statement of an account"),
        (
            "leaves",
            format!("<OFX>{}</OFX>", all("<A>x")),
            "more than 2000000 elements",
        ),
        (
            "leaves of a movement",
            format!(
                "<OFX>{FRAME}<STMTTRN>{}</STMTTRN></BANKTRANLIST></STMTRS></OFX>",
                some("<A></A>")
            ),
            "STMTTRN has no DTPOSTED (account 1)",
        ),
        (
            "movements",
            format!(
                "<OFX>{FRAME}{}</BANKTRANLIST></STMTRS></OFX>",
                some("<STMTTRN>")
            ),
            "STMTTRN has no DTPOSTED (account 1)",
        ),
        (
            "one account",
            format!(
                "<OFX>{}</OFX>",
                some("<STMTRS><BANKACCTFROM><ACCTID>1</BANKACCTFROM></STMTRS>")
            ),
            "",
        ),
        (
            "message sets",
            format!("<OFX>{}</OFX>", some("<BMSGSRSV1></BMSGSRSV1>")),
            "no statement of an account",
        ),
        (
            "closing tags",
            format!("<OFX>{nested}{}", some("</B>")),
            "not closed",
        ),
        (
            "closing tags in a text",
            format!("<OFX><A>x{}", some("</B>")),
            "longer than 16384 bytes",
        ),
        (
            "spaces before closing tags",
            format!("<OFX><A>{}{}</A></OFX>", some(" "), some("</B>")),
            "no statement of an account",
        ),
        (
            "spaces between closing tags",
            format!("<OFX><A>x{}", some("   </B>")),
            "longer than 16384 bytes",
        ),
        (
            "names",
            format!("<OFX>{}", some("<AAAAAAAAAAAAAAA")),
            "not closed",
        ),
        ("one name", format!("<OFX><{}", some("A")), "not closed"),
        (
            "attributes",
            format!("<OFX>{}", some("<A b=")),
            "not closed",
        ),
        (
            "sections of a text",
            format!("<OFX><A>{}</A></OFX>", some("<![CDATA[]]>")),
            "longer than 16384 bytes",
        ),
        (
            "comments",
            format!("<OFX>{}", some("<!--")),
            "<!-- is not closed with -->",
        ),
        (
            "closed comments",
            format!("<OFX>{}</OFX>", some("<!---->")),
            "no statement of an account",
        ),
        (
            "ampersands",
            format!("<OFX><A>{}</A></OFX>", some("&")),
            "longer than 16384 bytes",
        ),
        (
            "texts of ampersands",
            format!(
                "<OFX>{FRAME}<STMTTRN>{}</STMTTRN></BANKTRANLIST></STMTRS></OFX>",
                some(&format!("<NAME>{}</NAME>", "&".repeat(16_000)))
            ),
            "STMTTRN has no DTPOSTED (account 1)",
        ),
    ] {
        let start = Instant::now();
        let answered = parse(file.as_bytes());
        let elapsed = start.elapsed();
        println!("{name}: {elapsed:?}");
        assert!(elapsed.as_secs() < SECONDS, "{name} took {elapsed:?}");
        let message = answered
            .err()
            .map(|error| error.message)
            .unwrap_or_default();
        assert!(
            message.contains(answer) && message.is_empty() == answer.is_empty(),
            "{name}: {message}"
        );
    }
    let answer = parse(&vec![b'x'; MAX_BYTES + 1]).expect_err("it is too large");
    assert_eq!(answer.to_string(), "line 1: the file is larger than 32 MiB");
}
