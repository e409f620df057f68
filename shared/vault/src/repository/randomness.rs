//! Random bytes from the operating system.

use aws_lc_rs::rand;

use crate::error::VaultError;

pub(crate) fn random<const N: usize>() -> Result<[u8; N], VaultError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| VaultError::Randomness)?;
    Ok(bytes)
}
