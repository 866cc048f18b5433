//! Connectors and the forms they ask to be filled in.

use std::sync::Arc;

use async_graphql::{
    Context, Enum, ID, InputObject, Object, Result, SimpleObject, parser::types::Field as Selected,
};

use entity::kind;

use super::{
    super::{
        ContextExt as _,
        page::{self, Arguments, List, Pointed, connection},
        rows::{Json, Plain},
        scalar::{DateTime, Id},
    },
    product::ProductType,
};
use crate::{
    app::App,
    clock::Timestamp,
    connector::{Connector as Integration, ConnectorKind, Field, FieldKind},
    db::page::{Key, Page, cut},
    error::Error,
    item::health,
    product::text::fold,
};

/// An integration with one institution, or with a kind of file.
#[derive(Clone)]
pub struct Connector(pub Arc<dyn Integration>);

/// An integration with one institution, or with a kind of file.
#[Object]
impl Connector {
    /// Identity: an integer, as text. Stable for ever.
    pub async fn id(&self) -> Id {
        Id::Number(self.0.descriptor().id)
    }

    /// Name of the institution. Several connectors can share it.
    async fn name(&self) -> &str {
        self.0.descriptor().name
    }

    /// Kind of institution.
    #[graphql(name = "type")]
    async fn kind(&self) -> ConnectorType {
        self.0.descriptor().kind.into()
    }

    /// ISO 3166 alpha-2 code of the country it serves; null when it is not bound to one.
    async fn country(&self) -> Option<&str> {
        self.0.descriptor().country
    }

    /// Home page of the institution; null when there is none.
    async fn institution_url(&self) -> Option<&str> {
        self.0.descriptor().institution_url
    }

    /// Address of its logo; null when there is none.
    async fn image_url(&self) -> Option<&str> {
        self.0.descriptor().image_url
    }

    /// Its brand colour, hexadecimal without `#`; null when there is none.
    async fn primary_color(&self) -> Option<&str> {
        self.0.descriptor().primary_color
    }

    /// Where the user gets a new password, to be shown after ACCOUNT_CREDENTIALS_RESET and INVALID_CREDENTIALS; null when the institution has no such page, or no password.
    async fn reset_password_url(&self) -> Option<&str> {
        self.0.descriptor().reset_password_url
    }

    /// The form that `createItem` wants filled in, in display order.
    async fn credentials(&self) -> Vec<CredentialField> {
        let fields = &self.0.descriptor().credentials;
        fields
            .iter()
            .map(|field| CredentialField::new(field.clone(), None))
            .collect()
    }

    /// What it can collect, in the order of collection.
    async fn products(&self) -> Vec<ProductType> {
        let products = &self.0.descriptor().products;
        products.iter().map(|product| (*product).into()).collect()
    }

    /// Whether a question is asked during login (two-step MFA): the Item becomes WAITING_USER_INPUT. One-step MFA shows as a credential with `mfa: true` instead.
    async fn has_mfa(&self) -> bool {
        self.0.descriptor().has_mfa
    }

    /// Whether login happens on the institution's own site.
    async fn oauth(&self) -> bool {
        self.0.descriptor().oauth
    }

    /// Whether its institution and data are made up.
    async fn is_sandbox(&self) -> bool {
        self.0.descriptor().is_sandbox
    }

    /// Whether it goes through a regulated interface.
    async fn is_open_finance(&self) -> bool {
        self.0.descriptor().is_open_finance
    }

    /// Whether `fetchAccountBalance` works with its accounts.
    async fn has_live_balance(&self) -> bool {
        self.0.descriptor().has_live_balance
    }

    /// When all Items of it are deleted: 30 days after the operator has given notice of its end, which CONNECTOR_STATUS_UPDATED tells too. From the notice on new Items are refused with CONNECTOR_RETIRED; those that exist go on. Null while it stays.
    async fn retires_at(&self, ctx: &Context<'_>) -> Option<DateTime> {
        let end = ctx.app().retirements.ends_at(self.0.descriptor().id);
        end.map(DateTime)
    }

    /// How well it works at present.
    async fn health(&self, ctx: &Context<'_>) -> Result<ConnectorHealth> {
        let form = self.0.descriptor();
        let application = ctx.principal()?.application;
        let known = ctx.app().health.of(form.id, application);
        let status = health::status(ctx.app(), form, application);
        let sums = known.map(|standing| standing.sums).unwrap_or_default();
        let number = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
        Ok(ConnectorHealth {
            status: status.map_or(ConnectorStatus::Unknown, Into::into),
            stage: None,
            connection_rate_last6_hours: sums.rate().map(number),
            connections_last6_hours: number(sums.total()),
            changed_at: known.map(|standing| DateTime(standing.changed_at)),
        })
    }
}

