//! A session on the wire.
//!
//! The driver's connection lives on a thread of its own with a runtime of its own, so that the calling thread can
//! wait for answers with no runtime at all: inside somebody else's runtime too, where a second one is refused. That
//! thread also puts answers and notices into the order in which the server said them, which the driver does not keep.
//!
//! Knows nothing of SQL.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::Duration;

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use futures_util::{Stream, StreamExt};
use postgres::SimpleQueryMessage;
use tokio::runtime::{Builder, Handle};
use tokio::time::sleep;
use tokio_postgres::{AsyncMessage, Client, SimpleQueryStream};
use tokio_postgres_rustls::MakeRustlsConnect;
use whimbrel_adapter_api::{Error, ErrorKind, Notice};

use crate::cancel::Cancel;
use crate::connect::{Connected, Wire, connect};
use crate::error;
use crate::tls;
use crate::url::Settings;

/// How long an abandoned session may take to end in order before its socket is closed.
const GRACE: Duration = Duration::from_secs(2);

/// An open session.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) listener: Listener,
    outgoing: UnboundedSender<Open>,
    last: Ticket,
    end: End,
    /// Why nothing more may be sent.
    given_up: Option<Error>,
    /// A statement that nobody waits for. It leaves with the next read, so that it costs no turn.
    owed: Option<&'static str>,
    /// Dropped with the session, which tells its thread to end.
    _presence: oneshot::Sender<()>,
    /// Closed when the thread has ended.
    ended: mpsc::Receiver<()>,
}

/// A message that was sent; its answers are asked for with this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// Whether the rows among the answers are of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cells {
    Wanted,
    Unwanted,
}

/// Hears what the server says, in order.
pub(crate) struct Listener {
    said: UnboundedReceiver<Said>,
    /// What was said while something else was waited for.
    kept: VecDeque<Said>,
}

/// One answer to a message, or `None` behind the last.
type Answer = Option<Result<SimpleQueryMessage, postgres::Error>>;

/// What the server said.
enum Said {
    Notice(Notice),
    Answer(Ticket, Answer),
}

/// A message whose answers are still to come.
struct Open {
    ticket: Ticket,
    cells: Cells,
    answers: Pin<Box<SimpleQueryStream>>,
}

/// Why the driver's connection ended, for everyone who waits for an answer that will not come.
#[derive(Clone, Default)]
struct End(Arc<Mutex<Option<Error>>>);

/// Opens a session.
///
/// # Errors
///
/// Those of [`Adapter::connect`](whimbrel_adapter_api::Adapter::connect).
pub(crate) fn open(settings: Settings) -> Result<(Session, Cancel), Error> {
    let connector = tls::connector(&settings.tls)?;
    let (opened, opening) = mpsc::channel();
    thread::Builder::new()
        .name("whimbrel-postgres".to_owned())
        .spawn(move || serve(&settings, connector, &opened))
        .map_err(|error| Error::new(ErrorKind::Other, format!("cannot start a thread: {error}")))?;
    opening.recv().unwrap_or_else(|_| Err(Error::lost("the thread of the connection ended")))
}

impl Session {
    /// Sends a message. Its answers need not be read before the next is sent.
    ///
    /// # Errors
    ///
    /// `ConnectionLost`, or what makes the text one that cannot be sent.
    pub(crate) fn send(&mut self, text: &str, cells: Cells) -> Result<Ticket, Error> {
        self.check()?;
        self.settle()?;
        // This future is ready at once: the driver puts the message into its queue.
        let sent = pollster::block_on(self.client.simple_query_raw(text));
        let answers = Box::pin(sent.map_err(|error| self.explained(error::of_session(&error)))?);
        let ticket = Ticket(self.last.0 + 1);
        self.last = ticket;
        if let Err(refused) = self.outgoing.unbounded_send(Open { ticket, cells, answers }) {
            // The thread has just ended. The message may have reached the server all the same, so this is no error
            // of sending it: what the driver has of its answers is read here, up to the error behind them.
            self.listener.keep_the_rest(refused.into_inner());
        }
        Ok(ticket)
    }

    /// Leaves a statement for the next read to take along.
    pub(crate) fn owe(&mut self, statement: &'static str) {
        self.owed = Some(statement);
    }

