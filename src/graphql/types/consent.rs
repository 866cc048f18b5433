//! What users allowed.

use async_graphql::{Context, Object, Result};
use entity::{consent, kind::Product};

use super::{
    super::{
        loader,
        page::{self, List, Pointed, connection},
        rows::Plain,
        scalar::{DateTime, Id},
    },
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
