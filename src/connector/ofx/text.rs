//! The text of an element as people meant it. No entity is ever defined or expanded: the five of XML, `&nbsp;` and
//! character numbers are replaced once, everything else stays as it is written.

use encoding_rs::WINDOWS_1252;

/// The text of raw content: entities and CDATA resolved, trimmed, lines joined, without control characters.
pub fn of(raw: &str) -> String {
    if raw.contains('&') || raw.contains("<!") {
        clean(&resolve(raw))
    } else {
        clean(raw)
    }
}

/// Replaces entities, once, and takes CDATA sections and comments apart.
fn resolve(raw: &str) -> String {
    let mut resolved = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(found) = rest.find(['&', '<']) {
        resolved.push_str(&rest[..found]);
        rest = &rest[found..];
        if let Some((data, behind)) = section(rest, "<![CDATA[", "]]>") {
            resolved.push_str(data);
            rest = behind;
        } else if let Some((_, behind)) = section(rest, "<!--", "-->") {
            rest = behind;
        } else if let Some((character, behind)) = entity(rest) {
            resolved.push(character);
            rest = behind;
        } else {
            resolved.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    resolved.push_str(rest);
    resolved
}

fn section<'a>(text: &'a str, opening: &str, closing: &str) -> Option<(&'a str, &'a str)> {
    text.strip_prefix(opening)?.split_once(closing)
}

fn entity(text: &str) -> Option<(char, &str)> {
    const LONGEST: usize = 10;
    let inside = text.strip_prefix('&')?;
    let length = inside.bytes().take(LONGEST).position(|b| b == b';')?;
    let (name, behind) = (&inside[..length], &inside[length + 1..]);
    let character = match name.to_ascii_lowercase().as_str() {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        name => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
                None => number.parse(),
            };
            numbered(code.ok()?)?
        }
    };
    Some((character, behind))
}

/// A character by its number. Those of windows-1252 are common although Unicode has control characters there.
fn numbered(code: u32) -> Option<char> {
    match u8::try_from(code) {
        Ok(byte @ 0x80..=0x9f) => {
            let bytes = [byte];
            let (text, _) = WINDOWS_1252.decode_without_bom_handling(&bytes);
            text.chars().next()
        }
        _ => char::from_u32(code),
    }
}

/// Trims, joins lines, makes tabs spaces, and drops control characters, which no client expects and `PostgreSQL` refuses
/// in part.
fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for line in text.split(['\n', '\r']) {
        let line = line.trim();
        if !line.is_empty() && !cleaned.is_empty() {
            cleaned.push(' ');
        }
        cleaned.extend(line.chars().filter_map(|c| match c {
            '\t' => Some(' '),
            c if c.is_control() || c == '\u{feff}' => None,
            c => Some(c),
        }));
    }
    let trimmed = cleaned.trim();
    if trimmed.len() == cleaned.len() {
        cleaned
    } else {
        trimmed.to_owned()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_is_what_people_meant() {
        for (raw, text) in [
            ("AT&T", "AT&T"),
            ("A &amp; B &amp;amp; C", "A & B &amp; C"),
            ("&lt;b&gt; &quot;&apos;&nbsp;x", "<b> \"' x"),
            ("&#233;&#xE9;&#XE9;&#150;&#0;", "ééé–"),
            (
                "&#x110000;&#xD800;&unknown;&#;&;&",
                "&#x110000;&#xD800;&unknown;&#;&;&",
            ),
            ("a < b", "a < b"),
            ("<![CDATA[ A <NAME> &amp; ]]>", "A <NAME> &amp;"),
            ("a<![CDATA[b]]>c<!-- d -->e", "abce"),
            (
                "one\r\n   two\tthree  four\u{7}\u{0}",
                "one two three  four",
            ),
            ("\u{1} \u{feff}", ""),
            ("\u{1} a \u{1}", "a"),
        ] {
            assert_eq!(super::of(raw), text, "{raw}");
        }
    }
}
