//! `lifeboat ledger`: listing, verifying, exporting and restoring the audit trail.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use jiff::Timestamp;
use lifeboat_engine::{ChainReport, LedgerFilter, Run, TrailRequest, ledger_entries, restore_ledger, verify_ledger};
use lifeboat_model::{Act, BackupId, LedgerEntry, Outcome, Site};
use lifeboat_runtime::{RuntimeError, Services};

use crate::answer::{exit, print};

/// The subcommands of `ledger`.
#[derive(Subcommand)]
pub enum LedgerCommand {
    /// List entries, newest first, without verifying them.
    List {
        #[command(flatten)]
        wanted: Wanted,
        /// The largest number of entries to list.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// The site to read.
        #[arg(long, default_value = "primary")]
        site: Site,
    },
    /// Verify the whole chain: its hashes, the MAC of every entry, and the last entry that the newest backups recorded. Names the
    /// first entry that does not match. Exit status 1 also when nothing vouches for an entry.
    Verify {
        /// The only site to read; if omitted, both sites are read and compared.
        #[arg(long)]
        site: Option<Site>,
    },
    /// Print entries as stored, oldest first, one per line, and verify the chain. Exit status as for `verify`.
    Export {
        #[command(flatten)]
        wanted: Wanted,
        /// The only site to read; if omitted, both sites are read and compared.
        #[arg(long)]
        site: Option<Site>,
    },
    /// Copy the trail that a backup vouches for into a new folder, with later entries until a given time.
    Restore {
        /// The backup, such as 2026-11-21T20-49-33Z-k3f9.
        #[arg(long)]
        backup: BackupId,
        /// Only entries before this time, such as 2026-12-01T00:00:00Z.
        #[arg(long)]
        until: Timestamp,
        /// The folder to create; it must not exist yet.
        #[arg(long)]
        into: PathBuf,
        /// The site to read.
        #[arg(long, default_value = "primary")]
        site: Site,
    },
}

/// The entries to show.
#[derive(clap::Args)]
pub struct Wanted {
    /// Only entries at or after this time, such as 2026-11-21T20:00:00Z.
    #[arg(long)]
    since: Option<Timestamp>,
    /// Only entries before this time.
    #[arg(long)]
    until: Option<Timestamp>,
    /// Only entries whose actor contains this text.
    #[arg(long)]
    actor: Option<String>,
    #[arg(long, help = actions())]
    action: Option<String>,
}

fn actions() -> String {
    let names: Vec<&str> = Act::ALL.iter().map(|act| act.as_str()).collect();
    format!("Only entries of this action: {}", names.join(", "))
}

impl From<Wanted> for LedgerFilter {
    fn from(wanted: Wanted) -> Self {
        let Wanted { since, until, actor, action } = wanted;
        Self { since, until, actor, action }
    }
}

/// Carries out `command`.
pub async fn execute(
    command: LedgerCommand,
    services: &Services,
    run: &Run,
    json: bool,
) -> Result<ExitCode, RuntimeError> {
    match command {
        LedgerCommand::List { wanted, limit, site } => {
            let entries = ledger_entries(run, site, &wanted.into(), limit).await?;
            print(json, &entries, || of_entries(&entries))?;
            Ok(ExitCode::SUCCESS)
        }
        LedgerCommand::Verify { site } => {
            let report = verify_ledger(run, site, |_, _| true).await?;
            print(json, &report, || of_chain(&report))?;
            Ok(exit(report.is_proved() && report.is_sound()))
        }
        LedgerCommand::Export { wanted, site } => {
            let filter = LedgerFilter::from(wanted);
            let mut written = Ok(());
            let take = |entry: &LedgerEntry, stored: &str| {
                if filter.wants(entry) {
                    written = writeln!(std::io::stdout(), "{stored}");
                }
                written.is_ok()
            };
            let report = verify_ledger(run, site, take).await?;
            eprint!("{}", of_chain(&report));
            Ok(exit(is_whole(&written) && report.is_proved() && report.is_sound()))
        }
        LedgerCommand::Restore { backup, until, into, site } => {
            let databases = services.databases(None)?;
            let folder = Folder::absent(&into)?;
            let (mut brought, mut written) = (0_u64, Ok(()));
            let take = |entry: &LedgerEntry, stored: &str| {
                written = folder.keep(entry.number, stored);
                brought += u64::from(written.is_ok());
                written.is_ok()
            };
            let request = TrailRequest { backup_id: backup, until, site };
            let report = restore_ledger(run, &databases, &request, take).await?;
            let text = || format!("{}{brought} entries are in {}\n", of_chain(&report), into.display());
            print(json, &serde_json::json!({ "brought": brought, "report": report }), text)?;
            Ok(exit(is_whole(&written) && report.is_proved() && report.is_sound()))
        }
    }
}

