//! Brazil's tax numbers: CPF of persons, CNPJ of companies.
//!
//! Both end in two check digits, each the weighted sum of what stands before it, modulo 11 (Receita Federal). Since July
//! 2026 the first twelve characters of a CNPJ may be letters too, which count as their ASCII code less 48 (Instrução
//! Normativa RFB 2.229/2024).

/// Characters of a CNPJ, without punctuation.
pub const CNPJ: usize = 14;
/// The highest weights are 9 in a CNPJ, 11 in a CPF: so many there are.
pub const CNPJ_WEIGHTS: usize = 8;
/// The same of a CPF.
pub const CPF_WEIGHTS: usize = 10;

/// The check digit of digits that are weighted by 2 and so on, from behind, with so many weights.
pub fn check_digit(digits: &[u32], weights: usize) -> u32 {
    let weighted = digits.iter().rev().zip((2..).take(weights).cycle());
    let sum: u32 = weighted.map(|(digit, weight)| digit * weight).sum();
    match sum % 11 {
        0 | 1 => 0,
        rest => 11 - rest,
    }
}

/// A tax number without its punctuation, in capitals.
pub fn bare(text: &str) -> String {
    text.chars()
        .filter(|c| !matches!(c, '.' | '/' | '-' | ' '))
        .map(|c| c.to_ascii_uppercase())
        .collect()
}

/// A CNPJ without its punctuation, in capitals; `None` when it is none.
pub fn cnpj(text: &str) -> Option<String> {
    let bare = bare(text);
    let value = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' => Some(u32::from(byte - b'0')),
        _ => None,
    };
    let values: Vec<u32> = bare.bytes().map(value).collect::<Option<_>>()?;
    let checks = |count: usize| values[count] == check_digit(&values[..count], CNPJ_WEIGHTS);
    let varied = || values.iter().any(|value| *value != values[0]);
    (values.len() == CNPJ && checks(CNPJ - 2) && checks(CNPJ - 1) && varied()).then_some(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cnpj_is_known_by_its_check_digits() {
        for (text, bare) in [
            ("11.222.333/0001-81", "11222333000181"),
            ("11222333000181", "11222333000181"),
            // The example of the tax authority.
            ("12.ABC.345/01DE-35", "12ABC34501DE35"),
            ("12abc34501de35", "12ABC34501DE35"),
        ] {
            assert_eq!(cnpj(text).as_deref(), Some(bare), "{text}");
        }
        for text in [
            "",
            "11222333000182",
            "1122233300018",
            "112223330001811",
            "00000000000000",
            "12ABC34501DE3A",
            "761.092.776-73",
            "11_222_333/0001-81",
            "１1222333000181",
        ] {
            assert_eq!(cnpj(text), None, "{text}");
        }
    }
}
