//! What a script asks of the transaction it runs in.
//!
//! [`Outline::scan`] runs over a script once, before anything is sent, and keeps what is not plain. [`Treatment::of`]
//! decides from that, purely, whether the script runs as one transaction or step by step, what is left out of it, and
//! what cannot be kept and is refused.
//!
//! Knows the engine only by its [`Rules`] and capabilities.

pub mod checksums;
pub mod history_table;

use std::collections::BTreeSet;
use std::io::{self, Read};

use whimbrel_adapter_api::{Capability, Class, Marking, Mode, Piece};

use self::checksums::Digests;
use crate::error::{Name, Place, Problem};
use crate::source::{Script, Transaction};
pub use crate::splitter::Rules;
use crate::splitter::{self, Form, Item, Located, SplitError, Splitter, Statement, Take, Word};

/// A script in outline: how long it is, and what in it is not plain.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// How many statements it has.
    pub statements: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// The statements that are not plain.
    pub special: Vec<Special>,
    /// The first statement that names a table whose changes cannot roll back, and that table.
    pub without_rollback: Option<(u64, String)>,
    /// What tells its statements from others.
    pub digests: Digests,
}

/// A statement that is not plain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Special {
    /// Its number, from 0.
    pub index: u64,
    /// What it does.
    pub class: Class,
    /// Its line, from 1.
    pub line: u64,
    /// Its column, from 1.
    pub column: u64,
    /// Its text: all of one that sets the scene, the first line of any other.
    pub text: String,
    /// What a statement that begins or ends a transaction says beyond that: `ISOLATION LEVEL SERIALIZABLE`.
    pub options: String,
}

/// How a script is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Treatment {
    /// As one transaction or step by step.
    pub mode: Mode,
    /// Settings that are made around the transaction.
    pub outside: Vec<String>,
    /// The numbers of the statements that are not sent as part of the script.
    pub left_out: BTreeSet<u64>,
    /// The numbers of the statements that no mark may follow.
    pub unmarked: BTreeSet<u64>,
    /// Whether a transactional statement shares a transaction with its mark.
    pub joining: Joining,
    /// Whether the script makes settings of its own.
    pub own_settings: OwnSettings,
    /// How many statements are sent.
    pub statements: u64,
    /// How many of these an earlier attempt has brought into the database. They are not sent again.
    pub already_done: u64,
    /// What is run before the others when some are already done: the settings that were made by these.
    pub scene: Vec<String>,
    /// What the user should hear.
    pub remarks: Vec<String>,
}

/// Whether a transactional statement shares a transaction with its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// It does, so that it is always known whether it is in the database.
    Possible,
    /// It would promise too much: the script names a table whose changes cannot roll back.
    Vain,
}

/// Whether a script makes settings of its own, which may override ours: `SET statement_timeout = 0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnSettings {
    /// It does, somewhere.
    Made,
    /// It runs under ours from start to end.
    None,
}

/// What the engine and the script's header say about transactions.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// What the adapter can do.
    pub capabilities: &'a BTreeSet<Capability>,
    /// What the script's header asks for.
    pub transaction: Transaction,
}

impl Outline {
    /// Reads a script from start to end.
    ///
    /// # Errors
    ///
    /// What cannot be read or split, with its place.
    pub fn scan(
        script: &Script,
        rules: &Rules,
        tables_without_transactions: &[String],
    ) -> Result<Self, Problem> {
        let reader = script.open().map_err(|error| unreadable(&error).at(Place::file(&script.path)))?;
        let mut splitter = Splitter::new(rules, reader);
        let mut outline = Outline::default();
        while let Some(item) = splitter.next_item().map_err(|error| not_split(&error, script))? {
            if let Item::Statement(statement) = item {
                outline.add(&statement, script, rules, tables_without_transactions);
            }
        }
        outline.bytes = splitter.offset();
        Ok(outline)
    }

    fn add(
        &mut self,
        statement: &Statement<'_>,
        script: &Script,
        rules: &Rules,
        tables_without_transactions: &[String],
    ) {
        self.statements += 1;
        self.digests.add(statement.class, statement.text);
        if !matches!(statement.class, Class::Plain | Class::Transactional) {
            let first_line = statement.text.lines().next().unwrap_or_default();
            self.special.push(Special {
                index: statement.index,
                class: statement.class,
                line: line_in_file(script, statement.location.line),
                column: statement.location.column,
                // Only these are run from here; of the others messages need no more than the first line.
                text: if sets_scene(statement.class) { statement.text } else { first_line }.to_owned(),
                options: options(statement, rules),
            });
        }
        if self.without_rollback.is_none() && !tables_without_transactions.is_empty() {
            let named = statement
                .words()
                .find_map(|word| tables_without_transactions.iter().find(|table| is_name(word, table)));
            self.without_rollback = named.map(|table| (statement.index, table.clone()));
        }
    }
}

