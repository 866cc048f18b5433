//! What a sandbox user owes: a loan of every kind, each in its own place between its beginning and its end.
//!
//! A contract runs for a term of whole months that follows from its kind; which one runs on a day, and how much of it has
//! been paid, follows from the seed and that day. For as long again as a short loan ran, the one before it is still shown,
//! paid back; then it vanishes.

use chrono::{Datelike as _, Days, Months, NaiveDate};
use serde_json::{Value, json};

use super::{
    dice::Seed,
    holder::cnpj,
    ledger::{REAL, first_of_month},
};
use crate::{connector::LoanRecord, money::Amount};

const CONTRACTS: u64 = u64::from_be_bytes(*b"contract");
const PAYMENTS: u64 = u64::from_be_bytes(*b"payments");

/// A kind of contract.
struct Product {
    kind: &'static str,
    subtype: &'static str,
    name: &'static str,
    /// Months from the first instalment to the last.
    term: i64,
    /// Least and most reais.
    amount: (i64, i64),
    /// Ten-thousandths a month.
    rate: i64,
    amortization: &'static str,
    periodicity: &'static str,
    /// Whether the contract before it is still shown.
    remembered: bool,
}

const PRODUCTS: [Product; 5] = [
    Product {
        kind: "LOAN",
        subtype: "CREDITO_PESSOAL_SEM_CONSIGNACAO",
        name: "Crédito Pessoal",
        term: 6,
        amount: (2_000, 9_000),
        rate: 290,
        amortization: "PRICE",
        periodicity: "MONTHLY",
        remembered: true,
    },
    Product {
        kind: "LOAN",
        subtype: "CREDITO_PESSOAL_COM_CONSIGNACAO",
        name: "Crédito Consignado",
        term: 36,
        amount: (8_000, 30_000),
        rate: 165,
        amortization: "PRICE",
        periodicity: "MONTHLY",
        remembered: false,
    },
    Product {
        kind: "FINANCING",
        subtype: "FINANCIAMENTO_HABITACIONAL_SFH",
        name: "Financiamento Imobiliário",
        term: 360,
        amount: (180_000, 620_000),
        rate: 78,
        amortization: "SAC",
        periodicity: "MONTHLY",
        remembered: false,
    },
    Product {
        kind: "INVOICE_FINANCING",
        subtype: "DESCONTO_DUPLICATAS",
        name: "Antecipação de Recebíveis",
        term: 4,
        amount: (3_000, 15_000),
        rate: 210,
        amortization: "OTHERS",
        periodicity: "OTHERS",
        remembered: false,
    },
    Product {
        kind: "UNARRANGED_ACCOUNT_OVERDRAFT",
        subtype: "ADIANTAMENTO_DEPOSITANTES",
        name: "Adiantamento a Depositantes",
        term: 2,
        amount: (150, 900),
        rate: 780,
        amortization: "WITHOUT_AMORTIZATION_SYSTEM",
        periodicity: "WITHOUT_REGULAR_PERIODICITY",
        remembered: false,
    },
];

/// A contract of a user.
struct Contract {
    seed: Seed,
    product: &'static Product,
    /// Which contract of all that the user has had.
    number: i64,
    agreed: NaiveDate,
    /// Cents.
    amount: i64,
}

/// What a user owes as the bank shows it on a day.
pub(super) fn list(seed: Seed, today: NaiveDate) -> Vec<LoanRecord> {
    let month = i64::from(today.year()) * 12 + i64::from(today.month0());
    let contracts = PRODUCTS.iter().zip(0..).flat_map(|(product, place)| {
        let offset = seed
            .dice(CONTRACTS, -1 - place)
            .between(0, product.term - 1);
        let age = (month - offset).rem_euclid(product.term);
        let cycle = (month - offset).div_euclid(product.term);
        let before = product.remembered.then_some(1);
        [0].into_iter().chain(before).map(move |back| {
            let months = u32::try_from(age + back * product.term).unwrap_or(0);
            let number = (cycle - back) * 10 + place;
            let (low, high) = product.amount;
            Contract {
                seed,
                product,
                number,
                agreed: first_of_month(today) - Months::new(months),
                amount: seed.dice(CONTRACTS, number).between(low, high) * REAL,
            }
        })
    });
    contracts.map(|contract| contract.record(today)).collect()
}

impl Contract {
    /// When an instalment is due, counted from 1.
    fn due(&self, instalment: i64) -> NaiveDate {
        let months = u32::try_from(instalment).unwrap_or(0);
        self.agreed + Months::new(months) + Days::new(9)
    }

    /// Cents of the loan that are left after so many instalments.
    fn left(&self, paid: i64) -> i64 {
        self.amount - self.amount * paid / self.product.term
    }