/// Whether all output was written. A reader that closes the pipe early is not a failure; a full disk is.
fn is_whole(written: &std::io::Result<()>) -> bool {
    let Err(error) = written else { return true };
    let is_closed = error.kind() == ErrorKind::BrokenPipe;
    if !is_closed {
        eprintln!("lifeboat: the output is incomplete: {error}");
    }
    is_closed
}

/// The folder that a trail is restored into.
struct Folder<'a>(&'a Path);

impl<'a> Folder<'a> {
    /// An existing folder may hold another trail.
    fn absent(path: &'a Path) -> Result<Self, RuntimeError> {
        match path.try_exists() {
            Ok(false) => Ok(Self(path)),
            Ok(true) => Err(RuntimeError::Input(format!("the folder `{}` already exists", path.display()))),
            Err(error) => {
                Err(RuntimeError::Input(format!("the folder `{}` cannot be created: {error}", path.display())))
            }
        }
    }

    /// Writes an entry under its name in the bucket. The first entry creates the folder, so a refused trail leaves no folder.
    fn keep(&self, number: u64, stored: &str) -> std::io::Result<()> {
        std::fs::create_dir_all(self.0)?;
        std::fs::write(self.0.join(format!("{number:012}.json")), stored)
    }
}

fn of_entries(entries: &[LedgerEntry]) -> String {
    if entries.is_empty() {
        return "no entry matches\n".to_owned();
    }
    let mut text = format!("{:>8} {:<20} {:<13} {:<9} {:<26}  ACTOR\n", "NUMBER", "AT", "ACTION", "OUTCOME", "SUBJECT");
    for LedgerEntry { number, at, actor, action, subject, outcome, reason, .. } in entries {
        let at = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let outcome = match outcome {
            Outcome::Completed => "completed",
            Outcome::Failed => "failed",
        };
        let _ = writeln!(text, "{number:>8} {at:<20} {action:<13} {outcome:<9} {subject:<26}  {actor}, {reason}");
    }
    text
}

fn of_chain(report: &ChainReport) -> String {
    let proved = if report.is_proved() { "proved" } else { "not proved" };
    let sites: Vec<String> = report.sites.iter().map(ToString::to_string).collect();
    let mut text = format!("{proved}: {} entries, one unbroken chain on {}\n", report.entries, sites.join(" and "));
    if let Some(newer) = report.newer_in_words() {
        let _ = writeln!(text, "{newer}; update this one");
    }
    for site in &report.away {
        let _ = writeln!(text, "{site} was unavailable and was not compared");
    }
    for (site, vouched) in &report.vouched {
        let _ = writeln!(text, "{site}'s key vouches for {vouched} entries");
    }
    for (site, why) in &report.silent {
        let _ = writeln!(text, "{site}'s key could not check every entry: {why}");
    }
    if report.entries == 0 {
        let _ = writeln!(text, "the audit trail is empty");
    } else if let Some(first) = report.unproved() {
        let unproved = report.entries - report.proved;
        let _ = writeln!(
            text,
            "nothing vouches for {unproved} entries, from entry {first} on: anyone who can write to the bucket may have made them"
        );
    }
    if report.behind > 0 {
        let _ = writeln!(
            text,
            "{} entries are not yet on the off-site: `lifeboat verify` copies them there",
            report.behind
        );
    }
    for finding in &report.findings {
        let _ = writeln!(text, "{finding}");
    }
    if report.findings.iter().any(|finding| !finding.healed) {
        let _ = writeln!(text, "`lifeboat verify` restores what is missing on one site from the other site");
    }
    text
}
