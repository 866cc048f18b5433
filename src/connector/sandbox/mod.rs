//! The sandbox family: a made-up bank whose users are personas.
//!
//! What a login leads to follows from the user name (`persona`), what the bank shows from the user and the day (`data`):
//! nothing is stored and nothing is left to chance, so that clients can be tried out and tested against it. A run sees
//! the bank as of the local day on which it logged in. Steps take as long as the call says, to be watched.

mod bulk;
mod data;
mod dice;
mod holder;
mod ledger;
mod persona;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use async_stream::try_stream;
use async_trait::async_trait;
use chrono::NaiveDate;
use entity::kind::{ExecutionStatus, Product};
use futures_util::stream::BoxStream;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use self::{
    data::Bank,
    dice::Seed,
    persona::{Asked, CODE, PASSWORD, Persona},
};
use super::{
    BATCH_ROWS, Batch, Call, Connector, ConnectorKind, Coverage, Credentials, Descriptor, Failure,
    Field, FieldKind, Login, Question, Request, Session, SourceKind,
};

const USER: &str = "user";
const PASSWORD_FIELD: &str = "password";
const TOKEN: &str = "token";
const PHONE: &str = "phone";
const COMPANY: &str = "company";

const OVERLAP_DAYS: u32 = 4;
const LOGIN_STEPS: u32 = 3;
const ANSWER_STEPS: u32 = 2;

/// São Paulo, where the bank is, has been three hours behind UTC all year since 2019.
const BEHIND_UTC: Duration = Duration::from_hours(3);

/// A black and white PNG that reads 123456.
const CODE_IMAGE: &str = "iVBORw0KGgoAAAANSUhEUgAAAJwAAAAsAQAAAAC4CeyVAAAAWElEQVR42tWSwRXAIAxC2YD9t2SDFPDamzm06kvCzwGfEfOy8EnIEQYu5EjX91CcbB+ctACbohSjOq5A5P5UuqzjPYwa+jUWIQvd4xLs1HgGp8p7+I8//wDb4KE/52r5YwAAAABJRU5ErkJggg==";

/// Connector 0: user and password.
pub(super) fn plain() -> Arc<dyn Connector> {
    Arc::new(Sandbox::new(0, Mfa::None))
}

/// Connector 1: user, password and a code that must be fresh in every run.
pub(super) fn one_step_mfa() -> Arc<dyn Connector> {
    Arc::new(Sandbox::new(1, Mfa::OneStep))
}

/// Connector 3: user and password, then a question.
pub(super) fn two_step_mfa() -> Arc<dyn Connector> {
    Arc::new(Sandbox::new(3, Mfa::TwoStep))
}

struct Sandbox {
    descriptor: Descriptor,
    mfa: Mfa,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mfa {
    None,
    OneStep,
    TwoStep,
}

/// What must outlive a call.
#[derive(Serialize, Deserialize)]
struct State {
    user: String,
    stage: Stage,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Stage {
    /// Asked which phone gets the code.
    Phone,
    /// Asked for the code.
    Code,
    /// Asked to choose something.
    Choice,
    /// Asked which company to go on for.
    Company,
    /// Logged in on this day.
    Connected { day: NaiveDate },
}

impl Sandbox {
    fn new(id: i32, mfa: Mfa) -> Self {
        let mut credentials = vec![
            Field {
                name: USER.to_owned(),
                label: "User".to_owned(),
                placeholder: Some("user-ok".to_owned()),
                assistive_text: Some(
                    "The name decides what happens; user-ok is a login that works.".to_owned(),
                ),
                ..Field::default()
            },
            Field {
                name: PASSWORD_FIELD.to_owned(),
                label: "Password".to_owned(),
                kind: FieldKind::Password,
                assistive_text: Some(format!("{PASSWORD} is the one that works.")),
                ..Field::default()
            },
        ];
        if mfa == Mfa::OneStep {
            credentials.push(Field {
                name: TOKEN.to_owned(),
                label: "Token".to_owned(),
                mfa: true,
                validation: Some(r"^\d{6}$".to_owned()),
                validation_message: Some("must have 6 digits".to_owned()),
                placeholder: Some("000000".to_owned()),
                assistive_text: Some(format!("{CODE} is the one that works.")),
                ..Field::default()
            });
        }
        let descriptor = Descriptor {
            id,
            name: "Ponte Bank",
            kind: ConnectorKind::PersonalBank,
            country: Some("BR"),
            institution_url: Some("https://bank.example"),
            image_url: None,
            primary_color: Some("0B6E4F"),
            credentials,
            products: vec![
                Product::Accounts,
                Product::CreditCards,
                Product::Transactions,
                Product::Identity,
            ],
            has_mfa: mfa == Mfa::TwoStep,
            oauth: false,
            is_sandbox: true,
            is_open_finance: false,
            source: SourceKind::Institution,
            overlap_days: OVERLAP_DAYS,
            trusts_device: false,
            consent_lasts: None,
        };
        Self { descriptor, mfa }
    }

