//! What an acknowledgement of an incident holds for, and what objects of it are accepted by name.

use jiff::{SignedDuration, Timestamp};
use lifeboat_model::{
    Acknowledgement, AlertKind, AlertState, Cleared, DamagedObjects, Incident, IncidentName, IncidentState,
    ObjectRefusal, Part, Policy, Sighting,
};

use crate::bench::{LATE_ON_TUESDAY, at, clinic, sighting};

/// The message that is sent now, if any, and the incident after it.
fn told(incident: &Incident, policy: &Policy, now: Timestamp) -> (Option<AlertState>, Incident) {
    match incident.claimed(policy, "run", now) {
        Some((claimed, alert)) => (Some(alert.state), claimed.delivered(alert.state, now).unwrap()),
        None => (None, incident.clone()),
    }
}

fn found(part: &str, findings: u64, hint: &str) -> Sighting {
    let facts = vec![("findings".to_owned(), findings.to_string())];
    Sighting { hint: hint.to_owned(), facts, ..sighting(&format!("{findings} objects are damaged"), Some(part)) }
}

fn damaged(objects: &[&str], more: bool) -> Sighting {
    let named = objects.iter().map(|name| (*name).to_owned());
    Sighting { objects: DamagedObjects::new(named, more), ..found("rotation 1 of 30", objects.len() as u64, "do this") }
}

fn by_ana(now: Timestamp) -> Acknowledgement {
    Acknowledgement { by: "ana".to_owned(), at: now, reason: "ticket".to_owned() }
}

#[test]
fn objects_that_are_accepted_by_name_stay_accepted_and_any_other_opens_the_incident_again() {
    let (policy, now) = (Policy::default(), at(LATE_ON_TUESDAY));
    let name = IncidentName::new(AlertKind::VerificationFinding, clinic());
    let names = |objects: &[&str]| -> Vec<String> { objects.iter().map(|object| (*object).to_owned()).collect() };
    let see = |before: &Incident, sighting: Sighting, at: Timestamp| {
        let (state, after) = told(&Incident::seen(Some(before), &name, sighting, &policy, at), &policy, at);
        (after.state, state, after)
    };
    let accept = |incident: &Incident, objects: &[&str], at: Timestamp| {
        incident.accepted_by(by_ana(at), &names(objects)).unwrap().unwrap()
    };
    let open = Incident::seen(None, &name, damaged(&["chunks/a", "chunks/b"], false), &policy, now);
    let open = told(&open, &policy, now).1;

    // One of two: the other one is still reported.
    let one = accept(&open, &["chunks/a"], now);
    assert_eq!((one.state, one.acknowledged.is_none()), (IncidentState::Open, true));
    let later = now + SignedDuration::from_hours(2);
    assert!(one.reminded(&policy, later).is_some(), "nobody has accepted the other one");
    let both = accept(&one, &["chunks/b"], now);
    assert_eq!(both.state, IncidentState::Acknowledged, "what was accepted before still is");

    let late = now + policy.alerts.acknowledged + SignedDuration::from_hours(1);
    let elsewhere = |sighting: Sighting| Sighting { part: Some(Part::from("rotation 9 of 30".to_owned())), ..sighting };
    let quiet = (IncidentState::Acknowledged, None);
    let loud = (IncidentState::Open, Some(AlertState::Opened));
    for (case, sighting, at, expected) in [
        ("the same", damaged(&["chunks/a", "chunks/b"], false), later, quiet),
        ("one of them", damaged(&["chunks/b"], false), later, quiet),
        ("another part, and long after", elsewhere(damaged(&["chunks/a"], false)), late, quiet),
        ("another one instead", damaged(&["chunks/a", "chunks/c"], false), later, loud),
        ("fewer, and another one", damaged(&["chunks/c"], false), later, loud),
        ("the same and more without a name", damaged(&["chunks/a", "chunks/b"], true), later, loud),
        (
            "another cause besides",
            Sighting { hint: "do this; do that".to_owned(), ..damaged(&["chunks/a"], false) },
            later,
            loud,
        ),
        (
            "a verification that could not run",
            Sighting { hint: "do that".to_owned(), ..sighting("no answer", None) },
            later,
            loud,
        ),
    ] {
        let (state, told, after) = see(&both, sighting, at);
        assert_eq!((state, told), expected, "{case}");
        assert_eq!(after.accepted.unwrap().objects, both.accepted.clone().unwrap().objects, "{case}");
    }

    // Naming the new one as well is enough.
    let (_, _, worse) = see(&both, damaged(&["chunks/a", "chunks/c"], false), later);
    let settled = accept(&worse, &["chunks/c"], later);
    assert_eq!(settled.state, IncidentState::Acknowledged);
    // With the end of the incident it ends.
    let over = settled.cleared(&Cleared::All, &policy, later).unwrap();
    let over = told(&over, &policy, later).1;
    let (state, told, anew) = see(&over, damaged(&["chunks/a"], false), later);
    assert_eq!((state, told, anew.accepted), (IncidentState::Open, Some(AlertState::Opened), None));
}

