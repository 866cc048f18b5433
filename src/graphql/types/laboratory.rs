//! The laboratory: what sandbox applications do to the made-up banks of their Items.

use async_graphql::{ID, InputObject, SimpleObject};

use super::{
    super::scalar::{Date, Decimal},
    connector::{Connector, ConnectorStatus},
    item::{ExecutionStatus, Item},
    product::ProductType,
    transaction::TransactionStatus,
};
use crate::{
    connector::Warning,
    item::laboratory::{MovementChange, NewMovement},
};

/// A row to be written at an Item's made-up bank.
#[derive(InputObject)]
pub struct CreateSandboxTransactionInput {
    /// The account whose book it goes into.
    pub account_id: ID,
    /// The bank's local day. Ponte sees it while it lies inside the window that the next run reads.
    pub posted_on: Date,
    /// From the holder's point of view: negative leaves the account. In the account's currency.
    pub amount: Decimal,
    /// Its text, 1 to 256 characters.
    pub description: String,
    /// Whether the bank has settled it.
    #[graphql(default_with = "TransactionStatus::Posted")]
    pub status: TransactionStatus,
}

impl From<CreateSandboxTransactionInput> for NewMovement {
    fn from(input: CreateSandboxTransactionInput) -> Self {
        Self {
            posted_on: input.posted_on.0,
            amount: input.amount.0,
            description: input.description,
            status: input.status.into(),
        }
    }
}

/// What is to change about a row at an Item's made-up bank. What is absent or null stays.
#[derive(InputObject)]
pub struct UpdateSandboxTransactionInput {
    /// The transaction, as Ponte has collected it.
    pub transaction_id: ID,
    /// Another local day.
    posted_on: Option<Date>,
    /// Another amount.
    amount: Option<Decimal>,
    /// Another text, 1 to 256 characters.
    description: Option<String>,
    /// Whether the bank has settled it.
    status: Option<TransactionStatus>,
}

impl From<UpdateSandboxTransactionInput> for MovementChange {
    fn from(input: UpdateSandboxTransactionInput) -> Self {
        Self {
            posted_on: input.posted_on.map(|day| day.0),
            amount: input.amount.map(|amount| amount.0),
            description: input.description,
            status: input.status.map(Into::into),
        }
    }
}

/// Which row a made-up bank is to strike out.
#[derive(InputObject)]
pub struct DeleteSandboxTransactionInput {
    /// The transaction, as Ponte has collected it.
    pub transaction_id: ID,
}

/// How far an Item's made-up bank is to go on in time.
#[derive(InputObject)]
pub struct AdvanceSandboxClockInput {
    /// The Item.
    pub item_id: ID,
    /// So many days, at least 1. There is no way back.
    #[graphql(default = 1)]
    pub days: u32,
}

/// How the next run of an Item is to fail.
#[derive(InputObject)]
pub struct FailNextSandboxRunInput {
    /// The Item.
    pub item_id: ID,
    /// What it fails with: any code that an institution can end a run with.
    pub code: ExecutionStatus,
    /// In which product's step; while logging in when absent or null. Other products go on.
    pub product: Option<ProductType>,
}

/// What an Item's next run is to warn of.
#[derive(InputObject)]
pub struct WarnNextSandboxRunInput {
    /// The Item.
    pub item_id: ID,
    /// In which product's step.
    pub product: ProductType,
    /// The code: 1 to 32 capitals, digits and `_`, such as `ACCT_003`.
    pub code: String,
    /// What happened, in English; 1 to 256 characters. A text that says where it comes from when left out.
    pub message: Option<String>,
    /// The institution's own words; 1 to 256 characters, none when left out.
    pub provider_message: Option<String>,
}

impl WarnNextSandboxRunInput {
    /// The warning, as a connector tells it.
    pub fn warning(self) -> Warning {
        let asked = || "a warning that was asked for in the laboratory".to_owned();
        Warning {
            code: self.code,
            message: self.message.unwrap_or_else(asked),
            provider_message: self.provider_message,
        }
    }
}

/// How well a sandbox connector is to work for your application.
#[derive(InputObject)]
pub struct SetSandboxConnectorStatusInput {
    /// The connector.
    pub connector_id: ID,
    /// OFFLINE: runs end in SITE_NOT_AVAILABLE, new Items are refused, automatic runs wait. UNSTABLE is shown and nothing else.
    pub status: ConnectorStatus,
}

/// A bank that has been changed. What Ponte has collected changes with the next run.
#[derive(SimpleObject)]
pub struct SandboxBankPayload {
    /// The Item whose bank it is.
    pub item: Item,
}

/// A bank that has gone on in time.
#[derive(SimpleObject)]
pub struct AdvanceSandboxClockPayload {
    /// The Item whose bank it is.
    pub item: Item,
    /// How many days the bank is ahead of the clock now.
    pub days_ahead: u32,
}

/// A connector that works differently for your application.
#[derive(SimpleObject)]
pub struct SetSandboxConnectorStatusPayload {
    /// The connector.
    pub connector: Connector,
}
