//! The status page in a browser, and the metrics in a parser.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod browser;
mod samples;

use std::process::Stdio;

use lifeboat_local::{PROMETHEUS, Venv};
use lifeboat_report::{exposition, page};
use tokio::io::AsyncWriteExt;

use browser::{Browser, Look};

/// A small phone and a desk.
const WIDTHS: [u32; 2] = [360, 1280];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_fits_a_phone_and_a_desk_by_day_and_by_night_and_the_console_is_silent() {
    let browser = Browser::find().unwrap();
    for (name, status) in samples::all() {
        let html = page(&status).unwrap();
        for width in WIDTHS {
            for dark in [false, true] {
                let look = Look { width, dark };
                let seen = browser.show(&html, &look, &format!("{name}-{look}")).await.unwrap();
                assert_eq!(seen.console, Vec::<String>::new(), "{name} {look}");
                assert_eq!(seen.page_width, width, "{name} {look}: nothing but tables may be wider than the window");
                assert!(seen.least_contrast >= 4.5, "{name} {look}: {} at `{}`", seen.least_contrast, seen.faintest);
            }
        }
    }
}

#[test]
fn the_page_says_the_same_to_whoever_hears_it() {
    for (name, status) in samples::all() {
        let html = page(&status).unwrap();
        for needed in ["<html lang=\"en\">", "<h1>", "<main>", "</head>", "name=\"viewport\""] {
            assert_eq!(html.matches(needed).count(), 1, "{name}: {needed}");
        }
        assert!(!html.contains("<script"), "{name}");
        assert_eq!(html.matches("<svg").count(), html.matches("role=\"img\" aria-label=\"").count(), "{name}");
        assert!(html.contains(&format!("<h1>{}</h1>", status.headline())), "{name}");
        for incident in status.incidents.iter().filter(|incident| incident.is_open()) {
            assert!(html.contains(&format!("docs/runbooks/{}.md", incident.name.kind)), "{name}");
        }
    }
}

#[test]
fn what_others_wrote_stays_text() {
    let status = samples::trouble();
    let html = page(&status).unwrap();
    assert!(status.tail.unwrap()[0].actor.contains("<script>"));
    assert!(!html.contains("<script>") && html.contains("script&#"), "{html}");
}

/// The parser of the Prometheus project's own client for Python, which refuses whatever the format does not allow.
#[tokio::test]
async fn the_metrics_are_what_prometheus_reads() {
    const READ: &str = "import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        print(sample.name, sorted(sample.labels.items()), sample.value)";
    let python = tokio::task::spawn_blocking(|| Venv::ensure(PROMETHEUS)).await.unwrap().unwrap().program("python");
    for (name, status) in samples::all() {
        let text = exposition(&status).unwrap();
        let mut parser = tokio::process::Command::new(&python);
        parser.args(["-c", READ]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut parser = parser.spawn().unwrap();
        parser.stdin.take().unwrap().write_all(text.as_bytes()).await.unwrap();
        let output = parser.wait_with_output().await.unwrap();
        assert!(output.status.success(), "{name}: {}\n{text}", String::from_utf8_lossy(&output.stderr));
        let read = String::from_utf8(output.stdout).unwrap();
        let status = format!("lifeboat_status [('status', '{}')] 1.0", status.status);
        assert!(read.lines().any(|line| line == status), "{name}: {read}");
    }
    let blind = exposition(&samples::blind()).unwrap();
    assert!(!blind.contains("lifeboat_ledger_entries ") && !blind.contains("lifeboat_month_cost{"), "{blind}");
    let text = exposition(&samples::trouble()).unwrap();
    for needed in [
        "lifeboat_incident_open{kind=\"backup-failed\",subject=\"clinic\",severity=\"critical\",acknowledged=\"false\"} 1.0",
        "lifeboat_overdue{database=\"clinic\",kind=\"backup\"} 1.0",
        "lifeboat_backups_behind{database=\"clinic\",site=\"offsite\"} 3.0",
        "lifeboat_component_up{component=\"store offsite\"} 0.0",
    ] {
        assert!(text.lines().any(|line| line == needed), "{needed}\n{text}");
    }
}