impl Treatment {
    /// Decides how a script is run.
    ///
    /// # Errors
    ///
    /// Everything in the script that cannot be kept.
    pub fn of(
        outline: &Outline,
        script: &Script,
        circumstances: &Circumstances<'_>,
    ) -> Result<Self, Vec<Problem>> {
        let outer = outer_transaction(outline);
        let mut problems = refused(outline, script, circumstances);
        let mode = mode(outline, script, circumstances).unwrap_or_else(|problem| {
            problems.push(problem);
            Mode::Atomic
        });
        // Stepwise on request, a transaction of the script's own is what its author wants.
        let own_control = circumstances.transaction == Transaction::None;
        match own_control {
            true => problems.extend(left_open(outline, script)),
            false => problems.extend(transaction_control(outline, script, outer.as_ref())),
        }
        if !problems.is_empty() {
            return Err(problems);
        }

        let mut left_out: BTreeSet<u64> = indexes(outline, Class::Skipped).collect();
        if !own_control {
            left_out.extend(outer.iter().flatten());
        }
        let (outside, remarks) = match mode {
            Mode::Atomic => hoist(outline, &mut left_out),
            _ => (Vec::new(), Vec::new()),
        };
        let statements = outline.statements - left_out.len() as u64;
        let unmarked = unmarked(outline, &outer.filter(|_| !own_control).unwrap_or_default());
        let joining = if outline.without_rollback.is_some() { Joining::Vain } else { Joining::Possible };
        Ok(Treatment {
            mode,
            outside,
            left_out,
            unmarked,
            joining,
            own_settings: own_settings(outline),
            statements,
            already_done: 0,
            scene: Vec::new(),
            remarks,
        })
    }

    /// Returns the treatment of the same script when so many of its statements are already done.
    ///
    /// # Errors
    ///
    /// The statement that made what ended with its session and cannot be made again.
    pub fn resumed(self, already_done: u64, outline: &Outline) -> Result<Self, &Special> {
        let done = || self.before(already_done, outline);
        if let Some(special) = done().find(|special| special.class == Class::SessionState) {
            return Err(special);
        }
        let locked =
            done().filter(|special| matches!(special.class, Class::LockTables | Class::UnlockTables)).last();
        let locked = locked.filter(|special| special.class == Class::LockTables);
        let locked = locked.map(|special| special.text.clone());
        let scene = self.settings(already_done, outline).into_iter().chain(locked).collect();
        Ok(Treatment { already_done, scene, ..self })
    }

    /// Returns the settings that are made by the first `sent` statements.
    #[must_use]
    pub fn settings(&self, sent: u64, outline: &Outline) -> Vec<String> {
        let settings = self.before(sent, outline).filter(|special| is_setting(special.class));
        settings.map(|special| special.text.clone()).collect()
    }

    /// Returns what is not plain among the first `sent` statements.
    fn before<'a>(&self, sent: u64, outline: &'a Outline) -> impl Iterator<Item = &'a Special> + use<'a> {
        let reach = if sent == 0 { 0 } else { self.index_in_file(sent - 1) + 1 };
        outline.special.iter().take_while(move |special| special.index < reach)
    }

    /// Returns how many statements are left to send.
    #[must_use]
    pub fn statements_left(&self) -> u64 {
        self.statements.saturating_sub(self.already_done)
    }

    /// Returns the number in the file of the statement that was sent as number `sent`.
    #[must_use]
    pub fn index_in_file(&self, sent: u64) -> u64 {
        // Every statement left out at or before the place moves it on by one.
        self.left_out.iter().fold(sent, |index, left_out| if *left_out <= index { index + 1 } else { index })
    }

    /// Returns how the progress mark follows statement `index` of the file.
    #[must_use]
    pub fn marking(&self, index: u64, class: Class) -> Marking {
        match class {
            _ if self.unmarked.contains(&index) => Marking::Unmarked,
            Class::Transactional if self.joining == Joining::Possible => Marking::Joined,
            _ => Marking::Marked,
        }
    }
}

/// Returns whether a word names `table`: letter by letter in quotes, and whatever its case without.
fn is_name(word: Word<'_>, table: &str) -> bool {
    match word.form {
        Form::Bare => word.text.eq_ignore_ascii_case(table),
        Form::Quoted => word.text == table,
    }
}

