//! Measures one run of a contender.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The pause between two samples of a contender's memory. Buffers live for at least tens of milliseconds.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// `sysconf(_SC_CLK_TCK)` on every current Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// The costs of a run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Seconds from start to end.
    pub wall: f64,
    /// Processor seconds of the contender's processes, without the server's.
    pub cpu: f64,
    /// Largest sum of resident memory of its processes, in bytes.
    pub memory: u64,
}

/// Runs `command` to its end.
pub fn run(command: &mut Command) -> Result<Cost> {
    let program = command.get_program().to_string_lossy().into_owned();
    let said = tempfile::NamedTempFile::new()?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.reopen()?);
    let began = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start `{program}`"))?;
    let pid = child.id();
    let (status, cost) = watched(pid, || {
        let status = child.wait();
        (status, began.elapsed())
    });
    let (status, wall) = status;
    let status = status?;
    if !status.success() {
        bail!("`{program}` ended with {status}: {}", fs::read_to_string(said.path()).unwrap_or_default().trim());
    }
    Ok(Cost { wall: wall.as_secs_f64(), ..cost })
}

/// Does `work`, and samples the usage of the process `pid` and its descendants at the same time.
pub fn watched<T>(pid: u32, work: impl FnOnce() -> T) -> (T, Cost) {
    let ended = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(move || {
            let mut cost = Cost::default();
            while !ended.load(Ordering::Relaxed) {
                let family = family(pid);
                cost.memory = cost.memory.max(family.iter().copied().map(resident).sum());
                // The parent counts ended children. Only the last moment of the last process is lost.
                cost.cpu = cost.cpu.max(family.into_iter().map(cpu_seconds).sum());
                std::thread::sleep(LOOK_EVERY);
            }
            cost
        });
        let done = work();
        ended.store(true, Ordering::Relaxed);
        (done, watcher.join().unwrap_or_default())
    })
}

/// A process and all its descendants.
fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut place = 0;
    // No process is its own descendant, so this ends.
    while let Some(parent) = all.get(place).copied() {
        place += 1;
        let Ok(tasks) = fs::read_dir(format!("/proc/{parent}/task")) else { continue };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    all
}

fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

/// Processor time of a process and of those of its children that have ended. Source: proc(5), `/proc/pid/stat`, fields 14 to 17.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field, the program's name in parentheses, may contain any text.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: u64 = fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / TICKS_PER_SECOND
}
