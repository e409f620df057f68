//! TLS proves what its mode says, for the driver and for the tools alike.

use std::path::Path;

use lifeboat_local::{PostgresOptions, PostgresServer};
use lifeboat_postgres::{ClientTools, ConnectionSettings, PostgresError, Session, Snapshot, SnapshotOptions};

/// A secret in the RDS form.
fn settings(server: &PostgresServer, host: &str, sslmode: Option<&str>, ca: Option<&str>) -> ConnectionSettings {
    let json = |text: &str| format!("{text:?}").replace("\\'", "'");
    let mut secret = format!(
        r#"{{"engine":"postgres","host":"{host}","port":{},"username":"postgres","password":"lifeboat-local","dbname":"postgres""#,
        server.port()
    );
    if let Some(mode) = sslmode {
        secret += &format!(r#","sslmode":"{mode}""#);
    }
    if let Some(pem) = ca {
        secret += &format!(r#","ca_certificate":{}"#, json(pem));
    }
    ConnectionSettings::from_secret(&(secret + "}")).unwrap()
}

fn libpq_accepts(server: &PostgresServer, settings: &ConnectionSettings, directory: &Path) -> bool {
    let environment = settings.libpq_environment(directory).unwrap();
    let status = std::process::Command::new(server.bin_dir().join("pg_dumpall"))
        .args(["--roles-only", "--no-role-passwords", "--file"])
        .arg(directory.join("roles.sql"))
        .env_clear()
        .envs(environment.variables())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    status.success()
}

#[tokio::test]
async fn each_mode_accepts_and_refuses_what_libpq_does() {
    let server = PostgresServer::start(PostgresOptions::named("tls").with_tls()).unwrap();
    let stranger = PostgresServer::start(PostgresOptions::named("stranger").with_tls()).unwrap();
    let ca = std::fs::read_to_string(server.ca_file().unwrap()).unwrap();
    let other_ca = std::fs::read_to_string(stranger.ca_file().unwrap()).unwrap();
    let (ca, other_ca) = (Some(ca.as_str()), Some(other_ca.as_str()));
    let tools = ClientTools::find(Some(server.bin_dir())).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    // The certificate is for 127.0.0.1, so `localhost` is a wrong name for the right server.
    for (host, mode, ca, accepted) in [
        ("127.0.0.1", None, ca, true),
        ("127.0.0.1", None, None, false),
        ("127.0.0.1", Some("verify-full"), other_ca, false),
        ("localhost", Some("verify-full"), ca, false),
        ("localhost", Some("verify-ca"), ca, true),
        ("localhost", Some("verify-ca"), other_ca, false),
        ("localhost", Some("require"), None, true),
        ("localhost", Some("require"), other_ca, false),
        ("localhost", Some("prefer"), None, true),
        ("localhost", Some("disable"), None, true),
    ] {
        let settings = settings(&server, host, mode, ca);
        let session = Session::connect(&settings, "tls test").await;
        let case = format!("{host} {mode:?} with ca: {}", ca.is_some());
        match session {
            Ok(_) => assert!(accepted, "{case}"),
            Err(error) => {
                assert!(!accepted && matches!(error, PostgresError::TlsFailed { .. }), "{case}: {error:?}");
                // A wrong name is not mended by another CA.
                let is_name = host == "localhost" && mode == Some("verify-full");
                let advice = if is_name { "a host name that the certificate lists" } else { "ca_certificate" };
                assert!(error.advice().hint.contains(advice), "{case}: {error:?}");
            }
        }
        // libpq, with our environment, decides the same.
        assert_eq!(libpq_accepts(&server, &settings, directory.path()), accepted, "libpq: {case}");
    }

    // SCRAM is bound to the channel where there is one, and refused where it is demanded and there is none.
    let without_tls = PostgresServer::start("no-tls").unwrap();
    let bound = |server: &PostgresServer, mode: &str| {
        let (port, user) = (server.port(), "postgres:lifeboat-local");
        let url = format!("postgres://{user}@127.0.0.1:{port}/postgres?sslmode={mode}&channel_binding=require");
        ConnectionSettings::from_secret(&url).unwrap()
    };
    Session::connect(&bound(&server, "require"), "tls test").await.unwrap();
    for (server, mode) in [(&server, "disable"), (&without_tls, "prefer")] {
        Session::connect(&bound(server, mode), "tls test").await.unwrap_err();
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        let refused = settings(&without_tls, "127.0.0.1", Some(mode), ca);
        let error = Session::connect(&refused, "tls test").await.unwrap_err();
        assert!(matches!(error, PostgresError::TlsFailed { .. }), "{mode}: {error:?}");
    }
    Session::connect(&settings(&without_tls, "127.0.0.1", Some("prefer"), None), "tls test").await.unwrap();

    let settings = settings(&server, "127.0.0.1", None, ca);
    let snapshot = Snapshot::take(&settings, &SnapshotOptions::default()).await.unwrap();
    snapshot.schema_archive(&tools, &directory.path().join("schema")).await.unwrap();
    let encrypted = server.psql("postgres", "SELECT bool_and(ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE application_name = 'lifeboat'");
    assert_eq!(encrypted.unwrap(), "t");
}
