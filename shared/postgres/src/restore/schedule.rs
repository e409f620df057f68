//! The order in which sessions restore entries in parallel.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::restore::entry::Entry;

/// Entries that wait, and those that can be restored now: the largest first, then in the archive's order.
///
/// An entry waits for those that it depends on. Two entries that lock one table do not run at the same time, unless both only build an index:
/// `pg_restore --jobs` has the same rule (`has_lock_conflicts()` in pg_backup_archiver.c).
pub(super) struct Schedule {
    entries: Vec<Arc<Entry>>,
    /// The number of unfinished entries that each waits for.
    waits_for: Vec<usize>,
    needed_by: Vec<Vec<usize>>,
    ready: BTreeSet<(Reverse<u64>, usize)>,
    sizes: Vec<u64>,
    /// Entries at work on each table; those that lock it for themselves count for all.
    busy: HashMap<u32, u32>,
    tables: HashSet<u32>,
    running: usize,
    unfinished: usize,
}

/// The weight of an entry that shares no table with any other.
const ALONE: u32 = u32::MAX / 2;

impl Schedule {
    /// `tables` are the numbers of the entries that are tables, and `size` gives the bytes that an entry has to go through.
    pub(super) fn new(entries: Vec<Arc<Entry>>, tables: HashSet<u32>, size: impl Fn(&Entry) -> u64) -> Self {
        let places: HashMap<u32, usize> = entries.iter().zip(0..).map(|(entry, place)| (entry.id, place)).collect();
        let mut waits_for = vec![0; entries.len()];
        let mut needed_by = vec![Vec::new(); entries.len()];
        for (place, entry) in entries.iter().enumerate() {
            let needed: HashSet<usize> = entry
                .dependencies
                .iter()
                .filter_map(|id| places.get(id))
                .copied()
                .filter(|one| *one != place)
                .collect();
            for needs in &needed {
                if let (Some(count), Some(list)) = (waits_for.get_mut(place), needed_by.get_mut(*needs)) {
                    *count += 1;
                    list.push(place);
                }
            }
        }
        let sizes: Vec<u64> = entries.iter().map(|entry| size(entry)).collect();
        let mut schedule = Self {
            unfinished: entries.len(),
            running: 0,
            entries,
            waits_for,
            needed_by,
            ready: BTreeSet::new(),
            sizes,
            busy: HashMap::new(),
            tables,
        };
        let free: Vec<usize> =
            (0..schedule.entries.len()).filter(|place| schedule.waits_for.get(*place) == Some(&0)).collect();
        free.into_iter().for_each(|place| schedule.release(place));
        schedule
    }

    /// The next entry for a session that has nothing to do. `None` while all wait; then [`Schedule::is_finished`] tells whether more will come.
    pub(super) fn take(&mut self) -> Option<(usize, Arc<Entry>)> {
        let next = self.ready.iter().find(|(_, place)| self.is_free(*place)).copied();
        // Dependencies in a circle cannot be in an archive, and must not stop a restore.
        let next = next.or_else(|| self.is_stuck().then(|| self.any_waiting()).flatten())?;
        self.ready.remove(&next);
        let entry = self.entries.get(next.1).map(Arc::clone)?;
        if let Some(count) = self.waits_for.get_mut(next.1) {
            *count = usize::MAX;
        }
        self.running += 1;
        for (table, weight) in self.locks(&entry) {
            *self.busy.entry(table).or_default() += weight;
        }
        Some((next.1, entry))
    }

    /// Reports that an entry has been tried.
    pub(super) fn finish(&mut self, place: usize) {
        (self.unfinished, self.running) = (self.unfinished.saturating_sub(1), self.running.saturating_sub(1));
        if let Some(entry) = self.entries.get(place).map(Arc::clone) {
            for (table, weight) in self.locks(&entry) {
                if let Some(busy) = self.busy.get_mut(&table) {
                    *busy = busy.saturating_sub(weight);
                }
            }
        }
        for waiting in self.needed_by.get_mut(place).map(std::mem::take).unwrap_or_default() {
            if let Some(count) = self.waits_for.get_mut(waiting).filter(|count| **count != usize::MAX) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.release(waiting);
                }
            }
        }
    }

    /// Whether every entry has been tried.
    pub(super) fn is_finished(&self) -> bool {
        self.unfinished == 0
    }

    fn release(&mut self, place: usize) {
        self.ready.insert((Reverse(self.sizes.get(place).copied().unwrap_or_default()), place));
    }

    fn is_free(&self, place: usize) -> bool {
        let Some(entry) = self.entries.get(place) else { return false };
        self.locks(entry).iter().all(|(table, weight)| {
            let busy = self.busy.get(table).copied().unwrap_or_default();
            busy == 0 || busy < ALONE && *weight < ALONE
        })
    }

    fn is_stuck(&self) -> bool {
        self.ready.is_empty() && self.unfinished > 0 && self.running == 0
    }

    fn any_waiting(&self) -> Option<(Reverse<u64>, usize)> {
        let place = self.waits_for.iter().position(|count| *count != usize::MAX)?;
        Some((Reverse(0), place))
    }

    fn locks(&self, entry: &Entry) -> Vec<(u32, u32)> {
        let weight = if entry.kind == "INDEX" { 1 } else { ALONE };
        let tables: BTreeSet<u32> = entry.dependencies.iter().copied().filter(|id| self.tables.contains(id)).collect();
        tables.into_iter().map(|table| (table, weight)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::entry::testing::entry;

    fn order(schedule: &mut Schedule) -> Vec<u32> {
        let mut taken = Vec::new();
        while let Some((place, entry)) = schedule.take() {
            taken.push(entry.id);
            schedule.finish(place);
        }
        taken
    }

    #[test]
    fn the_largest_comes_first_and_nothing_before_what_it_needs() {
        let entries = vec![
            entry(10, "INDEX", &[1]),
            entry(11, "INDEX", &[2]),
            entry(12, "CONSTRAINT", &[2]),
            entry(13, "FK CONSTRAINT", &[1, 2, 12]),
        ];
        let size = |entry: &Entry| if entry.dependencies.contains(&2) { 100 } else { 1 };
        let mut schedule = Schedule::new(entries, HashSet::from([1, 2]), size);
        assert_eq!(order(&mut schedule), [11, 12, 13, 10]);
        assert!(schedule.is_finished());
    }

    #[test]
    fn two_indexes_of_a_table_are_built_at_once_and_a_constraint_waits() {
        let entries = vec![entry(10, "INDEX", &[1]), entry(11, "INDEX", &[1]), entry(12, "CONSTRAINT", &[1])];
        let mut schedule = Schedule::new(entries, HashSet::from([1]), |_| 0);
        let (first, second) = (schedule.take().unwrap(), schedule.take().unwrap());
        assert_eq!((first.1.id, second.1.id), (10, 11));
        assert!(schedule.take().is_none() && !schedule.is_finished());
        schedule.finish(first.0);
        assert!(schedule.take().is_none());
        schedule.finish(second.0);
        let third = schedule.take().unwrap();
        assert_eq!(third.1.id, 12);
        schedule.finish(third.0);
        assert!(schedule.is_finished());
    }

    #[test]
    fn dependencies_in_a_circle_end_all_the_same() {
        let entries = vec![entry(10, "RULE", &[11]), entry(11, "RULE", &[10])];
        let mut schedule = Schedule::new(entries, HashSet::new(), |_| 0);
        assert_eq!(order(&mut schedule), [10, 11]);
        assert!(schedule.is_finished());
    }
}
