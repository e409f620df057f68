//! The words of an alert, for each channel.
//!
//! Source of the chat form: "Custom notifications using Amazon Q Developer in chat applications" (formerly AWS Chatbot), AWS user
//! guide.

use std::fmt::Write as _;

use lifeboat_model::{Alert, AlertState, DatabaseName, IncidentName, IncidentSubject};
use serde_json::{Map, Value, json};

/// Longest subject that SNS takes, in characters; longer ones are cut.
const SUBJECT_CHARACTERS: usize = 100;

/// Longest SMS: a single part in the GSM alphabet, which costs one message and arrives whole.
const SMS_CHARACTERS: usize = 140;

/// The form of the JSON that HTTPS endpoints get.
const JSON_VERSION: u32 = 1;

/// One alert as each channel gets it.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// At most 100 printable ASCII characters.
    pub subject: String,
    /// At most 140 printable ASCII characters.
    pub sms: String,
    /// Lines of plain text.
    pub email: String,
    /// For machines.
    pub json: Value,
    /// For AWS chat.
    pub chat: Value,
}

impl From<&Alert> for Message {
    fn from(alert: &Alert) -> Self {
        let title = title(alert);
        let head = match alert.state {
            AlertState::Resolved => "resolved",
            AlertState::Notice | AlertState::Opened | AlertState::Reminder => alert.severity.as_str(),
        };
        let still = if alert.state == AlertState::Reminder { " (still)" } else { "" };
        let sms = format!("Lifeboat {}: {title}{still}. {}", head.to_uppercase(), alert.what);
        Self {
            subject: plain(&format!("[{head}] {title}{still}"), SUBJECT_CHARACTERS),
            sms: plain(&sms, SMS_CHARACTERS),
            email: email(alert, &title),
            json: for_machines(alert),
            chat: for_chat(alert, &format!("[{head}] {title}{still}")),
        }
    }
}

/// The command to run first. An incident of requests that name no known database may repeat the name that a request had.
fn command(alert: &Alert) -> String {
    let is_unknown = alert.incident.as_ref().is_some_and(|incident| incident.subject == IncidentSubject::Unnamed);
    alert.kind.command(alert.database.as_ref().filter(|_| !is_unknown).map(DatabaseName::as_str))
}

fn title(alert: &Alert) -> String {
    // The name of a database as people know it, also where its incidents have an escaped one.
    let incident = alert.incident.as_ref().map(|incident| &incident.subject);
    let subject = match (incident, &alert.database) {
        (Some(IncidentSubject::Database(name)), _) => Some(name.to_string()),
        (Some(subject), _) => Some(subject.to_string()),
        (None, database) => database.as_ref().map(ToString::to_string),
    };
    match subject {
        Some(subject) => format!("{}: {subject}", alert.kind.title()),
        None => alert.kind.title().to_owned(),
    }
}

fn email(alert: &Alert, title: &str) -> String {
    let mut text = format!("{title}\n\n");
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name}: {}\n", one_line(value)));
    match alert.state {
        AlertState::Resolved => {
            line("Status", "Resolved. There is nothing to do.");
            line("What happened", &sentence(&alert.what));
            line("Since", &alert.since.to_string());
        }
        AlertState::Notice | AlertState::Opened | AlertState::Reminder => {
            line("What happened", &sentence(&alert.what));
            line("Since", &alert.since.to_string());
            line("What it means", &sentence(alert.kind.meaning()));
        }
    }
    if let Some(hint) = &alert.hint {
        line("What to do", &sentence(hint));
    }
    if asks_for_a_look(alert) {
        line("Command", &command(alert));
        line("Runbook", &runbook(alert));
        alert.incident.iter().for_each(|incident| line("Acknowledge", &acknowledge(incident)));
    }
    text.push('\n');
    for (name, value) in &alert.facts {
        let _ = writeln!(text, "{name}: {}", one_line(value));
    }
    text
}

