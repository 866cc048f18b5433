//! What clients send about an Item, judged before anything is stored.

use std::collections::{BTreeMap, BTreeSet};

use entity::kind::Product;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use url::Url;
use uuid::Uuid;

use super::{connector_named, encrypted};
use crate::{
    app::App,
    auth::Principal,
    connector::{
        Descriptor, FieldKind,
        validate::{Required, validate},
    },
    error::{Error, ParameterProblem, Result},
    item::state,
};

/// A field of an update: left alone, or set (to null when `None`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// Absent: unchanged.
    #[default]
    Keep,
    /// Present: this, or null.
    Set(Option<T>),
}

/// Parameters as sent: each name at most once.
pub(super) fn by_name(
    parameters: Vec<(String, SecretString)>,
) -> Result<BTreeMap<String, SecretString>> {
    let mut values = BTreeMap::new();
    for (name, value) in parameters {
        if values.insert(name, value).is_some() {
            return Err(Error::invalid("parameters", "a parameter is given twice"));
        }
    }
    Ok(values)
}

/// Parameters as sent, plain or encrypted, never both.
pub(super) async fn parameters(
    app: &App,
    principal: &Principal,
    plain: Vec<(String, SecretString)>,
    encrypted: Option<&str>,
) -> Result<BTreeMap<String, SecretString>> {
    let Some(encrypted) = encrypted else {
        return by_name(plain);
    };
    if !plain.is_empty() {
        return Err(Error::invalid(
            "encryptedParameters",
            "comes in place of parameters; send one of them",
        ));
    }
    encrypted::open(app, principal.application, encrypted).await
}

/// A connector's form as somebody has filled it in.
#[derive(Debug)]
pub struct Filled {
    /// Whose form.
    pub connector_id: String,
    /// The values.
    pub parameters: Vec<(String, SecretString)>,
    /// The same, encrypted, in their place.
    pub encrypted_parameters: Option<String>,
}

/// What a first connection with these values would be refused for, in the order of the form. Judges their shape only.
pub async fn check_parameters(
    app: &App,
    principal: &Principal,
    filled: Filled,
) -> Result<Vec<ParameterProblem>> {
    principal.require_api_key("check parameters")?;
    let connector = connector_named(app, &filled.connector_id)?;
    let encrypted = filled.encrypted_parameters.as_deref();
    let values = parameters(app, principal, filled.parameters, encrypted).await?;
    let judged = validate(connector.descriptor(), &values, Required::All);
    Ok(judged.err().unwrap_or_default())
}

/// Parameters sorted by what becomes of them.
pub(super) struct Sorted {
    /// Kept, sealed, for later runs.
    pub kept: BTreeMap<String, SecretString>,
    /// One-step MFA values: good for one run.
    pub once: BTreeMap<String, SecretString>,
    /// Uploads by parameter name: good for one run.
    pub uploads: Vec<(String, Uuid)>,
}

/// Checks parameters against the connector's form and sorts them.
pub(super) fn sort(
    form: &Descriptor,
    values: BTreeMap<String, SecretString>,
    required: Required,
) -> Result<Sorted> {
    validate(form, &values, required).map_err(Error::ConnectorValidation)?;
    let mut sorted = Sorted {
        kept: BTreeMap::new(),
        once: BTreeMap::new(),
        uploads: Vec::new(),
    };
    for (name, value) in values {
        let field = form.credentials.iter().find(|field| field.name == name);
        match field {
            Some(field) if field.kind == FieldKind::File => {
                let id = Uuid::parse_str(value.expose_secret()).map_err(|_| {
                    Error::ConnectorValidation(vec![ParameterProblem {
                        code: "003",
                        parameter: name.clone(),
                        message: "must be the uploadId that POST /uploads answered".to_owned(),
                    }])
                })?;
                sorted.uploads.push((name, id));
            }
            Some(field) if field.mfa => {
                sorted.once.insert(name, value);
            }
            _ => {
                sorted.kept.insert(name, value);
            }
        }
    }
    Ok(sorted)
}

