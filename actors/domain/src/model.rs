//! Learned models: data that those who interpret weigh with. The ledger keeps them by digest and does not read them.

use std::fmt;
use std::sync::Arc;

use crate::codec::{Canonical, CodecError, Reader};
use crate::id::{Digest, InvalidId};

/// The largest model, bytes. It goes through the log in one command and stays in every replica's memory.
pub const MODEL_BYTES_MAX: usize = 2 << 20;
/// The most models that one cluster keeps.
pub const MODELS_MAX: usize = 64;

/// A learned model. Immutable; known by the SHA-256 of its bytes. Cloning is O(1).
#[derive(Clone, PartialEq, Eq)]
pub struct Model(Arc<[u8]>);

impl Model {
    /// A model of these bytes.
    ///
    /// # Errors
    /// When they are none, or more than [`MODEL_BYTES_MAX`].
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Result<Self, InvalidId> {
        let bytes = bytes.into();
        if bytes.is_empty() || bytes.len() > MODEL_BYTES_MAX {
            let size = bytes.len().to_string();
            let why = format!("it has {size} bytes; 1 to {MODEL_BYTES_MAX} are allowed");
            return Err(InvalidId::new("model", &size, why));
        }
        Ok(Self(bytes))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What policies name it by.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl fmt::Debug for Model {
    /// Without the bytes, which say nothing to people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Model({}, {} bytes)", self.digest(), self.0.len())
    }
}

impl Canonical for Model {
    fn put(&self, out: &mut Vec<u8>) {
        // Never longer than the limit.
        u32::try_from(self.0.len()).unwrap_or(u32::MAX).put(out);
        out.extend_from_slice(&self.0);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        const WHAT: &str = "model";
        let length = u32::take(from)? as usize;
        Self::new(from.take(length, WHAT)?).map_err(|error| CodecError::Invalid {
            what: WHAT,
            why: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{from_bytes, to_bytes};

    #[test]
    fn a_model_comes_back_from_its_bytes_under_the_same_digest() {
        let model = Model::new([1, 2, 3].as_slice()).unwrap();
        assert_eq!(to_bytes(&model), [0, 0, 0, 3, 1, 2, 3]);
        let again: Model = from_bytes(&to_bytes(&model)).unwrap();
        assert_eq!((again.digest(), again.bytes()), (Digest::of(&[1, 2, 3]), model.bytes()));
    }

    #[test]
    fn no_bytes_and_too_many_are_refused() {
        let error = Model::new([].as_slice()).unwrap_err().to_string();
        assert!(error.contains("it has 0 bytes; 1 to 2097152 are allowed"), "{error}");
        assert!(Model::new(vec![0; MODEL_BYTES_MAX + 1]).is_err());
        assert!(Model::new(vec![0; MODEL_BYTES_MAX]).is_ok());
        assert!(from_bytes::<Model>(&[0, 0, 0, 0]).is_err());
        assert!(from_bytes::<Model>(&[255, 255, 255, 255, 1]).is_err());
    }
}
