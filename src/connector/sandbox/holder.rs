//! The made-up person or company behind a sandbox login.

use chrono::{Days, NaiveDate};
use serde_json::{Value, json};

use super::dice::{Dice, Seed};
use crate::{
    connector::{EmailRecord, IdentityRecord, PhoneRecord},
    money::Amount,
    tax_number::{CNPJ_WEIGHTS, CPF_WEIGHTS, check_digit},
};

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

const COMPANIES: [(&str, &str, &str); 4] = [
    ("Padaria Ponte Ltda", "Padaria Ponte", "1091102"),
    ("Ponte Tecnologia S.A.", "Ponte Tech", "6201501"),
    ("Oficina Duas Pontes Ltda", "Duas Pontes", "4520001"),
    ("Mercearia Ponte Velha Ltda", "Ponte Velha", "4712100"),
];
/// Code of a city at the institute of statistics, latitude and longitude, in the order of [`PLACES`].
const ON_THE_MAP: [(&str, &str, &str); 4] = [
    ("3550308", "-23.561414", "-46.702122"),
    ("3304557", "-22.951222", "-43.184511"),
    ("3106200", "-19.935131", "-43.934611"),
    ("4106902", "-25.441105", "-49.287211"),
];

/// Who holds the accounts: a person.
pub(super) fn identity(seed: Seed) -> IdentityRecord {
    let mut dice = seed.dice(SUBJECT, 0);
    let first = *dice.pick(&FIRST_NAMES);
    let (middle, last) = (*dice.pick(&LAST_NAMES), *dice.pick(&LAST_NAMES));
    let cpf = cpf(dice.between(0, 999_999_999));
    let born = NaiveDate::from_ymd_opt(1960, 1, 1)
        .and_then(|day| day.checked_add_days(Days::new(dice.roll() % 15_000)));
    let (address, phone) = reach(&mut dice, "Personal");
    let job = *dice.pick(&JOBS);
    let mother = format!("{} {middle} {last}", dice.pick(&FIRST_NAMES));
    let father = format!("Antônio {last}");
    let spouse = format!("{} {last}", dice.pick(&FIRST_NAMES));
    let income = dice.between(3_000, 18_000) * 100;
    IdentityRecord {
        full_name: Some(format!("{first} {middle} {last}")),
        social_name: Some(format!("{first} {last}")),
        document: Some(cpf),
        document_type: Some("CPF".to_owned()),
        birth_date: born,
        job_title: Some(job.to_owned()),
        investor_profile: Some(
            (*dice.pick(&["Conservative", "Moderate", "Aggressive"])).to_owned(),
        ),
        sex: Some((*dice.pick(&["FEMALE", "MALE"])).to_owned()),
        companies_cnpj: vec![BANK.to_owned()],
        addresses: vec![address],
        phone_numbers: vec![phone],
        emails: vec![EmailRecord {
            kind: Some("Personal".to_owned()),
            value: format!("{first}.{last}@mail.example").to_lowercase(),
        }],
        relations: vec![
            json!({ "type": "Mother", "name": mother, "document": self::cpf(dice.between(0, 999_999_999)) }),
            json!({ "type": "Father", "name": father, "document": self::cpf(dice.between(0, 999_999_999)) }),
            json!({ "type": "Spouse", "name": spouse, "document": self::cpf(dice.between(0, 999_999_999)) }),
        ],
        marital_status: Some(
            json!({ "code": "MARRIED", "additionalInfo": "Comunhão parcial de bens" }),
        ),
        nationality: Some(json!({
            "hasBrazilianNationality": true,
            "otherNationalities": [{
                "countryCode": "PRT",
                "documents": [{
                    "type": "CARTAO DE CIDADAO",
                    "number": dice.between(10_000_000, 99_999_999).to_string(),
                    "country": "Portugal",
                    "issueDate": "2019-05-21",
                    "expirationDate": "2029-05-21",
                    "additionalInfo": "Dupla cidadania",
                }],
            }],
        })),
        other_documents: vec![
            json!({
                "type": "RG",
                "typeAdditionalInfo": "Carteira de identidade",
                "number": dice.between(10_000_000, 99_999_999).to_string(),
                "checkDigit": dice.between(0, 9).to_string(),
                "additionalInfo": "SSP/SP",
                "expirationDate": "2031-08-10",
            }),
            json!({
                "type": "CNH",
                "typeAdditionalInfo": "Carteira de motorista",
                "number": dice.between(10_000_000_000, 99_999_999_999).to_string(),
                "additionalInfo": "DETRAN",
                "expirationDate": "2028-02-01",
            }),
        ],
        passport: Some(json!({
            "number": format!("FP{:06}", dice.between(0, 999_999)),
            "country": "Brasil",
            "issueDate": "2021-03-15",
            "expirationDate": "2031-03-14",
        })),
        qualifications: Some(json!({
            "companyCnpj": BANK,
            "occupationCode": "OUTRO",
            "occupationDescription": job,
            "informedIncome": { "frequency": "MENSAL", "amount": Amount::from_cents(income), "date": "2025-06-30" },
            "informedPatrimony": { "amount": Amount::from_cents(income * 60), "year": 2025, "date": "2025-12-31" },
        })),
        financial_relationships: Some(relationships(&mut dice, &[])),
        ..IdentityRecord::default()
    }
}

