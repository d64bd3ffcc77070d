//! A page of the documentation: its blocks, and its sessions, which are run as they stand there.
//!
//! A session is every block marked `console`, in order. A line after `$ ` is a command for the shell, the lines after
//! `> ` go on with it, and what follows is what it prints. A line that is nothing but `…` stands for any lines.
//!
//! What differs from run to run or from machine to machine is compared as if it did not: durations, checksums, versions
//! of the contract, the machine. With `WHIMBREL_UPDATE_DOCS=1` in the environment a stale answer is written anew, as
//! abridged as it was.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{env, fs};

use regex::Regex;

/// The variable that has stale pages written anew.
pub const UPDATE: &str = "WHIMBREL_UPDATE_DOCS";

/// Stands for lines that are left out.
const ABRIDGED: &str = "…";

/// A page.
#[derive(Debug)]
pub struct Page {
    path: PathBuf,
    text: String,
}

/// A command, and what it prints.
struct Step<'a> {
    /// As it stands on the page, with its marks.
    command: Vec<&'a str>,
    answer: Vec<&'a str>,
}

impl Page {
    /// Reads the page at this path in the workspace.
    pub fn named(path: &str) -> Self {
        let path = workspace().join(path);
        let text = fs::read_to_string(&path);
        let text = text.unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        Self { path, text }
    }

    /// Returns all of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the fenced blocks of a language.
    pub fn blocks(&self, language: &str) -> impl Iterator<Item = &str> {
        let fence = Regex::new(&format!(r"(?ms)^```{language}\n(.*?)^```$")).expect("the pattern is valid");
        let blocks: Vec<&str> = fence
            .captures_iter(&self.text)
            .filter_map(|block| block.get(1))
            .map(|block| block.as_str())
            .collect();
        blocks.into_iter()
    }

    /// Has `run` run every command of the page's sessions, and compares what it returns with what the page says.
    ///
    /// # Panics
    ///
    /// When there is none. When they differ, with both; unless the page is to be written anew.
    pub fn assert_sessions(&self, mut run: impl FnMut(&str) -> String) {
        assert!(self.blocks("console").next().is_some(), "no session on {}", self.path.display());
        let mut text = self.text.clone();
        let mut at = 0;
        for block in self.blocks("console") {
            let now: String = steps(block).iter().map(|step| step.run(&mut run)).collect();
            // The first of its kind behind the one before: blocks may be alike.
            let start = at + text[at..].find(block).expect("the block is from this page");
            text.replace_range(start..start + block.len(), &now);
            at = start + now.len();
        }
        if text == self.text {
            return;
        }
        if env::var_os(UPDATE).is_some() {
            let written = fs::write(&self.path, &text);
            return written.unwrap_or_else(|error| panic!("cannot write {}: {error}", self.path.display()));
        }
        let page = self.path.display();
        panic!("a session on {page} is stale: {UPDATE}=1 writes it anew.\n{}", difference(&self.text, &text));
    }
}

/// Returns the folder of the workspace.
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("`tests` lies in the workspace").to_owned()
}

fn steps(block: &str) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for line in block.lines() {
        match steps.last_mut() {
            _ if line.starts_with("$ ") => steps.push(Step { command: vec![line], answer: Vec::new() }),
            Some(step) if step.answer.is_empty() && line.starts_with('>') => step.command.push(line),
            Some(step) => step.answer.push(line),
            None => panic!("a session begins with a command after `$ `, not with `{line}`"),
        }
    }
    steps
}

impl Step<'_> {
    /// Returns the step as it should stand on the page.
    fn run(&self, run: &mut dyn FnMut(&str) -> String) -> String {
        let plain = |line: &&str| line[1..].strip_prefix(' ').unwrap_or(&line[1..]).to_owned();
        let command: Vec<String> = self.command.iter().map(plain).collect();
        let printed = run(&command.join("\n"));
        let printed: Vec<&str> = printed.lines().collect();
        let mut text = String::new();
        for line in self.command.iter().copied().chain(answer(&self.answer, &printed)) {
            writeln!(text, "{line}").expect("a string takes any text");
        }
        text
    }
}

/// Returns what was printed as it should stand on the page: as it does, if it is the same.
fn answer<'a>(stands: &[&'a str], printed: &[&'a str]) -> Vec<&'a str> {
    if fits(stands, printed) {
        return stands.to_vec();
    }
    let abridged = abridged(stands, printed);
    if fits(&abridged, printed) { abridged } else { printed.to_vec() }
}

/// Returns whether an answer, abridged or not, is what was printed.
fn fits(answer: &[&str], printed: &[&str]) -> bool {
    match (answer.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((line, rest)), _) if is_abridged(line) => {
            fits(rest, printed) || !printed.is_empty() && fits(answer, &printed[1..])
        }
        (Some((line, rest)), Some((other, others))) => steady(line) == steady(other) && fits(rest, others),
        _ => false,
    }
}

