//! Numbers of bank slips with their check digits.

/// The bar code of a slip of a bank, and what people type: due so many days after the base day of the count.
pub(super) fn numbers(bank: &str, due: i64, cents: i64, free: i64) -> (String, String) {
    let free = format!("{free:025}");
    let amount = format!("{:04}{cents:010}", due.rem_euclid(10_000));
    let unchecked: Vec<i64> = format!("{bank}9{amount}{free}")
        .bytes()
        .map(digit)
        .collect();
    let check = eleven(&unchecked);
    let barcode = format!("{bank}9{check}{amount}{free}");
    let field = |digits: &str| format!("{digits}{}", ten(digits));
    let line = format!(
        "{} {} {} {check} {amount}",
        field(&format!("{bank}9{}", &free[..5])),
        field(&free[5..15]),
        field(&free[15..]),
    );
    (barcode, line)
}

fn digit(byte: u8) -> i64 {
    i64::from(byte.wrapping_sub(b'0'))
}

/// The check digit modulo 11, with weights of 2 to 9 from the right; what has none gets 1.
fn eleven(digits: &[i64]) -> i64 {
    let sum: i64 = digits
        .iter()
        .rev()
        .zip((2..=9).cycle())
        .map(|(digit, weight)| digit * weight)
        .sum();
    match 11 - sum % 11 {
        10 | 11 => 1,
        digit => digit,
    }
}

/// The check digit modulo 10.
fn ten(digits: &str) -> i64 {
    let sum: i64 = digits
        .bytes()
        .rev()
        .map(digit)
        .zip([2, 1].into_iter().cycle())
        .map(|(digit, weight)| digit * weight / 10 + digit * weight % 10)
        .sum();
    (10 - sum % 10) % 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_slip_says_the_same_as_its_bar_code() {
        let (barcode, line) = numbers("341", 1_234, 12_345, 987_654_321);
        assert_eq!(barcode.len(), 44);
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(digits.len(), 47);
        let free = format!("{}{}{}", &digits[4..9], &digits[10..20], &digits[21..31]);
        let back = format!("{}{}{}{free}", &digits[..4], &digits[32..33], &digits[33..]);
        assert_eq!(back, barcode);
        assert_eq!(ten("001905009"), 5, "of a published example");
    }
}
