//! The plan of a verb, before it is executed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::act::Act;
use crate::name_error::NameError;

/// The result of `plan_x` and the input of `execute_x`. A person can read it, and an approval binds its hash. So only an approved
/// plan is executed.
pub trait Plan: Serialize {
    /// Which act it plans.
    const ACT: Act;

    /// The hash of the act's name and of the plan's JSON, with the fields in the order in which the type declares them. Two plans have one
    /// hash exactly when they would do the same.
    ///
    /// # Errors
    /// The serializer's.
    fn hash(&self) -> Result<PlanHash, serde_json::Error> {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(Self::ACT.as_str().as_bytes());
        hasher.update(&[0]);
        hasher.update(&serde_json::to_vec(self)?);
        Ok(PlanHash(*hasher.finalize().as_bytes()))
    }
}

/// Keeps a plan's hash apart from every other BLAKE3 of this program.
const CONTEXT: &str = "lifeboat 2026-11-27 plan";

/// Names one plan: BLAKE3 in its key derivation mode, 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlanHash([u8; 32]);

impl fmt::Display for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for PlanHash {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut bytes = [0; 32];
        let read = hex::decode_to_slice(text, &mut bytes).ok().filter(|()| hex::encode(bytes) == text);
        read.map(|()| Self(bytes)).ok_or_else(|| NameError::Hex(text.to_owned()))
    }
}

impl TryFrom<String> for PlanHash {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<PlanHash> for String {
    fn from(hash: PlanHash) -> Self {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Drop {
        table: &'static str,
        rows: u64,
    }

    impl Plan for Drop {
        const ACT: Act = Act::TestRestore;
    }

    #[derive(Serialize)]
    struct Other {
        table: &'static str,
        rows: u64,
    }

    impl Plan for Other {
        const ACT: Act = Act::Verify;
    }

    #[test]
    fn a_plan_has_the_same_hash_each_time_and_any_other_plan_another() {
        let plan = Drop { table: "patient", rows: 3 };
        assert_eq!(plan.hash().unwrap(), Drop { table: "patient", rows: 3 }.hash().unwrap());
        assert_ne!(plan.hash().unwrap(), Drop { table: "patient", rows: 4 }.hash().unwrap());
        assert_ne!(plan.hash().unwrap(), Other { table: "patient", rows: 3 }.hash().unwrap(), "another act");
    }

    #[test]
    fn a_hash_reads_back_from_its_text_and_no_other_spelling_is_one() {
        let hash = Drop { table: "patient", rows: 3 }.hash().unwrap();
        let text = hash.to_string();
        assert_eq!(text.parse(), Ok(hash));
        let long = format!("{text}00");
        for other in [&text.to_uppercase(), &text[..62], "", &long] {
            assert!(other.parse::<PlanHash>().is_err(), "{other}");
        }
        assert_eq!(serde_json::from_str::<PlanHash>(&format!("\"{text}\"")).unwrap(), hash);
    }
}