/// Returns what a statement says beyond beginning or ending a transaction.
fn options(statement: &Statement<'_>, rules: &Rules) -> String {
    if !controls_transaction(statement.class) {
        return String::new();
    }
    let says = |word: &&str| !rules.is_plain_control(word);
    let options: Vec<_> = statement.words().map(|word| word.text).filter(says).collect();
    options.join(" ")
}

fn indexes(outline: &Outline, class: Class) -> impl Iterator<Item = u64> {
    outline.special.iter().filter(move |special| special.class == class).map(|special| special.index)
}

/// Returns the numbers of a BEGIN and a COMMIT around everything else. What is skipped and settings that are the same
/// around the transaction may stand outside the pair: `PRAGMA foreign_keys=OFF; BEGIN TRANSACTION;`, as dumps begin.
///
/// Either may be written twice, with nothing done in between: `SET autocommit = 0; START TRANSACTION;`.
fn outer_transaction(outline: &Outline) -> Option<BTreeSet<u64>> {
    let control = || outline.special.iter().filter(|special| controls_transaction(special.class));
    let begins: Vec<_> = control().take_while(|special| special.class == Class::Begin).collect();
    let commits: Vec<_> = control().skip(begins.len()).collect();
    let (begin, commit) = (begins.last()?.index, commits.first()?.index);
    let is_pair = commits.iter().all(|special| special.class == Class::Commit);
    let outside: BTreeSet<u64> = scenery(outline).chain(control()).map(|special| special.index).collect();
    let mut around = (0..begin).chain(commit + 1..outline.statements);
    (is_pair && around.all(|index| outside.contains(&index)))
        .then(|| begins.iter().chain(&commits).map(|special| special.index).collect())
}

/// Returns the statements that only set the scene for the others.
fn scenery(outline: &Outline) -> impl Iterator<Item = &Special> {
    outline.special.iter().filter(|special| special.class == Class::Skipped || is_setting(special.class))
}

fn own_settings(outline: &Outline) -> OwnSettings {
    let makes_any = outline.special.iter().any(|special| is_setting(special.class));
    if makes_any { OwnSettings::Made } else { OwnSettings::None }
}

fn is_setting(class: Class) -> bool {
    matches!(class, Class::Outside | Class::Setting)
}

/// Returns whether a statement is run again for those behind it, in a session that it did not see.
fn sets_scene(class: Class) -> bool {
    is_setting(class) || class == Class::LockTables
}

fn controls_transaction(class: Class) -> bool {
    matches!(class, Class::Begin | Class::Commit | Class::Rollback)
}

/// Returns the problems of statements that no way of running can keep.
fn refused(outline: &Outline, script: &Script, circumstances: &Circumstances<'_>) -> Vec<Problem> {
    let can_copy = circumstances.capabilities.contains(&Capability::CopyFromStdin);
    let problem = |special: &Special| {
        let problem = match special.class {
            Class::ClientCommand => Problem::new(
                Name::ClientCommand,
                format!("`{}` is a command of the database's own client, not SQL", special.text),
            )
            .hint("take it out, or write it as SQL"),
            Class::CopyFromStdin if !can_copy => {
                Problem::new(Name::Unsupported, "the adapter cannot send data inside a script")
            }
            _ => return None,
        };
        Some(problem.at(special.place(script)))
    };
    outline.special.iter().filter_map(problem).collect()
}

/// Returns a problem for each statement that ends or begins a transaction in the middle of the script, or asks of the
/// outer one what ours does not give.
fn transaction_control(outline: &Outline, script: &Script, outer: Option<&BTreeSet<u64>>) -> Vec<Problem> {
    let control = outline.special.iter().filter(|special| controls_transaction(special.class));
    if outer.is_some() {
        let with_options = control.filter(|special| !special.options.is_empty());
        return with_options.map(|special| lost_options(special, script)).collect();
    }
    control
        .map(|special| {
            Problem::new(Name::TransactionControl, format!("`{}` inside a migration", special.text))
                .at(special.place(script))
                .fact("every migration runs in a transaction of its own; this would end or split it")
                .hint("take it out, or split the file; one BEGIN … COMMIT around everything is fine")
        })
        .collect()
}

/// Returns the problem of an outer BEGIN or COMMIT whose options would be lost without a word.
fn lost_options(special: &Special, script: &Script) -> Problem {
    Problem::new(
        Name::TransactionControl,
        format!("`{}` around a migration: its options cannot be kept", special.text),
    )
    .at(special.place(script))
    .fact("the pair around a file becomes the migration's own transaction, which is begun and ended without options")
    .hint(format!(
        "take `{}` out; or add `-- no-transaction`, and the file's transaction runs as it is written",
        special.options
    ))
}

