//! Exact decimal amounts, from the connector to the client.
//!
//! An [`Amount`] has at most nine decimals and is stored as two integers of the same sign, whole units and nanos
//! (as `google.type.Money` does), so that sums, ranges and order are exact in SQL on both engines. More decimals, or a
//! value beyond 64-bit units, are an error and never a rounding.

use std::{fmt, str::FromStr};

use rust_decimal::Decimal;

const NANOS_PER_UNIT: i128 = 1_000_000_000;

/// An exact decimal amount: `units + nanos / 10⁹`, both of one sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount {
    units: i64,
    nanos: i32,
}

/// Why a text or a pair of integers is not an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a decimal number such as `-1234.56`.
    #[error("not a decimal number")]
    Malformed,
    /// More than nine decimals, or more than 64-bit units.
    #[error("more than nine decimals or out of range")]
    OutOfRange,
}

impl Amount {
    /// Zero.
    pub const ZERO: Self = Self { units: 0, nanos: 0 };

    /// Puts stored columns together again; fails unless both have one sign and `nanos` is below one unit.
    pub fn from_parts(units: i64, nanos: i32) -> Result<Self, AmountError> {
        let mixed = (units > 0 && nanos < 0) || (units < 0 && nanos > 0);
        if mixed || nanos.unsigned_abs() >= 1_000_000_000 {
            return Err(AmountError::OutOfRange);
        }
        Ok(Self { units, nanos })
    }

    /// Whole units, truncated towards zero.
    pub fn units(self) -> i64 {
        self.units
    }

    /// The rest in billionths of a unit, of the same sign as the units.
    pub fn nanos(self) -> i32 {
        self.nanos
    }

    /// An amount of hundredths, as most currencies have them.
    pub fn from_cents(cents: i64) -> Self {
        Self {
            units: cents / 100,
            nanos: i32::try_from(cents % 100).expect("a remainder of 100 fits") * 10_000_000,
        }
    }

    /// Whether the amount is below zero.
    pub fn is_negative(self) -> bool {
        self.units < 0 || self.nanos < 0
    }

    /// The amount with its sign turned; fails for the one value whose opposite does not exist.
    pub fn checked_neg(self) -> Result<Self, AmountError> {
        Ok(Self {
            units: self.units.checked_neg().ok_or(AmountError::OutOfRange)?,
            nanos: -self.nanos,
        })
    }

    /// The exact sum.
    pub fn checked_add(self, other: Self) -> Result<Self, AmountError> {
        Self::from_total(self.total() + other.total())
    }

    /// The exact difference.
    pub fn checked_sub(self, other: Self) -> Result<Self, AmountError> {
        Self::from_total(self.total() - other.total())
    }

    /// What sums of whole units and of billionths, each by itself, come to together; fails beyond 64-bit units.
    pub fn from_sums(units: i128, nanos: i128) -> Result<Self, AmountError> {
        let whole = units.checked_mul(NANOS_PER_UNIT);
        let total = whole.and_then(|whole| whole.checked_add(nanos));
        Self::from_total(total.ok_or(AmountError::OutOfRange)?)
    }

    fn total(self) -> i128 {
        i128::from(self.units) * NANOS_PER_UNIT + i128::from(self.nanos)
    }

    fn from_total(total: i128) -> Result<Self, AmountError> {
        let units = i64::try_from(total / NANOS_PER_UNIT).map_err(|_| AmountError::OutOfRange)?;
        let nanos = i32::try_from(total % NANOS_PER_UNIT).expect("a remainder of 10⁹ fits");
        Ok(Self { units, nanos })
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    /// Reads `[+-]digits[.digits]`; trailing zeros beyond nine decimals are harmless, other digits there are an error.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let only_digits = whole
            .bytes()
            .chain(fraction.bytes())
            .all(|b| b.is_ascii_digit());
        let nothing_after_point = fraction.is_empty() && (whole.is_empty() || digits.contains('.'));
        if !only_digits || nothing_after_point {
            return Err(AmountError::Malformed);
        }
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 9 || whole.len() > 19 {
            return Err(AmountError::OutOfRange);
        }
        let units: i128 = if whole.is_empty() {
            0
        } else {
            whole.parse().map_err(|_| AmountError::OutOfRange)?
        };
        let nanos: i128 = format!("{fraction:0<9}")
            .parse()
            .map_err(|_| AmountError::OutOfRange)?;
        let total = units * NANOS_PER_UNIT + nanos;
        Self::from_total(if text.starts_with('-') { -total } else { total })
    }
}

impl TryFrom<Decimal> for Amount {
    type Error = AmountError;

    fn try_from(value: Decimal) -> Result<Self, AmountError> {
        value.normalize().to_string().parse()
    }
}

impl fmt::Display for Amount {
    /// Plain notation with at least two and at most nine decimals: `-25.00`, `115.8331`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative() { "-" } else { "" };
        let (mut fraction, mut digits) = (self.nanos.unsigned_abs(), 9);
        while digits > 2 && fraction % 10 == 0 {
            fraction /= 10;
            digits -= 1;
        }
        write!(f, "{sign}{}.{fraction:0digits$}", self.units.unsigned_abs())
    }
}

impl serde::Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prints_what_it_read() {
        for (text, printed) in [
            ("0.01", "0.01"),
            ("-25.00", "-25.00"),
            ("+00000000000115.8331", "115.8331"),
            ("-0.5", "-0.50"),
            (".5", "0.50"),
            ("120", "120.00"),
            (
                "9223372036854775807.999999999",
                "9223372036854775807.999999999",
            ),
            ("1.0000000000000", "1.00"),
        ] {
            assert_eq!(text.parse::<Amount>().expect(text).to_string(), printed);
        }
    }

    #[test]
    fn refuses_what_it_cannot_hold_exactly() {
        for text in [
            "",
            "-",
            "1.",
            "$120",
            "1,5",
            "1e3",
            "0.0000000001",
            "9223372036854775808",
            " 1",
        ] {
            assert!(text.parse::<Amount>().is_err(), "{text}");
        }
        assert!(Amount::from_parts(1, -1).is_err());
        assert!(Amount::from_parts(0, 1_000_000_000).is_err());
    }

    proptest! {
        #[test]
        fn parts_sums_and_order_are_exact(a in -1_000_000_000_000_i64..1_000_000_000_000, b in -1_000_000_000_000_i64..1_000_000_000_000) {
            let (x, y) = (Amount::from_cents(a), Amount::from_cents(b));
            prop_assert_eq!(x.checked_add(y).expect("in range"), Amount::from_cents(a + b));
            prop_assert_eq!(x.checked_sub(y).expect("in range"), Amount::from_cents(a - b));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(Amount::from_parts(x.units(), x.nanos()).expect("same sign"), x);
            prop_assert_eq!(x.to_string().parse::<Amount>().expect("its own text"), x);
            // As SQL sums: each column by itself, normalised afterwards.
            let (units, nanos) = (x.units() + y.units(), i128::from(x.nanos()) + i128::from(y.nanos()));
            prop_assert_eq!(Amount::from_sums(units.into(), nanos).expect("in range"), x.checked_add(y).expect("in range"));
        }
    }
}
