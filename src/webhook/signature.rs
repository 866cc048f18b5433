//! Signatures of Standard Webhooks, version 1: HMAC-SHA256 over `id.timestamp.body`.
//!
//! Promises that a receiver can verify a request with any published Standard Webhooks library, and that a secret shows
//! itself only where it is asked to. Keeping secrets sealed, and deciding which of them sign, is left to the caller.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, header::InvalidHeaderValue};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::clock::{Rng, Timestamp};

/// What a printed secret begins with.
const PREFIX: &str = "whsec_";
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

    fn signature(&self, id: &str, seconds: &str, body: &[u8]) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
            mac.update(part);
        }
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
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

/// Signs a body with every secret that counts at present: one, or two while a rotation overlaps.
pub fn sign(secrets: &[&Secret], id: &str, at: Timestamp, body: &[u8]) -> SignedHeaders {
    let timestamp = at.0.div_euclid(1000).to_string();
    let signatures: Vec<String> = secrets
        .iter()
        .map(|secret| secret.signature(id, &timestamp, body))
        .collect();
    SignedHeaders {
        id: id.to_owned(),
        signature: signatures.join(" "),
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
            let sent = headers(&sign(&[&secret], &id, now, body.as_bytes()));
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
        let signed = sign(&[&new, &old], "id", now, b"{}");
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

    #[test]
    fn signed_headers_replace_those_of_the_same_name() {
        let mut all = HeaderMap::new();
        all.append(SIGNATURE, HeaderValue::from_static("v1,forged"));
        all.append(SIGNATURE, HeaderValue::from_static("v1,again"));
        let secret = Secret::generate(&Rng::seeded(3));
        let signed = sign(&[&secret], "id", Timestamp(0), b"");
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
