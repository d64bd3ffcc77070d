//! The adapter as the rest of the program knows it: every call goes to the process, and its answer comes back.
//!
//! When the process ends in the middle of a call, that is the call's error. What a batch has then become is told as far as it
//! is certain: a transaction whose end was not asked for is rolled back by whoever keeps the database.

use std::borrow::{BorrowMut, Cow};
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use whimbrel_adapter_api::{
    Adapter, BodyFailed, Canceller, ConnectOptions, Connection, Dialect, EncodedText, Error, ErrorKind,
    Events, Facts, Failure, Info, Lexer, Liveness, Mode, Opened, Phase, Quirks, ReadError, Rest, RowSet,
    RowSink, Secret, State, Stop, TableName, Text, TransactionBody, TransactionOptions, Value, Wanted, Work,
};

use super::Started;
use super::line::{Line, session_sockets};
use super::process::Process;
use super::protocol::{Answer, Call, Errand, Made, NextBatch, NextPiece, Options, Question, VERSION, Word};

/// An adapter in another process. When that has ended, the next attempt to connect starts another one.
pub struct Isolated {
    info: Info,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    process: Mutex<Arc<Process>>,
}

impl Isolated {
    /// Starts what `command` returns, which has to call [`serve`](super::serve), and returns the adapter that it loads.
    ///
    /// # Errors
    ///
    /// `Crashed` when there is no process or it ends; what `serve` says of the library, which it could not load.
    pub fn start(command: impl Fn() -> Command + Send + Sync + 'static) -> Result<Started, Error> {
        let (info, process) = begin(command())?;
        let isolated =
            Isolated { info, command: Box::new(command), process: Mutex::new(Arc::clone(&process)) };
        Ok(Started { adapter: Arc::new(isolated), process })
    }

    fn errand<T: DeserializeOwned>(&self, errand: &Errand) -> Result<T, Error> {
        let process = Arc::clone(&lock(&self.process));
        let answer = process.errands().ask(errand);
        answer.map_err(|error| process.crashed(&error))
    }

    /// Returns a process that has not ended.
    fn living(&self) -> Result<Arc<Process>, Error> {
        let mut process = lock(&self.process);
        if process.is_over() {
            let (info, another) = begin((self.command)())?;
            if info != self.info {
                return Err(Error::new(
                    ErrorKind::Misbehaved,
                    "the adapter is another one than before its crash",
                ));
            }
            *process = another;
        }
        Ok(Arc::clone(&process))
    }
}

fn begin(command: Command) -> Result<(Info, Arc<Process>), Error> {
    let cannot = |error: io::Error| {
        Error::new(ErrorKind::Crashed, format!("the process of the adapter cannot be started: {error}"))
    };
    let process = Arc::new(Process::start(command).map_err(cannot)?);
    let version: String = process.errands().receive().map_err(|error| process.crashed(&error))?;
    if version != VERSION {
        let message = format!("its process is of whimbrel {version}, and this program of {VERSION}");
        return Err(Error::new(ErrorKind::Misbehaved, message));
    }
    let info: Answer<Info> = process.errands().receive().map_err(|error| process.crashed(&error))?;
    Ok((info?, process))
}

