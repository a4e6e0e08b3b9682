//! The private key of a device: PKCS#8 PEM, or its 32-byte seed in hex.

use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use portcullis_domain::id::DeviceId;

use crate::cli::failure::{Exit, Failure};

/// Where the demo puts the keys of its devices.
pub(super) fn usual_path(device: &DeviceId) -> PathBuf {
    std::env::temp_dir()
        .join("portcullis-demo")
        .join("keys")
        .join(format!("{device}.key"))
}

/// Reads a key.
pub(super) fn load(path: &Path) -> Result<SigningKey, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(Exit::Error, format!("cannot read the device's key: {error}"))
            .field(path.display().to_string())
            .next("name the key with --key FILE; the demo writes its keys where it says when it starts")
    })?;
    // The text must not turn up in an error: it is a secret.
    parse(&text).ok_or_else(|| {
        Failure::new(Exit::Error, "this is no private key of Ed25519")
            .field(path.display().to_string())
            .next("expected is PKCS#8 PEM (-----BEGIN PRIVATE KEY-----), or 64 hex digits of a seed")
    })
}

fn parse(text: &str) -> Option<SigningKey> {
    let text = text.trim();
    if text.starts_with("-----") {
        return SigningKey::from_pkcs8_pem(text).ok();
    }
    let seed: [u8; 32] = hex::decode(text).ok()?.try_into().ok()?;
    Some(SigningKey::from_bytes(&seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The private key of RFC 8410, section 10.3, which is public.
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
                       MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                       -----END PRIVATE KEY-----\n";
    const SEED: &str = "d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842";

    #[test]
    fn pem_and_seed_of_the_same_key_are_the_same_key() {
        let key = parse(SEED).unwrap();
        assert_eq!(parse(PEM).unwrap(), key);
        // The public key that RFC 8410 gives for it.
        assert_eq!(
            hex::encode(key.verifying_key().as_bytes()),
            "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"
        );
    }

    #[test]
    fn what_is_no_key_is_refused_without_repeating_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "5ec2e7").unwrap();
        let failure = load(file.path()).unwrap_err();
        assert!(!failure.to_string().contains("5ec2e7"), "{failure}");
        assert!(
            load(Path::new("no-such.key"))
                .unwrap_err()
                .to_string()
                .contains("--key")
        );
    }
}
