//! Whose turn it is: several runners, one server, a time of its own, and crashes wherever a test wants them.
//!
//! A runner that wants something of the server, or wants to wait, hands in a [`Request`] and is held until it is
//! answered. Nobody takes a step while any runner is still at large; then one step is taken, of whoever [`Order`]
//! chooses. So a run depends on nothing but its order, and can be repeated. The thread that was held last does the
//! stepping, which lets a single runner go on without changing threads.
//!
//! Time passes when nobody can take a step. Where that does not help either everybody is stuck, and the test hears of
//! it.

use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use whimbrel_adapter_api::{Error, Liveness};

use crate::crash::{Crash, Moment, Victim};
use crate::data::Data;
use crate::order::Order;
use crate::server::{Executed, Kind, Server, SessionId};
use crate::statement::Statement;

/// What a runner wants.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    /// Statements in one message, which the server goes through even if nobody is there to hear the answer.
    Statements { statements: Vec<Result<Statement, Error>>, attempt: Option<String> },
    /// What is committed, and the time.
    Read,
    /// Whether anybody is at work on this attempt.
    Alive(String),
    /// To wait for so many milliseconds.
    Sleep(u64),
}

/// What a runner is told.
#[derive(Debug)]
pub(crate) enum Answer {
    /// How many rows each statement changed, and why there are not more.
    Statements(Vec<u64>, Option<Error>),
    Data(Data, u64),
    Alive(Liveness),
    Awake,
    /// The connection is gone.
    Lost,
    /// The process is gone.
    Killed,
}

/// What the thread of a killed process unwinds with.
pub(crate) struct Killed;

/// A server and everybody who uses it.
#[derive(Debug)]
pub(crate) struct World {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    server: Server,
    order: Order,
    now: u64,
    runners: Vec<Runner>,
    /// How many runners are neither held nor gone.
    at_large: usize,
    steps: u64,
    stuck: bool,
}

/// One session, and the runner at its other end.
#[derive(Debug, Default)]
struct Runner {
    end: End,
    request: Option<Request>,
    answer: Option<Answer>,
    /// Rings when there is an answer.
    bell: Arc<Condvar>,
    /// What was done of the statements of the request.
    counts: Vec<u64>,
    /// The attempt that the session tells others it is at work on.
    attempt: Option<String>,
    wakes_at: Option<u64>,
    crash: Option<Crash>,
    /// How often the server did something for it.
    points: u32,
}

/// What is at the client's end of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    /// A runner.
    #[default]
    Runner,
    /// A runner whose connection is gone.
    Cut,
    /// Nobody.
    Nobody,
}

/// How long a run may get before it counts as one that never ends.
const MOST_STEPS: u64 = 50_000;

impl World {
    pub(crate) fn new(kind: Kind, data: Data, order: Order) -> Arc<World> {
        let server = Server::new(kind, data);
        let state =
            State { server, order, now: 1_000_000, runners: Vec::new(), at_large: 0, steps: 0, stuck: false };
        Arc::new(World { state: Mutex::new(state) })
    }

    /// Opens a session for a runner, who is at large.
    pub(crate) fn enter(&self, crash: Option<Crash>) -> SessionId {
        let mut state = self.state();
        state.runners.push(Runner { crash, ..Runner::default() });
        state.at_large += 1;
        state.runners.len() - 1
    }

    /// Ends the part of a runner, whose thread goes on without the world or is gone.
    pub(crate) fn leave(&self, id: SessionId) {
        let mut state = self.state();
        state.at_large -= 1;
        state.hang_up(id, End::Nobody);
        state.go_on();
    }

