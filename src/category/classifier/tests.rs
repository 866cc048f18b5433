use chrono::NaiveDate;
use entity::kind::TransactionStatus;

use super::*;
use crate::{
    clock::Timestamp,
    connector::{CardRecord, MerchantRecord, PaymentRecord, TransactionDetails},
    money::Amount,
};

fn record(kind: TransactionType, description: &str) -> TransactionRecord {
    TransactionRecord {
        id: None,
        date: Timestamp(0),
        posted_on: NaiveDate::default(),
        description: description.to_owned(),
        description_raw: None,
        amount: Amount::from_cents(match kind {
            TransactionType::Debit => -1_000,
            TransactionType::Credit => 1_000,
        }),
        amount_in_account_currency: None,
        currency_code: "BRL".to_owned(),
        kind,
        status: TransactionStatus::Posted,
        balance: None,
        provider_code: None,
        details: TransactionDetails::default(),
    }
}

fn holder(kind: AccountType) -> Holder {
    Holder {
        kind,
        tax_number: Some("123.456.789-09".to_owned()),
    }
}

fn decided(mut record: TransactionRecord) -> Option<(&'static str, CategorySource)> {
    let folded = fold(&record.description);
    let found = classify(&mut record, &folded, Some(&holder(AccountType::Bank)));
    found.map(|found| (found.category.id, found.source))
}

fn paid_to(name: &str, document: &str, method: &str) -> TransactionDetails {
    TransactionDetails {
        payment_data: Some(PaymentRecord {
            receiver: Some(ParticipantRecord {
                name: Some(name.to_owned()),
                document_number: Some(document.to_owned()),
                ..ParticipantRecord::default()
            }),
            payment_method: Some(method.to_owned()),
            ..PaymentRecord::default()
        }),
        ..TransactionDetails::default()
    }
}

/// How many of these labelled movements there are, and of how many the category is found, and its root.
fn measure(labelled: &'static str) -> (u32, u32, u32) {
    let (mut all, mut leaves, mut roots) = (0, 0, 0);
    for row in records(labelled) {
        let [label, direction, family, code, description] = row[..] else {
            panic!("a labelled movement has five fields");
        };
        let label = (label != "-").then(|| find(label).expect("a category of the tree"));
        let kind = match direction {
            "D" => TransactionType::Debit,
            _ => TransactionType::Credit,
        };
        let family = match family {
            "B" => AccountType::Bank,
            _ => AccountType::Credit,
        };
        let mut record = record(kind, description);
        if !code.is_empty() {
            record.details.card = Some(CardRecord {
                payee_mcc: Some(code.to_owned()),
                ..CardRecord::default()
            });
        }
        let found = classify(&mut record, &fold(description), Some(&holder(family)));
        let found = found.map(|found| found.category);
        let root = |category: Option<&Category>| category.map(|one| one.id[..2].to_owned());
        all += 1;
        leaves += u32::from(found == label);
        roots += u32::from(root(found) == root(label));
        if found != label {
            let name = |category: Option<&Category>| category.map(|one| one.description);
            println!("{description}: {:?}, is {:?}", name(found), name(label));
        }
    }
    println!("of {all} movements {leaves} categories and {roots} roots are found");
    (all, leaves, roots)
}

#[test]
fn it_is_as_accurate_as_its_documentation_says() {
    let mut movements = 0;
    for (labelled, leaves, roots) in ACCURACY {
        let (all, found, found_roots) = measure(labelled);
        movements += all;
        let thousandths = |found: u32| found * 1_000 / all;
        assert_eq!(
            (thousandths(found), thousandths(found_roots)),
            (leaves, roots)
        );
    }
    assert!(movements > 400, "only {movements} movements are labelled");
}

#[test]
fn evidence_is_sound() {
    for words in &MODEL.words {
        assert!(words.evidence.weight > 0 && words.length > 2);
    }
    for row in records(include_str!("../evidence.csv")) {
        if row[1] == "text" {
            for text in row[4].split(',').map(str::trim) {
                let stem = text.strip_suffix('*').unwrap_or(text);
                assert_eq!(padded(&fold(stem)).trim(), stem, "is as it is looked for");
            }
        }
    }
    for merchant in merchant::all() {
        for words in &merchant.words {
            assert_eq!(padded(words).trim(), *words);
        }
    }
    for (first, last, _) in &MODEL.codes {
        assert!(first <= last && *last < 10_000);
    }
}

