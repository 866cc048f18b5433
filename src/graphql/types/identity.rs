//! Who holders are.

use async_graphql::{Context, Object, Result};
use entity::identity;
use serde_json::Value;

use super::{
    super::{
        loader,
        scalar::{Date, DateTime, Id},
    },
    item::Item,
};
use crate::error::Error;

/// Who the holder of an Item is, as the institution knows them. What it does not tell is null or empty.
#[derive(Clone)]
pub struct Identity(pub identity::Model);

/// Who the holder of an Item is, as the institution knows them. What it does not tell is null or empty.
#[Object]
impl Identity {
    /// Identity.
    pub async fn id(&self) -> Id {
        Id::Row(self.0.id)
    }

    /// The Item it was collected through.
    async fn item(&self, ctx: &Context<'_>) -> Result<Item> {
        let item = loader::item(ctx, self.0.item_id).await?;
        Ok(Item::from(item.ok_or(Error::NotFound { what: "item" })?))
    }

    /// Full name of the person.
    async fn full_name(&self) -> Option<&str> {
        self.0.full_name.as_deref()
    }

    /// Name of the company.
    async fn company_name(&self) -> Option<&str> {
        self.0.company_name.as_deref()
    }

    /// Number of the tax or identity document.
    async fn document(&self) -> Option<&str> {
        self.0.document.as_deref()
    }

    /// Kind of `document`, such as `CPF` or `CNPJ`.
    async fn document_type(&self) -> Option<&str> {
        self.0.document_type.as_deref()
    }

    /// Tax number of the company.
    async fn tax_number(&self) -> Option<&str> {
        self.0.tax_number.as_deref()
    }

    /// Day of birth.
    async fn birth_date(&self) -> Option<Date> {
        self.0.birth_date.map(Date)
    }

    /// Occupation.
    async fn job_title(&self) -> Option<&str> {
        self.0.job_title.as_deref()
    }

    /// Postal addresses.
    async fn addresses(&self) -> Vec<Address<'_>> {
        rows(&self.0, "addresses").map(Address).collect()
    }

    /// Telephone numbers.
    async fn phone_numbers(&self) -> Vec<PhoneNumber<'_>> {
        rows(&self.0, "phoneNumbers").map(PhoneNumber).collect()
    }

    /// Addresses of electronic mail.
    async fn emails(&self) -> Vec<Email<'_>> {
        rows(&self.0, "emails").map(Email).collect()
    }

    /// When it was first seen.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it last changed.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }
}

impl From<identity::Model> for Identity {
    fn from(row: identity::Model) -> Self {
        Self(row)
    }
}

fn rows<'a>(row: &'a identity::Model, name: &str) -> impl Iterator<Item = &'a Value> {
    let rows = row.details.get(name).and_then(Value::as_array);
    rows.into_iter().flatten()
}

fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

/// A postal address. What the institution does not tell is null.
pub struct Address<'a>(&'a Value);

/// A postal address. What the institution does not tell is null.
#[Object]
impl Address<'_> {
    /// All of it in one line.
    async fn full_address(&self) -> Option<&str> {
        text(self.0, "fullAddress")
    }

    /// Street and number.
    async fn primary_address(&self) -> Option<&str> {
        text(self.0, "primaryAddress")
    }

    /// District.
    async fn district(&self) -> Option<&str> {
        text(self.0, "district")
    }

    /// City.
    async fn city(&self) -> Option<&str> {
        text(self.0, "city")
    }

    /// State or province.
    async fn state(&self) -> Option<&str> {
        text(self.0, "state")
    }

    /// Postal code, as the institution writes it.
    async fn postal_code(&self) -> Option<&str> {
        text(self.0, "postalCode")
    }

    /// Country, as the institution writes it.
    async fn country(&self) -> Option<&str> {
        text(self.0, "country")
    }

    /// ISO 3166 alpha-3 code of the country.
    async fn country_code(&self) -> Option<&str> {
        text(self.0, "countryCode")
    }

    /// What it is used for, in the institution's words, such as `Personal` or `Work`.
    #[graphql(name = "type")]
    async fn kind(&self) -> Option<&str> {
        text(self.0, "type")
    }

    /// Whatever else the institution notes.
    async fn additional_info(&self) -> Option<&str> {
        text(self.0, "additionalInfo")
    }
}

/// A telephone number.
pub struct PhoneNumber<'a>(&'a Value);

/// A telephone number.
#[Object]
impl PhoneNumber<'_> {
    /// What it is used for, in the institution's words, such as `Personal`; null when it does not tell.
    #[graphql(name = "type")]
    async fn kind(&self) -> Option<&str> {
        text(self.0, "kind")
    }

    /// The number, as the institution writes it.
    async fn value(&self) -> &str {
        text(self.0, "value").unwrap_or_default()
    }
}

/// An address of electronic mail.
pub struct Email<'a>(&'a Value);

/// An address of electronic mail.
#[Object]
impl Email<'_> {
    /// What it is used for, in the institution's words, such as `Personal` or `Work`; null when it does not tell.
    #[graphql(name = "type")]
    async fn kind(&self) -> Option<&str> {
        text(self.0, "kind")
    }

    /// The address.
    async fn value(&self) -> &str {
        text(self.0, "value").unwrap_or_default()
    }
}
