//! The classifier: what a movement was for, by its text, counterpart, merchant, merchant code and kind.
//!
//! What speaks for a category is data (`evidence.csv`, `merchants.csv`), in Portuguese and English; here is only how it is
//! weighed. Of all that is found in a movement the heaviest evidence decides, then the longest, then the first. Where
//! nothing is found there is no category: none is better than a wrong one.
//!
//! How accurate it is says [`ACCURACY`], which a test holds. All labelled movements were written for this purpose, after how
//! Brazilian and English statements look; none is private data.

use std::{collections::HashMap, sync::LazyLock};

use aho_corasick::AhoCorasick;
use entity::kind::{AccountType, CategorySource, TransactionType};

use super::{
    Category, Decided, find,
    merchant::{self, Merchant, digits},
    records,
};
use crate::{
    connector::{ParticipantRecord, TransactionRecord},
    product::text::fold,
};

/// Of how many in a thousand labelled movements the category is found, and the root of the category: in `labelled.csv`, every
/// text of the sandbox among them, which the evidence was written with, and in `unseen.csv`, which it has not been changed
/// for since. What is seen in real accounts is nearer to the second.
pub const ACCURACY: [(&str, u32, u32); 2] = [
    (include_str!("labelled.csv"), 990, 990),
    (include_str!("unseen.csv"), 800, 814),
];

/// Weight of what a known merchant sells.
const OF_MERCHANT: u32 = 70;

/// What is known of an account and matters to what its movements are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Family.
    pub kind: AccountType,
    /// Tax number of the holder.
    pub tax_number: Option<String>,
}

/// What speaks for a category.
#[derive(Clone, Copy, Debug)]
struct Evidence {
    category: &'static Category,
    direction: Option<TransactionType>,
    family: Option<AccountType>,
    weight: u32,
}

impl Evidence {
    fn applies(&self, direction: TransactionType, family: Option<AccountType>) -> bool {
        self.direction.is_none_or(|only| only == direction)
            && self.family.is_none_or(|only| Some(only) == family)
    }
}

/// Where evidence is looked for beside the texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Field {
    Method,
    Operation,
    Fee,
    Credit,
}

/// Words of a text, and what they speak for.
struct Words {
    evidence: Evidence,
    length: usize,
    merchant: Option<&'static Merchant>,
}

