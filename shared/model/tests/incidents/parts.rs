//! What a check of a part says of an incident: of the part, of its objects, and of the whole.

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{
    Acknowledgement, AlertKind, Cleared, DamagedObjects, Incident, IncidentName, IncidentState, Part, Policy, Sighting,
    VerificationScope,
};

use crate::bench::{LATE_ON_TUESDAY, at, clinic, sighting};

const ROTATION: VerificationScope = VerificationScope::Rotation { day: 3, days: 30 };

fn by_ana(now: Timestamp) -> Acknowledgement {
    Acknowledgement { by: "ana".to_owned(), at: now, reason: "ticket".to_owned() }
}

/// The incident after so many objects were seen in a part. All that can be judged were.
fn seen(before: Option<&Incident>, part: &str, objects: &[&str], now: Timestamp) -> Incident {
    let name = IncidentName::new(AlertKind::VerificationFinding, clinic());
    let named = objects.iter().map(|name| (*name).to_owned());
    let facts = vec![("findings".to_owned(), objects.len().to_string())];
    let objects = DamagedObjects::new(named, false);
    let sighting = Sighting { objects, facts, ..sighting("damaged", Some(part)) };
    Incident::seen(before, &name, sighting, &Policy::default(), now)
}

#[test]
fn a_part_that_is_named_twice_clears_no_other_one() {
    let (policy, now) = (Policy::default(), at(LATE_ON_TUESDAY));
    let old = "primary 2026-11-21T20-49-33Z-k3f9";
    let both = seen(Some(&seen(None, old, &[], now)), "primary", &[], now);
    let twice = Cleared::Parts(vec![Part::from(old.to_owned()), Part::from(old.to_owned())]);
    let left = both.cleared(&twice, &policy, now).unwrap();
    assert_eq!((left.state, left.parts), (IncidentState::Open, [Part::from("primary".to_owned())].into()));
}

#[test]
fn an_object_that_its_part_no_longer_names_is_in_order_and_news_when_it_is_damaged_again() {
    let (policy, now) = (Policy::default(), at(LATE_ON_TUESDAY));
    let known = seen(None, "primary", &["a", "b"], now).acknowledged_by(by_ana(now)).unwrap();
    let one = seen(Some(&known), "primary", &["a"], now);
    assert_eq!((one.state, one.objects.named.len()), (IncidentState::Acknowledged, 1));
    assert_eq!(seen(Some(&one), "primary", &["a", "b"], now).state, IncidentState::Open);
    // Another part says nothing of it, and neither does a check that could not judge all.
    let elsewhere = seen(Some(&known), "offsite", &["a"], now);
    assert_eq!(seen(Some(&elsewhere), "primary", &["a", "b"], now).state, IncidentState::Acknowledged);
    let objects = DamagedObjects::new(["a".to_owned()], false).with_unread(true);
    let some = Sighting { objects, ..sighting("damaged", Some("primary")) };
    let some = Incident::seen(Some(&known), &known.name, some, &policy, now);
    assert_eq!(seen(Some(&some), "primary", &["a", "b"], now).state, IncidentState::Acknowledged);

    // Somebody accepted the one that is left: it is acknowledged, until something else is wrong.
    let later = now + SignedDuration::from_hours(2);
    let told = |incident: Incident| {
        let (claimed, alert) = incident.claimed(&policy, "run", now).unwrap();
        claimed.delivered(alert.state, now).unwrap()
    };
    let named = told(seen(None, "primary", &["a", "b"], now)).accepted_by(by_ana(now), &["a".to_owned()]);
    let named = named.unwrap().unwrap();
    assert!(named.reminded(&policy, later).is_some());
    let settled = seen(Some(&named), "primary", &["a"], now);
    assert_eq!(
        (settled.state, settled.acknowledged.as_ref().unwrap().by.as_str()),
        (IncidentState::Acknowledged, "ana")
    );
    assert!(settled.reminded(&policy, later).is_none());
    let owing = named.reminded(&policy, later).unwrap();
    assert!(owing.owed.is_some() && seen(Some(&owing), "primary", &["a"], later).owed.is_none());
    let blind = Sighting { hint: "do that".to_owned(), ..sighting("the server refused it", None) };
    let other =
        Sighting { hint: "do that".to_owned(), objects: settled.objects.clone(), ..sighting("worse", Some("primary")) };
    for news in [blind, other] {
        let again = told(Incident::seen(Some(&settled), &settled.name, news.clone(), &policy, now));
        assert_eq!(again.state, IncidentState::Open, "{news:?}");
        let still = Incident::seen(Some(&again), &settled.name, news.clone(), &policy, now);
        assert_eq!(still.state, IncidentState::Open, "{news:?}");
        assert!(still.reminded(&policy, later).is_some(), "{news:?}");
    }
}