/// Returns the problem of a transaction that a script begins and never ends: our own row would be lost in it.
fn left_open(outline: &Outline, script: &Script) -> Option<Problem> {
    let last = outline.special.iter().rfind(|special| controls_transaction(special.class))?;
    (last.class == Class::Begin).then(|| {
        Problem::new(Name::TransactionControl, "the transaction that begins here is never ended")
            .at(last.place(script))
            .hint("end it with COMMIT")
    })
}

/// Decides between one transaction and step by step.
fn mode(outline: &Outline, script: &Script, circumstances: &Circumstances<'_>) -> Result<Mode, Problem> {
    let can = |capability| circumstances.capabilities.contains(&capability);
    if circumstances.transaction == Transaction::None || !can(Capability::Transactions) {
        return Ok(Mode::Stepwise);
    }
    let commits = |special: &Special| matches!(special.class, Class::ImplicitCommit | Class::LockTables);
    if outline.without_rollback.is_some() || outline.special.iter().any(commits) {
        return Ok(Mode::Stepwise);
    }
    let mut refusing = outline.special.iter().filter(|special| special.class == Class::NoTransaction);
    let Some(first) = refusing.next() else {
        return Ok(Mode::Atomic);
    };
    // What only sets the scene does not make it a mixture.
    if 1 + refusing.count() as u64 + scenery(outline).count() as u64 == outline.statements {
        return Ok(Mode::Stepwise);
    }
    Err(Problem::new(Name::MixedTransaction, format!("`{}` cannot run in a transaction, and the rest of the file needs one", first.text))
        .at(first.place(script))
        .hint("move it to a migration of its own; or add `-- no-transaction` and accept that a failure leaves the statements before it in the database"))
}

/// Takes the settings that belong around the transaction out of the script. The first value of each counts; what
/// follows puts it back, and that happens anyway.
fn hoist(outline: &Outline, left_out: &mut BTreeSet<u64>) -> (Vec<String>, Vec<String>) {
    let mut outside: Vec<String> = Vec::new();
    let mut remarks = Vec::new();
    let mut seen = BTreeSet::new();
    for special in outline.special.iter().filter(|special| special.class == Class::Outside) {
        left_out.insert(special.index);
        if seen.insert(subject(&special.text)) {
            remarks.push(format!(
                "line {}: `{}` has no effect inside a transaction: it is set around the whole file and put back after it",
                special.line, special.text
            ));
            outside.push(special.text.clone());
        }
    }
    (outside, remarks)
}

/// Returns what a setting is about: all that is before its value, without the schema that may qualify it. A file may
/// write `PRAGMA foreign_keys = OFF` at its start and `PRAGMA main.foreign_keys = ON` at its end.
pub(crate) fn subject(text: &str) -> String {
    let before_value = text.split(['=', '(']).next().unwrap_or(text);
    let (command, setting) =
        before_value.trim().split_once(char::is_whitespace).unwrap_or((before_value, ""));
    let name = setting.rsplit('.').next().unwrap_or(setting);
    format!("{command} {}", name.split_whitespace().collect::<Vec<_>>().join(" ")).to_uppercase()
}

/// Returns the statements that no mark may follow: under LOCK TABLES the history cannot be written, inside a
/// transaction of the script's own a mark could be rolled back, and before ROW_COUNT() it would be what is counted.
fn unmarked(outline: &Outline, left_out_pair: &BTreeSet<u64>) -> BTreeSet<u64> {
    let mut unmarked = BTreeSet::new();
    let (mut locked, mut began) = (None, None);
    let mut close = |since: &mut Option<u64>, end: u64| {
        unmarked.extend(since.take().into_iter().flat_map(|since| since..end));
    };
    for special in outline.special.iter().filter(|special| !left_out_pair.contains(&special.index)) {
        match special.class {
            // Each of the two ends the other: LOCK TABLES commits, START TRANSACTION unlocks.
            Class::Begin => {
                close(&mut locked, special.index);
                began = began.or(Some(special.index));
            }
            Class::LockTables => {
                close(&mut began, special.index);
                locked = locked.or(Some(special.index));
            }
            Class::UnlockTables => close(&mut locked, special.index),
            Class::Commit | Class::Rollback | Class::ImplicitCommit => close(&mut began, special.index),
            Class::ReadsPrevious => close(&mut special.index.checked_sub(1), special.index),
            _ => {}
        }
    }
    // What is held to the end is ended by the closing texts.
    close(&mut locked, outline.statements);
    close(&mut began, outline.statements);
    unmarked
}

