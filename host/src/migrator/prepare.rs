//! Makes jobs of the steps of a plan: reads every script once, before anything is sent, and collects what is wrong
//! with any of them.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use whimbrel_adapter_api::Mode;

use super::{Options, resume};
use crate::error::{Error, Name, Place, Problem, Result};
use crate::history::Session;
use crate::plan::{Step, StepScript};
use crate::runner::{Grouping, Job, Scripts};
use crate::script::checksums::Checksums;
use crate::script::{self, Circumstances, Outline, Treatment};
use crate::source::{Checksum, Content, Hasher, Id, Script, Transaction};

/// Returns a job for each step.
///
/// # Errors
///
/// Everything that is wrong with any of the scripts.
pub(super) fn jobs(steps: &[Step], session: &mut Session<'_>, options: &Options) -> Result<Vec<Job>> {
    let mut jobs = Vec::with_capacity(steps.len());
    let mut problems = Vec::new();
    for step in steps {
        match job(step, session, options) {
            Ok(job) => jobs.push(job),
            Err(error) => problems.extend(error.problems),
        }
    }
    Error::unless_empty(problems)?;
    Ok(jobs)
}

fn job(step: &Step, session: &mut Session<'_>, options: &Options) -> Result<Job> {
    let (script, transaction) = match &step.script {
        StepScript::Source(script) => (script.clone(), step.transaction),
        StepScript::Stored(position) => stored(&step.id, session.read_down_script(*position)?),
    };
    let (outline, mut treatment) = treatment(&script, transaction, session, options)?;
    if treatment.mode == Mode::Stepwise {
        script::history_table::check(&script, &session.rules, &session.table)?;
    }
    let checksums = Checksums::of(&outline, &treatment);
    if let Some(resumed) = &step.resumes {
        let whole = resume::Whole {
            script: &script,
            rules: &session.rules.clone(),
            outline: &outline,
            checksums: &checksums,
            treatment,
        };
        treatment = resume::treatment(whole, step, resumed, session, &options.database)?;
    }
    let down_text = down_text(step.down.as_ref(), step.down_transaction)?;
    let statement_checksums = checksums.to_string();
    Ok(Job { step: step.clone(), script, treatment, statement_checksums, down_text })
}

/// Checks that jobs which are to be one transaction can be.
///
/// # Errors
///
/// Each job that cannot run in a transaction.
pub(super) fn check_grouping(jobs: &[Job], grouping: Grouping) -> Result<()> {
    if grouping != Grouping::SingleTransaction || jobs.len() < 2 {
        return Ok(());
    }
    let alone = jobs.iter().filter(|job| job.treatment.mode != Mode::Atomic);
    let problem = |job: &Job| {
        let message = format!("`{}` cannot be in one transaction with the others", job.step.id);
        let problem = Problem::new(Name::Unsupported, message).at(Place::file(&job.script.path));
        problem
            .fact("what it does is not taken back by a ROLLBACK, or it is marked `-- no-transaction`")
            .hint("run it without `--single-transaction`, or `mode` in plugins.toml; or apply what comes before it first, with `--to`")
    };
    Error::unless_empty(alone.map(problem).collect())?;
    let mut settings: HashMap<String, (&str, &Job)> = HashMap::new();
    for (job, text) in jobs.iter().flat_map(|job| job.treatment.outside.iter().map(move |text| (job, text))) {
        let (first, by) = settings.entry(script::subject(text)).or_insert((text, job));
        if !first.eq_ignore_ascii_case(text) {
            let (one, other) = (&by.step.id, &job.step.id);
            let message = format!("`{one}` and `{other}` want different settings around one transaction");
            return Err(Problem::new(Name::Unsupported, message)
                .at(Place::file(&job.script.path))
                .fact(format!("`{first}`, and `{text}`"))
                .hint("run it without `--single-transaction`, or `mode` in plugins.toml")
                .into());
        }
    }
    Ok(())
}

/// Returns a down script of the history. It says by itself how it is to be run.
fn stored(id: &Id, text: String) -> (Script, Transaction) {
    let transaction = Transaction::asked_for_by(&text);
    let path = PathBuf::from(format!("{id} (down script in the history)"));
    (Script { path, first_line: 1, content: Content::Bytes(Arc::from(text.into_bytes())) }, transaction)
}

/// Returns how the user's own script for the history table is run.
pub(super) fn own_table(script: &Script, session: &mut Session<'_>, options: &Options) -> Result<Treatment> {
    treatment(script, Transaction::Whole, session, options).map(|(_, treatment)| treatment)
}

fn treatment(
    script: &Script,
    transaction: Transaction,
    session: &mut Session<'_>,
    options: &Options,
) -> Result<(Outline, Treatment)> {
    let rules = session.rules.clone();
    let outline = Outline::scan(script, &rules, session.tables_without_transactions()?)?;
    let circumstances = Circumstances { capabilities: &options.adapter.capabilities, transaction };
    match Treatment::of(&outline, script, &circumstances) {
        Ok(treatment) => Ok((outline, treatment)),
        Err(problems) => Err(Error { problems, done: Vec::new() }),
    }
}

/// Returns the checksums of a script's statements as a run would take them.
pub(super) fn checksums(
    script: &Script,
    transaction: Transaction,
    session: &mut Session<'_>,
    options: &Options,
) -> Result<Checksums> {
    let (outline, treatment) = treatment(script, transaction, session, options)?;
    Ok(Checksums::of(&outline, &treatment))
}

/// Returns the text of a down script, to be stored in the history.
pub(super) fn down_text(script: Option<&Script>, transaction: Transaction) -> Result<Option<String>> {
    Ok(script.map(text).transpose()?.map(|text| transaction.written_into(text)))
}

fn text(script: &Script) -> Result<String> {
    let mut text = String::new();
    let read = script.open().and_then(|mut reader| reader.read_to_string(&mut text));
    read.map_err(|error| unreadable(script, &error))?;
    Ok(text)
}

/// Returns the problem of a script that cannot be read.
pub(super) fn unreadable(script: &Script, error: &io::Error) -> Problem {
    Problem::new(Name::FileUnreadable, format!("cannot read `{}`", script.path.display()))
        .at(Place::file(&script.path))
        .caused_by(error.to_string())
}

/// Opens the scripts of jobs, and hashes each again while it is sent: what was planned is what is applied.
pub(super) struct Verified;

impl Scripts for Verified {
    fn open(&self, job: &Job) -> io::Result<Box<dyn Read + Send>> {
        let reader = job.script.open()?;
        Ok(match &job.step.checksum {
            Some(planned) => Box::new(Verifying { reader, hasher: Hasher::default(), planned: *planned }),
            None => reader,
        })
    }
}

struct Verifying {
    reader: Box<dyn Read + Send>,
    hasher: Hasher,
    planned: Checksum,
}

impl Read for Verifying {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        if count == 0 && !buffer.is_empty() && self.hasher.clone().finish() != self.planned {
            return Err(io::Error::other("the file changed after it was planned"));
        }
        Ok(count)
    }
}