#[test]
fn an_incident_with_more_objects_than_have_names_can_be_acknowledged() {
    let now = at(LATE_ON_TUESDAY);
    let objects = |site: &str| (0..60).map(|number| format!("{site}-{number}")).collect::<Vec<_>>();
    let see = |before: Option<&Incident>, part: &str| {
        let names = objects(part);
        seen(before, part, &names.iter().map(String::as_str).collect::<Vec<_>>(), now)
    };
    let mut known = see(None, "primary").acknowledged_by(by_ana(now)).unwrap();
    known = see(Some(&known), "offsite");
    assert_eq!(known.state, IncidentState::Open);
    known = known.acknowledged_by(by_ana(now)).unwrap();
    for part in ["primary", "offsite", "primary"] {
        known = see(Some(&known), part);
        assert_eq!(known.state, IncidentState::Acknowledged, "{part}");
    }
}

#[test]
fn a_verification_clears_its_scope_the_end_of_the_trail_and_after_a_whole_round_everything() {
    let (policy, now) = (Policy::default(), at(LATE_ON_TUESDAY));
    let verified = |entries_from: u64, all_since: Option<Timestamp>| Cleared::Verified {
        scope: ROTATION,
        entries_from: Some(entries_from),
        all_since,
    };
    let left = |incident: &Incident, cleared: &Cleared| {
        incident.cleared(cleared, &policy, now).map(|less| (less.state, less.parts.len()))
    };
    let trail = seen(None, "entries from 42", &["ledger/000000000042.json"], now);
    assert_eq!(left(&trail, &verified(43, None)), None, "the verification began behind it");
    assert_eq!(left(&trail, &verified(42, None)), Some((IncidentState::Resolved, 0)));
    let both = seen(Some(&trail), "rotation 3 of 30", &["chunks/a"], now);
    assert_eq!(left(&both, &verified(43, None)), Some((IncidentState::Open, 1)));
    assert_eq!(left(&both, &verified(42, None)), Some((IncidentState::Resolved, 0)));

    // Parts of another rotation, or more parts than are kept.
    let mut other = seen(None, "rotation 9 of 7", &["chunks/a"], now);
    let before = now - SignedDuration::from_secs(1);
    let after = now + SignedDuration::from_secs(1);
    for cleared in [verified(1, None), verified(1, Some(before)), verified(1, Some(now))] {
        assert_eq!(left(&other, &cleared), None, "{cleared:?}");
    }
    assert_eq!(left(&other, &verified(1, Some(after))), Some((IncidentState::Resolved, 0)));
    for number in 0..50 {
        other = seen(Some(&other), &format!("backup 2026-11-21T20-49-{number:02}Z-k3f9"), &["chunks/a"], now);
    }
    assert_eq!(other.parts, [Part::Everything].into());
    assert_eq!(left(&other, &verified(1, Some(after))), Some((IncidentState::Resolved, 0)));
    let drilled = Cleared::Parts(vec![Part::Everything]);
    assert_eq!(left(&other, &drilled), Some((IncidentState::Resolved, 0)));
    let all = Cleared::Verified { scope: VerificationScope::All, entries_from: None, all_since: None };
    assert_eq!(left(&other, &all), Some((IncidentState::Resolved, 0)));
}

#[test]
fn an_incident_that_opens_again_is_as_old_as_its_last_opening_to_those_who_must_answer() {
    let (policy, now) = (Policy::default(), at(LATE_ON_TUESDAY));
    let open = seen(None, "primary", &["a"], now);
    let known = open.acknowledged_by(by_ana(now)).unwrap();
    let later = now + SignedDuration::from_hours(5);
    let worse = seen(Some(&known), "primary", &["a", "b"], later);
    assert_eq!((open.opened_at, worse.since, worse.opened_at), (Some(now), now, Some(later)));
    assert_eq!(seen(Some(&worse), "primary", &["a"], later + SignedDuration::from_hours(1)).opened_at, Some(later));
    let late = now + policy.alerts.acknowledged + SignedDuration::from_hours(1);
    assert_eq!(known.expired(&policy, late).unwrap().opened_at, Some(late));
}