    /// Asks for something and waits for the answer.
    pub(crate) fn ask(&self, id: SessionId, request: Request) -> Answer {
        let mut state = self.state();
        if state.runners[id].end == End::Cut && !matches!(request, Request::Sleep(_)) {
            return Answer::Lost;
        }
        state.hold(id, request);
        state.go_on();
        let bell = Arc::clone(&state.runners[id].bell);
        let answer = loop {
            if let Some(answer) = state.runners[id].answer.take() {
                break answer;
            }
            state = bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        drop(state);
        if let Answer::Killed = answer {
            // Unlike a panic this is silent, and nothing in between takes it for an error.
            resume_unwind(Box::new(Killed));
        }
        answer
    }

    pub(crate) fn now(&self) -> u64 {
        self.state().now
    }

    /// Returns how often the server did something for this session.
    pub(crate) fn points(&self, id: SessionId) -> u32 {
        self.state().runners[id].points
    }

    /// Returns whether nothing is going on.
    pub(crate) fn is_quiet(&self) -> bool {
        self.state().runners.iter().all(|runner| runner.request.is_none())
    }

    /// Lets everything come to its end that nobody waits for any more.
    pub(crate) fn settle(&self) {
        let mut state = self.state();
        while !state.stuck && state.runners.iter().any(|runner| runner.request.is_some()) {
            state.step();
        }
    }

    /// Returns what is committed.
    pub(crate) fn data(&self) -> Data {
        self.state().server.data.clone()
    }

    /// Changes what is committed by hand, as a person would.
    pub(crate) fn by_hand(&self, change: impl FnOnce(&mut Data)) {
        change(&mut self.state().server.data);
    }

    /// Returns what went wrong on the server's side.
    pub(crate) fn faults(&self) -> Vec<String> {
        let state = self.state();
        let stuck = state.stuck.then(|| format!("nobody can go on: {:?}", state.runners));
        state.server.faults.iter().cloned().chain(stuck).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn hold(&mut self, id: SessionId, request: Request) {
        let runner = &mut self.runners[id];
        runner.counts.clear();
        if let Request::Sleep(time) = request {
            runner.wakes_at = Some(self.now + time);
        }
        runner.request = Some(request);
        self.at_large -= 1;
    }

    fn answer(&mut self, id: SessionId, answer: Answer) {
        let runner = &mut self.runners[id];
        runner.request = None;
        runner.wakes_at = None;
        if runner.end == End::Nobody {
            return;
        }
        runner.answer = Some(answer);
        runner.bell.notify_one();
        self.at_large += 1;
    }

    /// Takes steps until a runner is at large, or nobody is left.
    fn go_on(&mut self) {
        let is_held = |runner: &Runner| runner.end != End::Nobody && runner.request.is_some();
        while self.at_large == 0 && self.runners.iter().any(is_held) {
            self.step();
        }
    }

    fn step(&mut self) {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return self.give_up();
        }
        let ready: Vec<SessionId> = (0..self.runners.len()).filter(|id| self.is_ready(*id)).collect();
        let (orphans, held): (Vec<SessionId>, Vec<SessionId>) =
            ready.into_iter().partition(|id| self.runners[*id].end == End::Nobody);
        match self.order.choose(&held, &orphans) {
            Some(id) => {
                self.now += 1;
                self.advance(id);
            }
            None => self.let_time_pass(),
        }
    }

    fn is_ready(&self, id: SessionId) -> bool {
        let runner = &self.runners[id];
        match &runner.request {
            None => false,
            Some(Request::Sleep(_)) => runner.wakes_at.is_some_and(|end| end <= self.now),
            Some(Request::Statements { statements, .. }) => match &statements[runner.counts.len()] {
                Ok(statement) => self.server.is_ready(id, statement, self.now),
                Err(_) => true,
            },
            Some(Request::Read | Request::Alive(_)) => true,
        }
    }

    fn let_time_pass(&mut self) {
        let events = self.runners.iter().enumerate().filter(|(_, runner)| runner.request.is_some());
        let next =
            events.filter_map(|(id, runner)| runner.wakes_at.or_else(|| self.server.ready_at(id))).min();
        match next {
            Some(next) => self.now = next.max(self.now),
            None => self.give_up(),
        }
    }

    /// Ends what would never end.
    fn give_up(&mut self) {
        self.stuck = true;
        self.server.restart();
        for id in 0..self.runners.len() {
            let runner = &mut self.runners[id];
            if runner.request.is_some() && runner.end != End::Nobody {
                self.answer(id, Answer::Killed);
            }
            self.runners[id].request = None;
        }
    }

    /// Does the next thing that a session asks for, unless something crashes there.
    fn advance(&mut self, id: SessionId) {
        if let Some(Request::Sleep(_)) = self.runners[id].request {
            return self.answer(id, Answer::Awake);
        }
        // What lasts or waits has been at the server before.
        if !self.server.is_busy(id) {
            self.runners[id].points += 1;
            if let Some(crash) = self.due(id, Moment::Before) {
                return self.crash(id, crash);
            }
        }
        let answer = match &self.runners[id].request {
            Some(Request::Read) => Some(Answer::Data(self.server.data.clone(), self.now)),
            Some(Request::Alive(attempt)) => Some(Answer::Alive(self.liveness(id, attempt))),
            Some(Request::Statements { .. }) => match self.execute(id) {
                Progress::NotYet => return,
                Progress::Going => None,
                Progress::Ended(error) => {
                    let counts = std::mem::take(&mut self.runners[id].counts);
                    Some(Answer::Statements(counts, error.map(|error| *error)))
                }
            },
            Some(Request::Sleep(_)) | None => None,
        };
        if let Some(crash) = self.due(id, Moment::After) {
            if answer.is_some() {
                self.runners[id].request = None;
            }
            return self.crash(id, crash);
        }
        if let Some(answer) = answer {
            self.answer(id, answer);
            if self.runners[id].end == End::Nobody {
                // Nobody hears how it went, and the session ends with its work.
                self.server.end(id);
                self.runners[id].attempt = None;
            }
        }
    }

    /// Does the next statement of a session's message.
    fn execute(&mut self, id: SessionId) -> Progress {
        let runner = &mut self.runners[id];
        let Some(Request::Statements { statements, attempt }) = &runner.request else {
            return Progress::NotYet;
        };
        runner.attempt.clone_from(attempt);
        let executed = match &statements[runner.counts.len()] {
            Ok(statement) => self.server.execute(id, statement, self.now),
            Err(error) => Executed::Failed(error.clone()),
        };
        match executed {
            Executed::NotYet => Progress::NotYet,
            Executed::Done(count) => {
                runner.counts.push(count);
                if runner.counts.len() < statements.len() {
                    return Progress::Going;
                }
                runner.attempt = None;
                Progress::Ended(None)
            }
            // The attempt goes on being told: the session is put in order with the next message.
            Executed::Failed(error) => Progress::Ended(Some(Box::new(error))),
        }
    }

    fn liveness(&self, id: SessionId, attempt: &str) -> Liveness {
        let at_work = |other: &SessionId| {
            *other != id
                && self.runners[*other].attempt.as_deref() == Some(attempt)
                // Elsewhere than with implicit commits a session that waits for its client does not count.
                && (self.server.kind == Kind::ImplicitCommits || self.server.is_busy(*other))
        };
        if (0..self.runners.len()).any(|other| at_work(&other)) { Liveness::Alive } else { Liveness::Gone }
    }

    fn due(&mut self, id: SessionId, moment: Moment) -> Option<Crash> {
        let runner = &mut self.runners[id];
        let points = runner.points;
        runner.crash.take_if(|crash| crash.point == points && crash.moment == moment)
    }

    fn crash(&mut self, id: SessionId, crash: Crash) {
        match crash.victim {
            Victim::Process => {
                // Its thread is still to be told.
                self.hang_up(id, End::Cut);
                self.answer(id, Answer::Killed);
            }
            Victim::Connection => {
                self.hang_up(id, End::Cut);
                self.answer(id, Answer::Lost);
            }
            Victim::Server => self.restart(),
        }
    }

    /// Takes the client away from a session. What the server has of its statements runs on, where it does not live in
    /// the client's own process.
    fn hang_up(&mut self, id: SessionId, end: End) {
        let runner = &mut self.runners[id];
        if std::mem::replace(&mut runner.end, end) != End::Runner {
            return;
        }
        // A message that the server has not begun may as well never have arrived.
        let begun = !runner.counts.is_empty() || self.server.is_busy(id);
        let request = runner.request.take();
        let attempt = runner.attempt.take();
        let counts = std::mem::take(&mut runner.counts);
        let runs_on = begun && self.server.kind != Kind::Embedded;
        match request {
            Some(Request::Statements { .. }) if runs_on => {
                self.server.rename(id, self.runners.len());
                self.runners.push(Runner { end: End::Nobody, request, counts, attempt, ..Runner::default() });
            }
            _ => self.server.end(id),
        }
    }

    fn restart(&mut self) {
        self.server.restart();
        for id in 0..self.runners.len() {
            let runner = &mut self.runners[id];
            runner.attempt = None;
            let is_asking = matches!(
                runner.request,
                Some(Request::Statements { .. } | Request::Read | Request::Alive(_))
            );
            match runner.end {
                End::Nobody | End::Cut => runner.request = None,
                End::Runner => {
                    runner.end = End::Cut;
                    // The one whose point it is may have been served already.
                    if is_asking || runner.request.is_none() {
                        self.answer(id, Answer::Lost);
                    }
                }
            }
        }
    }
}

/// How far the statements of a request have come.
enum Progress {
    NotYet,
    Going,
    Ended(Option<Box<Error>>),
}
