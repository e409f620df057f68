//! Moments, names and sightings for the tests of incidents.

use jiff::Timestamp;
use lifeboat_model::{DamagedObjects, IncidentSubject, Part, Sighting};

/// A Tuesday, two minutes before the office closes at 18:00 UTC.
pub const LATE_ON_TUESDAY: &str = "2026-11-24T17:58:00Z";

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn clinic() -> IncidentSubject {
    "clinic".parse().unwrap()
}

pub fn sighting(what: &str, part: Option<&str>) -> Sighting {
    let part = part.map(|part| Part::from(part.to_owned()));
    Sighting {
        what: what.to_owned(),
        hint: "do this".to_owned(),
        database: None,
        part,
        objects: DamagedObjects::default(),
        facts: Vec::new(),
    }
}
