//! Shows what happened: text for people, json for programs.
//!
//! Results go to standard output; progress, warnings and errors to standard error. Nothing else in this crate prints.
//!
//! What is shown is made by pure functions in `human`, `problem` and `json`; this file only decides where it goes.

mod clean;
mod human;
mod json;
mod problem;
mod progress;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use whimbrel_conformance::{Checked, Part, Report as Suite, Verdict};

use self::progress::Progress;
use crate::error::{Error, Name, Problem, Result};
use crate::factory::Diagnosis;
use crate::history::History;
use crate::migrator::{Preview, Settlement};
use crate::plugin::lock::Lock;
use crate::plugin::{Found, Inventory};
use crate::report::{Report, Status};
use crate::runner::Observer;
use crate::source::Id;
use crate::template::Made;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Human,
    /// One document at the end.
    Json,
    /// One line for each event.
    JsonLines,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Never.
    Never,
    /// On a terminal.
    OnTerminals,
}

/// How much to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Only results and errors.
    Quiet,
    /// Progress and warnings too.
    Normal,
    /// Also what was chosen and why, and what the server says.
    Verbose,
}

/// Where things are shown, and for whom.
pub struct Output {
    format: Format,
    colour: Colour,
    verbosity: Verbosity,
    /// What is known of the database so far: parts of every document.
    subject: Subject,
    /// Why results could not be written.
    lost: OnceLock<io::Error>,
}

/// The database that a command is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject {
    pub(crate) database: Option<String>,
    pub(crate) adapter: Option<String>,
    /// Without its password.
    pub(crate) url: Option<String>,
}

impl Output {
    /// Returns an output for this process.
    #[must_use]
    pub fn new(format: Format, colour: Colour, verbosity: Verbosity) -> Self {
        Output { format, colour, verbosity, subject: Subject::default(), lost: OnceLock::new() }
    }

    /// Returns an output for the same command, for a thread that speaks in place of the one that has this.
    #[must_use]
    pub fn for_another_thread(&self) -> Self {
        Output { subject: self.subject.clone(), ..Output::new(self.format, self.colour, self.verbosity) }
    }

    /// Says which database the command is about.
    pub fn database(&mut self, name: &str) {
        self.subject.database = Some(name.to_owned());
    }

    /// Says which adapter serves it, and where it is, without the password.
    pub fn adapter(&mut self, name: &str, redacted_url: &str) {
        self.subject.adapter = Some(name.to_owned());
        self.subject.url = Some(redacted_url.to_owned());
    }

    /// Shows what only `-v` asks for.
    pub fn detail(&self, line: &str) {
        if self.verbosity >= Verbosity::Verbose {
            self.to_stderr(&format!("{line}\n"));
        }
    }

    /// Says that the database is not there yet.
    pub fn waiting_for_database(&self, reason: &str) {
        if self.verbosity > Verbosity::Quiet {
            let url = self.subject.url.as_deref().unwrap_or_default();
            self.to_stderr(&format!("waiting for the database {url}: {}\n", clean::short(reason)));
        }
    }