    /// Returns the statement to take along.
    pub(crate) fn owed(&mut self) -> Option<&'static str> {
        self.owed.take()
    }

    /// Sends what is owed, and waits until it is done: behind it no transaction is open, and a pooler may lend the server's
    /// connection to somebody else.
    ///
    /// # Errors
    ///
    /// Those of [`Session::send`].
    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        match self.owed.take() {
            Some(owed) => self.turn(owed),
            None => Ok(()),
        }
    }

    /// Returns the next answer to a message, or `None` behind the last. Answers to earlier messages that nobody read
    /// are passed over.
    pub(crate) fn next(&mut self, of: Ticket, heard: &mut dyn FnMut(Notice)) -> Answer {
        loop {
            let Some((ticket, answer)) = self.listener.next(heard) else {
                // Every message is answered, if only by an error, unless the thread itself came to grief.
                self.give_up("the thread of the connection ended");
                return None;
            };
            if ticket == of {
                return answer;
            }
        }
    }

    /// Sends a message and waits until it is done. Rows and notices are passed over.
    ///
    /// # Errors
    ///
    /// The first failing statement's, with the position in the text.
    pub(crate) fn turn(&mut self, text: &str) -> Result<(), Error> {
        let ticket = self.send(text, Cells::Unwanted)?;
        while let Some(answer) = self.next(ticket, &mut |_| {}) {
            answer.map_err(|error| self.explained(error::of_text(&error, text)))?;
        }
        self.check()
    }

    /// Returns an error when the session was given up, so that the end of the answers is not taken for success.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.given_up.clone().map_or(Ok(()), Err)
    }

    /// Returns the error with the reason for which the connection ended, if it did.
    pub(crate) fn explained(&self, error: Error) -> Error {
        if error.kind != ErrorKind::ConnectionLost || error.sqlstate.is_some() {
            return error;
        }
        self.end.get().unwrap_or(error)
    }

    /// Refuses to send anything more.
    pub(crate) fn give_up(&mut self, reason: &str) {
        self.given_up = Some(Error::lost(reason));
    }

    /// Ends the session and waits until the server was told.
    ///
    /// # Errors
    ///
    /// The reason for which it had ended before.
    pub(crate) fn close(self) -> Result<(), Error> {
        let Session { client, outgoing, end, _presence: presence, ended, .. } = self;
        drop((client, outgoing, presence));
        match ended.recv_timeout(GRACE + Duration::from_secs(1)) {
            Err(RecvTimeoutError::Timeout) => Err(Error::lost("the server did not let the session end")),
            _ => end.get().map_or(Ok(()), Err),
        }
    }
}

impl Listener {
    /// Waits for `future` on this thread, and hands on what the server says in the meantime.
    pub(crate) fn wait<F: Future>(&mut self, future: F, heard: &mut dyn FnMut(Notice)) -> F::Output {
        let mut future = pin!(future);
        pollster::block_on(poll_fn(|context| {
            self.hear(context, heard);
            let outcome = ready!(future.as_mut().poll(context));
            // A notice precedes the answer to the statement that caused it.
            self.hear(context, heard);
            Poll::Ready(outcome)
        }))
    }

    fn hear(&mut self, context: &mut Context<'_>, heard: &mut dyn FnMut(Notice)) {
        while let Poll::Ready(Some(said)) = Pin::new(&mut self.said).poll_next(context) {
            match said {
                Said::Notice(notice) => heard(notice),
                answer => self.kept.push_back(answer),
            }
        }
    }

    /// Keeps all that is still to come, when the thread is ending, and then the answers for which it came too late.
    fn keep_the_rest(&mut self, late: Open) {
        let (saying, said) = unbounded();
        let (_, sent) = unbounded();
        let mut passage = Passage { sent, open: VecDeque::from([late]), saying };
        pollster::block_on(poll_fn(|context| {
            passage.pass(context);
            if passage.open.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        }));
        drop(passage);
        self.kept.extend(pollster::block_on(self.said.by_ref().chain(said).collect::<Vec<_>>()));
    }

    /// Returns the next answer, to whatever message, or `None` when the thread has ended.
    fn next(&mut self, heard: &mut dyn FnMut(Notice)) -> Option<(Ticket, Answer)> {
        loop {
            let said = match self.kept.pop_front() {
                Some(kept) => kept,
                None => pollster::block_on(self.said.next())?,
            };
            match said {
                Said::Notice(notice) => heard(notice),
                Said::Answer(ticket, answer) => return Some((ticket, answer)),
            }
        }
    }
}

