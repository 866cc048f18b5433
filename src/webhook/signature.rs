//! Signatures of Standard Webhooks over `id.timestamp.body`: `v1`, HMAC-SHA256, and `v1a`, ed25519.
//!
//! Promises that a receiver can verify a request with any published Standard Webhooks library, and that a secret shows
//! itself only where it is asked to. Keeping secrets sealed, and deciding which of them sign, is left to the caller.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, header::InvalidHeaderValue};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::clock::{Rng, Timestamp};

/// What a printed secret begins with.
const PREFIX: &str = "whsec_";
/// What a public key begins with.
const PUBLIC_PREFIX: &str = "whpk_";
/// How long a secret of ours is.
const GENERATED_BYTES: usize = 32;
/// How long the specification lets a secret be.
const ACCEPTED_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Header with the event's id, by which receivers deduplicate.
pub const ID: HeaderName = HeaderName::from_static("webhook-id");
/// Header with the time of the attempt, in seconds since 1970.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// Header with the signatures, separated by spaces.
pub const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// A key that signs; wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// A text that is no signing secret. Says nothing of the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing secret is `whsec_` followed by 24 to 64 bytes in base64")]
pub struct InvalidSecret;

impl Secret {
    /// A new secret of 32 random bytes.
    pub fn generate(rng: &Rng) -> Self {
        let mut bytes = Zeroizing::new(vec![0; GENERATED_BYTES]);
        rng.fill(&mut bytes);
        Self(bytes)
    }

    /// Reads what [`Secret::reveal`] prints.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret)?;
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| InvalidSecret)?);
        if ACCEPTED_BYTES.contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(InvalidSecret)
        }
    }

    /// The secret in clear, `whsec_` and base64: for its owner, once, and for sealing.
    pub fn reveal(&self) -> Zeroizing<String> {
        // Sized beforehand, so that growing leaves no copy behind.
        let mut text = String::with_capacity(PREFIX.len() + self.0.len().div_ceil(3) * 4);
        text.push_str(PREFIX);
        STANDARD.encode_string(&*self.0, &mut text);
        Zeroizing::new(text)
    }

    fn sign(&self, content: &[u8], signatures: &mut String) {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(content);
        put(signatures, "v1", &mac.finalize().into_bytes());
    }
}

/// An asymmetric key that signs; everybody may know its public half.
pub struct SigningKey(Ed25519KeyPair);

/// Bytes that are no seed of an ed25519 key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the seed of a signing key is 32 bytes")]
pub struct InvalidSeed;

/// The seed of a new [`SigningKey`], for sealing.
pub fn generate_seed(rng: &Rng) -> Zeroizing<[u8; GENERATED_BYTES]> {
    Zeroizing::new(rng.bytes())
}

impl SigningKey {
    /// The key that grows from a seed.
    pub fn from_seed(seed: &[u8]) -> Result<Self, InvalidSeed> {
        Ed25519KeyPair::from_seed_unchecked(seed)
            .map(Self)
            .map_err(|_| InvalidSeed)
    }

    /// The public half: `whpk_` and base64.
    pub fn public(&self) -> String {
        format!(
            "{PUBLIC_PREFIX}{}",
            STANDARD.encode(self.0.public_key().as_ref())
        )
    }

