//! Amounts as they are found in files, exactly or not at all.
//!
//! OFX allows a decimal point or a decimal comma and no other separators; banks also group thousands. One separator
//! with one to three digits before and three behind it can be either. The other amounts of the file decide then (see
//! [`Evidence`]); without any, a point is a decimal point as OFX says, and a comma is refused, because being wrong
//! would be wrong by a factor of a thousand.

use crate::money::{Amount, AmountError};

/// Longer texts are no amounts.
const MAX_LENGTH: usize = 64;

/// Which decimal separators the amounts of a file use beyond doubt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    point: bool,
    comma: bool,
}

impl Evidence {
    /// Learns from one more amount of the file.
    pub fn observe(&mut self, text: &str) {
        if let Some(Shape::Certain {
            decimal: Some(separator),
            ..
        }) = shape(text)
        {
            self.point |= separator == '.';
            self.comma |= separator == ',';
        }
    }
}

/// What the separators of a number say.
enum Shape {
    /// One reading: canonical digits, and the decimal separator that it implies for the file, if any.
    Certain {
        digits: String,
        decimal: Option<char>,
    },
    /// Thousands or decimals.
    Ambiguous {
        separator: char,
        whole: String,
        fraction: String,
    },
}

/// Reads an amount; the error completes a sentence that begins with it.
pub fn amount(text: &str, evidence: Evidence) -> Result<Amount, &'static str> {
    canonical(text, evidence)?
        .parse()
        .map_err(|error| match error {
            AmountError::Malformed => "is not an amount",
            AmountError::OutOfRange => "has more than nine decimals or is out of range",
        })
}

/// The amount in another currency, if the product with the rate is an amount without rounding.
pub fn convert(amount: Amount, rate: &str, evidence: Evidence) -> Option<Amount> {
    const NANOS: i128 = 1_000_000_000;
    let rate = canonical(rate, evidence).ok()?;
    let rate = rate.strip_prefix('+').unwrap_or(&rate);
    let (whole, fraction) = rate.split_once('.').unwrap_or((rate, ""));
    let fraction = fraction.trim_end_matches('0');
    let factor: i128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let total = i128::from(amount.units()) * NANOS + i128::from(amount.nanos());
    let product = total.checked_mul(factor)?;
    if factor <= 0 || product % divisor != 0 {
        return None;
    }
    let total = product / divisor;
    let nanos = i32::try_from(total % NANOS).ok()?;
    Amount::from_parts(i64::try_from(total / NANOS).ok()?, nanos).ok()
}

/// The number in the notation of [`Amount`].
fn canonical(text: &str, evidence: Evidence) -> Result<String, &'static str> {
    let sign = if text.starts_with('-') { "-" } else { "" };
    match shape(text).ok_or("is not an amount")? {
        Shape::Certain { digits, .. } => Ok(format!("{sign}{digits}")),
        Shape::Ambiguous {
            separator,
            whole,
            fraction,
        } => {
            let decimal = match (evidence.point, evidence.comma) {
                (true, false) => separator == '.',
                (false, true) => separator == ',',
                _ if separator == '.' => true,
                _ => return Err("can be read with thousands or with decimals"),
            };
            let point = if decimal { "." } else { "" };
            Ok(format!("{sign}{whole}{point}{fraction}"))
        }
    }
}

