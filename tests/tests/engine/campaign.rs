//! The campaign: a backup, a verification and a drill killed at every request to S3, KMS and PostgreSQL, before it, after
//! its effect and before its answer, and after its answer. What the dead leave is never a false backup and never in
//! anybody's way, and the next run of the same verb ends well without help.
//!
//! A run is a runtime of its own, which is shut down where it stands: its tasks are gone, its client programs are killed
//! and its connections are closed, as the system does it for a dead process. Requests to PostgreSQL are many and slow, so
//! that only some of them are tried unless `LIFEBOAT_CAMPAIGN=every` is in the environment.

mod field;

use std::collections::BTreeSet;

use field::{Field, Verb};
use lifeboat_bench::{KillMoment, KillPoint, MOMENTS, PORTS, Port};

/// Far more requests than any run makes of one port.
const MOST_REQUESTS: u64 = 5_000;

/// One request to PostgreSQL out of so many is tried. With fewer, a step of the verb would be missed; more would take minutes.
const POSTGRES_STEP: u64 = 32;

fn every() -> bool {
    std::env::var("LIFEBOAT_CAMPAIGN").is_ok_and(|value| value == "every")
}

/// The requests of a port that are tried at a moment: the moments take turns in where they begin.
fn numbers(port: Port, moment: KillMoment) -> impl Iterator<Item = u64> {
    let sampled = port == Port::Postgres && !every();
    let (first, step) = if sampled { (1 + moment as u64 * POSTGRES_STEP / 3, POSTGRES_STEP) } else { (1, 1) };
    (first..=MOST_REQUESTS).step_by(step as usize)
}

/// Kills the verb everywhere and tells how often, a line for each port and moment. Returns the deaths.
fn campaign(verb: Verb) -> u64 {
    let field = Field::new(verb);
    let whole = field.undisturbed();
    let mut converged = BTreeSet::new();
    let mut deaths = 0;
    let mut told = Vec::new();
    for port in PORTS {
        for moment in MOMENTS {
            let (mut tried, mut next_runs) = (0, 0);
            for number in numbers(port, moment) {
                let point = KillPoint { port, number, moment };
                let Some(state) = field.kill(point) else { break };
                tried += 1;
                // What lies in the stores decides how the next run goes: a state that one has already come back from need not be
                // tried again. What a drill leaves on the server is told by no key, so that its next run is always tried.
                if converged.insert(state) || (verb == Verb::Drill && port == Port::Postgres) {
                    field.run_again(&format!("{verb:?}, {point:?}"));
                    next_runs += 1;
                }
            }
            let requests = whole.count(port);
            told.push(format!(
                "{verb:?} {port:?} {moment:?}: {requests} requests, {tried} deaths, {next_runs} next runs"
            ));
            deaths += tried;
        }
    }
    field.run_again(&format!("{verb:?}, the last of all"));
    field.assert_source_untouched();
    eprintln!("{}", told.join("\n"));
    deaths
}

#[test]
fn a_backup_killed_at_any_request_to_any_service_leaves_no_false_backup_and_the_next_one_completes() {
    let deaths = campaign(Verb::Backup);
    assert!(deaths >= 100, "{deaths}");
}

#[test]
fn a_verification_killed_at_any_request_to_any_service_leaves_no_harm_and_the_next_one_heals_the_rest() {
    let deaths = campaign(Verb::Verify);
    assert!(deaths >= 100, "{deaths}");
}

#[test]
fn a_drill_killed_at_any_request_to_any_service_leaves_nothing_that_the_next_one_does_not_clear_away() {
    let deaths = campaign(Verb::Drill);
    assert!(deaths >= 100, "{deaths}");
}
