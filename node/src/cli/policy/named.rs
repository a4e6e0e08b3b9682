//! A policy as it is named on the command line: by its file, or by its digest in the cluster.

use std::path::{Path, PathBuf};

use portcullis_domain::policy::Policy;
use portcullis_proto::v1;
use portcullis_proto::v1::policy_service_client::PolicyServiceClient;
use portcullis_wire::policy::decode_policy;

use super::held::list;
use crate::cli::args::Global;
use crate::cli::client::Cluster;
use crate::cli::failure::{Exit, Failure};
use crate::cli::learning::read_policy;

/// Fewer digits say too little.
const DIGITS_MIN: usize = 8;
/// A whole digest.
const DIGITS: usize = 64;

/// Where a policy is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// In a file.
    File(PathBuf),
    /// In the cluster, under a digest that begins so, in lower case.
    Held(String),
}

/// A policy, and what the cluster knows about it if it is one of its own.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) policy: Policy,
    pub(super) record: Option<v1::PolicyRecord>,
}

impl Named {
    /// A file if there is one of that name, else a digest if it looks like one.
    pub(super) fn of(text: &str) -> Self {
        match Self::digits(text) {
            Some(digits) if !Path::new(text).exists() => Self::Held(digits),
            _ => Self::File(PathBuf::from(text)),
        }
    }

    /// A digest, or its beginning.
    pub(super) fn held(text: &str) -> Result<Self, Failure> {
        Self::digits(text).map(Self::Held).ok_or_else(|| {
            Failure::usage(
                "DIGEST",
                format!("{text:?} is not {DIGITS_MIN} to {DIGITS} hexadecimal digits"),
            )
            .next("see: portcullis policy ls")
        })
    }

    fn digits(text: &str) -> Option<String> {
        let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        (hex && (DIGITS_MIN..=DIGITS).contains(&text.len())).then(|| text.to_ascii_lowercase())
    }

    /// Reads the file, or asks the cluster.
    pub(super) async fn find(&self, global: &Global) -> Result<Found, Failure> {
        match self {
            Self::File(file) => Ok(Found {
                policy: read_policy(file)?,
                record: None,
            }),
            Self::Held(digits) => held(&Cluster::new(global)?, digits).await,
        }
    }
}

/// The policy of the cluster whose digest begins so.
async fn held(cluster: &Cluster, digits: &str) -> Result<Found, Failure> {
    let sha256 = match hex::decode(digits) {
        Ok(whole) if digits.len() == DIGITS => whole.into(),
        _ => only(&list(cluster).await?.policies, digits)?.sha256.clone(),
    };
    let request = v1::GetPolicyRequest {
        sha256: sha256.clone(),
        consistency: v1::Consistency::Quorum.into(),
    };
    let answer = cluster
        .read(request, async |channel, request| {
            PolicyServiceClient::new(channel).get_policy(request).await
        })
        .await?;
    let policy = decode_policy(answer.policy.unwrap_or_default()).map_err(|invalid| {
        Failure::new(Exit::Error, format!("this program cannot read it: {}", invalid.reason)).field(invalid.field)
    })?;
    if policy.digest().0 != *sha256 {
        let what = format!("the node sent a policy with the digest {}", policy.digest());
        return Err(Failure::new(Exit::VerificationFailed, what).field(digits));
    }
    Ok(Found {
        policy,
        record: answer.record,
    })
}

/// The only policy whose digest begins so.
fn only<'a>(policies: &'a [v1::PolicyRecord], digits: &str) -> Result<&'a v1::PolicyRecord, Failure> {
    let mut begin = policies
        .iter()
        .filter(|one| hex::encode(&one.sha256).starts_with(digits));
    match (begin.next(), begin.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Failure::new(
            Exit::NotFound,
            "the cluster has no policy whose digest begins so, and no file is called so",
        )
        .field(digits)
        .next("see: portcullis policy ls")),
        (Some(_), Some(_)) => {
            Err(Failure::usage("DIGEST", format!("several digests begin with {digits}")).next("give more digits"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_and_looks_like_a_digest_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("abcdef01");
        let held = |text: &str| Named::Held(text.to_owned());
        assert_eq!(Named::of("ABCDEF01"), held("abcdef01"));
        assert_eq!(Named::of(&"a".repeat(64)), held(&"a".repeat(64)));
        for text in ["abcdef0", "calm.toml", &"a".repeat(65)] {
            assert_eq!(Named::of(text), Named::File(PathBuf::from(text)));
            assert_eq!(Named::held(text).unwrap_err().exit, Exit::Usage);
        }
        std::fs::write(&file, "").unwrap();
        assert_eq!(Named::of(file.to_str().unwrap()), Named::File(file));
    }

    #[test]
    fn the_beginning_of_a_digest_must_belong_to_one_policy() {
        let policies = [[0xab; 32], [0xac; 32], [0xab; 32]].map(|digest| v1::PolicyRecord {
            sha256: digest.to_vec().into(),
            ..Default::default()
        });
        assert_eq!(only(&policies, "acacacac").unwrap().sha256, policies[1].sha256);
        assert_eq!(only(&policies, "adadadad").unwrap_err().exit, Exit::NotFound);
        assert_eq!(only(&policies, "abababab").unwrap_err().exit, Exit::Usage);
    }
}
