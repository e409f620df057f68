//! Numbers with their units, as a person reads them.

/// Seconds, and those of each phase.
pub fn seconds(phases: &lifeboat_model::Phases) -> String {
    let parts: Vec<String> = phases.iter().map(|(name, seconds)| format!("{name} {seconds:.2}")).collect();
    format!("{:.2} ({})", phases.total(), parts.join(", "))
}

/// A length in the largest unit that leaves at least one digit before the point.
pub fn bytes(length: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = length as f64;
    let mut unit = UNITS[0];
    for larger in UNITS.iter().skip(1) {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if unit == "B" { format!("{length} B") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_shown_in_the_unit_a_person_would_choose() {
        for (length, shown) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB"), (3 << 50, "3072.0 TiB")]
        {
            assert_eq!(bytes(length), shown);
        }
    }
}
