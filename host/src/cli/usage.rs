//! A command line that cannot be understood, said as every other problem is.
//!
//! clap finds what is wrong; the words are ours, and so is the form that was asked for: what can be told of the rest of
//! the command line decides it.
//!
//! What was typed may be a secret in the wrong place, so only what has the shape of a name is repeated.

use std::error::Error as _;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, ValueEnum};

use super::Answer;
use super::args::{Arguments, Format};
use crate::config::Environment;
use crate::error::{Name, Problem, nearest};
use crate::output::{Colour, Output, Verbosity};

/// Returns whether clap's answer is what was asked for: the help or the version.
pub(super) fn is_answer(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

/// Shows what is wrong with the command line. Returns the exit code.
pub(super) fn refuse(error: &clap::Error, words: &[OsString], environment: &Environment) -> u8 {
    let glimpse = Glimpse::of(words);
    let colour = if environment.forbids_colour() { Colour::Never } else { glimpse.colour };
    let output = Output::new(glimpse.format.into(), colour, Verbosity::Normal);
    let problem = problem(error, glimpse.command.as_deref());
    glimpse.command.as_deref().map_or(Answer::Error, Answer::of_name).show(&problem.into(), &output)
}

/// What can be told of a command line that was not understood.
struct Glimpse {
    format: Format,
    colour: Colour,
    /// The command's own name, whichever alias was typed.
    command: Option<String>,
}

impl Glimpse {
    fn of(words: &[OsString]) -> Self {
        let clap = Arguments::command();
        let takes_value = |option: &str| {
            let known = clap.get_arguments().find(|known| known.get_long() == option.strip_prefix("--"));
            known.is_some_and(|known| known.get_action().takes_values())
        };
        let mut glimpse = Glimpse { format: Format::Human, colour: Colour::OnTerminals, command: None };
        let mut words = words.iter().skip(1).filter_map(|word| word.to_str()).peekable();
        while let Some(word) = words.next().filter(|word| *word != "--") {
            let (option, attached) = word.split_once('=').map_or((word, None), |(o, v)| (o, Some(v)));
            let next =
                words.next_if(|next| attached.is_none() && takes_value(option) && !next.starts_with('-'));
            match option {
                "--no-color" => glimpse.colour = Colour::Never,
                "--format" => {
                    let format = attached.or(next).and_then(|word| Format::from_str(word, false).ok());
                    glimpse.format = format.unwrap_or(glimpse.format);
                }
                name if glimpse.command.is_none() => {
                    glimpse.command = clap.find_subcommand(name).map(|known| known.get_name().to_owned());
                }
                _ => {}
            }
        }
        glimpse
    }
}

fn problem(error: &clap::Error, command: Option<&str>) -> Problem {
    let argument = words(error, ContextKind::InvalidArg).first().map(|argument| name_of(argument));
    let option = argument.map_or_else(|| "this option".to_owned(), |argument| format!("`{argument}`"));
    let value = words(error, ContextKind::InvalidValue).first().copied().unwrap_or_default();
    let problem = |message: String| Problem::new(Name::Usage, message);
    let problem = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = words(error, ContextKind::InvalidSubcommand).first().copied().unwrap_or_default();
            let suggested = words(error, ContextKind::SuggestedSubcommand);
            meant(problem(with("unknown command", word)), word, &suggested)
        }
        ErrorKind::UnknownArgument => {
            let word = argument.unwrap_or_default();
            let what = if word.starts_with('-') { "unknown option" } else { "unexpected argument" };
            meant(problem(with(what, word)), word, &words(error, ContextKind::SuggestedArg))
        }
        ErrorKind::InvalidValue if value.is_empty() => {
            one_of(problem(format!("{option} needs a value")), &words(error, ContextKind::ValidValue))
        }
        ErrorKind::InvalidValue => {
            let refused = problem(with(&format!("{option} does not take"), value));
            let suggested = meant(refused, value, &words(error, ContextKind::SuggestedValue));
            one_of(suggested, &words(error, ContextKind::ValidValue))
        }
        ErrorKind::ValueValidation => {
            explained(problem(with(&format!("{option} does not take"), value)), error)
        }
        ErrorKind::TooManyValues => problem(with("unexpected argument", value)),
        ErrorKind::ArgumentConflict => {
            let others = words(error, ContextKind::PriorArg);
            match others.first().map(|other| name_of(other)) {
                Some(other) if Some(other) != argument => {
                    problem(format!("{option} and `{other}` exclude each other"))
                        .hint("leave one of them out")
                }
                _ => problem(format!("{option} is given more than once")),
            }
        }
        ErrorKind::MissingRequiredArgument => {
            let missing: Vec<String> =
                words(error, ContextKind::InvalidArg).into_iter().map(alternatives).collect();
            let whose = command.map_or_else(|| "the command".to_owned(), |command| format!("`{command}`"));
            problem(format!("{whose} needs {}", missing.join(", and ")))
        }
        ErrorKind::MissingSubcommand => problem("no command is given".to_owned()),
        ErrorKind::InvalidUtf8 => problem("an argument is not valid UTF-8".to_owned()),
        other => problem(other.as_str().unwrap_or("the command line cannot be understood").to_lowercase()),
    };
    if problem.hint.is_some() {
        return problem;
    }
    problem.hint(match command {
        Some(command) => format!("`whimbrel {command} --help` shows what it takes"),
        None => "`whimbrel --help` lists the commands and options".to_owned(),
    })
}

