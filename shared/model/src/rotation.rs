//! The progress of the rotation, in which daily verifications read everything that is stored.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::identity::BackupId;
use crate::verification::VerificationScope;

/// The most chunks that a backup may add and still be read on one day. A larger backup is read in equal shares, one each day, so that
/// no day has to read a whole database.
pub const READ_IN_ONE_DAY: u64 = 4096;

/// Backups of which it is remembered that they are larger, the largest ones. Each costs a reading of its chunk list each day.
const LARGE_KEPT: usize = 1000;

const SECONDS_A_DAY: i64 = 86_400;

/// `state/rotation-<database>.json`. It is derived: without it, the rotation begins anew.
///
/// Each day in UTC has one part, and the same part is due again `days` days later. A part that was missed, or that was not read to its end,
/// stays due until it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rotation {
    /// The number of parts, at least 1.
    days: u32,
    /// When the rotation began: no part was due before.
    since: Timestamp,
    /// Since when a part was due that was never read, and is no part since the number of days was changed. It holds until all parts were
    /// read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    missed_since: Option<Timestamp>,
    /// When each part was last read to its end.
    read: BTreeMap<u32, Timestamp>,
    /// Backups with more than [`READ_IN_ONE_DAY`] new chunks, with their number.
    large: BTreeMap<BackupId, u64>,
}

impl Rotation {
    /// A rotation that begins now.
    pub fn begin(days: u32, now: Timestamp) -> Self {
        Self { days: days.max(1), since: now, missed_since: None, read: BTreeMap::new(), large: BTreeMap::new() }
    }

    /// The same rotation with so many days. When their number changed, the parts are others, and it begins anew. What was missed is made up
    /// for when each new part was read.
    #[must_use]
    pub fn over(self, days: u32, now: Timestamp) -> Self {
        if self.days == days.max(1) {
            return self;
        }
        Self { missed_since: self.due_since(now), large: self.large, ..Self::begin(days, now) }
    }

    /// The parts that are due: the one of today, then those that were missed, the oldest first.
    pub fn due(&self, now: Timestamp) -> Vec<VerificationScope> {
        let today = self.part_of(epoch_day(now));
        let mut missed: Vec<(i64, u32)> =
            (0..self.days).filter_map(|part| Some((self.due_day(part, now)?, part))).collect();
        missed.sort_unstable();
        let is_of_today = |(_, part): &(i64, u32)| *part == today;
        let (mut due, missed): (Vec<_>, Vec<_>) = missed.into_iter().partition(is_of_today);
        due.extend(missed);
        due.into_iter().map(|(_, day)| VerificationScope::Rotation { day, days: self.days }).collect()
    }

    /// When the oldest of the readings of all parts began; `None` when a part was never read to its end.
    pub fn all_since(&self) -> Option<Timestamp> {
        let are_all_read = self.read.len() as u64 >= u64::from(self.days);
        self.read.values().min().copied().filter(|_| are_all_read)
    }

    /// The part of today, due or not.
    pub fn today(&self, now: Timestamp) -> VerificationScope {
        VerificationScope::Rotation { day: self.part_of(epoch_day(now)), days: self.days }
    }

    /// The beginning of the day on which the oldest part was due that was not read since.
    pub fn due_since(&self, now: Timestamp) -> Option<Timestamp> {
        let day = (0..self.days).filter_map(|part| self.due_day(part, now)).min();
        let due = day.and_then(|day| Timestamp::from_second(day * SECONDS_A_DAY).ok());
        due.into_iter().chain(self.missed_since).min()
    }

    /// Takes down that a verification that began at `at` read everything in `scope`.
    pub fn read(&mut self, scope: &VerificationScope, at: Timestamp) {
        let parts = match scope {
            VerificationScope::All => 0..self.days,
            VerificationScope::Rotation { day, days } if *days == self.days => *day..*day + 1,
            VerificationScope::Rotation { .. } | VerificationScope::Backup { .. } => return,
        };
        for part in parts {
            let last = self.read.entry(part).or_insert(at);
            *last = at.max(*last);
        }
        if self.all_since().is_some() {
            self.missed_since = None;
        }
    }

    /// Remembers a backup that added so many chunks, if it is too large for one day.
    pub fn remember(&mut self, backup_id: &BackupId, new_chunks: u64) {
        if new_chunks <= READ_IN_ONE_DAY {
            return;
        }
        self.large.insert(backup_id.clone(), new_chunks);
        if self.large.len() > LARGE_KEPT
            && let Some(smallest) = self.large.iter().min_by_key(|(_, chunks)| **chunks).map(|(id, _)| id.clone())
        {
            self.large.remove(&smallest);
        }
    }

    /// Whether no more large backups are remembered.
    pub fn is_full(&self) -> bool {
        self.large.len() >= LARGE_KEPT
    }

    /// The backups that are read in shares.
    pub fn large(&self) -> impl Iterator<Item = &BackupId> {
        self.large.keys()
    }

    /// The first day on which the part was due and that it was not read on or after; `None` when that is yet to come.
    fn due_day(&self, part: u32, now: Timestamp) -> Option<i64> {
        let from = self.read.get(&part).map_or_else(|| epoch_day(self.since), |read| epoch_day(*read) + 1);
        let day = from + (i64::from(part) - from).rem_euclid(i64::from(self.days));
        (day <= epoch_day(now)).then_some(day)
    }

    fn part_of(&self, day: i64) -> u32 {
        u32::try_from(day.rem_euclid(i64::from(self.days))).unwrap_or_default()
    }
}