    /// Returns what hears and shows how a run goes.
    #[must_use]
    pub fn observer(&self) -> impl Observer + use<'_> {
        Progress::new(self)
    }

    /// Shows what a run did.
    pub fn report(&self, report: &Report) {
        match self.format {
            Format::Human => self.to_stdout(&human::report(report, &self.subject, self.stdout_style())),
            _ => self.document("report", &json::report(&report.done, None, &self.subject)),
        }
    }

    /// Shows what a run did before it failed, and why it failed. Returns the exit code.
    #[must_use]
    pub fn failed_report(&self, error: &Error) -> u8 {
        if self.format != Format::Human {
            self.document("report", &json::report(&error.done, Some(error), &self.subject));
        }
        self.problems(&error.problems);
        error.exit_code()
    }

    /// Shows why a command could not be done. Returns the exit code.
    #[must_use]
    pub fn error(&self, error: &Error) -> u8 {
        if self.format != Format::Human {
            self.document("error", &json::error(error, &self.subject));
        }
        self.problems(&error.problems);
        error.exit_code()
    }

    /// Shows what would run.
    ///
    /// # Errors
    ///
    /// A script that cannot be read.
    pub fn preview(&self, preview: &Preview) -> Result<()> {
        self.warnings(&preview.warnings);
        match self.format {
            Format::Human => self.to_stdout(&human::preview(preview, &self.subject, self.stdout_style())?),
            _ => self.document("plan", &json::preview(preview, &self.subject)?),
        }
        Ok(())
    }

    /// Says that a plan was written.
    pub fn plan_written(&self, file: &Path, preview: &Preview) {
        self.warnings(&preview.warnings);
        let text = format!(
            "wrote {} of {} to {}\n",
            human::migrations(preview.jobs.len()),
            self.name(),
            file.display()
        );
        match self.format {
            Format::Human => self.to_stdout(&text),
            _ => self.document("plan", &json::plan_written(file, preview, &self.subject)),
        }
    }

    /// Shows how the migrations stand.
    pub fn status(&self, status: &Status) {
        match self.format {
            Format::Human => self.to_stdout(&human::status(status, &self.subject, self.stdout_style())),
            _ => self.document("status", &json::status(status, &self.subject)),
        }
    }

    /// Shows every attempt.
    pub fn history(&self, history: &History) {
        match self.format {
            Format::Human => self.to_stdout(&human::history(history, &self.subject, self.stdout_style())),
            _ => self.document("history", &json::history(history, &self.subject)),
        }
    }

    /// Shows in what files and history disagree.
    pub fn verified(&self, problems: &[Problem]) {
        match self.format {
            Format::Human if problems.is_empty() => {
                self.to_stdout(&format!("{}: files and history agree\n", self.name()));
            }
            Format::Human => {}
            _ => self.document("verify", &json::verified(problems, &self.subject)),
        }
        self.problems(problems);
    }

    /// Says what was recorded.
    pub fn repaired(&self, id: &Id, settlement: Settlement) {
        let what = match settlement {
            Settlement::Applied => "as applied".to_owned(),
            Settlement::Reverted => "as taken back".to_owned(),
            Settlement::AcceptChecksum => "with the checksum of its file".to_owned(),
            Settlement::ResumeAt(statement) => format!("as half done, to go on at statement {statement}"),
        };
        match self.format {
            Format::Human => self.to_stdout(&format!("recorded {id} {what}; no SQL of it was run\n")),
            _ => self.document("repair", &json::repaired(id, settlement, &self.subject)),
        }
    }

    /// Says what was taken as applied.
    pub fn baselined(&self, taken: &[Id]) {
        match self.format {
            Format::Human => self.to_stdout(&human::baselined(taken, &self.subject)),
            _ => self.document("baseline", &json::baselined(taken, &self.subject)),
        }
    }

    /// Says which files were created.
    pub fn created(&self, files: &[PathBuf]) {
        match self.format {
            Format::Human => {
                let lines = files.iter().map(|file| format!("created  {}\n", file.display()));
                self.to_stdout(&lines.collect::<String>());
            }
            _ => self.document("new", &json::created(files)),
        }
    }

    /// Says that the crate of an adapter was made, and what comes next.
    pub fn began(&self, made: &Made, next_steps: &[String]) {
        match self.format {
            Format::Human => self.to_stdout(&human::began(made, next_steps)),
            _ => self.document("adapter", &json::began(made, next_steps)),
        }
    }

    /// Shows the adapters that were found.
    pub fn adapters(&self, inventory: &Inventory) {
        match self.format {
            Format::Human => self.to_stdout(&human::adapters(inventory, self.stdout_style())),
            _ => self.document("adapters", &json::adapters(inventory)),
        }
    }

    /// Shows what a library says of itself.
    pub fn library(&self, found: &Found) {
        match self.format {
            Format::Human => self.to_stdout(&human::library(found, self.stdout_style())),
            _ => self.document("library", &json::library(found)),
        }
    }

    /// Explains the choice of an adapter. Why it does not do is left to the error.
    pub fn diagnosis(&self, diagnosis: &Diagnosis) {
        match self.format {
            Format::Human => self.to_stdout(&human::diagnosis(diagnosis, self.stdout_style())),
            Format::Json if diagnosis.outcome.is_err() => {}
            _ => self.document("doctor", &json::diagnosis(diagnosis)),
        }
    }

    /// Says what was locked.
    pub fn locked(&self, lock: &Lock) {
        match self.format {
            Format::Human => self.to_stdout(&human::locked(lock)),
            _ => self.document("lock", &json::locked(lock)),
        }
    }

    /// Shows what came of one check of the conformance suite.
    pub fn checked(&self, checked: &Checked) {
        let is_quiet = self.verbosity == Verbosity::Quiet && !matches!(checked.verdict, Verdict::Failed(_));
        match self.format {
            Format::Human if is_quiet => {}
            Format::Human => self.to_stdout(&human::checked(checked, self.stdout_style())),
            Format::JsonLines => self.document("check", &json::checked(checked)),
            Format::Json => {}
        }
    }

    /// Shows what came of the conformance suite.
    pub fn tested(&self, found: &Found, part: Part, report: &Suite) {
        match self.format {
            Format::Human => self.to_stdout(&human::tested(found, part, report, self.stdout_style())),
            _ => self.document("test", &json::tested(found, part, report, &self.subject)),
        }
    }

    /// Returns standard output, for a protocol of its own.
    #[must_use]
    pub fn stream(&self) -> impl Write + use<> {
        io::stdout()
    }

    /// Writes bytes to standard output as they are.
    pub fn bytes(&self, bytes: &[u8]) {
        match write_to(&mut io::stdout(), bytes) {
            // A reader that has gone away (`whimbrel history | head`) has all that it wanted.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                // The first error is the one that counts.
                let _ = self.lost.set(error);
            }
            _ => {}
        }
    }

    /// Says that results could not be written, if it is so. Returns the exit code of a command that ended with `code`.
    #[must_use]
    pub fn settle(&self, code: u8) -> u8 {
        let Some(error) = self.lost.get() else { return code };
        let problem = Problem::new(Name::OutputUnwritable, "the results cannot be written")
            .caused_by(error.to_string());
        if code != 0 {
            self.problems(&[problem]);
            return code;
        }
        let exit_code = problem.name.exit_code();
        self.problems(&[problem.state("the command was carried out")]);
        exit_code
    }

    fn name(&self) -> &str {
        self.subject.database.as_deref().unwrap_or("database")
    }

    fn problems(&self, problems: &[Problem]) {
        self.to_stderr(&problem::all(problems, problem::Severity::Error, self.stderr_style()));
    }

    /// Shows what does not stop a command.
    pub fn warnings(&self, problems: &[Problem]) {
        if self.verbosity > Verbosity::Quiet {
            self.to_stderr(&problem::all(problems, problem::Severity::Warning, self.stderr_style()));
        }
    }

    fn document(&self, event: &str, document: &serde_json::Value) {
        let text = match self.format {
            Format::JsonLines => json::line(event, document),
            _ => format!("{document:#}\n"),
        };
        self.bytes(clean::json(&text).as_bytes());
    }

    fn stdout_style(&self) -> human::Style {
        human::Style::of(self.colour, &io::stdout())
    }

    fn stderr_style(&self) -> human::Style {
        human::Style::of(self.colour, &io::stderr())
    }

    fn to_stdout(&self, text: &str) {
        self.bytes(clean::text(text).as_bytes());
    }

    fn to_stderr(&self, text: &str) {
        // There is nobody left to tell that it cannot be told.
        let _ = write_to(&mut io::stderr(), clean::text(text).as_bytes());
    }
}

fn write_to(stream: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).and_then(|()| stream.flush())
}
