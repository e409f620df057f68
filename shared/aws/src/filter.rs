//! The filter policy of an SNS subscription: which messages it lets through, by their attributes.
//!
//! The format is that of <https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html>, without conditions on
//! numbers, addresses and wildcards: none of our attributes is a number or an address. A condition that is not understood lets
//! nothing through, and neither does its opposite: whoever asks whether a person gets an alert must not take it for granted.

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
        ("$or", Some(branches)) if branches.len() > 1 => {
            branches.iter().filter_map(branch).any(|branch| all_hold(branch, attributes))
        }
        (name, Some(rules)) => {
            let values = attributes.get(name).map(Vec::as_slice).unwrap_or_default();
            // One rule that holds is enough, whatever the others say.
            rules.iter().any(|rule| holds(rule, values) == Some(true))
        }
    })
}

/// The conditions of one branch of an `$or`. A branch without any is not understood.
fn branch(branch: &Value) -> Option<&Map<String, Value>> {
    branch.as_object().filter(|conditions| !conditions.is_empty())
}

/// Whether a rule holds for an attribute; `None` when the rule is not understood. An attribute that is absent has no values.
fn holds(rule: &Value, values: &[String]) -> Option<bool> {
    let any =
        |test: &dyn Fn(&str) -> Option<bool>| values.iter().try_fold(false, |any, value| Some(any | test(value)?));
    match only_entry(rule) {
        Some(("exists", Value::Bool(wanted))) => Some(*wanted != values.is_empty()),
        Some(("anything-but", unwanted)) => any(&|value| Some(!is_one_of(unwanted, value)?)),
        _ => any(&|value| fits(rule, value)),
    }
}

/// Whether a value is what `anything-but` excludes: one of several texts, or what fits one rule.
fn is_one_of(unwanted: &Value, value: &str) -> Option<bool> {
    match unwanted {
        Value::Array(texts) => texts.iter().try_fold(false, |any, text| Some(any | (text.as_str()? == value))),
        rule => fits(rule, value),
    }
}

/// Whether a value is a text, or like it.
fn fits(rule: &Value, value: &str) -> Option<bool> {
    if let Some(wanted) = rule.as_str() {
        return Some(value == wanted);
    }
    let (word, wanted) = only_entry(rule)?;
    let wanted = wanted.as_str()?;
    match word {
        "prefix" => Some(value.starts_with(wanted)),
        "suffix" => Some(value.ends_with(wanted)),
        "equals-ignore-case" => Some(value.eq_ignore_ascii_case(wanted)),
        _ => None,
    }
}

fn only_entry(rule: &Value) -> Option<(&str, &Value)> {
    let rule = rule.as_object().filter(|rule| rule.len() == 1)?;
    rule.iter().next().map(|(word, operand)| (word.as_str(), operand))
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
            r#"{"severity":[{"anything-but":{"wildcard":"in*"}},"critical"]}"#,
            r#"{"$or":[{"severity":[{"wildcard":"*"}]},{"channel":["email"]}]}"#,
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
            r#"{"type":[{"anything-but":{"wildcard":"*-failed"}}]}"#,
            r#"{"type":[{"anything-but":{"prefix":["backup-","drill-"]}}]}"#,
            r#"{"type":[{"anything-but":{"prefix":"drill-","suffix":"-failed"}}]}"#,
            r#"{"type":[{"anything-but":[{"prefix":"backup-"}]}]}"#,
            r#"{"severity":[{"anything-but":[1]}]}"#,
            r#"{"severity":[{"anything-but":{"anything-but":"info"}}]}"#,
            r#"{"$or":[{"type":[{"anything-but":{"wildcard":"*"}}]},{"channel":["sms"]}]}"#,
            r#"{"$or":[{"severity":["info"]},{}]}"#,
            r#"{"$or":[{"severity":["critical"]}]}"#,
            r#"{"severity":"critical"}"#,
            "[",
        ] {
            assert!(!passes(policy), "{policy}");
        }
        let body = Filter::read(Some("{}"), Some("MessageBody"));
        assert!(!body.passes(&Attributes::new()));
    }
}