impl End {
    fn get(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, error: Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

/// The work of the session's thread. Answers that cannot be sent have nobody left who waits for them.
fn serve(
    settings: &Settings,
    connector: MakeRustlsConnect,
    opened: &mpsc::Sender<Result<(Session, Cancel), Error>>,
) {
    let runtime = match Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = Error::new(ErrorKind::Other, format!("cannot start a runtime: {error}"));
            let _ = opened.send(Err(error));
            return;
        }
    };
    runtime.block_on(async {
        let Connected { client, wire, host, place } = match connect(settings, &connector).await {
            Ok(connected) => connected,
            Err(error) => {
                let _ = opened.send(Err(error));
                return;
            }
        };
        let cancel =
            Cancel { token: client.cancel_token(), connector, host, place, runtime: Handle::current() };
        let (outgoing, sent) = unbounded();
        let (saying, said) = unbounded();
        let (presence, absence) = oneshot::channel();
        let (running, ended) = mpsc::channel::<()>();
        let end = End::default();
        let session = Session {
            client,
            listener: Listener { said, kept: VecDeque::new() },
            outgoing,
            last: Ticket::default(),
            end: end.clone(),
            given_up: None,
            owed: None,
            _presence: presence,
            ended,
        };
        if opened.send(Ok((session, cancel))).is_ok() {
            let passage = Passage { sent, open: VecDeque::new(), saying };
            drive(wire, passage, absence, &end).await;
        }
        drop(running);
    });
    // A look-up of a name may still be at work on a thread of its own; nobody waits for it.
    runtime.shutdown_background();
}

/// Moves bytes until the session ends, or for a moment longer when it was abandoned in the middle of something.
async fn drive(mut wire: Wire, mut passage: Passage, absence: oneshot::Receiver<()>, end: &End) {
    let moved = poll_fn(|context| {
        loop {
            let event = wire.poll_message(context);
            // What the driver has sorted by now was said before the notice that it stopped at.
            passage.pass(context);
            match ready!(event) {
                Some(Ok(AsyncMessage::Notice(notice))) => passage.say(Said::Notice(error::notice(&notice))),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Some(error)),
                None => return Poll::Ready(None),
            }
        }
    });
    let abandoned = async {
        // An error is what comes when the session is dropped.
        let _ = absence.await;
        sleep(GRACE).await;
    };
    let Either::Left((outcome, _)) = select(pin!(moved), pin!(abandoned)).await else {
        return;
    };
    if let Some(error) = outcome {
        end.set(error::of_session(&error));
    }
    // With the connection gone, every message that was sent is answered: with an error if with nothing else.
    drop(wire);
    passage.sent.close();
    poll_fn(|context| {
        passage.pass(context);
        Poll::Ready(())
    })
    .await;
}

/// The way from the driver, which sorts answers by message, to the session, which wants them in order.
struct Passage {
    sent: UnboundedReceiver<Open>,
    open: VecDeque<Open>,
    saying: UnboundedSender<Said>,
}

impl Passage {
    /// Hands on every answer that has come.
    fn pass(&mut self, context: &mut Context<'_>) {
        while let Poll::Ready(Some(open)) = Pin::new(&mut self.sent).poll_next(context) {
            self.open.push_back(open);
        }
        while let Some(Open { ticket, cells, answers }) = self.open.front_mut() {
            let Poll::Ready(answer) = answers.as_mut().poll_next(context) else {
                return;
            };
            let (ticket, cells) = (*ticket, *cells);
            let (last, row) = match &answer {
                None => (true, false),
                // Not the server's: nothing sensible follows.
                Some(Err(error)) => (error.as_db_error().is_none(), false),
                Some(Ok(answer)) => (false, matches!(answer, SimpleQueryMessage::Row(_))),
            };
            let ends = answer.is_none();
            if !(row && cells == Cells::Unwanted) {
                self.say(Said::Answer(ticket, answer));
            }
            if last {
                self.open.pop_front();
            }
            if last && !ends {
                self.say(Said::Answer(ticket, None));
            }
        }
    }

    fn say(&self, said: Said) {
        // Nobody listens any more when the session is being dropped.
        let _ = self.saying.unbounded_send(said);
    }
}
