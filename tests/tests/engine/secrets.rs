//! What is said, logged and stored in the clear holds no password and no row.

use lifeboat_model::{Site, VerificationScope};
use lifeboat_postgres::ConnectionSettings;

use crate::bench::Bench;
use crate::log;
use crate::stores::{BOTH, keys_of};
use crate::wrapped_tools::{Moment, tools_with};

const PASSWORD: &str = "correct-horse-battery-7391";
const WRONG_PASSWORD: &str = "wrong-horse-battery-7391";
/// A name and a number that only rows of this test hold.
const NAME: &str = "Ottilie-Marker-4711";
const NUMBER: &str = "8675309421";

/// Rows with markers as keys, in a check, in a large object, and in a sequence's neighbourhood.
const MARKED: &str = "
CREATE TABLE person (name text PRIMARY KEY, number bigint);
CREATE TABLE letter (person text REFERENCES person, body text);
INSERT INTO person VALUES ('Ottilie-Marker-4711', 8675309421), ('Somebody', 1);
INSERT INTO letter VALUES ('Ottilie-Marker-4711', 'dear Ottilie-Marker-4711');
SELECT lo_from_bytea(70001, 'to Ottilie-Marker-4711');
CREATE ROLE keeper LOGIN SUPERUSER PASSWORD 'correct-horse-battery-7391'";

/// What is done to a restored database so that the server refuses a row and quotes it: in COPY, in a key, in a reference.
const REFUSALS: [(Moment, &str); 4] = [
    (Moment::Bare, "ALTER TABLE person ADD CHECK (length(name) < 12)"),
    (Moment::Bare, "ALTER TABLE person ALTER COLUMN number TYPE int"),
    (Moment::Loaded, "INSERT INTO person SELECT * FROM person"),
    (Moment::Loaded, "DELETE FROM person WHERE name LIKE 'Ottilie%'"),
];

/// [`NUMBER`] as a binary COPY has it.
const NUMBER_IN_BINARY: [u8; 8] = 8_675_309_421_i64.to_be_bytes();

/// The last text is the log.
fn assert_no_secret(said: &[String]) {
    let logged = said.last().unwrap();
    for fact in ["\"action\":\"backup\"", "\"outcome\":\"failed\"", "\"action\":\"test-restore\""] {
        assert!(logged.contains(fact), "the log that is searched is the log: no {fact}");
    }
    for (place, text) in said.iter().enumerate() {
        for secret in [PASSWORD, WRONG_PASSWORD, "horse-battery", NAME, "Ottilie", NUMBER] {
            let at = text.find(secret).map(|at| text[at.saturating_sub(300)..].chars().take(400).collect::<String>());
            assert!(at.is_none(), "`{secret}` in text {place}: {at:?}");
        }
        assert!(!text.as_bytes().windows(8).any(|bytes| bytes == NUMBER_IN_BINARY), "the number in text {place}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_the_password_nor_a_row_is_in_any_log_error_event_alert_report_or_document() {
    let bench = Bench::with("secrets", MARKED);
    let mut said = Vec::new();
    let process = bench.process();
    let request = bench.request_as("keeper", PASSWORD);
    let manifest = process.back_up(&request).await.unwrap();
    let error = process.back_up(&bench.request_as("keeper", WRONG_PASSWORD)).await.unwrap_err();
    said.push(format!("{error} {error:?} {} {} {request:?}", error.story(), error.hint()));

    let mut drill = bench.drill_request(Site::Primary);
    let keeper = format!("CREATE ROLE keeper LOGIN SUPERUSER PASSWORD '{PASSWORD}'");
    bench.scratch().psql("postgres", &keeper).unwrap();
    let scratch = bench.scratch().url_as("keeper", PASSWORD, "postgres");
    drill.scratch = ConnectionSettings::from_secret(&scratch).unwrap();
    assert!(process.drill(&drill).await.unwrap().equal);
    for (moment, sql) in REFUSALS {
        let tools = tools_with(&bench, moment, sql);
        let mut process = bench.process();
        process.run.ports.tools_dir = Some(tools.path().to_owned());
        let report = process.drill(&drill).await.unwrap();
        assert!(!report.equal && !report.set_aside.is_empty(), "{sql}: {report:#?}");
        said.push(format!("{report:?} {drill:?}"));
        said.push(format!("{:?} {:?}", process.outbox.events(), process.outbox.alerts()));
        assert_eq!(process.said(), ["Restore Test Failed"]);
    }
    // A proof that does not hold names the table and no row of it.
    let tools = tools_with(&bench, Moment::Whole, "UPDATE letter SET body = body || '!'");
    let mut process_with_tools = bench.process();
    process_with_tools.run.ports.tools_dir = Some(tools.path().to_owned());
    let report = process_with_tools.drill(&drill).await.unwrap();
    assert!(!report.equal);
    said.push(format!("{report:?} {:?}", process_with_tools.outbox.events()));
    // A key that does not open, and damage that is found.
    let mut stranger = bench.process();
    stranger.run.ports.keys = crate::stores::stranger_s_key();
    let error = stranger.drill(&drill).await.unwrap_err();
    said.push(format!("{error} {error:?} {}", error.story()));
    assert!(bench.stores.primary.flip_bit(&bench.stores.primary.keys("chunks/")[0], 9, 1));
    said.push(format!("{:?}", process.verify(VerificationScope::All).await.unwrap()));
    said.push(format!("{:?} {:?}", process.outbox.events(), process.outbox.alerts()));

    // What is stored in the clear: every object as it is, the chunk list unpacked.
    for site in BOTH {
        for key in bench.stores.of(site).keys("") {
            said.push(format!("{key}: {}", String::from_utf8_lossy(&bench.stores.of(site).bytes(&key).unwrap())));
        }
        let entries = bench.stores.chunk_entries(&manifest, site).await;
        assert!(entries.len() > 4);
        said.push(serde_json::to_string(&entries).unwrap());
    }
    said.push(serde_json::to_string(&manifest).unwrap());
    said.push(serde_json::to_string(&bench.stores.ledger().await).unwrap());

    said.push(log::text());
    assert_no_secret(&said);
    // The search finds what is there: the same words in what only a key opens.
    let repository =
        lifeboat_vault::Repository::open(bench.stores.offsite_alone(), keys_of(&[Site::Offsite])).await.unwrap();
    let (reader, mut opened) = (repository.reader(Site::Offsite).unwrap(), Vec::new());
    for entry in bench.stores.chunk_entries(&manifest, Site::Offsite).await {
        let mut plaintext = Vec::new();
        reader.read(&entry.chunk.unwrap(), &mut plaintext).await.unwrap();
        opened.extend(plaintext);
    }
    assert!(opened.windows(NAME.len()).any(|bytes| bytes == NAME.as_bytes()));
    assert!(opened.windows(8).any(|bytes| bytes == NUMBER_IN_BINARY));
    assert!(!opened.windows(8).any(|bytes| bytes == b"correct-"), "roles are stored without passwords");
}