fn shape(text: &str) -> Option<Shape> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let body: String = text
        .strip_prefix(['+', '-'])
        .unwrap_or(text)
        .chars()
        .map(|c| match c {
            '\u{a0}' | '\u{202f}' | '\u{2009}' | '\'' | '’' => ' ',
            c => c,
        })
        .collect();
    let certain = |digits, decimal| Some(Shape::Certain { digits, decimal });
    let Some(last) = body.rfind(['.', ',', ' ']) else {
        return if digits(&body) {
            certain(body, None)
        } else {
            None
        };
    };
    let separator = char::from(body.as_bytes()[last]);
    let (whole, fraction) = (&body[..last], &body[last + 1..]);
    if separator == ' ' || whole.contains(separator) {
        // A separator that comes twice groups thousands, so the other one is the decimal one of this file.
        let decimal = match separator {
            '.' => Some(','),
            ',' => Some('.'),
            _ => None,
        };
        return certain(ungroup(&body, separator)?, decimal);
    }
    if !digits(fraction) {
        return None;
    }
    if let Some(group) = whole.find(['.', ',', ' ']) {
        let grouped = ungroup(whole, char::from(whole.as_bytes()[group]))?;
        return certain(format!("{grouped}.{fraction}"), Some(separator));
    }
    if !whole.is_empty() && !digits(whole) {
        return None;
    }
    let ambiguous = fraction.len() == 3 && matches!(whole.len(), 1..=3) && !whole.starts_with('0');
    if ambiguous {
        return Some(Shape::Ambiguous {
            separator,
            whole: whole.to_owned(),
            fraction: fraction.to_owned(),
        });
    }
    certain(format!("{whole}.{fraction}"), Some(separator))
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Takes the thousands separators out of a whole number that is grouped as it should be.
fn ungroup(whole: &str, separator: char) -> Option<String> {
    let mut groups = whole.split(separator);
    let first = groups.next()?;
    let mut ungrouped = first.to_owned();
    for group in groups {
        if group.len() != 3 {
            return None;
        }
        ungrouped.push_str(group);
    }
    ((1..=3).contains(&first.len()) && digits(&ungrouped)).then_some(ungrouped)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Evidence = Evidence {
        point: false,
        comma: false,
    };
    const POINT: Evidence = Evidence {
        point: true,
        comma: false,
    };
    const COMMA: Evidence = Evidence {
        point: false,
        comma: true,
    };

    #[test]
    fn separators_are_understood_where_they_are_clear() {
        for (text, evidence, printed) in [
            ("-5.50", NONE, "-5.50"),
            ("12,5", NONE, "12.50"),
            ("-1.234,56", NONE, "-1234.56"),
            ("1,234.56", NONE, "1234.56"),
            ("1.234.567", NONE, "1234567.00"),
            ("-1,234,567", NONE, "-1234567.00"),
            ("1.234.567,891", NONE, "1234567.891"),
            ("1 234,56", NONE, "1234.56"),
            ("1\u{a0}234\u{a0}567", NONE, "1234567.00"),
            ("1'234.50", NONE, "1234.50"),
            ("-00000000001500.0000", NONE, "-1500.00"),
            ("+00000000000115.8331", NONE, "115.8331"),
            (".5", NONE, "0.50"),
            ("-,5", NONE, "-0.50"),
            ("0,125", NONE, "0.125"),
            ("1234,567", NONE, "1234.567"),
            ("120", NONE, "120.00"),
            // Thousands or decimals: the file decides.
            ("1.234", NONE, "1.234"),
            ("1.234", POINT, "1.234"),
            ("1.234", COMMA, "1234.00"),
            ("1,234", POINT, "1234.00"),
            ("1,234", COMMA, "1.234"),
            ("1.234567891000", NONE, "1.234567891"),
        ] {
            let amount = amount(text, evidence).map(|amount| amount.to_string());
            assert_eq!(amount.as_deref(), Ok(printed), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_or_not_clear_is_refused() {
        for text in [
            "",
            "-",
            "+-1",
            "$120",
            "1.",
            "1,",
            ".",
            "1..2",
            "1,23.45",
            "12.34.56",
            "1.234,567.89",
            "1 2",
            "- 5",
            "1e3",
            "0x10",
            "12.50-",
            "(5.00)",
            "NaN",
            "١٢",
            "1234.567,89",
            ",234,567",
            "1,234",
            "0.0000000001",
            "1.2345678901000",
            "9223372036854775808",
            "99999999999999999999999999999999999999999999999999999999999999999",
        ] {
            assert!(amount(text, NONE).is_err(), "{text}");
        }
        assert!(
            amount(
                "1,234",
                Evidence {
                    point: true,
                    comma: true
                }
            )
            .is_err()
        );
    }

    #[test]
    fn evidence_comes_from_amounts_with_one_reading_only() {
        for (text, evidence) in [
            ("12.50", POINT),
            ("12,50", COMMA),
            ("1.234,56", COMMA),
            ("1,234,567", POINT),
            ("1.234", NONE),
            ("1,234", NONE),
            ("120", NONE),
            ("1 234", NONE),
            ("junk", NONE),
            ("0,125", COMMA),
        ] {
            let mut seen = Evidence::default();
            seen.observe(text);
            assert_eq!(seen, evidence, "{text}");
        }
    }

    #[test]
    fn conversion_is_exact_or_absent() {
        let convert = |amount: &str, rate| {
            Some(convert(amount.parse().expect(amount), rate, NONE)?.to_string())
        };
        assert_eq!(convert("-3.65", "1.06").as_deref(), Some("-3.869"));
        assert_eq!(convert("100", "1.0000").as_deref(), Some("100.00"));
        assert_eq!(convert("0.3", "3,5").as_deref(), Some("1.05"));
        assert_eq!(convert("1000000000", "0.0000000000000000001"), None);
        assert_eq!(convert("1", "0.1234567891"), None);
        assert_eq!(convert("9223372036854775807", "10"), None);
        for rate in [
            "",
            "0",
            "0.00",
            "-1",
            "x",
            "1,234",
            "99999999999999999999999999999999999999999999999",
        ] {
            assert_eq!(convert("1", rate), None, "{rate}");
        }
    }
}
