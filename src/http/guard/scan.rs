//! Linear scans over text that nothing has parsed yet.
//!
//! They see strings, comments and tokens exactly as the parser behind them does; where the parser would read on after
//! something broken (three quotes that never close are to it an empty string and one more quote), they refuse, since
//! brackets would be counted on the wrong side of a quote.

use super::{NAME, NESTING, Rejection, SIZE, TOKENS};

/// Bounds size, tokens and open brackets of a document.
pub fn scan(document: &str) -> Result<(), Rejection> {
    if document.len() > SIZE {
        let message = format!("the document has more than {SIZE} bytes");
        return Err(Rejection::limit("size", SIZE, message));
    }
    let bytes = document.as_bytes();
    let (mut at, mut tokens, mut open) = (0, 0, 0_usize);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let (length, found) = match rest[0] {
            b' ' | b'\t' | b'\n' | b'\r' | b',' => (1, 0),
            b'#' => (comment(rest), 1),
            b'"' => match string(rest) {
                Some(length) => (length, 1),
                None => return Err(unterminated(&document[..at])),
            },
            b'(' | b'[' | b'{' => {
                open += 1;
                if open > NESTING {
                    let message = format!("more than {NESTING} brackets are open at once");
                    return Err(Rejection::limit("nesting", NESTING, message));
                }
                (1, 1)
            }
            b')' | b']' | b'}' => {
                open = open.saturating_sub(1);
                (1, 1)
            }
            b'.' if rest.starts_with(b"...") => (3, 1),
            b'-' | b'0'..=b'9' => (number(rest), 1),
            b'_' | b'A'..=b'Z' | b'a'..=b'z' => name(rest),
            _ if rest.starts_with("\u{feff}".as_bytes()) => (3, 0),
            _ => (1, 1),
        };
        at += length;
        tokens += found;
        if tokens > TOKENS {
            let message = format!("the document has more than {TOKENS} tokens");
            return Err(Rejection::limit("tokens", TOKENS, message));
        }
        if length > NAME && matches!(rest[0], b'_' | b'A'..=b'Z' | b'a'..=b'z') {
            let message = format!("a name has more than {NAME} bytes");
            return Err(Rejection::limit("name", NAME, message));
        }
    }
    Ok(())
}

/// Bounds the open brackets of a JSON text, such as a request body or variables. Whether it is JSON, its parser says.
pub fn scan_json(json: &[u8]) -> Result<(), Rejection> {
    let (mut at, mut open) = (0, 0_usize);
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b'[' | b'{' => {
                open += 1;
                if open > NESTING {
                    let message = format!("the JSON is nested more than {NESTING} deep");
                    return Err(Rejection::limit("nesting", NESTING, message));
                }
            }
            b']' | b'}' => open = open.saturating_sub(1),
            b'"' => {
                while let Some(byte) = json.get(at) {
                    at += if *byte == b'\\' { 2 } else { 1 };
                    if *byte == b'"' {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn comment(rest: &[u8]) -> usize {
    rest.iter()
        .position(|byte| matches!(byte, b'\n' | b'\r'))
        .unwrap_or(rest.len())
}

/// Length of the string or block string that starts here, or none when it does not end.
fn string(rest: &[u8]) -> Option<usize> {
    let block = rest.starts_with(br#"""""#);
    let mut at = if block { 3 } else { 1 };
    while at < rest.len() {
        let ahead = &rest[at..];
        at += match ahead[0] {
            b'"' if !block => return Some(at + 1),
            b'"' if ahead.starts_with(br#"""""#) => return Some(at + 3),
            b'\n' | b'\r' if !block => return None,
            // What follows a backslash cannot end a string; should it end the line, the next round sees that.
            b'\\' if !block && !matches!(ahead.get(1), Some(b'\n' | b'\r')) => 2,
            b'\\' if block && ahead.starts_with(br#"\""""#) => 4,
            _ => 1,
        };
    }
    None
}

/// Length of a number. `00` is two numbers, as to the parser.
fn number(rest: &[u8]) -> usize {
    let digits = |from: usize| {
        rest.get(from..)
            .unwrap_or_default()
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let sign = usize::from(rest[0] == b'-');
    let mut end = sign
        + if rest.get(sign) == Some(&b'0') {
            1
        } else {
            digits(sign)
        };
    if rest.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if matches!(rest.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end
}

/// Length of a name, and how many tokens it is: to the parser `nullnull` may be two values.
fn name(rest: &[u8]) -> (usize, usize) {
    let length = rest
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
        .count();
    let (mut word, mut tokens) = (&rest[..length], 1);
    while let Some(glued) = [b"true".as_slice(), b"false", b"null"]
        .into_iter()
        .find_map(|keyword| word.strip_prefix(keyword))
        .filter(|glued| !glued.is_empty())
    {
        (word, tokens) = (glued, tokens + 1);
    }
    (length, tokens)
}

fn unterminated(before: &str) -> Rejection {
    let line_start = before.rfind(['\n', '\r']).map_or(0, |end| end + 1);
    Rejection::Parse {
        message: "a string does not end".to_owned(),
        line: 1 + before.matches(['\n', '\r']).count() - before.matches("\r\n").count(),
        column: 1 + before[line_start..].chars().count(),
    }
}
