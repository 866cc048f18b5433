//! Applications and tokens.

use async_graphql::{ID, InputObject, SimpleObject};

use super::super::scalar::DateTime;
use crate::auth::token::Issued;

/// What trades for an API key.
#[derive(InputObject)]
pub struct CreateApiKeyInput {
    /// The application's client id, as `ponte application create` printed it.
    pub client_id: ID,
    /// The application's client secret, as `ponte application create` printed it.
    pub client_secret: String,
}

/// A new API key.
#[derive(SimpleObject)]
pub struct CreateApiKeyPayload {
    /// A JWT; send it as `Authorization: Bearer …` or `X-API-KEY: …`. Keep it on your server.
    pub api_key: String,
    /// When it ends: two hours after it was issued.
    pub expires_at: DateTime,
}

impl From<Issued> for CreateApiKeyPayload {
    fn from(issued: Issued) -> Self {
        Self {
            api_key: issued.token,
            expires_at: DateTime(issued.expires_at),
        }
    }
}
