//! A stage with a small database, and what tests ask of it.

use lifeboat_local::{Stage, StageSource};

/// A few thousand rows with one of each thing a restore must bring back.
pub const SMALL_CLINIC: &str = "
    CREATE EXTENSION pgcrypto;
    CREATE TABLE patients (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, contact jsonb, scan oid);
    INSERT INTO patients (name, contact) SELECT 'patient ' || n, jsonb_build_object('phone', n) FROM generate_series(1, 5000) n;
    UPDATE patients SET scan = lo_from_bytea(0, sha256(name::bytea)) WHERE id <= 3;
    CREATE TABLE visits (id bigint PRIMARY KEY, patient int REFERENCES patients, at timestamptz NOT NULL, fee numeric(8, 2))
        PARTITION BY RANGE (id);
    CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM (0) TO (10000);
    CREATE TABLE visits_2 PARTITION OF visits DEFAULT;
    INSERT INTO visits SELECT n, 1 + n % 5000, timestamptz '2026-01-01' + n * interval '1 minute', n % 90
        FROM generate_series(1, 20000) n;
    CREATE INDEX visits_by_patient ON visits (patient);
    CREATE MATERIALIZED VIEW fees AS SELECT patient, sum(fee) FROM visits GROUP BY 1;
    ALTER TABLE patients ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON patients USING (name = current_user);
    ANALYZE;
";

/// The stage with [`SMALL_CLINIC`] on it; `parameters` over the template's defaults.
pub async fn small_stage(parameters: &[(&str, &str)]) -> Stage {
    Stage::set(StageSource::Sql(SMALL_CLINIC.to_owned()), parameters, |_| ()).await.unwrap()
}
