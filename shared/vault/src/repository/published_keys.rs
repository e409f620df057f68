//! The public keys of the epochs, as the sites publish them. `verify` trusts them instead of a secret.
//!
//! Somebody who can write to one bucket can write any key into that bucket's `repository.json`. So a key counts only as far as the
//! sites agree on it. Nothing is healed on the word of one site alone.

use lifeboat_model::{Epoch, EpochNumber, PublicKey, RepositoryDocument};

use crate::error::VaultError;

/// What each configured site was last seen to publish; `None` for a site whose document is missing or cannot be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct PublishedKeys {
    sites: Vec<Option<Vec<Epoch>>>,
}

/// How far the public key of an epoch can be trusted without a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Every configured site publishes it: enough to put one site right from the other.
    Agreed(PublicKey),
    /// The sites that can be read publish it: enough to look, not to write.
    Partial(PublicKey),
    /// One site publishes another entry than another, or none.
    Disputed,
    /// No site that can be read publishes one.
    Unknown,
}

impl PublishedKeys {
    pub(crate) fn new<'a>(documents: impl Iterator<Item = Option<&'a RepositoryDocument>>) -> Self {
        Self { sites: documents.map(|document| document.map(|document| document.epochs.clone())).collect() }
    }

    pub(crate) fn trust(&self, epoch: EpochNumber) -> Trust {
        let entry = |epochs: &'_ Vec<Epoch>| epochs.iter().find(|entry| entry.number == epoch).cloned();
        let mut entries = self.sites.iter().flatten().map(entry);
        let Some(first) = entries.next() else { return Trust::Unknown };
        let is_first = |entry: Option<Epoch>| match (&entry, &first) {
            (Some(entry), Some(first)) => entry.is_same(first),
            (entry, first) => entry.is_none() && first.is_none(),
        };
        let agree = entries.all(is_first);
        match first {
            _ if !agree => Trust::Disputed,
            None => Trust::Unknown,
            Some(entry) if self.sites.iter().all(Option::is_some) => Trust::Agreed(entry.public_key),
            Some(entry) => Trust::Partial(entry.public_key),
        }
    }

    /// The key to check a manifest with.
    pub(crate) fn key(&self, epoch: EpochNumber) -> Result<PublicKey, VaultError> {
        match self.trust(epoch) {
            Trust::Agreed(key) | Trust::Partial(key) => Ok(key),
            Trust::Disputed => Err(VaultError::Disputed { epoch }),
            Trust::Unknown => Err(VaultError::UnknownEpoch { epoch }),
        }
    }

    /// Epochs that two sites publish differently. One that only the longer document has is not among them: another run
    /// may be beginning it.
    pub(crate) fn disputed(&self) -> Vec<EpochNumber> {
        let mut disputed: Vec<EpochNumber> = Vec::new();
        let documents: Vec<&Vec<Epoch>> = self.sites.iter().flatten().collect();
        for (one, other) in documents.iter().zip(documents.iter().skip(1)) {
            disputed.extend(one.iter().zip(other.iter()).filter(|(a, b)| !a.is_same(b)).map(|(a, _)| a.number));
        }
        disputed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(keys: &[u8]) -> RepositoryDocument {
        let created_at = "2026-11-21T20:49:33Z".parse().unwrap();
        let epoch = |(index, key): (usize, &u8)| Epoch {
            number: EpochNumber(index as u32 + 1),
            created_at,
            chunk_key: String::new(),
            public_key: PublicKey([*key; 32]),
            cause: None,
        };
        let epochs = keys.iter().enumerate().map(epoch).collect();
        let (repository_id, probes) = ("r".to_owned(), std::collections::BTreeMap::new());
        RepositoryDocument { format: 1, repository_id, created_at, epochs, probes }
    }

    #[test]
    fn a_key_is_trusted_for_writing_only_when_every_site_publishes_it() {
        let trust = |sites: [Option<&[u8]>; 2], epoch| {
            let documents = sites.map(|keys| keys.map(document));
            PublishedKeys::new(documents.iter().map(Option::as_ref)).trust(EpochNumber(epoch))
        };
        let key = PublicKey([5; 32]);
        assert_eq!(trust([Some(&[5]), Some(&[5])], 1), Trust::Agreed(key));
        assert_eq!(trust([Some(&[5]), None], 1), Trust::Partial(key));
        assert_eq!(trust([None, Some(&[5])], 1), Trust::Partial(key));
        assert_eq!(trust([Some(&[5]), Some(&[6])], 1), Trust::Disputed);
        assert_eq!(trust([Some(&[5, 6]), Some(&[5])], 1), Trust::Agreed(key));
        assert_eq!(trust([Some(&[5, 6]), Some(&[5])], 2), Trust::Disputed);
        assert_eq!(trust([Some(&[5]), Some(&[5])], 2), Trust::Unknown);
        assert_eq!(trust([None, None], 1), Trust::Unknown);
    }
}