    /// The persona, if this connector knows it.
    fn persona(&self, user: &str) -> Option<Persona> {
        persona::find(user).filter(|p| self.mfa == Mfa::TwoStep || p.asked == Asked::Code)
    }
}

#[async_trait]
impl Connector for Sandbox {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    async fn login(&self, call: &Call, credentials: &Credentials) -> Result<Login, Failure> {
        pace(call, LOGIN_STEPS).await;
        let user = value(credentials, USER).unwrap_or_default();
        let persona = self
            .persona(user)
            .filter(|_| value(credentials, PASSWORD_FIELD) == Some(PASSWORD))
            .ok_or_else(|| {
                Failure::new(
                    ExecutionStatus::InvalidCredentials,
                    "the bank does not know this user or password; send new parameters",
                )
            })?;
        match self.mfa {
            Mfa::None => connect(call, user, persona),
            Mfa::OneStep if value(credentials, TOKEN) == Some(CODE) => connect(call, user, persona),
            Mfa::OneStep => Err(wrong_answer()),
            Mfa::TwoStep => Ok(match persona.asked {
                Asked::Code | Asked::CodeThenCompany => {
                    ask(user, Stage::Code, code(FieldKind::Text))
                }
                Asked::Image => ask(user, Stage::Code, code(FieldKind::Image)),
                Asked::Choice => ask(user, Stage::Choice, way()),
                Asked::PhoneThenCode => ask(user, Stage::Phone, phone()),
            }),
        }
    }

    async fn answer(
        &self,
        call: &Call,
        session: &Session,
        answers: &Credentials,
    ) -> Result<Login, Failure> {
        pace(call, ANSWER_STEPS).await;
        let State { user, stage } = read(session)?;
        let persona = self.persona(&user).ok_or_else(foreign_session)?;
        match stage {
            Stage::Phone => {
                chosen(&phone(), answers)?;
                Ok(ask(&user, Stage::Code, code(FieldKind::Text)))
            }
            Stage::Code if value(answers, TOKEN) != Some(CODE) => Err(wrong_answer()),
            Stage::Code if persona.asked == Asked::CodeThenCompany => {
                Ok(ask(&user, Stage::Company, company()))
            }
            Stage::Code => connect(call, &user, persona),
            Stage::Choice => {
                chosen(&way(), answers)?;
                connect(call, &user, persona)
            }
            Stage::Company => {
                chosen(&company(), answers)?;
                connect(call, &user, persona)
            }
            Stage::Connected { .. } => Err(foreign_session()),
        }
    }

    async fn poll(&self, _call: &Call, _session: &Session) -> Result<Login, Failure> {
        Err(foreign_session())
    }

