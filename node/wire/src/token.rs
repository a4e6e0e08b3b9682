//! Tokens: where a watch goes on, and where the next page of a list begins.
//!
//! A token is base64url without padding of: version byte, kind byte, cluster id, position, hash of the conditions, and
//! four bytes of SHA-256 over all of that against typing errors. It carries no authority.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_domain::codec::to_bytes;
use portcullis_domain::id::{ClusterId, Digest, EntryNo, InspectionNo};
use thiserror::Error;

const VERSION: u8 = 1;
const LENGTH: usize = 2 + 16 + 8 + 8 + 4;

/// Why a token cannot be used, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenError {
    /// It is not one of ours, or not all of it.
    #[error("this is not a token that was given out here; pass it on exactly as it was received")]
    Malformed,
    /// A newer program gave it out.
    #[error("the token has version {0}, which this node does not know; list again and start without token")]
    Version(u8),
    /// It is for a watch and was given to a list, or the other way round.
    #[error("this token belongs to another call; resume tokens are for watching, page tokens for listing")]
    OtherCall,
    /// Another cluster gave it out, perhaps before a restore.
    #[error("the token is of cluster {0}, not of this one; list again and start without token")]
    OtherCluster(ClusterId),
    /// The conditions are not those it was given out for.
    #[error(
        "the conditions are not those that the token was given out for; repeat them exactly or start without token"
    )]
    OtherConditions,
    /// What it points to is not kept any more.
    #[error("the token is too old: what follows it is no longer kept; list again and start without token")]
    TooOld,
}

impl TokenError {
    /// The reason in the API, UPPER_SNAKE.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "TOKEN_MALFORMED",
            Self::Version(_) => "TOKEN_VERSION_UNKNOWN",
            Self::OtherCall => "TOKEN_OF_OTHER_CALL",
            Self::OtherCluster(_) => "TOKEN_OF_OTHER_CLUSTER",
            Self::OtherConditions => "TOKEN_OF_OTHER_CONDITIONS",
            Self::TooOld => "TOKEN_TOO_OLD",
        }
    }
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Resume = 1,
    Page = 2,
}

/// Hash of the conditions of a watch or list, which a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conditions(pub [u8; 8]);

impl Conditions {
    /// From conditions in a canonical order, each a list of texts: order and repetition within a list must not matter to
    /// the caller, who sorts first.
    pub fn of(lists: &[Vec<String>]) -> Self {
        let digest = Digest::of(&to_bytes(&lists.to_vec()));
        let mut first = [0; 8];
        first.copy_from_slice(&digest.0[..8]);
        Self(first)
    }
}

/// A token to go on watching at `next`.
pub fn encode_resume_token(cluster: ClusterId, next: EntryNo, conditions: Conditions) -> String {
    encode(Kind::Resume, cluster, next.0, conditions)
}

/// Reads a resume token: the entry to go on at.
///
/// # Errors
/// When it is not one, or is for another cluster or other conditions.
pub fn decode_resume_token(text: &str, cluster: ClusterId, conditions: Conditions) -> Result<EntryNo, TokenError> {
    decode(Kind::Resume, text, cluster, conditions).map(EntryNo)
}

/// A token for the page that begins after `last`.
pub fn encode_page_token(cluster: ClusterId, last: InspectionNo, conditions: Conditions) -> String {
    encode(Kind::Page, cluster, last.0, conditions)
}

/// Reads a page token: the last inspection of the page before.
///
/// # Errors
/// When it is not one, or is for another cluster or other conditions.
pub fn decode_page_token(text: &str, cluster: ClusterId, conditions: Conditions) -> Result<InspectionNo, TokenError> {
    decode(Kind::Page, text, cluster, conditions).map(InspectionNo)
}

fn check(bytes: &[u8]) -> [u8; 4] {
    let mut first = [0; 4];
    first.copy_from_slice(&Digest::of(bytes).0[..4]);
    first
}

