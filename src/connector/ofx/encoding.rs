//! Bytes to text. Promises an answer for any input, whatever the file says of itself.
//!
//! The order of trust: a byte order mark; the zero bytes of UTF-16; that the bytes are valid UTF-8, which no other
//! text of letters beyond ASCII happens to be; the declaration; windows-1252, in which every byte means something.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// How far into a file a declaration is looked for.
const HEADER_BYTES: usize = 1 << 10;

/// The text of a file.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    if let Some((encoding, length)) = Encoding::for_bom(bytes) {
        let (text, _) = encoding.decode_without_bom_handling(&bytes[length..]);
        return text;
    }
    match bytes {
        [b'<' | b'O' | b'\r' | b'\n', 0, ..] => UTF_16LE.decode_without_bom_handling(bytes).0,
        [0, b'<' | b'O' | b'\r' | b'\n', ..] => UTF_16BE.decode_without_bom_handling(bytes).0,
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => declared(bytes).decode_without_bom_handling(bytes).0,
        },
    }
}

/// The character set that the header names, unless the bytes have already shown that it cannot be.
fn declared(bytes: &[u8]) -> &'static Encoding {
    let head = &bytes[..bytes.len().min(HEADER_BYTES)];
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    ["charset:", "encoding=\"", "encoding='", "encoding:"]
        .iter()
        .filter_map(|key| head.split_once(key))
        .filter_map(|(_, rest)| {
            let rest = rest.trim_start();
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.:".contains(c)));
            named(&rest[..end.unwrap_or(rest.len())])
        })
        .find(|encoding| ![UTF_8, UTF_16BE, UTF_16LE].contains(encoding))
        .unwrap_or(WINDOWS_1252)
}

/// A character set by one of the names found in headers: a code page, or a label of the web.
fn named(name: &str) -> Option<&'static Encoding> {
    let label = match name.trim_start_matches("cp") {
        "932" => "shift_jis",
        "936" => "gbk",
        "949" => "euc-kr",
        "950" => "big5",
        page if page.len() == 4 && page.starts_with("125") => &format!("windows-{page}"),
        page if page.starts_with("8859-") => &format!("iso-{page}"),
        _ => name,
    };
    Encoding::for_label(label.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_believed_before_the_declaration() {
        for (bytes, text) in [
            (
                &b"CHARSET:1252\n<OFX>Caf\xe9 \x80"[..],
                "CHARSET:1252\n<OFX>Café €",
            ),
            (
                "CHARSET:1252\n<OFX>Café".as_bytes(),
                "CHARSET:1252\n<OFX>Café",
            ),
            (
                b"ENCODING:UTF-8\nCHARSET:NONE\n<OFX>Caf\xe9",
                "ENCODING:UTF-8\nCHARSET:NONE\n<OFX>Café",
            ),
            (
                b"<?xml encoding=\"UTF-8\"?><OFX>\xe9",
                "<?xml encoding=\"UTF-8\"?><OFX>é",
            ),
            (
                b"<?xml encoding='iso-8859-2'?><OFX>\xb1",
                "<?xml encoding='iso-8859-2'?><OFX>ą",
            ),
            (b"CHARSET:1251<OFX>\xc6", "CHARSET:1251<OFX>Ж"),
            (
                b"CHARSET: 8859-15\r\n<OFX>\xa4",
                "CHARSET: 8859-15\r\n<OFX>€",
            ),
            (b"\xef\xbb\xbf<OFX>", "<OFX>"),
            (b"\xff\xfe<\0O\0\xe9\0", "<Oé"),
            (b"\xfe\xff\0<\0O\0\xe9", "<Oé"),
            (b"<\0O\0\xe9\0", "<Oé"),
            (b"\0<\0O\0\xe9", "<Oé"),
            (b"", ""),
        ] {
            assert_eq!(decode(bytes), text);
        }
    }
}