#[test]
fn money_between_accounts_of_one_person_is_known_by_their_tax_number() {
    use CategorySource::Classifier;

    for (document, method, expected) in [
        ("12345678909", "PIX", "04020000"),
        ("123.456.789-09", "TED", "04030000"),
        ("123.456.789-09", "TEV", "04000000"),
        // Somebody else's, a masked one, none.
        ("987.654.321-00", "PIX", "05070000"),
        ("***.456.789-**", "PIX", "05070000"),
        ("", "PIX", "05070000"),
    ] {
        let mut record = record(TransactionType::Debit, "Transferência enviada");
        record.details = paid_to("Ana Souza", document, method);
        assert_eq!(decided(record), Some((expected, Classifier)), "{document}");
    }
    // The payer is the counterpart of what comes in; the receiver is the holder then.
    let mut incoming = record(TransactionType::Credit, "Pix recebido");
    incoming.details = paid_to("Ana Souza", "12345678909", "PIX");
    assert_eq!(decided(incoming), Some(("05070000", Classifier)));
}

#[test]
fn a_counterpart_a_code_and_a_reason_tell_what_the_text_does_not() {
    let mut to_company = record(TransactionType::Debit, "Pix enviado");
    to_company.details = paid_to("CINEMARK BRASIL SA", "00.779.721/0044-12", "PIX");
    assert_eq!(
        decided(to_company.clone()),
        Some(("07040300", CategorySource::Classifier))
    );
    let mut by_reason = record(TransactionType::Debit, "Pix enviado");
    by_reason.details = paid_to("Jose Lima", "987.654.321-00", "PIX");
    if let Some(payment) = &mut by_reason.details.payment_data {
        payment.reason = Some("Aluguel de março".to_owned());
    }
    assert_eq!(
        decided(by_reason),
        Some(("17010000", CategorySource::Classifier))
    );
    let mut fee = record(TransactionType::Debit, "Lançamento");
    fee.details.card = Some(CardRecord {
        fee_type: Some("ANNUAL_FEE".to_owned()),
        ..CardRecord::default()
    });
    assert_eq!(decided(fee), Some(("16030000", CategorySource::Classifier)));
    assert_eq!(decided(record(TransactionType::Debit, "Lançamento")), None);
}

#[test]
fn what_the_institution_says_goes_before_what_is_found() {
    let mut said = record(TransactionType::Debit, "NETFLIX.COM");
    said.details.merchant = Some(MerchantRecord {
        category: Some("Doações".to_owned()),
        ..MerchantRecord::default()
    });
    assert_eq!(
        decided(said.clone()),
        Some(("13000000", CategorySource::Institution))
    );
    // A word that is no category of the tree says nothing.
    said.details.merchant = Some(MerchantRecord {
        category: Some("Diversos".to_owned()),
        ..MerchantRecord::default()
    });
    assert_eq!(
        decided(said),
        Some(("09020000", CategorySource::Classifier))
    );
}

#[test]
fn a_known_merchant_is_filled_in() {
    let merchant = |mut record: TransactionRecord| {
        let folded = fold(&record.description);
        classify(&mut record, &folded, None);
        record.details.merchant
    };
    let named = merchant(record(TransactionType::Debit, "PENDENTE - IFD*LANCHES"));
    let named = named.expect("a merchant");
    assert_eq!(named.name.as_deref(), Some("iFood"));
    assert_eq!(named.cnpj.as_deref(), Some("14380200000121"));
    let mut branch = record(TransactionType::Debit, "Pix enviado");
    branch.details = paid_to("CINEMARK BRASIL SA", "00.779.721/0044-12", "PIX");
    let branch = merchant(branch).expect("a merchant");
    assert_eq!(branch.name.as_deref(), Some("Cinemark"));
    assert_eq!(
        merchant(record(TransactionType::Debit, "Padaria Bela Vista")),
        None
    );
}
