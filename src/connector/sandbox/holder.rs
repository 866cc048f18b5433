//! The made-up person behind a sandbox login.

use chrono::{Days, NaiveDate};
use serde_json::json;

use super::dice::Seed;
use crate::connector::{EmailRecord, IdentityRecord, PhoneRecord};

const SUBJECT: u64 = 0x686f_6c64;

const FIRST_NAMES: [&str; 10] = [
    "Ana", "Beatriz", "Carlos", "Daniela", "Eduardo", "Fernanda", "Gustavo", "Helena", "Igor",
    "Juliana",
];
const LAST_NAMES: [&str; 10] = [
    "Almeida", "Barbosa", "Cardoso", "Dias", "Ferreira", "Gomes", "Lima", "Moreira", "Pereira",
    "Souza",
];
const JOBS: [&str; 5] = [
    "Analista",
    "Dentista",
    "Designer",
    "Economista",
    "Jornalista",
];
/// City, state, area code, district, beginning of the postal code, street.
const PLACES: [(&str, &str, &str, &str, &str, &str); 4] = [
    (
        "São Paulo",
        "SP",
        "11",
        "Pinheiros",
        "054",
        "Rua dos Pinheiros",
    ),
    (
        "Rio de Janeiro",
        "RJ",
        "21",
        "Botafogo",
        "222",
        "Rua Voluntários da Pátria",
    ),
    (
        "Belo Horizonte",
        "MG",
        "31",
        "Savassi",
        "301",
        "Rua Pernambuco",
    ),
    ("Curitiba", "PR", "41", "Batel", "804", "Avenida do Batel"),
];

/// Who holds the accounts.
pub(super) fn identity(seed: Seed) -> IdentityRecord {
    let mut dice = seed.dice(SUBJECT, 0);
    let first = *dice.pick(&FIRST_NAMES);
    let (middle, last) = (*dice.pick(&LAST_NAMES), *dice.pick(&LAST_NAMES));
    let cpf = cpf(dice.between(0, 999_999_999));
    let born = NaiveDate::from_ymd_opt(1960, 1, 1)
        .and_then(|day| day.checked_add_days(Days::new(dice.roll() % 15_000)));
    let (city, state, area, district, postal, street) = *dice.pick(&PLACES);
    let number = dice.between(10, 1_999);
    let postal_code = format!(
        "{postal}{:02}-{:03}",
        dice.between(0, 99),
        dice.between(0, 999)
    );
    let phone = format!(
        "+55 {area} 9{:04}-{:04}",
        dice.between(1_000, 9_999),
        dice.between(0, 9_999)
    );
    IdentityRecord {
        full_name: Some(format!("{first} {middle} {last}")),
        document: Some(cpf),
        document_type: Some("CPF".to_owned()),
        birth_date: born,
        job_title: Some((*dice.pick(&JOBS)).to_owned()),
        addresses: vec![json!({
            "fullAddress": format!("{street}, {number} - {district}, {city} - {state}, {postal_code}"),
            "primaryAddress": format!("{street}, {number}"),
            "district": district,
            "city": city,
            "state": state,
            "postalCode": postal_code,
            "country": "Brasil",
            "countryCode": "BRA",
            "type": "Personal",
        })],
        phone_numbers: vec![PhoneRecord {
            kind: Some("Personal".to_owned()),
            value: phone,
            ..PhoneRecord::default()
        }],
        emails: vec![EmailRecord {
            kind: Some("Personal".to_owned()),
            value: format!("{first}.{last}@mail.example").to_lowercase(),
        }],
        ..IdentityRecord::default()
    }
}

/// A CPF of nine digits with its two check digits, as people write it.
fn cpf(base: i64) -> String {
    let mut digits: Vec<i64> = format!("{base:09}")
        .bytes()
        .map(|b| i64::from(b - b'0'))
        .collect();
    for _ in 0..2 {
        digits.push(check_digit(&digits));
    }
    let text: String = digits.iter().map(ToString::to_string).collect();
    format!(
        "{}.{}.{}-{}",
        &text[..3],
        &text[3..6],
        &text[6..9],
        &text[9..]
    )
}

fn check_digit(digits: &[i64]) -> i64 {
    let sum: i64 = digits
        .iter()
        .rev()
        .zip(2..)
        .map(|(digit, weight)| digit * weight)
        .sum();
    match sum % 11 {
        0 | 1 => 0,
        rest => 11 - rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_those_of_known_numbers() {
        for known in [
            "761.092.776-73",
            "238.242.640-30",
            "051.177.670-55",
            "002.502.737-99",
        ] {
            let digits: String = known.chars().filter(char::is_ascii_digit).take(9).collect();
            assert_eq!(cpf(digits.parse().expect("nine digits")), known);
        }
    }

    #[test]
    fn a_holder_is_complete_and_always_the_same() {
        let holder = identity(Seed::of(0, "user-ok"));
        assert_eq!(holder, identity(Seed::of(0, "user-ok")));
        assert_ne!(holder, identity(Seed::of(3, "user-ok")));
        assert!(
            holder
                .full_name
                .is_some_and(|name| name.split(' ').count() == 3)
        );
        assert!(holder.document.is_some_and(|cpf| cpf.len() == 14));
        assert_eq!(holder.document_type.as_deref(), Some("CPF"));
        assert!(holder.birth_date.is_some());
        assert_eq!(
            (
                holder.addresses.len(),
                holder.phone_numbers.len(),
                holder.emails.len()
            ),
            (1, 1, 1)
        );
    }
}
