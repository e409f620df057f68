//! With Lifeboat gone: the commands of docs/format/without-lifeboat.md, as they stand there, bring a database back.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use lifeboat_local::{
    DATABASE, DeployedSite, OFFSITE_REGION, PRIMARY_REGION, STOCK, Stage, StageSource, Venv, install, root,
};
use lifeboat_seal::{CachedDataKeys, Header, RawAesDataKeys, RawAesKey, open};
use serde_json::json;

use crate::bench::SMALL_CLINIC;

/// What a loader written by hand would stumble over: text format, odd names, no columns, inheritance, generated columns, a
/// table whose trigger and whose check would refuse a second look, views over views, a role that owns things.
const ODDITIES: &str = r#"
    CREATE ROLE lifeboat_clerk;
    CREATE SCHEMA "Odd Schema" AUTHORIZATION lifeboat_clerk;
    CREATE TYPE mood AS ENUM ('calm', 'afraid');
    CREATE TYPE place AS (street text, number int);
    CREATE TABLE "Odd Schema"."we""ird, (table)" ("the key" int PRIMARY KEY, "a""b)" text, moods mood[], home place);
    INSERT INTO "Odd Schema"."we""ird, (table)"
        SELECT n, CASE n % 4 WHEN 0 THEN E'tab\there\nback\\slash' WHEN 1 THEN '' WHEN 2 THEN '\N' END,
               ARRAY['calm', 'afraid']::mood[], ROW('Elm "St", 5', n)::place FROM generate_series(1, 300) n;
    CREATE TABLE nothing ();
    INSERT INTO nothing DEFAULT VALUES;
    INSERT INTO nothing DEFAULT VALUES;
    CREATE TABLE empty (a int);
    CREATE TABLE parent (id int, kind mood, made timestamptz DEFAULT 'epoch', twice int GENERATED ALWAYS AS (id * 2) STORED);
    CREATE TABLE child (extra float8) INHERITS (parent);
    INSERT INTO parent SELECT n, 'calm' FROM generate_series(1, 20) n;
    INSERT INTO child (id, kind, made, extra) SELECT n, 'afraid', 'infinity', 'NaN' FROM generate_series(21, 40) n;
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''too late''; END';
    CREATE TRIGGER frozen BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION refuse();
    CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS patients, sum(sum) AS fees FROM fees;
    CREATE UNIQUE INDEX ON totals (patients);
    CREATE SEQUENCE "Odd Schema".tickets START 7 INCREMENT 3;
    SELECT nextval('"Odd Schema".tickets') FROM generate_series(1, 4);
    CREATE SEQUENCE untouched;
    GRANT SELECT ON parent TO lifeboat_clerk;
    SELECT lo_from_bytea(0, ''), lo_from_bytea(0, decode(repeat('00ff', 1500000), 'hex'));
"#;

