//! The made-up bank's own site, where users log in and choose what to share.
//!
//! It keeps nothing: what a user has decided is in the code that the browser carries back, and good for whoever has the
//! verifier of its challenge.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{clock::Timestamp, connector::oauth};

/// Where the site is, below the address of Ponte.
pub const PATH: &str = "/sandbox/bank/authorize";
/// The user that the site knows.
pub const SITE_USER: &str = "ralph.bragg@gmail.com";
/// Their password.
pub const SITE_PASSWORD: &str = "P@ssword01";
/// What can be shared: key and name.
pub const SHARED: [(&str, &str); 2] = [
    ("checking", "Conta Corrente"),
    ("card", "Cartão de Crédito"),
];

const CODE_LASTS: Duration = Duration::from_mins(10);
const LONGEST_STATE: usize = 512;

/// Where to send a browser for a user's authorisation.
pub(super) fn authorize_url(oauth: &oauth::Oauth) -> Url {
    let mut url = oauth.base.clone();
    url.set_path(&format!(
        "{}{PATH}",
        oauth.base.path().trim_end_matches('/')
    ));
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", "ponte")
        .append_pair("redirect_uri", oauth.redirect_uri.as_str())
        .append_pair("scope", "accounts")
        .append_pair("state", &oauth.state)
        .append_pair("code_challenge", &oauth.challenge())
        .append_pair("code_challenge_method", "S256");
    url
}

/// An authorisation request, as the browser brings it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    redirect_uri: Url,
    state: String,
    challenge: String,
}

impl Asked {
    /// Reads it; fails with what is wrong with it, for the user. Browsers are sent nowhere but to this Ponte's callback.
    pub fn read(base: &Url, query: &BTreeMap<String, String>) -> Result<Self, &'static str> {
        let get = |name: &str| query.get(name).map_or("", String::as_str);
        let redirect_uri = oauth::redirect_uri(base);
        if get("redirect_uri") != redirect_uri.as_str() {
            return Err("redirect_uri is not the callback of this Ponte");
        }
        if get("response_type") != "code" {
            return Err("response_type must be code");
        }
        if get("code_challenge_method") != "S256" || get("code_challenge").len() != 43 {
            return Err("code_challenge must be of the method S256 (RFC 7636)");
        }
        if get("state").is_empty() || get("state").len() > LONGEST_STATE {
            return Err("state is missing");
        }
        Ok(Self {
            redirect_uri,
            state: get("state").to_owned(),
            challenge: get("code_challenge").to_owned(),
        })
    }

    /// What a form has to carry on: names and values.
    pub fn fields(&self) -> [(&'static str, &str); 5] {
        [
            ("redirect_uri", self.redirect_uri.as_str()),
            ("response_type", "code"),
            ("code_challenge_method", "S256"),
            ("code_challenge", &self.challenge),
            ("state", &self.state),
        ]
    }

    /// Where the browser goes once the user has agreed to share this.
    pub fn approve(&self, now: Timestamp, shared: Vec<String>) -> Url {
        let code = Code {
            challenge: self.challenge.clone(),
            shared,
            until: now.plus(CODE_LASTS),
        };
        let json = serde_json::to_vec(&code).expect("texts and a time are valid JSON");
        self.back("code", &URL_SAFE_NO_PAD.encode(json))
    }

    /// Where the browser goes once the user has refused.
    pub fn refuse(&self) -> Url {
        self.back("error", "access_denied")
    }

    fn back(&self, name: &str, value: &str) -> Url {
        let mut url = self.redirect_uri.clone();
        url.query_pairs_mut()
            .append_pair(name, value)
            .append_pair("state", &self.state);
        url
    }
}

/// What a user has agreed to.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Code {
    challenge: String,
    /// What they share, by the keys of [`SHARED`].
    pub(super) shared: Vec<String>,
    until: Timestamp,
}

impl Code {
    /// Exchanges what a browser has brought; `None` when it is not a code of this run, or too old.
    pub(super) fn exchange(text: &str, oauth: &oauth::Oauth, now: Timestamp) -> Option<Self> {
        let json = URL_SAFE_NO_PAD.decode(text).ok()?;
        let code: Self = serde_json::from_slice(&json).ok()?;
        let proven = code.challenge == oauth::challenge(oauth.verifier());
        (proven && now < code.until).then_some(code)
    }
}
