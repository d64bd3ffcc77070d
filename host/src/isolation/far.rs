//! The process of an isolated adapter: it loads the library, and does what it is told until nobody is left to tell it.
//!
//! Every session has threads of its own, as it may have in the program: one for its calls, one for its dialects, which are
//! asked in the middle of a call, and one for requests to cancel.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, raise};
use rustix::event::{PollFd, PollFlags, poll};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use whimbrel_adapter_api::{
    Adapter, BodyFailed, Canceller, ConnectOptions, Connection, Dialect, Done, Error, ErrorKind, Events,
    Failure, Next, Notice, Piece, PieceKind, ReadError, Rest, RowSink, Secret, Span, Stop, Value, Wanted,
    Work,
};

use super::line::{Line, SESSION_SOCKETS};
use super::protocol::{Answer, Call, Errand, Made, NextBatch, NextPiece, Question, VERSION, Word};

/// How many bytes of rows are sent at once, about.
const ROWS_AT_ONCE: usize = 64 * 1024;

/// Serves the adapter that `load` returns, on the standard input of this process. Ends the process.
///
/// Gives up what an adapter does not need: new rights by programs that it runs, and files with the memory of the process,
/// which would hold the url's password.
///
/// # Errors
///
/// When the standard input is no socket of the program that started this one.
pub fn serve(load: impl FnOnce() -> Result<Arc<dyn Adapter>, String>) -> io::Result<()> {
    let mut errands = take_standard_input()?;
    nix::sys::prctl::set_no_new_privs()?;
    // A limit alone does not hold where a program takes the files.
    nix::sys::prctl::set_dumpable(false)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    // A supervisor sends these to every process that it finds. Nobody looks at the flag: being asked to stop is the affair
    // of whoever started this process, which ends with it.
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::default())?;
    }
    errands.send(&VERSION)?;
    let adapter = match load() {
        Ok(adapter) => adapter,
        Err(reason) => return errands.send(&Answer::<()>::Err(Error::new(ErrorKind::Other, reason))),
    };
    errands.send(&Answer::Ok(adapter.info()))?;
    match run_errands(&mut errands, &adapter) {
        Err(_) => end(),
    }
}

/// Takes the socket away from the standard input, where a program that the adapter starts would read from it, and watches
/// from another thread whether somebody is still at its other end: the adapter may hang.
fn take_standard_input() -> io::Result<Line> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // Of another kind it is none of ours.
    socket.peer_addr()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    let watched = socket.try_clone()?;
    thread::Builder::new().spawn(move || {
        // Nothing but the end is waited for, and an error is one too.
        let _ = poll(&mut [PollFd::new(&watched, PollFlags::empty())], None);
        end()
    })?;
    Ok(Line::new(socket))
}

/// Ends this process, because the one that started it is gone. What it was doing ends as if it were part of that one.
fn end() -> ! {
    // Nothing of this process runs after that.
    let _ = raise(Signal::SIGKILL);
    std::process::abort()
}

fn run_errands(errands: &mut Line, adapter: &Arc<dyn Adapter>) -> io::Result<Infallible> {
    loop {
        match errands.receive()? {
            Errand::CheckUrl(url) => errands.send(&adapter.check_url(&Secret::new(url)))?,
            Errand::Quirks => errands.send(&adapter.quirks())?,
            Errand::Connect(options) => {
                let adapter = Arc::clone(adapter);
                // Without sockets or a thread there is no session, which the other end sees from closed sockets. One that
                // cannot be spoken to any more has ended.
                let _ = errands.receive_sockets().and_then(|sockets| {
                    thread::Builder::new()
                        .spawn(move || serve_session(adapter.as_ref(), &options.into(), sockets))
                });
            }
        }
    }
}

fn serve_session(
    adapter: &dyn Adapter,
    options: &ConnectOptions,
    sockets: [UnixStream; SESSION_SOCKETS],
) -> io::Result<()> {
    let [mut calls, questions, cancels] = sockets.map(Line::new);
    let opened = match adapter.connect(options) {
        Ok(opened) => opened,
        Err(error) => return calls.send(&Answer::<()>::Err(error)),
    };
    let canceller = opened.canceller;
    thread::Builder::new().spawn(move || serve_cancels(canceller.as_ref(), cancels))?;
    let dialects = Dialects::default();
    let asked = Arc::clone(&dialects);
    thread::Builder::new().spawn(move || serve_questions(&asked, questions))?;
    calls.send(&Answer::Ok(()))?;
    let mut session = Far { connection: Some(opened.connection), dialects };
    while let Ok(call) = calls.receive::<Call<'static>>() {
        session.answer(call, &mut calls)?;
    }
    // The session ends before its socket: whoever has hung up waits for that.
    drop(session);
    drop(calls);
    Ok(())
}