impl ConnectorStatus {
    /// As a made-up bank can be switched to.
    pub fn switchable(self) -> Result<kind::ConnectorStatus, Error> {
        match self {
            Self::Online => Ok(kind::ConnectorStatus::Online),
            Self::Unstable => Ok(kind::ConnectorStatus::Unstable),
            Self::Offline => Ok(kind::ConnectorStatus::Offline),
            Self::Unknown => Err(Error::invalid(
                "status",
                "must be ONLINE, UNSTABLE or OFFLINE",
            )),
        }
    }
}

impl From<kind::ConnectorStatus> for ConnectorStatus {
    fn from(status: kind::ConnectorStatus) -> Self {
        match status {
            kind::ConnectorStatus::Online => Self::Online,
            kind::ConnectorStatus::Unstable => Self::Unstable,
            kind::ConnectorStatus::Offline => Self::Offline,
        }
    }
}

impl From<Arc<dyn Integration>> for Connector {
    fn from(connector: Arc<dyn Integration>) -> Self {
        Self(connector)
    }
}

impl Plain for Connector {
    fn write(&self, _: &App, field: &Selected, json: &mut Json) -> Option<()> {
        let form = self.0.descriptor();
        match field.name.node.as_str() {
            "id" => json.word(form.id),
            "name" => json.text(form.name),
            "country" => json.maybe(form.country, Json::text),
            "institutionUrl" => json.maybe(form.institution_url, Json::text),
            "imageUrl" => json.maybe(form.image_url, Json::text),
            "primaryColor" => json.maybe(form.primary_color, Json::text),
            "resetPasswordUrl" => json.maybe(form.reset_password_url, Json::text),
            "hasMfa" => json.flag(form.has_mfa),
            "oauth" => json.flag(form.oauth),
            "isSandbox" => json.flag(form.is_sandbox),
            "isOpenFinance" => json.flag(form.is_open_finance),
            "hasLiveBalance" => json.flag(form.has_live_balance),
            _ => None,
        }
    }
}

impl Pointed for Connector {
    fn pointer(&self) -> String {
        page::cursor(List::Connectors, key(&self.0))
    }
}

fn key(connector: &Arc<dyn Integration>) -> Key {
    Key::Position(connector.descriptor().id.into())
}

/// Counts connectors.
pub struct ConnectorCount(i64);

impl ConnectorCount {
    async fn count(&self, _: &Context<'_>) -> Result<i64> {
        Ok(self.0)
    }
}

connection!(
    /// A page of connectors, by ascending id.
    ConnectorConnection,
    /// A connector in a list.
    ConnectorEdge,
    Connector,
    counted by ConnectorCount
);

/// Which connectors are wanted; everything given must hold.
#[derive(InputObject, Default)]
pub struct ConnectorFilter {
    /// Part of the name, without regard to case and accents.
    name: Option<String>,
    /// Only these.
    ids: Option<Vec<ID>>,
    /// Only of these types.
    types: Option<Vec<ConnectorType>>,
    /// Only of these countries, as ISO 3166 alpha-2 codes.
    countries: Option<Vec<String>>,
    /// true: only made-up ones; false: only real ones.
    is_sandbox: Option<bool>,
    /// true: only regulated interfaces; false: only others.
    is_open_finance: Option<bool>,
}

impl ConnectorFilter {
    fn accepts(&self, connector: &Arc<dyn Integration>) -> bool {
        let form = connector.descriptor();
        let wanted = |wanted: Option<bool>, is: bool| wanted.is_none_or(|wanted| wanted == is);
        self.name
            .as_ref()
            .is_none_or(|name| fold(form.name).contains(&fold(name)))
            && self
                .ids
                .as_ref()
                .is_none_or(|ids| ids.iter().any(|id| id.as_str() == form.id.to_string()))
            && self
                .types
                .as_ref()
                .is_none_or(|types| types.contains(&form.kind.into()))
            && self.countries.as_ref().is_none_or(|countries| {
                countries.iter().any(|country| {
                    form.country
                        .is_some_and(|own| own.eq_ignore_ascii_case(country))
                })
            })
            && wanted(self.is_sandbox, form.is_sandbox)
            && wanted(self.is_open_finance, form.is_open_finance)
    }
}