#[test]
fn an_acknowledgement_holds_for_the_objects_that_it_was_given_for_and_for_no_others() {
    let (policy, now) = (Policy::default(), at(LATE_ON_TUESDAY));
    let name = IncidentName::new(AlertKind::VerificationFinding, clinic());
    let see = |before: Option<&Incident>, sighting: Sighting| Incident::seen(before, &name, sighting, &policy, now);
    let elsewhere = |sighting: Sighting| Sighting { part: Some(Part::from("rotation 9 of 30".to_owned())), ..sighting };
    let open = see(None, damaged(&["chunks/a", "chunks/b"], false));
    let known = open.acknowledged_by(by_ana(now)).unwrap();
    for (case, sighting, state) in [
        ("the same", damaged(&["chunks/a", "chunks/b"], false), IncidentState::Acknowledged),
        ("one of them from another part", elsewhere(damaged(&["chunks/b"], false)), IncidentState::Acknowledged),
        ("as many others", damaged(&["chunks/c", "chunks/d"], false), IncidentState::Open),
        ("fewer, and another one", damaged(&["chunks/c"], false), IncidentState::Open),
        ("more than have names", damaged(&["chunks/a", "chunks/b", "chunks/a"], true), IncidentState::Open),
    ] {
        assert_eq!(see(Some(&known), sighting).state, state, "{case}");
    }

    // Damage of the whole repository is seen by each verification, whatever it reads.
    let mut hourly = known.clone();
    for number in 0..100 {
        let part = Part::from(format!("rotation {number} of 365"));
        hourly = see(Some(&hourly), Sighting { part: Some(part), ..damaged(&["chunks/a"], false) });
        assert_eq!(hourly.state, IncidentState::Acknowledged, "{number}");
    }

    // Objects that no check could judge, such as those of a newer format, are counted apart. Another part of them is no news.
    let undecided = |part: &str| Sighting {
        hint: "update it".to_owned(),
        facts: vec![("damaged".to_owned(), "0".to_owned()), ("findings".to_owned(), "3".to_owned())],
        ..sighting("3 objects have a newer format", Some(part))
    };
    let newer = see(Some(&known), undecided("rotation 1 of 30"));
    assert_eq!(newer.state, IncidentState::Open, "it is another cause");
    let newer = newer.acknowledged_by(by_ana(now)).unwrap();
    assert_eq!(see(Some(&newer), undecided("rotation 2 of 30")).state, IncidentState::Acknowledged);
}