    /// An instalment that has been paid, and what was paid on top if it was late.
    fn release(&self, instalment: i64) -> Value {
        let mut dice = self.seed.dice(PAYMENTS, self.number * 1_000 + instalment);
        let part = self.left(instalment - 1) - self.left(instalment);
        let interest = self.left(instalment - 1) * self.product.rate / 10_000;
        let late = dice.percent(15);
        let days = if late { dice.between(1, 12) } else { 0 };
        let over = late.then(|| {
            json!({
                "fees": [{ "name": "TARIFA_COBRANCA_ATRASO", "code": "COBRANCA", "amount": Amount::from_cents(350) }],
                "charges": [
                    {
                        "type": "JUROS_MORA_ATRASO",
                        "additionalInfo": format!("{days} dias de atraso"),
                        "amount": Amount::from_cents(part * days / 3_000 + 1),
                    },
                    {
                        "type": "MULTA_ATRASO_PAGAMENTO",
                        "additionalInfo": "2 % da parcela",
                        "amount": Amount::from_cents(part / 50),
                    },
                ],
            })
        });
        json!({
            "isOverParcelPayment": late,
            "installmentId": format!("{:016x}", dice.roll()),
            "paidDate": self.due(instalment) + Days::new(days.unsigned_abs()),
            "paidAmount": Amount::from_cents(part + interest),
            "currencyCode": "BRL",
            "overParcel": over,
        })
    }

    fn record(&self, today: NaiveDate) -> LoanRecord {
        let product = self.product;
        let passed = (1..=product.term)
            .take_while(|n| self.due(*n) <= today)
            .count();
        let passed = i64::try_from(passed).unwrap_or(product.term);
        // Who pays late has not paid an instalment that was due in the last days.
        let paid_on = |n: i64| {
            let release = self.release(n);
            release["paidDate"]
                .as_str()
                .and_then(|day| day.parse::<NaiveDate>().ok())
        };
        let late = i64::from(passed > 0 && paid_on(passed).is_some_and(|day| day > today));
        let paid = passed - late;
        let last = self.due(product.term);
        let done = paid == product.term;
        let mut dice = self.seed.dice(CONTRACTS, self.number * 1_000 + 7);
        let contract = dice.between(10_000_000, 99_999_999);
        let bank = cnpj(self.seed.dice(CONTRACTS, 7).between(10_000_000, 99_999_999));
        let overdraft = product.kind == "UNARRANGED_ACCOUNT_OVERDRAFT";
        let other = product.periodicity == "OTHERS";
        LoanRecord {
            key: format!("{contract}-{}", self.number),
            contract_number: Some(contract.to_string()),
            ipoc_code: Some(format!(
                "{}0203{contract}",
                bank.chars()
                    .filter(char::is_ascii_digit)
                    .take(8)
                    .collect::<String>()
            )),
            product_name: product.name.to_owned(),
            subtype: Some(product.subtype.to_owned()),
            kind: product.kind.to_owned(),
            date: today,
            contract_date: Some(self.agreed),
            disbursement_dates: vec![self.agreed + Days::new(1)],
            settlement_date: done.then(|| paid_on(paid)).flatten(),
            due_date: Some(last),
            first_installment_due_date: (!overdraft).then(|| self.due(1)),
            contract_amount: Some(Amount::from_cents(self.amount)),
            currency_code: "BRL".to_owned(),
            cet: fraction(product.rate * 12 + 150),
            installment_periodicity: Some(product.periodicity.to_owned()),
            installment_periodicity_additional_info: other
                .then(|| "No vencimento de cada duplicata".to_owned()),
            amortization_scheduled: Some(product.amortization.to_owned()),
            amortization_scheduled_additional_info: other
                .then(|| "Liquidação de cada duplicata".to_owned()),
            cnpj_consignee: (product.subtype == "CREDITO_PESSOAL_COM_CONSIGNACAO").then_some(bank),
            interest_rates: vec![self.interest()],
            contracted_fees: vec![
                json!({
                    "name": "TARIFA_CADASTRO",
                    "code": "CADASTRO",
                    "chargeType": "UNIQUE",
                    "charge": "FIXED",
                    "amount": Amount::from_cents(45_000),
                }),
                json!({
                    "name": "SEGURO_PRESTAMISTA",
                    "code": "SEGURO",
                    "chargeType": "BY_INSTALLMENT",
                    "charge": "PERCENTAGE",
                    "rate": fraction(35),
                }),
            ],
            contracted_finance_charges: vec![
                json!({ "type": "JUROS_MORA_ATRASO", "additionalInfo": "ao mês", "rate": fraction(100) }),
                json!({ "type": "MULTA_ATRASO_PAGAMENTO", "additionalInfo": "sobre a parcela", "rate": fraction(200) }),
            ],
            warranties: self.warranties(),
            installments: Some(json!({
                "typeNumberOfInstallments": if overdraft { "WITHOUT_TOTAL_PERIOD" } else { "MONTH" },
                "totalNumberOfInstallments": (!overdraft).then_some(product.term),
                "typeContractRemaining": if overdraft { "WITHOUT_REMAINING_PERIOD" } else { "MONTH" },
                "contractRemainingNumber": (!overdraft).then_some(product.term - passed),
                "paidInstallments": paid,
                "dueInstallments": product.term - paid,
                "pastDueInstallments": late,
                "balloonPayments": self.balloons(),
            })),
            payments: Some(json!({
                "contractOutstandingBalance": Amount::from_cents(self.left(paid)),
                "releases": (1..=paid).map(|n| self.release(n)).collect::<Vec<_>>(),
            })),
        }
    }

