//! The connectors of the sandbox: what each is called, asks for and offers.

use std::time::Duration;

use entity::kind::Product;

use super::{CODE, PASSWORD, question::select};
use crate::connector::{ConnectorKind, Descriptor, Field, FieldKind, SourceKind};

pub(super) const USER: &str = "user";
pub(super) const PASSWORD_FIELD: &str = "password";
pub(super) const TOKEN: &str = "token";
pub(super) const HOLDERS: &str = "accountType";
pub(super) const JOINT: &str = "joint";
pub(super) const COOPERATIVE: &str = "cooperative";
pub(super) const CERTIFICATE: &str = "certificate";
pub(super) const CPF: &str = "cpf";

const OVERLAP_DAYS: u32 = 4;
const REGULATED_OVERLAP_DAYS: u32 = 7;
/// How long a consent of the regulated interface lasts.
const CONSENT_LASTS: Duration = Duration::from_hours(365 * 24);

/// A connector of the sandbox.
#[derive(Clone, Copy, Debug)]
pub(super) struct Profile {
    /// Domain id.
    pub(super) id: i32,
    /// Name.
    pub(super) name: &'static str,
    /// Kind of institution.
    pub(super) kind: ConnectorKind,
    /// How its users log in.
    pub(super) entry: Entry,
    /// What is asked beside or after the password.
    pub(super) mfa: Mfa,
    /// What it offers.
    pub(super) products: &'static [Product],
    /// Whether its users are companies.
    pub(super) company: bool,
}

/// How users log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// With user and password.
    Password,
    /// Likewise; of a joint account the second holder is asked too.
    Joint,
    /// Likewise, at one of several cooperatives.
    Cooperative,
    /// Likewise, and with a certificate.
    Certificate,
    /// By scanning a QR code in the bank's app.
    Qr,
    /// On the bank's own site.
    Site,
    /// On the bank's own site, for a person whose tax number is given: the regulated interface.
    Regulated,
}

/// What is asked beside the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mfa {
    /// Nothing.
    None,
    /// A code, with the password.
    OneStep,
    /// A question, after the password.
    TwoStep,
    /// A code with the password, or a question after it when that is left out.
    Either,
}

const EVERYDAY: &[Product] = &[
    Product::Accounts,
    Product::CreditCards,
    Product::Transactions,
    Product::Identity,
];

const EVERYTHING: &[Product] = &[
    Product::Accounts,
    Product::CreditCards,
    Product::Transactions,
    Product::Investments,
    Product::InvestmentsTransactions,
    Product::PaymentData,
    Product::Identity,
    Product::Loans,
    Product::AccountStatements,
];

/// What the regulated interface has: it knows no statements.
const REGULATED: &[Product] = &[
    Product::Accounts,
    Product::CreditCards,
    Product::Transactions,
    Product::Investments,
    Product::InvestmentsTransactions,
    Product::PaymentData,
    Product::Identity,
    Product::Loans,
];

const BUSINESS: &[Product] = &[
    Product::Accounts,
    Product::CreditCards,
    Product::Transactions,
    Product::PaymentData,
    Product::Identity,
    Product::Loans,
    Product::AccountStatements,
];

const BROKER: &[Product] = &[
    Product::Accounts,
    Product::Transactions,
    Product::Investments,
    Product::InvestmentsTransactions,
    Product::Identity,
];

const ACQUIRER: &[Product] = &[
    Product::Accounts,
    Product::Transactions,
    Product::PaymentData,
    Product::Identity,
];

/// All of them, by id.
pub(super) const FAMILY: [Profile; 19] = [
    personal(0, "Ponte Bank", Entry::Password, Mfa::None, EVERYDAY),
    personal(1, "Ponte Bank", Entry::Password, Mfa::OneStep, EVERYDAY),
    personal(
        2,
        "Ponte Bank Brasil",
        Entry::Password,
        Mfa::None,
        EVERYTHING,
    ),
    personal(3, "Ponte Bank", Entry::Password, Mfa::TwoStep, EVERYDAY),
    personal(
        4,
        "Ponte Bank Brasil",
        Entry::Password,
        Mfa::OneStep,
        EVERYTHING,
    ),
    personal(
        5,
        "Ponte Bank Brasil",
        Entry::Password,
        Mfa::TwoStep,
        EVERYTHING,
    ),
    business(8, "Ponte Bank Empresas", Entry::Password, Mfa::None),
    personal(
        9,
        "Ponte Bank Conta Conjunta",
        Entry::Joint,
        Mfa::Either,
        EVERYDAY,
    ),
    business(10, "Ponte Bank Empresas", Entry::Password, Mfa::TwoStep),
    business(11, "Ponte Bank Empresas", Entry::Certificate, Mfa::None),
    personal(
        12,
        "Ponte Cooperativa",
        Entry::Cooperative,
        Mfa::None,
        EVERYDAY,
    ),
    business(
        13,
        "Ponte Cooperativa Empresas",
        Entry::Cooperative,
        Mfa::None,
    ),
    broker(16, Mfa::None),
    broker(17, Mfa::OneStep),
    broker(18, Mfa::TwoStep),
    personal(19, "Ponte Bank QR", Entry::Qr, Mfa::None, EVERYDAY),
    Profile {
        kind: ConnectorKind::PaymentAccount,
        company: true,
        ..personal(20, "Ponte Pagamentos", Entry::Password, Mfa::None, ACQUIRER)
    },
    personal(200, "Minha Ponte", Entry::Site, Mfa::None, EVERYDAY),
    personal(
        600,
        "Ponte Open Finance",
        Entry::Regulated,
        Mfa::None,
        REGULATED,
    ),
];

