//! Parameters that a client has encrypted, so that nothing between its user and Ponte reads them.
//!
//! What does not open, and what is no small JSON object of texts once it has, fails with one uniform error: whoever sends
//! something made up learns nothing from the answer.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;
use uuid::Uuid;

use crate::{
    app::App,
    auth::parameters_key,
    connector::validate::{MAX_PARAMETERS, MAX_VALUE_BYTES},
    error::{Error, Result},
};

/// Longest input that is looked at: a key's id, a dot and a ciphertext, with room to spare.
const LONGEST: usize = 1_024;

/// Opens parameters that were encrypted for an application: base64 of the ciphertext, after the key's id and a dot where
/// the sender names it.
pub(super) async fn open(
    app: &App,
    application: Uuid,
    encrypted: &str,
) -> Result<BTreeMap<String, SecretString>> {
    let Some((key, ciphertext)) = read(encrypted) else {
        return Err(refused());
    };
    let opened = parameters_key::open(app, application, key, ciphertext).await?;
    opened
        .and_then(|text| parameters(&text))
        .ok_or_else(refused)
}

/// The one error for whatever cannot be used.
fn refused() -> Error {
    Error::invalid(
        "encryptedParameters",
        "must be base64 of RSA-OAEP (SHA-256) over a JSON object of texts, under the current `Application.parametersKey`; read the key again and encrypt anew",
    )
}

/// The key that is named, if any, and the ciphertext.
fn read(encrypted: &str) -> Option<(Option<Uuid>, Vec<u8>)> {
    if encrypted.len() > LONGEST {
        return None;
    }
    let (key, text) = match encrypted.split_once('.') {
        Some((key, text)) => (Some(Uuid::try_parse(key).ok()?), text),
        None => (None, encrypted),
    };
    Some((key, STANDARD.decode(text).ok()?))
}

/// Values by name, if the text is a JSON object of them within the limits of `parameters`.
fn parameters(text: &[u8]) -> Option<BTreeMap<String, SecretString>> {
    // A secret owns its text: nothing is left to wipe here.
    let values: BTreeMap<String, Box<str>> = serde_json::from_slice(text).ok()?;
    let fits = values.len() <= MAX_PARAMETERS
        && values.values().all(|value| value.len() <= MAX_VALUE_BYTES);
    fits.then(|| {
        let values = values.into_iter();
        values
            .map(|(name, value)| (name, SecretString::from(value)))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn an_input_may_name_its_key() {
        let id = Uuid::from_u128(7);
        assert_eq!(read("AQI="), Some((None, vec![1, 2])));
        assert_eq!(read(&format!("{id}.AQI=")), Some((Some(id), vec![1, 2])));
        for bad in ["AQI", "A_I=", "x.AQI=", ".AQI=", &"A".repeat(1_028)] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_a_small_object_of_texts_is_taken() {
        let read = |text: &str| {
            let values = parameters(text.as_bytes())?.into_iter();
            let shown = values.map(|(name, value)| (name, value.expose_secret().to_owned()));
            Some(shown.collect::<Vec<_>>())
        };
        let taken = read(r#"{"user":"user-ok","password":"é\n"}"#);
        let expected = [("password", "é\n"), ("user", "user-ok")];
        assert_eq!(
            taken,
            Some(expected.map(|(a, b)| (a.into(), b.into())).to_vec())
        );
        assert_eq!(read("{}"), Some(Vec::new()));
        let many: BTreeMap<String, &str> = (0..33).map(|n| (n.to_string(), "")).collect();
        let many = serde_json::to_string(&many).expect("JSON");
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(4_097));
        for bad in [
            "",
            "x",
            "[]",
            "\"a\"",
            r#"{"a":1}"#,
            r#"{"a":null}"#,
            &many,
            &long,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