fn serve_cancels(canceller: &dyn Canceller, mut cancels: Line) -> io::Result<()> {
    loop {
        cancels.receive::<()>()?;
        cancels.send(&canceller.cancel())?;
    }
}

type Dialects = Arc<Mutex<BTreeMap<u32, Box<dyn Dialect>>>>;

fn serve_questions(dialects: &Dialects, mut questions: Line) -> io::Result<()> {
    loop {
        let question: Question<'static> = questions.receive()?;
        let mut dialects = dialects.lock().unwrap_or_else(PoisonError::into_inner);
        let number = match question {
            Question::Quote(number, _) | Question::Literal(number, _) => number,
            Question::Text(number, _) | Question::Forget(number) => number,
        };
        let dialect = dialects.get(&number).ok_or(io::ErrorKind::InvalidData)?;
        match question {
            Question::Quote(_, identifier) => questions.send(&dialect.quote(&identifier))?,
            Question::Literal(_, value) => questions.send(&dialect.literal(&value))?,
            Question::Text(_, text) => {
                questions.send(&text.read(|text| dialect.text(text)).flatten())?;
            }
            Question::Forget(_) => {
                dialects.remove(&number);
                questions.send(&())?;
            }
        }
    }
}

/// A session, until it is closed.
struct Far {
    connection: Option<Box<dyn Connection>>,
    dialects: Dialects,
}

