//! The life of an incident, without anything that stores or sends it.

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{
    Acknowledgement, AlertKind, AlertState, Cleared, Incident, IncidentName, IncidentState, Part, Policy, Sighting,
};

use crate::bench::{LATE_ON_TUESDAY, at, clinic, sighting};

fn seen(before: Option<&Incident>, kind: AlertKind, policy: &Policy, now: Timestamp) -> Incident {
    Incident::seen(before, &IncidentName::new(kind, clinic()), sighting("it is wrong", None), policy, now)
}

/// The message that is sent now, if any, and the incident after it.
fn told(incident: &Incident, policy: &Policy, now: Timestamp) -> (Option<AlertState>, Incident) {
    match incident.claimed(policy, "run", now) {
        Some((claimed, alert)) => (Some(alert.state), claimed.delivered(alert.state, now).unwrap()),
        None => (None, incident.clone()),
    }
}

#[test]
fn a_kind_that_needs_two_sightings_is_reported_at_the_second_in_a_row_only() {
    let (policy, now) = (Policy::default(), at(LATE_ON_TUESDAY));
    let once = seen(None, AlertKind::ServiceOutage, &policy, now);
    assert_eq!((once.state, told(&once, &policy, now).0), (IncidentState::Watched, None));
    let passed = once.cleared(&Cleared::All, &policy, now).unwrap();
    assert_eq!((passed.state, told(&passed, &policy, now).0), (IncidentState::Resolved, None), "nobody was notified");
    let again = seen(Some(&passed), AlertKind::ServiceOutage, &policy, now);
    assert_eq!((again.state, again.sightings), (IncidentState::Watched, 1));
    let twice = seen(Some(&again), AlertKind::ServiceOutage, &policy, now);
    assert_eq!((twice.state, told(&twice, &policy, now).0), (IncidentState::Open, Some(AlertState::Opened)));
}

#[test]
fn a_kind_of_business_hours_waits_for_them_whenever_somebody_comes_to_send_it() {
    let (policy, kind) = (Policy::default(), AlertKind::DatabaseLatency);
    let in_hours = at(LATE_ON_TUESDAY);
    let open = seen(None, kind, &policy, in_hours);
    assert_eq!(told(&open, &policy, at("2026-11-24T18:03:00Z")).0, None, "due in hours, and nobody came in them");
    let morning = at("2026-11-25T08:01:00Z");
    let (state, open) = told(&open, &policy, morning);
    assert_eq!(state, Some(AlertState::Opened));
    // On a Friday evening: a reminder on Monday, when both a day and the week-end are over.
    let friday = at("2026-11-27T17:00:00Z");
    let (_, open) = told(&Incident { owed: seen(None, kind, &policy, friday).owed, ..open }, &policy, friday);
    assert!(open.reminded(&policy, at("2026-11-28T17:01:00Z")).is_none());
    let reminded = open.reminded(&policy, at("2026-11-30T08:00:00Z")).unwrap();
    assert_eq!(told(&reminded, &policy, at("2026-11-30T08:00:00Z")).0, Some(AlertState::Reminder));
}

#[test]
fn an_incident_that_returns_before_its_resolution_is_reported_goes_on_without_a_new_message() {
    let (policy, now) = (Policy::default(), at(LATE_ON_TUESDAY));
    let kind = AlertKind::DatabaseLatency;
    let (_, open) = told(&seen(None, kind, &policy, now), &policy, now);
    let evening = at("2026-11-24T20:00:00Z");
    let over = open.cleared(&Cleared::All, &policy, evening).unwrap();
    assert_eq!(told(&over, &policy, evening).0, None);
    let back = seen(Some(&over), kind, &policy, evening);
    assert_eq!((back.state, back.since, back.resolved_at), (IncidentState::Open, open.since, None));
    let morning = at("2026-11-25T09:00:00Z");
    assert_eq!(told(&back, &policy, morning).0, None);
    let over = back.cleared(&Cleared::All, &policy, morning).unwrap();
    let (state, over) = told(&over, &policy, morning);
    assert_eq!(state, Some(AlertState::Resolved));
    let anew = seen(Some(&over), kind, &policy, morning);
    assert_eq!((anew.since, told(&anew, &policy, morning).0), (morning, Some(AlertState::Opened)));
}