    fn sign(&self, content: &[u8], signatures: &mut String) {
        put(signatures, "v1a", self.0.sign(content).as_ref());
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

fn put(signatures: &mut String, version: &str, signature: &[u8]) {
    if !signatures.is_empty() {
        signatures.push(' ');
    }
    signatures.push_str(version);
    signatures.push(',');
    STANDARD.encode_string(signature, signatures);
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// The three headers of one signed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHeaders {
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`.
    pub timestamp: String,
    /// `webhook-signature`.
    pub signature: String,
}

impl SignedHeaders {
    /// Puts the three into a request, over whatever stands there under their names.
    pub fn insert_into(&self, headers: &mut HeaderMap) -> Result<(), InvalidHeaderValue> {
        headers.insert(ID, HeaderValue::from_str(&self.id)?);
        headers.insert(TIMESTAMP, HeaderValue::from_str(&self.timestamp)?);
        headers.insert(SIGNATURE, HeaderValue::from_str(&self.signature)?);
        Ok(())
    }
}

/// An instant as `webhook-timestamp` has it.
pub fn seconds(at: Timestamp) -> i64 {
    at.0.div_euclid(1000)
}

/// Signs a body with every secret and every key that counts at present: one of each, or two while a rotation overlaps.
pub fn sign(
    secrets: &[&Secret],
    keys: &[&SigningKey],
    id: &str,
    at: Timestamp,
    body: &[u8],
) -> SignedHeaders {
    let timestamp = seconds(at).to_string();
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    let content = parts.concat();
    let mut signature = String::new();
    for secret in secrets {
        secret.sign(&content, &mut signature);
    }
    for key in keys {
        key.sign(&content, &mut signature);
    }
    SignedHeaders {
        id: id.to_owned(),
        signature,
        timestamp,
    }
}

#[cfg(test)]
mod tests {
    use standardwebhooks::Webhook;

    use super::*;
    use crate::clock::Clock;

    fn headers(signed: &SignedHeaders) -> HeaderMap {
        let mut headers = HeaderMap::new();
        signed.insert_into(&mut headers).unwrap();
        headers
    }

    #[test]
    fn the_published_vector_is_signed_as_published() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = sign(
            &[&secret],
            &[],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            Timestamp(1_614_265_330_999),
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(
            signed,
            SignedHeaders {
                id: "msg_p5jXN8AQM9LWM0D4loKWxJek".into(),
                timestamp: "1614265330".into(),
                signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".into(),
            }
        );
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a seed is given to one test run, not to the program"
    )]
    fn seed() -> u64 {
        let seed = std::env::var("SEED").map_or(14, |seed| seed.parse().unwrap());
        println!("SEED={seed}");
        seed
    }

    #[test]
    fn a_strangers_library_verifies_what_is_signed_and_nothing_else() {
        let seed = seed();
        let (rng, now) = (Rng::seeded(seed), Clock::system().now());
        for length in [0, 1, 63, 64, 65, 4096] {
            let secret = Secret::generate(&rng);
            let body: String = (0..length)
                .map(|_| char::from_u32(u32::from(rng.bytes::<1>()[0]) + 1).unwrap())
                .collect();
            let id = rng.id(now).to_string();
            let sent = headers(&sign(&[&secret], &[], &id, now, body.as_bytes()));
            let stranger = Webhook::new(&secret.reveal()).unwrap();
            stranger.verify(body.as_bytes(), &sent).unwrap();
            stranger
                .verify(format!("{body} ").as_bytes(), &sent)
                .unwrap_err();
            Webhook::new(&Secret::generate(&rng).reveal())
                .unwrap()
                .verify(body.as_bytes(), &sent)
                .unwrap_err();
        }
    }

    #[test]
    fn during_a_rotation_holders_of_either_secret_can_verify() {
        let (rng, now) = (Rng::seeded(1), Clock::system().now());
        let (old, new) = (Secret::generate(&rng), Secret::generate(&rng));
        let signed = sign(&[&new, &old], &[], "id", now, b"{}");
        let parts: Vec<&str> = signed.signature.split(' ').collect();
        assert_eq!(parts.len(), 2);
        assert!(parts.iter().all(|part| part.starts_with("v1,")));
        for secret in [&old, &new] {
            Webhook::new(&secret.reveal())
                .unwrap()
                .verify(b"{}", &headers(&signed))
                .unwrap();
        }
    }

    /// RFC 8032, section 7.1, test 1: what grows from the seed, and what it signs.
    #[test]
    fn an_asymmetric_key_grows_from_its_seed_as_published() {
        let seed: Vec<u8> = (0..32)
            .map(|n| {
                let text = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
                u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()
            })
            .collect();
        let key = SigningKey::from_seed(&seed).unwrap();
        assert_eq!(
            key.public(),
            "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
        );
        let mut signature = String::new();
        key.sign(b"", &mut signature);
        assert_eq!(
            signature,
            "v1a,5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVfuIIVkKM7rMYeOXAc+bRr0lv18FlbviRlUUFDjnoQCw=="
        );
        assert_eq!(format!("{key:?}"), "<redacted>");
        assert_eq!(SigningKey::from_seed(&seed[1..]).unwrap_err(), InvalidSeed);
    }

    #[test]
    fn both_kinds_of_signatures_stand_side_by_side_over_the_same_content() {
        use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
        let rng = Rng::seeded(5);
        let secret = Secret::generate(&rng);
        let keys = [0, 1].map(|_| SigningKey::from_seed(&*generate_seed(&rng)).unwrap());
        let at = Clock::system().now();
        let signed = sign(&[&secret], &[&keys[0], &keys[1]], "id", at, b"{}");
        let parts: Vec<&str> = signed.signature.split(' ').collect();
        assert!(parts[0].starts_with("v1,") && parts.len() == 3);
        for (part, key) in parts[1..].iter().zip(&keys) {
            let signature = STANDARD.decode(part.strip_prefix("v1a,").unwrap()).unwrap();
            let public = STANDARD.decode(&key.public()["whpk_".len()..]).unwrap();
            let public = UnparsedPublicKey::new(&ED25519, public);
            let content = format!("id.{}.{{}}", signed.timestamp);
            public.verify(content.as_bytes(), &signature).unwrap();
            public.verify(b"other", &signature).unwrap_err();
        }
        // A library that knows version 1 only passes over what it does not know.
        Webhook::new(&secret.reveal())
            .unwrap()
            .verify(b"{}", &headers(&signed))
            .unwrap();
    }

    #[test]
    fn signed_headers_replace_those_of_the_same_name() {
        let mut all = HeaderMap::new();
        all.append(SIGNATURE, HeaderValue::from_static("v1,forged"));
        all.append(SIGNATURE, HeaderValue::from_static("v1,again"));
        let secret = Secret::generate(&Rng::seeded(3));
        let signed = sign(&[&secret], &[], "id", Timestamp(0), b"");
        signed.insert_into(&mut all).unwrap();
        let left: Vec<_> = all.get_all(SIGNATURE).iter().collect();
        assert_eq!(left, [signed.signature.as_str()]);
    }

    #[test]
    fn a_secret_is_printed_and_read_back_and_shows_nothing_in_debug() {
        let secret = Secret::generate(&Rng::seeded(7));
        let text = secret.reveal();
        assert!(text.starts_with("whsec_"));
        assert_eq!(text.len(), "whsec_".len() + 44);
        assert_eq!(Secret::parse(&text).unwrap().reveal(), text);
        assert_eq!(format!("{secret:?}"), "<redacted>");
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for text in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!",
            "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            &format!("whsec_{}", STANDARD.encode([0; 65])),
        ] {
            assert_eq!(Secret::parse(text).unwrap_err(), InvalidSecret, "{text}");
        }
    }
}