impl Far {
    fn answer(&mut self, call: Call<'static>, line: &mut Line) -> io::Result<()> {
        if let Call::Close = call {
            let closed = self.connection.take().map_or(Ok(()), Connection::close);
            return say(line, &Word::Answer(closed));
        }
        match self.connection.as_deref_mut() {
            Some(connection) => answer(connection, &self.dialects, call, line),
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

fn say<T: Serialize>(line: &mut Line, word: &Word<'_, T>) -> io::Result<()> {
    line.send(word)
}

fn answer(
    connection: &mut dyn Connection,
    dialects: &Dialects,
    call: Call<'static>,
    line: &mut Line,
) -> io::Result<()> {
    match call {
        Call::ExecuteRaw(script) => say(line, &Word::Answer(connection.execute_raw(&script))),
        Call::Query(sql, parameters) => {
            let mut rows = FarRows::new(line);
            let answer = connection.query(&sql, &parameters, &mut rows);
            rows.send();
            say(line, &Word::Answer(answer))
        }
        Call::Read(texts) => {
            let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
            let mut rows = FarRows::new(line);
            let answer: Result<(), ReadError> = connection.read(&texts, &mut rows);
            rows.send();
            say(line, &Word::Answer(answer))
        }
        Call::TableExists(name) => say(line, &Word::Answer(connection.table_exists(&name))),
        Call::Transaction(options) => {
            let outcome = connection.transaction(&options, &mut |lent| {
                serve_body(lent, dialects, line).unwrap_or_else(|_| end())
            });
            say(line, &Word::Answer(outcome))
        }
        Call::Run => {
            // Both speak on the same line, and never at once.
            let shared = std::cell::RefCell::new(line);
            let mut work = FarWork { line: &shared, piece: Vec::new(), spans: Vec::new() };
            let outcome = connection.run(&mut work, &mut FarEvents { line: &shared });
            say(shared.into_inner(), &Word::Answer(outcome))
        }
        Call::Alive(attempt) => say(line, &Word::Answer(connection.alive(&attempt))),
        Call::Dialect(facts) => {
            let made = connection.dialect(&facts).map(|dialect| keep(dialects, dialect));
            say(line, &Word::Answer(made))
        }
        Call::Ping => say(line, &Word::Answer(connection.ping())),
        // Its owner closes what is lent, and there is no body to end.
        Call::Close => say(line, &Word::Answer(Answer::Ok(()))),
        Call::BodyDone | Call::BodyFailed => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn keep(dialects: &Dialects, dialect: Box<dyn Dialect>) -> Made {
    let (lexer, facts) = (dialect.lexer(), dialect.facts());
    let mut dialects = dialects.lock().unwrap_or_else(PoisonError::into_inner);
    let number = dialects.last_key_value().map_or(0, |(last, _)| last + 1);
    dialects.insert(number, dialect);
    Made { number, lexer, facts }
}

/// Serves the body of a transaction until it ends.
fn serve_body(
    connection: &mut dyn Connection,
    dialects: &Dialects,
    line: &mut Line,
) -> io::Result<Result<(), BodyFailed>> {
    say(line, &Word::<()>::Body)?;
    loop {
        match line.receive::<Call<'static>>()? {
            Call::BodyDone => return Ok(Ok(())),
            Call::BodyFailed => return Ok(Err(BodyFailed)),
            call => answer(connection, dialects, call, line)?,
        }
    }
}

/// Sends rows, many at once. An answer takes longer than a row.
struct FarRows<'a> {
    line: &'a mut Line,
    set: u32,
    rows: Vec<Vec<Value<'static>>>,
    bytes: usize,
    wanted: Wanted,
}

impl<'a> FarRows<'a> {
    fn new(line: &'a mut Line) -> Self {
        FarRows { line, set: 0, rows: Vec::new(), bytes: 0, wanted: Wanted::More }
    }

    /// Sends what has come together.
    fn send(&mut self) {
        if self.rows.is_empty() {
            return;
        }
        let word: Word<'_, ()> = Word::Rows(self.set, std::mem::take(&mut self.rows));
        self.bytes = 0;
        self.wanted = self.line.ask(&word).unwrap_or_else(|_| end());
    }
}

impl RowSink for FarRows<'_> {
    fn columns(&mut self, set: u32, names: &[&str]) {
        self.send();
        self.set = set;
        if self.wanted == Wanted::More {
            let names = names.iter().map(|name| Cow::Borrowed(*name)).collect();
            say::<()>(self.line, &Word::Columns(set, names)).unwrap_or_else(|_| end());
        }
    }

    fn row(&mut self, set: u32, cells: &[Value<'_>]) -> Wanted {
        if set != self.set {
            self.send();
            self.set = set;
        }
        if self.wanted == Wanted::More {
            self.bytes += cells.iter().map(size).sum::<usize>();
            self.rows.push(cells.iter().map(|cell| cell.clone().into_owned()).collect());
            if self.bytes >= ROWS_AT_ONCE {
                self.send();
            }
        }
        self.wanted
    }
}

fn size(value: &Value<'_>) -> usize {
    match value {
        Value::Text(text) | Value::Typed(_, text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        _ => size_of::<Value<'_>>(),
    }
}

type Shared<'a, 'b> = &'a std::cell::RefCell<&'b mut Line>;

struct FarWork<'a, 'b> {
    line: Shared<'a, 'b>,
    piece: Vec<u8>,
    spans: Vec<Span>,
}

impl Work for FarWork<'_, '_> {
    fn next_batch(&mut self) -> Result<Next, Stop> {
        match self.line.borrow_mut().ask(&Word::<()>::NextBatch).unwrap_or_else(|_| end()) {
            NextBatch::Batch(head) => Ok(Next::Batch(head)),
            NextBatch::Later => Ok(Next::Later),
            NextBatch::End => Ok(Next::End),
            NextBatch::Stop => Err(Stop),
        }
    }

    fn next_piece(&mut self) -> Result<Option<Piece<'_>>, Stop> {
        let answer = self.line.borrow_mut().ask(&Word::<()>::NextPiece).unwrap_or_else(|_| end());
        let (kind, rest): (PieceKind, Rest) = match answer {
            NextPiece::Piece { kind, rest, text, spans } => {
                (self.piece, self.spans) = (text.into_owned(), spans);
                (kind, rest)
            }
            NextPiece::End => return Ok(None),
            NextPiece::Stop => return Err(Stop),
        };
        Ok(Some(Piece::new(kind, rest, &self.piece, &self.spans)))
    }
}

struct FarEvents<'a, 'b> {
    line: Shared<'a, 'b>,
}

impl FarEvents<'_, '_> {
    fn tell(&self, word: &Word<'_, ()>) {
        self.line.borrow_mut().send(word).unwrap_or_else(|_| end());
    }
}

impl Events for FarEvents<'_, '_> {
    fn progress(&mut self, batch: u32, statements: u64, bytes: u64) {
        self.tell(&Word::Progress { batch, statements, bytes });
    }

    fn notice(&mut self, batch: u32, notice: Notice) {
        self.tell(&Word::Notice(batch, notice));
    }

    fn finished(&mut self, batch: u32, outcome: Result<Done, Failure>) {
        self.tell(&Word::Finished(batch, outcome));
    }
}