#[test]
fn a_claim_keeps_others_away_until_its_run_must_have_died() {
    let (policy, now) = (Policy::default(), at(LATE_ON_TUESDAY));
    let open = seen(None, AlertKind::BackupFailed, &policy, now);
    let (claimed, _) = open.claimed(&policy, "one", now).unwrap();
    let soon = now.checked_add(SignedDuration::from_secs(60)).unwrap();
    assert!(claimed.claimed(&policy, "two", soon).is_none());
    assert!(claimed.claimed(&policy, "one", soon).is_some(), "Lambda repeats a run under its id");
    let late = now.checked_add(SignedDuration::from_secs(180)).unwrap();
    assert!(claimed.claimed(&policy, "two", late).is_some());
}

#[test]
fn a_part_that_is_sound_clears_itself_and_what_could_not_be_looked_at_hides_no_damage() {
    let (policy, now) = (Policy::default(), at(LATE_ON_TUESDAY));
    let name = IncidentName::new(AlertKind::VerificationFinding, clinic());
    let see = |before: Option<&Incident>, what: &str, part: Option<&str>| {
        Incident::seen(before, &name, sighting(what, part), &policy, now)
    };
    let one = see(None, "two chunks are damaged", Some("rotation 3 of 30"));
    let two = see(Some(&one), "one chunk is damaged", Some("rotation 4 of 30"));
    let blind = see(Some(&two), "the store was away", None);
    assert_eq!((blind.what.as_str(), blind.parts.len(), blind.sightings), ("one chunk is damaged", 2, 3));
    let cleared = |incident: &Incident, part: &str| {
        incident.cleared(&Cleared::Parts(vec![Part::from(part.to_owned())]), &policy, now)
    };
    assert!(cleared(&blind, "rotation 5 of 30").is_none(), "that says nothing of the damage");
    let less = cleared(&blind, "rotation 3 of 30").unwrap();
    assert_eq!(less.state, IncidentState::Open);
    assert_eq!(cleared(&less, "rotation 4 of 30").unwrap().state, IncidentState::Resolved);
    let many = (0..100).fold(None, |before: Option<Incident>, number| {
        Some(see(before.as_ref(), "damaged", Some(&format!("rotation {number} of 100"))))
    });
    let many = many.unwrap();
    assert!(many.parts.len() <= 60, "{}", many.parts.len());
    assert!(cleared(&many, "rotation 99 of 100").is_none_or(|left| left.is_open()), "only all of it clears all of it");
    assert_eq!(many.cleared(&Cleared::All, &policy, now).unwrap().state, IncidentState::Resolved);
}

#[test]
fn an_acknowledged_incident_stays_so_without_reminders_until_it_is_resolved() {
    let (policy, now) = (Policy::default(), at(LATE_ON_TUESDAY));
    let (_, open) = told(&seen(None, AlertKind::BackupFailed, &policy, now), &policy, now);
    let later = now.checked_add(SignedDuration::from_hours(3)).unwrap();
    assert!(open.reminded(&policy, later).is_some());
    let by = Acknowledgement { by: "anna".to_owned(), at: now, reason: "ticket 4711".to_owned() };
    let taken = open.acknowledged_by(by).unwrap();
    assert!(taken.reminded(&policy, later).is_none());
    let again = seen(Some(&taken), AlertKind::BackupFailed, &policy, later);
    assert_eq!((again.state, told(&again, &policy, later).0), (IncidentState::Acknowledged, None));
    let over = again.cleared(&Cleared::All, &policy, later).unwrap();
    assert_eq!(told(&over, &policy, later).0, Some(AlertState::Resolved));
}

