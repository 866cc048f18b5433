//! Well-known merchants, as data (`merchants.csv`): recognised by tax number or name.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use super::{Category, find, records};
use crate::{
    connector::MerchantRecord,
    tax_number::{self, CNPJ},
};

/// A merchant that is known by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merchant {
    /// Tax number of its head office, 14 digits.
    pub cnpj: Option<&'static str>,
    /// As people know it.
    pub name: &'static str,
    /// As the register of companies knows it.
    pub business_name: &'static str,
    /// Code of its activity.
    pub cnae: &'static str,
    /// What is bought there.
    pub category: &'static Category,
    /// Words that are its name in a description, folded.
    pub words: Vec<&'static str>,
}

static DIRECTORY: LazyLock<Vec<Merchant>> = LazyLock::new(|| {
    let rows = records(include_str!("merchants.csv")).map(|row| match row[..] {
        [cnpj, name, business_name, cnae, category, words] => Merchant {
            cnpj: (!cnpj.is_empty()).then_some(cnpj),
            name,
            business_name,
            cnae,
            category: find(category).expect("a merchant's category is one of the tree"),
            words: words.split(',').map(str::trim).collect(),
        },
        _ => panic!("a line of the merchants has six fields"),
    });
    rows.collect()
});

/// By the characters that the branches of a company share.
static BY_COMPANY: LazyLock<HashMap<&str, &Merchant>> = LazyLock::new(|| {
    let known = DIRECTORY.iter();
    known
        .filter_map(|merchant| Some((merchant.cnpj?.get(..COMPANY)?, merchant)))
        .collect()
});

/// Characters of a CNPJ that all branches of a company share.
const COMPANY: usize = 8;

/// All that are known.
pub fn all() -> &'static [Merchant] {
    &DIRECTORY
}

/// The merchant with a tax number, or with another branch's.
pub fn by_cnpj(number: &str) -> Option<&'static Merchant> {
    let bare = tax_number::bare(number);
    let company = bare.get(..COMPANY).filter(|_| bare.len() == CNPJ)?;
    BY_COMPANY.get(company).copied()
}

/// Tax numbers, sorted by what is known of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LookUp {
    /// Those of merchants that are known, with 14 characters.
    pub found: Vec<(String, &'static Merchant)>,
    /// Those of others, with 14 characters.
    pub not_found: Vec<String>,
    /// Those that are none, as they were given.
    pub invalid: Vec<String>,
}

/// Looks tax numbers up, each once, in the order given.
pub fn look_up(numbers: &[String]) -> LookUp {
    let mut sorted = LookUp::default();
    let mut seen = HashSet::new();
    for number in numbers {
        let cnpj = tax_number::cnpj(number);
        if !seen.insert(cnpj.clone().unwrap_or_else(|| number.clone())) {
            continue;
        }
        match cnpj {
            None => sorted.invalid.push(number.clone()),
            Some(cnpj) => match by_cnpj(&cnpj) {
                Some(merchant) => sorted.found.push((cnpj, merchant)),
                None => sorted.not_found.push(cnpj),
            },
        }
    }
    sorted
}

/// The digits of a tax number.
pub(super) fn digits(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).collect()
}

impl Merchant {
    /// Fills in what an institution has left out.
    pub fn complete(&self, record: &mut Option<MerchantRecord>) {
        let record = record.get_or_insert_default();
        let fill = |field: &mut Option<String>, value: &str| {
            if field.as_ref().is_none_or(|given| given.trim().is_empty()) {
                *field = Some(value.to_owned());
            }
        };
        fill(&mut record.name, self.name);
        fill(&mut record.business_name, self.business_name);
        fill(&mut record.cnae, self.cnae);
        if let Some(cnpj) = self.cnpj {
            fill(&mut record.cnpj, cnpj);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::product::text::fold;

    #[test]
    fn the_directory_is_sound() {
        for merchant in all() {
            assert!(
                merchant
                    .cnpj
                    .is_none_or(|cnpj| tax_number::cnpj(cnpj).as_deref() == Some(cnpj)),
                "{}",
                merchant.name
            );
            assert!(
                merchant.words.iter().all(|words| fold(words) == *words),
                "{}",
                merchant.name
            );
        }
        let companies = all().iter().filter(|merchant| merchant.cnpj.is_some());
        assert_eq!(companies.count(), BY_COMPANY.len(), "each company once");
    }

    #[test]
    fn every_branch_of_a_company_is_the_same_merchant() {
        for number in ["00.779.721/0001-41", "00779721000141", "00.779.721/0099-99"] {
            assert_eq!(by_cnpj(number).map(|found| found.name), Some("Cinemark"));
        }
        for number in ["", "00779721", "123.456.789-09", "99.999.999/0001-91"] {
            assert_eq!(by_cnpj(number), None, "{number}");
        }
    }

    #[test]
    fn tax_numbers_are_sorted_by_what_is_known_of_them() {
        let numbers = [
            "00.779.721/0001-41",
            "00779721000141",
            "11.222.333/0001-81",
            "12.ABC.345/01DE-35",
            "11222333000182",
            "11222333000182",
        ];
        let sorted = look_up(&numbers.map(str::to_owned));
        let found = sorted.found.iter();
        let found: Vec<_> = found.map(|(cnpj, it)| (cnpj.as_str(), it.name)).collect();
        assert_eq!(found, [("00779721000141", "Cinemark")]);
        assert_eq!(sorted.not_found, ["11222333000181", "12ABC34501DE35"]);
        assert_eq!(sorted.invalid, ["11222333000182"]);
    }

    #[test]
    fn what_the_institution_says_of_a_merchant_stays() {
        let cinemark = by_cnpj("00779721000141").expect("a merchant");
        let mut given = Some(MerchantRecord {
            name: Some("Cinemark Eldorado".to_owned()),
            cnpj: Some("00779721009999".to_owned()),
            ..MerchantRecord::default()
        });
        cinemark.complete(&mut given);
        assert_eq!(
            given,
            Some(MerchantRecord {
                name: Some("Cinemark Eldorado".to_owned()),
                business_name: Some("CINEMARK BRASIL S.A.".to_owned()),
                cnpj: Some("00779721009999".to_owned()),
                cnae: Some("5914600".to_owned()),
                category: None,
            })
        );
    }
}