/// Who holds the accounts: a company; a shop that an acquirer knows by a code of its own, if it is one.
pub(super) fn company(seed: Seed) -> IdentityRecord {
    let mut dice = seed.dice(SUBJECT, 1);
    let (name, trade_name, activity) = *dice.pick(&COMPANIES);
    let number = cnpj(dice.between(10_000_000, 99_999_999));
    let (address, phone) = reach(&mut dice, "Work");
    let owner = identity(seed);
    let holding = json!({
        "type": "PARTNER",
        "personType": "LEGAL_ENTITY",
        "documentType": "CNPJ",
        "documentNumber": cnpj(dice.between(10_000_000, 99_999_999)),
        "companyName": "Ponte Participações S.A.",
        "tradeName": "Ponte Participações",
        "startDate": "2018-09-12",
        "shareholding": "0.35",
    });
    let manager = json!({
        "type": "ADMINISTRATOR",
        "personType": "NATURAL_PERSON",
        "documentType": "PASSPORT",
        "documentNumber": format!("C{:07}", dice.between(0, 9_999_999)),
        "documentCountry": "Portugal",
        "documentIssueDate": "2020-02-11",
        "documentExpirationDate": "2030-02-10",
        "documentAdditionalInfo": "Residente no exterior",
        "civilName": "Duarte Nunes da Ponte",
        "startDate": "2022-01-03",
    });
    let founder = json!({
        "type": "PARTNER",
        "personType": "NATURAL_PERSON",
        "documentType": "CPF",
        "documentNumber": owner.document,
        "civilName": owner.full_name,
        "socialName": owner.social_name,
        "startDate": "2016-04-01",
        "shareholding": "0.65",
    });
    let procurator = json!({
        "type": "REPRESENTANTE_LEGAL",
        "cpfNumber": owner.document,
        "documentNumber": dice.between(10_000_000, 99_999_999).to_string(),
        "documentType": "RG",
        "civilName": owner.full_name,
        "socialName": owner.social_name,
    });
    IdentityRecord {
        company_name: Some(name.to_owned()),
        social_name: Some(trade_name.to_owned()),
        document: Some(number.clone()),
        document_type: Some("CNPJ".to_owned()),
        tax_number: Some(number),
        establishment_code: Some(dice.between(1_000_000, 9_999_999).to_string()),
        establishment_name: Some(trade_name.to_owned()),
        incorporation_date: NaiveDate::from_ymd_opt(2016, 4, 1),
        companies_cnpj: vec![BANK.to_owned()],
        addresses: vec![address],
        phone_numbers: vec![phone],
        emails: vec![EmailRecord {
            kind: Some("Work".to_owned()),
            value: format!(
                "contato@{}.example",
                trade_name.to_lowercase().replace(' ', "-")
            ),
        }],
        parties: vec![founder, holding, manager],
        business_other_documents: vec![json!({
            "type": "EIN",
            "number": format!("12-{:07}", dice.between(0, 9_999_999)),
            "country": "Estados Unidos",
            "expirationDate": "2032-12-31",
        })],
        qualifications: Some(json!({
            "companyCnpj": BANK,
            "informedPatrimony": { "amount": Amount::from_cents(dice.between(20, 900) * 1_000_000), "year": 2025, "date": "2025-12-31" },
            "economicActivities": [{ "code": activity, "isMain": true }, { "code": "8599604", "isMain": false }],
            "informedRevenue": {
                "amount": Amount::from_cents(dice.between(10, 400) * 1_000_000),
                "frequency": "ANNUAL",
                "frequencyAdditionalInfo": "Exercício fiscal",
                "year": 2025,
            },
        })),
        financial_relationships: Some(relationships(&mut dice, &[procurator])),
        ..IdentityRecord::default()
    }
}

/// The tax number of the bank itself.
const BANK: &str = "12.345.678/0001-95";

