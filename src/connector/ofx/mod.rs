//! Reads OFX: the statement files that banks let their customers download, 1.x (SGML) and 2.x (XML).
//!
//! [`parse`] promises that a file is either read whole or refused with the line that is wrong, that every amount is
//! exactly the one in the file, that hostile input costs time and memory in proportion to its size within the bounds
//! below, and that no text it hands on holds control characters. It is pure. It is as tolerant as real files demand:
//! wrong character sets, missing headers and closing tags, unescaped ampersands, decimal commas. What it does not
//! tolerate is doubt about a date, an amount or the end of the file.
//!
//! `encoding` makes text of bytes, `sgml` a flat tree of the text, `statement` records of the tree, with `identity` for
//! accounts, `movement` for their rows, and `field`, `text`, `date` and `number` for values.

mod date;
mod encoding;
mod field;
mod identity;
mod movement;
mod number;
mod sgml;
mod statement;
mod text;

#[cfg(test)]
mod fixture_tests;
#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod hostile_tests;

pub use self::statement::{Document, Statement};

/// Most bytes in a file.
pub const MAX_BYTES: usize = 32 << 20;
/// Most elements that are open at one time.
pub const MAX_DEPTH: usize = 64;
/// Most elements in a file.
pub const MAX_ELEMENTS: usize = 2_000_000;
/// Most bytes in the text of one element.
pub const MAX_TEXT: usize = 16 << 10;
/// Most accounts in a file.
pub const MAX_ACCOUNTS: usize = 1_000;

/// Why a file is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// Where, counted from one.
    pub line: usize,
    /// What is wrong there, in English, fit for clients.
    pub message: String,
    /// The institution's own words, when the file carries an error of the institution instead of a statement.
    pub provider_message: Option<String>,
}

/// A [`ParseError`] whose line is not counted yet.
#[derive(Debug)]
struct Problem {
    offset: usize,
    message: String,
    provider_message: Option<String>,
}

impl Problem {
    fn at(offset: usize, message: impl Into<String>) -> Self {
        Self {
            offset,
            message: message.into(),
            provider_message: None,
        }
    }
}

/// Reads a whole file.
pub fn parse(bytes: &[u8]) -> Result<Document, ParseError> {
    if bytes.len() > MAX_BYTES {
        return Err(ParseError {
            line: 1,
            message: format!("the file is larger than {} MiB", MAX_BYTES >> 20),
            provider_message: None,
        });
    }
    let text = encoding::decode(bytes);
    sgml::Tree::parse(&text)
        .and_then(|tree| statement::read(&tree))
        .map_err(|problem| ParseError {
            line: line(&text, problem.offset),
            message: problem.message,
            provider_message: problem.provider_message,
        })
}

/// The line of an offset. Files of the old Macintosh end lines with a carriage return alone.
fn line(text: &str, offset: usize) -> usize {
    let end = if text.contains('\n') { b'\n' } else { b'\r' };
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == end).count()
}