fn epoch_day(at: Timestamp) -> i64 {
    at.as_second().div_euclid(SECONDS_A_DAY)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const DAYS: u32 = 30;

    fn tick(day: i64) -> Timestamp {
        let first: Timestamp = "2026-11-01T03:00:00Z".parse().unwrap();
        first + SignedDuration::from_hours(24 * day)
    }

    fn parts(due: &[VerificationScope]) -> Vec<u32> {
        let part = |scope: &VerificationScope| match scope {
            VerificationScope::Rotation { day, days: DAYS } => *day,
            other => panic!("{other}"),
        };
        due.iter().map(part).collect()
    }

    #[test]
    fn each_day_has_one_part_and_thirty_days_have_all() {
        let mut rotation = Rotation::begin(DAYS, tick(0));
        let mut seen = Vec::new();
        for day in 0..30 {
            let due = rotation.due(tick(day));
            assert_eq!(due, [rotation.today(tick(day))], "day {day}");
            rotation.read(&due[0], tick(day));
            assert_eq!(rotation.due(tick(day)), [], "a tick that comes twice reads nothing twice");
            seen.extend(parts(&due));
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..DAYS).collect::<Vec<u32>>());
        assert_eq!(rotation.due(tick(30)).len(), 1, "and then from the beginning");
    }

    #[test]
    fn a_missed_part_is_due_until_it_was_read_and_the_part_of_today_comes_first() {
        let mut rotation = Rotation::begin(DAYS, tick(0));
        rotation.read(&rotation.today(tick(0)), tick(0));
        let missed = [rotation.today(tick(1)), rotation.today(tick(2))];
        let today = rotation.today(tick(3));
        assert_eq!(rotation.due(tick(3)), [today.clone(), missed[0].clone(), missed[1].clone()]);
        let midnight = |day| tick(day) - SignedDuration::from_hours(3);
        assert_eq!(rotation.due_since(tick(3)), Some(midnight(1)));

        // The part of today says nothing of those that were missed.
        rotation.read(&today, tick(3));
        assert_eq!(rotation.due_since(tick(3)), Some(midnight(1)));
        rotation.read(&missed[0], tick(3));
        assert_eq!(rotation.due_since(tick(3)), Some(midnight(2)));
        rotation.read(&missed[1], tick(3));
        assert_eq!((rotation.due(tick(3)), rotation.due_since(tick(3))), (vec![], None));

        // It stays in its place: it is due again on the same day of the next round.
        assert_eq!(rotation.due(tick(31)).first(), Some(&missed[0]));
        rotation.read(&VerificationScope::All, tick(31));
        assert_eq!(rotation.due(tick(31)), []);
    }

    #[test]
    fn a_part_that_is_never_read_is_due_since_its_first_day_however_often_its_turn_comes() {
        for days in [1, 7] {
            let mut rotation = Rotation::begin(days, tick(0));
            rotation.read(&VerificationScope::All, tick(0));
            let first = tick(1) - SignedDuration::from_hours(3);
            for day in 1..40 {
                assert_eq!(rotation.due_since(tick(day)), Some(first), "day {day} of {days}");
                let today = rotation.today(tick(day));
                assert_eq!(rotation.due(tick(day)).first(), Some(&today), "day {day} of {days}");
                // All but the part of the first day are read.
                if today != rotation.today(tick(1)) {
                    rotation.read(&today, tick(day));
                }
            }
        }
    }

    #[test]
    fn another_number_of_days_begins_anew_and_what_is_large_stays_so() {
        let mut rotation = Rotation::begin(DAYS, tick(0));
        let id: BackupId = "2026-11-21T20-49-33Z-k3f9".parse().unwrap();
        rotation.remember(&id, READ_IN_ONE_DAY + 1);
        rotation.read(&VerificationScope::All, tick(0));
        assert_eq!(rotation.clone().over(DAYS, tick(1)), rotation);
        let other = rotation.over(7, tick(1));
        assert_eq!(other.due(tick(1)), [other.today(tick(1))]);
        assert_eq!(other.large().collect::<Vec<_>>(), [&id]);
        assert_eq!(Rotation::begin(0, tick(0)).due(tick(0)).len(), 1, "no number of days divides by zero");
    }

    #[test]
    fn another_number_of_days_does_not_forgive_what_was_missed_until_each_new_part_was_read() {
        let mut rotation = Rotation::begin(DAYS, tick(0));
        rotation.read(&VerificationScope::All, tick(0));
        let midnight = |day| tick(day) - SignedDuration::from_hours(3);
        let mut rotation = rotation.over(7, tick(9));
        assert_eq!(rotation.due_since(tick(9)), Some(midnight(1)));
        rotation = rotation.over(5, tick(9));
        for day in 9..13 {
            rotation.read(&rotation.today(tick(day)), tick(day));
            assert_eq!(rotation.due_since(tick(day)), Some(midnight(1)), "day {day}");
        }
        rotation.read(&rotation.today(tick(13)), tick(13));
        assert_eq!(rotation.due_since(tick(13)), None);
        // Nothing was missed: it begins anew.
        assert_eq!(rotation.over(7, tick(13)).due_since(tick(13)), Some(midnight(13)));
    }

    #[test]
    fn only_the_largest_backups_are_remembered() {
        let mut rotation = Rotation::begin(DAYS, tick(0));
        let id = |number: i64| BackupId::new(tick(0) + SignedDuration::from_secs(number), 0);
        for number in 0..1100 {
            rotation.remember(&id(number), READ_IN_ONE_DAY + number as u64);
        }
        assert_eq!(rotation.large().count(), LARGE_KEPT);
        assert_eq!(rotation.large().next(), Some(&id(100)));
        let text = serde_json::to_string(&rotation).unwrap();
        assert_eq!(serde_json::from_str::<Rotation>(&text).unwrap(), rotation);
    }
}
