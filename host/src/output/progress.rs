//! Shows how a run goes: a bar on a terminal, a line for each migration that is settled, an event for programs.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use whimbrel_adapter_api::Notice;

use super::{Format, Output, Verbosity, clean, human, json};
use crate::error::Problem;
use crate::report::Settled;
use crate::runner::{Job, Observer};

/// A short migration gets no bar: it would only flicker.
const WORTH_A_BAR: u64 = 50;

/// What a run is shown as.
pub(super) struct Progress<'a> {
    output: &'a Output,
    bar: Option<ProgressBar>,
    waits: bool,
}

impl<'a> Progress<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        Progress { output, bar: None, waits: false }
    }

    fn is_bar_wanted(&self) -> bool {
        self.output.format == Format::Human
            && self.output.verbosity > Verbosity::Quiet
            && std::io::stderr().is_terminal()
    }

    /// Shows a line without breaking the bar.
    fn say(&self, line: &str) {
        let write = || self.output.to_stderr(line);
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Observer for Progress<'_> {
    fn started(&mut self, job: &Job) {
        if self.is_bar_wanted() && job.treatment.statements >= WORTH_A_BAR {
            let bar =
                ProgressBar::with_draw_target(Some(job.treatment.statements), ProgressDrawTarget::stderr());
            let template = "{prefix}  {bar:30} {pos}/{len} statements  {elapsed}";
            bar.set_style(
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.set_prefix(clean::text(&job.step.id.0));
            self.bar = Some(bar);
        }
        if self.output.verbosity > Verbosity::Quiet {
            for remark in &job.treatment.remarks {
                self.say(&format!("note: {}, {remark}\n", job.step.id));
            }
        }
    }

    fn progress(&mut self, _job: &Job, statements: u64, _bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(statements);
        }
    }

    fn notice(&mut self, job: &Job, notice: &Notice) {
        if self.output.verbosity >= Verbosity::Verbose {
            let (severity, message) = (notice.severity.to_lowercase(), clean::short(&notice.message));
            self.say(&format!("{}  {}: {message}\n", job.step.id, clean::short(&severity)));
        }
    }

    fn finished(&mut self, job: &Job, duration: Duration) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.waits = false;
        let settled = Settled { id: job.step.id.clone(), direction: job.step.direction, duration };
        match self.output.format {
            Format::Human => self.output.to_stdout(&human::settled(&settled, self.output.stdout_style())),
            Format::JsonLines => {
                let event = match settled.direction {
                    crate::plan::Direction::Up => "applied",
                    crate::plan::Direction::Down => "reverted",
                };
                self.output.document(event, &json::settled(&settled));
            }
            Format::Json => {}
        }
    }

    fn retrying(&mut self, job: &Job, error: &str) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if self.output.verbosity > Verbosity::Quiet {
            let error = clean::short(error);
            self.say(&format!("note: {} was rolled back and runs again: {error}\n", job.step.id));
        }
    }

    fn recording(&mut self, statements: &[String]) {
        if self.output.format == Format::Human && self.output.verbosity > Verbosity::Quiet {
            self.say(&statements.iter().map(|statement| format!("runs  {statement}\n")).collect::<String>());
        }
    }

    fn waiting(&mut self, for_whom: &str) {
        // Once for each wait, not for each look.
        if !self.waits && self.output.verbosity > Verbosity::Quiet {
            self.say(&format!("waiting for another run ({})\n", clean::short(for_whom)));
        }
        self.waits = true;
    }

    fn warning(&mut self, problem: &Problem) {
        self.output.warnings(std::slice::from_ref(problem));
    }
}
