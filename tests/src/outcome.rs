//! What a run of the binary left: exit, stdout, stderr, and the form in which tests compare them.

use std::fmt::Write;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

/// The end of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The exit code; none when a signal ended the run.
    pub code: Option<i32>,
    /// The signal that ended the run.
    pub signal: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it reported.
    pub stderr: String,
    places: Places,
}

/// The directories whose paths no snapshot may hold.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) project: PathBuf,
    pub(crate) built: PathBuf,
}

/// What differs from run to run or from machine to machine, and what stands for it.
///
/// In order: a later pattern sees what the earlier ones left.
static VOLATILE: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let patterns = [
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(UTC|Z\b|[+-]\d\d(:?\d\d)?\b))?", "[TIME]"),
        (r"\b\d\d:\d\d:\d\d(\.\d+)?( UTC)?", "[TIME]"),
        (r"\b\d+(\.\d+)?(( ?)(ms|µs)\b)", "[N]$2"),
        (r"\b\d+\.\d+(( ?)s\b)", "[N]$1"),
        (r#"("duration_ms": ?)\d+"#, "$1[N]"),
        (r"\bpid \d+", "pid [PID]"),
        (r"(127\.0\.0\.\d|localhost|\[::1\]):\d+", "$1:[PORT]"),
        (r"whimbrel_test_\d+_\d+", "[DATABASE]"),
        (r"/tmp/whimbrel-(servers|sqlite)-\w+", "[$1]"),
    ];
    patterns.map(|(pattern, text)| (Regex::new(pattern).expect("the pattern is valid"), text)).into()
});

impl Outcome {
    pub(crate) fn new(status: ExitStatus, stdout: String, stderr: String, places: Places) -> Self {
        Self { code: status.code(), signal: status.signal(), stdout, stderr, places }
    }

    /// Returns the whole outcome as one text, for a snapshot: what differs from run to run is replaced, such as
    /// paths by `[DIR]` and `[BUILT]`, durations by `[N] ms`, times, pids, ports, user and host.
    pub fn redacted(&self) -> String {
        self.redacted_with(&[])
    }

    /// Returns the same with more replacements, each a regular expression and its text, made before the others.
    pub fn redacted_with(&self, replacements: &[(&str, &str)]) -> String {
        let mut text = self.transcript();
        for (pattern, replacement) in replacements {
            let pattern = Regex::new(pattern).unwrap_or_else(|error| panic!("{error}"));
            text = pattern.replace_all(&text, *replacement).into_owned();
        }
        for (place, name) in [(&self.places.project, "[DIR]"), (&self.places.built, "[BUILT]")] {
            // The path as it was given, and as it is without symbolic links.
            let real = fs::canonicalize(place).unwrap_or_else(|_| place.clone());
            text = text.replace(&*real.to_string_lossy(), name).replace(&*place.to_string_lossy(), name);
        }
        text = hide_user_and_host(&text);
        for (pattern, replacement) in VOLATILE.iter() {
            text = pattern.replace_all(&text, *replacement).into_owned();
        }
        text
    }

    /// Returns stdout as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is no JSON ({error}):\n{}", self.transcript()))
    }

    /// Returns the outcome if the exit code is this one.
    ///
    /// # Panics
    ///
    /// When it is not, with the whole outcome.
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "expected exit {code}:\n{}", self.transcript());
        self
    }

    /// Returns whether stdout or stderr holds the text, for secrets that must not be there.
    pub fn mentions(&self, text: &str) -> bool {
        self.stdout.contains(text) || self.stderr.contains(text)
    }

    fn transcript(&self) -> String {
        let mut text = String::new();
        let written = match (self.code, self.signal) {
            (Some(code), _) => writeln!(text, "exit: {code}"),
            (None, Some(signal)) => writeln!(text, "signal: {signal}"),
            (None, None) => writeln!(text, "exit: unknown"),
        };
        written.expect("a string takes any text");
        for (name, stream) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            text.push_str(&format!("--- {name}\n{stream}"));
            if !stream.is_empty() && !stream.ends_with('\n') {
                text.push_str("[no line end]\n");
            }
        }
        text
    }
}

/// Replaces `user@host` where the host is this machine's name, whoever the user is.
fn hide_user_and_host(text: &str) -> String {
    static LOCAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        Regex::new(&format!(r"[\w.-]+@{}\b", regex::escape(host.trim()))).ok()
    });
    match &*LOCAL {
        Some(local) => local.replace_all(text, |_: &Captures<'_>| "[USER]@[HOST]").into_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_replaced() {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let stdout = format!(
            "applied  0008_create_ages  12 ms\nin 1.27 s, waited 15 s\n{{\"duration_ms\":7}}\n\
             by ana@{}, pid 4121, since 14:02:31 UTC, at 2026-08-02 14:10 UTC\n\
             at 2026-08-02T14:10:03.123Z\n2025-01-08-000001_name\n\
             postgres://app:****@127.0.0.1:5432/whimbrel_test_12_3\n/somewhere/project/plugins.toml",
            host.trim()
        );
        let places = Places { project: "/somewhere/project".into(), built: "/somewhere/target/debug".into() };
        let stderr = "/somewhere/target/debug/libx.so\n".to_owned();
        let outcome = Outcome { code: Some(1), signal: None, stdout, stderr, places };
        let expected = "exit: 1\n--- stdout\napplied  0008_create_ages  [N] ms\nin [N] s, waited 15 s\n\
             {\"duration_ms\":[N]}\nby [USER]@[HOST], pid [PID], since [TIME], at [TIME]\nat [TIME]\n\
             2025-01-08-000001_name\npostgres://app:****@127.0.0.1:[PORT]/[DATABASE]\n\
             [DIR]/plugins.toml[no line end]\n--- stderr\n[BUILT]/libx.so\n";
        assert_eq!(outcome.redacted(), expected);
    }

    #[test]
    fn a_test_may_replace_more() {
        let places = Places { project: "/p".into(), built: "/b".into() };
        let outcome =
            Outcome { code: None, signal: Some(9), stdout: String::new(), stderr: "seed 7\n".into(), places };
        let expected = "signal: 9\n--- stdout\n--- stderr\nseed [SEED]\n";
        assert_eq!(outcome.redacted_with(&[(r"seed \d+", "seed [SEED]")]), expected);
    }
}
