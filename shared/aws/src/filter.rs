//! The filter policy of an SNS subscription: which messages it lets through, by their attributes.
//!
//! The format is that of <https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html>, without conditions on
//! numbers, addresses and wildcards: none of our attributes is a number or an address. A condition that is not understood lets
//! nothing through: whoever asks whether a person gets an alert must not take it for granted.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A message's attributes by name. One that is a list has several values.
pub(crate) type Attributes = BTreeMap<&'static str, Vec<String>>;

/// A filter policy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Filter {
    /// There is none: everything passes.
    Absent,
    /// Conditions by attribute.
    Conditions(Map<String, Value>),
    /// It is unreadable, or about the message's body.
    Unknown,
}

impl Filter {
    /// Reads the attributes `FilterPolicy` and `FilterPolicyScope` of a subscription.
    pub(crate) fn read(policy: Option<&str>, scope: Option<&str>) -> Self {
        match (policy.filter(|text| !text.is_empty()), scope) {
            (None, _) => Self::Absent,
            (Some(_), Some("MessageBody")) => Self::Unknown,
            (Some(text), _) => serde_json::from_str(text).map_or(Self::Unknown, Self::Conditions),
        }
    }

    /// Whether a message with these attributes passes.
    pub(crate) fn passes(&self, attributes: &Attributes) -> bool {
        match self {
            Self::Absent => true,
            Self::Conditions(conditions) => all_hold(conditions, attributes),
            Self::Unknown => false,
        }
    }
}

fn all_hold(conditions: &Map<String, Value>, attributes: &Attributes) -> bool {
    conditions.iter().all(|(name, rules)| match (name.as_str(), rules.as_array()) {
        (_, None) => false,
        ("$or", Some(branches)) => {
            branches.iter().filter_map(Value::as_object).any(|branch| all_hold(branch, attributes))
        }
        (name, Some(rules)) => {
            let values = attributes.get(name).map(Vec::as_slice).unwrap_or_default();
            rules.iter().any(|rule| holds(rule, values))
        }
    })
}

/// Whether a rule holds for an attribute. An attribute that is absent has no values.
fn holds(rule: &Value, values: &[String]) -> bool {
    let any = |test: &dyn Fn(&str) -> bool| values.iter().any(|value| test(value));
    let Some((word, operand)) = rule.as_object().and_then(|rule| rule.iter().next()) else {
        return rule.as_str().is_some_and(|wanted| any(&|value| value == wanted));
    };
    match (word.as_str(), operand) {
        ("exists", Value::Bool(wanted)) => *wanted != values.is_empty(),
        ("prefix", Value::String(wanted)) => any(&|value| value.starts_with(wanted.as_str())),
        ("suffix", Value::String(wanted)) => any(&|value| value.ends_with(wanted.as_str())),
        ("equals-ignore-case", Value::String(wanted)) => any(&|value| value.eq_ignore_ascii_case(wanted)),
        ("anything-but", Value::Array(unwanted)) => {
            any(&|value| !unwanted.iter().any(|unwanted| unwanted.as_str() == Some(value)))
        }
        ("anything-but", unwanted @ (Value::String(_) | Value::Object(_))) => {
            any(&|value| !holds(unwanted, &[value.to_owned()]))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(policy: &str) -> bool {
        let attributes = Attributes::from([
            ("severity", vec!["critical".to_owned()]),
            ("channel", vec!["email".to_owned(), "pager".to_owned()]),
            ("type", vec!["backup-failed".to_owned()]),
        ]);
        Filter::read(Some(policy), None).passes(&attributes)
    }

    #[test]
    fn a_message_passes_when_one_rule_of_each_attribute_holds() {
        for policy in [
            "",
            "{}",
            r#"{"severity":["warning","critical"],"channel":["pager"]}"#,
            r#"{"severity":[{"prefix":"crit"}],"type":[{"suffix":"-failed"}]}"#,
            r#"{"severity":[{"equals-ignore-case":"CRITICAL"}]}"#,
            r#"{"severity":[{"anything-but":"info"}]}"#,
            r#"{"severity":[{"anything-but":["info","warning"]}]}"#,
            r#"{"type":[{"anything-but":{"prefix":"verification-"}}]}"#,
            r#"{"database":[{"exists":false}],"severity":[{"exists":true}]}"#,
            r#"{"$or":[{"severity":["info"]},{"channel":["email"]}]}"#,
        ] {
            assert!(passes(policy), "{policy}");
        }
    }

    #[test]
    fn a_message_does_not_pass_a_filter_that_excludes_it_or_is_not_understood() {
        for policy in [
            r#"{"severity":["critcal"]}"#,
            r#"{"severity":["critical"],"channel":["sms"]}"#,
            r#"{"severity":[]}"#,
            r#"{"severity":[{"anything-but":["critical"]}]}"#,
            r#"{"type":[{"anything-but":{"prefix":"backup-"}}]}"#,
            r#"{"database":["clinic"]}"#,
            r#"{"database":[{"anything-but":["clinic"]}]}"#,
            r#"{"severity":[{"exists":false}]}"#,
            r#"{"$or":[{"severity":["info"]},{"channel":["sms"]}]}"#,
            r#"{"severity":[{"wildcard":"crit*"}]}"#,
            r#"{"severity":"critical"}"#,
            "[",
        ] {
            assert!(!passes(policy), "{policy}");
        }
        let body = Filter::read(Some("{}"), Some("MessageBody"));
        assert!(!body.passes(&Attributes::new()));
    }
}