/// A name in a text may hold any character. A line feed must not begin a line that seems to be ours, and a terminal must not obey it.
fn one_line(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

/// The same for chat, where these three characters begin links and mentions.
fn one_chat_line(text: &str) -> String {
    one_line(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn for_machines(alert: &Alert) -> Value {
    let facts: Map<String, Value> = alert.facts.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({
        "version": JSON_VERSION,
        "kind": alert.kind,
        "severity": alert.severity,
        "state": alert.state,
        "incident": alert.incident,
        "database": alert.database,
        "since": alert.since,
        "title": title(alert),
        "what": alert.what,
        "meaning": alert.kind.meaning(),
        "hint": alert.hint,
        "command": command(alert),
        "runbook": alert.kind.has_rule().then(|| runbook(alert)),
        "facts": facts,
    })
}

fn for_chat(alert: &Alert, title: &str) -> Value {
    let mut steps: Vec<String> = alert.hint.iter().map(|hint| one_chat_line(&sentence(hint))).collect();
    if asks_for_a_look(alert) {
        steps.push(format!("`{}`", command(alert)));
        steps.extend(alert.incident.iter().map(|incident| format!("`{}`", acknowledge(incident))));
    }
    let facts: Map<String, Value> = alert.facts.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let what = one_chat_line(&sentence(&alert.what));
    let description = format!("{what}\n*What it means:* {}", sentence(alert.kind.meaning()));
    json!({
        "version": "1.0",
        "source": "custom",
        "content": {
            "textType": "client-markdown",
            "title": title,
            "description": description,
            "nextSteps": steps,
            "keywords": [alert.severity.as_str(), alert.kind.as_str()],
        },
        "metadata": {
            // One thread for all messages of an incident.
            "threadId": alert.incident.as_ref().map(|incident| format!("{incident} {}", alert.since)),
            "summary": title,
            "eventType": alert.kind.as_str(),
            "relatedResources": alert.database.iter().map(DatabaseName::as_str).collect::<Vec<_>>(),
            "additionalContext": facts,
        },
    })
}

/// Whether it has a runbook, and is not over.
fn asks_for_a_look(alert: &Alert) -> bool {
    alert.kind.has_rule() && alert.state != AlertState::Resolved
}

fn runbook(alert: &Alert) -> String {
    format!("docs/runbooks/{}.md", alert.kind)
}

fn acknowledge(incident: &IncidentName) -> String {
    format!("lifeboat incidents ack {incident} --reason \"...\"")
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut letters = text.chars();
    let first: String = letters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// Printable ASCII, cut with an ellipsis where it is too long.
fn plain(text: &str, longest: usize) -> String {
    let ascii = |c: char| if c.is_ascii() && !c.is_ascii_control() { c } else { '?' };
    let text: String = text.chars().map(ascii).collect();
    if text.len() <= longest { text } else { format!("{}...", text.get(..longest - 3).unwrap_or_default()) }
}

#[cfg(test)]
mod tests {
    use lifeboat_model::{AlertKind, Channel, Severity};

    use super::*;

    fn alert(state: AlertState) -> Alert {
        Alert {
            kind: AlertKind::BackupFailed,
            severity: Severity::Critical,
            state,
            channels: vec![Channel::Email],
            database: Some("clinic".parse().unwrap()),
            incident: Some("backup-failed/clinic".parse().unwrap()),
            since: "2026-11-21T20:49:33Z".parse().unwrap(),
            what: "the server `db` does not answer".to_owned(),
            hint: Some("check that it runs".to_owned()),
            facts: vec![("run_id".to_owned(), "7".to_owned())],
        }
    }

    #[test]
    fn a_letter_says_what_happened_since_when_what_it_means_what_to_do_and_by_which_command() {
        let Message { subject, email, .. } = Message::from(&alert(AlertState::Opened));
        assert_eq!(subject, "[critical] Backup failed: clinic");
        assert_eq!(
            email,
            "Backup failed: clinic\n\nWhat happened: The server `db` does not answer.\nSince: 2026-11-21T20:49:33Z\n\
             What it means: The new backup is not on every site; older backups are unchanged.\n\
             What to do: Check that it runs.\nCommand: lifeboat doctor clinic\nRunbook: docs/runbooks/backup-failed.md\n\
             Acknowledge: lifeboat incidents ack backup-failed/clinic --reason \"...\"\n\nrun_id: 7\n"
        );
        let resolved = Message::from(&Alert { hint: None, ..alert(AlertState::Resolved) });
        assert_eq!(resolved.subject, "[resolved] Backup failed: clinic");
        assert!(resolved.email.contains("Resolved.") && !resolved.email.contains("Acknowledge"), "{}", resolved.email);
        assert_eq!(Message::from(&alert(AlertState::Reminder)).subject, "[critical] Backup failed: clinic (still)");
    }

    #[test]
    fn an_sms_is_one_short_line_and_a_subject_is_one_that_sns_takes() {
        let long = Alert { what: "zürich\n".repeat(100), ..alert(AlertState::Opened) };
        let Message { subject, sms, .. } = Message::from(&long);
        assert!(sms.starts_with("Lifeboat CRITICAL: Backup failed: clinic. z?rich?") && sms.len() == 140, "{sms}");
        assert!(subject.len() <= 100 && subject.is_ascii());
    }

    #[test]
    fn a_name_with_a_line_feed_or_a_mention_forges_no_line_and_calls_nobody() {
        let name = "table `a\nStatus: Resolved.\u{1b}[2J <!channel>`";
        let forged = Alert {
            what: format!("{name} cannot be read"),
            hint: Some(format!("grant SELECT on {name}")),
            facts: vec![("error".to_owned(), name.to_owned())],
            ..alert(AlertState::Opened)
        };
        let Message { email, chat, sms, .. } = Message::from(&forged);
        assert!(!email.lines().any(|line| line.starts_with("Status")), "{email}");
        assert!(email.contains("Table `a\\nStatus") && !email.contains('\u{1b}'), "{email}");
        assert!(!sms.contains(['\n', '\u{1b}']));
        let shown = format!("{}{}", chat["content"]["description"], chat["content"]["nextSteps"]);
        assert!(!shown.contains("<!channel>") && shown.contains("&lt;!channel&gt;"), "{shown}");
    }

    #[test]
    fn chat_gets_the_form_of_custom_notifications_in_one_thread_for_each_incident() {
        let [opened, resolved] =
            [AlertState::Opened, AlertState::Resolved].map(|state| Message::from(&alert(state)).chat);
        assert_eq!((&opened["version"], &opened["source"]), (&json!("1.0"), &json!("custom")));
        assert_eq!(opened["content"]["textType"], "client-markdown");
        assert_eq!(opened["content"]["nextSteps"].as_array().unwrap().len(), 3);
        assert_eq!(opened["metadata"]["threadId"], resolved["metadata"]["threadId"]);
        assert_eq!(opened["metadata"]["additionalContext"], json!({"run_id": "7"}));
    }

    #[test]
    fn no_command_names_a_database_that_is_not_configured() {
        let unnamed = Alert {
            incident: Some("backup-failed/unnamed".parse().unwrap()),
            database: Some("nowhere".parse().unwrap()),
            ..alert(AlertState::Opened)
        };
        assert_eq!(Message::from(&unnamed).json["command"], "lifeboat ledger list --action backup");
    }

    #[test]
    fn machines_get_every_field_by_name() {
        let json = Message::from(&alert(AlertState::Opened)).json;
        for (name, value) in [
            ("kind", "backup-failed"),
            ("severity", "critical"),
            ("state", "opened"),
            ("incident", "backup-failed/clinic"),
            ("database", "clinic"),
            ("command", "lifeboat doctor clinic"),
        ] {
            assert_eq!(json[name], value, "{name}");
        }
    }
}
