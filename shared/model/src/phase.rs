//! Wall seconds by phase, in the order the phases ran.

use std::fmt;
use std::time::Duration;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Serialized as an object `{"plan": 0.12, "data": 3.4}`; a phase that ran twice is one entry with the sum.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Phases(Vec<(String, f64)>);

impl Phases {
    /// Adds `elapsed` to the phase `name`.
    pub fn add(&mut self, name: &str, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        match self.0.iter_mut().find(|(phase, _)| phase == name) {
            Some((_, sum)) => *sum = milliseconds(*sum + seconds),
            None => self.0.push((name.to_owned(), milliseconds(seconds))),
        }
    }

    /// The phases and their seconds, in the order they first ran.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, seconds)| (name.as_str(), *seconds))
    }

    /// The sum of all phases.
    pub fn total(&self) -> f64 {
        self.0.iter().map(|(_, seconds)| seconds).sum()
    }
}

/// Rounded so that the number reads back from JSON as the same number.
fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

impl Serialize for Phases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, seconds) in &self.0 {
            map.serialize_entry(name, seconds)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Phases {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Phases;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds by phase")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Phases, A::Error> {
                let mut phases = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    phases.push(entry);
                }
                Ok(Phases(phases))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_keep_their_order_through_json_and_sum_repeats() {
        let mut phases = Phases::default();
        phases.add("plan", Duration::from_millis(20));
        phases.add("data", Duration::from_millis(500));
        phases.add("plan", Duration::from_millis(30));
        let json = serde_json::to_string(&phases).unwrap();
        assert_eq!(json, r#"{"plan":0.05,"data":0.5}"#);
        phases.add("data", Duration::from_micros(100_200));
        let json = serde_json::to_string(&phases).unwrap();
        assert_eq!(json, r#"{"plan":0.05,"data":0.6}"#);
        assert_eq!(serde_json::from_str::<Phases>(&json).unwrap(), phases);
    }
}