fn lock<T>(line: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic between two frames leaves the line as it was.
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Adapter for Isolated {
    fn info(&self) -> Info {
        self.info.clone()
    }

    fn check_url(&self, url: &Secret) -> Result<(), Error> {
        self.errand::<Answer<()>>(&Errand::CheckUrl(url.reveal().to_owned()))?
    }

    fn connect(&self, options: &ConnectOptions) -> Result<Opened, Error> {
        let process = self.living()?;
        let crashed = |error: io::Error| process.crashed(&error);
        let no_session = |what: &str| Error::new(ErrorKind::Other, format!("there is no session: {what}"));
        let ([mut calls, dialects, cancels], theirs) =
            session_sockets().map_err(|error| no_session(&error.to_string()))?;
        {
            let mut errands = process.errands();
            errands.send(&Errand::Connect(Options::from(options))).map_err(crashed)?;
            errands.send_sockets(&theirs).map_err(crashed)?;
        }
        drop(theirs);
        // Not on the socket of the process: meanwhile others may want to connect too.
        let answer = calls.receive::<Answer<()>>().map_err(|error| match process.has_ended() {
            true => crashed(error),
            false => no_session("the process of the adapter could not take it"),
        });
        answer??;
        let dialects = Arc::new(Mutex::new(dialects));
        let connection = Near { calls: Held(calls), dialects, process: Arc::clone(&process) };
        let canceller = NearCanceller { cancels: Mutex::new(cancels), process };
        Ok(Opened::new(Box::new(connection), Arc::new(canceller)))
    }

    /// An adapter that crashes here says nothing about its engine, and every later call says that it crashed.
    fn quirks(&self) -> Quirks {
        self.errand(&Errand::Quirks).unwrap_or_default()
    }
}

struct NearCanceller {
    cancels: Mutex<Line>,
    process: Arc<Process>,
}

impl Canceller for NearCanceller {
    fn cancel(&self) -> Result<(), Error> {
        lock(&self.cancels).ask::<Answer<()>>(&()).map_err(|error| self.process.crashed(&error))?
    }
}

/// A line that is hung up when it is dropped, so that a session has ended when its owner goes on.
struct Held(Line);

impl BorrowMut<Line> for Held {
    fn borrow_mut(&mut self) -> &mut Line {
        &mut self.0
    }
}

impl std::borrow::Borrow<Line> for Held {
    fn borrow(&self) -> &Line {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Who is gone has put everything away.
        let _ = self.0.hang_up();
    }
}

/// A session: of its own, or the one that is lent to the body of a transaction.
struct Near<L> {
    calls: L,
    dialects: Arc<Mutex<Line>>,
    process: Arc<Process>,
}

/// What the adapter calls back while a call is under way.
trait Asked {
    fn asked(&mut self, word: Word<'static, ()>, line: &mut Line) -> io::Result<()>;
}

/// Of a call that nothing can be asked about.
struct Nothing;

impl Asked for Nothing {
    fn asked(&mut self, _: Word<'static, ()>, _: &mut Line) -> io::Result<()> {
        Err(io::ErrorKind::InvalidData.into())
    }
}

impl<L: BorrowMut<Line>> Near<L> {
    fn call<T: DeserializeOwned>(&mut self, call: &Call<'_>, asked: &mut dyn Asked) -> Result<T, Error> {
        converse(self.calls.borrow_mut(), call, asked).map_err(|error| self.process.crashed(&error))
    }
}

/// Leads a call to its end, whatever happens here: over there, a line that breaks off means that this process is gone.
fn converse<T: DeserializeOwned>(line: &mut Line, call: &Call<'_>, asked: &mut dyn Asked) -> io::Result<T> {
    line.send(call)?;
    let mut panicked = None;
    loop {
        let word = match line.receive::<Word<'static, T>>()? {
            Word::Answer(answer) => match panicked {
                None => return Ok(answer),
                Some(panic) => resume_unwind(panic),
            },
            Word::Columns(set, names) => Word::Columns(set, names),
            Word::Rows(set, rows) => Word::Rows(set, rows),
            Word::Body => Word::Body,
            Word::NextBatch => Word::NextBatch,
            Word::NextPiece => Word::NextPiece,
            Word::Progress { batch, statements, bytes } => Word::Progress { batch, statements, bytes },
            Word::Notice(batch, notice) => Word::Notice(batch, notice),
            Word::Finished(batch, outcome) => Word::Finished(batch, outcome),
        };
        let way_out = WayOut::of(&word);
        if panicked.is_none() {
            match catch_unwind(AssertUnwindSafe(|| asked.asked(word, line))) {
                Ok(outcome) => {
                    outcome?;
                    continue;
                }
                Err(panic) => panicked = Some(panic),
            }
        }
        way_out.send(line)?;
    }
}

/// How a word is answered by whom a panic has left without anything to say.
enum WayOut {
    Silence,
    Enough,
    NoBatch,
    NoPiece,
    BodyFailed,
}

impl WayOut {
    fn of(word: &Word<'_, ()>) -> Self {
        match word {
            Word::Rows(..) => WayOut::Enough,
            Word::NextBatch => WayOut::NoBatch,
            Word::NextPiece => WayOut::NoPiece,
            Word::Body => WayOut::BodyFailed,
            _ => WayOut::Silence,
        }
    }

    fn send(&self, line: &mut Line) -> io::Result<()> {
        match self {
            WayOut::Silence => Ok(()),
            WayOut::Enough => line.send(&Wanted::Enough),
            WayOut::NoBatch => line.send(&NextBatch::Stop),
            WayOut::NoPiece => line.send(&NextPiece::Stop),
            WayOut::BodyFailed => line.send(&Call::BodyFailed),
        }
    }
}

impl<L: BorrowMut<Line> + Send> Connection for Near<L> {
    fn execute_raw(&mut self, script: &str) -> Result<(), Error> {
        self.call::<Answer<()>>(&Call::ExecuteRaw(script.into()), &mut Nothing)?
    }

    fn query(&mut self, sql: &str, parameters: &[Value<'_>], rows: &mut dyn RowSink) -> Result<(), Error> {
        self.call::<Answer<()>>(&Call::Query(sql.into(), parameters.to_vec()), &mut Sink(rows))?
    }

    fn read(&mut self, texts: &[&str], rows: &mut dyn RowSink) -> Result<(), ReadError> {
        let texts = texts.iter().map(|text| Cow::Borrowed(*text)).collect();
        let answer = self.call::<Result<(), ReadError>>(&Call::Read(texts), &mut Sink(rows));
        answer.map_err(|error| ReadError::new(0, error))?
    }

    fn table_exists(&mut self, name: &TableName) -> Result<bool, Error> {
        self.call::<Answer<bool>>(&Call::TableExists(name.clone()), &mut Nothing)?
    }

    fn transaction(
        &mut self,
        options: &TransactionOptions,
        body: &mut TransactionBody<'_>,
    ) -> Result<(), Error> {
        let (dialects, process) = (Arc::clone(&self.dialects), Arc::clone(&self.process));
        self.call::<Answer<()>>(&Call::Transaction(*options), &mut Body { body, dialects, process })?
    }

    fn run(&mut self, work: &mut dyn Work, events: &mut dyn Events) -> Result<(), Error> {
        let mut run = Run { work, events, open: VecDeque::new(), handed_out: 0 };
        let answer = self.call::<Answer<()>>(&Call::Run, &mut run);
        if let Err(crashed) = &answer {
            run.abandon(crashed);
        }
        answer?
    }

    fn alive(&mut self, attempt: &str) -> Result<Liveness, Error> {
        self.call::<Answer<Liveness>>(&Call::Alive(attempt.into()), &mut Nothing)?
    }

    fn dialect(&mut self, facts: &RowSet) -> Result<Box<dyn Dialect>, Error> {
        let made = self.call::<Answer<Made>>(&Call::Dialect(facts.clone()), &mut Nothing)??;
        let (dialects, process) = (Arc::clone(&self.dialects), Arc::clone(&self.process));
        Ok(Box::new(NearDialect { made, dialects, process }))
    }

    fn ping(&mut self) -> Result<(), Error> {
        self.call::<Answer<()>>(&Call::Ping, &mut Nothing)?
    }

    fn close(mut self: Box<Self>) -> Result<(), Error> {
        self.call::<Answer<()>>(&Call::Close, &mut Nothing)?
    }
}

struct Sink<'a>(&'a mut dyn RowSink);

impl Asked for Sink<'_> {
    fn asked(&mut self, word: Word<'static, ()>, line: &mut Line) -> io::Result<()> {
        match word {
            Word::Columns(set, names) => {
                let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
                self.0.columns(set, &names);
                Ok(())
            }
            Word::Rows(set, rows) => {
                let enough = rows.iter().any(|row| self.0.row(set, row) == Wanted::Enough);
                line.send(&if enough { Wanted::Enough } else { Wanted::More })
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

struct Body<'a, 'b> {
    body: &'a mut TransactionBody<'b>,
    dialects: Arc<Mutex<Line>>,
    process: Arc<Process>,
}

impl Asked for Body<'_, '_> {
    fn asked(&mut self, word: Word<'static, ()>, line: &mut Line) -> io::Result<()> {
        if !matches!(word, Word::Body) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let (dialects, process) = (Arc::clone(&self.dialects), Arc::clone(&self.process));
        let mut lent = Near { calls: &mut *line, dialects, process };
        let went: Result<(), BodyFailed> = (self.body)(&mut lent);
        line.send(&match went {
            Ok(()) => Call::BodyDone,
            Err(BodyFailed) => Call::BodyFailed,
        })
    }
}

/// A run, and what it has handed out.
struct Run<'a> {
    work: &'a mut dyn Work,
    events: &'a mut dyn Events,
    /// The batches that are not reported as finished.
    open: VecDeque<Open>,
    handed_out: u32,
}

struct Open {
    batch: u32,
    mode: Mode,
    /// How many statements are known to be complete.
    statements: u64,
    /// Whether all of it was handed out, so that its end may have been asked for.
    rest: Rest,
}

impl Asked for Run<'_> {
    fn asked(&mut self, word: Word<'static, ()>, line: &mut Line) -> io::Result<()> {
        match word {
            Word::NextBatch => {
                let next = NextBatch::of(self.work.next_batch().ok());
                if let NextBatch::Batch(head) = &next {
                    let (batch, mode) = (self.handed_out, head.mode);
                    self.open.push_back(Open { batch, mode, statements: 0, rest: Rest::Follows });
                    self.handed_out += 1;
                }
                line.send(&next)
            }
            Word::NextPiece => {
                let piece = self.work.next_piece();
                let rest = match &piece {
                    Ok(Some(piece)) => piece.rest,
                    // A batch without statements may be settled without being asked for one.
                    Ok(None) => Rest::Last,
                    Err(Stop) => Rest::Follows,
                };
                if let Some(open) = self.open.back_mut() {
                    open.rest = rest;
                }
                line.send(&match &piece {
                    Ok(Some(piece)) => NextPiece::of(piece),
                    Ok(None) => NextPiece::End,
                    Err(Stop) => NextPiece::Stop,
                })
            }
            Word::Progress { batch, statements, bytes } => {
                if let Some(open) = self.open.iter_mut().find(|open| open.batch == batch) {
                    open.statements = statements;
                }
                self.events.progress(batch, statements, bytes);
                Ok(())
            }
            Word::Notice(batch, notice) => {
                self.events.notice(batch, notice);
                Ok(())
            }
            Word::Finished(batch, outcome) => {
                self.open.retain(|open| open.batch != batch);
                self.events.finished(batch, outcome);
                Ok(())
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl Run<'_> {
    /// Reports what was under way when the process ended.
    fn abandon(&mut self, crashed: &Error) {
        for open in self.open.drain(..) {
            let (state, committed) = match (open.mode, open.rest) {
                (Mode::Atomic, Rest::Follows) => (State::RolledBack, 0),
                (Mode::Atomic, _) => (State::InDoubt, 0),
                _ => (State::InDoubt, open.statements),
            };
            let phase = Phase::Statement(open.statements);
            let failure = Failure::new(phase, crashed.clone(), open.statements, committed, state);
            self.events.finished(open.batch, Err(failure));
        }
    }
}

struct NearDialect {
    made: Made,
    dialects: Arc<Mutex<Line>>,
    process: Arc<Process>,
}

impl NearDialect {
    /// Without an answer the process is gone. What is returned instead gets nowhere: the session is gone too.
    fn ask<T: DeserializeOwned>(&self, question: &Question<'_>) -> Option<T> {
        let answer = lock(&self.dialects).ask(question);
        answer.map_err(|error| self.process.crashed(&error)).ok()
    }
}

impl Dialect for NearDialect {
    fn lexer(&self) -> Lexer {
        self.made.lexer.clone()
    }

    fn facts(&self) -> Facts {
        self.made.facts.clone()
    }

    fn quote(&self, identifier: &str) -> String {
        self.ask(&Question::Quote(self.made.number, identifier.into())).unwrap_or_default()
    }

    fn literal(&self, value: &Value<'_>) -> String {
        self.ask(&Question::Literal(self.made.number, value.clone())).unwrap_or_default()
    }

    fn text(&self, text: &Text<'_>) -> Option<Vec<String>> {
        self.ask(&Question::Text(self.made.number, EncodedText::new(text)))
            .unwrap_or_else(|| Some(vec![String::new()]))
    }
}

impl Drop for NearDialect {
    fn drop(&mut self) {
        let _: Option<()> = self.ask(&Question::Forget(self.made.number));
    }
}