fn is_abridged(line: &str) -> bool {
    line.trim() == ABRIDGED
}

/// Leaves out of what was printed about what was left out before.
fn abridged<'a>(stands: &[&'a str], printed: &[&'a str]) -> Vec<&'a str> {
    let parts: Vec<&[&str]> = stands.split(|line| is_abridged(line)).collect();
    let last = parts.len() - 1;
    let mut lines = Vec::new();
    let mut from = 0;
    for (number, part) in parts.iter().enumerate() {
        let latest = printed.len().saturating_sub(part.len());
        let start = match part.first() {
            None => from,
            Some(_) if number == 0 => 0,
            Some(_) if number == last => latest,
            Some(first) => (from..=latest)
                .max_by_key(|at| (likeness(first, printed[*at]), usize::MAX - at))
                .unwrap_or(from),
        };
        if number > 0 {
            lines.push(stands.iter().copied().find(|line| is_abridged(line)).unwrap_or(ABRIDGED));
        }
        lines.extend(printed.iter().skip(start.max(from)).take(part.len()));
        from = start.max(from) + part.len();
    }
    lines
}

/// Returns how many letters two lines begin with alike.
fn likeness(line: &str, other: &str) -> usize {
    line.chars().zip(other.chars()).take_while(|(one, other)| one == other).count()
}

/// Returns a line with what differs from run to run or from machine to machine replaced.
fn steady(line: &str) -> String {
    static UNSTEADY: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let patterns = [
            (r"\b\d+ ms\b", "0 ms"),
            (r"\b[0-9a-f]{64}\b", "0"),
            (r"(whimbrel-adapter-api) \d+\.\d+\.\d+", "$1 0.0.0"),
            (r"\b\w+-linux\b", "machine-linux"),
            (r"\d{4}-\d\d-\d\d", "2026-01-31"),
        ];
        patterns.map(|(pattern, text)| (Regex::new(pattern).expect("the pattern is valid"), text)).into()
    });
    let replace =
        |line: String, (pattern, text): &(Regex, &str)| pattern.replace_all(&line, *text).into_owned();
    UNSTEADY.iter().fold(line.trim_end().to_owned(), replace)
}

/// Returns the lines of two pages that are not the same, from the first to the last.
fn difference(stands: &str, should: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (stands.lines().collect(), should.lines().collect());
    let before = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let most = old.len().min(new.len()) - before;
    let behind =
        old.iter().rev().zip(new.iter().rev()).take(most).take_while(|(old, new)| old == new).count();
    let shown = |lines: &[&str]| lines[before..lines.len() - behind].join("\n");
    format!("It says:\n{}\nIt should say:\n{}", shown(&old), shown(&new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<&str> {
        text.lines().collect()
    }

    #[test]
    fn an_answer_may_be_abridged_and_durations_differ() {
        let printed = lines("applied  001_birds  12 ms\na\nb\nc\nnow at 001_birds");
        assert!(fits(&lines("applied  001_birds  9 ms\n…\nnow at 001_birds"), &printed));
        assert!(fits(&lines("…\nb\n…"), &printed));
        assert!(!fits(&lines("…\nd\n…"), &printed));
        assert!(!fits(&lines("applied  002_birds  9 ms\n…"), &printed));
        assert!(!fits(&lines("applied  001_birds  9 ms"), &printed));
    }

    #[test]
    fn a_stale_answer_is_abridged_as_it_was() {
        let printed = lines("passed one\npassed two\nfailed three: 7\npassed four\n3 passed, 1 failed");
        let stands = lines("passed one\n…\nfailed three: 8\n  …\n4 passed");
        let should = lines("passed one\n…\nfailed three: 7\n…\n3 passed, 1 failed");
        assert_eq!(answer(&stands, &printed), should);
        assert_eq!(answer(&lines("four lines"), &printed), printed);
    }

    #[test]
    fn a_command_may_have_several_lines() {
        let page = Page {
            path: PathBuf::new(),
            text: "```console\n$ cat <<END\n> a\n>\n> b\n> END\na\n\nb\n```\n".to_owned(),
        };
        page.assert_sessions(|command| {
            assert_eq!(command, "cat <<END\na\n\nb\nEND");
            "a\n\nb\n".to_owned()
        });
    }
}
