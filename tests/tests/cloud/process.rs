//! The processes of functions: which there are, and how they are killed.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// How long a process that is killed may take to go: the kernel takes milliseconds to give its memory back.
const GONE_POLLS: usize = 2000;
const GONE_POLL: Duration = Duration::from_millis(5);

/// The processes of a function in the cloud's process group that have all of these variables in their environment.
pub fn find(group: u32, function: &str, variables: &[String]) -> Vec<u32> {
    let wanted = [&[format!("AWS_LAMBDA_FUNCTION_NAME={function}")], variables].concat();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let has_all = |process: &u32| {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let has = |wanted: &String| environment.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes());
        wanted.iter().all(has)
    };
    processes.filter(|process| is_bootstrap(*process, group)).filter(has_all).collect()
}

/// SIGKILL: the process has no last word. Returns when it is gone; what it had sent before may still be on its way.
pub fn kill(group: u32, process: u32) {
    assert!(is_bootstrap(process, group), "not a function of ours: {process}");
    let status = std::process::Command::new("kill").args(["-s", "KILL", &process.to_string()]).status().unwrap();
    assert!(status.success());
    let is_gone = (0..GONE_POLLS).any(|_| {
        std::thread::sleep(GONE_POLL);
        !is_bootstrap(process, group)
    });
    assert!(is_gone, "a killed process goes on: {process}");
}

/// Whether a process is a function of this cloud: its executable and its process group say so.
fn is_bootstrap(process: u32, group: u32) -> bool {
    let executable = fs::read_link(format!("/proc/{process}/exe")).unwrap_or_default();
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // After the name in brackets: state, parent, group.
    let in_group = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(2)) == Some(&group.to_string());
    in_group && executable.file_name() == Path::new("bootstrap").file_name()
}
