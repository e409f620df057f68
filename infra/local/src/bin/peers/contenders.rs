//! The contenders: the programs that run, and the runs that each needs before it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::ground::{DATABASE, Ground, quietly};
use crate::lambda::{Invoked, invoke};
use crate::measure::{Cost, run};

/// The number of processes, for contenders that take one. The benchmark compares them on two processors.
const PROCESSES: u32 = 2;

/// The names, in the order of a round. Later contenders need the results of earlier ones.
pub const NAMES: [&str; 13] = [
    "limit",
    "lifeboat backup",
    "pg_dump -Fd -j2 -Z1",
    "pg_dump to zstd -1",
    "pgbackrest backup",
    "lifeboat verify",
    "sha256sum",
    "lifeboat restore",
    "lifeboat drill",
    "pg_restore -j2",
    "lifeboat backup, nothing changed",
    "lifeboat backup, 1 % changed",
    "pgbackrest backup, 1 % changed",
];

/// The result of a contender's run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub cost: Cost,
    /// The bytes that it left on the disk.
    pub stored: Option<u64>,
    /// The seconds until a function was ready.
    pub cold_start: Option<f64>,
    /// The phases of a function's run, such as `data 9.8 s, publish 0.1 s`.
    pub phases: String,
}

/// One round, with its own bucket and folders. Stores and dumps are deleted only at the end: on ext4, recent deletions slow down
/// every new file, and a store of many small objects suffers most.
pub struct Round<'a> {
    pub ground: &'a Ground,
    pub number: u32,
    drill: Option<Outcome>,
}

impl<'a> Round<'a> {
    pub fn new(ground: &'a Ground, number: u32) -> Self {
        Self { ground, number, drill: None }
    }

    /// Runs one of [`NAMES`]; `None` when it is unavailable on this machine.
    pub fn run(&mut self, name: &str) -> Result<Option<Outcome>> {
        let outcome = match name {
            "limit" => self.limit()?,
            "lifeboat backup" | "lifeboat backup, nothing changed" => self.lifeboat_backup()?,
            "lifeboat backup, 1 % changed" => {
                self.change()?;
                self.lifeboat_backup()?
            }
            "lifeboat verify" => self.lifeboat("verify", json!({ "database": DATABASE, "scope": "all" }))?,
            "lifeboat restore" => self.lifeboat_restore()?,
            "lifeboat drill" => self.drill.take().context("the drill is measured with the restore")?,
            "pg_dump -Fd -j2 -Z1" => self.dump()?,
            "pg_dump to zstd -1" => self.dump_to_zstd()?,
            "pg_restore -j2" => self.restore()?,
            "sha256sum" => self.sha256sum()?,
            "pgbackrest backup" if self.ground.pgbackrest => self.pgbackrest("full")?,
            "pgbackrest backup, 1 % changed" if self.ground.pgbackrest => self.pgbackrest("incr")?,
            "pgbackrest backup" | "pgbackrest backup, 1 % changed" => return Ok(None),
            _ => bail!("nobody is called `{name}`"),
        };
        Ok(Some(outcome))
    }

    fn bucket(&self) -> String {
        format!("round-{}", self.number)
    }

    fn place(&self, name: &str) -> PathBuf {
        self.ground.place(&format!("{}-{name}", self.number))
    }

    /// The server's highest speed: two sessions read every table in halves and discard the rows.
    fn limit(&self) -> Result<Outcome> {
        let tables = self.ground.server.psql(
            DATABASE,
            "SELECT relname, relpages / 2 FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
        )?;
        let mut sessions = Vec::new();
        for half in ["<", ">="] {
            let copies = tables.lines().filter_map(|line| line.split_once('|')).map(|(table, middle)| {
                format!("COPY (SELECT * FROM {table} WHERE ctid {half} '({middle},0)') TO STDOUT (FORMAT binary);")
            });
            let url = self.ground.server.url(DATABASE);
            let psql = self.ground.server.bin_dir().join("psql");
            sessions.push(format!("{} '{url}' -qXc \"{}\" > /dev/null", psql.display(), copies.collect::<String>()));
        }
        let cost = run(Command::new("sh").args(["-c", &format!("{} & wait", sessions.join(" & "))]))?;
        Ok(Outcome { cost, ..Outcome::default() })
    }

    fn dump(&self) -> Result<Outcome> {
        let place = self.place("dump");
        let mut command = self.ground.tool("pg_dump", DATABASE);
        command.args(["-Fd", "-Z1", &format!("-j{PROCESSES}"), "--no-sync", "-f"]).arg(&place);
        Ok(Outcome { cost: run(&mut command)?, stored: Some(size(&place)?), ..Outcome::default() })
    }

    fn dump_to_zstd(&self) -> Result<Outcome> {
        let place = self.place("dump.sql.zst");
        let (pg_dump, url) = (self.ground.server.bin_dir().join("pg_dump"), self.ground.server.url(DATABASE));
        let pipe = format!("{} '{url}' | zstd -1 -q -o {}", pg_dump.display(), place.display());
        let cost = run(Command::new("sh").args(["-c", &pipe]))?;
        Ok(Outcome { cost, stored: Some(size(&place)?), ..Outcome::default() })
    }

    fn restore(&self) -> Result<Outcome> {
        self.fresh_database("restored")?;
        let mut command = self.ground.tool("pg_restore", "restored");
        command.arg(format!("-j{PROCESSES}")).arg(self.place("dump"));
        let outcome = Outcome { cost: run(&mut command)?, ..Outcome::default() };
        self.ground.server.psql("postgres", "DROP DATABASE restored")?;
        Ok(outcome)
    }