    fn collect(
        &self,
        call: Call,
        session: Session,
        request: Request,
    ) -> BoxStream<'static, Result<Batch, Failure>> {
        let bank = self.bank(&session);
        Box::pin(try_stream! {
            let bank = bank?;
            pace(&call, steps(request.product)).await;
            match request.product {
                Product::Accounts => {
                    let step = bank.household().accounts;
                    if let Some(failure) = step.failure() {
                        Err(failure)?;
                    }
                    yield Batch::Accounts(bank.checking_accounts());
                    if let Some(warning) = step.warning() {
                        yield Batch::Warning(warning);
                    }
                }
                Product::CreditCards => yield Batch::Accounts(vec![bank.card()]),
                Product::Transactions => {
                    for (account, window) in request.windows {
                        let known = bank.find(&account).zip(bank.clamp(window));
                        let Some((book, window)) = known else { continue };
                        let mut movements = bank.transactions(book, window);
                        loop {
                            let rows: Vec<_> = movements.by_ref().take(BATCH_ROWS).collect();
                            if rows.is_empty() {
                                break;
                            }
                            yield Batch::Transactions { account: account.clone(), rows };
                        }
                        yield Batch::Covered(Coverage { account, window, complete: true });
                    }
                }
                Product::Identity => yield Batch::Identity(Box::new(bank.identity())),
                Product::PaymentData
                | Product::Investments
                | Product::InvestmentsTransactions
                | Product::BrokerageNote
                | Product::MoveSecurity
                | Product::Loans
                | Product::AccountStatements => {}
            }
        })
    }
}

impl Sandbox {
    /// The bank that a session has logged in to.
    fn bank(&self, session: &Session) -> Result<Bank, Failure> {
        let State { user, stage } = read(session)?;
        let household = self.persona(&user).and_then(|p| p.outcome.ok());
        match (stage, household) {
            (Stage::Connected { day }, Some(household)) => Ok(Bank::new(
                Seed::of(self.descriptor.id, &user),
                household,
                day,
            )),
            _ => Err(foreign_session()),
        }
    }
}

/// Takes as many steps of time.
async fn pace(call: &Call, steps: u32) {
    if !call.sandbox_step.is_zero() {
        call.clock.sleep(call.sandbox_step * steps).await;
    }
}

/// How many steps a product takes.
fn steps(product: Product) -> u32 {
    match product {
        Product::Accounts | Product::Transactions => 2,
        Product::CreditCards
        | Product::PaymentData
        | Product::Investments
        | Product::InvestmentsTransactions
        | Product::Identity
        | Product::BrokerageNote
        | Product::MoveSecurity
        | Product::Loans
        | Product::AccountStatements => 1,
    }
}

/// Ends a login as the persona has it.
fn connect(call: &Call, user: &str, persona: Persona) -> Result<Login, Failure> {
    persona.outcome?;
    let day = call.clock.now().minus(BEHIND_UTC).date();
    Ok(Login::Connected(write(user, Stage::Connected { day })))
}

fn ask(user: &str, stage: Stage, field: Field) -> Login {
    Login::Question {
        question: Question {
            field,
            expires_in: None,
        },
        session: write(user, stage),
    }
}

fn code(kind: FieldKind) -> Field {
    let image = kind == FieldKind::Image;
    Field {
        name: TOKEN.to_owned(),
        label: "Code".to_owned(),
        kind,
        placeholder: Some("000000".to_owned()),
        assistive_text: Some(format!("{CODE} is the one that works.")),
        instructions: Some(if image {
            "Type the digits that the image shows.".to_owned()
        } else {
            "Type the 6 digits that Ponte Bank has sent to your phone.".to_owned()
        }),
        data: image.then(|| CODE_IMAGE.to_owned()),
        ..Field::default()
    }
}

fn way() -> Field {
    select(
        TOKEN,
        "Confirmation",
        "Choose how Ponte Bank confirms that it is you.",
        &[
            ("app", "Confirm in the app"),
            ("sms", "Confirm by text message"),
            ("email", "Confirm by e-mail"),
        ],
    )
}

fn phone() -> Field {
    select(
        PHONE,
        "Phone",
        "Choose the phone that gets the code.",
        &[
            ("phone-1", "(11) 9****-1234"),
            ("phone-2", "(11) 9****-5678"),
        ],
    )
}

fn company() -> Field {
    select(
        COMPANY,
        "Company",
        "Choose the company to go on for.",
        &[
            ("company-1", "Padaria Ponte Ltda"),
            ("company-2", "Ponte Tecnologia S.A."),
        ],
    )
}

fn select(name: &str, label: &str, instructions: &str, options: &[(&str, &str)]) -> Field {
    Field {
        name: name.to_owned(),
        label: label.to_owned(),
        kind: FieldKind::Select,
        instructions: Some(instructions.to_owned()),
        options: options
            .iter()
            .map(|(value, label)| ((*value).to_owned(), (*label).to_owned()))
            .collect(),
        ..Field::default()
    }
}

/// Whether one of a question's options was chosen.
fn chosen(field: &Field, answers: &Credentials) -> Result<(), Failure> {
    let answer = value(answers, &field.name);
    if field
        .options
        .iter()
        .any(|(option, _)| Some(option.as_str()) == answer)
    {
        Ok(())
    } else {
        Err(wrong_answer())
    }
}

fn value<'a>(Credentials(values): &'a Credentials, name: &str) -> Option<&'a str> {
    values.get(name).map(ExposeSecret::expose_secret)
}

fn wrong_answer() -> Failure {
    Failure::new(
        ExecutionStatus::InvalidCredentialsMfa,
        "the bank did not accept the answer; start a new update and answer again",
    )
}

fn foreign_session() -> Failure {
    Failure::new(
        ExecutionStatus::UnexpectedError,
        "the login cannot be gone on with; start a new update",
    )
}

fn write(user: &str, stage: Stage) -> Session {
    let json = serde_json::to_vec(&State {
        user: user.to_owned(),
        stage,
    })
    .expect("strings and a date are valid JSON");
    Session(Zeroizing::new(json))
}

fn read(session: &Session) -> Result<State, Failure> {
    serde_json::from_slice(&session.0).map_err(|_| foreign_session())
}