/// Everything that a restore must bring back, one fact a row; each is a query of one text column.
const FACTS: [(&str, &str); 9] = [
    ("columns", "SELECT format('%s %s %s %s %s', attrelid::regclass, attname, atttypid::regtype, attnotnull, attgenerated)
        FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
        WHERE attnum > 0 AND NOT attisdropped AND nspname IN ('public', 'Odd Schema')"),
    ("relations", "SELECT format('%s %s %s %s %s %s', c.oid::regclass, relkind, relowner::regrole, relrowsecurity, relacl, relispartition)
        FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname IN ('public', 'Odd Schema')"),
    ("indexes", "SELECT indexdef FROM pg_indexes WHERE schemaname IN ('public', 'Odd Schema')"),
    ("constraints", "SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(c.oid)) FROM pg_constraint c
        JOIN pg_namespace n ON n.oid = connamespace WHERE nspname IN ('public', 'Odd Schema')"),
    ("triggers", "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal"),
    ("policies", "SELECT format('%s %s %s %s', schemaname, tablename, policyname, qual) FROM pg_policies"),
    ("extensions", "SELECT extname FROM pg_extension"),
    ("sequences", "SELECT format('%s.%s %s %s', schemaname, sequencename, last_value, increment_by) FROM pg_sequences"),
    ("large objects", "SELECT format('%s %s', oid, encode(sha256(lo_get(oid)), 'hex')) FROM pg_largeobject_metadata"),
];

/// A query for the number and a checksum of the rows of each table and materialized view.
const CONTENTS: &str = r#"
    SELECT format('SELECT %L, count(*), md5(string_agg(t::text, E''\n'' ORDER BY t::text COLLATE "C")) FROM ONLY %s t',
                  c.oid::regclass, c.oid::regclass)
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind IN ('r', 'm') AND nspname IN ('public', 'Odd Schema') ORDER BY c.oid::regclass::text \gexec"#;

/// All that is in a database, to be compared with another.
fn facts(psql: impl Fn(&str) -> String) -> BTreeMap<&'static str, Vec<String>> {
    let mut all = BTreeMap::new();
    for (what, sql) in FACTS.into_iter().chain([("contents", CONTENTS)]) {
        let mut lines: Vec<String> = psql(sql).lines().map(|line| line.trim_end().to_owned()).collect();
        lines.sort();
        assert!(!lines.is_empty(), "the source has no {what}: the comparison would prove nothing");
        all.insert(what, lines);
    }
    all
}

/// The page's commands and its program.
struct Page {
    shell: Vec<String>,
    python: String,
}

impl Page {
    fn read() -> Self {
        let text = std::fs::read_to_string(root().join("docs/format/without-lifeboat.md")).unwrap();
        let blocks = |language: &str| -> Vec<String> {
            let fence = format!("```{language}\n");
            let parts = text.split(&fence).skip(1);
            parts.map(|rest| rest.split_once("```\n").unwrap().0.to_owned()).collect()
        };
        let [python] = blocks("python").try_into().unwrap();
        let shell = blocks("sh");
        assert_eq!(
            text.matches("```").count(),
            2 * (shell.len() + 1),
            "a block is of another language: nothing runs it"
        );
        Self { shell, python }
    }

    /// The page as one script: with these settings in place of the examples, and the client that the lock pins in place of
    /// the one that would be fetched.
    fn script(&self, settings: &BTreeMap<&str, String>) -> String {
        let mut script = String::new();
        for block in &self.shell {
            if block.starts_with("export ") {
                for line in block.lines() {
                    let name = line.strip_prefix("export ").and_then(|rest| rest.split_once('=')).unwrap().0;
                    script.push_str(&format!("export {name}='{}'\n", settings[name]));
                }
                assert_eq!(block.lines().count(), settings.len());
            } else if !block.contains("pip install") {
                script.push_str(block);
            }
        }
        script
    }
}

/// Follows the page in `folder`, with nothing in the environment but the cloud's address, credentials and stock programs.
fn follow_the_page(stage: &Stage, folder: &Path, settings: &BTreeMap<&str, String>) -> String {
    let page = Page::read();
    std::fs::write(folder.join("fetch.py"), &page.python).unwrap();
    let python = Venv::ensure(STOCK).unwrap().program("python");
    symlink(python.parent().unwrap().parent().unwrap(), folder.join("stock")).unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", stage.scratch().bin_dir().display());
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &page.script(settings)]).current_dir(folder).stdin(Stdio::null());
    bash.env_clear().env("PATH", path).env("HOME", folder).env("LC_ALL", "C.UTF-8");
    bash.env("AWS_ENDPOINT_URL", stage.cloud().endpoint());
    bash.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    let output = bash.output().unwrap();
    let (told, complaints) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{told}\n{complaints}");
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_brings_a_database_back_with_stock_tools_alone_from_either_site() {
    if Command::new("zstd").arg("--version").output().is_err() {
        install("zstd").unwrap();
    }
    let source = StageSource::Sql(format!("{SMALL_CLINIC}{ODDITIES}"));
    let stage = Stage::set(source, &[], |_| ()).await.unwrap();
    let order = json!({"database": DATABASE});
    let taken = stage.cloud().invoke(&stage.deployment().backup, &order).await.unwrap();
    assert!(!taken.failed, "{}", taken.payload);
    let wanted = facts(|sql| stage.source().unwrap().psql(DATABASE, sql).unwrap());

    let deployment = stage.deployment().clone();
    let DeployedSite { bucket: offsite_bucket, key_arn: offsite_key, .. } = deployment.offsite.clone().unwrap();
    let primary = ("primary", deployment.primary_bucket, PRIMARY_REGION, deployment.primary_key_arn.clone());
    for (site, bucket, region, key) in [primary, ("offsite", offsite_bucket, OFFSITE_REGION, offsite_key)] {
        if site == "offsite" {
            let kms = stage.cloud().kms(PRIMARY_REGION).await;
            kms.disable_key().key_id(&deployment.primary_key_arn).send().await.unwrap();
        }
        assert_names_its_key(&stage, &bucket, region, &key).await;
        let database = format!("from_{site}");
        stage.scratch().psql("postgres", &format!("CREATE DATABASE {database}")).unwrap();
        let settings = BTreeMap::from([
            ("SITE_BUCKET", bucket),
            ("SITE_REGION", region.to_owned()),
            ("SITE_KEY", key),
            ("DATABASE", DATABASE.to_owned()),
            ("TARGET", stage.scratch().url(&database)),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let told = follow_the_page(&stage, folder.path(), &settings);

        let counts: Vec<&str> = told.lines().filter(|line| line.contains(" | ")).collect();
        assert_eq!(counts.len(), 8, "{told}");
        assert!(counts.iter().all(|line| line.ends_with("| t")), "{told}");
        assert!(!folder.path().join("restore").exists(), "the plaintext was left behind");
        let restored = facts(|sql| stage.scratch().psql(&database, sql).unwrap());
        for (what, wanted) in &wanted {
            assert_eq!(&restored[what], wanted, "{what} from {site}");
        }
    }
}

/// The page promises that whoever lost the key's ARN finds it near the beginning of any chunk.
async fn assert_names_its_key(stage: &Stage, bucket: &str, region: &'static str, key_arn: &str) {
    let s3 = stage.cloud().s3(region).await;
    let listed = s3.list_objects_v2().bucket(bucket).prefix("chunks/").max_keys(1).send().await.unwrap();
    let key = listed.contents()[0].key().unwrap();
    let object = s3.get_object().bucket(bucket).key(key).send().await.unwrap().body.collect().await.unwrap().to_vec();
    let beginning = String::from_utf8_lossy(&object[..object.len().min(2048)]).into_owned();
    assert!(beginning.contains(key_arn), "{key} does not name {key_arn}");
}

#[test]
fn the_page_installs_the_versions_that_are_tested() {
    let page = Page::read();
    let install = page.shell.iter().find(|block| block.contains("pip install")).unwrap();
    let pinned: Vec<&str> = install.split_whitespace().filter(|word| word.contains("==")).collect();
    assert_eq!(pinned.len(), 2, "{install}");
    for package in pinned {
        assert!(STOCK.lock.lines().any(|line| line.split_whitespace().next() == Some(package)), "{package}");
    }
}

/// Seals standard input with the stock client, for a raw AES key of zeros; two frame lengths' worth and a bit.
const SEAL: &str = r#"
import sys, aws_encryption_sdk
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import AesWrappingAlg, CreateRawAesKeyringInput
from aws_encryption_sdk.identifiers import AlgorithmSuite
keyring = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig()).create_raw_aes_keyring(
    CreateRawAesKeyringInput(key_namespace="lifeboat-test", key_name="zeros", wrapping_key=bytes(32),
                             wrapping_alg=AesWrappingAlg.ALG_AES256_GCM_IV12_TAG16))
sealed, _ = aws_encryption_sdk.EncryptionSDKClient().encrypt(
    source=sys.stdin.buffer.read(), keyring=keyring, frame_length=65536, encryption_context={"name": "Zoë", "a": "b"},
    algorithm=AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY)
sys.stdout.buffer.write(sealed)
"#;

#[tokio::test]
async fn what_the_stock_client_seals_opens_here() {
    let folder = tempfile::tempdir().unwrap();
    let plaintext: Vec<u8> = (0..150_000_u32).flat_map(u32::to_be_bytes).collect();
    let input = folder.path().join("plaintext");
    std::fs::write(&input, &plaintext).unwrap();
    let mut python = Command::new(Venv::ensure(STOCK).unwrap().program("python"));
    let sealing = python.args(["-c", SEAL]).stdin(std::fs::File::open(&input).unwrap()).output().unwrap();
    assert!(sealing.status.success(), "{}", String::from_utf8_lossy(&sealing.stderr));

    let key = RawAesKey::new("lifeboat-test", "zeros", &[0; 32]).unwrap();
    let keys = CachedDataKeys::new(RawAesDataKeys::new(vec![key]).unwrap());
    let mut opened = Vec::new();
    open(&sealing.stdout, &keys, &mut opened).await.unwrap();
    let header = Header::parse(&sealing.stdout).unwrap().unwrap();
    assert_eq!(header.context().get("name"), Some("Zoë"));
    assert!(opened == plaintext);

    let mut turned = sealing.stdout.clone();
    *turned.last_mut().unwrap() ^= 1;
    assert!(open(&turned, &keys, &mut Vec::new()).await.is_err());
}
