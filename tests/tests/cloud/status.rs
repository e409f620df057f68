//! The status page of the deployed function, asked by its URL: before the first backup, when all is well, and in trouble.

use lifeboat_local::{DATABASE, SOURCE_SECRET, Stage, UrlAnswer};
use serde_json::{Value, json};

use crate::bench::small_stage;

async fn get(stage: &Stage, path: &str) -> UrlAnswer {
    stage.cloud().ask(&stage.deployment().status_url, "GET", path).await.unwrap()
}

async fn json(stage: &Stage, path: &str) -> (u16, Value) {
    let answer = get(stage, path).await;
    assert!(answer.head.to_lowercase().contains("content-type: application/json"), "{}", answer.head);
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

async fn look(stage: &Stage) {
    let looked = stage.cloud().invoke(&stage.deployment().health, &json!({})).await.unwrap();
    assert!(!looked.failed, "{}", looked.payload);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_the_api_and_the_metrics_say_how_it_is_before_in_health_and_in_trouble() {
    let stage = small_stage(&[]).await;
    let refused = stage.cloud().ask_unsigned(&stage.deployment().status_url, "/").await.unwrap();
    assert_eq!(refused.status, 403, "{}", refused.body);
    let page = get(&stage, "/").await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("<h1>There is no backup yet</h1>"), "{}", page.body);
    let head = page.head.to_lowercase();
    for header in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'",
        "cache-control: no-store",
    ] {
        assert!(head.contains(header), "{head}");
    }
    let (status, backups) = json(&stage, "/api/backups/status").await;
    assert_eq!((status, &backups["status"], &backups["last_backup"]), (200, &json!("empty"), &Value::Null));

    let taken = stage.cloud().invoke(&stage.deployment().backup, &json!({"database": DATABASE})).await.unwrap();
    assert!(!taken.failed, "{}", taken.payload);
    look(&stage).await;
    let (status, backups) = json(&stage, "/api/backups/status").await;
    assert_eq!((status, &backups["status"]), (200, &json!("ok")), "{backups}");
    assert_eq!(backups["last_backup"]["backup_id"], taken.payload["backup_id"]);
    let clinic = &backups["databases"][0];
    assert_eq!((&clinic["database"], &clinic["schedules"][0]["kind"]), (&json!(DATABASE), &json!("backup")));
    for site in clinic["sites"].as_array().unwrap() {
        assert_eq!((&site["newest"], &site["behind"]), (&taken.payload["backup_id"], &json!(0)), "{site}");
    }
    let (status, health) = json(&stage, "/api/health").await;
    assert_eq!((status, &health["status"]), (200, &json!("ok")), "{health}");
    let parts = health["components"].as_array().unwrap();
    let names: Vec<&str> = parts.iter().map(|part| part["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["store primary", "store offsite", "keys", "key primary", "key offsite", "health"]);
    assert!(parts[0]["latency_ms"].is_u64() && parts[3]["latency_ms"].is_u64(), "{health}");
    let page = get(&stage, "/").await.body;
    assert!(page.contains("<h1>Everything is all right</h1>"), "{page}");
    assert!(page.contains(taken.payload["backup_id"].as_str().unwrap()));
    let metrics = get(&stage, "/metrics").await;
    assert!(metrics.head.contains("application/openmetrics-text"), "{}", metrics.head);
    assert!(metrics.body.contains("lifeboat_status{status=\"ok\"} 1.0") && metrics.body.ends_with("# EOF\n"));
    // A backup has asked for something, and that is priced.
    let cost = metrics.body.lines().find_map(|line| line.strip_prefix("lifeboat_month_cost{part=\"requests\"} "));
    assert!(cost.unwrap().parse::<f64>().unwrap() > 0.0, "{}", metrics.body);

    stage.cloud().change_secret(SOURCE_SECRET, "postgres://nobody:Wr0ng-Sesame@127.0.0.1:1/clinic").await.unwrap();
    for _ in 0..2 {
        let failed = stage.cloud().invoke(&stage.deployment().backup, &json!({"database": DATABASE})).await.unwrap();
        assert!(failed.failed);
    }
    let page = get(&stage, "/").await.body;
    assert!(page.contains("<h1>1 thing is wrong</h1>") && page.contains("Backup failed: clinic"), "{page}");
    assert!(page.contains("docs/runbooks/backup-failed.md") && !page.contains("Sesame"));
    let metrics = get(&stage, "/metrics").await.body;
    let open = "lifeboat_incident_open{kind=\"backup-failed\",subject=\"clinic\",severity=\"critical\",acknowledged=\"false\"} 1.0";
    assert!(metrics.lines().any(|line| line == open), "{metrics}");

    assert_eq!(get(&stage, "/nothing").await.status, 404);
    let posted = stage.cloud().ask(&stage.deployment().status_url, "POST", "/").await.unwrap();
    assert_eq!(posted.status, 405);
}