    fn interest(&self) -> Value {
        let indexed = self.product.kind == "FINANCING";
        json!({
            "taxType": if indexed { "NOMINAL" } else { "EFFECTIVE" },
            "interestRateType": if indexed { "SIMPLE" } else { "COMPOUND" },
            "taxPeriodicity": "MONTHLY",
            "calculation": if indexed { "30/360" } else { "21/252" },
            "referentialRateIndexerType": if indexed { "POS_FIXADO" } else { "PRE_FIXADO" },
            "referentialRateIndexerSubType": if indexed { "TR_TBF" } else { "PRE_FIXADO" },
            "referentialRateIndexerAdditionalInfo": indexed.then_some("TR do dia do aniversário"),
            "preFixedRate": fraction(self.product.rate),
            "postFixedRate": indexed.then(|| Amount::from_cents(100)),
            "additionalInfo": indexed.then_some("Reajuste mensal"),
        })
    }

    fn warranties(&self) -> Vec<Value> {
        let (kind, subtype, percent) = match self.product.kind {
            "FINANCING" => ("ALIENACAO_FIDUCIARIA", "IMOVEIS_RESIDENCIAIS", 130),
            "INVOICE_FINANCING" => ("CESSAO_DIREITOS_CREDITORIOS", "DUPLICATAS", 100),
            _ => return Vec::new(),
        };
        vec![json!({
            "type": kind,
            "subtype": subtype,
            "amount": Amount::from_cents(self.amount / 100 * percent),
            "currencyCode": "BRL",
        })]
    }

    /// A home is paid for with something extra once a year, in the first three.
    fn balloons(&self) -> Vec<Value> {
        if self.product.kind != "FINANCING" {
            return Vec::new();
        }
        let extra = Amount::from_cents(self.amount / 100);
        let balloon = |year: i64| json!({ "dueDate": self.due(year * 12), "amount": { "value": extra, "currencyCode": "BRL" } });
        (1..=3).map(balloon).collect()
    }
}

/// Ten-thousandths as a fraction of one.
fn fraction(parts: i64) -> Option<Amount> {
    Amount::from_parts(
        parts / 10_000,
        i32::try_from(parts % 10_000 * 100_000).ok()?,
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }

    #[test]
    fn a_user_has_a_loan_of_every_kind_and_pays_it_back_as_time_goes_by() {
        let seed = Seed::of(2, "user-ok");
        let (mut keys, mut paid_back) = (BTreeSet::new(), 0);
        let mut before: Vec<LoanRecord> = Vec::new();
        for days in 0..400 {
            let today = day("2026-03-16") + Days::new(days);
            let loans = list(seed, today);
            let kinds: BTreeSet<&str> = loans.iter().map(|loan| loan.kind.as_str()).collect();
            assert_eq!(kinds.len(), 4, "{today}");
            assert_eq!(
                loans
                    .iter()
                    .map(|loan| &loan.key)
                    .collect::<BTreeSet<_>>()
                    .len(),
                loans.len()
            );
            for loan in &loans {
                keys.insert(loan.key.clone());
                paid_back += usize::from(loan.settlement_date.is_some());
                let Some(earlier) = before.iter().find(|earlier| earlier.key == loan.key) else {
                    continue;
                };
                assert_eq!(
                    (earlier.contract_amount, earlier.contract_date),
                    (loan.contract_amount, loan.contract_date)
                );
                let releases = |loan: &LoanRecord| {
                    let payments = loan.payments.as_ref().expect("payments");
                    payments["releases"].as_array().expect("a list").clone()
                };
                let (earlier, now) = (releases(earlier), releases(loan));
                assert_eq!(
                    now[..earlier.len()],
                    earlier[..],
                    "what was paid stays paid: {today}"
                );
            }
            before = loans;
        }
        assert!(keys.len() > 10, "{} contracts in 400 days", keys.len());
        assert!(paid_back > 100, "{paid_back}");
    }

    #[test]
    fn fractions_are_exact() {
        let text = |parts| fraction(parts).expect("a fraction").to_string();
        assert_eq!(
            (text(290), text(10_000), text(35)),
            ("0.029".to_owned(), "1.00".to_owned(), "0.0035".to_owned())
        );
    }
}
