//! What the kernel tells of a process.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::servers::servers;

/// Runs a program to its end, which must be a good one, and returns how often it waited for the disk.
pub fn count_syncs(program: &Command) -> usize {
    let folder = TempDir::new().expect("a temporary directory can be made");
    let trace = folder.path().join("trace");
    let mut traced = Command::new(&servers().programs.strace);
    traced.args(["--follow-forks", "--seccomp-bpf", "--trace=fsync,fdatasync", "--output"]).arg(&trace);
    traced.arg(program.get_program()).args(program.get_args()).env_clear();
    if let Some(directory) = program.get_current_dir() {
        traced.current_dir(directory);
    }
    let output = traced.output().unwrap_or_else(|error| panic!("cannot run {traced:?}: {error}"));
    assert!(output.status.success(), "{traced:?}: {}", String::from_utf8_lossy(&output.stderr));
    let calls = fs::read_to_string(&trace).expect("strace has written its trace");
    calls.lines().filter(|line| line.contains("sync(")).count()
}

/// Returns the most memory that a process has held at once so far, in KiB, or 0 if it has ended.
pub fn peak_memory(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
