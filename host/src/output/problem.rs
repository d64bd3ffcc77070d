//! A problem as text: what, where, the facts, the state, the next command.

use std::fmt::Write;

use super::clean::short;
use super::human::Style;
use crate::error::{Place, Problem};

/// Whether a problem stops the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// It does.
    Error,
    /// It does not.
    Warning,
}

/// Returns all of `problems`, with an empty line between them.
pub(super) fn all(problems: &[Problem], severity: Severity, style: Style) -> String {
    problems.iter().map(|problem| one(problem, severity, style)).collect::<Vec<_>>().join("\n")
}

/// Returns one problem. Only lines that add something.
fn one(problem: &Problem, severity: Severity, style: Style) -> String {
    let label = match severity {
        Severity::Error => style.error(&format!("error[{}]", problem.name.word())),
        Severity::Warning => style.warning(&format!("warning[{}]", problem.name.word())),
    };
    let mut text = format!("{label}: {}\n", shown(&problem.message));
    for place in &problem.places {
        line(&mut text, &format!("  {} {}", style.dim("-->"), at(place)));
        frame(&mut text, place, style);
    }
    for fact in &problem.facts {
        for part in short(fact).lines() {
            line(&mut text, &format!("  {part}"));
        }
    }
    if let Some(cause) = &problem.cause {
        line(&mut text, &format!("  caused by: {}", shown(cause)));
    }
    // A warning has touched nothing and stops nothing, so there is no state to tell.
    if let (Some(state), Severity::Error) = (&problem.state, severity) {
        line(&mut text, &format!("{} {}", style.strong("state:"), shown(state)));
    }
    if let Some(hint) = &problem.hint {
        line(&mut text, &format!("{} {}", style.strong("hint:"), shown(hint)));
    }
    text
}

/// Returns a text that may come from a server: not too long, and its further lines never where one of ours begins.
fn shown(text: &str) -> String {
    short(text).replace('\n', "\n    ")
}

fn at(place: &Place) -> String {
    let mut text = place.file.display().to_string();
    for number in [place.line, place.column].into_iter().flatten() {
        let _ = write!(text, ":{number}");
    }
    match &place.note {
        Some(note) => format!("{text}  {}", shown(note)),
        None => text,
    }
}

/// The line of the file, and a mark under the column.
fn frame(text: &mut String, place: &Place, style: Style) {
    let (Some(excerpt), Some(number)) = (&place.excerpt, place.line) else {
        return;
    };
    let number = number.to_string();
    line(text, &format!("  {} {excerpt}", style.dim(&format!("{number} |"))));
    // Where a long line was cut there is nothing to point at.
    let shown = excerpt.chars().count() as u64;
    let Some(column) = place.column.filter(|column| *column <= shown + 1) else { return };
    let before: String = excerpt.chars().take(usize::try_from(column - 1).unwrap_or(0)).map(blank).collect();
    let gutter = " ".repeat(number.len());
    line(text, &format!("  {gutter} {} {before}{}", style.dim("|"), style.error("^")));
}

/// A tab stays a tab, so that the mark stands under its character.
fn blank(letter: char) -> char {
    if letter == '\t' { '\t' } else { ' ' }
}

fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}