#[test]
fn an_object_that_was_in_order_again_is_news_when_it_is_damaged_again() {
    let (policy, now) = (Policy::default(), at(LATE_ON_TUESDAY));
    let name = IncidentName::new(AlertKind::VerificationFinding, clinic());
    let part = |text: &str| Part::from(text.to_owned());
    let in_part = |text: &str, objects: &[&str]| Sighting { part: Some(part(text)), ..damaged(objects, false) };
    let see = |before: Option<&Incident>, sighting: Sighting| Incident::seen(before, &name, sighting, &policy, now);
    let [first, second] = ["rotation 1 of 30", "rotation 2 of 30"];
    let open = see(Some(&see(None, in_part(first, &["chunks/a"]))), in_part(second, &["chunks/b"]));
    let known = open.acknowledged_by(by_ana(now)).unwrap();
    let less = known.cleared(&Cleared::Parts(vec![part(first)]), &policy, now).unwrap();
    assert_eq!((less.state, less.objects.named.len()), (IncidentState::Acknowledged, 1));
    let [again, still] = [in_part(first, &["chunks/a"]), in_part(second, &["chunks/b"])];
    assert_eq!(see(Some(&known), again.clone()).state, IncidentState::Acknowledged, "it was never in order");
    assert_eq!(see(Some(&less), still).state, IncidentState::Acknowledged);
    assert_eq!(see(Some(&less), again).state, IncidentState::Open);
    // The same without names: the part itself was in order.
    let unnamed = |part: &str| Sighting { objects: DamagedObjects::default(), ..in_part(part, &["chunks/a"]) };
    let open = see(Some(&see(None, unnamed(first))), unnamed(second));
    let less =
        open.acknowledged_by(by_ana(now)).unwrap().cleared(&Cleared::Parts(vec![part(first)]), &policy, now).unwrap();
    assert_eq!(see(Some(&less), unnamed(second)).state, IncidentState::Acknowledged);
    assert_eq!(see(Some(&less), unnamed(first)).state, IncidentState::Open);
}

#[test]
fn accepting_a_name_takes_no_acknowledgement_back_and_adds_no_other_objects_to_it() {
    let (policy, now) = (Policy::default(), at(LATE_ON_TUESDAY));
    let name = IncidentName::new(AlertKind::VerificationFinding, clinic());
    let open = Incident::seen(None, &name, damaged(&["a", "b", "c"], false), &policy, now);
    let state_after = |before: &Incident, objects: &[&str]| {
        Incident::seen(Some(before), &name, damaged(objects, false), &policy, now).state
    };
    let three = open.acknowledged_by(by_ana(now)).unwrap();
    let named = three.accepted_by(by_ana(now), &["a".to_owned(), "b".to_owned()]).unwrap().unwrap();
    assert_eq!((named.state, named.acknowledged.is_some()), (IncidentState::Acknowledged, true));
    assert_eq!(state_after(&named, &["a", "b", "c"]), IncidentState::Acknowledged);
    assert_eq!(state_after(&named, &["c", "d"]), IncidentState::Open);
    // What was known when it was acknowledged is no longer, once it was opened again and objects of it were accepted by name.
    let elsewhere = Sighting { part: Some(Part::from("rotation 2 of 30".to_owned())), ..damaged(&["d"], false) };
    let worse = Incident::seen(Some(&named), &name, elsewhere, &policy, now);
    let other = worse.accepted_by(by_ana(now), &["d".to_owned()]).unwrap().unwrap();
    assert_eq!(other.state, IncidentState::Open, "nobody accepted the third one by name");
}

