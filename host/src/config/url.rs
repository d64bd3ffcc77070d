//! Where the url of a database comes from.
//!
//! Offers what was given for this very database, and `DATABASE_URL`, which counts only if the adapter serves its scheme:
//! that is the [`factory`](crate::factory)'s decision. A file is read, a command run and a variable looked up only when
//! the value is needed.
//!
//! Knows no url's inner form.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use whimbrel_adapter_api::Secret;

use super::environment::{Variables, read_if_present};
use super::file::Values;
use super::keys::url_variable;
use super::origin::{Located, Origin};
use super::passwords::Passwords;
use crate::error::{Name, Problem, Result};

/// The places that can give the url of a database.
#[derive(Clone, Debug)]
pub struct Urls {
    database: String,
    given: Option<Located<Secret>>,
    configured: Configured,
    /// The folder of plugins.toml, in which `url_command` runs.
    directory: PathBuf,
    /// plugins.toml and what there is of it, for the message that nothing gives a url.
    file: (String, String),
    variables: Variables,
}

/// What `[databases.NAME]` says. At most one of them is there.
#[derive(Clone, Debug)]
enum Configured {
    Nothing,
    Text(Located<Secret>),
    File(Located<PathBuf>),
    Command(Located<Secret>),
}

impl Urls {
    pub(super) fn new(
        database: &str,
        given: Option<Located<Secret>>,
        section: Option<&Values>,
        variables: &Variables,
        (path, found): (&PathBuf, bool),
    ) -> Self {
        let reason = match section {
            None if !found => "no such file".to_owned(),
            None => format!("no section [databases.{database}]"),
            Some(_) => format!("no `url`, `url_file` or `url_command` in [databases.{database}]"),
        };
        Urls {
            database: database.to_owned(),
            given,
            configured: section.map_or(Configured::Nothing, Configured::of),
            directory: super::file::directory_of(path).to_owned(),
            file: (path.display().to_string(), reason),
            variables: variables.clone(),
        }
    }

    /// Returns the url that was given for this very database: by `--url`, by its variable or by its section.
    ///
    /// # Errors
    ///
    /// When a place that gives one cannot deliver it: a `${VAR}` that is not set, a file that cannot be read, a command
    /// that fails. Lesser places are not tried in its stead.
    pub fn own(&self) -> Result<Option<Located<Secret>>> {
        if let Some(url) = &self.given {
            return Ok(Some(url.clone()));
        }
        if let Some(url) = self.variables.get(&url_variable(&self.database))? {
            return Ok(Some(url.map(Secret::new)));
        }
        match &self.configured {
            Configured::Nothing => Ok(None),
            Configured::Text(template) => self.expand(template).map(Some),
            Configured::File(path) => read_url_file(path).map(Some),
            Configured::Command(command) => self.run(command).map(Some),
        }
    }

    /// Returns `DATABASE_URL`, which is meant for whichever database it fits.
    ///
    /// # Errors
    ///
    /// When it is not text.
    pub fn shared(&self) -> Result<Option<Located<Secret>>> {
        Ok(self.variables.get("DATABASE_URL")?.map(|url| url.map(Secret::new)))
    }

    /// Returns where passwords may stand that the url leaves out.
    #[must_use]
    pub fn passwords(&self) -> Passwords {
        Passwords::new(&self.variables)
    }

    /// Returns the problem that nothing gives a url, with every place that was looked at.
    ///
    /// `unfit` says why [`shared`](Self::shared) does not do, where there is one.
    #[must_use]
    pub fn missing(&self, unfit: Option<String>) -> Problem {
        let variable = url_variable(&self.database);
        let shared = unfit.unwrap_or_else(|| self.variables.absence("DATABASE_URL").to_owned());
        let places = [
            ("`--url`".to_owned(), "not given".to_owned()),
            (format!("`{variable}`"), self.variables.absence(&variable).to_owned()),
            self.file.clone(),
            ("`DATABASE_URL`".to_owned(), shared),
        ];
        Problem::new(Name::UrlMissing, format!("no url for `{}`", self.database)).looked_in(places).hint(
            format!(
                "set `{variable}`, or put `url = \"...\"` under [databases.{}] in {}",
                self.database, self.file.0
            ),
        )
    }

    fn expand(&self, template: &Located<Secret>) -> Result<Located<Secret>> {
        let mut url = String::new();
        for part in parts(template.value.reveal()) {
            match part {
                Part::Text(text) => url.push_str(text),
                Part::Variable(name) => url.push_str(&self.look_up(name, &template.origin)?),
                // Refused when the file was read.
                Part::Malformed => {}
            }
        }
        // `url = "${VAR}"` is that variable's url: messages name the variable, which is what has to be changed.
        let origin = match parts(template.value.reveal()).as_slice() {
            [Part::Variable(name)] => {
                self.variables.get(name)?.map_or_else(|| template.origin.clone(), |variable| variable.origin)
            }
            _ => template.origin.clone(),
        };
        checked(&url, origin)
    }