fn encode(kind: Kind, cluster: ClusterId, position: u64, conditions: Conditions) -> String {
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend([VERSION, kind as u8]);
    bytes.extend(cluster.0);
    bytes.extend(position.to_be_bytes());
    bytes.extend(conditions.0);
    bytes.extend(check(&bytes));
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(kind: Kind, text: &str, cluster: ClusterId, conditions: Conditions) -> Result<u64, TokenError> {
    // A length limit first, so that a huge text costs nothing.
    if text.len() > 4 * LENGTH {
        return Err(TokenError::Malformed);
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)?;
    match bytes.first() {
        None | Some(0) => return Err(TokenError::Malformed),
        Some(&VERSION) => {}
        Some(&version) => return Err(TokenError::Version(version)),
    }
    let bytes: [u8; LENGTH] = bytes.try_into().map_err(|_| TokenError::Malformed)?;
    let (body, sum) = bytes.split_at(LENGTH - 4);
    if sum != check(body) {
        return Err(TokenError::Malformed);
    }
    let mut from = ClusterId([0; 16]);
    from.0.copy_from_slice(&body[2..18]);
    let mut position = [0; 8];
    position.copy_from_slice(&body[18..26]);
    if body[1] != kind as u8 {
        Err(TokenError::OtherCall)
    } else if from != cluster {
        Err(TokenError::OtherCluster(from))
    } else if body[26..34] != conditions.0 {
        Err(TokenError::OtherConditions)
    } else {
        Ok(u64::from_be_bytes(position))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLUSTER: ClusterId = ClusterId([5; 16]);
    const OTHER: ClusterId = ClusterId([6; 16]);

    fn conditions(text: &str) -> Conditions {
        Conditions::of(&[vec![text.to_owned()]])
    }

    #[test]
    fn tokens_read_back_and_are_safe_in_a_url() {
        let token = encode_resume_token(CLUSTER, EntryNo(77), conditions("a"));
        assert_eq!(decode_resume_token(&token, CLUSTER, conditions("a")), Ok(EntryNo(77)));
        assert!(token.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'));
        let token = encode_page_token(CLUSTER, InspectionNo(u64::MAX), conditions("a"));
        assert_eq!(
            decode_page_token(&token, CLUSTER, conditions("a")),
            Ok(InspectionNo(u64::MAX))
        );
    }

    #[test]
    fn a_token_of_another_cluster_call_or_condition_says_so() {
        let token = encode_resume_token(CLUSTER, EntryNo(77), conditions("a"));
        assert_eq!(
            decode_resume_token(&token, OTHER, conditions("a")),
            Err(TokenError::OtherCluster(CLUSTER))
        );
        assert_eq!(
            decode_resume_token(&token, CLUSTER, conditions("b")),
            Err(TokenError::OtherConditions)
        );
        assert_eq!(
            decode_page_token(&token, CLUSTER, conditions("a")),
            Err(TokenError::OtherCall)
        );
        let newer = URL_SAFE_NO_PAD.encode([2, 1, 1]);
        assert_eq!(
            decode_resume_token(&newer, CLUSTER, conditions("a")),
            Err(TokenError::Version(2))
        );
    }

    #[test]
    fn lists_that_run_together_are_not_the_same_conditions() {
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_ne!(
            Conditions::of(&[texts(&["a", "b"]), vec![]]),
            Conditions::of(&[texts(&["a"]), texts(&["b"])])
        );
        assert_ne!(Conditions::of(&[texts(&["ab"])]), Conditions::of(&[texts(&["a", "b"])]));
    }

    #[test]
    fn a_typing_error_is_seen() {
        let token = encode_resume_token(CLUSTER, EntryNo(77), conditions("a"));
        for at in 0..token.len() {
            let mut typed = token.clone().into_bytes();
            typed[at] = if typed[at] == b'A' { b'B' } else { b'A' };
            let typed = String::from_utf8(typed).unwrap();
            assert!(
                decode_resume_token(&typed, CLUSTER, conditions("a")).is_err(),
                "position {at}"
            );
        }
        assert!(decode_resume_token(&token[..20], CLUSTER, conditions("a")).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_refused_and_never_panics(text in ".{0,200}") {
            prop_assert!(decode_resume_token(&text, CLUSTER, conditions("a")).is_err());
        }

        #[test]
        fn arbitrary_bytes_in_base64_are_refused_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let text = URL_SAFE_NO_PAD.encode(bytes);
            prop_assert!(decode_page_token(&text, CLUSTER, conditions("a")).is_err());
        }
    }
}