#[test]
fn a_name_that_is_no_object_of_the_incident_or_cannot_be_kept_is_refused() {
    let (policy, now) = (Policy::default(), at(LATE_ON_TUESDAY));
    let name = IncidentName::new(AlertKind::VerificationFinding, clinic());
    let seen = |objects: &[&str]| Incident::seen(None, &name, damaged(objects, false), &policy, now);
    let accept = |incident: &Incident, objects: &[String]| incident.accepted_by(by_ana(now), objects).map(drop);
    let refused = |object: &str, why| Err((object.to_owned(), why));
    let typed = ["chunks/a".to_owned(), "chunks/typo".to_owned()];
    let known = seen(&["chunks/a"]);
    assert_eq!(accept(&known, &typed), refused("chunks/typo", ObjectRefusal::Unknown));
    let known = known.acknowledged_by(by_ana(now)).unwrap();
    assert_eq!(accept(&known, &typed), refused("chunks/typo", ObjectRefusal::Unknown));

    // With more objects than have names, the report names the others.
    let long = "long".repeat(100);
    let open = seen(&[&long]);
    assert!(open.objects.more && open.objects.named.is_empty());
    assert_eq!(accept(&open, std::slice::from_ref(&long)), refused(&long, ObjectRefusal::TooLong));
    let many: Vec<String> = (0..101).map(|number| format!("chunks/{number}")).collect();
    let open = seen(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(open.objects.more && open.objects.named.len() == 100);
    assert_eq!(accept(&open, &many), refused("chunks/100", ObjectRefusal::TooMany));
    let named = open.accepted_by(by_ana(now), &many[1..]).unwrap().unwrap();
    assert_eq!(named.state, IncidentState::Open, "there are more");
}

#[test]
fn an_incident_with_as_many_and_as_long_names_as_it_keeps_can_be_read_by_the_repository() {
    let (policy, now) = (Policy::default(), at(LATE_ON_TUESDAY));
    let name = IncidentName::new(AlertKind::VerificationFinding, clinic());
    for bytes in [60, 102, 200] {
        let objects: Vec<String> = (0..200).map(|number| format!("{number:0bytes$}")).collect();
        let mut incident = None;
        for (number, chunk) in objects.chunks(3).enumerate() {
            let texts: Vec<&str> = chunk.iter().map(String::as_str).collect();
            let part = Part::from(format!("backup 2026-11-21T20-49-{:02}Z-k3f9", number % 30));
            let sighting = Sighting { part: Some(part), ..damaged(&texts, false) };
            incident = Some(Incident::seen(incident.as_ref(), &name, sighting, &policy, now));
        }
        let known = incident.unwrap().acknowledged_by(by_ana(now)).unwrap();
        let all: Vec<String> = known.objects.named.iter().cloned().collect();
        let full = known.accepted_by(by_ana(now), &all).unwrap().unwrap();
        assert!(full.accepted.as_ref().unwrap().known.len() == all.len() && all.len() >= 50);
        let stored = serde_json::to_string(&full).unwrap();
        assert!(stored.len() < 60 * 1024, "{} bytes", stored.len());
        assert_eq!(serde_json::from_str::<Incident>(&stored).unwrap(), full);
    }
}

#[test]
fn an_acknowledgement_expires_also_when_the_problem_is_not_seen_again() {
    let (policy, now) = (Policy::default(), at(LATE_ON_TUESDAY));
    let name = IncidentName::new(AlertKind::VerificationFinding, clinic());
    let open = told(&Incident::seen(None, &name, damaged(&["chunks/a"], false), &policy, now), &policy, now).1;
    let late = now + policy.alerts.acknowledged + SignedDuration::from_hours(1);
    assert!(open.expired(&policy, late).is_none(), "nobody has acknowledged it");
    let known = open.acknowledged_by(by_ana(now)).unwrap();
    assert!(known.expired(&policy, late - SignedDuration::from_hours(2)).is_none());
    let again = known.expired(&policy, late).unwrap();
    assert_eq!((again.state, told(&again, &policy, late).0), (IncidentState::Open, Some(AlertState::Opened)));
    let endless = open.acknowledged_by(by_ana(now + SignedDuration::from_hours(24 * 365 * 100))).unwrap();
    assert!(endless.expired(&policy, now).is_some(), "it is dated in the future");
    let named = open.accepted_by(by_ana(now), &["chunks/a".to_owned()]).unwrap().unwrap();
    assert_eq!(named.state, IncidentState::Acknowledged);
    assert!(named.expired(&policy, late).is_none(), "what is accepted by name stays so");
}

#[test]
fn an_incident_that_an_earlier_version_stored_is_read() {
    let (policy, now) = (Policy::default(), at(LATE_ON_TUESDAY));
    let stored = r#"{"name":"verification-finding/clinic","state":"acknowledged","severity":"critical",
        "since":"2026-11-24T10:00:00Z","seen_at":"2026-11-24T10:00:00Z","sightings":1,
        "acknowledged":{"by":"ana","at":"2026-11-24T10:00:00Z","reason":"ticket"},
        "accepted":{"parts":["all"],"findings":2,"causes":["do this; do that"],"objects":["chunks/a"]},
        "what":"damaged","hint":"do this; do that","parts":["all"],
        "objects":{"named":["chunks/a"],"more":false},"facts":[],"channels":["email"],"sent":1}"#;
    let before: Incident = serde_json::from_str(stored).unwrap();
    let seen = |sighting: Sighting| Incident::seen(Some(&before), &before.name, sighting, &policy, now).state;
    assert_eq!(seen(damaged(&["chunks/a"], false)), IncidentState::Acknowledged);
    assert_eq!(seen(damaged(&["chunks/b"], false)), IncidentState::Open);
}