    fn look_up(&self, name: &str, origin: &Origin) -> Result<String> {
        if let Some(value) = self.variables.get(name)? {
            return Ok(value.value);
        }
        let message = format!(
            "the url of `{}` needs `{name}`, which is {}",
            self.database,
            self.variables.absence(name)
        );
        let problem = at(Problem::new(Name::UrlMissing, message), origin);
        Err(problem.hint(format!("set `{name}` in the environment or in `.env`, or give `--url`")).into())
    }

    fn run(&self, command: &Located<Secret>) -> Result<Located<Secret>> {
        let failed = |what: String| {
            let message = format!("the `url_command` of `{}` {what}", self.database);
            at(Problem::new(Name::Config, message), &command.origin)
                .hint("run it by hand to see why: its output is not shown, because it may hold a secret")
        };
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command.value.reveal()).stdin(Stdio::null()).stderr(Stdio::null());
        if !self.directory.as_os_str().is_empty() {
            shell.current_dir(&self.directory);
        }
        let output = shell.output().map_err(|error| failed(format!("cannot be run: {error}")))?;
        if !output.status.success() {
            return Err(failed(format!("ended with {}", output.status)).into());
        }
        let url =
            String::from_utf8(output.stdout).map_err(|_| failed("printed what is not UTF-8".to_owned()))?;
        checked(&url, command.origin.clone())
    }
}

impl Configured {
    fn of(section: &Values) -> Self {
        if let Some(url) = section.secrets.get("url") {
            Configured::Text(url.clone())
        } else if let Some(path) = section.path("url_file") {
            Configured::File(path.clone())
        } else if let Some(command) = section.secrets.get("url_command") {
            Configured::Command(command.clone())
        } else {
            Configured::Nothing
        }
    }
}

/// Checks what can be known of a section's url without needing it.
pub(super) fn check(database: &str, section: &Values, problems: &mut Vec<Problem>) {
    let url = section.secrets.get("url");
    let origins: Vec<(&str, &Origin)> = [
        url.map(|url| ("url", &url.origin)),
        section.path("url_file").map(|path| ("url_file", &path.origin)),
        section.secrets.get("url_command").map(|command| ("url_command", &command.origin)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let [(first, _), (second, origin), ..] = origins.as_slice() {
        let message = format!("`databases.{database}` has both `{first}` and `{second}`");
        problems.push(at(Problem::new(Name::Config, message), origin).hint("keep one of them"));
    }
    if let Some(url) = url
        && parts(url.value.reveal()).contains(&Part::Malformed)
    {
        let message = format!("the url of `{database}` has a `${{` that begins no variable");
        let problem = at(Problem::new(Name::Config, message), &url.origin);
        problems.push(
            problem.hint("write `${NAME}` for a variable, and `$${` for the two characters themselves"),
        );
    }
}

/// A part of a text with `${VAR}` in it.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Variable(&'a str),
    Malformed,
}

/// Splits a text at its `${VAR}`. A `$` that no brace follows is a `$`: passwords are full of them.
fn parts(mut text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    while let Some(start) = text.find("${") {
        let (before, rest) = text.split_at(start);
        if let Some(before) = before.strip_suffix('$') {
            parts.extend([Part::Text(before), Part::Text("${")]);
            text = &rest[2..];
            continue;
        }
        parts.push(Part::Text(before));
        match rest[2..].split_once('}') {
            Some((name, after)) if is_variable(name) => {
                parts.push(Part::Variable(name));
                text = after;
            }
            _ => {
                parts.push(Part::Malformed);
                text = &rest[2..];
            }
        }
    }
    parts.push(Part::Text(text));
    parts.retain(|part| *part != Part::Text(""));
    parts
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn read_url_file(path: &Located<PathBuf>) -> Result<Located<Secret>> {
    let absent = || {
        let message = format!("the `url_file` {} is not there", path.value.display());
        at(Problem::new(Name::UrlMissing, message), &path.origin)
    };
    let text = read_if_present(&path.value)?.ok_or_else(absent)?;
    checked(&text, path.origin.clone())
}

/// Returns a url without the white space around it, if it is one line.
fn checked(url: &str, origin: Origin) -> Result<Located<Secret>> {
    let url = url.trim();
    let wrong = match url.lines().count() {
        0 => "is empty",
        1 => return Ok(Located::new(Secret::new(url), origin)),
        _ => "has more than one line",
    };
    Err(at(Problem::new(Name::UrlMissing, format!("the url from {origin} {wrong}")), &origin).into())
}

fn at(problem: Problem, origin: &Origin) -> Problem {
    match origin.place() {
        Some(place) => problem.at(place),
        None => problem,
    }
}