/// An incident in two parts with five findings, which was reported and acknowledged.
fn acknowledged(policy: &Policy, now: Timestamp) -> Incident {
    let name = IncidentName::new(AlertKind::VerificationFinding, clinic());
    let mut incident = None;
    for part in ["rotation 1 of 30", "rotation 2 of 30"] {
        incident = Some(Incident::seen(incident.as_ref(), &name, found(part, 5, "do this"), policy, now));
    }
    let (state, told) = told(&incident.unwrap(), policy, now);
    assert_eq!(state, Some(AlertState::Opened));
    let acknowledgement = Acknowledgement { by: "ana".to_owned(), at: now, reason: "ticket 1".to_owned() };
    told.acknowledged_by(acknowledgement).unwrap()
}

fn found(part: &str, findings: u64, hint: &str) -> Sighting {
    let facts = vec![("findings".to_owned(), findings.to_string())];
    Sighting { hint: hint.to_owned(), facts, ..sighting(&format!("{findings} objects are damaged"), Some(part)) }
}

#[test]
fn what_was_acknowledged_stays_so_and_anything_worse_opens_the_incident_again() {
    let (policy, now) = (Policy::default(), at(LATE_ON_TUESDAY));
    let before = acknowledged(&policy, now);
    let name = before.name.clone();
    let soon = now + SignedDuration::from_hours(1);
    let late = now + policy.alerts.acknowledged + SignedDuration::from_hours(1);
    for (case, sighting, at, opens) in [
        ("the same", found("rotation 1 of 30", 5, "do this"), soon, false),
        ("fewer", found("rotation 2 of 30", 1, "do this"), soon, false),
        ("a new part", found("rotation 3 of 30", 1, "do this"), soon, true),
        ("more of it", found("rotation 1 of 30", 6, "do this"), soon, true),
        ("another cause", found("rotation 1 of 30", 5, "do that"), soon, true),
        ("another failure", Sighting { hint: "look at the key".to_owned(), ..sighting("no answer", None) }, soon, true),
        ("long ago", found("rotation 1 of 30", 5, "do this"), late, true),
    ] {
        let after = Incident::seen(Some(&before), &name, sighting.clone(), &policy, at);
        let (state, after) = told(&after, &policy, at);
        if !opens {
            assert_eq!((after.state, state), (IncidentState::Acknowledged, None), "{case}");
            continue;
        }
        assert_eq!((after.state, state), (IncidentState::Open, Some(AlertState::Opened)), "{case}");
        assert_eq!((&after.what, &after.hint), (&sighting.what, &sighting.hint), "{case}: the news is told");
        assert!(after.parts.is_superset(&before.parts), "{case}: nothing is forgotten");

        // When the worse problem is acknowledged as well, both are known.
        let acknowledgement = Acknowledgement { by: "ana".to_owned(), at, reason: "ticket 2".to_owned() };
        let mut accepted = after.acknowledged_by(acknowledgement).unwrap();
        for known in [found("rotation 1 of 30", 5, "do this"), sighting, found("rotation 2 of 30", 5, "do this")] {
            accepted = Incident::seen(Some(&accepted), &name, known, &policy, at);
            assert_eq!(accepted.state, IncidentState::Acknowledged, "{case}");
        }
    }
}

#[test]
fn names_in_a_hint_are_no_other_cause_and_an_incident_of_an_older_version_counts_as_it_was_last_seen() {
    let (policy, now) = (Policy::default(), at(LATE_ON_TUESDAY));
    let name = IncidentName::new(AlertKind::BackupFailed, clinic());
    let hint = |file: &str| format!("check with `ls -l {file}` that the file is accessible");
    let failed = |file: &str| Sighting { hint: hint(file), ..sighting("it failed", None) };
    let open = Incident::seen(None, &name, failed("/tmp/a"), &policy, now);
    let acknowledgement = Acknowledgement { by: "ana".to_owned(), at: now, reason: "ticket".to_owned() };
    let known = open.acknowledged_by(acknowledgement).unwrap();
    let older = Incident { accepted: None, ..known.clone() };
    for before in [known, older] {
        let same = Incident::seen(Some(&before), &name, failed("/tmp/b"), &policy, now);
        assert_eq!(same.state, IncidentState::Acknowledged);
        let other = Incident::seen(Some(&before), &name, sighting("it failed", None), &policy, now);
        assert_eq!(other.state, IncidentState::Open);
    }
}
