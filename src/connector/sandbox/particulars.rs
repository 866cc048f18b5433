//! What the made-up bank tells of movements beyond their text: it follows from the text, the day and the seed.

use chrono::{Days, Months, NaiveDate};

use super::{
    dice::{Dice, Seed},
    holder,
    ledger::{self, Book, Row},
    shops, slip,
};
use crate::{
    connector::{
        BoletoRecord, CardRecord, IdentityRecord, ParticipantRecord, PaymentRecord,
        TransactionDetails,
    },
    money::Amount,
};

const PARTICULARS: u64 = u64::from_be_bytes(*b"particul");

/// COMPE and ISPB codes of banks; the first one is the made-up bank's own.
const BANKS: [(&str, &str); 6] = [
    ("999", "99999999"),
    ("001", "00000000"),
    ("033", "90400888"),
    ("104", "00360305"),
    ("237", "60746948"),
    ("341", "60701190"),
];
const REASONS: [&str; 5] = ["almoço", "presente", "aluguel", "mensalidade", "conserto"];
/// The first day of the count that slips tell their due day by, from 1000.
const SLIPS_FROM: (i32, u32, u32) = (2025, 2, 22);

/// A movement and where it stands.
pub(super) struct Movement<'a> {
    /// Whose bank it is.
    pub(super) seed: Seed,
    /// The book it is written in.
    pub(super) book: Book,
    /// The day.
    pub(super) day: NaiveDate,
    /// Its place in the day.
    pub(super) ordinal: i64,
    /// What is written.
    pub(super) row: &'a Row,
}

