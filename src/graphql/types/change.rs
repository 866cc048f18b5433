//! What clients send to change Items, and what they are answered.

use async_graphql::{ID, InputObject, MaybeUndefined, SimpleObject};
use entity::kind;
use secrecy::SecretString;

use super::{item::Item, product::ProductType};
use crate::{
    error::ParameterProblem,
    item::{Change, Changed, Filled, ItemUpdate, NewItem},
};

/// A value of a connector's form, or the answer to a question.
#[derive(InputObject)]
pub struct ParameterInput {
    /// The `name` of the `CredentialField`.
    name: String,
    /// What the user typed. Sealed at rest, never shown again.
    value: String,
}

fn parameters(inputs: Vec<ParameterInput>) -> Vec<(String, SecretString)> {
    let secret = |input: ParameterInput| (input.name, input.value.into());
    inputs.into_iter().map(secret).collect()
}

fn products(inputs: Option<Vec<ProductType>>) -> Option<Vec<kind::Product>> {
    inputs.map(|products| products.into_iter().map(Into::into).collect())
}

/// What a new Item is made of.
#[derive(InputObject)]
pub struct CreateItemInput {
    /// What to connect through.
    connector_id: ID,
    /// The values of the connector's form; empty when `encryptedParameters` is given.
    parameters: Vec<ParameterInput>,
    /// The values of the connector's form as the browser encrypted them, in place of `parameters`: base64 (RFC 4648, padded) of RSA-OAEP with SHA-256 as digest and in MGF1, under `Application.parametersKey`, over a JSON object from name to value, at most 318 bytes of it. The key's `keyId` and a dot may stand before. Both at once, and whatever does not open, is INVALID_INPUT.
    encrypted_parameters: Option<String>,
    /// What to collect; all that the connector offers when left out.
    products: Option<Vec<ProductType>>,
    /// Your name for the user. 1 to 256 characters. A connect token brings it: leave it out there.
    client_user_id: Option<String>,
    /// Address that is told of all its events. A connect token brings it: leave it out there.
    webhook_url: Option<String>,
    /// Where the browser is sent after a login on the institution's own site. A connect token brings it: leave it out there.
    oauth_redirect_uri: Option<String>,
    /// Refuse credentials that are connected already, with ITEM_USER_ALREADY_EXISTS. false when left out.
    avoid_duplicates: Option<bool>,
    /// Any text of 1 to 256 characters: for 24 hours, the same key with the same input answers the Item that the first call made.
    idempotency_key: Option<String>,
}

/// Values of a connector's form that are to be judged.
#[derive(InputObject)]
pub struct ValidateParametersInput {
    /// Whose form.
    connector_id: ID,
    /// The values; empty when `encryptedParameters` is given.
    parameters: Vec<ParameterInput>,
    /// The values as the browser encrypted them, in place of `parameters`, as `createItem` takes them.
    encrypted_parameters: Option<String>,
}

impl From<ValidateParametersInput> for Filled {
    fn from(input: ValidateParametersInput) -> Self {
        Self {
            connector_id: input.connector_id.0,
            parameters: parameters(input.parameters),
            encrypted_parameters: input.encrypted_parameters,
        }
    }
}

/// What is wrong with the values of a form.
#[derive(SimpleObject)]
pub struct ValidateParametersPayload {
    /// In the order of the form, then what it does not have; empty when the values fit.
    errors: Vec<ParameterError>,
}

impl From<Vec<ParameterProblem>> for ValidateParametersPayload {
    fn from(problems: Vec<ParameterProblem>) -> Self {
        let errors = problems.into_iter().map(|problem| ParameterError {
            code: problem.code.to_owned(),
            message: problem.message,
            parameter: problem.parameter,
        });
        Self {
            errors: errors.collect(),
        }
    }
}

/// What is wrong with a value of a form, as in the `details` of CONNECTOR_VALIDATION_ERROR.
#[derive(SimpleObject)]
pub struct ParameterError {
    /// `001` it is missing, `002` the form has no such parameter, `003` it does not have the expected form.
    code: String,
    /// What is wrong and what is expected; never the value.
    message: String,
    /// The `name` of the parameter.
    parameter: String,
}