/// The evidence, made ready to be found.
struct Model {
    finder: AhoCorasick,
    words: Vec<Words>,
    /// First and last code.
    codes: Vec<(u32, u32, Evidence)>,
    fields: HashMap<(Field, &'static str), Vec<Evidence>>,
    /// By the folded name of a category, in either language.
    names: HashMap<String, &'static Category>,
}

static MODEL: LazyLock<Model> = LazyLock::new(Model::read);

impl Model {
    fn read() -> Self {
        let (mut patterns, mut words) = (Vec::new(), Vec::new());
        let mut codes = Vec::new();
        let mut fields: HashMap<_, Vec<Evidence>> = HashMap::new();
        let mut note = |text: &str, evidence, merchant| {
            let (stem, end) = text
                .strip_suffix('*')
                .map_or((text, " "), |stem| (stem, ""));
            let pattern = format!(" {stem}{end}");
            words.push(Words {
                evidence,
                length: pattern.len(),
                merchant,
            });
            patterns.push(pattern);
        };
        for row in records(include_str!("evidence.csv")) {
            let [category, field, only, weight, values] = row[..] else {
                panic!("a line of the evidence has five fields");
            };
            let evidence = Evidence {
                category: find(category).expect("evidence speaks for a category of the tree"),
                direction: match only {
                    _ if only.contains('D') => Some(TransactionType::Debit),
                    _ if only.contains('C') => Some(TransactionType::Credit),
                    _ => None,
                },
                family: match only {
                    _ if only.contains('B') => Some(AccountType::Bank),
                    _ if only.contains('K') => Some(AccountType::Credit),
                    _ => None,
                },
                weight: weight.parse().expect("a weight is a number"),
            };
            for value in values.split(',').map(str::trim) {
                let field = match field {
                    "text" => {
                        note(value, evidence, None);
                        continue;
                    }
                    "mcc" => {
                        let (first, last) = value.split_once('-').unwrap_or((value, value));
                        let code = |text: &str| text.parse().expect("a code is a number");
                        codes.push((code(first), code(last), evidence));
                        continue;
                    }
                    "method" => Field::Method,
                    "operation" => Field::Operation,
                    "fee" => Field::Fee,
                    "credit" => Field::Credit,
                    other => panic!("{other} is no field"),
                };
                fields.entry((field, value)).or_default().push(evidence);
            }
        }
        for merchant in merchant::all() {
            for name in &merchant.words {
                note(name, Evidence::of(merchant), Some(merchant));
            }
        }
        let names = super::all().iter().flat_map(|category| {
            [category.description, category.translated].map(|name| (fold(name), category))
        });
        Self {
            finder: AhoCorasick::new(&patterns).expect("the evidence is small"),
            words,
            codes,
            fields,
            names: names.collect(),
        }
    }
}

impl Evidence {
    fn of(merchant: &Merchant) -> Self {
        Self {
            category: merchant.category,
            direction: None,
            family: None,
            weight: OF_MERCHANT,
        }
    }
}

/// The best evidence so far, and how long it is.
#[derive(Default)]
struct Best(Option<(u32, usize, &'static Category)>);

impl Best {
    fn hear(&mut self, evidence: &Evidence, length: usize) {
        let weight = (evidence.weight, length);
        if self
            .0
            .is_none_or(|(heaviest, longest, _)| weight > (heaviest, longest))
        {
            self.0 = Some((evidence.weight, length, evidence.category));
        }
    }
}

/// Decides what a movement was for, and fills in its merchant where the institution gives none and it is known. `folded`
/// holds its texts without case and accents.
pub fn classify(
    record: &mut TransactionRecord,
    folded: &str,
    holder: Option<&Holder>,
) -> Option<Decided> {
    let counterpart = counterpart(record);
    let document = counterpart.and_then(|other| other.document_number.as_deref());
    let mut text = padded(folded);
    let details = &record.details;
    let payment = details.payment_data.as_ref();
    let merchant = details.merchant.as_ref();
    let others = [
        counterpart.and_then(|other| other.name.as_deref()),
        payment.and_then(|payment| payment.reason.as_deref()),
        merchant.and_then(|merchant| merchant.name.as_deref()),
        merchant.and_then(|merchant| merchant.business_name.as_deref()),
    ];
    for more in others.into_iter().flatten() {
        pad(&mut text, &fold(more));
    }
    let cnpj = merchant.and_then(|merchant| merchant.cnpj.as_deref());
    let known = cnpj.or(document).and_then(merchant::by_cnpj);
    let said = merchant
        .and_then(|merchant| merchant.category.as_deref())
        .and_then(|name| MODEL.names.get(&fold(name.trim())).copied());
    let own = holder
        .and_then(|holder| holder.tax_number.as_deref())
        .zip(document)
        .is_some_and(|(mine, theirs)| same_person(mine, theirs));
    let (found, named) = weigh(record, &text, known, holder.map(|holder| holder.kind));
    if let Some(merchant) = known.or(named).filter(|_| !own) {
        merchant.complete(&mut record.details.merchant);
    }
    let (category, source) = match (own, said, found) {
        (true, _, _) => (between_own(record, &text), CategorySource::Classifier),
        // Within what the institution says, the classifier may know better.
        (false, Some(said), Some(found)) if found.lies_in(said) => {
            (found, CategorySource::Classifier)
        }
        (false, Some(category), _) => (category, CategorySource::Institution),
        (false, None, Some(category)) => (category, CategorySource::Classifier),
        (false, None, None) => return None,
    };
    Some(Decided { category, source })
}

/// What all evidence comes to, and which merchant the text names.
fn weigh(
    record: &TransactionRecord,
    text: &str,
    known: Option<&'static Merchant>,
    family: Option<AccountType>,
) -> (Option<&'static Category>, Option<&'static Merchant>) {
    let (mut best, mut named): (Best, Option<(usize, &Merchant)>) = (Best::default(), None);
    let applies = |evidence: &&Evidence| evidence.applies(record.kind, family);
    for found in MODEL.finder.find_overlapping_iter(text) {
        let words = &MODEL.words[found.pattern().as_usize()];
        if applies(&&words.evidence) {
            best.hear(&words.evidence, words.length);
        }
        if let Some(merchant) = words.merchant
            && named.is_none_or(|(longest, _)| words.length > longest)
        {
            named = Some((words.length, merchant));
        }
    }
    let length = |merchant: &Merchant| merchant.name.len();
    if let Some(merchant) = known {
        best.hear(&Evidence::of(merchant), length(merchant));
    }
    let details = &record.details;
    let card = details.card.as_ref();
    let code = card.and_then(|card| card.payee_mcc.as_deref()?.trim().parse().ok());
    if let Some(code) = code {
        let of_code = MODEL.codes.iter();
        let of_code = of_code.filter(|(first, last, _)| (*first..=*last).contains(&code));
        for (_, _, evidence) in of_code.filter(|(_, _, evidence)| applies(&evidence)) {
            best.hear(evidence, 0);
        }
    }
    let payment = details.payment_data.as_ref();
    for (field, word) in [
        (
            Field::Method,
            payment.and_then(|it| it.payment_method.as_deref()),
        ),
        (Field::Operation, details.operation_type.as_deref()),
        (Field::Fee, card.and_then(|it| it.fee_type.as_deref())),
        (
            Field::Credit,
            card.and_then(|it| it.other_credits_type.as_deref()),
        ),
    ] {
        let evidence = word.and_then(|word| MODEL.fields.get(&(field, word)));
        for evidence in evidence.into_iter().flatten().filter(applies) {
            best.hear(evidence, 0);
        }
    }
    let category = best.0.map(|(_, _, category)| category);
    (category, named.map(|(_, merchant)| merchant))
}

/// Whom the money came from or went to.
fn counterpart(record: &TransactionRecord) -> Option<&ParticipantRecord> {
    let payment = record.details.payment_data.as_ref()?;
    match record.kind {
        TransactionType::Debit => payment.receiver.as_ref(),
        TransactionType::Credit => payment.payer.as_ref(),
    }
}

/// Whether two tax numbers are the same, whole and unmasked.
fn same_person(mine: &str, theirs: &str) -> bool {
    let number = |text: &str| {
        let digits = digits(text);
        matches!(digits.len(), 11 | 14).then_some(digits)
    };
    number(mine).is_some_and(|mine| number(theirs) == Some(mine))
}

/// How the holder moved money to or from another account of their own.
fn between_own(record: &TransactionRecord, text: &str) -> &'static Category {
    let method = record.details.payment_data.as_ref();
    let method = method.and_then(|payment| payment.payment_method.as_deref());
    let id = match method {
        Some("PIX") => "04020000",
        Some("TED") => "04030000",
        _ if text.contains(" pix ") => "04020000",
        _ if text.contains(" ted ") => "04030000",
        _ => "04000000",
    };
    find(id).expect("a category of the tree")
}

/// The words of a folded text, each between spaces.
fn padded(folded: &str) -> String {
    let mut text = String::with_capacity(folded.len() + 16);
    text.push(' ');
    pad(&mut text, folded);
    text
}

fn pad(text: &mut String, folded: &str) {
    for c in folded.chars() {
        if c.is_alphanumeric() {
            text.push(c);
        } else if !text.ends_with(' ') {
            text.push(' ');
        }
    }
    if !text.ends_with(' ') {
        text.push(' ');
    }
}

#[cfg(test)]
mod tests;
