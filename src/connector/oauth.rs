//! Logins that happen on an institution's own site: what connectors need to send a browser there and to get it back.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use url::Url;

/// The parameter under which an authorisation code is answered.
pub const OAUTH_CODE: &str = "oauthCode";
/// The parameter under which an institution's refusal is answered: the `error` of RFC 6749, section 4.1.2.1.
pub const OAUTH_ERROR: &str = "oauthError";

/// The authorisation code grant (RFC 6749, section 4.1) of one run, with PKCE (RFC 7636).
#[derive(Clone, Debug)]
pub struct Oauth {
    /// Where clients reach this Ponte.
    pub base: Url,
    /// Where the institution sends the browser back to.
    pub redirect_uri: Url,
    /// Goes to the institution and comes back: binds the answer to the run.
    pub state: String,
    verifier: SecretString,
}

impl Oauth {
    /// Of a run. `secret` is what nobody else knows of it.
    pub fn new(base: Url, state: String, secret: &[u8; 32]) -> Self {
        Self {
            redirect_uri: redirect_uri(&base),
            base,
            state,
            verifier: URL_SAFE_NO_PAD.encode(secret).into(),
        }
    }

    /// The `code_challenge` of method S256.
    pub fn challenge(&self) -> String {
        challenge(self.verifier.expose_secret())
    }

    /// The `code_verifier`, for exchanging the code.
    pub fn verifier(&self) -> &str {
        self.verifier.expose_secret()
    }
}

/// Where institutions send browsers back to.
pub fn redirect_uri(base: &Url) -> Url {
    let mut uri = base.clone();
    uri.set_path(&format!(
        "{}/oauth/callback",
        base.path().trim_end_matches('/')
    ));
    uri
}

/// What a verifier proves.
pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_specification() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let expected = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert_eq!(challenge(verifier), expected);
        let secret = URL_SAFE_NO_PAD.decode(verifier).expect("base64");
        let secret = secret.try_into().expect("32 bytes");
        let base: Url = "https://ponte.example/finance/"
            .parse()
            .expect("an address");
        let oauth = Oauth::new(base, "s".to_owned(), &secret);
        assert_eq!(
            (oauth.verifier(), oauth.challenge().as_str()),
            (verifier, expected)
        );
        assert_eq!(
            oauth.redirect_uri.as_str(),
            "https://ponte.example/finance/oauth/callback"
        );
        assert!(!format!("{oauth:?}").contains(verifier));
    }
}