/// A page of connectors.
pub fn list(
    ctx: &Context<'_>,
    arguments: &Arguments,
    filter: Option<ConnectorFilter>,
) -> Result<ConnectorConnection> {
    ctx.principal()?;
    let slice = arguments.slice(List::Connectors, crate::graphql::MOST_ROWS)?;
    let filter = filter.unwrap_or_default();
    let found: Vec<_> = ctx
        .app()
        .connectors
        .list()
        .filter(|connector| filter.accepts(connector))
        .cloned()
        .collect();
    let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
    let page: Page<_> = cut(found, key, false, slice);
    Ok(ConnectorConnection::new(page, ConnectorCount(count)))
}

/// Kind of institution.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "ConnectorKind")]
pub enum ConnectorType {
    /// A bank for persons.
    PersonalBank,
    /// A bank for companies.
    BusinessBank,
    /// A broker.
    Investment,
    /// An invoicing service.
    Invoice,
    /// A telephone company.
    Telecommunication,
    /// A platform of the digital economy.
    DigitalEconomy,
    /// A payment account.
    PaymentAccount,
    /// Anything else.
    Other,
}

/// How well a connector works.
#[derive(SimpleObject)]
pub struct ConnectorHealth {
    /// Whether logins reach the institution.
    status: ConnectorStatus,
    /// How mature the connector is; null when it is finished.
    stage: Option<ConnectorStage>,
    /// Percentage of the runs of the last six hours, of all applications of this Ponte, that reached the institution: a refused login has, CONNECTION_ERROR, ERROR and SITE_NOT_AVAILABLE have not. Null when there were none; sandbox connectors are not measured.
    connection_rate_last6_hours: Option<i32>,
    /// How many runs that were.
    connections_last6_hours: i32,
    /// When the status last changed; null when it never has.
    changed_at: Option<DateTime>,
}

/// Whether logins reach an institution.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectorStatus {
    /// They do.
    Online,
    /// Some do not: under 80 % of the last hours' runs, of at least 20 and of at least two applications, or of the only one.
    Unstable,
    /// Hardly one does: under 20 %. New Items are refused with CONNECTOR_OFFLINE and automatic runs wait, but for one a minute; three in a row that reach the institution open it again.
    Offline,
    /// Nothing is known yet.
    Unknown,
}

/// How mature a connector is.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectorStage {
    /// Being tried out.
    Beta,
}

/// A value that the user is asked for: part of a connector's form, or a question during a login.
#[derive(SimpleObject)]
pub struct CredentialField {
    /// The `name` to send it back under in `parameters`.
    name: String,
    /// What people read, in the institution's language.
    label: String,
    /// How to ask for it.
    #[graphql(name = "type")]
    kind: CredentialType,
    /// One-step MFA: good for one run only, so it must be sent with every update.
    mfa: bool,
    /// Whether it may be left out.
    optional: bool,
    /// Regular expression that the whole value must match; null when any value will do.
    validation: Option<String>,
    /// What to tell people when it does not; null when there is nothing special to say.
    validation_message: Option<String>,
    /// An example to show in the empty field; null when there is none.
    placeholder: Option<String>,
    /// A hint to show below the field; null when there is none.
    assistive_text: Option<String>,
    /// What to do; only on questions during a login, null otherwise.
    instructions: Option<String>,
    /// The choices of a SELECT; null for other types.
    options: Option<Vec<CredentialOption>>,
    /// For IMAGE a picture in base64, for OAUTH the address to open in a browser; null for other types.
    data: Option<String>,
    /// The question must be answered before this; null in a connector's form.
    expires_at: Option<DateTime>,
}

impl CredentialField {
    /// A field of a form, or a question that is open until an instant.
    pub fn new(field: Field, expires_at: Option<Timestamp>) -> Self {
        let options = field
            .options
            .into_iter()
            .map(|(value, label)| CredentialOption { value, label });
        Self {
            name: field.name,
            label: field.label,
            mfa: field.mfa,
            optional: field.optional,
            validation: field.validation,
            validation_message: field.validation_message,
            placeholder: field.placeholder,
            assistive_text: field.assistive_text,
            instructions: field.instructions,
            options: (field.kind == FieldKind::Select).then(|| options.collect()),
            kind: field.kind.into(),
            data: field.data,
            expires_at: expires_at.map(DateTime),
        }
    }
}

/// A choice of a SELECT.
#[derive(SimpleObject)]
pub struct CredentialOption {
    /// What to send.
    value: String,
    /// What people read.
    label: String,
}

/// How a value is asked for. All values are sent as text.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "FieldKind")]
pub enum CredentialType {
    /// Shown while typed.
    Text,
    /// Digits, kept as text.
    Number,
    /// Masked.
    Password,
    /// One of `options`.
    Select,
    /// Show `data` as an image, answer in text.
    Image,
    /// The `uploadId` that POST /uploads answered.
    File,
    /// Open `data` in a browser; the login goes on by itself.
    Oauth,
}
