//! Pairs of keys for what clients encrypt before they send it: RSA-OAEP with SHA-256 for digest and mask, which WebCrypto
//! of a browser can do.
//!
//! The library draws them from the operating system; the App's chance has no part in it.

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der},
    error::Unspecified,
    rsa::{KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// A pair that is in no table yet.
pub struct Pair {
    /// PKCS #8; to be sealed.
    pub private: Zeroizing<Vec<u8>>,
    /// SubjectPublicKeyInfo in PEM.
    pub public: String,
}

impl Pair {
    /// The name of the encryption in JOSE, as clients are told it.
    pub const ALGORITHM: &str = "RSA-OAEP-256";

    /// A new pair, made apart: it takes a part of a second.
    pub async fn generate() -> Result<Self> {
        tokio::task::spawn_blocking(Self::generate_here)
            .await
            .map_err(Error::internal)?
            .map_err(|_| Error::internal("a pair of keys could not be made"))
    }

    fn generate_here() -> Result<Self, Unspecified> {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa3072)?;
        let private: Pkcs8V1Der<'_> = key.as_der()?;
        let public: PublicKeyX509Der<'_> = key.public_key().as_der()?;
        Ok(Self {
            private: Zeroizing::new(private.as_ref().to_vec()),
            public: pem(public.as_ref()),
        })
    }

    /// What was encrypted under the public half of one of these private ones, tried in order and apart; `None` when none
    /// of them opens it.
    pub async fn decrypt(
        private: Vec<Zeroizing<Vec<u8>>>,
        ciphertext: Vec<u8>,
    ) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let opened = tokio::task::spawn_blocking(move || {
            let mut keys = private.iter();
            keys.find_map(|key| decrypt(key, &ciphertext))
        });
        opened.await.map_err(Error::internal)
    }
}

/// A public key as other programs read it.
fn pem(der: &[u8]) -> String {
    const LINE: usize = 64;
    let encoded = STANDARD.encode(der);
    let mut text = String::from("-----BEGIN PUBLIC KEY-----\n");
    for (at, char) in encoded.char_indices() {
        if at > 0 && at % LINE == 0 {
            text.push('\n');
        }
        text.push(char);
    }
    text.push_str("\n-----END PUBLIC KEY-----\n");
    text
}

fn decrypt(private: &[u8], ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let key = PrivateDecryptingKey::from_pkcs8(private).ok()?;
    let key = OaepPrivateDecryptingKey::new(key).ok()?;
    let mut out = Zeroizing::new(vec![0; key.min_output_size()]);
    let length = key
        .decrypt(&OAEP_SHA256_MGF1SHA256, ciphertext, &mut out, None)
        .ok()?
        .len();
    out.truncate(length);
    Some(out)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rsa::{OaepPublicEncryptingKey, PublicEncryptingKey};

    use super::*;

    fn encrypt(pem: &str, text: &[u8]) -> Vec<u8> {
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(body).expect("base64");
        let key = PublicEncryptingKey::from_der(&der).expect("a public key");
        let key = OaepPublicEncryptingKey::new(key).expect("for OAEP");
        let mut out = vec![0; key.ciphertext_size()];
        let length = key
            .encrypt(&OAEP_SHA256_MGF1SHA256, text, &mut out, None)
            .expect("short enough")
            .len();
        out.truncate(length);
        out
    }

    #[test]
    fn what_is_encrypted_opens_under_its_key_alone() {
        let (one, other) = (Pair::generate_here(), Pair::generate_here());
        let (one, other) = (one.expect("a pair"), other.expect("a pair"));
        assert!(
            one.public.lines().all(|line| line.len() <= 64),
            "{}",
            one.public
        );
        let longest = vec![b'x'; 318];
        let sealed = encrypt(&one.public, &longest);
        let opened = decrypt(&one.private, &sealed).expect("opens");
        assert_eq!(*opened, longest);
        assert!(decrypt(&other.private, &sealed).is_none());
        for byte in [0, 1, sealed.len() / 2, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[byte] ^= 1;
            assert!(decrypt(&one.private, &changed).is_none(), "byte {byte}");
        }
        for length in [0, 1, sealed.len() - 1] {
            assert!(decrypt(&one.private, &sealed[..length]).is_none());
        }
    }
}
