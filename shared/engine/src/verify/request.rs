//! Requests for verifications.

use lifeboat_model::{DatabaseName, VerificationScope};

/// What to verify.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    /// The database whose backups are followed.
    pub database: DatabaseName,
    /// Which objects are read.
    pub scope: VerificationScope,
}