    fn fresh_database(&self, name: &str) -> Result<()> {
        self.ground.server.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"))?;
        // No contender may be slowed down by another one's data in memory.
        self.ground.server.psql("postgres", "CHECKPOINT").map(drop)
    }

    /// The bytes that `lifeboat verify` reads, from their files.
    fn sha256sum(&self) -> Result<Outcome> {
        let bucket = self.ground.s3.bucket(&self.bucket())?;
        let sum = format!("find {} -type f -print0 | xargs -0 sha256sum", bucket.display());
        Ok(Outcome { cost: run(Command::new("sh").args(["-c", &sum]))?, ..Outcome::default() })
    }

    fn lifeboat_backup(&self) -> Result<Outcome> {
        let bucket = self.ground.s3.bucket(&self.bucket())?;
        let before = size(&bucket)?;
        let mut outcome = self.lifeboat("backup", json!({ "database": DATABASE }))?;
        outcome.stored = Some(size(&bucket)?.saturating_sub(before));
        Ok(outcome)
    }

    /// The drill restores and proves. Its phases before the proof are comparable with `pg_restore`.
    fn lifeboat_restore(&mut self) -> Result<Outcome> {
        self.ground.scratch.psql("postgres", "CHECKPOINT")?;
        let invoked = self.invoke("test-restore", json!({ "database": DATABASE }))?;
        let report = invoked.answer.pointer("/0").context("a drill without a report")?;
        if report.get("equal") != Some(&Value::Bool(true)) {
            bail!("the drill found a difference: {report}");
        }
        let proof: f64 =
            ["prove", "drop"].iter().filter_map(|phase| report.pointer(&format!("/seconds/{phase}"))?.as_f64()).sum();
        let phases = phases(report);
        let cost = Cost { wall: invoked.cost.wall - proof, ..invoked.cost };
        self.drill = Some(Outcome { cost: invoked.cost, cold_start: Some(invoked.cold_start), ..Outcome::default() });
        Ok(Outcome { cost, phases, ..Outcome::default() })
    }

    fn lifeboat(&self, function: &str, event: Value) -> Result<Outcome> {
        let Invoked { cost, cold_start, answer } = self.invoke(function, event)?;
        Ok(Outcome { cost, stored: None, cold_start: Some(cold_start), phases: phases(&answer) })
    }

    fn invoke(&self, function: &str, event: Value) -> Result<Invoked> {
        invoke(&mut self.ground.function(function, &self.bucket()), &event)
    }

    /// Changes one row in a hundred, all in one range of each table, as a busy day does. Each round uses another range, because
    /// changed rows have moved.
    fn change(&self) -> Result<()> {
        for (table, set) in [("events", "kind = kind + 1"), ("patients", "full_name = full_name || '.'")] {
            let border = |hundredths: u32| {
                format!(
                    "(SELECT format('(%s,0)', relpages * {hundredths}::bigint / 100)::tid FROM pg_class WHERE relname = '{table}')"
                )
            };
            let (first, end) = (border(self.number - 1), border(self.number));
            let changed = format!("UPDATE {table} SET {set} WHERE ctid >= {first} AND ctid < {end}");
            self.ground.server.psql(DATABASE, &changed)?;
        }
        Ok(())
    }

    /// Debian's pgBackRest. It reads files on the server's host, and encrypts and compresses them as we do.
    fn pgbackrest(&self, kind: &str) -> Result<Outcome> {
        let server = &self.ground.server;
        let repository = server.directory().join(format!("pgbackrest-{}", self.number));
        let pgbackrest = || {
            let mut command = server.as_account(Path::new("pgbackrest"), None);
            command.env("PGPASSWORD", server.password());
            command.env("PGBACKREST_REPO1_CIPHER_PASS", "only-for-a-benchmark");
            for (option, value) in [
                ("stanza", DATABASE),
                ("log-level-console", "off"),
                ("log-level-file", "off"),
                ("repo1-cipher-type", "aes-256-cbc"),
                ("pg1-user", "postgres"),
            ] {
                command.arg(format!("--{option}={value}"));
            }
            command.arg(format!("--repo1-path={}", repository.display()));
            command.arg(format!("--lock-path={}", server.directory().display()));
            command.arg(format!("--pg1-path={}", server.data_dir().display()));
            command.arg(format!("--pg1-socket-path={}", server.directory().display()));
            command.arg(format!("--pg1-port={}", server.port()));
            command
        };
        if !repository.exists() {
            quietly(server.as_account(Path::new("mkdir"), None).arg(&repository))?;
            quietly(pgbackrest().arg("stanza-create"))?;
        }
        let before = size(&repository)?;
        server.psql("postgres", "CHECKPOINT")?;
        let mut backup = pgbackrest();
        backup.args(["--no-archive-check", "--start-fast", "--compress-type=zst", "--compress-level=1", "backup"]);
        backup.args([format!("--type={kind}"), format!("--process-max={PROCESSES}")]);
        let cost = run(&mut backup)?;
        Ok(Outcome { cost, stored: Some(size(&repository)?.saturating_sub(before)), ..Outcome::default() })
    }
}

/// The phases of a manifest or a report.
fn phases(report: &Value) -> String {
    let seconds = report.get("seconds").and_then(Value::as_object).into_iter().flatten();
    seconds.map(|(phase, seconds)| format!("{phase} {seconds} s")).collect::<Vec<_>>().join(", ")
}

/// Bytes of a file, or of all files below a folder.
fn size(place: &Path) -> Result<u64> {
    if place.is_file() {
        return Ok(place.metadata()?.len());
    }
    let mut bytes = 0;
    for entry in std::fs::read_dir(place)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