/// Returns the words that clap keeps of an error.
fn words(error: &clap::Error, kind: ContextKind) -> Vec<&str> {
    match error.get(kind) {
        Some(ContextValue::String(word)) => vec![word],
        Some(ContextValue::Strings(words)) => words.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Returns `--to` for `--to <ID>`.
fn name_of(argument: &str) -> &str {
    argument.split([' ', '=']).next().unwrap_or_default().trim_matches(['[', ']', '<', '>', '.'])
}

/// Adds a word that was typed, unless it may be a url or a password.
fn with(what: &str, word: &str) -> String {
    let is_name = word.chars().all(|letter| letter.is_alphanumeric() || "-_.".contains(letter));
    match word {
        _ if is_name && !word.is_empty() => format!("{what} `{word}`"),
        _ if what.ends_with("take") => format!("{what} this value"),
        _ => what.to_owned(),
    }
}

/// Adds the likeliest of clap's suggestions, which are generous: it takes `--frobnicate` for `--format`.
fn meant(problem: Problem, word: &str, suggested: &[&str]) -> Problem {
    match nearest(word, suggested.iter().copied()) {
        Some(likely) => problem.hint(format!("did you mean `{likely}`?")),
        None => problem,
    }
}

fn one_of(problem: Problem, values: &[&str]) -> Problem {
    if values.is_empty() || problem.hint.is_some() {
        return problem;
    }
    problem.hint(format!("it takes {}", any_of(values)))
}

/// Adds what to write instead of a value, which our own parsers say behind the last colon. What stands before it quotes
/// the value.
fn explained(problem: Problem, error: &clap::Error) -> Problem {
    let reason = error.source().map(ToString::to_string).unwrap_or_default();
    match reason.rsplit_once(": ") {
        Some((_, instead)) => problem.hint(instead),
        None => problem,
    }
}

/// Returns the arguments of which one is missing: `<--applied|--reverted>`, or `<DATABASE> <ID>`, of which the last
/// one is never optional.
fn alternatives(missing: &str) -> String {
    if missing.contains('|') {
        return any_of(&missing.split('|').map(name_of).collect::<Vec<_>>());
    }
    let last = missing.rsplit(' ').next().unwrap_or(missing);
    any_of(&[if missing.starts_with("--") { name_of(missing) } else { name_of(last) }])
}

/// Returns `` `a`, `b` or `c` ``.
fn any_of(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
