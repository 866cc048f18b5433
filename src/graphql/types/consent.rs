//! What users allowed.

use async_graphql::{Context, Object, Result};
use entity::{consent, kind::Product};
use serde_json::Value;

use super::{
    super::{
        loader,
        page::{self, List, Pointed, connection},
        rows::Plain,
        scalar::{DateTime, Id},
    },
    document::words,
    item::Item,
    product::ProductType,
};
use crate::{db::row::Row as _, error::Error};

/// What a user allowed on an Item.
#[derive(Clone)]
pub struct Consent(pub consent::Model);

/// What a user allowed on an Item.
#[Object]
impl Consent {
    /// Identity.
    pub async fn id(&self) -> Id {
        Id::Row(self.0.id)
    }

    /// The Item it was given for.
    async fn item(&self, ctx: &Context<'_>) -> Result<Item> {
        let item = loader::item(ctx, self.0.item_id).await?;
        Ok(Item::from(item.ok_or(Error::NotFound { what: "item" })?))
    }

    /// The products that may be collected.
    async fn products(&self) -> Vec<ProductType> {
        serde_json::from_value::<Vec<Product>>(self.0.products.clone())
            .unwrap_or_default()
            .into_iter()
            .map(Into::into)
            .collect()
    }

    /// What it allows, by regulated codes; null outside of Open Finance.
    async fn open_finance_permissions_granted(&self) -> Option<Vec<OpenFinancePermission>> {
        let granted = |code: &str| code.parse().unwrap_or(OpenFinancePermission::Unknown);
        let codes = self.0.permissions.as_ref()?.as_array()?.iter();
        Some(codes.filter_map(Value::as_str).map(granted).collect())
    }

    /// `openFinancePermissionsGranted` as the codes themselves.
    async fn open_finance_permissions_granted_raw(&self) -> Option<Vec<&str>> {
        let codes = self.0.permissions.as_ref()?.as_array()?.iter();
        Some(codes.filter_map(Value::as_str).collect())
    }

    /// When it was given.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it ends; null when it has no end.
    async fn expires_at(&self) -> Option<DateTime> {
        self.0.expires_at.map(DateTime)
    }

    /// When it was withdrawn; null while it stands.
    async fn revoked_at(&self) -> Option<DateTime> {
        self.0.revoked_at.map(DateTime)
    }
}

words!(
    /// What a consent through Open Finance allows.
    OpenFinancePermission {
        /// All about the holder.
        RegistrationAll,
        /// Who the holder is.
        RegistrationIdentifications,
        /// What the holder does, earns and owns.
        RegistrationQualifications,
        /// What else the holder has at the institution.
        RegistrationFinancialRelations,
        /// All about accounts.
        AccountsAll,
        /// Which accounts there are.
        AccountsList,
        /// What is on accounts.
        AccountsBalances,
        /// How far accounts may be overdrawn.
        AccountsLimits,
        /// Movements of accounts.
        AccountsTransactions,
        /// All about cards.
        CreditCardsAll,
        /// Which cards there are.
        CreditCardsList,
        /// Limits of cards.
        CreditCardsLimits,
        /// Movements of cards.
        CreditCardsTransactions,
        /// Bills of cards.
        CreditCardsBills,
        /// Loans and financing.
        CreditOperationsAll,
        /// Positions and their movements.
        InvestmentsAll,
        /// Foreign exchange.
        ExchangesAll,
    }
);

impl From<consent::Model> for Consent {
    fn from(row: consent::Model) -> Self {
        Self(row)
    }
}

impl Plain for Consent {}

impl Pointed for Consent {
    fn pointer(&self) -> String {
        page::cursor(List::Consents, self.0.key())
    }
}

connection!(
    /// A page of consents, newest first.
    ConsentConnection,
    /// A consent in a list.
    ConsentEdge,
    Consent
);