const fn personal(
    id: i32,
    name: &'static str,
    entry: Entry,
    mfa: Mfa,
    products: &'static [Product],
) -> Profile {
    Profile {
        id,
        name,
        kind: ConnectorKind::PersonalBank,
        entry,
        mfa,
        products,
        company: false,
    }
}

const fn business(id: i32, name: &'static str, entry: Entry, mfa: Mfa) -> Profile {
    Profile {
        kind: ConnectorKind::BusinessBank,
        company: true,
        ..personal(id, name, entry, mfa, BUSINESS)
    }
}

const fn broker(id: i32, mfa: Mfa) -> Profile {
    Profile {
        kind: ConnectorKind::Investment,
        ..personal(id, "Ponte Investimentos", Entry::Password, mfa, BROKER)
    }
}

impl Profile {
    /// What clients are told of it.
    pub(super) fn descriptor(&self) -> Descriptor {
        let regulated = self.entry == Entry::Regulated;
        Descriptor {
            id: self.id,
            name: self.name,
            kind: self.kind,
            country: Some("BR"),
            institution_url: Some("https://bank.example"),
            image_url: None,
            primary_color: Some("0B6E4F"),
            reset_password_url: (self.form().iter())
                .any(|field| field.name == PASSWORD_FIELD)
                .then_some("https://bank.example/password"),
            credentials: self.form(),
            products: self.products.to_vec(),
            has_mfa: matches!(self.mfa, Mfa::TwoStep | Mfa::Either),
            oauth: self.on_site(),
            is_sandbox: true,
            is_open_finance: regulated,
            source: SourceKind::Institution,
            overlap_days: if regulated {
                REGULATED_OVERLAP_DAYS
            } else {
                OVERLAP_DAYS
            },
            trusts_device: self.on_site(),
            has_live_balance: regulated,
            consent_lasts: regulated.then_some(CONSENT_LASTS),
        }
    }

    /// Whether login happens on the bank's own site.
    pub(super) fn on_site(&self) -> bool {
        matches!(self.entry, Entry::Site | Entry::Regulated)
    }

    fn form(&self) -> Vec<Field> {
        if matches!(self.entry, Entry::Qr | Entry::Site) {
            return Vec::new();
        }
        if self.entry == Entry::Regulated {
            return vec![Field {
                name: CPF.to_owned(),
                label: "CPF".to_owned(),
                validation: Some(r"^\d{3}\.?\d{3}\.?\d{3}-?\d{2}$".to_owned()),
                validation_message: Some("must have 11 digits".to_owned()),
                placeholder: Some("761.092.776-73".to_owned()),
                assistive_text: Some(
                    "The number decides what happens; 761.092.776-73 is a login that works."
                        .to_owned(),
                ),
                ..Field::default()
            }];
        }
        let before = match self.entry {
            Entry::Joint => Some(select(
                HOLDERS,
                "Account",
                &[
                    ("single", "Mine alone"),
                    (JOINT, "Joint, with another holder"),
                ],
            )),
            Entry::Cooperative => Some(select(
                COOPERATIVE,
                "Cooperative",
                &[
                    ("0101", "Cooperativa Serra Azul"),
                    ("0102", "Cooperativa Vale do Rio"),
                    ("0103", "Cooperativa Costa Verde"),
                ],
            )),
            Entry::Password | Entry::Certificate | Entry::Qr | Entry::Site | Entry::Regulated => {
                None
            }
        };
        let user = Field {
            name: USER.to_owned(),
            label: "User".to_owned(),
            placeholder: Some("user-ok".to_owned()),
            assistive_text: Some(
                "The name decides what happens; user-ok is a login that works.".to_owned(),
            ),
            ..Field::default()
        };
        let password = Field {
            name: PASSWORD_FIELD.to_owned(),
            label: "Password".to_owned(),
            kind: FieldKind::Password,
            assistive_text: Some(format!("{PASSWORD} is the one that works.")),
            ..Field::default()
        };
        let certificate = (self.entry == Entry::Certificate).then(|| Field {
            name: CERTIFICATE.to_owned(),
            label: "Certificate".to_owned(),
            kind: FieldKind::File,
            assistive_text: Some("Any file will do. It is kept for later runs.".to_owned()),
            ..Field::default()
        });
        let optional = match self.mfa {
            Mfa::OneStep => Some(false),
            Mfa::Either => Some(true),
            Mfa::None | Mfa::TwoStep => None,
        };
        let token = optional.map(|optional| Field {
            name: TOKEN.to_owned(),
            label: "Token".to_owned(),
            mfa: true,
            optional,
            validation: Some(r"^\d{6}$".to_owned()),
            validation_message: Some("must have 6 digits".to_owned()),
            placeholder: Some("000000".to_owned()),
            assistive_text: Some(format!("{CODE} is the one that works.")),
            ..Field::default()
        });
        let fields = before.into_iter().chain([user, password]);
        fields.chain(certificate).chain(token).collect()
    }
}
