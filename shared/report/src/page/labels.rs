//! Labels of the page: numbers, times, signs and sentences as people read them.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lifeboat_model::Standing;

const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];

/// `1.2 GB`, by thousands.
pub(super) fn bytes(count: u64) -> String {
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 || value >= 99.5 { format!("{value:.0} {name}") } else { format!("{value:.1} {name}") }
}

/// `1 234 567`, with spaces that do not break.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{a0}');
        }
        text.push(digit);
    }
    text
}

/// `0.4 s`, `1 min 12 s`, `2 h 5 min`.
pub(super) fn seconds(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// `5 min`, `3 h`, `2 days`: in the largest suitable unit.
pub(super) fn minutes(minutes: i64) -> String {
    match minutes {
        ..1 => "less than a minute".to_owned(),
        1..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / (24 * 60)),
    }
}

/// `just now`, `5 min ago`.
pub(super) fn minutes_ago(age: i64) -> String {
    if age < 1 { "just now".to_owned() } else { format!("{} ago", minutes(age)) }
}

/// The age of `at`, as `5 min ago`.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    let age: SignedDuration = now.duration_since(at);
    minutes_ago(age.as_mins())
}

/// `2026-11-22 16:05`, in UTC.
pub(super) fn moment(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M").to_string()
}

/// With enough decimal places that a small sum is not shown as zero.
pub(super) fn money(sum: f64) -> String {
    match sum {
        0.0 => "0".to_owned(),
        sum if sum < 0.000_05 => "< 0.0001".to_owned(),
        sum if sum < 1.0 => format!("{sum:.4}"),
        sum => format!("{sum:.2}"),
    }
}

/// With a capital and without a full stop.
pub(super) fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The standing as a sign that needs no colour.
pub(super) fn sign(standing: Standing) -> &'static str {
    match standing {
        Standing::Ok => "✓",
        Standing::Empty => "–",
        Standing::Warning => "!",
        Standing::Unknown => "?",
        Standing::Critical => "✕",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(
            [0, 999, 1000, 1_234_000, 999_999_999].map(bytes),
            ["0 B", "999 B", "1.0 kB", "1.2 MB", "1.0 GB"].map(str::to_owned)
        );
        assert_eq!([7, 1000, 1_234_567].map(count), ["7", "1\u{a0}000", "1\u{a0}234\u{a0}567"].map(str::to_owned));
        assert_eq!(
            [0.04, 9.4, 72.0, 7500.0].map(seconds),
            ["0.0 s", "9.4 s", "1 min 12 s", "2 h 5 min"].map(str::to_owned)
        );
        assert_eq!(
            [0, 119, 120, 2880].map(minutes),
            ["less than a minute", "119 min", "2 h", "2 days"].map(str::to_owned)
        );
        assert_eq!(["the end.", "", "é"].map(sentence), ["The end", "", "É"].map(str::to_owned));
        assert_eq!([0.0, 0.000_01, 0.012_34, 12.0].map(money), ["0", "< 0.0001", "0.0123", "12.00"].map(str::to_owned));
    }
}
