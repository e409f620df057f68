//! A process and everything that it starts. All of them end when their owner ends.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};

/// Waits at the other end of a pipe that only the owner holds. A line means that the owner has cleaned up by itself. The
/// pipe's end means that the owner died, so the group is killed and its scratch folder removed.
///
/// A parent-death signal is not enough: it follows the spawning thread, not the process, and reaches only the leader.
const WATCHDOG: &str = r#"read -r _ || { kill -s KILL -- "-$1"; [ -z "$2" ] || rm -rf -- "$2"; }"#;

/// A process group of one command.
///
/// All processes that the command starts are killed when this value is dropped, unless they leave the group. The same
/// happens after a panic, and when Ctrl-C or SIGKILL ends the owning process.
#[derive(Debug)]
pub struct ProcessGroup {
    leader: Child,
    watchdog: Child,
    leash: Option<ChildStdin>,
}

impl ProcessGroup {
    /// Starts `command` as the leader of a new group. `scratch` is removed if the owner dies without dropping this value.
    pub fn spawn(command: &mut Command, scratch: Option<&Path>) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut leader = command.process_group(0).spawn().with_context(|| format!("cannot start `{program}`"))?;
        let watched = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", &leader.id().to_string()])
            .arg(scratch.unwrap_or(Path::new("")))
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match watched {
            Ok(mut watchdog) => {
                let leash = watchdog.stdin.take();
                Ok(Self { leader, watchdog, leash })
            }
            Err(error) => {
                end(&mut leader);
                Err(error).with_context(|| format!("cannot start the watchdog of `{program}`"))
            }
        }
    }

    /// The leader's process id, which is the group's id.
    pub fn id(&self) -> u32 {
        self.leader.id()
    }

    /// The leader's exit status, if it has ended.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.leader.try_wait().ok().flatten()
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        end(&mut self.leader);
        if let Some(mut leash) = self.leash.take() {
            // A watchdog that has already ended has nothing to guard.
            let _ = leash.write_all(b"\n");
        }
        let _ = self.watchdog.wait();
    }
}

/// Kills a leader's group and waits for the leader. The group may be gone already.
fn end(leader: &mut Child) {
    if let Some(group) = i32::try_from(leader.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = leader.wait();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// Processes of a group that are alive (a zombie is not).
    fn alive(group: u32) -> usize {
        let listing = Command::new("ps").args(["-eo", "pgid=,stat="]).output().unwrap();
        String::from_utf8_lossy(&listing.stdout)
            .lines()
            .filter_map(|line| line.trim().split_once(char::is_whitespace))
            .filter(|(pgid, state)| *pgid == group.to_string() && !state.trim().starts_with('Z'))
            .count()
    }

    fn family() -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & sleep 600 & wait"]);
        command
    }

    fn wait_for(what: &str, mut happened: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !happened() {
            assert!(Instant::now() < deadline, "{what} did not happen within 10 s");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_dropped_group_takes_its_children_with_it() {
        let group = ProcessGroup::spawn(&mut family(), None).unwrap();
        let id = group.id();
        wait_for("the family", || alive(id) == 3);
        drop(group);
        assert_eq!(alive(id), 0);
    }

    #[test]
    fn a_panic_takes_the_group_with_it() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let panicked = std::thread::spawn(move || {
            let group = ProcessGroup::spawn(&mut family(), None).unwrap();
            sender.send(group.id()).unwrap();
            panic!("on purpose");
        });
        let id = receiver.recv().unwrap();
        assert!(panicked.join().is_err());
        assert_eq!(alive(id), 0);
    }

    #[test]
    fn an_owner_that_dies_without_dropping_leaves_nothing() {
        let scratch = tempfile::tempdir().unwrap().keep();
        let mut group = ProcessGroup::spawn(&mut family(), Some(&scratch)).unwrap();
        let id = group.id();
        wait_for("the family", || alive(id) == 3);
        // This closes the leash, as the kernel does for a killed owner.
        drop(group.leash.take());
        wait_for("the end of the group", || alive(id) == 0);
        wait_for("the end of the scratch folder", || !scratch.exists());
    }
}