impl From<CreateItemInput> for NewItem {
    fn from(input: CreateItemInput) -> Self {
        Self {
            connector_id: input.connector_id.0,
            parameters: parameters(input.parameters),
            encrypted_parameters: input.encrypted_parameters,
            products: products(input.products),
            client_user_id: input.client_user_id,
            webhook_url: input.webhook_url,
            oauth_redirect_uri: input.oauth_redirect_uri,
            avoid_duplicates: input.avoid_duplicates.unwrap_or_default(),
            idempotency_key: input.idempotency_key,
        }
    }
}

/// What is to change about an Item before it runs again.
#[derive(InputObject)]
pub struct UpdateItemInput {
    /// Which Item.
    pub item_id: ID,
    /// New values, merged over the stored ones. Left out or null: the stored ones are used.
    parameters: Option<Vec<ParameterInput>>,
    /// New values as the browser encrypted them, in place of `parameters`: see `CreateItemInput.encryptedParameters`.
    encrypted_parameters: Option<String>,
    /// What to collect from now on. Left out or null: unchanged, since an Item always collects something.
    products: Option<Vec<ProductType>>,
    /// Your name for the user. Left out: unchanged. Null: cleared.
    client_user_id: MaybeUndefined<String>,
    /// Address that is told of all its events. Left out: unchanged. Null: cleared.
    webhook_url: MaybeUndefined<String>,
}

impl From<UpdateItemInput> for ItemUpdate {
    fn from(input: UpdateItemInput) -> Self {
        Self {
            parameters: parameters(input.parameters.unwrap_or_default()),
            encrypted_parameters: input.encrypted_parameters,
            products: products(input.products),
            client_user_id: change(input.client_user_id),
            webhook_url: change(input.webhook_url),
        }
    }
}

/// What an input says of a field that can be cleared.
pub fn change<T>(value: MaybeUndefined<T>) -> Change<T> {
    match value {
        MaybeUndefined::Undefined => Change::Keep,
        MaybeUndefined::Null => Change::Set(None),
        MaybeUndefined::Value(value) => Change::Set(Some(value)),
    }
}

/// The answer to the question that an Item asks.
#[derive(InputObject)]
pub struct SendItemMfaInput {
    /// Which Item.
    pub item_id: ID,
    /// One value, under the name of `Item.parameter`.
    parameters: Vec<ParameterInput>,
}

impl SendItemMfaInput {
    /// The values.
    pub fn into_parameters(self) -> Vec<(String, SecretString)> {
        parameters(self.parameters)
    }
}

/// Which Item is to run only when asked.
#[derive(InputObject)]
pub struct DisableItemAutoSyncInput {
    /// Which Item.
    pub item_id: ID,
}

/// Which Item is to be deleted.
#[derive(InputObject)]
pub struct DeleteItemInput {
    /// Which Item.
    pub item_id: ID,
}

/// Declares the payload of a mutation that starts something.
macro_rules! changed {
    ($(#[$doc:meta])* $payload:ident) => {
        $(#[$doc])*
        #[derive(SimpleObject)]
        pub struct $payload {
            /// The Item in its new state, committed.
            item: Item,
            /// The position in the log just before: `itemUpdated(itemId:, after:)` with it misses nothing of what follows.
            cursor: String,
        }

        impl $payload {
            /// Of what an operation did.
            pub fn new(app: &crate::app::App, changed: Changed) -> Self {
                let owner = changed.item.application_id;
                Self {
                    cursor: crate::event::cursor::encode(app, owner, changed.position),
                    item: changed.item.into(),
                }
            }
        }
    };
}

changed!(
    /// A new Item.
    CreateItemPayload
);
changed!(
    /// An Item that runs again.
    UpdateItemPayload
);
changed!(
    /// An Item whose question has been answered.
    SendItemMfaPayload
);

/// An Item that runs only when asked.
#[derive(SimpleObject)]
pub struct DisableItemAutoSyncPayload {
    /// The Item.
    pub item: Item,
}

/// That an Item is gone.
#[derive(SimpleObject)]
pub struct DeleteItemPayload {
    /// Its id.
    pub deleted_item_id: ID,
}