impl Movement<'_> {
    fn dice(&self) -> Dice {
        let place = ledger::day_number(self.day) * 1_000 + self.ordinal;
        self.seed.dice(self.book.subject(PARTICULARS), place)
    }

    /// What the bank tells of it, without payment data. A movement of the card is on a bill once it has settled.
    pub(super) fn details(&self, card_numbers: &[String], settled: bool) -> TransactionDetails {
        let (kind, more) = self.operation();
        TransactionDetails {
            operation_type: Some(kind.to_owned()),
            operation_type_additional_info: more.map(str::to_owned),
            order: i32::try_from(self.ordinal).ok(),
            payment_data: None,
            card: (self.book == Book::Card).then(|| self.card(card_numbers, settled)),
            merchant: shops::find(&self.row.text).map(shops::Shop::record),
        }
    }

    /// The regulated name of what it is, and more about it.
    fn operation(&self) -> (&'static str, Option<&'static str>) {
        let text = self.row.text.as_str();
        let begins = |word: &str| text.starts_with(word);
        if self.book == Book::Card {
            return match text {
                _ if self.row.cents > 0 => ("PAGAMENTO", None),
                _ if begins("ANUIDADE") || begins("TARIFA") => ("TARIFA", None),
                _ if begins("SAQUE") => ("OPERACOES_CREDITO_CONTRATADAS_CARTAO", Some("SAQUE")),
                _ if begins("IOF") => ("OUTROS", Some("IOF")),
                _ => ("OUTROS", Some("COMPRA")),
            };
        }
        match text {
            _ if begins("PIX") => ("PIX", None),
            _ if text.contains("SALARIO") => ("FOLHA_PAGAMENTO", None),
            _ if begins("TED") => ("TED", None),
            _ if begins("PAGAMENTO DE BOLETO") => ("BOLETO", None),
            _ if begins("DEBITO AUTOMATICO") => ("CONVENIO_ARRECADACAO", None),
            _ if begins("SAQUE") => ("SAQUE", None),
            _ if begins("RESGATE") => ("RESGATE_APLIC_FINANCEIRA", None),
            _ if begins("RENDIMENTO") => ("RENDIMENTO_APLIC_FINANCEIRA", None),
            _ if begins("DEPOSITO") => ("DEPOSITO", None),
            _ if begins("APLICACAO") => ("OUTROS", Some("APLICACAO")),
            _ if begins("PAGAMENTO FATURA") => ("OUTROS", Some("PAGAMENTO DE FATURA")),
            _ => ("CARTAO", None),
        }
    }

    fn card(&self, numbers: &[String], settled: bool) -> CardRecord {
        let row = self.row;
        let mut dice = self.dice();
        let number = numbers.get(usize::from(dice.percent(20)));
        let mut card = CardRecord {
            card_number: number.or(numbers.first()).cloned(),
            ..CardRecord::default()
        };
        if row.cents > 0 {
            return card;
        }
        let closes = ledger::closes(self.day);
        card.bill_key = settled.then(|| ledger::bill_key(closes));
        card.bill_forecast_date = Some(closes.format("%Y-%m").to_string());
        card.purchase_date = Some(self.day);
        card.payee_mcc = shops::find(&row.text).map(|shop| shop.mcc.to_owned());
        if let Some((number, of)) = instalment(&row.text) {
            card.installment_number = i32::try_from(number).ok();
            card.total_installments = i32::try_from(of).ok();
            card.total_amount = Some(Amount::from_cents(-row.cents * i64::from(of)));
            card.purchase_date = Some(self.day - Months::new(number - 1));
        }
        if row.text.starts_with("ANUIDADE") {
            card.fee_type = Some("ANNUAL_FEE".to_owned());
            card.fee_type_additional_info = Some("Anuidade cobrada por mês".to_owned());
        }
        if row.text.starts_with("TARIFA") {
            card.fee_type = Some("ATM_WITHDRAWAL_DOMESTIC".to_owned());
            card.fee_type_additional_info = Some("Saque na função crédito".to_owned());
        }
        if row.text.starts_with("SAQUE") {
            card.other_credits_type = Some("OTHER".to_owned());
            card.other_credits_additional_info = Some("Saque na função crédito".to_owned());
        }
        card
    }

    /// Who paid whom, if it is a payment between two who are known. `number` is the account's, with its branch.
    pub(super) fn payment(&self, holder: &IdentityRecord, number: &str) -> Option<PaymentRecord> {
        let text = self.row.text.as_str();
        let mut dice = self.dice();
        let ways = [
            ("PIX ENVIADO ", Some("PIX")),
            ("PIX RECEBIDO ", Some("PIX")),
            ("TED ENVIADA ", Some("TED")),
            ("TED RECEBIDA ", Some("TED")),
            ("PAGAMENTO DE BOLETO ", Some("BOLETO")),
            ("DEBITO AUTOMATICO ", None),
        ];
        let (name, method) = ways
            .iter()
            .find_map(|(begin, method)| Some((text.strip_prefix(begin)?, *method)))?;
        let this = own(holder, number);
        let other = other(name, method == Some("BOLETO") || method.is_none());
        let (payer, receiver) = if self.row.cents < 0 {
            (this, other)
        } else {
            (other, this)
        };
        let mut payment = PaymentRecord {
            payment_method: method.map(str::to_owned),
            ..PaymentRecord::default()
        };
        let day = self.day.format("%Y%m%d");
        match method {
            Some("PIX") => {
                let ispb = payer.routing_number_ispb.as_deref().unwrap_or("99999999");
                let (hour, minute) = (dice.between(0, 23), dice.between(0, 59));
                let tail = format!("{:016x}", dice.roll()).split_off(5);
                payment.reference_number = Some(format!("E{ispb}{day}{hour:02}{minute:02}{tail}"));
                payment.receiver_reference_id = Some(format!(
                    "{:016x}{:09x}",
                    dice.roll(),
                    dice.between(0, 1 << 35)
                ));
                payment.reason = Some((*dice.pick(&REASONS)).to_owned());
            }
            Some("TED") => {
                payment.reference_number =
                    Some(format!("STR{day}{:09}", dice.between(0, 999_999_999)));
                payment.reason = Some("Crédito em conta corrente".to_owned());
            }
            Some(_) => payment.boleto_metadata = Some(self.boleto(&mut dice, &receiver)),
            None => {}
        }
        payment.payer = Some(payer);
        payment.receiver = Some(receiver);
        Some(payment)
    }

    fn boleto(&self, dice: &mut Dice, receiver: &ParticipantRecord) -> BoletoRecord {
        let (year, month, first) = SLIPS_FROM;
        let from = NaiveDate::from_ymd_opt(year, month, first).unwrap_or_default();
        // One in three is paid late: a fine of two percent is part of it then.
        let paid = -self.row.cents;
        let (base, due) = if dice.percent(33) {
            (paid * 100 / 102, self.day - Days::new(3))
        } else {
            (paid, self.day)
        };
        let factor = 1_000 + (due - from).num_days();
        let bank = receiver.routing_number.as_deref().unwrap_or("001");
        let (barcode, line) = slip::numbers(bank, factor, base, dice.between(0, i64::MAX));
        let none = Some(Amount::from_cents(0));
        BoletoRecord {
            digitable_line: Some(line),
            barcode: Some(barcode),
            base_amount: Some(Amount::from_cents(base)),
            interest_amount: none,
            penalty_amount: Some(Amount::from_cents(paid - base)),
            discount_amount: none,
        }
    }

    /// The bank's number of it, where there is one.
    pub(super) fn code(&self) -> Option<String> {
        let by_card = ["COMPRA DEBITO", "SAQUE"];
        let text = &self.row.text;
        by_card
            .iter()
            .any(|word| self.book != Book::Card && text.starts_with(word))
            .then(|| format!("{:06}", self.dice().between(0, 999_999)))
    }
}

