//! Scalars of the public schema.

use std::borrow::Cow;

use async_graphql::{
    ContextSelectionSet, ID, InputValueError, InputValueResult, OutputType, Positioned, Scalar,
    ScalarType, ServerResult, Value, parser::types::Field, registry::Registry,
};
use chrono::{DateTime as ChronoDateTime, NaiveDate, Utc};
use uuid::Uuid;

use crate::{clock::Timestamp, money::Amount};

/// An instant in RFC 3339, in UTC with milliseconds: `2026-01-31T10:00:00.000Z`. Other offsets are accepted as input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime(pub Timestamp);

/// An instant in RFC 3339, in UTC with milliseconds: `2026-01-31T10:00:00.000Z`. Other offsets are accepted as input.
#[Scalar(
    name = "DateTime",
    specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339"
)]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => ChronoDateTime::parse_from_rfc3339(text)
                .map(|instant| Self(instant.with_timezone(&Utc).into()))
                .map_err(|_| {
                    InputValueError::custom("must be an instant such as 2026-01-31T10:00:00.000Z")
                }),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// A calendar day: `2026-01-31`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date(pub NaiveDate);

/// A calendar day: `2026-01-31`.
#[Scalar(
    name = "Date",
    specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339"
)]
impl ScalarType for Date {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) if text.len() == 10 => text
                .parse()
                .map(Self)
                .map_err(|_| InputValueError::custom("must be a day such as 2026-01-31")),
            Value::String(_) => Err(InputValueError::custom("must be a day such as 2026-01-31")),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// An exact decimal number as text, with two to nine decimals: `"-1234.56"`. Never a float, never rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal(pub Amount);

/// An exact decimal number as text, with two to nine decimals: `"-1234.56"`. Never a float, never rounded.
#[Scalar(name = "Decimal")]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => text
                .parse()
                .map(Self)
                .map_err(|error: crate::money::AmountError| InputValueError::custom(error)),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// An `ID`, written without a detour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id {
    /// Of a row of ours.
    Row(Uuid),
    /// Of a connector.
    Number(i32),
    /// Of what is the same everywhere.
    Word(&'static str),
}

impl OutputType for Id {
    fn type_name() -> Cow<'static, str> {
        <ID as OutputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <ID as OutputType>::create_type_info(registry)
    }

    async fn resolve(
        &self,
        _: &ContextSelectionSet<'_>,
        _: &Positioned<Field>,
    ) -> ServerResult<Value> {
        Ok(Value::String(match self {
            Self::Row(id) => id.to_string(),
            Self::Number(id) => id.to_string(),
            Self::Word(id) => (*id).to_owned(),
        }))
    }
}

/// The UUID behind an `ID`; the nil UUID, which nothing has, for any other text.
pub fn uuid(id: &ID) -> Uuid {
    let text = id.as_str();
    match text.len() {
        36 => Uuid::parse_str(text).unwrap_or_default(),
        _ => Uuid::nil(),
    }
}