/// The requested products in order of collection; all that the connector offers when none are named.
pub(super) fn products(form: &Descriptor, requested: Option<Vec<Product>>) -> Result<Vec<Product>> {
    let Some(requested) = requested else {
        return Ok(form.products.clone());
    };
    if requested.is_empty() {
        return Err(Error::invalid(
            "products",
            "name at least one product, or leave it out for all that the connector offers",
        ));
    }
    if let Some(product) = requested
        .iter()
        .find(|product| !form.products.contains(product))
    {
        let offered: Vec<_> = form
            .products
            .iter()
            .map(|product| product.as_str())
            .collect();
        return Err(Error::invalid(
            "products",
            format!(
                "this connector does not offer {product}; it offers {}",
                offered.join(", ")
            ),
        ));
    }
    let wanted: BTreeSet<Product> = requested.into_iter().collect();
    if wanted.contains(&Product::Transactions)
        && !wanted.contains(&Product::Accounts)
        && !wanted.contains(&Product::CreditCards)
    {
        return Err(Error::invalid(
            "products",
            "TRANSACTIONS needs ACCOUNTS or CREDIT_CARDS beside it",
        ));
    }
    if wanted.contains(&Product::InvestmentsTransactions) && !wanted.contains(&Product::Investments)
    {
        return Err(Error::invalid(
            "products",
            "INVESTMENTS_TRANSACTIONS needs INVESTMENTS beside it",
        ));
    }
    if wanted.contains(&Product::PaymentData) && !wanted.contains(&Product::Transactions) {
        return Err(Error::invalid(
            "products",
            "PAYMENT_DATA needs TRANSACTIONS beside it",
        ));
    }
    let mut products: Vec<_> = wanted.into_iter().collect();
    products.sort_by_key(|product| state::order(*product));
    Ok(products)
}

/// A digest that finds equal credentials of an application on a connector; `None` where there is nothing to compare.
pub(super) fn credentials_digest(
    app: &App,
    application: Uuid,
    connector: i32,
    kept: &BTreeMap<String, SecretString>,
) -> Option<[u8; 32]> {
    (!kept.is_empty()).then(|| {
        let connector = connector.to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![b"credentials", application.as_bytes(), &connector];
        let values: Vec<_> = kept.iter().map(|(name, value)| bare(name, value)).collect();
        for (name, value) in kept.keys().zip(&values) {
            parts.push(name.as_bytes());
            parts.push(value.expose_secret().as_bytes());
        }
        app.vault.digest(&parts)
    })
}

/// Parameters that are a tax number.
const TAX_NUMBERS: [&str; 2] = ["cnpj", "cpf"];

/// A value as it is compared: a tax number is the same with dots and without.
pub(super) fn bare(name: &str, value: &SecretString) -> SecretString {
    if !TAX_NUMBERS.contains(&name) {
        return value.clone();
    }
    let digits = value.expose_secret().chars().filter(char::is_ascii_digit);
    SecretString::from(digits.collect::<String>())
}

/// A digest that finds a one-step MFA value that was used in the run before.
pub(super) fn mfa_digest(
    app: &App,
    item: Uuid,
    once: &BTreeMap<String, SecretString>,
) -> Option<Vec<u8>> {
    (!once.is_empty()).then(|| {
        let mut parts: Vec<&[u8]> = vec![b"mfa", item.as_bytes()];
        for (name, value) in once {
            parts.push(name.as_bytes());
            parts.push(value.expose_secret().as_bytes());
        }
        app.vault.digest(&parts).to_vec()
    })
}

/// A digest of texts of which some may be missing, for comparing inputs.
pub(super) fn input_digest(app: &App, parts: &[Option<&[u8]>]) -> Vec<u8> {
    let mut plain = Sha256::new();
    for part in parts {
        match part {
            None => plain.update([0]),
            Some(part) => {
                plain.update([1]);
                plain.update((part.len() as u64).to_be_bytes());
                plain.update(part);
            }
        }
    }
    app.vault.digest(&[b"input", &plain.finalize()]).to_vec()
}

/// Fails unless this may be a client user id.
pub fn check_client_user_id(id: Option<&str>) -> Result<()> {
    match id {
        Some(id) if id.is_empty() || id.chars().count() > 256 || id.contains('\0') => {
            Err(Error::invalid("clientUserId", "1 to 256 characters"))
        }
        _ => Ok(()),
    }
}

/// Fails unless webhooks may be sent to this address.
pub fn check_webhook_url(app: &App, url: Option<&str>) -> Result<()> {
    match url.map(|url| app.egress.policy().check_url(url)) {
        Some(Err(reason)) => Err(Error::invalid("webhookUrl", reason)),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// Fails unless a browser may be sent here after an OAuth login: https, or the deep link of an app.
pub fn check_redirect_uri(uri: Option<&str>) -> Result<()> {
    let Some(uri) = uri else { return Ok(()) };
    let refused = || {
        Error::invalid(
            "oauthRedirectUri",
            "must be an https address of a public host, or the deep link of an app",
        )
    };
    let url = Url::parse(uri).map_err(|_| refused())?;
    let harmful = matches!(
        url.scheme(),
        "http" | "javascript" | "data" | "file" | "blob" | "about"
    );
    let local = url.scheme() == "https"
        && match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => true,
        };
    if harmful || local || uri.len() > 2_048 {
        return Err(refused());
    }
    Ok(())
}