/// Number and count of an instalment that a text tells.
fn instalment(text: &str) -> Option<(u32, u32)> {
    let (_, rest) = text.split_once(" PARC ")?;
    let (number, of) = rest.split_whitespace().next()?.split_once('/')?;
    Some((number.parse().ok()?, of.parse().ok()?))
}

fn own(holder: &IdentityRecord, number: &str) -> ParticipantRecord {
    let (branch, account) = number.split_once('/').unwrap_or(("0001", number));
    let (compe, ispb) = BANKS[0];
    ParticipantRecord {
        document_type: holder.document_type.clone(),
        document_number: holder.document.clone(),
        name: holder.full_name.clone().or(holder.company_name.clone()),
        account_number: Some(account.to_owned()),
        branch_number: Some(branch.to_owned()),
        routing_number: Some(compe.to_owned()),
        routing_number_ispb: Some(ispb.to_owned()),
    }
}

/// Somebody at another bank, always the same for a name. Whoever is paid by a slip is a company.
fn other(name: &str, company: bool) -> ParticipantRecord {
    let company = company
        || ["LTDA", "COLEGIO", "IMOBILIARIA"]
            .iter()
            .any(|word| name.contains(word));
    let number = name.bytes().fold(7, |sum: i64, byte| {
        (sum * 31 + i64::from(byte)) % 90_000_000
    });
    let (kind, document) = if company {
        ("CNPJ", holder::cnpj(number))
    } else {
        ("CPF", holder::cpf(number * 10 + 3))
    };
    let banks = BANKS.get(1..).unwrap_or(&BANKS);
    let place = usize::try_from(number).unwrap_or(0) % banks.len();
    let (compe, ispb) = banks[place];
    ParticipantRecord {
        document_type: Some(kind.to_owned()),
        document_number: Some(document),
        name: Some(name.to_owned()),
        account_number: Some(format!("{:06}-{}", number % 1_000_000, number % 10)),
        branch_number: Some(format!("{:04}", number % 9_973)),
        routing_number: Some(compe.to_owned()),
        routing_number_ispb: Some(ispb.to_owned()),
    }
}