/// Where the holder can be reached: an address and a telephone number.
fn reach(dice: &mut Dice, kind: &str) -> (Value, PhoneRecord) {
    let place = usize::try_from(dice.between(0, 3)).unwrap_or(0);
    let (city, state, area, district, postal, street) = PLACES[place];
    let (town, latitude, longitude) = ON_THE_MAP[place];
    let number = dice.between(10, 1_999);
    let postal_code = format!(
        "{postal}{:02}-{:03}",
        dice.between(0, 99),
        dice.between(0, 999)
    );
    let phone = PhoneRecord {
        kind: Some(kind.to_owned()),
        value: format!(
            "+55 {area} 9{:04}-{:04}",
            dice.between(1_000, 9_999),
            dice.between(0, 9_999)
        ),
        country_calling_code: Some("55".to_owned()),
        area_code: Some(area.to_owned()),
        extension: (kind == "Work").then(|| dice.between(100, 999).to_string()),
        additional_info: (kind == "Work").then(|| "Horário comercial".to_owned()),
    };
    let address = json!({
        "fullAddress": format!("{street}, {number} - {district}, {city} - {state}, {postal_code}"),
        "primaryAddress": format!("{street}, {number}"),
        "district": district,
        "city": city,
        "ibgeTownCode": town,
        "state": state,
        "postalCode": postal_code,
        "country": "Brasil",
        "countryCode": "BRA",
        "type": kind,
        "additionalInfo": "Endereço de correspondência",
        "geographicCoordinates": { "latitude": latitude, "longitude": longitude },
    });
    (address, phone)
}

/// What else there is between the holder and the bank.
fn relationships(dice: &mut Dice, procurators: &[Value]) -> Value {
    let employer = cnpj(dice.between(10_000_000, 99_999_999));
    json!({
        "startDate": "2017-08-21",
        "productsServicesType": ["CONTA_DEPOSITO_A_VISTA", "CARTAO_CREDITO", "OUTROS"],
        "productsServicesTypeAdditionalInfo": "Seguro de cartão",
        "procurators": procurators,
        "accounts": [{
            "compeCode": "999",
            "branchCode": "0001",
            "number": dice.between(1_000_000, 9_999_999).to_string(),
            "checkDigit": dice.between(0, 9).to_string(),
            "type": "CONTA_DEPOSITO_A_VISTA",
            "subtype": "INDIVIDUAL",
        }],
        "portabilitiesReceived": [{
            "employerName": "Ponte Energia S.A.",
            "employerDocument": employer,
            "paycheckBankDetainerCnpj": BANK,
            "paycheckBankDetainerIspb": "12345678",
            "portabilityApprovalDate": "2023-02-01",
        }],
        "paychecksBankLink": [{
            "employerName": "Ponte Energia S.A.",
            "employerDocument": employer,
            "paycheckBankCnpj": BANK,
            "paycheckBankIspb": "12345678",
            "accountOpeningDate": "2017-08-21",
        }],
    })
}

/// A CNPJ of eight digits and its first branch, with its two check digits, as people write it.
pub(super) fn cnpj(base: i64) -> String {
    let mut digits: Vec<u32> = format!("{:08}0001", base.rem_euclid(100_000_000))
        .bytes()
        .map(|b| u32::from(b - b'0'))
        .collect();
    for _ in 0..2 {
        digits.push(check_digit(&digits, CNPJ_WEIGHTS));
    }
    let text: String = digits.iter().map(ToString::to_string).collect();
    format!(
        "{}.{}.{}/{}-{}",
        &text[..2],
        &text[2..5],
        &text[5..8],
        &text[8..12],
        &text[12..]
    )
}

/// An ISIN of Brazil that is made of a code, with its check digit.
pub(super) fn isin(code: &str) -> String {
    let letters = code.chars().filter(char::is_ascii_alphanumeric);
    let mut text: String = "BR".chars().chain(letters).take(11).collect();
    text.push_str(&"0".repeat(11 - text.len()));
    let digits: Vec<u32> = text
        .chars()
        .filter_map(|c| c.to_digit(36))
        .flat_map(|value| {
            if value > 9 {
                vec![value / 10, value % 10]
            } else {
                vec![value]
            }
        })
        .collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let doubled = if place % 2 == 0 { digit * 2 } else { *digit };
            doubled / 10 + doubled % 10
        })
        .sum();
    format!("{text}{}", (10 - sum % 10) % 10)
}

/// A CPF of nine digits with its two check digits, as people write it.
pub(super) fn cpf(base: i64) -> String {
    let mut digits: Vec<u32> = format!("{base:09}")
        .bytes()
        .map(|b| u32::from(b - b'0'))
        .collect();
    for _ in 0..2 {
        digits.push(check_digit(&digits, CPF_WEIGHTS));
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
    fn numbers_of_companies_and_papers_have_their_check_digits() {
        assert_eq!(cnpj(11_222_333), "11.222.333/0001-81");
        assert_eq!(cnpj(12_345_678), BANK);
        assert_eq!(isin("PETRACNPR"), "BRPETRACNPR6");
        assert_eq!(isin("VALEACNOR"), "BRVALEACNOR0");
        assert_eq!(isin("ETF").len(), 12);
    }

    #[test]
    fn a_company_has_owners_and_no_birthday() {
        let holder = company(Seed::of(8, "user-ok"));
        assert_eq!(holder, company(Seed::of(8, "user-ok")));
        assert_eq!(holder.document, holder.tax_number);
        assert_eq!((holder.full_name, holder.birth_date), (None, None));
        assert_eq!(
            (holder.parties.len(), holder.business_other_documents.len()),
            (3, 1)
        );
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
