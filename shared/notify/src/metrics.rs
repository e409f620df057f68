//! Metrics in CloudWatch's embedded metric format: one JSON line on standard output becomes metrics, without a request.
//!
//! Source of the format: "Specification: Embedded metric format", Amazon CloudWatch user guide.

use std::io::Write;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The CloudWatch namespace of all metrics.
const NAMESPACE: &str = "Lifeboat";

/// Lambda sets it in every function's environment.
const IN_A_FUNCTION: &str = "AWS_LAMBDA_FUNCTION_NAME";

/// CloudWatch's units, as far as they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Wall seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A number of things.
    Count,
}

impl Unit {
    fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "Seconds",
            Self::Bytes => "Bytes",
            Self::Count => "Count",
        }
    }
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Such as `backup_seconds`.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Its value.
    pub value: f64,
}

/// The metrics of one run, with the database and the function as their dimensions.
#[derive(Debug, Clone)]
pub struct MetricsLine {
    database: String,
    metrics: Vec<Metric>,
}

impl MetricsLine {
    /// An empty line for a database.
    pub fn new(database: impl Into<String>) -> Self {
        Self { database: database.into(), metrics: Vec::new() }
    }

    /// Adds a value.
    pub fn with(mut self, name: &'static str, unit: Unit, value: f64) -> Self {
        self.metrics.push(Metric { name, unit, value });
        self
    }

    /// The line as JSON, for a run in `function`, which distinguishes several stacks in one region.
    pub fn to_json(&self, function: &str, at: Timestamp) -> Value {
        let definitions: Vec<Value> =
            self.metrics.iter().map(|m| json!({"Name": m.name, "Unit": m.unit.as_str()})).collect();
        let mut line = Map::new();
        line.insert(
            "_aws".to_owned(),
            json!({
                "Timestamp": at.as_millisecond(),
                "CloudWatchMetrics": [
                    {"Namespace": NAMESPACE, "Dimensions": [["database", "function"]], "Metrics": definitions}
                ],
            }),
        );
        line.insert("database".to_owned(), json!(self.database));
        line.insert("function".to_owned(), json!(function));
        line.extend(self.metrics.iter().map(|m| (m.name.to_owned(), json!(m.value))));
        Value::Object(line)
    }

    /// Writes the line to standard output, where Lambda's log agent picks it up. A closed output loses metrics, not backups.
    /// Outside a function nobody reads metrics there, and standard output is the caller's.
    pub fn emit(&self) {
        let Ok(function) = std::env::var(IN_A_FUNCTION) else { return };
        let mut output = std::io::stdout().lock();
        let _ = writeln!(output, "{}", self.to_json(&function, Timestamp::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_defines_each_metric_it_has_a_value_for() {
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let line = MetricsLine::new("clinic")
            .with("backup_seconds", Unit::Seconds, 1.5)
            .with("backup_rows", Unit::Count, 3.0)
            .to_json("lifeboat-backup", at);
        assert_eq!(line["_aws"]["Timestamp"], 1_700_000_000_000_i64);
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], "Lifeboat");
        for definition in directive["Metrics"].as_array().unwrap() {
            assert!(line[definition["Name"].as_str().unwrap()].is_number());
        }
        let dimensions = directive["Dimensions"][0].as_array().unwrap().iter();
        let values: Vec<&Value> = dimensions.map(|dimension| &line[dimension.as_str().unwrap()]).collect();
        assert_eq!(values, ["clinic", "lifeboat-backup"]);
    }
}
