//! Tax numbers with their check digits, and numbers of bank slips with theirs.

/// A company's: twelve digits with their two check digits, as people write it.
pub(super) fn cnpj(base: i64) -> String {
    let mut digits = digits(base, 12);
    for _ in 0..2 {
        let weights = (2..=9).cycle();
        digits.push(eleven(&digits, weights, 0));
    }
    let text = joined(&digits);
    format!(
        "{}.{}.{}/{}-{}",
        &text[..2],
        &text[2..5],
        &text[5..8],
        &text[8..12],
        &text[12..]
    )
}

/// A person's: nine digits with their two check digits, as people write it.
pub(super) fn cpf(base: i64) -> String {
    let mut digits = digits(base, 9);
    for _ in 0..2 {
        digits.push(eleven(&digits, 2.., 0));
    }
    let text = joined(&digits);
    format!(
        "{}.{}.{}-{}",
        &text[..3],
        &text[3..6],
        &text[6..9],
        &text[9..]
    )
}

/// The bar code of a slip of a bank, and what people type: due so many days after the base day of the count.
pub(super) fn slip(bank: &str, due: i64, cents: i64, free: i64) -> (String, String) {
    let free = format!("{free:025}");
    let amount = format!("{:04}{cents:010}", due.rem_euclid(10_000));
    let unchecked: Vec<i64> = format!("{bank}9{amount}{free}")
        .bytes()
        .map(digit)
        .collect();
    let check = eleven(&unchecked, (2..=9).cycle(), 1);
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

fn digits(base: i64, count: usize) -> Vec<i64> {
    format!("{base:0count$}").bytes().map(digit).collect()
}

fn joined(digits: &[i64]) -> String {
    digits.iter().map(ToString::to_string).collect()
}

/// The check digit modulo 11, with these weights from the right; what has none gets the other one.
fn eleven(digits: &[i64], weights: impl Iterator<Item = i64>, otherwise: i64) -> i64 {
    let sum: i64 = digits
        .iter()
        .rev()
        .zip(weights)
        .map(|(digit, weight)| digit * weight)
        .sum();
    match 11 - sum % 11 {
        10 | 11 => otherwise,
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
    fn check_digits_are_those_of_known_numbers() {
        assert_eq!(cpf(761_092_776), "761.092.776-73");
        assert_eq!(cpf(2_502_737), "002.502.737-99");
        assert_eq!(cnpj(112_223_330_001), "11.222.333/0001-81");
        assert_eq!(cnpj(1), "00.000.000/0001-91");
    }

    #[test]
    fn the_line_of_a_slip_says_the_same_as_its_bar_code() {
        let (barcode, line) = slip("341", 1_234, 12_345, 987_654_321);
        assert_eq!(barcode.len(), 44);
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(digits.len(), 47);
        let free = format!("{}{}{}", &digits[4..9], &digits[10..20], &digits[21..31]);
        let back = format!("{}{}{}{free}", &digits[..4], &digits[32..33], &digits[33..]);
        assert_eq!(back, barcode);
        assert_eq!(ten("001905009"), 5, "of a published example");
    }
}