impl Special {
    fn place(&self, script: &Script) -> Place {
        let place = Place::position(&script.path, self.line, self.column);
        match line_at(script, self.line + 1 - script.first_line) {
            Some(excerpt) => place.with_excerpt(excerpt),
            None => place,
        }
    }
}

/// A script on its way to the adapter: what is sent of it, piece by piece.
pub struct Pieces(splitter::Pieces<Box<dyn Read + Send>, Choose>);

/// Chooses what is sent of a script.
type Choose = Box<dyn FnMut(&Statement<'_>) -> Take>;

impl Pieces {
    /// Returns the pieces of the script that `reader` gives.
    #[must_use]
    pub fn new(reader: Box<dyn Read + Send>, rules: &Rules, treatment: &Treatment) -> Self {
        let treatment = treatment.clone();
        let mut already_done = treatment.already_done;
        let take = move |statement: &Statement<'_>| {
            if treatment.left_out.contains(&statement.index) {
                return Take::LeaveOut;
            }
            if already_done > 0 {
                already_done -= 1;
                return Take::LeaveOut;
            }
            Take::Keep(treatment.marking(statement.index, statement.class))
        };
        Pieces(splitter::Pieces::new(rules, reader, Box::new(take)))
    }

    /// Returns the next piece, or `None` after the last one.
    ///
    /// # Errors
    ///
    /// What cannot be read. What cannot be split was found by [`Outline::scan`], unless the file changed since.
    pub fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Problem> {
        self.0.next_piece().map_err(|error| match error {
            SplitError::Read(error) => unreadable(&error),
            SplitError::Script(problem) => changed(&problem.kind.to_string()),
        })
    }
}

/// Returns the place of byte `byte` of statement `index` of a script, with the text of its line.
#[must_use]
pub fn locate(script: &Script, rules: &Rules, index: u64, byte: u64) -> Option<Place> {
    let located = statement(script, rules, index)?;
    let place = located.place(byte);
    let excerpt = line_at(script, place.line)?;
    Some(Place::position(&script.path, line_in_file(script, place.line), place.column).with_excerpt(excerpt))
}

/// Returns statement `index` of a script.
#[must_use]
pub fn statement(script: &Script, rules: &Rules, index: u64) -> Option<Located> {
    let reader = script.open().ok()?;
    splitter::locate(rules, reader, index, |_| Take::Keep(Marking::Marked)).ok()?
}

/// How much of a line is shown.
const LONGEST_EXCERPT: usize = 200;

/// Returns a line of a script, cut where it gets too long to show. Reads no more of it: a line may be as long as a file.
fn line_at(script: &Script, line: u64) -> Option<String> {
    use std::io::{BufRead, Read};
    let mut reader = io::BufReader::new(script.open().ok()?);
    for _ in 1..line {
        reader.skip_until(b'\n').ok()?;
    }
    let (mut bytes, longest_character) = (Vec::new(), 4);
    let longest = (LONGEST_EXCERPT * longest_character) as u64;
    reader.take(longest).read_until(b'\n', &mut bytes).ok().filter(|read| *read > 0)?;
    let text = String::from_utf8_lossy(&bytes);
    Some(text.trim_end().chars().take(LONGEST_EXCERPT).collect())
}

/// A script taken from a header does not begin on the first line of its file.
fn line_in_file(script: &Script, line: u64) -> u64 {
    script.first_line + line - 1
}

fn not_split(error: &SplitError, script: &Script) -> Problem {
    match error {
        SplitError::Read(error) => unreadable(error).at(Place::file(&script.path)),
        SplitError::Script(problem) => {
            let line = line_in_file(script, problem.location.line);
            let place = Place::position(&script.path, line, problem.location.column);
            let place = match line_at(script, problem.location.line) {
                Some(excerpt) => place.with_excerpt(excerpt),
                None => place,
            };
            Problem::new(Name::Script, problem.kind.to_string()).at(place)
        }
    }
}

/// Returns the problem of a script that cannot be read.
#[must_use]
pub fn unreadable(error: &io::Error) -> Problem {
    match error.get_ref() {
        // Not the system's: the check that what is sent is what was planned.
        Some(inner) => changed(&inner.to_string()),
        None => Problem::new(Name::FileUnreadable, "the script cannot be read").caused_by(error.to_string()),
    }
}

fn changed(what: &str) -> Problem {
    Problem::new(Name::ChangedWhileRead, format!("the script was changed during the run: {what}"))
        .hint("run it again; the new text is checked first")
}

#[cfg(test)]
mod tests;
